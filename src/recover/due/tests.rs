//! The agenda at work: every attempt when it is due, by its delivery's own rule, whatever others do meanwhile.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use super::*;
use crate::deliver::fakes::{Listener, World, no_response, status};
use crate::deliver::{Courier, DeliverError, NextBy, Observer, Shipment};
use crate::delivery::{ErrorKind, Status};
use crate::recover::patience::{Patient, Trouble};
use crate::recover::{Dispatch, Retried, Task, work};
use crate::rule::Rule;
use crate::store::Store;
use crate::time::Clock as _;

fn rule(retries: u32, seconds: u64) -> Rule {
    Rule { retries, interval: Duration::from_secs(seconds), ..Rule::default() }
}

/// Who has what is due sent.
struct Caller {
    world: Rc<World>,
    unprepared: HashSet<i64>,
    obstacle: Obstacle,
    told: Vec<String>,
}

impl Caller {
    fn new(world: &Rc<World>) -> Caller {
        Caller { world: Rc::clone(world), unprepared: HashSet::new(), obstacle: Obstacle::Passing, told: vec![] }
    }

    fn send<S: Store + Schedule>(&mut self, journal: &S, agenda: &mut Agenda<'_>) -> Result<(), DeliverError> {
        let world = Rc::clone(&self.world);
        let mut next = |now| {
            Ok(match agenda.next(now)? {
                Upcoming::Due(seen) => Task::Due(seen),
                Upcoming::Later(at) => Task::Later(at),
                Upcoming::End => Task::End,
            })
        };
        work(&Courier { store: journal, clock: &*world }, &mut next, self)
    }

    fn once(&mut self) -> Agenda<'static> {
        // The test ends before its world does.
        let world: &'static World = Box::leak(Box::new(Rc::clone(&self.world)));
        let mut agenda = Agenda::once(world, world.now());
        self.send(world, &mut agenda).unwrap();
        agenda
    }

    /// Goes on until the user ends it.
    fn watch(&mut self) -> Result<(), DeliverError> {
        let world = Rc::clone(&self.world);
        self.send(&*world, &mut Agenda::watched(&*world))
    }
}

impl Dispatch for Caller {
    type Error = DeliverError;

    fn prepare(&mut self, delivery: &Delivery) -> Result<Shipment, DeliverError> {
        if self.unprepared.contains(&delivery.id) {
            put_off(&*self.world, delivery, self.obstacle, self.world.now()).unwrap();
            return Err(DeliverError::TakenOver(delivery.id));
        }
        Ok(Shipment { next: NextBy::Schedule, ..self.world.shipment(&delivery.rule) })
    }

    fn failed(&mut self, id: i64, _: DeliverError) -> bool {
        self.told.push(format!("#{id} not sent"));
        true
    }

    fn observer(&mut self, _: &Delivery) -> Box<dyn Observer + '_> {
        Box::new(Listener::new(&self.world))
    }

    fn done(&mut self, retried: &Retried) -> Result<(), DeliverError> {
        match retried {
            Retried::Sent(delivery) => self.told.push(format!("#{} {}", delivery.id, delivery.status.as_str())),
            Retried::Skipped => self.told.push("skipped".to_owned()),
            Retried::NotSent => {}
        }
        Ok(())
    }
}

fn sends(world: &World) -> Vec<String> {
    world.log().into_iter().filter(|entry| entry.contains(" send ")).collect()
}

#[test]
fn each_attempt_is_made_when_it_is_due_and_no_more_than_the_rule_has_left() {
    let world = World::new();
    world.scheduled(1, 1, &rule(2, 60), 10);
    world.scheduled(2, 4, &rule(5, 7), 12);
    for code in [503, 503, 200, 503] {
        world.answer(0, status(code));
    }
    world.interrupt_at(1000);
    let mut caller = Caller::new(&world);
    caller.watch().unwrap();
    assert_eq!(caller.told, ["#1 pending", "#2 pending", "#2 delivered", "#1 failed"]);
    assert_eq!(sends(&world), ["10s send #1.2", "12s send #2.5", "19s send #2.6", "70s send #1.3"]);
}

#[test]
fn an_attempt_that_takes_its_time_puts_off_the_next_one_by_the_interval_from_its_end() {
    let world = World::new();
    world.scheduled(1, 1, &rule(2, 60), 0);
    world.answer(20, no_response(ErrorKind::Timeout));
    world.answer(0, status(200));
    world.interrupt_at(500);
    Caller::new(&world).watch().unwrap();
    assert_eq!(sends(&world), ["0s send #1.2", "80s send #1.3"]);
}

#[test]
fn once_makes_one_attempt_of_each_that_is_due_the_first_due_first_even_if_it_is_due_again() {
    let world = World::new();
    for (id, due) in [(1, 3), (2, 1), (3, 100)] {
        world.scheduled(id, 1, &rule(5, 0), due);
    }
    world.answer(1, status(503));
    world.answer(1, status(503));
    world.wait(Duration::from_secs(5));
    let mut caller = Caller::new(&world);
    let agenda = caller.once();
    assert_eq!(caller.told, ["#2 pending", "#1 pending"]);
    assert_eq!(sends(&world), ["5s send #2.2", "6s send #1.2"]);
    assert_eq!(agenda.next_due(), Some(UnixMs(world.now().0 - 1000)), "as of its beginning");
}

#[test]
fn what_is_due_is_read_page_by_page_and_each_is_sent_once() {
    let world = World::new();
    let many = i64::from(PAGE) * 2 + 1;
    for id in 1..=many {
        world.scheduled(id, 1, &rule(5, 60), 0);
        world.answer(0, status(200));
    }
    Caller::new(&world).once();
    assert_eq!(world.sends(), usize::try_from(many).unwrap());
}

