//! Captures that become deliveries: in the same commit, sent in order if asked for, and kept until they are delivered.

use super::*;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::journal::{CaptureQuery, CaptureRules, Forward, StoredCapture};
use std::net::SocketAddr;
use std::sync::Barrier;

const BODY: &[u8] = b"{\"a\":1}";

/// Long after the captures.
const LATER: UnixMs = at(3600);

fn forward(url: &str, in_order: bool) -> Forward {
    Forward {
        endpoint: Some("crm".to_owned()),
        target: Target::from_url(url).unwrap(),
        retry_policy: RetryPolicy::default(),
        in_order,
    }
}

fn captured(journal: &impl AsJournal, path: &str, forwards: &[Forward]) -> i64 {
    let head = format!("PUT {path} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n");
    let client = SocketAddr::from(([127, 0, 0, 1], 4242));
    let mut capture = Capture::new(T0, client, head.into_bytes());
    capture.malformed = false;
    capture.response = CapturedResponse::default();
    let body = Body {
        bytes: BODY.to_vec(),
        wire: None,
    };
    let write = Write::Capture {
        capture: Arc::new(StoredCapture::new(0, "", None, capture, body)),
        forwards: forwards.into(),
    };
    match journal.as_journal().commit_at(T0, write).unwrap() {
        WriteResult::Captured { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

fn only_delivery(journal: &impl AsJournal, capture: i64) -> Delivery {
    let mut forwards = journal.as_journal().forwards(&[capture]).unwrap();
    assert_eq!(forwards.len(), 1);
    forwards.remove(0)
}

/// Makes the next attempt of a scheduled delivery.
fn send(journal: &impl AsJournal, id: i64, outcome: &Outcome, next: NextStep) {
    let journal = journal.as_journal();
    let attempts = journal.delivery(id).unwrap().unwrap().attempt_count;
    let condition = ClaimCondition::Scheduled { attempts };
    let number = journal.begin_attempt(id, condition, &attempt(LATER));
    let number = number.unwrap().expect("it is scheduled");
    let took = Duration::from_millis(5);
    assert!(
        journal
            .finish_attempt(id, number, took, outcome, next)
            .unwrap()
    );
}

fn deliver(journal: &impl AsJournal, id: i64) {
    send(journal, id, &success(), NextStep::Delivered);
}

fn due_forwards(journal: &impl AsJournal) -> Vec<i64> {
    let forwards = DueFilter {
        forwards: true,
        url: None,
    };
    NOW.set(LATER);
    let due = journal.as_journal().due_page(None, 10, forwards).unwrap();
    NOW.set(T0);
    due.iter().map(|due| due.version.id).collect()
}

fn due_in_sequence(journal: &impl AsJournal) -> Vec<i64> {
    NOW.set(LATER);
    let due = journal.as_journal().due_in_sequence().unwrap();
    NOW.set(T0);
    assert!(due.iter().all(|due| due.in_sequence));
    due.iter().map(|due| due.version.id).collect()
}

#[test]
fn a_capture_and_its_deliveries_are_one_commit() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let other = accept(&journal, T0);
    let targets = [
        forward("https://crm.example/hook?token=secret", false),
        forward("https://erp.example/", true),
    ];
    let capture = captured(&journal, "/inbox?x=1", &targets);
    let [first, second] = &journal.forwards(&[capture]).unwrap()[..] else {
        panic!("not two deliveries");
    };
    assert_eq!(
        (
            first.status,
            first.capture,
            first.attempt_count,
            first.next_attempt_at
        ),
        (Status::Pending, Some(capture), 0, Some(T0))
    );
    assert_eq!(
        (&*first.method, first.endpoint.as_deref()),
        ("PUT", Some("crm"))
    );
    assert_eq!(first.payload_kind.content_type(), "application/json");
    assert_eq!(
        first.target.to_string(),
        "https://crm.example/hook?token=***"
    );
    assert!(first.sequence.is_none() && second.sequence.is_some());
    assert_ne!(first.uuid, second.uuid);
    assert_eq!(journal.payload(first.id).unwrap(), BODY);
    assert_eq!(due_forwards(&journal), [first.id]);
    assert_eq!(due_in_sequence(&journal), [second.id]);
    assert_eq!(journal.pending_forwards(10).unwrap(), 2);
    assert_eq!(journal.pending_forwards(1).unwrap(), 1);
    assert_eq!(journal.delivery(other.id).unwrap().unwrap().capture, None);
    deliver(&journal, first.id);
    assert_eq!(journal.pending_forwards(10).unwrap(), 1);
}

#[test]
fn deliveries_are_counted_by_target() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let token = forward("https://crm.example/?token=secret", false);
    let targets = [
        token.clone(),
        // Which secret it was is not stored.
        forward("https://crm.example/?token=other", true),
        forward("https://crm.example/?key=secret", false),
        Forward {
            endpoint: None,
            ..token
        },
    ];
    captured(&journal, "/inbox/1", &targets);
    captured(&journal, "/inbox/2", &targets);
    NOW.set(LATER);
    let due = journal.due_page(None, 10, DueFilter::default()).unwrap();
    let sequence = journal.due_in_sequence().unwrap();
    NOW.set(T0);
    let counts = due.iter().chain(&sequence).map(|due| {
        let counted = |forwards| journal.scheduled_to(&due.target, forwards).unwrap();
        assert_eq!(counted(true), counted(false));
        counted(true)
    });
    assert_eq!(counts.collect::<Vec<_>>(), [4, 2, 2, 4, 2, 2, 4]);
}

#[test]
fn a_sequence_stops_behind_what_is_not_delivered() {
    let bench = Bench::new();
    let journal = bench.open(1);
    journal.create_bin("orders", false, T0).unwrap();
    let target = [forward("https://crm.example/", true)];
    let [first, second, third] = ["/a", "/b", "/c"].map(|path| {
        let capture = captured(&journal, path, &target);
        only_delivery(&journal, capture).id
    });
    // Another bin has a sequence of its own.
    let orders = captured(&journal, "/orders/1", &target);
    let orders = only_delivery(&journal, orders).id;
    assert_eq!(due_in_sequence(&journal), [first, orders]);
    assert!(due_forwards(&journal).is_empty());
    let condition = ClaimCondition::Scheduled { attempts: 0 };
    let begun = journal.begin_attempt(first, condition, &attempt(LATER));
    assert_eq!(begun.unwrap(), Some(1));
    assert_eq!(due_in_sequence(&journal), [orders], "it is being sent");
    let again = scheduled_at(at(10_000));
    let took = Duration::from_millis(5);
    journal
        .finish_attempt(first, 1, took, &refusal(503), again)
        .unwrap();
    assert_eq!(
        due_in_sequence(&journal),
        [orders],
        "it waits for its next attempt"
    );
    send(&journal, first, &refusal(503), NextStep::Failed);
    assert_eq!(due_in_sequence(&journal), [orders], "it has failed");
    let seen = DeliveryVersion::from(&journal.delivery(first).unwrap().unwrap());
    journal
        .dynamic()
        .delete(&[seen], &[Status::Failed])
        .unwrap();
    assert_eq!(due_in_sequence(&journal), [second, orders]);
    deliver(&journal, second);
    deliver(&journal, orders);
    assert_eq!(due_in_sequence(&journal), [third]);
    deliver(&journal, third);
    assert!(due_in_sequence(&journal).is_empty());
}

#[test]
fn deliveries_without_a_response_are_brought_forward() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let targets = ["https://crm.example/", "https://erp.example/"].map(|url| forward(url, false));
    let [unanswered, refused] = ["/a", "/b"].map(|path| captured(&journal, path, &targets));
    let mut timeout = refusal(503);
    timeout.http_status = None;
    timeout.error.as_mut().unwrap().kind = ErrorKind::Timeout;
    for (capture, outcome) in [(unanswered, timeout), (refused, refusal(503))] {
        for delivery in journal.forwards(&[capture]).unwrap() {
            send(&journal, delivery.id, &outcome, scheduled_at(at(10_000)));
        }
    }
    assert!(due_forwards(&journal).is_empty());
    assert!(journal.bring_forward("https://crm.example/").unwrap());
    let brought = journal.forwards(&[unanswered]).unwrap()[0].id;
    assert_eq!(due_forwards(&journal), [brought]);
    assert!(!journal.bring_forward("https://crm.example/").unwrap());
}

