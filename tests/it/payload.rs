//! `fire --body`: payloads that are not events, from the command line to the failed list and back.

use serde_json::{Value, json};

use crate::support::{Outcome, Received, Server, TestEnv, forever, respond};

/// Sends with these options and returns the only request.
fn sent(env: &TestEnv, options: &[&str]) -> (Received, Outcome) {
    let server = Server::script(vec![respond(200)]);
    let outcome = env
        .hookfire(["fire", "--url", &server.url(), "-o", "json"])
        .args(options)
        .run()
        .assert_code(0);
    (server.requests().remove(0), outcome)
}

/// Fails to send with these options.
fn failed(env: &TestEnv, options: &[&str]) -> Value {
    let server = Server::script(vec![forever(503)]);
    let fire = [
        "fire",
        "--no-retry",
        "-o",
        "json",
        "--url",
        &format!("{}?token=s3cret", server.url()),
    ];
    env.hookfire(fire).args(options).run().assert_code(3).json()
}

/// A command line that is refused before anything is sent or recorded.
fn refused(env: &TestEnv, options: &[&str]) -> String {
    let outcome = env
        .hookfire(["fire", "--url", "http://127.0.0.1:1/"])
        .args(options)
        .run()
        .assert_code(2);
    assert!(!env.journal_path().exists(), "{outcome}");
    outcome.stderr().to_owned()
}

const ORDER: &str = "{ \"type\": \"order.paid\",\r\n \"amount\": 10.50, \"amount\": 1e2 }\n";
const BINARY: &[u8] = b"\x89PNG\r\n\x1a\n\0\xff\xfe";

#[test]
fn exact_bytes_are_sent_with_their_content_type() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    env.write_file("photo.png", BINARY);
    env.write_file("form", "a=1&b=%20");
    for (options, content_type, method, body) in [
        (
            &["--body", "order.json"][..],
            "application/json",
            "POST",
            ORDER.as_bytes(),
        ),
        (
            &["--body", "photo.png", "--method", "put"],
            "image/png",
            "PUT",
            BINARY,
        ),
        (
            &["--body", "form"],
            "application/octet-stream",
            "POST",
            b"a=1&b=%20",
        ),
        (
            &[
                "--body",
                "form",
                "--content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ],
            "application/x-www-form-urlencoded; charset=utf-8",
            "POST",
            b"a=1&b=%20",
        ),
        (
            &["--body", "order.json", "-H", "Content-Type: a/b"],
            "a/b",
            "POST",
            ORDER.as_bytes(),
        ),
        (
            &["--body", "order.json", "--method", "GET"],
            "application/json",
            "GET",
            ORDER.as_bytes(),
        ),
    ] {
        let (request, outcome) = sent(&env, options);
        assert_eq!(request.method, method, "{outcome}");
        assert_eq!(request.header("content-type"), Some(content_type));
        assert!(request.body == body, "{outcome}");
        assert_eq!(
            request.header("webhook-id"),
            outcome.json()["uuid"].as_str()
        );
        assert_eq!(outcome.json()["method"], method);
        assert_eq!(outcome.json()["wire"], Value::Null);
    }
}

#[test]
fn a_body_can_come_from_stdin() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(200)]));
    env.hookfire(["fire", "--body", "-", "--url", &server.url()])
        .stdin(*b" [1]")
        .run()
        .assert_code(0);
    let request = server.requests().remove(0);
    assert_eq!(request.body, b" [1]");
    assert_eq!(request.header("content-type"), Some("application/json"));
    if crate::support::needs("script", &["--version"]) {
        let fire = [
            "fire",
            "--body",
            "-",
            "--url",
            "http://127.0.0.1:1/",
            "--dry-run",
        ];
        let outcome = env.hookfire_on_terminal(&fire).stdin(*b"x\n\x04").run();
        assert!(
            outcome.screen().contains("reading the body from stdin"),
            "{outcome}"
        );
    }
}

