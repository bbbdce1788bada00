//! Copying the rows of a file to the server, while others use it.

use std::net::SocketAddr;
use std::time::Instant;

use super::*;
use crate::capture::{Body, Capture};
use crate::journal::postgres::copy::FileCopy;
use crate::journal::sqlite::SqliteJournal;

const DEADLINE: Duration = Duration::from_secs(30);

fn capture_with(body: &str, forwards: Vec<Forward>) -> Write {
    let client = SocketAddr::from(([127, 0, 0, 1], 4242));
    let head = b"POST /hook HTTP/1.1\r\n\r\n".to_vec();
    let body = Body {
        bytes: body.into(),
        wire: None,
    };
    let capture = Capture::new(T0, client, head);
    Write::Capture {
        capture: Arc::new(StoredCapture::new(0, "", None, capture, body)),
        forwards: forwards.into(),
    }
}

fn forward() -> Vec<Forward> {
    vec![Forward {
        endpoint: None,
        target: Target::from_url("https://example.com/hook").unwrap(),
        retry_policy: RetryPolicy::default(),
        in_order: false,
    }]
}

fn bodies(journal: &dyn Journal) -> Vec<String> {
    let captures = journal.captures(&CaptureQuery::default()).unwrap();
    captures
        .iter()
        .map(|record| {
            let stored = journal.capture(record.id).unwrap().unwrap();
            String::from_utf8(stored.body.bytes).unwrap()
        })
        .collect()
}

/// A file with captures that have these bodies, all received in one millisecond.
fn file_with(bench: &Bench, bodies: &[String]) -> SqliteJournal {
    let file = SqliteJournal::open(&bench.path(), bench.host.process(0)).unwrap();
    let writes: Vec<_> = bodies
        .iter()
        .map(|body| capture_with(body, Vec::new()))
        .collect();
    file.commit(&writes).unwrap();
    file
}

/// The ids of all deliveries.
fn deliveries(journal: &PostgresJournal) -> Vec<i64> {
    let seen = journal.delivery_versions(&Query::all(None)).unwrap();
    seen.iter().map(|seen| seen.id).collect()
}

#[test]
fn captures_of_one_moment_are_copied_once_each() {
    let bench = Bench::new();
    let Some(journal) = bench.postgres_journal(1) else {
        return;
    };
    // Some have the same body.
    let given: Vec<String> = (0..450).map(|n| (n / 2).to_string()).collect();
    let file = file_with(&bench, &given);
    file.commit(&[capture_with("last", forward())]).unwrap();
    // Another client's request is not one of the file.
    journal
        .commit(&[capture_with("other", Vec::new())])
        .unwrap();

    let copied = journal.copy_from(&file).unwrap();
    assert_eq!((copied.captures, copied.skipped), (451, 0));
    let mut expected = vec!["other".to_owned()];
    expected.extend(given);
    expected.push("last".to_owned());
    assert_eq!(bodies(&journal), expected);
    assert_eq!(journal.payload(deliveries(&journal)[0]).unwrap(), b"last");

    let again = journal.copy_from(&file).unwrap();
    assert_eq!((again.captures, again.skipped), (0, 452));
    assert_eq!(bodies(&journal), expected);
}

#[test]
fn an_interrupted_copy_is_completed() {
    let bench = Bench::new();
    let Some(journal) = bench.postgres_journal(1) else {
        return;
    };
    let given: Vec<String> = (0..500).map(|n| (n % 3).to_string()).collect();
    let file = file_with(&bench, &given);
    journal.copy_from(&file).unwrap();
    bench.execute("DELETE FROM hookfire.captures WHERE id > 250");
    let again = journal.copy_from(&file).unwrap();
    assert_eq!((again.captures, again.skipped), (250, 250));
    assert_eq!(bodies(&journal), given);
}

#[test]
fn listeners_store_captures_during_a_copy() {
    let bench = Bench::new();
    let Some(journal) = bench.postgres_journal(1) else {
        return;
    };
    let file = file_with(&bench, &["copied".to_owned()]);
    accept(&file, T0);
    // The copy waits before the deliveries.
    let locked = bench.execute("BEGIN; LOCK TABLE hookfire.deliveries");
    let copying = bench.postgres_journal(1).unwrap();
    let copy = std::thread::spawn(move || copying.copy_from(&file).unwrap());
    let began = Instant::now();
    while journal.newest_capture().unwrap() == 0 {
        assert!(began.elapsed() < DEADLINE, "nothing is visible");
    }
    journal.commit(&[capture_with("new", Vec::new())]).unwrap();
    drop(locked);
    assert_eq!(copy.join().unwrap().deliveries, 1);
    assert_eq!(bodies(&journal), ["copied", "new"]);
}

/// A listener deletes captures of a full bin before the delivery is copied that forwards one.
#[test]
fn a_copied_delivery_has_its_capture() {
    let bench = Bench::new();
    let Some(journal) = bench.postgres_journal(1) else {
        return;
    };
    let file = file_with(&bench, &["other".to_owned()]);
    file.commit(&[capture_with("forwarded", forward())])
        .unwrap();
    let connection = &journal.connection;
    let copy = connection.read(|session| FileCopy::new(session, &file));
    let (copy, mut copied) = (copy.unwrap(), Copied::default());
    let mut ids = journal.copy_captures(&copy, &mut copied).unwrap();
    bench.execute("DELETE FROM hookfire.captures");
    journal
        .copy_deliveries(&copy, &mut ids, &mut copied)
        .unwrap();
    assert_eq!(
        journal.payload(deliveries(&journal)[0]).unwrap(),
        b"forwarded"
    );
    assert_eq!(bodies(&journal), ["forwarded"]);
}

#[test]
fn cursors_continue_at_the_same_capture() {
    let bench = Bench::new();
    let Some(mut journal) = bench.postgres_journal(1) else {
        return;
    };
    let given: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    let file = file_with(&bench, &given);
    let ids = |journal: &dyn Journal| journal.ids_in_bin("inbox", i64::MAX).unwrap();
    let read = ids(&file)[2];
    let position = file.bin_position("inbox", read).unwrap().unwrap();
    let elsewhere = FollowCursor {
        bin_created_at: UnixMs(1),
        last_id: 77,
        seen: 9,
    };
    for (name, cursor) in [("mine", position), ("elsewhere", elsewhere)] {
        let name = name.into();
        file.commit(&[Write::MoveCursor {
            name,
            from: None,
            to: cursor,
        }])
        .unwrap();
    }
    journal
        .commit(&[capture_with("other", Vec::new())])
        .unwrap();

    journal.copy_from(&file).unwrap();
    let cursor = journal.cursor("mine").unwrap().unwrap();
    assert_eq!(cursor.last_id, ids(&journal)[3]);
    let now = journal.bin_position("inbox", cursor.last_id).unwrap();
    assert_eq!(now, Some(cursor));
    assert_eq!(journal.cursor("elsewhere").unwrap(), Some(elsewhere));

    let path = bench.folder.path().join("export.db");
    journal.export(&path, Arc::default()).unwrap();
    let exported = crate::journal::open(&path).unwrap();
    assert_eq!(exported.cursor("mine").unwrap(), Some(cursor));
}
