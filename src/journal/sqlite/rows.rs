//! Rows to domain and back: the only place that knows how a delivery lies in its columns.
//!
//! Secret values have no way in: a parameter is kept as its public value, or as the reference to its secret, or by its
//! name alone.

use std::time::Duration;

use rusqlite::Row;
use rusqlite::types::Type;
use serde::{Deserialize, Serialize};

use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::{Param, Target, Value};
use crate::delivery::{Attempt, AttemptError, Delivery, ErrorKind, LastError, Outcome, Status};
use crate::event::BodyFormat;
use crate::secret::SecretSource;
use crate::secret::safe_url::BaseUrl;
use crate::time::UnixMs;

/// The columns that [`delivery`] reads, in its order.
pub const DELIVERY_COLUMNS: &str = "id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms, \
     success, status, created_at, finished_at, next_attempt_at, attempt_count, error_kind, error_status, error_message, \
     form, ignored_by";

/// The columns that [`attempt`] reads, in its order.
pub const ATTEMPT_COLUMNS: &str = "number, started_at, duration_ms, insecure, sent_to, http_status, error_kind, \
     error_message, maybe_received, response_body, note";

/// A parameter or header as it is kept: exactly one of the two, or neither for a secret whose value is not kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Parameters or headers as one column's JSON.
pub fn kept_json(list: &[Param]) -> String {
    let kept: Vec<Kept> = list
        .iter()
        .map(|named| {
            let (value, secret) = match &named.value {
                Value::Public(value) => (Some(value.clone()), None),
                Value::Secret(source) => (None, source.reference()),
            };
            Kept {
                name: named.name.clone(),
                value,
                secret,
            }
        })
        .collect();
    serde_json::to_string(&kept).expect("strings always serialise")
}

fn kept(json: &str) -> serde_json::Result<Vec<Param>> {
    let kept: Vec<Kept> = serde_json::from_str(json)?;
    Ok(kept
        .into_iter()
        .map(|kept| match (kept.value, kept.secret) {
            (Some(value), _) => Param::public(kept.name, value),
            (None, Some(reference)) => {
                let source = SecretSource::parse(&reference).unwrap_or(SecretSource::Forgotten);
                Param::secret(kept.name, source)
            }
            (None, None) => Param::secret(kept.name, SecretSource::Forgotten),
        })
        .collect())
}

/// Reads a row of [`DELIVERY_COLUMNS`].
pub fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let status = status(row, 11)?;
    // One that a dead process left behind has a time too, but nobody who said that there would be another attempt.
    let next_attempt_at = row
        .get::<_, Option<i64>>(14)?
        .filter(|_| status == Status::Pending);
    Ok(Delivery {
        id: row.get(0)?,
        uuid: row.get(1)?,
        event_type: row.get(2)?,
        action: row.get(3)?,
        endpoint: row.get(4)?,
        target: Target {
            base: text(row, 5, |url| BaseUrl::parse(url).map(|(base, _)| base))?,
            params: text(row, 6, kept)?,
            headers: text(row, 7, kept)?,
        },
        wire: if row.get(19)? {
            BodyFormat::Form
        } else {
            BodyFormat::Xml
        },
        rule: RetryPolicy {
            retries: row.get(8)?,
            interval: milliseconds(row.get(9)?),
            success: text(row, 10, str::parse)?,
        },
        status,
        ignored_by: match row.get::<_, Option<String>>(20)? {
            None => None,
            Some(_) => Some(text(row, 20, |name| {
                Switch::from_name(name).ok_or(UnknownWord)
            })?),
        },
        created_at: UnixMs(row.get(12)?),
        finished_at: row.get::<_, Option<i64>>(13)?.map(UnixMs),
        next_attempt_at: next_attempt_at.map(UnixMs),
        attempt_count: row.get(15)?,
        last_error: match optional_kind(row, 16)? {
            None => None,
            Some(kind) => Some(LastError {
                kind,
                http_status: row.get(17)?,
                message: row.get::<_, Option<String>>(18)?.unwrap_or_default(),
            }),
        },
    })
}

/// Reads a column that holds a status.
pub fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<Status> {
    text(row, column, |name| {
        Status::from_name(name).ok_or(UnknownWord)
    })
}

/// Reads a row of [`ATTEMPT_COLUMNS`].
pub fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let duration: Option<i64> = row.get(2)?;
    let kind = optional_kind(row, 6)?;
    let outcome = if duration.is_none() && kind.is_none() {
        None
    } else {
        let message = row.get::<_, Option<String>>(7)?.unwrap_or_default();
        Some(Outcome {
            http_status: row.get(5)?,
            error: kind.map(|kind| AttemptError { kind, message }),
            maybe_received: row.get(8)?,
            response_body: row.get(9)?,
            note: row.get(10)?,
        })
    };
    Ok(Attempt {
        number: row.get(0)?,
        started_at: UnixMs(row.get(1)?),
        duration: duration.map(milliseconds),
        insecure: row.get(3)?,
        sent_to: row.get(4)?,
        outcome,
    })
}

/// Reads a count from the first column.
pub fn count(row: &Row<'_>) -> rusqlite::Result<usize> {
    let count: i64 = row.get(0)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn optional_kind(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ErrorKind>> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(None),
        Some(_) => text(row, column, |name| {
            ErrorKind::from_name(name).ok_or(UnknownWord)
        })
        .map(Some),
    }
}

fn milliseconds(value: i64) -> Duration {
    Duration::from_millis(value.unsigned_abs())
}

#[derive(Debug, thiserror::Error)]
#[error("a word that this version does not know")]
struct UnknownWord;

/// Reads a text column through `parse`; what it refuses is damage, since only this program writes the journal.
fn text<T, E>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let value: String = row.get(column)?;
    parse(&value)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}