#[test]
fn labels_are_given_or_taken_from_the_body() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    env.write_file("ping.json", r#"{"type":"ping"}"#);
    env.write_file("plain.json", r#"{"id":7}"#);
    for (options, event_type, action, shown) in [
        (
            &["--body", "order.json"][..],
            json!("order"),
            json!("paid"),
            "order.paid",
        ),
        (&["--body", "ping.json"], json!("ping"), Value::Null, "ping"),
        (&["--body", "plain.json"], Value::Null, Value::Null, "POST"),
        (
            &["bill", "sent", "--body", "order.json"],
            json!("bill"),
            json!("sent"),
            "bill.sent",
        ),
        (
            &["bill.sent", "--body", "plain.json"],
            json!("bill"),
            json!("sent"),
            "bill.sent",
        ),
        (
            &["bill", "--body", "order.json"],
            json!("bill"),
            Value::Null,
            "bill",
        ),
    ] {
        let (_, outcome) = sent(&env, options);
        let delivery = outcome.json();
        assert_eq!(
            (&delivery["type"], &delivery["action"]),
            (&event_type, &action)
        );
        let list = env
            .hookfire(["journal", "list", "--limit", "1"])
            .run()
            .assert_code(0);
        let words: Vec<&str> = list
            .stdout()
            .lines()
            .nth(1)
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(words[1], shown, "{list}");
        if shown == "POST" {
            assert_eq!(words[2], "/", "{list}");
        }
    }
    let list = [
        "journal", "list", "--type", "order", "--action", "paid", "-o", "json",
    ];
    let found = env.hookfire(list).run().assert_code(0).json();
    assert_eq!(found.as_array().map(Vec::len), Some(1));
}

#[test]
fn options_that_contradict_a_body_are_refused() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    for more in [
        &["--object", "order.json"][..],
        &["--event", "order.json"],
        &["--batch", "order.json"],
        &["--portal-object", "7"],
        &["--wire", "form"],
        &["--compat", "porta"],
        &["--seed", "7"],
        &["--force"],
        &["--method", "two words"],
        &["--method", "CONNECT"],
        &["--content-type", "json"],
        &["--content-type", "a/b\r\nX: y"],
        &["http://example.com/"],
        &["--content-type", "a/b", "-H", "content-type: c/d"],
        &["a\nb"],
    ] {
        let message = refused(&env, &[&["--body", "order.json"], more].concat());
        assert!(message.starts_with("error:"), "{more:?}: {message}");
    }
    let message = refused(&env, &["account", "created", "--content-type", "a/b"]);
    assert!(message.contains("--body"), "{message}");
    let missing = env
        .hookfire(["fire", "--url", "http://127.0.0.1:1/", "--body", "missing"])
        .run()
        .assert_code(1);
    assert!(
        missing.stderr().contains("cannot read `missing`"),
        "{missing}"
    );
}

#[test]
fn switches_and_body_formats_apply_to_events_only() {
    let (mut env, server) = (TestEnv::new(), Server::script(vec![respond(200)]));
    env.write_config(&format!(
        "[endpoints.e]\nurl = '{}'\nactive = false\nwire = 'form'\n",
        server.url()
    ));
    env.set("HOOKFIRE_COMPAT", "porta");
    env.write_file("order.json", ORDER);
    env.hookfire(["fire", "--body", "order.json", "-e", "e"])
        .run()
        .assert_code(0);
    let request = server.requests().remove(0);
    assert!(request.body == ORDER.as_bytes());
    assert_eq!(request.header("content-type"), Some("application/json"));
}

#[test]
fn a_failed_body_is_shown_and_sent_again_unchanged() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    env.write_file("photo", BINARY);
    failed(&env, &["--body", "order.json"]);
    failed(&env, &["--body", "photo", "--method", "PATCH"]);

    let page = env.hookfire(["failed", "show", "1"]).run().assert_code(0);
    assert!(page.stdout().contains("#1 order.paid\n"), "{page}");
    assert!(page.stdout().contains("\"amount\": 10.50,\n"), "{page}");
    let page = env.hookfire(["failed", "show", "2"]).run().assert_code(0);
    assert!(page.stdout().contains("PATCH"), "{page}");
    assert!(page.stdout().contains("not text"), "{page}");
    let view = |id: &str| {
        let show = ["failed", "show", id, "-o", "json"];
        env.hookfire(show).run().assert_code(0).json()
    };
    let (order, photo) = (view("1"), view("2"));
    assert_eq!(
        (&order["body"], &order["body_encoding"]),
        (&json!(ORDER), &json!("utf8"))
    );
    assert_eq!(photo["body_encoding"], "base64");
    assert_eq!(order["event"], Value::Null);
    let exact = env
        .hookfire(["journal", "show", "2", "--body"])
        .run()
        .assert_code(0);
    assert_eq!(exact.stdout, BINARY);
    let xml = env
        .hookfire(["journal", "show", "2", "-o", "xml"])
        .run()
        .assert_code(2);
    assert!(xml.stderr().contains("--body"), "{xml}");

    let server = Server::script(vec![respond(200).times(2)]);
    let dry = ["retry", "2", "--dry-run", "--url", "http://h.example/x"];
    let dry = env.hookfire(dry).run().assert_code(0);
    assert_eq!(dry.stdout(), "would send #2 PATCH / → http://h.example/x\n");
    let retry = ["retry", "--all", "--url", &server.url()];
    env.hookfire(retry).run().assert_code(0);
    let requests = server.requests();
    assert!(requests[0].body == ORDER.as_bytes() && requests[1].body == BINARY);
    assert_eq!(requests[1].method, "PATCH");
    assert_eq!(
        requests[1].header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(requests[0].header("webhook-id"), order["uuid"].as_str());
}

