//! Opening a journal: the file, its permissions, its mode and its version.
//!
//! Many processes may do this at once on a file that does not exist yet. Nothing is written to a file before it is known to
//! be ours or empty.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{is_busy, store_error};
use super::schema::{APPLICATION_ID, MIGRATIONS, VERSION};
use crate::store::StoreError;

/// How long a process waits for the lock before it gives up.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// An open journal file.
pub struct Opened {
    /// The connection, ready for use.
    pub conn: Connection,
    /// Closing any descriptor of a file gives up all POSIX locks that the process has on it, SQLite's too: this one, which
    /// was there before SQLite's, must be closed after it.
    pub file: File,
}

/// Opens the journal, and makes it if there is none.
pub fn open(path: &Path, timeout: Duration) -> Result<Opened, StoreError> {
    refuse_irregular(path)?;
    let mut file = open_file(path)?;
    let header = Header::read(&mut file).map_err(|e| io_error("read the journal", path, e))?;
    header.refuse_strange(path)?;
    if header.is_empty() {
        // It may have been there before, made by somebody with another mask.
        file.set_permissions(Permissions::from_mode(0o600)).map_err(|e| io_error("make private", path, e))?;
    }
    let opening = Opening { path, timeout, file: &file, fresh: header.is_empty() };
    let mut conn = opening.connect()?;
    let version = opening.check_identity(&mut conn)?;
    if !header.is_wal() {
        opening.switch_to_wal(&conn)?;
    }
    if version != VERSION {
        opening.migrate(&mut conn)?;
    }
    opening.run(|| conn.pragma_update(None, "synchronous", "FULL"))?;
    Ok(Opened { conn, file })
}

fn io_error(doing: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), source }
}

/// A folder, a pipe or a dangling link is refused before it is opened: opening it might block, or make a file elsewhere.
fn refuse_irregular(path: &Path) -> Result<(), StoreError> {
    let refused = |reason: &str| Err(StoreError::Foreign { path: path.to_owned(), reason: reason.to_owned() });
    match std::fs::metadata(path).map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_file() => Ok(()),
        Ok(kind) if kind.is_dir() => refused("it is a folder"),
        Ok(kind) if kind.is_fifo() => refused("it is a named pipe"),
        Ok(_) => refused("it is not a regular file"),
        Err(_) if path.is_symlink() => refused("it is a symbolic link to a file that does not exist"),
        Err(_) => create_folder(path),
    }
}

fn create_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| io_error("create the folder", folder, e))
}

/// Makes the file with its final permissions before SQLite sees it: the `-wal` and `-shm` files take their mode from it.
fn open_file(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map_err(|e| {
        let doing = if e.kind() == ErrorKind::NotFound { "create the journal" } else { "open the journal" };
        io_error(doing, path, e)
    })
}

/// The beginning of the file.
struct Header(Vec<u8>);

impl Header {
    const MAGIC: &[u8] = b"SQLite format 3\0";

    fn read(file: &mut File) -> std::io::Result<Header> {
        let mut header = vec![0; 100];
        let length = file.read(&mut header)?;
        header.truncate(length);
        Ok(Header(header))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the file is in WAL mode for good: the mode is part of its first page.
    fn is_wal(&self) -> bool {
        self.0.get(18..20) == Some(&[2, 2])
    }

    /// What stands in the main file itself; the WAL may know better, but not that this is ours.
    fn number(&self, at: usize) -> i64 {
        let bytes = self.0.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map_or(0, |bytes| i64::from(u32::from_be_bytes(bytes)))
    }

    /// Refuses what can be told from the first page, before SQLite opens the file and leaves a `-shm` beside it.
    fn refuse_strange(&self, path: &Path) -> Result<(), StoreError> {
        let foreign = |reason: &str| Err(StoreError::Foreign { path: path.to_owned(), reason: reason.to_owned() });
        let (version, application) = (self.number(60), self.number(68));
        if self.is_empty() {
            Ok(())
        } else if !self.0.starts_with(Header::MAGIC) {
            foreign("it is some other kind of file")
        } else if application != APPLICATION_ID && (application != 0 || version != 0) {
            foreign("it is another program's SQLite database")
        } else if version > VERSION {
            Err(StoreError::Newer { path: path.to_owned(), found: version, known: VERSION })
        } else {
            Ok(())
        }
    }
}

/// One opening, between the file and a connection that can be used.
struct Opening<'a> {
    path: &'a Path,
    timeout: Duration,
    file: &'a File,
    /// The file was empty.
    fresh: bool,
}

