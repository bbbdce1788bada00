//! Bulk changes of many rows: they work in slices, show progress, and report what they did when they stop early.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::recovery::entry;
use crate::support::{Listener, Server, TestEnv, read_response, respond};

pub const ROWS: i64 = 30_000;

/// A journal with [`ROWS`] delivered deliveries, the first of which was fired.
pub fn many_delivered(env: &TestEnv) -> Connection {
    let server = Server::script(vec![respond(200)]);
    env.hookfire(["fire", "account", "created", "--url", &server.url()])
        .run()
        .assert_code(0);
    let journal = Connection::open(env.journal_path()).unwrap();
    let columns = "type, action, url, params, headers, retries, retry_interval_ms, success_statuses, status, created_at,
         finished_at, attempt_count, method, body_format, payload";
    journal
        .execute_batch(&format!(
            "WITH RECURSIVE ids (id) AS (VALUES (2) UNION ALL SELECT id + 1 FROM ids WHERE id < {ROWS})
             INSERT INTO deliveries (id, uuid, {columns})
             SELECT ids.id, printf('uuid %d', ids.id), {columns} FROM deliveries JOIN ids WHERE deliveries.id = 1"
        ))
        .unwrap();
    journal
}

fn count(journal: &Connection) -> i64 {
    let count = journal.query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0));
    count.unwrap()
}

const PRUNE: [&str; 5] = ["journal", "prune", "--older-than", "0s", "--yes"];

#[test]
fn an_interrupted_prune_reports_how_much_it_deleted() {
    let env = TestEnv::new();
    let journal = many_delivered(&env);
    let mut pruning = env.hookfire(PRUNE).spawn();
    while count(&journal) == ROWS {
        assert!(pruning.is_running());
    }
    pruning.interrupt();
    let outcome = pruning.wait().assert_code(130);
    let left = count(&journal);
    assert!(left > 0, "{outcome}");
    assert_eq!(
        outcome.stdout(),
        format!("deleted {} deliveries\n", ROWS - left)
    );
    let words = format!("interrupted with {left} of {ROWS} deliveries left");
    assert!(outcome.stderr().contains(&words), "{outcome}");
}

#[test]
fn an_interrupted_import_reports_how_much_it_imported() {
    let env = TestEnv::new();
    let mut list = "<webhooks-failures>\n".to_owned();
    for n in 0..20_000 {
        list += &entry(n, 0, "http://127.0.0.1:9/hook");
    }
    env.write_file("failures.xml", &(list + "</webhooks-failures>\n"));
    env.write_file("empty.xml", "<webhooks-failures/>");
    let import = |file| env.hookfire(["failed", "import", file]);
    import("empty.xml").run().assert_code(0);
    let journal = Connection::open(env.journal_path()).unwrap();
    let mut importing = import("failures.xml").spawn();
    while count(&journal) == 0 {
        assert!(importing.is_running());
    }
    importing.interrupt();
    let outcome = importing.wait().assert_code(130);
    let imported = count(&journal);
    assert!((1..20_000).contains(&imported), "{outcome}");
    assert_eq!(
        outcome.stdout(),
        format!("imported {imported} failed deliveries\n")
    );
    assert!(
        outcome
            .stderr()
            .contains("importing the list again adds the rest"),
        "{outcome}"
    );
}

#[test]
fn a_prune_that_fails_in_a_later_slice_reports_what_it_deleted() {
    let env = TestEnv::new();
    let journal = many_delivered(&env);
    // The newest are deleted first.
    journal
        .execute_batch(
            "CREATE TRIGGER fails BEFORE DELETE ON deliveries WHEN OLD.id = 7
             BEGIN SELECT RAISE(ABORT, 'no more'); END",
        )
        .unwrap();
    let outcome = env
        .hookfire(PRUNE)
        .args(["-o", "json"])
        .run()
        .assert_code(6);
    let left = count(&journal);
    assert!((7..ROWS).contains(&left), "{outcome}");
    assert_eq!(outcome.json()["deleted"], ROWS - left);
    let words = format!("stopped with {left} of {ROWS} deliveries left");
    assert!(outcome.stderr().contains(&words), "{outcome}");
}

