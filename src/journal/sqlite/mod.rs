//! The journal on one SQLite file, in WAL mode with `synchronous=FULL`: a commit is durable when it returns.
//!
//! `open` opens or creates the file, `schema` defines its tables. `commit` applies a group of writes with the
//! statements of `attempts` and `new_captures`. `lists` reads deliveries, `captures` reads captures, `schedule` reads
//! and changes the schedule. `rows` converts rows to records and parameters to JSON; it never stores the value of a
//! secret.

mod attempts;
mod captures;
mod commit;
mod error;
mod export;
mod import;
mod lists;
mod maintenance;
mod new_captures;
mod open;
mod rows;
mod schedule;
mod schema;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::capture::{Bin, Body, Caught};
use crate::delivery::{Attempt, Delivery, Status};
use crate::journal::{CaptureQuery, CaptureRules, DeliveryVersion, Due, JournalError, Processes};
use crate::journal::{Cursor, Health, Import, Journal, Outcomes, Query, Slice, Write, WriteResult};
use crate::time::UnixMs;
use open::JournalFiles;

/// How long a process waits for a lock before it gives up.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a captured request waits for a lock before the listener responds with 503.
const CAPTURE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Pages in the WAL after which a group writer's commit checkpoints, 16 MB: fewer checkpoints make commits faster.
const GROUP_AUTOCHECKPOINT_PAGES: u32 = 1_000;

/// Closing the journal checkpoints a WAL larger than this: each new process reads the whole WAL.
const MAX_IDLE_WAL_BYTES: u64 = 2 << 20;

/// How long one transaction of a bulk change may take. Other processes can write between two of them.
const SLICE_TIME: Duration = Duration::from_millis(100);

/// How many free pages one transaction returns to the file system.
const VACUUM_PAGES: u32 = 500;

pub struct SqliteJournal {
    conn: Connection,
    path: PathBuf,
    files: JournalFiles,
    timeout: Duration,
    host: Box<dyn Processes>,
    owner: String,
    captures: RefCell<new_captures::CaptureCache>,
}

impl SqliteJournal {
    pub fn open(path: &Path, host: Box<dyn Processes>) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::open_with(path, host, LOCK_TIMEOUT, schema::MIGRATIONS)
    }

    fn open_with(
        path: &Path,
        host: Box<dyn Processes>,
        timeout: Duration,
        migrations: &[&str],
    ) -> Result<SqliteJournal, JournalError> {
        let (conn, files) = open::open(path, timeout, migrations)?;
        Ok(SqliteJournal {
            conn,
            path: path.to_owned(),
            files,
            timeout,
            owner: host.current(),
            host,
            captures: RefCell::default(),
        })
    }

    fn set_lock_timeout(&mut self, timeout: Duration) -> Result<(), JournalError> {
        self.conn.busy_timeout(timeout).map_err(|e| self.error(e))?;
        self.timeout = timeout;
        Ok(())
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

    /// Runs one transaction. It takes the write lock first: when two transactions read first and then write, SQLite
    /// fails one of them with "busy".
    fn write<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        self.files.check()?;
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)
            .map_err(|e| self.error(e))?;
        self.check_version()?;
        let value = run(&tx).map_err(|e| self.error(e))?;
        tx.commit().map_err(|e| self.error(e))?;
        // If the files were removed during the commit, its data is lost.
        self.files.check()?;
        Ok(value)
    }

    fn check_version(&self) -> Result<(), JournalError> {
        let found = self
            .conn
            .prepare_cached("PRAGMA user_version")
            .and_then(|mut version| version.query_row([], |row| row.get(0)))
            .map_err(|e| self.error(e))?;
        open::reject_newer(&self.path, found, schema::VERSION)
    }

    /// Changes items, in order, until [`SLICE_TIME`] has passed. `change` returns how many rows it changed.
    fn write_slice<T>(
        &self,
        items: &[T],
        change: impl Fn(&Transaction<'_>, &T) -> rusqlite::Result<usize>,
    ) -> Result<Slice, JournalError> {
        self.write(|tx| {
            let (began, mut slice) = (Instant::now(), Slice::default());
            for item in items {
                slice.changed += change(tx, item)?;
                slice.done += 1;
                if slice.done % 16 == 0 && began.elapsed() >= SLICE_TIME {
                    break;
                }
            }
            Ok(slice)
        })
    }

    /// Returns free pages to the file system. Ignores errors: the rows are deleted, and SQLite reuses the pages.
    fn vacuum(&self) {
        loop {
            let free = self.write(|tx| {
                tx.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?
                    .query_map([], |_| Ok(()))?
                    .collect::<rusqlite::Result<()>>()?;
                tx.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u32>(0))
            });
            if !free.is_ok_and(|free| free > 0) {
                return;
            }
        }
    }

    fn error(&self, error: rusqlite::Error) -> JournalError {
        error::store_error(&self.path, self.timeout, error)
    }
}

