//! How the implementations read rows: the columns that a statement selects, and the records they become.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::captures::{FollowCursor, StoredCapture};
use super::records::{DeliveryVersion, Due};
use super::stored::{self, InProgress};
use crate::capture::{Bin, Body, Capture, CaptureRecord, CapturedResponse, EventName, Head, Run};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::delivery::{Attempt, AttemptError, Delivery, ErrorKind, LastError, Outcome, Status};
use crate::event::BodyFormat;
use crate::secret::safe_url::BaseUrl;
use crate::time::UnixMs;

/// The columns that [`delivery`] reads, in its order.
pub const DELIVERY_COLUMNS: &str = "id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms, \
     success_statuses, status, created_at, finished_at, next_attempt_at, attempt_count, error_kind, error_status, error_message, \
     method, body_format, content_type, ignored_by, owner IS NOT NULL, \
     CASE WHEN attempt_count <= 1 THEN listed_failure_time END, retry_schedule, signing, \
     last_owner, capture_id, sequence";

/// The columns that [`attempt`] reads, in its order.
pub const ATTEMPT_COLUMNS: &str = "number, started_at, duration_ms, insecure, sent_to, http_status, error_kind, \
     error_message, maybe_received, response_body, note, response_headers";

/// The columns that [`capture`] reads, in its order, of `captures c JOIN bins b`.
pub const CAPTURE_COLUMNS: &str = "c.id, b.name, c.received_at, c.remote_addr, c.type, c.action, c.malformed, c.secret_ok, \
     c.response_status, c.response_duration_ms, c.response_note, c.body_size, c.pinned, c.note, c.signature, c.handshake, c.head";

/// The columns that [`bin`] reads, in its order, of `bins b`.
pub const BIN_COLUMNS: &str = "b.name, b.private, b.created_at, \
     (SELECT count(*) FROM hookfire.captures c WHERE c.bin_id = b.id), \
     (SELECT c.received_at FROM hookfire.captures c WHERE c.bin_id = b.id ORDER BY c.id DESC LIMIT 1), b.response";

/// The columns that [`run`] reads, in its order.
pub const RUN_COLUMNS: &str = "number, command, started_at, duration_ms, exit_code, error, stderr";

/// The columns that [`due`] reads, in its order; after them, [`DUE_TARGET`].
pub const DUE_COLUMNS: &str = "next_attempt_at, id, attempt_count, url";

/// What identifies the target of a delivery: see [`Due::target`].
pub const DUE_TARGET: &str = "coalesce(endpoint, '') || ' ' || url || ' ' || params || ' ' || headers || ' ' || coalesce(signing, '')";

/// A row that a statement returned.
pub trait Row {
    type Error;

    fn value(&self, column: usize) -> Result<Value<'_>, Self::Error>;
    /// The error for a column whose value this version cannot read: the journal is damaged.
    fn unreadable(&self, column: usize) -> Self::Error;

    fn read<'r, T: FromValue<'r>>(&'r self, column: usize) -> Result<T, Self::Error> {
        T::from_value(self.value(column)?).ok_or_else(|| self.unreadable(column))
    }
}

