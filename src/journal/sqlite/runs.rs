//! Runs of commands for captures. A run is stored before its command starts.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::capture::Run;
use crate::journal::WriteResult;
use crate::journal::rows::{self, RUN_COLUMNS};

pub fn begin(tx: &Transaction<'_>, capture: i64, run: &Run) -> rusqlite::Result<WriteResult> {
    let number = tx
        .prepare_cached(
            "INSERT INTO runs (capture_id, number, command, started_at, stderr)
             SELECT id, (SELECT coalesce(max(number), 0) + 1 FROM runs WHERE capture_id = id), ?2, ?3, ''
             FROM captures WHERE id = ?1 RETURNING number",
        )?
        .query_row(params![capture, run.command, run.started_at], |row| row.get(0))
        .optional()?;
    Ok(number.map_or(WriteResult::Deleted, WriteResult::Claimed))
}

pub fn end(tx: &Transaction<'_>, capture: i64, run: &Run) -> rusqlite::Result<WriteResult> {
    tx.prepare_cached(
        "UPDATE runs SET duration_ms = ?3, exit_code = ?4, error = ?5, stderr = ?6
         WHERE capture_id = ?1 AND number = ?2",
    )?
    .execute(params![
        capture,
        run.number,
        run.duration_ms
            .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
        run.exit_code,
        run.error,
        run.stderr,
    ])?;
    Ok(WriteResult::Done)
}

/// The runs for a capture, in order.
pub fn list(conn: &Connection, capture: i64) -> rusqlite::Result<Vec<Run>> {
    conn.prepare_cached(&format!(
        "SELECT {RUN_COLUMNS} FROM runs WHERE capture_id = ?1 ORDER BY number"
    ))?
    .query_map([capture], |row| rows::run(row))?
    .collect()
}
