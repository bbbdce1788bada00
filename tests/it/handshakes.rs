//! `--handshake` and `--cors`: answered, stored, marked, and not counted.

use serde_json::{Value, json};

use crate::expect::{listening, send};
use crate::support::{Listener, TestEnv};

fn request(method: &str, target: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const SLACK: &str = r#"{"token":"x","challenge":"3eZbrw1a","type":"url_verification"}"#;
const ZOOM: &str =
    r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
const EVENT_GRID: &str = r#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent",
    "data":{"validationCode":"512d38b6","validationUrl":"https://example.com/validate"}}]"#;

#[test]
fn handshakes_are_answered_as_each_sender_expects() {
    let env = TestEnv::new();
    let args = [
        "--handshake",
        "all",
        "--signing-secret",
        "canary-secret",
        "--respond",
        "503",
    ];
    let listener = Listener::start(&env, &args);
    let meta = "/hook?hub.mode=subscribe&hub.challenge=11582%3C01444&hub.verify_token=t";
    let response = listener.send(request("GET", meta, "", ""));
    assert_eq!((response.status, response.text()), (200, "11582<01444"));
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    let response = listener.send(request("GET", "/?challenge=abc", "", ""));
    assert_eq!((response.status, response.text()), (200, "abc"));
    let response = listener.send(request("POST", "/slack", "", SLACK));
    assert_eq!((response.status, response.text()), (200, "3eZbrw1a"));
    let response = listener.send(request(
        "POST",
        "/grid",
        "aeg-event-type: SubscriptionValidation\r\n",
        EVENT_GRID,
    ));
    assert_eq!(response.json(), json!({"validationResponse": "512d38b6"}));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let headers = "WebHook-Request-Origin: eventgrid.azure.net\r\nWebHook-Request-Rate: 120\r\n";
    let response = listener.send(request("OPTIONS", "/events", headers, ""));
    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("webhook-allowed-origin"),
        Some("eventgrid.azure.net")
    );
    assert_eq!(response.header("webhook-allowed-rate"), Some("*"));
    let response = listener.send(request("POST", "/zoom", "", ZOOM));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"canary-secret");
    let tag = ring::hmac::sign(&key, b"qgg8vlvZRS6UYooatFL8Aw");
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        response.json(),
        json!({"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": hex})
    );
    let outcome = listener.stop();
    let marks: Vec<Value> = outcome.ndjson()[1..]
        .iter()
        .map(|capture| capture["handshake"].clone())
        .collect();
    assert_eq!(
        marks,
        [
            "meta",
            "dropbox",
            "slack",
            "event-grid",
            "cloudevents",
            "zoom"
        ]
    );
    let shown = env.hookfire(["captured", "show", "3"]).run().assert_code(0);
    assert!(
        shown.stdout().contains("handshake slack, answered"),
        "{shown}"
    );
    env.assert_nowhere("canary-secret", &[&outcome, &shown]);
}

#[test]
fn only_handshakes_that_are_chosen_are_answered() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--handshake", "meta,slack", "--respond", "202"]);
    let others = [
        request("GET", "/?challenge=abc", "", ""),
        request("POST", "/", "", EVENT_GRID),
        request("POST", "/", "", ZOOM),
        request("GET", "/?hub.challenge=abc", "", ""),
        request(
            "POST",
            "/",
            "",
            r#"{"type":"event_callback","text":"url_verification","challenge":"x"}"#,
        ),
        request("PUT", "/", "", SLACK),
        request(
            "OPTIONS",
            "/",
            "Origin: http://a\r\nAccess-Control-Request-Method: PUT\r\n",
            "",
        ),
    ];
    for other in &others {
        let response = listener.send(other);
        assert_eq!((response.status, response.text()), (202, "ok"), "{other}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    for capture in &listener.stop().ndjson()[1..] {
        assert_eq!(capture["handshake"], Value::Null);
    }
}

#[test]
fn zoom_tokens_that_could_be_signatures_are_not_signed() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--handshake", "zoom", "--signing-secret", "s"]);
    for token in ["v0:1700000000:{}", "1700000000.{}", "", &"a".repeat(200)] {
        let body = json!({"event": "endpoint.url_validation", "payload": {"plainToken": token}});
        let response = listener.send(request("POST", "/", "", &body.to_string()));
        let is_signed = response.text().contains("encryptedToken");
        assert_eq!(is_signed, token.is_empty(), "{token}");
    }
    listener.stop();
}

#[test]
fn handshakes_use_no_step_and_do_not_count() {
    let env = TestEnv::new();
    let args = [
        "--handshake",
        "slack",
        "--cors",
        "--respond",
        "503,200",
        "--exit-after",
        "2",
    ];
    let listener = Listener::start(&env, &args);
    let preflight = "Origin: http://a\r\nAccess-Control-Request-Method: PUT\r\n\
        Access-Control-Request-Headers: x-key, content-type\r\nConnection: close\r\n";
    for _ in 0..3 {
        assert_eq!(listener.send(request("POST", "/", "", SLACK)).status, 200);
        let response = listener.send(request("OPTIONS", "/", preflight, ""));
        assert_eq!(response.status, 204);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("access-control-allow-methods"), Some("PUT"));
        assert_eq!(
            response.header("access-control-allow-headers"),
            Some("x-key, content-type")
        );
    }
    let from_page = listener.send(request("PUT", "/", "Origin: http://a\r\n", "x"));
    assert_eq!(from_page.status, 503);
    assert_eq!(from_page.header("access-control-allow-origin"), Some("*"));
    let api = listener.get("/api/v1/bins");
    assert_eq!(
        api.header("access-control-allow-origin"),
        None,
        "the API stays private"
    );
    assert_eq!(listener.post("/", "y").status, 200);
    let captures = listener.wait().ndjson();
    assert_eq!(captures.len(), 1 + 6 + 2);
    assert_eq!(captures[2]["handshake"], "cors");
}

#[test]
fn expect_does_not_count_handshakes() {
    let env = TestEnv::new();
    let (running, port) = listening(&env, &["--handshake", "slack", "--within", "20s"]);
    assert_eq!(send(port, "POST / HTTP/1.1", SLACK), 200);
    assert_eq!(send(port, "POST / HTTP/1.1", "{}"), 200);
    let outcome = running.wait().assert_code(0);
    let matched: Vec<Value> = outcome.ndjson();
    assert_eq!(matched.len(), 2, "{outcome}");
    assert_eq!(matched[1]["id"], 2);
}

#[test]
fn handshake_comes_before_the_signature() {
    let env = TestEnv::new();
    let args = [
        "--handshake",
        "slack",
        "--verify",
        "slack",
        "--signing-secret",
        "s",
    ];
    let listener = Listener::start(&env, &args);
    assert_eq!(listener.send(request("POST", "/", "", SLACK)).status, 200);
    assert_eq!(listener.post("/", "{}").status, 401);
    listener.stop();
}

#[test]
fn unusable_handshake_options_are_explained() {
    let env = TestEnv::new();
    for (args, words) in [
        (&["--handshake", "slak"][..], "did you mean `slack`?"),
        (&["--handshake", "zoom"], "there is no signing secret"),
        (
            &["--handshake", "slack", "--signing-secret", "canary"],
            "`--signing-secret` requires",
        ),
    ] {
        for command in ["listen", "expect"] {
            let outcome = env.hookfire([command]).args(args).run().assert_code(2);
            assert!(outcome.stderr().contains(words), "{outcome}");
            assert!(!outcome.stderr().contains("canary"), "{outcome}");
        }
    }
}
