//! Two processes make random changes, one at a time or many in one commit; the journal must agree with a simple model
//! of it.
//!
//! Like the engine, a process does not begin an attempt of a delivery while its own attempt is in flight.

mod model;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use model::{End, Kept, RULE, Tried};

use super::*;
use crate::delivery::Status;
use crate::delivery::switches::Switch;
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
    /// Writes that share one commit.
    Group(usize, Vec<Entry>),
    Release {
        who: usize,
        dead: [bool; 2],
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

/// One write of a group.
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
        1 => unschedule.prop_map(|(who, which, stale)| Step::Unschedule { who, which: which.into_iter().collect(), stale }),
        8 => finish.prop_map(|(who, which, status, then, took)| Step::Finish { who, which, status, then, took }),
        1 => (who.clone(), which.clone()).prop_map(|(who, which)| Step::Interrupt(who, which)),
        3 => (who, any::<[bool; 2]>()).prop_map(|(who, dead)| Step::Release { who, dead }),
        1 => (which, prop::sample::select(Status::ALL.to_vec())).prop_map(|(which, status)| Step::Delete { which, status }),
        3 => (1..200_000i64).prop_map(Step::Pass),
    ]
}

/// A submitted write, and what its result must be.
type Submitted = (
    mpsc::Receiver<Result<WriteResult, Arc<JournalError>>>,
    Expected,
);

enum Expected {
    Delivery(i64),
    Begun(Option<u32>),
    Renewed(Vec<i64>),
    Done,
}

impl Expected {
    fn check(&self, result: &WriteResult) {
        let holds = match (self, result) {
            (Expected::Delivery(id), WriteResult::Delivery(delivery)) => delivery.id == *id,
            (Expected::Begun(number), WriteResult::Claimed(begun)) => *number == Some(*begun),
            (Expected::Begun(number), WriteResult::Refused) => number.is_none(),
            (Expected::Renewed(ids), WriteResult::Renewed(renewed)) => ids == renewed,
            (Expected::Done, WriteResult::Done) => true,
            _ => false,
        };
        assert!(holds, "{result:?}");
    }
}

struct World {
    bench: Bench,
    journals: [TestJournal; 2],
    /// Each process's group writer.
    writers: [GroupWriter; 2],
    kept: BTreeMap<i64, Kept>,
    accepted: i64,
    now: UnixMs,
}

