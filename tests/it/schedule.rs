//! `fire --background` and `retry --due`: scheduled attempts are made when due, once, by any process.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Listener, Received, Server, TestEnv, closed_port, forever, hang, repeat, respond,
};

/// Fires in the background and returns the id.
fn schedule(env: &TestEnv, url: &str, interval: &str) -> i64 {
    let args = [
        "fire",
        "account",
        "created",
        "--background",
        "-o",
        "json",
        "--retry-interval",
        interval,
        "--url",
        url,
    ];
    let delivery = env.hookfire(args).run().assert_code(0).json();
    assert_eq!(delivery["status"], "pending");
    delivery["id"].as_i64().unwrap()
}

fn shown(env: &TestEnv, id: i64) -> Value {
    env.hookfire(["journal", "show", &id.to_string(), "-o", "json"])
        .run()
        .assert_code(0)
        .json()
}

/// Waits until a delivery meets a condition.
fn wait_until(env: &TestEnv, id: i64, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let delivery = shown(env, id);
        if is_so(&delivery) {
            return delivery;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{delivery}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Number of requests for each delivery.
fn times_received(requests: &[Received]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in requests {
        *times
            .entry(request.header("webhook-id").unwrap().to_owned())
            .or_insert(0) += 1;
    }
    times
}

#[test]
fn background_failure_is_scheduled_and_sent_when_due() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), respond(200)]);
    let args = [
        "fire",
        "account",
        "created",
        "--background",
        "--retry-interval",
        "60s",
        "--url",
        &server.url(),
    ];
    let fired = env.hookfire(args).run().assert_code(0);
    insta::assert_snapshot!(env.redacted(&fired), @"
    #1 scheduled: next attempt in 60s (hookfire retry --due)
    ------- stderr -------
    #1 account.created → http://127.0.0.1:[PORT]/
    attempt 1 of 6: 503 Service Unavailable ([DURATION]), next in 60s
    [exit code: 0]
    ");
    let delivery = shown(&env, 1);
    assert_eq!(
        (&delivery["status"], &delivery["finished_at"]),
        (&"pending".into(), &Value::Null)
    );
    assert!(delivery["next_attempt_at"].is_string());

    let early = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert!(
        early
            .stderr()
            .starts_with("nothing is due; next attempt in "),
        "{early}"
    );
    let empty = env.hookfire(["failed", "list"]).run().assert_code(0);
    insta::assert_snapshot!(empty, @"
    ------- stderr -------
    the failed list is empty
    hint: 1 delivery is scheduled: `hookfire journal list --status pending`
    [exit code: 0]
    ");
    let other = ["failed", "list", "--type", "user"];
    let other = env.hookfire(other).run().assert_code(0);
    assert!(!other.stderr().contains("scheduled"), "{other}");
    let listed = env.hookfire(["failed", "list", "-o", "json"]).run().json();
    assert_eq!(
        listed,
        serde_json::json!([]),
        "it is not in the failed list"
    );
    let list = env.hookfire(["journal", "list"]).env("COLUMNS", "120");
    let listed = list.run().assert_code(0);
    let lines: Vec<&str> = listed.stdout().lines().collect();
    let column = |name: &str| lines[0].find(name).unwrap();
    assert!(lines[1][column("NEXT")..].starts_with("in "), "{listed}");
    assert!(
        lines[1][column("LAST ERROR")..].starts_with("503 Service Unavailable"),
        "{listed}"
    );
    let page = env.hookfire(["journal", "show", "1"]).run().assert_code(0);
    assert!(
        page.stdout()
            .contains("\nretries   5 retries, 60s apart, 6 attempts in total\n"),
        "{page}"
    );
    assert!(page.stdout().lines().all(|line| line.len() <= 80), "{page}");

    make_due(&env);
    let again = env.hookfire(["retry", "--due"]).run().assert_code(0);
    insta::assert_snapshot!(env.redacted(&again), @"
    #1 scheduled, 2 attempts: 503 Service Unavailable; next attempt in 60s
    ------- stderr -------
    [exit code: 0]
    ");
    make_due(&env);
    let last = env
        .hookfire(["retry", "--due", "-o", "ndjson"])
        .run()
        .assert_code(0);
    let [delivery] = &last.ndjson()[..] else {
        panic!("{last}")
    };
    assert_eq!(
        (&delivery["status"], &delivery["attempt_count"]),
        (&"delivered".into(), &3.into())
    );
    assert_eq!(
        times_received(&server.requests())
            .into_values()
            .collect::<Vec<_>>(),
        [3]
    );
    let nothing = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert_eq!(
        (nothing.stdout(), nothing.stderr()),
        ("", "nothing is scheduled\n")
    );
}

/// Makes all scheduled attempts due.
fn make_due(env: &TestEnv) {
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute(
            "UPDATE deliveries SET next_attempt_at = 1 WHERE next_attempt_at IS NOT NULL",
            [],
        )
        .unwrap();
}

/// Expires all leases.
fn end_leases(env: &TestEnv) {
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute(
            "UPDATE deliveries SET lease_until = 1 WHERE lease_until IS NOT NULL",
            [],
        )
        .unwrap();
}

#[test]
fn finished_deliveries_are_not_scheduled() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200), repeat(503, 2)]);
    let fire = [
        "fire",
        "account",
        "created",
        "--background",
        "--url",
        &server.url(),
    ];
    let delivered = env.hookfire(fire).run().assert_code(0);
    assert_eq!(delivered.stdout(), "#1 delivered, 1 attempt\n");
    let failed = env.hookfire(fire).arg("--no-retry").run().assert_code(3);
    assert_eq!(
        failed.stdout(),
        "#2 failed, 1 attempt: 503 Service Unavailable\n"
    );

    // The last of two attempts, to a server that has stopped.
    let port = closed_port();
    let id = schedule(&env, &server.url(), "1ms");
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute(
            "UPDATE deliveries SET retries = 1, url = ?1 WHERE id = ?2",
            (format!("http://127.0.0.1:{port}/"), id),
        )
        .unwrap();
    let retried = env.hookfire(["retry", "--due"]).run().assert_code(4);
    assert_eq!(
        retried.stdout(),
        "#3 failed, 2 attempts: connection refused\n"
    );
    assert_eq!(
        env.hookfire(["failed", "list", "-o", "json"])
            .run()
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let as_json = env
        .hookfire(["retry", "--due", "-o", "json"])
        .run()
        .assert_code(0);
    assert_eq!(as_json.json(), serde_json::json!([]));
}

