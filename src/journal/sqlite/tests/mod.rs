//! Tests of the SQLite journal, and their helpers: a temporary folder, a fake clock and fake processes.

mod bulk;
mod captures;
mod damage;
mod group_writer;
mod import;
mod leases;
mod lists;
mod lost;
mod machine;
mod many;
mod opening;
mod pages;
mod schedule;
mod sending;
mod upkeep;

use std::cell::Cell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::{SqliteJournal, schema};
use crate::delivery::payload::{Payload, PayloadKind};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Target;
use crate::delivery::{AttemptError, Delivery, ErrorKind, Outcome};
use crate::event::BodyFormat;
use crate::journal::sqlite;
use crate::journal::*;
use crate::time::UnixMs;

const T0: UnixMs = UnixMs(1_795_255_200_000);
const LEASE: Duration = Duration::from_secs(90);

thread_local! {
    /// The time on a thread, unless the host has its own.
    static NOW: Cell<UnixMs> = const { Cell::new(T0) };
}

/// The time so many seconds after the beginning of a test.
const fn at(seconds: i64) -> UnixMs {
    UnixMs(T0.0 + seconds * 1000)
}

/// A clock and processes that the test controls.
#[derive(Clone, Default)]
struct TestHost {
    dead: Arc<Mutex<HashSet<i64>>>,
    now: Arc<AtomicI64>,
}

struct TestProcess {
    host: TestHost,
    pid: i64,
    /// How much its wall clock is ahead of the lease clock, in milliseconds.
    ahead: i64,
}

impl Host for TestProcess {
    fn now(&self) -> UnixMs {
        UnixMs(self.lease_clock().0 + self.ahead)
    }

    fn lease_clock(&self) -> UnixMs {
        match self.host.now.load(Ordering::Relaxed) {
            0 => NOW.get(),
            now => UnixMs(now),
        }
    }

    fn lease_time_passed(&self, _: &str) -> UnixMs {
        self.lease_clock()
    }

    fn current(&self) -> String {
        format!("process {}", self.pid)
    }

    fn is_dead(&self, owner: &str) -> bool {
        let pid = owner.strip_prefix("process ").unwrap().parse().unwrap();
        self.host.dead.lock().unwrap().contains(&pid)
    }
}

impl TestHost {
    fn process(&self, pid: i64) -> Box<dyn Host> {
        Box::new(TestProcess {
            host: self.clone(),
            pid,
            ahead: 0,
        })
    }

    /// A process with a wall clock that is ahead.
    fn process_ahead(&self, pid: i64, by: Duration) -> Box<dyn Host> {
        Box::new(TestProcess {
            host: self.clone(),
            pid,
            ahead: by.as_millis() as i64,
        })
    }

    fn kill(&self, pid: i64) {
        self.dead.lock().unwrap().insert(pid);
    }
}

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
        SqliteJournal::open(&self.path(), self.host.process(pid)).unwrap()
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

    /// A separate SQLite connection to the same file.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

fn open(path: &Path) -> Result<SqliteJournal, JournalError> {
    SqliteJournal::open(path, TestHost::default().process(1))
}

/// An attempt that begins at this time.
struct Starting {
    at: UnixMs,
    attempt: NewAttempt,
}

fn attempt(at: UnixMs) -> Starting {
    Starting {
        at,
        attempt: NewAttempt {
            insecure: false,
            sent_to: None,
            lease: LEASE,
        },
    }
}

fn new_delivery(event: &[u8]) -> NewDelivery {
    NewDelivery {
        payload: Payload::unchecked_event("account", "created", event),
        endpoint: None,
        target: Target::from_url("https://example.com/hook").unwrap(),
        retry_policy: RetryPolicy::default(),
    }
}

/// An event that is sent in a form.
fn in_a_form(event: &[u8]) -> Payload {
    Payload {
        kind: PayloadKind::Event(BodyFormat::Form),
        ..Payload::unchecked_event("user", "created", event)
    }
}

/// Another attempt at this time. Use it with [`SqliteJournal::finish_attempt`], which sets the clock to the epoch, so
/// that delays are times.
const fn retry(due: UnixMs, lease_until: UnixMs) -> NextStep {
    NextStep::Retry {
        delay: Duration::from_millis(due.0 as u64),
        lease: Duration::from_millis(lease_until.0 as u64),
    }
}

/// As [`retry`], but any process may make the attempt.
const fn scheduled_at(due: UnixMs) -> NextStep {
    NextStep::Scheduled {
        delay: Duration::from_millis(due.0 as u64),
    }
}

fn accept(journal: &SqliteJournal, started_at: UnixMs) -> Delivery {
    accept_event(journal, started_at, b"<event/>")
}

fn accept_event(journal: &SqliteJournal, started_at: UnixMs, event: &[u8]) -> Delivery {
    journal
        .accept(&new_delivery(event), &attempt(started_at))
        .unwrap()
}

