//! Two processes do anything in any order, and the journal is held to a model that fits on a page.
//!
//! The one rule they keep is the use cases': nobody begins another attempt of a delivery while its own is under way.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::*;
use crate::delivery::Status;
use crate::journal::Query;
use crate::rule::Rule;
use crate::store::{Begun, Due, Next, Schedule as _, Seen, Turn};

/// Of every delivery.
static RULE: std::sync::LazyLock<Rule> = std::sync::LazyLock::new(Rule::default);

#[derive(Clone, Debug)]
enum Step {
    Accept(usize),
    Begin(usize, usize),
    Resend { who: usize, which: usize, stale: bool },
    Due { who: usize, which: usize, stale: bool },
    Finish { who: usize, which: usize, status: u16, then: usize, took: u64 },
    Interrupt(usize, usize),
    Release { who: usize, dead: [bool; 2] },
    Postpone { who: usize, which: usize, stale: bool },
    Unschedule { who: usize, which: usize, stale: bool },
    Delete { which: usize, status: Status },
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, which) = (0..2usize, 0..3usize);
    let finish = (who.clone(), which.clone(), prop::sample::select(vec![200u16, 404, 500, 503]), 0..4usize, 0..5000u64);
    let third = || (0..2usize, 0..3usize, prop::bool::weighted(0.2));
    prop_oneof![
        3 => who.clone().prop_map(Step::Accept),
        4 => (who.clone(), which.clone()).prop_map(|(who, which)| Step::Begin(who, which)),
        4 => third().prop_map(|(who, which, stale)| Step::Resend { who, which, stale }),
        4 => third().prop_map(|(who, which, stale)| Step::Due { who, which, stale }),
        1 => third().prop_map(|(who, which, stale)| Step::Postpone { who, which, stale }),
        1 => third().prop_map(|(who, which, stale)| Step::Unschedule { who, which, stale }),
        8 => finish.prop_map(|(who, which, status, then, took)| Step::Finish { who, which, status, then, took }),
        1 => (who.clone(), which.clone()).prop_map(|(who, which)| Step::Interrupt(who, which)),
        3 => (who, any::<[bool; 2]>()).prop_map(|(who, dead)| Step::Release { who, dead }),
        1 => (which, prop::sample::select(Status::ALL.to_vec())).prop_map(|(which, status)| Step::Delete { which, status }),
        3 => (1..200_000i64).prop_map(Step::Pass),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum End {
    Open,
    Presumed,
    Known(u64, u16),
}

#[derive(Clone, Debug)]
struct Tried {
    by: usize,
    started: UnixMs,
    end: End,
}

impl Tried {
    fn last_sign(&self) -> UnixMs {
        match self.end {
            End::Known(took, _) => self.started.plus(Duration::from_millis(took)),
            _ => self.started,
        }
    }

    /// The error it counts as: its status, or none where its end was only presumed.
    fn error(&self) -> Option<Option<u16>> {
        match self.end {
            End::Open | End::Known(_, 200) => None,
            End::Presumed => Some(None),
            End::Known(_, status) => Some(Some(status)),
        }
    }
}

#[derive(Clone, Debug)]
struct Kept {
    status: Status,
    /// Who holds the lease, and until when.
    lease: Option<(usize, UnixMs)>,
    finished: Option<UnixMs>,
    /// When its next attempt is due: its holder's, or, without one, by the schedule.
    due: Option<UnixMs>,
    tried: Vec<Tried>,
}

impl Kept {
    fn new(by: usize, now: UnixMs) -> Kept {
        let mut kept = Kept { status: Status::Pending, lease: None, finished: None, due: None, tried: Vec::new() };
        kept.begin(by, now);
        kept
    }

    fn begin(&mut self, by: usize, now: UnixMs) {
        self.tried.push(Tried { by, started: now, end: End::Open });
        self.stand(Status::Pending, None, Some((by, now.plus(LEASE))), None);
    }

    fn stand(&mut self, status: Status, finished: Option<UnixMs>, lease: Option<(usize, UnixMs)>, due: Option<UnixMs>) {
        (self.status, self.finished, self.lease, self.due) = (status, finished, lease, due);
    }

    /// When it is due, if it is on the schedule and had so many attempts.
    fn scheduled(&self, attempts: u32) -> Option<UnixMs> {
        self.due.filter(|_| self.lease.is_none() && self.tried.len() == attempts as usize)
    }

    /// Its process is gone: it is due as if it were not, as long as the rule has an attempt left.
    fn abandon(&mut self) {
        self.interrupt();
        let again = self.status == Status::Interrupted && self.tried.len() <= RULE.retries as usize;
        self.due = again.then(|| self.tried.last().unwrap().last_sign().plus(RULE.interval));
    }

    fn held_by(&self, who: usize) -> bool {
        self.lease.is_some_and(|(holder, _)| holder == who)
    }

    /// The attempt that this one knows to be under way, whatever others presume.
    fn under_way(&self, who: usize) -> Option<usize> {
        self.tried.iter().position(|tried| tried.by == who && !matches!(tried.end, End::Known(..)))
    }

    fn interrupt(&mut self) {
        let success = self.tried.iter().find(|tried| matches!(tried.end, End::Known(_, 200)));
        let (status, decided) = match success {
            Some(success) => (Status::Delivered, success),
            None => (Status::Interrupted, self.tried.last().unwrap()),
        };
        let finished = Some(decided.last_sign());
        self.stand(status, finished, None, None);
    }

    fn finish(&mut self, who: usize, index: usize, took: u64, status: u16, next: Next) {
        self.tried[index].end = End::Known(took, status);
        let newest = index + 1 == self.tried.len();
        let success = self.tried.iter().position(|tried| matches!(tried.end, End::Known(_, 200)));
        let (index, next) = match success {
            Some(earlier) if next != Next::Delivered => (earlier, Next::Delivered),
            _ => (index, next),
        };
        let nobodys = self.lease.is_none();
        let counts = self.held_by(who) || (nobodys && (newest || next == Next::Delivered));
        if self.status == Status::Delivered || !counts {
            return;
        }
        let finished = Some(self.tried[index].last_sign());
        match next {
            Next::Delivered => self.stand(Status::Delivered, finished, None, None),
            Next::Failed => self.stand(Status::Failed, finished, None, None),
            Next::Interrupted => self.stand(Status::Interrupted, finished, None, None),
            Next::Scheduled { due } => self.stand(Status::Pending, None, None, Some(due)),
            Next::RetryAt { due, lease_until } => {
                self.stand(Status::Pending, None, Some((who, lease_until)), Some(due));
            }
        }
    }
}

struct World {
    bench: Bench,
    journals: [Journal; 2],
    kept: BTreeMap<i64, Kept>,
    accepted: i64,
    now: UnixMs,
}

impl World {
    fn new() -> World {
        let bench = Bench::new();
        let journals = [bench.open_fast(0), bench.open_fast(1)];
        World { bench, journals, kept: BTreeMap::new(), accepted: 0, now: T0 }
    }

    /// One of the newest deliveries, deleted ones among them.
    fn id(&self, which: usize) -> i64 {
        (self.accepted - i64::try_from(which).unwrap()).max(1)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Accept(who) => {
                let delivery = accept(&self.journals[who], self.now);
                self.accepted += 1;
                assert_eq!(delivery.id, self.accepted, "ids count up and never come again");
                self.kept.insert(delivery.id, Kept::new(who, self.now));
            }
            Step::Begin(who, which) => self.begin(who, self.id(which), Turn::Mine),
            Step::Resend { who, which, stale } => {
                let id = self.id(which);
                self.begin(who, id, Turn::Failed { attempts: self.seen(id, stale) });
            }
            Step::Due { who, which, stale } => {
                let id = self.id(which);
                self.begin(who, id, Turn::Scheduled { attempts: self.seen(id, stale) });
            }
            Step::Postpone { who, which, stale } => self.postpone(who, self.id(which), stale),
            Step::Unschedule { who, which, stale } => self.unschedule(who, self.id(which), stale),
            Step::Finish { who, which, status, then, took } => self.finish(who, self.id(which), status, then, took),
            Step::Interrupt(who, which) => {
                let id = self.id(which);
                self.journals[who].interrupt(id).unwrap();
                // The use cases do this between two attempts only.
                if let Some(kept) = self.kept.get_mut(&id).filter(|kept| kept.held_by(who)) {
                    kept.interrupt();
                }
            }
            Step::Release { who, dead } => self.release(who, dead),
            Step::Delete { which, status } => {
                let id = self.id(which);
                let goes = self.kept.get(&id).is_some_and(|kept| kept.status == status);
                assert_eq!(self.journals[0].delete_ids(&[id], &[status]).unwrap(), usize::from(goes));
                if goes {
                    self.kept.remove(&id);
                }
            }
            Step::Pass(ms) => self.now = UnixMs(self.now.0 + ms),
        }
    }

    /// How many attempts somebody saw.
    fn seen(&self, id: i64, stale: bool) -> u32 {
        let made = self.kept.get(&id).map_or(0, |kept| u32::try_from(kept.tried.len()).unwrap());
        made - u32::from(stale).min(made)
    }

    fn postpone(&mut self, who: usize, id: i64, stale: bool) {
        let (attempts, due) = (self.seen(id, stale), self.now.plus(RULE.interval));
        let postponed = self.journals[who].postpone(Seen { id, attempts }, due).unwrap();
        let kept = self.kept.get_mut(&id).filter(|kept| kept.scheduled(attempts).is_some());
        assert_eq!(postponed, kept.is_some());
        kept.into_iter().for_each(|kept| kept.due = Some(due));
    }

    fn unschedule(&mut self, who: usize, id: i64, stale: bool) {
        let attempts = self.seen(id, stale);
        let taken = self.journals[who].unschedule(&[Seen { id, attempts }]).unwrap();
        let kept = self.kept.get_mut(&id).filter(|kept| kept.scheduled(attempts).is_some());
        assert_eq!(taken, usize::from(kept.is_some()));
        kept.into_iter().for_each(Kept::interrupt);
    }

    fn begin(&mut self, who: usize, id: i64, turn: Turn) {
        if self.kept.get(&id).is_some_and(|kept| kept.under_way(who).is_some()) {
            return;
        }
        let begun = self.journals[who].begin_attempt(id, turn, &attempt(self.now)).unwrap();
        let free = self.kept.get_mut(&id).filter(|kept| match turn {
            Turn::Mine => kept.held_by(who),
            Turn::Failed { attempts } => kept.status.in_failed_list() && kept.tried.len() == attempts as usize,
            Turn::Scheduled { attempts } => kept.scheduled(attempts).is_some(),
        });
        let Some(kept) = free else {
            assert_eq!(begun, Begun::Taken);
            return;
        };
        kept.begin(who, self.now);
        assert_eq!(begun, Begun::Attempt(u32::try_from(kept.tried.len()).unwrap()));
    }

    fn finish(&mut self, who: usize, id: i64, status: u16, then: usize, took: u64) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        let Some(index) = kept.under_way(who) else { return };
        let due = self.now.plus(Duration::from_secs(60));
        let next = match (status, then) {
            (200, _) => Next::Delivered,
            (_, 0) => Next::Failed,
            (_, 1) => Next::Interrupted,
            (_, 2) => Next::Scheduled { due },
            _ => Next::RetryAt { due, lease_until: due.plus(LEASE) },
        };
        let outcome = if status == 200 { success() } else { refusal(status) };
        let number = u32::try_from(index + 1).unwrap();
        self.journals[who].finish_attempt(id, number, Duration::from_millis(took), &outcome, next).unwrap();
        kept.finish(who, index, took, status, next);
    }

    fn release(&mut self, who: usize, dead: [bool; 2]) {
        for (pid, dead) in (0..).zip(dead) {
            self.bench.host.fate(pid, if dead { Liveness::Dead } else { Liveness::Alive });
        }
        let mut released = 0;
        for kept in self.kept.values_mut() {
            let Some((holder, until)) = kept.lease else { continue };
            if dead[holder] || until < self.now {
                kept.abandon();
                kept.tried
                    .iter_mut()
                    .filter(|tried| tried.end == End::Open)
                    .for_each(|tried| tried.end = End::Presumed);
                released += 1;
            }
        }
        assert_eq!(self.journals[who].release_dead(self.now).unwrap(), released);
    }

    fn check(&self) {
        let journal = &self.journals[1];
        for (&id, kept) in &self.kept {
            let delivery = journal.delivery(id).unwrap().unwrap();
            assert_eq!((delivery.status, delivery.finished_at), (kept.status, kept.finished), "#{id}");
            let due = kept.due.filter(|_| kept.status == Status::Pending);
            assert_eq!((delivery.next_attempt_at, delivery.created_at), (due, kept.tried[0].started), "#{id}");
            assert_eq!(delivery.attempt_count as usize, kept.tried.len(), "#{id}");
            let error = kept.tried.iter().rev().find_map(Tried::error);
            assert_eq!(delivery.last_error.map(|error| error.http_status), error, "#{id}");
            let attempts = journal.attempts(id).unwrap();
            assert_eq!(attempts.len(), kept.tried.len(), "#{id}");
            for (attempt, tried) in attempts.iter().zip(&kept.tried) {
                let end = match &attempt.outcome {
                    None => End::Open,
                    Some(Outcome { http_status: Some(status), maybe_received: false, .. }) => {
                        let took = attempt.duration.unwrap().as_millis();
                        End::Known(u64::try_from(took).unwrap(), *status)
                    }
                    Some(outcome) => {
                        assert_eq!((outcome.maybe_received, attempt.duration), (true, None), "#{id}");
                        End::Presumed
                    }
                };
                assert_eq!((attempt.started_at, &end), (tried.started, &tried.end), "#{id}");
            }
        }
        self.check_schedule();
        let ids: Vec<i64> = self.kept.keys().rev().copied().collect();
        assert_eq!(journal.ids(&Query::all(None)).unwrap(), ids);
    }
}

impl World {
    fn check_schedule(&self) {
        let journal = &self.journals[1];
        let scheduled = self.kept.iter().filter_map(|(&id, kept)| {
            let attempts = u32::try_from(kept.tried.len()).unwrap();
            Some(Due { at: kept.scheduled(attempts)?, seen: Seen { id, attempts } })
        });
        let (mut due, later): (Vec<Due>, Vec<Due>) = scheduled.partition(|due| due.at <= self.now);
        due.sort_by_key(|due| (due.at, due.seen.id));
        assert_eq!(journal.due(self.now, None, 100).unwrap(), due);
        if let [first, rest @ ..] = &due[..] {
            assert_eq!(
                journal.due(self.now, Some(*first), 1).unwrap(),
                rest.first().copied().into_iter().collect::<Vec<_>>()
            );
        }
        assert_eq!(journal.next_due(self.now).unwrap(), later.iter().map(|due| due.at).min());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_journal_does_as_its_model_whatever_two_processes_do(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
    }
}
