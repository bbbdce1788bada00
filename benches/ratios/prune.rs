//! What a bulk deletion costs others: `journal prune` of a million deliveries while a listener captures as much as it can
//! and `fire` runs again and again.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::table::{Goal, Row, Table};
use crate::{Bench, BenchError, event_of_size, listener, runs};

const DELIVERIES: u64 = 1_000_000;
const CONNECTIONS: usize = 4;
const SECONDS: u32 = 2;
/// How long the waits without a prune are measured.
const WITHOUT: Duration = Duration::from_secs(10);

/// What other processes notice.
struct Noticed {
    /// Milliseconds until each of many short transactions got the lock, sorted.
    waits: Vec<f64>,
    largest_wal: u64,
    /// The longest run of `hookfire fire`, in milliseconds.
    slowest_fire: f64,
}

impl Noticed {
    fn longest_wait(&self) -> f64 {
        self.waits.last().copied().unwrap_or_default()
    }

    fn waits(&self) -> String {
        let p99 = self.waits[self.waits.len() * 99 / 100];
        let longest = self.longest_wait();
        format!("{longest:.0} ms (99th percentile {p99:.0} ms)")
    }
}

/// Measures how long others wait, and how long the WAL gets, without and with the prune.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), BenchError> {
    let folder = bench.folder.path();
    let journal = folder.join("prune.db");
    let endpoint = bench.programs.serve(folder)?;
    let fire = || {
        let mut fire = runs::hookfire(folder, &journal);
        fire.args(["fire", "--url", &endpoint.http, "--event"])
            .arg(&bench.event);
        fire
    };
    runs::milliseconds(&mut fire())?;
    fill(&journal)?;
    let (_running, url) = listener::listen_with(folder, &journal, &[])?;
    let (url, body) = (format!("{url}/hook"), event_of_size(1_200));
    let load = || {
        let programs = &bench.programs;
        let rate = programs.wrk(folder, CONNECTIONS, SECONDS, &url, &body);
        rate.map(drop)
    };
    let without = beside(&journal, &load, &mut fire(), &|| {
        std::thread::sleep(WITHOUT);
        Ok(())
    })?;
    let start = Instant::now();
    let with = beside(&journal, &load, &mut fire(), &|| {
        let mut prune = runs::hookfire(folder, &journal);
        prune.args(["journal", "prune", "--older-than", "0s", "--yes"]);
        runs::milliseconds(&mut prune).map(drop)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let what = "while a million deliveries are pruned beside a listener under load";
    let longest = with.longest_wait();
    table.push(Row {
        what: format!("longest wait for the journal's lock, tried every ms, {what}"),
        hookfire: with.waits(),
        rival: format!("without the prune: {}", without.waits()),
        ratio: Some(longest / without.longest_wait()),
        goal: Some(Goal::ms_at_most(300.0, 150.0, longest)),
    });
    let mb = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    table.push(Row {
        what: format!("largest write-ahead log {what}"),
        hookfire: format!("{:.0} MB", mb(with.largest_wal)),
        rival: format!("without the prune: {:.0} MB", mb(without.largest_wal)),
        goal: Some(Goal::mb_at_most(64.0, 32.0, mb(with.largest_wal))),
        ..Row::default()
    });
    table.push(Row {
        what: format!("slowest of many `fire` {what}, {seconds:.0} s"),
        hookfire: format!("{:.0} ms", with.slowest_fire),
        rival: format!("without the prune: {:.0} ms", without.slowest_fire),
        ratio: Some(with.slowest_fire / without.slowest_fire),
        ..Row::default()
    });
    Ok(())
}

/// Copies the journal's only delivery, with its attempt, until there are [`DELIVERIES`].
fn fill(journal: &Path) -> Result<(), BenchError> {
    let journal = Connection::open(journal)?;
    journal.execute_batch(&format!(
        "BEGIN;
         CREATE TEMP TABLE copies AS
             WITH RECURSIVE ids (copy) AS (VALUES (2) UNION ALL SELECT copy + 1 FROM ids WHERE copy < {DELIVERIES})
             SELECT copy FROM ids;
         CREATE TEMP TABLE delivery AS SELECT * FROM deliveries;
         CREATE TEMP TABLE attempt AS SELECT * FROM attempts;
         {}
         {}
         DROP TABLE copies; DROP TABLE delivery; DROP TABLE attempt;
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE);",
        copy_rows(&journal, "deliveries", "delivery", &[("id", "copy"), ("uuid", "printf('%08x', copy)")])?,
        copy_rows(&journal, "attempts", "attempt", &[("delivery_id", "copy")])?,
    ))?;
    Ok(())
}

