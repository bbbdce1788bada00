//! End to end: an event is sent once, retried by the policy, and its outcome is reported.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Server, TestEnv, closed_port, drip_body, echo, forever, hang, repeat, respond,
};

/// A message as sent by 3scale, indented: action before type.
const MESSAGE: &str = include_str!("data/account-created.xml");

#[test]
fn event_arrives_once_unchanged_with_secret_and_id() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200)]);
    let file = env.write_file("message.xml", MESSAGE);
    let url = format!("{}/hook?site=7", server.url());
    let outcome = env
        .hookfire([
            "fire",
            "--url",
            &url,
            "--secret",
            "token=open-sesame",
            "--param",
            "mode=test",
            "-o",
            "json",
            "--event",
        ])
        .arg(file)
        .run()
        .assert_code(0);
    let delivery = outcome.json();
    assert_eq!(
        (&delivery["type"], &delivery["action"]),
        (&Value::from("account"), &Value::from("created"))
    );
    assert_eq!(delivery["status"], "delivered");
    assert_eq!(
        delivery["url"],
        format!("{}/hook?site=***&token=***&mode=test", server.url())
    );
    let requests = server.requests();
    let request = &requests[0];
    assert_eq!(request.body, MESSAGE.as_bytes());
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/hook?site=7&token=open-sesame&mode=test")
    );
    assert_eq!(request.header("content-type"), Some("application/xml"));
    assert_eq!(request.header("webhook-id"), delivery["uuid"].as_str());
}

#[test]
fn event_contains_the_object_unchanged() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200)]);
    let object = "<?xml version=\"1.0\"?>\n<user><id>7</id><note>a &amp; b</note><empty/></user>\n";
    env.hookfire([
        "fire",
        "user",
        "renamed",
        "--url",
        &server.url(),
        "--object",
        "-",
        "--set",
        "note=<new>",
    ])
    .stdin(object)
    .run()
    .assert_code(0);
    let body = String::from_utf8(server.requests()[0].body.clone()).unwrap();
    insta::assert_snapshot!(body, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <event>
      <type>user</type>
      <action>renamed</action>
      <object>
        <user><id>7</id><note>&lt;new&gt;</note><empty/></user>
      </object>
    </event>
    "#);
}

#[test]
fn every_documented_event_with_a_full_object_has_a_sample() {
    let env = TestEnv::new();
    for (event_type, action) in [
        ("account", "created"),
        ("user", "updated"),
        ("application", "suspended"),
    ] {
        let server = Server::script(vec![respond(200)]);
        env.hookfire(["fire", event_type, action, "--url", &server.url()])
            .run()
            .assert_code(0);
        let body = String::from_utf8(server.requests()[0].body.clone()).unwrap();
        let document = roxmltree::Document::parse(&body).unwrap();
        let object = document
            .descendants()
            .find(|node| node.has_tag_name("object"))
            .unwrap();
        assert_eq!(
            object.first_element_child().unwrap().tag_name().name(),
            event_type
        );
    }
    let env = TestEnv::new();
    let outcome = env
        .hookfire(["fire", "acount", "created", "--url", "http://127.0.0.1:9/"])
        .run()
        .assert_code(2);
    insta::assert_snapshot!(outcome.stderr(), @"
    error: there is no built-in sample for `acount` `created`
    hint: did you mean `account created`?
    hint: pass an object for any other type and action: `--object FILE`, or any payload with `--body FILE`
    ");
    assert!(
        !env.journal_path().exists(),
        "what was never accepted is not in the journal"
    );
    let outcome = env
        .hookfire(["events", "show", "order", "paid out"])
        .run()
        .assert_code(2);
    insta::assert_snapshot!(outcome.stderr(), @"
    error: there is no built-in sample for `order` `paid out`
    hint: `hookfire events list` lists the events with samples
    hint: pass an object for any other type and action: `hookfire fire order 'paid out' --object FILE`
    ");
    let other = [
        "events",
        "show",
        "application",
        "user_key_updated",
        "--auth-mode",
        "oauth",
    ];
    let outcome = env.hookfire(other).run().assert_code(2);
    assert!(
        outcome
            .stderr()
            .contains("with `hookfire fire application user_key_updated --object FILE`"),
        "{outcome}"
    );
}

#[test]
fn sixth_attempt_can_deliver() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 5), respond(200)]);
    let outcome = env
        .hookfire([
            "fire",
            "application",
            "created",
            "--url",
            &server.url(),
            "--retry-interval",
            "20ms",
        ])
        .run()
        .assert_code(0);
    insta::assert_snapshot!(env.redacted(&outcome), @"
    #1 delivered, 6 attempts
    ------- stderr -------
    #1 application.created → http://127.0.0.1:[PORT]/
    attempt 1 of 6: 503 Service Unavailable ([DURATION]), next in 20ms
    attempt 2 of 6: 503 Service Unavailable ([DURATION]), next in 20ms
    attempt 3 of 6: 503 Service Unavailable ([DURATION]), next in 20ms
    attempt 4 of 6: 503 Service Unavailable ([DURATION]), next in 20ms
    attempt 5 of 6: 503 Service Unavailable ([DURATION]), next in 20ms
    attempt 6 of 6: 200 OK ([DURATION])
    [exit code: 0]
    ");
    let ids: Vec<String> = server
        .requests()
        .iter()
        .map(|r| r.header("webhook-id").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 6);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn attempts_are_an_interval_apart() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), respond(200)]);
    let interval = Duration::from_millis(200);
    let outcome = env
        .hookfire([
            "fire",
            "user",
            "created",
            "--url",
            &server.url(),
            "--retry-interval",
            "200ms",
        ])
        .run()
        .assert_code(0);
    assert!(outcome.elapsed >= interval * 2, "{:?}", outcome.elapsed);
}

