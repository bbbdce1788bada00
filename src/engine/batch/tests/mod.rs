//! Many at once: nothing leaves unwritten, nothing is told unrecorded, nobody waits for another, and nothing is lost.

mod leases;
mod unsent;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::run::WAITING;
use super::window::MOST;
use super::world::{Answers, World, at, ms};
use super::*;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::{ErrorKind, Status};
use crate::engine::deliver::fakes::{EVENT, no_response, status};

/// What is sent, and what was told about it.
struct Caller {
    world: Rc<World>,
    rule: RetryPolicy,
    /// New ones that are left, and how many there were.
    new: u64,
    marks: u64,
    resent: VecDeque<Seen>,
    /// How long each request may take where that is not the same for all.
    timeouts: BTreeMap<i64, Duration>,
    unprepared: Vec<i64>,
    /// How long it takes to tell of one that cannot be prepared.
    refusal_takes: Duration,
    stop_after: usize,
    /// `#1 delivered`, as it was told.
    ended: Vec<String>,
    attempts: Vec<(i64, u32)>,
    not_taken: Vec<u64>,
    most_waiting: usize,
}

impl Caller {
    fn new(world: &Rc<World>, new: u64) -> Caller {
        Caller {
            world: Rc::clone(world),
            rule: RetryPolicy::default(),
            new,
            marks: 0,
            resent: VecDeque::new(),
            timeouts: BTreeMap::new(),
            unprepared: Vec::new(),
            refusal_takes: Duration::ZERO,
            stop_after: usize::MAX,
            ended: Vec::new(),
            attempts: Vec::new(),
            not_taken: Vec::new(),
            most_waiting: 0,
        }
    }

    fn resending(world: &Rc<World>, ids: &[i64]) -> Caller {
        let kept = world.kept.borrow();
        let attempts = |id| kept.get(id).map_or(0, |kept| kept.delivery.attempt_count);
        let resent = ids
            .iter()
            .map(|id| Seen {
                id: *id,
                attempts: attempts(id),
            })
            .collect();
        Caller {
            resent,
            rule: RetryPolicy {
                retries: 0,
                ..RetryPolicy::default()
            },
            ..Caller::new(world, 0)
        }
    }
}

impl Work for Caller {
    fn next(&mut self) -> Task {
        let failed = self
            .ended
            .iter()
            .rev()
            .take_while(|end| end.ends_with("failed"))
            .count();
        if failed >= self.stop_after {
            return Task::End;
        }
        if let Some(seen) = self.resent.pop_front() {
            return Task::Resend(seen);
        }
        if self.new == 0 {
            return Task::End;
        }
        self.new -= 1;
        self.marks += 1;
        let (delivery, shipment) = (
            self.world.new_delivery(&self.rule),
            self.world.shipment(&self.rule),
        );
        Task::Fire {
            delivery,
            event: EVENT.into(),
            shipment,
            mark: self.marks,
        }
    }

    fn shipment(&mut self, delivery: &Delivery) -> Option<CrewShipment> {
        if self.unprepared.contains(&delivery.id) {
            self.world.wait(self.refusal_takes);
            self.ended.push(format!("#{} not sent", delivery.id));
            return None;
        }
        let timeout = self.timeouts.get(&delivery.id);
        Some(timeout.map_or_else(
            || self.world.shipment(&self.rule),
            |timeout| self.world.shipment_within(&self.rule, *timeout),
        ))
    }

    fn told(&mut self, news: News<'_>) {
        match news {
            News::Ended(delivery) | News::Ignored(delivery) => {
                let kept = &self.world.kept.borrow()[&delivery.id];
                assert_eq!(
                    kept.delivery.status, delivery.status,
                    "told and not recorded"
                );
                assert!(!kept.recorded.contains(&false) || delivery.status == Status::Interrupted);
                self.ended
                    .push(format!("#{} {}", delivery.id, delivery.status.as_str()));
            }
            News::Attempted(delivery, attempt) => {
                let recorded = self.world.kept.borrow()[&delivery.id].recorded
                    [delivery.attempt_count as usize - 1];
                assert!(recorded, "told and not recorded");
                self.attempts.push((delivery.id, attempt.made));
            }
            News::Skipped(id) => self.ended.push(format!("#{id} skipped")),
            News::TakenOver(id) => self.ended.push(format!("#{id} taken over")),
            News::NotTaken(mark) => self.not_taken.push(mark),
            News::Sending { .. } => {}
        }
    }

    fn pause(&mut self, gauge: &Gauge) -> Option<Duration> {
        self.most_waiting = self.most_waiting.max(gauge.waiting);
        None
    }
}

