//! Deliveries that failed elsewhere, taken into the failed list.
//!
//! A delivery is known by its uuid: what is in the journal already, in whatever state, stays as it is. Where it came from
//! counts as its first attempt, so that its error is told as any other's.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{SqliteJournal, rows};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Target;
use crate::delivery::{Delivery, LastError};
use crate::event::{BodyFormat, Event};
use crate::journal::store::JournalError;
use crate::time::{UnixMs, duration_ms};

/// Pages of the WAL after which it is moved into the main file.
const CHECKPOINT_PAGES: i32 = 1_000;

/// What the first attempt of an imported delivery says of itself.
const NOTE: &str = "made elsewhere; what a list of failures told of it";

/// A delivery that failed elsewhere.
#[derive(Debug)]
pub struct Import<'a> {
    /// Its uuid there and here.
    pub uuid: &'a str,
    /// When it failed last.
    pub failed_at: UnixMs,
    /// The same in the words of the list.
    pub told_time: &'a str,
    /// Why.
    pub error: &'a LastError,
    /// The event.
    pub event: &'a Event,
    /// The configured endpoint that it was meant for.
    pub endpoint: Option<&'a str>,
    /// Where it went.
    pub target: &'a Target,
    /// How its request carries the event from now on.
    pub wire: BodyFormat,
    /// The rule it is sent by from now on.
    pub rule: &'a RetryPolicy,
}

impl SqliteJournal {
    /// Takes them into the failed list, in one commit; tells of each whether it was new.
    ///
    /// # Errors
    /// [`JournalError`]; then none of them was taken.
    pub fn import(&self, deliveries: &[Import<'_>]) -> Result<Vec<bool>, JournalError> {
        let taken = self.write(|tx| deliveries.iter().map(|import| take(tx, import)).collect())?;
        self.refuse_lost_file()?;
        if self.wal_pages() >= CHECKPOINT_PAGES {
            self.checkpoint()?;
        }
        Ok(taken)
    }

    /// Moves what imports left in the WAL: each run of the program that only reads would go through all of it.
    ///
    /// # Errors
    /// [`JournalError`]; what was imported is durable all the same.
    pub fn settle_imports(&self) -> Result<(), JournalError> {
        if self.wal_pages() > 0 {
            self.checkpoint()
        } else {
            Ok(())
        }
    }

    /// When an imported delivery failed, in the words of its list; none if it was tried again since, or never imported.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn told_time(&self, delivery: &Delivery) -> Result<Option<String>, JournalError> {
        if delivery.attempt_count > 1 {
            return Ok(None);
        }
        self.read(|conn| {
            conn.prepare_cached("SELECT told_time FROM imported WHERE delivery_id = ?1")?
                .query_row([delivery.id], |row| row.get(0))
                .optional()
        })
    }

    /// The delivery of this uuid.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn of_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError> {
        self.read(|conn| match find(conn, uuid)? {
            None => Ok(None),
            Some(id) => conn
                .prepare_cached(&format!(
                    "SELECT {} FROM deliveries WHERE id = ?1",
                    rows::DELIVERY_COLUMNS
                ))?
                .query_row([id], rows::delivery)
                .optional(),
        })
    }
}

fn take(tx: &Transaction<'_>, import: &Import<'_>) -> rusqlite::Result<bool> {
    let Import {
        uuid,
        failed_at,
        told_time,
        error,
        event,
        endpoint,
        target,
        wire,
        rule,
    } = import;
    if find(tx, uuid)?.is_some() {
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT INTO deliveries (id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms,
             success, status, created_at, finished_at, attempt_count, error_kind, error_status, error_message, event, form)
         VALUES (1 + max(coalesce((SELECT max(id) FROM deliveries), 0),
                         (SELECT seq FROM sqlite_sequence WHERE name = 'deliveries')),
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'failed', ?11, ?11, 1, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        uuid,
        event.event_type(),
        event.action(),
        endpoint,
        target.base.as_str(),
        rows::kept_json(&target.params),
        rows::kept_json(&target.headers),
        rule.retries,
        duration_ms(rule.interval),
        rule.success.to_string(),
        failed_at.0,
        error.kind.as_str(),
        error.http_status,
        error.message,
        event.bytes(),
        *wire == BodyFormat::Form,
    ])?;
    let id = tx.last_insert_rowid();
    tx.prepare_cached("INSERT INTO imported (uuid, delivery_id, told_time) VALUES (?1, ?2, ?3)")?
        .execute(params![key(uuid), id, told_time])?;
    tx.prepare_cached(
        "INSERT INTO attempts (delivery_id, number, started_at, insecure, http_status, error_kind, error_message, note)
         VALUES (?1, 1, ?2, 0, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![id, failed_at.0, error.http_status, error.kind.as_str(), error.message, NOTE])?;
    Ok(true)
}

/// What a uuid is found by: its hexadecimal digits are the same in either case.
fn key(uuid: &str) -> String {
    uuid.to_ascii_lowercase()
}

/// The id of the delivery of this uuid.
fn find(conn: &Connection, uuid: &str) -> rusqlite::Result<Option<i64>> {
    let uuid = &key(uuid);
    let imported = conn
        .prepare_cached("SELECT delivery_id FROM imported WHERE uuid = ?1")?
        .query_row([uuid], |row| row.get(0))
        .optional()?;
    if imported.is_some() || !may_be_own(uuid) {
        return Ok(imported);
    }
    // Accepting a delivery writes no index of uuids. One look through all of them serves for the whole list.
    let listed = conn
        .prepare_cached("SELECT 1 FROM temp.sqlite_schema WHERE name = 'own_uuids'")?
        .exists([])?;
    if !listed {
        conn.execute_batch(
            "CREATE TEMP TABLE own_uuids (uuid TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
             INSERT OR IGNORE INTO own_uuids SELECT uuid, id FROM deliveries;",
        )?;
    }
    conn.prepare_cached(
        "SELECT id FROM own_uuids JOIN deliveries USING (id) WHERE own_uuids.uuid = ?1",
    )?
    .query_row([uuid], |row| row.get(0))
    .optional()
}

/// Whether it is of the kind that is made here: UUIDv7. 3scale's are of another.
fn may_be_own(uuid: &str) -> bool {
    uuid.len() == 36 && uuid.as_bytes()[14] == b'7'
}
