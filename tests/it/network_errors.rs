//! Network errors one by one: message, exit code, requests at the endpoint, and bounds on time and memory.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Outcome, Server, Step, TestEnv, chunked_endless, close, closed_port, drip_body, drip_head,
    endless_headers, half_status_line, hang, head_then_cut_body, huge_body, never_accepting, raw,
    reset, respond,
};

const TIMEOUT: Duration = Duration::from_secs(1);
/// Guaranteed maximum delay after `--timeout`.
const PROMISED: Duration = Duration::from_millis(250);
/// Time for starting a debug build, opening the journal and noticing the end, on busy cores.
const START_SLACK: Duration = Duration::from_millis(750);
const KEPT: usize = 64 * 1024;

fn fire(env: &TestEnv, url: &str, more: &[&str]) -> Outcome {
    let usual = [
        "fire",
        "account",
        "created",
        "--url",
        url,
        "--no-retry",
        "--timeout",
        "1s",
        "-o",
        "json",
    ];
    let outcome = env.hookfire(usual).args(more).run();
    let limit = TIMEOUT + PROMISED + START_SLACK;
    assert!(
        outcome.elapsed <= limit,
        "{} took {:?}\n{outcome}",
        outcome.command(),
        outcome.elapsed
    );
    outcome
}

/// The delivery and its only attempt after one fire at this step.
fn fired_at(step: Step, code: i32) -> (Value, Value) {
    fired_with(step, code, &[])
}

fn fired_with(step: Step, code: i32, more: &[&str]) -> (Value, Value) {
    let (env, server) = (TestEnv::new(), Server::script(vec![step]));
    let outcome = fire(&env, &format!("{}/hook", server.url()), more).assert_code(code);
    assert_eq!(
        server.requests().len(),
        1,
        "one attempt is one request\n{outcome}"
    );
    assert_eq!(server.connections(), 1, "{outcome}");
    assert_error_object(&outcome, code);
    let delivery = outcome.json();
    assert_eq!(delivery["attempt_count"], 1);
    let attempt = delivery["attempts"][0].clone();
    assert_eq!(delivery["attempts"], Value::from(vec![attempt.clone()]));
    (delivery, attempt)
}

fn assert_error_object(outcome: &Outcome, code: i32) {
    let kind = match code {
        0 => return assert_eq!(outcome.stderr(), "", "{outcome}"),
        3 => "refused",
        4 => "unreachable",
        other => panic!("no kind is expected for {other}"),
    };
    let error: Value =
        serde_json::from_slice(&outcome.stderr).unwrap_or_else(|e| panic!("{e}\n{outcome}"));
    assert_eq!(error["error"]["kind"], kind, "{outcome}");
}

