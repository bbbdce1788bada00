//! Signatures: vendors' libraries sign, and `captured verify` verifies and explains.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Listener, Outcome, TestEnv, python_with};

const SECRET: &str = "It's a Secret to Everybody";
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// GitHub's published example.
fn hello(signature: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hub-Signature-256: {signature}\r\nContent-Length: 13\r\n\r\nHello, World!"
    )
}

/// Captures one request.
fn capture(env: &TestEnv, request: &str) {
    let listener = Listener::start(env, &["--max-body", "20"]);
    listener.send(request);
    listener.stop();
}

fn verify(env: &TestEnv, args: &[&str]) -> Outcome {
    let command = env.hookfire(["captured", "verify", "1"]).args(args);
    command.env("GITHUB_SECRET", SECRET).run()
}

#[test]
fn valid_signature_exits_with_0() {
    let env = TestEnv::new();
    capture(&env, &hello(SIGNATURE));
    let by_header = verify(&env, &["--signing-secret", "@env:GITHUB_SECRET"]).assert_code(0);
    assert_eq!(
        by_header.stdout(),
        "capture #1: the github signature is valid\n"
    );
    assert_eq!(by_header.stderr(), "");
    let rotated = [
        "--scheme",
        "github",
        "--signing-secret",
        "@env:GITHUB_SECRET",
        "--signing-secret",
        "new",
        "-o",
        "json",
    ];
    assert_eq!(
        verify(&env, &rotated).assert_code(0).json(),
        json!({"id": 1, "verified": true, "scheme": "github", "reason": null, "detail": null, "hint": null})
    );
    let by_variable = env.hookfire(["captured", "verify", "1"]);
    by_variable
        .env("HOOKFIRE_SIGNING_SECRET", SECRET)
        .run()
        .assert_code(0);
}

#[test]
fn invalid_signature_exits_with_7_and_explains() {
    let env = TestEnv::new();
    capture(&env, &hello(SIGNATURE));
    let spaced = format!("{SECRET} ");
    let outcome = verify(&env, &["--signing-secret", &spaced]).assert_code(7);
    assert_eq!(
        outcome.stdout(),
        "capture #1: the github signature is not valid: the secret has white space around it\n"
    );
    assert_eq!(
        outcome.stderr(),
        "hint: use the secret exactly as the sender's settings show it\n"
    );
    let other = verify(&env, &["--signing-secret", "canary-5f1", "-o", "json"]).assert_code(7);
    assert_eq!(other.json()["reason"], "mismatch");
    let scheme = ["--signing-secret", "canary-5f1", "--scheme", "slack"];
    let other_scheme = verify(&env, &scheme).assert_code(7);
    assert_eq!(
        other_scheme.stdout(),
        "capture #1: the slack signature is not valid: the request has no header `X-Slack-Signature`, but \
         `X-Hub-Signature-256` of the scheme github\n"
    );
    env.assert_nowhere("canary-5f1", &[&outcome, &other, &other_scheme]);
    env.assert_nowhere(SECRET, &[&outcome]);
}

#[test]
fn incomplete_or_unsigned_request_is_not_valid() {
    let env = TestEnv::new();
    let long = format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hub-Signature-256: {SIGNATURE}\r\nTransfer-Encoding: chunked\r\n\r\n\
         19\r\n{}\r\n0\r\n\r\n",
        "x".repeat(25)
    );
    capture(&env, &long);
    let outcome = verify(&env, &["--signing-secret", "s", "-o", "json"]).assert_code(7);
    assert_eq!(outcome.json()["reason"], "incomplete");
    let detail = outcome.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("20"), "the limit is missing: {detail}");
    let env = TestEnv::new();
    capture(&env, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let outcome = verify(&env, &["--signing-secret", "s"]).assert_code(7);
    assert_eq!(
        outcome.stdout(),
        "capture #1: the signature is not valid: the request has no signature header of a known scheme\n"
    );
}

#[test]
fn unusable_options_are_explained() {
    let env = TestEnv::new();
    capture(&env, &hello(SIGNATURE));
    for (args, code, words) in [
        (&[][..], 2, "there is no signing secret"),
        (&["--signing-secret", "@evn:S"], 2, "did you mean `@env:`?"),
        (
            &["--signing-secret", "@env:UNSET_VARIABLE"],
            1,
            "`UNSET_VARIABLE` is not set",
        ),
        (
            &["--signing-secret", "s", "--scheme", "githb"],
            2,
            "did you mean `github`?",
        ),
        (
            &[
                "--signing-secret",
                "whsec_canary-5f1",
                "--scheme",
                "standard",
            ],
            2,
            "starts with `whsec_`, but no base64 follows",
        ),
    ] {
        let outcome = verify(&env, args).assert_code(code);
        assert!(outcome.stderr().contains(words), "{outcome}");
        env.assert_nowhere("canary-5f1", &[&outcome]);
    }
    let unknown = env.hookfire(["captured", "verify", "9", "--signing-secret", "s"]);
    unknown.run().assert_code(5);
}

/// Signs with each vendor's own code and sends the request.
const SIGN_WITH_LIBRARIES: &str = r#"
import sys, time, urllib.request
from datetime import datetime, timezone
def send(headers, body):
    headers["Content-Type"] = "application/json"
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], body.encode(), headers)).read()
body = '{"type": "invoice.paid", "amount": 10.50}'
now = datetime.now(timezone.utc)
from standardwebhooks.webhooks import Webhook
signature = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign("msg_1", now, body)
send({"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}, body)
from slack_sdk.signature import SignatureVerifier
timestamp = str(int(now.timestamp()))
signature = SignatureVerifier("slack-secret").generate_signature(timestamp=timestamp, body=body)
send({"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature}, body)
from stripe import WebhookSignature
signature = WebhookSignature._compute_signature(timestamp + "." + body, "whsec_stripe")
send({"Stripe-Signature": f"t={timestamp},v1={signature}"}, body)
"#;

#[test]
fn signatures_of_vendors_libraries_are_valid() {
    let env = TestEnv::new();
    let packages = "standardwebhooks, slack_sdk, stripe";
    let Some(python) = python_with(packages) else {
        return;
    };
    let listener = Listener::start(&env, &[]);
    let mut command = Command::new(python);
    let output = command
        .args(["-c", SIGN_WITH_LIBRARIES, listener.url()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    listener.stop();
    for (id, scheme, secret) in [
        ("1", "standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("2", "slack", "slack-secret"),
        ("3", "stripe", "whsec_stripe"),
    ] {
        let args = [
            "captured",
            "verify",
            id,
            "--signing-secret",
            secret,
            "-o",
            "json",
        ];
        let view: Value = env.hookfire(args).run().assert_code(0).json();
        assert_eq!(
            (&view["verified"], &view["scheme"]),
            (&json!(true), &json!(scheme))
        );
    }
}

#[test]
fn a_missing_secret_is_named_with_the_option() {
    let env = TestEnv::new();
    let verify = ["captured", "verify", "1", "--signing-secret", "@env:NONE"];
    let missing = env.hookfire(verify).run();
    let words = "hint: set the variable `NONE`, or give the secret with `--signing-secret";
    assert!(missing.stderr().contains(words), "{missing}");
}
