//! The journal: one SQLite file that knows every delivery before its request leaves.
//!
//! It is opened by many short-lived processes at once. Nothing outside this folder sees SQL or a connection; no secret's
//! value can get in (see `rows`). WAL with `synchronous=FULL`: what a method returned from is on the disk; captures, which
//! come by the thousands, are only safe from the death of the process (see `keeper`).

mod captures;
mod checkpoint;
mod commit;
mod copy;
mod create;
mod error;
mod import;
mod ledger;
mod new_captures;
mod open;
mod pages;
mod query;
mod rows;
mod schedule;
mod schema;
mod sending;

#[cfg(test)]
mod tests;
mod upkeep;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use checkpoint::Log;
pub use import::Import;
pub use ledger::DeliveryLedger;
pub use open::LOCK_TIMEOUT;
use open::{Identity, Opened};
pub use pages::{Below, Outcomes};
pub use query::{List, Query};
pub use upkeep::Health;

use crate::capture::{Bin, Body, Caught};
use crate::delivery::{Attempt, Delivery, Status};
use crate::journal::store::{
    CaptureQuery, Due, JournalError, ProcessId, Processes, Schedule as _, Seen,
};
use crate::journal::{Journal, Write, WriteResult};
use crate::time::UnixMs;

/// How long a captured request waits for a lock before it is answered with 503.
const CAPTURE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// An open journal, held by this process.
pub struct SqliteJournal {
    conn: Connection,
    path: PathBuf,
    timeout: Duration,
    processes: Box<dyn Processes>,
    owner: ProcessId,
    log: Log,
    captures: RefCell<new_captures::CaptureCache>,
    /// Whether the version was looked at as of the last commit, and not only in the file's beginning.
    version_known: Cell<bool>,
    identity: Identity,
    /// Dropped after `conn`, as [`Opened`] asks.
    _file: File,
}

impl SqliteJournal {
    /// Opens the journal at `path`, and makes it, 0600 in a 0700 folder, if there is none.
    ///
    /// # Errors
    /// [`JournalError`] if the file is not a journal, or is newer, damaged, locked for longer than [`LOCK_TIMEOUT`], or
    /// cannot be written. Nothing is changed then.
    pub fn open(path: &Path, processes: Box<dyn Processes>) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::open_with_timeout(path, processes, LOCK_TIMEOUT)
    }

    fn open_with_timeout(
        path: &Path,
        processes: Box<dyn Processes>,
        timeout: Duration,
    ) -> Result<SqliteJournal, JournalError> {
        let Opened {
            mut conn,
            log,
            found,
            version_known,
            identity,
            file,
        } = open::open(path, timeout)?;
        let log =
            Log::watch(&mut conn, log, found).map_err(|e| error::store_error(path, timeout, e))?;
        let owner = processes.current();
        let version_known = Cell::new(version_known);
        Ok(SqliteJournal {
            conn,
            path: path.to_owned(),
            timeout,
            processes,
            owner,
            log,
            captures: RefCell::default(),
            version_known,
            identity,
            _file: file,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set_lock_timeout(&mut self, timeout: Duration) -> Result<(), JournalError> {
        self.configure(|conn| conn.busy_timeout(timeout))?;
        self.timeout = timeout;
        Ok(())
    }

    /// Whoever removes or replaces the file takes all that is written with it.
    fn refuse_lost_file(&self) -> Result<(), JournalError> {
        match std::fs::metadata(&self.path) {
            Ok(named) if Identity::of(&named) == self.identity => Ok(()),
            _ => Err(JournalError::Lost {
                path: self.path.clone(),
                what: "the file was removed or replaced".to_owned(),
            }),
        }
    }

    fn read<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.refuse_newer()?;
        self.configure(run)
    }

    /// For what does not touch the file.
    fn configure<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        run(&self.conn).map_err(|e| self.error(e))
    }

    fn write<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.write_in(self.begin()?, run)
    }

    fn begin(&self) -> Result<Transaction<'_>, JournalError> {
        let begun = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate);
        begun.map_err(|e| self.error(e))
    }

    fn write_in<T>(
        &self,
        tx: Transaction<'_>,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.refuse_newer()?;
        let committed = || {
            let value = run(&tx)?;
            tx.commit()?;
            Ok(value)
        };
        committed().map_err(|e| self.error(e))
    }

    /// As [`SqliteJournal::write`], for what nobody is to find who opens the journal after the commit has failed.
    fn write_or_take_back<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.write(run).inspect_err(|error| {
            if may_be_found(error) {
                let _ = self.write_instead(|_| Ok(()));
            }
        })
    }

    /// As [`SqliteJournal::write`], in the place of a commit that failed: one that could not be synced is in the log all the same.
    /// Its place is taken whether this one can be synced or not.
    fn write_instead<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.write(|tx| {
            // A page at least has to be written.
            let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            tx.pragma_update(None, "user_version", version)?;
            run(tx)
        })
    }

    /// A newer program may have been at the journal whose changes are only in the log. Asked in the first transaction, or
    /// one of its own before the first reading.
    fn refuse_newer(&self) -> Result<(), JournalError> {
        if !self.version_known.get() {
            let version = self
                .conn
                .query_row("PRAGMA user_version", [], |row| row.get(0));
            open::refuse_newer(&self.path, version.map_err(|e| self.error(e))?)?;
            self.version_known.set(true);
        }
        Ok(())
    }

    fn error(&self, error: rusqlite::Error) -> JournalError {
        error::store_error(&self.path, self.timeout, error)
    }
}

