//! The parameters and results of [`Journal`](super::Journal)'s methods: writes, their results, and queries.

use std::sync::Arc;
use std::time::Duration;

use super::{FollowCursor, JournalError, StoredCapture};
use crate::capture::{BinResponse, CapturedResponse, INBOX, Run, SignatureCheck};
use crate::delivery::filter::Filter;
use crate::delivery::payload::Payload;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::delivery::{Delivery, LastError, Outcome, Status};
use crate::time::UnixMs;

/// One change to the journal.
#[derive(Clone, Debug)]
pub enum Write {
    /// Adds a delivery and begins its first attempt.
    Accept(NewDelivery, NewAttempt),
    /// Adds a delivery that a webhook switch keeps from being sent.
    Ignore(NewDelivery, Switch),
    /// Begins another attempt of a delivery.
    Begin(Claim),
    /// Records the result of an attempt.
    Finish(AttemptResult),
    /// Ends the leases of deliveries that wait for their next attempt: they move to the failed list as interrupted.
    Release(Vec<i64>),
    /// Deletes an attempt whose request was not sent, and returns the delivery to the schedule.
    PutBack {
        id: i64,
        number: u32,
        slot: ScheduleSlot,
    },
    /// Extends the leases that this process still owns.
    Renew { ids: Vec<i64>, lease: Duration },
    /// Adds a captured request, and a scheduled delivery for each of `forwards`, due at once. The commit assigns the id and
    /// bin of the capture; if the capture names a bin, it is added to that.
    Capture {
        capture: Arc<StoredCapture>,
        forwards: Arc<[Forward]>,
    },
    /// Adds a scheduled delivery for each of `forwards` of a capture that is stored, due at once.
    Forward {
        capture: Arc<StoredCapture>,
        forwards: Arc<[Forward]>,
    },
    /// Replaces the response of a capture.
    AmendCapture { id: i64, response: CapturedResponse },
    /// Replaces the result of verifying a capture's signature.
    SetSignature { id: i64, check: SignatureCheck },
    /// Begins a run of a command for the capture with this id. The commit assigns its number.
    BeginRun(i64, Run),
    /// Records the result of a run.
    EndRun(i64, Run),
    /// Stores how far the reader with this name has read. If its cursor is not `from` any more, the whole commit fails with
    /// [`JournalError::CursorMoved`].
    MoveCursor {
        name: String,
        /// The stored cursor; none if there is none.
        from: Option<FollowCursor>,
        to: FollowCursor,
    },
}

#[cfg(test)]
impl Write {
    /// A capture that is not forwarded.
    pub fn capture(capture: Arc<StoredCapture>) -> Write {
        Write::Capture {
            capture,
            forwards: Arc::default(),
        }
    }
}

/// The result of one [`Write`].
#[derive(Clone, Debug)]
pub enum WriteResult {
    /// `Accept` and `Ignore`: the delivery as it is stored.
    Delivery(Box<Delivery>),
    /// `Begin` and `BeginRun`: the number of the attempt or run.
    Claimed(u32),
    /// `Begin`: the condition does not hold, because another process owns or has changed the delivery. Nothing was
    /// written.
    Refused,
    /// `Renew`: the ids that this process still owns.
    Renewed(Vec<i64>),
    /// `Capture` and `Forward`.
    Captured {
        id: i64,
        bin: String,
        response: Option<Arc<BinResponse>>,
        /// When the deliveries that forward it were accepted and are due.
        due: UnixMs,
    },
    /// `Finish`, `BeginRun` and `Forward`: the delivery or capture was deleted in the meantime.
    Deleted,
    /// The write cannot be stored, for example because it is too large.
    Rejected(Arc<JournalError>),
    Done,
}

/// A delivery to add; the commit assigns its id and uuid.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub payload: Payload,
    /// The configured endpoint's name; none for a plain URL.
    pub endpoint: Option<String>,
    pub target: Target,
    pub retry_policy: RetryPolicy,
}

/// Where and how a captured request is forwarded.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The configured endpoint's name; none for a plain URL.
    pub endpoint: Option<String>,
    pub target: Target,
    pub retry_policy: RetryPolicy,
    /// Whether to send the captures of a bin one after the other, each once the one before it is delivered.
    pub in_order: bool,
}

#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Whether certificates are not verified.
    pub insecure: bool,
    /// The URL it is sent to, masked; none for the delivery's own URL.
    pub sent_to: Option<String>,
    /// How long this process owns the delivery, unless it renews the lease.
    pub lease: Duration,
}

/// Another attempt of a delivery, if the condition holds.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: i64,
    pub condition: ClaimCondition,
    pub attempt: NewAttempt,
}

/// When a claim succeeds. `attempts` is the attempt count when the delivery was read: the claim fails if another
/// process has begun an attempt since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimCondition {
    /// This process owns the lease.
    Owned,
    /// The delivery is in the failed list.
    Failed { attempts: u32 },
    /// The delivery is scheduled and has no owner.
    Scheduled { attempts: u32 },
}

/// The result of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptResult {
    pub id: i64,
    pub number: u32,
    /// Time between the commit that began the attempt and sending its request.
    pub sent_after: Duration,
    /// From sending the request to its response or error.
    pub duration: Duration,
    pub outcome: Arc<Outcome>,
    pub next: NextStep,
}