fn pace(jobs: usize) -> Pace {
    Pace {
        jobs,
        rate: None,
        in_turn: false,
        far_ahead: true,
    }
}

const IN_TURN: Pace = Pace {
    jobs: 1,
    rate: None,
    in_turn: true,
    far_ahead: true,
};

fn always(takes: Duration, code: u16) -> Answers {
    Box::new(move |_, _| (takes, status(code)))
}

/// Every tenth delivery is refused once.
fn tenth_refused() -> Answers {
    Box::new(|id, number| {
        (
            ms(1),
            status(if id % 10 == 0 && number == 1 {
                503
            } else {
                200
            }),
        )
    })
}

fn sent_of(world: &World) -> BTreeMap<i64, Vec<i64>> {
    let mut sent = BTreeMap::<i64, Vec<i64>>::new();
    for (when, id, _) in &*world.sent.borrow() {
        sent.entry(*id).or_default().push(when.0 - at(0).0);
    }
    sent
}

#[test]
fn many_are_delivered_each_once_and_share_their_commits() {
    let world = World::new(always(ms(1), 200));
    let mut caller = Caller::new(&world, 2_000);
    world.run(pace(8), &mut caller).unwrap();
    assert_eq!(caller.ended.len(), 2_000);
    assert!(caller.ended.iter().all(|end| end.ends_with("delivered")));
    assert!(sent_of(&world).values().all(|sent| sent.len() == 1));
    // Eight senders, a millisecond each: as fast as they are, but for the beginning.
    assert!(world.elapsed() < ms(250 + 30), "{:?}", world.elapsed());
    assert!(
        world.commits.borrow().len() < 300,
        "{} commits",
        world.commits.borrow().len()
    );
}

#[test]
fn one_that_waits_holds_up_nobody_and_is_sent_when_it_is_due() {
    let world = World::new(tenth_refused());
    let mut caller = Caller::new(&world, 1_000);
    world.run(pace(8), &mut caller).unwrap();
    assert_eq!(caller.ended.len(), 1_000);
    assert!(
        caller.ended[..900]
            .iter()
            .all(|end| !end.ends_with("0 delivered")),
        "first all that need not wait"
    );
    for (id, sent) in sent_of(&world) {
        match sent[..] {
            [_] => assert_ne!(id % 10, 0),
            [first, second] => assert!(
                (60_001..60_100).contains(&(second - first)),
                "#{id}: {sent:?}"
            ),
            _ => panic!("#{id}: {sent:?}"),
        }
    }
    assert!(world.elapsed() < ms(60_400), "{:?}", world.elapsed());
    assert_eq!(caller.most_waiting, 100);
}

#[test]
fn no_new_ones_are_taken_while_too_many_wait_and_all_are_in_the_end() {
    let new = 3 * WAITING as u64;
    let world = World::new(Box::new(|_, number| {
        (ms(1), status(if number == 1 { 503 } else { 200 }))
    }));
    let mut caller = Caller::new(&world, new);
    world.run(pace(8), &mut caller).unwrap();
    assert_eq!(caller.ended.len() as u64, new);
    assert!(caller.ended.iter().all(|end| end.ends_with("delivered")));
    // Those that were under way when there were as many as may be wait as well.
    let most = WAITING + 8 + 2 * MOST;
    assert!(
        (WAITING..most).contains(&caller.most_waiting),
        "{}",
        caller.most_waiting
    );
    let firsts: Vec<i64> = sent_of(&world).into_values().map(|sent| sent[0]).collect();
    assert!(
        firsts.iter().any(|first| *first >= 60_000),
        "some were not taken before others were sent again"
    );
}

#[test]
fn the_rule_ends_what_never_succeeds() {
    let world = World::new(Box::new(|_, _| (ms(5), no_response(ErrorKind::Reset))));
    let mut caller = Caller::new(&world, 3);
    caller.rule = RetryPolicy {
        retries: 2,
        interval: ms(1_000),
        ..RetryPolicy::default()
    };
    world.run(pace(2), &mut caller).unwrap();
    assert_eq!(caller.ended, ["#1 failed", "#2 failed", "#3 failed"]);
    assert!(
        sent_of(&world).values().all(|sent| sent.len() == 3),
        "{:?}",
        sent_of(&world)
    );
    let mut attempts = caller.attempts.clone();
    attempts.sort_unstable();
    assert_eq!(
        attempts,
        [
            (1, 1),
            (1, 2),
            (1, 3),
            (2, 1),
            (2, 2),
            (2, 3),
            (3, 1),
            (3, 2),
            (3, 3)
        ]
    );
}

