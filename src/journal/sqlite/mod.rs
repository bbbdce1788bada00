//! The journal on one SQLite file, in WAL mode with `synchronous=FULL`: a commit is durable when it returns.
//!
//! `open` opens or creates the file, `schema` defines its tables. `commit` applies a group of writes with the
//! statements of `attempts` and `new_captures`. `deliveries`, `captures` and `schedule` implement the traits of these
//! names. `bulk` splits changes of many rows into short transactions; `wal` keeps the write-ahead log short. `rows` runs
//! statements of both implementations, and reads and inserts rows.

mod attempts;
mod bulk;
mod captures;
mod commit;
mod deliveries;
mod error;
mod maintenance;
mod new_captures;
mod open;
mod rows;
mod runs;
mod schedule;
mod schema;
#[cfg(test)]
mod tests;
pub mod transfer;
mod wal;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use uuid::Uuid;

use crate::journal::rows::{FromValue, Row as _};
use crate::journal::values::BoundSql;
use crate::journal::{
    CaptureRules, Health, Host, Journal, JournalError, Location, Write, WriteResult,
};
use crate::time::UnixMs;
use open::JournalFiles;

/// How long a process waits for a lock before it gives up.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a captured request waits for a lock before the listener responds with 503.
const CAPTURE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Pages in the WAL after which a group writer's commit checkpoints, 16 MB: fewer checkpoints make commits faster.
const GROUP_AUTOCHECKPOINT_PAGES: u32 = 1_000;

pub struct SqliteJournal {
    conn: Connection,
    path: PathBuf,
    location: Location,
    files: JournalFiles,
    timeout: Duration,
    host: Box<dyn Host>,
    owner: String,
    label: String,
    captures: RefCell<new_captures::CaptureCache>,
    pace: bulk::Pace,
    /// A commit that leaves a larger WAL, in bytes, checkpoints it.
    wal_limit: Cell<u64>,
}

impl SqliteJournal {
    pub fn open(path: &Path, host: Box<dyn Host>) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::open_with(path, host, LOCK_TIMEOUT, schema::MIGRATIONS)
    }

    fn open_with(
        path: &Path,
        host: Box<dyn Host>,
        timeout: Duration,
        migrations: &[&str],
    ) -> Result<SqliteJournal, JournalError> {
        let (conn, files) = open::open(path, timeout, migrations)?;
        Ok(SqliteJournal::new(path, conn, files, host, timeout))
    }

    pub fn in_memory(host: Box<dyn Host>) -> Result<SqliteJournal, JournalError> {
        let path = Path::new(":memory:");
        let (conn, files) = open::in_memory(path)?;
        Ok(SqliteJournal::new(path, conn, files, host, LOCK_TIMEOUT))
    }

    fn new(
        path: &Path,
        conn: Connection,
        files: JournalFiles,
        host: Box<dyn Host>,
        timeout: Duration,
    ) -> SqliteJournal {
        SqliteJournal {
            conn,
            path: path.to_owned(),
            location: path.into(),
            files,
            timeout,
            owner: host.current(),
            label: host.label(),
            host,
            captures: RefCell::default(),
            pace: bulk::Pace::default(),
            wal_limit: Cell::new(wal::MAX_WAL_BYTES),
        }
    }

    /// Checks before each read, as [`Self::write`] does before each write, that the files were not replaced and the
    /// schema was not upgraded by a newer hookfire.
    fn read<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.files.check()?;
        self.check_version()?;
        run(&self.conn).map_err(|e| self.error(e))
    }

    /// The rows of a statement.
    fn all<T>(
        &self,
        statement: &BoundSql<'_>,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        self.read(|conn| rows::all(conn, statement, read))
    }

    /// The first row of a statement.
    fn first<T>(
        &self,
        statement: &BoundSql<'_>,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, JournalError> {
        self.read(|conn| rows::first(conn, statement, read))
    }

    /// The first column of the only row of a statement.
    fn value<T: for<'r> FromValue<'r>>(&self, statement: &BoundSql<'_>) -> Result<T, JournalError> {
        let value = self.first(statement, |row| row.read(0))?;
        value.ok_or_else(|| self.error(rusqlite::Error::QueryReturnedNoRows))
    }

    /// A transaction of one statement. Returns whether it changed a row.
    fn changes(&self, statement: &BoundSql<'_>) -> Result<bool, JournalError> {
        self.write(|tx| Ok(rows::execute(tx, statement)? > 0))
    }

    /// Runs one transaction. It takes the write lock first: when two transactions read first and then write, SQLite
    /// fails one of them with "busy".
    fn write<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.files.check()?;
        let tx = self.lock().map_err(|e| self.error(e))?;
        self.check_version()?;
        let value = run(&tx).map_err(|e| self.error(e))?;
        tx.commit().map_err(|e| self.error(e))?;
        // If the files were removed during the commit, its data is lost.
        self.limit_wal(self.files.check()?);
        Ok(value)
    }

    /// Begins a transaction with the write lock. Does not use SQLite's busy timeout, which tries again only every 100 ms
    /// after a while: beside a busy process it often finds the lock taken for a second or longer.
    fn lock(&self) -> rusqlite::Result<Transaction<'_>> {
        self.conn.busy_timeout(Duration::ZERO)?;
        let tx = open::retry_busy(self.timeout, || {
            Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)
        });
        self.conn.busy_timeout(self.timeout)?;
        tx
    }

    fn check_version(&self) -> Result<(), JournalError> {
        let found = self
            .conn
            .prepare_cached("PRAGMA user_version")
            .and_then(|mut version| version.query_row([], |row| row.get(0)))
            .map_err(|e| self.error(e))?;
        open::reject_newer(&self.path, found, schema::VERSION)
    }

    fn error(&self, error: rusqlite::Error) -> JournalError {
        error::store_error(&self.path, self.timeout, error)
    }
}