#[test]
fn six_refusals_end_in_the_failed_list() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 6)]);
    let outcome = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--url",
            &server.url(),
            "--retry-interval",
            "1ms",
            "-o",
            "json",
        ])
        .run()
        .assert_code(3);
    let delivery = outcome.json();
    assert_eq!(
        (&delivery["status"], &delivery["attempt_count"]),
        (&"failed".into(), &6.into())
    );
    assert_eq!(delivery["last_error"]["message"], "503 Service Unavailable");
    assert_eq!(
        delivery["finished_at"].as_str().unwrap().len(),
        "2026-11-20T10:00:00.000Z".len()
    );
    let error: Value =
        serde_json::from_str(outcome.stderr()).expect("one JSON object on stderr and nothing else");
    assert_eq!(error["error"]["kind"], "refused");
    let failed = env
        .hookfire(["failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(failed[0]["id"], delivery["id"]);
    assert_eq!(failed[0].get("attempts"), None, "lists carry no attempts");
}

#[test]
fn unreachable_exits_4_and_status_202_is_refused() {
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let outcome = env
        .hookfire(["fire", "account", "created", "--no-retry", "--url", &url])
        .run()
        .assert_code(4);
    insta::assert_snapshot!(outcome.stdout(), @"#1 failed, 1 attempt: connection refused");
    let server = Server::script(vec![respond(202)]);
    let outcome = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    insta::assert_snapshot!(outcome.stdout(), @"#2 failed, 1 attempt: 202 Accepted is not 200");
    assert!(outcome.stderr().contains("--success 200-207"), "{outcome}");
    let server = Server::script(vec![respond(202)]);
    env.hookfire([
        "fire",
        "account",
        "created",
        "--success",
        "200-207",
        "--url",
        &server.url(),
    ])
    .run()
    .assert_code(0);
}

#[test]
fn dry_run_shows_the_request_and_sends_nothing() {
    let env = TestEnv::new();
    let server = Server::script(vec![]);
    let outcome = env
        .hookfire([
            "fire",
            "user",
            "created",
            "--url",
            &server.url(),
            "--secret",
            "token=open-sesame",
            "--dry-run",
        ])
        .run()
        .assert_code(0);
    let head: Vec<&str> = outcome.stdout().lines().take(5).collect();
    let expected = format!("POST {}/?token=***", server.url());
    assert_eq!(
        head,
        [
            &expected,
            "content-type: application/xml",
            "webhook-id: (made when it is sent)",
            "",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
        ]
    );
    assert!(
        outcome.stderr().contains("6 attempts in total"),
        "{outcome}"
    );
    assert_eq!(server.connections(), 0);
    assert!(!env.journal_path().exists());
}

#[test]
fn ctrl_c_between_attempts_records_and_exits_130() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503)]);
    let mut running = env
        .hookfire(["fire", "account", "created", "--url", &server.url()])
        .spawn();
    running.wait_for_stderr("next in 60s");
    running.interrupt();
    let outcome = running.wait().assert_code(130);
    insta::assert_snapshot!(outcome.stdout(), @"#1 interrupted, 1 attempt: 503 Service Unavailable");
    let failed = env.hookfire(["failed", "list", "-o", "json"]).run().json();
    assert_eq!(failed[0]["status"], "interrupted");
    assert_eq!(failed[0]["next_attempt_at"], Value::Null);
}

