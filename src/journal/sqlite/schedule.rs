//! The schedule: deliveries that wait for their next attempt and have no owner.
//!
//! Each condition repeats the WHERE clause of the index `deliveries_due`; otherwise SQLite does not use the index.

use rusqlite::{Connection, Transaction, params};

use super::attempts::interrupt_sql;
use crate::journal::{DeliveryVersion, Due};
use crate::time::UnixMs;

/// Has two parts, because for `(next_attempt_at, id) > (?2, ?3)` SQLite would use only the first column of the index,
/// and thousands of deliveries may be due at the same moment.
pub const DUE_SQL: &str = "SELECT * FROM
     (SELECT next_attempt_at, id, attempt_count, url FROM deliveries
      WHERE next_attempt_at IS NOT NULL AND owner IS NULL
          AND next_attempt_at = ?2 AND next_attempt_at <= ?1 AND id > ?3 AND (?5 IS NULL OR url = ?5)
      ORDER BY id LIMIT ?4)
     UNION ALL SELECT * FROM
     (SELECT next_attempt_at, id, attempt_count, url FROM deliveries
      WHERE next_attempt_at IS NOT NULL AND owner IS NULL
          AND next_attempt_at > ?2 AND next_attempt_at <= ?1 AND (?5 IS NULL OR url = ?5)
      ORDER BY next_attempt_at, id LIMIT ?4)
     ORDER BY 1, 2 LIMIT ?4";

pub const NEXT_DUE_SQL: &str = "SELECT min(next_attempt_at) FROM deliveries
     WHERE next_attempt_at IS NOT NULL AND owner IS NULL AND next_attempt_at > ?1";

/// SQL condition: scheduled, and unchanged since it was read. Parameters: id, attempt count.
const UNCHANGED: &str =
    "next_attempt_at IS NOT NULL AND owner IS NULL AND id = ?1 AND attempt_count = ?2";

pub fn due(
    conn: &Connection,
    now: UnixMs,
    after: Option<(UnixMs, i64)>,
    limit: u32,
    url: Option<&str>,
) -> rusqlite::Result<Vec<Due>> {
    let (at, id) = after.map_or((i64::MIN, 0), |(at, id)| (at.0, id));
    conn.prepare_cached(DUE_SQL)?
        .query_map(params![now.0, at, id, limit, url], |row| {
            Ok(Due {
                at: UnixMs(row.get(0)?),
                seen: DeliveryVersion {
                    id: row.get(1)?,
                    attempts: row.get(2)?,
                },
                url: row.get(3)?,
            })
        })?
        .collect()
}

pub fn next_due(conn: &Connection, now: UnixMs) -> rusqlite::Result<Option<UnixMs>> {
    let due: Option<i64> = conn
        .prepare_cached(NEXT_DUE_SQL)?
        .query_row([now.0], |row| row.get(0))?;
    Ok(due.map(UnixMs))
}

pub fn reschedule(
    tx: &Transaction<'_>,
    seen: DeliveryVersion,
    due: UnixMs,
) -> rusqlite::Result<bool> {
    let rows = tx
        .prepare_cached(&format!(
            "UPDATE deliveries SET next_attempt_at = ?3 WHERE {UNCHANGED}"
        ))?
        .execute(params![seen.id, seen.attempts, due.0])?;
    Ok(rows == 1)
}

/// Moves a scheduled delivery to the failed list. Returns how many rows it changed.
pub fn cancel(tx: &Transaction<'_>, seen: DeliveryVersion) -> rusqlite::Result<usize> {
    tx.prepare_cached(&interrupt_sql(UNCHANGED, "NULL"))?
        .execute(params![seen.id, seen.attempts])
}

/// Returns `pending` deliveries only: those whose owner died are in the failed list already.
pub fn scheduled(
    conn: &Connection,
    endpoint: Option<&str>,
) -> rusqlite::Result<Vec<DeliveryVersion>> {
    conn.prepare_cached(
        "SELECT id, attempt_count FROM deliveries
         WHERE next_attempt_at IS NOT NULL AND owner IS NULL AND status = 'pending'
             AND (?1 IS NULL OR endpoint = ?1)
         ORDER BY id",
    )?
    .query_map([endpoint], |row| {
        Ok(DeliveryVersion {
            id: row.get(0)?,
            attempts: row.get(1)?,
        })
    })?
    .collect()
}
