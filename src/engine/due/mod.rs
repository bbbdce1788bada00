//! What is due: which delivery of the schedule is next, and when to look again.
//!
//! Sends nothing. One agenda ends when it has handed out what was due at its beginning; another never does: it looks at the
//! journal again when the next one is due, and now and then, since other processes schedule deliveries, take them, and die.
//! In memory is a page of what is due, and what is under way.

mod shares;

use std::collections::VecDeque;
use std::time::Duration;

use crate::delivery::Delivery;
use crate::journal::store::{Due, JournalError, Schedule, Seen};
use crate::time::UnixMs;

pub use shares::Came;
use shares::{Position, Shares};

/// How often it looks for what others have done.
const GLANCE: Duration = Duration::from_secs(1);

/// What is kept in memory of all that is due.
const PAGE: u32 = 128;

/// How many of those that have to wait are passed over at a time: whoever asks has other things to do.
const AT_A_TIME: usize = 1024;

/// How long it is until all that is due is looked at again, for each that there was: some may be due since earlier than it has
/// got to, as those that others put back.
const REST: Duration = Duration::from_micros(200);

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcoming {
    /// This one is due.
    Due(Seen),
    /// Nothing may be sent so far; to be asked again at this time, or when something has come of what is under way.
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
    /// How far it has looked.
    behind: Option<Position>,
    /// Whether more may be due behind that.
    has_more: bool,
    /// How many there were so far, from the beginning.
    seen: u32,
    looked_at: UnixMs,
    look_at: UnixMs,
    begin_anew_at: UnixMs,
    next_due: Option<UnixMs>,
    left_behind: usize,
}

impl<'a> Agenda<'a> {
    /// What is due now, each once, for so many senders.
    pub fn once(schedule: &'a dyn Schedule, jobs: usize, now: UnixMs) -> Agenda<'a> {
        Agenda {
            only_until: Some(now),
            has_more: true,
            ..Agenda::watched(schedule, jobs)
        }
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
            has_more: false,
            seen: 0,
            looked_at: never,
            look_at: never,
            begin_anew_at: never,
            next_due: None,
            left_behind: 0,
        }
    }

    /// The next one, which is under way from here on.
    ///
    /// # Errors
    /// [`JournalError`]; it can be asked again.
    pub fn next(&mut self, now: UnixMs) -> Result<Upcoming, JournalError> {
        let mut passed_over = 0;
        loop {
            while let Some(due) = self.found.pop_front() {
                if self.shares.has(due.seen.id) {
                    continue;
                }
                if self.shares.take(&due, now) {
                    return Ok(Upcoming::Due(due.seen));
                }
                passed_over += 1;
            }
            if passed_over >= AT_A_TIME {
                return Ok(Upcoming::Later(now));
            }
            if let Some((url, from)) = self.shares.take_backlog(now) {
                self.read_backlog(&url, from, now)?;
            } else if self.has_more {
                self.read_page(now)?;
            } else if let Some(upcoming) = self.look_again(now)? {
                return Ok(upcoming);
            }
        }
    }

    fn until(&self, now: UnixMs) -> UnixMs {
        self.only_until.unwrap_or(now)
    }

    /// What was passed over for an endpoint that may have another sender now.
    fn read_backlog(&mut self, url: &str, from: Position, now: UnixMs) -> Result<(), JournalError> {
        let (at, id) = from;
        let page = self
            .schedule
            .due(self.until(now), Some((at, id - 1)), PAGE, Some(url));
        let page = page.inspect_err(|_| self.shares.leave_backlog(url, from))?;
        if let Some(last) = page.last().filter(|_| page.len() >= PAGE as usize) {
            self.shares.leave_backlog(url, (last.at, last.seen.id + 1));
        }
        self.found.extend(page);
        Ok(())
    }

    fn read_page(&mut self, now: UnixMs) -> Result<(), JournalError> {
        let until = self.until(now);
        let page = self.schedule.due(until, self.behind, PAGE, None)?;
        let Some(last) = page.last() else {
            self.next_due = self.schedule.next_due(until)?;
            let glance = now.plus(GLANCE);
            self.has_more = false;
            (self.looked_at, self.look_at) =
                (now, self.next_due.map_or(glance, |due| due.min(glance)));
            return Ok(());
        };
        self.behind = Some((last.at, last.seen.id));
        self.seen = self.seen.saturating_add(PAGE);
        self.found.extend(page);
        Ok(())
    }

    /// Looks for more if it is time to; else says when it will be.
    fn look_again(&mut self, now: UnixMs) -> Result<Option<Upcoming>, JournalError> {
        if self.only_until.is_some() {
            let waits = self.shares.has_backlog();
            return Ok(Some(if waits {
                Upcoming::Later(now.plus(GLANCE))
            } else {
                Upcoming::End
            }));
        }
        // A clock that was set back must not make it wait for long.
        let set_back = now < self.looked_at;
        if !set_back && now < self.look_at {
            return Ok(Some(Upcoming::Later(self.look_at)));
        }
        let left_behind = self.schedule.release_dead(now)?;
        self.left_behind += left_behind;
        self.shares.tidy(now);
        if set_back || left_behind > 0 || self.begin_anew_at <= now {
            self.begin_anew_at = now.plus(REST.saturating_mul(self.seen).max(GLANCE));
            (self.behind, self.seen) = (None, 0);
        }
        self.has_more = true;
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
/// [`JournalError`].
pub fn put_off(
    schedule: &dyn Schedule,
    delivery: &Delivery,
    obstacle: Obstacle,
    now: UnixMs,
) -> Result<(), JournalError> {
    let seen = Seen {
        id: delivery.id,
        attempts: delivery.attempt_count,
    };
    match obstacle {
        // Somebody has it by now if not: then it is somebody's.
        Obstacle::Passing => schedule
            .postpone(seen, now.plus(delivery.rule.interval.max(GLANCE)))
            .map(drop),
        Obstacle::Lasting => schedule.unschedule(&[seen]).map(drop),
    }
}

#[cfg(test)]
mod tests;
