//! The failed list in every format, deleting from it, and retrying.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Outcome, Server, TestEnv, closed_port, forever, repeat, respond};

/// Fires events that fail, in order, and returns them as JSON.
fn failures(env: &TestEnv, events: &[(&str, &str)]) -> Vec<Value> {
    let server = Server::script(vec![forever(503)]);
    let fired = events.iter().map(|(event_type, action)| {
        let args = [
            "fire",
            event_type,
            action,
            "--no-retry",
            "--url",
            &server.url(),
            "-o",
            "json",
        ];
        env.hookfire(args).run().assert_code(3).json()
    });
    fired.collect()
}

fn list(env: &TestEnv, args: &[&str]) -> Vec<Value> {
    let outcome = env
        .hookfire(["failed", "list", "-o", "json"])
        .args(args)
        .run()
        .assert_code(0);
    outcome.json().as_array().unwrap().clone()
}

fn ids(deliveries: &[Value]) -> Vec<i64> {
    deliveries
        .iter()
        .map(|delivery| delivery["id"].as_i64().unwrap())
        .collect()
}

const THREE: [(&str, &str); 3] = [
    ("account", "created"),
    ("user", "created"),
    ("user", "updated"),
];

#[test]
fn empty_list_succeeds_and_creates_no_journal() {
    let env = TestEnv::new();
    for (format, expected) in [("json", "[]\n"), ("ndjson", ""), ("text", "")] {
        let outcome = env
            .hookfire(["failed", "list", "-o", format])
            .run()
            .assert_code(0);
        assert_eq!(outcome.stdout(), expected, "{format}");
    }
    let xml = env
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    assert!(xml.stdout().contains("<webhooks-failures/>"), "{xml}");
    let csv = env
        .hookfire(["failed", "list", "-o", "csv"])
        .run()
        .assert_code(0);
    assert_eq!(csv.stdout().lines().count(), 1);
    assert!(!env.journal_path().exists());
}

#[test]
fn failed_deliveries_show_the_host_and_process_that_sent_them() {
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let args = ["fire", "account", "created", "--no-retry", "--url", &url];
    let fired = env.hookfire(args).spawn();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let owner = format!("{}/{}", host.trim(), fired.pid());
    fired.wait().assert_code(4);
    assert_eq!(list(&env, &[])[0]["owner"], owner);
    for (wanted, found) in [(host.trim(), 1), (&owner, 1), ("elsewhere", 0)] {
        assert_eq!(list(&env, &["--owner", wanted]).len(), found, "{wanted}");
    }
    let shown = env.hookfire(["failed", "show", "1"]).run().assert_code(0);
    let line = format!("owner     {owner}\n");
    assert!(shown.stdout().contains(&line), "{shown}");
    let table = env.hookfire(["failed", "list"]).run().assert_code(0);
    assert!(!table.stdout().contains(&owner), "{table}");
}

#[test]
fn failed_list_is_oldest_first_and_filtered() {
    let env = TestEnv::new();
    let fired = failures(&env, &THREE);
    let url = format!("http://127.0.0.1:{}/", closed_port());
    env.hookfire(["fire", "account", "updated", "--no-retry", "--url", &url])
        .run()
        .assert_code(4);
    assert_eq!(ids(&list(&env, &[])), [1, 2, 3, 4]);
    let second = fired[1]["finished_at"].as_str().unwrap();
    for (args, expected) in [
        (vec!["--type", "user"], vec![2, 3]),
        (vec!["--type", "user", "--action", "created"], vec![2]),
        (vec!["--http-status", "5xx"], vec![1, 2, 3]),
        (vec!["--http-status", "404"], vec![]),
        (vec!["--error", "connect"], vec![4]),
        (vec!["--before", second], vec![1, 2]),
        (vec!["--since", second], vec![2, 3, 4]),
        (vec!["--limit", "2"], vec![1, 2]),
    ] {
        assert_eq!(ids(&list(&env, &args)), expected, "{args:?}");
    }
}

