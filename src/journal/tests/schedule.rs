//! The schedule: which deliveries are on it, who may claim them, and that it costs other deliveries nothing.

use super::*;
use crate::delivery::Status;
use crate::delivery::retry_policy::RetrySchedule;

/// A delivery with one failed attempt, due so many seconds after the beginning of the test.
pub fn scheduled(journal: &TestJournal, seconds: i64) -> i64 {
    let id = accept(journal, T0).id;
    finish(journal, id, 1, scheduled_at(at(seconds)));
    id
}

pub fn finish(journal: &TestJournal, id: i64, number: u32, next: NextStep) {
    let outcome = if next == NextStep::Delivered {
        success()
    } else {
        refusal(503)
    };
    journal
        .finish_attempt(id, number, Duration::from_millis(40), &outcome, next)
        .unwrap();
}

pub fn begin(journal: &TestJournal, id: i64, attempts: u32, seconds: i64) -> Option<u32> {
    journal
        .begin_attempt(
            id,
            ClaimCondition::Scheduled { attempts },
            &attempt(at(seconds)),
        )
        .unwrap()
}

pub fn ids(due: &[Due]) -> Vec<i64> {
    due.iter().map(|due| due.version.id).collect()
}

#[test]
fn what_is_due_comes_the_first_due_first_and_page_by_page() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let [third, first, second, later] =
        [30, 10, 10, 31].map(|seconds| scheduled(&journal, seconds));
    assert_eq!(journal.due(at(9), None, 10, None).unwrap(), []);
    assert_eq!(journal.next_due_after(at(9)).unwrap(), Some(at(10)));
    let due = journal.due(at(30), None, 10, None).unwrap();
    assert_eq!(ids(&due), [first, second, third]);
    let url = "https://example.com/hook".to_owned();
    assert_eq!(
        due[0],
        Due {
            at: at(10),
            version: DeliveryVersion {
                id: first,
                attempts: 1
            },
            url,
            target: due[1].target.clone(),
            in_sequence: false,
        }
    );
    let page = journal.due(at(30), None, 1, None).unwrap();
    assert_eq!(
        ids(&journal
            .due(at(30), Some((page[0].at, page[0].version.id)), 1, None)
            .unwrap()),
        [second],
        "both have the same due time"
    );
    assert_eq!(
        ids(&journal
            .due(at(30), Some((at(10), second)), 9, None)
            .unwrap()),
        [third]
    );
    let (all, none) = (
        Some("https://example.com/hook"),
        Some("https://example.com/"),
    );
    assert_eq!(
        ids(&journal.due(at(30), Some((at(10), first)), 9, all).unwrap()),
        [second, third]
    );
    assert_eq!(journal.due(at(30), None, 9, none).unwrap(), []);
    assert_eq!(
        journal.next_due_after(at(30)).unwrap(),
        Some(at(31)),
        "skips deliveries that are due"
    );
    assert_eq!(journal.next_due_after(at(31)).unwrap(), None);
    assert_eq!(journal.scheduled_ids().len(), 4);
    assert!(journal.is_scheduled(later));
}

#[test]
fn scheduled_delivery_is_pending_and_has_no_owner() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = scheduled(&one, 60);
    bench.host.kill(1);
    assert_eq!(
        two.release_dead(at(1_000_000)).unwrap(),
        0,
        "it has no owner that could have died"
    );
    let delivery = two.delivery(id).unwrap().unwrap();
    assert_eq!(
        (delivery.status, delivery.next_attempt_at),
        (Status::Pending, Some(at(60)))
    );
    assert_eq!(
        two.ids(&Query::failed(crate::delivery::filter::Filter::default()))
            .unwrap()
            .len(),
        0
    );
    let failed = two
        .begin_attempt(id, ClaimCondition::Failed { attempts: 1 }, &attempt(at(61)))
        .unwrap();
    let mine = one
        .begin_attempt(id, ClaimCondition::Owned, &attempt(at(61)))
        .unwrap();
    assert_eq!((failed, mine), (None, None));
    assert!(!one.renew(id, at(1000)).unwrap());
}

#[test]
fn of_two_who_found_it_due_only_the_first_may_send_it() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = scheduled(&one, 10);
    let found = (
        one.due(at(10), None, 9, None).unwrap(),
        two.due(at(10), None, 9, None).unwrap(),
    );
    assert_eq!(found.0, found.1);
    assert_eq!(begin(&one, id, 1, 10), Some(2));
    assert_eq!(begin(&two, id, 1, 10), None);
    assert_eq!(
        two.due(at(1000), None, 9, None).unwrap(),
        [],
        "a claimed delivery is not scheduled"
    );
    finish(&one, id, 2, scheduled_at(at(20)));
    assert_eq!(begin(&two, id, 1, 21), None, "it has a newer attempt");
    assert_eq!(begin(&two, id, 2, 21), Some(3));
    finish(&two, id, 3, NextStep::Delivered);
    assert_eq!(one.due(at(1000), None, 9, None).unwrap(), []);
}

