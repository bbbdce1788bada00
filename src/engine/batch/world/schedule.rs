//! The world's schedule: what is on it without a lease, and what other processes do to it.

use super::{Kept, Status, World, at};
use crate::delivery::Delivery;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Target;
use crate::journal::store::{Due, JournalError, Schedule, Seen};
use crate::time::{Clock as _, UnixMs};

impl Kept {
    /// Whether it waits for whoever is there when it is due.
    pub fn is_scheduled(&self) -> bool {
        self.delivery.next_attempt_at.is_some() && self.lease_until.is_none()
    }
}

impl World {
    /// A delivery for this URL that had this many attempts of its rule's, and is due so many seconds after the beginning.
    pub fn scheduled(
        &self,
        id: i64,
        (attempts, rule): (u32, &RetryPolicy),
        url: &str,
        seconds: i64,
    ) {
        self.failed_earlier(id, Status::Pending);
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(&id).unwrap();
        let delivery = Delivery {
            attempt_count: attempts,
            rule: rule.clone(),
            ..kept.delivery.clone()
        };
        let target = Target::from_url(url).unwrap();
        kept.delivery = Delivery {
            target,
            next_attempt_at: Some(at(seconds * 1000)),
            ..delivery
        };
        kept.recorded = vec![true; attempts as usize];
    }

    /// When a delivery is due, in seconds after the beginning, if it is on the schedule.
    pub fn due_of(&self, id: i64) -> Option<i64> {
        let kept = self.kept.borrow();
        let due = kept[&id]
            .delivery
            .next_attempt_at
            .filter(|_| kept[&id].is_scheduled())?;
        Some((due.0 - at(0).0) / 1000)
    }

    /// When the lock is given back that another process has now.
    pub(super) fn unlocked_at(&self) -> Option<UnixMs> {
        self.locked
            .get()
            .filter(|(from, until)| *from <= self.now() && self.now() < *until)
            .map(|(_, until)| until)
    }

    fn refuse_locked(&self) -> Result<(), JournalError> {
        let waited = std::time::Duration::from_secs(10);
        self.unlocked_at().map_or(Ok(()), |_| {
            Err(JournalError::Locked {
                path: "journal.db".into(),
                waited,
            })
        })
    }

    fn change(&self, seen: Seen, due: Option<UnixMs>) -> bool {
        let mut kept = self.kept.borrow_mut();
        let found = kept.get_mut(&seen.id);
        let found = found
            .filter(|kept| kept.is_scheduled() && kept.delivery.attempt_count == seen.attempts);
        found
            .map(|kept| kept.delivery.next_attempt_at = due)
            .is_some()
    }
}

impl Schedule for World {
    fn due(
        &self,
        now: UnixMs,
        last: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError> {
        self.looks.set(self.looks.get() + 1);
        let kept = self.kept.borrow();
        let scheduled = kept
            .values()
            .filter(|kept| kept.is_scheduled())
            .map(|kept| &kept.delivery);
        let due = scheduled.filter_map(|delivery| {
            let seen = Seen {
                id: delivery.id,
                attempts: delivery.attempt_count,
            };
            Some(Due {
                at: delivery.next_attempt_at?,
                seen,
                url: delivery.target.base.as_str().to_owned(),
            })
        });
        let order = |due: &Due| (due.at, due.seen.id);
        let mut due: Vec<Due> = due
            .filter(|due| due.at <= now && last.is_none_or(|last| order(due) > last))
            .collect();
        due.retain(|due| url.is_none_or(|url| due.url == url));
        due.sort_by_key(order);
        due.truncate(limit as usize);
        Ok(due)
    }

    fn next_due(&self, now: UnixMs) -> Result<Option<UnixMs>, JournalError> {
        let kept = self.kept.borrow();
        let scheduled = kept.values().filter(|kept| kept.is_scheduled());
        Ok(scheduled
            .filter_map(|kept| kept.delivery.next_attempt_at)
            .filter(|due| *due > now)
            .min())
    }

    fn release_dead(&self, _: UnixMs) -> Result<usize, JournalError> {
        self.refuse_locked()?;
        Ok(self.left_behind.take())
    }

    fn postpone(&self, seen: Seen, due: UnixMs) -> Result<bool, JournalError> {
        self.refuse_locked()?;
        Ok(self.change(seen, Some(due)))
    }

    fn unschedule(&self, seen: &[Seen]) -> Result<usize, JournalError> {
        self.refuse_locked()?;
        Ok(seen.iter().filter(|seen| self.change(**seen, None)).count())
    }
}
