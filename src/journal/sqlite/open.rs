//! Opening a journal: its file, permissions, WAL mode and tables.
//!
//! Many processes may open or create the same journal at once. An existing file is only written to if it is a journal
//! or empty.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::Access;

use super::error::{is_busy, store_error};
use super::schema::{self, APPLICATION_ID, DEVELOPMENT_APPLICATION_IDS};
use crate::journal::JournalError;
use crate::text::shell_word;

/// A page of this size holds about ten typical deliveries, so that a commit writes few pages.
const PAGE_SIZE: u32 = 16 * 1024;

/// Pages in the WAL after which a commit checkpoints. Each new process reads the whole WAL, so it stays short.
const AUTOCHECKPOINT_PAGES: u32 = 64;

/// The size of the smallest database.
const MIN_DATABASE_BYTES: u64 = 512;

/// The first and the longest pause between two tries to get a lock.
const BUSY_PAUSE: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(8)];

/// The journal file and its WAL, identified by device and inode.
pub struct JournalFiles {
    path: PathBuf,
    wal: PathBuf,
    /// `None` for a journal in memory, which has no files.
    identity: Option<[(u64, u64); 2]>,
    /// The user id of the file's owner, unless that is this process's user or root.
    pub foreign_owner: Option<u32>,
}

impl JournalFiles {
    /// Fails if one of the files was removed or replaced since the journal was opened: writes to the open files would
    /// be lost. Returns the size of the WAL in bytes.
    pub fn check(&self) -> Result<u64, JournalError> {
        let Some(identity) = self.identity else {
            return Ok(0);
        };
        match identities(&self.path, &self.wal) {
            Ok((found, wal_bytes)) if found == identity => Ok(wal_bytes),
            _ => Err(lost(&self.path)),
        }
    }
}

/// Device and inode of each file, and the size of the WAL.
fn identities(path: &Path, wal: &Path) -> std::io::Result<([(u64, u64); 2], u64)> {
    let (file, wal) = (std::fs::metadata(path)?, std::fs::metadata(wal)?);
    let identity = [(file.dev(), file.ino()), (wal.dev(), wal.ino())];
    Ok((identity, wal.len()))
}

/// Opens the journal, and creates it if it does not exist.
pub fn open(
    path: &Path,
    timeout: Duration,
    migrations: &[&str],
) -> Result<(Connection, JournalFiles), JournalError> {
    open_prepared(path, &prepare_file(path)?, timeout, migrations)
}

/// Fails if the file is no longer the prepared one.
fn open_prepared(
    path: &Path,
    prepared: &Metadata,
    timeout: Duration,
    migrations: &[&str],
) -> Result<(Connection, JournalFiles), JournalError> {
    let fail = |e| store_error(path, timeout, e);
    let conn = connect(path, timeout).map_err(fail)?;
    let version = read_version(&conn, path, timeout)?;
    let known = migrations.len() as i64;
    reject_newer(path, version, known)?;
    let mode = retry_busy(timeout, || switch_to_wal(&conn)).map_err(fail)?;
    if mode != "wal" {
        let problem = format!("needs a file system that supports SQLite's WAL mode (got `{mode}`)");
        return Err(unusable(path, problem));
    }
    let set_up = || {
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)?;
        // A DELETE copies each page that it changes, so that it can be undone. In a temporary file that took half of the
        // time of a bulk deletion, and the file would be in a shared directory.
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        if version == known {
            return Ok(version);
        }
        // Reads the version again under the write lock, so that exactly one of many processes migrates.
        let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate)?;
        let found = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found < known {
            schema::migrate(&tx, found, migrations)?;
        }
        tx.commit()?;
        Ok(found)
    };
    reject_newer(path, set_up().map_err(fail)?, known)?;
    // The first read opens the WAL: from here on the connection has both files open, and never opens them again.
    conn.query_row("SELECT count(*) FROM deleted_ids", [], |_| Ok(()))
        .map_err(fail)?;
    // SQLite puts the WAL beside the file itself, not beside a symbolic link to it; it reports only names in UTF-8.
    let file = match conn.path() {
        Some(file) => Ok(PathBuf::from(file)),
        None => path.canonicalize(),
    };
    let wal = with_suffix(&file.map_err(|e| io_error("find", path, e))?, "-wal");
    let (identity, _) = identities(path, &wal).map_err(|e| io_error("read", path, e))?;
    if identity[0] != (prepared.dev(), prepared.ino()) {
        return Err(lost(path));
    }
    let owner = prepared.uid();
    let is_foreign = owner != 0 && owner != rustix::process::geteuid().as_raw();
    let files = JournalFiles {
        path: path.to_owned(),
        wal,
        identity: Some(identity),
        foreign_owner: is_foreign.then_some(owner),
    };
    Ok((conn, files))
}

