//! Opening a journal: the file, its permissions, its mode and its version.
//!
//! Many processes may do this at once on a file that does not exist yet. Nothing is written to a file before it is known to
//! be ours or empty.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{is_busy, store_error};
use super::schema::{APPLICATION_ID, MIGRATIONS, VERSION};
use crate::store::StoreError;

/// How long a process waits for the lock before it gives up.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// WAL pages after which a commit also moves them into the main file. Small, because each run of the program reads the
/// whole WAL once when it opens the journal.
const CHECKPOINT_PAGES: i64 = 256;

/// Opens the journal, and makes it if there is none.
pub fn open(path: &Path, timeout: Duration) -> Result<Connection, StoreError> {
    create_file(path)?;
    let conn = connect(path, timeout)?;
    check_identity(&conn, path, timeout)?;
    switch_to_wal(&conn, path, timeout)?;
    migrate(conn, path, timeout)
}

/// Makes the file with its final permissions before SQLite sees it: the `-wal` and `-shm` files take their mode from it.
fn create_file(path: &Path) -> Result<(), StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| StoreError::Io { doing: "create the folder", path: folder.to_owned(), source })?;
    }
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let kind = metadata.file_type();
            let what = if kind.is_dir() {
                "it is a folder"
            } else if kind.is_fifo() {
                "it is a named pipe"
            } else {
                "it is not a regular file"
            };
            return Err(StoreError::Foreign { path: path.to_owned(), reason: what.to_owned() });
        }
        Ok(_) => {}
        Err(_) if path.is_symlink() => {
            return Err(StoreError::Foreign {
                path: path.to_owned(),
                reason: "it is a symbolic link to a file that does not exist".to_owned(),
            });
        }
        Err(_) => {}
    }
    let mut file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path) {
        Ok(file) => file,
        Err(source) => {
            let doing = if source.kind() == ErrorKind::NotFound { "create the journal" } else { "open the journal" };
            return Err(StoreError::Io { doing, path: path.to_owned(), source });
        }
    };
    let mut magic = Vec::with_capacity(16);
    let read = file.by_ref().take(16).read_to_end(&mut magic);
    read.map_err(|source| StoreError::Io { doing: "read the journal", path: path.to_owned(), source })?;
    if !magic.is_empty() && magic != b"SQLite format 3\0" {
        return Err(StoreError::Foreign { path: path.to_owned(), reason: "it is some other kind of file".to_owned() });
    }
    Ok(())
}

fn connect(path: &Path, timeout: Duration) -> Result<Connection, StoreError> {
    let fail = |e| store_error(path, timeout, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(fail)?;
    conn.busy_timeout(timeout).map_err(fail)?;
    // A checkpoint when the last connection closes costs more than a whole fire; autocheckpoint does it now and then.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fail)?;
    conn.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    conn.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(fail)?;
    Ok(conn)
}

/// Refuses another program's database, and a newer hookfire's, before anything is written.
fn check_identity(conn: &Connection, path: &Path, timeout: Duration) -> Result<(), StoreError> {
    let identity = "SELECT (SELECT application_id FROM pragma_application_id),
                           (SELECT user_version FROM pragma_user_version),
                           (SELECT count(*) FROM sqlite_schema)";
    let read = || conn.query_row(identity, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (application, version, tables): (i64, i64, i64) =
        retry_busy(timeout, read).map_err(|e| store_error(path, timeout, e))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
        let reason = "it is another program's SQLite database".to_owned();
        return Err(StoreError::Foreign { path: path.to_owned(), reason });
    }
    refuse_newer(path, version)
}

fn refuse_newer(path: &Path, version: i64) -> Result<(), StoreError> {
    if version > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok(())
}

/// SQLite's busy handler does not cover the switch of a fresh file, so that of sixteen first openers some would fail.
fn switch_to_wal(conn: &Connection, path: &Path, timeout: Duration) -> Result<(), StoreError> {
    let switch = || {
        let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode == "wal" {
            return Ok(mode);
        }
        // Only counts while the file is still empty.
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
    };
    let mode = retry_busy(timeout, switch).map_err(|e| store_error(path, timeout, e))?;
    if mode != "wal" {
        let problem =
            format!("cannot be kept on this file system: it does not support SQLite's WAL mode (got `{mode}`)");
        return Err(StoreError::Unusable { path: path.to_owned(), problem });
    }
    Ok(())
}

fn retry_busy<T>(timeout: Duration, run: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        match run() {
            Err(e) if is_busy(&e) && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
    }
}

/// Brings the tables to this program's version; the version is read under the write lock, so that exactly one of many
/// processes does it.
fn migrate(mut conn: Connection, path: &Path, timeout: Duration) -> Result<Connection, StoreError> {
    let fail = |e| store_error(path, timeout, e);
    let version = |conn: &Connection| conn.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    if version(&conn).map_err(fail)? == VERSION {
        return Ok(conn);
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    let found = version(&tx).map_err(fail)?;
    refuse_newer(path, found)?;
    if found == VERSION {
        // Another process was faster; nothing is left to commit.
        drop(tx);
        return Ok(conn);
    }
    let first = usize::try_from(found).unwrap_or(0);
    for migration in &MIGRATIONS[first..] {
        tx.execute_batch(migration).map_err(fail)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
    tx.pragma_update(None, "user_version", VERSION).map_err(fail)?;
    tx.commit().map_err(fail)?;
    Ok(conn)
}
