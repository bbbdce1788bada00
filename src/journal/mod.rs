//! The journal: deliveries, their attempts, and captured requests, on durable storage.
//!
//! [`Journal`] is what the rest of the program uses. All changes go through [`Journal::commit`]: a list of [`Write`]s becomes
//! one transaction, which is durable when the call returns. [`GroupWriter`] lets many threads share such transactions.
//! `sqlite/` implements the trait on one SQLite file; [`open`] opens it.
//!
//! A delivery that is being sent is leased to one process. Only the owner of the lease may begin the next attempt; other
//! processes take over when the owner has died or its lease has expired.

mod capture_writer;
#[cfg(test)]
mod conformance;
mod group_writer;
#[allow(dead_code, reason = "the engine moves to it")]
mod records;
#[allow(
    dead_code,
    unused_imports,
    reason = "what the engine used before goes next"
)]
mod sqlite;
#[allow(
    dead_code,
    unused_imports,
    reason = "what the engine used before goes next"
)]
pub mod store;

use std::path::Path;
use std::time::Duration;

pub use capture_writer::CaptureKeeper;
#[allow(unused_imports, reason = "the engine moves to them")]
pub use group_writer::{CommitRetry, GroupWriter, Reply};
#[allow(unused_imports, reason = "the engine moves to them")]
pub use records::{
    AttemptResult, CaptureRules, Claim, ClaimCondition, NewAttempt, NewCapture, NewDelivery, Next,
    ScheduleSlot, StoredCapture, Write, WriteResult,
};
#[allow(unused_imports, reason = "goes next")]
pub use sqlite::{Below, DeliveryLedger, Import, List, Outcomes, Query, SqliteJournal};

use crate::capture::{Bin, Body, Caught};
use crate::delivery::{Attempt, Delivery, Status};
use crate::time::UnixMs;
use store::{CaptureQuery, Due, JournalError, Processes, Schedule, Seen, Store};

/// Opens the journal at `path`; creates it, mode 0600 in a directory of mode 0700, if it does not exist.
pub fn open(path: &Path, host: Box<dyn Processes>) -> Result<Box<dyn Journal>, JournalError> {
    Ok(Box::new(SqliteJournal::open(path, host)?))
}

