//! The journal: deliveries, their attempts, and captured requests, on durable storage.
//!
//! [`Journal`] is what the rest of the program uses. All changes go through [`Journal::commit`]: a list of [`Write`]s
//! becomes one transaction, which is durable when the call returns. [`GroupWriter`] lets many threads share such
//! transactions. `sqlite/` implements the trait on one SQLite file, `postgres/` on a PostgreSQL database; [`open`] chooses
//! by the [`Location`]. Both run the statements of `statements`, insert the rows of `new_rows`, and read rows as `rows` does.
//!
//! While a process sends a delivery, it owns a lease on it. Only the owner may begin the next attempt; other processes
//! take over when the owner has died or its lease has expired. To read on: `records` has the writes and their results.

mod capture_writer;
mod captures;
mod error;
mod group_writer;
mod host;
mod location;
mod new_rows;
mod postgres;
mod records;
mod rows;
mod sqlite;
mod statements;
mod stored;
#[cfg(test)]
mod tests;
mod values;

use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use uuid::Uuid;

pub use capture_writer::{Forwarding, JournalCaptureStore};
pub use captures::{
    CaptureQuery, CaptureStore, CursorChange, FollowCursor, Order, StoreReply, StoredCapture,
};
pub use error::JournalError;
pub use group_writer::{CommitRetry, GroupWriter, Reply};
pub use host::Host;
pub use location::{Location, LocationError, Server};
pub use records::{
    AttemptResult, CaptureRules, Claim, ClaimCondition, Copied, Cursor, DeliveryList,
    DeliveryVersion, Due, DueFilter, Forward, Health, Import, Migrated, NewAttempt, NewDelivery,
    NextStep, Query, ScheduleSlot, ServerHealth, Slice, StatusCounts, Unchanged, Write,
    WriteResult,
};

use crate::capture::{Bin, BinResponse, CaptureRecord, Run};
use crate::delivery::{Attempt, Delivery, Status};
use crate::time::UnixMs;

/// Opens the journal. Creates a file, mode 0600 in a directory of mode 0700, if it does not exist; a database must have
/// its tables, which [`migrate`] creates.
pub fn open(location: impl Into<Location>) -> Result<Box<dyn Journal>, JournalError> {
    let host = Box::new(host::ThisHost);
    Ok(match location.into() {
        Location::File(path) => Box::new(sqlite::SqliteJournal::open(&path, host)?),
        Location::Server(server) => Box::new(postgres::PostgresJournal::open(&server, host)?),
    })
}

/// Creates or upgrades the tables of a database.
pub fn migrate(server: &Server) -> Result<Migrated, JournalError> {
    postgres::migrate(server, Box::new(host::ThisHost))
}

/// Adds the rows of a file to a database. They stay in the file.
pub fn copy(file: &Path, server: &Server) -> Result<Copied, JournalError> {
    postgres::copy(file, server)
}

/// An empty journal in memory, for commands that read a journal which does not exist yet.
pub fn empty() -> Result<Box<dyn Journal>, JournalError> {
    let host = Box::new(host::ThisHost);
    Ok(Box::new(sqlite::SqliteJournal::in_memory(host)?))
}

/// As [`open`], with a clock and processes that a test controls.
#[cfg(test)]
pub fn open_on(host: Box<dyn Host>, path: &Path) -> Result<Box<dyn Journal>, JournalError> {
    Ok(Box::new(sqlite::SqliteJournal::open(path, host)?))
}

/// Storage for deliveries, attempts and captures.
pub trait Journal: Deliveries + Schedule + Captures + Send {
    /// Applies `writes` in order, in one transaction, durable when this returns. There is one result per write.
    ///
    /// A claim whose condition does not hold results in [`WriteResult::Refused`], a write that SQLite does not accept,
    /// for example a value that is too large, in [`WriteResult::Rejected`]; the other writes are applied. On an error
    /// nothing was written, unless the connection to a server was lost: see [`Journal::commit_as`].
    fn commit(&self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        self.commit_as(Uuid::new_v4(), writes)
    }

