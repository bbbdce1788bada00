//! What the implementations of the journal share: how they store parts of records as text, and new records.

use std::time::Duration;

use serde_json::json;

use super::captures::StoredCapture;
use super::records::{Forward, Import, NewDelivery};
use crate::capture::{BinResponse, Capture, SignatureCheck, is_bin_name};
use crate::delivery::payload::{PayloadKind, is_content_type};
use crate::delivery::retry_policy::RetrySchedule;
use crate::delivery::signing::Signing;
use crate::delivery::target::Param;
use crate::delivery::{Delivery, Status};
use crate::event::BodyFormat;
use crate::signature::{InvalidKind, InvalidSignature};
use crate::text;
use crate::time::{UnixMs, duration_ms};

/// A pending delivery that has an owner, or has neither an owner nor a due time.
pub struct InProgress {
    pub id: i64,
    pub owner: Option<String>,
    pub lease_until: UnixMs,
}

/// The content type of a captured request without one, or with one that cannot be shown.
const UNKNOWN_CONTENT_TYPE: &str = "application/octet-stream";

pub const INTERRUPTED_MESSAGE: &str = "its process ended before a response was recorded";

/// What the check of a journal reports about undelivered deliveries whose captures do not exist.
pub fn lost_captures_problem(deliveries: usize) -> Option<String> {
    (deliveries > 0).then(|| {
        text::count(
            deliveries,
            "undelivered delivery forwards a capture that does not exist",
            "undelivered deliveries forward captures that do not exist",
        )
    })
}

/// Parameters or headers as JSON: of a secret, only its name and reference.
pub fn params_json(params: &[Param]) -> String {
    serde_json::to_string(params).expect("strings always serialise")
}

/// The scheme and the references of its secrets as JSON.
pub fn signing_json(signing: &Signing) -> String {
    serde_json::to_string(signing).expect("strings always serialise")
}

/// A retry schedule as JSON.
pub fn schedule_json(schedule: &RetrySchedule) -> String {
    let intervals: Vec<i64> = schedule
        .intervals()
        .iter()
        .copied()
        .map(duration_ms)
        .collect();
    serde_json::to_string(&intervals).expect("numbers always serialise")
}

/// None for a schedule that this version cannot read.
pub fn retry_schedule(intervals: Vec<u64>) -> Option<RetrySchedule> {
    let intervals = intervals.into_iter().map(Duration::from_millis);
    RetrySchedule::new(intervals.collect())
}

/// Headers of a response as JSON; none without headers.
pub fn headers_json(headers: &[(String, String)]) -> Option<String> {
    let json = || serde_json::to_string(headers).expect("strings always serialise");
    (!headers.is_empty()).then(json)
}

/// An event has a body format, any other payload a content type. None for neither.
pub fn payload_kind(
    format: Option<BodyFormat>,
    content_type: Option<String>,
) -> Option<PayloadKind> {
    match (format, content_type) {
        (Some(format), _) => Some(PayloadKind::Event(format)),
        (None, Some(content_type)) => Some(PayloadKind::Body { content_type }),
        (None, None) => None,
    }
}

/// A delivery that was accepted at `now`, before its first attempt.
pub fn new_delivery(new: &NewDelivery, id: i64, uuid: String, now: UnixMs) -> Delivery {
    Delivery {
        id,
        uuid,
        event_type: new.payload.event_type.clone(),
        action: new.payload.action.clone(),
        endpoint: new.endpoint.clone(),
        target: new.target.clone(),
        payload_kind: new.payload.kind.clone(),
        capture: None,
        sequence: None,
        method: new.payload.method.clone(),
        retry_policy: new.retry_policy.clone(),
        status: Status::Pending,
        ignored_by: None,
        created_at: now,
        finished_at: None,
        next_attempt_at: None,
        attempt_count: 0,
        last_error: None,
        is_owned: false,
        last_owner: None,
        listed_failure_time: None,
    }
}

/// A delivery that another sender failed to deliver.
pub fn imported_delivery(import: &Import, id: i64) -> Delivery {
    Delivery {
        status: Status::Failed,
        finished_at: Some(import.failed_at),
        attempt_count: 1,
        last_error: Some(import.error.clone()),
        listed_failure_time: Some(import.listed_failure_time.clone()),
        ..new_delivery(&import.delivery, id, import.uuid.clone(), import.failed_at)
    }
}

/// A delivery that forwards a capture of `bin`, due at `now`.
pub fn forwarding_delivery(
    forward: &Forward,
    captured: &StoredCapture,
    (capture, bin): (i64, &str),
    id: i64,
    uuid: String,
    now: UnixMs,
) -> Delivery {
    let record = &captured.record;
    let event = record.event.as_ref();
    let content_type = record.capture.header("content-type").unwrap_or_default();
    let content_type = String::from_utf8_lossy(content_type);
    let content_type = match is_content_type(&content_type) {
        true => content_type.into_owned(),
        false => UNKNOWN_CONTENT_TYPE.to_owned(),
    };
    let sequence = || format!("{bin} {}", forward.target.base.as_str());
    Delivery {
        id,
        uuid,
        event_type: event.map(|event| event.event_type.clone()),
        action: event.map(|event| event.action.clone()),
        endpoint: forward.endpoint.clone(),
        target: forward.target.clone(),
        payload_kind: PayloadKind::Body { content_type },
        capture: Some(capture),
        sequence: forward.in_order.then(sequence),
        method: record.capture.method().to_owned(),
        retry_policy: forward.retry_policy.clone(),
        status: Status::Pending,
        ignored_by: None,
        created_at: now,
        finished_at: None,
        next_attempt_at: Some(now),
        attempt_count: 0,
        last_error: None,
        is_owned: false,
        last_owner: None,
        listed_failure_time: None,
    }
}

/// The bin that the first segment of a request's path names, whether or not it exists.
pub fn named_bin(capture: &Capture) -> Option<&str> {
    let named = capture.path().split('/').nth(1).unwrap_or_default();
    is_bin_name(named).then_some(named)
}

pub fn signature_json(check: &SignatureCheck) -> String {
    let scheme = &check.scheme;
    let json = match &check.invalid {
        None => json!({ "scheme": scheme }),
        Some(fault) => {
            json!({ "scheme": scheme, "reason": fault.kind.as_str(), "detail": fault.detail })
        }
    };
    json.to_string()
}

/// None for text that this version cannot read.
pub fn signature_check(json: Option<String>) -> Option<SignatureCheck> {
    let json: serde_json::Value = serde_json::from_str(&json?).ok()?;
    let text = |key: &str| json.get(key)?.as_str();
    let fault = |reason| {
        let kind = InvalidKind::named(reason).unwrap_or(InvalidKind::Mismatch);
        InvalidSignature::new(kind, text("detail").unwrap_or_default())
    };
    Some(SignatureCheck {
        scheme: text("scheme")?.to_owned(),
        invalid: text("reason").map(fault),
    })
}

/// None for text that this version cannot read: the bin then responds as if it had no response of its own.
pub fn bin_response(json: Option<String>) -> Option<BinResponse> {
    serde_json::from_str(&json?).ok()
}
