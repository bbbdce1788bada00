//! Accept, begin, finish: each field is read as it was written, and no secret is stored.

use super::*;
use crate::delivery::filter::Filter;
use crate::delivery::switches::Switch;
use crate::delivery::target::{Param, Value};
use crate::delivery::{LastError, Status};
use crate::secret::{Secret, SecretSource};

pub const CANARY: &str = "CANARY-5f1c0ffee";

pub fn full_target() -> Target {
    let mut target =
        Target::from_url(&format!("https://example.com:8443/hook?own={CANARY}")).unwrap();
    target.set_param(Param::public("mode", "x & \"y\" \u{1F99C}"));
    target.set_param(Param::public("empty", ""));
    target.set_param(Param::secret("env", SecretSource::Env("TOKEN".into())));
    target.set_param(Param::secret(
        "file",
        SecretSource::File("/run/se cret".into()),
    ));
    target.set_param(Param::secret("lost", SecretSource::NotStored));
    target.set_header(Param::public("X-Public", "@env:NOT_A_REFERENCE"));
    target.set_header(Param::secret(
        "Authorization",
        SecretSource::Literal(Secret::new(format!("Bearer {CANARY}"))),
    ));
    target
}

#[test]
fn accepted_delivery_is_read_back_without_literal_secrets() {
    let bench = Bench::new();
    let target = full_target();
    let retry_policy = RetryPolicy {
        retries: 7,
        interval: Duration::from_millis(1500),
        schedule: "500ms,2h".parse().ok(),
        success: "200,202,5xx".parse().unwrap(),
    };
    let event = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><e>\xe9\x00\xff</e>\n";
    let new = NewDelivery {
        payload: Payload {
            kind: PayloadKind::Event(BodyFormat::Form),
            method: "PUT".to_owned(),
            ..Payload::unchecked_event("type \u{e9}", "it's", event)
        },
        endpoint: Some("prod".to_owned()),
        target: target.clone(),
        retry_policy: retry_policy.clone(),
    };
    let mut first = attempt(T0);
    first.attempt.insecure = true;
    first.attempt.sent_to = Some("http://127.0.0.1:9/?a=***".to_owned());
    let accepted = bench.open(1).accept(&new, &first).unwrap();
    assert_eq!(
        accepted.target, target,
        "the process that accepted it still needs the literal secrets"
    );

    let journal = bench.open(2);
    let mut kept = target.clone();
    for named in kept.params.iter_mut().chain(&mut kept.headers) {
        named.spelling = None;
        if let Value::Secret(source @ SecretSource::Literal(_)) = &mut named.value {
            *source = SecretSource::NotStored;
        }
    }
    let expected = Delivery {
        id: accepted.id,
        uuid: accepted.uuid.clone(),
        event_type: Some("type \u{e9}".to_owned()),
        action: Some("it's".to_owned()),
        endpoint: Some("prod".to_owned()),
        target: kept,
        payload_kind: PayloadKind::Event(BodyFormat::Form),
        capture: None,
        sequence: None,
        method: "PUT".to_owned(),
        retry_policy,
        status: Status::Pending,
        ignored_by: None,
        created_at: T0,
        finished_at: None,
        next_attempt_at: None,
        attempt_count: 1,
        last_error: None,
        is_owned: true,
        last_owner: Some("host1/1".to_owned()),
        listed_failure_time: None,
    };
    assert_eq!(journal.delivery(accepted.id).unwrap(), Some(expected));
    assert_eq!(journal.payload(accepted.id).unwrap(), event);
    let attempts = journal.attempts(accepted.id).unwrap();
    assert_eq!(attempts.len(), 1);
    let sent_to = Some("http://127.0.0.1:9/?a=***".to_owned());
    let open = crate::delivery::Attempt {
        number: 1,
        started_at: T0,
        duration: None,
        insecure: true,
        sent_to,
        outcome: None,
    };
    assert_eq!(attempts[0], open);
    assert_eq!(journal.delivery(accepted.id + 1).unwrap(), None);
    assert!(journal.payload(accepted.id + 1).is_err());
}

