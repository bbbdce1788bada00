//! Reading and deleting captures and bins. Ids of captures are never reused.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::rows::{for_sqlite, select};
use super::{SqliteJournal, runs};
use crate::capture::{Bin, BinResponse, Body, CaptureRecord, Run};
use crate::delivery::Delivery;
use crate::journal::rows::{self, BIN_COLUMNS, CAPTURE_COLUMNS, DELIVERY_COLUMNS};
use crate::journal::{
    CaptureQuery, Captures, FollowCursor, JournalError, Slice, StoredCapture, WriteResult,
    statements, stored,
};
use crate::time::UnixMs;

/// SQL condition: a delivery forwards the capture `c` and is not delivered yet.
pub const IS_FORWARDED: &str = "EXISTS (SELECT * FROM deliveries INDEXED BY deliveries_forwarding
     WHERE capture_id = c.id AND status <> 'delivered')";

/// SQL condition: a delivery forwards the capture `c`, or has forwarded it.
pub const HAS_DELIVERY: &str = "EXISTS (SELECT * FROM deliveries WHERE capture_id = c.id)";

impl Captures for SqliteJournal {
    fn captures(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, JournalError> {
        let captures = statements::captures(query);
        self.read(|conn| select(conn, &captures, |row| rows::capture(row)))
    }

    fn capture(&self, id: i64) -> Result<Option<StoredCapture>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {CAPTURE_COLUMNS}, body, wire_body FROM captures c JOIN bins b ON b.id = c.bin_id
                 WHERE c.id = ?1"
            ))?
            .query_row([id], |row| {
                let (bytes, wire) = (row.get(17)?, row.get(18)?);
                Ok(StoredCapture {
                    record: rows::capture(row)?,
                    body: Body { bytes, wire },
                    bin_response: None,
                })
            })
            .optional()
        })
    }

    fn runs(&self, capture: i64) -> Result<Vec<Run>, JournalError> {
        self.read(|conn| runs::list(conn, capture))
    }

    fn forwards(&self, captures: &[i64]) -> Result<Vec<Delivery>, JournalError> {
        let ids = serde_json::json!(captures).to_string();
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {DELIVERY_COLUMNS} FROM deliveries
                 WHERE capture_id IN (SELECT value FROM json_each(?1)) ORDER BY id"
            ))?
            .query_map([&ids], |row| self.row(row))?
            .collect()
        })
    }

    fn newest_capture(&self) -> Result<i64, JournalError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT coalesce(max(id), 0) FROM captures")?
                .query_row([], |row| row.get(0))
        })
    }

    fn ids_in_bin(&self, name: &str, until: i64) -> Result<Vec<i64>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT id FROM captures
                 WHERE bin_id = (SELECT id FROM bins WHERE name = ?1) AND id <= ?2 ORDER BY id",
            )?
            .query_map(params![name, until], |row| row.get(0))?
            .collect()
        })
    }

    fn annotate_capture(
        &self,
        id: i64,
        pinned: bool,
        note: Option<&str>,
    ) -> Result<bool, JournalError> {
        self.write(|tx| {
            let changed = tx
                .prepare_cached("UPDATE captures SET pinned = ?2, note = ?3 WHERE id = ?1")?
                .execute(params![id, pinned, note])?;
            Ok(changed > 0)
        })
    }

    fn delete_captures_slice(&self, ids: &[i64]) -> Result<Slice, JournalError> {
        self.write(remember_newest)?;
        self.write_slice(ids, |tx, id| {
            tx.prepare_cached(&format!(
                "DELETE FROM captures AS c WHERE c.id = ?1 AND NOT {IS_FORWARDED}"
            ))?
            .execute([id])
        })
    }

    fn bins(&self) -> Result<Vec<Bin>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(&bins_sql("ORDER BY b.name"))?
                .query_map([], |row| rows::bin(row))?
                .collect()
        })
    }

    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError> {
        self.read(|conn| bin_named(conn, name).optional())
    }

    fn bin_position(&self, name: &str, last_id: i64) -> Result<Option<FollowCursor>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT created_at, ?2, deleted + (SELECT count(*) FROM captures WHERE bin_id = bins.id AND id <= ?2)
                 FROM bins WHERE name = ?1",
            )?
            .query_row(params![name, last_id], |row| rows::follow_cursor(row))
            .optional()
        })
    }

    fn cursor(&self, name: &str) -> Result<Option<FollowCursor>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT bin_created_at, last_id, seen FROM cursors WHERE name = ?1",
            )?
            .query_row([name], |row| rows::follow_cursor(row))
            .optional()
        })
    }

    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError> {
        self.write(|tx| {
            insert_bin(tx, name, private, now)?;
            bin_named(tx, name)
        })
    }

    fn set_bin_response(
        &self,
        name: &str,
        response: Option<&BinResponse>,
    ) -> Result<bool, JournalError> {
        let json = response.map(|response| serde_json::json!(response).to_string());
        self.write(|tx| {
            let changed = tx
                .prepare_cached("UPDATE bins SET response = ?2 WHERE name = ?1")?
                .execute(params![name, json])?;
            Ok(changed > 0)
        })
    }

    fn delete_bin(&self, name: &str) -> Result<bool, JournalError> {
        self.write(|tx| {
            let deleted = tx
                .prepare_cached(
                    "DELETE FROM bins WHERE name = ?1
                         AND NOT EXISTS (SELECT * FROM captures WHERE bin_id = bins.id)",
                )?
                .execute([name])?;
            Ok(deleted > 0)
        })
    }
}

