//! What every implementation of [`Journal`] must do. The implementations' own tests include these files.

#[path = "../../../tests/it/support/postgres.rs"]
pub mod postgres_server;
pub mod support;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::delivery::Outcome;
use crate::delivery::payload::Payload;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Target;

/// Runs a test with two connections to a new journal of each implementation.
fn with_journals(test: impl Fn(&dyn Journal, &dyn Journal)) {
    let folder = tempfile::tempdir().unwrap();
    let open = || open(&folder.path().join("journal.db")).unwrap();
    test(&*open(), &*open());
}

fn new_delivery() -> NewDelivery {
    NewDelivery {
        payload: Payload::unchecked_event("account", "created", b"<event/>"),
        endpoint: None,
        target: Target::from_url("https://example.com/hook").unwrap(),
        retry_policy: RetryPolicy::default(),
    }
}

fn new_attempt() -> NewAttempt {
    NewAttempt {
        insecure: false,
        sent_to: None,
        lease: Duration::from_secs(60),
    }
}

fn claim(id: i64, condition: ClaimCondition) -> Write {
    Write::Begin(Claim {
        id,
        condition,
        attempt: new_attempt(),
    })
}

fn success(id: i64, number: u32) -> Write {
    let outcome = Outcome {
        http_status: Some(200),
        error: None,
        maybe_received: false,
        response_headers: Vec::new(),
        response_body: None,
        note: None,
    };
    Write::Finish(AttemptResult {
        id,
        number,
        sent_after: Duration::ZERO,
        duration: Duration::from_millis(5),
        outcome: Arc::new(outcome),
        next: NextStep::Delivered,
    })
}

#[test]
fn a_group_has_one_result_per_write() {
    with_journals(|journal, other| {
        let accept = Write::Accept(new_delivery(), new_attempt());
        let results = journal.commit(&[accept.clone(), accept]).unwrap();
        let [WriteResult::Delivery(first), WriteResult::Delivery(second)] = &results[..] else {
            panic!("{results:?}");
        };
        assert_eq!((first.attempt_count, second.id), (1, first.id + 1));
        let refused = other
            .commit(&[claim(first.id, ClaimCondition::Failed { attempts: 1 })])
            .unwrap();
        assert!(matches!(refused[..], [WriteResult::Refused]));
        let results = journal
            .commit(&[
                success(first.id, 1),
                success(99, 1),
                claim(second.id, ClaimCondition::Owned),
                Write::Renew {
                    ids: vec![first.id, second.id],
                    lease: Duration::from_secs(60),
                },
            ])
            .unwrap();
        assert!(
            matches!(
                &results[..],
                [
                    WriteResult::Done,
                    WriteResult::Deleted,
                    WriteResult::Claimed(2),
                    WriteResult::Renewed(ids)
                ] if *ids == [second.id]
            ),
            "{results:?}"
        );
        let status = other.delivery(first.id).unwrap().unwrap().status;
        assert_eq!(status, Status::Delivered);
    });
}
