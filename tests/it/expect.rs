//! `expect`: waits for a webhook, explains differences, and keeps the exit code of the command.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

use crate::support::{Invocation, Listener, Outcome, Running, TestEnv, needs};

const HOOKFIRE: &str = env!("CARGO_BIN_EXE_hookfire");

/// `hookfire expect OPTIONS -- hookfire ARGUMENTS`
fn expect_of(env: &TestEnv, options: &[&str], arguments: &[&str]) -> Invocation {
    env.hookfire(["expect"])
        .args(options)
        .args(["--", HOOKFIRE])
        .args(arguments)
}

/// `hookfire expect OPTIONS -- sh -c LINE`
fn expect_of_shell(env: &TestEnv, options: &[&str], line: &str) -> Invocation {
    env.hookfire(["expect"])
        .args(options)
        .args(["--", "sh", "-c", line])
}

/// Starts `hookfire expect OPTIONS -o ndjson` without a command, and returns its port.
pub fn listening(env: &TestEnv, options: &[&str]) -> (Running, u16) {
    let mut running = env
        .hookfire(["expect", "-o", "ndjson"])
        .args(options)
        .spawn();
    let ready: Value = serde_json::from_str(&running.wait_for_stdout_line("ready")).unwrap();
    let port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
    assert_eq!(
        ready,
        serde_json::json!({ "event": "ready", "url": format!("http://127.0.0.1:{port}"), "port": port })
    );
    (running, port)
}