impl Drop for SqliteJournal {
    /// Checkpoints a long WAL, unless the files were replaced.
    fn drop(&mut self) {
        if self.files.wal_bytes() > MAX_IDLE_WAL_BYTES && self.files.check().is_ok() {
            let _ = self.conn.busy_timeout(Duration::ZERO);
            let _ = self
                .conn
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

impl Journal for SqliteJournal {
    fn commit(&self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
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
        self.captures.get_mut().rules = rules;
        self.set_lock_timeout(CAPTURE_LOCK_TIMEOUT)?;
        let tune = || {
            self.conn.pragma_update(None, "synchronous", "NORMAL")?;
            // Deleting the oldest captures needs temporary tables, which must not be written to a shared directory.
            self.conn.pragma_update(None, "temp_store", "MEMORY")
        };
        tune().map_err(|e| self.error(e))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        self.read(|conn| lists::delivery(conn, id))
    }

    fn event(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        self.read(|conn| lists::event(conn, id))
    }

    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError> {
        self.read(|conn| lists::attempts(conn, id))
    }

    fn delivery_by_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError> {
        self.read(|conn| match import::find(conn, uuid)? {
            Some(id) => lists::delivery(conn, id),
            None => Ok(None),
        })
    }

    fn listed_failure_time(&self, delivery: &Delivery) -> Result<Option<String>, JournalError> {
        self.read(|conn| import::listed_failure_time(conn, delivery))
    }

    fn page(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Delivery>, JournalError> {
        self.read(|conn| lists::page(conn, query, after, limit))
    }

    fn delivery_versions(&self, query: &Query) -> Result<Vec<DeliveryVersion>, JournalError> {
        self.read(|conn| lists::versions(conn, query))
    }

    fn count_up_to(&self, query: &Query, max: usize) -> Result<usize, JournalError> {
        self.read(|conn| lists::count(conn, query, Some(max)))
    }

    fn outcomes(&self, since: UnixMs, interval_ms: i64) -> Result<Outcomes, JournalError> {
        self.read(|conn| lists::outcomes(conn, since, interval_ms))
    }

    fn change_counters(&self) -> Result<(i64, i64), JournalError> {
        self.read(lists::change_counters)
    }

    fn due_page(
        &self,
        after: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError> {
        self.read(|conn| schedule::due(conn, self.host.now(), after, limit, url))
    }

    fn next_due_at(&self) -> Result<Option<UnixMs>, JournalError> {
        self.read(|conn| schedule::next_due(conn, self.host.now()))
    }

    fn interrupt_abandoned(&self) -> Result<usize, JournalError> {
        self.interrupt_abandoned_deliveries()
    }

    fn reschedule(&self, seen: DeliveryVersion, delay: Duration) -> Result<bool, JournalError> {
        self.write(|tx| schedule::reschedule(tx, seen, self.host.now().plus(delay)))
    }

    fn scheduled(&self, endpoint: Option<&str>) -> Result<Vec<DeliveryVersion>, JournalError> {
        self.read(|conn| schedule::scheduled(conn, endpoint))
    }

    fn cancel_slice(&self, seen: &[DeliveryVersion]) -> Result<Slice, JournalError> {
        self.write_slice(seen, |tx, seen| schedule::cancel(tx, *seen))
    }

    fn delete_slice(
        &self,
        seen: &[DeliveryVersion],
        statuses: &[Status],
    ) -> Result<Slice, JournalError> {
        let slice = self.write_slice(seen, |tx, seen| maintenance::delete(tx, *seen, statuses))?;
        if slice.done == seen.len() {
            self.vacuum();
        }
        Ok(slice)
    }

    fn import(&self, deliveries: &[Import<'_>]) -> Result<Vec<bool>, JournalError> {
        self.write(|tx| {
            deliveries
                .iter()
                .map(|delivery| import::import(tx, delivery))
                .collect()
        })
    }

    fn captures(&self, query: &CaptureQuery) -> Result<Vec<Caught>, JournalError> {
        self.read(|conn| captures::list(conn, query))
    }

    fn capture(&self, id: i64) -> Result<Option<(Caught, Body)>, JournalError> {
        self.read(|conn| captures::capture(conn, id))
    }

    fn newest_capture(&self) -> Result<i64, JournalError> {
        self.read(captures::newest)
    }

    fn ids_in_bin(&self, name: &str, until: i64) -> Result<Vec<i64>, JournalError> {
        self.read(|conn| captures::ids_in_bin(conn, name, until))
    }

    fn delete_captures_slice(&self, ids: &[i64]) -> Result<Slice, JournalError> {
        self.write(captures::remember_newest)?;
        let slice = self.write_slice(ids, |tx, id| captures::delete(tx, *id))?;
        if slice.done == ids.len() {
            self.vacuum();
        }
        Ok(slice)
    }

    fn bins(&self) -> Result<Vec<Bin>, JournalError> {
        self.read(captures::bins)
    }

    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError> {
        self.read(|conn| captures::bin_named(conn, name))
    }

    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError> {
        self.write(|tx| {
            captures::insert_bin(tx, name, private, now)?;
            captures::bin_named(tx, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        })
    }

    fn check(&self) -> Result<Health, JournalError> {
        self.read(maintenance::check)
    }

    fn copy_to(&self, path: &Path) -> Result<(), JournalError> {
        self.export_to(path)
    }
}
