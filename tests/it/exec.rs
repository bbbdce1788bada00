//! `--exec`: a command for each capture, its input, its end, and its record.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::expect::wait_until_gone;
use crate::support::{Listener, TestEnv};

/// A shell script in the working directory, as an argument of `--exec`.
fn script(env: &TestEnv, text: &str) -> String {
    let path = env.work_dir().join("on-event.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    "./on-event.sh".to_owned()
}

fn runs(env: &TestEnv, id: usize) -> Vec<Value> {
    let id = id.to_string();
    let show = env.hookfire(["captured", "show", &id, "-o", "json"]);
    let view = show.run().assert_code(0).json();
    view["runs"].as_array().cloned().unwrap_or_default()
}

fn wait_for_file(path: &Path) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < limit, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read(env: &TestEnv, name: &str) -> String {
    std::fs::read_to_string(env.work_dir().join(name)).unwrap()
}

const EVENT: &str =
    "<event><type>account</type><action>created</action><object><account/></object></event>";

#[test]
fn command_gets_body_and_metadata() {
    let env = TestEnv::new();
    let exec = script(
        &env,
        "cat > body; env | grep ^HOOKFIRE_CAPTURE_ | sort > metadata; echo \"$1\" > argument; echo to stderr >&2; exit 3",
    );
    let args = [
        "--exit-after",
        "1",
        "--exec",
        &exec,
        "--",
        "a b;$(touch ran)",
    ];
    let listener = Listener::start(&env, &args);
    let body = format!("{EVENT}\n");
    listener.send(format!(
        "POST /hook?a=1&b=%00 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nX-$touch: `touch ran` $(touch ran)\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let outcome = listener.wait();
    assert_eq!(read(&env, "body"), body);
    assert_eq!(read(&env, "argument"), "a b;$(touch ran)\n");
    assert!(!env.work_dir().join("ran").exists());
    let metadata = read(&env, "metadata");
    for line in [
        "HOOKFIRE_CAPTURE_ID=1",
        "HOOKFIRE_CAPTURE_BIN=inbox",
        "HOOKFIRE_CAPTURE_METHOD=POST",
        "HOOKFIRE_CAPTURE_PATH=/hook",
        "HOOKFIRE_CAPTURE_TYPE=account",
        "HOOKFIRE_CAPTURE_ACTION=created",
        "HOOKFIRE_CAPTURE_CONTENT_TYPE=text/xml",
        "HOOKFIRE_CAPTURE_QUERY=[[\"a\",\"1\"],[\"b\",\"\\u0000\"]]",
    ] {
        assert!(
            metadata.lines().any(|given| given == line),
            "{line}: {metadata}"
        );
    }
    let run = &runs(&env, 1)[0];
    assert_eq!(
        (&run["exit_code"], &run["stderr"]),
        (&json!(3), &json!("to stderr\n"))
    );
    assert_eq!(
        (&run["number"], &run["command"], &run["error"]),
        (&json!(1), &json!("./on-event.sh"), &Value::Null)
    );
    assert!(outcome.stderr().contains("exit code 3"), "{outcome}");
    let shown = env.hookfire(["captured", "show", "1"]).run().assert_code(0);
    assert!(
        shown.stdout().contains("./on-event.sh: exit code 3 (")
            && shown.stdout().contains("to stderr"),
        "{shown}"
    );
}

#[test]
fn only_matching_valid_requests_reach_the_command() {
    let env = TestEnv::new();
    let exec = script(&env, "echo \"$HOOKFIRE_CAPTURE_ID\" >> ids");
    let args = [
        "--handshake",
        "dropbox",
        "--exit-after",
        "4",
        "--exec",
        &exec,
        "--type",
        "account",
        "--path",
        "/a*",
    ];
    let listener = Listener::start(&env, &args);
    listener.get("/a?challenge=x");
    listener.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    listener.post("/a", "{}");
    listener.post("/b", EVENT);
    listener.post("/abc", EVENT);
    listener.wait();
    assert_eq!(read(&env, "ids"), "5\n");
    assert!(runs(&env, 3).is_empty());
}

#[test]
fn response_is_the_output_of_the_command() {
    let env = TestEnv::new();
    let exec = script(
        &env,
        "case $HOOKFIRE_CAPTURE_PATH in /ok) cat; echo ' seen' ;; *) echo no; exit 1 ;; esac",
    );
    let listener = Listener::start(&env, &["--exec", &exec, "--exec-response", "--path", "/*k"]);
    let response = listener.post("/ok", "hello");
    assert_eq!((response.status, response.text()), (200, "hello seen\n"));
    assert_eq!(listener.post("/not-ok/k", "hello").status, 500);
    let other = listener.post("/other", "hello");
    assert_eq!(
        (other.status, other.text()),
        (200, "ok"),
        "it is not for the command"
    );
    let captures = listener.stop().ndjson();
    let note = captures[2]["response"]["note"].as_str().unwrap();
    assert!(note.starts_with("./on-event.sh: exit code 1 ("), "{note}");
}

#[test]
fn time_limit_ends_the_whole_process_group() {
    let env = TestEnv::new();
    // Ignores SIGTERM, has a child in the background, and floods both streams.
    let exec = script(
        &env,
        "trap '' TERM; (trap '' TERM; echo $$ > /dev/null; while :; do sleep 1; done) & echo $! > child; yes >&2 & yes & wait; wait; sleep 60",
    );
    let args = [
        "--exec",
        &exec,
        "--exec-timeout",
        "300ms",
        "--exec-response",
    ];
    let listener = Listener::start(&env, &args);
    let began = Instant::now();
    assert_eq!(listener.post("/", "").status, 500);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    wait_until_gone(&env.work_dir().join("child"));
    listener.stop();
    let run = &runs(&env, 1)[0];
    let error = run["error"].as_str().unwrap();
    assert!(
        error.contains("time limit of 300ms") || error.contains("its output"),
        "{error}"
    );
    assert!(run["stderr"].as_str().unwrap().len() <= 4 * 1024 + 3);
}

#[test]
fn background_processes_end_with_the_command() {
    let env = TestEnv::new();
    let exec = script(&env, "sleep 60 & echo $! > child; echo done");
    let listener = Listener::start(&env, &["--exec", &exec, "--exec-response"]);
    let response = listener.post("/", "");
    assert_eq!((response.status, response.text()), (200, "done\n"));
    wait_until_gone(&env.work_dir().join("child"));
    listener.stop();
}

#[test]
fn response_does_not_wait_and_interrupt_ends_the_command() {
    let env = TestEnv::new();
    let exec = script(&env, "echo $$ > pid; exec sleep 60");
    let listener = Listener::start(&env, &["--exec", &exec]);
    assert_eq!(listener.post("/", "").status, 200);
    listener.post("/", "");
    wait_for_file(&env.work_dir().join("pid"));
    let outcome = listener.stop();
    wait_until_gone(&env.work_dir().join("pid"));
    let stderr = outcome.stderr();
    assert!(
        stderr.contains("ended because hookfire was stopped"),
        "{stderr}"
    );
    assert!(
        stderr.contains("1 capture was not passed to the command"),
        "{stderr}"
    );
    assert_eq!(runs(&env, 1).len(), 1);
    assert!(runs(&env, 2).is_empty());
}

#[test]
fn killed_listener_leaves_capture_and_open_run() {
    let env = TestEnv::new();
    let exec = script(
        &env,
        "echo $$ > pid; while [ ! -e end ]; do sleep 0.02; done",
    );
    let mut listener = Listener::start(&env, &["--exec", &exec]);
    assert_eq!(listener.post("/", "body").status, 200);
    wait_for_file(&env.work_dir().join("pid"));
    listener.process().kill9();
    env.write_file("end", "");
    let run = &runs(&env, 1)[0];
    assert_eq!(
        (&run["exit_code"], &run["duration_ms"]),
        (&Value::Null, &Value::Null)
    );
    let shown = env.hookfire(["captured", "show", "1"]).run().assert_code(0);
    assert!(
        shown
            .stdout()
            .contains("not ended: it is running, or hookfire was killed"),
        "{shown}"
    );
    let again = script(&env, "cat");
    let replay = ["captured", "replay", "1", "--exec", &again];
    env.hookfire(replay).run().assert_code(0);
    let runs = runs(&env, 1);
    assert_eq!(
        (runs.len(), &runs[1]["number"], &runs[1]["exit_code"]),
        (2, &json!(2), &json!(0))
    );
}

#[test]
fn replay_runs_a_command_and_reports_failures() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    listener.post("/", "one");
    listener.post("/", "two");
    listener.stop();
    let exec = script(&env, "grep -q one || { echo missing >&2; exit 4; }");
    let replay = [
        "captured", "replay", "1", "2", "-o", "ndjson", "--exec", &exec,
    ];
    let outcome = env.hookfire(replay).run().assert_code(1);
    let lines = outcome.ndjson();
    assert_eq!(
        (&lines[0]["exit_code"], &lines[1]["exit_code"]),
        (&json!(0), &json!(4))
    );
    assert_eq!(
        (&lines[1]["id"], &lines[1]["stderr"]),
        (&json!(2), &json!("missing\n"))
    );
    let both = [
        "captured",
        "replay",
        "1",
        "--to",
        "http://127.0.0.1:1",
        "--exec",
        &exec,
    ];
    env.hookfire(both).run().assert_code(2);
    env.hookfire(["captured", "replay", "9", "--exec", &exec])
        .run()
        .assert_code(5);
}

#[test]
fn secrets_are_masked_in_stored_stderr() {
    let env = TestEnv::new();
    let exec = script(&env, "echo \"got $HOOKFIRE_CAPTURE_QUERY\" >&2; exit 1");
    let args = [
        "--require-secret",
        "token=canary-5f1",
        "--exit-after",
        "1",
        "--exec",
        &exec,
    ];
    let listener = Listener::start(&env, &args);
    listener.post("/?token=canary-5f1", "");
    let outcome = listener.wait();
    assert_eq!(runs(&env, 1)[0]["stderr"], "got [[\"token\",\"***\"]]\n");
    assert!(!outcome.stderr().contains("canary-5f1"), "{outcome}");
}

#[test]
fn hostile_requests_do_not_break_the_command() {
    let env = TestEnv::new();
    let exec = script(
        &env,
        "wc -c >> sizes; printf %s \"$HOOKFIRE_CAPTURE_HEADERS\" | wc -c >> lengths",
    );
    let args = ["--max-head", "1MiB", "--exit-after", "4", "--exec", &exec];
    let listener = Listener::start(&env, &args);
    listener.post("/", &"\0\u{1b}]0;x\u{7}".repeat(100_000));
    listener.send(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n",
        "é\\\"".repeat(100_000)
    ));
    listener.send(b"POST /%00\xff HTTP/1.1\r\nHost: x\r\nPATH: /tmp\r\nLD_PRELOAD: x\r\nContent-Length: 0\r\n\r\n");
    listener.send(
        "POST /%00 HTTP/1.1\r\nHost: x\r\nPATH: /tmp\r\nLD_PRELOAD: x\r\nContent-Length: 0\r\n\r\n",
    );
    listener.wait();
    let lengths = read(&env, "lengths");
    assert!(
        lengths
            .lines()
            .all(|n| n.trim().parse::<usize>().unwrap() <= 32 * 1024),
        "{lengths}"
    );
    assert_eq!(read(&env, "sizes").lines().count(), lengths.lines().count());
}

#[test]
fn a_thousand_webhooks_run_four_at_a_time() {
    let env = TestEnv::new();
    let exec = script(&env, "echo \"$HOOKFIRE_CAPTURE_ID\" >> ids");
    let args = [
        "--exec",
        &exec,
        "--exec-jobs",
        "4",
        "--exit-after",
        "1000",
        "-q",
    ];
    let listener = Listener::start(&env, &args);
    let one = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    listener.pipeline(one.repeat(1000).into_bytes(), 1000);
    listener.wait();
    let mut ids: Vec<i64> = read(&env, "ids")
        .lines()
        .map(|id| id.parse().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=1000).collect::<Vec<_>>());
}

