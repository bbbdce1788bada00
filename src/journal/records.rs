//! The records that go into the journal, and what a commit returns for each.

use std::sync::Arc;
use std::time::Duration;

use super::JournalError;
use super::SharedCapture;
use crate::capture::{CapturedResponse, INBOX};
use crate::delivery::filter::Filter;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::delivery::{Delivery, LastError, Outcome, Status};
use crate::event::{BodyFormat, Event};
use crate::time::UnixMs;

/// One change to the journal.
#[derive(Clone, Debug)]
pub enum Write {
    /// Adds a delivery and begins its first attempt.
    Accept(NewDelivery, NewAttempt),
    /// Adds a delivery that a webhook switch keeps from being sent.
    Ignore(NewDelivery, Switch),
    Begin(Claim),
    /// Records the result of an attempt.
    Finish(AttemptResult),
    /// Gives up deliveries between two attempts: they move to the failed list as interrupted.
    Release(Vec<i64>),
    /// Takes back an attempt that was begun and not sent, as if it had not been begun.
    PutBack {
        id: i64,
        number: u32,
        slot: ScheduleSlot,
    },
    /// Extends the leases that this process still owns.
    Renew {
        ids: Vec<i64>,
        lease: Duration,
    },
    /// Adds a captured request; its id and bin are assigned.
    Capture(SharedCapture),
    /// Replaces the response of a capture.
    AmendCapture {
        id: i64,
        response: CapturedResponse,
    },
}

/// The result of one [`Write`].
#[derive(Clone, Debug)]
pub enum WriteResult {
    /// `Accept` and `Ignore`: the delivery as it is stored.
    Delivery(Box<Delivery>),
    /// `Begin`: the number of the attempt.
    Claimed(u32),
    /// `Begin`: another process has the delivery, or changed it since it was read. Nothing was written.
    Refused,
    /// `Renew`: the ids that this process still owns.
    Renewed(Vec<i64>),
    Captured {
        id: i64,
        bin: String,
    },
    /// `Finish`: the delivery was deleted in the meantime.
    Deleted,
    /// The write cannot be stored, for example because it is too large.
    Rejected(Arc<JournalError>),
    Done,
}

/// A delivery to be added.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub event_type: String,
    pub action: String,
    pub event: Arc<[u8]>,
    /// The name of the configured endpoint.
    pub endpoint: Option<String>,
    pub target: Target,
    pub wire: BodyFormat,
    pub rule: RetryPolicy,
}

/// An attempt to be begun.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Whether certificates are not verified.
    pub insecure: bool,
    /// Where it is sent, masked, if not to the delivery's own URL.
    pub sent_to: Option<String>,
    /// How long this process owns the delivery from now on without renewing the lease.
    pub lease: Duration,
}

/// Another attempt of a delivery, if the condition holds.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: i64,
    pub condition: ClaimCondition,
    pub attempt: NewAttempt,
}

/// When a claim succeeds. `attempts` is the attempt count when the delivery was read; another process may have made
/// another attempt since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimCondition {
    /// This process owns the lease.
    Owned,
    /// The delivery is in the failed list.
    Failed {
        attempts: u32,
    },
    Scheduled {
        attempts: u32,
    },
}

/// The result of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptResult {
    pub id: i64,
    pub number: u32,
    /// How long after the attempt was begun its request was sent.
    pub sent_after: Duration,
    /// From sending the request to its response or error.
    pub duration: Duration,
    pub outcome: Arc<Outcome>,
    pub next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    Failed,
    Interrupted,
    /// Another attempt after `delay`, by the process that then reads the schedule.
    Scheduled {
        delay: Duration,
    },
    /// Another attempt after `delay`, by this process, which keeps the delivery for `lease`.
    Retry {
        delay: Duration,
        lease: Duration,
    },
}

/// A delivery's place in the schedule, to which [`Write::PutBack`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleSlot {
    pub due: UnixMs,
    /// Whether a process that died left it, so that it is in the failed list as well.
    pub abandoned: bool,
}

/// Where captures go, and how many are kept.
#[derive(Clone, Debug)]
pub struct CaptureRules {
    /// The bin for paths that do not name one; created when needed.
    pub default_bin: String,
    /// The newest captures to keep in each bin.
    pub keep_per_bin: u32,
}

impl Default for CaptureRules {
    fn default() -> CaptureRules {
        CaptureRules {
            default_bin: INBOX.to_owned(),
            keep_per_bin: u32::MAX,
        }
    }
}

/// A delivery that failed elsewhere.
#[derive(Debug)]
pub struct Import<'a> {
    /// Its uuid there and here.
    pub uuid: &'a str,
    pub failed_at: UnixMs,
    /// The same in the words of the list.
    pub told_time: &'a str,
    pub error: &'a LastError,
    pub event: &'a Event,
    /// The configured endpoint that it was meant for.
    pub endpoint: Option<&'a str>,
    pub target: &'a Target,
    /// How its request carries the event from now on.
    pub wire: BodyFormat,
    /// The rule it is sent by from now on.
    pub rule: &'a RetryPolicy,
}

#[derive(Clone, Debug)]
pub struct Query {
    pub list: DeliveryList,
    pub filter: Filter,
    pub limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryList {
    /// Failed and interrupted deliveries, oldest failure first.
    Failed,
    /// The same, newest failure first.
    NewestFailed,
    /// All deliveries, or all with one status, newest first.
    All(Option<Status>),
}

impl Query {
    pub fn failed(filter: Filter) -> Query {
        Query {
            list: DeliveryList::Failed,
            filter,
            limit: None,
        }
    }

    /// All deliveries, or all with one status.
    pub fn all(status: Option<Status>) -> Query {
        Query {
            list: DeliveryList::All(status),
            filter: Filter::default(),
            limit: None,
        }
    }
}

/// The last delivery of a page; the next page begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When it failed; only the failed list uses it.
    pub finished_at: UnixMs,
    pub id: i64,
}

impl Cursor {
    pub fn after(delivery: &Delivery) -> Cursor {
        Cursor {
            finished_at: delivery.decided_at(),
            id: delivery.id,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// For each interval, by its number, and each status: how many were accepted in it and have that status now. Those
    /// that a switch kept from being sent do not count.
    pub counts: Vec<(usize, Status, usize)>,
    /// Whether there were more than could be counted in a short time.
    pub cut: bool,
}

/// The result of a verification.
#[derive(Debug)]
pub struct Health {
    /// Deliveries by status; each status is listed.
    pub counts: Vec<(Status, usize)>,
    pub attempts: usize,
    pub captures: usize,
    /// Empty if the journal is sound.
    pub problems: Vec<String>,
}

/// How far a bulk change got in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// How many of the given items were looked at.
    pub done: usize,
    /// How many of those were changed.
    pub changed: usize,
}

/// A delivery as it was read: its attempt count tells whether it has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryVersion {
    pub id: i64,
    pub attempts: u32,
}

/// A scheduled delivery that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: UnixMs,
    pub seen: DeliveryVersion,
    /// Where it goes, without its query.
    pub url: String,
}
