//! `fire --batch`, and `retry` with several jobs: every line is sent, reported with its number, or not started.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Outcome, Receiver, Reply, Server, TestEnv, closed_port, repeat, respond};

/// Sufficient for thousands of requests on a machine that is busy with other tests.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A batch of `count` lines with different account names.
fn lines(count: usize) -> String {
    (1..=count).fold(String::new(), |mut text, number| {
        let set = format!("{{\"org_name\":\"line {number}\"}}");
        writeln!(
            text,
            "{{\"type\":\"account\",\"action\":\"created\",\"set\":{set}}}"
        )
        .unwrap();
        text
    })
}

fn journal(env: &TestEnv) -> Vec<Value> {
    env.hookfire(["journal", "list", "-o", "ndjson"])
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0)
        .ndjson()
}

fn by_status(env: &TestEnv) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for delivery in journal(env) {
        *counts
            .entry(delivery["status"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    counts
}

/// UUIDs of the delivered deliveries in the journal.
fn delivered(env: &TestEnv) -> HashSet<String> {
    let all = journal(env)
        .into_iter()
        .filter(|delivery| delivery["status"] == "delivered");
    all.map(|delivery| delivery["uuid"].as_str().unwrap().to_owned())
        .collect()
}

fn last_line(outcome: &Outcome) -> &str {
    outcome.stderr().lines().last().unwrap_or_default()
}

#[test]
fn batch_sends_each_line_and_reports_broken_ones() {
    let mut env = TestEnv::new();
    let server = Server::script(vec![repeat(200, 4)]);
    env.set("T", "hunter2hunter2");
    env.write_config(&format!(
        "[endpoints.staging]\nurl = '{0}/staging'\nsecrets = {{ token = {{ env = 'T' }} }}\n\
         events = ['user.*']\n[endpoints.lost]\nurl = '{0}/'\nsecrets = {{ token = {{ env = 'NOT_SET' }} }}\n",
        server.url()
    ));
    env.write_file("user.xml", "<user><id>7</id></user>");
    let batch = [
        r#"{"type":"order","action":"paid","object":"<order><id>1</id></order>","set":{"id":17,"gold":true}}"#,
        r#"{"type":"user","action":"updated","object_file":"user.xml","endpoint":"staging"}"#,
        "",
        r#"{"type":"user","action":"created","objekt":"x"}"#,
        r#"{"type":"user","action":"created"#,
        r#"{"type":"nothing","action":"known"}"#,
        r#"{"type":"user","action":"created","object":"<user>","set":{}}"#,
        r#"{"type":"user","action":"created","object":"<user/>","object_file":"user.xml"}"#,
        r#"{"type":"user","action":"created","endpoint":"stagin"}"#,
        r#"{"type":"user","action":"created","set":{"id":null}}"#,
        r#"{"type":"user","action":"created","object_file":"missing.xml"}"#,
        r#"{"type":"account","action":"created","endpoint":"staging"}"#,
        r#"{"type":"user","action":"created","endpoint":"lost"}"#,
        r#"   {"action":"deleted","type":"user"}   "#,
        r#"{"type":"application","action":"created"}"#,
    ];
    env.write_file("batch.ndjson", batch.join("\r\n"));
    let url = format!("{}/usual", server.url());
    let outcome = env
        .hookfire(["fire", "--batch", "batch.ndjson", "--url", &url, "-j", "1"])
        .run()
        .assert_code(2);
    let mut results: Vec<&str> = outcome.stdout().lines().collect();
    results.sort_unstable();
    assert_eq!(
        results,
        [
            "#1 delivered, 1 attempt",
            "#2 delivered, 1 attempt",
            "#3 ignored",
            "#4 delivered, 1 attempt",
            "#5 delivered, 1 attempt"
        ]
    );
    let reported: Vec<&str> = outcome
        .stderr()
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    let expected = [
        "error: line 4: unknown key `objekt`; did you mean `object`?",
        "error: line 5: not JSON: control character (\\u0000-\\u001F) found while parsing a string at column 33",
        "error: line 6: there is no built-in sample for `nothing` `known`",
        "error: line 7: its `object` cannot be sent",
        "error: line 8: `object` and `object_file` are both given",
        "error: line 9: the configuration has no endpoint `stagin`",
        "error: line 10: the value of `id` in `set` is not a text, number, true or false",
        "error: line 11: cannot read `missing.xml`",
        "error: line 13: no usable value for the secret parameter `token`: the environment variable `NOT_SET` is not set, or is empty",
    ];
    assert_eq!(reported, expected, "{outcome}");
    assert!(
        outcome
            .stderr()
            .contains("hint: did you mean `--endpoint staging`?\n"),
        "{outcome}"
    );
    assert!(
        last_line(&outcome).starts_with("4 delivered, 1 ignored, 2 not sent, 7 invalid lines in "),
        "{outcome}"
    );
    let mut targets: Vec<(String, String)> = Vec::new();
    for request in server.requests() {
        let body = String::from_utf8(request.body.clone()).unwrap();
        let event = body
            .split("<type>")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap()
            .to_owned();
        if event == "order" {
            assert!(
                body.contains("<order><id>17</id><gold>true</gold></order>"),
                "{body}"
            );
        }
        targets.push((event, request.target.clone()));
    }
    targets.sort();
    let expected = [
        ("application", "/usual"),
        ("order", "/usual"),
        ("user", "/staging?token=hunter2hunter2"),
        ("user", "/usual"),
    ];
    assert_eq!(
        targets,
        expected.map(|(event, target)| (event.to_owned(), target.to_owned()))
    );
    env.assert_nowhere("hunter2hunter2", &[&outcome]);
}

#[test]
fn json_is_an_array_ndjson_a_line_each_and_errors_are_json() {
    let env = TestEnv::new();
    let receiver =
        Receiver::start(|number, _| Reply::Status(if number % 2 == 0 { 503 } else { 200 }));
    let batch = format!("{}nonsense\n", lines(4));
    let args = [
        "fire",
        "--batch",
        "-",
        "--url",
        &receiver.url(),
        "--no-retry",
        "-o",
    ];
    let outcome = env
        .hookfire(args)
        .arg("ndjson")
        .stdin(batch.clone())
        .run()
        .assert_code(3);
    let results = outcome.ndjson();
    assert_eq!(results.len(), 4);
    assert!(
        results
            .iter()
            .all(|result| result["attempts"].as_array().unwrap().len() == 1),
        "{outcome}"
    );
    let talk: Vec<Value> = outcome
        .stderr()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        talk[0],
        serde_json::json!({ "warning": "line 5: it must be an object such as {\"type\": \"user\", \"action\": \"created\"}" })
    );
    assert_eq!(talk[1]["error"]["kind"], "refused");
    let message = talk[1]["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("not all were delivered: 2 delivered, 2 failed, 1 invalid line in "),
        "{message}"
    );
    let array = env
        .hookfire(args)
        .arg("json")
        .stdin(batch)
        .run()
        .assert_code(3)
        .json();
    assert_eq!(array.as_array().unwrap().len(), 4);
    let empty = env
        .hookfire(args)
        .arg("json")
        .stdin("\n\n")
        .run()
        .assert_code(0);
    assert_eq!(empty.json(), serde_json::json!([]));
}

#[test]
fn batch_dry_run_reports_targets_and_sends_nothing() {
    let env = TestEnv::new();
    env.write_config("[endpoints.a]\nurl = 'http://a.example/'\nevents = ['user.*']\n");
    let batch = format!(
        "{}{}\n{}\n",
        lines(3),
        r#"{"type":"user","action":"created","endpoint":"a"}"#,
        "{}"
    );
    let batch = batch + "{\"type\":\"account\",\"action\":\"created\",\"endpoint\":\"a\"}";
    let args = [
        "fire",
        "--batch",
        "-",
        "--url",
        "http://b.example/?t=1",
        "--dry-run",
    ];
    let outcome = env.hookfire(args).stdin(batch.clone()).run().assert_code(2);
    let expected = "would send 3 to http://b.example/?t=***\nwould send 1 to a (http://a.example/), ignore 1\n";
    assert_eq!(outcome.stdout(), expected);
    assert!(
        outcome
            .stderr()
            .contains("error: line 5: `type` is missing"),
        "{outcome}"
    );
    assert!(
        outcome.stderr().contains("nothing is sent (--dry-run)"),
        "{outcome}"
    );
    let views = env
        .hookfire(args)
        .args(["-o", "ndjson"])
        .stdin(batch)
        .run()
        .assert_code(2)
        .ndjson();
    assert_eq!(
        (&views[1]["would_send"], &views[1]["would_ignore"]),
        (&1.into(), &1.into())
    );
    let json = env
        .hookfire(args)
        .args(["-o", "json"])
        .stdin("{}")
        .run()
        .assert_code(2);
    let error: Value = serde_json::from_str(json.stderr().lines().last().unwrap()).unwrap();
    assert_eq!(
        (
            &json.json(),
            &error["error"]["kind"],
            &error["error"]["message"]
        ),
        (
            &serde_json::json!([]),
            &"usage".into(),
            &"not all can be sent: 1 invalid line".into()
        )
    );
    assert!(!env.journal_path().exists());
}

#[test]
fn batch_options_and_single_event_options_exclude_each_other() {
    let mut env = TestEnv::new();
    for args in [
        &["fire", "account", "created", "--batch", "-"][..],
        &["fire", "--batch", "-", "--event", "x"],
        &["fire", "--batch", "-", "--object", "x"],
        &["fire", "--batch", "-", "--set", "a=b"],
        &["fire", "--batch", "-", "--portal-object", "1"],
        &[
            "fire",
            "account",
            "created",
            "--url",
            "http://127.0.0.1:1/",
            "--skip",
            "1",
        ],
        &[
            "fire",
            "account",
            "created",
            "--url",
            "http://127.0.0.1:1/",
            "--jobs",
            "2",
        ],
        &[
            "fire",
            "account",
            "created",
            "--url",
            "http://127.0.0.1:1/",
            "--rate",
            "2/s",
        ],
        &[
            "fire",
            "--batch",
            "-",
            "--url",
            "http://127.0.0.1:1/",
            "--rate",
            "0",
        ],
        &[
            "fire",
            "--batch",
            "-",
            "--url",
            "http://127.0.0.1:1/",
            "--jobs",
            "0",
        ],
    ] {
        env.hookfire(args).run().assert_code(2);
    }
    let missing = env
        .hookfire([
            "fire",
            "--batch",
            "no.ndjson",
            "--url",
            "http://127.0.0.1:1/",
        ])
        .run()
        .assert_code(1);
    assert!(
        missing
            .stderr()
            .starts_with("error: cannot read `no.ndjson`\n"),
        "{missing}"
    );
    assert!(!env.journal_path().exists(), "nothing was begun");
    // Variables apply to all commands, so they are not a request for this one.
    let server = Server::script(vec![respond(200)]);
    env.set("HOOKFIRE_JOBS", "3");
    env.set("HOOKFIRE_RATE", "5/s");
    env.hookfire(["fire", "account", "created", "--url", &server.url()])
        .run()
        .assert_code(0);
}

#[test]
fn batch_delivers_each_line_once_after_a_refusal() {
    const LINES: usize = 2_000;
    let env = TestEnv::new();
    let receiver = Receiver::start(|number, times| {
        Reply::Status(if number % 10 == 0 && times == 1 {
            503
        } else {
            200
        })
    });
    env.write_file("batch.ndjson", lines(LINES));
    let args = [
        "fire",
        "--batch",
        "batch.ndjson",
        "--url",
        &receiver.url(),
        "--retry-interval",
        "300ms",
    ];
    let outcome = env
        .hookfire(args)
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    assert_eq!(outcome.stdout().lines().count(), LINES);
    let again = outcome
        .stdout()
        .lines()
        .filter(|line| line.ends_with("delivered, 2 attempts"))
        .count();
    let times = receiver.times();
    let twice: Vec<_> = times.values().filter(|times| times.len() == 2).collect();
    assert_eq!(
        (times.len(), twice.len(), receiver.requests()),
        (LINES, again, LINES + again)
    );
    assert!(again > LINES / 20, "{again}");
    assert!(
        twice
            .iter()
            .all(|times| times[1] - times[0] >= Duration::from_millis(300))
    );
    assert!(
        receiver.most_at_once() <= 8 && receiver.connections() <= 16,
        "{} connections",
        receiver.connections()
    );
    assert_eq!(
        by_status(&env),
        HashMap::from([("delivered".to_owned(), LINES)])
    );
    let check = env
        .hookfire(["journal", "check", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        (&check["sound"], &check["attempts"]),
        (&true.into(), &(LINES + again).into())
    );
    let last = last_line(&outcome);
    assert!(
        last.starts_with(&format!("{LINES} delivered in ")) && last.contains("; responses took "),
        "{last}"
    );
}

#[test]
fn batch_survives_closing_connections_without_duplicates() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, _| Reply::ThenClose(200));
    let args = [
        "fire",
        "--batch",
        "-",
        "--url",
        &receiver.url(),
        "--retry-interval",
        "1ms",
    ];
    let outcome = env
        .hookfire(args)
        .stdin(lines(300))
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    // A request written to a connection that closes at that moment may have been received, and is retried by the
    // policy. A request that was not written is not an attempt.
    let attempts = env
        .hookfire(["journal", "check", "-o", "json"])
        .run()
        .json()["attempts"]
        .as_u64()
        .unwrap();
    let (requests, times) = (receiver.requests() as u64, receiver.times());
    assert!(
        requests <= attempts,
        "{requests} requests for {attempts} attempts"
    );
    assert!(times.values().all(|times| times.len() == 1), "{outcome}");
    assert_eq!(times.len(), 300);
}

