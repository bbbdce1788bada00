//! The journal: one SQLite file that knows every delivery before its request leaves.
//!
//! It is opened by many short-lived processes at once. Nothing outside this folder sees SQL or a connection; no secret's
//! value can get in (see `rows`). WAL with `synchronous=FULL`: what a method returned from is on the disk; captures, which
//! come by the thousands, are only safe from the death of the process (see `keeper`).

mod captures;
mod checkpoint;
mod copy;
mod create;
mod error;
mod flusher;
mod import;
mod keeper;
mod ledger;
mod open;
mod pages;
mod query;
mod rows;
mod schedule;
mod schema;
mod sending;
pub mod store;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use checkpoint::Log;
pub use import::Import;
pub use keeper::CaptureKeeper;
pub use ledger::DeliveryLedger;
pub use open::LOCK_TIMEOUT;
use open::{Identity, Opened};
pub use pages::Below;
pub use query::{List, Query};

use crate::journal::store::{JournalError, ProcessId, Processes};

/// An open journal, held by this process.
pub struct Journal {
    conn: Connection,
    path: PathBuf,
    timeout: Duration,
    processes: Box<dyn Processes>,
    owner: ProcessId,
    log: Log,
    /// Whether the version was looked at as of the last commit, and not only in the file's beginning.
    version_known: Cell<bool>,
    identity: Identity,
    /// Dropped after `conn`, as [`Opened`] asks.
    _file: File,
}

impl Journal {
    /// Opens the journal at `path`, and makes it, 0600 in a 0700 folder, if there is none.
    ///
    /// # Errors
    /// [`JournalError`] if the file is not a journal, or is newer, damaged, locked for longer than [`LOCK_TIMEOUT`], or
    /// cannot be written. Nothing is changed then.
    pub fn open(path: &Path, processes: Box<dyn Processes>) -> Result<Journal, JournalError> {
        Journal::open_with_timeout(path, processes, LOCK_TIMEOUT)
    }

    fn open_with_timeout(
        path: &Path,
        processes: Box<dyn Processes>,
        timeout: Duration,
    ) -> Result<Journal, JournalError> {
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
        Ok(Journal {
            conn,
            path: path.to_owned(),
            timeout,
            processes,
            owner,
            log,
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

    /// As [`Journal::begin`], but waits for nobody.
    fn begin_at_once(&self) -> Result<Transaction<'_>, JournalError> {
        self.configure(|conn| conn.busy_timeout(Duration::ZERO))?;
        let begun = self.begin();
        self.configure(|conn| conn.busy_timeout(self.timeout))?;
        begun
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

    /// As [`Journal::write`], for what nobody is to find who opens the journal after the commit has failed.
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

    /// As [`Journal::write`], in the place of a commit that failed: one that could not be synced is in the log all the same.
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

/// Whether somebody who opens the journal may find what a commit wrote that failed so.
fn may_be_found(error: &JournalError) -> bool {
    matches!(
        error,
        JournalError::Unusable { .. } | JournalError::Full { .. }
    )
}
