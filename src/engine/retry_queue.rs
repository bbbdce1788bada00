//! Deliveries that wait in this process for their next attempt, by due time.
//!
//! Holds ids only; events stay in the journal. Due times are monotonic; leases use the journal's clock because other
//! processes compare them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::UnixMs;

/// A delivery that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub id: i64,
    /// Attempts of this run so far.
    pub made: u32,
    pub lease_until: UnixMs,
}

#[derive(Debug, Default)]
pub struct RetryQueue {
    /// By due time on the engine's clock, then by id.
    queue: BTreeMap<(Duration, i64), Waiting>,
    /// No lease ends before this time.
    first_lease_end: Option<UnixMs>,
}

impl RetryQueue {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.queue.keys().next().map(|(due, _)| *due)
    }

    pub fn push(&mut self, due: Duration, waiting: Waiting) {
        let end = waiting.lease_until;
        self.first_lease_end = Some(self.first_lease_end.map_or(end, |first| first.min(end)));
        self.queue.insert((due, waiting.id), waiting);
    }

    pub fn pop_due(&mut self, elapsed: Duration) -> Option<Waiting> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= elapsed).then(|| first.remove())
    }

    /// Empties the queue and returns its ids.
    pub fn drain(&mut self) -> Vec<i64> {
        let queue = std::mem::take(&mut self.queue);
        queue.into_values().map(|waiting| waiting.id).collect()
    }

    pub fn first_lease_end(&self) -> Option<UnixMs> {
        self.first_lease_end.filter(|_| !self.is_empty())
    }

    /// Deliveries whose leases end by `by`, with their due times.
    pub fn leases_ending(&mut self, by: UnixMs) -> Vec<(Duration, i64)> {
        let mut ending = Vec::new();
        self.first_lease_end = None;
        for (key, waiting) in &self.queue {
            if waiting.lease_until <= by {
                ending.push(*key);
            } else {
                let end = waiting.lease_until;
                self.first_lease_end =
                    Some(self.first_lease_end.map_or(end, |first| first.min(end)));
            }
        }
        ending
    }

    /// Changes the end of each lease; deliveries for which `change` returns `None` are removed.
    pub fn update_leases(&mut self, mut change: impl FnMut(&Waiting) -> Option<UnixMs>) {
        self.first_lease_end = None;
        for ((due, _), waiting) in std::mem::take(&mut self.queue) {
            if let Some(lease_until) = change(&waiting) {
                self.push(
                    due,
                    Waiting {
                        lease_until,
                        ..waiting
                    },
                );
            }
        }
    }
}