#[test]
fn unusable_exec_options_are_explained() {
    let env = TestEnv::new();
    env.write_file("plain.sh", "");
    for (args, words) in [
        (
            &["--exec", "no-such-program"][..],
            "is not a program that can be run",
        ),
        (&["--exec", "sh -c true"], "arguments come after `--`"),
        (&["--exec", "./plain.sh"], "make it executable"),
        (&["--exec", "plain.sh"], "`--exec ./plain.sh`"),
        (&["--type", "account"], "--exec"),
        (&["--match", "a=1"], "require `--exec`"),
        (&["--exec-jobs", "2"], "--exec"),
    ] {
        let outcome = env.hookfire(["listen"]).args(args).run().assert_code(2);
        assert!(outcome.stderr().contains(words), "{words}: {outcome}");
    }
}

#[test]
fn requests_without_response_are_printed_beside_a_command() {
    use std::io::{Read as _, Write as _};
    let env = TestEnv::new();
    let args = [
        "--exec",
        "cat",
        "--exec-response",
        "--path",
        "/x",
        "--respond",
        "reset",
    ];
    let listener = Listener::start(&env, &args);
    assert_eq!(listener.post("/x", "hi").text(), "hi");
    let mut other = listener.connect();
    other
        .write_all(b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    assert!(other.read(&mut [0; 9]).is_err(), "reset");
    let paths: Vec<Value> = listener.stop().ndjson()[1..]
        .iter()
        .map(|c| c["path"].clone())
        .collect();
    assert_eq!(paths, ["/x", "/other"]);
}