/// Checks an attempt without a response, and returns its message.
fn unanswered(delivery: &Value, kind: &str, maybe_received: bool) -> String {
    let attempt = &delivery["attempts"][0];
    assert_eq!(delivery["status"], "failed", "{delivery:#}");
    assert_eq!(delivery["last_error"]["kind"], kind, "{delivery:#}");
    assert_eq!(
        delivery["last_error"]["http_status"],
        Value::Null,
        "{delivery:#}"
    );
    assert_eq!(attempt["error"]["kind"], kind, "{delivery:#}");
    assert_eq!(attempt["http_status"], Value::Null, "{delivery:#}");
    assert_eq!(attempt["maybe_received"], maybe_received, "{delivery:#}");
    assert_eq!(attempt["response_body"], Value::Null, "{delivery:#}");
    attempt["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned()
}

fn assert_delivered(delivery: &Value) {
    assert_eq!(delivery["status"], "delivered", "{delivery:#}");
    assert_eq!(delivery["last_error"], Value::Null, "{delivery:#}");
    assert_eq!(
        delivery["attempts"][0]["error"],
        Value::Null,
        "{delivery:#}"
    );
    assert_eq!(
        delivery["attempts"][0]["maybe_received"], false,
        "{delivery:#}"
    );
}

fn refused(delivery: &Value, status: u16) -> String {
    assert_eq!(delivery["status"], "failed", "{delivery:#}");
    assert_eq!(delivery["last_error"]["kind"], "status", "{delivery:#}");
    assert_eq!(
        delivery["last_error"]["http_status"], status,
        "{delivery:#}"
    );
    assert_eq!(
        delivery["attempts"][0]["http_status"], status,
        "{delivery:#}"
    );
    assert_eq!(
        delivery["attempts"][0]["maybe_received"], false,
        "{delivery:#}"
    );
    delivery["attempts"][0]["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned()
}

fn note(attempt: &Value) -> &str {
    attempt["note"]
        .as_str()
        .unwrap_or_else(|| panic!("a note in {attempt:#}"))
}

// No connection.

#[test]
fn refused_connection_is_not_maybe_received() {
    let env = TestEnv::new();
    let outcome = fire(&env, &format!("http://127.0.0.1:{}/", closed_port()), &[]).assert_code(4);
    assert_error_object(&outcome, 4);
    assert_eq!(
        unanswered(&outcome.json(), "connect", false),
        "connection refused"
    );
}

#[test]
fn unknown_host_is_a_dns_error_within_the_timeout() {
    let env = TestEnv::new();
    let outcome = fire(&env, "http://x.invalid/hook", &[]).assert_code(4);
    assert_error_object(&outcome, 4);
    unanswered(&outcome.json(), "dns", false);
}

#[test]
fn server_that_never_accepts_hits_the_connect_timeout() {
    let (env, server) = (TestEnv::new(), never_accepting());
    let outcome = fire(&env, &server.url(), &[]).assert_code(4);
    assert_eq!(
        unanswered(&outcome.json(), "timeout", false),
        "no connection within 1s"
    );
    let outcome = fire(&env, &server.url(), &["--connect-timeout", "100ms"]).assert_code(4);
    assert!(
        outcome.elapsed < TIMEOUT,
        "the connect timeout alone decides\n{outcome}"
    );
    assert_eq!(
        unanswered(&outcome.json(), "timeout", false),
        "no connection within 100ms"
    );
}

// A connection, but no response.

#[test]
fn silent_server_times_out_as_maybe_received() {
    let (delivery, _) = fired_at(hang(), 4);
    assert_eq!(
        unanswered(&delivery, "timeout", true),
        "no response within 1s"
    );
}

#[test]
fn slow_head_ends_with_the_timeout() {
    let (delivery, _) = fired_at(drip_head(Duration::from_millis(20)), 4);
    assert_eq!(
        unanswered(&delivery, "timeout", true),
        "no response within 1s"
    );
}

#[test]
fn reset_connection_is_maybe_received() {
    let (delivery, _) = fired_at(reset(), 4);
    unanswered(&delivery, "reset", true);
}

#[test]
fn connection_closed_without_response_is_a_reset() {
    let (delivery, _) = fired_at(close(), 4);
    assert_eq!(
        unanswered(&delivery, "reset", true),
        "the connection was closed before a response"
    );
}

#[test]
fn partial_status_line_is_not_a_response() {
    let (delivery, _) = fired_at(half_status_line(), 4);
    unanswered(&delivery, "reset", true);
}

#[test]
fn invalid_response_is_a_protocol_error() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.9\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/1.1 abc OK\r\n\r\n",
    ] {
        let (delivery, _) = fired_at(raw(garbage), 4);
        unanswered(&delivery, "protocol", true);
    }
}

