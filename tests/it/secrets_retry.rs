//! How a retry finds a secret: option, configuration, stored reference; and errors without any of them.

use crate::support::{Outcome, Server, TestEnv, repeat, respond};

/// The value of `token` in each request.
fn tokens(server: &Server) -> Vec<String> {
    let token = |target: &str| {
        let query = target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .as_bytes();
        let found = url::form_urlencoded::parse(query).find(|(name, _)| name == "token");
        found.map_or_else(String::new, |(_, value)| value.into_owned())
    };
    server
        .requests()
        .iter()
        .map(|request| token(&request.target))
        .collect()
}

fn fire(env: &TestEnv, more: &[&str]) -> Outcome {
    env.hookfire(["fire", "account", "created", "--no-retry"])
        .args(more)
        .run()
        .assert_code(3)
}

fn configure(env: &TestEnv, url: &str, line: &str) {
    env.write_config(&format!("[endpoints.staging]\nurl = \"{url}\"\n{line}\n"));
}

#[test]
fn each_retry_resolves_the_stored_reference() {
    let (mut env, server) = (TestEnv::new(), Server::script(vec![repeat(503, 4)]));
    env.set("HOOK_TOKEN", "first-value-of-it");
    env.write_file("token", "value-in-a-file\n");
    fire(
        &env,
        &["--url", &server.url(), "--secret", "token=@env:HOOK_TOKEN"],
    );
    fire(
        &env,
        &["--url", &server.url(), "--secret", "token=@file:token"],
    );
    env.set("HOOK_TOKEN", "second-value-of-it");
    let all = env.hookfire(["retry", "--all"]).run().assert_code(3);
    assert_eq!(
        tokens(&server),
        [
            "first-value-of-it",
            "value-in-a-file",
            "second-value-of-it",
            "value-in-a-file"
        ]
    );
    for value in ["first-value-of-it", "second-value-of-it", "value-in-a-file"] {
        env.assert_nowhere(value, &[&all]);
    }
}

#[test]
fn retry_secret_comes_from_flag_config_or_reference() {
    let (mut env, server) = (TestEnv::new(), Server::script(vec![repeat(503, 5)]));
    env.set("KEPT", "kept-reference");
    configure(
        &env,
        &server.url(),
        "secrets = { token = 'from-the-configuration' }",
    );
    fire(&env, &["-e", "staging", "--secret", "token=@env:KEPT"]);
    env.hookfire(["retry", "1", "--secret", "token=from-a-flag"])
        .run()
        .assert_code(3);
    env.hookfire(["retry", "1"])
        .env("HOOKFIRE_SECRET", "token=from-a-variable")
        .run()
        .assert_code(3);
    env.hookfire(["retry", "1"]).run().assert_code(3);
    configure(&env, &server.url(), "");
    env.hookfire(["retry", "1"]).run().assert_code(3);
    let expected = [
        "kept-reference",
        "from-a-flag",
        "from-a-variable",
        "from-the-configuration",
        "kept-reference",
    ];
    assert_eq!(tokens(&server), expected);
    expected
        .iter()
        .for_each(|value| env.assert_nowhere(value, &[]));
}

#[test]
fn secret_header_is_resolved_like_a_parameter() {
    let (mut env, server) = (TestEnv::new(), Server::script(vec![repeat(503, 4)]));
    env.set("KEPT", "kept-reference");
    configure(
        &env,
        &server.url(),
        "headers = { Authorization = 'from-the-configuration', X-Plain = 'old' }",
    );
    fire(&env, &["-e", "staging", "-H", "authorization: @env:KEPT"]);
    env.hookfire(["retry", "1", "-H", "Authorization: from-a-flag"])
        .run()
        .assert_code(3);
    env.hookfire(["retry", "1"]).run().assert_code(3);
    configure(&env, &server.url(), "");
    env.hookfire(["retry", "1"]).run().assert_code(3);
    let requests = server.requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| request.header("authorization").unwrap_or_default())
        .collect();
    assert_eq!(
        sent,
        [
            "kept-reference",
            "from-a-flag",
            "from-the-configuration",
            "kept-reference"
        ]
    );
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-plain") == Some("old")),
        "what is not secret is kept"
    );
}

