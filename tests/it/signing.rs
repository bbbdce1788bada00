//! `fire --sign` and what sends again: vendors' libraries verify what arrives, and no secret or signature is shown or stored.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{
    Listener, Outcome, Received, Server, Step, TestEnv, echo, python_with, reset, respond,
};

/// Contains all characters that encoders treat differently and that TOML allows.
const CANARY: &str = "Sgn+7Hq/x%41&Zk=9 mQ:#?v";

const SCHEMES: [&str; 5] = ["standard", "github", "stripe", "slack", "shopify"];

/// The headers that contain a signature, and what precedes it.
const SIGNATURES: [(&str, &str); 6] = [
    ("webhook-signature", "v1,"),
    ("X-Hub-Signature-256", "sha256="),
    ("Stripe-Signature", "v1="),
    ("X-Slack-Signature", "v0="),
    ("X-Shopify-Hmac-Sha256", ""),
    ("X-Own-Signature", "own="),
];

const CUSTOM: &str = "sign = { header = \"X-Own-Signature\", algorithm = \"sha512\", encoding = \"base64\", prefix = \"own=\", \
     payload = \"{timestamp}:{id}:{body}\", timestamp_header = \"X-Own-Time\" }";

/// The signature in a request.
#[track_caller]
fn signature(request: &Received) -> String {
    let found = SIGNATURES.iter().find_map(|(name, before)| {
        let value = request.header(name)?;
        let (_, signature) = value.split_once(before).unwrap_or(("", value));
        Some(signature.to_owned())
    });
    found.unwrap_or_else(|| panic!("there is no signature in {request:#?}"))
}

fn fire<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["fire", "account", "created", "--url", url], more].concat()
}

/// Verifies requests on stdin with each vendor's own code; Shopify and GitHub publish theirs in their documentation.
const VERIFY_WITH_LIBRARIES: &str = r#"
import base64, hashlib, hmac, json, sys
from standardwebhooks.webhooks import Webhook
from slack_sdk.signature import SignatureVerifier
from stripe import WebhookSignature
for request in json.load(sys.stdin):
    headers = {name.lower(): value for name, value in request["headers"]}
    body, secret, scheme = base64.b64decode(request["body"]), request["secret"], request["scheme"]
    if scheme == "standard":
        Webhook(secret).verify(body, headers)
    elif scheme == "stripe":
        assert WebhookSignature.verify_header(body.decode(), headers["stripe-signature"], secret, tolerance=300)
    elif scheme == "slack":
        assert SignatureVerifier(secret).is_valid_request(body.decode(), headers), "slack"
    elif scheme == "github":
        expected = "sha256=" + hmac.new(secret.encode(), msg=body, digestmod=hashlib.sha256).hexdigest()
        assert hmac.compare_digest(expected, headers["x-hub-signature-256"]), "github"
    elif scheme == "shopify":
        digest = hmac.new(secret.encode("utf-8"), body, digestmod=hashlib.sha256).digest()
        assert hmac.compare_digest(base64.b64encode(digest), headers["x-shopify-hmac-sha256"].encode("utf-8")), "shopify"
    elif scheme == "custom":
        signed = f"{headers['x-own-time']}:{headers['webhook-id']}:".encode() + body
        digest = hmac.new(secret.encode(), signed, hashlib.sha512).digest()
        assert headers["x-own-signature"] == "own=" + base64.b64encode(digest).decode(), "custom"
print("verified")
"#;

/// Verifies requests with the scheme and secret of each.
#[track_caller]
fn verify_with_libraries(requests: &[(Received, &str, &str)]) {
    let Some(python) = python_with("standardwebhooks, slack_sdk, stripe") else {
        return;
    };
    let requests = requests.iter().map(|(request, scheme, secret)| {
        json!({
            "headers": request.headers, "body": STANDARD.encode(&request.body),
            "scheme": scheme, "secret": secret,
        })
    });
    let requests: Vec<Value> = requests.collect();
    let mut child = Command::new(python)
        .args(["-c", VERIFY_WITH_LIBRARIES])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(&requests).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"verified\n", "{output:?}");
}

