//! Opening a journal: the file, its permissions, its mode and its version.
//!
//! Many processes may do this at once on a file that does not exist yet. Nothing is written to a file before it is known to
//! be ours or empty.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt as _, OpenOptionsExt, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::create::{PAGE_SIZE, create};
use super::error::{is_busy, store_error};
use super::schema::{self, APPLICATION_ID, VERSION};
use crate::journal::store::JournalError;

/// How long a process waits for the lock before it gives up.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// An open journal file.
pub struct Opened {
    /// The connection, ready for use.
    pub conn: Connection,
    /// The log, which is beside the file.
    pub log: PathBuf,
    /// What was in the log when it was opened.
    pub found: Found,
    /// Whether the version was read as of the last commit. Where the file's beginning says that all is in order, that is left
    /// to the first transaction: one only for this would take the locks once more.
    pub version_known: bool,
    /// Which file it is.
    pub identity: Identity,
    /// Closing any descriptor of a file gives up all POSIX locks that the process has on it, SQLite's too: this one, which
    /// was there before SQLite's, must be closed after it.
    pub file: File,
}

/// What tells a file from every other one on this machine, whatever their names: its device and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64, u64);

impl Identity {
    /// That of a file.
    pub fn of(metadata: &Metadata) -> Identity {
        Identity(metadata.dev(), metadata.ino())
    }
}

/// The state of the log at the opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is new, as its journal: nothing was ever in it.
    New,
    /// It is empty: all that was in it has been moved into the journal's file.
    Empty,
    /// There is something in it.
    Pages,
}

/// Opens the journal, and makes it if there is none.
pub fn open(path: &Path, timeout: Duration) -> Result<Opened, JournalError> {
    let there = identity(path)?;
    let made = if there.is_some() { None } else { create(path) };
    let (file, header) = match made {
        Some(file) => (file, None),
        None => {
            let mut file = open_file(path)?;
            let header =
                Header::read(&mut file).map_err(|e| io_error("read the journal", path, e))?;
            header.refuse_strange(path)?;
            if header.is_empty() {
                // It may have been there before, made by somebody with another mask.
                let private = file.set_permissions(Permissions::from_mode(0o600));
                private.map_err(|e| io_error("make private", path, e))?;
            }
            (file, Some(header))
        }
    };
    let opened = || file.metadata().map(|metadata| Identity::of(&metadata));
    let identity = there
        .map_or_else(opened, Ok)
        .map_err(|e| io_error("read the journal", path, e))?;
    let opening = Opening {
        path,
        timeout,
        file: &file,
    };
    let mut conn = opening.connect()?;
    let log = log_beside(&conn, path).map_err(|e| io_error("find", path, e))?;
    let has_pages = || std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let found = match &header {
        None => Found::New,
        Some(_) if has_pages() => Found::Pages,
        Some(_) => Found::Empty,
    };
    // A newly made one lacks nothing.
    let unsettled = header.filter(|header| !header.is_settled());
    if let Some(header) = &unsettled {
        if opening.check_identity(&mut conn)? != VERSION || !header.is_wal() {
            opening.complete(&mut conn, header)?;
        }
        // Else it is so by default, and saying so would read the schema in a transaction of its own.
        opening.synchronous(&conn, "FULL")?;
    }
    Ok(Opened {
        conn,
        log,
        found,
        version_known: unsettled.is_some(),
        identity,
        file,
    })
}

/// SQLite puts the log where the file itself is, wherever a symbolic link to it may be.
fn log_beside(conn: &Connection, path: &Path) -> std::io::Result<PathBuf> {
    // It tells only names in UTF-8.
    let file = conn
        .path()
        .map_or_else(|| path.canonicalize(), |file| Ok(file.into()))?;
    let mut log = file.into_os_string();
    log.push("-wal");
    Ok(log.into())
}

pub(super) fn io_error(doing: &'static str, path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Which file there is; if none, its folder is made. A folder, a pipe or a dangling link is refused before it is opened:
/// opening it might block, or make a file elsewhere.
fn identity(path: &Path) -> Result<Option<Identity>, JournalError> {
    let refused = |reason: &str| {
        Err(JournalError::Foreign {
            path: path.to_owned(),
            reason: reason.to_owned(),
        })
    };
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() => Ok(Some(Identity::of(&file))),
        Ok(folder) if folder.is_dir() => refused("it is a folder"),
        Ok(pipe) if pipe.file_type().is_fifo() => refused("it is a named pipe"),
        Ok(_) => refused("it is not a regular file"),
        Err(_) if path.is_symlink() => {
            refused("it is a symbolic link to a file that does not exist")
        }
        Err(_) => create_folder(path).map(|()| None),
    }
}

fn create_folder(path: &Path) -> Result<(), JournalError> {
    let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| io_error("create the folder", folder, e))
}

