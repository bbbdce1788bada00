//! Deliveries that failed elsewhere, added to the failed list.
//!
//! A delivery is recognised by its uuid; one that exists already stays as it is. The failure elsewhere is its first attempt.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::rows;
use crate::delivery::Delivery;
use crate::event::BodyFormat;
use crate::journal::Import;
use crate::time::duration_ms;

/// The note of an imported delivery's first attempt.
const NOTE: &str = "made elsewhere; what a list of failures told of it";

/// When an imported delivery failed, as its list wrote it; `None` if it was retried since.
pub fn told_time(conn: &Connection, delivery: &Delivery) -> rusqlite::Result<Option<String>> {
    if delivery.attempt_count > 1 {
        return Ok(None);
    }
    conn.prepare_cached("SELECT told_time FROM imported WHERE delivery_id = ?1")?
        .query_row([delivery.id], |row| row.get(0))
        .optional()
}

/// Adds a delivery to the failed list; false if one with its uuid exists.
pub fn import(tx: &Transaction<'_>, import: &Import<'_>) -> rusqlite::Result<bool> {
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
         VALUES (1 + max(coalesce((SELECT max(id) FROM deliveries), 0), (SELECT newest_delivery FROM deleted_ids)),
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'failed', ?11, ?11, 1, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        uuid,
        event.event_type(),
        event.action(),
        endpoint,
        target.base.as_str(),
        rows::params_json(&target.params),
        rows::params_json(&target.headers),
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
pub fn find(conn: &Connection, uuid: &str) -> rusqlite::Result<Option<i64>> {
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
