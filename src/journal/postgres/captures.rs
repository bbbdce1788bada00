//! Reading and deleting captures and bins.

use super::error::PostgresError;
use super::new_captures::{IS_FORWARDED, lock};
use super::{PostgresJournal, SLICE};
use crate::capture::{Bin, BinResponse, CaptureRecord, Run};
use crate::delivery::Delivery;
use crate::journal::rows::{self, Row as _};
use crate::journal::values::SqlValue;
use crate::journal::{
    CaptureQuery, Captures, FollowCursor, JournalError, Slice, StoredCapture, statements,
};
use crate::time::UnixMs;

impl Captures for PostgresJournal {
    fn captures(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, JournalError> {
        self.all(&statements::captures(query), rows::capture)
    }

    fn capture(&self, id: i64) -> Result<Option<StoredCapture>, JournalError> {
        self.first(&statements::capture(id), rows::stored_capture)
    }

    fn runs(&self, capture: i64) -> Result<Vec<Run>, JournalError> {
        self.all(&statements::runs(capture), rows::run)
    }

    fn forwards(&self, captures: &[i64]) -> Result<Vec<Delivery>, JournalError> {
        let ids = SqlValue::ints(captures.iter().copied());
        let forwards = statements::deliveries_where("capture_id = ANY($1) ORDER BY id", ids);
        self.all(&forwards, rows::delivery)
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
        let slice = &ids[..ids.len().min(SLICE)];
        let changed = self.connection.write(|session| {
            // Transactions with captures change the rows of bins too, in another order.
            lock(session)?;
            let sql = format!(
                "WITH gone AS (
                     DELETE FROM hookfire.captures WHERE id IN (
                         SELECT c.id FROM hookfire.captures c WHERE c.id = ANY($1) AND NOT {IS_FORWARDED}
                         ORDER BY c.id FOR UPDATE)
                     RETURNING bin_id),
                 counted AS (
                     UPDATE hookfire.bins b SET deleted = b.deleted + of_bin.count
                     FROM (SELECT bin_id, count(*) FROM gone GROUP BY bin_id) of_bin WHERE b.id = of_bin.bin_id)
                 SELECT count(*) FROM gone"
            );
            let row = session.row(&sql, &[SqlValue::ints(slice.iter().copied())])?;
            row.map_or(Ok(0), |row| row.read(0))
        })?;
        Ok(Slice {
            done: slice.len(),
            changed,
        })
    }

    fn bins(&self) -> Result<Vec<Bin>, JournalError> {
        // In the order of bytes, as SQLite.
        self.all(&statements::bins("b.name COLLATE \"C\""), rows::bin)
    }

    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError> {
        self.first(&statements::bin(name), rows::bin)
    }

    fn bin_position(&self, name: &str, last_id: i64) -> Result<Option<FollowCursor>, JournalError> {
        let position = statements::bin_position(name, last_id);
        self.first(&position, rows::follow_cursor)
    }

    fn cursor(&self, name: &str) -> Result<Option<FollowCursor>, JournalError> {
        self.first(&statements::cursor(name), rows::follow_cursor)
    }

    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError> {
        self.connection.write(|session| {
            session.run(&statements::insert_bin(name, private, now))?;
            let rows = session.select(&statements::bin(name))?;
            let row = rows.first();
            rows::bin(row.ok_or_else(|| PostgresError::internal(self.connection.shown()))?)
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
        self.connection.write(|session| {
            // Until the end of the transaction, the bin receives no captures.
            lock(session)?;
            Ok(session.run(&statements::delete_bin(name))? > 0)
        })
    }
}