impl World {
    fn new() -> World {
        let bench = Bench::new();
        let journals = [bench.open_fast(0), bench.open_fast(1)];
        let writers = [0, 1].map(|who| GroupWriter::start(bench.boxed(who), None).unwrap());
        bench.host.now.store(T0.0, Ordering::Relaxed);
        World {
            bench,
            journals,
            writers,
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
                assert_eq!(delivery.id, expected, "ids ascend and are never reused");
            }
            Step::Begin(who, which) => self.begin(who, self.id(which), ClaimCondition::Owned),
            Step::Resend { who, which, stale } => {
                let id = self.id(which);
                self.begin(
                    who,
                    id,
                    ClaimCondition::Failed {
                        attempts: self.seen(id, stale),
                    },
                );
            }
            Step::Due { who, which, stale } => {
                let id = self.id(which);
                self.begin(
                    who,
                    id,
                    ClaimCondition::Scheduled {
                        attempts: self.seen(id, stale),
                    },
                );
            }
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
                // The engine does this between two attempts only.
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
            Step::Pass(ms) => {
                self.now = UnixMs(self.now.0 + ms);
                self.bench.host.now.store(self.now.0, Ordering::Relaxed);
            }
        }
    }

    /// The attempt count that was read, or an older one.
    fn seen(&self, id: i64, stale: bool) -> u32 {
        let made = self
            .kept
            .get(&id)
            .map_or(0, |kept| u32::try_from(kept.tried.len()).unwrap());
        made - u32::from(stale).min(made)
    }

    fn unschedule(&mut self, who: usize, which: &[usize], stale: bool) {
        let ids: std::collections::BTreeSet<i64> =
            which.iter().map(|&which| self.id(which)).collect();
        let seen: Vec<DeliveryVersion> = ids
            .into_iter()
            .map(|id| DeliveryVersion {
                id,
                attempts: self.seen(id, stale),
            })
            .collect();
        let taken = self.journals[who].dynamic().cancel(&seen).unwrap();
        let mut expected = 0;
        for DeliveryVersion { id, attempts } in seen {
            let kept = self
                .kept
                .get_mut(&id)
                .filter(|kept| kept.scheduled(attempts).is_some());
            expected += usize::from(kept.is_some());
            kept.into_iter().for_each(Kept::interrupt);
        }
        assert_eq!(taken, expected);
    }

    /// The expected result of beginning an attempt; none if the engine would not try to.
    fn begun(&mut self, who: usize, id: i64, turn: ClaimCondition) -> Option<Option<u32>> {
        if self
            .kept
            .get(&id)
            .is_some_and(|kept| kept.under_way(who).is_some())
        {
            return None;
        }
        let free = self.kept.get_mut(&id).filter(|kept| match turn {
            ClaimCondition::Owned => kept.held_by(who),
            ClaimCondition::Failed { attempts } => {
                kept.status.in_failed_list() && kept.tried.len() == attempts as usize
            }
            ClaimCondition::Scheduled { attempts } => kept.scheduled(attempts).is_some(),
        });
        let Some(kept) = free else {
            return Some(None);
        };
        kept.begin(who, self.now);
        Some(Some(u32::try_from(kept.tried.len()).unwrap()))
    }

    fn begin(&mut self, who: usize, id: i64, turn: ClaimCondition) {
        if let Some(expected) = self.begun(who, id, turn) {
            assert_eq!(
                self.journals[who]
                    .begin_attempt(id, turn, &attempt(self.now))
                    .unwrap(),
                expected
            );
        }
    }

    /// The expected result of finishing an attempt; none if this process has none in flight.
    fn ended(
        &mut self,
        who: usize,
        which: usize,
        end: (u16, usize, u64),
        sent_after: Duration,
    ) -> Option<AttemptResult> {
        let ((status, then, took), id, now) = (end, self.id(which), self.now);
        let kept = self.kept.get_mut(&id)?;
        let index = kept.under_way(who)?;
        let delay = Duration::from_secs(60);
        let next = match (status, then) {
            (200, _) => NextStep::Delivered,
            (_, 0) => NextStep::Failed,
            (_, 1) => NextStep::Interrupted,
            (_, 2) => NextStep::Scheduled { delay },
            _ => NextStep::Retry {
                delay,
                lease: delay + LEASE,
            },
        };
        let outcome = if status == 200 {
            success()
        } else {
            refusal(status)
        };
        let started = kept.tried[index].started;
        kept.tried[index].started = started.plus(sent_after);
        kept.finish(who, index, took, status, next, now);
        Some(AttemptResult {
            id,
            number: u32::try_from(index + 1).unwrap(),
            sent_after,
            duration: Duration::from_millis(took),
            outcome: Arc::new(outcome),
            next,
        })
    }

    fn finish(&mut self, who: usize, which: usize, end: (u16, usize, u64)) {
        if let Some(result) = self.ended(who, which, end, Duration::ZERO) {
            let results = self.journals[who].commit(&[Write::Finish(result)]).unwrap();
            assert!(matches!(results[..], [WriteResult::Done]), "{results:?}");
        }
    }

    /// Submits all writes while the journal is locked, so that they share a commit.
    fn group(&mut self, who: usize, entries: &[Entry]) {
        let lock = self.bench.lock();
        let submitted: Vec<Submitted> = entries
            .iter()
            .filter_map(|entry| self.submit(who, entry))
            .collect();
        drop(lock);
        for (replied, expected) in submitted {
            let result = replied.recv_timeout(Duration::from_secs(20)).unwrap();
            expected.check(&result.unwrap());
        }
    }

    fn submit(&mut self, who: usize, entry: &Entry) -> Option<Submitted> {
        let (write, expected) = self.write_of(who, entry)?;
        let (reply, replied) = mpsc::channel();
        self.writers[who].submit(write, Box::new(move |result| drop(reply.send(result))));
        Some((replied, expected))
    }

    fn write_of(&mut self, who: usize, entry: &Entry) -> Option<(Write, Expected)> {
        // The engine refers to ids that an earlier commit returned.
        if self.accepted == 0 && !matches!(entry, Entry::Accept | Entry::Ignore) {
            return None;
        }
        let new = new_delivery(b"<event/>");
        Some(match *entry {
            Entry::Accept => {
                let id = self.take(Kept::new(who, self.now));
                (
                    Write::Accept(new, attempt(T0).attempt),
                    Expected::Delivery(id),
                )
            }
            Entry::Ignore => {
                let id = self.take(Kept::ignored(self.now));
                (Write::Ignore(new, Switch::Active), Expected::Delivery(id))
            }
            Entry::Again(which) => self.claim(who, self.id(which), ClaimCondition::Owned)?,
            Entry::Resend(which, stale) => {
                let id = self.id(which);
                let attempts = self.seen(id, stale);
                self.claim(who, id, ClaimCondition::Failed { attempts })?
            }
            Entry::Finish {
                which,
                status,
                then,
                took,
                left_after,
            } => {
                let sent_after = Duration::from_millis(left_after.unwrap_or(0).unsigned_abs());
                let result = self.ended(who, which, (status, then, took), sent_after)?;
                (Write::Finish(result), Expected::Done)
            }
            Entry::Interrupt(ref which) => {
                let ids: Vec<i64> = which.iter().map(|&which| self.id(which)).collect();
                for id in &ids {
                    if let Some(kept) = self.kept.get_mut(id).filter(|kept| kept.held_by(who)) {
                        kept.interrupt();
                    }
                }
                (Write::Release(ids), Expected::Done)
            }
            Entry::PutBack(which, abandoned) => {
                let due = self.now.plus(RULE.interval);
                let id = self.id(which);
                // The first attempt was not scheduled.
                let number = Some(self.seen(id, false)).filter(|number| *number > 1)?;
                let open = |kept: &&mut Kept| {
                    kept.tried
                        .last()
                        .is_some_and(|tried| tried.end == End::Open)
                };
                let kept = self.kept.get_mut(&id).filter(|kept| kept.held_by(who));
                let mut last_owner = None;
                if let Some(kept) = kept.filter(open) {
                    kept.put_back(due, abandoned);
                    last_owner = kept.last_owner();
                }
                let slot = ScheduleSlot {
                    due,
                    abandoned,
                    last_owner,
                };
                (Write::PutBack { id, number, slot }, Expected::Done)
            }
            Entry::Renew(ref which, ms) => {
                let ids: Vec<i64> = which.iter().map(|&which| self.id(which)).collect();
                let lease = Duration::from_millis(ms.unsigned_abs());
                let until = self.now.plus(lease);
                let owned = |id: &i64| self.kept.get(id).is_some_and(|kept| kept.held_by(who));
                let renewed: Vec<i64> = ids.iter().copied().filter(owned).collect();
                for (id, kept) in &mut self.kept {
                    if renewed.contains(id) {
                        kept.lease = kept.lease.map(|(owner, known)| (owner, known.max(until)));
                    }
                }
                (Write::Renew { ids, lease }, Expected::Renewed(renewed))
            }
        })
    }

    fn claim(
        &mut self,
        who: usize,
        id: i64,
        condition: ClaimCondition,
    ) -> Option<(Write, Expected)> {
        let begun = self.begun(who, id, condition)?;
        let attempt = attempt(T0).attempt;
        let claim = Claim {
            id,
            condition,
            attempt,
        };
        Some((Write::Begin(claim), Expected::Begun(begun)))
    }

    /// Adds a delivery to the model; returns its id.
    fn take(&mut self, kept: Kept) -> i64 {
        self.accepted += 1;
        self.kept.insert(self.accepted, kept);
        self.accepted
    }

    fn release(&mut self, who: usize, dead: [bool; 2]) {
        for (pid, dead) in (0..).zip(dead) {
            let mut killed = self.bench.host.dead.lock().unwrap();
            if dead {
                killed.insert(pid);
            } else {
                killed.remove(&pid);
            }
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
            assert_eq!(delivery.last_owner, kept.last_owner(), "#{id}");
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
                version: DeliveryVersion { id, attempts },
                url,
                target: String::new(),
                in_sequence: false,
            })
        });
        let (mut due, later): (Vec<Due>, Vec<Due>) = scheduled.partition(|due| due.at <= self.now);
        due.sort_by_key(|due| (due.at, due.version.id));
        let read = |after, limit| {
            let mut due = journal.due(self.now, after, limit, None).unwrap();
            due.iter_mut().for_each(|due| due.target.clear());
            due
        };
        assert_eq!(read(None, 100), due);
        if let [first, rest @ ..] = &due[..] {
            assert_eq!(
                read(Some((first.at, first.version.id)), 1),
                rest.first().cloned().into_iter().collect::<Vec<_>>()
            );
        }
        assert_eq!(
            journal.next_due_after(self.now).unwrap(),
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
        let mut found = journal.scheduled_ids();
        found.reverse();
        assert_eq!(found, cancellable);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: MODEL_CASES,
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
