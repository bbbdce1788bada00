//! Read tokens of a listener: they read the page and the APIs, and change nothing.

use crate::support::browser::Browser;
use crate::support::{Listener, TestEnv};

const READER: &str = "canary-of-the-reader";
const OTHER_READER: &str = "canary/of+the=other";

fn request(method: &str, target: &str, token: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
         X-Hookfire-Token: guess\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{{}}"
    )
}

fn listener(env: &mut TestEnv, args: &[&str]) -> Listener {
    env.set("READER", READER);
    let token_file = env.write_file("token", format!("{OTHER_READER}\n"));
    let file = format!("@file:{}", token_file.display());
    let tokens = ["--read-token", "@env:READER", "--read-token", &file];
    Listener::start(env, &[&tokens, args].concat())
}

#[test]
fn read_token_reads_and_changes_nothing() {
    let mut env = TestEnv::new();
    let listener = listener(&mut env, &["--require-secret", "key=s3cret-value"]);
    listener.get("/hook?key=s3cret-value");
    let page = listener.ready()["page"].as_str().unwrap();
    let full = page.split_once("token=").unwrap().1.to_owned();
    for token in [READER, OTHER_READER] {
        for target in [
            "/_hookfire/",
            "/_hookfire/api/captures",
            "/_hookfire/api/deliveries",
            "/api/v1/bins/inbox/requests",
        ] {
            let response = listener.send(request("GET", target, token));
            assert_eq!(response.status, 200, "{target}: {response:?}");
        }
        let shown = listener.send(request("GET", "/_hookfire/api/captures/1?reveal=1", token));
        assert!(shown.text().contains("s3cret-value"), "{shown:?}");
        for (method, target) in [
            ("DELETE", "/_hookfire/api/captures/1"),
            ("PUT", "/_hookfire/api/captures/1/note"),
            ("POST", "/_hookfire/api/captures/1/replay"),
            ("PUT", "/_hookfire/api/bins/other"),
            ("DELETE", "/_hookfire/api/bins/inbox/captures?until=9"),
            ("POST", "/_hookfire/api/deliveries/retry"),
            ("POST", "/_hookfire/api/deliveries/delete"),
            ("POST", "/api/v1/bins"),
        ] {
            let refused = listener.send(request(method, target, token));
            assert_eq!(refused.status, 403, "{method} {target}: {refused:?}");
            assert!(
                refused.text().starts_with("a read token may not change"),
                "{refused:?}"
            );
        }
    }
    let without = listener.get("/_hookfire/api/captures");
    assert_eq!(without.status, 401);
    assert!(
        without.text().starts_with(
            "requires a token, one given with `--read-token` or the one printed when hookfire started:"
        ),
        "{without:?}"
    );
    let wrong = request("GET", "/_hookfire/api/captures", "canary-of-the-guest");
    assert_eq!(listener.send(wrong).status, 401);
    assert_eq!(
        listener.send(request("POST", "/api/v1/bins", &full)).status,
        200,
        "the printed token permits everything"
    );
    let list = env
        .hookfire(["captured", "list", "-o", "json"])
        .run()
        .json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    listener.stop();
}

#[test]
fn read_tokens_are_neither_stored_nor_printed_nor_forwarded() {
    let mut env = TestEnv::new();
    let target = Listener::start(&env, &["--bin", "target"]);
    let url = format!("http://127.0.0.1:{}/target", target.port());
    let listener = listener(&mut env, &["--forward-to", &url]);
    let encoded = OTHER_READER
        .replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D");
    let request = format!(
        "GET /hook?token={READER}&again={encoded}&last={OTHER_READER} HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {READER}\r\nReferer: http://h/?token={encoded}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(listener.send(request.as_bytes()).status, 200);
    for outcome in [listener.stop(), target.stop()] {
        let captures = outcome.ndjson()[1..].to_vec();
        assert_eq!(captures.len(), 1, "{outcome}");
        let text = format!("{} {}", captures[0], outcome.stderr());
        for secret in [READER, OTHER_READER, encoded.as_str()] {
            assert!(!text.contains(secret), "{outcome}");
        }
    }
    let raw = env.hookfire(["captured", "show", "1", "--raw"]).run();
    assert!(!raw.stdout().contains("canary"), "{raw}");
}

#[test]
fn invalid_read_tokens_are_refused_without_quoting_them() {
    let mut env = TestEnv::new();
    env.set("EMPTY", "");
    for (value, code, message) in [
        (
            "short",
            2,
            "must have at least 8 characters, only letters, digits and `-._~+/=`",
        ),
        (
            "with spaces in it",
            2,
            "must have at least 8 characters, only letters, digits and `-._~+/=`",
        ),
        (
            "semicolon;semicolon",
            2,
            "must have at least 8 characters, only letters, digits and `-._~+/=`",
        ),
        ("@env:EMPTY", 1, "`EMPTY` is not set, or is empty"),
        ("@evn:READER", 2, "did you mean `@env:`?"),
    ] {
        let outcome = env
            .hookfire(["listen", "--port", "0", "--read-token", value])
            .run()
            .assert_code(code);
        let text = outcome.stderr();
        assert!(
            text.contains("--read-token") && text.contains(message),
            "{outcome}"
        );
        assert!(value.starts_with('@') || !text.contains(value), "{outcome}");
    }
}

#[test]
fn page_of_a_read_token_is_read_only() {
    let mut env = TestEnv::new();
    let listener = listener(&mut env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.get("/kept");
    let page = format!("{}/_hookfire/?token=", listener.url());
    let hidden =
        |selector: &str| format!("document.querySelector('{selector}').offsetParent === null");
    let controls = [
        "#new-bin",
        "#response",
        "#clear",
        "#pin",
        "#note",
        "#delete",
        "#send-again",
    ];
    browser.open(&format!("{page}{READER}"));
    browser.wait_for_text("#live", "Live");
    browser.wait_for_text("#detail h2", "GET /kept");
    assert_eq!(browser.text("#read-only"), "Read-only");
    for control in controls {
        browser.wait_for(&hidden(control));
    }
    for control in ["#copy-curl", "#compare", "#copy-url", "#follow"] {
        browser.wait_for(&format!("!({})", hidden(control)));
    }
    // The link with the token that permits everything replaces the cookie.
    browser.open(listener.ready()["page"].as_str().unwrap());
    browser.wait_for_text("#detail h2", "GET /kept");
    for control in controls {
        browser.wait_for(&format!("!({})", hidden(control)));
    }
    browser.wait_for(&hidden("#read-only"));
}