#[test]
fn background_warns_that_connection_options_are_not_stored() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200)]);
    let fire = [
        "fire",
        "account",
        "created",
        "--background",
        "--timeout",
        "20s",
        "--insecure",
        "--url",
        &server.url(),
    ];
    let scheduled = env.hookfire(fire).run().assert_code(0);
    let words = "hint: not kept with a delivery: `--timeout`, `--insecure`; give it to `hookfire retry --due`";
    assert!(scheduled.stderr().contains(words), "{scheduled}");
    let delivered = env.hookfire(fire).run().assert_code(0);
    assert!(!delivered.stderr().contains("not kept"), "{delivered}");
}

#[test]
fn background_refuses_literal_secrets() {
    let mut env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), repeat(200, 2)]);
    let url = server.url();
    let with_query = format!("{url}/?key=open-sesame");
    for (args, named) in [
        (
            ["--url", &with_query, "--retries", "5"],
            "the secret parameter `key`",
        ),
        (
            ["--url", &url, "--secret", "token=open-sesame"],
            "the secret parameter `token`",
        ),
        (
            ["--url", &url, "-H", "Authorization: open-sesame"],
            "the secret header `Authorization`",
        ),
    ] {
        let refused = env
            .hookfire(["fire", "account", "created", "--background"])
            .args(args)
            .run()
            .assert_code(2);
        assert!(
            refused.stderr().contains(named) && !refused.stderr().contains("open-sesame"),
            "{refused}"
        );
        assert!(refused.stderr().contains("@env:VARIABLE"), "{refused}");
    }
    assert!(!env.journal_path().exists());

    // The configuration can be read later, including literals.
    env.set("HOOK_TOKEN", "open-sesame");
    env.write_config(&format!(
        "[endpoints.staging]\nurl = \"{url}\"\nsecrets = {{ key = \"open-sesame\" }}\n"
    ));
    let fire = [
        "fire",
        "account",
        "created",
        "--background",
        "--retry-interval",
        "1ms",
    ];
    env.hookfire(fire)
        .args(["-e", "staging"])
        .run()
        .assert_code(0);
    env.hookfire(fire)
        .args(["--url", &url, "--secret", "token=@env:HOOK_TOKEN"])
        .run()
        .assert_code(0);
    let retried = env
        .hookfire(["retry", "--due", "--jobs", "1"])
        .run()
        .assert_code(0);
    assert!(retried.stderr().ends_with("2 delivered\n"), "{retried}");
    let targets: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(
        targets,
        [
            "/?key=open-sesame",
            "/?token=open-sesame",
            "/?key=open-sesame",
            "/?token=open-sesame"
        ]
    );
}