#[test]
fn interim_responses_alone_are_not_a_response() {
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(4_000);
    let (delivery, _) = fired_at(raw(flood.clone()), 4);
    unanswered(&delivery, "reset", true);
    let (delivery, _) = fired_at(
        raw(flood + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        0,
    );
    assert_delivered(&delivery);
}

// A status line, which decides regardless of the body.

#[test]
fn slow_body_is_noted_and_the_status_counts() {
    let (delivery, attempt) = fired_at(drip_body(Duration::from_millis(50), b'x'), 0);
    assert_delivered(&delivery);
    assert_eq!(
        note(&attempt),
        "the response body was still arriving after 1s"
    );
    let body = attempt["response_body"].as_str().expect("what came of it");
    assert!(
        !body.is_empty() && body.bytes().all(|byte| byte == b'x'),
        "{body}"
    );
}

#[test]
fn truncated_body_is_noted_and_the_status_counts() {
    let cut = || head_then_cut_body(1000, 300);
    let (delivery, attempt) = fired_at(cut(), 0);
    assert_delivered(&delivery);
    assert_eq!(
        note(&attempt),
        "the response body was cut short: the connection broke before its end"
    );
    assert_eq!(attempt["response_body"].as_str().map(str::len), Some(300));

    let (delivery, attempt) = fired_at(cut().status(503), 3);
    assert_eq!(refused(&delivery, 503), "503 Service Unavailable");
    assert_eq!(
        note(&attempt),
        "the response body was cut short: the connection broke before its end"
    );
}

#[test]
fn status_202_fails_unless_listed_as_success() {
    let (delivery, attempt) = fired_at(respond(202).body("queued"), 3);
    assert_eq!(refused(&delivery, 202), "202 Accepted is not 200");
    assert_eq!(attempt["response_body"], "queued");
    let (delivery, _) = fired_with(respond(202), 0, &["--success", "200-207"]);
    assert_delivered(&delivery);
}

#[test]
fn status_counts_up_to_2000_headers_and_408_kib() {
    let head = |headers: usize, length: usize| {
        let value = "a".repeat(length);
        let headers: String = (0..headers)
            .map(|n| format!("x-{n}: {value}\r\n"))
            .collect();
        raw(format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))
    };
    for (headers, length) in [(150, 10), (1_000, 250), (2_000, 0), (100, 4_100)] {
        let (delivery, _) = fired_at(head(headers, length), 0);
        assert_delivered(&delivery);
    }
    for (headers, length) in [(2_001, 0), (250, 4_100)] {
        let (delivery, _) = fired_at(head(headers, length), 4);
        assert_eq!(
            unanswered(&delivery, "protocol", true),
            "the response has more than 2000 headers or 408 KiB of them"
        );
    }
}

#[test]
fn status_101_is_a_refusal() {
    let (delivery, _) = fired_at(
        respond(101)
            .header("Upgrade", "x")
            .header("Connection", "upgrade"),
        3,
    );
    refused(&delivery, 101);
}

#[test]
fn status_204_has_no_body() {
    let answer = "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello";
    let (delivery, attempt) = fired_at(raw(answer), 3);
    assert_eq!(refused(&delivery, 204), "204 No Content is not 200");
    assert_eq!(attempt["response_body"], "");
}

#[test]
fn redirect_is_not_followed_and_its_target_masked() {
    for status in [301, 302, 303, 307, 308] {
        let (env, second) = (TestEnv::new(), Server::script(vec![]));
        let location = format!("{}/next?session=tell-nobody-1234&x=1", second.url());
        let server = Server::script(vec![respond(status).header("Location", &location)]);
        let outcome = fire(
            &env,
            &format!("{}/?token=also-secret-5678", server.url()),
            &[],
        )
        .assert_code(3);
        let message = refused(&outcome.json(), status);
        let shown = format!(
            "to {}/next?session=***&x=***; redirects are never followed",
            second.url()
        );
        assert!(message.ends_with(&shown), "{message}");
        assert_eq!(
            (server.requests().len(), second.connections()),
            (1, 0),
            "{outcome}"
        );
        env.assert_nowhere("tell-nobody-1234", &[&outcome]);
        env.assert_nowhere("also-secret-5678", &[&outcome]);
    }
}

#[test]
fn long_location_is_shortened() {
    let location = format!("http://127.0.0.1:1/{}", "x".repeat(60_000));
    let (delivery, _) = fired_at(respond(302).header("Location", &location), 3);
    let message = refused(&delivery, 302);
    assert!(
        message.len() < 600 && message.ends_with("xxx…; redirects are never followed"),
        "{message}"
    );
}

