//! Runs programs and measures them, alternating between them so that other load on the machine affects all alike.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::{BenchError, HOOKFIRE};

/// The quartiles of several measurements.
pub struct Sample {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Sample {
    /// The quartiles of at least one value.
    pub fn of(mut values: Vec<f64>) -> Sample {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        Sample {
            low: values[last / 4],
            median: values[last / 2],
            high: values[last - last / 4],
        }
    }
}

/// A process that is killed when the value is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program with an empty environment, no input and discarded output.
pub fn quiet(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// hookfire with the given journal.
pub fn hookfire(home: &Path, journal: &Path) -> Command {
    let mut command = quiet(HOOKFIRE, home);
    command.env("HOOKFIRE_JOURNAL", journal);
    command
}

/// Milliseconds from the start of a process to its successful end.
pub fn milliseconds(command: &mut Command) -> Result<f64, BenchError> {
    let start = Instant::now();
    let status = command.status()?;
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    if !status.success() {
        return Err(format!("{command:?} exited with {status}").into());
    }
    Ok(elapsed)
}

/// Runs the commands in turn, `rounds` times each after one warm-up round; returns milliseconds per command.
pub fn in_turn(rounds: usize, commands: &mut [Command]) -> Result<Vec<Sample>, BenchError> {
    let mut times = vec![Vec::new(); commands.len()];
    for round in 0..=rounds {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            let ms = milliseconds(command)?;
            if round > 0 {
                times.push(ms);
            }
        }
    }
    Ok(times.into_iter().map(Sample::of).collect())
}

/// The median peak resident size of a command in megabytes, as GNU time (`gnu_time`) reports it.
pub fn peak_memory(gnu_time: &str, home: &Path, command: &Command) -> Result<f64, BenchError> {
    let report = home.join("peak");
    let mut peaks = Vec::new();
    for _ in 0..11 {
        let mut timed = quiet(gnu_time, home);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                timed.env(name, value);
            }
        }
        timed
            .args(["-f", "%M", "-o"])
            .arg(&report)
            .arg(command.get_program())
            .args(command.get_args());
        milliseconds(&mut timed)?;
        peaks.push(fs::read_to_string(&report)?.trim().parse::<f64>()? / 1024.0);
    }
    Ok(Sample::of(peaks).median)
}
