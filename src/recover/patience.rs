//! A journal that is waited for: what another process holds, or what a full disk does not take, is tried again.
//!
//! For a process that is meant to run for ever. What will not pass (a newer or damaged file, one that was removed) is an
//! error at once; so is anything once the user wants the process to end.

use std::cell::Cell;
use std::time::Duration;

use crate::delivery::{Delivery, Outcome};
use crate::store::{Begun, Due, NewAttempt, NewDelivery, Next, Schedule, Seen, Store, StoreError, Turn};
use crate::switchboard::Switch;
use crate::time::{Clock, UnixMs, Woken};

/// The time from one try to the next; the journal itself waits for a lock before it gives up.
const PAUSE: Duration = Duration::from_secs(1);

/// What is told while a journal is waited for.
#[derive(Debug)]
pub enum Trouble<'a> {
    /// It cannot be used just now.
    Begun(&'a StoreError),
    /// It can be used again.
    Over,
}

/// A journal and the patience for it.
pub struct Patient<'a, S> {
    journal: &'a S,
    clock: &'a dyn Clock,
    tell: &'a dyn Fn(Trouble<'_>),
    troubled: Cell<bool>,
}

impl<'a, S> Patient<'a, S> {
    /// Waits by `clock`; `tell` hears of it once each time.
    pub fn new(journal: &'a S, clock: &'a dyn Clock, tell: &'a dyn Fn(Trouble<'_>)) -> Patient<'a, S> {
        Patient { journal, clock, tell, troubled: Cell::new(false) }
    }

    fn patiently<T>(&self, try_it: impl Fn(&S) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            let error = match try_it(self.journal) {
                Ok(value) => {
                    if self.troubled.take() {
                        (self.tell)(Trouble::Over);
                    }
                    return Ok(value);
                }
                Err(e) if e.may_pass() && !self.clock.interrupted() => e,
                Err(e) => return Err(e),
            };
            if !self.troubled.replace(true) {
                (self.tell)(Trouble::Begun(&error));
            }
            if self.clock.wait(PAUSE) == Woken::Interrupted {
                return Err(error);
            }
        }
    }
}

impl<S: Store> Store for Patient<'_, S> {
    fn accept(&self, new: &NewDelivery<'_>, attempt: &NewAttempt<'_>) -> Result<Delivery, StoreError> {
        self.patiently(|journal| journal.accept(new, attempt))
    }

    fn ignore(&self, new: &NewDelivery<'_>, by: Switch, now: UnixMs) -> Result<Delivery, StoreError> {
        self.patiently(|journal| journal.ignore(new, by, now))
    }

    fn begin_attempt(&self, id: i64, turn: Turn, attempt: &NewAttempt<'_>) -> Result<Begun, StoreError> {
        self.patiently(|journal| journal.begin_attempt(id, turn, attempt))
    }

    fn finish_attempt(
        &self,
        id: i64,
        number: u32,
        duration: Duration,
        outcome: &Outcome,
        next: Next,
    ) -> Result<(), StoreError> {
        self.patiently(|journal| journal.finish_attempt(id, number, duration, outcome, next))
    }

    fn renew(&self, id: i64, until: UnixMs) -> Result<bool, StoreError> {
        self.patiently(|journal| journal.renew(id, until))
    }

    fn interrupt(&self, id: i64) -> Result<(), StoreError> {
        self.patiently(|journal| journal.interrupt(id))
    }

    fn delivery(&self, id: i64) -> Result<Option<Delivery>, StoreError> {
        self.patiently(|journal| journal.delivery(id))
    }

    fn event(&self, id: i64) -> Result<Vec<u8>, StoreError> {
        self.patiently(|journal| journal.event(id))
    }
}

impl<S: Schedule> Schedule for Patient<'_, S> {
    fn due(&self, now: UnixMs, last: Option<Due>, limit: u32) -> Result<Vec<Due>, StoreError> {
        self.patiently(|journal| journal.due(now, last, limit))
    }

    fn next_due(&self, now: UnixMs) -> Result<Option<UnixMs>, StoreError> {
        self.patiently(|journal| journal.next_due(now))
    }

    fn release_dead(&self, now: UnixMs) -> Result<usize, StoreError> {
        self.patiently(|journal| journal.release_dead(now))
    }

    fn postpone(&self, seen: Seen, due: UnixMs) -> Result<bool, StoreError> {
        self.patiently(|journal| journal.postpone(seen, due))
    }

    fn unschedule(&self, seen: &[Seen]) -> Result<usize, StoreError> {
        self.patiently(|journal| journal.unschedule(seen))
    }
}