    /// As [`Journal::commit`]. To repeat a commit after an error, call it with the same `id` and writes, before any other
    /// commit: the writes are then applied once, even if the first call took effect.
    fn commit_as(&self, id: Uuid, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError>;

    /// The journal's current time, which decides leases and due times.
    fn now(&self) -> UnixMs;

    /// Prepares a connection for many commits.
    fn tune_for_groups(&mut self) -> Result<(), JournalError>;
    /// Prepares a connection that only adds captures: it waits at most two seconds for a lock, and a power failure may
    /// lose its latest commits, unless the rules say otherwise. The end of the process does not.
    fn tune_for_captures(&mut self, rules: CaptureRules) -> Result<(), JournalError>;

    fn location(&self) -> &Location;
    /// The location as messages show it: a path, or a URL without its password.
    fn path(&self) -> &Path {
        self.location().shown()
    }
    /// How far the system's clock is ahead of the clock of a database server, in milliseconds; none for a file.
    fn clock_ahead_ms(&self) -> Option<i64> {
        None
    }
    /// The user id of the journal's owner, unless that is this process's user or root. Secret references in such a
    /// journal are read as [untrusted](crate::secret::SecretSource::Untrusted).
    fn foreign_owner(&self) -> Option<u32>;
    /// Two counters: changes by other connections, and by this one. Equal values mean that nothing has changed.
    fn change_counters(&self) -> Result<(i64, i64), JournalError>;
    /// Returns free space to the file system for a short time. Returns whether there is more.
    fn reclaim_slice(&self) -> bool;
    /// Verifies the whole file and counts its rows.
    fn check(&self) -> Result<Health, JournalError>;
    /// Copies a snapshot to a new file, which must not exist yet. Fails soon after `interrupted` is
    /// set, as do later methods.
    fn export(&mut self, path: &Path, interrupted: Arc<AtomicBool>) -> Result<(), JournalError>;
}

pub trait Deliveries {
    /// The delivery as it is now.
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError>;
    /// Finds the delivery with this uuid; ignores the case of its digits.
    fn delivery_by_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError>;
    /// The bytes of a delivery's payload, which are those of its capture if it forwards one: none if that was deleted. An
    /// error if the delivery does not exist.
    fn payload(&self, id: i64) -> Result<Vec<u8>, JournalError>;
    /// Reads the deliveries of `seen` that have begun no attempt since, with their payloads, in this order: at most
    /// `limit`, and none after the payloads have `max_bytes`. The payload is empty if the delivery forwards a capture.
    fn unchanged(
        &self,
        seen: &[DeliveryVersion],
        limit: usize,
        max_bytes: usize,
    ) -> Result<Unchanged, JournalError>;
    /// A delivery's attempts, oldest first.
    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError>;
    /// Id and attempt count of each delivery of a query.
    fn delivery_versions(&self, query: &Query) -> Result<Vec<DeliveryVersion>, JournalError>;
    /// The deliveries of a query that follow `after`, or its first ones; at most `limit`.
    /// Ignores the query's own limit.
    fn page(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Delivery>, JournalError>;
    /// How many deliveries a query matches, at most `max`. Ignores the query's limit.
    fn count_up_to(&self, query: &Query, max: usize) -> Result<usize, JournalError>;
    /// Deliveries accepted since `since`, counted by status and by intervals of `interval_ms`.
    fn status_counts(&self, since: UnixMs, interval_ms: i64) -> Result<StatusCounts, JournalError>;
    /// Adds deliveries that another sender failed to deliver to the failed list, except those whose uuid exists. Like
    /// all methods that return a [`Slice`], it stops after a short time, so that other processes can write, and pauses
    /// if it is called again soon.
    fn import_slice(&self, imports: &[Import]) -> Result<Slice, JournalError>;
    /// Deletes deliveries that have one of `statuses`, with their attempts, except those that
    /// changed since they were read.
    fn delete_slice(
        &self,
        seen: &[DeliveryVersion],
        statuses: &[Status],
    ) -> Result<Slice, JournalError>;
}

/// Deliveries that wait for their next attempt, and those of processes that have ended.
pub trait Schedule {
    /// Scheduled deliveries that are due and in no sequence, in order of due time and id, starting after the due time and id
    /// in `after`.
    fn due_page(
        &self,
        after: Option<(UnixMs, i64)>,
        limit: u32,
        filter: DueFilter<'_>,
    ) -> Result<Vec<Due>, JournalError>;
    /// The first undelivered delivery of each sequence, if it is scheduled and due.
    fn due_in_sequence(&self) -> Result<Vec<Due>, JournalError>;
    /// The earliest due time in the future, and the first delivery of that time. Ignores deliveries in sequences.
    fn next_due(&self) -> Result<Option<(UnixMs, i64)>, JournalError>;
    /// Makes the deliveries that forward captures to `url` due now if their last attempt got no response. Returns whether
    /// there were any.
    fn bring_forward(&self, url: &str) -> Result<bool, JournalError>;
    /// How many deliveries are scheduled for a time after `time`, and the latest of these times.
    fn scheduled_after(&self, time: UnixMs) -> Result<Option<(usize, UnixMs)>, JournalError>;
    /// Moves scheduled deliveries to the failed list, except those that were claimed since they were read.
    fn cancel_slice(&self, seen: &[DeliveryVersion]) -> Result<Slice, JournalError>;
    /// Moves deliveries whose owner has died, or whose lease has expired, to the failed list, and schedules those that
    /// have attempts left. Returns how many it moved.
    fn interrupt_abandoned(&self) -> Result<usize, JournalError>;
    /// How many scheduled deliveries go to a target, see [`Due::target`]; with `forwards`, only those that forward captures.
    fn scheduled_to(&self, target: &str, forwards: bool) -> Result<usize, JournalError>;
    /// How many pending deliveries forward captures, at most `max`.
    fn pending_forwards(&self, max: usize) -> Result<usize, JournalError>;
}

/// Captured requests and the bins they are in.
pub trait Captures {
    fn captures(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, JournalError>;
    /// A capture with its body.
    fn capture(&self, id: i64) -> Result<Option<StoredCapture>, JournalError>;
    /// The runs of commands for a capture, in order.
    fn runs(&self, capture: i64) -> Result<Vec<Run>, JournalError>;
    /// The deliveries that forward these captures, in order.
    fn forwards(&self, captures: &[i64]) -> Result<Vec<Delivery>, JournalError>;
    /// The id of the newest capture, 0 without captures.
    fn newest_capture(&self) -> Result<i64, JournalError>;
    /// The ids of a bin's captures that are at most `until`.
    fn ids_in_bin(&self, name: &str, until: i64) -> Result<Vec<i64>, JournalError>;
    /// Pins a capture or not, and replaces its note; returns false if it does not exist.
    fn annotate_capture(
        &self,
        id: i64,
        pinned: bool,
        note: Option<&str>,
    ) -> Result<bool, JournalError>;
    /// Deletes captures, except those that deliveries forward which are not delivered yet.
    fn delete_captures_slice(&self, ids: &[i64]) -> Result<Slice, JournalError>;
    fn bins(&self) -> Result<Vec<Bin>, JournalError>;
    /// The bin with this name.
    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError>;
    /// Where a reader of the bin is that has read its captures up to the id `last_id`; none if there is no such bin.
    fn bin_position(&self, name: &str, last_id: i64) -> Result<Option<FollowCursor>, JournalError>;
    /// The cursor that [`Write::MoveCursor`] stored under this name.
    fn cursor(&self, name: &str) -> Result<Option<FollowCursor>, JournalError>;
    /// Creates a bin unless it exists; returns it.
    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError>;
    /// Replaces the response of a bin; returns false if the bin does not exist.
    fn set_bin_response(
        &self,
        name: &str,
        response: Option<&BinResponse>,
    ) -> Result<bool, JournalError>;
    /// Deletes a bin without captures; returns false if it has some or does not exist.
    fn delete_bin(&self, name: &str) -> Result<bool, JournalError>;
}

/// How many rows commands read at a time.
pub const PAGE_SIZE: usize = 500;

/// Reads items page by page, up to an empty page or an error; no transaction is open between two pages.
pub fn by_page<T, E>(
    mut read: impl FnMut() -> Result<Vec<T>, E>,
) -> impl Iterator<Item = Result<T, E>> {
    let mut page = Vec::new().into_iter();
    iter::from_fn(move || {
        if page.len() == 0 {
            match read() {
                Ok(read) => page = read.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        page.next().map(Ok)
    })
}

impl dyn Journal + '_ {
    /// Commits; after a temporary error, repeats the same commit if `again` says so.
    pub fn commit_while(
        &self,
        writes: &[Write],
        mut again: impl FnMut(&JournalError) -> bool,
    ) -> Result<Vec<WriteResult>, JournalError> {
        let id = Uuid::new_v4();
        loop {
            match self.commit_as(id, writes) {
                Err(error) if error.is_temporary() && again(&error) => {}
                committed => return committed,
            }
        }
    }

    /// The deliveries of a query, or those that follow `after`, read in pages of at most `page_size`.
    pub fn deliveries(
        &self,
        query: &Query,
        mut after: Option<Cursor>,
        page_size: usize,
    ) -> impl Iterator<Item = Result<Delivery, JournalError>> {
        let limit = query.limit.unwrap_or(usize::MAX);
        let deliveries = by_page(move || {
            let page = self.page(query, after, page_size.min(limit))?;
            after = page.last().map(Cursor::after).or(after);
            Ok(page)
        });
        deliveries.take(limit)
    }

    /// How many deliveries a query matches. Ignores the query's limit.
    pub fn count(&self, query: &Query) -> Result<usize, JournalError> {
        self.count_up_to(query, usize::MAX)
    }

    /// As [`Deliveries::delete_slice`], for all of them; returns how many it deleted.
    pub fn delete(
        &self,
        seen: &[DeliveryVersion],
        statuses: &[Status],
    ) -> Result<usize, JournalError> {
        self.change_all(seen, |rest| self.delete_slice(rest, statuses))
    }

    /// As [`Schedule::cancel_slice`], for all of them; returns how many it moved.
    pub fn cancel(&self, seen: &[DeliveryVersion]) -> Result<usize, JournalError> {
        self.change_all(seen, |rest| self.cancel_slice(rest))
    }

    /// Deletes captures, as [`Captures::delete_captures_slice`]; returns how many it deleted.
    pub fn delete_captures(&self, ids: &[i64]) -> Result<usize, JournalError> {
        self.change_all(ids, |rest| self.delete_captures_slice(rest))
    }

    /// Deletes a bin's captures whose ids are at most `until`, except those that are not delivered yet; returns how many.
    pub fn clear_bin(&self, name: &str, until: i64) -> Result<usize, JournalError> {
        self.delete_captures(&self.ids_in_bin(name, until)?)
    }

    /// As [`Deliveries::import_slice`], for all of them.
    pub fn import(&self, imports: &[Import]) -> (Slice, Result<(), JournalError>) {
        in_slices(imports, |rest| self.import_slice(rest), |_| true)
    }

    fn change_all<T>(
        &self,
        items: &[T],
        change: impl FnMut(&[T]) -> Result<Slice, JournalError>,
    ) -> Result<usize, JournalError> {
        let (all, result) = self.change_until(items, change, |_| true);
        result.map(|()| all.changed)
    }

    /// As [`in_slices`]; at the end returns free space to the file system.
    pub fn change_until<T>(
        &self,
        items: &[T],
        change: impl FnMut(&[T]) -> Result<Slice, JournalError>,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> (Slice, Result<(), JournalError>) {
        let (all, result) = in_slices(items, change, &mut go_on);
        let is_complete = result.is_ok() && all.done == items.len();
        while is_complete && all.changed > 0 && self.reclaim_slice() && go_on(all.done) {}
        (all, result)
    }
}

/// Calls `change` with the items that are left until all are done, it fails, or `go_on` returns false, which is called
/// with the number of items done. The result says how far it got: what was changed stays changed.
fn in_slices<T>(
    items: &[T],
    mut change: impl FnMut(&[T]) -> Result<Slice, JournalError>,
    mut go_on: impl FnMut(usize) -> bool,
) -> (Slice, Result<(), JournalError>) {
    let mut all = Slice::default();
    while all.done < items.len() {
        match change(&items[all.done..]) {
            Ok(slice) => {
                all.done += slice.done;
                all.changed += slice.changed;
            }
            Err(error) => return (all, Err(error)),
        }
        if !go_on(all.done) {
            break;
        }
    }
    (all, Ok(()))
}