#[test]
fn batch_retries_timeouts_without_delaying_others() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|number, times| match (number, times) {
        (3, 1) => Reply::Hangup,
        (5, 1) => Reply::After(Duration::from_secs(30), 200),
        _ => Reply::Status(200),
    });
    let args = [
        "fire",
        "--batch",
        "-",
        "--url",
        &receiver.url(),
        "-j",
        "2",
        "--timeout",
        "1s",
        "-o",
        "ndjson",
    ];
    let args = args.into_iter().chain(["--retry-interval", "10ms"]);
    let outcome = env.hookfire(args).stdin(lines(40)).run().assert_code(0);
    let results = outcome.ndjson();
    let again: Vec<&Value> = results
        .iter()
        .filter(|result| result["attempt_count"] == 2)
        .collect();
    let mut kinds: Vec<&str> = again
        .iter()
        .map(|result| result["last_error"]["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!((results.len(), kinds), (40, vec!["reset", "timeout"]));
    assert!(
        again
            .iter()
            .all(|result| result["attempts"][0]["maybe_received"] == true)
    );
}

#[test]
fn interrupted_batch_can_be_continued() {
    const LINES: usize = 300;
    let env = TestEnv::new();
    let receiver = Receiver::start(|number, _| match number {
        1..=15 => Reply::Status(if number % 5 == 0 { 503 } else { 200 }),
        16..=17 => Reply::After(Duration::from_secs(60), 200),
        _ => Reply::Status(200),
    });
    env.write_file("batch.ndjson", lines(LINES));
    let args = [
        "fire",
        "--batch",
        "batch.ndjson",
        "-j",
        "2",
        "--url",
        &receiver.url(),
    ];
    let mut running = env.hookfire(args).spawn();
    receiver.wait_for(17);
    running.interrupt();
    let outcome = running.wait().assert_code(130);
    let counts = by_status(&env);
    assert_eq!(counts.get("pending"), None, "{counts:?}");
    assert_eq!(counts["delivered"], 12);
    let reported = outcome.stdout().lines().count();
    assert_eq!(
        reported,
        counts.values().sum::<usize>(),
        "each is reported: {outcome}"
    );
    let failed = env
        .hookfire(["failed", "list", "-o", "ndjson"])
        .run()
        .ndjson();
    let maybe = failed.iter().filter(|delivery| {
        let id = delivery["id"].to_string();
        let shown = env
            .hookfire(["failed", "show", &id, "-o", "json"])
            .run()
            .json();
        shown["attempts"].as_array().unwrap().last().unwrap()["maybe_received"] == true
    });
    assert_eq!(
        maybe.count(),
        2,
        "those that were on the wire, and no other"
    );
    // Follow the instructions in the message.
    let (_, skip) = outcome.stderr().split_once("`--skip ").unwrap();
    let skip = skip.split('`').next().unwrap();
    assert_eq!(skip.parse::<usize>().unwrap(), reported, "{outcome}");
    assert!(
        outcome.stderr().contains("`hookfire retry --all`"),
        "{outcome}"
    );
    env.hookfire(args)
        .args(["--skip", skip])
        .run()
        .assert_code(0);
    env.hookfire(["retry", "--all"]).run().assert_code(0);
    assert_eq!(
        by_status(&env),
        HashMap::from([("delivered".to_owned(), LINES)])
    );
    assert_eq!(receiver.times().len(), LINES);
}

#[test]
fn background_batch_makes_one_attempt_each() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, times| Reply::Status(if times == 1 { 503 } else { 200 }));
    let args = [
        "fire",
        "--batch",
        "-",
        "--background",
        "--retry-interval",
        "1ms",
        "--url",
    ];
    let literal = format!("{}?t=1", receiver.url());
    let refused = env
        .hookfire(args)
        .arg(&literal)
        .stdin(lines(1))
        .run()
        .assert_code(2);
    assert!(
        refused
            .stderr()
            .contains("`--background` cannot send the secret parameter `t` again later"),
        "{refused}"
    );
    let outcome = env
        .hookfire(args)
        .arg(receiver.url())
        .stdin(lines(20))
        .run()
        .assert_code(0);
    assert!(outcome.stderr().contains("20 scheduled in "), "{outcome}");
    assert_eq!(by_status(&env), HashMap::from([("pending".to_owned(), 20)]));
    let three = env
        .hookfire(["retry", "--due", "--max", "3", "--rate", "50/s"])
        .run()
        .assert_code(0);
    assert_eq!(three.stdout().lines().count(), 3, "{three}");
    let five = env
        .hookfire(["retry", "--due", "-j", "2", "--max", "5"])
        .run()
        .assert_code(0);
    assert_eq!(five.stdout().lines().count(), 5, "{five}");
    env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert_eq!(
        by_status(&env),
        HashMap::from([("delivered".to_owned(), 20)])
    );
    assert!(receiver.times().values().all(|times| times.len() == 2));
}

