//! The rows that both implementations insert: the names of the columns, and their values.

use super::captures::StoredCapture;
use super::records::{Import, NewAttempt};
use super::stored::{params_json, schedule_json, signature_json, signing_json};
use super::values::{NewRow, milliseconds};
use crate::delivery::Delivery;
use crate::delivery::payload::PayloadKind;
use crate::delivery::switches::Switch;
use crate::event::BodyFormat;
use crate::time::{UnixMs, duration_ms};

/// The note of an imported delivery's first attempt.
const IMPORT_NOTE: &str = "imported from a list of failed deliveries; not sent by hookfire";

/// A row of `deliveries`, without an id. `lease` is the owner and the end of its lease.
pub fn delivery<'a>(
    delivery: &'a Delivery,
    payload: &'a [u8],
    lease: Option<(&'a str, UnixMs)>,
) -> NewRow<'a> {
    let Delivery {
        target,
        retry_policy,
        ..
    } = delivery;
    let error = delivery.last_error.as_ref();
    let content_type = match &delivery.payload_kind {
        PayloadKind::Event(_) => None,
        PayloadKind::Body { content_type } => Some(content_type),
    };
    let format = delivery.payload_kind.event_format();
    vec![
        ("uuid", (&delivery.uuid).into()),
        ("type", (&delivery.event_type).into()),
        ("action", (&delivery.action).into()),
        ("endpoint", (&delivery.endpoint).into()),
        ("url", target.base.as_str().into()),
        ("params", params_json(&target.params).into()),
        ("headers", params_json(&target.headers).into()),
        ("signing", target.signing.as_ref().map(signing_json).into()),
        ("retries", retry_policy.retries.into()),
        (
            "retry_interval_ms",
            duration_ms(retry_policy.interval).into(),
        ),
        (
            "retry_schedule",
            retry_policy.schedule.as_ref().map(schedule_json).into(),
        ),
        ("success_statuses", retry_policy.success.to_string().into()),
        ("status", delivery.status.as_str().into()),
        ("created_at", delivery.created_at.into()),
        ("finished_at", delivery.finished_at.into()),
        ("next_attempt_at", delivery.next_attempt_at.into()),
        ("attempt_count", delivery.attempt_count.into()),
        ("error_kind", error.map(|error| error.kind.as_str()).into()),
        (
            "error_status",
            error.and_then(|error| error.http_status).into(),
        ),
        ("error_message", error.map(|error| &error.message).into()),
        ("owner", lease.map(|(owner, _)| owner).into()),
        ("lease_until", lease.map(|(_, until)| until).into()),
        ("last_owner", (&delivery.last_owner).into()),
        ("method", (&delivery.method).into()),
        ("body_format", format.map(BodyFormat::as_str).into()),
        ("content_type", content_type.into()),
        ("ignored_by", delivery.ignored_by.map(Switch::as_str).into()),
        (
            "listed_failure_time",
            (&delivery.listed_failure_time).into(),
        ),
        ("capture_id", delivery.capture.into()),
        ("sequence", (&delivery.sequence).into()),
        ("payload", payload.into()),
    ]
}

/// A row of `attempts`, of an attempt that begins at `now`.
pub fn attempt(delivery_id: i64, number: u32, attempt: &NewAttempt, now: UnixMs) -> NewRow<'_> {
    vec![
        ("delivery_id", delivery_id.into()),
        ("number", number.into()),
        ("started_at", now.into()),
        ("insecure", attempt.insecure.into()),
        ("sent_to", (&attempt.sent_to).into()),
    ]
}

/// A row of `attempts`, of the failure that an import lists.
pub fn imported_attempt(delivery_id: i64, import: &Import) -> NewRow<'_> {
    let error = &import.error;
    vec![
        ("delivery_id", delivery_id.into()),
        ("number", 1_u32.into()),
        ("started_at", import.failed_at.into()),
        ("insecure", false.into()),
        ("http_status", error.http_status.into()),
        ("error_kind", error.kind.as_str().into()),
        ("error_message", (&error.message).into()),
        ("note", IMPORT_NOTE.into()),
    ]
}

/// A row of `captures`, without an id.
pub fn capture(new: &StoredCapture, bin_id: i64) -> NewRow<'_> {
    let StoredCapture { record, body, .. } = new;
    let (capture, event) = (&record.capture, record.event.as_ref());
    let signature = capture.signature.as_ref().map(signature_json);
    let response = &capture.response;
    vec![
        ("bin_id", bin_id.into()),
        ("received_at", capture.received_at.into()),
        ("remote_addr", capture.remote_addr.to_string().into()),
        ("method", capture.method().into()),
        ("type", event.map(|event| &event.event_type).into()),
        ("action", event.map(|event| &event.action).into()),
        ("malformed", capture.malformed.into()),
        ("secret_ok", capture.secret_ok.into()),
        ("signature", signature.into()),
        ("handshake", (&capture.handshake).into()),
        ("body_size", (body.bytes.len() as i64).into()),
        ("head", (&*capture.head).into()),
        ("body", body.bytes.as_slice().into()),
        ("wire_body", body.wire.as_deref().into()),
        ("response_status", response.status.into()),
        (
            "response_duration_ms",
            milliseconds(response.duration_ms).into(),
        ),
        ("response_note", (&response.note).into()),
    ]
}