#[test]
fn failed_list_reports_omitted_rows() {
    let env = TestEnv::new();
    failures(&env, &THREE);
    let outcome = env
        .hookfire(["failed", "list", "--limit", "2"])
        .run()
        .assert_code(0);
    let rows: Vec<&str> = outcome.stdout().lines().collect();
    assert_eq!(rows.len(), 3, "{outcome}");
    assert!(
        rows[0].starts_with("ID") && rows[0].contains("LAST ERROR"),
        "{outcome}"
    );
    assert!(
        rows[1].starts_with("#1") && rows[1].contains("account.created"),
        "{outcome}"
    );
    assert!(rows[2].contains("503 Service Unavailable"), "{outcome}");
    assert_eq!(outcome.stderr(), "2 of 3 shown; `--limit 3` shows all\n");
}

#[test]
fn xml_list_is_a_3scale_document_with_the_events() {
    let env = TestEnv::new();
    let fired = failures(&env, &[("account", "created")]);
    let xml = env
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    let document = roxmltree::Document::parse(xml.stdout()).unwrap();
    let failure = document.root_element().first_element_child().unwrap();
    assert_eq!(
        (
            document.root_element().tag_name().name(),
            failure.tag_name().name()
        ),
        ("webhooks-failures", "webhooks-failure")
    );
    let names: Vec<&str> = failure
        .children()
        .filter(|n| n.is_element())
        .map(|n| n.tag_name().name())
        .collect();
    assert_eq!(names, ["id", "time", "error", "url", "event"]);
    let text = |name| {
        failure
            .children()
            .find(|node| node.has_tag_name(name))
            .and_then(|node| node.text())
            .unwrap()
    };
    assert_eq!(text("id"), fired[0]["uuid"].as_str().unwrap());
    assert_eq!(text("error"), "503 Service Unavailable");
    let seconds = fired[0]["finished_at"].as_str().unwrap()[..19].replace('T', " ");
    assert_eq!(text("time"), format!("{seconds} UTC"));
    let event = failure
        .children()
        .find(|node| node.has_tag_name("event"))
        .unwrap();
    let sent = env
        .hookfire(["failed", "show", "1", "-o", "xml"])
        .run()
        .assert_code(0);
    let body = sent.stdout().split_once("?>\n").unwrap().1.trim_end();
    assert_eq!(
        &xml.stdout()[event.range()],
        body,
        "the event from its root element on"
    );
}

