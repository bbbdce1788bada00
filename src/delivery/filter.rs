//! Which deliveries a list, a deletion or a retry selects.
//!
//! The journal applies a [`Filter`] in SQL. `Filter::matches` is the same in Rust; a test compares the two.

#[cfg(test)]
use crate::delivery::Delivery;
use crate::delivery::ErrorKind;
use crate::delivery::retry_policy::StatusRanges;
use crate::time::UnixMs;

/// Conditions that must all hold; an empty filter matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub event_type: Option<String>,
    pub action: Option<String>,
    pub endpoint: Option<String>,
    /// At or after this time, by [`Delivery::decided_at`](crate::delivery::Delivery::decided_at).
    pub since: Option<UnixMs>,
    /// At or before this time, as 3scale's `time`.
    pub before: Option<UnixMs>,
    /// The status that the latest failed attempt received.
    pub http_status: Option<StatusRanges>,
    /// The error kind of the latest failed attempt.
    pub error: Option<ErrorKind>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    #[cfg(test)]
    pub fn matches(&self, delivery: &Delivery) -> bool {
        let equal = |wanted: &Option<String>, actual: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| Some(wanted) == actual)
        };
        let last = delivery.last_error.as_ref();
        equal(&self.event_type, Some(&delivery.event_type))
            && equal(&self.action, Some(&delivery.action))
            && equal(&self.endpoint, delivery.endpoint.as_deref())
            && self
                .since
                .is_none_or(|since| delivery.decided_at() >= since)
            && self
                .before
                .is_none_or(|before| delivery.decided_at() <= before)
            && self.http_status.as_ref().is_none_or(|ranges| {
                last.and_then(|error| error.http_status)
                    .is_some_and(|status| ranges.contains(status))
            })
            && self
                .error
                .is_none_or(|kind| last.is_some_and(|error| error.kind == kind))
    }
}