#[test]
fn due_skips_a_delivery_with_a_missing_secret() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), respond(200)]);
    let fire = [
        "fire",
        "account",
        "created",
        "--background",
        "--retry-interval",
        "1ms",
        "--url",
        &server.url(),
    ];
    env.hookfire(fire)
        .args(["--secret", "t=@env:HOOK_TOKEN"])
        .env("HOOK_TOKEN", "x")
        .run()
        .assert_code(0);
    env.hookfire(fire).run().assert_code(0);
    let retried = env.hookfire(["retry", "--due"]).run().assert_code(1);
    assert!(
        retried
            .stderr()
            .contains("?t=*** is not sent and stays scheduled"),
        "{retried}"
    );
    assert!(
        retried
            .stderr()
            .contains("the environment variable `HOOK_TOKEN` is not set"),
        "{retried}"
    );
    assert_eq!(retried.stdout(), "#2 delivered, 2 attempts\n");
    assert_eq!(
        (&shown(&env, 1)["status"], &shown(&env, 1)["attempt_count"]),
        (&"pending".into(), &1.into())
    );
    let again = env.hookfire(["retry", "--due"]).run().assert_code(1);
    assert!(again.stderr().contains("HOOK_TOKEN"), "{again}");
}

#[test]
fn cancel_moves_scheduled_deliveries_to_the_failed_list() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2)]);
    for _ in 0..2 {
        schedule(&env, &server.url(), "60s");
    }
    for args in [&["failed", "delete", "1", "--yes"][..], &["retry", "1"]] {
        let refused = env.hookfire(args).run().assert_code(5);
        assert!(
            refused
                .stderr()
                .contains("#1 is scheduled for another attempt"),
            "{refused}"
        );
        assert!(
            refused.stderr().contains("`hookfire journal cancel 1`"),
            "{refused}"
        );
    }
    let cancelled = env
        .hookfire(["journal", "cancel", "1"])
        .run()
        .assert_code(0);
    assert_eq!(cancelled.stdout(), "cancelled 1 delivery\n");
    let refused = env
        .hookfire(["journal", "cancel", "1"])
        .run()
        .assert_code(5);
    assert!(
        refused
            .stderr()
            .contains("#1 is not scheduled: it was interrupted"),
        "{refused}"
    );
    let listed = env.hookfire(["failed", "list", "-o", "json"]).run().json();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["status"]),
        (&1.into(), &"interrupted".into())
    );
    make_due(&env);
    env.hookfire(["failed", "delete", "1"]).run().assert_code(0);
    let all = env
        .hookfire(["journal", "cancel", "--all", "-o", "json"])
        .run()
        .assert_code(0);
    assert_eq!(all.json(), serde_json::json!({ "cancelled": 1 }));
    assert_eq!(all.stdout(), "{\n  \"cancelled\": 1\n}\n");
    let none = env
        .hookfire(["journal", "cancel", "--all", "-o", "ndjson"])
        .run()
        .assert_code(0);
    assert_eq!(none.stdout(), "{\"cancelled\":0}\n");
    env.hookfire(["journal", "cancel", "9"])
        .run()
        .assert_code(5);
    let scopes = "give ids (`hookfire journal cancel 42`), a filter (`hookfire journal cancel -e staging`), or \
                  `hookfire journal cancel --all`";
    let unscoped = env.hookfire(["journal", "cancel"]).run().assert_code(2);
    assert!(unscoped.stderr().contains(scopes), "{unscoped}");
    env.hookfire(["journal", "cancel", "--all", "-e", "gone"])
        .run()
        .assert_code(2);
    env.hookfire(["journal", "cancel", "--all", "1"])
        .run()
        .assert_code(2);
}