#[test]
fn batch_sends_lines_from_stdin_as_they_arrive() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(200, 2)]);
    let fifo = env.work_dir().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut running = env
        .hookfire(["fire", "--batch", "fifo", "--url", &server.url()])
        .spawn();
    let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
    for number in 1..=2 {
        writer.write_all(lines(1).as_bytes()).unwrap();
        running.wait_for_stdout_line(&format!("#{number} delivered"));
    }
    drop(writer);
    running.wait().assert_code(0);
}

#[test]
fn rate_limits_first_attempts_and_retries() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, times| Reply::Status(if times == 1 { 503 } else { 200 }));
    let args = [
        "fire",
        "--batch",
        "-",
        "--url",
        &receiver.url(),
        "--rate",
        "50/s",
        "--retry-interval",
        "1ms",
    ];
    env.hookfire(args).stdin(lines(8)).run().assert_code(0);
    let mut times: Vec<_> = receiver.times().into_values().flatten().collect();
    times.sort();
    assert_eq!(times.len(), 16);
    // Some may arrive late, but not all of them.
    let took = *times.last().unwrap() - times[0];
    assert!(
        took >= Duration::from_millis(15 * 20 - 20),
        "16 in {took:?}"
    );
}

#[test]
fn batch_exits_6_if_the_journal_disappears() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|number, _| match number {
        1..=5 => Reply::Status(200),
        _ => Reply::After(Duration::from_secs(1), 200),
    });
    let args = ["fire", "--batch", "-", "--url", &receiver.url(), "-j", "3"];
    let running = env.hookfire(args).stdin(lines(500)).spawn();
    receiver.wait_for(8);
    std::fs::remove_file(env.journal_path()).unwrap();
    let outcome = running.wait().assert_code(6);
    let reported = outcome.stderr();
    assert!(
        reported.contains("deliveries were sent, but the journal could not record the outcomes: #"),
        "{outcome}"
    );
    assert!(
        reported.contains("changed while it was in use"),
        "{outcome}"
    );
    assert!(reported.contains("`--skip "), "{outcome}");
    assert!(
        receiver.requests() < 20,
        "{} were sent after that",
        receiver.requests()
    );
}

