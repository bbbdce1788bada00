//! The order of things: written down, sent, written down, waited for.

use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::fakes::{EVENT, Listener, T0, TIMEOUT, World, no_response, status};
use super::*;
use crate::delivery::target::Target;
use crate::delivery::{ErrorKind, Status};

fn rule(retries: u32, seconds: u64) -> RetryPolicy {
    RetryPolicy {
        retries,
        interval: Duration::from_secs(seconds),
        ..RetryPolicy::default()
    }
}

fn fire_told(
    world: &Rc<World>,
    rule: &RetryPolicy,
    listener: &mut dyn Observer,
) -> Result<Delivery, DeliverError> {
    let target = Target::from_url("https://example.com/").unwrap();
    let new = NewDelivery {
        event_type: "account",
        action: "created",
        event: EVENT,
        endpoint: None,
        target: &target,
        wire: BodyFormat::Xml,
        rule,
    };
    world.courier().fire(&new, &world.shipment(rule), listener)
}

fn fire(world: &Rc<World>, rule: &RetryPolicy) -> Result<Delivery, DeliverError> {
    fire_told(world, rule, &mut Listener::new(world))
}

/// Without what the observer was told.
fn deeds(world: &World) -> Vec<String> {
    world
        .log()
        .into_iter()
        .filter(|entry| !entry.contains(" told: "))
        .collect()
}

#[test]
fn each_step_is_written_down_before_the_next_is_taken() {
    let world = World::new();
    world.answer(2, status(503));
    world.answer(1, status(200));
    let delivery = fire(&world, &RetryPolicy::default()).unwrap();
    assert_eq!(
        (delivery.status, delivery.attempt_count),
        (Status::Delivered, 2)
    );
    let expected = [
        "0s accept #1",
        "0s told: accepted #1",
        "0s send #1.1",
        "2s finish #1.1 again",
        "2s told: 1/6 503 Service Unavailable in 2s, next in 60s",
        "62s wait 60s",
        "62s begin #1.2",
        "62s send #1.2",
        "63s finish #1.2 delivered",
        "63s told: 2/6 delivered in 1s",
    ];
    assert_eq!(world.log(), expected);
}

#[test]
fn an_endpoint_that_never_accepts_gets_six_attempts_a_minute_apart() {
    let world = World::new();
    for _ in 0..6 {
        world.answer(0, status(503));
    }
    let delivery = fire(&world, &RetryPolicy::default()).unwrap();
    assert_eq!(
        (delivery.status, delivery.attempt_count),
        (Status::Failed, 6)
    );
    let log = deeds(&world);
    let sends: Vec<_> = log.iter().filter(|entry| entry.contains("send")).collect();
    let expected = [
        "0s send #1.1",
        "60s send #1.2",
        "120s send #1.3",
        "180s send #1.4",
        "240s send #1.5",
        "300s send #1.6",
    ];
    assert_eq!(sends, expected.iter().collect::<Vec<_>>());
    assert_eq!(
        log.last().unwrap(),
        "300s finish #1.6 failed",
        "and no wait after the last"
    );
}

#[test]
fn an_accepted_one_is_sent_once() {
    let world = World::new();
    world.answer(0, status(200));
    assert_eq!(
        fire(&world, &RetryPolicy::default()).unwrap().status,
        Status::Delivered
    );
    assert_eq!(
        deeds(&world),
        ["0s accept #1", "0s send #1.1", "0s finish #1.1 delivered"]
    );
}

#[test]
fn an_answer_that_the_rule_does_not_name_is_a_refusal_in_words() {
    let world = World::new();
    world.answer(0, status(202));
    let delivery = fire(&world, &rule(0, 0)).unwrap();
    assert_eq!(delivery.status, Status::Failed);
    let error = delivery.last_error.unwrap();
    assert_eq!(
        (error.kind, error.http_status),
        (ErrorKind::Status, Some(202))
    );
    assert_eq!(error.message, "202 Accepted is not 200");
}