#[test]
fn what_others_schedule_or_leave_behind_is_noticed_within_a_glance() {
    let world = World::new();
    world.scheduled(1, 1, &rule(5, 60), 1000);
    for id in [2, 3] {
        world.failed_earlier(id, Status::Pending);
    }
    world.comes(2, Status::Pending, 5);
    world.comes(3, Status::Interrupted, 9);
    world.answer(0, status(200));
    world.answer(0, status(200));
    world.interrupt_at(20);
    let mut caller = Caller::new(&world);
    let mut agenda = Agenda::watched(&*world);
    caller.send(&*world, &mut agenda).unwrap();
    assert_eq!(sends(&world), ["5s send #2.7", "9s send #3.7"]);
    assert_eq!(agenda.take_left_behind(), 1);
    assert_eq!(agenda.next_due().map(|due| due.since(crate::deliver::fakes::T0)), Some(Duration::from_secs(1000)));
}

#[test]
fn a_clock_that_is_set_back_does_not_make_it_wait() {
    let world = World::new();
    world.scheduled(1, 1, &rule(5, 60), 0);
    let mut agenda = Agenda::watched(&*world);
    let later = world.now().plus(Duration::from_secs(3600));
    assert_eq!(agenda.next(later).unwrap(), Upcoming::Due(Seen { id: 1, attempts: 1 }));
    world.postpone(Seen { id: 1, attempts: 1 }, world.now()).unwrap();
    agenda.look_at = later.plus(GLANCE);
    agenda.behind = None;
    assert_eq!(agenda.next(world.now()).unwrap(), Upcoming::Due(Seen { id: 1, attempts: 1 }));
}

#[test]
fn one_that_another_process_took_is_left_to_it() {
    let world = World::new();
    world.scheduled(1, 1, &rule(5, 60), 0);
    world.take("begin #1.2");
    let mut caller = Caller::new(&world);
    caller.once();
    assert_eq!((caller.told, world.sends()), (vec!["skipped".to_owned()], 0));
}

#[test]
fn who_is_to_end_lets_the_request_come_to_its_end_and_leaves_the_rest_on_the_schedule() {
    let world = World::new();
    for id in [1, 2] {
        world.scheduled(id, 1, &rule(5, 60), 0);
    }
    world.interrupt_at(3);
    world.answer(9, status(503));
    let mut caller = Caller::new(&world);
    caller.watch().unwrap();
    assert_eq!(caller.told, ["#1 pending"]);
    assert_eq!((world.due_of(1), world.due_of(2)), (Some(69), Some(0)));
    assert_eq!(world.sends(), 1);
}

#[test]
fn what_cannot_be_sent_is_due_again_later_or_off_the_schedule_and_holds_up_nobody() {
    for (obstacle, due) in [(Obstacle::Passing, Some(60)), (Obstacle::Lasting, None)] {
        let world = World::new();
        for id in [1, 2] {
            world.scheduled(id, 1, &rule(5, 60), 0);
        }
        world.answer(0, status(200));
        world.interrupt_at(30);
        let mut caller = Caller { unprepared: HashSet::from([1]), obstacle, ..Caller::new(&world) };
        caller.watch().unwrap();
        assert_eq!(caller.told, ["#1 not sent", "#2 delivered"]);
        assert_eq!(world.due_of(1), due);
    }
}

/// Watches through a [`Patient`], which tells what it goes through.
fn watch_patiently(world: &Rc<World>) -> (Result<(), DeliverError>, Vec<String>) {
    let troubles = RefCell::new(Vec::new());
    let tell = |trouble: Trouble<'_>| {
        let word = if matches!(trouble, Trouble::Over) { "over" } else { "begun" };
        troubles.borrow_mut().push(format!("{}s {word}", world.now().since(crate::deliver::fakes::T0).as_secs()));
    };
    let patient = Patient::new(&**world, &**world, &tell);
    let ended = Caller::new(world).send(&patient, &mut Agenda::watched(&patient));
    (ended, troubles.into_inner())
}

#[test]
fn a_journal_that_is_locked_for_a_while_is_waited_for_and_nothing_is_sent_twice() {
    for (from, sent) in [(5, "31s send #1.2"), (11, "10s send #1.2")] {
        let world = World::new();
        world.scheduled(1, 1, &rule(5, 60), 10);
        world.lock(from, 30);
        world.answer(2, status(200));
        world.interrupt_at(100);
        let (ended, troubles) = watch_patiently(&world);
        ended.unwrap();
        let begun = if from == 5 { "5s begun" } else { "12s begun" };
        assert_eq!(troubles, [begun, "30s over"]);
        assert_eq!(sends(&world), [sent]);
        assert_eq!(world.delivery(1).unwrap().unwrap().status, Status::Delivered);
    }
}

#[test]
fn who_is_to_end_while_the_journal_is_locked_says_what_could_not_be_recorded() {
    let world = World::new();
    world.scheduled(1, 1, &rule(5, 60), 0);
    world.lock(1, 1000);
    world.answer(2, status(200));
    world.interrupt_at(50);
    let mut told = Vec::new();
    let patient = Patient::new(&*world, &*world, &|_| {});
    let mut caller = Caller::new(&world);
    caller.send(&patient, &mut Agenda::watched(&patient)).unwrap();
    told.append(&mut caller.told);
    assert_eq!(told, ["#1 not sent"]);
    assert_eq!(world.now().since(crate::deliver::fakes::T0), Duration::from_secs(50));
}
