//! The journal's tests, and what they share: a folder of their own, processes that live or die as told, and no clock.

mod captures;
mod checkpoint;
mod damage;
mod import;
mod leases;
mod ledger;
mod lists;
mod machine;
mod many;
mod opening;
mod pages;
mod schedule;
mod sending;
mod upkeep;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::SqliteJournal;
use super::schema::{APPLICATION_ID, MIGRATIONS};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Target;
use crate::delivery::{AttemptError, Delivery, ErrorKind, Outcome};
use crate::event::BodyFormat;
use crate::journal::store::{
    Deliveries, Intent, Liveness, NewAttempt, NewDelivery, ProcessId, Processes, Store,
};
use crate::time::UnixMs;

const T0: UnixMs = UnixMs(1_795_255_200_000);
const LEASE: Duration = Duration::from_secs(90);

/// Some time after the beginning of a test.
fn at(seconds: i64) -> UnixMs {
    UnixMs(T0.0 + seconds * 1000)
}

/// Processes whose fates the test decides; whoever it says nothing about is alive.
#[derive(Clone, Default)]
struct Host {
    fates: Arc<Mutex<HashMap<i64, Liveness>>>,
    now: Arc<AtomicI64>,
}

struct HostProcess {
    host: Host,
    pid: i64,
}

impl Processes for HostProcess {
    fn now(&self) -> UnixMs {
        UnixMs(self.host.now.load(Ordering::Relaxed))
    }

    fn current(&self) -> ProcessId {
        ProcessId {
            host: "test".to_owned(),
            pid: self.pid,
            started: 7,
        }
    }

    fn liveness(&self, process: &ProcessId) -> Liveness {
        assert_eq!(
            (process.host.as_str(), process.started),
            ("test", 7),
            "an owner must come back as it was kept"
        );
        self.host
            .fates
            .lock()
            .unwrap()
            .get(&process.pid)
            .copied()
            .unwrap_or(Liveness::Alive)
    }
}

impl Host {
    fn process(&self, pid: i64) -> Box<dyn Processes> {
        Box::new(HostProcess {
            host: self.clone(),
            pid,
        })
    }

    fn fate(&self, pid: i64, fate: Liveness) {
        self.fates.lock().unwrap().insert(pid, fate);
    }
}

/// A folder with one journal in it.
struct Bench {
    folder: TempDir,
    host: Host,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().unwrap(),
            host: Host::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn open(&self, pid: i64) -> SqliteJournal {
        SqliteJournal::open(&self.path(), self.host.process(pid)).unwrap()
    }

    /// Without waiting for the disk, where a test makes many commits and is not about their durability.
    fn open_fast(&self, pid: i64) -> SqliteJournal {
        let journal = self.open(pid);
        journal
            .conn
            .pragma_update(None, "synchronous", "OFF")
            .unwrap();
        journal
    }

    /// A connection beside the journal's own.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

fn open(path: &Path) -> Result<SqliteJournal, crate::journal::store::JournalError> {
    SqliteJournal::open(path, Host::default().process(1))
}

fn attempt(started_at: UnixMs) -> NewAttempt<'static> {
    NewAttempt {
        started_at,
        insecure: false,
        sent_to: None,
        lease_until: started_at.plus(LEASE),
    }
}

fn intent(started_at: UnixMs) -> Intent {
    Intent {
        started_at,
        insecure: false,
        sent_to: None,
        lease_until: started_at.plus(LEASE),
    }
}

/// One that no journal has yet.
fn new_delivery(now: UnixMs) -> Box<Delivery> {
    let target = Target::from_url("https://example.com/hook").unwrap();
    let rule = RetryPolicy::default();
    let new = NewDelivery {
        event_type: "account",
        action: "created",
        event: b"",
        endpoint: None,
        target: &target,
        wire: BodyFormat::Xml,
        rule: &rule,
    };
    Box::new(new.accepted(now))
}

fn accept(journal: &SqliteJournal, started_at: UnixMs) -> Delivery {
    accept_event(journal, started_at, b"<event/>")
}

fn accept_event(journal: &SqliteJournal, started_at: UnixMs, event: &[u8]) -> Delivery {
    let target = Target::from_url("https://example.com/hook").unwrap();
    let new = NewDelivery {
        event_type: "account",
        action: "created",
        event,
        endpoint: None,
        target: &target,
        wire: BodyFormat::Xml,
        rule: &RetryPolicy::default(),
    };
    journal.accept(&new, &attempt(started_at)).unwrap()
}

fn success() -> Outcome {
    Outcome {
        http_status: Some(200),
        error: None,
        maybe_received: false,
        response_body: Some(b"ok".to_vec()),
        note: None,
    }
}

fn refusal(status: u16) -> Outcome {
    let error = AttemptError {
        kind: ErrorKind::Status,
        message: status.to_string(),
    };
    Outcome {
        http_status: Some(status),
        error: Some(error),
        ..success()
    }
}

/// A journal as an older version of the program left it, with the delivery 7, one attempt of it, and 9, which was deleted.
fn older(version: usize) -> Bench {
    let bench = Bench::new();
    let old = bench.raw();
    old.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
        .unwrap();
    MIGRATIONS[..version]
        .iter()
        .for_each(|migration| old.execute_batch(migration).unwrap());
    old.pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    old.pragma_update(None, "user_version", version as i64)
        .unwrap();
    old.execute_batch(
        "INSERT INTO deliveries (id, uuid, type, action, url, params, headers, retries, retry_interval_ms, success,
             status, created_at, event)
         VALUES (7, 'u', 'account', 'created', 'https://example.com/', '[]', '[]', 5, 60000, '200', 'failed', 1, x'3c');
         INSERT INTO attempts (delivery_id, number, started_at, insecure) VALUES (7, 1, 1, 0);
         INSERT INTO deliveries (id, uuid, type, action, url, params, headers, retries, retry_interval_ms, success,
             status, created_at, event)
         SELECT 9, uuid, type, action, url, params, headers, retries, retry_interval_ms, success, status, created_at,
             event FROM deliveries;
         DELETE FROM deliveries WHERE id = 9",
    )
    .unwrap();
    drop(old);
    bench
}

/// The frames of a write-ahead log: where each ends, and whether it ends a commit.
fn wal_frames(wal: &[u8]) -> Vec<(usize, bool)> {
    let number = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    if wal.is_empty() {
        return Vec::new();
    }
    let (page, salts) = (number(8) as usize, &wal[16..24]);
    let mut frames = Vec::new();
    let mut start = 32;
    // Frames of an earlier round of the log have other salts.
    while start + 24 + page <= wal.len() && &wal[start + 8..start + 16] == salts {
        frames.push((start + 24 + page, number(start + 4) != 0));
        start += 24 + page;
    }
    frames
}

fn commits_in_wal(journal: &Path) -> usize {
    let wal = std::fs::read(beside(journal, "-wal")).unwrap();
    wal_frames(&wal)
        .iter()
        .filter(|(_, commit)| *commit)
        .count()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl SqliteJournal {
    fn ids(&self, query: &super::Query) -> Result<Vec<i64>, crate::journal::store::JournalError> {
        Ok(self.seen(query)?.iter().map(|seen| seen.id).collect())
    }

    /// Deletes as somebody does who has just looked.
    fn delete_ids(
        &self,
        ids: &[i64],
        statuses: &[crate::delivery::Status],
    ) -> Result<usize, crate::journal::store::JournalError> {
        let mut seen = self.seen(&super::Query::all(None))?;
        seen.retain(|seen| ids.contains(&seen.id));
        self.delete(&seen, statuses)
    }
}
