//! Captures and bins: stored unchanged, in the right bin, pruned from the oldest, many in one commit.

use super::*;
use crate::capture::{
    Body, Capture, CaptureRecord, CapturedResponse, EventName, Head, Run, SignatureCheck,
};
use crate::journal::{
    CaptureQuery, CaptureStore, FollowCursor, JournalError, Order, StoredCapture, Write,
};
use crate::signature::{InvalidKind, InvalidSignature};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

pub const TIMEOUT: Duration = Duration::from_secs(20);
pub const EVENT: &[u8] =
    b"<event><type>account</type><action>created</action><object><account/></object></event>";

type Outcome<T> = Result<T, Arc<JournalError>>;

pub fn request(target: &str) -> Capture {
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

pub fn body(bytes: &[u8]) -> Body {
    Body {
        bytes: bytes.to_vec(),
        wire: None,
    }
}

pub fn store(bench: &Bench, keep_per_bin: u32) -> JournalCaptureStore {
    JournalCaptureStore::start(bench.boxed(1), "inbox", keep_per_bin, None).unwrap()
}

pub fn give(
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

pub fn store_one(store: &JournalCaptureStore, target: &str) -> CaptureRecord {
    give(store, request(target), body(EVENT))
        .recv_timeout(TIMEOUT)
        .unwrap()
        .unwrap()
        .record
        .clone()
}

pub fn targets(journal: &TestJournal, query: &CaptureQuery) -> Vec<String> {
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
    let counts = |journal: &TestJournal| -> Vec<(String, u64)> {
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
        &JournalCaptureStore::start(bench.boxed(1), "inbox", 1, None).unwrap(),
        "/last",
    );
    assert_eq!(
        targets(&journal, &CaptureQuery::default()),
        ["/quiet/0", "/last"]
    );
}

#[test]
fn runs_of_a_capture_are_numbered_and_deleted_with_it() {
    let bench = Bench::new();
    let journal = bench.open(2);
    let id = store_one(&store(&bench, 10), "/").id;
    let run = Run {
        number: 0,
        command: "./on-event".to_owned(),
        started_at: T0,
        duration_ms: None,
        exit_code: None,
        error: None,
        stderr: String::new(),
    };
    let begun = journal.commit(&[
        Write::BeginRun(id, run.clone()),
        Write::BeginRun(id, run.clone()),
        Write::BeginRun(99, run.clone()),
    ]);
    let begun = begun.unwrap();
    assert!(
        matches!(
            begun[..],
            [
                WriteResult::Claimed(1),
                WriteResult::Claimed(2),
                WriteResult::Deleted
            ]
        ),
        "{begun:?}"
    );
    let ended = Run {
        number: 2,
        duration_ms: Some(7),
        exit_code: Some(3),
        error: Some("too slow".to_owned()),
        stderr: "words".to_owned(),
        ..run.clone()
    };
    journal.commit(&[Write::EndRun(id, ended.clone())]).unwrap();
    let first = Run { number: 1, ..run };
    assert_eq!(journal.runs(id).unwrap(), [first, ended]);
    assert_eq!(journal.delete_captures_slice(&[id]).unwrap().changed, 1);
    assert!(journal.runs(id).unwrap().is_empty());
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
    let [one, other] =
        [1, 3].map(|who| JournalCaptureStore::start(bench.boxed(who), "inbox", 10, None).unwrap());
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
fn reader_of_a_bin_learns_how_many_captures_it_missed() {
    let bench = Bench::new();
    let journal = bench.boxed(2);
    journal.create_bin("other", false, T0).unwrap();
    let store = store(&bench, 10);
    let seen = |last_id| {
        let position = journal.bin_position("inbox", last_id).unwrap().unwrap();
        assert_eq!(position.last_id, last_id);
        position.seen
    };
    let ids: Vec<i64> = (0..10).map(|_| store_one(&store, "/hook").id).collect();
    let read_until = ids[3];
    assert_eq!(seen(read_until), 4);
    store_one(&store, "/other");
    journal.delete_captures(&ids[..2]).unwrap();
    assert_eq!(seen(read_until), 4, "deleted after they were read");
    journal.delete_captures(&ids[5..7]).unwrap();
    assert_eq!(
        seen(read_until),
        6,
        "two were deleted before they were read"
    );
    // Full bins lose their oldest captures.
    let newest = (0..40)
        .map(|_| store_one(&store, "/hook").id)
        .max()
        .unwrap();
    let query = CaptureQuery {
        bin: Some("inbox".to_owned()),
        ..CaptureQuery::default()
    };
    let kept = journal.captures(&query).unwrap().len() as i64;
    assert_eq!(seen(newest), 50, "all that the bin ever had");
    assert_eq!(
        seen(read_until),
        50 - kept,
        "all but those that can still be read"
    );
    assert_eq!(journal.bin_position("none", 0).unwrap(), None);
    let bin = journal.bin("inbox").unwrap().unwrap();
    let position = journal.bin_position("inbox", 0).unwrap().unwrap();
    assert_eq!(position.bin_created_at, bin.created_at);
}

#[test]
fn cursors_are_stored_by_name() {
    let bench = Bench::new();
    let journal = bench.boxed(1);
    let at = |last_id| FollowCursor {
        bin_created_at: T0,
        last_id,
        seen: last_id + 1,
    };
    let go = |name: &str, from: Option<i64>, to| Write::MoveCursor {
        name: name.to_owned(),
        from: from.map(at),
        to: at(to),
    };
    assert_eq!(journal.cursor("a").unwrap(), None);
    let first = [go("a", None, 3), go("b", None, 4)];
    journal.commit(&first).unwrap();
    journal.commit(&[go("a", Some(3), 5)]).unwrap();
    let twice = [go("a", Some(5), 6), go("a", Some(6), 7)];
    journal.commit(&twice).unwrap();
    let again = bench.boxed(2);
    assert_eq!(again.cursor("a").unwrap(), Some(at(7)));
    assert_eq!(again.cursor("b").unwrap(), Some(at(4)));
}

#[test]
fn a_commit_fails_whose_cursor_another_process_has_moved() {
    let bench = Bench::new();
    let (journal, other) = (bench.boxed(1), bench.boxed(2));
    let at = |last_id| FollowCursor {
        bin_created_at: T0,
        last_id,
        seen: last_id,
    };
    let take = |journal: &dyn Journal, from: Option<i64>, to| {
        let new = StoredCapture::new(0, "team", None, request("/"), body(EVENT));
        let moved = Write::MoveCursor {
            name: "reader".to_owned(),
            from: from.map(at),
            to: at(to),
        };
        journal.commit(&[Write::capture(Arc::new(new)), moved])
    };
    let is_refused = |taken| matches!(taken, Err(JournalError::CursorMoved));
    take(&*journal, None, 1).unwrap();
    assert!(is_refused(take(&*other, None, 1)), "two first runs");
    take(&*journal, Some(1), 2).unwrap();
    assert!(is_refused(take(&*other, Some(1), 2)));
    assert!(is_refused(take(&*other, Some(1), 3)));
    assert_eq!(journal.cursor("reader").unwrap(), Some(at(2)));
    assert_eq!(journal.bin("team").unwrap().unwrap().request_count, 2);
    take(&*other, Some(2), 1).unwrap();
    take(&*other, Some(1), 1).unwrap();
    assert_eq!(journal.bin("team").unwrap().unwrap().request_count, 4);
}

#[test]
fn captures_of_another_journal_go_to_the_bin_that_they_name() {
    let bench = Bench::new();
    let journal = bench.boxed(1);
    let event = None;
    let given = |bin: &str| {
        Arc::new(StoredCapture::new(
            0,
            bin,
            event.clone(),
            request("/other/hook"),
            body(EVENT),
        ))
    };
    let results = journal
        .commit(&[Write::capture(given("team")), Write::capture(given("team"))])
        .unwrap();
    for result in results {
        let WriteResult::Captured { bin, .. } = result else {
            panic!("{result:?}");
        };
        assert_eq!(bin, "team");
    }
    assert_eq!(journal.bin("team").unwrap().unwrap().request_count, 2);
    assert_eq!(journal.bin("inbox").unwrap(), None);
}

#[test]
fn stored_captures_are_forwarded_unless_they_were_deleted() {
    let bench = Bench::new();
    let journal = bench.boxed(1);
    let store = store(&bench, 10);
    let ids = [store_one(&store, "/a").id, store_one(&store, "/b").id];
    let forward = |id| {
        let forwards = Arc::new([crate::journal::Forward {
            endpoint: None,
            target: crate::delivery::target::Target::from_url("http://127.0.0.1:1/").unwrap(),
            retry_policy: crate::delivery::retry_policy::RetryPolicy::default(),
            in_order: false,
        }]);
        Write::Forward {
            capture: Arc::new(journal.capture(id).unwrap().unwrap()),
            forwards,
        }
    };
    let writes = ids.map(forward);
    journal.delete_captures(&ids[1..]).unwrap();
    let results = journal.commit(&writes).unwrap();
    let [WriteResult::Captured { id, .. }, WriteResult::Deleted] = results[..] else {
        panic!("{results:?}");
    };
    assert_eq!(id, ids[0]);
    assert_eq!(journal.forwards(&ids[..1]).unwrap().len(), 1);
    assert_eq!(journal.pending_forwards(9).unwrap(), 1);
}