#[test]
fn retry_names_the_option_for_a_lost_literal() {
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![respond(503), respond(503), respond(200)]),
    );
    let cases: [(&[&str], &str, &str); 2] = [
        (
            &["--secret", "token=kept-nowhere"],
            "parameter `token`",
            "--secret token=@env:VARIABLE",
        ),
        (
            &["-H", "Authorization: kept-nowhere"],
            "header `Authorization`",
            "--header 'Authorization: @env:VARIABLE'",
        ),
    ];
    for (index, (given, named, flag)) in cases.into_iter().enumerate() {
        fire(&env, &[&["--url", &server.url()], given].concat());
        let id = (index + 1).to_string();
        let outcome = env.hookfire(["retry", &id]).run().assert_code(1);
        assert!(
            outcome.stderr().contains(named) && outcome.stderr().contains(flag),
            "{outcome}"
        );
        let structured = env
            .hookfire(["retry", &id, "-o", "json"])
            .run()
            .assert_code(1);
        let error: serde_json::Value =
            serde_json::from_slice(&structured.stderr).expect("one JSON object");
        assert_eq!(error["error"]["kind"], "secret", "{structured}");
        assert!(
            error["error"]["message"]
                .as_str()
                .is_some_and(|message| message.contains(named)),
            "{structured}"
        );
        assert!(
            error["error"]["hints"].to_string().contains(flag),
            "{structured}"
        );
        assert_eq!(
            server.requests().len(),
            index + 1,
            "nothing is sent without it"
        );
        let shown = env
            .hookfire(["failed", "show", &id, "-o", "json"])
            .run()
            .assert_code(0);
        assert_eq!(shown.json()["attempt_count"], 1, "no attempt was made");
        env.assert_nowhere("kept-nowhere", &[&outcome, &structured, &shown]);
    }
    env.hookfire(["retry", "1", "--secret", "token=given-again"])
        .run()
        .assert_code(0);
    assert_eq!(tokens(&server)[2], "given-again");
}

#[test]
fn retry_sends_the_others_if_one_secret_is_missing() {
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![repeat(503, 2), respond(200)]),
    );
    fire(
        &env,
        &["--url", &server.url(), "--secret", "token=kept-nowhere"],
    );
    fire(&env, &["--url", &server.url()]);
    let outcome = env.hookfire(["retry", "--all"]).run().assert_code(1);
    assert!(
        outcome.stderr().contains("1 delivered, 1 not sent"),
        "{outcome}"
    );
    let left = env
        .hookfire(["failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        (left.as_array().map(Vec::len), &left[0]["id"]),
        (Some(1), &1.into())
    );
}

#[test]
fn hint_after_a_literal_secret_is_a_command_that_works() {
    let answers = vec![respond(503), repeat(503, 2), respond(200), repeat(200, 2)];
    let (mut env, server) = (TestEnv::new(), Server::script(answers));
    env.set("VARIABLE", "given-again");
    let url = format!("{}/hook?token=in-the-url", server.url());
    let one = fire(&env, &["--url", &url, "-H", "X-Key: in-a-header"]);
    env.write_file(
        "two",
        "{\"type\":\"user\",\"action\":\"created\"}\n".repeat(2),
    );
    let batch = ["fire", "--batch", "two", "--no-retry", "--url", &url];
    let many = env.hookfire(batch).run().assert_code(3);
    for (outcome, options) in [
        (
            one,
            " --secret token=@env:VARIABLE --header 'X-Key: @env:VARIABLE'` ",
        ),
        (many, " --secret token=@env:VARIABLE` "),
    ] {
        let hint = outcome.stderr();
        let (_, command) = hint.split_once("`hookfire retry ").expect("a hint");
        let (command, _) = command.split_once('`').expect("a hint");
        assert!(hint.contains(&format!("{options}sends ")), "{outcome}");
        let typed = format!("'{}' retry {command}", env!("CARGO_BIN_EXE_hookfire"));
        env.shell(&typed).run().assert_code(0);
    }
    assert_eq!(tokens(&server)[3..], ["given-again"; 3]);
}

#[test]
fn lost_query_value_asks_for_the_url() {
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![respond(503), respond(200)]),
    );
    let url = format!("{}/hook?kept-nowhere-at-all", server.url());
    fire(&env, &["--url", &url]);
    let outcome = env.hookfire(["retry", "1"]).run().assert_code(1);
    assert!(
        outcome.stderr().contains("in the URL's query") && outcome.stderr().contains("--url"),
        "{outcome}"
    );
    let again = env
        .hookfire(["retry", "1", "--url", &url])
        .run()
        .assert_code(0);
    assert_eq!(server.requests()[1].target, "/hook?kept-nowhere-at-all");
    env.assert_nowhere("kept-nowhere-at-all", &[&outcome, &again]);
}

