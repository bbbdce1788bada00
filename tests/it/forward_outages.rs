//! `listen --forward-later` when something else fails: the receiver for longer than the policy allows, the journal's disk or
//! its lock, and one of two listeners that share a journal.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::forward_later::{closed_port, json, later, wait_for_statuses, wait_until};
use crate::support::postgres::postgres_server;
use crate::support::{Listener, Receiver, Reply, Server, TestEnv, repeat};

#[test]
fn events_reach_a_receiver_that_was_down_for_too_long() {
    let (env, receiver, port) = (TestEnv::new(), TestEnv::new(), closed_port());
    let to = format!("http://127.0.0.1:{port}/crm");
    let policy = ["--retries", "1", "--retry-interval", "10ms"];
    let args = [
        "--forward-to",
        &to,
        "--require-secret",
        "key=canary-of-the-sender",
    ];
    let listener = later(&env, &[&args[..], &policy].concat());
    let sender = TestEnv::new();
    let url = format!("{}/hook", listener.url());
    let fire = |line: &str, secret: &str| {
        let args = [
            "fire",
            "--batch",
            "-",
            "--no-retry",
            "--url",
            &url,
            "--secret",
            secret,
        ];
        sender.hookfire(args).stdin(format!("{line}\n")).run()
    };
    let event = r#"{"type":"account","action":"created"}"#;
    fire(event, "key=canary-of-the-sender").assert_code(0);
    fire(event, "key=wrong").assert_code(3);
    let failed = wait_for_statuses(&env, &["failed"]);
    assert_eq!(failed[0]["attempt_count"], 2, "{failed:?}");
    let list = json(&env, &["failed", "list"]);
    assert_eq!(
        (&list[0]["type"], &list[0]["capture_id"]),
        (&"account".into(), &1.into())
    );
    let up = Listener::start_at(&receiver, &port.to_string(), &[]);
    let retry = env.hookfire(["retry", "--all"]).run().assert_code(0);
    wait_for_statuses(&env, &["delivered"]);
    let received = json(&receiver, &["captured", "list"]);
    assert_eq!(received.as_array().unwrap().len(), 1);
    assert_eq!(received[0]["path"], "/crm/hook");
    let raw = |env: &TestEnv| {
        let id = json(env, &["captured", "list"])
            .as_array()
            .unwrap()
            .last()
            .unwrap()["id"]
            .to_string();
        let shown = env
            .hookfire(["captured", "show", &id, "--raw"])
            .run()
            .assert_code(0);
        shown.stdout().to_owned()
    };
    let (sent, got) = (raw(&env), raw(&receiver));
    let parts = |raw: &str| -> (String, String) {
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        let id = head.lines().find(|line| line.starts_with("webhook-id: "));
        (id.expect("the sender's id").to_owned(), body.to_owned())
    };
    assert_eq!(parts(&sent), parts(&got));
    assert!(
        got.starts_with("POST /crm/hook?key=canary-of-the-sender HTTP/1.1\r\n"),
        "{got}"
    );
    up.stop();
    for outcome in [&retry, &listener.stop()] {
        let text = format!("{}{}", outcome.stdout(), outcome.stderr());
        assert!(!text.contains("canary-of-the-sender"), "{text}");
    }
}

#[test]
fn while_the_journal_is_locked_nothing_is_accepted() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, _| Reply::Status(200));
    let listener = later(&env, &["--forward-to", &receiver.url()]);
    assert_eq!(listener.get("/before").status, 200);
    wait_for_statuses(&env, &["delivered"]);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(listener.get("/locked").status, 503);
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(listener.get("/after").status, 200);
    wait_for_statuses(&env, &["delivered", "delivered"]);
    assert_eq!(receiver.requests(), 2);
    listener.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn while_the_disk_is_full_nothing_is_accepted() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let (env, port) = (TestEnv::new(), closed_port());
    let args = format!("--forward-later --forward-to http://127.0.0.1:{port}/hook");
    let mut listener = Listener::start_after(&env, "trap '' XFSZ", &args);
    let pid = Pid::from_raw(listener.process().pid().try_into().unwrap());
    // Further writes fail, as on a full disk.
    let room = |current| {
        let limit = Rlimit {
            current,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, limit).map(drop).unwrap();
    };
    assert_eq!(listener.get("/before").status, 200);
    room(Some(1));
    for _ in 0..3 {
        assert_eq!(listener.get("/full").status, 503);
    }
    let receiver = Receiver::start_at(port, |_, _| Reply::Status(200));
    assert_eq!(listener.get("/full").status, 503);
    room(None);
    assert_eq!(listener.get("/after").status, 200);
    wait_for_statuses(&env, &["delivered", "delivered"]);
    assert_eq!(receiver.times().len(), 2);
    listener.stop();
}

