//! Who of those that are due may have a sender: an endpoint that does not answer must not have them all.
//!
//! Requests that nobody answers keep a sender for as long as an attempt may take, and an endpoint that is down has many of
//! them due. So an endpoint that has not answered lately gets another sender only while fewer of its deliveries are under
//! way than senders are free: half of them at most, and half of the rest for the next one that is down. One that answers
//! may have as many as there are. Every endpoint may have one.

use std::collections::HashMap;

use crate::store::Due;
use crate::time::UnixMs;

use super::GLANCE;

/// What came of a delivery that was given a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// An answer, whatever it was.
    Answer,
    /// No answer.
    Nothing,
    /// Its request did not leave.
    NotSent,
}

/// How an endpoint does.
#[derive(Debug, Default)]
struct Place {
    under_way: usize,
    /// When it answered, if its last request was answered.
    answered_at: Option<UnixMs>,
    /// Whether one was passed over since it last got a sender back.
    passed_over: bool,
}

impl Place {
    fn answers(&self, now: UnixMs) -> bool {
        self.answered_at.is_some_and(|at| now.since(at) < GLANCE)
    }
}

/// The senders, and what they are at.
#[derive(Debug)]
pub struct Shares {
    jobs: usize,
    under_way: HashMap<i64, String>,
    places: HashMap<String, Place>,
    freed: bool,
}

impl Shares {
    /// So many senders, all of them free.
    pub fn new(jobs: usize) -> Shares {
        Shares { jobs, under_way: HashMap::new(), places: HashMap::new(), freed: false }
    }

    /// Gives a delivery a sender, or passes it over; tells which.
    pub fn take(&mut self, due: &Due, now: UnixMs) -> bool {
        let free = self.jobs.saturating_sub(self.under_way.len());
        let place = self.places.entry(due.url.clone()).or_default();
        let may = place.under_way == 0 || place.under_way < free || place.answers(now);
        if may {
            place.under_way += 1;
            self.under_way.insert(due.seen.id, due.url.clone());
        }
        place.passed_over |= !may;
        may
    }

    /// Whether a delivery has a sender: it may still be seen on the schedule.
    pub fn has(&self, id: i64) -> bool {
        self.under_way.contains_key(&id)
    }

    /// How many deliveries have one.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// A delivery's sender is free again.
    pub fn give_back(&mut self, id: i64, came: Came, now: UnixMs) {
        let Some(place) = self.under_way.remove(&id).and_then(|url| self.places.get_mut(&url)) else { return };
        place.under_way -= 1;
        match came {
            Came::Answer => place.answered_at = Some(now),
            Came::Nothing => place.answered_at = None,
            Came::NotSent => {}
        }
        self.freed |= std::mem::take(&mut place.passed_over);
    }

    /// Whether one of those that were passed over may have a sender by now, since this was asked last.
    pub fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Forgets the endpoints of which nothing is to be known.
    pub fn tidy(&mut self, now: UnixMs) {
        self.places.retain(|_, place| place.under_way > 0 || place.answers(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Seen;

    const NOW: UnixMs = UnixMs(1_000_000);

    /// Takes all that it may of as many as there are; gives how many those were.
    fn take_all(shares: &mut Shares, url: &str, first: i64, now: UnixMs) -> usize {
        let due = |id| Due { at: now, seen: Seen { id, attempts: 1 }, url: url.to_owned() };
        (first..first + 100).take_while(|id| shares.take(&due(*id), now)).count()
    }

    #[test]
    fn who_has_not_answered_leaves_as_many_senders_free_as_it_has() {
        let mut shares = Shares::new(8);
        let given =
            ["a", "b", "c", "d", "e"].map(|url| take_all(&mut shares, url, 100 * i64::from(url.as_bytes()[0]), NOW));
        assert_eq!(given, [4, 2, 1, 1, 1], "and each may have one");
        assert_eq!(take_all(&mut Shares::new(1), "a", 1, NOW), 1);
        assert_eq!(take_all(&mut Shares::new(2), "a", 1, NOW), 1);
    }

    #[test]
    fn who_answers_may_have_all_until_it_does_not() {
        let mut shares = Shares::new(4);
        assert_eq!(take_all(&mut shares, "a", 1, NOW), 2);
        assert!(!shares.take_freed());
        shares.give_back(1, Came::Answer, NOW);
        assert!(shares.take_freed() && !shares.take_freed());
        assert_eq!(take_all(&mut shares, "a", 100, NOW), 100);
        let later = NOW.plus(GLANCE);
        assert_eq!(take_all(&mut shares, "a", 300, later), 0, "that was a while ago");
        for id in (2..3).chain(100..200) {
            shares.give_back(id, Came::Nothing, later);
        }
        assert_eq!((shares.under_way(), take_all(&mut shares, "a", 500, later)), (0, 2));
    }

    #[test]
    fn what_was_not_sent_says_nothing_of_the_endpoint_and_nothing_is_remembered_for_long() {
        let mut shares = Shares::new(4);
        take_all(&mut shares, "a", 1, NOW);
        shares.give_back(1, Came::Answer, NOW);
        shares.give_back(2, Came::NotSent, NOW);
        shares.give_back(2, Came::NotSent, NOW);
        shares.tidy(NOW);
        assert_eq!((shares.places.len(), shares.has(1)), (1, false));
        shares.tidy(NOW.plus(GLANCE));
        assert_eq!(shares.places.len(), 0);
    }
}
