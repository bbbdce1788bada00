//! Two processes do anything in any order, one at a time or many in one commit, and the journal is held to a model that fits
//! on a page.
//!
//! The one rule they keep is the use cases': nobody begins another attempt of a delivery while its own is under way.

mod model;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::mpsc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use model::{End, Kept, RULE, Tried};

use super::*;
use crate::delivery::Status;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::journal::store::{
    Begun, Done, Due, Ended, JournalError, Ledger as _, Next, Schedule as _, Seen, Slot, Turn,
};
use crate::journal::{DeliveryLedger, Query};

#[derive(Clone, Debug)]
enum Step {
    Accept(usize),
    Begin(usize, usize),
    Resend {
        who: usize,
        which: usize,
        stale: bool,
    },
    Due {
        who: usize,
        which: usize,
        stale: bool,
    },
    Finish {
        who: usize,
        which: usize,
        status: u16,
        then: usize,
        took: u64,
    },
    Interrupt(usize, usize),
    /// What a batch has its ledger write, in one commit.
    Group(usize, Vec<Entry>),
    Release {
        who: usize,
        dead: [bool; 2],
    },
    Postpone {
        who: usize,
        which: usize,
        stale: bool,
    },
    Unschedule {
        who: usize,
        which: Vec<usize>,
        stale: bool,
    },
    Delete {
        which: usize,
        status: Status,
    },
    Pass(i64),
}

/// An entry of a ledger.
#[derive(Clone, Debug)]
enum Entry {
    Accept,
    Ignore,
    Again(usize),
    Resend(usize, bool),
    Finish {
        which: usize,
        status: u16,
        then: usize,
        took: u64,
        left_after: Option<i64>,
    },
    Interrupt(Vec<usize>),
    PutBack(usize, bool),
    Renew(Vec<usize>, i64),
}