#[test]
fn failed_show_prints_attempts_reasons_and_event() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503).body("try\nlater"), respond(202)]);
    env.hookfire([
        "fire",
        "user",
        "created",
        "--retries",
        "1",
        "--retry-interval",
        "1ms",
        "--url",
        &server.url(),
    ])
    .run()
    .assert_code(3);
    let outcome = env.hookfire(["failed", "show", "#1"]).run().assert_code(0);
    let page = env.redacted(&outcome.stdout());
    for expected in [
        "#1 user.created\n",
        "status    failed, 2 attempts\n",
        "success   200\nretries   1 retry after 1ms, 2 attempts in total\n",
        "503 Service Unavailable\n",
        "202 Accepted is not 200\n",
        "response body of attempt 1\ntry\nlater\n",
        "  <type>user</type>\n",
    ] {
        assert!(page.contains(expected), "{expected:?} is missing in {page}");
    }
    let json = env
        .hookfire(["failed", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(json["attempts"][0]["response_body"], "try\nlater");
    assert!(json["event"].as_str().unwrap().starts_with("<?xml"));
    env.hookfire(["failed", "show", "2"]).run().assert_code(5);
}

#[test]
fn delete_before_is_inclusive() {
    let env = TestEnv::new();
    let fired = failures(&env, &THREE);
    let second = fired[1]["finished_at"].as_str().unwrap();
    let dry = env
        .hookfire([
            "failed",
            "delete",
            "--before",
            second,
            "--dry-run",
            "-o",
            "json",
        ])
        .run()
        .assert_code(0);
    assert_eq!(dry.json()["ids"], serde_json::json!([1, 2]));
    assert_eq!(list(&env, &[]).len(), 3, "a dry run deletes nothing");
    let outcome = env
        .hookfire(["failed", "delete", "--before", second, "--yes"])
        .run()
        .assert_code(0);
    assert_eq!(outcome.stdout(), "deleted 2 failed deliveries\n");
    assert_eq!(ids(&list(&env, &[])), [3]);
}

#[test]
fn ambiguous_deletion_deletes_nothing() {
    let env = TestEnv::new();
    failures(&env, &THREE);
    for (args, code) in [
        (vec!["failed", "delete"], 2),
        (vec!["failed", "delete", "--all"], 2),
        (vec!["failed", "delete", "--type", "user"], 2),
        (
            vec!["failed", "delete", "--before", "yesterday", "--yes"],
            2,
        ),
        (vec!["failed", "delete", "--before", "-2h", "--yes"], 2),
        (vec!["failed", "delete", "1", "--all", "--yes"], 2),
        (vec!["failed", "delete", "1", "99"], 5),
        (vec!["failed", "delete", "0"], 2),
    ] {
        env.hookfire(&args).stdin("y\n").run().assert_code(code);
        assert_eq!(list(&env, &[]).len(), 3, "{args:?}");
    }
    env.hookfire(["failed", "delete", "1", "#3"])
        .run()
        .assert_code(0);
    assert_eq!(ids(&list(&env, &[])), [2]);
    env.hookfire(["failed", "delete", "--all", "--yes"])
        .run()
        .assert_code(0);
    assert!(list(&env, &[]).is_empty());
}

#[test]
fn retry_keeps_the_uuid_and_empties_the_failed_list() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), respond(200)]);
    let fired = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
            "-o",
            "json",
        ])
        .run()
        .json();
    env.hookfire(["retry", "1"]).run().assert_code(3);
    let retried = env
        .hookfire(["retry", "--all", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(retried[0]["status"], "delivered");
    assert_eq!(retried[0]["attempt_count"], 3);
    assert_eq!(retried[0]["uuid"], fired["uuid"]);
    let requests = server.requests();
    let sent: BTreeSet<_> = requests
        .iter()
        .map(|r| (r.header("webhook-id"), &r.body))
        .collect();
    assert_eq!(sent.len(), 1, "three times the same");
    assert!(list(&env, &[]).is_empty());
    let shown = env.hookfire(["failed", "show", "1"]).run().assert_code(5);
    assert!(
        shown.stderr().contains("hookfire journal show 1"),
        "{shown}"
    );
    let journal = env
        .hookfire(["journal", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(journal["attempts"].as_array().unwrap().len(), 3);
}

#[test]
fn retry_needs_a_selection_and_accepts_filters() {
    let env = TestEnv::new();
    failures(&env, &THREE);
    env.hookfire(["retry"]).run().assert_code(2);
    env.hookfire(["retry", "42"]).run().assert_code(5);
    env.hookfire(["retry", "1", "--type", "user"])
        .run()
        .assert_code(2);
    let server = Server::script(vec![respond(503), respond(200), respond(200)]);
    let dry = env
        .hookfire([
            "retry",
            "--type",
            "user",
            "--url",
            &server.url(),
            "--dry-run",
        ])
        .run()
        .assert_code(0);
    assert!(
        dry.stdout().starts_with("would send #2 user.created → "),
        "{dry}"
    );
    assert_eq!(server.connections(), 0);
    let args = [
        "retry",
        "--type",
        "user",
        "--retries",
        "1",
        "--retry-interval",
        "1ms",
        "--url",
        &server.url(),
    ];
    let outcome = env.hookfire(args).run().assert_code(0);
    assert_eq!(
        outcome.stdout(),
        "#2 delivered, 3 attempts\n#3 delivered, 2 attempts\n"
    );
    assert!(outcome.stderr().ends_with("2 delivered\n"), "{outcome}");
    assert_eq!(ids(&list(&env, &[])), [1]);
    let shown = env
        .hookfire(["journal", "show", "2", "-o", "json"])
        .run()
        .json();
    assert_eq!(
        shown["attempts"][2]["sent_to"],
        format!("{}/", server.url()),
        "where it really went"
    );
}

#[test]
fn retry_continues_after_a_failure_with_the_worst_code() {
    let env = TestEnv::new();
    failures(&env, &[("account", "created")]);
    let url = format!("http://127.0.0.1:{}/", closed_port());
    env.hookfire(["fire", "user", "created", "--no-retry", "--url", &url])
        .run()
        .assert_code(4);
    env.hookfire([
        "fire",
        "user",
        "updated",
        "--no-retry",
        "--url",
        &url,
        "--secret",
        "t=literal",
    ])
    .run()
    .assert_code(4);
    let server = Server::script(vec![respond(503), respond(200)]);
    let outcome = env
        .hookfire(["retry", "1", "2", "--url", &server.url()])
        .run()
        .assert_code(3);
    assert!(
        outcome.stderr().contains("1 delivered, 1 failed"),
        "{outcome}"
    );
    let json = env
        .hookfire(["retry", "1", "-o", "json"])
        .run()
        .assert_code(4);
    assert_eq!(json.json()[0]["status"], "failed");
    let error: Value = serde_json::from_str(json.stderr()).expect("one JSON object");
    assert_eq!(
        error["error"]["message"],
        "not all were delivered: 1 failed"
    );
    let both = env.hookfire(["retry", "--all"]).run();
    assert_eq!(
        both.code,
        Some(4),
        "a missing secret (1) is less than no answer (4): {both}"
    );
    assert!(both.stderr().contains("secret parameter `t`"), "{both}");
}

#[test]
fn missing_secret_is_explained_once() {
    let env = TestEnv::new();
    let port = closed_port();
    for name in ["token", "token", "key", "token"] {
        let url = format!("http://127.0.0.1:{port}/?{name}=one");
        env.hookfire(["fire", "user", "created", "--no-retry", "--url", &url])
            .run()
            .assert_code(4);
    }
    let outcome = env.hookfire(["retry", "--all"]).run().assert_code(1);
    insta::assert_snapshot!(outcome.stderr(), @"
    error: #1 is left as it is
    caused by: no usable value for the secret parameter `token`: its value was given literally, and values are never stored
    hint: give it with `--secret token=@env:VARIABLE`
    error: #2 is left as it is: it lacks the secret parameter `token` as well
    error: #3 is left as it is
    caused by: no usable value for the secret parameter `key`: its value was given literally, and values are never stored
    hint: give it with `--secret key=@env:VARIABLE`
    error: #4 is left as it is: it lacks the secret parameter `token` as well
    4 not sent
    ");
    let dry = env
        .hookfire(["retry", "--all", "--dry-run"])
        .run()
        .assert_code(1);
    assert_eq!(dry.stderr().matches("hint: ").count(), 2, "{dry}");
}

#[test]
fn secret_missing_before_the_next_attempt_exits_1() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(503).held()]);
    let secret = env.write_file("token", "one");
    env.hookfire([
        "fire",
        "user",
        "created",
        "--no-retry",
        "--secret",
        "token=@file:token",
        "--url",
        &server.url(),
    ])
    .run()
    .assert_code(3);
    let running = env
        .hookfire(["retry", "1", "--retries", "1", "--retry-interval", "1ms"])
        .spawn();
    server.wait_for_requests(2);
    std::fs::remove_file(secret).unwrap();
    server.release();
    let outcome = running.wait().assert_code(1);
    assert!(
        outcome
            .stderr()
            .contains("no usable value for the secret parameter `token`"),
        "{outcome}"
    );
    assert_eq!(ids(&list(&env, &[])), [1]);
}

#[test]
fn retry_elsewhere_omits_secrets_and_says_so() {
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/?token=one", closed_port());
    let fire = [
        "fire",
        "user",
        "created",
        "--no-retry",
        "--param",
        "mode=test",
        "-H",
        "X-Source: ci",
        "--url",
        &url,
    ];
    env.hookfire(fire).run().assert_code(4);
    let server = Server::script(vec![respond(200)]);
    let outcome = env
        .hookfire(["retry", "1", "--url", &server.url()])
        .run()
        .assert_code(0);
    assert!(
        outcome
            .stderr()
            .contains("sent elsewhere without the secret `token`"),
        "{outcome}"
    );
    assert_eq!(server.requests()[0].target, "/?mode=test");
    assert_eq!(server.requests()[0].header("x-source"), Some("ci"));
}

#[test]
fn secrets_with_the_same_name_keep_their_values() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200)]);
    let query = "a=1&a=2&A=3&x&y&t=%FF&p=a/b";
    env.write_config(&format!(
        "[endpoints.e]\nurl = '{}/?{query}'\n",
        server.url()
    ));
    env.hookfire(["fire", "user", "created", "--no-retry", "-e", "e"])
        .run()
        .assert_code(3);
    env.hookfire(["retry", "1"]).run().assert_code(0);
    for request in server.requests() {
        assert_eq!(request.target, format!("/?{query}"));
    }
}

