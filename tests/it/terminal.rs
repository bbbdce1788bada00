//! What people see on a terminal: hints, progress, tables. Pipes and `NO_COLOR` are tested in `output`.

use crate::support::{Listener, Server, TestEnv, closed_port, needs, repeat};

const FIRE: [&str; 4] = ["fire", "account", "created", "--url"];

fn has_terminal() -> bool {
    needs("script", &["--version"])
}

#[test]
fn refused_connection_on_this_machine_is_not_retried() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/hook", closed_port());
    let args = [&FIRE[..], &[&url]].concat();
    let fired = env
        .hookfire_on_terminal(&args)
        .env("NO_COLOR", "1")
        .run()
        .assert_code(4);
    let screen = env.redacted(&fired.screen());
    let port = url
        .trim_start_matches("http://127.0.0.1:")
        .trim_end_matches("/hook");
    insta::assert_snapshot!(screen.replace(port, "[PORT]"), @"
    #1 account.created → http://127.0.0.1:[PORT]/hook
    attempt 1 of 6: connection refused ([DURATION])
    nothing listens at 127.0.0.1:[PORT]: not retried, kept in the failed list
    #1 failed, 1 attempt: connection refused
    hint: `hookfire listen [PORT]` captures requests there (in another terminal)
    hint: `hookfire retry 1` sends it again
    hint: `hookfire retry 1 --retries 5` retries until something listens there, up to five times
    ");
    let failed = env.hookfire(["failed", "list", "-o", "json"]).run().json();
    assert_eq!(failed[0]["attempt_count"], 1);
    env.hookfire(["retry", "1"]).run().assert_code(4);
}

#[test]
fn hint_after_a_refused_connection_names_the_listener() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    for (host, command) in [
        (
            "https://localhost:1/",
            "`hookfire listen 1 --tls-cert FILE --tls-key FILE`",
        ),
        ("http://127.0.0.2:1/", "`hookfire listen 127.0.0.2:1`"),
        ("http://0.0.0.0:1/", "`hookfire listen 1`"),
        ("http://[::1]:1/", "`hookfire listen [::1]:1`"),
    ] {
        let args = [&FIRE[..], &[host, "--secret", "token=open-sesame"]].concat();
        let fired = env.hookfire_on_terminal(&args).run().assert_code(4);
        assert!(fired.stdout().contains(command), "{fired}");
        assert!(
            fired.stdout().contains(" --secret token=@env:VARIABLE`"),
            "{fired}"
        );
    }
}

#[test]
fn refused_connection_is_retried_with_a_retry_policy() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/hook", closed_port());
    let fire = |options: &[&str]| env.hookfire_on_terminal(&[&FIRE[..], &[&url], options].concat());
    env.write_config(&format!(
        "[endpoints.here]\nurl = \"{url}\"\nretry = {{ interval = \"1ms\" }}\n"
    ));
    for retried in [
        fire(&["--retry-interval", "1ms"]),
        fire(&[]).env("HOOKFIRE_RETRY_INTERVAL", "1ms"),
        env.hookfire_on_terminal(&["fire", "account", "created", "-e", "here"]),
    ] {
        let retried = retried.run().assert_code(4);
        assert!(retried.stdout().contains("attempt 6 of 6"), "{retried}");
        assert!(!retried.stdout().contains("nothing listens"), "{retried}");
    }
    let once = fire(&["--no-retry"]).run().assert_code(4);
    assert!(!once.stdout().contains("nothing listens"), "{once}");
    let scheduled = fire(&["--background"]).run().assert_code(0);
    assert!(scheduled.stdout().contains("scheduled"), "{scheduled}");
}

#[test]
fn refused_connection_in_a_pipe_is_retried() {
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/hook", closed_port());
    let mut fired = env.hookfire([&FIRE[..], &[&url]].concat()).spawn();
    fired.wait_for_stderr("connection refused");
    fired.wait_for_stderr("next in 60s");
    fired.interrupt();
    fired.wait().assert_code(130);
}

fn with_a_failure(env: &TestEnv, url: &str) {
    env.hookfire(["fire", "account", "created", "--no-retry", "--url", url])
        .run()
        .assert_code(4);
}

#[test]
fn pipes_get_whole_lines_whatever_the_terminal() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    let long = format!("http://127.0.0.1:1/{}", "long-path/".repeat(30));
    for url in ["http://127.0.0.1:1/", &long] {
        with_a_failure(&env, url);
    }
    let line = format!(
        "stty cols 60; '{}' failed list | cat",
        env!("CARGO_BIN_EXE_hookfire")
    );
    let piped = env.on_terminal(&line).env_remove("COLUMNS").run();
    let lines: Vec<&str> = piped.stdout().lines().collect();
    assert_eq!(lines.len(), 3, "{piped}");
    assert!(
        lines[1].len() < 250,
        "a long URL widens only its row: {piped}"
    );
    assert!(lines[2].contains(&long), "{piped}");
}

#[test]
fn events_take_one_line_each() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    env.write_config("[endpoints.a]\nurl = 'http://127.0.0.1:1/'\nevents = ['account.*']\n");
    let events = ["events", "list", "-e", "a", "--color", "never"];
    let list = env.hookfire_on_terminal(&events).env("COLUMNS", "80").run();
    let lines: Vec<&str> = list.stdout().lines().map(str::trim_end).collect();
    assert_eq!(lines.len(), 2 + 16, "{list}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{list}"
    );
}

const CYAN: &str = "\u{1b}[36m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[1m\u{1b}[31m";

