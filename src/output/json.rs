//! The JSON forms of deliveries and errors: structs of their own, because the order and names of keys are a contract.
//!
//! Characters that could deceive a terminal are written as JSON escapes, which mean the same.

use serde::Serialize;

use super::ErrorReport;
use crate::delivery::switches::Switch;
use crate::delivery::{Attempt, Delivery};
use crate::sanitize::visible_json;
use crate::secret::Redactor;
use crate::time::{duration_ms, rfc3339};

/// A delivery. Lists leave out `attempts` and `event`.
#[derive(Debug, Serialize)]
pub struct DeliveryView {
    id: i64,
    uuid: String,
    r#type: String,
    action: String,
    endpoint: Option<String>,
    url: String,
    wire: &'static str,
    status: &'static str,
    ignored_by: Option<&'static str>,
    created_at: String,
    finished_at: Option<String>,
    next_attempt_at: Option<String>,
    attempt_count: u32,
    last_error: Option<LastErrorView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
}

#[derive(Debug, Serialize)]
struct LastErrorView {
    kind: &'static str,
    http_status: Option<u16>,
    message: String,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    number: u32,
    started_at: String,
    duration_ms: Option<i64>,
    http_status: Option<u16>,
    error: Option<ErrorView>,
    maybe_received: bool,
    response_body: Option<String>,
    note: Option<String>,
    insecure: bool,
    sent_to: Option<String>,
}

#[derive(Debug, Serialize)]
struct ErrorView {
    kind: &'static str,
    message: String,
}

impl DeliveryView {
    pub fn new(delivery: &Delivery) -> DeliveryView {
        DeliveryView {
            id: delivery.id,
            uuid: delivery.uuid.clone(),
            r#type: delivery.event_type.clone(),
            action: delivery.action.clone(),
            endpoint: delivery.endpoint.clone(),
            url: delivery.target.to_string(),
            wire: delivery.wire.as_str(),
            status: delivery.status.as_str(),
            ignored_by: delivery.ignored_by.map(Switch::as_str),
            created_at: rfc3339(delivery.created_at),
            finished_at: delivery.finished_at.map(rfc3339),
            next_attempt_at: delivery.next_attempt_at.map(rfc3339),
            attempt_count: delivery.attempt_count,
            last_error: delivery.last_error.as_ref().map(|error| LastErrorView {
                kind: error.kind.as_str(),
                http_status: error.http_status,
                message: error.message.clone(),
            }),
            attempts: None,
            event: None,
        }
    }

    #[must_use]
    pub fn with_attempts(mut self, attempts: &[Attempt]) -> DeliveryView {
        self.attempts = Some(attempts.iter().map(AttemptView::new).collect());
        self
    }

    #[must_use]
    pub fn with_event(mut self, event: &[u8]) -> DeliveryView {
        self.event = Some(String::from_utf8_lossy(event).into_owned());
        self
    }
}

impl AttemptView {
    fn new(attempt: &Attempt) -> AttemptView {
        let outcome = attempt.outcome.as_ref();
        AttemptView {
            number: attempt.number,
            started_at: rfc3339(attempt.started_at),
            duration_ms: attempt.duration.map(duration_ms),
            http_status: outcome.and_then(|outcome| outcome.http_status),
            error: outcome
                .and_then(|outcome| outcome.error.as_ref())
                .map(|error| ErrorView {
                    kind: error.kind.as_str(),
                    message: error.message.clone(),
                }),
            maybe_received: outcome.is_some_and(|outcome| outcome.maybe_received),
            response_body: outcome
                .and_then(|outcome| outcome.response_body.as_deref())
                .map(|body| String::from_utf8_lossy(body).into_owned()),
            note: outcome.and_then(|outcome| outcome.note.clone()),
            insecure: attempt.insecure,
            sent_to: attempt.sent_to.clone(),
        }
    }
}

/// An indented value, for `-o json`.
pub fn pretty(value: &impl Serialize) -> String {
    visible_json(
        serde_json::to_string_pretty(value).expect("views hold only strings, numbers and booleans"),
    )
}

/// A value on one line, for `-o ndjson`.
pub fn compact(value: &impl Serialize) -> String {
    visible_json(
        serde_json::to_string(value).expect("views hold only strings, numbers and booleans"),
    )
}

/// A value with secrets masked in all its strings.
pub fn redacted(value: &impl Serialize, redactor: &Redactor) -> serde_json::Value {
    fn redact(value: &mut serde_json::Value, redactor: &Redactor) {
        match value {
            serde_json::Value::String(text) => *text = redactor.redact(text),
            serde_json::Value::Array(values) => {
                values.iter_mut().for_each(|value| redact(value, redactor))
            }
            serde_json::Value::Object(members) => members
                .values_mut()
                .for_each(|value| redact(value, redactor)),
            _ => {}
        }
    }
    let mut value =
        serde_json::to_value(value).expect("views hold only strings, numbers and booleans");
    redact(&mut value, redactor);
    value
}

/// A JSON array that is written element by element, one per line.
#[derive(Debug, Default)]
pub struct Array {
    has_elements: bool,
}

impl Array {
    /// The text of the next element, with the bracket or comma before it.
    pub fn element(&mut self, value: &impl Serialize) -> String {
        let before = if std::mem::replace(&mut self.has_elements, true) {
            ","
        } else {
            "["
        };
        format!("{before}{}", compact(value))
    }

    pub fn end(&self) -> &'static str {
        if self.has_elements { "]" } else { "[]" }
    }
}

/// `{"error":{"kind":…,"message":…,"hints":[…]}}` on one line, with the causes in the message.
pub fn error(report: &ErrorReport<'_>) -> String {
    let message = report
        .causes
        .iter()
        .fold(report.message.to_owned(), |message, cause| {
            format!("{message}: {cause}")
        });
    let error =
        serde_json::json!({ "kind": report.kind, "message": message, "hints": report.hints });
    compact(&serde_json::json!({ "error": error }))
}
