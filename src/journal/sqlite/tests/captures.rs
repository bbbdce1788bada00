//! Captures and bins: stored unchanged, in the right bin, pruned from the oldest, many in one commit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use super::*;
use crate::capture::{
    Body, Capture, CaptureRecord, CapturedResponse, EventName, Head, SignatureCheck,
};
use crate::journal::{
    CaptureQuery, CaptureRules, CaptureStore, JournalError, Order, StoredCapture,
};
use crate::signature::{InvalidKind, InvalidSignature};

const TIMEOUT: Duration = Duration::from_secs(20);
const EVENT: &[u8] =
    b"<event><type>account</type><action>created</action><object><account/></object></event>";

type Outcome<T> = Result<T, Arc<JournalError>>;

fn request(target: &str) -> Capture {
    let head = format!("POST {target} HTTP/1.1\r\nX-A: 1\r\nx-a: caf\u{e9}\r\n\r\n").into_bytes();
    let mut capture = Capture::new(T0, SocketAddr::from(([127, 0, 0, 1], 4242)), head);
    capture.malformed = false;
    capture.response = CapturedResponse {
        status: Some(200),
        duration_ms: 3,
        note: None,
    };
    capture
}

fn body(bytes: &[u8]) -> Body {
    Body {
        bytes: bytes.to_vec(),
        wire: None,
    }
}

fn store(bench: &Bench, keep_per_bin: u32) -> JournalCaptureStore {
    JournalCaptureStore::start(Box::new(bench.open_fast(1)), "inbox", keep_per_bin).unwrap()
}

fn give(
    store: &JournalCaptureStore,
    capture: Capture,
    body: Body,
) -> Receiver<Outcome<Arc<StoredCapture>>> {
    let (report, stored) = mpsc::channel();
    store.store(
        capture,
        body,
        Box::new(move |result| report.send(result).unwrap()),
    );
    stored
}

fn store_one(store: &JournalCaptureStore, target: &str) -> CaptureRecord {
    give(store, request(target), body(EVENT))
        .recv_timeout(TIMEOUT)
        .unwrap()
        .unwrap()
        .record
        .clone()
}

fn targets(journal: &SqliteJournal, query: &CaptureQuery) -> Vec<String> {
    journal
        .captures(query)
        .unwrap()
        .into_iter()
        .map(|record| record.capture.head.target().to_owned())
        .collect()
}

#[test]
fn a_capture_comes_back_as_it_was_given() {
    let bench = Bench::new();
    let store = store(&bench, 10);
    let mut given = request("/hook?a=1");
    given.secret_ok = Some(false);
    given.signature = Some(SignatureCheck {
        scheme: "github".to_owned(),
        invalid: Some(InvalidSignature::new(InvalidKind::Secret, "a \"b\"")),
    });
    given.handshake = Some("slack".to_owned());
    given.response.note = Some("by way of upstream".to_owned());
    let chunked = Body {
        bytes: EVENT.to_vec(),
        wire: Some(b"as chunks".to_vec()),
    };
    let stored = give(&store, given.clone(), chunked.clone())
        .recv_timeout(TIMEOUT)
        .unwrap()
        .unwrap();
    let event = Some(EventName {
        event_type: "account".to_owned(),
        action: "created".to_owned(),
    });

    let journal = bench.open(2);
    assert_eq!(
        *stored,
        StoredCapture::new(1, "inbox", event.clone(), given.clone(), chunked.clone())
    );
    let expected = CaptureRecord {
        id: 1,
        bin: "inbox".to_owned(),
        event,
        body_size: EVENT.len() as u64,
        pinned: false,
        note: None,
        capture: given,
    };
    assert_eq!(
        journal.captures(&CaptureQuery::default()).unwrap(),
        std::slice::from_ref(&expected)
    );
    assert_eq!(
        journal.capture(1).unwrap(),
        Some(StoredCapture {
            bin_response: None,
            record: expected,
            body: chunked
        })
    );
    assert_eq!(journal.capture(2).unwrap(), None);
    assert_eq!(journal.newest_capture().unwrap(), 1);
}