/// What a column contains.
pub enum Value<'r> {
    Null,
    Int(i64),
    /// SQLite has integers instead.
    Bool(bool),
    Text(&'r str),
    Bytes(&'r [u8]),
}

/// A type that columns are read as.
pub trait FromValue<'r>: Sized {
    /// None for a value that is not of this type.
    fn from_value(value: Value<'r>) -> Option<Self>;
}

impl<'r, T: FromValue<'r>> FromValue<'r> for Option<T> {
    fn from_value(value: Value<'r>) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<'r> FromValue<'r> for &'r str {
    fn from_value(value: Value<'r>) -> Option<&'r str> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: Value<'_>) -> Option<String> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: Value<'_>) -> Option<Vec<u8>> {
        match value {
            Value::Bytes(bytes) => Some(bytes.to_owned()),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    fn from_value(value: Value<'_>) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(value),
            Value::Int(number) => Some(number != 0),
            _ => None,
        }
    }
}

impl FromValue<'_> for UnixMs {
    fn from_value(value: Value<'_>) -> Option<UnixMs> {
        i64::from_value(value).map(UnixMs)
    }
}

macro_rules! read_from_integers {
    ($($name:ty),+) => {$(
        impl FromValue<'_> for $name {
            fn from_value(value: Value<'_>) -> Option<$name> {
                match value {
                    Value::Int(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        }
    )+};
}

read_from_integers!(i64, i32, u64, u32, u16, usize);

/// Enums are stored under the names that JSON output uses.
macro_rules! read_from_names {
    ($($name:ty),+) => {$(
        impl FromValue<'_> for $name {
            fn from_value(value: Value<'_>) -> Option<$name> {
                <&str>::from_value(value).and_then(<$name>::from_name)
            }
        }
    )+};
}

read_from_names!(BodyFormat, Status, ErrorKind, Switch);

/// Reads and parses a text column.
fn parsed<R: Row, T>(
    row: &R,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, R::Error> {
    parsed_option(row, column, parse)?.ok_or_else(|| row.unreadable(column))
}

/// As [`parsed`], for a column that may be NULL.
fn parsed_option<R: Row, T>(
    row: &R,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, R::Error> {
    match row.read(column)? {
        None => Ok(None),
        Some(text) => match parse(text) {
            None => Err(row.unreadable(column)),
            parsed => Ok(parsed),
        },
    }
}

fn json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// Reads a row of [`DELIVERY_COLUMNS`].
pub fn delivery<R: Row>(row: &R) -> Result<Delivery, R::Error> {
    let status = row.read(11)?;
    // Interrupted deliveries may be scheduled too; records show a next attempt only for pending ones.
    let next_attempt_at: Option<UnixMs> = row.read(14)?;
    let last_error = match row.read(16)? {
        None => None,
        Some(kind) => Some(LastError {
            kind,
            http_status: row.read(17)?,
            message: row.read::<Option<String>>(18)?.unwrap_or_default(),
        }),
    };
    let payload_kind = stored::payload_kind(row.read(20)?, row.read(21)?);
    Ok(Delivery {
        id: row.read(0)?,
        uuid: row.read(1)?,
        event_type: row.read(2)?,
        action: row.read(3)?,
        endpoint: row.read(4)?,
        target: Target {
            base: BaseUrl::parse_lossy(row.read(5)?),
            params: parsed(row, 6, json)?,
            headers: parsed(row, 7, json)?,
            signing: parsed_option(row, 26, json)?,
        },
        method: row.read(19)?,
        payload_kind: payload_kind.ok_or_else(|| row.unreadable(20))?,
        capture: row.read(28)?,
        sequence: row.read(29)?,
        retry_policy: RetryPolicy {
            retries: row.read(8)?,
            interval: milliseconds(row.read(9)?),
            schedule: parsed_option(row, 25, json)?.and_then(stored::retry_schedule),
            success: parsed(row, 10, |text| text.parse().ok())?,
        },
        status,
        ignored_by: row.read(22)?,
        created_at: row.read(12)?,
        finished_at: row.read(13)?,
        next_attempt_at: next_attempt_at.filter(|_| status == Status::Pending),
        attempt_count: row.read(15)?,
        last_error,
        is_owned: row.read(23)?,
        last_owner: row.read(27)?,
        listed_failure_time: row.read(24)?,
    })
}

/// Reads a row of [`ATTEMPT_COLUMNS`].
pub fn attempt<R: Row>(row: &R) -> Result<Attempt, R::Error> {
    let duration: Option<i64> = row.read(2)?;
    let kind: Option<ErrorKind> = row.read(6)?;
    let mut outcome = None;
    if duration.is_some() || kind.is_some() {
        let message = row.read::<Option<String>>(7)?.unwrap_or_default();
        let headers = parsed_option(row, 11, json)?;
        outcome = Some(Outcome {
            http_status: row.read(5)?,
            error: kind.map(|kind| AttemptError { kind, message }),
            maybe_received: row.read(8)?,
            response_headers: headers.unwrap_or_default(),
            response_body: row.read(9)?,
            note: row.read(10)?,
        });
    }
    Ok(Attempt {
        number: row.read(0)?,
        started_at: row.read(1)?,
        duration: duration.map(milliseconds),
        insecure: row.read(3)?,
        sent_to: row.read(4)?,
        outcome,
    })
}

/// Reads a row of [`CAPTURE_COLUMNS`].
pub fn capture<R: Row>(row: &R) -> Result<CaptureRecord, R::Error> {
    let event = match (row.read(4)?, row.read(5)?) {
        (Some(event_type), Some(action)) => Some(EventName { event_type, action }),
        _ => None,
    };
    Ok(CaptureRecord {
        id: row.read(0)?,
        bin: row.read(1)?,
        event,
        body_size: row.read(11)?,
        pinned: row.read(12)?,
        note: row.read(13)?,
        capture: Capture {
            received_at: row.read(2)?,
            remote_addr: parsed(row, 3, |text| text.parse().ok())?,
            head: Head::read(row.read(16)?),
            malformed: row.read(6)?,
            secret_ok: row.read(7)?,
            signature: stored::signature_check(row.read(14)?),
            handshake: row.read(15)?,
            response: CapturedResponse {
                status: row.read(8)?,
                duration_ms: row.read(9)?,
                note: row.read(10)?,
            },
        },
    })
}

/// Reads a row of [`CAPTURE_COLUMNS`], the body, and the body as it was sent.
pub fn stored_capture<R: Row>(row: &R) -> Result<StoredCapture, R::Error> {
    Ok(StoredCapture {
        record: capture(row)?,
        body: Body {
            bytes: row.read(17)?,
            wire: row.read(18)?,
        },
        bin_response: None,
    })
}

/// Reads a row of [`BIN_COLUMNS`].
pub fn bin<R: Row>(row: &R) -> Result<Bin, R::Error> {
    Ok(Bin {
        name: row.read(0)?,
        private: row.read(1)?,
        created_at: row.read(2)?,
        request_count: row.read(3)?,
        last_capture_at: row.read(4)?,
        response: stored::bin_response(row.read(5)?),
    })
}

/// Reads a row of [`RUN_COLUMNS`].
pub fn run<R: Row>(row: &R) -> Result<Run, R::Error> {
    Ok(Run {
        number: row.read(0)?,
        command: row.read(1)?,
        started_at: row.read(2)?,
        duration_ms: row.read(3)?,
        exit_code: row.read(4)?,
        error: row.read(5)?,
        stderr: row.read(6)?,
    })
}

/// Reads when a bin was created, an id and a number of captures.
pub fn follow_cursor<R: Row>(row: &R) -> Result<FollowCursor, R::Error> {
    Ok(FollowCursor {
        bin_created_at: row.read(0)?,
        last_id: row.read(1)?,
        seen: row.read(2)?,
    })
}

/// Reads an id and an attempt count.
pub fn version<R: Row>(row: &R) -> Result<DeliveryVersion, R::Error> {
    Ok(DeliveryVersion {
        id: row.read(0)?,
        attempts: row.read(1)?,
    })
}

/// Reads a row of [`DUE_COLUMNS`] and [`DUE_TARGET`].
pub fn due<R: Row>(row: &R, in_sequence: bool) -> Result<Due, R::Error> {
    Ok(Due {
        at: row.read(0)?,
        version: DeliveryVersion {
            id: row.read(1)?,
            attempts: row.read(2)?,
        },
        url: row.read(3)?,
        target: row.read(4)?,
        in_sequence,
    })
}

/// Reads an id, an owner and the end of its lease.
pub fn in_progress<R: Row>(row: &R) -> Result<InProgress, R::Error> {
    Ok(InProgress {
        id: row.read(0)?,
        owner: row.read(1)?,
        lease_until: row.read(2)?,
    })
}

fn milliseconds(value: i64) -> Duration {
    Duration::from_millis(value.unsigned_abs())
}