impl Journal for SqliteJournal {
    fn commit(&self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        self.commit_writes(writes)
    }
    fn now(&self) -> UnixMs {
        self.processes.now()
    }
    fn tune_for_captures(&mut self) -> Result<(), JournalError> {
        self.set_lock_timeout(CAPTURE_LOCK_TIMEOUT)?;
        self.read(|conn| {
            conn.pragma_update(None, "synchronous", "NORMAL")?;
            conn.pragma_update(None, "wal_autocheckpoint", 1000)?;
            // Deleting the oldest captures needs temporary tables; they stay out of shared directories.
            conn.pragma_update(None, "temp_store", "MEMORY")
        })
    }
    fn path(&self) -> &Path {
        self.path()
    }
    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError> {
        self.attempts(id)
    }
    fn of_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError> {
        self.of_uuid(uuid)
    }
    fn told_time(&self, delivery: &Delivery) -> Result<Option<String>, JournalError> {
        self.told_time(delivery)
    }
    fn seen(&self, query: &Query) -> Result<Vec<Seen>, JournalError> {
        self.seen(query)
    }
    fn count(&self, query: &Query) -> Result<usize, JournalError> {
        self.count(query)
    }
    fn count_up_to(&self, query: &Query, most: usize) -> Result<usize, JournalError> {
        self.count_up_to(query, most)
    }
    fn newest(
        &self,
        failed: bool,
        below: Option<Below>,
        limit: u32,
    ) -> Result<Vec<Delivery>, JournalError> {
        self.newest(failed, below, limit)
    }
    fn outcomes(&self, since: UnixMs, interval_ms: i64) -> Result<Outcomes, JournalError> {
        self.outcomes(since, interval_ms)
    }
    fn version(&self) -> Result<(i64, i64), JournalError> {
        self.version()
    }
    fn due_page(
        &self,
        after: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError> {
        self.due(self.processes.now(), after, limit, url)
    }
    fn next_due_at(&self) -> Result<Option<UnixMs>, JournalError> {
        self.next_due(self.processes.now())
    }
    fn interrupt_abandoned(&self) -> Result<usize, JournalError> {
        self.refuse_lost_file()?;
        self.release_dead(self.processes.now())
    }
    fn reschedule(&self, seen: Seen, delay: Duration) -> Result<bool, JournalError> {
        self.postpone(seen, self.processes.now().plus(delay))
    }
    fn scheduled(&self, endpoint: Option<&str>) -> Result<Vec<Seen>, JournalError> {
        self.scheduled(endpoint)
    }
    fn is_scheduled(&self, id: i64) -> Result<bool, JournalError> {
        self.is_scheduled(id)
    }
    fn delete(&self, seen: &[Seen], statuses: &[Status]) -> Result<usize, JournalError> {
        self.delete(seen, statuses)
    }
    fn import(&self, deliveries: &[Import<'_>]) -> Result<Vec<bool>, JournalError> {
        self.import(deliveries)
    }
    fn settle_imports(&self) -> Result<(), JournalError> {
        self.settle_imports()
    }
    fn captures(&self, query: &CaptureQuery) -> Result<Vec<Caught>, JournalError> {
        self.captures(query)
    }
    fn capture(&self, id: i64) -> Result<Option<(Caught, Body)>, JournalError> {
        self.capture(id)
    }
    fn newest_capture(&self) -> Result<i64, JournalError> {
        self.newest_capture()
    }
    fn delete_captures(&self, ids: &[i64]) -> Result<usize, JournalError> {
        self.delete_captures(ids)
    }
    fn clear_bin(&self, name: &str, until: i64) -> Result<usize, JournalError> {
        self.clear_bin(name, until)
    }
    fn bins(&self) -> Result<Vec<Bin>, JournalError> {
        self.bins()
    }
    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError> {
        self.bin(name)
    }
    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError> {
        self.create_bin(name, private, now)
    }
    fn check(&self) -> Result<Health, JournalError> {
        self.check()
    }
    fn copy_to(&self, path: &Path) -> Result<(), JournalError> {
        self.copy_to(path)
    }
    fn each_while(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(Delivery) -> bool,
    ) -> Result<(), JournalError> {
        self.each(query, |delivery| visit(delivery).then_some(()).ok_or(()))
            .map(|_| ())
    }
}

/// Whether somebody who opens the journal may find what a commit wrote that failed so.
fn may_be_found(error: &JournalError) -> bool {
    matches!(
        error,
        JournalError::Unusable { .. } | JournalError::Full { .. }
    )
}
