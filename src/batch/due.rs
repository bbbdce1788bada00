//! Deliveries that wait for their next attempt, by the time at which it is due.
//!
//! Kept is no more than it takes to find one again: its event and all else is in the journal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::time::UnixMs;

/// A delivery that waits. The order of the fields is the order of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// When its next attempt is due.
    pub due: UnixMs,
    /// The delivery.
    pub id: i64,
    /// Attempts of this run so far.
    pub made: u32,
    /// Until when it is leased.
    pub lease_until: UnixMs,
}

/// The queue.
#[derive(Debug, Default)]
pub struct DueQueue(BinaryHeap<Reverse<Waiting>>);

impl DueQueue {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first one is due.
    pub fn next_due(&self) -> Option<UnixMs> {
        self.0.peek().map(|Reverse(first)| first.due)
    }

    /// One more waits.
    pub fn push(&mut self, waiting: Waiting) {
        self.0.push(Reverse(waiting));
    }

    /// The first one, if it is due.
    pub fn pop_due(&mut self, now: UnixMs) -> Option<Waiting> {
        self.next_due().filter(|due| *due <= now)?;
        self.0.pop().map(|Reverse(first)| first)
    }

    /// All of them, in no order; the queue is empty then.
    pub fn drain(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.0).into_iter().map(|Reverse(waiting)| waiting.id).collect()
    }

    /// When the leases of those that are due and have to wait all the same need to be renewed. A lease outlives its due
    /// time by so much that the first one's is not the last to run out of those that are due.
    pub fn next_renewal(&self, margin: Duration) -> Option<UnixMs> {
        self.0.peek().map(|Reverse(first)| UnixMs(first.lease_until.0.saturating_sub(crate::time::duration_ms(margin))))
    }

    /// Those that are due.
    pub fn overdue(&self, now: UnixMs) -> Vec<i64> {
        self.0.iter().filter(|Reverse(waiting)| waiting.due <= now).map(|Reverse(waiting)| waiting.id).collect()
    }

    /// Of the ones that `change` is asked about, keeps those for which it says a new time for their lease.
    pub fn retain(&mut self, mut change: impl FnMut(&Waiting) -> Option<UnixMs>) {
        let waiting = std::mem::take(&mut self.0).into_iter();
        self.0 = waiting
            .filter_map(|Reverse(waiting)| Some(Reverse(Waiting { lease_until: change(&waiting)?, ..waiting })))
            .collect();
    }
}