#[test]
fn due_sends_deliveries_of_killed_but_not_of_stopped_fires() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), respond(200)]);
    let fire = [
        "fire",
        "account",
        "created",
        "--retry-interval",
        "20s",
        "--url",
        &server.url(),
    ];
    let mut killed = env.hookfire(fire).spawn();
    killed.wait_for_stderr("next in 20s");
    killed.kill9();
    let mut stopped = env.hookfire(fire).spawn();
    stopped.wait_for_stderr("next in 20s");
    stopped.interrupt();
    stopped.wait().assert_code(130);

    let early = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert!(
        early
            .stderr()
            .contains("1 delivery left behind by a process that ended"),
        "{early}"
    );
    assert!(
        early.stderr().contains("nothing is due; next attempt in "),
        "{early}"
    );
    assert_eq!(
        shown(&env, 1)["status"],
        "interrupted",
        "and in the failed list meanwhile"
    );
    make_due(&env);
    let retried = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert_eq!(retried.stdout(), "#1 delivered, 2 attempts\n", "{retried}");
    assert_eq!(shown(&env, 2)["status"], "interrupted");
}

#[test]
fn due_leaves_a_delivery_with_a_lost_literal_secret() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200)]);
    let url = format!("{}/?token=open-sesame", server.url());
    let mut killed = env
        .hookfire(["fire", "account", "created", "--url", &url])
        .spawn();
    killed.wait_for_stderr("next in 60s");
    killed.kill9();
    env.hookfire(["failed", "list"]).run().assert_code(0);
    make_due(&env);
    let reported = env.hookfire(["retry", "--due"]).run().assert_code(1);
    assert!(
        reported
            .stderr()
            .contains("?token=*** is not sent and stays scheduled"),
        "{reported}"
    );
    assert!(
        reported.stderr().contains("parameter `token`"),
        "{reported}"
    );
    assert!(
        reported.stderr().contains("`hookfire failed delete 1`"),
        "{reported}"
    );
    assert_eq!(shown(&env, 1)["status"], "interrupted");
    let secret = ["retry", "--due", "--secret", "token=open-sesame"];
    env.hookfire(secret).run().assert_code(0);
    let again = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert_eq!(again.stderr(), "nothing is scheduled\n");
}

#[test]
fn watcher_sends_due_attempts_until_sigterm() {
    let env = TestEnv::new();
    let server = Server::script(vec![
        respond(503),
        respond(503),
        respond(200),
        respond(503),
        respond(200),
    ]);
    let mut watcher = env
        .hookfire(["retry", "--due", "--watch", "-o", "ndjson"])
        .spawn();
    // Also before there is a journal.
    let id = schedule(&env, &server.url(), "300ms");
    watcher.wait_for_stdout_line("\"attempt_count\":3");
    let delivery = shown(&env, id);
    let at = |index: usize| time(&delivery["attempts"][index]["started_at"]);
    assert!(at(1) - at(0) >= 300 && at(2) - at(1) >= 300, "{delivery}");
    schedule(&env, &server.url(), "100ms");
    watcher.wait_for_stdout_line("\"id\":2");
    watcher.terminate();
    let outcome = watcher.wait().assert_code(0);
    let reported: Vec<(Value, Value)> = outcome
        .ndjson()
        .iter()
        .map(|line| (line["id"].clone(), line["status"].clone()))
        .collect();
    let expected = [(1, "pending"), (1, "delivered"), (2, "delivered")];
    assert_eq!(
        reported,
        expected.map(|(id, status)| (id.into(), status.into()))
    );
    assert_eq!(outcome.stderr(), "");
}

