//! What people see on a terminal: hints, progress, tables. Pipes and `NO_COLOR` are tested in `output`.

use crate::support::{TestEnv, closed_port, needs};

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
    hint: `hookfire retry 1` sends it again; `fire --retries 5` retries anyway
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