#[test]
fn batch_on_a_full_disk_exits_6_and_loses_nothing() {
    const LINES: usize = 1_000;
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, _| Reply::Status(200));
    env.write_file("batch.ndjson", lines(LINES));
    let fire = format!(
        "'{}' fire --batch batch.ndjson --url {}",
        env!("CARGO_BIN_EXE_hookfire"),
        receiver.url()
    );
    // Files may grow to 2 MiB; further writes fail as on a full disk.
    let outcome = env
        .shell(&format!("trap '' XFSZ; ulimit -f 4096; exec {fire}"))
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(6);
    let reported = outcome
        .stdout()
        .lines()
        .filter(|line| line.ends_with("delivered, 1 attempt"))
        .count();
    let known: HashSet<String> = journal(&env)
        .iter()
        .map(|delivery| delivery["uuid"].as_str().unwrap().to_owned())
        .collect();
    let received = receiver.times();
    assert!(
        received.keys().all(|id| known.contains(id)),
        "received, and not in the journal: {outcome}"
    );
    assert!(
        reported > 0 && known.len() < LINES,
        "{reported} reported of {}",
        known.len()
    );
    assert_eq!(
        delivered(&env).len(),
        reported,
        "what was reported is what is recorded"
    );
    // Deliveries that could not be recorded are reported and in the failed list.
    let unrecorded = received.len() - reported;
    if unrecorded > 0 {
        assert!(outcome.stderr().contains("could not record"), "{outcome}");
    }
    let (_, skip) = outcome.stderr().split_once("`--skip ").unwrap();
    let skip = skip.split('`').next().unwrap();
    assert_eq!(skip.parse::<usize>().unwrap(), known.len(), "{outcome}");
    env.hookfire(["retry", "--all", "-j", "4"])
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    let rest = [
        "fire",
        "--batch",
        "batch.ndjson",
        "--url",
        &receiver.url(),
        "--skip",
        skip,
    ];
    env.hookfire(rest)
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    assert_eq!(
        by_status(&env),
        HashMap::from([("delivered".to_owned(), LINES)])
    );
}

