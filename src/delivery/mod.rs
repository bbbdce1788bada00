//! Deliveries and their attempts: what the journal keeps and every view shows.
//!
//! Plain data. Nothing in here is secret: a delivery's target holds the names of its secrets and their references, and an
//! attempt's texts were masked before they got here.

pub mod filter;
pub mod retry_policy;
pub mod switches;
pub mod target;

use std::time::Duration;

use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::event::BodyFormat;
use crate::time::UnixMs;

/// What became of a delivery so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Being worked on, or its next attempt is scheduled.
    Pending,
    /// The endpoint answered with a success.
    Delivered,
    /// All attempts were made, none succeeded.
    Failed,
    /// Its process died or was stopped; nobody works on it.
    Interrupted,
    /// The endpoint's switchboard said no: it was never sent.
    Ignored,
}

impl Status {
    /// Every status, in the order of a delivery's life.
    pub const ALL: [Status; 5] = [
        Status::Pending,
        Status::Delivered,
        Status::Failed,
        Status::Interrupted,
        Status::Ignored,
    ];

    /// The word for it, in the journal and in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Delivered => "delivered",
            Status::Failed => "failed",
            Status::Interrupted => "interrupted",
            Status::Ignored => "ignored",
        }
    }

    /// The status of this name.
    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == name)
    }

    /// Whether deliveries of this status make up the failed list.
    pub fn in_failed_list(self) -> bool {
        matches!(self, Status::Failed | Status::Interrupted)
    }
}

/// Why an attempt was no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The endpoint answered, but not with a success.
    Status,
    /// The host's name could not be resolved.
    Dns,
    /// No connection.
    Connect,
    /// No trust, or no common protocol.
    Tls,
    /// The deadline passed.
    Timeout,
    /// The connection ended before an answer.
    Reset,
    /// What came back was not HTTP.
    Protocol,
    /// A secret could not be resolved.
    Secret,
    /// The process died or was stopped before an answer was recorded.
    Interrupted,
}

impl ErrorKind {
    /// Every kind, in the contract's order.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Status,
        ErrorKind::Dns,
        ErrorKind::Connect,
        ErrorKind::Tls,
        ErrorKind::Timeout,
        ErrorKind::Reset,
        ErrorKind::Protocol,
        ErrorKind::Secret,
        ErrorKind::Interrupted,
    ];

    /// The word for it, in the journal and in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Status => "status",
            ErrorKind::Dns => "dns",
            ErrorKind::Connect => "connect",
            ErrorKind::Tls => "tls",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Reset => "reset",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Secret => "secret",
            ErrorKind::Interrupted => "interrupted",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<ErrorKind> {
        ErrorKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// What went wrong, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptError {
    /// The kind, for scripts.
    pub kind: ErrorKind,
    /// The words, for people: `503 Service Unavailable`.
    pub message: String,
}

/// What one HTTP try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status line's code; none if no answer came.
    pub http_status: Option<u16>,
    /// Why it was no success; none if it was one.
    pub error: Option<AttemptError>,
    /// No answer came, but the request may have reached the endpoint.
    pub maybe_received: bool,
    /// The beginning of the response's body, at most 64 KiB, secrets masked; none if no answer came.
    pub response_body: Option<Vec<u8>>,
    /// What else is worth knowing: a body cut short, or kept only in part.
    pub note: Option<String>,
}

/// One HTTP try of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1 within the delivery.
    pub number: u32,
    /// When it was written down, just before the request left.
    pub started_at: UnixMs,
    /// How long it took; none if its end was never recorded.
    pub duration: Option<Duration>,
    /// Whether certificates went unchecked (`--insecure`).
    pub insecure: bool,
    /// Where it went, masked, if that was not the delivery's own URL.
    pub sent_to: Option<String>,
    /// What it came to; none while it is under way.
    pub outcome: Option<Outcome>,
}

/// The newest unsuccessful attempt, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// Its kind.
    pub kind: ErrorKind,
    /// The status, if there was an answer.
    pub http_status: Option<u16>,
    /// Its words.
    pub message: String,
}

/// One event meant for one endpoint. Its event document and attempts are asked for separately.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The number that people type.
    pub id: i64,
    /// UUIDv7, the `webhook-id` of every attempt.
    pub uuid: String,
    /// The event's type.
    pub event_type: String,
    /// The event's action.
    pub action: String,
    /// The configured endpoint's name; none if it was sent to a bare URL.
    pub endpoint: Option<String>,
    /// Where it goes.
    pub target: Target,
    /// How its request carries the event.
    pub wire: BodyFormat,
    /// The rule it was accepted under.
    pub rule: RetryPolicy,
    /// What became of it so far.
    pub status: Status,
    /// The switch that said no, if one did.
    pub ignored_by: Option<Switch>,
    /// When it was accepted.
    pub created_at: UnixMs,
    /// When it was delivered, or failed last.
    pub finished_at: Option<UnixMs>,
    /// When its next attempt is due, while it is pending and waits for one.
    pub next_attempt_at: Option<UnixMs>,
    /// Attempts begun so far.
    pub attempt_count: u32,
    /// The newest unsuccessful attempt.
    pub last_error: Option<LastError>,
}

impl Delivery {
    /// When it got where it is, for filters by time: delivered or failed last, else accepted.
    pub fn decided_at(&self) -> UnixMs {
        self.finished_at.unwrap_or(self.created_at)
    }
}
