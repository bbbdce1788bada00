//! Reading and deleting captures and bins. Ids of captures are never reused.

use rusqlite::Transaction;

use super::SqliteJournal;
use super::rows::{execute, first};
use crate::capture::{Bin, BinResponse, CaptureRecord, Run};
use crate::delivery::Delivery;
use crate::journal::rows::{self, Row as _};
use crate::journal::{
    CaptureQuery, Captures, FollowCursor, JournalError, Slice, StoredCapture, statements, stored,
};
use crate::time::UnixMs;

/// SQL condition: a delivery forwards the capture `c` and is not delivered yet.
pub const IS_FORWARDED: &str = "EXISTS (SELECT * FROM deliveries INDEXED BY deliveries_forwarding
     WHERE capture_id = c.id AND status <> 'delivered')";

/// SQL condition: a delivery forwards the capture `c`, or has forwarded it.
pub const HAS_DELIVERY: &str = "EXISTS (SELECT * FROM deliveries WHERE capture_id = c.id)";

impl Captures for SqliteJournal {
    fn captures(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, JournalError> {
        self.all(&statements::captures(query), |row| rows::capture(row))
    }

    fn capture(&self, id: i64) -> Result<Option<StoredCapture>, JournalError> {
        self.first(&statements::capture(id), |row| rows::stored_capture(row))
    }

    fn runs(&self, capture: i64) -> Result<Vec<Run>, JournalError> {
        self.all(&statements::runs(capture), |row| rows::run(row))
    }

    fn forwards(&self, captures: &[i64]) -> Result<Vec<Delivery>, JournalError> {
        let ids = serde_json::json!(captures).to_string();
        let forwards = statements::deliveries_where(
            "capture_id IN (SELECT value FROM json_each($1)) ORDER BY id",
            ids,
        );
        self.all(&forwards, |row| self.row(row))
    }

    fn newest_capture(&self) -> Result<i64, JournalError> {
        self.value(&statements::newest_capture())
    }

    fn ids_in_bin(&self, name: &str, until: i64) -> Result<Vec<i64>, JournalError> {
        self.all(&statements::ids_in_bin(name, until), |row| row.read(0))
    }

    fn annotate_capture(
        &self,
        id: i64,
        pinned: bool,
        note: Option<&str>,
    ) -> Result<bool, JournalError> {
        self.changes(&statements::annotate_capture(id, pinned, note))
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
        self.all(&statements::bins("b.name"), |row| rows::bin(row))
    }

    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError> {
        self.first(&statements::bin(name), |row| rows::bin(row))
    }

    fn bin_position(&self, name: &str, last_id: i64) -> Result<Option<FollowCursor>, JournalError> {
        let position = statements::bin_position(name, last_id);
        self.first(&position, |row| rows::follow_cursor(row))
    }

    fn cursor(&self, name: &str) -> Result<Option<FollowCursor>, JournalError> {
        self.first(&statements::cursor(name), |row| rows::follow_cursor(row))
    }

    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError> {
        self.write(|tx| {
            execute(tx, &statements::insert_bin(name, private, now))?;
            first(tx, &statements::bin(name), |row| rows::bin(row))?
                .ok_or(rusqlite::Error::QueryReturnedNoRows)
        })
    }

    fn set_bin_response(
        &self,
        name: &str,
        response: Option<&BinResponse>,
    ) -> Result<bool, JournalError> {
        self.changes(&statements::set_bin_response(name, response))
    }

    fn delete_bin(&self, name: &str) -> Result<bool, JournalError> {
        self.changes(&statements::delete_bin(name))
    }
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

/// The response of the bin with this id.
pub fn bin_response(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<BinResponse>> {
    tx.prepare_cached("SELECT response FROM bins WHERE id = ?1")?
        .query_row([id], |row| Ok(stored::bin_response(row.get(0)?)))
}
