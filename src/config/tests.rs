//! Tests of the configuration file: keys, values and error messages.

use super::*;
use crate::delivery::switches::EventPattern;
use crate::time::compact;

/// An endpoint, to which a third line can be added.
const ENDPOINT: &str = "[endpoints.a]\nurl = 'https://h/'\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/etc/hookfire/config.toml"), text).map_err(|e| e.to_string())
}

#[test]
fn every_endpoint_key_is_read() {
    let config = parse(
        r#"
        default_endpoint = "staging"
        [endpoints.staging]
        url = "https://hooks.example.com/3scale"
        secrets = { token = { env = "HOOK_TOKEN" }, other = { file = "other.txt" } }
        params = { mode = "test" }
        headers = { X-Source = "ci", Authorization = { env = "AUTH" } }
        retry = { retries = 2, interval = "1m30s" }
        success = "200-207"
        timeout = "5s"
        connect_timeout = "1s"
        cacert = "ca.pem"
        cert = "/abs/client.pem"
        key = "client.key"
        insecure = true
        proxy = "http://proxy:3128"
        active = false
        provider_actions = true
        events = ["application.created", "account.*"]
        wire = "form"
        compat = "porta"
        "#,
    )
    .unwrap();
    let staging = &config.endpoints["staging"];
    assert_eq!(
        staging.target.to_string(),
        "https://hooks.example.com/3scale?other=***&token=***&mode=test"
    );
    let sources: Vec<_> = staging
        .target
        .secrets()
        .filter_map(SecretSource::reference)
        .collect();
    let expected = [
        "@file:/etc/hookfire/other.txt",
        "@env:HOOK_TOKEN",
        "@env:AUTH",
    ];
    assert_eq!(sources, expected);
    assert_eq!(staging.target.headers.len(), 2);
    let settings = &staging.settings;
    assert_eq!(settings.retries, Some(2));
    assert_eq!(settings.retry_interval.map(compact).as_deref(), Some("90s"));
    let path = |path| Some(PathBuf::from(path));
    assert_eq!(settings.cacert, path("/etc/hookfire/ca.pem"));
    assert_eq!(settings.cert, path("/abs/client.pem"));
    assert_eq!(
        (settings.active, settings.provider_actions),
        (Some(false), Some(true))
    );
    let events = settings.events.iter().flatten();
    let events: Vec<&str> = events.map(EventPattern::as_str).collect();
    assert_eq!(events, ["application.created", "account.*"]);
    assert_eq!(settings.wire, Some(BodyFormat::Form));
    assert_eq!(settings.compat, Some(ElementOrder::Porta));
}

#[test]
fn errors_name_file_line_and_nearest_key() {
    let check = |text: &str, expected: &str| {
        let expected = format!("/etc/hookfire/config.toml:{expected}");
        assert_eq!(parse(text).unwrap_err(), expected);
    };
    for (text, expected) in [
        (
            "[endpoints.a]\nurll = 'https://h/'",
            "2: unknown key `urll`; did you mean `url`?",
        ),
        (
            "default_endpoint = 'stagin'\n[endpoints.staging]\nurl = 'https://h/'",
            "1: `default_endpoint` is not an endpoint of this file; did you mean `staging`?",
        ),
        (
            "[endpoints.a]\nurl = 'ftp://h/'",
            "2: the scheme `ftp:` is not supported; use http or https",
        ),
        (
            "[endpoints.a]\nurl = https://h/",
            "2: the value of `url` needs quotes: `url = \"…\"`",
        ),
        (
            "[endpoints]\na = 'https://h/'",
            "2: `a` must be a table such as `[endpoints.staging]` with `url`",
        ),
        ("[endpoints.a]\nactive = true", "1: missing key `url`"),
        (
            "[endpoints.a]\nurl = 'https://h/'\nevents = [\n  'account.*',\n  'user.creatd',\n]",
            "5: `user.creatd` is not an event that 3scale documents; did you mean `user.created`?",
        ),
        (
            "[endpoints.'a b']\nurl = 'https://h/'",
            "1: an endpoint's name consists of letters, digits, `-`, `_` and `.`",
        ),
    ] {
        check(text, expected);
    }
    for line in "\
retry = { interval = '60' } => 3: `60` has no unit; write 60s, 60m or 60ms
retry = { interval = 60 } => 3: `interval` must be text in quotes, such as \"30s\"
retry = 5 => 3: `retry` must be a table such as `retry = { retries = 5, interval = \"60s\" }`
retry = { retries = 1, schedule = '5s' } => 3: `schedule` replaces `retries` and `interval`; give one or the other
retry = { schedule = '5' } => 3: cannot read `5` as a retry schedule; write up to 100 durations such as 5s,5m,30m,2h
retry = { retries = -1 } => 3: `retries` must be a whole number from 0 to 4294967295
secrets = { t = { en = 'X' } } => 3: unknown key `en`; did you mean `env`?
wire = 'json' => 3: `json` is not one of `xml` and `form`
compat = 'portal' => 3: `portal` is not one of `documented` and `porta`
activ = false => 3: unknown key `activ`; did you mean `active`?
timeout = 1.5s => 3: the value of `timeout` needs quotes: `timeout = \"…\"`
success = 200-207 => 3: the value of `success` needs quotes: `success = \"…\"`
insecure = 'yes' => 3: `insecure` must be `true` or `false`"
        .lines()
    {
        let (setting, expected) = line.split_once(" => ").unwrap();
        check(&format!("{ENDPOINT}{setting}"), expected);
    }
}

