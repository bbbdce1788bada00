//! Copying the journal while other processes write to it.

use std::fs::File;
use std::path::Path;

use rusqlite::ErrorCode;
use tempfile::NamedTempFile;

use super::SqliteJournal;
use super::open::io_error;
use crate::journal::JournalError;

impl SqliteJournal {
    /// Copies a snapshot to a new file of mode 0600. `path` exists only once the copy is complete and synced.
    pub(super) fn export_to(&self, path: &Path) -> Result<(), JournalError> {
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let fail = |source| io_error("write the copy", path, source);
        // Creating the file here gives it mode 0600 from the start; SQLite accepts an existing empty file.
        let copy = NamedTempFile::with_prefix_in(".hookfire-copy-", directory).map_err(fail)?;
        let name = copy
            .path()
            .to_str()
            .ok_or_else(|| fail(std::io::Error::other("the directory's name is not UTF-8")))?;
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
