//! Deliveries and their attempts, as the journal stores them: records without I/O.
//!
//! No record contains a secret value: a target stores names and references of secrets, and an attempt's texts are
//! masked. `payload` is the content of a delivery, `target` its destination and `signing` its signature; `retry_policy` decides
//! what counts as delivered, `switches` which events are sent, and `filter` selects deliveries.

pub mod filter;
pub mod host_addresses;
pub mod payload;
pub mod retry_policy;
pub mod signing;
pub mod switches;
pub mod target;

use std::time::Duration;

use crate::delivery::payload::PayloadKind;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::text::named_enum;
use crate::time::UnixMs;

named_enum! {
    pub enum Status {
        /// In progress, or waiting for its next attempt.
        Pending = "pending",
        /// The endpoint responded with a success status.
        Delivered = "delivered",
        /// All attempts were made, none succeeded.
        Failed = "failed",
        /// Its process ended or gave it up before it was delivered or had failed.
        Interrupted = "interrupted",
        /// Not sent, because of the endpoint's webhook switches.
        Ignored = "ignored",
    }
}

impl Status {
    pub fn in_failed_list(self) -> bool {
        matches!(self, Status::Failed | Status::Interrupted)
    }
}

named_enum! {
    pub enum ErrorKind {
        /// The endpoint responded, but not with a success status.
        Status = "status",
        Dns = "dns",
        Connect = "connect",
        /// The handshake failed: an untrusted certificate, no common protocol.
        Tls = "tls",
        Timeout = "timeout",
        /// The connection was closed before a response.
        Reset = "reset",
        /// The response was not HTTP.
        Protocol = "protocol",
        Secret = "secret",
        /// The process ended before a response was recorded.
        Interrupted = "interrupted",
        /// Imported from a portal that does not report why.
        Portal = "portal",
        /// The capture that the delivery forwards does not exist.
        Capture = "capture",
    }
}

/// Why an attempt failed, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptError {
    pub kind: ErrorKind,
    /// For example `503 Service Unavailable`.
    pub message: String,
}

/// The result of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The status of the response; `None` if there was no complete response head.
    pub http_status: Option<u16>,
    /// Why the attempt failed; `None` if the status counts as success.
    pub error: Option<AttemptError>,
    /// The attempt ended without a response, but the endpoint may have received the request.
    pub maybe_received: bool,
    /// Names and values of the response's headers in their order, at most 16 KiB, secrets masked.
    pub response_headers: Vec<(String, String)>,
    /// The first 64 KiB of the response's body, secrets masked; none without a response.
    pub response_body: Option<Vec<u8>>,
    /// Why the stored body is incomplete.
    pub note: Option<String>,
}

/// One HTTP request of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1 within the delivery.
    pub number: u32,
    /// When it was committed, just before the request was sent.
    pub started_at: UnixMs,
    /// None if unknown: it is in progress, was imported, or its end was not recorded.
    pub duration: Option<Duration>,
    /// Certificates were not verified (`--insecure`).
    pub insecure: bool,
    /// The URL it was sent to, masked; none for the delivery's own URL.
    pub sent_to: Option<String>,
    /// None while it is in progress.
    pub outcome: Option<Outcome>,
}

/// The error of the latest failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    pub kind: ErrorKind,
    pub http_status: Option<u16>,
    pub message: String,
}

/// One payload for one endpoint. Its bytes and the attempts are read separately.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The number that users type.
    pub id: i64,
    /// A UUIDv7, sent as `webhook-id` with every attempt.
    pub uuid: String,
    /// Type and action of an event, or what names another payload in lists and filters.
    pub event_type: Option<String>,
    pub action: Option<String>,
    /// The configured endpoint's name; none for a plain URL.
    pub endpoint: Option<String>,
    pub target: Target,
    pub payload_kind: PayloadKind,
    /// The captured request that it forwards, which has its headers and body; none for any other payload.
    pub capture: Option<i64>,
    /// The sequence of a delivery that waits until those before it in the sequence are delivered.
    pub sequence: Option<String>,
    pub method: String,
    pub retry_policy: RetryPolicy,
    pub status: Status,
    /// The switch that kept it from being sent.
    pub ignored_by: Option<Switch>,
    pub created_at: UnixMs,
    /// When it was delivered or last failed.
    pub finished_at: Option<UnixMs>,
    /// None unless it is pending and waits for its next attempt.
    pub next_attempt_at: Option<UnixMs>,
    pub attempt_count: u32,
    pub last_error: Option<LastError>,
    /// Whether a process sends it, or waits to send it again.
    pub is_owned: bool,
    /// The host and process that sends it, or last sent it: `ci-3/4711`; none if it was imported or ignored.
    pub last_owner: Option<String>,
    /// When an imported delivery failed, as written in the list it came from; none once it was retried.
    pub listed_failure_time: Option<String>,
}

impl Delivery {
    /// `application.created`; `-` if nothing names the payload.
    pub fn name(&self) -> String {
        payload::name(self.event_type.as_deref(), self.action.as_deref())
    }

    /// `application.created`. If nothing names the payload, the capture that it forwards or the path: `POST capture #17`,
    /// `POST /hook`.
    pub fn label(&self) -> String {
        match (&self.event_type, self.capture) {
            (None, Some(capture)) => format!("{} capture #{capture}", self.method),
            (None, None) if self.target.base.is_url() => {
                format!("{} {}", self.method, self.target.base.path())
            }
            _ => self.name(),
        }
    }

    /// The time that filters use: when it was delivered or last failed, else when it was accepted.
    pub fn finished_or_created_at(&self) -> UnixMs {
        self.finished_at.unwrap_or(self.created_at)
    }

    /// Whether it waits for its next attempt, which any process may make.
    pub fn is_scheduled(&self) -> bool {
        self.next_attempt_at.is_some() && !self.is_owned
    }
}