/// Storage for deliveries, attempts and captures.
#[allow(dead_code, reason = "the engine moves to it")]
pub trait Journal: Store + Schedule + Send {
    /// Applies `writes` in order, in one transaction, durable when this returns. There is one result per write.
    ///
    /// A claim that another process holds is [`WriteResult::Refused`], and a write that cannot be stored by itself is
    /// [`WriteResult::Rejected`]; neither affects the others. On an error nothing was written.
    fn commit(&self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError>;

    /// The journal's current time, which decides leases and due times.
    fn now(&self) -> UnixMs;

    /// Prepares a connection that only adds captures: it waits at most two seconds for a lock, and its commits survive the
    /// death of the process, but the last ones perhaps not a power failure.
    fn tune_for_captures(&mut self) -> Result<(), JournalError>;

    /// The journal's file.
    fn path(&self) -> &Path;

    /// A delivery's attempts, oldest first.
    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError>;
    /// The delivery with this uuid.
    fn of_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError>;
    /// When an imported delivery failed, as its list wrote it; `None` if it was not imported or was retried since.
    fn told_time(&self, delivery: &Delivery) -> Result<Option<String>, JournalError>;
    /// Id and attempt count of each listed delivery.
    fn seen(&self, query: &Query) -> Result<Vec<Seen>, JournalError>;
    /// How many deliveries a query matches; its limit does not count.
    fn count(&self, query: &Query) -> Result<usize, JournalError>;
    /// As [`Journal::count`], but stops counting at `most`.
    fn count_up_to(&self, query: &Query, most: usize) -> Result<usize, JournalError>;
    /// A page of the failed list, or of all deliveries, newest first.
    fn newest(
        &self,
        failed: bool,
        below: Option<Below>,
        limit: u32,
    ) -> Result<Vec<Delivery>, JournalError>;
    /// Deliveries accepted since `since`, counted by status and by intervals of `interval_ms`.
    fn outcomes(&self, since: UnixMs, interval_ms: i64) -> Result<Outcomes, JournalError>;
    /// A value that differs after each change by any process.
    fn version(&self) -> Result<(i64, i64), JournalError>;

    /// Scheduled deliveries that are due, in order of their due times, after the one with this due time and id; for one URL
    /// or for all.
    fn due_page(
        &self,
        after: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError>;
    /// When the next scheduled delivery that is not due yet becomes due.
    fn next_due_at(&self) -> Result<Option<UnixMs>, JournalError>;
    /// Moves deliveries whose owner has died, or whose lease has expired, to the failed list, and schedules those that have
    /// attempts left. Returns how many it moved.
    fn interrupt_abandoned(&self) -> Result<usize, JournalError>;
    /// Makes a scheduled delivery due after `delay`, unless it was claimed since it was read; whether it did.
    fn reschedule(&self, seen: Seen, delay: Duration) -> Result<bool, JournalError>;
    /// Deliveries that wait for their next attempt without a process, for one endpoint or for all.
    fn scheduled(&self, endpoint: Option<&str>) -> Result<Vec<Seen>, JournalError>;
    /// Whether a delivery waits for its next attempt without a process.
    fn is_scheduled(&self, id: i64) -> Result<bool, JournalError>;

    /// Deletes deliveries with their attempts, except those that changed since they were read; returns how many it deleted.
    fn delete(&self, seen: &[Seen], statuses: &[Status]) -> Result<usize, JournalError>;
    /// Adds deliveries that failed elsewhere to the failed list, in one transaction; for each, whether it was new.
    fn import(&self, deliveries: &[Import<'_>]) -> Result<Vec<bool>, JournalError>;
    /// Checkpoints what imports wrote.
    fn settle_imports(&self) -> Result<(), JournalError>;

    /// Captures without their bodies.
    fn captures(&self, query: &CaptureQuery) -> Result<Vec<Caught>, JournalError>;
    /// A capture with its body.
    fn capture(&self, id: i64) -> Result<Option<(Caught, Body)>, JournalError>;
    /// The id of the newest capture, 0 if there is none.
    fn newest_capture(&self) -> Result<i64, JournalError>;
    /// Deletes captures; returns how many existed.
    fn delete_captures(&self, ids: &[i64]) -> Result<usize, JournalError>;
    /// Deletes a bin's captures up to this id; returns how many existed.
    fn clear_bin(&self, name: &str, until: i64) -> Result<usize, JournalError>;
    /// All bins, by name.
    fn bins(&self) -> Result<Vec<Bin>, JournalError>;
    /// The bin with this name.
    fn bin(&self, name: &str) -> Result<Option<Bin>, JournalError>;
    /// Creates a bin unless it exists; returns it.
    fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, JournalError>;

    /// Verifies the whole file and counts its contents.
    fn check(&self) -> Result<sqlite::Health, JournalError>;
    /// Copies a snapshot to a new file, which must not exist yet.
    fn copy_to(&self, path: &Path) -> Result<(), JournalError>;
    /// Passes each delivery of a list to `visit` until it returns false.
    fn each_while(
        &self,
        query: &Query,
        visit: &mut dyn FnMut(Delivery) -> bool,
    ) -> Result<(), JournalError>;
}

impl dyn Journal + '_ {
    /// Passes each delivery of a list to `visit`; stops at its first error.
    pub fn each<E>(
        &self,
        query: &Query,
        mut visit: impl FnMut(Delivery) -> Result<(), E>,
    ) -> Result<Result<(), E>, JournalError> {
        let mut result = Ok(());
        self.each_while(query, &mut |delivery| {
            result = visit(delivery);
            result.is_ok()
        })?;
        Ok(result)
    }
}
