//! Deliveries that wait for their next attempt, by the time at which it is due.
//!
//! Kept is no more than it takes to find one again: its event and all else is in the journal. That is due which has waited
//! for as long as it was to, whatever time the clock was set to meanwhile; leases end by the clock, which others read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::time::UnixMs;

/// A delivery that waits. The order of the fields is the order of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// When its next attempt is due, in the time that the clock has run.
    pub due: Duration,
    /// The delivery.
    pub id: i64,
    /// Attempts of this run so far.
    pub made: u32,
    /// Until when it is leased.
    pub lease_until: UnixMs,
}

/// The queue.
#[derive(Debug, Default)]
pub struct DueQueue {
    queue: BinaryHeap<Reverse<Waiting>>,
    /// No lease of them ends earlier.
    first_end: Option<UnixMs>,
}

impl DueQueue {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// When the first one is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.queue.peek().map(|Reverse(first)| first.due)
    }

    /// One more waits.
    pub fn push(&mut self, waiting: Waiting) {
        self.first_end = earlier(self.first_end, &waiting);
        self.queue.push(Reverse(waiting));
    }

    /// The first one, if it is due.
    pub fn pop_due(&mut self, elapsed: Duration) -> Option<Waiting> {
        self.next_due().filter(|due| *due <= elapsed)?;
        self.queue.pop().map(|Reverse(first)| first)
    }

    /// All of them, in no order; the queue is empty then.
    pub fn drain(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.queue)
            .into_iter()
            .map(|Reverse(waiting)| waiting.id)
            .collect()
    }

    /// A time before which no lease of them ends.
    pub fn first_end(&self) -> Option<UnixMs> {
        self.first_end.filter(|_| self.len() > 0)
    }

    /// Those whose leases end by this time, which are to be renewed.
    pub fn ending(&mut self, by: UnixMs) -> Vec<Waiting> {
        let mut ending = Vec::new();
        self.first_end = None;
        for Reverse(waiting) in &self.queue {
            if waiting.lease_until <= by {
                ending.push(*waiting);
            } else {
                self.first_end = earlier(self.first_end, waiting);
            }
        }
        ending
    }

    /// Of the ones that `change` is asked about, keeps those for which it says a new time for their lease.
    pub fn retain(&mut self, mut change: impl FnMut(&Waiting) -> Option<UnixMs>) {
        let waiting = std::mem::take(self).queue.into_iter();
        let renewed = |Reverse(waiting)| {
            Some(Waiting {
                lease_until: change(&waiting)?,
                ..waiting
            })
        };
        waiting
            .filter_map(renewed)
            .for_each(|waiting| self.push(waiting));
    }
}

fn earlier(end: Option<UnixMs>, waiting: &Waiting) -> Option<UnixMs> {
    Some(end.map_or(waiting.lease_until, |end| end.min(waiting.lease_until)))
}
