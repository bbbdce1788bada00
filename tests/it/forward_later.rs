//! `listen --forward-later`: what was accepted is delivered later, as it was received.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Listener, Server, TestEnv, repeat, respond};

/// A port at which nothing listens, until the test does.
pub fn closed_port() -> u16 {
    let env = TestEnv::new();
    let listener = Listener::start_to_be_followed(&env, &[]);
    let port = listener.port();
    listener.stop();
    port
}

pub fn later(env: &TestEnv, args: &[&str]) -> Listener {
    Listener::start(env, &[&["--forward-later"], args].concat())
}

pub fn json(env: &TestEnv, args: &[&str]) -> Value {
    let all = [args, &["-o", "json"]].concat();
    env.hookfire(all).run().assert_code(0).json()
}

#[track_caller]
pub fn wait_until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the deliveries have these statuses, the newest first.
#[track_caller]
pub fn wait_for_statuses(env: &TestEnv, wanted: &[&str]) -> Vec<Value> {
    wait_until("the deliveries have their statuses", || {
        let list = json(env, &["journal", "list"]);
        let list = list.as_array().expect("an array").clone();
        let statuses: Vec<&str> = list
            .iter()
            .map(|delivery| delivery["status"].as_str().expect("a status"))
            .collect();
        (statuses == wanted).then(|| list.clone())
    })
}

#[test]
fn requests_of_an_outage_arrive_unchanged() {
    let (env, receiver) = (TestEnv::new(), TestEnv::new());
    let port = closed_port();
    let to = format!("http://127.0.0.1:{port}/base");
    let listener = later(&env, &["--forward-to", &to, "--retry-interval", "100ms"]);
    let head = "PUT /a%2Fb/c%20d?x=1&y='2' HTTP/1.1\r\nHost: hooks.example\r\nX-A: 1\r\nWebhook-Id: msg_1\r\nx-a: ";
    let rest = "\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\0\x01\x02\r\n2\r\n\r\n\r\n0\r\n\r\n";
    let request = [head.as_bytes(), b"caf\xe9", rest.as_bytes()].concat();
    assert_eq!(listener.send(request).status, 200);
    assert_eq!(listener.post("/inbox", "second").status, 200);
    wait_until("an attempt has failed", || {
        let list = json(&env, &["journal", "list"]);
        (list[1]["attempt_count"] != 0).then_some(())
    });
    let up = Listener::start_at(&receiver, &port.to_string(), &[]);
    let list = wait_for_statuses(&env, &["delivered", "delivered"]);
    let received = json(&receiver, &["captured", "list"]);
    let ids: Vec<i64> = (received.as_array().expect("an array").iter())
        .map(|capture| capture["id"].as_i64().expect("an id"))
        .collect();
    assert_eq!(ids.len(), 2, "each arrives once: {received}");
    let show = |id: i64| {
        let raw = ["captured", "show", &id.to_string(), "--raw"];
        let outcome = receiver.hookfire(raw).run().assert_code(0);
        outcome.stdout
    };
    let mut both: Vec<Vec<u8>> = ids.into_iter().map(show).collect();
    both.sort_by_key(|bytes| bytes.starts_with(b"POST"));
    let (first, second) = (
        String::from_utf8_lossy(&both[0]),
        String::from_utf8_lossy(&both[1]),
    );
    let lines = "PUT /base/a%2Fb/c%20d?x=1&y='2' HTTP/1.1\r\nx-a: 1\r\nx-a: caf\u{fffd}\r\nwebhook-id: msg_1\r\ncontent-encoding: gzip\r\n";
    assert!(first.starts_with(lines), "{first}");
    assert!(both[0].windows(4).any(|bytes| bytes == b"caf\xe9"));
    assert!(both[0].ends_with(b"\r\n\r\n\0\x01\x02\r\n"), "{first}");
    assert!(!first.contains("x-hop"), "{first}");
    let uuid = list[0]["uuid"].as_str().expect("a uuid");
    assert!(
        second.contains(&format!("webhook-id: {uuid}\r\n")),
        "{second}"
    );
    let shown = json(&env, &["captured", "show", "2"]);
    assert_eq!(shown["forwards"][0]["id"], list[0]["id"]);
    assert_eq!(list[0]["capture_id"], 2);
    up.stop();
    listener.stop();
}

#[test]
fn what_is_refused_or_filtered_out_is_not_forwarded() {
    let env = TestEnv::new();
    let upstream = Server::script(vec![repeat(204, 2)]);
    let url = upstream.url();
    let listener = later(
        &env,
        &[
            "--forward-to",
            &url,
            "--path",
            "/in*",
            "--route",
            "GET /in/503=503",
            "--require-secret",
            "key=right",
        ],
    );
    for (target, status) in [
        ("/in?key=right", 200),
        ("/out?key=right", 200),
        ("/in/503?key=right", 503),
        ("/in?key=wrong", 403),
        ("/in/2?key=right", 200),
    ] {
        assert_eq!(listener.get(target).status, status, "{target}");
    }
    // No URL can have this target.
    assert_eq!(listener.get("/in?key=right&#part").status, 400);
    let loops = "GET /in?key=right HTTP/1.1\r\nHost: h\r\nHookfire-Hops: 5\r\n\r\n";
    assert_eq!(listener.send(loops).status, 508);
    upstream.wait_for_requests(2);
    wait_for_statuses(&env, &["delivered", "delivered"]);
    let targets: Vec<String> = upstream
        .requests()
        .into_iter()
        .map(|one| one.target)
        .collect();
    assert_eq!(targets, ["/in?key=right", "/in/2?key=right"]);
    listener.stop();
}

