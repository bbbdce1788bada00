//! Captures and bins as people read and delete them. How captures are kept: see `keeper`.
//!
//! Invariant: no id of a capture is given out twice, whatever was deleted.

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

use super::SqliteJournal;
use super::upkeep::give_room_back;
use crate::capture::{Bin, Body, Capture, CapturedResponse, Caught, EventName, Head};
use crate::journal::store::{CaptureQuery, JournalError, Order};
use crate::time::UnixMs;

const COLUMNS: &str = "captures.id, bins.name, captures.received_at, remote_addr, type, action, malformed, secret_ok, \
     answer_status, answer_duration_ms, answer_note, body_size, head";

/// A bin, its captures counted: over an index, and only when somebody asks.
const BIN: &str =
    "name, private, created_at, (SELECT count(*) FROM captures WHERE bin_id = bins.id)";

pub(super) fn insert_bin(
    tx: &Transaction<'_>,
    name: &str,
    private: bool,
    now: UnixMs,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO bins (name, private, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
    )?
    .execute(params![name, private, now.0])?;
    Ok(())
}

/// To be called before anything is deleted that might be the newest capture.
fn remember_newest(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let newest = newest_id(tx)?;
    tx.execute(
        "UPDATE capture_ids SET newest_deleted = ?1 WHERE newest_deleted < ?1",
        [newest],
    )?;
    Ok(())
}

/// The greatest id that a capture has or had.
pub(super) fn newest_id(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    let sql =
        "SELECT max(newest_deleted, (SELECT coalesce(max(id), 0) FROM captures)) FROM capture_ids";
    tx.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

impl SqliteJournal {
    /// The captures that a query asks for, without their bodies.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn captures(&self, query: &CaptureQuery) -> Result<Vec<Caught>, JournalError> {
        let (sql, values) = select(query);
        self.read(|conn| {
            conn.prepare_cached(&sql)?
                .query_map(params_from_iter(values), caught)?
                .collect()
        })
    }

    /// A capture with its body; none if there is no such id.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn capture(&self, id: i64) -> Result<Option<(Caught, Body)>, JournalError> {
        let sql = format!(
            "SELECT {COLUMNS}, body, wire_body FROM captures JOIN bins ON bins.id = bin_id WHERE captures.id = ?1"
        );
        let read = |row: &Row<'_>| {
            Ok((
                caught(row)?,
                Body {
                    bytes: row.get(13)?,
                    wire: row.get(14)?,
                },
            ))
        };
        self.read(|conn| conn.prepare_cached(&sql)?.query_row([id], read).optional())
    }

    /// The greatest id of a capture, 0 if there is none.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn newest_capture(&self) -> Result<i64, JournalError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT coalesce(max(id), 0) FROM captures")?
                .query_row([], |row| row.get(0))
        })
    }

    /// Deletes these captures, in one commit; returns how many there were.
    ///
    /// # Errors
    /// [`JournalError`]; then none is deleted.
    pub fn delete_captures(&self, ids: &[i64]) -> Result<usize, JournalError> {
        self.write_and_checkpoint(|tx| {
            remember_newest(tx)?;
            let mut statement = tx.prepare_cached("DELETE FROM captures WHERE id = ?1")?;
            let deleted = ids.iter().try_fold(0, |deleted, id| {
                Ok::<_, rusqlite::Error>(deleted + statement.execute([id])?)
            })?;
            give_room_back(tx)?;
            Ok(deleted)
        })
    }

    /// Deletes the captures of a bin up to the one with this id, and leaves the bin; returns how many there were. What came
    /// later was not seen by whoever asked.
    ///
    /// # Errors
    /// [`JournalError`]; then none is deleted.
    pub fn clear_bin(&self, name: &str, until: i64) -> Result<usize, JournalError> {
        self.write_and_checkpoint(|tx| {
            remember_newest(tx)?;
            let sql = "DELETE FROM captures WHERE bin_id = (SELECT id FROM bins WHERE name = ?1) AND id <= ?2";
            let deleted = tx.execute(sql, rusqlite::params![name, until])?;
            give_room_back(tx)?;
            Ok(deleted)
        })
    }

    /// All bins, by name.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn bins(&self) -> Result<Vec<Bin>, JournalError> {
        let sql = format!("SELECT {BIN} FROM bins ORDER BY name");
        self.read(|conn| conn.prepare_cached(&sql)?.query_map([], bin)?.collect())
    }

    /// The bin of that name, if there is one.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError> {
        let sql = format!("SELECT {BIN} FROM bins WHERE name = ?1");
        self.read(|conn| conn.prepare_cached(&sql)?.query_row([name], bin).optional())
    }

    /// Makes a bin; one that is there already is left as it is. Returns the one that is there now.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError> {
        self.write(|tx| {
            insert_bin(tx, name, private, now)?;
            tx.query_row(
                &format!("SELECT {BIN} FROM bins WHERE name = ?1"),
                [name],
                bin,
            )
        })
    }
}

pub(super) fn select(query: &CaptureQuery) -> (String, Vec<Value>) {
    let CaptureQuery {
        bin,
        method,
        event_type,
        action,
        since,
        after,
        before,
        order,
        limit,
    } = query;
    let conditions = [
        (
            "bin_id = (SELECT id FROM bins WHERE name = ?)",
            bin.clone().map(Value::from),
        ),
        ("method = ? COLLATE NOCASE", method.clone().map(Value::from)),
        ("type = ?", event_type.clone().map(Value::from)),
        ("action = ?", action.clone().map(Value::from)),
        ("received_at >= ?", since.map(|since| Value::from(since.0))),
        ("captures.id > ?", after.map(Value::from)),
        ("captures.id < ?", before.map(Value::from)),
    ];
    let (mut sql, mut values) = (String::from("TRUE"), Vec::new());
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        }
    }
    let direction = match order {
        Order::OldestFirst => "ASC",
        Order::NewestFirst => "DESC",
    };
    values.push(Value::from(limit.map_or(-1, i64::from)));
    let sql = format!(
        "SELECT {COLUMNS} FROM captures JOIN bins ON bins.id = bin_id WHERE {sql} ORDER BY captures.id {direction} LIMIT ?"
    );
    (sql, values)
}

/// Reads a row of [`COLUMNS`].
fn caught(row: &Row<'_>) -> rusqlite::Result<Caught> {
    let remote_addr: String = row.get(3)?;
    let remote_addr = remote_addr
        .parse()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(e)))?;
    let head = Head::read(row.get(12)?);
    let event = match (row.get(4)?, row.get(5)?) {
        (Some(event_type), Some(action)) => Some(EventName { event_type, action }),
        _ => None,
    };
    Ok(Caught {
        id: row.get(0)?,
        bin: row.get(1)?,
        event,
        body_size: row.get::<_, i64>(11)?.unsigned_abs(),
        capture: Capture {
            received_at: UnixMs(row.get(2)?),
            remote_addr,
            head,
            malformed: row.get(6)?,
            secret_ok: row.get(7)?,
            response: CapturedResponse {
                status: row.get(8)?,
                duration_ms: row.get::<_, i64>(9)?.unsigned_abs(),
                note: row.get(10)?,
            },
        },
    })
}

fn bin(row: &Row<'_>) -> rusqlite::Result<Bin> {
    Ok(Bin {
        name: row.get(0)?,
        private: row.get(1)?,
        created_at: UnixMs(row.get(2)?),
        request_count: row.get::<_, i64>(3)?.unsigned_abs(),
    })
}
