//! Conversion of records to rows, and of rows to records.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::values::NewRow;
use crate::capture::{Bin, Capture, CaptureRecord, CapturedResponse, EventName, Head};
use crate::delivery::payload::PayloadKind;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::delivery::{Attempt, AttemptError, Delivery, ErrorKind, LastError, Outcome, Status};
use crate::event::BodyFormat;
use crate::journal::stored::{self, params_json};
use crate::journal::{DeliveryVersion, StoredCapture};
use crate::secret::safe_url::BaseUrl;
use crate::time::{UnixMs, duration_ms};

use super::error::PostgresError;

/// The columns that [`delivery`] reads, in its order.
pub const DELIVERY_COLUMNS: &str = "id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms, \
     success_statuses, status, created_at, finished_at, next_attempt_at, attempt_count, error_kind, error_status, error_message, \
     method, body_format, content_type, ignored_by, owner IS NOT NULL, \
     CASE WHEN attempt_count <= 1 THEN listed_failure_time END, retry_schedule, signing, \
     last_owner, capture_id, sequence";

/// The columns that [`attempt`] reads, in its order.
pub const ATTEMPT_COLUMNS: &str = "number, started_at, duration_ms, insecure, sent_to, http_status, error_kind, \
     error_message, maybe_received, response_body, note, response_headers";

/// The columns that [`capture`] reads, in its order.
pub const CAPTURE_COLUMNS: &str = "c.id, b.name, c.received_at, c.remote_addr, c.type, c.action, c.malformed, c.secret_ok, \
     c.response_status, c.response_duration_ms, c.response_note, c.body_size, c.pinned, c.note, c.signature, c.handshake, c.head";

/// The columns that [`bin`] reads.
pub const BIN_COLUMNS: &str = "b.name, b.private, b.created_at, \
     (SELECT count(*) FROM hookfire.captures c WHERE c.bin_id = b.id), \
     (SELECT c.received_at FROM hookfire.captures c WHERE c.bin_id = b.id ORDER BY c.id DESC LIMIT 1), b.response";

impl<'a> FromSql<'a> for UnixMs {
    fn from_sql(
        ty: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<UnixMs, Box<dyn std::error::Error + Sync + Send>> {
        i64::from_sql(ty, raw).map(UnixMs)
    }

    fn accepts(ty: &tokio_postgres::types::Type) -> bool {
        <i64 as FromSql>::accepts(ty)
    }
}

/// A row of `deliveries`. `lease` is the owner and the end of its lease.
pub fn new_delivery<'a>(
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
        (
            "signing",
            target.signing.as_ref().map(stored::signing_json).into(),
        ),
        ("retries", retry_policy.retries.into()),
        (
            "retry_interval_ms",
            duration_ms(retry_policy.interval).into(),
        ),
        (
            "retry_schedule",
            retry_policy
                .schedule
                .as_ref()
                .map(stored::schedule_json)
                .into(),
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

/// The values of a new row of `captures`.
pub fn new_capture(new: &StoredCapture, bin_id: i64) -> NewRow<'_> {
    let StoredCapture { record, body, .. } = new;
    let (capture, event) = (&record.capture, record.event.as_ref());
    let signature = capture.signature.as_ref().map(stored::signature_json);
    let mut row: NewRow<'_> = vec![
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
    ];
    row.extend(captured_response(&capture.response));
    row
}

/// The columns of a capture's response.
pub fn captured_response(response: &CapturedResponse) -> NewRow<'_> {
    let duration_ms = i64::try_from(response.duration_ms).unwrap_or(i64::MAX);
    vec![
        ("response_status", response.status.into()),
        ("response_duration_ms", duration_ms.into()),
        ("response_note", (&response.note).into()),
    ]
}

/// A column of a type that the database stores as a larger one.
pub fn number<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<Option<T>, PostgresError> {
    let number: Option<i64> = row.try_get(column)?;
    Ok(number.and_then(|number| T::try_from(number).ok()))
}