/// Milliseconds of the day.
fn time(value: &Value) -> i64 {
    let clock = &value.as_str().unwrap()["2026-11-20T".len()..];
    let number = |range: std::ops::Range<usize>| clock[range].parse::<i64>().unwrap();
    ((number(0..2) * 60 + number(3..5)) * 60 + number(6..8)) * 1000 + number(9..12)
}

#[test]
fn sigterm_finishes_running_requests_and_keeps_the_schedule() {
    for (jobs, on_the_wire) in [("1", 1), ("4", 2)] {
        let env = TestEnv::new();
        let server = Server::script(vec![repeat(503, 6), respond(200).held().times(on_the_wire)]);
        for _ in 0..6 {
            schedule(&env, &server.url(), "1ms");
        }
        make_due(&env);
        let mut watcher = env
            .hookfire(["retry", "--due", "--watch", "--jobs", jobs])
            .spawn();
        server.wait_for_requests(6 + on_the_wire);
        watcher.terminate();
        thread::sleep(Duration::from_millis(200));
        assert!(watcher.is_running(), "it waits for the answers");
        (0..on_the_wire).for_each(|_| server.release());
        let outcome = watcher.wait().assert_code(0);
        assert_eq!(outcome.stdout().lines().count(), on_the_wire, "{outcome}");
        assert!(
            outcome
                .stdout()
                .lines()
                .all(|line| line.ends_with(" delivered, 2 attempts")),
            "{outcome}"
        );
        let left = (1..=6)
            .map(|id| shown(&env, id))
            .filter(|delivery| delivery["status"] == "pending");
        let left: Vec<Value> = left.collect();
        assert_eq!(left.len(), 6 - on_the_wire);
        for delivery in left {
            assert_eq!(
                (
                    &delivery["attempt_count"],
                    delivery["attempts"].as_array().unwrap().len()
                ),
                (&1.into(), 1)
            );
            assert_eq!(
                delivery["next_attempt_at"], "1970-01-01T00:00:00.001Z",
                "it is due as it was"
            );
        }
    }
}

#[test]
fn watcher_reports_what_it_sends_and_what_is_next() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 2), respond(200)]);
    let url = server.url();
    let fire = |interval: &str| {
        let args = ["fire", "account", "created", "--background", "--url", &url];
        let args = [&args[..], &["--retry-interval", interval]].concat();
        env.hookfire(args).run().assert_code(0);
    };
    fire("60s");
    fire("1s");
    let mut watcher = env.hookfire(["retry", "--due", "--watch"]).spawn();
    watcher.wait_for_stderr("next: #1 in ");
    watcher.terminate();
    let outcome = watcher.wait().assert_code(0);
    let sent = format!("#2 account.created → {url}");
    assert!(outcome.stderr().contains(&sent), "{outcome}");
    assert_eq!(outcome.stdout(), "#2 delivered, 2 attempts\n");
}

#[test]
fn cron_lines_of_the_manual_work_in_crons_environment() {
    let mut env = TestEnv::new();
    for name in [
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
        "TMPDIR",
        "TZ",
        "LANG",
        "COLUMNS",
    ] {
        env.unset(name);
    }
    env.set("PATH", "/usr/bin:/bin");
    let home = env.root().join("home");
    std::fs::create_dir_all(home.join(".cargo/bin")).unwrap();
    let program = home.join(".cargo/bin/hookfire");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hookfire"), program).unwrap();
    std::fs::create_dir_all(home.join(".config/hookfire")).unwrap();
    let variables = home.join(".config/hookfire/environment");
    std::fs::write(variables, "HOOKFIRE_JOURNAL=~/here.db\n").unwrap();
    let server = Server::script(vec![repeat(503, 1), respond(200)]);
    env.hookfire([
        "fire",
        "account",
        "created",
        "--no-retry",
        "--url",
        &server.url(),
    ])
    .env("HOOKFIRE_JOURNAL", home.join("here.db"))
    .run()
    .assert_code(3);
    let manual = include_str!("../../man/hookfire-retry.7.md")
        .split("```crontab\n")
        .skip(1);
    let lines = manual.flat_map(|block| block.split("```").next().unwrap().lines());
    let mut sent = Vec::new();
    for line in lines {
        let (_, command) = line.split_once("*  ").unwrap();
        let outcome = env.shell(command).run().assert_code(0);
        assert_eq!(outcome.stderr(), "", "{command}");
        sent.extend(outcome.stdout().lines().map(str::to_owned));
    }
    assert_eq!(sent, ["#1 delivered, 2 attempts"]);
}