#[test]
fn compressed_body_is_stored_unchanged() {
    let packed =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00";
    let (env, step) = (
        TestEnv::new(),
        respond(200).header("Content-Encoding", "gzip").body(packed),
    );
    let server = Server::script(vec![step]);
    let outcome = fire(&env, &server.url(), &[]).assert_code(0);
    let body = outcome.json()["attempts"][0]["response_body"].clone();
    assert_eq!(
        body,
        String::from_utf8_lossy(packed).as_ref(),
        "neither unpacked nor dropped"
    );
    assert!(
        env.all_journal_bytes()
            .windows(packed.len())
            .any(|window| window == packed),
        "kept byte for byte"
    );
    assert_eq!(
        server.requests()[0].header("accept-encoding"),
        None,
        "what cannot be unpacked is not asked for"
    );
}

#[test]
fn response_body_is_cut_at_64_kib_with_a_note() {
    for (length, kept) in [
        (KEPT - 1, KEPT - 1),
        (KEPT, KEPT),
        (KEPT + 1, KEPT),
        (3 * KEPT, KEPT),
    ] {
        let (delivery, attempt) = fired_at(respond(200).body(vec![b'b'; length]), 0);
        assert_delivered(&delivery);
        assert_eq!(
            attempt["response_body"].as_str().map(str::len),
            Some(kept),
            "of {length}"
        );
        let noted = attempt["note"].as_str();
        let expected =
            (length > KEPT).then_some("only the first 64 KiB of the response body are kept");
        assert_eq!(noted, expected, "of {length}");
    }
}

// Endless responses.

#[test]
fn huge_body_is_delivered_at_once_and_cut() {
    let (delivery, attempt) = fired_at(huge_body(10 << 30), 0);
    assert_delivered(&delivery);
    assert_eq!(attempt["response_body"].as_str().map(str::len), Some(KEPT));
    assert!(note(&attempt).contains("only the first 64 KiB"));
}

#[test]
fn endless_chunks_are_delivered_at_once_and_cut() {
    let (delivery, attempt) = fired_at(chunked_endless(), 0);
    assert_delivered(&delivery);
    assert_eq!(attempt["response_body"].as_str().map(str::len), Some(KEPT));
    assert!(note(&attempt).contains("only the first 64 KiB"));
}

#[test]
fn endless_headers_are_a_protocol_error() {
    let (delivery, _) = fired_at(endless_headers(), 4);
    let message = unanswered(&delivery, "protocol", true);
    assert!(message.contains("408 KiB"), "{message}");
}

#[test]
fn responses_do_not_determine_memory_use() {
    const ALLOWED_KIB: u64 = 16 * 1024;
    let idle = peak_kib(respond(503));
    let interim = format!("HTTP/1.1 100 Continue\r\nX: {}\r\n\r\n", "a".repeat(4_000));
    let flood = raw(interim.repeat(10_000));
    for step in [
        huge_body(10 << 30),
        chunked_endless(),
        endless_headers(),
        flood,
    ] {
        let name = format!("{step:.40?}");
        let peak = peak_kib(step);
        assert!(
            peak <= idle + ALLOWED_KIB,
            "{peak} KiB, and {idle} KiB when idle, at {name}"
        );
    }
}

/// Peak memory of a fire in KiB, read while the program waits for its next attempt. Every response counts as a failure,
/// so that there is a next attempt.
fn peak_kib(step: Step) -> u64 {
    let (env, server) = (TestEnv::new(), Server::script(vec![step]));
    let args = [
        "fire",
        "account",
        "created",
        "--success",
        "299",
        "--retry-interval",
        "1h",
        "--url",
    ];
    let mut running = env.hookfire(args).arg(server.url()).spawn();
    running.wait_for_stderr("next in 1h");
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()))
        .expect("its /proc entry");
    running.interrupt();
    running.wait().assert_code(130);
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux tells the peak");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number of KiB")
}
