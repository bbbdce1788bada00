//! Imported deliveries: each is added once and recognised by its uuid.

use super::*;
use crate::delivery::{ErrorKind, LastError, Status};
use crate::event::BodyFormat;

/// Imports these; returns how many were added.
pub fn import(journal: &TestJournal, uuids: &[&str]) -> usize {
    let (all, result) = try_import(journal, uuids);
    result.unwrap();
    assert_eq!(all.done, uuids.len());
    all.changed
}

pub fn try_import(journal: &TestJournal, uuids: &[&str]) -> (Slice, Result<(), JournalError>) {
    let error = LastError {
        kind: ErrorKind::Status,
        http_status: Some(503),
        message: "503".to_owned(),
    };
    let imports = uuids.iter().map(|&uuid| Import {
        uuid: uuid.to_owned(),
        failed_at: T0,
        listed_failure_time: "then".to_owned(),
        error: error.clone(),
        delivery: NewDelivery {
            payload: in_a_form(b"<event/>"),
            ..new_delivery(b"<event/>")
        },
    });
    journal.dynamic().import(&imports.collect::<Vec<_>>())
}

#[test]
fn each_is_taken_once_until_it_is_deleted() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    assert_eq!(import(&journal, &["a", "b", "a"]), 2);
    assert_eq!(import(&bench.open_fast(2), &["b", "c"]), 1);
    assert_eq!(
        import(&journal, &["B"]),
        0,
        "the uuid's case does not matter"
    );
    let delivery = journal.delivery_by_uuid("b").unwrap().unwrap();
    assert_eq!(
        (
            delivery.status,
            delivery.payload_kind.event_format(),
            delivery.attempt_count
        ),
        (Status::Failed, Some(BodyFormat::Form), 1)
    );
    assert_eq!(
        (
            delivery.finished_at,
            delivery.last_error.unwrap().http_status
        ),
        (Some(T0), Some(503))
    );
    assert_eq!(journal.attempts(delivery.id).unwrap().len(), 1);
    assert_eq!(
        journal
            .delete_ids(&[delivery.id], &[Status::Failed])
            .unwrap(),
        1
    );
    assert!(journal.delivery_by_uuid("b").unwrap().is_none());
    assert_eq!(import(&journal, &["b"]), 1);
    assert!(journal.check().unwrap().problems.is_empty());
}

#[test]
fn what_this_journal_accepted_itself_is_known_as_well() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    let own = accept(&journal, T0);
    assert_eq!(
        import(&journal, &[&own.uuid, &own.uuid.to_uppercase(), "a"]),
        1
    );
    assert_eq!(
        journal.delivery_by_uuid(&own.uuid).unwrap().unwrap().id,
        own.id
    );
    assert!(
        accept(&journal, T0).id > journal.delivery_by_uuid("a").unwrap().unwrap().id,
        "ids continue"
    );
}
