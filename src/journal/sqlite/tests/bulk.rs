//! Bulk changes: short transactions with pauses, partial results, and a short write-ahead log.

use std::time::Instant;

use super::*;
use crate::delivery::Status;

/// A journal whose bulk changes process one item per transaction, and failed deliveries in it.
fn slow(bench: &Bench, number: usize) -> (SqliteJournal, Vec<DeliveryVersion>) {
    let mut journal = bench.open_fast(1);
    journal.pace.slice_time = Duration::ZERO;
    let fail = |_| {
        let id = accept(&journal, T0).id;
        let (outcome, next) = (refusal(503), NextStep::Failed);
        journal
            .finish_attempt(id, 1, Duration::ZERO, &outcome, next)
            .unwrap();
        DeliveryVersion { id, attempts: 1 }
    };
    let seen = (0..number).map(fail).collect();
    (journal, seen)
}

/// Whether another connection gets the write lock without waiting.
fn is_unlocked(other: &rusqlite::Connection) -> bool {
    other.busy_timeout(Duration::ZERO).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; COMMIT").is_ok()
}

#[test]
fn others_write_between_two_slices_of_a_deletion() {
    let bench = Bench::new();
    let (journal, seen) = slow(&bench, 3);
    let other = bench.open_fast(2);
    let retry = || {
        let failed = ClaimCondition::Failed { attempts: 1 };
        other.begin_attempt(seen[2].id, failed, &attempt(T0))
    };
    let mut slices = Vec::new();
    let (all, result) = journal.dynamic().change_until(
        &seen,
        |rest| journal.delete_slice(rest, &[Status::Failed]),
        |done| {
            assert!(is_unlocked(&bench.raw()));
            if done == 1 {
                retry().unwrap();
            }
            slices.push(done);
            true
        },
    );
    result.unwrap();
    assert_eq!(slices, [1, 2, 3]);
    let (done, changed) = (3, 2);
    assert_eq!(all, Slice { done, changed }, "the third was claimed");
    assert_eq!(journal.ids(&Query::all(None)).unwrap(), [seen[2].id]);
}

#[test]
fn bulk_changes_pause_for_at_least_as_long_as_they_lock() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    let held = Duration::from_millis(10);
    let locked_for = |held| {
        let began = journal.write_bulk(|_, _| {
            let began = Instant::now();
            std::thread::sleep(held);
            Ok(began)
        });
        began.unwrap()
    };
    let first = locked_for(held);
    let second = locked_for(Duration::ZERO);
    assert!(second - first >= held * 2);
    // A change of one row does not delay the next one.
    let start = Instant::now();
    for _ in 0..20 {
        locked_for(Duration::ZERO);
    }
    assert!(start.elapsed() < held * 20, "{:?}", start.elapsed());
}

#[test]
fn a_bulk_change_that_stops_keeps_what_it_has_changed() {
    let bench = Bench::new();
    let (journal, seen) = slow(&bench, 3);
    let all = |change: &dyn Fn(&[DeliveryVersion]) -> Result<Slice, JournalError>| {
        let (all, result) = journal
            .dynamic()
            .change_until(&seen, change, |done| done < 1);
        (all.done, all.changed, result.is_ok())
    };
    let delete = |rest: &[_]| journal.delete_slice(rest, &[Status::Failed]);
    assert_eq!(all(&delete), (1, 1, true));
    bench
        .raw()
        .execute_batch(
            "CREATE TRIGGER fails BEFORE DELETE ON deliveries BEGIN SELECT RAISE(ABORT, 'no more'); END",
        )
        .unwrap();
    assert_eq!(all(&delete), (1, 0, true), "the first is deleted already");
    let (rest, result) = journal.dynamic().change_until(&seen, delete, |_| true);
    assert_eq!((rest.done, rest.changed, result.is_err()), (1, 0, true));
    assert_eq!(journal.ids(&Query::all(None)).unwrap().len(), 2);
}

#[test]
fn deliveries_of_a_dead_process_are_interrupted_in_slices() {
    let bench = Bench::new();
    let (journal, _) = slow(&bench, 0);
    let dying = bench.open_fast(7);
    let ids: Vec<i64> = (0..3).map(|_| accept(&dying, T0).id).collect();
    bench.host.kill(7);
    let before = commits_in_wal(&bench.path());
    assert_eq!(journal.interrupt_abandoned().unwrap(), 3);
    assert_eq!(commits_in_wal(&bench.path()) - before, 3);
    for id in ids {
        let status = journal.delivery(id).unwrap().unwrap().status;
        assert_eq!(status, Status::Interrupted);
    }
    assert_eq!(journal.interrupt_abandoned().unwrap(), 0);
}

fn wal_mib(bench: &Bench) -> u64 {
    let wal = with_suffix(&bench.path(), "-wal");
    std::fs::metadata(wal).unwrap().len() >> 20
}

/// Commits 4 MiB, which SQLite does not checkpoint.
fn write_4_mib(journal: &SqliteJournal) {
    accept_event(journal, T0, &vec![b'x'; 4 << 20]);
}

fn without_automatic_checkpoints(bench: &Bench, pid: i64) -> SqliteJournal {
    let journal = bench.open_fast(pid);
    journal
        .conn
        .pragma_update(None, "wal_autocheckpoint", 0)
        .unwrap();
    journal
}

#[test]
fn two_writers_keep_the_wal_short() {
    let bench = Bench::new();
    let journals = [1, 2].map(|pid| without_automatic_checkpoints(&bench, pid));
    let mut sizes = Vec::new();
    for round in 0..16 {
        write_4_mib(&journals[round % 2]);
        sizes.push(wal_mib(&bench));
    }
    assert!(sizes.iter().all(|mib| *mib <= 24), "{sizes:?}");
    assert!(sizes.contains(&0), "{sizes:?}");
}

#[test]
fn a_long_read_lets_the_wal_grow_and_delays_few_commits() {
    let bench = Bench::new();
    let journal = without_automatic_checkpoints(&bench, 1);
    let reader = bench.raw();
    let read = "BEGIN; SELECT count(*) FROM deliveries";
    reader.query_row("SELECT 1", [], |_| Ok(())).unwrap();
    reader.execute_batch(read).unwrap();
    let mut delayed = 0;
    for _ in 0..16 {
        let limit = journal.wal_limit.get();
        write_4_mib(&journal);
        delayed += usize::from(journal.wal_limit.get() > limit);
    }
    assert!(wal_mib(&bench) >= 64);
    assert!((1..=3).contains(&delayed), "{delayed}");
    reader.execute_batch("COMMIT").unwrap();
    for _ in 0..16 {
        write_4_mib(&journal);
    }
    assert!(wal_mib(&bench) <= 24, "{}", wal_mib(&bench));
}
