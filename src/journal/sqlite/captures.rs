//! Reading and deleting captures and bins. Ids of captures are never reused.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};

use super::lists::BoundSql;
use super::rows;
use crate::capture::{Bin, Body, Capture, CapturedResponse, Caught, EventName, Head};
use crate::journal::{CaptureQuery, Order};
use crate::time::UnixMs;

const CAPTURE_COLUMNS: &str = "captures.id, bins.name, captures.received_at, remote_addr, type, action, malformed, secret_ok, \
     response_status, response_duration_ms, response_note, body_size, head";

/// The columns that [`bin`] reads.
const BIN_COLUMNS: &str =
    "name, private, created_at, (SELECT count(*) FROM captures WHERE bin_id = bins.id)";

pub fn insert_bin(
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

/// The highest id that a capture has or had.
pub fn newest_id(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    tx.prepare_cached(
        "SELECT max(newest_capture, (SELECT coalesce(max(id), 0) FROM captures)) FROM deleted_ids",
    )?
    .query_row([], |row| row.get(0))
}

/// Call it before deleting captures, so that the id of the newest is not used again.
pub fn remember_newest(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let newest = newest_id(tx)?;
    tx.prepare_cached("UPDATE deleted_ids SET newest_capture = ?1 WHERE newest_capture < ?1")?
        .execute([newest])?;
    Ok(())
}

pub fn list(conn: &Connection, query: &CaptureQuery) -> rusqlite::Result<Vec<Caught>> {
    let select = select(query);
    conn.prepare_cached(&select.sql)?
        .query_map(params_from_iter(select.values), caught)?
        .collect()
}

pub fn capture(conn: &Connection, id: i64) -> rusqlite::Result<Option<(Caught, Body)>> {
    conn.prepare_cached(&format!(
        "SELECT {CAPTURE_COLUMNS}, body, wire_body FROM captures JOIN bins ON bins.id = bin_id WHERE captures.id = ?1"
    ))?
    .query_row([id], |row| {
        let body = Body {
            bytes: row.get(13)?,
            wire: row.get(14)?,
        };
        Ok((caught(row)?, body))
    })
    .optional()
}

pub fn newest(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT coalesce(max(id), 0) FROM captures")?
        .query_row([], |row| row.get(0))
}

/// Returns how many rows it deleted.
pub fn delete(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached("DELETE FROM captures WHERE id = ?1")?
        .execute([id])
}

/// The ids of a bin's captures that are at most `until`.
pub fn ids_in_bin(conn: &Connection, name: &str, until: i64) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT id FROM captures WHERE bin_id = (SELECT id FROM bins WHERE name = ?1) AND id <= ?2 ORDER BY id",
    )?
    .query_map(params![name, until], |row| row.get(0))?
    .collect()
}

pub fn bins(conn: &Connection) -> rusqlite::Result<Vec<Bin>> {
    conn.prepare_cached(&format!("SELECT {BIN_COLUMNS} FROM bins ORDER BY name"))?
        .query_map([], bin)?
        .collect()
}

pub fn bin_named(conn: &Connection, name: &str) -> rusqlite::Result<Option<Bin>> {
    conn.prepare_cached(&format!("SELECT {BIN_COLUMNS} FROM bins WHERE name = ?1"))?
        .query_row([name], bin)
        .optional()
}

pub fn select(query: &CaptureQuery) -> BoundSql {
    let mut select = BoundSql {
        sql: "TRUE".to_owned(),
        values: Vec::new(),
    };
    let bin = query.bin.clone();
    select.and("bin_id = (SELECT id FROM bins WHERE name = ?)", bin);
    select.and("method = ? COLLATE NOCASE", query.method.clone());
    select.and("type = ?", query.event_type.clone());
    select.and("action = ?", query.action.clone());
    select.and("received_at >= ?", query.since.map(|since| since.0));
    select.and("captures.id > ?", query.after);
    select.and("captures.id < ?", query.before);
    let direction = match query.order {
        Order::OldestFirst => "ASC",
        Order::NewestFirst => "DESC",
    };
    let condition = select.sql;
    select
        .values
        .push(Value::from(query.limit.map_or(-1, i64::from)));
    select.sql = format!(
        "SELECT {CAPTURE_COLUMNS} FROM captures JOIN bins ON bins.id = bin_id
         WHERE {condition} ORDER BY captures.id {direction} LIMIT ?"
    );
    select
}

/// Reads a row of [`CAPTURE_COLUMNS`].
fn caught(row: &Row<'_>) -> rusqlite::Result<Caught> {
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
            received_at: row.get(2)?,
            remote_addr: rows::parsed(row, 3, str::parse)?,
            head: Head::read(row.get(12)?),
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
        created_at: row.get(2)?,
        request_count: row.get::<_, i64>(3)?.unsigned_abs(),
    })
}
