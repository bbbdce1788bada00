//! Leases: which process may send, how it loses a lease, and which results it can record afterwards.

use super::*;
use crate::delivery::{Attempt, Status};

pub const AGAIN: NextStep = retry(UnixMs(T0.0 + 60_000), UnixMs(T0.0 + 120_000));

pub fn begin(journal: &TestJournal, id: i64, turn: ClaimCondition, seconds: i64) -> Option<u32> {
    journal
        .begin_attempt(id, turn, &attempt(at(seconds)))
        .unwrap()
}

pub fn finish(journal: &TestJournal, id: i64, number: u32, outcome: &Outcome, next: NextStep) {
    journal
        .finish_attempt(id, number, Duration::from_millis(40), outcome, next)
        .unwrap();
}

pub fn read(journal: &TestJournal, id: i64) -> (Delivery, Vec<Attempt>) {
    (
        journal.delivery(id).unwrap().unwrap(),
        journal.attempts(id).unwrap(),
    )
}

#[test]
fn of_two_who_read_a_failed_delivery_only_the_first_may_send_it() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    finish(&one, id, 1, &refusal(500), NextStep::Failed);
    let seen = ClaimCondition::Failed { attempts: 1 };
    assert_eq!(begin(&one, id, seen, 10), Some(2));
    assert_eq!(
        begin(&two, id, seen, 11),
        None,
        "another process is sending it"
    );
    finish(&one, id, 2, &refusal(500), NextStep::Failed);
    let before = read(&two, id);
    assert_eq!(begin(&two, id, seen, 12), None, "it has a newer attempt");
    assert_eq!(read(&two, id), before);
    assert_eq!(
        begin(&two, id, ClaimCondition::Failed { attempts: 2 }, 13),
        Some(3)
    );
    let (delivery, attempts) = read(&one, id);
    assert_eq!(
        (
            delivery.status,
            delivery.attempt_count,
            delivery.finished_at
        ),
        (Status::Pending, 3, None)
    );
    assert_eq!(attempts[2].started_at, at(13));
}

#[test]
fn only_failed_list_deliveries_can_be_retried() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    let seen = ClaimCondition::Failed { attempts: 1 };
    assert_eq!(begin(&two, id, seen, 1), None);
    finish(&one, id, 1, &success(), NextStep::Delivered);
    assert_eq!(begin(&two, id, seen, 2), None);
    assert_eq!(one.attempts(id).unwrap().len(), 1);
    one.delete_ids(&[id], &[Status::Delivered]).unwrap();
    assert_eq!(begin(&two, id, seen, 3), None);
}

#[test]
fn who_lost_the_lease_may_not_go_on() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    finish(&one, id, 1, &refusal(500), AGAIN);
    assert_eq!(
        begin(&two, id, ClaimCondition::Owned, 30),
        None,
        "it never owned the lease"
    );
    assert_eq!(two.release_dead(at(121)).unwrap(), 1);
    assert_eq!(begin(&one, id, ClaimCondition::Owned, 122), None);
    assert_eq!(
        begin(&two, id, ClaimCondition::Failed { attempts: 1 }, 123),
        Some(2)
    );
    assert_eq!(begin(&one, id, ClaimCondition::Owned, 124), None);
    one.interrupt(id).unwrap();
    assert_eq!(
        read(&one, id).0.status,
        Status::Pending,
        "only the owner can release it"
    );
}

#[test]
fn delivery_of_a_dead_owner_is_interrupted_maybe_received() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    finish(&one, id, 1, &refusal(500), AGAIN);
    begin(&one, id, ClaimCondition::Owned, 60);
    let uuid = read(&one, id).0.uuid;
    assert_eq!(two.release_dead(at(61)).unwrap(), 0, "the owner is alive");
    bench.host.kill(1);
    assert_eq!(two.release_dead(at(61)).unwrap(), 1);
    assert_eq!(two.release_dead(at(61)).unwrap(), 0, "already interrupted");

    let (delivery, attempts) = read(&two, id);
    assert_eq!(
        (delivery.status, delivery.uuid),
        (Status::Interrupted, uuid)
    );
    assert_eq!(
        delivery.finished_at,
        Some(at(60)),
        "when the last attempt began"
    );
    assert_eq!(delivery.last_error.unwrap().kind, ErrorKind::Interrupted);
    let end = attempts[1].outcome.as_ref().unwrap();
    assert!(end.maybe_received);
    assert_eq!(
        end.error.as_ref().unwrap().message,
        "its process ended before a response was recorded"
    );
    assert_eq!(attempts[1].duration, None);
    assert_eq!(
        attempts[0].outcome,
        Some(refusal(500)),
        "the recorded outcome is kept"
    );
}

