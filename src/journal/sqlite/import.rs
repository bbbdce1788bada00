//! Importing deliveries that another sender failed to deliver.
//!
//! A delivery whose uuid the journal has is not imported again. The imported failure becomes the first attempt.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::rows;
use crate::delivery::Delivery;
use crate::event::BodyFormat;
use crate::journal::Import;
use crate::time::duration_ms;

/// The note of an imported delivery's first attempt.
const NOTE: &str = "imported from a list of failed deliveries; not sent by hookfire";

/// When an imported delivery failed, as written in the imported list; `None` if it was retried since.
pub fn listed_failure_time(
    conn: &Connection,
    delivery: &Delivery,
) -> rusqlite::Result<Option<String>> {
    let found = conn
        .prepare_cached("SELECT told_time FROM deliveries WHERE id = ?1 AND attempt_count <= 1")?
        .query_row([delivery.id], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

/// The id of the delivery with this uuid, whose hexadecimal digits may be in either case.
pub fn find(conn: &Connection, uuid: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM deliveries WHERE uuid = ?1")?
        .query_row([uuid], |row| row.get(0))
        .optional()
}

/// Adds a delivery to the failed list. Returns false if one with its uuid exists.
pub fn import(tx: &Transaction<'_>, import: &Import<'_>) -> rusqlite::Result<bool> {
    if find(tx, import.uuid)?.is_some() {
        return Ok(false);
    }
    let Import {
        error,
        event,
        target,
        retry_policy,
        ..
    } = import;
    tx.prepare_cached(
        "INSERT INTO deliveries (id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms,
             success, status, created_at, finished_at, attempt_count, error_kind, error_status, error_message, event,
             form, told_time)
         VALUES (1 + max(coalesce((SELECT max(id) FROM deliveries), 0), (SELECT newest_delivery FROM deleted_ids)),
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'failed', ?11, ?11, 1, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?
    .execute(params![
        import.uuid,
        event.event_type(),
        event.action(),
        import.endpoint,
        target.base.as_str(),
        rows::params_json(&target.params),
        rows::params_json(&target.headers),
        retry_policy.retries,
        duration_ms(retry_policy.interval),
        retry_policy.success.to_string(),
        import.failed_at.0,
        error.kind.as_str(),
        error.http_status,
        error.message,
        event.bytes(),
        import.wire == BodyFormat::Form,
        import.listed_failure_time,
    ])?;
    let id = tx.last_insert_rowid();
    tx.prepare_cached(
        "INSERT INTO attempts (delivery_id, number, started_at, insecure, http_status, error_kind, error_message, note)
         VALUES (?1, 1, ?2, 0, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![id, import.failed_at.0, error.http_status, error.kind.as_str(), error.message, NOTE])?;
    Ok(true)
}