#[test]
fn a_prune_shows_its_progress_on_a_terminal() {
    let env = TestEnv::new();
    let journal = many_delivered(&env);
    let outcome = env.hookfire_on_terminal(&PRUNE).run().assert_code(0);
    let shown = outcome.stdout();
    assert!(
        shown.contains(&format!(" of {ROWS}"))
            && shown.contains(&format!("deleted {ROWS} deliveries")),
        "{outcome}"
    );
    assert_eq!(count(&journal), 0);
}

#[test]
fn the_web_ui_responds_while_failures_are_deleted() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--emulate-portal"]);
    let server = Server::script(vec![respond(503)]);
    let fire = ["fire", "account", "created", "--url", &server.url()];
    env.hookfire(fire)
        .args(["--retries", "0"])
        .run()
        .assert_code(3);
    let journal = Connection::open(env.journal_path()).unwrap();
    // The deletion waits for the lock.
    journal.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut deleting = listener.connect();
    write!(
        deleting,
        "DELETE /admin/api/webhooks/failures.xml HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
        listener.port()
    )
    .unwrap();
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(listener.get("/_hookfire/api/version").status, 200);
    }
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(count(&journal), 1);
    journal.execute_batch("COMMIT").unwrap();
    assert_eq!(read_response(&mut deleting).status, 200);
    assert_eq!(count(&journal), 0);
}

/// Writes, and restarts the write-ahead log, which is not possible while a transaction is open.
fn restart_log(journal: &Connection, reader: &str) {
    let touch = "UPDATE deliveries SET retries = retries + 1 WHERE id = 1";
    journal.execute(touch, []).unwrap();
    let is_busy = journal.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    assert_eq!(is_busy, Ok(false), "`{reader}` has a transaction open");
}

#[test]
fn a_reader_that_pauses_has_no_transaction_open() {
    let env = TestEnv::new();
    let journal = many_delivered(&env);
    let listener = Listener::start(&env, &["--emulate-portal"]);
    assert_eq!(listener.get("/").status, 200);
    let columns = "bin_id, received_at, remote_addr, method, malformed, response_duration_ms, body_size, head, body";
    journal
        .execute_batch(&format!(
            "WITH RECURSIVE ids (id) AS (VALUES (2) UNION ALL SELECT id + 1 FROM ids WHERE id < 5000)
             INSERT INTO captures (id, {columns})
             SELECT ids.id, {columns} FROM captures JOIN ids WHERE captures.id = 1;
             UPDATE deliveries SET status = 'failed'"
        ))
        .unwrap();
    let pipe = env.work_dir().join("pipe");
    env.program("mkfifo").arg(&pipe).run().assert_code(0);
    for list in [
        "journal list -o ndjson",
        "journal list --limit 3000",
        "failed list -o xml",
        "captured list -o ndjson",
    ] {
        let listing = env.shell(&format!("exec \"$HOOKFIRE\" {list} > pipe"));
        let mut listing = listing
            .env("HOOKFIRE", env!("CARGO_BIN_EXE_hookfire"))
            .spawn();
        let mut output = File::open(&pipe).unwrap();
        output.read_exact(&mut [0; 1000]).unwrap();
        restart_log(&journal, list);
        assert!(listing.is_running(), "{list}: the pipe held all of it");
    }
    let mut client = listener.connect();
    let get = "GET /admin/api/webhooks/failures.xml HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(get.as_bytes()).unwrap();
    client.read_exact(&mut [0; 1000]).unwrap();
    restart_log(&journal, get);
    listener.stop();
}

#[test]
fn due_times_that_are_years_ahead_are_reported() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503)]);
    let fire = [
        "fire",
        "account",
        "created",
        "--background",
        "--url",
        &server.url(),
    ];
    env.hookfire(fire).run().assert_code(0);
    let warning = "1 delivery is scheduled for more than a year from now";
    let check = || {
        env.hookfire(["journal", "check", "-o", "json"])
            .run()
            .assert_code(0)
    };
    let before = check();
    assert!(!before.stderr().contains(warning), "{before}");
    assert_eq!(before.json()["far_due"], 0);
    let journal = Connection::open(env.journal_path()).unwrap();
    let moved = "UPDATE deliveries SET next_attempt_at = next_attempt_at + 5 * 366 * 86400 * 1000";
    assert_eq!(journal.execute(moved, []).unwrap(), 1);
    let after = check();
    assert!(after.stderr().contains(warning), "{after}");
    assert_eq!(after.json()["far_due"], 1);
    let due = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert!(due.stderr().contains(warning), "{due}");
}
