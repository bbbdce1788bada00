//! The catcher beside nginx: requests a second over 16 kept-alive connections, each stored before it is answered, while nginx
//! stores nothing; and what 100,000 captures cost in memory.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::rivals::Rivals;
use crate::runs::{self, Running, Sample};
use crate::table::{Aim, Row, Table, rate};
use crate::{Bench, Failure};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 3;
const SECONDS: u32 = 4;
const CAPTURES: u64 = 100_000;

/// Measures requests a second, and memory.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), Failure> {
    let (rivals, folder) = (&bench.rivals, bench.folder.path());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let endpoint = rivals.serve(folder)?;
        theirs.push(rivals.wrk(folder, CONNECTIONS, SECONDS, &endpoint.http)?);
        drop(endpoint);
        let (_running, url) = listen(folder, &[])?;
        ours.push(rivals.wrk(folder, CONNECTIONS, SECONDS, &format!("{url}/hook"))?);
    }
    let (ours, theirs) = (Sample::of(ours), Sample::of(theirs));
    let ratio = ours.median / theirs.median;
    table.push(Row {
        what: format!(
            "requests caught over {CONNECTIONS} connections, each stored before it is answered"
        ),
        ours: rate(&ours),
        theirs: format!("nginx, storing nothing: {}", rate(&theirs)),
        ratio: Some(ratio),
        aim: Some(Aim::ratio_at_least(0.4, ratio)),
    });
    let grown = memory_after_captures(rivals, folder)?;
    let what = format!("memory over start after {CAPTURES} captures");
    table.push(Row {
        what,
        ours: format!("{grown:.1} MB"),
        theirs: String::new(),
        ratio: None,
        aim: None,
    });
    Ok(())
}

/// `hookfire listen` on a fresh journal, as it is without options, with its URL. It prints a line for each request.
fn listen(folder: &Path, args: &[&str]) -> Result<(Running, String), Failure> {
    let journal = folder.join(format!("{}.db", fs::read_dir(folder)?.count()));
    let ready = journal.with_extension("url");
    let mut command = runs::hookfire(folder, &journal);
    command
        .args(["listen", "--port", "0", "--ready-file"])
        .arg(&ready)
        .args(args)
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdout = child.stdout.take().ok_or("stdout is piped")?;
    let running = Running(child);
    // Whoever listens is to print as it would in a pipeline that keeps up.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    for _ in 0..1_000 {
        if let Ok(url) = fs::read_to_string(&ready) {
            return Ok((running, url.trim().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the listener did not get ready within ten seconds".into())
}

/// Megabytes of resident memory that came on top.
fn memory_after_captures(rivals: &Rivals, folder: &Path) -> Result<f64, Failure> {
    let (running, url) = listen(folder, &["--keep", "1000000"])?;
    let resident = || -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    let before = resident()?;
    let mut caught = 0.0;
    for _ in 0..10 {
        if caught >= CAPTURES as f64 {
            return Ok(resident()? - before);
        }
        caught += f64::from(SECONDS)
            * rivals.wrk(folder, CONNECTIONS, SECONDS, &format!("{url}/hook"))?;
    }
    Err(format!("only {caught} captures in ten rounds").into())
}
