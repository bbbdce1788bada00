//! Keeps the write-ahead log (WAL) short.
//!
//! SQLite starts again at the beginning of the WAL once a checkpoint has reached its end. The automatic checkpoints do
//! not wait: while several processes write, one of them appends before the checkpoint of another has reached the end,
//! and the WAL only grows.

use std::time::{Duration, Instant};

use super::SqliteJournal;

/// After a commit that leaves a larger WAL, a process waits until the WAL was checkpointed. More than
/// [`super::GROUP_AUTOCHECKPOINT_PAGES`], which is the usual size while one process writes.
pub const MAX_WAL_BYTES: u64 = 24 << 20;

/// Closing the journal checkpoints a WAL larger than this: each new process reads the whole WAL.
pub const MAX_IDLE_WAL_BYTES: u64 = 2 << 20;

/// How long a commit waits for a checkpoint at most.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(250);

/// How long a checkpoint waits for the write lock, and for readers while it has the lock.
const CHECKPOINT_LOCK_TIMEOUT: Duration = Duration::from_millis(25);

/// The pause between two tries.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(5);

impl SqliteJournal {
    /// Shortens a WAL of more than [`MAX_WAL_BYTES`]. Ignores errors: a later commit tries again.
    pub(super) fn limit_wal(&self, bytes: u64) {
        if bytes <= self.wal_limit.get() {
            return;
        }
        let deadline = Instant::now() + CHECKPOINT_TIMEOUT;
        loop {
            // Copies most of the WAL without blocking other writers. Fails while another process does that.
            if self.checkpoint("PASSIVE", Duration::ZERO) {
                self.checkpoint("TRUNCATE", CHECKPOINT_LOCK_TIMEOUT);
            }
            if self.files.check().is_ok_and(|bytes| bytes <= MAX_WAL_BYTES) {
                self.wal_limit.set(MAX_WAL_BYTES);
                return;
            }
            if Instant::now() >= deadline {
                // Something reads for a long time, such as `journal export`, and the WAL has to grow.
                self.wal_limit.set(bytes / 2 * 3);
                return;
            }
            std::thread::sleep(CHECKPOINT_PAUSE);
        }
    }

    /// Moves the WAL into the file, unless the files were replaced. Returns whether it did.
    fn checkpoint(&self, mode: &str, lock_timeout: Duration) -> bool {
        if self.files.check().is_err() {
            return false;
        }
        let _ = self.conn.busy_timeout(lock_timeout);
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        let is_busy = self.conn.query_row(&pragma, [], |row| row.get(0));
        let _ = self.conn.busy_timeout(self.timeout);
        is_busy == Ok(false)
    }
}

impl Drop for SqliteJournal {
    /// Checkpoints a long WAL, unless the files were replaced.
    fn drop(&mut self) {
        if self
            .files
            .check()
            .is_ok_and(|bytes| bytes > MAX_IDLE_WAL_BYTES)
        {
            self.checkpoint("TRUNCATE", Duration::ZERO);
        }
    }
}
