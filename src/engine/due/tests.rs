//! The agenda at work: every attempt when it is due, by its delivery's own rule, whatever others do meanwhile, and whoever
//! else does not answer.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::*;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::{ErrorKind, Status};
use crate::engine::batch::world::{Answers, World, at, ms};
use crate::engine::batch::{CrewShipment, Gauge, Halted, News, Pace, Task, Work};
use crate::engine::deliver::NextBy;
use crate::engine::deliver::fakes::{no_response, status};
use crate::engine::patience::{Patient, Trouble, Troubles};
use crate::time::Clock as _;

const HERE: &str = "https://example.com/";
const STALLED: &str = "https://stalled.example.com/";

fn rule(retries: u32, seconds: u64) -> RetryPolicy {
    RetryPolicy {
        retries,
        interval: Duration::from_secs(seconds),
        ..RetryPolicy::default()
    }
}

/// Who has what is due sent.
struct Caller<'a> {
    world: Rc<World>,
    agenda: Agenda<'a>,
    unprepared: HashSet<i64>,
    obstacle: Obstacle,
    look_at: Option<UnixMs>,
    told: Vec<String>,
}

impl<'a> Caller<'a> {
    fn new(world: &Rc<World>, agenda: Agenda<'a>) -> Caller<'a> {
        let (unprepared, told) = (HashSet::new(), Vec::new());
        Caller {
            world: Rc::clone(world),
            agenda,
            unprepared,
            obstacle: Obstacle::Passing,
            look_at: None,
            told,
        }
    }

    fn run(&mut self, jobs: usize) -> Result<(), Halted> {
        let world = Rc::clone(&self.world);
        world.drains.set(true);
        world.run(
            Pace {
                jobs,
                rate: None,
                in_turn: jobs == 1,
                far_ahead: false,
            },
            self,
        )
    }
}

impl Work for Caller<'_> {
    fn next(&mut self) -> Task {
        match self.agenda.next(self.world.now()).unwrap() {
            Upcoming::Due(seen) => Task::Due(seen),
            Upcoming::Later(at) => {
                self.look_at = Some(at.max(self.world.now().plus(ms(1))));
                Task::Later
            }
            Upcoming::End => Task::End,
        }
    }

    fn shipment(&mut self, delivery: &Delivery) -> Option<CrewShipment> {
        if self.unprepared.contains(&delivery.id) {
            put_off(&*self.world, delivery, self.obstacle, self.world.now()).unwrap();
            self.agenda
                .over(delivery.id, Came::NotSent, self.world.now());
            self.told.push(format!("#{} not sent", delivery.id));
            return None;
        }
        Some(self.world.shipment_then(&delivery.rule, NextBy::Schedule))
    }

    fn told(&mut self, news: News<'_>) {
        let now = self.world.now();
        match news {
            News::Attempted(delivery, attempt) => {
                let answered = attempt.outcome.http_status.is_some();
                self.agenda.over(
                    delivery.id,
                    if answered {
                        Came::Answer
                    } else {
                        Came::Nothing
                    },
                    now,
                );
            }
            News::Ended(delivery) => {
                self.told
                    .push(format!("#{} {}", delivery.id, delivery.status.as_str()))
            }
            News::Skipped(id) | News::TakenOver(id) => {
                self.agenda.over(id, Came::NotSent, now);
                self.told.push(format!("#{id} skipped"));
            }
            News::Sending { .. } | News::Ignored(_) | News::NotTaken(_) => {}
        }
    }

    fn pause(&mut self, _: &Gauge) -> Option<Duration> {
        let idle = self.agenda.under_way() == 0 && !self.world.interrupted();
        self.look_at
            .map(|at| at.since(self.world.now()))
            .filter(|left| idle || !left.is_zero())
    }
}

/// What is due now, each once.
fn once(world: &Rc<World>, jobs: usize) -> Vec<String> {
    let mut caller = Caller::new(world, Agenda::once(&**world, jobs, world.now()));
    caller.run(jobs).unwrap();
    caller.told
}