#[test]
fn an_attempts_outcome_comes_back_as_it_was_recorded() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let id = accept(&journal, T0).id;
    let mut outcomes = Vec::new();
    for (n, kind) in ErrorKind::ALL.into_iter().enumerate() {
        outcomes.push(Outcome {
            http_status: (n % 2 == 0).then_some(599),
            error: Some(AttemptError {
                kind,
                message: format!("words {n} \u{1b}[2J"),
            }),
            maybe_received: n % 3 == 0,
            response_headers: vec![("X-A".to_owned(), format!("{n}"))],
            response_body: (n % 2 == 0).then(|| vec![0, 0xff, b'\n', u8::try_from(n).unwrap()]),
            note: (n % 2 == 1).then(|| "cut short".to_owned()),
        });
    }
    outcomes.push(Outcome {
        response_headers: Vec::new(),
        response_body: Some(Vec::new()),
        note: Some("kept in part".into()),
        ..success()
    });
    let last = outcomes.len();
    for (n, outcome) in outcomes.iter().enumerate() {
        let number = u32::try_from(n + 1).unwrap();
        let next = if n + 1 == last {
            NextStep::Delivered
        } else {
            retry(at(60), at(120))
        };
        journal
            .finish_attempt(
                id,
                number,
                Duration::from_millis(u64::from(number)),
                outcome,
                next,
            )
            .unwrap();
        if n + 1 < last {
            let begun = journal
                .begin_attempt(id, ClaimCondition::Owned, &attempt(at(i64::from(number))))
                .unwrap();
            assert_eq!(begun, Some(number + 1));
        }
    }
    let attempts = bench.open(2).attempts(id).unwrap();
    assert_eq!(
        attempts
            .iter()
            .map(|a| a.outcome.clone().unwrap())
            .collect::<Vec<_>>(),
        outcomes
    );
    for (n, attempt) in (0u32..).zip(&attempts) {
        assert_eq!(
            (attempt.number, attempt.started_at),
            (n + 1, at(i64::from(n)))
        );
        assert_eq!(
            attempt.duration,
            Some(Duration::from_millis(u64::from(n) + 1))
        );
    }
}

#[test]
fn a_delivery_says_where_it_stands_after_each_outcome() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let outcome = refusal(503);
    let finish = |next| {
        let id = accept(&journal, T0).id;
        journal
            .finish_attempt(id, 1, Duration::from_millis(250), &outcome, next)
            .unwrap();
        let delivery = journal.delivery(id).unwrap().unwrap();
        (
            delivery.status,
            delivery.finished_at,
            delivery.next_attempt_at,
        )
    };
    let ended = Some(UnixMs(T0.0 + 250));
    assert_eq!(
        finish(NextStep::Delivered),
        (Status::Delivered, ended, None)
    );
    assert_eq!(finish(NextStep::Failed), (Status::Failed, ended, None));
    assert_eq!(
        finish(NextStep::Interrupted),
        (Status::Interrupted, ended, None)
    );
    let retry = retry(at(60), at(120));
    assert_eq!(finish(retry), (Status::Pending, None, Some(at(60))));
}

#[test]
fn last_error_is_the_newest_failure_and_survives_success() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let id = accept(&journal, T0).id;
    let last = || journal.delivery(id).unwrap().unwrap().last_error;
    let error = |status: u16| LastError {
        kind: ErrorKind::Status,
        http_status: Some(status),
        message: status.to_string(),
    };
    let again = retry(at(60), at(120));
    assert_eq!(last(), None);
    journal
        .finish_attempt(id, 1, Duration::ZERO, &refusal(500), again)
        .unwrap();
    assert_eq!(last(), Some(error(500)));
    journal
        .begin_attempt(id, ClaimCondition::Owned, &attempt(at(60)))
        .unwrap();
    assert_eq!(last(), Some(error(500)), "an open attempt has no error yet");
    journal
        .finish_attempt(id, 2, Duration::ZERO, &refusal(404), again)
        .unwrap();
    assert_eq!(last(), Some(error(404)));
    journal
        .begin_attempt(id, ClaimCondition::Owned, &attempt(at(120)))
        .unwrap();
    journal
        .finish_attempt(id, 3, Duration::ZERO, &success(), NextStep::Delivered)
        .unwrap();
    assert_eq!(last(), Some(error(404)));
}