#[test]
fn a_scheduled_body_is_sent_when_it_is_due() {
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![respond(503), respond(200)]),
    );
    env.write_file("order.json", ORDER);
    let fire = [
        "fire",
        "--body",
        "order.json",
        "--background",
        "--retry-interval",
        "0s",
    ];
    env.hookfire(fire)
        .args(["--url", &server.url()])
        .run()
        .assert_code(0);
    env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.body == ORDER.as_bytes())
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_list_of_failures_carries_every_payload() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    env.write_file("photo", BINARY);
    failed(&env, &["--body", "order.json", "--method", "PUT"]);
    failed(&env, &["bill", "sent", "--body", "photo"]);
    failed(&env, &["account", "created"]);
    let list = env
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    assert!(roxmltree::Document::parse(list.stdout()).is_ok(), "{list}");

    let other = TestEnv::new();
    other
        .hookfire(["failed", "import", "-"])
        .stdin(list.stdout.clone())
        .run()
        .assert_code(0);
    let view = |env: &TestEnv, id: &str| {
        let show = ["failed", "show", id, "-o", "json"];
        env.hookfire(show).run().assert_code(0).json()
    };
    for id in ["1", "2", "3"] {
        let (here, there) = (view(&env, id), view(&other, id));
        for key in [
            "uuid",
            "type",
            "action",
            "method",
            "content_type",
            "body",
            "body_encoding",
        ] {
            assert_eq!(here[key], there[key], "{key}");
        }
    }
}

#[test]
fn dry_run_shows_the_request_and_sends_nothing() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    env.write_file("photo", BINARY);
    let dry = |options: &[&str]| {
        let fire = [
            "fire",
            "--dry-run",
            "--url",
            "http://127.0.0.1:1/?token=s3cret",
        ];
        env.hookfire(fire).args(options).run().assert_code(0)
    };
    let outcome = dry(&["--body", "order.json", "--method", "PUT"]);
    assert!(
        outcome
            .stdout()
            .starts_with("PUT http://127.0.0.1:1/?token=***\ncontent-type: application/json\n"),
        "{outcome}"
    );
    assert!(outcome.stdout().ends_with(ORDER), "{outcome}");
    let request = dry(&["--body", "photo", "-o", "json"]).json()["request"].clone();
    assert_eq!(request["method"], "POST");
    assert_eq!(request["body_encoding"], "base64");
    assert!(!env.journal_path().exists());
}

#[test]
fn a_body_is_compared_with_a_capture() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    let listener = crate::support::Listener::start(&env, &[]);
    let fire = ["fire", "--body", "order.json", "--method", "PUT", "--url"];
    env.hookfire(fire).arg(listener.url()).run().assert_code(0);
    let diff = ["captured", "diff", "1", "delivery:1", "-o", "json"];
    let compared = env.hookfire(diff).run().assert_code(0).json();
    assert_eq!(compared["bodies"], "byte_equal");
    assert_eq!(compared["request_differences"], json!([]));
}

#[test]
fn set_changes_json_and_keeps_the_rest_as_written() {
    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    let set = [
        "--body",
        "order.json",
        "--set",
        "type=bill.sent",
        "--set",
        "lines:=[{\"n\": 1.0}]",
        "--set",
        "lines/[1]/name=\u{e9}\"",
    ];
    let (request, outcome) = sent(&env, &set);
    let expected = concat!(
        "{ \"type\": \"bill.sent\",\r\n \"amount\": 10.50, \"amount\": 1e2,",
        " \"lines\": [{\"n\": 1.0,\"name\": \"\u{e9}\\\"\"}] }\n"
    );
    assert_eq!(String::from_utf8(request.body).unwrap(), expected);
    assert_eq!(
        outcome.json()["type"],
        "bill",
        "labels are those of the changed body"
    );

    let env = TestEnv::new();
    env.write_file("order.json", ORDER);
    env.write_file("order.xml", "<order/>");

    for (options, problem) in [
        (
            &["--body", "order.xml", "--set", "a=1"][..],
            "the body is not JSON",
        ),
        (
            &["--body", "order.json", "--set", "a/b=1"],
            "no `a` in the body, which has `type`, `amount`",
        ),
        (
            &["--body", "order.json", "--set", "a:=x"],
            "its value is not JSON",
        ),
        (
            &["--body", "order.json", "--set", "a"],
            "takes PATH=TEXT or PATH:=JSON",
        ),
        (
            &["account", "created", "--set", "org_name:=1"],
            "an event is XML",
        ),
    ] {
        let message = refused(&env, options);
        assert!(message.contains(problem), "{message}");
    }
}