fn success() -> Outcome {
    Outcome {
        http_status: Some(200),
        error: None,
        maybe_received: false,
        response_headers: Vec::new(),
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

/// Methods that commit one write at a given time.
impl SqliteJournal {
    fn dynamic(&self) -> &dyn Journal {
        self
    }

    fn set_lock_timeout(&mut self, timeout: Duration) -> rusqlite::Result<()> {
        self.timeout = timeout;
        self.conn.busy_timeout(timeout)
    }

    fn scheduled_ids(&self) -> Vec<i64> {
        let list = DeliveryList::Scheduled;
        self.ids(&Query {
            list,
            ..Query::all(None)
        })
        .unwrap()
    }

    fn is_scheduled(&self, id: i64) -> bool {
        self.delivery(id).unwrap().unwrap().is_scheduled()
    }

    fn commit_at(&self, now: UnixMs, write: Write) -> Result<WriteResult, JournalError> {
        NOW.set(now);
        let committed = self.commit(&[write]);
        NOW.set(T0);
        Ok(committed?.pop().unwrap())
    }

    fn accept(&self, new: &NewDelivery, first: &Starting) -> Result<Delivery, JournalError> {
        let write = Write::Accept(new.clone(), first.attempt.clone());
        match self.commit_at(first.at, write)? {
            WriteResult::Delivery(delivery) => Ok(*delivery),
            other => panic!("{other:?}"),
        }
    }

    fn ignore(
        &self,
        new: &NewDelivery,
        by: crate::delivery::switches::Switch,
        now: UnixMs,
    ) -> Result<Delivery, JournalError> {
        match self.commit_at(now, Write::Ignore(new.clone(), by))? {
            WriteResult::Delivery(delivery) => Ok(*delivery),
            other => panic!("{other:?}"),
        }
    }

    /// The attempt's number, if it began.
    fn begin_attempt(
        &self,
        id: i64,
        condition: ClaimCondition,
        starting: &Starting,
    ) -> Result<Option<u32>, JournalError> {
        let attempt = starting.attempt.clone();
        let claim = Claim {
            id,
            condition,
            attempt,
        };
        Ok(match self.commit_at(starting.at, Write::Begin(claim))? {
            WriteResult::Claimed(number) => Some(number),
            WriteResult::Refused => None,
            other => panic!("{other:?}"),
        })
    }

    /// Returns false if the attempt does not exist. Sets the clock to the epoch, so that delays are times.
    fn finish_attempt(
        &self,
        id: i64,
        number: u32,
        duration: Duration,
        outcome: &Outcome,
        next: NextStep,
    ) -> Result<bool, JournalError> {
        let result = AttemptResult {
            id,
            number,
            sent_after: Duration::ZERO,
            duration,
            outcome: Arc::new(outcome.clone()),
            next,
        };
        let result = self.commit_at(UnixMs(0), Write::Finish(result))?;
        Ok(!matches!(result, WriteResult::Deleted))
    }

    fn renew(&self, id: i64, until: UnixMs) -> Result<bool, JournalError> {
        let renew = Write::Renew {
            ids: vec![id],
            lease: until.since(UnixMs(0)),
        };
        let renewed = self.commit_at(UnixMs(0), renew)?;
        Ok(matches!(renewed, WriteResult::Renewed(ids) if ids == [id]))
    }

    fn interrupt(&self, id: i64) -> Result<(), JournalError> {
        self.commit_at(T0, Write::Release(vec![id])).map(drop)
    }

    fn release_dead(&self, now: UnixMs) -> Result<usize, JournalError> {
        NOW.set(now);
        let released = self.interrupt_abandoned();
        NOW.set(T0);
        released
    }

    fn due(
        &self,
        now: UnixMs,
        after: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError> {
        NOW.set(now);
        let due = self.due_page(after, limit, url);
        NOW.set(T0);
        due
    }

    fn next_due_after(&self, now: UnixMs) -> Result<Option<UnixMs>, JournalError> {
        NOW.set(now);
        let due = self.next_due();
        NOW.set(T0);
        Ok(due?.map(|(at, _)| at))
    }

    fn postpone(&self, seen: DeliveryVersion, due: UnixMs) -> Result<bool, JournalError> {
        self.reschedule(seen, due.since(self.now()))
    }

    fn ids(&self, query: &Query) -> Result<Vec<i64>, JournalError> {
        Ok(self
            .delivery_versions(query)?
            .iter()
            .map(|seen| seen.id)
            .collect())
    }

    fn delete_ids(
        &self,
        ids: &[i64],
        statuses: &[crate::delivery::Status],
    ) -> Result<usize, JournalError> {
        let mut seen = self.delivery_versions(&Query::all(None))?;
        seen.retain(|seen| ids.contains(&seen.id));
        self.dynamic().delete(&seen, statuses)
    }

    /// SQLite's query plan for a list.
    fn plan(&self, query: &Query, after: Option<Cursor>) -> String {
        let page = sqlite::deliveries::BoundSql::page("*", query, after, Some(50));
        let mut statement = self
            .conn
            .prepare(&format!("EXPLAIN QUERY PLAN {}", page.sql))
            .unwrap();
        let steps = statement
            .query_map(rusqlite::params_from_iter(&page.values), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }
}
