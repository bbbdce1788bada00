//! Bulk changes: short transactions with pauses, partial results, and a short write-ahead log.

use std::time::Instant;

use super::*;
use crate::capture::{Body, Capture};
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::journal::StoredCapture;

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

#[test]
fn every_bulk_change_works_in_slices() {
    let bench = Bench::new();
    let (journal, failed) = slow(&bench, 3);
    let scheduled: Vec<DeliveryVersion> = failed
        .iter()
        .map(|seen| {
            let again = ClaimCondition::Failed { attempts: 1 };
            let begun = journal.begin_attempt(seen.id, again, &attempt(T0));
            assert_eq!(begun.unwrap(), Some(2));
            let later = scheduled_at(at(60));
            let finish = journal.finish_attempt(seen.id, 2, Duration::ZERO, &refusal(503), later);
            assert!(finish.unwrap());
            DeliveryVersion {
                id: seen.id,
                attempts: 2,
            }
        })
        .collect();
    let captures = [(); 3].map(|()| capture(&journal));
    let (done, changed) = (1, 1);
    let one = Slice { done, changed };
    assert_eq!(journal.cancel_slice(&scheduled).unwrap(), one);
    assert_eq!(journal.delete_captures_slice(&captures).unwrap(), one);
    let interrupted = [Status::Interrupted];
    let deleted = journal.delete_slice(&scheduled, &interrupted).unwrap();
    assert_eq!(deleted, one);
}

fn capture(journal: &SqliteJournal) -> i64 {
    let head = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    let capture = Capture::new(T0, ([127, 0, 0, 1], 80).into(), head);
    let body = Body::default();
    let new = Arc::new(StoredCapture::new(0, "", None, capture, body));
    match journal.commit(&[Write::capture(new)]).unwrap().remove(0) {
        WriteResult::Captured { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn free_space_is_returned_in_slices() {
    let bench = Bench::new();
    let mut journal = bench.open_fast(1);
    journal.pace.slice_time = Duration::ZERO;
    let id = accept_event(&journal, T0, &vec![b'x'; 3 << 20]).id;
    let (outcome, next) = (refusal(503), NextStep::Failed);
    journal
        .finish_attempt(id, 1, Duration::ZERO, &outcome, next)
        .unwrap();
    let seen = [DeliveryVersion { id, attempts: 1 }];
    let mut slices = 0;
    let (_, result) = journal.dynamic().change_until(
        &seen,
        |rest| journal.delete_slice(rest, &[Status::Failed]),
        |_| {
            assert!(is_unlocked(&bench.raw()));
            slices += 1;
            true
        },
    );
    result.unwrap();
    // The deletion, and 192 pages, 50 at a time.
    assert!(slices >= 4, "{slices}");
    let free = "PRAGMA freelist_count";
    let free = journal.conn.query_row(free, [], |row| row.get(0));
    assert_eq!(free, Ok(0));
}

#[test]
fn no_transaction_is_open_while_deliveries_are_visited() {
    let bench = Bench::new();
    let (journal, _) = slow(&bench, 3);
    let other = bench.raw();
    other.busy_timeout(Duration::ZERO).unwrap();
    let query = Query::all(None);
    let all = journal.dynamic().deliveries(&query, None, PAGE_SIZE);
    let are_busy = all.map(|delivery| {
        delivery.unwrap();
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        other.query_row(checkpoint, [], |row| row.get(0)).unwrap()
    });
    assert_eq!(are_busy.collect::<Vec<bool>>(), [false; 3]);
}

#[test]
fn versions_are_not_read_in_one_transaction() {
    let bench = Bench::new();
    let (mut journal, seen) = slow(&bench, 21);
    let (other, last) = (bench.open_fast(2), seen[20].id);
    let mut steps = 0;
    // Deletes the last row while the first page is read: the second page no longer has it.
    let delete = move || {
        steps += 1;
        if steps == 60 {
            assert_eq!(other.delete_ids(&[last], &[Status::Failed]).unwrap(), 1);
        }
        false
    };
    journal.conn.progress_handler(1, Some(delete)).unwrap();
    let failed = Query::failed(Filter::default());
    assert_eq!(journal.ids(&failed).unwrap().len(), 20);
}

fn wal_bytes(bench: &Bench) -> u64 {
    let wal = with_suffix(&bench.path(), "-wal");
    std::fs::metadata(wal).unwrap().len()
}

fn wal_mib(bench: &Bench) -> u64 {
    wal_bytes(bench) >> 20
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