#[test]
fn vendors_libraries_verify_what_is_sent() {
    let env = TestEnv::new();
    env.write_file(
        "order.json",
        "{\"type\": \"order.paid\", \"name\": \"é\"}\n",
    );
    let server = Server::script(vec![respond(200).times(6)]);
    env.write_config(&format!(
        "[endpoints.own]\nurl = \"{}\"\n{CUSTOM}\nsigning_secret = {{ env = \"SIGNING\" }}\n",
        server.url()
    ));
    let url = server.url();
    let secret = |scheme: &str| match scheme {
        "standard" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ => "whsec_stripe+secret",
    };
    for scheme in SCHEMES {
        let args = [
            "fire",
            "--body",
            "order.json",
            "--url",
            &url,
            "--sign",
            scheme,
        ];
        let command = env
            .hookfire(args)
            .args(["--signing-secret", "@env:SIGNING"]);
        command.env("SIGNING", secret(scheme)).run().assert_code(0);
    }
    let custom = env.hookfire(["fire", "account", "created", "-e", "own"]);
    custom.env("SIGNING", secret("own")).run().assert_code(0);
    let schemes = SCHEMES.into_iter().chain(["custom"]);
    let requests = server.requests().into_iter().zip(schemes);
    let requests: Vec<_> = requests
        .map(|(request, scheme)| (request, scheme, secret(scheme)))
        .collect();
    assert_eq!(requests.len(), 6);
    verify_with_libraries(&requests);
}

#[test]
fn retry_schedule_and_batch_sign() {
    let env = TestEnv::new();
    env.write_file("secret", format!("{CANARY}\n"));
    env.write_file(
        "lines",
        "{\"type\":\"user\",\"action\":\"created\"}\n{\"type\":\"user\",\"action\":\"deleted\",\"endpoint\":\"shop\"}\n",
    );
    let server = Server::script(vec![respond(503).times(2), respond(200).times(4)]);
    let url = server.url();
    env.write_config(&format!(
        "[endpoints.shop]\nurl = \"{url}\"\nsign = \"shopify\"\nsigning_secret = {{ file = \"{}\" }}\n",
        env.work_dir().join("secret").display()
    ));
    let by_file = ["--sign", "github", "--signing-secret", "@file:secret"];
    let run = |args: &[&str], code: i32| env.hookfire(args).run().assert_code(code);
    let mut outcomes = vec![
        run(&[&fire(&url, &by_file)[..], &["--no-retry"]].concat(), 3),
        run(
            &[
                "fire",
                "account",
                "created",
                "-e",
                "shop",
                "--background",
                "--retry-interval",
                "0s",
            ],
            0,
        ),
        run(&["retry", "1"], 0),
        run(&["retry", "--due"], 0),
    ];
    let batch = [
        &["fire", "--batch", "lines", "--url", &url, "-j", "1"][..],
        &by_file,
    ]
    .concat();
    outcomes.push(run(&batch, 0));
    let requests = server.requests();
    let schemes = ["github", "shopify", "github", "shopify", "github", "github"];
    let requests: Vec<_> = requests.into_iter().zip(schemes).collect();
    assert_eq!(
        requests[0].0.header("webhook-id"),
        requests[2].0.header("webhook-id")
    );
    let requests: Vec<_> = requests
        .into_iter()
        .map(|(request, scheme)| (request, scheme, CANARY))
        .collect();
    verify_with_libraries(&requests);
    env.assert_nowhere(CANARY, &outcomes.iter().collect::<Vec<_>>());
}

#[test]
fn signing_secret_that_is_not_kept_is_asked_for() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(200)]);
    let url = server.url();
    let literal = ["--sign", "standard", "--signing-secret", CANARY];
    let background = [&fire(&url, &literal)[..], &["--background"]].concat();
    let refused = env.hookfire(background).run().assert_code(2);
    assert!(
        refused.stderr().contains("cannot sign later attempts"),
        "{refused}"
    );
    assert!(!env.journal_path().exists());
    let args = [&fire(&url, &literal)[..], &["--no-retry"]].concat();
    let fired = env.hookfire(args).run().assert_code(3);
    assert!(
        fired
            .stderr()
            .contains("`hookfire retry 1 --signing-secret @env:VARIABLE`"),
        "{fired}"
    );
    let missing = env.hookfire(["retry", "1"]).run().assert_code(1);
    assert!(
        missing
            .stderr()
            .contains("no usable value for the secret that signs the requests"),
        "{missing}"
    );
    let given = env.hookfire(["retry", "1", "--signing-secret", "@env:SIGNING"]);
    let retried = given.env("SIGNING", CANARY).run().assert_code(0);
    let requests = server.requests();
    assert!(requests[1].header("webhook-signature").is_some());
    env.assert_nowhere(CANARY, &[&refused, &fired, &missing, &retried]);
}

