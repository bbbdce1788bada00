//! Helpers of the journals' tests: a fake clock, fake processes, and methods that commit one write at a given time.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
pub use std::sync::{Arc, Mutex};
pub use std::time::Duration;

pub use crate::delivery::payload::{Payload, PayloadKind};
pub use crate::delivery::retry_policy::RetryPolicy;
pub use crate::delivery::target::Target;
pub use crate::delivery::{AttemptError, Delivery, ErrorKind, Outcome};
pub use crate::event::BodyFormat;
pub use crate::journal::*;
pub use crate::time::UnixMs;

pub const T0: UnixMs = UnixMs(1_795_255_200_000);
pub const LEASE: Duration = Duration::from_secs(90);

thread_local! {
    /// The time on a thread, unless the host has its own.
    pub static NOW: Cell<UnixMs> = const { Cell::new(T0) };
}

/// The time so many seconds after the beginning of a test.
pub const fn at(seconds: i64) -> UnixMs {
    UnixMs(T0.0 + seconds * 1000)
}

/// A clock and processes that the test controls.
#[derive(Clone, Default)]
pub struct TestHost {
    pub dead: Arc<Mutex<HashSet<i64>>>,
    pub now: Arc<AtomicI64>,
}

pub struct TestProcess {
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

    fn label(&self) -> String {
        format!("host{}/{}", self.pid % 10, self.pid)
    }

    fn is_dead(&self, owner: &str) -> bool {
        let pid = owner.strip_prefix("process ").unwrap().parse().unwrap();
        self.host.dead.lock().unwrap().contains(&pid)
    }
}

impl TestHost {
    pub fn process(&self, pid: i64) -> Box<dyn Host> {
        Box::new(TestProcess {
            host: self.clone(),
            pid,
            ahead: 0,
        })
    }

    /// A process with a wall clock that is ahead.
    pub fn process_ahead(&self, pid: i64, by: Duration) -> Box<dyn Host> {
        Box::new(TestProcess {
            host: self.clone(),
            pid,
            ahead: by.as_millis() as i64,
        })
    }

    pub fn kill(&self, pid: i64) {
        self.dead.lock().unwrap().insert(pid);
    }
}

/// An attempt that begins at this time.
pub struct Starting {
    pub at: UnixMs,
    pub attempt: NewAttempt,
}

pub fn attempt(at: UnixMs) -> Starting {
    Starting {
        at,
        attempt: NewAttempt {
            insecure: false,
            sent_to: None,
            lease: LEASE,
        },
    }
}

pub fn new_delivery(event: &[u8]) -> NewDelivery {
    NewDelivery {
        payload: Payload::unchecked_event("account", "created", event),
        endpoint: None,
        target: Target::from_url("https://example.com/hook").unwrap(),
        retry_policy: RetryPolicy::default(),
    }
}

/// An event that is sent in a form.
pub fn in_a_form(event: &[u8]) -> Payload {
    Payload {
        kind: PayloadKind::Event(BodyFormat::Form),
        ..Payload::unchecked_event("user", "created", event)
    }
}

/// Another attempt at this time. Use it with [`Steps::finish_attempt`], which sets the clock to the epoch, so
/// that delays are times.
pub const fn retry(due: UnixMs, lease_until: UnixMs) -> NextStep {
    NextStep::Retry {
        delay: Duration::from_millis(due.0 as u64),
        lease: Duration::from_millis(lease_until.0 as u64),
    }
}

/// As [`retry`], but any process may make the attempt.
pub const fn scheduled_at(due: UnixMs) -> NextStep {
    NextStep::Scheduled {
        delay: Duration::from_millis(due.0 as u64),
    }
}

pub fn accept(journal: &impl AsJournal, started_at: UnixMs) -> Delivery {
    accept_event(journal, started_at, b"<event/>")
}

pub fn accept_event(journal: &impl AsJournal, started_at: UnixMs, event: &[u8]) -> Delivery {
    journal
        .as_journal()
        .accept(&new_delivery(event), &attempt(started_at))
        .unwrap()
}

pub fn success() -> Outcome {
    Outcome {
        http_status: Some(200),
        error: None,
        maybe_received: false,
        response_headers: Vec::new(),
        response_body: Some(b"ok".to_vec()),
        note: None,
    }
}

pub fn refusal(status: u16) -> Outcome {
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

/// Methods that commit one write at a given time.
pub trait Steps: Journal {
    fn dynamic(&self) -> &(dyn Journal + 'static);

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
        let forwards = false;
        let due = self.due_page(after, limit, DueFilter { url, forwards });
        NOW.set(T0);
        due
    }

    fn next_due_after(&self, now: UnixMs) -> Result<Option<UnixMs>, JournalError> {
        NOW.set(now);
        let due = self.next_due();
        NOW.set(T0);
        Ok(due?.map(|(at, _)| at))
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
}

impl Steps for sqlite::SqliteJournal {
    fn dynamic(&self) -> &(dyn Journal + 'static) {
        self
    }
}

impl Steps for dyn Journal {
    fn dynamic(&self) -> &(dyn Journal + 'static) {
        self
    }
}

/// A journal that a test opened.
pub trait AsJournal {
    fn as_journal(&self) -> &(dyn Journal + 'static);
}

impl AsJournal for sqlite::SqliteJournal {
    fn as_journal(&self) -> &(dyn Journal + 'static) {
        self
    }
}

impl AsJournal for Box<dyn Journal> {
    fn as_journal(&self) -> &(dyn Journal + 'static) {
        &**self
    }
}