/// The statement that inserts a copy of the row in `from` for each number in `copies`.
fn copy_rows(
    journal: &Connection,
    into: &str,
    from: &str,
    changed: &[(&str, &str)],
) -> Result<String, BenchError> {
    let columns: Vec<String> = journal
        .prepare(&format!("SELECT name FROM pragma_table_info('{into}')"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let values = columns.iter().map(|column| {
        let value = changed.iter().find(|(name, _)| name == column);
        value.map_or(column.as_str(), |(_, value)| value)
    });
    let values: Vec<&str> = values.collect();
    Ok(format!(
        "INSERT INTO {into} ({}) SELECT {} FROM copies JOIN {from};",
        columns.join(", "),
        values.join(", ")
    ))
}

/// Runs `work` while `load` and `fire` run again and again, and measures.
fn beside(
    journal: &Path,
    load: &(dyn Fn() -> Result<(), BenchError> + Sync),
    fire: &mut std::process::Command,
    work: &dyn Fn() -> Result<(), BenchError>,
) -> Result<Noticed, BenchError> {
    let ended = AtomicBool::new(false);
    let is_over = || ended.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !is_over() {
                load().map_err(|e| e.to_string())?;
            }
            Ok(())
        });
        let waits = scope.spawn(|| waits(journal, &is_over).map_err(|e| e.to_string()));
        let wal = scope.spawn(|| Ok(largest_wal(journal, &is_over)));
        let fires = scope.spawn(|| {
            let mut slowest: f64 = 0.0;
            while !is_over() {
                let ms = runs::milliseconds(fire).map_err(|e| e.to_string())?;
                slowest = slowest.max(ms);
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(slowest)
        });
        let done = work();
        ended.store(true, Ordering::Relaxed);
        let noticed = Noticed {
            waits: joined(waits)?,
            largest_wal: joined(wal)?,
            slowest_fire: joined(fires)?,
        };
        joined(load)?;
        done.map(|()| noticed)
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, BenchError> {
    let result = thread.join().map_err(|_| "a thread panicked")?;
    Ok(result?)
}

/// Begins a short write transaction every 5 ms; returns the milliseconds until each had the lock, sorted. Tries every
/// millisecond: SQLite's own busy timeout tries every 100 ms after a while, and its luck would be measured.
fn waits(journal: &Path, is_over: &dyn Fn() -> bool) -> Result<Vec<f64>, rusqlite::Error> {
    let connection = Connection::open(journal)?;
    connection.busy_timeout(Duration::ZERO)?;
    let mut waits = Vec::new();
    while !is_over() {
        let start = Instant::now();
        while let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        waits.push(start.elapsed().as_secs_f64() * 1e3);
        connection.execute_batch("COMMIT")?;
        std::thread::sleep(Duration::from_millis(5));
    }
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

fn largest_wal(journal: &Path, is_over: &dyn Fn() -> bool) -> u64 {
    let wal = journal.with_extension("db-wal");
    let mut largest = 0;
    while !is_over() {
        largest = largest.max(fs::metadata(&wal).map_or(0, |wal| wal.len()));
        std::thread::sleep(Duration::from_millis(2));
    }
    largest
}