#[test]
fn a_slow_endpoint_has_few_written_down_ahead_of_it() {
    let world = World::new(always(Duration::from_secs(5), 200));
    let mut caller = Caller::new(&world, 400);
    world.interrupt_at.set(Some(at(102_000)));
    world.run(pace(4), &mut caller).unwrap();
    let interrupted = caller
        .ended
        .iter()
        .filter(|end| end.ends_with("interrupted"))
        .count();
    // On the wire or at hand, and those ahead.
    assert!((8..=20).contains(&interrupted), "{interrupted}");
    assert!(caller.new > 250, "the others were never looked at");
}

#[test]
fn no_more_leave_in_a_time_than_the_rate_says() {
    let world = World::new(tenth_refused());
    let mut caller = Caller::new(&world, 200);
    caller.rule = RetryPolicy {
        interval: ms(700),
        ..RetryPolicy::default()
    };
    world
        .run(
            Pace {
                rate: Some("50/s".parse().unwrap()),
                ..pace(8)
            },
            &mut caller,
        )
        .unwrap();
    let mut sent: Vec<i64> = sent_of(&world).into_values().flatten().collect();
    sent.sort_unstable();
    assert_eq!(sent.len(), 220);
    assert!(sent.windows(2).all(|two| two[1] - two[0] >= 20), "{sent:?}");
    assert!(
        world.elapsed() < ms(220 * 20 + 1_000),
        "{:?}",
        world.elapsed()
    );
}

/// Whatever is accepted ends, told as it is recorded.
fn assert_nothing_is_lost(world: &World, caller: &Caller) {
    let kept = world.kept.borrow();
    for (id, kept) in &*kept {
        let told = format!("#{id} {}", kept.delivery.status.as_str());
        assert_ne!(kept.delivery.status, Status::Pending, "#{id}");
        assert_eq!(
            caller.ended.iter().filter(|end| **end == told).count(),
            1,
            "{told}: {:?}",
            caller.ended
        );
        assert!(!kept.recorded.contains(&false), "#{id} {:?}", kept.recorded);
    }
    assert_eq!(caller.ended.len(), kept.len());
    for (when, id, number) in &*world.sent.borrow() {
        assert!(
            kept[id].recorded.len() >= *number as usize,
            "#{id} was sent at {when:?}"
        );
    }
}

#[test]
fn ctrl_c_at_any_moment_leaves_nothing_pending() {
    for moment in (0..130).chain((130..62_000).step_by(997)) {
        let world = World::new(tenth_refused());
        world.interrupt_at.set(Some(at(moment)));
        let mut caller = Caller::new(&world, 500);
        world.run(pace(4), &mut caller).unwrap();
        assert_nothing_is_lost(&world, &caller);
        assert_eq!(
            world.kept.borrow().len() as u64 + caller.new,
            500,
            "what was not taken is unread"
        );
        assert!(
            world.elapsed()
                <= ms(60_500).min(Duration::from_millis(moment.unsigned_abs()) + ms(60))
        );
    }
}

