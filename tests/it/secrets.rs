//! Every way to give a secret, combined with every failure: it arrives, and is in no output and no file.
//!
//! `secrets_echoed.rs` tests responses that contain the secret, `secrets_retry.rs` how a retry finds it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{
    Outcome, Received, Server, Step, TestEnv, close, closed_port, drip_head, echo,
    half_status_line, head_then_cut_body, raw, reset, respond,
};

/// Contains all characters that encoders treat differently and that headers and TOML allow.
const CANARY: &str = "Cnry+7Hq/x%41&Zk=9 mQ:#?v";

/// A way to give the secret: sets it up and returns the options for the target.
type Way = fn(&mut TestEnv, &str) -> Vec<String>;

const WAYS: [(&str, Way); 17] = [
    ("a literal", |_, url| {
        args(&["--url", url, "--secret", &format!("token={CANARY}")])
    }),
    ("a literal behind `=`", |_, url| {
        args(&["--url", url, &format!("--secret=token={CANARY}")])
    }),
    ("an environment reference", |env, url| {
        env.set("HOOK_TOKEN", CANARY);
        args(&["--url", url, "--secret", "token=@env:HOOK_TOKEN"])
    }),
    ("a file reference", |env, url| {
        env.write_file("token", format!("{CANARY}\n"));
        args(&["--url", url, "--secret", "token=@file:token"])
    }),
    ("HOOKFIRE_SECRET", |env, url| {
        env.set("HOOKFIRE_SECRET", format!("token={CANARY}"));
        args(&["--url", url])
    }),
    ("the URL's own query", |_, url| {
        args(&["--url", &format!("{url}?a=1&token={}", form_encoded())])
    }),
    ("a bare word in the URL's query", |_, url| {
        args(&["--url", &format!("{url}?{}", form_encoded())])
    }),
    ("HOOKFIRE_URL", |env, url| {
        env.set("HOOKFIRE_URL", format!("{url}?token={}", form_encoded()));
        Vec::new()
    }),
    ("a literal in the configuration", |env, url| {
        configured(env, url, &format!("secrets = {{ token = '{CANARY}' }}"))
    }),
    ("a variable named by the configuration", |env, url| {
        env.set("HOOK_TOKEN", CANARY);
        configured(env, url, "secrets = { token = { env = 'HOOK_TOKEN' } }")
    }),
    ("a file named by the configuration", |env, url| {
        std::fs::create_dir_all(env.config_path().parent().expect("a folder")).expect("a folder");
        std::fs::write(env.config_path().with_file_name("token"), CANARY).expect("a file");
        configured(env, url, "secrets = { token = { file = 'token' } }")
    }),
    ("the query of the configuration's URL", |env, url| {
        configured(env, &format!("{url}?token={}", form_encoded()), "")
    }),
    ("a header", |_, url| {
        args(&[
            "--url",
            url,
            "-H",
            &format!("Authorization: Bearer {CANARY}"),
        ])
    }),
    ("a header's environment reference", |env, url| {
        env.set("HOOK_AUTH", format!("Bearer {CANARY}"));
        args(&["--url", url, "--header", "X-Whatever: @env:HOOK_AUTH"])
    }),
    ("HOOKFIRE_HEADER", |env, url| {
        env.set("HOOKFIRE_HEADER", format!("X-Api-Key: {CANARY}"));
        args(&["--url", url])
    }),
    ("a header in the configuration", |env, url| {
        configured(env, url, &format!("headers = {{ X-Api-Key = '{CANARY}' }}"))
    }),
    ("a header of basic credentials", |_, url| {
        let credentials = STANDARD.encode(format!("user:{CANARY}"));
        args(&[
            "--url",
            url,
            "--header",
            &format!("Authorization: Basic {credentials}"),
        ])
    }),
];

fn args(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn form_encoded() -> String {
    url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect()
}

fn configured(env: &mut TestEnv, url: &str, line: &str) -> Vec<String> {
    env.write_config(&format!("[endpoints.staging]\nurl = \"{url}\"\n{line}\n"));
    args(&["-e", "staging"])
}

/// Whether the request contains the secret; otherwise the test proves nothing.
fn carries(request: &Received) -> bool {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let in_query = url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == CANARY || value == CANARY);
    let in_header = request.headers.iter().any(|(_, value)| {
        let decoded = value
            .strip_prefix("Basic ")
            .and_then(|encoded| STANDARD.decode(encoded).ok());
        value.contains(CANARY)
            || decoded.is_some_and(|decoded| decoded == format!("user:{CANARY}").as_bytes())
    });
    in_query || in_header
}