fn entry() -> impl Strategy<Value = Entry> {
    let (which, some) = (|| 0..4usize, || prop::collection::vec(0..4usize, 1..4));
    let status = prop::sample::select(vec![200u16, 404, 503]);
    let finish = (
        which(),
        status,
        0..4usize,
        0..5000u64,
        prop::option::of(0..3000i64),
    );
    prop_oneof![
        3 => Just(Entry::Accept),
        1 => Just(Entry::Ignore),
        3 => which().prop_map(Entry::Again),
        3 => (which(), prop::bool::weighted(0.2)).prop_map(|(which, stale)| Entry::Resend(which, stale)),
        5 => finish.prop_map(|(which, status, then, took, left_after)| Entry::Finish { which, status, then, took, left_after }),
        1 => some().prop_map(Entry::Interrupt),
        3 => (which(), any::<bool>()).prop_map(|(which, left_behind)| Entry::PutBack(which, left_behind)),
        1 => (some(), 1..200_000i64).prop_map(|(some, until)| Entry::Renew(some, until)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (who, which) = (0..2usize, 0..3usize);
    let finish = (
        who.clone(),
        which.clone(),
        prop::sample::select(vec![200u16, 404, 500, 503]),
        0..4usize,
        0..5000u64,
    );
    let third = || (0..2usize, 0..3usize, prop::bool::weighted(0.2));
    let unschedule = (
        0..2usize,
        prop::collection::btree_set(0..3usize, 1..4),
        prop::bool::weighted(0.2),
    );
    prop_oneof![
        3 => (who.clone(), prop::collection::vec(entry(), 1..6)).prop_map(|(who, entries)| Step::Group(who, entries)),
        3 => who.clone().prop_map(Step::Accept),
        4 => (who.clone(), which.clone()).prop_map(|(who, which)| Step::Begin(who, which)),
        4 => third().prop_map(|(who, which, stale)| Step::Resend { who, which, stale }),
        4 => third().prop_map(|(who, which, stale)| Step::Due { who, which, stale }),
        1 => third().prop_map(|(who, which, stale)| Step::Postpone { who, which, stale }),
        1 => unschedule.prop_map(|(who, which, stale)| Step::Unschedule { who, which: which.into_iter().collect(), stale }),
        8 => finish.prop_map(|(who, which, status, then, took)| Step::Finish { who, which, status, then, took }),
        1 => (who.clone(), which.clone()).prop_map(|(who, which)| Step::Interrupt(who, which)),
        3 => (who, any::<[bool; 2]>()).prop_map(|(who, dead)| Step::Release { who, dead }),
        1 => (which, prop::sample::select(Status::ALL.to_vec())).prop_map(|(which, status)| Step::Delete { which, status }),
        3 => (1..200_000i64).prop_map(Step::Pass),
    ]
}

/// Who is told what comes of an entry, and who waits for it and knows what it must be.
fn told<T: Send + 'static, E: Debug + PartialEq + 'static>(
    expected: E,
    of_it: fn(T) -> E,
) -> (Done<T>, Box<dyn FnOnce()>) {
    let (report, heard) = mpsc::channel::<Result<T, Arc<JournalError>>>();
    let hear = move || {
        assert_eq!(
            of_it(
                heard
                    .recv_timeout(Duration::from_secs(20))
                    .unwrap()
                    .unwrap()
            ),
            expected
        )
    };
    (
        Box::new(move |result| drop(report.send(result))),
        Box::new(hear),
    )
}

struct World {
    bench: Bench,
    journals: [SqliteJournal; 2],
    /// Each process's batch.
    ledgers: [DeliveryLedger; 2],
    kept: BTreeMap<i64, Kept>,
    accepted: i64,
    now: UnixMs,
}

impl World {
    fn new() -> World {
        let bench = Bench::new();
        let journals = [bench.open_fast(0), bench.open_fast(1)];
        let ledgers = [0, 1].map(|who| DeliveryLedger::start(bench.open_fast(who)).unwrap());
        World {
            bench,
            journals,
            ledgers,
            kept: BTreeMap::new(),
            accepted: 0,
            now: T0,
        }
    }

    /// One of the newest deliveries, deleted ones among them.
    fn id(&self, which: usize) -> i64 {
        (self.accepted - i64::try_from(which).unwrap()).max(1)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Accept(who) => {
                let delivery = accept(&self.journals[who], self.now);
                let expected = self.take(Kept::new(who, self.now));
                assert_eq!(delivery.id, expected, "ids count up and never come again");
            }
            Step::Begin(who, which) => self.begin(who, self.id(which), Turn::Mine),
            Step::Resend { who, which, stale } => {
                let id = self.id(which);
                self.begin(
                    who,
                    id,
                    Turn::Failed {
                        attempts: self.seen(id, stale),
                    },
                );
            }
            Step::Due { who, which, stale } => {
                let id = self.id(which);
                self.begin(
                    who,
                    id,
                    Turn::Scheduled {
                        attempts: self.seen(id, stale),
                    },
                );
            }
            Step::Postpone { who, which, stale } => self.postpone(who, self.id(which), stale),
            Step::Unschedule {
                who,
                ref which,
                stale,
            } => self.unschedule(who, which, stale),
            Step::Group(who, ref entries) => self.group(who, entries),
            Step::Finish {
                who,
                which,
                status,
                then,
                took,
            } => self.finish(who, which, (status, then, took)),
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
                assert_eq!(
                    self.journals[0].delete_ids(&[id], &[status]).unwrap(),
                    usize::from(goes)
                );
                if goes {
                    self.kept.remove(&id);
                }
            }
            Step::Pass(ms) => self.now = UnixMs(self.now.0 + ms),
        }
    }

    /// How many attempts somebody saw.
    fn seen(&self, id: i64, stale: bool) -> u32 {
        let made = self
            .kept
            .get(&id)
            .map_or(0, |kept| u32::try_from(kept.tried.len()).unwrap());
        made - u32::from(stale).min(made)
    }

    fn postpone(&mut self, who: usize, id: i64, stale: bool) {
        let (attempts, due) = (self.seen(id, stale), self.now.plus(RULE.interval));
        let postponed = self.journals[who]
            .postpone(Seen { id, attempts }, due)
            .unwrap();
        let kept = self
            .kept
            .get_mut(&id)
            .filter(|kept| kept.scheduled(attempts).is_some());
        assert_eq!(postponed, kept.is_some());
        kept.into_iter().for_each(|kept| kept.due = Some(due));
    }

    fn unschedule(&mut self, who: usize, which: &[usize], stale: bool) {
        let ids: std::collections::BTreeSet<i64> =
            which.iter().map(|&which| self.id(which)).collect();
        let seen: Vec<Seen> = ids
            .into_iter()
            .map(|id| Seen {
                id,
                attempts: self.seen(id, stale),
            })
            .collect();
        let taken = self.journals[who].unschedule(&seen).unwrap();
        let mut expected = 0;
        for Seen { id, attempts } in seen {
            let kept = self
                .kept
                .get_mut(&id)
                .filter(|kept| kept.scheduled(attempts).is_some());
            expected += usize::from(kept.is_some());
            kept.into_iter().for_each(Kept::interrupt);
        }
        assert_eq!(taken, expected);
    }

    /// What is to come of beginning an attempt; none where the use cases would not ask.
    fn begun(&mut self, who: usize, id: i64, turn: Turn) -> Option<Begun> {
        if self
            .kept
            .get(&id)
            .is_some_and(|kept| kept.under_way(who).is_some())
        {
            return None;
        }
        let free = self.kept.get_mut(&id).filter(|kept| match turn {
            Turn::Mine => kept.held_by(who),
            Turn::Failed { attempts } => {
                kept.status.in_failed_list() && kept.tried.len() == attempts as usize
            }
            Turn::Scheduled { attempts } => kept.scheduled(attempts).is_some(),
        });
        let Some(kept) = free else {
            return Some(Begun::Taken);
        };
        kept.begin(who, self.now);
        Some(Begun::Attempt(u32::try_from(kept.tried.len()).unwrap()))
    }

    fn begin(&mut self, who: usize, id: i64, turn: Turn) {
        if let Some(expected) = self.begun(who, id, turn) {
            assert_eq!(
                self.journals[who]
                    .begin_attempt(id, turn, &attempt(self.now))
                    .unwrap(),
                expected
            );
        }
    }

    /// How an attempt ends; none if this one knows of none that is under way.
    fn ended(
        &mut self,
        who: usize,
        which: usize,
        end: (u16, usize, u64),
        left_at: Option<UnixMs>,
    ) -> Option<Ended> {
        let ((status, then, took), id) = (end, self.id(which));
        let kept = self.kept.get_mut(&id)?;
        let index = kept.under_way(who)?;
        let due = self.now.plus(Duration::from_secs(60));
        let next = match (status, then) {
            (200, _) => Next::Delivered,
            (_, 0) => Next::Failed,
            (_, 1) => Next::Interrupted,
            (_, 2) => Next::Scheduled { due },
            _ => Next::RetryAt {
                due,
                lease_until: due.plus(LEASE),
            },
        };
        let outcome = Arc::new(if status == 200 {
            success()
        } else {
            refusal(status)
        });
        left_at
            .into_iter()
            .for_each(|left_at| kept.tried[index].started = left_at);
        kept.finish(who, index, took, status, next);
        let (number, duration) = (
            u32::try_from(index + 1).unwrap(),
            Duration::from_millis(took),
        );
        Some(Ended {
            id,
            number,
            left_at,
            duration,
            outcome,
            next,
        })
    }

    fn finish(&mut self, who: usize, which: usize, end: (u16, usize, u64)) {
        if let Some(Ended {
            id,
            number,
            duration,
            outcome,
            next,
            ..
        }) = self.ended(who, which, end, None)
        {
            self.journals[who]
                .finish_attempt(id, number, duration, &outcome, next)
                .unwrap();
        }
    }

    /// All in one commit, since nobody can write until all are there.
    fn group(&mut self, who: usize, entries: &[Entry]) {
        let lock = self.bench.raw();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let heard: Vec<Box<dyn FnOnce()>> = entries
            .iter()
            .filter_map(|entry| self.submit(who, entry))
            .collect();
        lock.execute_batch("COMMIT").unwrap();
        heard.into_iter().for_each(|hear| hear());
    }

    /// Hands an entry in, and gives who waits for what comes of it.
    fn submit(&mut self, who: usize, entry: &Entry) -> Option<Box<dyn FnOnce()>> {
        let intent = intent(self.now);
        Some(match *entry {
            Entry::Accept => {
                let (done, heard) = told(
                    self.take(Kept::new(who, self.now)),
                    |delivery: Box<Delivery>| delivery.id,
                );
                self.ledgers[who].accept(
                    new_delivery(self.now),
                    b"<event/>".as_slice().into(),
                    intent,
                    done,
                );
                heard
            }
            Entry::Ignore => {
                let (done, heard) = told(
                    self.take(Kept::ignored(self.now)),
                    |delivery: Box<Delivery>| delivery.id,
                );
                let event = b"<event/>".as_slice().into();
                self.ledgers[who].ignore(new_delivery(self.now), event, Switch::Active, done);
                heard
            }
            Entry::Again(which) => self.submit_begin(who, self.id(which), Turn::Mine)?,
            Entry::Resend(which, stale) => {
                let id = self.id(which);
                self.submit_begin(
                    who,
                    id,
                    Turn::Failed {
                        attempts: self.seen(id, stale),
                    },
                )?
            }
            Entry::Finish {
                which,
                status,
                then,
                took,
                left_after,
            } => {
                let left_at = left_after.map(|ms| UnixMs(self.now.0 + ms));
                let ended = self.ended(who, which, (status, then, took), left_at)?;
                let (done, heard) = told((), |()| ());
                self.ledgers[who].finish(ended, done);
                heard
            }
            Entry::Interrupt(ref which) => {
                let ids: Vec<i64> = which.iter().map(|&which| self.id(which)).collect();
                for id in &ids {
                    self.kept
                        .get_mut(id)
                        .filter(|kept| kept.held_by(who))
                        .into_iter()
                        .for_each(Kept::interrupt);
                }
                let (done, heard) = told((), |()| ());
                self.ledgers[who].interrupt(ids, done);
                heard
            }
            Entry::PutBack(which, left_behind) => {
                let (id, slot) = (
                    self.id(which),
                    Slot {
                        due: self.now.plus(RULE.interval),
                        left_behind,
                    },
                );
                // The first attempt comes off no schedule.
                let number = Some(self.seen(id, false)).filter(|number| *number > 1)?;
                let open = |kept: &&mut Kept| {
                    kept.tried
                        .last()
                        .is_some_and(|tried| tried.end == End::Open)
                };
                let kept = self.kept.get_mut(&id).filter(|kept| kept.held_by(who));
                kept.filter(open)
                    .into_iter()
                    .for_each(|kept| kept.put_back(slot));
                let (done, heard) = told((), |()| ());
                self.ledgers[who].put_back(id, number, slot, done);
                heard
            }
            Entry::Renew(ref which, ms) => {
                let (ids, until) = (
                    which
                        .iter()
                        .map(|&which| self.id(which))
                        .collect::<Vec<_>>(),
                    UnixMs(self.now.0 + ms),
                );
                let mine = |id: &i64| self.kept.get(id).is_some_and(|kept| kept.held_by(who));
                let renewed: Vec<i64> = ids.iter().copied().filter(mine).collect();
                for kept in self
                    .kept
                    .iter_mut()
                    .filter(|(id, _)| renewed.contains(id))
                    .map(|(_, kept)| kept)
                {
                    kept.lease = kept.lease.map(|(holder, known)| (holder, known.max(until)));
                }
                let (done, heard) = told(renewed, |mine| mine);
                self.ledgers[who].renew(ids, until, done);
                heard
            }
        })
    }

    fn submit_begin(&mut self, who: usize, id: i64, turn: Turn) -> Option<Box<dyn FnOnce()>> {
        let (done, heard) = told(self.begun(who, id, turn)?, |begun| begun);
        self.ledgers[who].begin(id, turn, intent(self.now), done);
        Some(heard)
    }

    /// A delivery that is taken in; gives its id.
    fn take(&mut self, kept: Kept) -> i64 {
        self.accepted += 1;
        self.kept.insert(self.accepted, kept);
        self.accepted
    }

    fn release(&mut self, who: usize, dead: [bool; 2]) {
        for (pid, dead) in (0..).zip(dead) {
            self.bench.host.fate(
                pid,
                if dead {
                    Liveness::Dead
                } else {
                    Liveness::Alive
                },
            );
        }
        let mut released = 0;
        for kept in self.kept.values_mut() {
            let Some((holder, until)) = kept.lease else {
                continue;
            };
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
            assert_eq!(
                (delivery.status, delivery.finished_at),
                (kept.status, kept.finished),
                "#{id}"
            );
            let due = kept.due.filter(|_| kept.status == Status::Pending);
            assert_eq!(
                (delivery.next_attempt_at, delivery.created_at),
                (due, kept.created),
                "#{id}"
            );
            assert_eq!(delivery.attempt_count as usize, kept.tried.len(), "#{id}");
            let error = kept.tried.iter().rev().find_map(Tried::error);
            assert_eq!(
                delivery.last_error.map(|error| error.http_status),
                error,
                "#{id}"
            );
            let attempts = journal.attempts(id).unwrap();
            assert_eq!(attempts.len(), kept.tried.len(), "#{id}");
            for (attempt, tried) in attempts.iter().zip(&kept.tried) {
                let end = match &attempt.outcome {
                    None => End::Open,
                    Some(Outcome {
                        http_status: Some(status),
                        maybe_received: false,
                        ..
                    }) => {
                        let took = attempt.duration.unwrap().as_millis();
                        End::Known(u64::try_from(took).unwrap(), *status)
                    }
                    Some(outcome) => {
                        assert_eq!(
                            (outcome.maybe_received, attempt.duration),
                            (true, None),
                            "#{id}"
                        );
                        End::Presumed
                    }
                };
                assert_eq!(
                    (attempt.started_at, &end),
                    (tried.started, &tried.end),
                    "#{id}"
                );
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
            let url = "https://example.com/hook".to_owned();
            Some(Due {
                at: kept.scheduled(attempts)?,
                seen: Seen { id, attempts },
                url,
            })
        });
        let (mut due, later): (Vec<Due>, Vec<Due>) = scheduled.partition(|due| due.at <= self.now);
        due.sort_by_key(|due| (due.at, due.seen.id));
        assert_eq!(journal.due(self.now, None, 100, None).unwrap(), due);
        if let [first, rest @ ..] = &due[..] {
            assert_eq!(
                journal
                    .due(self.now, Some((first.at, first.seen.id)), 1, None)
                    .unwrap(),
                rest.first().cloned().into_iter().collect::<Vec<_>>()
            );
        }
        assert_eq!(
            journal.next_due(self.now).unwrap(),
            later.iter().map(|due| due.at).min()
        );
        let waits = |kept: &Kept| {
            kept.status == Status::Pending && kept.due.is_some() && kept.lease.is_none()
        };
        let cancellable: Vec<i64> = self
            .kept
            .iter()
            .filter(|(_, kept)| waits(kept))
            .map(|(id, _)| *id)
            .collect();
        let found: Vec<i64> = journal
            .scheduled(None)
            .unwrap()
            .iter()
            .map(|seen| seen.id)
            .collect();
        assert_eq!(found, cancellable);
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
