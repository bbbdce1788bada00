//! The secrets of `listen --forward-later` reach the receiver, and appear nowhere else: those of the listener, of its
//! targets, and of the requests that it forwards, even if the receiver repeats them.

use crate::forward_later::{json, later, wait_for_statuses};
use crate::support::{Listener, Server, TestEnv, echo};

const TOKEN: &str = "canary-of-the-reader";
const SIGNING: &str = "canary-of-the-signature";
const ENDPOINT: &str = "canary-of-the-endpoint";
const URL: &str = "canary-in-the-url";
const BEARER: &str = "canary-of-the-bearer";
const COOKIE: &str = "canary-of-the-cookie";
const QUERY: &str = "canary-of-the-sender";

#[test]
fn secrets_are_only_sent() {
    let mut env = TestEnv::new();
    let (first, second) = (Server::script(vec![echo()]), Server::script(vec![echo()]));
    env.set("READER", TOKEN);
    env.set("SIGNING", SIGNING);
    env.set("ENDPOINT", ENDPOINT);
    env.set(
        "HOOKFIRE_FORWARD_TO",
        format!("{}/?token={URL}", second.url()),
    );
    env.set("HOOKFIRE_REQUIRE_SECRET", format!("key={QUERY}"));
    env.write_config(&format!(
        "[endpoints.crm]\nurl = \"{}\"\nsign = \"github\"\nsigning_secret = {{ env = \"SIGNING\" }}\n\
         secrets = {{ own = {{ env = \"ENDPOINT\" }} }}\n",
        first.url()
    ));
    let args = ["-e", "crm", "--read-token", "@env:READER", "--retries", "0"];
    let listener = later(&env, &args);
    let request = format!(
        "POST /in?key={QUERY} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {BEARER}\r\n\
         Cookie: session={COOKIE}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    assert_eq!(listener.send(request).status, 200);
    wait_for_statuses(&env, &["failed", "failed"]);

    for (server, target) in [
        (&first, format!("/in?own={ENDPOINT}")),
        (&second, format!("/in?token={URL}")),
    ] {
        let sent = &server.requests()[0];
        assert_eq!(sent.target, target);
        let header = |name: &str| sent.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("authorization"), format!("Bearer {BEARER}"));
        assert_eq!(header("cookie"), format!("session={COOKIE}"));
    }
    assert!(first.requests()[0].header("x-hub-signature-256").is_some());

    let page = listener.ready()["page"].as_str().unwrap();
    let page_token = page.split_once("token=").unwrap().1.to_owned();
    let mut shown = String::new();
    for path in [
        "deliveries",
        "deliveries/1",
        "deliveries/2",
        "captures",
        "captures/1",
        "captures/1/curl",
    ] {
        let target = format!("/_hookfire/api/{path}");
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n");
        let token = format!("Authorization: Bearer {page_token}\r\n\r\n");
        let response = listener.send(head + &token);
        assert_eq!(response.status, 200, "{target}: {response:?}");
        shown += &format!("{}{}", response.head, response.text());
    }
    let mut outcomes = Vec::new();
    for command in [
        &["failed", "list"][..],
        &["failed", "show", "1"],
        &["failed", "show", "2"],
        &["journal", "show", "2"],
        &["captured", "show", "1"],
        &["retry", "1", "--dry-run"],
        &["retry", "2", "--dry-run"],
    ] {
        // The secret of the URL is not stored.
        let code = i32::from(command == ["retry", "1", "--dry-run"]);
        outcomes.push(env.hookfire(command).run().assert_code(code));
        let json = [command, &["-o", "json"]].concat();
        outcomes.push(env.hookfire(json).run().assert_code(code));
    }
    outcomes.push(listener.stop());
    let outcomes: Vec<_> = outcomes.iter().collect();
    for secret in [TOKEN, SIGNING, ENDPOINT, URL, BEARER, COOKIE, QUERY] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    // The request is stored once, in the capture.
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    let emptied = journal
        .execute("UPDATE captures SET head = zeroblob(length(head))", [])
        .unwrap();
    assert_eq!(emptied, 1);
    journal
        .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    drop(journal);
    for secret in [TOKEN, SIGNING, ENDPOINT, URL, BEARER, COOKIE, QUERY] {
        env.assert_nowhere(secret, &outcomes);
    }
    assert_eq!(json(&env, &["failed", "list"]).as_array().unwrap().len(), 2);
}

#[test]
fn revealed_secrets_are_not_stored_with_responses() {
    let env = TestEnv::new();
    let (listener, server) = (Listener::start(&env, &[]), Server::script(vec![echo()]));
    let request = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {BEARER}\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(listener.send(request).status, 200);
    let url = server.url();
    let follow = [
        "captured",
        "follow",
        "--bin",
        "inbox",
        "--from-start",
        "--reveal",
    ];
    let deliver = ["--exit-after", "1", "--retries", "0", "--to", &url];
    env.hookfire(follow).args(deliver).run().assert_code(3);
    let sent = format!("Bearer {BEARER}");
    assert_eq!(server.requests()[0].header("authorization"), Some(&*sent));
    let shown = env.hookfire(["journal", "show", "1", "-o", "json"]).run();
    assert!(shown.stdout().contains("authorization"), "{shown}");
    assert!(!shown.stdout().contains(BEARER), "{shown}");
    listener.stop();
}