/// Runs commands in one environment and stores their output.
struct Scenario {
    env: TestEnv,
    outcomes: Vec<Outcome>,
}

impl Scenario {
    fn run(&mut self, command: &[&str], target: &[String], more: &[&str]) -> &Outcome {
        let outcome = self.env.hookfire(command).args(target).args(more).run();
        self.outcomes.push(outcome);
        self.outcomes.last().expect("just pushed")
    }

    fn fire(&mut self, target: &[String], more: &[&str], code: i32) -> &Outcome {
        let outcome = self.run(&["fire", "account", "created", "--no-retry"], target, more);
        assert_eq!(outcome.code, Some(code), "{}\n{outcome}", outcome.command());
        outcome
    }

    /// All commands that read the journal, in every format.
    fn read_everything(&mut self) {
        for format in ["text", "json", "ndjson", "csv", "xml"] {
            self.run(&["failed", "list", "-vv", "-o", format], &[], &[]);
            self.run(&["journal", "list", "-o", format], &[], &[]);
            self.run(&["failed", "show", "2", "-o", format], &[], &[]);
            self.run(&["journal", "show", "1", "-o", format], &[], &[]);
        }
        self.run(&["journal", "check", "-o", "json"], &[], &[]);
        self.run(&["retry", "--all", "--dry-run"], &[], &[]);
        self.run(&["retry", "--all", "--dry-run", "-o", "json"], &[], &[]);
    }

    fn assert_canary_is_nowhere(&self, way: &str) {
        assert!(
            self.env.journal_path().exists(),
            "{way}: a journal to look into"
        );
        self.env
            .assert_nowhere(CANARY, &self.outcomes.iter().collect::<Vec<_>>());
    }
}

/// Faults that end at once, with their exit codes.
fn faults() -> Vec<(Step, i32)> {
    vec![
        (respond(200).body("fine"), 0),
        (respond(503), 3),
        (echo(), 3),
        (
            respond(302).header(
                "Location",
                &format!("http://127.0.0.1:1/?back={}#{CANARY}", form_encoded()),
            ),
            3,
        ),
        (head_then_cut_body(100, 10), 0),
        (reset(), 4),
        (close(), 4),
        (half_status_line(), 4),
        (raw(format!("{CANARY} is what you sent\r\n\r\n")), 4),
    ]
}

#[test]
fn misplaced_references_are_refused_and_urls_not_shown() {
    let env = TestEnv::new();
    let fire = ["fire", "user", "created", "--url", "http://127.0.0.1:9/"];
    for extra in [
        &["-H", "Authorization: Bearer @env:TOKEN"][..],
        &["--param", "x=@env:TOKEN"],
        &["--param", "x=@evn:TOKEN"],
        &["--param", "x=a @env:TOKEN"],
        &["--header", "X-A: @evn:TOKEN"],
        &["--secret", "x=@env:"],
        &["--secret", "x=@file:"],
        &["--secret", "x=@File:y"],
        &["--secret", "a=one", "--secret", "a=two"],
    ] {
        env.hookfire(fire).args(extra).run().assert_code(2);
    }
    let outcome = env
        .hookfire([
            "ping",
            "-e",
            "https://user:canary-of-a-url@h/?token=canary-of-a-query",
        ])
        .run()
        .assert_code(2);
    assert!(
        !outcome.stderr().contains("canary") && outcome.stderr().contains("`--url`"),
        "{outcome}"
    );
    assert!(!env.journal_path().exists());
}

#[test]
fn secrets_arrive_and_never_leak() {
    for (way, set_up) in WAYS {
        let mut scenario = Scenario {
            env: TestEnv::new(),
            outcomes: Vec::new(),
        };
        let (steps, codes): (Vec<Step>, Vec<i32>) = faults().into_iter().unzip();
        let fires = codes.len();
        // For each fire and a ping.
        let server = Server::script(steps.into_iter().chain([echo()]).collect());
        let target = set_up(&mut scenario.env, &format!("{}/hook", server.url()));
        let styles: [&[&str]; 3] = [&["-vv"], &["-o", "json"], &["-vv", "-o", "ndjson"]];
        for (index, code) in codes.into_iter().enumerate() {
            scenario.fire(&target, styles[index % styles.len()], code);
        }
        scenario.run(&["ping", "-vv"], &target, &[]);
        let requests = server.requests();
        assert_eq!(requests.len(), fires + 1, "{way}");
        assert!(
            requests.iter().all(carries),
            "{way}: the endpoint gets it\n{requests:#?}"
        );
        scenario.read_everything();
        scenario.fire(&target, &["--dry-run", "-vv"], 0);
        scenario.fire(&target, &["--dry-run", "-o", "json"], 0);
        scenario.run(&["config", "show"], &target, &[]);
        scenario.run(&["config", "show", "-o", "json"], &target, &[]);
        scenario.assert_canary_is_nowhere(way);
    }
}