/// Creates the tables in memory.
pub fn in_memory(path: &Path) -> Result<(Connection, JournalFiles), JournalError> {
    let create = || {
        let conn = Connection::open_in_memory()?;
        let tx = conn.unchecked_transaction()?;
        schema::migrate(&tx, 0, schema::MIGRATIONS)?;
        tx.commit()?;
        Ok(conn)
    };
    let files = JournalFiles {
        path: path.to_owned(),
        wal: PathBuf::new(),
        identity: None,
        foreign_owner: None,
    };
    let conn = create().map_err(|e| store_error(path, Duration::ZERO, e))?;
    Ok((conn, files))
}

/// Creates the file, mode 0600, if it does not exist: SQLite gives `-wal` and `-shm` the mode of
/// the file. Returns its metadata.
///
/// The file is not kept open: closing any descriptor of a file releases all POSIX locks that the process
/// has on it, including SQLite's.
fn prepare_file(path: &Path) -> Result<Metadata, JournalError> {
    let not_a_journal = |reason: &str| {
        Err(JournalError::NotAJournal {
            path: path.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let fail = |e| io_error("open the journal", path, e);
    if path.is_symlink() {
        if matches!(path.try_exists(), Ok(false)) {
            return not_a_journal("it is a symbolic link to a file that does not exist");
        }
    } else if std::fs::metadata(path).is_err() {
        create_file(path)?;
    }
    let metadata = std::fs::metadata(path).map_err(fail)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return not_a_journal("it is a directory");
    } else if kind.is_fifo() {
        return not_a_journal("it is a named pipe");
    } else if !kind.is_file() {
        return not_a_journal("it is not a regular file");
    } else if metadata.nlink() > 1 {
        return Err(JournalError::Linked {
            path: path.to_owned(),
            links: metadata.nlink(),
        });
    } else if is_mount_point(path) {
        return Err(JournalError::Mounted {
            path: path.to_owned(),
        });
    }
    // Without write permission, SQLite would silently open the file read-only.
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).map_err(|e| fail(e.into()))?;
    if (1..MIN_DATABASE_BYTES).contains(&metadata.len()) {
        // SQLite would treat a file of one byte as empty, and overwrite it.
        return not_a_journal("it is not an SQLite database");
    }
    if metadata.len() == 0 {
        // An empty file may have been created by another program, and the umask may have removed the owner's
        // permissions.
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(fail)?;
    }
    Ok(metadata)
}

/// Whether another file was mounted over this one. False if the system does not report it (Linux before 5.8).
#[cfg(target_os = "linux")]
fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount_point(_: &Path) -> bool {
    false
}

/// Creates an empty file, and its directory with mode 0700.
///
/// First removes the `-wal` and `-shm` files of a deleted journal of the same name: a process that still
/// has them open would share them with this one. Locks the directory meanwhile, so as not to remove
/// files that another process creates.
fn create_file(path: &Path) -> Result<(), JournalError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fail = |source| io_error("create the journal", path, source);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| io_error("create the directory", directory, e))?;
    let lock = File::open(directory).map_err(fail)?;
    lock.lock().map_err(fail)?;
    if path.exists() {
        return Ok(());
    }
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(with_suffix(path, suffix)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(fail(e)),
            _ => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub fn io_error(doing: &'static str, path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn lost(path: &Path) -> JournalError {
    JournalError::Lost {
        path: path.to_owned(),
        what: "the file was removed or replaced".to_owned(),
    }
}

fn unusable(path: &Path, problem: String) -> JournalError {
    JournalError::Unusable {
        path: path.to_owned(),
        problem,
    }
}

/// Fails if a newer hookfire has created the tables or upgraded them.
pub fn reject_newer(path: &Path, found: i64, known: i64) -> Result<(), JournalError> {
    if found <= known {
        return Ok(());
    }
    Err(JournalError::Newer {
        path: path.to_owned(),
        found,
        known,
    })
}

fn connect(path: &Path, timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // Absolute, because SQLite does not read names such as `:memory:` and `file:a?mode=memory` as paths.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(timeout)?;
    // A checkpoint on close would take longer than a whole `hookfire fire`, and would delete the file at the WAL's
    // path, which may belong to another journal by then.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    Ok(conn)
}

/// Returns the schema version, 0 for an empty file. Fails for other programs' databases.
fn read_version(conn: &Connection, path: &Path, timeout: Duration) -> Result<i64, JournalError> {
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        let tx = Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
        let number = |sql| tx.query_row(sql, [], |row| row.get(0));
        let application = number("PRAGMA application_id")?;
        let version = number("PRAGMA user_version")?;
        Ok((
            application,
            version,
            number("SELECT count(*) FROM sqlite_schema")?,
        ))
    };
    let found = retry_busy(timeout, read).map_err(|e| store_error(path, timeout, e))?;
    match found {
        (APPLICATION_ID, version, _) => Ok(version),
        (0, 0, 0) => Ok(0),
        (application, ..) if DEVELOPMENT_APPLICATION_IDS.contains(&application) => {
            let file = path.to_string_lossy();
            let files = ["", "-wal", "-shm"].map(|suffix| format!("{file}{suffix}"));
            let existing = files.iter().filter(|file| Path::new(file).exists());
            let existing: Vec<_> = existing.map(|file| shell_word(file)).collect();
            let directory = shell_word(&format!("{file}.old"));
            Err(JournalError::Development {
                path: path.to_owned(),
                move_command: format!("mkdir {directory} && mv {} {directory}", existing.join(" ")),
            })
        }
        _ => Err(JournalError::NotAJournal {
            path: path.to_owned(),
            reason: "it is another program's SQLite database".to_owned(),
        }),
    }
}

/// Returns the resulting journal mode. Callers repeat it when busy: SQLite's busy timeout does
/// not apply to this switch.
fn switch_to_wal(conn: &Connection) -> rusqlite::Result<String> {
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode == "wal" {
        return Ok(mode);
    }
    // These two only have an effect while the file is empty.
    conn.pragma_update(None, "page_size", PAGE_SIZE)?;
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
}

pub fn retry_busy<T>(
    timeout: Duration,
    run: impl Fn() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let (start, mut pause) = (Instant::now(), BUSY_PAUSE[0]);
    loop {
        match run() {
            Err(e) if is_busy(&e) && start.elapsed() < timeout => std::thread::sleep(pause),
            result => return result,
        }
        pause = BUSY_PAUSE[1].min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_while_it_is_opened_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let open = |path| open(path, Duration::ZERO, schema::MIGRATIONS);
        drop(open(&other).unwrap());
        drop(open(&path).unwrap());
        let prepared = prepare_file(&path).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let opened = open_prepared(&path, &prepared, Duration::ZERO, schema::MIGRATIONS);
        let error = opened.err().unwrap();
        assert!(matches!(error, JournalError::Lost { .. }), "{error}");
        open(&path).unwrap();
    }
}
