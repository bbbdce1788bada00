//! Concurrent use: each thread stands for a process, with its own connection.

use std::collections::HashSet;
use std::sync::Barrier;

use super::*;
use crate::delivery::Status;

/// Runs `work` on this number of threads, which start at the same time.
fn at_once<T: Send>(threads: i64, work: impl Fn(i64) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(usize::try_from(threads).unwrap());
    std::thread::scope(|scope| {
        let handles: Vec<_> = (1..=threads)
            .map(|thread| {
                let (work, barrier) = (&work, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    work(thread)
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect()
    })
}

fn connect(path: &Path, pid: i64) -> SqliteJournal {
    SqliteJournal::open(path, TestHost::default().process(pid)).unwrap()
}

#[test]
fn sixteen_first_openers_all_succeed_and_one_makes_the_tables() {
    // SQLite increments this number with each schema change.
    let changes = |journal: &SqliteJournal| {
        journal
            .conn
            .query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let once = changes(&Bench::new().open(1));
    for round in 0..40 {
        let bench = Bench::new();
        let path = bench.folder.path().join("state/hookfire/journal.db");
        at_once(16, |thread| drop(connect(&path, thread)));
        assert_eq!(changes(&connect(&path, 1)), once, "round {round}");
        if round >= 8 {
            continue;
        }
        let uuids = at_once(16, |thread| accept(&connect(&path, thread), T0).uuid);
        assert_eq!(uuids.into_iter().collect::<HashSet<_>>().len(), 16);
        let journal = connect(&path, 1);
        assert_eq!(
            journal.ids(&Query::all(None)).unwrap(),
            (1..=16).rev().collect::<Vec<_>>()
        );
        let vacuum: i64 = journal
            .conn
            .query_row("PRAGMA auto_vacuum", [], |row| row.get(0))
            .unwrap();
        assert_eq!(vacuum, 2);
    }
}

#[test]
fn sixteen_openers_of_a_fresh_file_may_go_on_to_write_at_once() {
    for _ in 0..4 {
        let bench = Bench::new();
        at_once(16, |thread| accept(&connect(&bench.path(), thread), T0).id);
        assert_eq!(
            bench.open(1).dynamic().count(&Query::all(None)).unwrap(),
            16
        );
    }
}

#[test]
fn four_writers_lose_nothing_and_share_no_id() {
    let bench = Bench::new();
    let ids = at_once(4, |thread| {
        // Does not sync, so that the threads compete for the lock as often as possible.
        let journal = bench.open_fast(thread);
        (0..1_000)
            .map(|n| accept(&journal, at(n)).id)
            .collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|own| own.is_sorted_by(|a, b| a < b)));
    assert_eq!(
        ids.concat().into_iter().collect::<HashSet<_>>(),
        (1..=4_000).collect()
    );
    let health = bench.open(1).check().unwrap();
    assert_eq!((health.attempts, health.problems.len()), (4_000, 0));
    assert_eq!(health.counts[0], (Status::Pending, 4_000));
}

#[test]
fn of_eight_who_retry_the_same_failed_ones_each_is_begun_once() {
    let bench = Bench::new();
    let journal = bench.open_fast(99);
    for _ in 0..200 {
        let id = accept(&journal, T0).id;
        journal
            .finish_attempt(id, 1, Duration::ZERO, &refusal(500), NextStep::Failed)
            .unwrap();
    }
    let begun = at_once(8, |thread| {
        let journal = connect(&bench.path(), thread);
        let mine = |id: &i64| {
            let turn = ClaimCondition::Failed { attempts: 1 };
            journal
                .begin_attempt(*id, turn, &attempt(at(thread)))
                .unwrap()
                == Some(2)
        };
        (1..=200).filter(mine).collect::<Vec<_>>()
    });
    let mut all = begun.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=200).collect::<Vec<_>>());
}