impl Journal for SqliteJournal {
    /// A commit that failed had no effect, so that `id` is not needed.
    fn commit_as(&self, _id: Uuid, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        self.commit_group(writes)
    }

    fn now(&self) -> UnixMs {
        self.host.now()
    }

    fn tune_for_groups(&mut self) -> Result<(), JournalError> {
        self.conn
            .pragma_update(None, "wal_autocheckpoint", GROUP_AUTOCHECKPOINT_PAGES)
            .map_err(|e| self.error(e))
    }

    fn tune_for_captures(&mut self, rules: CaptureRules) -> Result<(), JournalError> {
        let synchronous = match rules.survives_power_failure {
            true => "FULL",
            false => "NORMAL",
        };
        self.captures.get_mut().rules = rules;
        self.timeout = CAPTURE_LOCK_TIMEOUT;
        let tune = || {
            self.conn.busy_timeout(self.timeout)?;
            self.conn.pragma_update(None, "synchronous", synchronous)
        };
        tune().map_err(|e| self.error(e))
    }

    fn location(&self) -> &Location {
        &self.location
    }

    fn foreign_owner(&self) -> Option<u32> {
        self.files.foreign_owner
    }

    fn change_counters(&self) -> Result<(i64, i64), JournalError> {
        self.read(|conn| {
            let by_others = conn
                .prepare_cached("PRAGMA data_version")?
                .query_row([], |row| row.get(0))?;
            let by_this = conn
                .prepare_cached("SELECT total_changes()")?
                .query_row([], |row| row.get(0))?;
            Ok((by_others, by_this))
        })
    }

    fn reclaim_slice(&self) -> bool {
        self.vacuum()
    }

    fn check(&self) -> Result<Health, JournalError> {
        self.read(maintenance::check)
    }

    fn export(&mut self, path: &Path, interrupted: Arc<AtomicBool>) -> Result<(), JournalError> {
        SqliteJournal::export(self, path, interrupted)
    }
}