#[test]
fn delivery_abandoned_between_attempts_keeps_its_last_error() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let (dies, stops) = (accept(&one, T0).id, accept(&one, T0).id);
    for id in [dies, stops] {
        finish(&one, id, 1, &refusal(503), AGAIN);
    }
    one.interrupt(stops).unwrap();
    bench.host.kill(1);
    assert_eq!(two.release_dead(at(30)).unwrap(), 1);
    for id in [dies, stops] {
        let (delivery, attempts) = read(&two, id);
        assert_eq!(
            (delivery.status, delivery.next_attempt_at),
            (Status::Interrupted, None)
        );
        assert_eq!(delivery.finished_at, Some(UnixMs(T0.0 + 40)));
        assert_eq!(delivery.last_error.unwrap().http_status, Some(503));
        assert_eq!(attempts[0].outcome, Some(refusal(503)));
    }
}

#[test]
fn lease_lasts_to_its_last_millisecond() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let end = T0.plus(LEASE);
    let after = UnixMs(end.0 + 1);
    let id = accept(&one, T0).id;
    assert_eq!(two.release_dead(end).unwrap(), 0);
    assert_eq!(two.release_dead(after).unwrap(), 1);
    assert_eq!(read(&two, id).0.status, Status::Interrupted);
}

#[test]
fn only_pending_deliveries_are_ever_released() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let ends = [NextStep::Delivered, NextStep::Failed, NextStep::Interrupted];
    let before: Vec<_> = ends
        .into_iter()
        .map(|next| {
            let id = accept(&one, T0).id;
            finish(
                &one,
                id,
                1,
                &if next == NextStep::Delivered {
                    success()
                } else {
                    refusal(500)
                },
                next,
            );
            read(&one, id)
        })
        .collect();
    bench.host.kill(1);
    assert_eq!(two.release_dead(at(1_000_000)).unwrap(), 0);
    assert_eq!(
        before
            .iter()
            .map(|(d, _)| read(&two, d.id))
            .collect::<Vec<_>>(),
        before
    );
}

#[test]
fn recorded_outcome_replaces_a_presumed_interruption() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    for (outcome, next, status) in [
        (success(), NextStep::Delivered, Status::Delivered),
        (refusal(404), NextStep::Failed, Status::Failed),
        (refusal(404), AGAIN, Status::Pending),
    ] {
        let id = accept(&one, T0).id;
        assert_eq!(two.release_dead(at(1000)).unwrap(), 1);
        finish(&one, id, 1, &outcome, next);
        let (delivery, attempts) = read(&two, id);
        assert_eq!(delivery.status, status);
        assert_eq!(
            delivery.last_error.and_then(|e| e.http_status),
            outcome.error.as_ref().map(|_| 404)
        );
        assert_eq!(
            (attempts[0].outcome.as_ref(), attempts[0].duration),
            (Some(&outcome), Some(Duration::from_millis(40)))
        );
        if next == AGAIN {
            assert_eq!(
                begin(&one, id, ClaimCondition::Owned, 60),
                Some(2),
                "it owns the lease again"
            );
        }
        two.delete_ids(&[id], &Status::ALL).unwrap();
    }
}

#[test]
fn a_late_outcome_does_not_disturb_the_process_that_took_over() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    two.release_dead(at(1000)).unwrap();
    assert_eq!(
        begin(&two, id, ClaimCondition::Failed { attempts: 1 }, 1001),
        Some(2)
    );
    finish(&one, id, 1, &refusal(404), AGAIN);
    let (delivery, attempts) = read(&two, id);
    assert_eq!(
        (delivery.status, delivery.next_attempt_at),
        (Status::Pending, None)
    );
    assert_eq!(attempts[0].outcome, Some(refusal(404)));
    assert_eq!(attempts[1].outcome, None);
    assert_eq!(begin(&one, id, ClaimCondition::Owned, 1002), None);
    assert_eq!(
        two.release_dead(at(1001).plus(LEASE)).unwrap(),
        0,
        "the new owner's lease has not expired"
    );
}

#[test]
fn late_failure_does_not_undo_a_newer_attempts_result() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    for late in [NextStep::Failed, NextStep::Interrupted, AGAIN] {
        for (outcome, next, status) in [
            (success(), NextStep::Delivered, Status::Delivered),
            (refusal(500), NextStep::Failed, Status::Failed),
        ] {
            let id = accept(&one, T0).id;
            two.release_dead(at(1000)).unwrap();
            begin(&two, id, ClaimCondition::Failed { attempts: 1 }, 1001);
            finish(&two, id, 2, &outcome, next);
            let before = read(&two, id).0;
            finish(&one, id, 1, &refusal(404), late);
            let (delivery, attempts) = read(&two, id);
            assert_eq!(
                (delivery.status, delivery.finished_at),
                (status, before.finished_at),
                "{late:?}"
            );
            assert_eq!(attempts[0].outcome, Some(refusal(404)));
            two.delete_ids(&[id], &Status::ALL).unwrap();
        }
    }
}

