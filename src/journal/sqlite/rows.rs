//! Conversion of rows to records, and of records to rows.

use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, Transaction, params_from_iter};

use crate::delivery::payload::PayloadKind;
use crate::delivery::retry_policy::{RetryPolicy, RetrySchedule};
use crate::delivery::switches::Switch;
use crate::delivery::target::Target;
use crate::delivery::{Attempt, AttemptError, Delivery, ErrorKind, LastError, Outcome, Status};
use crate::event::BodyFormat;
pub use crate::journal::stored::{headers_json, params_json, schedule_json, signing_json};
use crate::journal::{DeliveryVersion, stored};
use crate::secret::safe_url::BaseUrl;
use crate::time::UnixMs;

/// The columns that [`delivery`] reads, in its order.
pub const DELIVERY_COLUMNS: &str = "id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms, \
     success_statuses, status, created_at, finished_at, next_attempt_at, attempt_count, error_kind, error_status, error_message, \
     method, body_format, content_type, ignored_by, owner IS NOT NULL, iif(attempt_count <= 1, listed_failure_time, NULL), \
     retry_schedule, signing, last_owner, capture_id, sequence";

/// The columns that [`attempt`] reads, in its order.
pub const ATTEMPT_COLUMNS: &str = "number, started_at, duration_ms, insecure, sent_to, http_status, error_kind, \
     error_message, maybe_received, response_body, note, response_headers";

/// Inserts a row of these columns.
pub fn insert(
    tx: &Transaction<'_>,
    table: &str,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<()> {
    let columns: Vec<&str> = values.iter().map(|(column, _)| *column).collect();
    let (columns, marks) = (columns.join(", "), vec!["?"; values.len()].join(", "));
    tx.prepare_cached(&format!("INSERT INTO {table} ({columns}) VALUES ({marks})"))?
        .execute(params_from_iter(values.iter().map(|(_, value)| value)))?;
    Ok(())
}

impl FromSql for UnixMs {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<UnixMs> {
        value.as_i64().map(UnixMs)
    }
}

impl ToSql for UnixMs {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

/// Stores an enum in a text column under the name that JSON output uses.
macro_rules! stored_by_name {
    ($($name:ty),+) => {$(
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$name> {
                <$name>::from_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }
    )+};
}

stored_by_name!(BodyFormat, Status, ErrorKind, Switch);

/// Reads and parses a text column. Text that `parse` rejects is an error: the journal is damaged.
pub fn parsed<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).map_err(|e| FromSqlError::other(e).into())
}

/// As [`parsed`], for a column that may be NULL.
fn parsed_option<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => parsed(row, column, parse).map(Some),
    }
}

/// Reads a row of [`DELIVERY_COLUMNS`].
pub fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let status = row.get(11)?;
    // Interrupted deliveries may be scheduled too; records show a next attempt only for pending ones.
    let next_attempt_at = row.get::<_, Option<UnixMs>>(14)?;
    let last_error = match row.get(16)? {
        None => None,
        Some(kind) => Some(LastError {
            kind,
            http_status: row.get(17)?,
            message: row.get::<_, Option<String>>(18)?.unwrap_or_default(),
        }),
    };
    Ok(Delivery {
        id: row.get(0)?,
        uuid: row.get(1)?,
        event_type: row.get(2)?,
        action: row.get(3)?,
        endpoint: row.get(4)?,
        target: Target {
            base: BaseUrl::parse_lossy(row.get_ref(5)?.as_str()?),
            params: parsed(row, 6, |json| serde_json::from_str(json))?,
            headers: parsed(row, 7, |json| serde_json::from_str(json))?,
            signing: parsed_option(row, 26, |json| serde_json::from_str(json))?,
        },
        method: row.get(19)?,
        payload_kind: payload_kind(row.get(20)?, row.get(21)?)?,
        capture: row.get(28)?,
        sequence: row.get(29)?,
        retry_policy: RetryPolicy {
            retries: row.get(8)?,
            interval: milliseconds(row.get(9)?),
            schedule: retry_schedule(row, 25)?,
            success: parsed(row, 10, str::parse)?,
        },
        status,
        ignored_by: row.get(22)?,
        created_at: row.get(12)?,
        finished_at: row.get(13)?,
        next_attempt_at: next_attempt_at.filter(|_| status == Status::Pending),
        attempt_count: row.get(15)?,
        last_error,
        is_owned: row.get(23)?,
        last_owner: row.get(27)?,
        listed_failure_time: row.get(24)?,
    })
}

fn payload_kind(
    format: Option<BodyFormat>,
    content_type: Option<String>,
) -> rusqlite::Result<PayloadKind> {
    stored::payload_kind(format, content_type).ok_or(FromSqlError::InvalidType.into())
}

fn retry_schedule(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<RetrySchedule>> {
    parsed_option(row, column, |json| {
        serde_json::from_str(json).map(stored::retry_schedule)
    })
    .map(Option::flatten)
}

/// Reads a row of [`ATTEMPT_COLUMNS`].
pub fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let duration: Option<i64> = row.get(2)?;
    let kind: Option<ErrorKind> = row.get(6)?;
    let mut outcome = None;
    if duration.is_some() || kind.is_some() {
        let message = row.get::<_, Option<String>>(7)?.unwrap_or_default();
        outcome = Some(Outcome {
            http_status: row.get(5)?,
            error: kind.map(|kind| AttemptError { kind, message }),
            maybe_received: row.get(8)?,
            response_headers: response_headers(row, 11)?,
            response_body: row.get(9)?,
            note: row.get(10)?,
        });
    }
    Ok(Attempt {
        number: row.get(0)?,
        started_at: row.get(1)?,
        duration: duration.map(milliseconds),
        insecure: row.get(3)?,
        sent_to: row.get(4)?,
        outcome,
    })
}

fn response_headers(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<(String, String)>> {
    if row.get_ref(column)? == ValueRef::Null {
        return Ok(Vec::new());
    }
    parsed(row, column, |json| serde_json::from_str(json))
}

/// Reads an id, an attempt count and a time.
pub fn version(row: &Row<'_>) -> rusqlite::Result<(DeliveryVersion, UnixMs)> {
    let (id, attempts) = (row.get(0)?, row.get(1)?);
    Ok((DeliveryVersion { id, attempts }, row.get(2)?))
}

fn milliseconds(value: i64) -> Duration {
    Duration::from_millis(value.unsigned_abs())
}
