//! Running programs and measuring them: in turn, so that whatever else the machine does meets all of them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::{Failure, HOOKFIRE};

/// What several runs took, or how many requests a second they did.
pub struct Sample {
    /// A quarter is below.
    pub low: f64,
    /// Half is below.
    pub median: f64,
    /// A quarter is above.
    pub high: f64,
}

impl Sample {
    /// Of at least one value.
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

/// A process that ends with its value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program with nothing of this user's around it, and nobody who reads what it says.
pub fn quiet(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// hookfire with a journal.
pub fn hookfire(home: &Path, journal: &Path) -> Command {
    let mut command = quiet(HOOKFIRE, home);
    command.env("HOOKFIRE_JOURNAL", journal);
    command
}

/// Milliseconds from the start of a command to its end, which is to be a success.
pub fn milliseconds(command: &mut Command) -> Result<f64, Failure> {
    let begun = Instant::now();
    let status = command.status()?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    if status.success() {
        Ok(took)
    } else {
        Err(format!("{command:?} ended with {status}").into())
    }
}

/// What each of these takes, one run of each after the other, again and again. A first round only warms up.
pub fn in_turn(rounds: usize, commands: &mut [Command]) -> Result<Vec<Sample>, Failure> {
    let mut took = vec![Vec::new(); commands.len()];
    for round in 0..=rounds {
        for (command, took) in commands.iter_mut().zip(&mut took) {
            let ms = milliseconds(command)?;
            if round > 0 {
                took.push(ms);
            }
        }
    }
    Ok(took.into_iter().map(Sample::of).collect())
}

/// The most memory that a command ever had at once, in megabytes, the median of a few runs. GNU time asks the kernel for it,
/// and is itself too small to be taken for the command.
pub fn peak_memory(time: &str, home: &Path, command: &Command) -> Result<f64, Failure> {
    let told = home.join("peak");
    let mut peaks = Vec::new();
    for _ in 0..11 {
        let mut timed = quiet(time, home);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                timed.env(name, value);
            }
        }
        timed
            .args(["-f", "%M", "-o"])
            .arg(&told)
            .arg(command.get_program())
            .args(command.get_args());
        milliseconds(&mut timed)?;
        peaks.push(fs::read_to_string(&told)?.trim().parse::<f64>()? / 1024.0);
    }
    Ok(Sample::of(peaks).median)
}
