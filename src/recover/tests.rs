//! A retry: each once, whatever becomes of the others.

use std::collections::HashSet;
use std::rc::Rc;

use super::*;
use crate::deliver::fakes::{EVENT, Listener, World, no_response, status};
use crate::delivery::{ErrorKind, Status};
use crate::rule::Rule;

#[derive(Debug)]
enum TestError {
    Unprepared,
    ClosedPipe,
    Deliver(DeliverError),
}

impl From<DeliverError> for TestError {
    fn from(error: DeliverError) -> TestError {
        TestError::Deliver(error)
    }
}

/// A caller that stops when the journal is gone, as the command does.
struct Caller {
    world: Rc<World>,
    rule: Rule,
    unprepared: HashSet<i64>,
    pipe_closes_after: usize,
    told: Vec<String>,
}

impl Caller {
    fn new(world: &Rc<World>) -> Caller {
        let rule = Rule { retries: 0, ..Rule::default() };
        Caller {
            world: Rc::clone(world),
            rule,
            unprepared: HashSet::new(),
            pipe_closes_after: usize::MAX,
            told: vec![],
        }
    }

    fn retry(&mut self, ids: &[i64]) -> Result<(), TestError> {
        let world = Rc::clone(&self.world);
        let courier = world.courier();
        let attempts = |id| courier.store.delivery(id).ok().flatten().map_or(0, |delivery| delivery.attempt_count);
        let seen: Vec<Seen> = ids.iter().map(|&id| Seen { id, attempts: attempts(id) }).collect();
        retry(&courier, &seen, self)
    }
}

impl Dispatch for Caller {
    type Error = TestError;

    fn prepare(&mut self, delivery: &Delivery) -> Result<Shipment, TestError> {
        if self.unprepared.contains(&delivery.id) {
            return Err(TestError::Unprepared);
        }
        Ok(self.world.shipment(&self.rule))
    }

    fn failed(&mut self, id: i64, error: TestError) -> bool {
        self.told.push(format!("#{id} {error:?}").split('(').next().unwrap().to_owned());
        !matches!(error, TestError::Deliver(DeliverError::NotSent(_) | DeliverError::NotRecorded { .. }))
    }

    fn observer(&mut self, _: &Delivery) -> Box<dyn Observer + '_> {
        Box::new(Listener::new(&self.world))
    }

    fn done(&mut self, retried: &Retried) -> Result<(), TestError> {
        self.told.push(match retried {
            Retried::Sent(delivery) => format!("#{} {}", delivery.id, delivery.status.as_str()),
            Retried::Skipped(id) => format!("#{id} skipped"),
            Retried::NotSent => "not sent".to_owned(),
        });
        if self.told.len() > self.pipe_closes_after { Err(TestError::ClosedPipe) } else { Ok(()) }
    }
}

fn three_failed() -> (Rc<World>, Caller) {
    let world = World::new();
    for id in 1..=3 {
        world.failed_earlier(id, if id == 2 { Status::Interrupted } else { Status::Failed });
    }
    let caller = Caller::new(&world);
    (world, caller)
}

fn sends(world: &World) -> Vec<String> {
    world.log().into_iter().filter(|entry| entry.contains(" send ")).collect()
}

#[test]
fn each_gets_one_more_attempt_under_its_own_uuid_in_the_order_asked_for() {
    let (world, mut caller) = three_failed();
    world.answer(1, status(200));
    world.answer(1, status(503));
    world.answer(1, no_response(ErrorKind::Connect));
    caller.retry(&[3, 1, 2]).unwrap();
    assert_eq!(caller.told, ["#3 delivered", "#1 failed", "#2 failed"]);
    assert_eq!(sends(&world), ["0s send #3.7", "1s send #1.7", "2s send #2.7"]);
    for (request, uuid) in world.requests().iter().zip(["uuid-3", "uuid-1", "uuid-2"]) {
        assert_eq!(request.body.as_deref(), Some(EVENT));
        assert!(request.headers.contains(&("webhook-id", uuid.to_owned())), "{:?}", request.headers);
    }
}

#[test]
fn more_attempts_are_made_only_where_the_caller_allows_them() {
    let (world, mut caller) = three_failed();
    caller.rule.retries = 1;
    world.answer(0, status(503));
    world.answer(0, status(200));
    caller.retry(&[1]).unwrap();
    assert_eq!(caller.told, ["#1 delivered"]);
    assert_eq!(sends(&world), ["0s send #1.7", "60s send #1.8"]);
}

#[test]
fn what_another_process_took_or_deleted_or_delivered_is_skipped() {
    let (world, mut caller) = three_failed();
    world.failed_earlier(4, Status::Delivered);
    world.failed_earlier(5, Status::Pending);
    world.take("begin #2.7");
    world.answer(0, status(200));
    caller.retry(&[9, 4, 5, 2, 3]).unwrap();
    assert_eq!(caller.told, ["#9 skipped", "#4 skipped", "#5 skipped", "#2 skipped", "#3 delivered"]);
    assert_eq!(sends(&world), ["0s send #3.7"]);
}

#[test]
fn one_that_is_deleted_while_it_is_being_read_is_skipped_and_holds_up_nobody() {
    let (world, mut caller) = three_failed();
    world.vanish(2);
    world.answer(0, status(200));
    caller.retry(&[2, 3]).unwrap();
    assert_eq!(caller.told, ["#2 skipped", "#3 delivered"]);
}

#[test]
fn one_that_cannot_be_prepared_stays_as_it_is_and_holds_up_nobody() {
    let (world, mut caller) = three_failed();
    caller.unprepared.insert(2);
    world.answer(0, status(200));
    world.answer(0, status(200));
    caller.retry(&[1, 2, 3]).unwrap();
    assert_eq!(caller.told, ["#1 delivered", "#2 Unprepared", "not sent", "#3 delivered"]);
    assert!(!world.log().iter().any(|entry| entry.contains("#2")), "the journal hears nothing of it");
}

#[test]
fn a_journal_that_fails_before_a_request_ends_the_retry_unsent() {
    let (world, mut caller) = three_failed();
    world.answer(0, status(200));
    world.fail("begin #2.7");
    caller.retry(&[1, 2, 3]).unwrap();
    assert_eq!(caller.told, ["#1 delivered", "#2 Deliver"]);
    assert_eq!(sends(&world), ["0s send #1.7"]);
}

#[test]
fn a_journal_that_fails_after_a_request_ends_the_retry_too() {
    let (world, mut caller) = three_failed();
    world.answer(0, status(200));
    world.fail("finish #1.7 delivered");
    caller.retry(&[1, 2, 3]).unwrap();
    assert_eq!(caller.told, ["#1 Deliver"]);
    assert_eq!(sends(&world), ["0s send #1.7"]);
}

#[test]
fn ctrl_c_ends_the_retry_after_what_is_under_way() {
    let (world, mut caller) = three_failed();
    world.interrupt_at(1);
    world.answer(2, status(200));
    caller.retry(&[1, 2, 3]).unwrap();
    assert_eq!(caller.told, ["#1 delivered"]);
    assert_eq!(sends(&world), ["0s send #1.7"]);
}

#[test]
fn a_caller_that_cannot_report_ends_the_retry_with_its_error() {
    let (world, mut caller) = three_failed();
    caller.pipe_closes_after = 0;
    world.answer(0, status(200));
    assert!(matches!(caller.retry(&[1, 2, 3]), Err(TestError::ClosedPipe)));
    assert_eq!(sends(&world), ["0s send #1.7"]);
}