#[test]
fn retry_does_not_leak_secrets() {
    for (way, set_up) in WAYS {
        let mut scenario = Scenario {
            env: TestEnv::new(),
            outcomes: Vec::new(),
        };
        let server = Server::script(vec![respond(503), echo(), echo()]);
        let target = set_up(&mut scenario.env, &format!("{}/hook", server.url()));
        scenario.fire(&target, &[], 3);
        // A literal in a URL is given again with the URL; others are found again or given with their option.
        let again: Vec<String> = match target.first().map(String::as_str) {
            Some("--url") => target.clone(),
            Some("-e") => Vec::new(),
            _ => args(&[
                "--url",
                &format!("{}/hook?token={}", server.url(), form_encoded()),
            ]),
        };
        scenario.run(&["retry", "1", "-vv"], &again, &[]);
        scenario.run(&["retry", "--all", "-o", "json"], &again, &[]);
        assert_eq!(
            server.requests().len(),
            3,
            "{way}\n{}",
            scenario.outcomes[1]
        );
        assert!(
            server.requests().iter().all(carries),
            "{way}: the endpoint gets it again"
        );
        scenario.run(&["journal", "show", "1", "-o", "json"], &[], &[]);
        scenario.assert_canary_is_nowhere(way);
    }
}

#[test]
fn secrets_do_not_leak_if_the_endpoint_is_down() {
    for (way, set_up) in WAYS {
        let mut scenario = Scenario {
            env: TestEnv::new(),
            outcomes: Vec::new(),
        };
        let target = set_up(
            &mut scenario.env,
            &format!("http://127.0.0.1:{}/hook", closed_port()),
        );
        scenario.fire(&target, &["-vv"], 4);
        scenario.fire(&target, &["-o", "json"], 4);
        scenario.run(&["ping", "-o", "json"], &target, &[]);
        let target = set_up(&mut scenario.env, "http://x.invalid/hook");
        let warned = scenario.fire(&target, &["-vv"], 4);
        let warning = "warning: secrets are sent to `x.invalid` over plain http, where others can read them; use https";
        assert!(warned.stderr().contains(warning), "{way}\n{warned}");
        scenario.fire(&target, &["-o", "ndjson"], 4);
        scenario.assert_canary_is_nowhere(way);
    }
}

#[test]
fn secrets_do_not_leak_on_timeout_or_ctrl_c() {
    let mut scenario = Scenario {
        env: TestEnv::new(),
        outcomes: Vec::new(),
    };
    let server = Server::script(vec![
        drip_head(Duration::from_millis(20)),
        respond(503).body(CANARY),
    ]);
    let target = WAYS[0].1(&mut scenario.env, &server.url());
    scenario.fire(&target, &["-vv", "--timeout", "200ms"], 4);
    let mut running = scenario
        .env
        .hookfire(["fire", "account", "created", "-vv"])
        .args(&target)
        .spawn();
    running.wait_for_stderr("next in 60s");
    running.interrupt();
    scenario.outcomes.push(running.wait().assert_code(130));
    scenario.assert_canary_is_nowhere("interrupted");
}

#[test]
fn usage_errors_do_not_leak_secrets() {
    let env = TestEnv::new();
    let (literal, header) = (
        format!("token={CANARY}"),
        format!("Authorization: Bearer {CANARY}"),
    );
    let url = format!("http://127.0.0.1:1/?token={}", form_encoded());
    let with_password = "http://user:canary-in-a-password@127.0.0.1:1/";
    let lines: [&[&str]; 20] = [
        &["--secret", &literal, "--no-such-flag"],
        &["--no-such-flag", "--secret", &literal],
        &["--secrt", &literal],
        &[&format!("--secrt={literal}")],
        &[&format!("-H{header}"), "--bogus"],
        &["--heder", &header],
        &[&format!("--header:{header}")],
        &["--secret", CANARY],
        &["--secret", &format!("={CANARY}")],
        &["--header", CANARY],
        &["--header", &format!("two words: {CANARY}")],
        &["--header", &format!("Authorization: {CANARY}\r\n")],
        &["--url", &url, "--url", &url],
        &[&url],
        &["--url", &url.replace("http", "htp")],
        &["--url", &url.replace(":1/", ":123456/")],
        &["--url", &url, "--retries", "many"],
        &["--url", &url, "--timeout", "soon"],
        &["--url", &url, "-e", "staging"],
        &["--url", &url, "--proxy", with_password, "--bogus"],
    ];
    for line in lines {
        for format in ["text", "json"] {
            let outcome = env
                .hookfire(["fire", "account", "created", "-o", format])
                .args(line)
                .run()
                .assert_code(2);
            env.assert_nowhere(CANARY, &[&outcome]);
            env.assert_nowhere("canary-in-a-password", &[&outcome]);
        }
    }
    assert!(!env.journal_path().exists());
}

