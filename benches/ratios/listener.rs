//! `hookfire listen` beside nginx: requests per second over 16 kept-alive connections, each stored before its response,
//! while nginx stores nothing; memory after 100,000 captures; response time beside hundreds of stalled clients.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::programs::Programs;
use crate::runs::{self, Running, Sample};
use crate::table::{Goal, Row, Table, milliseconds, per_second};
use crate::{Bench, BenchError, event_of_size};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 3;
const SECONDS: u32 = 4;
const CAPTURES: u64 = 100_000;
/// Far more than any run captures: nothing is deleted.
const KEEP_ALL: [&str; 2] = ["--keep", "100000000"];

/// Measures throughput, memory and response time.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), BenchError> {
    throughput(bench, table, 1_200, &[], [0.25, 0.45])?;
    throughput(bench, table, 264, &KEEP_ALL, [0.4, 0.55])?;
    let grown = memory_after_captures(&bench.programs, bench.folder.path())?;
    table.push(Row {
        what: format!("memory over start after {CAPTURES} captures"),
        hookfire: format!("{grown:.1} MB"),
        ..Row::default()
    });
    stalled_clients(bench, table)
}

/// Adds a row for bodies of `bytes`, with the goal's keep and aim.
fn throughput(
    bench: &Bench,
    table: &mut Table,
    bytes: usize,
    args: &[&str],
    [keep, aim]: [f64; 2],
) -> Result<(), BenchError> {
    let (programs, folder) = (&bench.programs, bench.folder.path());
    let body = event_of_size(bytes);
    let wrk = |url: &str| programs.wrk(folder, CONNECTIONS, SECONDS, url, &body);
    let (mut ours, mut nginx) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let endpoint = programs.serve(folder)?;
        nginx.push(wrk(&endpoint.http)?);
        drop(endpoint);
        let (_running, url) = listen(folder, args)?;
        ours.push(wrk(&format!("{url}/hook"))?);
    }
    let (ours, nginx) = (Sample::of(ours), Sample::of(nginx));
    let ratio = ours.median / nginx.median;
    let pruning = if args.is_empty() { ", pruning" } else { "" };
    table.push(Row {
        what: format!(
            "captures of {bytes} B over {CONNECTIONS} connections, stored before the response{pruning}"
        ),
        hookfire: per_second(&ours),
        rival: format!("nginx, storing nothing: {}", per_second(&nginx)),
        ratio: Some(ratio),
        goal: Some(Goal::ratio_at_least(keep, aim, ratio)),
    });
    Ok(())
}

/// Starts `hookfire listen` on a fresh journal; returns it with its URL.
fn listen(folder: &Path, args: &[&str]) -> Result<(Running, String), BenchError> {
    let journal = folder.join(format!("{}.db", fs::read_dir(folder)?.count()));
    listen_with(folder, &journal, args)
}

/// Starts `hookfire listen`; returns it with its URL. It prints one line per request.
pub fn listen_with(
    folder: &Path,
    journal: &Path,
    args: &[&str],
) -> Result<(Running, String), BenchError> {
    let ready = journal.with_extension("url");
    let mut command = runs::hookfire(folder, journal);
    command
        .args(["listen", "--port", "0", "--ready-file"])
        .arg(&ready)
        .args(args)
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdout = child.stdout.take().ok_or("stdout is piped")?;
    let running = Running(child);
    // The listener prints as it would into a pipeline that keeps up.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    for _ in 0..1_000 {
        if let Ok(url) = fs::read_to_string(&ready) {
            return Ok((running, url.trim().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the listener was not ready within ten seconds".into())
}

/// Megabytes of resident memory added by [`CAPTURES`] captures.
fn memory_after_captures(programs: &Programs, folder: &Path) -> Result<f64, BenchError> {
    let (running, url) = listen(folder, &KEEP_ALL)?;
    let resident = || -> Result<f64, BenchError> {
        let status = fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    let before = resident()?;
    let (url, body) = (format!("{url}/hook"), event_of_size(264));
    let mut captured = 0.0;
    for _ in 0..10 {
        if captured >= CAPTURES as f64 {
            return Ok(resident()? - before);
        }
        captured += f64::from(SECONDS) * programs.wrk(folder, CONNECTIONS, SECONDS, &url, &body)?;
    }
    Err(format!("only {captured} captures in ten rounds").into())
}

/// Compares the response time of a request on an idle listener with one that 400 half-sent heads and 200 stalled bodies
/// keep busy.
fn stalled_clients(bench: &Bench, table: &mut Table) -> Result<(), BenchError> {
    let (_running, url) = listen(bench.folder.path(), &[])?;
    let address = url.trim_start_matches("http://");
    let alone = response_times(address)?;
    let mut stalled = Vec::new();
    for number in 0..600 {
        let mut stream = TcpStream::connect(address)?;
        let half = if number < 400 {
            "GET / HTTP/1.1\r\nA:"
        } else {
            "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"
        };
        stream.write_all(half.as_bytes())?;
        stalled.push(stream);
    }
    let busy = response_times(address)?;
    table.push(Row {
        what: "response time beside 600 stalled clients".to_owned(),
        hookfire: milliseconds(&busy),
        rival: format!("without them: {}", milliseconds(&alone)),
        ratio: Some(busy.median / alone.median),
        goal: Some(Goal::ms_at_most(50.0, 10.0, busy.median)),
    });
    Ok(())
}

/// Milliseconds from connecting to the response, for 50 requests on new connections.
fn response_times(address: &str) -> Result<Sample, BenchError> {
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        if !response.starts_with(b"HTTP/1.1 200") {
            return Err("the listener did not respond 200".into());
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Sample::of(times))
}
