//! The RequestBin API as its clients use it: create a bin, send an event, find it.

use crate::support::{Listener, TestEnv};

/// The text of the first element with this name.
fn text(document: &str, name: &str) -> String {
    let document = roxmltree::Document::parse(document).expect("well-formed XML");
    let found = document
        .descendants()
        .find(|node| node.has_tag_name(name))
        .expect("the element");
    found.text().unwrap_or_default().to_owned()
}

#[test]
fn requestbin_client_finds_its_event() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let bin = listener.post("/api/v1/bins", "");
    assert_eq!(
        (bin.status, bin.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(
        bin.header("access-control-allow-origin"),
        None,
        "nobody asked for it"
    );
    let name = bin.json()["name"].as_str().unwrap().to_owned();
    let url = format!("{}/{name}?token=s3cret", listener.url());
    let set = ["--set", "id=4711", "--set", "org_name=Acme & Søns"];
    env.hookfire(["fire", "account", "updated", "--url", &url])
        .args(set)
        .run()
        .assert_code(0);
    listener.post("/elsewhere", "x");

    let requests = listener
        .get(&format!("/api/v1/bins/{name}/requests"))
        .json();
    assert_eq!(requests.as_array().unwrap().len(), 1, "{requests}");
    let (request, body) = (&requests[0], requests[0]["body"].as_str().unwrap());
    assert_eq!(
        (text(body, "type"), text(body, "action")),
        ("account".to_owned(), "updated".to_owned())
    );
    assert_eq!(
        (text(body, "id"), text(body, "org_name")),
        ("4711".to_owned(), "Acme & Søns".to_owned())
    );
    assert_eq!(request["headers"]["Content-Type"], "application/xml");
    assert_eq!(request["query_string"]["token"], "s3cret");
    assert_eq!(
        (&request["method"], &request["path"]),
        (&"POST".into(), &format!("/{name}").into())
    );
    assert_eq!(request["content_length"], body.len());
    assert_eq!(
        listener.get(&format!("/api/v1/bins/{name}")).json()["request_count"],
        1
    );
    let missing = listener.get("/api/v1/bins/none/requests");
    assert_eq!(
        (missing.status, missing.json()),
        (404, serde_json::json!({ "error": "Bin not found" }))
    );
    listener.stop();
}

#[test]
fn requestbin_api_creates_a_limited_number_of_bins() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    // `inbox` is one of them.
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    let numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 998)";
    let bins = "INSERT INTO bins (name, private, created_at) SELECT 'bin' || n, 0, 0 FROM numbers";
    journal.execute_batch(&format!("{numbers} {bins}")).unwrap();
    assert_eq!(listener.post("/api/v1/bins", "").status, 200);
    let refused = listener.post("/api/v1/bins", "");
    assert_eq!(refused.status, 400);
    let words = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(words.starts_with("there are 1000 bins already;"), "{words}");
    env.hookfire([
        "captured",
        "delete",
        "--bin",
        "inbox",
        "--with-bin",
        "--yes",
    ])
    .run()
    .assert_code(0);
    assert_eq!(listener.post("/api/v1/bins", "").status, 200);
    // The listener's bin comes back with the next request.
    assert_eq!(listener.post("/elsewhere", "x").status, 200);
    let inbox = listener.get("/api/v1/bins/inbox").json();
    assert_eq!(inbox["request_count"], 1);
    listener.stop();
}

#[test]
fn allow_origin_permits_other_origins() {
    let env = TestEnv::new();
    let origin = "http://app.example:3000";
    let ask = |listener: &Listener| {
        let host = format!("127.0.0.1:{}", listener.port());
        listener.send(format!(
            "GET /api/v1/bins/inbox HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\r\n"
        ))
    };
    let closed = Listener::start(&env, &[]);
    assert_eq!(ask(&closed).status, 403);
    let open = Listener::start(&env, &["--allow-origin", origin]);
    assert_eq!(
        ask(&open).header("access-control-allow-origin"),
        Some(origin)
    );
}
