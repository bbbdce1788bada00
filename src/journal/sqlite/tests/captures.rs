//! Captures and bins: stored unchanged, in the right bin, pruned from the oldest, many in one commit.
//! What only SQLite does.

use super::captures_suite::*;
use super::*;
use std::sync::Arc;
use std::time::Instant;

#[test]
fn what_waits_shares_a_commit() {
    let bench = Bench::new();
    let store = JournalCaptureStore::start(Box::new(bench.open(1)), "inbox", 1000, None).unwrap();
    store_one(&store, "/first");
    let other = bench.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = commits_in_wal(&bench.path());
    let waiting: Vec<_> = (0..100)
        .map(|n| give(&store, request(&format!("/{n}")), body(b"")))
        .collect();
    other.execute_batch("COMMIT").unwrap();
    for stored in waiting {
        stored.recv_timeout(TIMEOUT).unwrap().unwrap();
    }
    let commits = commits_in_wal(&bench.path()) - before;
    assert!(
        (1..=3).contains(&commits),
        "{commits} commits for 100 captures"
    );
}

#[test]
fn what_cannot_be_written_for_a_reason_of_its_own_fails_alone() {
    let bench = Bench::new();
    let store = store(&bench, 10);
    store_one(&store, "/before");
    let trigger = "CREATE TRIGGER picky BEFORE INSERT ON captures WHEN length(new.body) = 13
        BEGIN SELECT RAISE(ABORT, 'not that one'); END";
    bench.raw().execute_batch(trigger).unwrap();
    let given = [("/1", &b""[..]), ("/2", &[0; 13]), ("/3", b"")]
        .map(|(target, bytes)| give(&store, request(target), body(bytes)));
    let [first, refused, last] = given.map(|reported| reported.recv_timeout(TIMEOUT).unwrap());
    let ids = [first, last].map(|stored| stored.unwrap().record.id);
    assert_eq!(ids, [2, 3]);
    assert!(refused.unwrap_err().to_string().contains("not that one"));
    assert_eq!(store_one(&store, "/after").id, 4);
    assert_eq!(
        targets(&bench.open(2), &CaptureQuery::default()),
        ["/before", "/1", "/3", "/after"]
    );
}

#[test]
fn long_lock_fails_all_waiting_captures_until_released() {
    let bench = Bench::new();
    let store = store(&bench, 10);
    store_one(&store, "/before");
    let other = bench.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = ["/1", "/2"].map(|target| give(&store, request(target), body(b"")));
    for stored in waiting {
        let error = stored.recv_timeout(TIMEOUT).unwrap().unwrap_err();
        assert!(matches!(*error, JournalError::Locked { .. }), "{error}");
    }
    other.execute_batch("ROLLBACK").unwrap();
    store_one(&store, "/after");
    assert_eq!(
        targets(&bench.open(2), &CaptureQuery::default()),
        ["/before", "/after"]
    );
}

#[test]
fn a_list_of_one_bin_reads_no_other() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let query = CaptureQuery {
        bin: Some("b".into()),
        order: Order::NewestFirst,
        limit: Some(50),
        ..CaptureQuery::default()
    };
    let select = statements::captures(&query);
    let plan: Vec<String> = journal
        .conn
        .prepare(&format!("EXPLAIN QUERY PLAN {}", for_sqlite(&select.sql)))
        .unwrap()
        .query_map(rusqlite::params_from_iter(select.values), |row| row.get(3))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("captures_bin (bin_id=?"), "{plan}");
    assert!(
        !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
        "{plan}"
    );
}

#[test]
fn a_much_lower_limit_deletes_few_captures_at_once() {
    let bench = Bench::new();
    let writer = store(&bench, 1000);
    let added: Vec<_> = (0..200)
        .map(|n| give(&writer, request(&format!("/{n}")), body(EVENT)))
        .collect();
    for stored in added {
        stored.recv_timeout(TIMEOUT).unwrap().unwrap();
    }
    drop(writer);
    let mut journal = bench.open_fast(1);
    let default_bin = "inbox".to_owned();
    journal
        .tune_for_captures(CaptureRules {
            default_bin,
            keep_per_bin: 1,
            ..CaptureRules::default()
        })
        .unwrap();
    // The captures left after another one, during a pause or after it.
    let left = |journal: &TestJournal, paused_until| {
        journal.captures.borrow_mut().paused_until = paused_until;
        let new = StoredCapture::new(0, "", None, request("/"), body(EVENT));
        journal.commit(&[Write::capture(Arc::new(new))]).unwrap();
        journal.bin("inbox").unwrap().unwrap().request_count
    };
    let long = Some(Instant::now() + Duration::from_secs(3600));
    assert_eq!([left(&journal, long), left(&journal, long)], [185, 170]);
    let slice_time = std::mem::replace(&mut journal.pace.slice_time, Duration::ZERO);
    assert_eq!(left(&journal, None), 155, "no time is left");
    journal.pace.slice_time = slice_time;
    assert!((0..100).any(|_| left(&journal, None) == 1));
    assert_eq!(left(&journal, long), 1);
}

#[test]
fn a_journal_that_was_removed_acknowledges_nothing() {
    let bench = Bench::new();
    let store = store(&bench, 10);
    store_one(&store, "/before");
    std::fs::remove_file(bench.path()).unwrap();
    let error = give(&store, request("/after"), body(b""))
        .recv_timeout(TIMEOUT)
        .unwrap()
        .unwrap_err();
    assert!(matches!(*error, JournalError::Lost { .. }), "{error}");
}