#[test]
fn invalid_url_errors_do_not_show_passwords() {
    let env = TestEnv::new();
    let canary = "canaryInAPassword";
    let mut outcomes = Vec::new();
    for between in ["", "/", "?", "#", "@"] {
        for (scheme, host) in [
            ("http://", "127.0.0.1:1/"),
            ("https://", "h:99999/"),
            ("htp:/", "h"),
            ("", "h:1"),
        ] {
            let url = format!("{scheme}user:{canary}{between}{canary}@{host}");
            let commands: [&[&str]; 4] = [
                &["ping", "--url", &url],
                &["ping", "--url", "http://x.invalid", "--proxy", &url],
                &[
                    "config",
                    "show",
                    "--url",
                    "http://x.invalid",
                    "--proxy",
                    &url,
                ],
                &["ping", &url],
            ];
            outcomes.extend(commands.map(|command| env.hookfire(command).run()));
        }
    }
    env.assert_nowhere(canary, &outcomes.iter().collect::<Vec<_>>());
}

#[test]
fn config_errors_do_not_leak_secrets() {
    let number = "314159265358979";
    let broken = [
        format!("secrets = {{ token = '{CANARY}' "),
        format!("secrets = {{ token = {CANARY} }}"),
        format!("secrets = '{CANARY}'"),
        format!("secrets = ['{CANARY}']"),
        format!("secrets = {{ token = ['{CANARY}'] }}"),
        format!("secrets = {{ token = {{ value = '{CANARY}' }} }}"),
        format!("secrets = {{ token = {{ env = 'A', file = '{CANARY}' }} }}"),
        format!("secrets = {{ token = '{CANARY}', token = '{CANARY}' }}"),
        format!("secrets = {{ token = {number} }}"),
        format!("secrets = {{ token = {number}.5 }}"),
        format!("secrets = {{ token = {{ env = {number} }} }}"),
        format!("secrets = {number}"),
        format!("secrets = \"{CANARY}\", expected = \"\""),
        format!("headers = {{ Authorization = '{CANARY}', 'bad name' = '{CANARY}' }}"),
        format!("headers = {{ Host = '{CANARY}' }}"),
        format!("headers = {{ Authorization = {number} }}"),
        format!("secret = {{ token = '{CANARY}' }}"),
        format!("proxy = ['http://u:{CANARY}@h']"),
        format!("proxy = {number}"),
        format!("retry = '{CANARY}'"),
        format!("url = 'http://h/?token={CANARY}'"),
        format!("secrets = {{ token = '''{CANARY}''\n"),
        format!("secrets = {{ token = \"{CANARY}\\q\" }}"),
    ];
    for line in broken {
        let env = TestEnv::new();
        env.write_config(&format!(
            "[endpoints.staging]\nurl = \"http://127.0.0.1:1/\"\n{line}\n"
        ));
        let fire = ["fire", "account", "created", "-e", "staging", "-vv"];
        for outcome in [
            env.hookfire(fire).run(),
            env.hookfire(["config", "show", "-o", "json"]).run(),
        ] {
            let outcome = outcome.assert_code(1);
            assert!(
                outcome.stderr().contains("config.toml:"),
                "the file and the line are reported\n{outcome}"
            );
            env.assert_nowhere(CANARY, &[&outcome]);
            env.assert_nowhere(number, &[&outcome]);
        }
    }
    for url in [
        format!("http://h:99999/?token={CANARY}"),
        format!("http://u:{CANARY}@h/"),
        format!("h/?{CANARY}"),
    ] {
        let env = TestEnv::new();
        env.write_config(&format!("[endpoints.staging]\nurl = '{url}'\n"));
        let outcome = env
            .hookfire(["fire", "account", "created", "-e", "staging"])
            .run()
            .assert_code(1);
        env.assert_nowhere(CANARY, &[&outcome]);
    }
}
