//! `--retry-schedule`: varying intervals, jitter, and the `Retry-After` of the endpoint.

use serde_json::Value;

use crate::support::{Server, TestEnv, closed_port, respond};

/// Milliseconds from the end of the first attempt to the next one, of a delivery that is scheduled.
fn scheduled_in(delivery: &Value) -> i64 {
    let time = |text: &Value| {
        let time: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
        time.as_millisecond()
    };
    let attempt = &delivery["attempts"][0];
    let ended = time(&attempt["started_at"]) + attempt["duration_ms"].as_i64().unwrap();
    time(&delivery["next_attempt_at"]) - ended
}

#[test]
fn schedule_has_one_retry_per_interval() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(500).times(3)]));
    let fire = ["fire", "account", "created", "--retry-schedule", "0s,10ms"];
    let outcome = env
        .hookfire(fire)
        .args(["--url", &server.url()])
        .run()
        .assert_code(3);
    assert_eq!(server.requests().len(), 3);
    assert!(outcome.stderr().contains("attempt 3 of 3"), "{outcome}");
    let shown = env.hookfire(["failed", "show", "1"]).run().assert_code(0);
    assert!(
        shown.stdout().contains("2 retries after 0s, 10ms"),
        "{shown}"
    );
}

#[test]
fn scheduled_deliveries_keep_their_schedule() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(500).times(2)]));
    let fire = ["fire", "account", "created", "--background", "-o", "json"];
    let options = ["--retry-schedule", "0s,300s", "--url", &server.url()];
    env.hookfire(fire).args(options).run().assert_code(0);
    let due = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert!(due.stdout().contains("next attempt in 5m"), "{due}");
    let show = ["journal", "show", "1", "-o", "json"];
    let mut delivery = env.hookfire(show).run().assert_code(0).json();
    let second = delivery["attempts"][1].take();
    delivery["attempts"][0] = second;
    let wait = scheduled_in(&delivery);
    assert!((300_000..331_000).contains(&wait), "{wait}");
}

#[test]
fn retry_after_of_a_busy_endpoint_is_honoured() {
    for (status, retry_after, expected) in [
        (503, "150", 150_000..167_000),
        (429, "9999", 200_000..202_000),
        (503, "1", 100_000..112_000),
        (500, "150", 100_000..112_000),
    ] {
        let server = Server::script(vec![respond(status).header("Retry-After", retry_after)]);
        let fire = ["fire", "account", "created", "--background", "-o", "json"];
        let options = ["--retry-schedule", "100s", "--url", &server.url()];
        let env = TestEnv::new();
        let delivery = env.hookfire(fire).args(options).run().assert_code(0).json();
        let wait = scheduled_in(&delivery);
        assert!(expected.contains(&wait), "{status} {retry_after}: {wait}");
    }
}

#[test]
fn fixed_policy_ignores_retry_after() {
    let server = Server::script(vec![respond(503).header("Retry-After", "70")]);
    let fire = ["fire", "account", "created", "--background", "-o", "json"];
    let env = TestEnv::new();
    let outcome = env
        .hookfire(fire)
        .args(["--url", &server.url()])
        .run()
        .assert_code(0);
    let wait = scheduled_in(&outcome.json());
    assert!((60_000..61_000).contains(&wait), "{wait}");
}

#[test]
fn schedule_contradicts_a_number_of_retries() {
    let mut env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let fire = |env: &TestEnv, more: &[&str]| {
        let fire = [
            "fire",
            "account",
            "created",
            "--url",
            &url,
            "--dry-run",
            "-o",
            "json",
        ];
        env.hookfire(fire).args(more).run()
    };
    for more in [
        ["--retries", "2"],
        ["--retry-interval", "2s"],
        ["--no-retry", "-q"],
    ] {
        let outcome = fire(&env, &[&["--retry-schedule", "5s,5m"], &more[..]].concat());
        assert!(outcome.assert_code(2).stderr().contains("--retry-schedule"));
    }
    let outcome = fire(&env, &["--retry-schedule", "5,5m"]).assert_code(2);
    assert!(outcome.stderr().contains("5s,5m,30m,2h"), "{outcome}");

    // An option takes the place of a variable or of the configuration.
    env.set("HOOKFIRE_RETRY_SCHEDULE", "5s,5m");
    let policy =
        |outcome: crate::support::Outcome| outcome.assert_code(0).json()["retry_policy"].clone();
    assert_eq!(policy(fire(&env, &[]))["retry_schedule"], "5s,5m");
    let fixed = policy(fire(&env, &["--retries", "2"]));
    assert_eq!(
        (&fixed["retries"], &fixed["retry_schedule"]),
        (&2.into(), &Value::Null)
    );
    let none = policy(fire(&env, &["--no-retry"]));
    assert_eq!(none["retries"], 0);
    env.unset("HOOKFIRE_RETRY_SCHEDULE");
    env.write_config(&format!(
        "[endpoints.e]\nurl = '{url}'\nretry = {{ schedule = '1s,2s,3s' }}\n"
    ));
    let of_endpoint = |more: &[&str]| {
        let fire = [
            "fire",
            "account",
            "created",
            "-e",
            "e",
            "--dry-run",
            "-o",
            "json",
        ];
        policy(env.hookfire(fire).args(more).run())
    };
    assert_eq!(of_endpoint(&[])["retries"], 3);
    assert_eq!(
        of_endpoint(&["--retry-interval", "9s"])["retry_schedule"],
        Value::Null
    );
    let show = env
        .hookfire(["config", "show", "-e", "e"])
        .run()
        .assert_code(0);
    assert!(show.stdout().contains("1s,2s,3s"), "{show}");
}