#[test]
fn retry_elsewhere_signs_only_as_told() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503).times(2), respond(200), respond(503)]);
    let url = server.url();
    let signing = ["--sign", "github", "--signing-secret", "@env:SIGNING"];
    let run = |args: &[&str]| env.hookfire(args).env("SIGNING", CANARY).run();
    run(&[&fire(&url, &signing)[..], &["--no-retry"]].concat()).assert_code(3);
    let unsigned = run(&["retry", "1", "--url", &url]).assert_code(3);
    assert!(
        unsigned
            .stderr()
            .contains("sent elsewhere without a signature"),
        "{unsigned}"
    );
    run(&[&["retry", "1", "--url", &url][..], &signing].concat()).assert_code(0);
    let requests = server.requests();
    assert_eq!(requests[1].header("X-Hub-Signature-256"), None);
    assert_eq!(signature(&requests[0]), signature(&requests[2]));
    let again = ["retry", "--all", "--signing-secret", "@env:SIGNING"];
    let none = run(&again);
    assert_eq!(none.stderr(), "nothing to send again\n");
    run(&[&fire(&url, &[])[..], &["--no-retry"]].concat()).assert_code(3);
    let refused = run(&again).assert_code(2);
    assert!(
        refused
            .stderr()
            .contains("no delivery to be sent is signed"),
        "{refused}"
    );
}

#[test]
fn unusable_signing_options_are_explained() {
    let env = TestEnv::new();
    env.write_config("[endpoints.plain]\nurl = \"http://127.0.0.1:9/\"\n[endpoints.half]\nurl = \"http://127.0.0.1:9/\"\nsign = \"github\"\n");
    let url = "http://127.0.0.1:9/";
    for (args, words) in [
        (fire(url, &["--sign", "githb"]), "did you mean `github`?"),
        (fire(url, &["--sign", "github"]), "none is given"),
        (
            fire(url, &["--sign", "plain"]),
            "the endpoint `plain` has no `sign`",
        ),
        (
            fire(url, &["--signing-secret", CANARY]),
            "signs nothing without a scheme",
        ),
        (
            fire(
                url,
                &["--sign", "standard", "--signing-secret", "whsec_canary-5f1"],
            ),
            "starts with `whsec_`, but no base64 follows",
        ),
        (
            fire(url, &["--sign", "github", "--signing-secret", "@evn:A"]),
            "did you mean `@env:`?",
        ),
        (
            vec!["fire", "account", "created", "-e", "half"],
            "none is given",
        ),
        (
            vec!["retry", "--all", "--sign", "githb"],
            "did you mean `github`?",
        ),
    ] {
        let outcome = env.hookfire(args).run().assert_code(2);
        assert!(outcome.stderr().contains(words), "{outcome}");
        env.assert_nowhere("canary-5f1", &[&outcome]);
        env.assert_nowhere(CANARY, &[&outcome]);
    }
    assert!(!env.journal_path().exists());
}

