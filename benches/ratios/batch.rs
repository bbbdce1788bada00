//! `hookfire fire --batch` beside wrk, which sends one request over and over and writes nothing down, and beside a curl for
//! each event.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::runs::{self, Sample};
use crate::table::{Aim, Row, Table, rate};
use crate::{Bench, Failure, object_numbered};

/// Events of a batch.
const EVENTS: usize = 10_000;
/// Events that curl gets, which takes a process for each.
const FEWER: usize = 1_000;
const ROUNDS: usize = 3;

/// Measures deliveries a second.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), Failure> {
    let home = bench.folder.path();
    let endpoint = bench.rivals.serve(home)?;
    let events = home.join("events.ndjson");
    let mut file = std::io::BufWriter::new(fs::File::create(&events)?);
    for number in 0..EVENTS {
        let object = object_numbered(number);
        writeln!(
            file,
            r#"{{"type":"application","action":"created","object":"{object}"}}"#
        )?;
    }
    file.flush()?;
    drop(file);
    let (mut ours, mut wrk, mut curl) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        wrk.push(bench.rivals.wrk(home, 8, 2, &endpoint.http)?);
        let mut batch = runs::hookfire(home, &home.join(format!("batch-{round}.db")));
        batch
            .args(["fire", "--jobs", "8", "--url", &endpoint.http, "--batch"])
            .arg(&events);
        ours.push(per_second(EVENTS, runs::milliseconds(&mut batch)?));
        curl.push(curl_each(bench, &endpoint.http)?);
    }
    let [ours, wrk, curl] = [ours, wrk, curl].map(Sample::of);
    let what =
        format!("batch of {EVENTS}, 8 at once, each written down before it is sent and after");
    let ratio = ours.median / wrk.median;
    let aim = Some(Aim::ratio_at_least(0.15, ratio));
    let theirs = format!("`wrk -c8`: {}", rate(&wrk));
    table.push(Row {
        what: what.clone(),
        ours: rate(&ours),
        theirs,
        ratio: Some(ratio),
        aim,
    });
    let (theirs, ratio) = (
        format!("`xargs -P8 curl`: {}", rate(&curl)),
        ours.median / curl.median,
    );
    table.push(Row {
        what,
        ours: rate(&ours),
        theirs,
        ratio: Some(ratio),
        aim: None,
    });
    Ok(())
}

fn per_second(events: usize, milliseconds: f64) -> f64 {
    events as f64 * 1e3 / milliseconds
}

/// Events a second that `xargs -P8 curl` gets through, one process each.
fn curl_each(bench: &Bench, url: &str) -> Result<f64, Failure> {
    let numbers = bench.folder.path().join("numbers");
    fs::write(
        &numbers,
        (0..FEWER)
            .map(|number| format!("{number}\n"))
            .collect::<String>(),
    )?;
    let mut xargs = runs::quiet(&bench.rivals.xargs, bench.folder.path());
    xargs.args([
        "-P8",
        "-I{}",
        &bench.rivals.curl,
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
    Ok(per_second(FEWER, runs::milliseconds(&mut xargs)?))
}
