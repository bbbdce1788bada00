//! How many bytes of receivers' answers are in memory, from when they are read until their clients have taken them.
//!
//! As with requests, each has a small part free, which is all that most answers ever need. What goes beyond it is counted,
//! and when that is as much as it may be, whoever needs more waits, on the thread that reads the answer.
//!
//! Deliberately knows neither requests nor sockets.
//!
//! Invariant: what is held is at most the limit, but for the oldest holder, who never waits: so one always gets on. And no
//! answer is longer than the limit.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::budget::FREE;
use crate::http::Memory;
use crate::text::size;
use crate::time::compact;

/// What all answers may hold together beyond their free parts.
#[derive(Debug)]
pub(super) struct Pool {
    limit: usize,
    /// How long one may wait.
    patience: Duration,
    ledger: Mutex<Ledger>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Ledger {
    /// The number that the next answer gets.
    next: u64,
    held: usize,
    /// Who holds or wants something that counts, and how much, the oldest first.
    holders: BTreeMap<u64, usize>,
}

/// What one answer holds, until it is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    pool: Arc<Pool>,
    number: u64,
}

impl Pool {
    /// Room for so many bytes, which each answer may wait for so long.
    pub(super) fn new(limit: usize, patience: Duration) -> Arc<Pool> {
        Arc::new(Pool {
            limit,
            patience,
            ledger: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// For one more answer, which holds nothing yet.
    pub(super) fn reserve(self: &Arc<Self>) -> Reserved {
        let mut ledger = self.ledger();
        ledger.next += 1;
        Reserved {
            pool: Arc::clone(self),
            number: ledger.next,
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn may_hold(&self, number: u64, bytes: usize, limit: usize) -> bool {
        let others = self.held - self.holders.get(&number).copied().unwrap_or_default();
        others + bytes <= limit || self.holders.keys().next() == Some(&number)
    }
}

impl Memory for Reserved {
    fn grow(&self, length: usize) -> Result<(), String> {
        let Pool {
            limit,
            patience,
            freed,
            ..
        } = &*self.pool;
        if length > *limit {
            return Err(format!("is longer than {}", size(*limit as u64)));
        }
        // What grows piece by piece is given room for twice as much each time.
        let bytes = length.next_power_of_two().min(*limit).saturating_sub(FREE);
        if bytes == 0 {
            return Ok(());
        }
        let mut ledger = self.pool.ledger();
        ledger.holders.entry(self.number).or_default();
        let full = |ledger: &mut Ledger| !ledger.may_hold(self.number, bytes, *limit);
        let (mut ledger, waited) = freed
            .wait_timeout_while(ledger, *patience, full)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let (all, patience) = (size(*limit as u64), compact(*patience));
            return Err(format!(
                "found no room within {patience}: others took all {all} that may be buffered"
            ));
        }
        let before = ledger
            .holders
            .insert(self.number, bytes)
            .unwrap_or_default();
        ledger.held = ledger.held - before + bytes;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut ledger = self.pool.ledger();
        if let Some(bytes) = ledger.holders.remove(&self.number) {
            ledger.held -= bytes;
            drop(ledger);
            self.pool.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 * FREE;

    #[test]
    fn what_is_small_is_free_and_what_does_not_fit_is_said() {
        let pool = Pool::new(LIMIT, Duration::from_millis(10));
        let [oldest, other, small] = [0; 3].map(|_| pool.reserve());
        assert_eq!([oldest.grow(LIMIT), small.grow(FREE)], [Ok(()), Ok(())]);
        assert_eq!(
            oldest.grow(LIMIT + 1),
            Err("is longer than 128 KiB".to_owned())
        );
        let words = "found no room within 10ms: others took all 128 KiB that may be buffered";
        assert_eq!(other.grow(4 * FREE), Err(words.to_owned()));
        drop(oldest);
        assert_eq!(other.grow(LIMIT), Ok(()), "it is the oldest now");
        drop((other, small));
        assert_eq!(pool.ledger().held, 0);
        assert!(pool.ledger().holders.is_empty());
    }

    #[test]
    fn who_waits_gets_on_when_others_are_done_and_the_oldest_at_once() {
        let pool = Pool::new(LIMIT, Duration::from_secs(30));
        let [oldest, other, third] = [0; 3].map(|_| pool.reserve());
        assert_eq!(
            [other.grow(8 * FREE), oldest.grow(8 * FREE)],
            [Ok(()), Ok(())]
        );
        assert_eq!(oldest.grow(LIMIT), Ok(()), "it never waits");
        let waiting = std::thread::spawn(move || third.grow(8 * FREE));
        while pool.ledger().holders.len() < 3 {
            std::thread::yield_now();
        }
        drop(oldest);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    }
}