#[test]
fn retry_with_a_mistyped_secret_sends_nothing() {
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/?token=one", closed_port());
    env.hookfire(["fire", "user", "created", "--no-retry", "--url", &url])
        .run()
        .assert_code(4);
    let outcome = env
        .hookfire(["retry", "1", "--secret", "tokn=one"])
        .run()
        .assert_code(2);
    assert!(
        outcome
            .stderr()
            .contains("no delivery to be sent has a secret parameter `tokn`"),
        "{outcome}"
    );
    // A variable applies to every delivery that needs it.
    let outcome = env
        .hookfire(["retry", "1"])
        .env("HOOKFIRE_SECRET", "tokn=one")
        .run();
    assert!(
        outcome.stderr().contains("secret parameter `token`"),
        "{outcome}"
    );
}

#[test]
fn journal_lists_newest_first_and_prunes_delivered() {
    let env = TestEnv::new();
    failures(&env, &[("account", "created")]);
    let server = Server::script(vec![repeat(200, 2)]);
    for _ in 0..2 {
        env.hookfire(["fire", "user", "created", "--url", &server.url()])
            .run()
            .assert_code(0);
    }
    let journal = |args: &[&str]| -> Outcome { env.hookfire(["journal"]).args(args).run() };
    let all = journal(&["list", "-o", "json"]).assert_code(0).json();
    assert_eq!(ids(all.as_array().unwrap()), [3, 2, 1]);
    let delivered = journal(&["list", "--status", "delivered", "-o", "ndjson"])
        .assert_code(0)
        .ndjson();
    assert_eq!(ids(&delivered), [3, 2]);
    let check = journal(&["check", "-o", "json"]).assert_code(0).json();
    assert_eq!(
        (&check["sound"], &check["deliveries"]["delivered"]),
        (&true.into(), &2.into())
    );
    journal(&["prune", "--older-than", "now"]).assert_code(2);
    journal(&["prune", "--older-than", "soon", "--yes"]).assert_code(2);
    let preview = journal(&["prune", "--older-than", "0s", "--dry-run"]).assert_code(0);
    insta::assert_snapshot!(env.redacted(&preview), @"
    oldest: [TIME] (just now), #2 user.created → http://127.0.0.1:[PORT]/
    newest: [TIME] (just now), #3 user.created → http://127.0.0.1:[PORT]/
    ------- stderr -------
    2 deliveries would be deleted (--dry-run)
    [exit code: 0]
    ");
    let pruned = journal(&["prune", "--older-than", "0s", "--yes"]).assert_code(0);
    assert_eq!(pruned.stdout(), "deleted 2 deliveries\n");
    assert_eq!(ids(&list(&env, &[])), [1], "what failed is kept");
}

#[test]
fn failed_list_is_in_the_order_of_acceptance() {
    let env = TestEnv::new();
    failures(&env, &[("account", "created"), ("user", "created")]);
    let url = format!("http://127.0.0.1:{}/", closed_port());
    env.hookfire(["retry", "1", "--url", &url])
        .run()
        .assert_code(4);
    assert_eq!(ids(&list(&env, &[])), [1, 2]);
    let resent = env
        .hookfire(["retry", "--all", "--url", &url])
        .run()
        .assert_code(4);
    let order: Vec<&str> = resent.stdout().lines().map(|line| &line[..2]).collect();
    assert_eq!(order, ["#1", "#2"], "{resent}");
}

#[test]
fn unknown_endpoint_in_a_filter_is_an_error() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 1)]);
    let configure = |name: &str| {
        env.write_config(&format!("[endpoints.{name}]\nurl = \"{}\"\n", server.url()));
    };
    configure("old");
    env.hookfire(["fire", "account", "created", "--no-retry", "-e", "old"])
        .run()
        .assert_code(3);
    configure("staging");
    let commands: [&[&str]; 5] = [
        &["failed", "list", "--endpoint"],
        &["journal", "list", "--endpoint"],
        &["failed", "delete", "--dry-run", "--endpoint"],
        &["retry", "--dry-run", "-e"],
        &["journal", "cancel", "-e"],
    ];
    for command in commands {
        let unknown = env.hookfire(command).arg("stagin").run().assert_code(2);
        assert_eq!(unknown.stdout(), "", "{unknown}");
        assert!(
            unknown
                .stderr()
                .contains("did you mean `--endpoint staging`?"),
            "{unknown}"
        );
        // Known from a delivery, or from the configuration.
        env.hookfire(command).arg("old").run().assert_code(0);
        env.hookfire(command).arg("staging").run().assert_code(0);
    }
}