/// A column of text that `read` understands.
fn parsed<T>(
    row: &Row,
    column: usize,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, PostgresError> {
    let text: Option<&str> = row.try_get(column)?;
    let Some(text) = text else {
        return Ok(None);
    };
    match read(text) {
        Some(value) => Ok(Some(value)),
        None => Err(PostgresError::unreadable(row.columns()[column].name())),
    }
}

/// A column that is never NULL.
fn required<T>(row: &Row, column: usize, value: Option<T>) -> Result<T, PostgresError> {
    value.ok_or_else(|| PostgresError::unreadable(row.columns()[column].name()))
}

/// Reads a row of [`DELIVERY_COLUMNS`].
pub fn delivery(row: &Row) -> Result<Delivery, PostgresError> {
    let status = required(row, 11, parsed(row, 11, Status::from_name)?)?;
    // Interrupted deliveries may be scheduled too; records show a next attempt only for pending ones.
    let next_attempt_at: Option<UnixMs> = row.try_get(14)?;
    let last_error = match parsed(row, 16, ErrorKind::from_name)? {
        None => None,
        Some(kind) => Some(LastError {
            kind,
            http_status: number(row, 17)?,
            message: row.try_get::<_, Option<String>>(18)?.unwrap_or_default(),
        }),
    };
    let json = |column| {
        let params = parsed(row, column, |json| serde_json::from_str(json).ok())?;
        required(row, column, params)
    };
    let payload_kind =
        stored::payload_kind(parsed(row, 20, BodyFormat::from_name)?, row.try_get(21)?);
    Ok(Delivery {
        id: row.try_get(0)?,
        uuid: row.try_get(1)?,
        event_type: row.try_get(2)?,
        action: row.try_get(3)?,
        endpoint: row.try_get(4)?,
        target: Target {
            base: BaseUrl::parse_lossy(row.try_get(5)?),
            params: json(6)?,
            headers: json(7)?,
            signing: parsed(row, 26, |json| serde_json::from_str(json).ok())?,
        },
        method: row.try_get(19)?,
        payload_kind: required(row, 20, payload_kind)?,
        capture: row.try_get(28)?,
        sequence: row.try_get(29)?,
        retry_policy: RetryPolicy {
            retries: required(row, 8, number(row, 8)?)?,
            interval: milliseconds(row.try_get(9)?),
            schedule: parsed(row, 25, |json| serde_json::from_str(json).ok())?
                .and_then(stored::retry_schedule),
            success: required(row, 10, parsed(row, 10, |text| text.parse().ok())?)?,
        },
        status,
        ignored_by: parsed(row, 22, Switch::from_name)?,
        created_at: row.try_get(12)?,
        finished_at: row.try_get(13)?,
        next_attempt_at: next_attempt_at.filter(|_| status == Status::Pending),
        attempt_count: required(row, 15, number(row, 15)?)?,
        last_error,
        is_owned: row.try_get(23)?,
        last_owner: row.try_get(27)?,
        listed_failure_time: row.try_get(24)?,
    })
}

/// Reads a row of [`ATTEMPT_COLUMNS`].
pub fn attempt(row: &Row) -> Result<Attempt, PostgresError> {
    let duration: Option<i64> = row.try_get(2)?;
    let kind = parsed(row, 6, ErrorKind::from_name)?;
    let mut outcome = None;
    if duration.is_some() || kind.is_some() {
        let message = row.try_get::<_, Option<String>>(7)?.unwrap_or_default();
        outcome = Some(Outcome {
            http_status: number(row, 5)?,
            error: kind.map(|kind| AttemptError { kind, message }),
            maybe_received: row.try_get(8)?,
            response_headers: parsed(row, 11, |json| serde_json::from_str(json).ok())?
                .unwrap_or_default(),
            response_body: row.try_get(9)?,
            note: row.try_get(10)?,
        });
    }
    Ok(Attempt {
        number: required(row, 0, number(row, 0)?)?,
        started_at: row.try_get(1)?,
        duration: duration.map(milliseconds),
        insecure: row.try_get(3)?,
        sent_to: row.try_get(4)?,
        outcome,
    })
}

/// Reads a row of [`CAPTURE_COLUMNS`].
pub fn capture(row: &Row) -> Result<CaptureRecord, PostgresError> {
    let event = match (row.try_get(4)?, row.try_get(5)?) {
        (Some(event_type), Some(action)) => Some(EventName { event_type, action }),
        _ => None,
    };
    let remote_addr = parsed(row, 3, |text| text.parse().ok())?;
    Ok(CaptureRecord {
        id: row.try_get(0)?,
        bin: row.try_get(1)?,
        event,
        body_size: number(row, 11)?.unwrap_or_default(),
        pinned: row.try_get(12)?,
        note: row.try_get(13)?,
        capture: Capture {
            received_at: row.try_get(2)?,
            remote_addr: required(row, 3, remote_addr)?,
            head: Head::read(row.try_get(16)?),
            malformed: row.try_get(6)?,
            secret_ok: row.try_get(7)?,
            signature: stored::signature_check(row.try_get(14)?),
            handshake: row.try_get(15)?,
            response: CapturedResponse {
                status: number(row, 8)?,
                duration_ms: number(row, 9)?.unwrap_or_default(),
                note: row.try_get(10)?,
            },
        },
    })
}

/// Reads a row of [`BIN_COLUMNS`].
pub fn bin(row: &Row) -> Result<Bin, PostgresError> {
    Ok(Bin {
        name: row.try_get(0)?,
        private: row.try_get(1)?,
        created_at: row.try_get(2)?,
        request_count: number(row, 3)?.unwrap_or_default(),
        last_capture_at: row.try_get(4)?,
        response: stored::bin_response(row.try_get(5)?),
    })
}

/// Reads an id and an attempt count.
pub fn version(row: &Row) -> Result<DeliveryVersion, PostgresError> {
    Ok(DeliveryVersion {
        id: row.try_get(0)?,
        attempts: required(row, 1, number(row, 1)?)?,
    })
}

fn milliseconds(value: i64) -> Duration {
    Duration::from_millis(value.unsigned_abs())
}
