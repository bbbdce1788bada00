//! `listen --verify` and `expect --verify`: only requests with a valid signature get through.

use serde_json::{Value, json};

use crate::expect::{listening, send};
use crate::support::{Listener, Server, TestEnv, respond};

const SECRET: &str = "canary-signing-secret";

fn hmac(secret: &str, signed: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, signed.as_bytes());
    tag.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// The header of the scheme `stripe` for a body, signed so many seconds ago.
fn stripe(secret: &str, age: u64, body: &str) -> String {
    let timestamp = now() - age;
    let signature = hmac(secret, &format!("{timestamp}.{body}"));
    format!("Stripe-Signature: t={timestamp},v1={signature}\r\n")
}

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /hook HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const VERIFY: [&str; 4] = [
    "--verify",
    "stripe",
    "--signing-secret",
    "@env:STRIPE_SECRET",
];

fn env() -> TestEnv {
    let mut env = TestEnv::new();
    env.set("STRIPE_SECRET", SECRET);
    env
}

/// The capture with this id as it is stored.
fn stored(env: &TestEnv, id: usize) -> Value {
    let id = id.to_string();
    env.hookfire(["captured", "show", &id, "-o", "json"])
        .run()
        .assert_code(0)
        .json()
}

#[test]
fn invalid_signature_is_refused_with_its_reason() {
    let env = env();
    let listener = Listener::start(&env, &[&VERIFY[..], &["--max-body", "30"]].concat());
    let body = r#"{"amount":1}"#;
    let valid = stripe(SECRET, 0, body);
    let cut = format!("{}\r\n", &valid[..valid.len() - 12]);
    let requests = [
        (valid.clone(), body, 200, "valid"),
        (stripe("other", 0, body), body, 401, "mismatch"),
        (valid.clone(), r#"{"amount":2}"#, 401, "mismatch"),
        (stripe(&format!("{SECRET}\n"), 0, body), body, 401, "secret"),
        (stripe(SECRET, 400, body), body, 401, "timestamp_too_old"),
        (cut, body, 401, "malformed_signature"),
        (format!("{valid}{valid}"), body, 401, "repeated_header"),
        (String::new(), body, 401, "missing_header"),
        (
            valid.clone(),
            r#"{ "amount": 1 }"#,
            401,
            "body_reserialized",
        ),
        (valid.clone(), &"x".repeat(31), 413, "incomplete"),
    ];
    for (headers, body, status, reason) in &requests {
        assert_eq!(
            listener.send(post(headers, body)).status,
            *status,
            "{reason}"
        );
    }
    let printed = listener.stop().ndjson();
    for (n, (_, _, status, reason)) in requests.iter().enumerate() {
        let stored = stored(&env, n + 1);
        assert_eq!(stored["response"]["status"], *status, "{reason}");
        let signature = &stored["signature"];
        assert_eq!(*signature, printed[n + 1]["signature"], "{reason}");
        if *reason == "valid" {
            assert_eq!(*signature, json!({"verified": true, "scheme": "stripe"}));
            continue;
        }
        assert_eq!(
            (&signature["verified"], &signature["reason"]),
            (&json!(false), &json!(reason))
        );
        assert!(
            signature["detail"].is_string() && signature["hint"].is_string(),
            "{signature}"
        );
    }
    let shown = stored(&env, 10)["signature"]["detail"].to_string();
    assert!(shown.contains("longer than 30 B"), "{shown}");
}

#[test]
fn invalid_signature_is_marked_in_text() {
    let env = env();
    let listen = ["listen", "--port", "0", "--ready-file", "url"];
    let mut running = env.hookfire(listen).args(VERIFY).spawn();
    running.wait_for_stderr("listening on");
    let url = std::fs::read_to_string(env.work_dir().join("url")).unwrap();
    let port = url.trim().rsplit(':').next().unwrap().parse().unwrap();
    let header = stripe(SECRET, 400, "{}");
    assert_eq!(
        send(
            port,
            &format!("POST /hook HTTP/1.1\r\n{}", header.trim_end()),
            "{}"
        ),
        401
    );
    let line = running.wait_for_stdout_line("#1");
    assert!(
        line.contains("401 Unauthorized")
            && line.contains("invalid signature: the signature is correct, but was made"),
        "{line}"
    );
    running.terminate();
    let outcome = running.wait().assert_code(0);
    let page = env.hookfire(["captured", "show", "1"]).run().assert_code(0);
    assert!(
        page.stdout()
            .contains("signature stripe, not valid: the signature is correct, but"),
        "{page}"
    );
    let list = env.hookfire(["captured", "list"]).run().assert_code(0);
    assert!(list.stdout().contains("401, invalid signature"), "{list}");
    env.assert_nowhere(SECRET, &[&outcome, &page, &list]);
}

#[test]
fn invalid_signature_is_not_forwarded_and_does_not_count() {
    let env = env();
    let receiver = Server::script(vec![respond(202)]);
    let url = receiver.url();
    let listener = Listener::start(
        &env,
        &[&VERIFY[..], &["--exit-after", "1", "--forward-to", &url]].concat(),
    );
    for _ in 0..3 {
        assert_eq!(
            listener.send(post(&stripe("other", 0, "{}"), "{}")).status,
            401
        );
    }
    assert_eq!(
        listener.send(post(&stripe(SECRET, 0, "{}"), "{}")).status,
        202
    );
    assert_eq!(listener.wait().ndjson().len(), 5, "all are printed");
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn signature_of_a_long_body_is_verified() {
    let env = env();
    let listener = Listener::start(&env, &VERIFY);
    let body = "x".repeat(1024 * 1024);
    assert_eq!(
        listener.send(post(&stripe(SECRET, 0, &body), &body)).status,
        200
    );
    let other = format!("y{}", &body[1..]);
    assert_eq!(
        listener
            .send(post(&stripe(SECRET, 0, &body), &other))
            .status,
        401
    );
    listener.stop();
}

#[test]
fn expect_says_why_a_signature_was_refused() {
    let env = env();
    let (running, port) = listening(&env, &[&VERIFY[..], &["--within", "2s"]].concat());
    let head = |header: String| format!("POST /hook HTTP/1.1\r\n{}", header.trim_end());
    assert_eq!(
        send(port, &head(stripe(SECRET, 0, r#"{"a": 1}"#)), r#"{"a":1}"#),
        401
    );
    let outcome = running.wait().assert_code(7);
    let stderr = outcome.stderr();
    assert!(stderr.contains("with a valid stripe signature"), "{stderr}");
    assert!(
        stderr.contains("the signature is not valid: the signature is correct for the same JSON"),
        "{stderr}"
    );
    env.assert_nowhere(SECRET, &[&outcome]);
    let (running, port) = listening(&env, &VERIFY);
    assert_eq!(send(port, &head(stripe(SECRET, 0, "{}")), "{}"), 200);
    running.wait().assert_code(0);
}

#[test]
fn expect_verifies_captures_of_a_running_listener() {
    let env = env();
    let listener = Listener::start(&env, &[]);
    listener.send(post(&stripe(SECRET, 0, "{}"), "{}"));
    listener.stop();
    let in_bin = [
        "expect", "--bin", "inbox", "--since", "1h", "--within", "0s",
    ];
    env.hookfire(in_bin).args(VERIFY).run().assert_code(0);
    let other = ["--verify", "stripe", "--signing-secret", "other"];
    let outcome = env.hookfire(in_bin).args(other).run().assert_code(7);
    assert!(
        outcome.stderr().contains("the signature is not valid"),
        "{outcome}"
    );
}

#[test]
fn verify_options_need_each_other() {
    let env = TestEnv::new();
    for (args, words) in [
        (&["--verify", "github"][..], "there is no signing secret"),
        (
            &["--signing-secret", "canary"],
            "`--signing-secret` requires `--verify SCHEME` or",
        ),
        (&["--tolerance", "1m"], "--verify"),
        (
            &["--verify", "githb", "--signing-secret", "canary"],
            "did you mean `github`?",
        ),
    ] {
        for command in ["listen", "expect"] {
            let outcome = env.hookfire([command]).args(args).run().assert_code(2);
            assert!(outcome.stderr().contains(words), "{outcome}");
            assert!(!outcome.stderr().contains("canary"), "{outcome}");
        }
    }
}
