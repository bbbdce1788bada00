//! The one filter grammar: which deliveries a list, a deletion or a retry is about.
//!
//! `Filter::matches` is what a filter means. The journal answers the same question in SQL, and a test holds the two
//! together.

#[cfg(test)]
use crate::delivery::Delivery;
use crate::delivery::ErrorKind;
use crate::delivery::retry_policy::StatusRanges;
use crate::time::UnixMs;

/// Conditions that all must hold; an empty filter matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The event's type.
    pub event_type: Option<String>,
    /// The event's action.
    pub action: Option<String>,
    /// The configured endpoint's name.
    pub endpoint: Option<String>,
    /// Decided at or after this time.
    pub since: Option<UnixMs>,
    /// Decided at or before this time, as 3scale's `time`.
    pub before: Option<UnixMs>,
    /// The status of the newest unsuccessful attempt.
    pub http_status: Option<StatusRanges>,
    /// The kind of the newest unsuccessful attempt.
    pub error: Option<ErrorKind>,
}

impl Filter {
    /// Whether it narrows nothing.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether `delivery` meets every condition. The journal's SQL is held to this.
    #[cfg(test)]
    pub fn matches(&self, delivery: &Delivery) -> bool {
        let equal = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|w| Some(w) == is)
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