#[test]
fn ids_are_never_used_again_even_after_the_last_ones_deletion() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let id = accept(&journal, T0).id;
    assert_eq!(id, 1);
    assert_eq!(journal.delete_ids(&[id], &Status::ALL).unwrap(), 1);
    assert_eq!(accept(&journal, T0).id, 2);
    drop(journal);
    let journal = bench.open(2);
    assert_eq!(journal.delete_ids(&[2], &Status::ALL).unwrap(), 1);
    assert_eq!(accept(&journal, T0).id, 3);
}

#[test]
fn uuids_are_of_version_7_and_sort_by_time() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    let uuids: Vec<String> = (0..50)
        .map(|ms| accept(&journal, UnixMs(T0.0 + ms)).uuid)
        .collect();
    assert!(uuids.is_sorted_by(|a, b| a < b), "{uuids:?}");
    for (ms, uuid) in (0u64..).zip(&uuids) {
        let parsed = uuid::Uuid::parse_str(uuid).unwrap();
        assert_eq!(
            (parsed.get_version_num(), parsed.to_string()),
            (7, uuid.clone())
        );
        let (seconds, nanos) = parsed.get_timestamp().unwrap().to_unix();
        assert_eq!(
            seconds * 1000 + u64::from(nanos) / 1_000_000,
            T0.0.unsigned_abs() + ms
        );
    }
    let same_moment: std::collections::HashSet<String> =
        (0..50).map(|_| accept(&journal, T0).uuid).collect();
    assert_eq!(same_moment.len(), 50);
}

#[test]
fn ignored_delivery_is_recorded_with_its_switch() {
    let bench = Bench::new();
    let target = full_target();
    let new = NewDelivery {
        payload: in_a_form(b"<event/>"),
        endpoint: Some("prod".to_owned()),
        target: target.clone(),
        ..new_delivery(b"<event/>")
    };
    // In a new journal, in one with an empty log, and in one with a long one.
    for (nth, switch) in (1..).zip(Switch::ALL.into_iter().chain(Switch::ALL)) {
        let ignored = bench.open(1).ignore(&new, switch, T0).unwrap();
        assert_eq!(
            (ignored.id, ignored.status, ignored.ignored_by),
            (nth, Status::Ignored, Some(switch))
        );
        let journal = bench.open(2);
        let kept = journal.delivery(nth).unwrap().unwrap();
        assert_eq!(
            (
                kept.status,
                kept.ignored_by,
                kept.payload_kind.event_format()
            ),
            (Status::Ignored, Some(switch), Some(BodyFormat::Form))
        );
        assert_eq!(
            (kept.attempt_count, kept.finished_at, kept.created_at),
            (0, None, T0)
        );
        assert_eq!(
            (
                journal.payload(nth).unwrap(),
                journal.attempts(nth).unwrap()
            ),
            (b"<event/>".to_vec(), vec![])
        );
        assert_eq!(journal.release_dead(T0.plus(LEASE * 1000)).unwrap(), 0);
        assert!(
            journal
                .ids(&Query::failed(Filter::default()))
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            journal
                .dynamic()
                .count(&Query::all(Some(Status::Ignored)))
                .unwrap(),
            usize::try_from(nth).unwrap()
        );
        assert!(
            journal.status_counts(T0, 1000).unwrap().counts.is_empty(),
            "ignored deliveries are not counted"
        );
        let turn = ClaimCondition::Failed { attempts: 0 };
        assert_eq!(
            journal.begin_attempt(nth, turn, &attempt(T0)).unwrap(),
            None
        );
    }
}