#[test]
fn empty_secrets_and_zero_timeouts_are_refused() {
    for line in "\
secrets = { t = '' } => the secret `t` is empty
secrets = { '' = 'x' } => a secret of this endpoint has no name
secrets = { t = { env = '' } } => `env` is empty
secrets = { t = { file = '' } } => `file` is empty
secrets = { t = '@env:' } => `t`: `@env:` names no variable
secrets = { t = '@evn:X' } => `t`: the value starts like a reference
headers = { X-A = '@flie:X' } => (did you mean `@file:`?)
headers = { X-A = 'a @env:X' } => the value of header `X-A` contains a reference
params = { p = '@evn:X' } => parameter `p`: the value starts like a reference
params = { p = '@env:X' } => which only secret parameters accept
timeout = '0s' => `0s` is not a timeout"
        .lines()
    {
        let (setting, problem) = line.split_once(" => ").unwrap();
        let error = parse(&format!("{ENDPOINT}{setting}")).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn secret_files_are_absolute_paths() {
    let text = "[endpoints.a]\nurl = 'https://h/'\nsecrets = { t = { file = 'token' } }";
    let config = Config::parse(Path::new("relative.toml"), text).unwrap();
    let source = config.endpoints["a"].target.secrets().next();
    assert!(matches!(source, Some(SecretSource::File(path)) if path.is_absolute()));
}

#[test]
fn errors_never_quote_values() {
    for text in [
        "[endpoints.a]\nurl = 'https://h/'\nsecrets = 'CANARY-x'",
        "[endpoints.a]\nurl = 'https://h/'\nsecrets = { token = 'CANARY-x'",
        "[endpoints.a]\nurl = 'https://h/'\nsecrets = { token = ['CANARY-x'] }",
        "[endpoints.a]\nurl = 'https://h/'\ninsecure = 'CANARY-x'",
        "[endpoints.a]\nurl = 'https://h/'\nretry = 'CANARY-\", expected x'",
        "[endpoints.a]\nurl = 'https://h:99999/?t=CANARY-x'",
        "[endpoints.a]\nurl = 'https://h/'\nsecrets = { token = \"CANARY-\\q\" }",
        "[endpoints.a]\nurl = 'https://h/'\nsecrets = { token = CANARY-x }",
        "[endpoints.a]\nurl = https://h/?t=CANARY-x",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!error.contains("CANARY"), "{error}");
        assert!(error.starts_with("/etc/hookfire/config.toml:"), "{error}");
    }
}

#[test]
fn a_missing_file_is_an_error_only_if_named() {
    let path = Path::new("/nonexistent/hookfire.toml");
    assert!(Config::load(path, false).unwrap().endpoints.is_empty());
    let error = Config::load(path, true).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read the configuration `/nonexistent/hookfire.toml`"),
        "{error}"
    );
}

#[test]
fn readable_literal_secrets_cause_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(
        &path,
        "[endpoints.a]\nurl = 'https://h/'\nsecrets = { t = 'CANARY' }",
    )
    .unwrap();
    for (mode, warnings) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(&path, true).unwrap();
        assert_eq!(config.warnings.len(), warnings);
        assert!(!config.warnings.concat().contains("CANARY"));
    }
}

#[test]
fn the_uncommented_template_is_valid() {
    let config = parse(TEMPLATE).unwrap();
    assert!(config.endpoints.is_empty() && config.default_endpoint.is_none());
    let mut seen = Vec::new();
    let lines = TEMPLATE
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            let key = line.split([' ', '=']).next().unwrap_or_default().to_owned();
            if line.starts_with('[') {
                // Each table has its own keys.
                seen.clear();
            }
            let setting = line.starts_with('[') || line.contains(" = ") && !seen.contains(&key);
            seen.push(key);
            setting
        });
    let uncommented: Vec<&str> = lines.collect();
    assert_eq!(
        parse(&uncommented.join("\n")).map(|config| config.endpoints.len()),
        Ok(1),
        "{uncommented:#?}"
    );
}

#[test]
fn a_portal_has_a_url_without_query_and_a_secret_token() {
    let config =
        parse("[portal]\nurl = \"https://acme-admin.example\"\ntoken = { env = \"T\" }\ntimeout = \"5s\"\n").unwrap();
    let portal = config.portal.unwrap();
    assert_eq!(portal.url.as_str(), "https://acme-admin.example/");
    assert_eq!(
        portal.settings.timeout,
        Some(std::time::Duration::from_secs(5))
    );
    assert_eq!(
        portal.token.and_then(|token| token.reference()).as_deref(),
        Some("@env:T")
    );
    for (line, problem) in [
        (
            "url = \"https://h/?access_token=CANARY\"",
            "2: the portal's `url` must not have a query; the token belongs in `token`",
        ),
        (
            "url = \"https://h/\"\nparameter = \"a b\"",
            "3: `parameter` must be a name such as access_token or provider_key",
        ),
        (
            "url = \"https://h/\"\ntoken = \"\"",
            "3: the portal's `token` is empty",
        ),
        (
            "url = \"https://h/\"\ntokne = \"CANARY\"",
            "3: unknown key `tokne`; did you mean `token`?",
        ),
    ] {
        let error = parse(&format!("[portal]\n{line}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with(problem), "{error}");
        assert!(!error.contains("CANARY"), "{error}");
    }
}
