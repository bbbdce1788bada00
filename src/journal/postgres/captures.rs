//! Reading and deleting captures and bins.

use super::error::PostgresError;
use super::new_captures::{IS_FORWARDED, insert_bin, lock};
use super::session::Session;
use super::{PostgresJournal, SLICE, runs};
use crate::capture::{Bin, BinResponse, Body, CaptureRecord, Run};
use crate::delivery::Delivery;
use crate::journal::rows::{self, BIN_COLUMNS, CAPTURE_COLUMNS, DELIVERY_COLUMNS, Row as _};
use crate::journal::values::SqlValue;
use crate::journal::{
    CaptureQuery, Captures, FollowCursor, JournalError, Slice, StoredCapture, statements,
};
use crate::time::UnixMs;

impl Captures for PostgresJournal {
    fn captures(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, JournalError> {
        let select = statements::captures(query);
        self.connection
            .read(|session| session.select(&select)?.iter().map(rows::capture).collect())
    }

    fn capture(&self, id: i64) -> Result<Option<StoredCapture>, JournalError> {
        let sql = format!(
            "SELECT {CAPTURE_COLUMNS}, c.body, c.wire_body
             FROM hookfire.captures c JOIN hookfire.bins b ON b.id = c.bin_id WHERE c.id = $1"
        );
        self.connection.read(|session| {
            let Some(row) = session.row(&sql, &[id.into()])? else {
                return Ok(None);
            };
            Ok(Some(StoredCapture {
                record: rows::capture(&row)?,
                body: Body {
                    bytes: row.try_get(17)?,
                    wire: row.try_get(18)?,
                },
                bin_response: None,
            }))
        })
    }

    fn runs(&self, capture: i64) -> Result<Vec<Run>, JournalError> {
        self.connection.read(|session| runs::list(session, capture))
    }

    fn forwards(&self, captures: &[i64]) -> Result<Vec<Delivery>, JournalError> {
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} FROM hookfire.deliveries WHERE capture_id = ANY($1) ORDER BY id"
        );
        self.connection.read(|session| {
            let ids = SqlValue::ints(captures.iter().copied());
            let rows = session.rows(&sql, &[ids])?;
            rows.iter().map(rows::delivery).collect()
        })
    }

    fn newest_capture(&self) -> Result<i64, JournalError> {
        self.number("SELECT coalesce(max(id), 0) FROM hookfire.captures", &[])
    }

    fn ids_in_bin(&self, name: &str, until: i64) -> Result<Vec<i64>, JournalError> {
        self.connection.read(|session| {
            let rows = session.rows(
                "SELECT c.id FROM hookfire.captures c JOIN hookfire.bins b ON b.id = c.bin_id
                 WHERE b.name = $1 AND c.id <= $2 ORDER BY c.id",
                &[name.into(), until.into()],
            )?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
    }

    fn annotate_capture(
        &self,
        id: i64,
        pinned: bool,
        note: Option<&str>,
    ) -> Result<bool, JournalError> {
        self.changes(
            "UPDATE hookfire.captures SET pinned = $2, note = $3 WHERE id = $1",
            &[id.into(), pinned.into(), note.into()],
        )
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
        let sql =
            format!("SELECT {BIN_COLUMNS} FROM hookfire.bins b ORDER BY b.name COLLATE \"C\"");
        self.connection.read(|session| {
            let rows = session.rows(&sql, &[])?;
            rows.iter().map(rows::bin).collect()
        })
    }

    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError> {
        self.connection.read(|session| {
            let row = session.row(&bin_sql(), &[name.into()])?;
            row.as_ref().map(rows::bin).transpose()
        })
    }

    fn bin_position(&self, name: &str, last_id: i64) -> Result<Option<FollowCursor>, JournalError> {
        let sql = "SELECT b.created_at, $2::bigint, b.deleted +
                 (SELECT count(*) FROM hookfire.captures c WHERE c.bin_id = b.id AND c.id <= $2)
             FROM hookfire.bins b WHERE b.name = $1";
        self.connection.read(|session| {
            let row = session.row(sql, &[name.into(), last_id.into()])?;
            row.as_ref().map(rows::follow_cursor).transpose()
        })
    }

    fn cursor(&self, name: &str) -> Result<Option<FollowCursor>, JournalError> {
        let sql = "SELECT bin_created_at, last_id, seen FROM hookfire.cursors WHERE name = $1";
        self.connection.read(|session| {
            let row = session.row(sql, &[name.into()])?;
            row.as_ref().map(rows::follow_cursor).transpose()
        })
    }

    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError> {
        self.connection.write(|session| {
            insert_bin(session, name, private, now)?;
            let row = session.row(&bin_sql(), &[name.into()])?;
            let row = row.ok_or_else(|| PostgresError::internal(self.connection.shown()))?;
            rows::bin(&row)
        })
    }

    fn set_bin_response(
        &self,
        name: &str,
        response: Option<&BinResponse>,
    ) -> Result<bool, JournalError> {
        let json = response.map(|response| serde_json::json!(response).to_string());
        self.changes(
            "UPDATE hookfire.bins SET response = $2 WHERE name = $1",
            &[name.into(), json.as_ref().into()],
        )
    }

    fn delete_bin(&self, name: &str) -> Result<bool, JournalError> {
        self.changes(
            "DELETE FROM hookfire.bins b WHERE b.name = $1
                 AND NOT EXISTS (SELECT 1 FROM hookfire.captures c WHERE c.bin_id = b.id)",
            &[name.into()],
        )
    }
}

/// Fails if the cursor is not `from`.
pub fn move_cursor(
    session: &mut Session,
    name: &str,
    from: Option<&FollowCursor>,
    to: &FollowCursor,
) -> Result<(), PostgresError> {
    let mut values = vec![
        name.into(),
        to.bin_created_at.into(),
        to.last_id.into(),
        to.seen.into(),
    ];
    let sql = match from {
        None => {
            "INSERT INTO hookfire.cursors (name, bin_created_at, last_id, seen) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO NOTHING"
        }
        Some(from) => {
            values.extend([
                from.bin_created_at.into(),
                from.last_id.into(),
                from.seen.into(),
            ]);
            "UPDATE hookfire.cursors SET bin_created_at = $2, last_id = $3, seen = $4
             WHERE name = $1 AND bin_created_at = $5 AND last_id = $6 AND seen = $7"
        }
    };
    match session.execute(sql, &values)? {
        1 => Ok(()),
        _ => Err(JournalError::CursorMoved.into()),
    }
}

fn bin_sql() -> String {
    format!("SELECT {BIN_COLUMNS} FROM hookfire.bins b WHERE b.name = $1")
}