#[test]
fn every_attempt_carries_the_same_document_and_uuid() {
    let world = World::new();
    for _ in 0..3 {
        world.answer(0, no_response(ErrorKind::Reset));
    }
    let uuid = fire(&world, &rule(2, 1)).unwrap().uuid;
    let requests = world.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.body.as_deref(), Some(EVENT));
        assert_eq!(request.target.url.expose(), "https://example.com/?t=1");
        let expected = [
            ("content-type", "application/xml".to_owned()),
            ("webhook-id", uuid.clone()),
        ];
        assert_eq!(request.headers, expected);
    }
}

#[test]
fn nothing_is_sent_that_the_journal_did_not_take() {
    let world = World::new();
    world.fail("accept #1");
    let error = fire(&world, &RetryPolicy::default()).unwrap_err();
    assert!(
        matches!(error, DeliverError::NotSent(JournalError::Locked { .. })),
        "{error}"
    );
    assert_eq!(world.log(), ["0s accept #1"]);

    let world = World::new();
    world.answer(0, status(503));
    world.fail("begin #1.2");
    let error = fire(&world, &RetryPolicy::default()).unwrap_err();
    assert!(
        matches!(
            error,
            DeliverError::Stuck {
                id: 1,
                source: JournalError::Locked { .. }
            }
        ),
        "{error}"
    );
    assert_eq!(world.sends(), 1);
    assert_eq!(world.log().last().unwrap(), "60s begin #1.2");
}

#[test]
fn what_was_sent_and_could_not_be_recorded_says_what_came_of_it_and_is_not_sent_again() {
    for (answer, entry, words) in [
        (
            200,
            "finish #1.1 delivered",
            "#1 was sent (delivered), but the journal could not record it",
        ),
        (
            503,
            "finish #1.1 again",
            "#1 was sent (503 Service Unavailable), but the journal could not record it",
        ),
    ] {
        let world = World::new();
        world.answer(0, status(answer));
        world.fail(entry);
        let error = fire(&world, &RetryPolicy::default()).unwrap_err();
        assert_eq!(error.to_string(), words);
        assert!(matches!(
            error,
            DeliverError::NotRecorded {
                id: 1,
                source: JournalError::Locked { .. },
                ..
            }
        ));
        assert_eq!(
            world.log().last().unwrap(),
            &format!("0s {entry}"),
            "nobody is told that it was recorded"
        );
    }
}

#[test]
fn ctrl_c_in_a_wait_gives_the_delivery_up_at_once() {
    let world = World::new();
    world.answer(2, status(503));
    world.interrupt_at(7);
    let delivery = fire(&world, &RetryPolicy::default()).unwrap();
    assert_eq!(
        (delivery.status, delivery.attempt_count),
        (Status::Interrupted, 1)
    );
    let expected = [
        "0s accept #1",
        "0s send #1.1",
        "2s finish #1.1 again",
        "7s wait 5s",
        "7s interrupt #1",
    ];
    assert_eq!(deeds(&world), expected);
}

#[test]
fn ctrl_c_at_the_very_end_of_a_wait_still_stops_the_next_attempt() {
    let world = World::new();
    world.answer(2, status(503));
    world.interrupt_at(62);
    assert_eq!(
        fire(&world, &RetryPolicy::default()).unwrap().status,
        Status::Interrupted
    );
    assert_eq!(world.sends(), 1);
}

#[test]
fn ctrl_c_during_a_request_is_recorded_with_what_came_of_it() {
    for (answer, end, stands) in [
        (
            no_response(ErrorKind::Interrupted),
            "interrupted",
            Status::Interrupted,
        ),
        (status(503), "interrupted", Status::Interrupted),
        (status(200), "delivered", Status::Delivered),
    ] {
        let world = World::new();
        world.interrupt_at(1);
        world.answer(2, answer);
        assert_eq!(
            fire(&world, &RetryPolicy::default()).unwrap().status,
            stands
        );
        assert_eq!(
            deeds(&world),
            [
                "0s accept #1",
                "0s send #1.1",
                &format!("2s finish #1.1 {end}")
            ]
        );
    }
}