#[test]
fn attempts_keep_the_headers_of_the_response() {
    let env = TestEnv::new();
    let secret = "canary-7Hq/x";
    let response = respond(503)
        .header("X-Request-Id", "r-42")
        .header("X-Echo", &format!("token={secret}"))
        .header("Set-Cookie", "session=canary-7Hq/x-session");
    let server = Server::script(vec![response]);
    let fire = ["fire", "account", "created", "--no-retry", "-o", "json"];
    let target = [
        "--url",
        &server.url(),
        "--secret",
        &format!("token={secret}"),
    ];
    let outcome = env.hookfire(fire).args(target).run().assert_code(3);
    let headers = outcome.json()["attempts"][0]["response_headers"].clone();
    let value = |name: &str| {
        let headers = headers.as_array().unwrap();
        let found = headers
            .iter()
            .find(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
        found.map(|header| header[1].clone())
    };
    assert_eq!(value("x-request-id"), Some("r-42".into()));
    assert_eq!(value("x-echo"), Some("token=***".into()));
    assert_eq!(value("set-cookie"), Some("***".into()));
    let shown = env.hookfire(["failed", "show", "1"]).run().assert_code(0);
    for line in ["response headers of attempt 1", "x-request-id: r-42"] {
        assert!(shown.stdout().lines().any(|shown| shown == line), "{shown}");
    }
    env.assert_nowhere(secret, &[&outcome, &shown]);

    let url = format!("http://127.0.0.1:{}/", closed_port());
    let refused = env
        .hookfire(fire)
        .args(["--url", &url])
        .run()
        .assert_code(4);
    let attempt = &refused.json()["attempts"][0];
    assert_eq!(attempt["response_headers"], Value::Null);
}