/// Until the user ends it.
fn watch(world: &Rc<World>, jobs: usize) -> Vec<String> {
    let mut caller = Caller::new(world, Agenda::watched(&**world, jobs));
    caller.run(jobs).unwrap();
    caller.told
}

/// `10s #1.2`: second, delivery and attempt of each request, in order.
fn sends(world: &World) -> Vec<String> {
    let sent = world.sent.borrow();
    sent.iter()
        .map(|(when, id, number)| format!("{}s #{id}.{number}", (when.0 - at(0).0) / 1000))
        .collect()
}

fn answers(of: impl Fn(i64, u32) -> u16 + 'static) -> Answers {
    Box::new(move |id, number| (ms(1), status(of(id, number))))
}

#[test]
fn each_attempt_is_made_when_it_is_due_and_no_more_than_the_rule_has_left() {
    for jobs in [1, 8] {
        let world = World::new(answers(
            |id, number| if (id, number) == (2, 6) { 200 } else { 503 },
        ));
        world.scheduled(1, (1, &rule(2, 60)), HERE, 10);
        world.scheduled(2, (4, &rule(5, 7)), HERE, 12);
        world.interrupt_at.set(Some(at(1_000_000)));
        assert_eq!(
            watch(&world, jobs),
            ["#1 pending", "#2 pending", "#2 delivered", "#1 failed"]
        );
        assert_eq!(
            sends(&world),
            ["10s #1.2", "12s #2.5", "19s #2.6", "70s #1.3"]
        );
    }
}

#[test]
fn an_attempt_that_takes_its_time_puts_off_the_next_one_by_the_interval_from_its_end() {
    let world = World::new(Box::new(|_, number| match number {
        2 => (Duration::from_secs(20), no_response(ErrorKind::Timeout)),
        _ => (ms(1), status(200)),
    }));
    world.scheduled(1, (1, &rule(2, 60)), HERE, 0);
    world.interrupt_at.set(Some(at(500_000)));
    watch(&world, 4);
    assert_eq!(sends(&world), ["0s #1.2", "80s #1.3"]);
}

#[test]
fn once_makes_one_attempt_of_each_that_is_due_the_first_due_first_even_if_it_is_due_again() {
    let world = World::new(Box::new(|_, _| (Duration::from_secs(1), status(503))));
    for (id, due) in [(1, 3), (2, 1), (3, 100)] {
        world.scheduled(id, (1, &rule(5, 0)), HERE, due);
    }
    world.wait(Duration::from_secs(5));
    let mut caller = Caller::new(&world, Agenda::once(&*world, 1, world.now()));
    caller.run(1).unwrap();
    assert_eq!(caller.told, ["#2 pending", "#1 pending"]);
    assert_eq!(sends(&world), ["5s #2.2", "6s #1.2"]);
    let next_due = caller.agenda.next_due().unwrap();
    assert!(
        next_due > at(5_000) && next_due < at(7_000),
        "as of when it was last looked for: {next_due:?}"
    );
}

#[test]
fn many_are_sent_each_once_page_by_page_and_over_all_senders() {
    let world = World::new(Box::new(|_, _| (ms(50), status(200))));
    let many = i64::from(PAGE) * 2 + 1;
    for id in 1..=many {
        world.scheduled(id, (1, &rule(5, 60)), HERE, 0);
    }
    let told = once(&world, 8);
    assert_eq!((told.len(), sends(&world).len()), (257, 257));
    let each: HashSet<String> = sends(&world).into_iter().collect();
    assert_eq!(each.len(), 257);
    // One after the other it would be 13 s; half of the senders could do it in 3.2 s.
    assert!(world.elapsed() < ms(2_000), "{:?}", world.elapsed());
}