fn bins_sql(rest: &str) -> String {
    for_sqlite(&format!("SELECT {BIN_COLUMNS} FROM bins b {rest}"))
}

fn bin_named(conn: &Connection, name: &str) -> rusqlite::Result<Bin> {
    conn.prepare_cached(&bins_sql("WHERE b.name = ?1"))?
        .query_row([name], |row| rows::bin(row))
}

pub fn insert_bin(
    tx: &Transaction<'_>,
    name: &str,
    private: bool,
    now: UnixMs,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO bins (name, private, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
    )?
    .execute(params![name, private, now])?;
    Ok(())
}

/// The highest id that a capture has or had.
pub fn newest_id(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    tx.prepare_cached(
        "SELECT max(newest_capture, (SELECT coalesce(max(id), 0) FROM captures)) FROM deleted_ids",
    )?
    .query_row([], |row| row.get(0))
}

/// Call it before deleting captures, so that the id of the newest is not used again.
fn remember_newest(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let newest = newest_id(tx)?;
    tx.prepare_cached("UPDATE deleted_ids SET newest_capture = ?1 WHERE newest_capture < ?1")?
        .execute([newest])?;
    Ok(())
}

pub fn exists(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT 1 FROM captures WHERE id = ?1")?
        .exists([id])
}

/// Fails with [`StatementChangedRows`](rusqlite::Error::StatementChangedRows) if the cursor is not `from`.
pub fn move_cursor(
    tx: &Transaction<'_>,
    name: &str,
    from: Option<&FollowCursor>,
    to: &FollowCursor,
) -> rusqlite::Result<WriteResult> {
    let changed = match from {
        None => tx
            .prepare_cached(
                "INSERT INTO cursors (name, bin_created_at, last_id, seen) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO NOTHING",
            )?
            .execute(params![name, to.bin_created_at, to.last_id, to.seen])?,
        Some(from) => tx
            .prepare_cached(
                "UPDATE cursors SET bin_created_at = ?2, last_id = ?3, seen = ?4
                 WHERE name = ?1 AND bin_created_at = ?5 AND last_id = ?6 AND seen = ?7",
            )?
            .execute(params![
                name,
                to.bin_created_at,
                to.last_id,
                to.seen,
                from.bin_created_at,
                from.last_id,
                from.seen
            ])?,
    };
    match changed {
        1 => Ok(WriteResult::Done),
        _ => Err(rusqlite::Error::StatementChangedRows(changed)),
    }
}

/// The response of the bin with this id.
pub fn bin_response(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<BinResponse>> {
    tx.prepare_cached("SELECT response FROM bins WHERE id = ?1")?
        .query_row([id], |row| Ok(stored::bin_response(row.get(0)?)))
}
