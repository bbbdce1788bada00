//! The JSON forms of deliveries and errors. The order and names of keys are a contract.
//!
//! Characters that could deceive a terminal are written as JSON escapes, which mean the same.

use serde::Serialize;
use serde_json::{Value, json};

use super::ErrorReport;
use super::capture_json::BodyView;
use crate::delivery::payload::PayloadKind;
use crate::delivery::switches::Switch;
use crate::delivery::{Attempt, Delivery};
use crate::event::BodyFormat;
use crate::sanitize::visible_json;
use crate::secret::Redactor;
use crate::time::{duration_ms, rfc3339};

/// A delivery, as in lists.
pub fn delivery_view(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id,
        "uuid": delivery.uuid,
        "type": delivery.event_type,
        "action": delivery.action,
        "endpoint": delivery.endpoint,
        "url": delivery.target.to_string(),
        "method": delivery.method,
        "content_type": delivery.payload_kind.content_type(),
        "wire": delivery.payload_kind.event_format().map(BodyFormat::as_str),
        "sign": delivery.target.signing.as_ref().map(|signing| signing.scheme.name()),
        "status": delivery.status.as_str(),
        "capture_id": delivery.capture,
        "in_order": delivery.sequence.is_some(),
        "ignored_by": delivery.ignored_by.map(Switch::as_str),
        "created_at": rfc3339(delivery.created_at),
        "finished_at": delivery.finished_at.map(rfc3339),
        "next_attempt_at": delivery.next_attempt_at.map(rfc3339),
        "attempt_count": delivery.attempt_count,
        "last_error": delivery.last_error.as_ref().map(|error| json!({
            "kind": error.kind.as_str(),
            "http_status": error.http_status,
            "message": error.message,
        })),
        "owner": delivery.last_owner,
    })
}

/// A delivery with its attempts.
pub fn delivery_with_attempts(delivery: &Delivery, attempts: &[Attempt]) -> Value {
    let mut view = delivery_view(delivery);
    view["attempts"] = attempts.iter().map(attempt_view).collect();
    view
}

/// A delivery with its attempts and its payload: `event`, or else `body` with its `body_encoding`.
pub fn whole_delivery(delivery: &Delivery, attempts: &[Attempt], payload: &[u8]) -> Value {
    let mut view = delivery_with_attempts(delivery, attempts);
    match delivery.payload_kind {
        PayloadKind::Event(_) => view["event"] = String::from_utf8_lossy(payload).into(),
        PayloadKind::Body { .. } => {
            let body = BodyView::new(payload);
            view["body"] = body.text().into();
            view["body_encoding"] = body.encoding().into();
        }
    }
    view
}

fn attempt_view(attempt: &Attempt) -> Value {
    let outcome = attempt.outcome.as_ref();
    let error = outcome.and_then(|outcome| outcome.error.as_ref());
    let body = outcome.and_then(|outcome| outcome.response_body.as_deref());
    json!({
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_at),
        "duration_ms": attempt.duration.map(duration_ms),
        "http_status": outcome.and_then(|outcome| outcome.http_status),
        "error": error.map(|error| json!({
            "kind": error.kind.as_str(),
            "message": error.message,
        })),
        "maybe_received": outcome.is_some_and(|outcome| outcome.maybe_received),
        "response_headers": outcome
            .filter(|outcome| outcome.http_status.is_some())
            .map(|outcome| &outcome.response_headers),
        "response_body": body.map(String::from_utf8_lossy),
        "note": outcome.and_then(|outcome| outcome.note.as_ref()),
        "insecure": attempt.insecure,
        "sent_to": attempt.sent_to,
    })
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
pub fn redacted(value: &impl Serialize, redactor: &Redactor) -> Value {
    fn redact(value: &mut Value, redactor: &Redactor) {
        match value {
            Value::String(text) => *text = redactor.redact(text),
            Value::Array(values) => values.iter_mut().for_each(|value| redact(value, redactor)),
            Value::Object(members) => members
                .values_mut()
                .for_each(|value| redact(value, redactor)),
            _ => {}
        }
    }
    let mut value = json!(value);
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
    let error = json!({ "kind": report.kind, "message": message, "hints": report.hints });
    compact(&json!({ "error": error }))
}