/// Makes the file with its final permissions before SQLite sees it: the `-wal` and `-shm` files take their mode from it.
fn open_file(path: &Path) -> Result<File, JournalError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    opened.map_err(|e| {
        let doing = if e.kind() == ErrorKind::NotFound {
            "create the journal"
        } else {
            "open the journal"
        };
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

    /// Whether it is a journal of this version already; the log may only make it a newer one.
    fn is_settled(&self) -> bool {
        self.is_wal() && self.number(60) == VERSION && self.number(68) == APPLICATION_ID
    }

    /// What stands in the main file itself; the WAL may know better, but not that this is ours.
    fn number(&self, at: usize) -> i64 {
        let bytes = self
            .0
            .get(at..at + 4)
            .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map_or(0, |bytes| i64::from(u32::from_be_bytes(bytes)))
    }

    /// Refuses what can be told from the first page, before SQLite opens the file and leaves a `-shm` beside it.
    fn refuse_strange(&self, path: &Path) -> Result<(), JournalError> {
        let foreign = |reason: &str| {
            Err(JournalError::Foreign {
                path: path.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let (version, application) = (self.number(60), self.number(68));
        if self.is_empty() {
            Ok(())
        } else if !self.0.starts_with(Header::MAGIC) {
            foreign("it is some other kind of file")
        } else if application != APPLICATION_ID && (application != 0 || version != 0) {
            foreign("it is another program's SQLite database")
        } else {
            refuse_newer(path, version)
        }
    }
}

/// Refuses a version that this program does not know.
pub fn refuse_newer(path: &Path, version: i64) -> Result<(), JournalError> {
    if version > VERSION {
        return Err(JournalError::Newer {
            path: path.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    Ok(())
}

/// One opening, between the file and a connection that can be used.
struct Opening<'a> {
    path: &'a Path,
    timeout: Duration,
    file: &'a File,
}

impl Opening<'_> {
    fn run<T>(&self, run: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, JournalError> {
        run().map_err(|e| store_error(self.path, self.timeout, e))
    }

    fn connect(&self) -> Result<Connection, JournalError> {
        self.run(|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(self.path, flags)?;
            conn.busy_timeout(self.timeout)?;
            // A checkpoint when the last connection closes costs more than a whole fire; `checkpoint` does it now and then.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // Not by a pragma, which would read the schema in a transaction of its own.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
            Ok(conn)
        })
    }

    /// Refuses another program's database, and a newer hookfire's, before anything is written; returns the version.
    fn check_identity(&self, conn: &mut Connection) -> Result<i64, JournalError> {
        let mut read = || {
            // One transaction, so that SQLite takes its locks once. It begins with what can be read without the tables:
            // reading those first would be a transaction of its own.
            let tx = conn.transaction()?;
            let number = |sql| tx.query_row(sql, [], |row| row.get(0));
            let (version, application) = (
                number("PRAGMA user_version")?,
                number("PRAGMA application_id")?,
            );
            Ok((
                application,
                version,
                number("SELECT count(*) FROM sqlite_schema")?,
            ))
        };
        let (application, version, tables): (i64, i64, i64) =
            self.run(|| retry_busy(self.timeout, &mut read))?;
        if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
            let reason = "it is another program's SQLite database".to_owned();
            return Err(JournalError::Foreign {
                path: self.path.to_owned(),
                reason,
            });
        }
        refuse_newer(self.path, version)?;
        Ok(version)
    }

    /// Switches a file that is empty to WAL mode, and brings the tables of an older one to this program's version.
    fn complete(&self, conn: &mut Connection, header: &Header) -> Result<(), JournalError> {
        // Neither is worth syncing step by step: it becomes durable with the first delivery, whose commit syncs all of the
        // WAL. In an empty file there is nothing whose order could matter, and `migrate` syncs it before the WAL counts.
        self.synchronous(conn, if header.is_empty() { "OFF" } else { "NORMAL" })?;
        if !header.is_wal() {
            self.switch_to_wal(conn)?;
        }
        self.migrate(conn)
    }

    fn synchronous(&self, conn: &Connection, level: &str) -> Result<(), JournalError> {
        self.run(|| conn.pragma_update(None, "synchronous", level))
    }

    /// SQLite's busy handler does not cover the switch of a fresh file, so that of sixteen first openers some would fail.
    fn switch_to_wal(&self, conn: &Connection) -> Result<(), JournalError> {
        let switch = || {
            let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            if mode == "wal" {
                return Ok(mode);
            }
            // Both only count while the file is still empty.
            conn.pragma_update(None, "page_size", PAGE_SIZE)?;
            conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        };
        let mode = self.run(|| retry_busy(self.timeout, switch))?;
        if mode == "wal" {
            return Ok(());
        }
        let problem = format!(
            "cannot be kept on this file system: it does not support SQLite's WAL mode (got `{mode}`)"
        );
        Err(JournalError::Unusable {
            path: self.path.to_owned(),
            problem,
        })
    }

    /// Brings the tables to this program's version; the version is read under the write lock, so that exactly one of many
    /// processes does it.
    fn migrate(&self, conn: &mut Connection) -> Result<(), JournalError> {
        let tx = self.run(|| conn.transaction_with_behavior(TransactionBehavior::Immediate))?;
        let found: i64 = self.run(|| tx.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
        refuse_newer(self.path, found)?;
        if found == VERSION {
            // Another process was faster; nothing is left to commit.
            return Ok(());
        }
        if found == 0 {
            // If the power failed with this file still empty on the disk, SQLite would throw the WAL beside it away.
            self.file
                .sync_all()
                .map_err(|e| io_error("sync the journal", self.path, e))?;
        }
        self.run(|| {
            schema::migrate(&tx, found)?;
            tx.commit()
        })
    }
}

fn retry_busy<T>(
    timeout: Duration,
    mut run: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        match run() {
            Err(e) if is_busy(&e) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10))
            }
            result => return result,
        }
    }
}
