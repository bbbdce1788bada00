//! Processes that are killed: the journal knows every request that an endpoint may have received.

use serde_json::Value;

use crate::support::{Server, TestEnv, hang, never_accepting, respond};

fn only_failed(env: &TestEnv) -> Value {
    let listed = env
        .hookfire(["failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let id = listed[0]["id"].to_string();
    env.hookfire(["failed", "show", &id, "-o", "json"])
        .run()
        .assert_code(0)
        .json()
}

/// Retries the interrupted delivery and checks that its uuid is the same.
fn recovers(env: &TestEnv, interrupted: &Value) {
    let server = Server::script(vec![respond(200)]);
    let id = interrupted["id"].to_string();
    env.hookfire(["retry", &id, "--url", &server.url()])
        .run()
        .assert_code(0);
    assert_eq!(
        server.requests()[0].header("webhook-id"),
        interrupted["uuid"].as_str()
    );
    let listed = env
        .hookfire(["failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(listed, serde_json::json!([]));
}

#[test]
fn killed_while_waiting_for_the_next_attempt() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503)]);
    let mut running = env
        .hookfire(["fire", "account", "created", "--url", &server.url()])
        .spawn();
    running.wait_for_stderr("next in 60s");
    running.kill9();
    let interrupted = only_failed(&env);
    assert_eq!(interrupted["status"], "interrupted");
    assert_eq!(interrupted["next_attempt_at"], Value::Null);
    assert_eq!(
        interrupted["last_error"]["message"], "503 Service Unavailable",
        "the last that is known"
    );
    assert_eq!(interrupted["attempts"].as_array().unwrap().len(), 1);
    drop(running);
    recovers(&env, &interrupted);
}

#[test]
fn killed_during_the_request() {
    let env = TestEnv::new();
    let server = Server::script(vec![hang()]);
    let mut running = env
        .hookfire(["fire", "account", "created", "--url", &server.url()])
        .spawn();
    let received = server.wait_for_requests(1);
    running.kill9();
    let interrupted = only_failed(&env);
    assert_eq!(interrupted["status"], "interrupted");
    assert_eq!(interrupted["attempts"][0]["error"]["kind"], "interrupted");
    assert_eq!(interrupted["attempts"][0]["maybe_received"], true);
    assert_eq!(interrupted["attempts"][0]["duration_ms"], Value::Null);
    assert_eq!(
        received[0].header("webhook-id"),
        interrupted["uuid"].as_str(),
        "what went out is what is known"
    );
    drop(running);
    recovers(&env, &interrupted);
}

#[test]
fn killed_before_the_request_leaves() {
    let env = TestEnv::new();
    let nobody = never_accepting();
    let mut running = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--url",
            &nobody.url(),
            "--connect-timeout",
            "20s",
        ])
        .spawn();
    // The first line is printed when the delivery is committed; the connection is never made.
    running.wait_for_stderr("#1 account.created");
    running.kill9();
    let interrupted = only_failed(&env);
    assert_eq!(interrupted["status"], "interrupted");
    drop(running);
    recovers(&env, &interrupted);
}

#[test]
fn delivery_of_a_running_process_cannot_be_retried() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503)]);
    let mut running = env
        .hookfire(["fire", "account", "created", "--url", &server.url()])
        .spawn();
    running.wait_for_stderr("next in 60s");
    let listed = env
        .hookfire(["failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(listed, serde_json::json!([]));
    let retry = env.hookfire(["retry", "1"]).run().assert_code(5);
    assert!(retry.stderr().contains("#1 is being sent"), "{retry}");
    env.hookfire(["failed", "delete", "1", "--yes"])
        .run()
        .assert_code(5);
    let journal = env
        .hookfire(["journal", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(journal[0]["status"], "pending");
    assert!(journal[0]["next_attempt_at"].is_string());
    running.interrupt();
    running.wait().assert_code(130);
}

/// Expires all leases.
fn leases_run_out(env: &TestEnv) {
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    let pending = journal
        .execute(
            "UPDATE deliveries SET lease_until = 1 WHERE status = 'pending'",
            [],
        )
        .unwrap();
    assert_eq!(pending, 1);
}

#[test]
fn suspended_process_stops_sending_when_its_lease_expires() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200)]);
    let args = [
        "fire",
        "account",
        "created",
        "--retry-interval",
        "3s",
        "--url",
        &server.url(),
    ];
    let mut running = env.hookfire(args).spawn();
    running.wait_for_stderr("next in 3s");
    running.suspend();
    env.hookfire(["retry", "--all"]).run().assert_code(0);
    assert_eq!(server.requests().len(), 1, "it lives, and its lease holds");
    leases_run_out(&env);
    let retried = env
        .hookfire(["retry", "--all", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        (&retried[0]["status"], &retried[0]["attempt_count"]),
        (&"delivered".into(), &2.into())
    );
    running.resume();
    let outcome = running.wait();
    assert!(
        outcome
            .stderr()
            .contains("#1 was taken over by another process"),
        "{outcome}"
    );
    assert_ne!(outcome.code, Some(0), "{outcome}");
    assert_eq!(server.requests().len(), 2);
    let shown = env
        .hookfire(["journal", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        (&shown["status"], &shown["attempt_count"]),
        (&"delivered".into(), &2.into()),
        "{shown}"
    );
}

#[test]
fn suspended_process_records_its_response_when_resumed() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200).held(), respond(503)]);
    let mut running = env
        .hookfire(["fire", "account", "created", "--url", &server.url()])
        .spawn();
    server.wait_for_requests(1);
    running.suspend();
    leases_run_out(&env);
    let retried = env
        .hookfire(["retry", "--all", "-o", "json"])
        .run()
        .assert_code(3)
        .json();
    let attempts = &retried[0]["attempts"];
    assert_eq!(attempts[0]["maybe_received"], true, "{retried}");
    server.release();
    running.resume();
    running.wait().assert_code(0);
    let shown = env
        .hookfire(["journal", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(shown["status"], "delivered", "{shown}");
    assert_eq!(
        (
            &shown["attempts"][0]["http_status"],
            &shown["attempts"][1]["http_status"]
        ),
        (&200.into(), &503.into())
    );
    assert_eq!(
        server.requests()[0].header("webhook-id"),
        server.requests()[1].header("webhook-id")
    );
}

#[test]
fn killed_retry_leaves_its_delivery_in_the_failed_list() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), hang()]);
    env.hookfire([
        "fire",
        "account",
        "created",
        "--no-retry",
        "--url",
        &server.url(),
    ])
    .run()
    .assert_code(3);
    let mut running = env.hookfire(["retry", "--all"]).spawn();
    server.wait_for_requests(2);
    running.kill9();
    let interrupted = only_failed(&env);
    assert_eq!(interrupted["attempt_count"], 2);
    assert_eq!(interrupted["last_error"]["kind"], "interrupted");
    drop(running);
    recovers(&env, &interrupted);
}

#[test]
fn unrecorded_delivery_exits_6() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200).held()]);
    let running = env
        .hookfire(["fire", "account", "created", "--url", &server.url()])
        .spawn();
    server.wait_for_requests(1);
    // Another program locks the journal for longer than the busy timeout.
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    server.release();
    let outcome = running.wait().assert_code(6);
    assert!(
        outcome
            .stderr()
            .contains("#1 was sent (delivered), but the journal could not record it"),
        "{outcome}"
    );
    drop(lock);
    assert_eq!(only_failed(&env)["status"], "interrupted");
}
