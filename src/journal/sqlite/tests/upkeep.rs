//! Deleting and checking.

use super::*;
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::delivery::switches::Switch;

/// One delivery of each status, in the order of [`Status::ALL`].
fn one_of_each(journal: &SqliteJournal) -> Vec<i64> {
    let ends = [
        None,
        Some(NextStep::Delivered),
        Some(NextStep::Failed),
        Some(NextStep::Interrupted),
    ];
    ends.into_iter()
        .map(|end| {
            let id = accept(journal, T0).id;
            if let Some(next) = end {
                journal
                    .finish_attempt(id, 1, Duration::ZERO, &refusal(500), next)
                    .unwrap();
            }
            id
        })
        .collect()
}

#[test]
fn delete_removes_only_given_ids_and_statuses() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let ids = one_of_each(&journal);
    let others = one_of_each(&journal);
    assert_eq!(journal.delete_ids(&ids, &[]).unwrap(), 0);
    assert_eq!(journal.delete_ids(&[], &Status::ALL).unwrap(), 0);
    assert_eq!(journal.delete_ids(&[99], &Status::ALL).unwrap(), 0);
    assert_eq!(
        journal
            .delete_ids(&ids, &[Status::Failed, Status::Interrupted])
            .unwrap(),
        2
    );
    let left = |ids: &[i64]| {
        ids.iter()
            .map(|id| journal.delivery(*id).unwrap().is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&ids), [true, true, false, false]);
    assert_eq!(left(&others), [true; 4]);
    assert_eq!(journal.attempts(ids[0]).unwrap().len(), 1);
    assert!(journal.attempts(ids[2]).unwrap().is_empty());
    assert_eq!(journal.check().unwrap().attempts, 6);
}

#[test]
fn what_was_tried_again_since_it_was_seen_is_not_deleted() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    let id = accept(&journal, T0).id;
    journal
        .finish_attempt(id, 1, Duration::ZERO, &refusal(503), NextStep::Failed)
        .unwrap();
    let seen = journal
        .delivery_versions(&Query::failed(Filter::default()))
        .unwrap();
    journal
        .begin_attempt(id, ClaimCondition::Failed { attempts: 1 }, &attempt(at(1)))
        .unwrap();
    journal
        .finish_attempt(id, 2, Duration::ZERO, &refusal(503), NextStep::Failed)
        .unwrap();
    assert_eq!(
        journal.dynamic().delete(&seen, &[Status::Failed]).unwrap(),
        0,
        "it has failed again since"
    );
    assert_eq!(journal.delete_ids(&[id], &[Status::Failed]).unwrap(), 1);
}

#[test]
fn deleting_returns_pages_to_the_file_system() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    // The WAL is not restarted, which would hide commits: neither by SQLite nor, as it stays short, by the bulk change.
    journal
        .conn
        .pragma_update(None, "wal_autocheckpoint", 0)
        .unwrap();
    let pages = || {
        let number = |pragma: &str| {
            journal
                .conn
                .query_row(pragma, [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        (number("PRAGMA page_count"), number("PRAGMA freelist_count"))
    };
    accept(&journal, T0);
    let small = pages();
    let ids: Vec<i64> = (0..8)
        .map(|_| {
            let id = accept_event(&journal, T0, &[b'x'; 50_000]).id;
            journal
                .finish_attempt(id, 1, Duration::ZERO, &refusal(500), NextStep::Failed)
                .unwrap();
            id
        })
        .collect();
    assert!(pages().0 > small.0 + 25);
    let before = commits_in_wal(&bench.path());
    assert_eq!(journal.delete_ids(&ids, &[Status::Failed]).unwrap(), 8);
    assert!(
        pages().0 <= small.0 + 2 && pages().1 == 0,
        "{:?} after {small:?}",
        pages()
    );
    let commits = commits_in_wal(&bench.path()) - before;
    assert!(commits <= 3, "{commits}");
}

#[test]
fn a_sound_journal_has_no_problems_and_every_status_is_counted() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let health = journal.check().unwrap();
    assert_eq!((health.attempts, health.problems.len()), (0, 0));
    assert_eq!(health.counts, Status::ALL.map(|status| (status, 0)));
    one_of_each(&journal);
    accept(&journal, T0);
    let target = Target::from_url("https://example.com/hook").unwrap();
    let new = NewDelivery {
        target: target.clone(),
        ..new_delivery(b"<event/>")
    };
    journal.ignore(&new, Switch::Events, T0).unwrap();
    let health = journal.check().unwrap();
    assert_eq!((health.attempts, health.problems.len()), (5, 0));
    let counts = Status::ALL.map(|status| (status, if status == Status::Pending { 2 } else { 1 }));
    assert_eq!(health.counts, counts);
}

#[test]
fn attempts_that_belong_to_nothing_are_a_problem() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let ids = one_of_each(&journal);
    let raw = bench.raw();
    raw.pragma_update(None, "foreign_keys", false).unwrap();
    raw.execute(
        "DELETE FROM deliveries WHERE id IN (?1, ?2)",
        [ids[0], ids[1]],
    )
    .unwrap();
    let health = journal.check().unwrap();
    assert_eq!(
        health.problems,
        ["2 attempts refer to deliveries that do not exist"]
    );
    assert_eq!(health.attempts, 4);
}

/// Checkpoints the whole WAL; returns the offset of the first page of a table or index.
fn settled(bench: &Bench, name: &str) -> usize {
    let raw = bench.raw();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let size: u32 = raw
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .unwrap();
    let root: u32 = raw
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .unwrap();
    ((root - 1) * size) as usize
}

#[test]
fn an_index_that_lost_its_rows_is_found_by_the_check() {
    let bench = Bench::new();
    one_of_each(&bench.open(1));
    let page = settled(&bench, "deliveries_failed");
    let mut bytes = std::fs::read(bench.path()).unwrap();
    assert_eq!(bytes[page], 10, "a leaf of an index");
    bytes[page + 3..page + 5].fill(0);
    std::fs::write(bench.path(), bytes).unwrap();
    let journal = bench.open(1);
    let health = journal.check().unwrap();
    let missing = health
        .problems
        .iter()
        .filter(|p| p.contains("missing from index deliveries_failed"))
        .count();
    assert_eq!(missing, 2, "{:?}", health.problems);
}

#[test]
fn a_journal_whose_pages_are_garbage_is_called_damaged_by_name() {
    let bench = Bench::new();
    one_of_each(&bench.open(1));
    let page = settled(&bench, "deliveries");
    let mut bytes = std::fs::read(bench.path()).unwrap();
    bytes[page..page + 512].fill(0xa5);
    std::fs::write(bench.path(), bytes).unwrap();
    let journal = bench.open(1);
    let words = match journal.ids(&Query::all(None)) {
        Err(e) => e.to_string(),
        Ok(ids) => panic!("read {ids:?} from garbage"),
    };
    assert!(
        words.contains(" is damaged: ") && words.contains(&*bench.path().to_string_lossy()),
        "{words}"
    );
    let health = journal.check();
    assert!(health.is_err() || !health.unwrap().problems.is_empty());
}
