//! Tests of the SQLite journal, and their helpers: a temporary folder, a fake clock and fake processes.

#![allow(clippy::duplicate_mod, reason = "each journal has its own helpers")]

mod bulk;
mod captures;
mod damage;
mod group_writer;
mod import;
mod leases;
mod lists;
mod lost;
mod many;
mod opening;
mod pages;
mod schedule;
mod sending;
mod upkeep;

// What every journal does.
#[path = "../../tests/captures.rs"]
mod captures_suite;
#[path = "../../tests/forwards.rs"]
mod forwards_suite;
#[path = "../../tests/import.rs"]
mod import_suite;
#[path = "../../tests/leases.rs"]
mod leases_suite;
#[path = "../../tests/lists.rs"]
mod lists_suite;
#[path = "../../tests/machine/mod.rs"]
mod machine;
#[path = "../../tests/pages.rs"]
mod pages_suite;
#[path = "../../tests/schedule.rs"]
mod schedule_suite;
#[path = "../../tests/sending.rs"]
mod sending_suite;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{SqliteJournal, schema};
use crate::journal::sqlite::rows::for_sqlite;
use crate::journal::statements;
use crate::journal::tests::support::*;

pub type TestJournal = SqliteJournal;

/// How many cases the test with a model has.
const MODEL_CASES: u32 = 128;

/// A folder with one journal in it.
struct Bench {
    folder: TempDir,
    host: TestHost,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().unwrap(),
            host: TestHost::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn open(&self, pid: i64) -> SqliteJournal {
        self.open_on(self.host.process(pid))
    }

    fn open_on(&self, host: Box<dyn Host>) -> SqliteJournal {
        SqliteJournal::open(&self.path(), host).unwrap()
    }

    fn boxed(&self, pid: i64) -> Box<dyn Journal> {
        Box::new(self.open_fast(pid))
    }

    /// Does not sync: for tests with many commits that do not test durability.
    fn open_fast(&self, pid: i64) -> SqliteJournal {
        let journal = self.open(pid);
        journal
            .conn
            .pragma_update(None, "synchronous", "OFF")
            .unwrap();
        journal
    }

    /// Deletes captures as the journal does not: those that must be kept too.
    fn lose_captures(&self) {
        self.raw().execute_batch("DELETE FROM captures").unwrap();
    }

    /// Locks the journal until the result is dropped.
    fn lock(&self) -> rusqlite::Connection {
        let lock = self.raw();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        lock
    }

    /// A separate SQLite connection to the same file.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

fn open(path: &Path) -> Result<SqliteJournal, JournalError> {
    SqliteJournal::open(path, TestHost::default().process(1))
}

/// The frames of a WAL: where each ends, and whether it ends a commit.
fn wal_frames(wal: &[u8]) -> Vec<(usize, bool)> {
    let number = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    if wal.is_empty() {
        return Vec::new();
    }
    let (page, salts) = (number(8) as usize, &wal[16..24]);
    let mut frames = Vec::new();
    let mut start = 32;
    // Frames from before the WAL was restarted have other salts.
    while start + 24 + page <= wal.len() && &wal[start + 8..start + 16] == salts {
        frames.push((start + 24 + page, number(start + 4) != 0));
        start += 24 + page;
    }
    frames
}

fn commits_in_wal(journal: &Path) -> usize {
    let wal = std::fs::read(with_suffix(journal, "-wal")).unwrap();
    wal_frames(&wal)
        .iter()
        .filter(|(_, commit)| *commit)
        .count()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl SqliteJournal {
    fn set_lock_timeout(&mut self, timeout: Duration) -> rusqlite::Result<()> {
        self.timeout = timeout;
        self.conn.busy_timeout(timeout)
    }

    /// SQLite's query plan for a list.
    fn plan(&self, query: &Query, after: Option<Cursor>) -> String {
        let page = statements::page("*", query, after, Some(50));
        let mut statement = self
            .conn
            .prepare(&format!("EXPLAIN QUERY PLAN {}", for_sqlite(&page.sql)))
            .unwrap();
        let steps = statement
            .query_map(rusqlite::params_from_iter(&page.values), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }
}