#[test]
fn captures_are_kept_until_they_are_delivered() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    let rules = CaptureRules {
        default_bin: "inbox".to_owned(),
        keep_per_bin: 1,
        ..CaptureRules::default()
    };
    journal.tune_for_captures(rules).unwrap();
    let target = [forward("https://crm.example/", false)];
    let forwarded = captured(&journal, "/a", &target);
    let delivery = only_delivery(&journal, forwarded).id;
    let plain = captured(&journal, "/b", &[]);
    let others = [captured(&journal, "/c", &[]), captured(&journal, "/d", &[])];
    let exists = |id| journal.capture(id).unwrap().is_some();
    assert!(exists(forwarded) && !exists(plain) && exists(others[1]));
    assert_eq!(journal.dynamic().delete_captures(&[forwarded]).unwrap(), 0);
    send(&journal, delivery, &refusal(503), NextStep::Failed);
    assert_eq!(journal.dynamic().clear_bin("inbox", i64::MAX).unwrap(), 1);
    assert_eq!(journal.payload(delivery).unwrap(), BODY);
    let condition = ClaimCondition::Failed { attempts: 1 };
    let number = journal.begin_attempt(delivery, condition, &attempt(LATER));
    assert_eq!(number.unwrap(), Some(2));
    assert_eq!(journal.dynamic().delete_captures(&[forwarded]).unwrap(), 0);
    let took = Duration::from_millis(5);
    journal
        .finish_attempt(delivery, 2, took, &success(), NextStep::Delivered)
        .unwrap();
    assert_eq!(journal.dynamic().delete_captures(&[forwarded]).unwrap(), 1);
    assert_eq!(journal.payload(delivery).unwrap(), b"");
    assert_eq!(only_delivery(&journal, forwarded).status, Status::Delivered);
}