#[cfg(target_os = "linux")]
#[test]
fn batch_memory_does_not_depend_on_its_length() {
    let object = format!("<t>{}</t>", "x".repeat(4_000));
    let line = format!(r#"{{"type":"t","action":"a","object":"{object}"}}"#);
    memory_stays(&vec![line; 2_000]);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "long: runs in CI"]
fn batch_memory_does_not_depend_on_a_great_length() {
    let line = r#"{"type":"account","action":"created"}"#;
    memory_stays(&vec![line.to_owned(); 8_000]);
}

/// Sends a batch, which needs little more memory than its first quarter.
#[cfg(target_os = "linux")]
fn memory_stays(lines: &[String]) {
    let (env, count) = (TestEnv::new(), lines.len());
    env.write_file("batch.ndjson", lines.join("\n"));
    // The last request keeps the batch running.
    let receiver = Receiver::start(move |number, _| {
        if number == count {
            Reply::After(Duration::from_secs(600), 200)
        } else {
            Reply::Status(200)
        }
    });
    let mut running = env
        .hookfire(["fire", "--batch", "batch.ndjson", "--url", &receiver.url()])
        .spawn();
    receiver.wait_for(count / 4);
    let early = running.kilobytes("VmHWM:");
    receiver.wait_for(count);
    let late = running.kilobytes("VmHWM:");
    assert!(
        late <= early + 4 * 1024,
        "{early} kB after a quarter, {late} kB at the end"
    );
    running.kill9();
}

#[test]
fn batch_continues_after_stdout_is_closed() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, _| Reply::Status(200));
    env.write_file("batch.ndjson", lines(500));
    let fire = format!(
        "'{}' fire --batch batch.ndjson --url {}",
        env!("CARGO_BIN_EXE_hookfire"),
        receiver.url()
    );
    env.shell(&format!("{fire} | head -1")).run().assert_code(0);
    assert_eq!(receiver.times().len(), 500);
}