#[test]
fn threads_that_take_what_is_due_all_at_once_take_each_once() {
    const SCHEDULED: usize = 60;
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    for _ in 0..SCHEDULED {
        scheduled(&journal, 1);
    }
    let taken: Vec<i64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (2..6)
            .map(|pid| {
                let journal = bench.open_fast(pid);
                scope.spawn(move || {
                    let due = journal.due(at(1), None, 1000, None).unwrap();
                    let mine = due
                        .into_iter()
                        .filter(|due| begin(&journal, due.version.id, 1, 1) == Some(2));
                    mine.map(|due| due.version.id).collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    let each: std::collections::BTreeSet<i64> = taken.iter().copied().collect();
    assert_eq!((taken.len(), each.len()), (SCHEDULED, SCHEDULED));
}

#[test]
fn abandoned_delivery_is_due_by_its_retry_schedule() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let schedule: RetrySchedule = "5s,300s".parse().unwrap();
    let new = NewDelivery {
        retry_policy: RetryPolicy {
            retries: schedule.retries(),
            schedule: Some(schedule),
            ..RetryPolicy::default()
        },
        ..new_delivery(b"<event/>")
    };
    let first = one.accept(&new, &attempt(T0)).unwrap().id;
    let second = one.accept(&new, &attempt(T0)).unwrap().id;
    finish(&one, second, 1, scheduled_at(at(7)));
    begin(&one, second, 1, 7);
    bench.host.kill(1);
    two.release_dead(at(8)).unwrap();
    let due = two.due(at(1000), None, 9, None).unwrap();
    let due: Vec<_> = due
        .iter()
        .map(|due| (due.version.id, due.at.0 - T0.0))
        .collect();
    assert_eq!(due, [(first, 5_000), (second, 307_000)]);
}

#[test]
fn abandoned_delivery_is_in_the_failed_list_and_due() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let under_way = accept(&one, T0).id;
    let waiting = accept(&one, at(5)).id;
    finish(&one, waiting, 1, retry(at(65), at(125)));
    let taken = scheduled(&one, 7);
    begin(&one, taken, 1, 7);
    bench.host.kill(1);
    assert_eq!(two.release_dead(at(8)).unwrap(), 3);
    let due = two.due(at(1000), None, 9, None).unwrap();
    assert_eq!(ids(&due), [under_way, waiting, taken]);
    assert_eq!(
        due.iter().map(|due| due.at.0 - T0.0).collect::<Vec<_>>(),
        [60_000, 65_040, 67_000]
    );
    for id in [under_way, waiting, taken] {
        let delivery = two.delivery(id).unwrap().unwrap();
        assert_eq!(
            (delivery.status, delivery.next_attempt_at),
            (Status::Interrupted, None)
        );
        assert!(
            !two.is_scheduled(id),
            "interrupted deliveries are not listed as scheduled"
        );
    }
    let last = &two.attempts(taken).unwrap()[1];
    assert!(last.outcome.as_ref().unwrap().maybe_received);
    assert_eq!(begin(&two, taken, 2, 67), Some(3));
    assert_eq!(
        two.delivery(taken).unwrap().unwrap().status,
        Status::Pending
    );
}

#[test]
fn stopped_or_exhausted_deliveries_are_never_due() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let (last, stopped) = (accept(&one, T0).id, accept(&one, T0).id);
    for number in 1..=5 {
        finish(&one, last, number, retry(at(1), at(100)));
        one.begin_attempt(last, ClaimCondition::Owned, &attempt(at(1)))
            .unwrap();
    }
    finish(&one, stopped, 1, retry(at(60), at(120)));
    one.interrupt(stopped).unwrap();
    bench.host.kill(1);
    assert_eq!(two.release_dead(at(8)).unwrap(), 1);
    assert_eq!(two.delivery(last).unwrap().unwrap().attempt_count, 6);
    assert_eq!(two.due(at(1_000_000), None, 9, None).unwrap(), []);
}

#[test]
fn suspended_owner_finds_its_lease_taken() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = scheduled(&one, 1);
    begin(&one, id, 1, 1);
    assert!(one.renew(id, at(200)).unwrap(), "it still owns the lease");
    assert_eq!(
        two.release_dead(at(200)).unwrap(),
        0,
        "the lease lasts as long as requested"
    );
    assert_eq!(two.release_dead(at(201)).unwrap(), 1);
    assert!(!one.renew(id, at(300)).unwrap());
    assert_eq!(begin(&two, id, 2, 202), Some(3));
    assert!(!one.renew(id, at(300)).unwrap(), "another process owns it");
    finish(&two, id, 3, scheduled_at(at(300)));
    finish(&one, id, 2, scheduled_at(at(400)));
    let delivery = two.delivery(id).unwrap().unwrap();
    assert_eq!(
        (delivery.next_attempt_at, delivery.attempt_count),
        (Some(at(300)), 3),
        "a late result does not change the due time"
    );
}

#[test]
fn a_late_success_takes_it_off_the_schedule() {
    let bench = Bench::new();
    let (one, two) = (bench.open(1), bench.open(2));
    let id = accept(&one, T0).id;
    two.release_dead(at(1000)).unwrap();
    begin(&two, id, 1, 1001);
    finish(&two, id, 2, scheduled_at(at(1100)));
    finish(&one, id, 1, NextStep::Delivered);
    assert_eq!(two.delivery(id).unwrap().unwrap().status, Status::Delivered);
    assert_eq!(two.due(at(2000), None, 9, None).unwrap(), []);
}

#[test]
fn cancel_moves_to_the_failed_list() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let (cancelled, changed) = (scheduled(&journal, 10), scheduled(&journal, 10));
    let seen = |id| DeliveryVersion { id, attempts: 1 };
    assert_eq!(
        journal
            .dynamic()
            .cancel(&[
                seen(cancelled),
                DeliveryVersion {
                    id: changed,
                    attempts: 2
                }
            ])
            .unwrap(),
        1
    );
    assert_eq!(ids(&journal.due(at(90), None, 9, None).unwrap()), [changed]);
    let delivery = journal.delivery(cancelled).unwrap().unwrap();
    assert_eq!(
        (delivery.status, delivery.finished_at),
        (Status::Interrupted, Some(UnixMs(T0.0 + 40)))
    );
    assert_eq!(delivery.last_error.unwrap().http_status, Some(503));
    assert_eq!(begin(&journal, cancelled, 1, 11), None);
}
