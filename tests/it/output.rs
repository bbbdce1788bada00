//! Output for scripts and terminals: data on stdout, messages on stderr, exit codes, no escapes in pipes.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Server, TestEnv, forever, needs, repeat, respond};

fn with_failures(env: &TestEnv, number: usize) {
    let server = Server::script(vec![forever(503)]);
    for _ in 0..number {
        env.hookfire([
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    }
}

/// Runs a shell command with the program as `$HOOKFIRE`; returns exit code, stdout and stderr.
fn shell(env: &TestEnv, line: &str) -> (i32, String, String) {
    let output = Command::new("bash")
        .args(["-c", line])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOOKFIRE", env!("CARGO_BIN_EXE_hookfire"))
        .env("HOOKFIRE_JOURNAL", env.journal_path())
        .env("HOME", env.root())
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn every_format_of_a_list_can_be_parsed() {
    let env = TestEnv::new();
    with_failures(&env, 2);
    let list = |format| {
        env.hookfire(["failed", "list", "-o", format])
            .run()
            .assert_code(0)
    };
    assert_eq!(list("json").json().as_array().unwrap().len(), 2);
    assert_eq!(list("ndjson").ndjson().len(), 2);
    let csv = list("csv");
    assert_eq!(csv.stdout().lines().count(), 3, "{csv}");
    assert!(
        csv.stdout()
            .starts_with("id,uuid,type,action,endpoint,url,status,"),
        "{csv}"
    );
    assert!(list("xml").stdout().contains("<webhooks-failures>"));
    env.hookfire(["failed", "list", "-o", "yaml"])
        .run()
        .assert_code(2);
}

#[test]
fn closed_pipe_succeeds_and_a_full_disk_fails() {
    let env = TestEnv::new();
    with_failures(&env, 3);
    for format in ["text", "json", "ndjson", "csv", "xml"] {
        let line = format!("$HOOKFIRE failed list -o {format} | true; echo ${{PIPESTATUS[0]}}");
        let (_, stdout, stderr) = shell(&env, &line);
        assert_eq!((stdout.trim(), stderr.as_str()), ("0", ""), "{format}");
        let (code, _, stderr) = shell(
            &env,
            &format!("$HOOKFIRE failed list -o {format} > /dev/full"),
        );
        assert_eq!(code, 1, "{format}: {stderr}");
        assert!(
            stderr.contains("could not write to stdout"),
            "{format}: {stderr}"
        );
    }
    let (code, stdout, _) = shell(&env, "$HOOKFIRE failed list -o ndjson | head -1");
    assert_eq!((code, stdout.lines().count()), (0, 1));
}

#[test]
fn exit_code_does_not_depend_on_the_reader_of_stdout() {
    let env = TestEnv::new();
    let server = Server::script(vec![forever(503)]);
    let fire = format!(
        "$HOOKFIRE fire user created --no-retry -q --url {}",
        server.url()
    );
    let ping = format!("$HOOKFIRE ping --url {} 2>/dev/null", server.url());
    for (line, code) in [
        (format!("{fire} | true"), "3"),
        (format!("{fire} -o json 2>&- | true"), "3"),
        (format!("{ping} | true"), "3"),
    ] {
        let (_, stdout, _) = shell(&env, &format!("{line}; echo ${{PIPESTATUS[0]}}"));
        assert_eq!(stdout.trim(), code, "{line}");
    }
    let (code, _, stderr) = shell(&env, &format!("{fire} > /dev/full"));
    assert_eq!(code, 3, "a full disk does not hide the refusal: {stderr}");
    assert!(stderr.contains("could not write to stdout"), "{stderr}");
}

#[test]
fn retry_continues_after_stdout_is_closed() {
    let env = TestEnv::new();
    with_failures(&env, 3);
    let server = Server::script(vec![repeat(503, 3), repeat(200, 3)]);
    let retry = format!("$HOOKFIRE retry --all --url {}", server.url());
    let (_, stdout, _) = shell(
        &env,
        &format!("{retry} 2>/dev/null | true; echo ${{PIPESTATUS[0]}}"),
    );
    assert_eq!((stdout.trim(), server.requests().len()), ("3", 3));
    let (code, _, _) = shell(&env, &format!("{retry} > /dev/full"));
    assert_eq!((code, server.requests().len()), (1, 6));
    assert_eq!(
        env.hookfire(["failed", "list", "-o", "ndjson"])
            .run()
            .stdout(),
        ""
    );
}

#[test]
fn unreadable_journal_is_not_reported_as_empty() {
    let env = TestEnv::new();
    let file = env.write_file("file", "");
    let inside = file.join("journal.db");
    for command in [
        vec!["failed", "list"],
        vec!["retry", "--all"],
        vec!["journal", "check"],
    ] {
        let outcome = env
            .hookfire(&command)
            .arg("--journal")
            .arg(&inside)
            .run()
            .assert_code(6);
        assert!(
            outcome.stderr().contains("work/file"),
            "it names what stands in the way: {outcome}"
        );
    }
    let outcome = env
        .hookfire(["failed", "list", "--journal", "typo.db"])
        .run()
        .assert_code(0);
    assert!(
        outcome
            .stderr()
            .starts_with("there is no journal at `typo.db` yet\n"),
        "{outcome}"
    );
    env.hookfire(["journal", "check", "--journal", "typo.db"])
        .run()
        .assert_code(6);
}

#[test]
fn closed_standard_streams_are_no_problem() {
    let env = TestEnv::new();
    with_failures(&env, 1);
    for line in [
        "$HOOKFIRE failed list <&-",
        "$HOOKFIRE failed list >&-",
        "$HOOKFIRE failed list 2>&-",
        "$HOOKFIRE failed list <&- >&- 2>&-",
        "$HOOKFIRE failed show 1 2>/dev/full",
    ] {
        let (code, _, stderr) = shell(&env, line);
        assert_eq!(
            (code, stderr.contains("panicked")),
            (0, false),
            "{line}: {stderr}"
        );
    }
}

#[test]
fn pipes_get_no_escapes_unless_color_is_always() {
    let env = TestEnv::new();
    with_failures(&env, 1);
    for args in [
        vec!["failed", "list"],
        vec!["failed", "show", "1"],
        vec!["--help"],
        vec!["failed", "nonsense"],
    ] {
        let outcome = env.hookfire(&args).run();
        assert!(
            !outcome.stdout.contains(&0x1b) && !outcome.stderr.contains(&0x1b),
            "{outcome}"
        );
    }
    let colored = env
        .hookfire(["failed", "list", "--color", "always"])
        .run()
        .assert_code(0);
    assert!(colored.stdout.contains(&0x1b), "{colored}");
    if needs("script", &["--version"]) {
        let terminal = || env.hookfire_on_terminal(&["failed", "list"]);
        assert!(
            terminal().run().stdout.contains(&0x1b),
            "a terminal has colours"
        );
        assert!(
            !terminal().env("NO_COLOR", "1").run().stdout.contains(&0x1b),
            "unless NO_COLOR is set"
        );
    }
}

#[test]
fn countdown_is_erased_before_the_next_line() {
    if !needs("script", &["--version"]) || !needs("timeout", &["--version"]) {
        return;
    }
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503)]);
    let line = "timeout -s INT 1.5 \"$HOOKFIRE\" fire user created --url \"$ENDPOINT\"";
    let outcome = env
        .on_terminal(line)
        .env("HOOKFIRE", env!("CARGO_BIN_EXE_hookfire"))
        .env("ENDPOINT", server.url())
        .env("NO_COLOR", "1")
        .run();
    let shown = outcome.stdout();
    assert!(
        shown.contains(
            "\r\u{1b}[Knext attempt in 60s (Ctrl-C stops and keeps #1 in the failed list)"
        ),
        "{outcome}"
    );
    assert!(
        shown.contains("\r\u{1b}[K#1 interrupted, 1 attempt"),
        "{outcome}"
    );
}