#[test]
fn batch_shows_a_progress_bar_on_a_terminal() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, _| Reply::After(Duration::from_millis(150), 200));
    env.write_file("batch.ndjson", lines(30));
    let args = ["fire", "--batch", "batch.ndjson", "--url", &receiver.url()];
    let shown = env.hookfire_on_terminal(&args).run().assert_code(0);
    let text = shown.stdout();
    assert!(
        text.contains(" of 30, ") && text.contains(" delivered, 0 failed"),
        "{shown}"
    );
    assert_eq!(text.matches(", 1 attempt\r\n").count(), 30, "{shown}");
    let mut bars = text
        .split(['\r', '\n'])
        .filter(|line| line.contains(" of "));
    assert!(
        bars.all(|bar| bar.contains(" of 30, ") && !bar.contains(" 0s left")),
        "{shown}"
    );
    assert!(
        text.trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("30 delivered in "),
        "{shown}"
    );
    let quiet = env
        .hookfire_on_terminal(&[&args[..], &["-q"]].concat())
        .run()
        .assert_code(0);
    assert!(!quiet.stdout().contains(" of 30, "), "{quiet}");
    let piped = env.hookfire(args).run().assert_code(0);
    assert!(!piped.stderr().contains(" of 30, "), "{piped}");
}