/// The state of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    Delivered,
    Failed,
    Interrupted,
    /// Another attempt after `delay`, by any process; the lease ends.
    Scheduled {
        delay: Duration,
    },
    /// Another attempt after `delay`, by this process, whose lease then lasts for `lease`.
    Retry {
        delay: Duration,
        lease: Duration,
    },
}

/// A delivery's place in the schedule, to which [`Write::PutBack`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSlot {
    pub due: UnixMs,
    /// Whether its owner died, so that it is in the failed list as well.
    pub abandoned: bool,
    pub last_owner: Option<String>,
}

/// How captures are assigned to bins, and how many each bin keeps.
#[derive(Clone, Debug)]
pub struct CaptureRules {
    /// The bin for paths that do not name an existing bin; created when needed.
    pub default_bin: String,
    /// The newest captures to keep in each bin.
    pub keep_per_bin: u32,
    /// Whether captures without deliveries are kept as well, and not counted.
    pub keep_without_delivery: bool,
    /// Whether a commit is on disk when it returns. Otherwise a power failure may lose the latest ones.
    pub survives_power_failure: bool,
}

impl Default for CaptureRules {
    fn default() -> CaptureRules {
        CaptureRules {
            default_bin: INBOX.to_owned(),
            keep_per_bin: u32::MAX,
            keep_without_delivery: false,
            survives_power_failure: true,
        }
    }
}

/// A delivery that another sender failed to deliver.
#[derive(Clone, Debug)]
pub struct Import {
    /// The uuid that the other sender gave it; it keeps it.
    pub uuid: String,
    pub failed_at: UnixMs,
    /// `failed_at` as written in the imported list.
    pub listed_failure_time: String,
    pub error: LastError,
    pub delivery: NewDelivery,
}

/// Which deliveries, and in which order.
#[derive(Clone, Debug)]
pub struct Query {
    pub list: DeliveryList,
    pub filter: Filter,
    pub limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryList {
    /// Failed and interrupted deliveries, oldest first, by when they were accepted.
    Failed,
    /// Failed and interrupted deliveries, newest first.
    NewestFailed,
    /// All deliveries, or all with one status, newest first.
    All(Option<Status>),
    /// Pending deliveries that wait for their next attempt and have no owner, newest first.
    Scheduled,
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
    /// Only the failed list uses it.
    pub created_at: UnixMs,
    pub id: i64,
}

impl Cursor {
    pub fn after(delivery: &Delivery) -> Cursor {
        Cursor {
            created_at: delivery.created_at,
            id: delivery.id,
        }
    }
}

/// Counts of recent deliveries by status.
#[derive(Debug, PartialEq, Eq)]
pub struct StatusCounts {
    /// Number of the interval, status, and how many deliveries accepted in the interval have that status
    /// now. Ignored deliveries are not counted.
    pub counts: Vec<(usize, Status, usize)>,
    /// Whether older deliveries were left out, because there are too many to count quickly.
    pub cut: bool,
}

/// The result of [`Journal::check`](super::Journal::check): what was found, and the state of the server.
#[derive(Debug)]
pub struct Health {
    /// Deliveries by status, including statuses without deliveries.
    pub counts: Vec<(Status, usize)>,
    pub attempts: usize,
    pub captures: usize,
    /// Descriptions of the damage found; empty for an intact journal.
    pub problems: Vec<String>,
    /// The database server; `None` if the journal is a file.
    pub server: Option<ServerHealth>,
}

/// What [`Health`] says about a database server.
#[derive(Debug)]
pub struct ServerHealth {
    /// The version as the server reports it, for example `15.14`.
    pub version: String,
    /// The version of the tables.
    pub tables: i64,
    /// How far the system's clock is ahead of the server's, in milliseconds.
    pub clock_ahead_ms: i64,
}

/// The result of [`copy`](super::copy): how many deliveries and captures it added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub deliveries: usize,
    pub captures: usize,
    /// Deliveries and captures that the database has already.
    pub skipped: usize,
}

/// The result of [`migrate`](super::migrate): versions of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// 0 if there were no tables.
    pub from: i64,
    pub to: i64,
}

/// Which of the deliveries given to [`Deliveries::unchanged`](super::Deliveries::unchanged) are as they were.
#[derive(Debug, Default)]
pub struct Unchanged {
    /// Deliveries that were not changed, with their payloads.
    pub found: Vec<(Delivery, Vec<u8>)>,
    /// How many of the given ones, from the first, were looked at.
    pub done: usize,
}

/// How far a bulk change got in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// How many of the given items, from the first, were processed.
    pub done: usize,
    /// How many of those were changed.
    pub changed: usize,
}

/// A delivery as it was read. A different attempt count means that it has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryVersion {
    pub id: i64,
    pub attempts: u32,
}

impl From<&Delivery> for DeliveryVersion {
    fn from(delivery: &Delivery) -> DeliveryVersion {
        DeliveryVersion {
            id: delivery.id,
            attempts: delivery.attempt_count,
        }
    }
}

/// Which scheduled deliveries: all, unless the fields say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct DueFilter<'a> {
    /// Only those for this URL.
    pub url: Option<&'a str>,
    /// Only those that forward captures.
    pub forwards: bool,
}

/// A scheduled delivery that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: UnixMs,
    pub version: DeliveryVersion,
    /// Its endpoint's URL without the query.
    pub url: String,
    /// Equal for deliveries with the same endpoint and URL, whose parameters, headers and signatures have the same secrets: a
    /// process can send all of them or none.
    pub target: String,
    pub in_sequence: bool,
}
