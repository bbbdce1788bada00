//! The configuration file, the environment, and their precedence.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Server, TestEnv, respond};

fn setting(env: &TestEnv, args: &[&str], key: &str) -> (Value, Value) {
    let shown = env
        .hookfire(["config", "show", "-o", "json"])
        .args(args)
        .run()
        .assert_code(0)
        .json();
    let setting = shown
        .as_array()
        .unwrap()
        .iter()
        .find(|setting| setting["key"] == key)
        .unwrap_or_else(|| panic!("{key}"));
    (setting["value"].clone(), setting["source"].clone())
}

#[test]
fn settings_follow_flag_environment_file_default() {
    let mut env = TestEnv::new();
    assert_eq!(
        setting(&env, &[], "retries"),
        ("5".into(), "default".into())
    );
    env.write_config("default_endpoint = 'a'\n[endpoints.a]\nurl = 'https://a.example/'\nretry = { retries = 4 }\n");
    assert_eq!(setting(&env, &[], "retries"), ("4".into(), "file".into()));
    assert_eq!(setting(&env, &[], "endpoint"), ("a".into(), "file".into()));
    env.set("HOOKFIRE_RETRIES", "3");
    assert_eq!(
        setting(&env, &[], "retries"),
        ("3".into(), "environment".into())
    );
    assert_eq!(
        setting(&env, &["--retries", "2"], "retries"),
        ("2".into(), "option".into())
    );
    // Between an endpoint and a URL, the source with the higher precedence wins.
    env.set("HOOKFIRE_URL", "https://b.example/?t=1");
    assert_eq!(
        setting(&env, &[], "url"),
        ("https://b.example/?t=***".into(), "environment".into())
    );
    assert_eq!(setting(&env, &["-e", "a"], "url").0, "https://a.example/");
    env.hookfire(["config", "show", "-e", "a", "--url", "https://c.example/"])
        .run()
        .assert_code(2);
}

#[test]
fn empty_variables_are_ignored() {
    let mut env = TestEnv::new();
    for variable in [
        "JOURNAL", "CONFIG", "RETRIES", "TIMEOUT", "SUCCESS", "OUTPUT", "COLOR", "INSECURE", "URL",
        "SECRET",
    ] {
        env.set(format!("HOOKFIRE_{variable}"), "");
    }
    assert_eq!(
        setting(&env, &[], "timeout"),
        ("30s".into(), "default".into())
    );
    assert_eq!(
        setting(&env, &[], "insecure"),
        ("false".into(), "default".into())
    );
    env.set("HOOKFIRE_INSECURE", "0");
    assert_eq!(setting(&env, &[], "insecure").0, "false");
    env.set("HOOKFIRE_INSECURE", "1");
    assert_eq!(setting(&env, &[], "insecure").0, "true");
}

#[test]
fn false_values_override_like_true_ones() {
    let mut env = TestEnv::new();
    env.write_config(
        "default_endpoint = 'a'\n[endpoints.a]\nurl = 'https://a.example/'\ninsecure = true\n",
    );
    assert_eq!(
        setting(&env, &[], "insecure"),
        ("true".into(), "file".into())
    );
    env.set("HOOKFIRE_INSECURE", "false");
    assert_eq!(
        setting(&env, &[], "insecure"),
        ("false".into(), "environment".into())
    );
    env.set("HOOKFIRE_RETRIES", "2");
    let dry = env
        .hookfire([
            "fire",
            "user",
            "created",
            "--no-retry",
            "--dry-run",
            "-o",
            "json",
        ])
        .run()
        .assert_code(0);
    assert_eq!(dry.json()["retry_policy"]["retries"], 0);
    env.hookfire([
        "fire",
        "user",
        "created",
        "--no-retry",
        "--retries",
        "1",
        "--dry-run",
    ])
    .run()
    .assert_code(2);
}

#[test]
fn invalid_variable_is_named() {
    let env = TestEnv::new();
    let outcome = env
        .hookfire(["config", "show"])
        .env("HOOKFIRE_RETRIES", "many")
        .run()
        .assert_code(2);
    assert!(
        outcome
            .stderr()
            .contains("the value comes from the environment variable `HOOKFIRE_RETRIES`"),
        "{outcome}"
    );
    let typed = env
        .hookfire(["config", "show", "--retries", "many"])
        .env("HOOKFIRE_RETRIES", "1")
        .run()
        .assert_code(2);
    assert!(!typed.stderr().contains("environment variable"), "{typed}");
    let plain = env
        .hookfire(["journal", "list", "--status", "done"])
        .run()
        .assert_code(2);
    assert!(
        plain.stderr().contains("'done'"),
        "what is no secret is named: {plain}"
    );
}

#[test]
fn relative_home_is_ignored() {
    let env = TestEnv::new();
    env.write_file(
        ".config/hookfire/config.toml",
        "default_endpoint = 'planted'",
    );
    let outcome = env
        .hookfire(["config", "show"])
        .env("HOME", ".")
        .env_remove("XDG_CONFIG_HOME")
        .env("HOOKFIRE_JOURNAL", "j.db")
        .run();
    assert!(!outcome.stdout().contains("planted"), "{outcome}");
}