#[test]
fn terminals_get_colours() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    with_a_failure(&env, "http://127.0.0.1:1/");
    with_a_failure(&env, "http://127.0.0.1:1/");
    let cases: [(&[&str], i32, &[&str]); 7] = [
        (&["journal", "list"], 0, &[&format!("{RED}failed\u{1b}[0m")]),
        (
            &["failed", "list"],
            0,
            &[&format!("{RED}connection refused\u{1b}[0m")],
        ),
        (&["events", "list"], 0, &[&format!("{GREEN}yes\u{1b}[0m")]),
        (
            &["failed", "show", "1"],
            0,
            &[&format!("<{CYAN}event\u{1b}[0m>")],
        ),
        (
            &["events", "show", "user.created"],
            0,
            &[&format!("</{CYAN}event\u{1b}[0m>")],
        ),
        (
            &["captured", "diff", "delivery:1", "delivery:2"],
            1,
            &[RED, GREEN],
        ),
        (
            &["fire", "--help"],
            0,
            &[
                "\u{1b}[1m\u{1b}[92mUsage:\u{1b}[0m",
                "\u{1b}[1m\u{1b}[92mExamples:",
            ],
        ),
    ];
    for (args, code, expected) in cases {
        let shown = env.hookfire_on_terminal(args).run().assert_code(code);
        for code in expected {
            assert!(shown.stdout().contains(code), "{code:?}: {shown}");
        }
        let plain = [
            env.hookfire_on_terminal(args).env("NO_COLOR", "1").run(),
            env.hookfire_on_terminal(&[args, &["--color", "never"]].concat())
                .run(),
            env.hookfire(args).run(),
        ];
        for plain in plain {
            assert!(!plain.stdout().contains('\u{1b}'), "{plain}");
        }
    }
    let usage = env
        .hookfire_on_terminal(&["ping", "x"])
        .run()
        .assert_code(2);
    assert!(usage.stdout().contains("\u{1b}[92mUsage:"), "{usage}");
}

#[test]
fn captured_json_is_coloured_and_stays_harmless() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let _ = listener.post("/", "{\"a\": \"\u{1b}[2J\", \"b\": 1}");
    listener.stop();
    let shown = env.hookfire_on_terminal(&["captured", "show", "1"]).run();
    assert!(
        shown.stdout().contains(&format!("{CYAN}\"b\"\u{1b}[0m: ")),
        "{shown}"
    );
    assert!(!shown.stdout().contains("\u{1b}[2J"), "{shown}");
}

#[test]
fn progress_fits_the_terminal() {
    if !has_terminal() || !needs("timeout", &["--version"]) {
        return;
    }
    let env = TestEnv::new();
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let line = format!(
        "timeout -s INT 1.5 '{}' fire user created --retries 1 --url {url}",
        env!("CARGO_BIN_EXE_hookfire")
    );
    let shown = env.on_terminal(&line).env("COLUMNS", "40").run();
    let erased = shown.stdout().split("\r\u{1b}[K");
    let progress: Vec<&str> = erased
        .filter(|text| text.starts_with("next attempt"))
        .collect();
    assert!(!progress.is_empty(), "{shown}");
    assert!(
        progress.iter().all(|text| text.chars().count() <= 40),
        "{shown}"
    );
}

#[test]
fn no_progress_is_left_in_front_of_the_prompt() {
    if !has_terminal() || !needs("timeout", &["--version"]) {
        return;
    }
    let env = TestEnv::new();
    let line = format!(
        "timeout -s INT 1.5 '{}' retry --due --watch",
        env!("CARGO_BIN_EXE_hookfire")
    );
    let shown = env.on_terminal(&line).run();
    let last = shown.stdout().rsplit("\r\u{1b}[K").next().map(str::trim);
    assert!(shown.stdout().contains("nothing is scheduled"), "{shown}");
    assert_eq!(last, Some(""), "{shown}");
}

#[test]
fn progress_never_shares_a_line_with_a_result() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    for _ in 0..3 {
        with_a_failure(&env, "http://127.0.0.1:1/");
    }
    let server = Server::script(vec![repeat(200, 3)]);
    let args = ["retry", "--all", "--url", &server.url(), "--color", "never"];
    let shown = env.hookfire_on_terminal(&args).run().assert_code(0);
    let screen = shown.screen();
    let results: Vec<&str> = screen
        .lines()
        .filter(|line| line.contains("#") && line.contains("delivered,"))
        .collect();
    let expected = [1, 2, 3].map(|id| format!("#{id} delivered, 2 attempts"));
    assert_eq!(results, expected, "{shown}");
}

#[test]
fn commands_that_wait_for_input_say_so() {
    if !has_terminal() {
        return;
    }
    let env = TestEnv::new();
    let url = ["--no-retry", "--url", "http://127.0.0.1:1/"];
    let object = ["fire", "account", "created", "--object", "-"];
    let event = ["fire", "--event", "-"];
    let batch = ["fire", "--batch", "-"];
    let import = ["failed", "import", "-"];
    for (command, what) in [
        ([&object[..], &url].concat(), "the object"),
        ([&event[..], &url].concat(), "the event"),
        (
            [&batch[..], &url].concat(),
            "events, one JSON object per line,",
        ),
        (import.to_vec(), "the list"),
    ] {
        let words = format!("reading {what} from stdin; Ctrl-D ends the input");
        let shown = env.hookfire_on_terminal(&command).run();
        assert!(shown.stdout().contains(&words), "{command:?}: {shown}");
        let piped = env.hookfire(command).stdin("<account/>").run();
        assert!(!piped.stderr().contains("Ctrl-D"), "{piped}");
    }
}
