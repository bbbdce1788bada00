//! Bulk changes: many short transactions, and time between them for other processes to write.
//!
//! SQLite does not queue the connections that wait for the write lock. They try again after pauses that grow from 1 to
//! 100 ms. For each of them to find the lock free soon, a bulk change leaves it free for at least as long as it held it.
//! The time is random: with a fixed period near 100 ms, a waiting connection would find it locked again and again.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

use rusqlite::Transaction;

use super::SqliteJournal;
use crate::journal::{JournalError, Slice};

/// How long a transaction of a bulk change works before it commits. A connection that waits with SQLite's busy timeout
/// tries again at least this often during its first 128 ms.
const SLICE_TIME: Duration = Duration::from_millis(25);

/// The longest time between two transactions of a bulk change, before up to half as much is added.
const MAX_PAUSE: Duration = Duration::from_millis(500);

pub struct Pace {
    pub slice_time: Duration,
    next_slice_at: Cell<Instant>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            slice_time: SLICE_TIME,
            next_slice_at: Cell::new(Instant::now()),
        }
    }
}

impl SqliteJournal {
    /// Runs one transaction of a bulk change, after a pause since the previous one. `run` has to return
    /// soon after the given time.
    pub(super) fn write_bulk<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>, Instant) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let pause = self.pace.next_slice_at.get();
        std::thread::sleep(pause.saturating_duration_since(Instant::now()));
        let mut locked_at = Instant::now();
        let result = self.write(|tx| {
            locked_at = Instant::now();
            run(tx, locked_at + self.pace.slice_time)
        });
        let pause = locked_at.elapsed().min(MAX_PAUSE);
        // The random keys of the standard library's hasher are enough.
        let random = RandomState::new().build_hasher().finish() % 1_000;
        let pause = pause.mul_f64(1.0 + random as f64 / 2e3);
        self.pace.next_slice_at.set(Instant::now() + pause);
        result
    }

    /// Changes items, in order, until the time of a slice has passed. `change` returns how many rows it changed.
    pub(super) fn write_slice<T>(
        &self,
        items: &[T],
        change: impl Fn(&Transaction<'_>, &T) -> rusqlite::Result<usize>,
    ) -> Result<Slice, JournalError> {
        self.write_bulk(|tx, until| {
            let mut slice = Slice::default();
            for item in items {
                slice.changed += change(tx, item)?;
                slice.done += 1;
                if Instant::now() >= until {
                    break;
                }
            }
            Ok(slice)
        })
    }

    /// Returns free pages to the file system until the time of a slice has passed. Returns whether there are more.
    /// Ignores errors: the rows are deleted, and SQLite reuses the pages.
    pub(super) fn vacuum(&self) -> bool {
        let left = self.write_bulk(|tx, until| {
            loop {
                tx.prepare_cached("PRAGMA incremental_vacuum(50)")?
                    .query_map([], |_| Ok(()))?
                    .collect::<rusqlite::Result<()>>()?;
                let free: u32 = tx.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
                if free == 0 || Instant::now() >= until {
                    return Ok(free);
                }
            }
        });
        left.is_ok_and(|left| left > 0)
    }
}
