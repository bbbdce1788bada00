//! Runs of commands for captures. A run is stored before its command starts.

use super::error::PostgresError;
use super::session::Session;
use crate::capture::Run;
use crate::journal::WriteResult;
use crate::journal::rows::{self, RUN_COLUMNS, Row as _};

pub fn begin(session: &mut Session, capture: i64, run: &Run) -> Result<WriteResult, PostgresError> {
    // Of two runs that begin at once, the second waits for the number of the first.
    let lock = "SELECT id FROM hookfire.captures WHERE id = $1 FOR UPDATE";
    if session.row(lock, &[capture.into()])?.is_none() {
        return Ok(WriteResult::Deleted);
    }
    let row = session.row(
        "INSERT INTO hookfire.runs (capture_id, number, command, started_at, stderr)
         SELECT $1, coalesce(max(number), 0) + 1, $2, $3, '' FROM hookfire.runs WHERE capture_id = $1
         RETURNING number",
        &[capture.into(), (&run.command).into(), run.started_at.into()],
    )?;
    let number = row.map(|row| row.read(0)).transpose()?;
    Ok(number.map_or(WriteResult::Deleted, WriteResult::Claimed))
}

pub fn end(session: &mut Session, capture: i64, run: &Run) -> Result<(), PostgresError> {
    let duration = run.duration_ms;
    let duration = duration.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    session.execute(
        "UPDATE hookfire.runs SET duration_ms = $3, exit_code = $4, error = $5, stderr = $6
         WHERE capture_id = $1 AND number = $2",
        &[
            capture.into(),
            run.number.into(),
            duration.into(),
            run.exit_code.into(),
            (&run.error).into(),
            (&run.stderr).into(),
        ],
    )?;
    Ok(())
}

/// The runs for a capture, in order.
pub fn list(session: &mut Session, capture: i64) -> Result<Vec<Run>, PostgresError> {
    let sql =
        format!("SELECT {RUN_COLUMNS} FROM hookfire.runs WHERE capture_id = $1 ORDER BY number");
    let rows = session.rows(&sql, &[capture.into()])?;
    rows.iter().map(rows::run).collect()
}
