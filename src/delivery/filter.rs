//! Which deliveries a list, a deletion or a retry selects.

use crate::delivery::ErrorKind;
use crate::delivery::retry_policy::StatusRanges;
use crate::time::UnixMs;

/// Conditions that must all hold; an empty filter matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub event_type: Option<String>,
    pub action: Option<String>,
    pub endpoint: Option<String>,
    /// At or after this time, by [`Delivery::finished_or_created_at`](crate::delivery::Delivery::finished_or_created_at).
    pub since: Option<UnixMs>,
    /// At or before this time, as 3scale's `time`.
    pub before: Option<UnixMs>,
    /// The status that the latest failed attempt received.
    pub http_status: Option<StatusRanges>,
    /// The error kind of the latest failed attempt.
    pub error: Option<ErrorKind>,
    /// The host, or host and process id, that last sent it.
    pub owner: Option<String>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }
}