#[test]
fn an_event_in_a_form_is_known_as_one_and_kept_as_it_came() {
    let bench = Bench::new();
    let form = body(b"params%5Bxml%5D=%3Cevent%3E%3Ctype%3Euser%3C/type%3E%3Caction%3Edeleted%3C/action%3E%3Cobject%3E%3Cuser/%3E%3C/object%3E%3C/event%3E");
    let stored = give(&store(&bench, 10), request("/"), form.clone())
        .recv_timeout(TIMEOUT)
        .unwrap()
        .unwrap();
    assert_eq!(
        stored.record.event,
        Some(EventName {
            event_type: "user".to_owned(),
            action: "deleted".to_owned()
        })
    );
    assert_eq!(
        bench
            .open(2)
            .capture(stored.record.id)
            .unwrap()
            .unwrap()
            .body,
        form
    );
}

#[test]
fn bytes_that_are_no_http_and_no_event_are_kept_as_well() {
    let bench = Bench::new();
    let store = store(&bench, 10);
    let garbage = Capture::new(
        T0,
        "[::1]:9".parse().unwrap(),
        b"\x16\x03\x01\x00\xff".to_vec(),
    );
    give(&store, garbage.clone(), Body::default())
        .recv_timeout(TIMEOUT)
        .unwrap()
        .unwrap();
    let StoredCapture { record, body, .. } = bench.open(2).capture(1).unwrap().unwrap();
    assert_eq!(
        (record.capture, record.event, body),
        (garbage, None, Body::default())
    );
}

#[test]
fn the_first_segment_of_the_path_names_the_bin_if_there_is_one() {
    let bench = Bench::new();
    let (journal, store) = (bench.open(2), store(&bench, 10));
    assert_eq!(
        store_one(&store, "/orders/1").bin,
        "inbox",
        "the bin does not exist yet"
    );
    let made = journal.create_bin("orders", true, at(1)).unwrap();
    assert_eq!((made.private, made.request_count), (true, 0));
    for (target, bin) in [
        ("/orders/1", "orders"),
        ("/orders", "orders"),
        ("/orders?inspected=1", "orders"),
        ("http://host/orders/2", "orders"),
        ("/orders2", "inbox"),
        ("/a/orders", "inbox"),
        ("/", "inbox"),
        ("*", "inbox"),
    ] {
        assert_eq!(store_one(&store, target).bin, bin, "{target}");
    }
    let counts = |journal: &SqliteJournal| -> Vec<(String, u64)> {
        journal
            .bins()
            .unwrap()
            .into_iter()
            .map(|bin| (bin.name, bin.request_count))
            .collect()
    };
    assert_eq!(
        counts(&journal),
        [("inbox".to_owned(), 5), ("orders".to_owned(), 4)]
    );
    assert_eq!(
        journal
            .create_bin("orders", false, at(9))
            .unwrap()
            .request_count,
        4,
        "an existing bin stays unchanged"
    );

    let newest = journal.newest_capture().unwrap();
    store_one(&store, "/orders/later");
    assert_eq!(
        journal.dynamic().clear_bin("orders", newest).unwrap(),
        4,
        "keeps newer captures"
    );
    assert_eq!(
        targets(
            &journal,
            &CaptureQuery {
                bin: Some("orders".into()),
                ..CaptureQuery::default()
            }
        ),
        ["/orders/later"]
    );
    assert_eq!(journal.dynamic().clear_bin("orders", i64::MAX).unwrap(), 1);
    assert_eq!(journal.dynamic().delete_captures(&[1, 1, 99]).unwrap(), 1);
    assert_eq!(
        counts(&journal),
        [("inbox".to_owned(), 4), ("orders".to_owned(), 0)]
    );
    assert_eq!(journal.bin("orders").unwrap().unwrap().created_at, at(1));
    assert_eq!(journal.bin("nowhere").unwrap(), None);
}

