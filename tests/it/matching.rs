//! `captured list` and `expect` find requests by path, headers and body, whatever the body is written in.

use serde_json::Value;

use crate::expect::{listening, send};
use crate::support::{Listener, TestEnv};

const BROTLI_HELLO: &[u8] = b"\x0b\x05\x80hello world\x03";

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Captures JSON, XML, a form, a compressed body and a malformed request, in this order.
fn captured() -> TestEnv {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let json =
        br#"{"amount":10.50,"id":123456789012345678901234567890,"a/b=c":["x","y"],"none":null}"#;
    listener.send(post("/orders/1", "X-Shop: a\r\n", json));
    listener.send(post(
        "/orders/2",
        "X-Shop: b\r\n",
        b"<order><amount>10.50</amount><mail>jo@acme.com</mail></order>",
    ));
    listener.send(post(
        "/form",
        FORM,
        b"amount=10.50&name=J%C3%B6+Doe&amount=3",
    ));
    listener.send(post("/packed", "Content-Encoding: br\r\n", BROTLI_HELLO));
    let cut =
        "POST /orders/cut HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n";
    listener.send(cut);
    listener.stop();
    env
}

/// The ids that `captured list` finds, oldest first.
fn found(env: &TestEnv, args: &[&str]) -> Vec<i64> {
    let list = env
        .hookfire(["captured", "list", "-o", "ndjson"])
        .args(args);
    let mut ids: Vec<i64> = list
        .run()
        .assert_code(0)
        .ndjson()
        .iter()
        .map(|capture| capture["id"].as_i64().unwrap())
        .collect();
    ids.reverse();
    ids
}

#[test]
fn list_finds_values_in_json_xml_and_forms() {
    let env = captured();
    for (condition, ids) in [
        ("amount=10.50", &[1, 2, 3][..]),
        ("amount=10.5", &[1]),
        ("amount=1.05e1", &[1]),
        ("amount[2]=3", &[3]),
        ("id=123456789012345678901234567890", &[1]),
        ("id=123456789012345678901234567891", &[]),
        ("\"a/b=c\"[2]=y", &[1]),
        ("none", &[1]),
        ("none=null", &[1]),
        ("name=Jö Doe", &[3]),
        ("//mail~=@acme\\.com$", &[2]),
        ("amount~=^10", &[1, 2, 3]),
        ("//amount", &[1, 2, 3]),
        ("missing", &[]),
    ] {
        assert_eq!(found(&env, &["--match", condition]), ids, "{condition}");
    }
}

#[test]
fn list_finds_paths_headers_and_text() {
    let env = captured();
    for (args, ids) in [
        (&["--path", "/orders/*"][..], &[1, 2, 5][..]),
        (&["--path", "/orders/?"], &[1, 2]),
        (&["--header", "x-shop=b"], &[2]),
        (&["-H", "X-Shop: a", "--path", "/orders/2"], &[]),
        (&["--contains", "hello world"], &[4]),
        (&["--contains", "10.50", "--contains", "acme"], &[2]),
        (&["--contains", "HELLO"], &[]),
        (&["--path", "*", "--limit", "2"], &[4, 5]),
    ] {
        assert_eq!(found(&env, args), ids, "{args:?}");
    }
    let text = env.hookfire(["captured", "list", "--path", "/orders/*", "--limit", "1"]);
    let text = text.run().assert_code(0);
    assert!(
        text.stdout().contains("/orders/cut") && !text.stdout().contains("/orders/2"),
        "{text}"
    );
    assert!(text.stderr().contains("`--limit 2` shows more"), "{text}");
    let none = env
        .hookfire(["captured", "list", "--contains", "nowhere"])
        .run()
        .assert_code(0);
    assert!(none.stderr().contains("no capture matches"), "{none}");
}

#[test]
fn expect_explains_every_kind_of_condition() {
    let env = TestEnv::new();
    let options = [
        "--match",
        "amount~=^9",
        "--match",
        "missing",
        "--path",
        "/paid*",
        "--contains",
        "refund",
        "--within",
        "1s",
    ];
    let (running, port) = listening(&env, &options);
    send(
        port,
        &format!("POST /form HTTP/1.1\r\n{}", FORM.trim_end()),
        "amount=10",
    );
    let outcome = running.wait().assert_code(7);
    for words in [
        "path `/form` does not match `/paid*`",
        "`amount` is `10`, which does not match `^9`",
        "no value `missing`",
        "the body does not contain `refund`",
    ] {
        assert!(outcome.stderr().contains(words), "{words}: {outcome}");
    }
    for (args, words) in [
        (["--match", "a~=("], "is not a regular expression"),
        (["--match", "a[0]=1"], "is not a number from 1 up"),
    ] {
        for command in [&["expect"][..], &["captured", "list"]] {
            let outcome = env.hookfire(command).args(args).run().assert_code(2);
            assert!(outcome.stderr().contains(words), "{outcome}");
        }
    }
}

#[test]
fn compressed_bodies_are_decoded_except_for_exact_output() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    listener.send(post("/", "Content-Encoding: br\r\n", BROTLI_HELLO));
    listener.send(post("/", "", b"hello world"));
    listener.send(post("/", "Content-Encoding: zstd\r\n", b"not zstd"));
    listener.stop();
    let shown = env.hookfire(["captured", "show", "1"]).run().assert_code(0);
    assert!(
        shown
            .stdout()
            .contains("(15 bytes, compressed: br, 11 bytes decoded; ")
            && shown.stdout().ends_with("\nhello world\n"),
        "{shown}"
    );
    let exact = env
        .hookfire(["captured", "show", "1", "--body"])
        .run()
        .assert_code(0);
    assert_eq!(exact.stdout, BROTLI_HELLO);
    let raw = env
        .hookfire(["captured", "show", "1", "--raw"])
        .run()
        .assert_code(0);
    assert!(raw.stdout.ends_with(BROTLI_HELLO));
    env.hookfire(["captured", "diff", "1", "2"])
        .run()
        .assert_code(0);
    let broken = env.hookfire(["captured", "show", "3"]).run().assert_code(0);
    assert!(
        broken.stdout().contains("compressed: zstd, not decoded: "),
        "{broken}"
    );
    let expect = [
        "expect",
        "--bin",
        "inbox",
        "--since",
        "1h",
        "--within",
        "0s",
        "--contains",
        "hello",
    ];
    env.hookfire(expect)
        .args(["--count", "2"])
        .run()
        .assert_code(0);
}

#[test]
fn multipart_bodies_are_listed_by_part() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let body = b"--xx\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\x1b.png\"\r\nContent-Type: image/png\r\n\r\n\
        12345\r\n--xx\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n--xx--\r\n";
    listener.send(post(
        "/",
        "Content-Type: multipart/form-data; boundary=xx\r\n",
        body,
    ));
    listener.stop();
    let shown = env.hookfire(["captured", "show", "1"]).run().assert_code(0);
    let (photo, note) = ("part \"photo\", file \"a", "part \"note\", 2 bytes");
    assert!(
        shown.stdout().contains(photo) && shown.stdout().contains(note),
        "{shown}"
    );
    assert!(shown.stdout().contains("image/png, 5 bytes"), "{shown}");
    let view: Value = env
        .hookfire(["captured", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        view["parts"],
        serde_json::json!([
            {"name": "photo", "file_name": "a\u{1b}.png", "content_type": "image/png", "size": 5},
            {"name": "note", "file_name": null, "content_type": null, "size": 2},
        ])
    );
}