/// Sends a request and returns the status of the response.
pub fn send(port: u16, head: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!(
        "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Waits until the process with the id in the file has ended.
pub fn wait_until_gone(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let pid = text.trim().parse().ok().and_then(Pid::from_raw).unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    let stat = format!("/proc/{}/stat", text.trim());
    let is_zombie = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
    while test_kill_process(pid).is_ok() && !is_zombie() {
        assert!(Instant::now() < limit, "{pid:?} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stdout_ids(outcome: &Outcome) -> Vec<i64> {
    outcome
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|capture| capture["id"].as_i64().unwrap())
        .collect()
}

#[test]
fn expect_ends_when_the_webhook_arrives() {
    let env = TestEnv::new();
    let options = [
        "--within",
        "20s",
        "--type",
        "application",
        "--action",
        "created",
        "--match",
        "object/application/plan/name=Gold",
        "--match",
        "event/type=application",
        "--match",
        "//plan/@default=true",
        "--method",
        "post",
        "-H",
        "content-type=application/xml",
        "-H",
        "X-From: ci",
    ];
    let fire = [
        "fire",
        "application",
        "created",
        "--set",
        "plan/name=Gold",
        "-H",
        "X-From: ci",
        "-q",
    ];
    let outcome = expect_of(&env, &options, &fire).run().assert_code(0);
    assert!(
        outcome.elapsed < Duration::from_secs(10),
        "it did not wait for the time to pass: {:?}",
        outcome.elapsed
    );
    assert!(outcome.stdout().starts_with("#1 POST / "), "{outcome}");
    assert_eq!(
        outcome.stdout().lines().count(),
        1,
        "what the command printed is not on stdout: {outcome}"
    );
    assert!(outcome.stderr().contains("#1 delivered"), "{outcome}");
}

#[test]
fn expect_sets_both_url_variables_and_unsets_endpoint() {
    let env = TestEnv::new();
    let line = format!(
        "{HOOKFIRE} fire user created -q && test \"$HOOKFIRE_EXPECT_URL\" = \"$HOOKFIRE_URL\""
    );
    expect_of_shell(&env, &["--within", "20s"], &line)
        .env("HOOKFIRE_ENDPOINT", "staging")
        .run()
        .assert_code(0);
}

#[test]
fn expect_explains_the_closest_request() {
    let env = TestEnv::new();
    let line = format!("{HOOKFIRE} fire user created -q; {HOOKFIRE} fire application updated -q");
    let options = [
        "--within",
        "1s",
        "--type",
        "application",
        "--match",
        "//plan/name=Gold",
        "--match",
        "//org_name=Acme",
    ];
    let outcome = expect_of_shell(&env, &options, &line).run().assert_code(7);
    insta::assert_snapshot!(env.redacted(&outcome), @"
    ------- stderr -------
    waiting up to 1s for a request with type `application`, `//plan/name` = `Gold`, `//org_name` = `Acme` at http://127.0.0.1:[PORT]
    #1 delivered, 1 attempt
    #2 delivered, 1 attempt
    error: expected a request with type `application`, `//plan/name` = `Gold`, `//org_name` = `Acme` within 1s, got none
    caused by: the nearest miss is #2 POST / application.updated
    caused by: `//plan/name` is `Basic`, not `Gold`
    caused by: no element `//org_name`
    hint: `hookfire captured show 2` shows it
    [exit code: 7]
    ");
    let options = ["-o", "json", "--within", "200ms", "--type", "account"];
    let outcome = expect_of(&env, &options, &["fire", "user", "created", "-q"])
        .run()
        .assert_code(7);
    assert_eq!(outcome.json(), serde_json::json!([]));
    let error: Value = serde_json::from_str(outcome.stderr().lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["kind"], "unmet");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("type is `user`, not `account`"),
        "{error}"
    );
}

#[test]
fn expect_of_an_event_hints_at_the_option_for_json() {
    let env = TestEnv::new();
    let order = env.write_file("order.json", r#"{"type":"order.paid"}"#);
    let fire = ["fire", "-q", "--body", order.to_str().unwrap()];
    let options = ["--within", "1s", "--type", "order"];
    let outcome = expect_of(&env, &options, &fire).run().assert_code(7);
    let hint = "hint: for JSON, use `--match`, such as `--match type=order.paid`";
    assert!(outcome.stderr().contains(hint), "{outcome}");
}

#[test]
fn expect_ends_after_within() {
    let env = TestEnv::new();
    let outcome = env
        .hookfire(["expect", "--within", "600ms", "--type", "account"])
        .run()
        .assert_code(7);
    assert!(outcome.stderr().contains("no request arrived"), "{outcome}");
    assert!(
        outcome.elapsed >= Duration::from_millis(600),
        "{:?}",
        outcome.elapsed
    );
    assert!(
        outcome.elapsed < Duration::from_secs(8),
        "{:?}",
        outcome.elapsed
    );
}

#[test]
fn expect_keeps_the_commands_exit_code() {
    let env = TestEnv::new();
    let line = format!("{HOOKFIRE} fire user created -q; exit 42");
    let outcome = expect_of_shell(&env, &["--within", "20s"], &line)
        .run()
        .assert_code(42);
    assert!(
        outcome
            .stderr()
            .contains("the command ended with exit code 42; 1 of 1 expected request had arrived"),
        "{outcome}"
    );
    assert!(
        outcome.elapsed < Duration::from_secs(10),
        "{:?}",
        outcome.elapsed
    );
    let outcome = expect_of_shell(&env, &["--within", "20s"], "exit 3")
        .run()
        .assert_code(3);
    assert!(
        outcome
            .stderr()
            .contains("exit code 3; 0 of 1 expected request had arrived"),
        "{outcome}"
    );
    expect_of_shell(&env, &["--within", "20s"], "kill -9 $$")
        .run()
        .assert_code(137);
    let outcome = env
        .hookfire(["expect", "-o", "json", "--", "no-such-program", "arg"])
        .run()
        .assert_code(127);
    let error: Value = serde_json::from_str(outcome.stderr()).unwrap();
    assert_eq!(error["error"]["kind"], "command");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`no-such-program`"),
        "{error}"
    );
    env.hookfire(["expect", "--", "/"]).run().assert_code(126);
}

#[test]
fn webhook_may_arrive_after_the_command() {
    let env = TestEnv::new();
    let line = format!("(sleep 0.3; {HOOKFIRE} fire user created -q) > /dev/null 2>&1 &");
    let outcome = expect_of_shell(&env, &["--within", "20s", "--type", "user"], &line)
        .run()
        .assert_code(0);
    assert!(
        outcome.elapsed < Duration::from_secs(10),
        "{:?}",
        outcome.elapsed
    );
}

#[test]
fn expect_waits_for_count_requests() {
    let env = TestEnv::new();
    let fire = [
        "fire",
        "user",
        "created",
        "--retries",
        "1",
        "--retry-interval",
        "10ms",
        "-q",
    ];
    let options = [
        "-o",
        "json",
        "--within",
        "20s",
        "--count",
        "2",
        "--respond",
        "503,200",
    ];
    let outcome = expect_of(&env, &options, &fire).run().assert_code(0);
    assert_eq!(stdout_ids(&outcome), [1, 2]);
    let answers: Vec<Value> = outcome
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|capture| capture["response"]["status"].clone())
        .collect();
    assert_eq!(answers, [503, 200]);
    let options = ["-o", "ndjson", "--within", "500ms", "--count", "2"];
    let outcome = expect_of(&env, &options, &["fire", "user", "created", "-q"])
        .run()
        .assert_code(7);
    assert_eq!(outcome.ndjson().len(), 1, "what did come is printed");
    assert!(
        outcome
            .stderr()
            .contains("expected 2 requests within 500ms, got 1"),
        "{outcome}"
    );
    assert!(
        outcome.stderr().contains("no other request arrived"),
        "{outcome}"
    );
}

#[test]
fn count_zero_fails_if_a_request_arrives() {
    let env = TestEnv::new();
    let none = ["--count", "0", "--within", "400ms", "--type", "account"];
    let outcome = expect_of(&env, &none, &["fire", "user", "created", "-q"])
        .run()
        .assert_code(0);
    assert!(
        outcome.elapsed >= Duration::from_millis(400),
        "it waits to the end: {:?}",
        outcome.elapsed
    );
    let none = ["--count", "0", "--within", "30s", "--type", "user"];
    let line = format!("echo $$ > pid; {HOOKFIRE} fire user created -q; sleep 60");
    let outcome = expect_of_shell(&env, &none, &line).run().assert_code(7);
    assert!(
        outcome.elapsed < Duration::from_secs(15),
        "it does not wait for more: {:?}",
        outcome.elapsed
    );
    assert!(outcome.stdout().starts_with("#2 POST / "), "{outcome}");
    assert!(
        outcome.stderr().contains(
            "error: #2 POST / user.created arrived, but no request with type `user` was expected\nhint: `hookfire captured show 2` shows it\n"
        ),
        "{outcome}"
    );
    wait_until_gone(&env.work_dir().join("pid"));
}

#[test]
fn hanging_command_is_ended_with_its_children() {
    let env = TestEnv::new();
    let line =
        format!("echo $$ > pid; {HOOKFIRE} fire user created -q; sleep 60 & echo $! > below; wait");
    let outcome = expect_of_shell(&env, &["--within", "1s"], &line)
        .run()
        .assert_code(7);
    assert!(
        outcome
            .stderr()
            .contains("the command did not end within 1s and was ended"),
        "{outcome}"
    );
    assert!(
        outcome
            .stderr()
            .contains("1 of 1 expected request had arrived"),
        "{outcome}"
    );
    assert!(outcome.stdout().starts_with("#1 "), "{outcome}");
    for file in ["pid", "below"] {
        wait_until_gone(&env.work_dir().join(file));
    }
    let deaf = "echo $$ > pid; trap '' TERM; while :; do sleep 0.1; done";
    let outcome = expect_of_shell(&env, &["--within", "200ms"], deaf)
        .run()
        .assert_code(7);
    assert!(outcome.stderr().contains("still running"), "{outcome}");
    wait_until_gone(&env.work_dir().join("pid"));
}

#[test]
fn ctrl_c_ends_it_with_its_command() {
    let env = TestEnv::new();
    let mut running = expect_of_shell(
        &env,
        &["--within", "60s"],
        "echo $$ > pid; echo begun; sleep 60",
    )
    .spawn();
    running.wait_for_stderr("begun");
    running.interrupt();
    let outcome = running.wait().assert_code(130);
    assert!(
        outcome
            .stderr()
            .contains("interrupted while waiting for a request"),
        "{outcome}"
    );
    wait_until_gone(&env.work_dir().join("pid"));
}

/// Whether this process was started with SIGHUP ignored, which `expect` inherits and respects.
fn ignores_sighup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn every_signal_ends_the_process_group_of_the_command() {
    use rustix::process::Signal;
    let obedient = "";
    // The first signal gives the command two seconds; the second does not wait.
    let deaf = "trap '' INT TERM HUP QUIT; ";
    for (trap, signals) in [
        (obedient, &[Signal::HUP][..]),
        (obedient, &[Signal::QUIT]),
        (deaf, &[Signal::INT, Signal::TERM]),
        (deaf, &[Signal::TERM, Signal::HUP]),
    ] {
        if signals.contains(&Signal::HUP) && ignores_sighup() {
            crate::support::skipped("the tests run under nohup, and so does `expect`");
            continue;
        }
        let env = TestEnv::new();
        let line = format!("{trap}sleep 60 & echo $! > below; echo $$ > pid; echo begun; wait");
        let mut running = expect_of_shell(&env, &["--within", "60s"], &line).spawn();
        running.wait_for_stderr("begun");
        for signal in signals {
            running.signal(*signal);
        }
        running.wait().assert_code(130);
        for file in ["pid", "below"] {
            wait_until_gone(&env.work_dir().join(file));
        }
    }
}

#[test]
fn command_reads_the_stdin_of_expect() {
    let env = TestEnv::new();
    let options = ["--within", "20s", "--match", "object/order/id=17"];
    let order = "<order><id>17</id></order>";
    expect_of(&env, &options, &["fire", "order", "paid", "--object", "-"])
        .stdin(order)
        .run()
        .assert_code(0);
    let rest = env.work_dir().join("rest");
    let line = format!(
        "'{HOOKFIRE}' expect --within 20s -- '{HOOKFIRE}' fire user created -q && '{HOOKFIRE}' fire user created -q
         cat > '{}'",
        rest.display()
    );
    let outcome = env
        .hookfire(["expect", "--within", "20s", "--", "sh", "-c", &line])
        .stdin("all of it")
        .run()
        .assert_code(0);
    assert_eq!(
        std::fs::read_to_string(rest).unwrap(),
        "all of it",
        "{outcome}"
    );
}

#[test]
fn expect_without_command_prints_its_port_and_responds() {
    let env = TestEnv::new();
    let options = [
        "--within",
        "30s",
        "--match",
        "data/users[2]/email=b@x",
        "--respond",
        "202",
    ];
    let (running, port) = listening(&env, &options);
    assert_eq!(
        send(
            port,
            "PUT /inbox/deep?x=1 HTTP/1.1",
            r#"{"data":{"users":[{"email":"a@x"}]}}"#
        ),
        202
    );
    assert_eq!(
        send(
            port,
            "PUT / HTTP/1.1",
            r#"{"data":{"users":[{"email":"a@x"},{"email":"b@x"}]}}"#
        ),
        202
    );
    let outcome = running.wait().assert_code(0);
    let captures: Vec<Value> = outcome.ndjson().into_iter().skip(1).collect();
    assert_eq!(captures.len(), 1, "{outcome}");
    assert_eq!(
        (
            &captures[0]["event"],
            &captures[0]["id"],
            &captures[0]["bin"]
        ),
        (&"capture".into(), &2.into(), &"expect".into())
    );
    let outcome = env.hookfire(["expect", "-o", "json"]).run().assert_code(2);
    assert!(outcome.stderr().contains("which port"), "{outcome}");
}

#[test]
fn expect_matches_3scale_forms() {
    let env = TestEnv::new();
    let (running, port) = listening(
        &env,
        &[
            "--within", "30s", "--type", "user", "--action", "deleted", "--match", "//id=6",
        ],
    );
    let form = "params%5Bxml%5D=%3Cevent%3E%3Caction%3Edeleted%3C%2Faction%3E%3Ctype%3Euser%3C%2Ftype%3E%3Cobject%3E%3Cuser%3E%3Cid%3E6%3C%2Fid%3E%3C%2Fuser%3E%3C%2Fobject%3E%3C%2Fevent%3E";
    send(
        port,
        "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded",
        form,
    );
    running.wait().assert_code(0);
}

#[test]
fn background_processes_end_with_expect() {
    let env = TestEnv::new();
    for line in [
        "sleep 47 & echo $! > below",
        "(trap '' TERM; echo begun > begun; while :; do sleep 0.1; done) & echo $! > below; until test -e begun; do :; done",
    ] {
        let line = format!("{line}; {HOOKFIRE} fire user created -q; exit 0");
        // A reader of stderr to its end would wait for them.
        expect_of_shell(&env, &[], &line)
            .deadline(Duration::from_secs(20))
            .run()
            .assert_code(0);
        let pid = std::fs::read_to_string(env.work_dir().join("below")).unwrap();
        let status =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        assert!(
            status.is_empty() || status.contains(") Z "),
            "{line}: {status}"
        );
    }
}

#[test]
fn command_with_bin_gets_no_url() {
    let env = TestEnv::new();
    let line = "test -z \"${HOOKFIRE_EXPECT_URL+set}\"";
    Listener::start(&env, &[]).stop();
    let outcome = env
        .hookfire([
            "expect", "--bin", "inbox", "--count", "0", "--within", "100ms", "--", "sh", "-c", line,
        ])
        .env("HOOKFIRE_EXPECT_URL", "");
    outcome.run().assert_code(0);
}

#[test]
fn expected_secret_values_are_never_shown() {
    let env = TestEnv::new();
    let canary = "canary-c0ffee+/=x";
    let options = [
        "--within",
        "300ms",
        "-vv",
        "--junit",
        "report.xml",
        "--secret",
        "token=@env:CANARY",
        "-H",
        "Authorization=@env:CANARY",
        "-H",
        "X-Api-Key: @env:CANARY",
    ];
    let right = [
        "--secret",
        "token=@env:CANARY",
        "-H",
        "Authorization: @env:CANARY",
        "-H",
        "X-Api-Key: @env:CANARY",
    ];
    let all = &right[..];
    let cases = [
        ("text", 0, all),
        ("json", 0, all),
        ("ndjson", 0, all),
        ("text", 7, &all[..2]),
        ("json", 7, &all[2..]),
    ];
    for (format, code, secrets) in cases {
        let fire = [
            &[
                "fire",
                "user",
                "created",
                "-q",
                "--set",
                "username=canary-c0ffee+/=x",
            ],
            secrets,
        ]
        .concat();
        let options = [&options[..], &["-o", format]].concat();
        let outcome = expect_of(&env, &options, &fire)
            .env("CANARY", canary)
            .run()
            .assert_code(code);
        // Only the journal may contain the secret: it stores captures as received.
        let report = std::fs::read_to_string(env.work_dir().join("report.xml")).unwrap();
        for said in [outcome.stdout(), outcome.stderr(), &report] {
            assert!(
                !said.contains("canary") && !said.contains("c0ffee"),
                "{outcome}\n{report}"
            );
        }
        if (format, code) == ("json", 0) {
            assert!(
                outcome.json()[0]["body"]
                    .as_str()
                    .unwrap()
                    .contains("<username>***</username>"),
                "{outcome}"
            );
        }
    }
    // Later commands, which do not know the condition, mask it too.
    let list = env
        .hookfire(["captured", "list", "-o", "ndjson"])
        .run()
        .assert_code(0);
    assert_eq!(list.ndjson().len(), 5);
    for capture in list.ndjson() {
        let query = capture["query"].as_array().unwrap();
        assert!(
            query.is_empty() && capture["secret_ok"] == false || query[0][1] == "***",
            "{capture}"
        );
        let shown = env
            .hookfire(["captured", "show", &capture["id"].to_string()])
            .run()
            .assert_code(0);
        let head = shown.stdout().split("\n\n").next().unwrap();
        assert!(
            !head.contains("canary") && !head.contains("c0ffee"),
            "{shown}"
        );
    }
    let outcome = env
        .hookfire(["expect", "--secret", "token=@env:CANARY"])
        .run()
        .assert_code(1);
    assert!(
        outcome.stderr().contains("`CANARY` is not set"),
        "{outcome}"
    );
    let outcome = env
        .hookfire(["expect", "--secret", "canary", "--header", "canary"])
        .run()
        .assert_code(2);
    assert!(!outcome.stderr().contains("canary"), "{outcome}");
}

#[test]
fn junit_report_has_the_result() {
    let env = TestEnv::new();
    let report = env.work_dir().join("report.xml");
    let read = || std::fs::read_to_string(&report).unwrap();
    let options = ["--within", "20s", "--junit", "report.xml", "--type", "user"];
    expect_of(&env, &options, &["fire", "user", "created", "-q"])
        .run()
        .assert_code(0);
    let text = read();
    let document = roxmltree::Document::parse(&text).unwrap();
    let suite = document.root_element();
    let numbers = ["tests", "failures", "errors"].map(|name| suite.attribute(name));
    assert_eq!(
        (suite.tag_name().name(), numbers),
        ("testsuite", [Some("1"), Some("0"), Some("0")])
    );
    let case = suite.first_element_child().unwrap();
    assert_eq!(
        (case.tag_name().name(), case.attribute("name")),
        ("testcase", Some("a request with type `user`"))
    );
    assert!(case.attribute("time").unwrap().parse::<f64>().unwrap() > 0.0);
    assert!(case.children().any(
        |node| node.has_tag_name("system-out") && node.text().unwrap().starts_with("#1 POST /")
    ));

    let options = [
        "--within",
        "200ms",
        "--junit",
        "report.xml",
        "--match",
        "//name=\u{1b}<&\"\u{9b}",
    ];
    expect_of(&env, &options, &["fire", "application", "created", "-q"])
        .run()
        .assert_code(7);
    let text = read();
    let document = roxmltree::Document::parse(&text).unwrap();
    let failure = document
        .descendants()
        .find(|node| node.has_tag_name("failure"))
        .unwrap();
    assert_eq!(failure.attribute("type"), Some("unmet"));
    assert!(
        failure
            .text()
            .unwrap()
            .contains("the nearest miss is #2 POST /"),
        "{text}"
    );
    assert!(!text.contains(['\u{1b}', '\u{9b}']));

    expect_of_shell(&env, &["--junit", "report.xml"], "exit 9")
        .run()
        .assert_code(9);
    assert!(read().contains("<failure type=\"command\""), "{}", read());
    let left: Vec<_> = std::fs::read_dir(env.work_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["report.xml"], "nothing is left beside it");
}

#[test]
fn unwritable_report_is_reported_first() {
    let env = TestEnv::new();
    for path in ["nowhere/report.xml", "."] {
        let outcome = expect_of_shell(&env, &["--junit", path], "touch ran")
            .run()
            .assert_code(1);
        assert!(
            outcome
                .stderr()
                .contains(&format!("cannot write the JUnit report `{path}`")),
            "{outcome}"
        );
    }
    assert!(!env.work_dir().join("ran").exists());
    let line = format!("{HOOKFIRE} fire user created -q; rmdir reports");
    std::fs::create_dir(env.work_dir().join("reports")).unwrap();
    let outcome = expect_of_shell(&env, &["--junit", "reports/report.xml"], &line)
        .run()
        .assert_code(1);
    assert!(
        outcome.stdout().starts_with("#1 "),
        "what came is reported all the same: {outcome}"
    );
}

#[test]
fn expect_bin_with_since_includes_earlier_captures() {
    let env = TestEnv::new();
    let fire = |event_type: &str| {
        expect_of(
            &env,
            &["--within", "20s"],
            &["fire", event_type, "created", "-q"],
        )
        .run()
        .assert_code(0)
    };
    fire("user");
    let past = |options: &[&str]| {
        env.hookfire(["expect", "--bin", "expect", "--within", "0s", "-o", "json"])
            .args(options)
            .run()
    };
    assert_eq!(
        stdout_ids(&past(&["--since", "1h", "--type", "user"]).assert_code(0)),
        [1]
    );
    past(&["--since", "1h", "--type", "account"]).assert_code(7);
    past(&["--type", "user"]).assert_code(7);

    let mut watching = env
        .hookfire([
            "expect", "--bin", "expect", "--within", "20s", "--type", "account",
        ])
        .spawn();
    watching.wait_for_stderr("in bin `expect`");
    fire("user");
    assert!(watching.is_running());
    fire("account");
    let outcome = watching.wait().assert_code(0);
    assert!(outcome.stdout().starts_with("#3 POST / "), "{outcome}");

    let outcome = env
        .hookfire(["expect", "--bin", "expct", "--within", "20s"])
        .args(["--", "touch", "ran"])
        .run()
        .assert_code(2);
    let words = "error: there is no bin `expct`\nhint: did you mean `--bin expect`?\n";
    assert_eq!(outcome.stderr(), words);
    assert!(!env.work_dir().join("ran").exists(), "the command was run");
    let outcome = env
        .hookfire(["expect", "--bin", "orders", "--within", "20s"])
        .run()
        .assert_code(2);
    assert!(
        outcome.stderr().contains("hint: existing bins: `expect`\n"),
        "{outcome}"
    );
    for wrong in [
        &["--since", "1h"][..],
        &["--bin", "b", "--listen", "0"],
        &["--bin", "b", "--respond", "200"],
    ] {
        env.hookfire(["expect"]).args(wrong).run().assert_code(2);
    }
    let outcome = env
        .hookfire(["expect", "--bin", "expect", "--since", "yesterdayish"])
        .run()
        .assert_code(2);
    assert!(outcome.stderr().contains("yesterdayish"), "{outcome}");
}

#[test]
fn expect_bin_sees_captures_of_a_running_listener() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--bin", "hooks"]);
    let url = format!("{}/any", listener.url());
    let options = [
        "--bin",
        "hooks",
        "--within",
        "20s",
        "--type",
        "user",
        "--match",
        "//username=jo",
    ];
    let fire = [
        "fire",
        "user",
        "created",
        "-q",
        "--url",
        &url,
        "--set",
        "username=jo",
    ];
    let outcome = expect_of(&env, &options, &fire).run().assert_code(0);
    assert!(
        outcome.stdout().starts_with("#1 POST /any user.created"),
        "{outcome}"
    );
    assert!(
        outcome.elapsed < Duration::from_secs(10),
        "{:?}",
        outcome.elapsed
    );
    listener.stop();
}

#[test]
fn expect_fails_if_a_request_cannot_be_stored() {
    let env = TestEnv::new();
    let (running, port) = listening(&env, &["--within", "5s"]);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(send(port, "POST / HTTP/1.1", ""), 503);
    drop(lock);
    let outcome = running.wait().assert_code(6);
    let error: Value = serde_json::from_str(outcome.stderr().lines().last().unwrap()).unwrap();
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("got a 503"),
        "{error}"
    );

    let (running, port) = listening(&env, &["--within", "20s"]);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(send(port, "POST / HTTP/1.1", ""), 503);
    drop(lock);
    assert_eq!(send(port, "POST / HTTP/1.1", ""), 200);
    running.wait().assert_code(0);
}

