//! What is due: which delivery of the schedule is next, and when to look again.
//!
//! Sends nothing. One agenda ends when it has handed out what was due at its beginning; another never does: it looks at the
//! journal again when the next one is due, and now and then, since other processes schedule deliveries, take them, and die.
//! In memory is a page of what is due, and what is under way.

mod shares;

use std::collections::VecDeque;
use std::time::Duration;

use crate::delivery::Delivery;
use crate::store::{Due, Schedule, Seen, StoreError};
use crate::time::UnixMs;

pub use shares::Came;
use shares::Shares;

/// How often it looks for what others have done.
const GLANCE: Duration = Duration::from_secs(1);

/// What is kept in memory of all that is due.
const PAGE: u32 = 128;

/// How long it rests for each one that it had to pass over, so that looking at many again and again takes a small part of
/// the time.
const REST: Duration = Duration::from_micros(20);

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcoming {
    /// This one is due.
    Due(Seen),
    /// Nothing may be sent; to be asked again at this time, or when something has come of what is under way.
    Later(UnixMs),
    /// Nothing any more.
    End,
}

/// Hands out what is due, the first due first, but for those whose endpoint has no share in the senders left.
pub struct Agenda<'a> {
    schedule: &'a dyn Schedule,
    /// What is due later than this is for somebody else.
    only_until: Option<UnixMs>,
    shares: Shares,
    found: VecDeque<Due>,
    /// Where the next page begins; none where all of them have been read.
    behind: Option<Option<(UnixMs, i64)>>,
    /// How many were passed over since the first page.
    passed_over: u32,
    looked_at: UnixMs,
    look_at: UnixMs,
    next_due: Option<UnixMs>,
    left_behind: usize,
}

impl<'a> Agenda<'a> {
    /// What is due now, each once, for so many senders.
    pub fn once(schedule: &'a dyn Schedule, jobs: usize, now: UnixMs) -> Agenda<'a> {
        Agenda { only_until: Some(now), behind: Some(None), ..Agenda::watched(schedule, jobs) }
    }

    /// What is due, for as long as it is asked.
    pub fn watched(schedule: &'a dyn Schedule, jobs: usize) -> Agenda<'a> {
        let never = UnixMs(i64::MIN);
        Agenda {
            schedule,
            only_until: None,
            shares: Shares::new(jobs),
            found: VecDeque::new(),
            behind: None,
            passed_over: 0,
            looked_at: never,
            look_at: never,
            next_due: None,
            left_behind: 0,
        }
    }

    /// The next one, which is under way from here on.
    ///
    /// # Errors
    /// [`StoreError`]; it can be asked again.
    pub fn next(&mut self, now: UnixMs) -> Result<Upcoming, StoreError> {
        loop {
            while let Some(due) = self.found.pop_front() {
                if self.shares.has(due.seen.id) {
                    continue;
                }
                if self.shares.take(&due, now) {
                    return Ok(Upcoming::Due(due.seen));
                }
                self.passed_over = self.passed_over.saturating_add(1);
            }
            if let Some(last) = self.behind {
                self.read_page(last, now)?;
            } else if let Some(upcoming) = self.look_again(now)? {
                return Ok(upcoming);
            }
        }
    }

    fn read_page(&mut self, last: Option<(UnixMs, i64)>, now: UnixMs) -> Result<(), StoreError> {
        let until = self.only_until.unwrap_or(now);
        let page = self.schedule.due(until, last, PAGE)?;
        let behind = page.last().map(|last| Some((last.at, last.seen.id)));
        if behind.is_none() {
            self.next_due = self.schedule.next_due(until)?;
            // What is due later concerns only who watches.
            let next = self.next_due.filter(|_| self.only_until.is_none());
            let (glance, rested) = (now.plus(GLANCE), now.plus(REST.saturating_mul(self.passed_over)));
            (self.looked_at, self.look_at) = (now, next.map_or(glance, |due| due.min(glance)).max(rested));
        }
        self.behind = behind;
        self.found.extend(page);
        Ok(())
    }

    /// Begins anew if it is time to; else says when it will be.
    fn look_again(&mut self, now: UnixMs) -> Result<Option<Upcoming>, StoreError> {
        let freed = self.passed_over > 0 && self.shares.take_freed();
        // A clock that was set back must not make it wait for long.
        let rests = self.looked_at <= now && now < self.look_at;
        match self.only_until {
            _ if freed => {}
            Some(_) if self.passed_over == 0 => return Ok(Some(Upcoming::End)),
            _ if rests => return Ok(Some(Upcoming::Later(self.look_at))),
            Some(_) => {}
            None => self.left_behind += self.schedule.release_dead(now)?,
        }
        self.shares.tidy(now);
        (self.behind, self.passed_over) = (Some(None), 0);
        Ok(None)
    }

    /// What came of one that was handed out.
    pub fn over(&mut self, id: i64, came: Came, now: UnixMs) {
        self.shares.give_back(id, came, now);
    }

    /// How many were handed out of which nothing has come so far.
    pub fn under_way(&self) -> usize {
        self.shares.under_way()
    }

    /// When the next one is due, as of when it was last looked for.
    pub fn next_due(&self) -> Option<UnixMs> {
        self.next_due
    }

    /// How many deliveries were found that a process had left behind, since this was asked last.
    pub fn take_left_behind(&mut self) -> usize {
        std::mem::take(&mut self.left_behind)
    }
}

/// Whether what keeps a delivery from being sent may pass without anybody's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It may: a file or a variable may be there the next time.
    Passing,
    /// It will not: only who sends it by hand can give what is missing.
    Lasting,
}

/// Deals with one that is due and cannot be sent: it is due again after its rule's interval, or goes to the failed list, where
/// somebody will find it.
///
/// # Errors
/// [`StoreError`].
pub fn put_off(
    schedule: &dyn Schedule,
    delivery: &Delivery,
    obstacle: Obstacle,
    now: UnixMs,
) -> Result<(), StoreError> {
    let seen = Seen { id: delivery.id, attempts: delivery.attempt_count };
    match obstacle {
        // Somebody has it by now if not: then it is somebody's.
        Obstacle::Passing => schedule.postpone(seen, now.plus(delivery.rule.interval.max(GLANCE))).map(drop),
        Obstacle::Lasting => schedule.unschedule(&[seen]).map(drop),
    }
}

#[cfg(test)]
mod tests;
