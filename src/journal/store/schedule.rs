//! The schedule as the use cases see it: deliveries whose next attempt has a time and nobody who waits for it.
//!
//! They were put off (`pending`), or a process left them behind when it died (`interrupted`) before the rule's attempts were
//! used up. What is on the schedule has no owner; [`Turn::Scheduled`](super::Turn::Scheduled) takes it off.

use super::{JournalError, Seen};
use crate::time::UnixMs;

/// A delivery whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Since when.
    pub at: UnixMs,
    /// The delivery, as it was found.
    pub seen: Seen,
    /// Where it goes, without its query.
    pub url: String,
}

/// A delivery's place on the schedule, to which it goes back if it is begun and not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it is due.
    pub due: UnixMs,
    /// Whether a dead process left it behind, so that it is in the failed list, too.
    pub left_behind: bool,
}

/// A journal, as far as it keeps a schedule.
pub trait Schedule {
    /// Those that are due by `now`, the first due first, at most `limit`, from behind the one of this time and id on; all, or
    /// those that go to one URL.
    ///
    /// # Errors
    /// [`JournalError`].
    fn due(
        &self,
        now: UnixMs,
        last: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError>;

    /// When the first of those is due that are not due by `now`.
    ///
    /// # Errors
    /// [`JournalError`].
    fn next_due(&self, now: UnixMs) -> Result<Option<UnixMs>, JournalError>;

    /// Puts on the schedule what a process left behind that is gone, or that lets its lease run out; returns how many it left,
    /// those included whose rule has no attempt left.
    ///
    /// # Errors
    /// [`JournalError`].
    fn release_dead(&self, now: UnixMs) -> Result<usize, JournalError>;

    /// Puts a delivery off until `due`, unless somebody took it since it was seen; tells whether it did.
    ///
    /// # Errors
    /// [`JournalError`].
    fn postpone(&self, seen: Seen, due: UnixMs) -> Result<bool, JournalError>;

    /// Takes these off the schedule, unless somebody took them since they were seen; returns how many. They are in the failed
    /// list then.
    ///
    /// # Errors
    /// [`JournalError`]; then all of them are where they were.
    fn unschedule(&self, seen: &[Seen]) -> Result<usize, JournalError>;
}