#[test]
fn narrow_terminal_drops_columns() {
    let env = TestEnv::new();
    with_failures(&env, 1);
    let outcome = env
        .hookfire(["failed", "list"])
        .env("COLUMNS", "40")
        .run()
        .assert_code(0);
    let header = outcome.stdout().lines().next().unwrap();
    assert_eq!(
        header.split_whitespace().collect::<Vec<_>>(),
        ["ID", "EVENT", "TO", "LAST", "ERROR"],
        "{outcome}"
    );
    assert!(
        outcome
            .stdout()
            .lines()
            .all(|line| line.chars().count() <= 40),
        "{outcome}"
    );
    env.hookfire(["failed", "list"])
        .env("COLUMNS", "1")
        .run()
        .assert_code(0);
}

#[test]
fn cells_are_cut_on_a_terminal_and_complete_in_a_pipe() {
    if !needs("script", &["--version"]) {
        return;
    }
    let env = TestEnv::new();
    let server = Server::script(vec![forever(503)]);
    let url = format!("{}/{}", server.url(), "long-path/".repeat(9));
    let event = ["application", "user_key_updated"];
    env.hookfire(["fire", event[0], event[1], "--no-retry", "--url", &url])
        .run()
        .assert_code(3);
    for width in [60, 80, 120] {
        let shown = env
            .hookfire_on_terminal(&["failed", "list", "--color", "never"])
            .env("COLUMNS", width.to_string())
            .run();
        let lines: Vec<&str> = shown.stdout().lines().map(str::trim_end).collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= width),
            "{shown}"
        );
        let is_shown = |word| lines.iter().any(|line| line.contains(word));
        for word in [" TO ", "application.user_key_updated", "http://127", "…"] {
            assert!(is_shown(word), "{word} at {width}: {shown}");
        }
    }
    let piped = env.hookfire(["failed", "list"]).env("COLUMNS", "250").run();
    assert!(piped.stdout().contains(&url), "{piped}");
}