#[test]
fn each_bin_keeps_its_newest() {
    let bench = Bench::new();
    let journal = bench.open(2);
    journal.create_bin("quiet", false, T0).unwrap();
    let store = store(&bench, 3);
    store_one(&store, "/quiet/0");
    (0..10).for_each(|n| assert_eq!(store_one(&store, &format!("/{n}")).bin, "inbox"));
    assert_eq!(
        targets(&journal, &CaptureQuery::default()),
        ["/quiet/0", "/7", "/8", "/9"]
    );
    assert_eq!(journal.bin("inbox").unwrap().unwrap().request_count, 3);
    // With a lower limit, the next capture removes the excess.
    drop(store);
    store_one(
        &JournalCaptureStore::start(Box::new(bench.open(1)), "inbox", 1).unwrap(),
        "/last",
    );
    assert_eq!(
        targets(&journal, &CaptureQuery::default()),
        ["/quiet/0", "/last"]
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
        })
        .unwrap();
    // The captures left after another one, during a pause or after it.
    let left = |journal: &SqliteJournal, paused_until| {
        journal.captures.borrow_mut().paused_until = paused_until;
        let new = StoredCapture::new(0, "", None, request("/"), body(EVENT));
        journal.commit(&[Write::Capture(Arc::new(new))]).unwrap();
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
fn pinned_captures_are_kept_and_not_counted() {
    let bench = Bench::new();
    let (journal, store) = (bench.open(2), store(&bench, 2));
    let pinned = store_one(&store, "/pinned").id;
    assert!(journal.annotate_capture(pinned, true, Some("why")).unwrap());
    assert!(!journal.annotate_capture(99, true, None).unwrap());
    (0..5).for_each(|n| drop(store_one(&store, &format!("/{n}"))));
    assert_eq!(
        targets(&journal, &CaptureQuery::default()),
        ["/pinned", "/3", "/4"]
    );
    let found = journal.capture(pinned).unwrap().unwrap().record;
    assert_eq!((found.pinned, found.note.as_deref()), (true, Some("why")));
    journal.annotate_capture(pinned, false, None).unwrap();
    store_one(&store, "/5");
    assert_eq!(targets(&journal, &CaptureQuery::default()), ["/4", "/5"]);
}

#[test]
fn a_bin_has_a_response_until_it_is_removed() {
    let bench = Bench::new();
    let (journal, store) = (bench.open(2), store(&bench, 10));
    journal.create_bin("b", false, T0).unwrap();
    let response = BinResponse {
        status: 503,
        headers: vec![("Retry-After".to_owned(), "5".to_owned())],
        body: "later".to_owned(),
        delay_ms: 7,
    };
    let stored = |target: &str| {
        let stored = give(&store, request(target), body(b""));
        let stored = stored.recv_timeout(TIMEOUT).unwrap().unwrap();
        stored.bin_response.as_deref().cloned()
    };
    assert_eq!(stored("/b"), None);
    assert!(journal.set_bin_response("b", Some(&response)).unwrap());
    assert!(!journal.set_bin_response("c", Some(&response)).unwrap());
    assert_eq!(stored("/b/x"), Some(response.clone()));
    assert_eq!(stored("/other"), None);
    assert_eq!(journal.bin("b").unwrap().unwrap().response, Some(response));
    journal.set_bin_response("b", None).unwrap();
    assert_eq!(stored("/b"), None);
}

#[test]
fn no_id_is_given_out_twice_whatever_was_deleted_and_by_whom() {
    let bench = Bench::new();
    let (journal, store) = (bench.open(2), store(&bench, 10));
    let id = |store: &JournalCaptureStore| store_one(store, "/").id;
    assert_eq!((id(&store), id(&store)), (1, 2));
    journal.dynamic().delete_captures(&[2]).unwrap();
    assert_eq!(id(&store), 3);
    journal.dynamic().clear_bin("inbox", i64::MAX).unwrap();
    drop(store);
    let [one, other] = [1, 3]
        .map(|who| JournalCaptureStore::start(Box::new(bench.open(who)), "inbox", 10).unwrap());
    assert_eq!(
        [&one, &other, &other, &one].map(id),
        [4, 5, 6, 7],
        "two listeners on one journal"
    );
}

#[test]
fn surplus_captures_are_deleted_when_idle() {
    let bench = Bench::new();
    let journal = bench.open(2);
    let store = store(&bench, 640);
    let waiting: Vec<_> = (0..900)
        .map(|n| give(&store, request(&format!("/{n}")), body(b"")))
        .collect();
    waiting
        .into_iter()
        .for_each(|stored| drop(stored.recv_timeout(TIMEOUT).unwrap().unwrap()));
    let deadline = std::time::Instant::now() + TIMEOUT;
    let count = || journal.bin("inbox").unwrap().unwrap().request_count;
    assert!(count() <= 650, "exceeds the limit by a 64th at most");
    while count() > 640 {
        assert!(
            std::time::Instant::now() < deadline,
            "{} captures are left",
            count()
        );
        std::thread::yield_now();
    }
    assert_eq!(
        targets(
            &journal,
            &CaptureQuery {
                limit: Some(1),
                ..CaptureQuery::default()
            }
        ),
        ["/260"]
    );
}

#[test]
fn queries_narrow_order_and_page() {
    let bench = Bench::new();
    let (journal, store) = (bench.open(2), store(&bench, 10));
    journal.create_bin("b", false, T0).unwrap();
    ["/1", "/b/2", "/3"]
        .iter()
        .for_each(|target| drop(store_one(&store, target)));
    let mut late = request("/4");
    late.received_at = at(60);
    late.head = Head::read(b"GET /4 HTTP/1.0\r\n\r\n".to_vec());
    give(&store, late, Body::default())
        .recv_timeout(TIMEOUT)
        .unwrap()
        .unwrap();

    let all = CaptureQuery::default;
    for (query, expected) in [
        (all(), "/1 /b/2 /3 /4"),
        (
            CaptureQuery {
                order: Order::NewestFirst,
                limit: Some(2),
                ..all()
            },
            "/4 /3",
        ),
        (
            CaptureQuery {
                bin: Some("b".into()),
                ..all()
            },
            "/b/2",
        ),
        (
            CaptureQuery {
                bin: Some("none".into()),
                ..all()
            },
            "",
        ),
        (
            CaptureQuery {
                method: Some("get".into()),
                ..all()
            },
            "/4",
        ),
        (
            CaptureQuery {
                event_type: Some("account".into()),
                action: Some("created".into()),
                ..all()
            },
            "/1 /b/2 /3",
        ),
        (
            CaptureQuery {
                action: Some("deleted".into()),
                ..all()
            },
            "",
        ),
        (
            CaptureQuery {
                since: Some(at(60)),
                ..all()
            },
            "/4",
        ),
        (
            CaptureQuery {
                after: Some(1),
                before: Some(4),
                ..all()
            },
            "/b/2 /3",
        ),
    ] {
        assert_eq!(targets(&journal, &query).join(" "), expected, "{query:?}");
    }
}

#[test]
fn an_answer_that_was_not_known_is_amended() {
    let bench = Bench::new();
    let store = store(&bench, 10);
    store_one(&store, "/");
    let response = CapturedResponse {
        status: Some(502),
        duration_ms: 12,
        note: Some("upstream: refused".to_owned()),
    };
    let (report, done) = mpsc::channel();
    store.set_response(
        1,
        response.clone(),
        Box::new(move |result| report.send(result).unwrap()),
    );
    done.recv_timeout(TIMEOUT).unwrap().unwrap();
    assert_eq!(
        bench
            .open(2)
            .capture(1)
            .unwrap()
            .unwrap()
            .record
            .capture
            .response,
        response
    );
}

#[test]
fn what_waits_shares_a_commit() {
    let bench = Bench::new();
    let store = JournalCaptureStore::start(Box::new(bench.open(1)), "inbox", 1000).unwrap();
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

#[test]
fn dropping_the_capture_writer_commits_what_was_submitted() {
    let bench = Bench::new();
    let store = store(&bench, 1000);
    let waiting: Vec<_> = (0..50)
        .map(|n| give(&store, request(&format!("/{n}")), body(b"")))
        .collect();
    drop(store);
    assert!(
        waiting
            .into_iter()
            .all(|stored| stored.try_recv().unwrap().is_ok())
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
    let select = sqlite::captures::select(&query);
    let plan: Vec<String> = journal
        .conn
        .prepare(&format!("EXPLAIN QUERY PLAN {}", select.sql))
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