#[test]
fn what_waits_in_one_bin_does_not_raise_the_limit_of_others() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    let other = bench.open(2);
    let rules = CaptureRules {
        default_bin: "inbox".to_owned(),
        keep_per_bin: 2,
        ..CaptureRules::default()
    };
    journal.tune_for_captures(rules).unwrap();
    journal.create_bin("orders", false, T0).unwrap();
    let target = [forward("https://crm.example/", false)];
    let count = |bin: &str| journal.bin(bin).unwrap().unwrap().request_count;
    let forwarded = [(); 6].map(|()| captured(&journal, "/orders/1", &target));
    for _ in 0..6 {
        captured(&journal, "/orders/2", &[]);
        captured(&journal, "/a", &[]);
    }
    assert_eq!(count("orders"), 8, "two besides those that wait");
    assert_eq!(count("inbox"), 2);
    for capture in &forwarded[..5] {
        deliver(&other, only_delivery(&journal, *capture).id);
    }
    captured(&journal, "/orders/3", &[]);
    assert_eq!(count("orders"), 3);
    assert!(journal.capture(forwarded[5]).unwrap().is_some());
}

#[test]
fn captures_without_deliveries_can_be_kept() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    let other = bench.open(2);
    let plain = [(); 4].map(|()| captured(&journal, "/a", &[]));
    let rules = CaptureRules {
        default_bin: "inbox".to_owned(),
        keep_per_bin: 2,
        keep_without_delivery: true,
        ..CaptureRules::default()
    };
    journal.tune_for_captures(rules).unwrap();
    let target = [forward("https://crm.example/", false)];
    let forwarded = [(); 5].map(|()| captured(&journal, "/b", &target));
    for capture in &forwarded {
        deliver(&other, only_delivery(&journal, *capture).id);
    }
    let last = captured(&journal, "/b", &target);
    let kept = journal.captures(&CaptureQuery::default()).unwrap();
    let kept: Vec<i64> = kept.iter().map(|record| record.id).collect();
    assert_eq!(kept, [&plain[..], &forwarded[3..], &[last]].concat());
}

#[test]
fn the_check_reports_undelivered_deliveries_without_captures() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let target = [forward("https://crm.example/", false)];
    let captures = [(); 3].map(|()| captured(&journal, "/a", &target));
    deliver(&journal, only_delivery(&journal, captures[0]).id);
    assert!(journal.check().unwrap().problems.is_empty());
    bench.lose_captures();
    assert_eq!(
        journal.check().unwrap().problems,
        ["2 undelivered deliveries forward captures that do not exist"]
    );
    let lost = only_delivery(&journal, captures[1]);
    assert_eq!(journal.payload(lost.id).unwrap(), b"");
}

#[test]
fn a_capture_that_is_deleted_meanwhile_gets_no_delivery() {
    const ROUNDS: usize = 10;
    const CAPTURES: usize = 50;
    let bench = Bench::new();
    let journal = bench.open(1);
    let forwards: Arc<[Forward]> = Arc::new([forward("https://crm.example/", false)]);
    for _ in 0..ROUNDS {
        let ids: Vec<i64> = (0..CAPTURES)
            .map(|_| captured(&journal, "/a", &[]))
            .collect();
        let write = |id: &i64| Write::Forward {
            capture: Arc::new(journal.capture(*id).unwrap().unwrap()),
            forwards: Arc::clone(&forwards),
        };
        let writes: Vec<Write> = ids.iter().map(write).collect();
        let begin = Arc::new(Barrier::new(2));
        let deleter = {
            let (other, begin, ids) = (bench.boxed(2), Arc::clone(&begin), ids.clone());
            std::thread::spawn(move || {
                begin.wait();
                other.delete_captures(&ids).unwrap();
            })
        };
        begin.wait();
        journal.commit(&writes).unwrap();
        deleter.join().unwrap();
        for delivery in journal.forwards(&ids).unwrap() {
            let capture = journal.capture(delivery.capture.unwrap()).unwrap();
            assert!(capture.is_some(), "#{} has no capture", delivery.id);
        }
    }
}