#[test]
fn batch_lines_carry_any_payload() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(200).times(6)]));
    env.write_file("photo.png", BINARY);
    env.write_file("a.json", r#"{"id": 1.0}"#);
    let lines = [
        r#"{"body": {"type": "order.paid", "amount": 10.50, "amount": 1e2}}"#,
        r#"{"type": "bill", "action": "sent", "body_text": "<a/>"}"#,
        r#"{"body_file": "photo.png", "method": "put"}"#,
        r#"{"body_file": "a.json", "content_type": "application/x+json", "set": {"id": 2.50, "to": {"x": [1]}}}"#,
        r#"{"body": [7], "type": "list"}"#,
        r#"{"type": "user", "action": "created"}"#,
    ];
    let args = [
        "fire",
        "--batch",
        "-",
        "--jobs",
        "1",
        "-o",
        "ndjson",
        "--url",
        &server.url(),
    ];
    let outcome = env
        .hookfire(args)
        .stdin(lines.join("\n"))
        .run()
        .assert_code(0);
    let mut names: Vec<Value> = Vec::new();
    for delivery in outcome.ndjson() {
        names.push(json!([
            delivery["type"],
            delivery["action"],
            delivery["content_type"]
        ]));
    }
    assert_eq!(
        names,
        [
            json!(["order", "paid", "application/json"]),
            json!(["bill", "sent", "application/xml"]),
            json!([null, null, "image/png"]),
            json!([null, null, "application/x+json"]),
            json!(["list", null, "application/json"]),
            json!(["user", "created", "application/xml"]),
        ]
    );
    let requests = server.requests();
    let body = |n: usize| String::from_utf8_lossy(&requests[n].body).into_owned();
    assert_eq!(
        body(0),
        r#"{"type": "order.paid", "amount": 10.50, "amount": 1e2}"#
    );
    assert_eq!(body(1), "<a/>");
    assert!(requests[2].body == BINARY);
    assert_eq!(requests[2].method, "PUT");
    assert_eq!(body(3), r#"{"id": 2.50,"to": {"x": [1]}}"#);
    assert_eq!(body(4), "[7]");
}

#[test]
fn batch_lines_with_unclear_payloads_are_reported() {
    let env = TestEnv::new();
    for (line, problem) in [
        (
            r#"{"body": {}, "object": "<a/>"}"#,
            "`object` and `body` are both given",
        ),
        (
            r#"{"body": {}, "body_text": ""}"#,
            "`body` and `body_text` are both given",
        ),
        (
            r#"{"type":"a","action":"b","object":"<a/>","content_type":"a/b"}"#,
            "`content_type` is for a `body`",
        ),
        (
            r#"{"body": {}, "content_type": "x"}"#,
            "`content_type`: it is not a content type",
        ),
        (
            r#"{"body": {}, "method": "a b"}"#,
            "`method`: it is not a method",
        ),
        (r#"{"body": {}, "action": "b"}"#, "`type` is missing"),
        (
            r#"{"body_text": "x", "set": {"a": 1}}"#,
            "the body is not JSON",
        ),
        (r#"{"body_file": "missing"}"#, "cannot read `missing`"),
        (r#"{"type": "user"}"#, "`action` is missing"),
        (
            r#"{"boddy": 1}"#,
            "unknown key `boddy`; did you mean `body`?",
        ),
    ] {
        let args = ["fire", "--batch", "-", "--url", "http://127.0.0.1:1/"];
        let outcome = env.hookfire(args).stdin(line).run();
        assert!(
            outcome.stderr().contains(&format!("line 1: {problem}")),
            "{outcome}"
        );
        assert!(!outcome.stderr().contains("delivered in"), "{outcome}");
    }
}