#[test]
fn late_success_removes_a_delivery_from_the_failed_list() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    two.release_dead(at(1000)).unwrap();
    begin(&two, id, ClaimCondition::Failed { attempts: 1 }, 1001);
    finish(&two, id, 2, &refusal(500), NextStep::Failed);
    finish(&one, id, 1, &success(), NextStep::Delivered);
    let (delivery, _) = read(&two, id);
    assert_eq!(delivery.status, Status::Delivered);
    assert_eq!(
        begin(&two, id, ClaimCondition::Failed { attempts: 2 }, 1002),
        None
    );
}

#[test]
fn first_recorded_success_sets_the_delivery_time() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    two.release_dead(at(1000)).unwrap();
    begin(&two, id, ClaimCondition::Failed { attempts: 1 }, 1001);
    finish(&two, id, 2, &success(), NextStep::Delivered);
    let (before, _) = read(&two, id);
    finish(&one, id, 1, &success(), NextStep::Delivered);
    let (delivery, attempts) = read(&two, id);
    assert_eq!(
        before.last_error.map(|error| error.kind),
        Some(ErrorKind::Interrupted)
    );
    assert_eq!(
        delivery,
        Delivery {
            last_error: None,
            ..before
        }
    );
    assert_eq!(attempts[0].outcome, Some(success()));
}

/// A host that runs a function on the first liveness check, then reports every process as dead.
pub struct Meddler(std::cell::RefCell<Option<Box<dyn FnOnce() + Send>>>);

impl Host for Meddler {
    fn now(&self) -> UnixMs {
        T0
    }

    fn current(&self) -> String {
        "process 9".to_owned()
    }

    fn label(&self) -> String {
        "host/9".to_owned()
    }

    fn is_dead(&self, _: &str) -> bool {
        if let Some(meddle) = self.0.take() {
            meddle();
        }
        true
    }
}

#[test]
fn renewed_lease_prevents_interruption() {
    for (next, outcome) in [(AGAIN, refusal(503)), (NextStep::Delivered, success())] {
        let bench = Bench::new();
        let one = bench.open(1);
        let (id, other) = (accept(&one, T0).id, accept(&one, T0).id);
        let came_to = outcome.clone();
        let meddle = Box::new(move || finish(&one, id, 1, &came_to, next));
        let meddler = Meddler(std::cell::RefCell::new(Some(meddle)));
        let watcher = bench.open_on(Box::new(meddler));
        assert_eq!(
            watcher.release_dead(at(1)).unwrap(),
            1,
            "only the unfinished delivery"
        );
        assert_eq!(read(&watcher, other).0.status, Status::Interrupted);
        let (delivery, attempts) = read(&watcher, id);
        assert_eq!(
            delivery.status,
            if next == AGAIN {
                Status::Pending
            } else {
                Status::Delivered
            }
        );
        assert_eq!(attempts[0].outcome, Some(outcome));
    }
}

#[test]
fn a_late_success_counts_even_if_who_tried_again_dies() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    two.release_dead(at(1000)).unwrap();
    begin(&two, id, ClaimCondition::Failed { attempts: 1 }, 1001);
    finish(&one, id, 1, &success(), NextStep::Delivered);
    one.release_dead(at(10_000)).unwrap();
    assert_eq!(read(&one, id).0.status, Status::Delivered);
}

#[test]
fn outcome_of_a_deleted_delivery_is_not_reported_as_recorded() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    two.release_dead(at(1000)).unwrap();
    two.delete_ids(&[id], &[Status::Interrupted]).unwrap();
    let recorded = one
        .finish_attempt(id, 1, Duration::ZERO, &success(), NextStep::Delivered)
        .unwrap();
    assert!(!recorded, "the delivery was deleted");
    assert_eq!(one.attempts(id).unwrap(), []);
}

#[test]
fn a_late_success_counts_even_if_the_next_attempt_fails() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    two.release_dead(at(1000)).unwrap();
    begin(&two, id, ClaimCondition::Failed { attempts: 1 }, 1001);
    finish(&one, id, 1, &success(), NextStep::Delivered);
    assert_eq!(
        read(&two, id).0.status,
        Status::Pending,
        "the other process is still sending it"
    );
    finish(&two, id, 2, &refusal(503), NextStep::Failed);
    let (delivery, attempts) = read(&two, id);
    assert_eq!(delivery.status, Status::Delivered);
    assert_eq!(
        delivery.finished_at,
        attempts[0]
            .duration
            .map(|took| attempts[0].started_at.plus(took))
    );
}