#[test]
fn unusable_signing_keys_are_explained() {
    for (keys, words) in [
        ("sign = \"githb\"", "did you mean `github`?"),
        ("sign = 1", "`sign` must be the name of a scheme or a table"),
        (
            "sign = { header = \"X\", payload = \"{bdy}\" }",
            "did you mean `body`?",
        ),
        (
            "sign = { header = \"X\", payload = \"{timestamp}{body}\" }",
            "`timestamp_header`",
        ),
        ("sign = { header = \"X Y\" }", "letters, digits and `-`"),
        (
            "sign = { header = \"Webhook-Id\" }",
            "hookfire sets the header",
        ),
        (
            "sign = { header = \"X\", algorithm = \"md5\" }",
            "not one of `sha256`",
        ),
        ("sign = { heading = \"X\" }", "did you mean `header`?"),
        ("sign = {}", "names no header"),
        ("signing_secret = \"s\"", "`signing_secret` needs `sign`"),
        ("sign = \"github\"\nsigning_secret = []", "is an empty list"),
        ("sign = \"github\"\nsigning_secret = \"\"", "is empty"),
    ] {
        let env = TestEnv::new();
        env.write_config(&format!(
            "[endpoints.a]\nurl = \"http://127.0.0.1:9/\"\n{keys}\n"
        ));
        let args = ["fire", "account", "created", "-e", "a"];
        let outcome = env.hookfire(args).run().assert_code(1);
        assert!(outcome.stderr().contains(words), "{outcome}");
    }
}

#[test]
fn dry_run_shows_masked_signature_headers() {
    let env = TestEnv::new();
    let shown = |scheme: &str, format: &str| {
        let args = fire("http://127.0.0.1:9/", &["--dry-run", "-o", format]);
        let signing = ["--sign", scheme, "--signing-secret", CANARY];
        let outcome = env.hookfire(args).args(signing).run().assert_code(0);
        env.assert_nowhere(CANARY, &[&outcome]);
        outcome
    };
    let text = shown("standard", "text");
    let headers = "webhook-timestamp: (the time of the attempt)\nwebhook-signature: v1,***\n";
    assert!(text.stdout().contains(headers), "{text}");
    let json = shown("stripe", "json").json();
    let headers = json["request"]["headers"].as_array().unwrap();
    let signature = json!(["Stripe-Signature", "t=(the time of the attempt),v1=***"]);
    assert!(headers.contains(&signature), "{json}");
}

/// Every way to give a signing secret: sets it up and returns the options.
type Way = fn(&mut TestEnv, &str, &str) -> Vec<String>;

const WAYS: [(&str, Way); 6] = [
    ("a literal", |_, url, scheme| {
        strings(&["--url", url, "--sign", scheme, "--signing-secret", CANARY])
    }),
    ("an environment reference", |env, url, scheme| {
        env.set("SIGNING", CANARY);
        strings(&[
            "--url",
            url,
            "--sign",
            scheme,
            "--signing-secret",
            "@env:SIGNING",
        ])
    }),
    ("variables", |env, url, scheme| {
        env.set("HOOKFIRE_SIGN", scheme);
        env.set("HOOKFIRE_SIGNING_SECRET", CANARY);
        strings(&["--url", url])
    }),
    ("a literal in the configuration", |env, url, scheme| {
        configured(
            env,
            url,
            &format!("sign = '{scheme}'\nsigning_secret = '{CANARY}'"),
        )
    }),
    (
        "a variable named by the configuration",
        |env, url, scheme| {
            env.set("SIGNING", CANARY);
            let secrets = "signing_secret = [{ env = 'SIGNING' }, 'another-signing-secret']";
            configured(env, url, &format!("sign = '{scheme}'\n{secrets}"))
        },
    ),
    ("a scheme of the configuration", |env, url, _| {
        configured(env, url, &format!("{CUSTOM}\nsigning_secret = '{CANARY}'"))
    }),
];

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn configured(env: &mut TestEnv, url: &str, keys: &str) -> Vec<String> {
    env.write_config(&format!("[endpoints.staging]\nurl = \"{url}\"\n{keys}\n"));
    strings(&["-e", "staging"])
}