#[test]
fn two_watchers_send_each_delivery_once() {
    const SCHEDULED: u32 = 200;
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), repeat(200, SCHEDULED as usize)]);
    let first = schedule(&env, &server.url(), "60s");
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    for number in 1..SCHEDULED {
        copy(&journal, first, number);
    }
    make_due(&env);
    let watchers: Vec<_> = (0..2)
        .map(|_| env.hookfire(["retry", "--due", "--watch"]).spawn())
        .collect();
    server.wait_for_requests(1 + SCHEDULED as usize);
    let reported: usize = watchers
        .into_iter()
        .map(|mut watcher| {
            watcher.terminate();
            watcher.wait().assert_code(0).stdout().lines().count()
        })
        .sum();
    assert_eq!(reported, SCHEDULED as usize, "each was one watcher's");
    let times = times_received(&server.requests()[1..]);
    assert_eq!(times.len(), SCHEDULED as usize);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    let check = env
        .hookfire(["journal", "check", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(check["deliveries"]["delivered"], SCHEDULED);
}

/// Copies a delivery with its attempt, under another id and uuid.
fn copy(journal: &rusqlite::Connection, id: i64, number: u32) {
    let copied = journal
        .execute(
            "INSERT INTO deliveries (id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms,
                 success_statuses, status, created_at, next_attempt_at, attempt_count, payload, method, body_format)
             SELECT (SELECT max(id) + 1 FROM deliveries), substr(uuid, 1, 30) || printf('%06d', ?2), type, action, endpoint,
                 url, params, headers, retries, retry_interval_ms, success_statuses, status, created_at, next_attempt_at,
                 attempt_count, payload, method, body_format FROM deliveries WHERE id = ?1",
            (id, number),
        )
        .unwrap();
    assert_eq!(copied, 1);
    let attempt = "INSERT INTO attempts (delivery_id, number, started_at, duration_ms, insecure, http_status, error_kind)
        SELECT (SELECT max(id) FROM deliveries), 1, started_at, 1, 0, 503, 'status' FROM attempts WHERE delivery_id = ?1";
    journal.execute(attempt, [id]).unwrap();
}

#[test]
fn second_watcher_sends_what_a_killed_one_was_sending() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), hang(), respond(200)]);
    let id = schedule(&env, &server.url(), "200ms");
    let mut killed = env.hookfire(["retry", "--due", "--watch"]).spawn();
    server.wait_for_requests(2);
    let other = env.hookfire(["retry", "--due", "--watch"]).spawn();
    killed.kill9();
    let delivery = wait_until(&env, id, |delivery| delivery["status"] == "delivered");
    drop((killed, other));
    assert_eq!(delivery["attempt_count"], 3);
    assert_eq!(delivery["attempts"][1]["error"]["kind"], "interrupted");
    assert_eq!(delivery["attempts"][1]["maybe_received"], true);
    assert_eq!(
        times_received(&server.requests())
            .into_values()
            .collect::<Vec<_>>(),
        [3]
    );
}