#[test]
fn response_of_a_bin_does_not_apply() {
    let env = TestEnv::new();
    let upstream = Server::script(vec![respond(204)]);
    let listener = later(&env, &["--forward-to", &upstream.url()]);
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    let response = r#"{"status":503,"headers":[],"body":"","delay_ms":0}"#;
    let changed = journal.execute("UPDATE bins SET response = ?1", [response]);
    assert_eq!(changed.unwrap(), 1);
    assert_eq!(listener.get("/").status, 200);
    wait_for_statuses(&env, &["delivered"]);
    listener.stop();
}

#[test]
fn what_failed_is_kept_and_can_be_sent_again() {
    let env = TestEnv::new();
    let upstream = Server::script(vec![respond(500), respond(201)]);
    let url = format!("{}/hook?token=canary-in-the-url", upstream.url());
    let args = ["--forward-to", &url, "--retries", "0", "--keep", "1"];
    let listener = later(&env, &args);
    let secret = "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer canary-in-a-header\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(listener.send(secret).status, 200);
    let failed = wait_for_statuses(&env, &["failed"]);
    assert_eq!(failed[0]["last_error"]["http_status"], 500);
    let deletion = env.hookfire(["captured", "delete", "1"]).run();
    assert!(deletion.stderr().contains("kept"), "{}", deletion.stderr());
    let outcome = env
        .hookfire(["retry", "1", "--secret", "token=canary-in-the-url"])
        .run()
        .assert_code(0);
    let sent = upstream.requests();
    assert_eq!(sent[0].target, "/hook?token=canary-in-the-url");
    assert_eq!(
        sent[1].header("authorization"),
        Some("Bearer canary-in-a-header")
    );
    assert_eq!(sent[1].body, b"body");
    assert_eq!(sent[0].header("webhook-id"), sent[1].header("webhook-id"));
    env.assert_nowhere("canary-in-the-url", &[&outcome, &listener.stop()]);
}

#[test]
fn a_full_backlog_gets_503() {
    let env = TestEnv::new();
    let to = format!("http://127.0.0.1:{}", closed_port());
    let listener = later(&env, &["--forward-to", &to, "--max-pending", "2"]);
    let statuses = [(); 3].map(|()| listener.get("/").status);
    assert_eq!(statuses, [200, 200, 503]);
    let stopped = listener.stop();
    let words = "1 request not stored, response 503";
    assert!(stopped.stderr().contains(words), "{}", stopped.stderr());
    wait_for_statuses(&env, &["pending", "pending"]);
}

#[test]
fn in_order_a_failed_delivery_stops_those_behind_it() {
    let env = TestEnv::new();
    let upstream = Server::script(vec![respond(500), respond(200), respond(200), respond(200)]);
    let url = upstream.url();
    let args = ["--forward-to", &url, "--in-order", "--retries", "0"];
    let listener = later(&env, &args);
    for body in ["one", "two", "three"] {
        assert_eq!(listener.post("/", body).status, 200);
    }
    wait_for_statuses(&env, &["pending", "pending", "failed"]);
    env.hookfire(["retry", "1"]).run().assert_code(0);
    wait_for_statuses(&env, &["delivered", "delivered", "delivered"]);
    let bodies: Vec<Vec<u8>> = upstream
        .requests()
        .into_iter()
        .map(|one| one.body)
        .collect();
    assert_eq!(bodies, [&b"one"[..], b"one", b"two", b"three"]);
    listener.stop();
}

#[test]
fn wrong_options_are_refused() {
    let env = TestEnv::new();
    for (args, words) in [
        (&["--forward-later"][..], "no target"),
        (
            &["--in-order", "--forward-to", "http://h"],
            "--forward-later",
        ),
        (&["--retries", "1"], "requires `--forward-later`"),
        (
            &["--forward-to", "http://a", "--forward-to", "http://b"],
            "several",
        ),
        (&["--forward-later", "--endpoint", "none"], "none"),
        (
            &[
                "--forward-later",
                "--forward-to",
                "http://127.0.0.1:4711",
                "4711",
            ],
            "leads back",
        ),
    ] {
        let outcome = env.hookfire([&["listen"], args].concat()).run();
        assert!(
            outcome.stderr().contains(words),
            "{args:?}: {}",
            outcome.stderr()
        );
        outcome.assert_code(2);
    }
}

#[test]
fn locked_journal_does_not_outlast_the_time_limit() {
    let env = TestEnv::new();
    let receiver = Server::script(vec![respond(200).held()]);
    let args = ["--forward-to", &receiver.url(), "--for", "2s"];
    let listener = later(&env, &args);
    assert_eq!(listener.post("/a", "body").status, 200);
    receiver.wait_for_requests(1);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    receiver.release();
    let outcome = listener.wait();
    drop(lock);
    assert!(
        outcome
            .stderr()
            .contains("captures are not forwarded: the journal"),
        "{outcome}"
    );
}