#[test]
fn retry_names_a_missing_variable() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(503)]));
    let fire = [
        "fire",
        "account",
        "created",
        "--no-retry",
        "--secret",
        "token=@env:HOOK_TOKEN",
        "--url",
    ];
    env.hookfire(fire)
        .arg(server.url())
        .env("HOOK_TOKEN", "there-at-first")
        .run()
        .assert_code(3);
    let outcome = env.hookfire(["retry", "1"]).run().assert_code(1);
    assert!(
        outcome.stderr().contains("`HOOK_TOKEN` is not set"),
        "{outcome}"
    );
    let first = env.hookfire(fire).arg(server.url()).run().assert_code(1);
    assert!(
        first.stderr().contains("`HOOK_TOKEN` is not set"),
        "{first}"
    );
    let list = env
        .hookfire(["journal", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        list.as_array().map(Vec::len),
        Some(1),
        "a fire without its secret is not accepted"
    );
}

#[test]
fn config_secrets_go_only_to_their_own_url() {
    let (env, first) = (TestEnv::new(), Server::script(vec![respond(503)]));
    let second = Server::script(vec![]);
    configure(
        &env,
        &first.url(),
        "secrets = { token = 'for-the-first-only' }",
    );
    fire(&env, &["-e", "staging"]);
    // The endpoint moves; deliveries for the old URL get no secrets of the new one.
    let moved = "secrets = { token = 'for-the-second-only' }\nheaders = { Authorization = 'for-the-second-only' }";
    configure(&env, &second.url(), moved);
    let outcome = env.hookfire(["retry", "1"]).run().assert_code(1);
    assert!(outcome.stderr().contains("parameter `token`"), "{outcome}");
    assert_eq!((first.requests().len(), second.connections()), (1, 0));
    env.assert_nowhere("for-the-second-only", &[&outcome]);
}

#[test]
fn retry_elsewhere_omits_secrets() {
    let (mut env, first) = (TestEnv::new(), Server::script(vec![respond(503)]));
    let second = Server::script(vec![respond(200)]);
    env.set("OLD", "for-the-first-only");
    let old = [
        "--secret",
        "token=@env:OLD",
        "-H",
        "Authorization: @env:OLD",
        "-H",
        "X-Plain: kept",
    ];
    fire(&env, &[&["--url", first.url().as_str()], &old[..]].concat());
    let outcome = env
        .hookfire(["retry", "1", "--url", &second.url(), "-o", "json"])
        .run()
        .assert_code(0);
    let request = second.requests().remove(0);
    assert_eq!(
        (request.target.as_str(), request.header("authorization")),
        ("/", None)
    );
    assert_eq!(request.header("x-plain"), Some("kept"));
    assert_eq!(
        outcome.json()[0]["attempts"][1]["sent_to"],
        format!("{}/", second.url())
    );
    env.assert_nowhere("for-the-first-only", &[&outcome]);
}

#[test]
fn empty_secret_is_refused_first() {
    let (mut env, server) = (TestEnv::new(), Server::script(vec![]));
    env.set("EMPTY", "");
    env.write_file("empty", "\n");
    for (secret, code) in [
        ("token=", 2),
        ("token=@env:EMPTY", 1),
        ("token=@file:empty", 1),
        ("token=@file:none", 1),
    ] {
        let args = [
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
            "--secret",
            secret,
        ];
        let outcome = env.hookfire(args).run().assert_code(code);
        assert!(outcome.stderr().contains("token"), "{outcome}");
    }
    assert_eq!(server.connections(), 0);
    assert!(!env.journal_path().exists());
}

#[test]
fn secrets_over_plain_http_warn_unless_loopback() {
    let (env, proxy) = (TestEnv::new(), Server::script(vec![respond(200).times(2)]));
    let server = Server::script(vec![respond(200)]);
    let fire = |url: &str, more: &[&str]| {
        env.hookfire(["fire", "account", "created", "--url", url])
            .args(more)
            .run()
            .assert_code(0)
    };
    let other = fire(
        "http://hooks.example.com/",
        &["--secret", "token=in-the-clear", "--proxy", &proxy.url()],
    );
    assert!(
        other
            .stderr()
            .contains("warning: secrets are sent to `hooks.example.com` over plain http"),
        "{other}"
    );
    let nothing_secret = fire("http://hooks.example.com/", &["--proxy", &proxy.url()]);
    assert!(
        !nothing_secret.stderr().contains("warning"),
        "{nothing_secret}"
    );
    let here = fire(&server.url(), &["--secret", "token=in-the-clear"]);
    assert!(!here.stderr().contains("warning"), "{here}");
}