#[test]
fn endless_files_are_refused() {
    let env = TestEnv::new();
    let fire: &[&str] = &["fire", "account", "created", "--url", "http://127.0.0.1:1/"];
    let lines: [(&[&str], &str); 4] = [
        (&["config", "show", "--config", "/dev/zero"], "1 MiB"),
        (&[fire, &["--object", "/dev/zero"]].concat(), "64 MiB"),
        (
            &[
                "ping",
                "--url",
                "https://127.0.0.1:1/",
                "--cacert",
                "/dev/zero",
            ],
            "16 MiB",
        ),
        (
            &[
                "listen",
                "--tls-cert",
                "/dev/zero",
                "--tls-key",
                "/dev/zero",
            ],
            "16 MiB",
        ),
    ];
    for (line, max) in lines {
        let refused = env.hookfire(line).run();
        assert!(
            refused
                .stderr()
                .contains(&format!("it is larger than {max}")),
            "{refused}"
        );
    }
}

#[test]
fn json_errors_are_one_object() {
    let env = TestEnv::new();
    for (args, code, kind) in [
        (vec!["failed", "show", "9", "-o", "json"], 5, "not_found"),
        (
            vec![
                "failed", "delete", "--all", "-o", "json", "--before", "never",
            ],
            2,
            "usage",
        ),
        (
            vec!["fire", "account", "created", "-o", "json", "--no-such-flag"],
            2,
            "usage",
        ),
        (
            vec![
                "fire",
                "account",
                "created",
                "--output=ndjson",
                "--url",
                "ftp://x/",
            ],
            2,
            "usage",
        ),
        (
            vec![
                "fire",
                "account",
                "created",
                "-o",
                "json",
                "--url",
                "http://x/",
                "--secret",
                "a=@env:UNSET",
            ],
            1,
            "secret",
        ),
        (
            vec![
                "failed",
                "list",
                "-o",
                "json",
                "--config",
                "/nonexistent",
                "--journal",
                "/dev/null",
            ],
            6,
            "journal",
        ),
    ] {
        let outcome = env.hookfire(&args).run().assert_code(code);
        let error: Value =
            serde_json::from_str(outcome.stderr()).unwrap_or_else(|e| panic!("{e}: {outcome}"));
        assert_eq!(error["error"]["kind"], kind, "{outcome}");
        assert!(
            error["error"]["message"].is_string() && error["error"]["hints"].is_array(),
            "{outcome}"
        );
        assert_eq!(outcome.stdout(), "");
    }
}

#[test]
fn errors_name_cause_and_command_to_fix() {
    let env = TestEnv::new();
    let outcome = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--url",
            "http://127.0.0.1:9/",
            "--object",
            "none.xml",
        ])
        .run();
    insta::assert_snapshot!(outcome, @"
    ------- stderr -------
    error: cannot read `none.xml`
    caused by: No such file or directory
    [exit code: 1]
    ");
    let outcome = env
        .hookfire(["fire", "account", "created", "--url", "localhost:8080/x"])
        .run();
    insta::assert_snapshot!(outcome, @"
    ------- stderr -------
    error: `localhost:8080/x` has no `http://` or `https://` in front
    hint: write `http://localhost:8080/x` or `https://localhost:8080/x`
    [exit code: 2]
    ");
    let outcome = env
        .hookfire(["failed", "delete", "--all", "--journal", "/dev/null"])
        .run();
    insta::assert_snapshot!(outcome, @"
    ------- stderr -------
    error: `/dev/null` is not a hookfire journal: it is not a regular file
    hint: use another file with `--journal FILE`; hookfire creates it if it does not exist
    [exit code: 6]
    ");
}

#[test]
fn help_and_version_go_to_stdout() {
    let env = TestEnv::new();
    let help = env.hookfire(["--help"]).run().assert_code(0);
    assert!(
        help.stdout().contains("Exit codes:") && help.stdout().contains("130"),
        "{help}"
    );
    let version = env.hookfire(["--version"]).run().assert_code(0);
    assert_eq!(
        version.stdout(),
        format!("hookfire {}\n", env!("CARGO_PKG_VERSION"))
    );
    let none = env.hookfire::<&str>([]).run().assert_code(2);
    assert!(
        none.stdout().is_empty() && none.stderr().contains("Usage: hookfire"),
        "{none}"
    );
}

#[test]
fn long_text_lists_are_written_in_pages() {
    const ROWS: usize = 1_001;
    let env = TestEnv::new();
    let server = Server::script(vec![forever(503)]);
    let line = "{\"type\":\"user\",\"action\":\"created\"}\n";
    env.hookfire(["fire", "--batch", "-", "--no-retry", "-q", "--url"])
        .arg(server.url())
        .stdin(line.repeat(ROWS))
        .run()
        .assert_code(3);
    let list = env.hookfire(["failed", "list"]).run().assert_code(0);
    let starts_with = |prefix: char| {
        list.stdout()
            .lines()
            .filter(|l| l.starts_with(prefix))
            .count()
    };
    assert_eq!((starts_with('I'), starts_with('#')), (2, ROWS));
}