#[test]
fn signing_secrets_and_signatures_never_leak() {
    for (index, (way, set_up)) in WAYS.into_iter().enumerate() {
        let scheme = SCHEMES[index % SCHEMES.len()];
        let mut env = TestEnv::new();
        let steps: Vec<Step> = vec![
            echo().times(2),
            reset(),
            respond(302).header("Location", "http://127.0.0.1:1/"),
            respond(200),
            echo().times(2),
        ];
        let server = Server::script(steps);
        let target = set_up(&mut env, &server.url(), scheme);
        let run = |command: &[&str], more: &[&str]| {
            let with_target = !matches!(command[0], "retry" | "failed" | "journal");
            let target = target.iter().filter(|_| with_target);
            env.hookfire(command).args(target).args(more).run()
        };
        let fire = ["fire", "account", "created", "--no-retry"];
        let mut outcomes: Vec<Outcome> = vec![
            run(&fire, &["-vv"]).assert_code(3),
            run(&fire, &["-o", "json"]).assert_code(3),
            run(&fire, &["-vv"]).assert_code(4),
            run(&fire, &["-vv", "-o", "ndjson"]).assert_code(3),
            run(&fire, &["-vv"]).assert_code(0),
            run(&fire, &["--dry-run", "-vv"]).assert_code(0),
            run(&["config", "show"], &[]),
            run(&["config", "show", "-o", "json"], &[]),
        ];
        let signing = match way {
            "a literal" => strings(&["--signing-secret", CANARY]),
            _ => Vec::new(),
        };
        let signing: Vec<&str> = signing.iter().map(String::as_str).collect();
        outcomes.push(run(&["retry", "1", "-vv"], &signing).assert_code(3));
        outcomes.push(run(&["retry", "2", "-o", "json"], &signing).assert_code(3));
        for format in ["text", "json", "csv", "xml"] {
            outcomes.push(run(&["failed", "list", "-o", format], &[]));
            outcomes.push(run(&["failed", "show", "1", "-o", format], &[]));
            outcomes.push(run(&["journal", "list", "-o", format], &[]));
        }
        let outcomes: Vec<&Outcome> = outcomes.iter().collect();
        env.assert_nowhere(CANARY, &outcomes);
        let requests = server.requests();
        assert_eq!(requests.len(), 7, "{way}");
        for request in &requests {
            for signature in signature(request).split([' ', ',']) {
                let signature = signature.trim_start_matches("v1=");
                env.assert_nowhere(signature, &outcomes);
            }
        }
    }
}

