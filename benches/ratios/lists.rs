//! What a long journal costs: lists, a dry-run retry and a deletion, in a journal of ten thousand failed deliveries and in
//! one of a million.
//!
//! `failed import` fills the journals from a generated list.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::runs::{self, Sample};
use crate::table::{Goal, Row, Table, milliseconds};
use crate::{Bench, BenchError, event_numbered};

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
/// Deliveries per deletion.
const DELETED: usize = 1_000;

/// The commands, with the number of runs.
const COMMANDS: [(&str, usize, &[&str]); 4] = [
    (
        "`failed list --limit 50`",
        20,
        &["failed", "list", "--limit", "50"],
    ),
    (
        "`retry --dry-run --before T`, 50 of them",
        20,
        &["retry", "--dry-run", "--before", "2026-01-01T00:00:49Z"],
    ),
    (
        "`retry --all --max 50 --dry-run`",
        20,
        &["retry", "--all", "--max", "50", "--dry-run"],
    ),
    (
        "`retry --all --dry-run`",
        3,
        &["retry", "--all", "--dry-run"],
    ),
];

/// Measures each command in both journals.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), BenchError> {
    let home = bench.folder.path();
    let journals = [(FEW, home.join("few.db")), (MANY, home.join("many.db"))];
    for (number, journal) in &journals {
        let ms = import(home, journal, *number)?;
        crate::progress(&format!(
            "imported {number} deliveries, {:.0} per second",
            *number as f64 * 1e3 / ms
        ));
    }
    let [few, many] = journals.map(|(_, journal)| journal);
    for (what, rounds, arguments) in COMMANDS {
        let command = |journal: &PathBuf| {
            let mut command = runs::hookfire(home, journal);
            command.args(arguments);
            command
        };
        let samples = runs::in_turn(rounds, &mut [command(&few), command(&many)])?;
        push(table, what, &samples[0], &samples[1]);
    }
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for round in 1..=5 {
        of_few.push(runs::milliseconds(&mut deletion(home, &few, round))?);
        of_many.push(runs::milliseconds(&mut deletion(home, &many, round))?);
    }
    push(
        table,
        &format!("`failed delete --before T`, {DELETED} of them"),
        &Sample::of(of_few),
        &Sample::of(of_many),
    );
    Ok(())
}

fn push(table: &mut Table, what: &str, few: &Sample, many: &Sample) {
    table.push(Row {
        what: format!("{what}, of a million"),
        hookfire: milliseconds(many),
        rival: format!("of ten thousand: {}", milliseconds(few)),
        ratio: Some(many.median / few.median),
        goal: what
            .contains("failed list")
            .then(|| Goal::ms_at_most(20.0, 8.0, many.median)),
    });
}

/// The command that deletes the next oldest [`DELETED`].
fn deletion(home: &Path, journal: &Path, round: usize) -> Command {
    let mut command = runs::hookfire(home, journal);
    command.args([
        "failed",
        "delete",
        "--yes",
        "--before",
        &time(round * DELETED - 1),
    ]);
    command
}

/// The time of a failure: one per second.
fn time(number: usize) -> String {
    let first = jiff::Timestamp::constant(1_767_225_600, 0);
    let seconds = i64::try_from(number).unwrap_or(i64::MAX);
    first
        .saturating_add(jiff::SignedDuration::from_secs(seconds))
        .map_or_else(|e| e.to_string(), |time| time.to_string())
}

/// Fills a journal with failed deliveries; returns the milliseconds it took.
pub fn import(home: &Path, journal: &Path, number: usize) -> Result<f64, BenchError> {
    let start = std::time::Instant::now();
    let mut command = runs::hookfire(home, journal);
    let mut child = command
        .args(["failed", "import", "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut list = BufWriter::with_capacity(1 << 16, child.stdin.take().ok_or("stdin is piped")?);
    list.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<webhooks-failures>\n")?;
    for number in 0..number {
        let event = event_numbered(number);
        let event = event.split_once("?>").map_or("", |(_, event)| event);
        writeln!(
            list,
            "<webhooks-failure><id>{number:08x}-0000-4000-8000-000000000000</id><time>{}</time>\
             <error>503 Service Unavailable</error><url>http://127.0.0.1:9/hook</url>{event}</webhooks-failure>",
            time(number)
        )?;
    }
    list.write_all(b"</webhooks-failures>\n")?;
    drop(list.into_inner().map_err(|e| e.into_error())?);
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("the import exited with {status}").into());
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
