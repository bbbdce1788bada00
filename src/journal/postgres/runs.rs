//! Runs of commands for captures. A run is stored before its command starts.

use super::error::PostgresError;
use super::session::Session;
use crate::capture::Run;
use crate::journal::WriteResult;
use crate::journal::rows::Row as _;

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
