//! Checking and exporting the whole journal.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, ErrorCode};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tempfile::NamedTempFile;

use super::SqliteJournal;
use super::open::io_error;
use crate::delivery::Status;
use crate::journal::{Health, JournalError, stored};

/// Begins the names of unfinished copies; the pid of the process follows.
const COPY_PREFIX: &str = ".hookfire-copy-";

/// SQLite's virtual machine instructions between two checks for an interrupt.
const INTERRUPT_CHECK_INSTRUCTIONS: i32 = 10_000;

impl SqliteJournal {
    /// Copies a snapshot to a new file of mode 0600. `path` exists only once the copy is complete and synced.
    pub(super) fn export(
        &mut self,
        path: &Path,
        interrupted: Arc<AtomicBool>,
    ) -> Result<(), JournalError> {
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let fail = |source| io_error("write the copy", path, source);
        remove_abandoned_copies(directory);
        // Creating the file here gives it mode 0600 from the start; SQLite accepts an existing empty file.
        let prefix = format!("{COPY_PREFIX}{}-", std::process::id());
        let copy = NamedTempFile::with_prefix_in(prefix, directory).map_err(fail)?;
        let name = copy
            .path()
            .to_str()
            .ok_or_else(|| fail(std::io::Error::other("the directory's name is not UTF-8")))?;
        let is_interrupted = move || interrupted.load(Ordering::Relaxed);
        self.conn
            .progress_handler(INTERRUPT_CHECK_INSTRUCTIONS, Some(is_interrupted))
            .map_err(|e| self.error(e))?;
        let copied = self.read(|conn| Ok(conn.execute("VACUUM INTO ?1", [name])))?;
        copied.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => self.error(error),
            // All other errors concern the copy, for example a full disk.
            _ => fail(std::io::Error::other(error)),
        })?;
        copy.as_file().sync_all().map_err(fail)?;
        copy.persist_noclobber(path).map_err(|e| fail(e.error))?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(fail)
    }
}

/// Removes unfinished copies of processes that were killed. Ignores errors: they only waste space.
fn remove_abandoned_copies(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| {
            let (pid, _) = name.strip_prefix(COPY_PREFIX)?.split_once('-')?;
            Pid::from_raw(pid.parse().ok()?)
        });
        if pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

pub fn check(conn: &Connection) -> rusqlite::Result<Health> {
    let mut problems: Vec<String> = conn
        .prepare("PRAGMA integrity_check(20)")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    problems.retain(|line| line != "ok");
    let mut orphans = conn.prepare(
        "SELECT format('%d %s refer to %s that do not exist', count(*), \"table\", parent)
         FROM pragma_foreign_key_check GROUP BY \"table\"",
    )?;
    for orphans in orphans.query_map([], |row| row.get(0))? {
        problems.push(orphans?);
    }
    let count =
        |sql: &str| conn.query_row(&format!("SELECT count(*) FROM {sql}"), [], |row| row.get(0));
    problems.extend(stored::lost_captures_problem(count(
        "deliveries WHERE capture_id IS NOT NULL AND status <> 'delivered'
             AND NOT EXISTS (SELECT * FROM captures WHERE id = capture_id)",
    )?));
    let mut counts = Vec::new();
    for status in Status::ALL {
        let is_status = format!("deliveries WHERE status = '{}'", status.as_str());
        counts.push((status, count(&is_status)?));
    }
    Ok(Health {
        counts,
        attempts: count("attempts")?,
        captures: count("captures")?,
        problems,
        server: None,
    })
}