#[test]
fn page_signs_what_it_sends_again() {
    let env = TestEnv::new();
    env.write_file("secret", CANARY);
    let server = Server::script(vec![respond(503), respond(200)]);
    let signing = ["--sign", "stripe", "--signing-secret", "@file:secret"];
    let args = ["fire", "account", "created", "--no-retry", "--url"];
    let command = env.hookfire(args).arg(server.url()).args(signing);
    command.run().assert_code(3);
    let shown = env.hookfire(["journal", "show", "1"]).run();
    assert!(
        shown.stdout().contains("signed    by the scheme stripe\n"),
        "{shown}"
    );
    let shown = env.hookfire(["journal", "show", "1", "-o", "json"]).run();
    assert_eq!(shown.json()["sign"], "stripe");
    let listener = Listener::start(&env, &[]);
    let page = listener.get("/_hookfire/");
    let is_hex = |text: &&str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut words = page.text().split('"');
    let token = words.find(is_hex).expect("the page's token");
    let body = "{\"ids\":[1]}";
    let retried = listener.send(format!(
        "POST /_hookfire/api/deliveries/retry HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hookfire-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(retried.json()["results"][0]["status"], "delivered");
    let outcome = listener.stop();
    let requests: Vec<_> = server
        .requests()
        .into_iter()
        .map(|request| (request, "stripe", CANARY))
        .collect();
    verify_with_libraries(&requests);
    env.assert_nowhere(CANARY, &[&outcome]);
}

#[test]
fn repeated_signature_is_masked_in_body_and_headers() {
    let env = TestEnv::new();
    env.write_file("order.json", "{}");
    let fire = |server: &Server, format: &str| {
        let args = ["fire", "--body", "order.json", "--no-retry", "-o", format];
        let signing = ["--sign", "github", "--signing-secret", CANARY];
        let command = env.hookfire(args).args(signing);
        command.args(["--url", &server.url()]).run()
    };
    let first = Server::script(vec![respond(200)]);
    fire(&first, "text").assert_code(0);
    // Without a timestamp, the same body has the same signature.
    let signature = signature(&first.requests()[0]);
    let step = respond(503)
        .header("X-Expected", &format!("sha256={signature}"))
        .body(format!(
            "expected sha256={}, made with {CANARY}",
            signature.to_uppercase()
        ));
    let second = Server::script(vec![step]);
    let fired = fire(&second, "json").assert_code(3);
    let shown = env.hookfire(["journal", "show", "2", "-o", "json"]).run();
    let attempt = &shown.json()["attempts"][0];
    assert_eq!(
        attempt["response_body"],
        "expected sha256=***, made with ***"
    );
    assert!(
        attempt["response_headers"]
            .to_string()
            .contains("sha256=***"),
        "{attempt}"
    );
    env.assert_nowhere(CANARY, &[&fired, &shown]);
    env.assert_nowhere(&signature, &[&fired, &shown]);
    env.assert_nowhere(&signature.to_uppercase(), &[&fired, &shown]);
}

#[test]
fn replay_replaces_received_signatures() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let body = "{\"a\":1}";
    listener.send(format!(
        "POST /in HTTP/1.1\r\nHost: 127.0.0.1\r\nStripe-Signature: t=1,v1=old\r\nX-Hub-Signature-256: sha256=old\r\n\
         webhook-id: msg_1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    listener.send(format!(
        "POST /in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    listener.stop();
    let server = Server::script(vec![echo().times(4)]);
    let replay = ["captured", "replay", "1", "2", "--to", &server.url()].map(str::to_owned);
    let stripe = ["--sign", "stripe", "--signing-secret", CANARY];
    let standard = ["--sign", "standard", "--signing-secret", CANARY];
    let run = |more: &[&str]| env.hookfire(&replay).args(more).run();
    let outcomes = [
        run(&stripe).assert_code(3),
        run(&[&standard[..], &["-o", "json"]].concat()).assert_code(3),
        run(&[&stripe[..], &["--dry-run"]].concat()).assert_code(0),
        run(&[&standard[..], &["--dry-run", "-o", "json"]].concat()).assert_code(0),
        run(&["--sign", "githb"]).assert_code(2),
        run(&["--signing-secret", CANARY]).assert_code(2),
    ];
    let masked = "Stripe-Signature: t=(the time of the attempt),v1=***";
    assert!(outcomes[2].stdout().contains(masked), "{}", outcomes[2]);
    let requests = server.requests();
    for request in &requests {
        assert!(!format!("{request:?}").contains("old"), "{request:#?}");
        env.assert_nowhere(&signature(request), &outcomes.iter().collect::<Vec<_>>());
    }
    env.assert_nowhere(CANARY, &outcomes.iter().collect::<Vec<_>>());
    let ids: Vec<_> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!(ids, [Some("msg_1"), None, Some("msg_1"), Some("capture-2")]);
    let schemes = ["stripe", "stripe"];
    let requests = requests.into_iter().zip(schemes);
    let requests: Vec<_> = requests
        .map(|(request, scheme)| (request, scheme, CANARY))
        .collect();
    verify_with_libraries(&requests);
}

#[test]
fn endpoint_schemes_verify_captures() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    env.write_config(&format!(
        "[endpoints.own]\nurl = \"{}\"\n{CUSTOM}\nsigning_secret = \"{CANARY}\"\n",
        listener.url()
    ));
    let args = ["fire", "account", "created", "-e", "own"];
    env.hookfire(args).run().assert_code(0);
    listener.stop();
    let verify = |more: &[&str]| {
        let args = ["captured", "verify", "1", "--scheme", "own"];
        env.hookfire(args).args(more).run()
    };
    let valid = verify(&[]).assert_code(0);
    assert_eq!(
        valid.stdout(),
        "capture #1: the custom signature is valid\n"
    );
    verify(&["--signing-secret", "another"]).assert_code(7);
    let listener = Listener::start(&env, &["--verify", "own"]);
    let url = format!("{}/hook", listener.url());
    let signing = ["--sign", "own"];
    let signed = env.hookfire(fire(&url, &signing)).run();
    signed.assert_code(0);
    let unsigned = [&fire(&url, &[])[..], &["--no-retry"]].concat();
    env.hookfire(unsigned).run().assert_code(3);
    listener.stop();
}