#[test]
fn a_journal_that_fails_stops_all_and_what_was_sent_unrecorded_is_told() {
    for broken_from in 0..40 {
        let world = World::new(tenth_refused());
        world.broken_from.set(Some(broken_from));
        let mut caller = Caller::new(&world, 500);
        let halted = world.run(pace(4), &mut caller).unwrap_err();
        let kept = world.kept.borrow();
        let mut sent: Vec<i64> = world.sent.borrow().iter().map(|(_, id, _)| *id).collect();
        sent.retain(|id| kept[id].recorded.contains(&false));
        let mut unrecorded: Vec<i64> = halted.unrecorded.iter().map(|(id, _)| *id).collect();
        unrecorded.sort_unstable();
        sent.sort_unstable();
        assert_eq!(unrecorded, sent, "commit {broken_from}");
        // What was accepted is a beginning of what was read, without a gap.
        let accepted = kept.len() as u64;
        caller.not_taken.sort_unstable();
        assert_eq!(
            caller.not_taken,
            (accepted + 1..=caller.marks).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_crew_of_one_that_is_to_do_one_after_the_other_does() {
    let world = World::new(Box::new(|id, number| {
        (
            ms(10),
            status(if id == 2 && number < 9 { 503 } else { 200 }),
        )
    }));
    for id in 1..=3 {
        world.failed_earlier(
            id,
            if id == 2 {
                Status::Interrupted
            } else {
                Status::Failed
            },
        );
    }
    let mut caller = Caller::resending(&world, &[3, 2, 1]);
    caller.rule = RetryPolicy {
        retries: 5,
        ..RetryPolicy::default()
    };
    world.run(IN_TURN, &mut caller).unwrap();
    assert_eq!(
        caller.ended,
        ["#3 delivered", "#2 delivered", "#1 delivered"]
    );
    let order: Vec<(i64, u32)> = world
        .sent
        .borrow()
        .iter()
        .map(|(_, id, number)| (*id, *number))
        .collect();
    assert_eq!(order, [(3, 7), (2, 7), (2, 8), (2, 9), (1, 7)]);
    assert!(world.elapsed() >= ms(120_000));
}

#[test]
fn a_caller_that_has_enough_ends_it() {
    let world = World::new(always(ms(10), 503));
    for id in 1..=9 {
        world.failed_earlier(id, Status::Failed);
    }
    let mut caller = Caller::resending(&world, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    caller.stop_after = 3;
    world.run(IN_TURN, &mut caller).unwrap();
    assert_eq!(caller.ended, ["#1 failed", "#2 failed", "#3 failed"]);
}

/// Work that comes later: asked for when the bell is rung.
struct Trickle {
    caller: Caller,
    pending: Rc<std::cell::Cell<u64>>,
    over_at: UnixMs,
}

impl Work for Trickle {
    fn next(&mut self) -> Task {
        match self.pending.get() {
            0 if self.caller.world.now() >= self.over_at => Task::End,
            0 => Task::Later,
            left => {
                self.pending.set(left - 1);
                self.caller.new = 1;
                self.caller.next()
            }
        }
    }

    fn shipment(&mut self, delivery: &Delivery) -> Option<CrewShipment> {
        self.caller.shipment(delivery)
    }

    fn told(&mut self, news: News<'_>) {
        self.caller.told(news);
    }

    fn pause(&mut self, gauge: &Gauge) -> Option<Duration> {
        self.caller.pause(gauge)
    }
}

#[test]
fn work_may_come_later() {
    let world = World::new(always(ms(10), 200));
    let (mail, pending) = (Mail::default(), Rc::<std::cell::Cell<u64>>::default());
    for second in 1..=3 {
        let (bell, pending) = (mail.bell(), Rc::clone(&pending));
        world.plan(at(second * 1_000), move |_| {
            pending.set(pending.get() + 2);
            bell.ring();
        });
    }
    let bell = mail.bell();
    world.plan(at(10_000), move |_| bell.ring());
    let mut work = Trickle {
        caller: Caller::new(&world, 0),
        pending,
        over_at: at(10_000),
    };
    world.run_with(mail, pace(2), &mut work).unwrap();
    let sent: Vec<i64> = sent_of(&world)
        .into_values()
        .flatten()
        .map(|when| when / 1_000)
        .collect();
    assert_eq!(sent, [1, 1, 2, 2, 3, 3]);
    assert_eq!(work.caller.ended.len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, failure_persistence: Some(Box::new(FileFailurePersistence::Off)), ..ProptestConfig::default()
    })]

    /// The world is strict about the order of things; this is about the rest.
    #[test]
    fn whatever_comes_nothing_is_lost_and_nothing_is_sent_twice_for_nothing(
        seed in any::<u64>(),
        jobs in 1usize..9,
        new in 1u64..80,
        commit in 0u64..40,
        stop in prop::option::of(0i64..5_000),
        rate in prop::option::of(1u32..200),
    ) {
        let chance = move |id: i64, number: u32, of: u64| {
            let mixed = seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(number) << 32;
            mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31) % of
        };
        let world = World::new(Box::new(move |id, number| {
            let code = if chance(id, number, 3) == 0 { 503 } else { 200 };
            (ms(chance(id, number, 97)), status(code))
        }));
        world.commit_takes.set(ms(commit));
        world.interrupt_at.set(stop.map(at));
        let mut caller = Caller::new(&world, new);
        caller.rule = RetryPolicy { retries: 2, interval: ms(300), ..RetryPolicy::default() };
        let rate = rate.map(|rate| format!("{rate}/s").parse().unwrap());
        world.run(Pace { rate, ..pace(jobs) }, &mut caller).unwrap();
        assert_nothing_is_lost(&world, &caller);
        for (id, sent) in sent_of(&world) {
            for number in 1..sent.len() {
                prop_assert_eq!(chance(id, number as u32, 3), 0, "#{} was delivered and sent again", id);
                prop_assert!(sent[number] - sent[number - 1] >= 300);
            }
        }
        prop_assert!(world.commits.borrow().iter().all(|entries| *entries <= 2 * MOST + 2 * jobs));
    }
}
