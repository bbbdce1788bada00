//! Who of those that are due may have a sender: an endpoint that does not answer must not have them all.
//!
//! Requests that nobody answers keep a sender for as long as an attempt may take, and an endpoint that is down has many of
//! them due. So an endpoint that has not answered lately gets another sender only while fewer of its deliveries are under
//! way than senders are free: half of them at most, and half of the rest for the next one that is down. One that answers
//! may have as many as there are. Every endpoint may have one.

use std::collections::HashMap;

use crate::journal::store::Due;
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

/// A place in the order of what is due: when, and which delivery.
pub type Position = (UnixMs, i64);

/// How an endpoint does.
#[derive(Debug, Default)]
struct Place {
    under_way: usize,
    /// When it answered, if its last request was answered.
    answered_at: Option<UnixMs>,
    /// Of those that were passed over, the first; whatever else was is behind it.
    backlog: Option<Position>,
}

impl Place {
    fn answers(&self, now: UnixMs) -> bool {
        self.answered_at.is_some_and(|at| now.since(at) < GLANCE)
    }

    fn may(&self, free: usize, now: UnixMs) -> bool {
        self.under_way == 0 || self.under_way < free || self.answers(now)
    }
}

/// The senders, and what they are at.
#[derive(Debug)]
pub struct Shares {
    jobs: usize,
    under_way: HashMap<i64, String>,
    places: HashMap<String, Place>,
}

impl Shares {
    /// So many senders, all of them free.
    pub fn new(jobs: usize) -> Shares {
        Shares {
            jobs,
            under_way: HashMap::new(),
            places: HashMap::new(),
        }
    }

    fn free(&self) -> usize {
        self.jobs.saturating_sub(self.under_way.len())
    }

    /// Gives a delivery a sender, or passes it over; tells which.
    pub fn take(&mut self, due: &Due, now: UnixMs) -> bool {
        let free = self.free();
        let place = self.places.entry(due.url.clone()).or_default();
        let may = place.may(free, now);
        if may {
            place.under_way += 1;
            self.under_way.insert(due.seen.id, due.url.clone());
        } else {
            let position = (due.at, due.seen.id);
            place.backlog = Some(place.backlog.map_or(position, |first| first.min(position)));
        }
        may
    }

    /// The endpoint that may have another sender although some for it were passed over, the first of them due first; and
    /// where they begin. Whoever asks looks at all of them, from there on.
    pub fn take_backlog(&mut self, now: UnixMs) -> Option<(String, Position)> {
        let free = self.free();
        let waiting = self
            .places
            .iter_mut()
            .filter(|(_, place)| place.may(free, now));
        let (url, place) = waiting
            .filter(|(_, place)| place.backlog.is_some())
            .min_by_key(|(_, place)| place.backlog)?;
        Some((url.clone(), place.backlog.take()?))
    }

    /// What is due for this endpoint has been looked at only up to here.
    pub fn leave_backlog(&mut self, url: &str, from: Position) {
        self.places.entry(url.to_owned()).or_default().backlog = Some(from);
    }

    /// Whether any were passed over that have not been looked at since.
    pub fn has_backlog(&self) -> bool {
        self.places.values().any(|place| place.backlog.is_some())
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
        let Some(place) = self
            .under_way
            .remove(&id)
            .and_then(|url| self.places.get_mut(&url))
        else {
            return;
        };
        place.under_way -= 1;
        match came {
            Came::Answer => place.answered_at = Some(now),
            Came::Nothing => place.answered_at = None,
            Came::NotSent => {}
        }
    }

    /// Forgets the endpoints of which nothing is to be known.
    pub fn tidy(&mut self, now: UnixMs) {
        self.places.retain(|_, place| {
            place.under_way > 0 || place.backlog.is_some() || place.answers(now)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::store::Seen;

    const NOW: UnixMs = UnixMs(1_000_000);

    /// Takes all that it may of as many as there are; gives how many those were.
    fn take_all(shares: &mut Shares, url: &str, first: i64, now: UnixMs) -> usize {
        let due = |id| Due {
            at: now,
            seen: Seen { id, attempts: 1 },
            url: url.to_owned(),
        };
        (first..first + 100)
            .take_while(|id| shares.take(&due(*id), now))
            .count()
    }

    #[test]
    fn who_has_not_answered_leaves_as_many_senders_free_as_it_has() {
        let mut shares = Shares::new(8);
        let given = ["a", "b", "c", "d", "e"]
            .map(|url| take_all(&mut shares, url, 100 * i64::from(url.as_bytes()[0]), NOW));
        assert_eq!(given, [4, 2, 1, 1, 1], "and each may have one");
        assert_eq!(take_all(&mut Shares::new(1), "a", 1, NOW), 1);
        assert_eq!(take_all(&mut Shares::new(2), "a", 1, NOW), 1);
    }

    #[test]
    fn who_answers_may_have_all_until_it_does_not() {
        let mut shares = Shares::new(4);
        assert_eq!(take_all(&mut shares, "a", 1, NOW), 2);
        assert_eq!(shares.take_backlog(NOW), None, "it has its share");
        shares.give_back(1, Came::Answer, NOW);
        assert_eq!(shares.take_backlog(NOW), Some(("a".to_owned(), (NOW, 3))));
        assert!(!shares.has_backlog());
        assert_eq!(take_all(&mut shares, "a", 100, NOW), 100);
        let later = NOW.plus(GLANCE);
        assert_eq!(
            take_all(&mut shares, "a", 300, later),
            0,
            "that was a while ago"
        );
        for id in (2..3).chain(100..200) {
            shares.give_back(id, Came::Nothing, later);
        }
        assert_eq!(
            (shares.under_way(), take_all(&mut shares, "a", 500, later)),
            (0, 2)
        );
    }

    #[test]
    fn of_those_that_were_passed_over_the_first_due_comes_first_and_none_is_forgotten() {
        let mut shares = Shares::new(2);
        for (url, first) in [("b", 200), ("a", 100)] {
            take_all(&mut shares, url, first, NOW);
        }
        take_all(&mut shares, "b", 50, UnixMs(NOW.0 - 1));
        shares.give_back(100, Came::Nothing, NOW);
        shares.give_back(200, Came::Nothing, NOW);
        let before = UnixMs(NOW.0 - 1);
        assert_eq!(
            shares.take_backlog(NOW),
            Some(("b".to_owned(), (before, 50))),
            "an earlier one counts"
        );
        shares.leave_backlog("b", (NOW, 250));
        assert_eq!(shares.take_backlog(NOW), Some(("a".to_owned(), (NOW, 101))));
        assert_eq!(shares.take_backlog(NOW), Some(("b".to_owned(), (NOW, 250))));
        assert_eq!(
            (shares.take_backlog(NOW), shares.has_backlog()),
            (None, false)
        );
    }

    #[test]
    fn what_was_not_sent_says_nothing_of_the_endpoint_and_nothing_is_remembered_for_long() {
        let mut shares = Shares::new(4);
        take_all(&mut shares, "a", 1, NOW);
        shares.give_back(1, Came::Answer, NOW);
        shares.give_back(2, Came::NotSent, NOW);
        shares.give_back(2, Came::NotSent, NOW);
        shares.tidy(NOW.plus(GLANCE));
        assert_eq!(
            (shares.places.len(), shares.has(1)),
            (1, false),
            "some were passed over"
        );
        shares.take_backlog(NOW);
        shares.tidy(NOW);
        assert_eq!(shares.places.len(), 1);
        shares.tidy(NOW.plus(GLANCE));
        assert_eq!(shares.places.len(), 0);
    }
}
