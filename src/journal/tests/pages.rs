//! Pages of deliveries, newest first, and counts by status.

use super::*;
use crate::delivery::Status;
use crate::journal::{DeliveryList, Query};

/// Five deliveries, accepted a minute apart. The third was delivered, the others failed, the first one last.
pub fn five(journal: &TestJournal) -> Vec<i64> {
    let ids: Vec<i64> = (0..5).map(|n| accept(journal, at(n * 60)).id).collect();
    for (n, took) in [(1, 1), (2, 1), (3, 1), (4, 1), (0, 900)] {
        let (outcome, next) = if n == 2 {
            (success(), NextStep::Delivered)
        } else {
            (refusal(503), NextStep::Failed)
        };
        journal
            .finish_attempt(ids[n], 1, Duration::from_secs(took), &outcome, next)
            .unwrap();
    }
    ids
}

pub fn page(journal: &TestJournal, failed: bool, below: Option<&Delivery>) -> Vec<Delivery> {
    let list = match failed {
        true => DeliveryList::NewestFailed,
        false => DeliveryList::All(None),
    };
    let query = Query {
        list,
        ..Query::all(None)
    };
    journal.page(&query, below.map(Cursor::after), 2).unwrap()
}

pub fn ids(page: &[Delivery]) -> Vec<i64> {
    page.iter().map(|delivery| delivery.id).collect()
}

#[test]
fn pages_follow_one_another_the_newest_first() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    let made = five(&journal);
    let first = page(&journal, false, None);
    let second = page(&journal, false, first.last());
    let third = page(&journal, false, second.last());
    assert_eq!(
        [ids(&first), ids(&second), ids(&third)],
        [
            vec![made[4], made[3]],
            vec![made[2], made[1]],
            vec![made[0]]
        ]
    );

    let first = page(&journal, true, None);
    let second = page(&journal, true, first.last());
    assert_eq!(
        [ids(&first), ids(&second)],
        [vec![made[4], made[3]], vec![made[1], made[0]]],
        "the last that was accepted first"
    );
    assert!(page(&journal, true, second.last()).is_empty());
}

#[test]
fn outcomes_are_counted_by_when_deliveries_were_accepted() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    five(&journal);
    accept(&journal, at(240));
    let counted = journal.status_counts(at(60), 120_000).unwrap();
    let (failed, delivered, pending) = (Status::Failed, Status::Delivered, Status::Pending);
    assert_eq!(
        counted.counts,
        [
            (0, delivered, 1),
            (0, failed, 1),
            (1, failed, 2),
            (1, pending, 1)
        ]
    );
    assert!(!counted.cut);
    assert!(
        journal
            .status_counts(at(1000), 1)
            .unwrap()
            .counts
            .is_empty()
    );
}

#[test]
fn outcomes_are_cut_if_an_uncounted_delivery_is_recent() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    accept(&journal, T0);
    let is_cut = |since| journal.status_counts(since, 1000).unwrap().cut;
    for n in 1..=20 {
        assert!(!is_cut(T0), "{n} deliveries");
        accept(&journal, at(n));
    }
    assert!(is_cut(T0));
    assert!(!is_cut(at(1)), "the one that is not counted is older");
}

#[test]
fn the_version_tells_of_ones_own_changes_and_of_those_of_others() {
    let bench = Bench::new();
    let (journal, other) = (bench.open_fast(1), bench.open_fast(2));
    let before = journal.change_counters().unwrap();
    assert_eq!(journal.change_counters().unwrap(), before);
    accept(&other, T0);
    let after_other = journal.change_counters().unwrap();
    assert_ne!(after_other, before);
    accept(&journal, T0);
    assert_ne!(journal.change_counters().unwrap(), after_other);
}

#[test]
fn unchanged_deliveries_are_read_in_groups() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    let made = five(&journal);
    let retried = ClaimCondition::Failed { attempts: 1 };
    journal
        .begin_attempt(made[1], retried, &attempt(at(2_000)))
        .unwrap();
    journal.delete_ids(&[made[3]], &[Status::Failed]).unwrap();
    let seen = [4, 3, 1, 0, 2].map(|n: usize| DeliveryVersion {
        id: made[n],
        attempts: 1,
    });
    let read = |limit, max_bytes| {
        let unchanged = journal.unchanged(&seen, limit, max_bytes).unwrap();
        let found = unchanged.found.into_iter();
        let ids: Vec<i64> = found
            .map(|(delivery, payload)| {
                assert_eq!(payload, b"<event/>");
                let id = delivery.id;
                assert_eq!(journal.delivery(id).unwrap(), Some(delivery));
                id
            })
            .collect();
        (ids, unchanged.done)
    };
    assert_eq!(read(9, 999), (vec![made[4], made[0], made[2]], 5));
    for (limit, max_bytes) in [(1, 999), (9, 1), (9, 8)] {
        assert_eq!(read(limit, max_bytes), (vec![made[4]], 1));
    }
    for (limit, max_bytes) in [(2, 999), (9, 9), (9, 16)] {
        assert_eq!(read(limit, max_bytes), (vec![made[4], made[0]], 4));
    }
    let nothing = journal.unchanged(&[], 9, 999).unwrap();
    assert!(nothing.found.is_empty() && nothing.done == 0);
}