#[test]
fn what_others_schedule_or_leave_behind_is_noticed_within_a_glance() {
    let world = World::new(answers(|_, _| 200));
    world.scheduled(1, (1, &rule(5, 60)), HERE, 1000);
    world.plan(at(5_100), |world| {
        world.scheduled(2, (1, &rule(5, 60)), HERE, 5)
    });
    world.plan(at(9_100), |world| {
        world.scheduled(3, (1, &rule(5, 60)), HERE, 9);
        world.left_behind.set(1);
    });
    world.interrupt_at.set(Some(at(20_000)));
    let mut caller = Caller::new(&world, Agenda::watched(&*world, 4));
    caller.run(4).unwrap();
    let sent: Vec<i64> = world
        .sent
        .borrow()
        .iter()
        .map(|(when, _, _)| when.0 - at(0).0)
        .collect();
    assert!(
        (5_100..6_200).contains(&sent[0]) && (9_100..10_200).contains(&sent[1]),
        "{sent:?}"
    );
    assert_eq!(caller.agenda.take_left_behind(), 1);
    assert_eq!(caller.agenda.next_due(), Some(at(1_000_000)));
}

#[test]
fn a_clock_that_is_set_back_does_not_make_it_wait() {
    let world = World::new(answers(|_, _| 200));
    let mut agenda = Agenda::watched(&*world, 4);
    let later = world.now().plus(Duration::from_secs(3600));
    assert_eq!(
        agenda.next(later).unwrap(),
        Upcoming::Later(later.plus(GLANCE))
    );
    world.scheduled(1, (1, &rule(5, 60)), HERE, 0);
    assert_eq!(
        agenda.next(world.now()).unwrap(),
        Upcoming::Due(Seen { id: 1, attempts: 1 })
    );
}

#[test]
fn one_that_another_process_took_is_left_to_it() {
    let world = World::new(answers(|_, _| 200));
    for id in [1, 2] {
        world.scheduled(id, (1, &rule(5, 60)), HERE, 0);
    }
    // In the moment before the commit that would have taken it.
    world.plan(at(0), |world| {
        world.kept.borrow_mut().get_mut(&1).unwrap().lease_until = Some(at(60_000))
    });
    assert_eq!(once(&world, 1), ["#1 skipped", "#2 delivered"]);
    assert_eq!(sends(&world), ["0s #2.2"]);
}

#[test]
fn who_is_to_end_lets_requests_come_to_their_end_and_leaves_the_rest_on_the_schedule() {
    for (jobs, rate) in [(1, None), (3, None), (8, Some("1/s"))] {
        let world = World::new(Box::new(|_, _| (Duration::from_secs(9), status(503))));
        for id in 1..=40 {
            world.scheduled(id, (1, &rule(5, 60)), HERE, 0);
        }
        world.interrupt_at.set(Some(at(3_500)));
        world.drains.set(true);
        let mut caller = Caller::new(&world, Agenda::watched(&*world, jobs));
        let rate = rate.map(|rate| rate.parse().unwrap());
        world
            .run(
                Pace {
                    jobs,
                    rate,
                    in_turn: jobs == 1,
                    far_ahead: false,
                },
                &mut caller,
            )
            .unwrap();
        let sent: HashSet<i64> = world.sent.borrow().iter().map(|(_, id, _)| *id).collect();
        assert!((1..=jobs).contains(&sent.len()), "{sent:?}");
        assert!(world.elapsed() < ms(3_500 + 9_100), "{:?}", world.elapsed());
        for (id, kept) in &*world.kept.borrow() {
            let expected = if sent.contains(id) { 2 } else { 1 };
            assert!(kept.is_scheduled(), "#{id}");
            assert_eq!(
                (kept.delivery.attempt_count, kept.recorded.len()),
                (expected, expected as usize),
                "#{id}"
            );
            let due = kept.delivery.next_attempt_at.unwrap();
            assert_eq!(
                due > at(0),
                sent.contains(id),
                "#{id} is due as it was, unless it was sent"
            );
        }
    }
}

