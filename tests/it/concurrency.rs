//! Many processes on one journal: none fails, nothing is lost, nothing is sent twice.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::support::{Listener, Server, TestEnv, forever, repeat, respond};

#[test]
fn sixteen_processes_fire_into_a_new_journal() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(200, 16)]);
    let args = ["fire", "account", "created", "--url", &server.url()];
    let running: Vec<_> = (0..16).map(|_| env.hookfire(args).spawn()).collect();
    for process in running {
        process.wait().assert_code(0);
    }
    let check = env
        .hookfire(["journal", "check", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        (&check["deliveries"]["delivered"], &check["sound"]),
        (&16.into(), &true.into())
    );
    let journal = env.hookfire(["journal", "list", "-o", "json"]).run().json();
    let ids: Vec<i64> = journal
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, (1..=16).rev().collect::<Vec<_>>());
}

#[test]
fn eight_concurrent_retries_send_each_delivery_once() {
    const FAILED: usize = 200;
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, FAILED)]);
    for _ in 0..FAILED {
        env.hookfire([
            "fire",
            "user",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    }
    let target = Server::script(vec![repeat(200, FAILED)]);
    let args = ["retry", "--all", "--url", &target.url()];
    let running: Vec<_> = (0..8).map(|_| env.hookfire(args).spawn()).collect();
    let mut reported = 0;
    for process in running {
        let outcome = process.wait().assert_code(0);
        reported += outcome.stdout().lines().count();
    }
    assert_eq!(reported, FAILED, "each was one process's");
    let mut sent = BTreeMap::new();
    for request in target.requests() {
        *sent
            .entry(request.header("webhook-id").unwrap().to_owned())
            .or_insert(0) += 1;
    }
    assert_eq!(sent.len(), FAILED);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
}

#[test]
fn two_retries_of_one_delivery_send_it_once() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200).held()]);
    env.hookfire([
        "fire",
        "user",
        "created",
        "--no-retry",
        "--url",
        &server.url(),
    ])
    .run()
    .assert_code(3);
    let first = env.hookfire(["retry", "1"]).spawn();
    server.wait_for_requests(2);
    let second = env.hookfire(["retry", "--all"]).run().assert_code(0);
    assert_eq!(second.stdout(), "", "{second}");
    server.release();
    first.wait().assert_code(0);
}

#[test]
fn retry_skips_what_another_retry_just_failed() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), respond(503).held(), respond(503)]);
    for _ in 0..2 {
        env.hookfire([
            "fire",
            "user",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    }
    let first = env.hookfire(["retry", "--all"]).spawn();
    server.wait_for_requests(3);
    // While the first one waits for #1, the second one sends #2 and fails.
    let second = env.hookfire(["retry", "--all"]).run().assert_code(3);
    assert!(
        second.stdout().starts_with("#2 failed, 2 attempts"),
        "{second}"
    );
    server.release();
    let first = first.wait().assert_code(3);
    assert!(first.stderr().ends_with("1 failed, 1 skipped\n"), "{first}");
}

const ALL_FILES: &[&str] = &["", "-wal", "-shm"];

/// Removes some of the journal's files and fires, which creates new ones; runs `then`; expects that delivery only.
fn replaced_journal_survives(env: &TestEnv, removed: &[&str], then: impl FnOnce()) {
    for suffix in removed {
        let mut path = env.journal_path().into_os_string();
        path.push(suffix);
        std::fs::remove_file(path).unwrap();
    }
    let server = Server::script(vec![respond(200)]);
    env.hookfire(["fire", "account", "created", "--url", &server.url()])
        .run()
        .assert_code(0);
    then();
    let journal = env.hookfire(["journal", "list", "-o", "json"]).run().json();
    let uuids: Vec<_> = journal
        .as_array()
        .unwrap()
        .iter()
        .map(|d| &d["uuid"])
        .collect();
    assert_eq!(uuids, [server.requests()[0].header("webhook-id").unwrap()]);
    let check = env.hookfire(["journal", "check", "-o", "json"]).run();
    assert_eq!(check.assert_code(0).json()["captures"], 0);
}

#[test]
fn listener_answers_503_after_its_journal_was_replaced() {
    for removed in [ALL_FILES, &[""], &["-wal", "-shm"]] {
        let env = TestEnv::new();
        let listener = Listener::start(&env, &[]);
        Connection::open(env.journal_path())
            .and_then(|journal| {
                journal.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
            .unwrap();
        // So much that a process checkpoints the log when it ends.
        for _ in 0..4 {
            assert_eq!(listener.post("/", &"x".repeat(1_000_000)).status, 200);
        }
        replaced_journal_survives(&env, removed, || {
            assert_eq!(listener.post("/", "after").status, 503, "{removed:?}");
            let new = Connection::open(env.journal_path()).unwrap();
            new.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF")
                .unwrap();
            for _ in 0..300 {
                new.execute("UPDATE deliveries SET retries = retries + 1", [])
                    .unwrap();
            }
            listener.stop();
        });
    }
}

#[test]
fn watcher_exits_without_touching_a_new_journal() {
    let env = TestEnv::new();
    let server = Server::script(vec![forever(503)]);
    env.hookfire([
        "fire",
        "user",
        "created",
        "--background",
        "--retry-interval",
        "300ms",
        "--url",
        &server.url(),
    ])
    .run();
    let watcher = env.hookfire(["retry", "--due", "--watch"]).spawn();
    server.wait_for_requests(2);
    replaced_journal_survives(&env, ALL_FILES, || {
        watcher.wait().assert_code(6);
    });
    drop(server.lenient());
}
