//! What is due: which delivery of the schedule is next, and when to look again.
//!
//! Sends nothing. One agenda ends when it has handed out what was due at its beginning; another never does: it looks at the
//! journal again when the next one is due, and now and then, since other processes schedule deliveries, take them, and die.

use std::collections::VecDeque;
use std::time::Duration;

use crate::delivery::Delivery;
use crate::store::{Due, Schedule, Seen, StoreError};
use crate::time::UnixMs;

/// How often it looks for what others have done.
const GLANCE: Duration = Duration::from_secs(1);

/// What is kept in memory of all that is due.
const PAGE: u32 = 128;

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcoming {
    /// This one is due.
    Due(Seen),
    /// Nothing is due; to be asked again at this time.
    Later(UnixMs),
    /// Nothing any more.
    End,
}

/// Hands out what is due, the first due first.
pub struct Agenda<'a> {
    schedule: &'a dyn Schedule,
    /// What is due later than this is for somebody else.
    only_until: Option<UnixMs>,
    found: VecDeque<Due>,
    /// Where the next page begins; none where all of them have been read.
    behind: Option<Option<Due>>,
    look_at: UnixMs,
    next_due: Option<UnixMs>,
    left_behind: usize,
}

impl<'a> Agenda<'a> {
    /// What is due now, each once.
    pub fn once(schedule: &'a dyn Schedule, now: UnixMs) -> Agenda<'a> {
        Agenda { only_until: Some(now), behind: Some(None), ..Agenda::watched(schedule) }
    }

    /// What is due, for as long as it is asked.
    pub fn watched(schedule: &'a dyn Schedule) -> Agenda<'a> {
        let (found, look_at) = (VecDeque::new(), UnixMs(i64::MIN));
        Agenda { schedule, only_until: None, found, behind: None, look_at, next_due: None, left_behind: 0 }
    }

    /// The next one.
    ///
    /// # Errors
    /// [`StoreError`]; it can be asked again.
    pub fn next(&mut self, now: UnixMs) -> Result<Upcoming, StoreError> {
        loop {
            if let Some(due) = self.found.pop_front() {
                return Ok(Upcoming::Due(due.seen));
            }
            let Some(last) = self.behind else {
                if self.only_until.is_some() {
                    return Ok(Upcoming::End);
                }
                // A clock that was set back must not make it wait for long.
                if now < self.look_at && self.look_at <= now.plus(GLANCE) {
                    return Ok(Upcoming::Later(self.look_at));
                }
                self.left_behind += self.schedule.release_dead(now)?;
                self.behind = Some(None);
                continue;
            };
            let page = self.schedule.due(self.only_until.unwrap_or(now), last, PAGE)?;
            self.behind = page.last().map(|last| Some(*last));
            self.found.extend(page);
            if self.found.is_empty() {
                self.next_due = self.schedule.next_due(self.only_until.unwrap_or(now))?;
                self.look_at = self.next_due.map_or(now.plus(GLANCE), |due| due.min(now.plus(GLANCE)));
            }
        }
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