#[test]
fn what_another_process_took_while_this_one_was_suspended_is_not_sent() {
    let world = World::new(Box::new(|_, _| (Duration::from_secs(1), status(200))));
    for id in 1..=12 {
        world.scheduled(id, (1, &rule(5, 60)), HERE, 0);
    }
    world.frozen.set(Some((at(2_500), at(3_600_000))));
    world.interrupt_at.set(Some(at(3_700_000)));
    let told = watch(&world, 3);
    let stolen: Vec<i64> = world
        .kept
        .borrow()
        .iter()
        .filter(|(_, kept)| kept.stolen)
        .map(|(id, _)| *id)
        .collect();
    // The world sees to it that none of them is sent after that.
    assert!(
        !stolen.is_empty() && stolen.len() <= 6,
        "what it was at, and what it had begun: {stolen:?}"
    );
    assert!(
        told.iter().filter(|told| told.ends_with("skipped")).count() <= 3,
        "{told:?}"
    );
    let left = world
        .kept
        .borrow()
        .values()
        .filter(|kept| !kept.stolen && kept.is_scheduled())
        .count();
    assert_eq!(left, 0, "the others are sent");
}

#[test]
fn what_cannot_be_sent_is_due_again_later_or_off_the_schedule_and_holds_up_nobody() {
    for (obstacle, due) in [(Obstacle::Passing, Some(60)), (Obstacle::Lasting, None)] {
        let world = World::new(answers(|_, _| 200));
        for id in [1, 2] {
            world.scheduled(id, (1, &rule(5, 60)), HERE, 0);
        }
        world.interrupt_at.set(Some(at(30_000)));
        let agenda = Agenda::watched(&*world, 1);
        let mut caller = Caller {
            unprepared: HashSet::from([1]),
            obstacle,
            ..Caller::new(&world, agenda)
        };
        caller.run(1).unwrap();
        assert_eq!(caller.told, ["#1 not sent", "#2 delivered"]);
        assert_eq!(world.due_of(1), due);
    }
}

#[test]
fn an_endpoint_that_does_not_answer_holds_up_nobody_elses_attempts_however_many_of_its_own_are_due()
{
    for (jobs, watched) in [(2, false), (2, true), (8, false), (8, true)] {
        let world = World::new(Box::new(|id, _| match id {
            ..10_000 => (Duration::from_secs(30), no_response(ErrorKind::Timeout)),
            _ => (ms(5), status(200)),
        }));
        // More than are looked at in one go, and all of them due first.
        for id in 1..=AT_A_TIME as i64 + 200 {
            world.scheduled(id, (1, &rule(5, 60)), STALLED, 0);
        }
        for id in 10_000..10_050 {
            world.scheduled(id, (1, &rule(5, 60)), HERE, 1);
        }
        // And one that comes when all is quiet.
        world.plan(at(20_000), |world| {
            world.scheduled(20_000, (1, &rule(5, 60)), HERE, 20)
        });
        world.wait(Duration::from_secs(2));
        world.interrupt_at.set(Some(at(100_000)));
        if watched {
            watch(&world, jobs)
        } else {
            once(&world, jobs)
        };
        let sent = world.sent.borrow();
        let others = sent
            .iter()
            .filter(|(_, id, _)| (10_000..10_050).contains(id));
        let last = others.clone().map(|(when, ..)| *when).max().unwrap();
        assert_eq!(others.count(), 50);
        let before = sent
            .iter()
            .filter(|(when, id, _)| *id < 10_000 && *when <= last)
            .count();
        assert!(
            before <= jobs / 2,
            "{before} of {jobs} senders were the stalled endpoint's: {last:?}"
        );
        let late = sent
            .iter()
            .find(|(_, id, _)| *id == 20_000)
            .map(|(when, ..)| when.0 - at(0).0);
        assert_eq!(
            late.filter(|late| *late < 22_000).is_some(),
            watched,
            "{late:?}"
        );
        assert!(
            sent.iter().filter(|(_, id, _)| *id < 10_000).count() >= jobs,
            "its own turn comes again"
        );
        // All pages each second, and one each time that a sender gets free.
        let most = 12 * usize::try_from(world.elapsed().as_secs()).unwrap() + 2 * sent.len();
        assert!(
            world.looks.get() < most,
            "looked {} times at what had to wait",
            world.looks.get()
        );
    }
}