#[test]
fn a_delivery_that_another_process_took_over_is_left_to_it() {
    let world = World::new();
    world.answer(0, status(503));
    world.take("begin #1.2");
    let error = fire(&world, &RetryPolicy::default()).unwrap_err();
    assert!(matches!(error, DeliverError::TakenOver(1)), "{error}");
    assert_eq!(error.to_string(), "#1 was taken over by another process");
    assert_eq!(deeds(&world).last().unwrap(), "60s begin #1.2");
}

#[test]
fn the_countdown_is_told_each_second_and_the_rest_of_one() {
    let world = World::new();
    world.answer(0, status(503));
    world.answer(0, status(503));
    let rule = RetryPolicy {
        interval: Duration::from_millis(2500),
        ..rule(1, 0)
    };
    let mut listener = Listener::new(&world);
    fire_told(&world, &rule, &mut listener).unwrap();
    assert_eq!(
        listener.countdown,
        [2500, 1500, 500].map(Duration::from_millis)
    );
    assert_eq!(world.now(), T0.plus(rule.interval));
}

#[test]
fn an_attempt_as_long_as_the_deadline_and_a_wait_of_a_day_stay_under_a_lease() {
    let world = World::new();
    for _ in 0..2 {
        world.answer(TIMEOUT.as_secs(), no_response(ErrorKind::Timeout));
    }
    assert_eq!(
        fire(&world, &rule(1, 86_400)).unwrap().status,
        Status::Failed
    );
    assert_eq!(deeds(&world).last().unwrap(), "86460s finish #1.2 failed");
}

#[test]
fn without_an_interval_the_attempts_follow_at_once_until_ctrl_c() {
    let world = World::new();
    for _ in 0..3 {
        world.answer(1, status(503));
    }
    world.interrupt_at(3);
    let mut listener = Listener::new(&world);
    assert_eq!(
        fire_told(&world, &rule(9, 0), &mut listener)
            .unwrap()
            .status,
        Status::Interrupted
    );
    assert!(listener.countdown.is_empty());
    assert_eq!(deeds(&world).last().unwrap(), "3s finish #1.3 interrupted");
}

/// Somebody who presses Ctrl-C on reading of a refusal.
struct Impatient(Rc<World>);

impl Observer for Impatient {
    fn attempting(&mut self, _: &Delivery) {}

    fn accepted(&mut self, _: &Delivery) {}

    fn attempted(&mut self, _: &Attempted<'_>) {
        self.0.interrupt_at(0);
    }

    fn waiting(&mut self, _: Duration) {}
}

#[test]
fn ctrl_c_between_an_attempt_and_its_wait_is_not_lost_even_if_there_is_no_wait() {
    for seconds in [0, 60] {
        let world = World::new();
        world.answer(0, status(503));
        let delivery =
            fire_told(&world, &rule(5, seconds), &mut Impatient(Rc::clone(&world))).unwrap();
        assert_eq!(delivery.status, Status::Interrupted);
        assert_eq!(deeds(&world).last().unwrap(), "0s interrupt #1");
    }
}

fn fire_in_background(world: &Rc<World>, rule: &RetryPolicy) -> Delivery {
    let target = Target::from_url("https://example.com/").unwrap();
    let (event_type, action, endpoint, target) = ("account", "created", None, &target);
    let new = NewDelivery {
        event_type,
        action,
        event: EVENT,
        endpoint,
        target,
        wire: BodyFormat::Xml,
        rule,
    };
    let shipment = Shipment {
        next: NextBy::Schedule,
        ..world.shipment(rule)
    };
    world
        .courier()
        .fire(&new, &shipment, &mut Listener::new(world))
        .unwrap()
}