#[test]
fn two_listeners_on_one_journal_share_the_deliveries() {
    const REQUESTS: usize = 400;
    let Some(server) = postgres_server() else {
        return;
    };
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_JOURNAL", server.url(&server.new_database()));
    env.hookfire(["journal", "migrate"]).run().assert_code(0);
    let receiver = Receiver::start(|_, _| Reply::After(Duration::from_millis(50), 200));
    let to = receiver.url();
    let args = ["--forward-to", &to, "--retry-interval", "50ms"];
    let mut first = later(&env, &args);
    let second = later(&env, &args);
    std::thread::scope(|scope| {
        for listener in [&first, &second].repeat(4) {
            let request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
            let requests = request.repeat(REQUESTS / 8);
            scope.spawn(move || listener.pipeline(requests, REQUESTS / 8));
        }
    });
    receiver.wait_for(REQUESTS / 4);
    first.process().kill9();
    let list = wait_until("all are delivered", || {
        let list = json(&env, &["journal", "list"]);
        let list = list.as_array().unwrap().clone();
        let is_delivered = |delivery: &Value| delivery["status"] == "delivered";
        (list.len() == REQUESTS && list.iter().all(is_delivered)).then_some(list)
    });
    let owners: BTreeSet<&str> = list
        .iter()
        .map(|one| one["owner"].as_str().unwrap())
        .collect();
    assert_eq!(owners.len(), 2, "{owners:?}");
    let times = receiver.times();
    assert_eq!(times.len(), REQUESTS);
    // Those that the first had begun when it ended may have been received.
    let again = list.iter().filter(|one| one["attempt_count"] != 1);
    let again: BTreeSet<&str> = again.map(|one| one["uuid"].as_str().unwrap()).collect();
    for (id, times) in &times {
        let most = 1 + usize::from(again.contains(&**id));
        assert!(times.len() <= most, "{id}: {}", times.len());
    }
    second.stop();
}

#[test]
fn an_exported_journal_keeps_what_was_forwarded() {
    let env = TestEnv::new();
    let upstream = Server::script(vec![repeat(503, 1)]);
    let listener = later(&env, &["--forward-to", &upstream.url(), "--retries", "0"]);
    assert_eq!(listener.get("/not-forwarded?respond").status, 200);
    wait_for_statuses(&env, &["failed"]);
    listener.stop();
    let there = TestEnv::new();
    let file = env.work_dir().join("export.db");
    env.hookfire(["journal", "export"])
        .arg(&file)
        .run()
        .assert_code(0);
    let mut copies = vec![file.display().to_string()];
    if let Some(server) = postgres_server() {
        let url = server.url(&server.new_database());
        let migrate = ["journal", "migrate", "--journal", &url];
        there.hookfire(migrate).run().assert_code(0);
        let from = env.journal_path();
        let copy = ["journal", "copy", "--from", from.to_str().unwrap()];
        there
            .hookfire(copy)
            .args(["--journal", &url])
            .run()
            .assert_code(0);
        copies.push(url);
    }
    for journal in copies {
        let receiver = Server::script(vec![repeat(200, 1)]);
        let shown = json(&there, &["captured", "show", "1", "--journal", &journal]);
        assert_eq!(shown["forwards"][0]["id"], 1, "{shown}");
        let kept = there
            .hookfire(["captured", "delete", "1", "--journal", &journal])
            .run();
        assert!(kept.stderr().contains("kept"), "{kept}");
        let retry = [
            "retry",
            "1",
            "--url",
            &receiver.url(),
            "--journal",
            &journal,
        ];
        there.hookfire(retry).run().assert_code(0);
        assert_eq!(receiver.requests()[0].target, "/not-forwarded?respond");
        let deleted = ["captured", "delete", "1", "--journal", &journal];
        there.hookfire(deleted).run().assert_code(0);
    }
}