#[test]
fn fire_uses_the_default_endpoint() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200)]);
    env.write_config(&format!(
        "default_endpoint = 'staging'\n[endpoints.staging]\nurl = '{}/hook'\nsecrets = {{ token = {{ env = 'TOKEN' }} }}\n",
        server.url()
    ));
    let secret = setting(&env, &[], "endpoints.staging.secrets.token");
    assert_eq!(secret, ("@env:TOKEN".into(), "file".into()));
    let url = format!("{}/hook?token=***", server.url());
    assert_eq!(setting(&env, &[], "endpoints.staging").0, url.as_str());
    let outcome = env
        .hookfire(["fire", "account", "created", "-o", "json"])
        .env("TOKEN", "open-sesame")
        .run();
    assert_eq!(outcome.assert_code(0).json()["endpoint"], "staging");
    assert_eq!(server.requests()[0].target, "/hook?token=open-sesame");
    let outcome = env
        .hookfire(["fire", "account", "created", "-e", "stagin"])
        .run()
        .assert_code(2);
    insta::assert_snapshot!(outcome.stderr(), @"
    error: the configuration has no endpoint `stagin`
    hint: did you mean `--endpoint staging`?
    ");
}

#[test]
fn broken_config_is_reported_with_line_and_suggestion() {
    let env = TestEnv::new();
    env.write_config("[endpoints.a]\nurl = 'https://a.example/'\nretires = 3\n");
    let outcome = env
        .hookfire(["fire", "account", "created", "-e", "a"])
        .run()
        .assert_code(1);
    let expected = format!(
        "error: {}:3: unknown key `retires`; did you mean `retry`?\nhint: hookfire.toml(5) explains every key\n",
        env.config_path().display()
    );
    assert_eq!(outcome.stderr(), expected);
    assert!(!env.journal_path().exists());
    let missing = env
        .hookfire(["config", "show", "--config", "nowhere.toml"])
        .run()
        .assert_code(1);
    assert!(
        missing
            .stderr()
            .contains("cannot read the configuration `nowhere.toml`"),
        "{missing}"
    );
}

#[test]
fn config_init_writes_a_valid_private_file_once() {
    let env = TestEnv::new();
    let path = env
        .hookfire(["config", "path"])
        .run()
        .assert_code(0)
        .stdout()
        .trim()
        .to_owned();
    assert_eq!(path, env.config_path().to_string_lossy());
    let outcome = env.hookfire(["config", "init"]).run().assert_code(0);
    assert_eq!(outcome.stdout().trim(), path);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let written = std::fs::read(&path).unwrap();
    env.hookfire(["config", "show"]).run().assert_code(0);
    env.hookfire(["config", "init"]).run().assert_code(1);
    assert_eq!(std::fs::read(&path).unwrap(), written, "never overwritten");
}

#[test]
fn literal_secret_in_a_readable_file_warns() {
    let env = TestEnv::new();
    let path = env.write_config(
        "[endpoints.a]\nurl = 'https://a.example/'\nsecrets = { token = 'literal-secret' }\n",
    );
    assert_eq!(
        env.hookfire(["config", "show"])
            .run()
            .assert_code(0)
            .stderr(),
        ""
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = env.hookfire(["config", "show"]).run().assert_code(0);
    assert!(
        outcome
            .stderr()
            .contains("contains a secret and other users can read it; run `chmod 600 "),
        "{outcome}"
    );
}

#[test]
fn working_directory_is_not_read() {
    let env = TestEnv::new();
    for name in ["config.toml", ".hookfire.toml", "hookfire.toml", ".env"] {
        env.write_file(name, "not [ toml, HOOKFIRE_RETRIES=9");
    }
    assert_eq!(
        setting(&env, &[], "retries"),
        ("5".into(), "default".into())
    );
}

#[test]
fn a_journal_of_another_scheme_is_refused_and_masked() {
    let env = TestEnv::new();
    let url = "mysql://user@db.example/hookfire?sslkey=CANARY";
    let by_flag = env.hookfire(["journal", "list", "--journal", url]).run();
    let by_variable = env
        .hookfire(["journal", "list"])
        .env("HOOKFIRE_JOURNAL", url)
        .run();
    for outcome in [by_flag, by_variable] {
        let outcome = outcome.assert_code(2);
        assert!(outcome.stderr().contains("is a URL of another scheme"));
        assert!(outcome.stderr().contains("db.example"), "{outcome}");
        assert!(!outcome.stderr().contains("CANARY"), "{outcome}");
    }
    let leftover = env.root().join("mysql:");
    assert!(!leftover.exists());
}

#[test]
fn insecure_takes_its_value_from_flag_variable_or_file() {
    let env = TestEnv::new();
    env.write_config("[endpoints.a]\nurl = 'https://a.example/'\ninsecure = true\n");
    let show = ["-e", "a"];
    assert_eq!(setting(&env, &show, "insecure").0, "true");
    let off = env
        .hookfire(["config", "show", "-e", "a"])
        .env("HOOKFIRE_INSECURE", "no")
        .run()
        .assert_code(0);
    let row = off
        .stdout()
        .lines()
        .find(|line| line.starts_with("insecure"))
        .unwrap_or_default()
        .to_owned();
    assert!(
        row.contains("false") && row.contains("environment"),
        "{row}"
    );
    assert_eq!(setting(&env, &["--insecure"], "insecure").1, "option");
}