#[test]
fn watcher_suspended_beyond_its_lease_does_not_send() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200)]);
    let mut suspended = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--retry-interval",
            "2s",
            "--url",
            &server.url(),
        ])
        .spawn();
    suspended.wait_for_stderr("next in 2s");
    suspended.suspend();
    // While its lease is valid, it belongs to its owner.
    let held = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert_eq!(held.stderr(), "nothing is scheduled\n");
    end_leases(&env);
    env.hookfire(["failed", "list"]).run().assert_code(0);
    make_due(&env);
    let taken = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert_eq!(taken.stdout(), "#1 delivered, 2 attempts\n");
    suspended.resume();
    let outcome = suspended.wait().assert_code(1);
    assert!(
        outcome
            .stderr()
            .contains("#1 was taken over by another process"),
        "{outcome}"
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn late_response_of_a_suspended_watcher_counts() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200).held(), respond(503)]);
    let id = schedule(&env, &server.url(), "1ms");
    let mut suspended = env.hookfire(["retry", "--due", "--watch"]).spawn();
    server.wait_for_requests(2);
    suspended.suspend();
    end_leases(&env);
    env.hookfire(["failed", "list"]).run().assert_code(0);
    make_due(&env);
    let taken = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert!(
        taken.stdout().starts_with("#1 scheduled, 3 attempts"),
        "{taken}"
    );
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute("UPDATE deliveries SET next_attempt_at = 9e15", [])
        .unwrap();
    server.release();
    suspended.resume();
    suspended.wait_for_stdout_line("#1 delivered");
    suspended.terminate();
    suspended.wait().assert_code(0);
    assert_eq!(shown(&env, id)["status"], "delivered");
    assert_eq!(server.requests().len(), 3, "nothing was sent again");
}

#[test]
fn watcher_survives_a_locked_journal() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200).held()]);
    let id = schedule(&env, &server.url(), "1ms");
    let mut watcher = env.hookfire(["retry", "--due", "--watch"]).spawn();
    server.wait_for_requests(2);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    server.release();
    watcher.wait_for_stderr(
        "is locked: another process has held it for 10s; waiting until it can be used",
    );
    lock.execute_batch("ROLLBACK").unwrap();
    watcher.wait_for_stderr("the journal can be used again");
    watcher.wait_for_stdout_line("#1 delivered, 2 attempts");
    watcher.terminate();
    watcher.wait().assert_code(0);
    assert_eq!(shown(&env, id)["status"], "delivered");
}

#[test]
fn stopped_watcher_exits_6_for_an_unrecorded_delivery() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200).held()]);
    schedule(&env, &server.url(), "1ms");
    let mut running = env.hookfire(["retry", "--due"]).spawn();
    server.wait_for_requests(2);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    running.terminate();
    server.release();
    let outcome = running.wait().assert_code(6);
    assert!(
        outcome
            .stderr()
            .contains("#1 was sent (delivered), but the journal could not record it"),
        "{outcome}"
    );
    assert!(outcome.stderr().contains("is locked"), "{outcome}");
}

#[test]
fn watcher_ends_if_the_journal_is_gone_or_newer() {
    for (change, words) in [
        (remove as fn(&TestEnv), "the file was removed or replaced"),
        (upgrade, "was written by a newer hookfire"),
    ] {
        let env = TestEnv::new();
        let server = Server::script(vec![respond(503), forever(503)]);
        schedule(&env, &server.url(), "300ms");
        let watcher = env.hookfire(["retry", "--due", "--watch"]).spawn();
        server.wait_for_requests(2);
        change(&env);
        let outcome = watcher.wait().assert_code(6);
        assert!(outcome.stderr().contains(words), "{outcome}");
        drop(server.lenient());
    }
}

/// Removes the journal.
fn remove(env: &TestEnv) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = env.journal_path().into_os_string();
        path.push(suffix);
        std::fs::remove_file(path).unwrap();
    }
}

/// As a newer hookfire upgrades the journal.
fn upgrade(env: &TestEnv) {
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal.pragma_update(None, "user_version", 99).unwrap();
}

#[test]
fn listener_answers_503_after_its_journal_was_upgraded() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    assert_eq!(listener.post("/", "before").status, 200);
    upgrade(&env);
    assert_eq!(listener.post("/", "after").status, 503);
    listener.stop();
}