#[test]
fn in_the_background_one_attempt_is_made_and_the_next_one_is_scheduled_if_there_is_one() {
    let world = World::new();
    world.answer(2, status(503));
    let delivery = fire_in_background(&world, &rule(1, 60));
    assert_eq!(
        (delivery.status, delivery.next_attempt_at),
        (Status::Pending, Some(UnixMs(T0.0 + 62_000)))
    );
    assert_eq!(delivery.finished_at, None);
    let expected = [
        "0s accept #1",
        "0s told: accepted #1",
        "0s send #1.1",
        "2s finish #1.1 scheduled",
        "2s told: 1/2 503 Service Unavailable in 2s, next in 60s",
    ];
    assert_eq!(world.log(), expected);
    for (answer, retries, stands) in [(503, 0, Status::Failed), (200, 1, Status::Delivered)] {
        let world = World::new();
        world.answer(0, status(answer));
        assert_eq!(
            fire_in_background(&world, &rule(retries, 60)).status,
            stands
        );
        assert_eq!(world.sends(), 1);
    }
}

#[test]
fn ctrl_c_in_the_background_gives_up_what_is_under_way_and_schedules_nothing() {
    let world = World::new();
    world.interrupt_at(1);
    world.answer(2, no_response(ErrorKind::Interrupted));
    let delivery = fire_in_background(&world, &rule(5, 60));
    assert_eq!(
        (delivery.status, delivery.next_attempt_at),
        (Status::Interrupted, None)
    );
}

#[test]
fn who_was_suspended_before_the_request_left_asks_whether_it_is_still_to_leave() {
    let world = World::new();
    world.suspend("#1.1", 59);
    world.answer(0, status(200));
    fire(&world, &rule(0, 0)).unwrap();
    assert_eq!(
        deeds(&world),
        ["0s accept #1", "59s send #1.1", "59s finish #1.1 delivered"]
    );

    let world = World::new();
    world.suspend("#1.1", 1000);
    world.answer(TIMEOUT.as_secs(), status(200));
    fire(&world, &rule(0, 0)).unwrap();
    let expected = [
        "0s accept #1",
        "1000s renew #1",
        "1000s send #1.1",
        "1030s finish #1.1 delivered",
    ];
    assert_eq!(deeds(&world), expected);

    for (attempt, sends) in [("#1.1", 0), ("#1.2", 1)] {
        let world = World::new();
        world.suspend(attempt, 1000);
        world.take("renew #1");
        for _ in 0..sends {
            world.answer(0, status(503));
        }
        let error = fire(&world, &RetryPolicy::default()).unwrap_err();
        assert!(matches!(error, DeliverError::TakenOver(1)), "{error}");
        assert_eq!(world.sends(), sends, "the other one sends it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn there_are_as_many_attempts_as_it_takes_or_as_the_rule_allows(
        retries in 0..12u32,
        interval in 0..100u64,
        answers in prop::collection::vec((0..30u64, prop_oneof![Just(200u16), Just(202), Just(404), Just(503), Just(0)]), 12),
    ) {
        let world = World::new();
        let accepted = answers.iter().position(|(_, code)| *code == 200).map_or(usize::MAX, |first| first + 1);
        let allowed = usize::try_from(retries).unwrap() + 1;
        let expected = accepted.min(allowed);
        for (took, code) in answers.iter().take(expected) {
            world.answer(*took, if *code == 0 { no_response(ErrorKind::Connect) } else { status(*code) });
        }
        let delivery = fire(&world, &rule(retries, interval)).unwrap();
        prop_assert_eq!(world.sends(), expected);
        prop_assert_eq!(usize::try_from(delivery.attempt_count).unwrap(), expected);
        let ended = if accepted <= allowed { Status::Delivered } else { Status::Failed };
        prop_assert_eq!(delivery.status, ended);
        let requests: u64 = answers.iter().take(expected).map(|(took, _)| took).sum();
        let waits = interval * (u64::try_from(expected).unwrap() - 1);
        prop_assert_eq!(world.now().since(T0), Duration::from_secs(requests + waits));
    }
}
