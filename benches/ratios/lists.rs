//! What a long journal costs those who look into it: the failed list, a retry that is only shown, and a deletion, in a journal
//! of ten thousand deliveries and in one of a million, all of them failed, which is as bad as it gets.
//!
//! The journals are made by `failed import` of a list that is never on the disk.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::runs::{self, Sample};
use crate::table::{Aim, Row, Table, milliseconds};
use crate::{Bench, Failure, event_numbered};

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
/// Deliveries of each deletion.
const DELETED: usize = 1_000;

/// What is looked at, with how many runs it gets.
const LOOKS: [(&str, usize, &[&str]); 4] = [
    (
        "`failed list --limit 50`",
        20,
        &["failed", "list", "--limit", "50"],
    ),
    (
        "`retry --dry-run --before T`, which is 50",
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

/// Measures each in both journals.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), Failure> {
    let home = bench.folder.path();
    let journals = [(FEW, home.join("few.db")), (MANY, home.join("many.db"))];
    for (number, journal) in &journals {
        let took = import(home, journal, *number)?;
        crate::tell(&format!(
            "a journal of {number} deliveries, {:.0} a second",
            *number as f64 * 1e3 / took
        ));
    }
    let [few, many] = journals.map(|(_, journal)| journal);
    for (what, rounds, arguments) in LOOKS {
        let look = |journal: &PathBuf| {
            let mut command = runs::hookfire(home, journal);
            command.args(arguments);
            command
        };
        let samples = runs::in_turn(rounds, &mut [look(&few), look(&many)])?;
        push(table, what, &samples[0], &samples[1]);
    }
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for round in 1..=5 {
        of_few.push(runs::milliseconds(&mut deletion(home, &few, round))?);
        of_many.push(runs::milliseconds(&mut deletion(home, &many, round))?);
    }
    push(
        table,
        &format!("`failed delete --before T`, which is {DELETED}"),
        &Sample::of(of_few),
        &Sample::of(of_many),
    );
    Ok(())
}

fn push(table: &mut Table, what: &str, few: &Sample, many: &Sample) {
    table.push(Row {
        what: format!("{what}, of a million"),
        ours: milliseconds(many),
        theirs: format!("of ten thousand: {}", milliseconds(few)),
        ratio: Some(many.median / few.median),
        aim: what
            .contains("failed list")
            .then(|| Aim::at_most_ms(20.0, many.median)),
    });
}

/// Deletes the next oldest.
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

/// One failure a second.
fn time(number: usize) -> String {
    let start = jiff::Timestamp::constant(1_767_225_600, 0);
    let seconds = i64::try_from(number).unwrap_or(i64::MAX);
    start
        .saturating_add(jiff::SignedDuration::from_secs(seconds))
        .map_or_else(|e| e.to_string(), |time| time.to_string())
}

/// A journal with so many failed deliveries; tells the milliseconds that it took.
fn import(home: &Path, journal: &Path, number: usize) -> Result<f64, Failure> {
    let begun = std::time::Instant::now();
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
        return Err(format!("the import ended with {status}").into());
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