/// Watches through a [`Patient`], which tells what it goes through.
fn watch_patiently(world: &Rc<World>) -> (Result<(), Halted>, Vec<String>, Vec<String>) {
    let told = RefCell::new(Vec::new());
    let tell = |trouble: Trouble<'_>| {
        let word = if matches!(trouble, Trouble::Over) {
            "over"
        } else {
            "begun"
        };
        told.borrow_mut()
            .push(format!("{}s {word}", world.now().since(at(0)).as_secs()));
    };
    let troubles = Troubles::new(&tell);
    let patient = Patient::new(&**world, &**world, &troubles);
    let mut caller = Caller::new(world, Agenda::watched(&patient, 4));
    let ended = caller.run(4);
    let heard = caller.told;
    (ended, heard, told.into_inner())
}

#[test]
fn a_journal_that_is_locked_for_a_while_is_waited_for_and_nothing_is_sent_twice() {
    for (from, sent) in [(5, "31s #1.2"), (11, "10s #1.2")] {
        let world = World::new(Box::new(|_, _| (Duration::from_secs(2), status(200))));
        world.scheduled(1, (1, &rule(5, 60)), HERE, 10);
        world.locked.set(Some((at(from * 1000), at(30_000))));
        world.interrupt_at.set(Some(at(100_000)));
        let (ended, heard, troubles) = watch_patiently(&world);
        ended.unwrap();
        assert_eq!(
            (troubles.len(), troubles[1].as_str()),
            (2, "30s over"),
            "{troubles:?}"
        );
        let sends = sends(&world);
        assert!(sends == [sent] || sends == ["30s #1.2"], "{sends:?}");
        assert_eq!(
            (heard, world.status(1)),
            (vec!["#1 delivered".to_owned()], Status::Delivered)
        );
    }
}

#[test]
fn who_is_to_end_while_the_journal_is_locked_says_what_could_not_be_recorded() {
    let world = World::new(Box::new(|_, _| (Duration::from_secs(2), status(200))));
    world.scheduled(1, (1, &rule(5, 60)), HERE, 0);
    world.locked.set(Some((at(1_000), at(1_000_000))));
    world.interrupt_at.set(Some(at(50_000)));
    let mut caller = Caller::new(&world, Agenda::once(&*world, 4, world.now()));
    let halted = caller.run(4).unwrap_err();
    assert_eq!(halted.unrecorded, [(1, "delivered".to_owned())]);
    assert!(world.elapsed() < ms(51_000), "{:?}", world.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150, failure_persistence: Some(Box::new(FileFailurePersistence::Off)), ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_due_and_whatever_comes_each_attempt_is_made_once_and_what_is_not_sent_stays(
        seed in any::<u64>(),
        jobs in 1usize..9,
        number in 1i64..60,
        stop in 0i64..200_000,
        frozen in prop::option::of((0i64..20_000, 1i64..400_000)),
    ) {
        let chance = move |id: i64, number: u32, of: u64| {
            let mixed = seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(number) << 32;
            mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31) % of
        };
        let world = World::new(Box::new(move |id, number| match chance(id, number, 4) {
            0 => (Duration::from_secs(30), no_response(ErrorKind::Timeout)),
            1 => (ms(7), status(503)),
            _ => (ms(chance(id, number, 50)), status(200)),
        }));
        for id in 1..=number {
            let url = if chance(id, 0, 3) == 0 { STALLED } else { HERE };
            world.scheduled(id, (1, &rule(2, 40)), url, chance(id, 1, 90) as i64);
        }
        world.interrupt_at.set(Some(at(stop)));
        world.frozen.set(frozen.map(|(from, length)| (at(from), at(from + length))));
        watch(&world, jobs);
        let mut sent = BTreeMap::<i64, Vec<u32>>::new();
        world.sent.borrow().iter().for_each(|(_, id, number)| sent.entry(*id).or_default().push(*number));
        for (id, kept) in &*world.kept.borrow() {
            if kept.stolen {
                continue;
            }
            let made: Vec<u32> = (2..=kept.delivery.attempt_count).collect();
            prop_assert_eq!(sent.remove(id).unwrap_or_default(), made, "#{}", id);
            prop_assert!(!kept.recorded.contains(&false) && kept.recorded.len() as u32 == kept.delivery.attempt_count);
            prop_assert_eq!(kept.is_scheduled(), kept.delivery.status == Status::Pending, "#{}", id);
        }
    }
}