#[test]
fn batch_samples_differ_and_a_seed_repeats_them() {
    let env = TestEnv::new();
    let batch = "{\"type\":\"account\",\"action\":\"created\"}\n".repeat(3);
    let bodies = |seed: &str| {
        let server = Server::script(vec![repeat(200, 3)]);
        let args = [
            "fire",
            "--batch",
            "-",
            "--url",
            &server.url(),
            "-j",
            "1",
            "--seed",
            seed,
        ];
        env.hookfire(args).stdin(batch.clone()).run().assert_code(0);
        let mut bodies: Vec<Vec<u8>> = server
            .requests()
            .into_iter()
            .map(|request| request.body)
            .collect();
        bodies.sort();
        bodies
    };
    let first = bodies("1");
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(bodies("1"), first);
    assert_ne!(bodies("2"), first);
}

/// An environment with `count` failed deliveries.
fn with_failures(env: &TestEnv, count: usize) {
    let args = [
        "fire",
        "--batch",
        "-",
        "--no-retry",
        "--connect-timeout",
        "5s",
        "--url",
    ];
    let url = format!("http://127.0.0.1:{}/", closed_port());
    env.hookfire(args)
        .arg(url)
        .stdin(lines(count))
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(4);
}

#[test]
fn retry_with_jobs_sends_each_delivery_once() {
    let env = TestEnv::new();
    with_failures(&env, 300);
    let receiver = Receiver::start(|_, _| Reply::After(Duration::from_millis(5), 200));
    let args = ["retry", "--all", "-j", "4", "--url", &receiver.url()];
    let outcome = env
        .hookfire(args)
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    assert_eq!(outcome.stdout().lines().count(), 300);
    assert_eq!(outcome.stderr(), "300 delivered\n");
    assert_eq!((receiver.requests(), receiver.times().len()), (300, 300));
    assert!(
        (2..=4).contains(&receiver.most_at_once()),
        "{}",
        receiver.most_at_once()
    );
}

#[test]
fn retry_respects_max_and_stop_after() {
    let env = TestEnv::new();
    with_failures(&env, 10);
    let server = Server::script(vec![repeat(200, 2), repeat(503, 3)]);
    let first = env
        .hookfire(["retry", "--all", "--max", "2", "--url", &server.url()])
        .run()
        .assert_code(0);
    assert_eq!(first.stderr(), "2 delivered, 8 not tried\n");
    let second = env
        .hookfire([
            "retry",
            "--all",
            "--stop-after",
            "3",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    assert_eq!(second.stderr(), "3 failed, 5 not tried\n");
    assert_eq!(
        env.hookfire(["failed", "list", "-o", "ndjson"])
            .run()
            .ndjson()
            .len(),
        8
    );
}
