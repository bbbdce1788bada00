//! Moving the WAL into the main file, now and then, and without a sync more than it takes.
//!
//! SQLite's own autocheckpoint may strike after any commit, also before a request leaves, and syncs the WAL a second time.
//! Here it is done with the last commit of an attempt: the checkpoint syncs the WAL, that commit included.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, Transaction};

use super::Journal;
use crate::store::StoreError;

/// WAL pages after which it is moved: a few fires' worth. Each run of the program reads the whole WAL, page by page, when
/// it opens the journal.
const CHECKPOINT_PAGES: i32 = 32;

/// How many pages the WAL had after this connection's last commit.
pub(super) struct WalLength(Arc<AtomicI32>);

impl WalLength {
    /// Has SQLite tell after each commit; its autocheckpoint is replaced by that.
    pub(super) fn watch(conn: &mut Connection) -> rusqlite::Result<WalLength> {
        let pages = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(WalLength(pages))
    }
}

impl Journal {
    /// As [`Journal::write`], and moves the WAL into the main file if it has grown long. Durable when it returns, either
    /// way.
    pub(super) fn write_and_checkpoint<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if self.wal_pages() < CHECKPOINT_PAGES {
            return self.write(run);
        }
        let synchronous = |level| self.read(|conn| conn.pragma_update(None, "synchronous", level));
        synchronous("NORMAL")?;
        let written = self.write(run);
        synchronous("FULL")?;
        let value = written?;
        self.checkpoint()?;
        Ok(value)
    }

    /// How many pages the WAL had after this connection's last commit.
    pub(super) fn wal_pages(&self) -> i32 {
        self.wal.0.load(Ordering::Relaxed)
    }

    /// Moves the WAL into the main file, unless somebody is at it. Durable when it returns.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        // Truncated, because the next process reads the WAL from its beginning, whatever of it was moved. Nobody is waited
        // for: whoever reads it just now comes this way himself.
        let busy_timeout = |timeout| self.read(|conn| conn.busy_timeout(timeout));
        busy_timeout(Duration::ZERO)?;
        let busy = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        busy_timeout(self.timeout)?;
        match busy {
            Ok(false) => Ok(()),
            // Somebody is at it, or the disk is full: all stays in the WAL, which is not synced yet.
            _ => {
                let mut path = self.path.clone().into_os_string();
                path.push("-wal");
                let synced = File::open(&path).and_then(|wal| wal.sync_all());
                synced.map_err(|source| StoreError::Io { doing: "sync the journal", path: path.into(), source })
            }
        }
    }
}
