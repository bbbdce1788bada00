//! Getting what is committed onto the disk, without a sync more than it takes.
//!
//! SQLite's own autocheckpoint may strike after any commit, also before a request leaves, and syncs the WAL a second time.
//! Here the WAL is moved into the main file with the last commit of an attempt: the checkpoint syncs the WAL, that commit
//! included. It is moved as soon as anything was in it when the attempt began, since each run of the program reads the
//! whole WAL, page by page, when it opens the journal. What an attempt wrote into an empty one is left for the next:
//! beginning it anew took a sync already.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, Transaction};

use super::SqliteJournal;
use super::open::Found;
use crate::journal::store::JournalError;

/// WAL pages that are not left to the next run where syncs do not count.
const CHECKPOINT_PAGES: i32 = 8;

/// What is known of the WAL.
pub(super) struct Log {
    path: PathBuf,
    /// What was in it before the attempt that is under way; others may have moved or written something since.
    found: Cell<Found>,
    /// How many pages it had after this connection's last commit.
    pages: Arc<AtomicI32>,
}

impl Log {
    /// Has SQLite tell after each commit; its autocheckpoint is replaced by that.
    pub(super) fn watch(
        conn: &mut Connection,
        path: PathBuf,
        found: Found,
    ) -> rusqlite::Result<Log> {
        let pages = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Log {
            path,
            found: Cell::new(found),
            pages,
        })
    }
}

impl SqliteJournal {
    /// As [`SqliteJournal::write`], for the commit before a request.
    pub(super) fn write_ahead<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        if self.log.found.get() != Found::New {
            return self.write_or_take_back(run);
        }
        let value = self.write_first(run)?;
        // The names of a new journal's files.
        self.sync(self.log.path.parent().unwrap_or(Path::new("/")))?;
        Ok(value)
    }

    /// As [`SqliteJournal::write`], for the commit after a request; moves what was in the WAL before it. Durable when it
    /// returns, either way.
    pub(super) fn write_outcome<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let value = match self.log.found.get() {
            Found::New => self.write_first(run)?,
            Found::Empty => self.write(run)?,
            Found::Pages => return self.write_and_move(run),
        };
        self.log.found.set(Found::Pages);
        Ok(value)
    }

    /// As [`SqliteJournal::write`], for the only commit about a delivery, which no request follows.
    pub(super) fn write_alone<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        if self.log.found.get() == Found::New {
            self.write_ahead(run)
        } else {
            self.write_outcome(run)
        }
    }

    /// A commit of the first attempt in a new journal, synced here, once. SQLite would first sync the log's beginning alone,
    /// so that nothing of an earlier log is taken for its continuation, and there was no earlier one; and later the folder
    /// again.
    fn write_first<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let value = self.write_at("OFF", run)?;
        self.sync(&self.log.path)?;
        Ok(value)
    }

    /// As [`SqliteJournal::write`], and moves the WAL if it has grown long. Durable when it returns, either way.
    pub(super) fn write_and_checkpoint<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        if self.wal_pages() >= CHECKPOINT_PAGES {
            return self.write_and_move(run);
        }
        let value = self.write(run)?;
        if self.wal_pages() >= CHECKPOINT_PAGES {
            self.checkpoint()?;
        }
        Ok(value)
    }

    fn write_and_move<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let value = self.write_at("NORMAL", run)?;
        self.checkpoint()?;
        Ok(value)
    }

    fn write_at<T>(
        &self,
        level: &str,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let synchronous =
            |level| self.configure(|conn| conn.pragma_update(None, "synchronous", level));
        synchronous(level)?;
        let written = self.write(run);
        synchronous("FULL")?;
        written
    }

    /// How many pages the WAL had after this connection's last commit.
    pub(super) fn wal_pages(&self) -> i32 {
        self.log.pages.load(Ordering::Relaxed)
    }

    /// Moves the WAL into the main file, unless somebody is at it. Durable when it returns.
    pub(super) fn checkpoint(&self) -> Result<(), JournalError> {
        // Truncated, because the next process reads the WAL from its beginning, whatever of it was moved. Nobody is waited
        // for: whoever reads it just now comes this way himself.
        let busy_timeout = |timeout| self.configure(|conn| conn.busy_timeout(timeout));
        busy_timeout(Duration::ZERO)?;
        let busy = self
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, bool>(0)
            });
        busy_timeout(self.timeout)?;
        if let Ok(false) = busy {
            self.log.found.set(Found::Empty);
            self.log.pages.store(0, Ordering::Relaxed);
            return Ok(());
        }
        // Somebody is at it, or the disk is full: all stays in the WAL, which is not synced yet.
        self.sync(&self.log.path)
    }

    /// Moves what it can of the WAL into the main file without waiting for anybody, nor keeping anybody waiting.
    pub(super) fn checkpoint_passively(&self) -> Result<(), JournalError> {
        self.read(|conn| conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())))
    }

    fn sync(&self, path: &Path) -> Result<(), JournalError> {
        let synced = File::open(path).and_then(|file| file.sync_all());
        synced.map_err(|source| JournalError::Io {
            doing: "sync",
            path: path.to_owned(),
            source,
        })
    }
}
