//! Copying a journal while others write to it.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use tempfile::NamedTempFile;

use super::SqliteJournal;
use super::open::io_error;
use crate::journal::store::JournalError;

impl SqliteJournal {
    /// Copies all that is in it at this moment to a new file at `path`, 0600, which is a journal itself. Others go on
    /// writing meanwhile. The file is there when it is complete and on the disk, or not at all.
    ///
    /// # Errors
    /// [`JournalError`], also if there is something at `path` already, which stays as it is.
    pub fn copy_to(&self, path: &Path) -> Result<(), JournalError> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let fail = |source| io_error("write the copy", path, source);
        let copy = NamedTempFile::with_prefix_in(".hookfire-copy-", folder).map_err(fail)?;
        let name = copy
            .path()
            .to_str()
            .ok_or_else(|| fail(std::io::Error::other("its folder's name is not UTF-8")))?;
        self.read(|conn| Ok(vacuum_into(conn, name)))?
            .map_err(|error| match error.sqlite_error_code() {
                // All else that can be wrong here is wrong with the copy: a full disk, say.
                Some(ErrorCode::DatabaseCorrupt) => self.error(error),
                _ => fail(std::io::Error::other(error)),
            })?;
        copy.as_file().sync_all().map_err(fail)?;
        copy.persist_noclobber(path).map_err(|e| fail(e.error))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fail)
    }
}

/// Into a file that is there and empty, so that its permissions are those that it was made with.
fn vacuum_into(conn: &Connection, name: &str) -> rusqlite::Result<()> {
    conn.execute("VACUUM INTO ?1", [name]).map(|_| ())
}