#[test]
fn sigterm_during_a_request_records_maybe_received() {
    let env = TestEnv::new();
    let server = Server::script(vec![hang()]);
    let mut running = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--url",
            &server.url(),
            "-o",
            "json",
        ])
        .spawn();
    server.wait_for_requests(1);
    running.terminate();
    let outcome = running.wait().assert_code(130);
    let delivery = outcome.json();
    assert_eq!(delivery["status"], "interrupted");
    assert_eq!(delivery["attempts"][0]["error"]["kind"], "interrupted");
    assert_eq!(delivery["attempts"][0]["maybe_received"], true);
}

#[test]
fn ctrl_c_is_noticed_while_a_body_drips() {
    let env = TestEnv::new();
    let server = Server::script(vec![drip_body(Duration::from_millis(5), b'x').status(503)]);
    let begun = Instant::now();
    let mut running = env
        .hookfire([
            "fire",
            "user",
            "created",
            "--timeout",
            "20s",
            "--url",
            &server.url(),
        ])
        .spawn();
    server.wait_for_requests(1);
    // Sufficient for the head to arrive; the body has no pause after it.
    std::thread::sleep(Duration::from_millis(300));
    running.interrupt();
    running.wait().assert_code(130);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let shown = env
        .hookfire(["failed", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    let note = shown["attempts"][0]["note"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(note.contains("still arriving at the interrupt"), "{shown}");
}

#[test]
fn second_ctrl_c_exits_at_once() {
    let env = TestEnv::new();
    let server = Server::script(vec![hang()]);
    let mut running = env
        .hookfire(["fire", "account", "created", "--url", &server.url()])
        .spawn();
    server.wait_for_requests(1);
    // It cannot record what the first signal stopped, and would wait ten seconds for the lock.
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    while running.is_running() {
        running.interrupt();
        std::thread::sleep(Duration::from_millis(20));
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it still waits for the journal's lock"
        );
    }
    running.wait().assert_code(130);
    drop(lock);
    let failed = env.hookfire(["failed", "list", "-o", "json"]).run().json();
    assert_eq!(
        failed[0]["status"], "interrupted",
        "nothing is lost by that"
    );
}

#[test]
fn ping_sends_one_get_and_records_nothing() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200), respond(404)]);
    let url = format!("{}/hook?token=open-sesame", server.url());
    let outcome = env.hookfire(["ping", "--url", &url]).run().assert_code(0);
    insta::assert_snapshot!(env.redacted(&outcome.stdout()), @"http://127.0.0.1:[PORT]/hook?token=***&ping=3scale responded 200 OK ([DURATION])");
    let outcome = env
        .hookfire(["ping", "--url", &url, "-o", "json"])
        .run()
        .assert_code(3);
    assert_eq!(outcome.json()["http_status"], 404);
    for request in server.requests() {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/hook?token=open-sesame&ping=3scale")
        );
        assert!(request.body.is_empty());
    }
    assert!(!env.journal_path().exists());
}

#[test]
fn demo_shows_a_retry_and_leaves_no_files() {
    let env = TestEnv::new();
    let outcome = env
        .hookfire(["demo"])
        .env("HOOKFIRE_OUTPUT", "json")
        .env("HOOKFIRE_RETRIES", "0")
        .run()
        .assert_code(0);
    let shown = outcome.stdout();
    for expected in [
        "$ hookfire fire application created -e demo",
        "#1 failed, 2 attempts: 503 Service Unavailable",
        "$ hookfire failed list",
        "$ hookfire retry --all",
        "#1 delivered, 3 attempts",
        "response 200",
        "<name>Demo</name>",
    ] {
        assert!(
            shown.contains(expected),
            "{expected} is missing in {outcome}"
        );
    }
    let ids: Vec<&str> = shown
        .split("webhook-id: ")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(!shown.contains("a-secret-that-no-output-shows"));
    assert!(outcome.stderr().contains("attempt 2 of 2"), "{outcome}");
    assert!(
        !outcome.stderr().contains("hint:"),
        "its journal is deleted: {outcome}"
    );
    assert!(!env.journal_path().exists());
    assert_eq!(
        std::fs::read_dir(env.root().join("tmp")).unwrap().count(),
        0,
        "the temporary folder is gone"
    );
}

#[test]
fn verbose_fire_shows_request_and_response() {
    let env = TestEnv::new();
    let server = Server::script(vec![echo()]);
    let outcome = env
        .hookfire([
            "fire",
            "user",
            "created",
            "--no-retry",
            "-vv",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    for expected in [
        "journal: ",
        "POST http://127.0.0.1",
        "webhook-id: ",
        "<type>user</type>",
        "response body (",
    ] {
        assert!(
            outcome.stderr().contains(expected),
            "{expected} is missing in {outcome}"
        );
    }
    let server = Server::script(vec![forever(503)]);
    let quiet = env
        .hookfire([
            "fire",
            "user",
            "created",
            "--no-retry",
            "-q",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    assert_eq!(quiet.stderr(), "");
}
