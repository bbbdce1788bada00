//! `hookfire fire --batch` beside wrk, which repeats one request and stores nothing, and beside one curl process per event.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::runs::{self, Sample};
use crate::table::{Goal, Row, Table, per_second};
use crate::{Bench, BenchError, event_of_size, object_numbered};

/// Events in the batch.
pub const EVENTS: usize = 10_000;
/// Events sent by curl, which needs a process for each.
const CURL_EVENTS: usize = 1_000;
const ROUNDS: usize = 3;

/// Measures deliveries per second.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), BenchError> {
    let home = bench.folder.path();
    let endpoint = bench.programs.serve(home)?;
    let events = write_events(home)?;
    let (mut ours, mut wrk, mut curl) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        wrk.push(
            bench
                .programs
                .wrk(home, 8, 2, &endpoint.http, &event_of_size(340))?,
        );
        let mut batch = runs::hookfire(home, &home.join(format!("batch-{round}.db")));
        batch
            .args(["fire", "--jobs", "8", "--url", &endpoint.http, "--batch"])
            .arg(&events);
        ours.push(rate(EVENTS, runs::milliseconds(&mut batch)?));
        curl.push(curl_each(bench, &endpoint.http)?);
    }
    let [ours, wrk, curl] = [ours, wrk, curl].map(Sample::of);
    let what = format!("batch of {EVENTS}, 8 at once, each event and outcome committed durably");
    let ratio = ours.median / wrk.median;
    table.push(Row {
        what: what.clone(),
        hookfire: per_second(&ours),
        rival: format!("`wrk -c8`: {}", per_second(&wrk)),
        ratio: Some(ratio),
        goal: Some(Goal::ratio_at_least(0.14, 0.25, ratio)),
    });
    table.push(Row {
        what,
        hookfire: per_second(&ours),
        rival: format!("`xargs -P8 curl`: {}", per_second(&curl)),
        ratio: Some(ours.median / curl.median),
        goal: None,
    });
    Ok(())
}

/// Writes the lines of the batch to a file.
pub fn write_events(folder: &Path) -> Result<PathBuf, BenchError> {
    let events = folder.join("events.ndjson");
    let mut file = std::io::BufWriter::new(fs::File::create(&events)?);
    for number in 0..EVENTS {
        let object = object_numbered(number);
        writeln!(
            file,
            r#"{{"type":"application","action":"created","object":"{object}"}}"#
        )?;
    }
    file.flush()?;
    Ok(events)
}

pub fn rate(events: usize, milliseconds: f64) -> f64 {
    events as f64 * 1e3 / milliseconds
}

/// Events per second that `xargs -P8 curl` sends, one process each.
fn curl_each(bench: &Bench, url: &str) -> Result<f64, BenchError> {
    let numbers = bench.folder.path().join("numbers");
    fs::write(
        &numbers,
        (0..CURL_EVENTS)
            .map(|number| format!("{number}\n"))
            .collect::<String>(),
    )?;
    let mut xargs = runs::quiet(&bench.programs.xargs, bench.folder.path());
    xargs.args([
        "-P8",
        "-I{}",
        &bench.programs.curl,
        "-s",
        "-f",
        "-H",
        "Content-Type: application/xml",
        "--data-binary",
    ]);
    xargs
        .arg(format!("@{}", bench.event.display()))
        .arg(url)
        .stdin(Stdio::from(fs::File::open(numbers)?));
    Ok(rate(CURL_EVENTS, runs::milliseconds(&mut xargs)?))
}