impl Opening<'_> {
    fn run<T>(&self, run: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, StoreError> {
        run().map_err(|e| store_error(self.path, self.timeout, e))
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        self.run(|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(self.path, flags)?;
            conn.busy_timeout(self.timeout)?;
            // A checkpoint when the last connection closes costs more than a whole fire; `checkpoint` does it now and then.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // While a new file is made, nothing is worth syncing step by step: it becomes durable with its first delivery,
            // whose commit syncs all of the WAL, and `migrate` has synced the main file before.
            conn.pragma_update(None, "synchronous", if self.fresh { "OFF" } else { "FULL" })?;
            conn.pragma_update(None, "foreign_keys", true)?;
            Ok(conn)
        })
    }

    /// Refuses another program's database, and a newer hookfire's, before anything is written; returns the version.
    fn check_identity(&self, conn: &mut Connection) -> Result<i64, StoreError> {
        let identity = "SELECT (SELECT application_id FROM pragma_application_id),
                               (SELECT user_version FROM pragma_user_version),
                               (SELECT count(*) FROM sqlite_schema)";
        let mut read = || {
            // One transaction, so that SQLite takes its locks once for reading the schema and answering.
            let tx = conn.transaction()?;
            tx.query_row(identity, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        };
        let (application, version, tables): (i64, i64, i64) = self.run(|| retry_busy(self.timeout, &mut read))?;
        if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
            let reason = "it is another program's SQLite database".to_owned();
            return Err(StoreError::Foreign { path: self.path.to_owned(), reason });
        }
        self.refuse_newer(version)?;
        Ok(version)
    }

    fn refuse_newer(&self, version: i64) -> Result<(), StoreError> {
        if version > VERSION {
            return Err(StoreError::Newer { path: self.path.to_owned(), found: version, known: VERSION });
        }
        Ok(())
    }

    /// SQLite's busy handler does not cover the switch of a fresh file, so that of sixteen first openers some would fail.
    fn switch_to_wal(&self, conn: &Connection) -> Result<(), StoreError> {
        let switch = || {
            let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            if mode == "wal" {
                return Ok(mode);
            }
            // Only counts while the file is still empty.
            conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        };
        let mode = self.run(|| retry_busy(self.timeout, switch))?;
        if mode == "wal" {
            return Ok(());
        }
        let problem =
            format!("cannot be kept on this file system: it does not support SQLite's WAL mode (got `{mode}`)");
        Err(StoreError::Unusable { path: self.path.to_owned(), problem })
    }

    /// Brings the tables to this program's version; the version is read under the write lock, so that exactly one of many
    /// processes does it.
    fn migrate(&self, conn: &mut Connection) -> Result<(), StoreError> {
        let tx = self.run(|| conn.transaction_with_behavior(TransactionBehavior::Immediate))?;
        let found: i64 = self.run(|| tx.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
        self.refuse_newer(found)?;
        if found == VERSION {
            // Another process was faster; nothing is left to commit.
            return Ok(());
        }
        if found == 0 {
            // If the power failed with this file still empty on the disk, SQLite would throw the WAL beside it away.
            self.file.sync_all().map_err(|e| io_error("sync the journal", self.path, e))?;
        }
        let first = usize::try_from(found).unwrap_or(0);
        self.run(|| {
            MIGRATIONS[first..].iter().try_for_each(|migration| tx.execute_batch(migration))?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", VERSION)?;
            tx.commit()
        })
    }
}

fn retry_busy<T>(timeout: Duration, mut run: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        match run() {
            Err(e) if is_busy(&e) && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
    }
}
