//! The journal as the use cases see it: what must be written down, and when.
//!
//! Each method is one commit, durable when it returns. A delivery that is being worked on is *leased* to one process; only
//! its holder may begin another attempt. The SQLite file behind it is `journal`'s business.

mod captures;
mod ledger;
mod schedule;

use std::path::PathBuf;
use std::time::Duration;

use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::delivery::{Delivery, Outcome, Status};
use crate::event::BodyFormat;
use crate::time::UnixMs;

pub use captures::{CaptureQuery, CaptureStore, Done, Kept, Order, SharedCapture};
pub use ledger::{Ended, Endurance, Intent, Ledger};
pub use schedule::{Due, Schedule, Slot};

/// A delivery about to be accepted.
#[derive(Debug)]
pub struct NewDelivery<'a> {
    /// The event's type.
    pub event_type: &'a str,
    /// The event's action.
    pub action: &'a str,
    /// The document, byte for byte.
    pub event: &'a [u8],
    /// The configured endpoint's name.
    pub endpoint: Option<&'a str>,
    /// Where it goes.
    pub target: &'a Target,
    /// How its request carries the event.
    pub wire: BodyFormat,
    /// The rule it is sent by.
    pub rule: &'a RetryPolicy,
}

impl NewDelivery<'_> {
    /// The delivery as it is accepted, before the journal has given it its ids.
    pub fn accepted(&self, now: UnixMs) -> Delivery {
        Delivery {
            id: 0,
            uuid: String::new(),
            event_type: self.event_type.to_owned(),
            action: self.action.to_owned(),
            endpoint: self.endpoint.map(str::to_owned),
            target: self.target.clone(),
            wire: self.wire,
            rule: self.rule.clone(),
            status: Status::Pending,
            ignored_by: None,
            created_at: now,
            finished_at: None,
            next_attempt_at: None,
            attempt_count: 0,
            last_error: None,
        }
    }
}

/// An attempt about to begin.
#[derive(Clone, Copy, Debug)]
pub struct NewAttempt<'a> {
    /// Now: the request leaves once this is committed.
    pub started_at: UnixMs,
    /// Whether certificates go unchecked.
    pub insecure: bool,
    /// Where it goes, masked, if not to the delivery's own URL.
    pub sent_to: Option<&'a str>,
    /// Until when the lease holds without another sign of life.
    pub lease_until: UnixMs,
}

/// A delivery as a bulk found it: what became of it since is told by the number of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which delivery.
    pub id: i64,
    /// How many attempts it had.
    pub attempts: u32,
}

/// Under what condition an attempt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This process holds the lease.
    Mine,
    /// The delivery is in the failed list, and nobody made another attempt since this many.
    Failed {
        /// Attempts when it was read.
        attempts: u32,
    },
    /// The delivery is on the schedule, and nobody made another attempt since this many.
    Scheduled {
        /// Attempts when it was read.
        attempts: u32,
    },
}

/// Whether an attempt began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is written down under this number, and this process holds the lease.
    Attempt(u32),
    /// Another process has the delivery, or dealt with it meanwhile; nothing was changed.
    Taken,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was a success.
    Delivered,
    /// Nothing: it was the last attempt.
    Failed,
    /// Nothing: the user stopped it.
    Interrupted,
    /// Another attempt, by whoever looks at the schedule from then on; nobody works on it until then.
    Scheduled {
        /// When it is due.
        due: UnixMs,
    },
    /// Another attempt by this process, at this time.
    RetryAt {
        /// When it is due.
        due: UnixMs,
        /// Until when the lease holds without another sign of life.
        lease_until: UnixMs,
    },
}

/// A journal, as far as it is read delivery by delivery.
pub trait Deliveries {
    /// The delivery as it is now; none if there is no such id.
    ///
    /// # Errors
    /// [`JournalError`].
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError>;

    /// The event document of a delivery, byte for byte.
    ///
    /// # Errors
    /// [`JournalError`], also for an id that does not exist.
    fn event(&self, id: i64) -> Result<Vec<u8>, JournalError>;
}

/// A journal, as far as sending needs one.
pub trait Store: Deliveries {
    /// Writes down a new delivery and its first attempt, in one commit.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing was written and nothing may be sent.
    fn accept(
        &self,
        new: &NewDelivery<'_>,
        attempt: &NewAttempt<'_>,
    ) -> Result<Delivery, JournalError>;

    /// Writes down a delivery that a switch keeps from being sent, and that is that.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing was written.
    fn ignore(
        &self,
        new: &NewDelivery<'_>,
        by: Switch,
        now: UnixMs,
    ) -> Result<Delivery, JournalError>;

    /// Writes down that another attempt begins.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing was written and nothing may be sent.
    fn begin_attempt(
        &self,
        id: i64,
        turn: Turn,
        attempt: &NewAttempt<'_>,
    ) -> Result<Begun, JournalError>;

    /// Writes down what an attempt came to, and what follows.
    ///
    /// # Errors
    /// [`JournalError`]; the request has left all the same.
    fn finish_attempt(
        &self,
        id: i64,
        number: u32,
        duration: Duration,
        outcome: &Outcome,
        next: Next,
    ) -> Result<(), JournalError>;

    /// Has the lease last until then; false, and nothing changes, if it is not this process's any more.
    ///
    /// # Errors
    /// [`JournalError`].
    fn renew(&self, id: i64, until: UnixMs) -> Result<bool, JournalError>;

    /// Gives up a delivery between two attempts: it goes to the failed list as interrupted.
    ///
    /// # Errors
    /// [`JournalError`].
    fn interrupt(&self, id: i64) -> Result<(), JournalError>;
}

/// A process that holds leases, told apart from any other that ever ran on this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// The process namespace: pids mean nothing outside it.
    pub host: String,
    /// The process id.
    pub pid: i64,
    /// When the process started, in the kernel's own ticks: pids are used again.
    pub started: i64,
}

/// Whether a lease's holder still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It is gone.
    Dead,
    /// It runs, or ran, elsewhere (in another container); only the lease's expiry tells.
    Unknown,
}

/// The processes of this host.
pub trait Processes: Send {
    /// The time by the system's clock.
    fn now(&self) -> UnixMs;
    /// This process.
    fn current(&self) -> ProcessId;
    /// Whether `process` still lives.
    fn liveness(&self, process: &ProcessId) -> Liveness;
}

/// A journal that cannot be used, in words that name the file.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process held the lock for longer than the timeout.
    #[error("the journal `{path}` is locked: another process has held it for {}", crate::time::compact(*waited))]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
    /// The file is something else.
    #[error("`{path}` is not a hookfire journal: {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// Written by a newer hookfire.
    #[error(
        "the journal `{path}` was written by a newer hookfire (version {found} of its tables, this one knows {known})"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// It, or its folder, cannot be opened or made.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// What was to be written down has no place any more.
    #[error("the journal `{path}` was changed by somebody else while it was in use: {what}")]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// There is no room for what is to be written.
    #[error("the journal `{path}` cannot be written: the disk is full")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// SQLite reports damage, or refuses a write.
    #[error("the journal `{path}` {problem}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, as a verb phrase.
        problem: String,
    },
}

impl JournalError {
    /// Whether it may pass while one waits: a lock is given back, a disk gets room.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            JournalError::Locked { .. } | JournalError::Full { .. }
        )
    }
}
