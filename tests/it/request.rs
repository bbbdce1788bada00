//! The request line, headers and body that an endpoint receives, and input that is refused first.

use crate::support::{Outcome, Received, Server, TestEnv, respond};

/// The only request of a successful fire.
fn sent(env: &TestEnv, event: &[&str], more: &[&str]) -> (Received, Outcome) {
    let server = Server::script(vec![respond(200)]);
    let outcome = env
        .hookfire(["fire"])
        .args(event)
        .args(["--url", &server.url(), "-o", "json"])
        .args(more)
        .run();
    let outcome = outcome.assert_code(0);
    (server.requests().remove(0), outcome)
}

/// A fire with an invalid command line: nothing is sent or recorded.
fn refused(env: &TestEnv, more: &[&str]) -> Outcome {
    let server = Server::script(vec![]);
    let args = [
        "fire",
        "account",
        "created",
        "--url",
        &server.url(),
        "--no-retry",
    ];
    let outcome = env.hookfire(args).args(more).run().assert_code(2);
    assert_eq!(server.connections(), 0, "{outcome}");
    assert!(
        !env.journal_path().exists(),
        "nothing is written down\n{outcome}"
    );
    outcome
}

#[test]
fn request_is_one_post_with_webhook_id_and_no_referer() {
    let env = TestEnv::new();
    let (request, outcome) = sent(
        &env,
        &["account", "created"],
        &["--secret", "token=a b/c", "--param", "mode=x&y"],
    );
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/?token=a+b%2Fc&mode=x%26y")
    );
    assert_eq!(request.header("content-type"), Some("application/xml"));
    assert_eq!(
        request.header("webhook-id"),
        outcome.json()["uuid"].as_str()
    );
    assert_eq!(request.header("referer"), None);
    assert_eq!(request.header("transfer-encoding"), None);
    assert_eq!(
        request.header("content-length"),
        Some(request.body.len().to_string().as_str())
    );
    assert!(
        request
            .header("user-agent")
            .is_some_and(|agent| agent.starts_with("hookfire/"))
    );
    let text = String::from_utf8(request.body).expect("UTF-8");
    let document = roxmltree::Document::parse(&text).expect("an event that another parser reads");
    assert_eq!(document.root_element().tag_name().name(), "event");
}

#[test]
fn url_query_is_sent_unchanged() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(200)]));
    let url = format!("{}/a%20b/c?token=x%2By+z&debug&e=", server.url());
    env.hookfire(["fire", "account", "created", "--url", &url])
        .run()
        .assert_code(0);
    assert_eq!(
        server.requests()[0].target,
        "/a%20b/c?token=x%2By+z&debug&e="
    );
}

#[test]
fn event_file_is_sent_byte_for_byte_in_any_encoding() {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n<event>\r\n\t<type>account</type>\r\n\
                <action>created</action><object><account><org_name>Å\u{1f600}</org_name></account></object></event>\r\n\r\n";
    let utf16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let crlf = text.replace("UTF-16", "UTF-8").into_bytes();
    let latin1: Vec<u8> =
        b"<?xml version='1.0' encoding='ISO-8859-1'?><event><type>account</type><action>created</action>\
        <object><account><org_name>Gr\xfc\xdfe</org_name></account></object></event>"
            .to_vec();
    for document in [utf16, crlf, latin1] {
        let env = TestEnv::new();
        env.write_file("event.xml", &document);
        let (request, outcome) = sent(&env, &["--event", "event.xml"], &[]);
        assert!(request.body == document, "{outcome}");
        assert_eq!(request.header("content-type"), Some("application/xml"));
        let shown = env
            .hookfire(["journal", "show", "1", "-o", "xml"])
            .run()
            .assert_code(0);
        assert!(shown.stdout == document, "kept byte for byte too\n{shown}");
        assert_eq!(outcome.json()["type"], "account");
    }
}

#[test]
fn an_event_can_come_from_stdin() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(200)]));
    let document = b"<event><type>t</type><action>a</action><object><t/></object></event>";
    env.hookfire(["fire", "--event", "-", "--url", &server.url()])
        .stdin(*document)
        .run()
        .assert_code(0);
    assert_eq!(server.requests()[0].body, document);
}

#[test]
fn custom_header_replaces_the_default() {
    let mut env = TestEnv::new();
    env.set("HOOK_AUTH", "Bearer from-the-environment");
    env.write_file("key", "from-a-file\n");
    let headers = [
        ["-H", "content-TYPE: text/xml; charset=utf-8"],
        ["-H", "User-Agent: 3scale"],
        ["-H", "Authorization: @env:HOOK_AUTH"],
        ["-H", "X-Api-Key: @file:key"],
        ["--header", "X-Twice: first"],
        ["--header", "x-twice: second"],
        ["--header", "X-Colons: a:b: c"],
        ["--header", "X-Name: Grüße"],
    ];
    let (request, _) = sent(&env, &["account", "created"], headers.as_flattened());
    let all = |name: &str| -> Vec<&str> {
        let named = request
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(all("content-type"), ["text/xml; charset=utf-8"]);
    assert_eq!(all("user-agent"), ["3scale"]);
    assert_eq!(all("authorization"), ["Bearer from-the-environment"]);
    assert_eq!(all("x-api-key"), ["from-a-file"]);
    assert_eq!(all("x-twice"), ["second"]);
    assert_eq!(all("x-colons"), ["a:b: c"]);
    assert_eq!(all("x-name"), ["Grüße"]);
}

#[test]
fn reserved_headers_are_refused() {
    let env = TestEnv::new();
    for name in [
        "webhook-id",
        "Webhook-ID",
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Expect",
    ] {
        let outcome = refused(&env, &["-H", &format!("{name}: 1")]);
        assert!(
            outcome
                .stderr()
                .contains(&format!("hookfire sets the header `{name}` itself")),
            "{outcome}"
        );
    }
}

#[test]
fn headers_with_line_breaks_are_refused() {
    let mut env = TestEnv::new();
    env.set("TWO_LINES", "one\r\nEvil: two");
    for header in [
        "X-A: one\r\nEvil: two",
        "X-A: nul\u{1}byte",
        "X A: 1",
        "X-Ä: 1",
        "no colon",
        ": no name",
    ] {
        refused(&env, &["-H", header]);
    }
    let server = Server::script(vec![]);
    let args = [
        "fire",
        "account",
        "created",
        "--url",
        &server.url(),
        "-H",
        "X-A: @env:TWO_LINES",
    ];
    let outcome = env.hookfire(args).run().assert_code(1);
    assert!(outcome.stderr().contains("control character"), "{outcome}");
    assert!(!env.journal_path().exists());
}

#[test]
fn invalid_urls_are_refused() {
    let env = TestEnv::new();
    let urls = [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "127.0.0.1:8080/hook",
        "localhost/hook",
        "http://user:word@127.0.0.1/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1/#fragment",
        "http://127.0.0.1/a\tb",
        "http://127.0.0.1/\u{202e}evil\r",
        "http://",
        "http:///",
        "nonsense",
    ];
    for url in urls {
        let outcome = env
            .hookfire(["fire", "account", "created", "--no-retry", "--url", url])
            .run()
            .assert_code(2);
        assert!(outcome.stderr().starts_with("error: "), "{outcome}");
        assert!(!env.journal_path().exists(), "{outcome}");
    }
}
