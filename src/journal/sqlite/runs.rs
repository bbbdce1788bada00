//! Runs of commands for captures. A run is stored before its command starts.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::capture::Run;
use crate::journal::WriteResult;

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