#[test]
fn expect_does_not_wait_for_delayed_responses() {
    let env = TestEnv::new();
    for (script, method, code) in [
        ("timeout", "PUT", 7),
        ("200@1m", "PUT", 7),
        ("200@1m", "POST", 0),
    ] {
        let (running, port) = listening(
            &env,
            &["--within", "600ms", "--respond", script, "--method", method],
        );
        let mut held = TcpStream::connect(("127.0.0.1", port)).unwrap();
        held.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        running.wait().assert_code(code);
    }
}

#[test]
fn invalid_options_are_refused_first() {
    let env = TestEnv::new();
    for (option, value, words) in [
        (
            "--match",
            "a~=(",
            "`--match`: `(` is not a regular expression",
        ),
        (
            "--match",
            "a//b=c",
            "`--match`: path `a//b`: a step is empty",
        ),
        ("--match", "//*=c", "`*` is not a name"),
        ("--header", "no-value", "`--header` takes NAME=VALUE"),
        ("--within", "-1s", "negative"),
        ("--listen", "here", "write an address such as 8080"),
        ("--respond", "ok", "`ok` is not a step"),
        ("--count", "some", "is not a whole number"),
    ] {
        let outcome = expect_of_shell(&env, &[option, value], "touch ran")
            .run()
            .assert_code(2);
        assert!(outcome.stderr().contains(words), "{outcome}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let outcome = expect_of_shell(&env, &["--listen", &port], "touch ran")
        .run()
        .assert_code(1);
    assert!(outcome.stderr().contains("already in use"), "{outcome}");
    assert!(!env.work_dir().join("ran").exists());
}

#[test]
fn expect_on_a_terminal_passes_input_and_escapes_output() {
    if !needs("script", &["--version"]) {
        return;
    }
    let env = TestEnv::new();
    // If it were stopped for reading from a terminal that is not its own, it would never exit with 9.
    let reads = [
        "expect",
        "--within",
        "20s",
        "--",
        "sh",
        "-c",
        "read x; test \"$x\" = hello && exit 9",
    ];
    env.hookfire_on_terminal(&reads)
        .stdin("hello\n")
        .run()
        .assert_code(9);
    let hostile = "username=\u{9b}2J\u{202e}";
    for (condition, code) in [("//username=other", 7), ("//username=\u{9b}2J\u{202e}", 0)] {
        let fire = [HOOKFIRE, "fire", "user", "created", "-q", "--set", hostile];
        let options = ["expect", "--within", "1s", "--match", condition, "--"];
        let outcome = env
            .hookfire_on_terminal(&[&options[..], &fire].concat())
            .run()
            .assert_code(code);
        let shown = outcome.stdout();
        assert!(
            shown.contains("\\u{9b}2J\\u{202e}") && !shown.contains(['\u{9b}', '\u{202e}']),
            "{outcome}"
        );
    }
}
