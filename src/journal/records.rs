//! The records that go into the journal, and what a commit returns for each.

use std::sync::Arc;
use std::time::Duration;

use super::store::JournalError;
use crate::capture::{Body, Capture, CapturedResponse, EventName};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::delivery::{Delivery, Outcome};
use crate::event::BodyFormat;
use crate::time::UnixMs;

/// One change to the journal.
#[derive(Clone, Debug)]
pub enum Write {
    /// Adds a delivery and begins its first attempt.
    Accept(NewDelivery, NewAttempt),
    /// Adds a delivery that a webhook switch keeps from being sent.
    Ignore(NewDelivery, Switch),
    /// Begins another attempt.
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
    Renew { ids: Vec<i64>, lease: Duration },
    /// Adds a captured request.
    Capture(Arc<NewCapture>),
    /// Replaces the response of a capture.
    AmendCapture { id: i64, response: CapturedResponse },
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
    /// `Capture`.
    Captured(StoredCapture),
    /// `Finish`: the delivery was deleted in the meantime.
    Deleted,
    /// The write cannot be stored, for example because it is too large.
    Rejected(Arc<JournalError>),
    /// All others.
    Done,
}

/// A delivery to be added.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub event_type: String,
    pub action: String,
    /// The event document.
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
    Failed { attempts: u32 },
    /// The delivery is scheduled.
    Scheduled { attempts: u32 },
}

/// The result of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptResult {
    pub id: i64,
    /// The attempt's number.
    pub number: u32,
    /// How long after the attempt was begun its request was sent.
    pub sent_after: Duration,
    /// From sending the request to its response or error.
    pub duration: Duration,
    pub outcome: Arc<Outcome>,
    pub next: Next,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    /// No attempts are left.
    Failed,
    /// The user stopped it.
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

/// A captured request to be added.
#[derive(Clone, Debug)]
pub struct NewCapture {
    pub capture: Capture,
    pub body: Body,
    /// Type and action, if the body is an event.
    pub event: Option<EventName>,
    pub rules: Arc<CaptureRules>,
}

/// Where captures go, and how many are kept.
#[derive(Clone, Debug)]
pub struct CaptureRules {
    /// The bin for paths that do not name one; created when needed.
    pub default_bin: String,
    /// The newest captures to keep in each bin.
    pub keep_per_bin: u32,
}

/// A capture that is stored.
#[derive(Clone, Debug)]
pub struct StoredCapture {
    pub id: i64,
    pub bin: String,
    pub new: Arc<NewCapture>,
}
