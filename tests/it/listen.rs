//! `hookfire listen`: captures, responses, start and end.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::{Listener, Server, TestEnv, read_response, respond};

const EVENT: &str = "<event><type>application</type><action>created</action><object><application/></object></event>";

#[test]
fn captures_are_printed_as_documented() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--exit-after", "1"]);
    let url = format!("{}/hook?a=b%20c", listener.url());
    env.hookfire([
        "fire",
        "application",
        "created",
        "--url",
        &url,
        "--no-retry",
    ])
    .run()
    .assert_code(0);
    let outcome = listener.wait();
    let lines = outcome.ndjson();
    assert_eq!(lines.len(), 2, "{outcome}");
    let capture = &lines[1];
    assert_eq!(
        (&capture["event"], &capture["id"], &capture["bin"]),
        (&"capture".into(), &1.into(), &"inbox".into())
    );
    assert_eq!(
        (&capture["method"], &capture["path"]),
        (&"POST".into(), &"/hook".into())
    );
    assert_eq!(capture["query"], serde_json::json!([["a", "b c"]]));
    assert_eq!(
        (&capture["type"], &capture["action"]),
        (&"application".into(), &"created".into())
    );
    assert_eq!(
        (&capture["secret_ok"], &capture["malformed"]),
        (&serde_json::Value::Null, &false.into())
    );
    assert_eq!(
        (&capture["body_encoding"], &capture["response"]["status"]),
        (&"utf8".into(), &200.into())
    );
    let body = capture["body"].as_str().unwrap();
    assert!(
        body.starts_with("<?xml") && capture["body_size"] == body.len(),
        "{capture}"
    );
    let headers: Vec<&str> = capture["headers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|h| h[0].as_str())
        .collect();
    assert!(headers.contains(&"webhook-id"), "{headers:?}");
    // It is stored, too.
    let kept = env
        .hookfire(["captured", "show", "1", "--body"])
        .run()
        .assert_code(0);
    assert_eq!(kept.stdout(), body);
}

#[test]
fn raw_returns_the_exact_bytes() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let requests: Vec<Vec<u8>> = vec![
        b"POST /a HTTP/1.1\r\nhOsT: x\r\nX-Two: 1\r\nx-two:   2  \r\nX-TWO: 1\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
        b"GET /latin HTTP/1.1\r\nHost: x\r\nX-Name: caf\xe9\r\n\r\n".to_vec(),
        b"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
            .to_vec(),
        [&b"POST /gzip HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"[..], gzip].concat(),
        b"POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"GET /old?x HTTP/1.0\r\n\r\n".to_vec(),
        b"GET /a%2Fb/%e4%F6?q=%00+1 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ];
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(listener.send(request).status, 200, "{index}");
        let id = (index + 1).to_string();
        let raw = env
            .hookfire(["captured", "show", &id, "--raw"])
            .run()
            .assert_code(0);
        assert_eq!(raw.stdout, *request, "{index}");
    }
    let body = env
        .hookfire(["captured", "show", "3", "--body"])
        .run()
        .assert_code(0);
    assert_eq!(body.stdout(), "abc");
    listener.stop();
}

#[test]
fn invalid_http_is_stored_as_malformed() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(listener.send(sent).status, 400);
    let shown = env
        .hookfire(["captured", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        (&shown["malformed"], &shown["response"]["status"]),
        (&true.into(), &400.into())
    );
    assert_eq!(
        env.hookfire(["captured", "show", "1", "--raw"])
            .run()
            .assert_code(0)
            .stdout,
        sent
    );
    listener.stop();
}

#[test]
fn listen_responds_by_script_with_body_and_headers() {
    let env = TestEnv::new();
    let args = [
        "--respond",
        "503x2,202",
        "--response-body",
        "thanks",
        "--response-header",
        "X-Mine: yes",
    ];
    let listener = Listener::start(&env, &args);
    let answers = [(); 4].map(|()| listener.post("/", EVENT));
    assert_eq!(
        answers.each_ref().map(|answer| answer.status),
        [503, 503, 202, 202]
    );
    assert_eq!(
        (answers[2].text(), answers[2].header("x-mine")),
        ("thanks", Some("yes"))
    );
    listener.stop();
    let listener = Listener::start(&env, &["--status-in-path"]);
    assert_eq!(
        [
            listener.get("/inbox/418").status,
            listener.get("/inbox").status
        ],
        [418, 200]
    );
    assert_eq!(listener.get("/").text(), "ok");
    listener.stop();
}

#[test]
fn missing_secret_is_403_and_the_value_is_never_shown() {
    let mut env = TestEnv::new();
    env.set("SECRET_VALUE", "canary-of-the-listener");
    let listener = Listener::start(
        &env,
        &[
            "--require-secret",
            "token=@env:SECRET_VALUE",
            "--exit-after",
            "3",
        ],
    );
    assert_eq!(listener.post("/hook", EVENT).status, 403);
    assert_eq!(listener.post("/hook?token=wrong", EVENT).status, 403);
    assert_eq!(
        listener
            .post("/hook?token=canary-of-the-listener", EVENT)
            .status,
        200
    );
    let outcome = listener.wait();
    let verdicts: Vec<_> = outcome.ndjson()[1..]
        .iter()
        .map(|capture| capture["secret_ok"].clone())
        .collect();
    assert_eq!(verdicts, [false, false, true]);
    assert_eq!(
        outcome.ndjson()[3]["query"],
        serde_json::json!([["token", "***"]])
    );
    assert!(!outcome.stdout().contains("canary"), "{outcome}");
    assert!(!outcome.stderr().contains("canary"), "{outcome}");
}

#[test]
fn path_selects_the_bin_and_keep_limits_it() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--bin", "first", "--bin", "orders", "--keep", "2"]);
    for target in ["/orders/1", "/x", "/orders/2", "/orders/3"] {
        assert_eq!(listener.get(target).status, 200);
    }
    let list = env
        .hookfire(["captured", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    let mut found: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{}{}", c["bin"], c["path"]))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            r#""first""/x""#,
            r#""orders""/orders/2""#,
            r#""orders""/orders/3""#
        ]
    );
    listener.stop();
}

#[test]
fn forwarded_request_gets_the_response_or_502() {
    let env = TestEnv::new();
    let upstream = Server::script(vec![
        respond(207)
            .header("X-From", "upstream")
            .body("from upstream"),
    ]);
    let listener = Listener::start(&env, &["--forward-to", &upstream.url()]);
    let sent = "PUT /a%2Fb/../c{d}?x='\\' HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 3\r\n\r\nabc";
    let answer = listener.send(sent);
    assert_eq!(
        (answer.status, answer.text(), answer.header("x-from")),
        (207, "from upstream", Some("upstream"))
    );
    let request = &upstream.requests()[0];
    assert_eq!(
        (
            request.method.as_str(),
            request.target.as_str(),
            &*request.body
        ),
        ("PUT", "/a%2Fb/../c{d}?x='\\'", &b"abc"[..])
    );
    assert_eq!(
        (request.header("x-a"), request.header("x-hop")),
        (Some("1"), None)
    );
    drop(upstream);
    assert_eq!(listener.get("/").status, 502);
    let list = env
        .hookfire(["captured", "list", "-o", "json"])
        .run()
        .json();
    let mut answers: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["response"]["status"].as_u64().unwrap())
        .collect();
    answers.sort_unstable();
    assert_eq!(answers, [207, 502]);
    listener.stop();
}

#[test]
fn large_body_is_413_and_stored_up_to_the_limit() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--max-body", "10"]);
    assert_eq!(listener.post("/", "0123456789").status, 200);
    assert_eq!(listener.post("/", "0123456789x").status, 413);
    let shown = env
        .hookfire(["captured", "show", "2", "-o", "json"])
        .run()
        .json();
    assert_eq!(
        (&shown["malformed"], &shown["body_size"]),
        (&true.into(), &10.into()),
        "{shown}"
    );
    listener.stop();
}

#[test]
fn locked_journal_is_503_until_unlocked() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    assert_eq!(listener.get("/before").status, 200);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(listener.get("/locked").status, 503);
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(listener.get("/after").status, 200);
    let outcome = listener.stop();
    assert!(
        outcome.stderr().contains("503") && outcome.stderr().contains("locked"),
        "{outcome}"
    );
    let paths: Vec<_> = outcome.ndjson()[1..]
        .iter()
        .map(|capture| capture["path"].clone())
        .collect();
    assert_eq!(paths, ["/before", "/after"]);
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_503_until_there_is_space() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let env = TestEnv::new();
    let mut listener = Listener::start_after(&env, "trap '' XFSZ", "");
    let pid = Pid::from_raw(listener.process().pid().try_into().unwrap());
    // Further writes fail, as on a full disk.
    let room = |bytes| {
        prlimit(
            pid,
            Resource::Fsize,
            Rlimit {
                current: bytes,
                maximum: None,
            },
        )
        .map(drop)
        .unwrap()
    };
    assert_eq!(listener.get("/before").status, 200);
    room(Some(1));
    for _ in 0..3 {
        assert_eq!(listener.get("/full").status, 503);
    }
    room(None);
    assert_eq!(listener.get("/after").status, 200);
    listener.process().kill9();
    let listed = env
        .hookfire(["captured", "list", "-o", "ndjson"])
        .run()
        .assert_code(0)
        .ndjson();
    let paths: Vec<_> = listed
        .iter()
        .map(|capture| capture["path"].clone())
        .collect();
    assert_eq!(paths, ["/after", "/before"]);
}

#[test]
fn request_that_cannot_be_stored_at_the_end_is_reported() {
    let env = TestEnv::new();
    let mut listener = Listener::start(&env, &[]);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut client = listener.connect();
    client
        .write_all(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
        )
        .unwrap();
    // `100 Continue` shows that the request is being processed.
    let mut go_ahead = [0; 25];
    client.read_exact(&mut go_ahead).unwrap();
    assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"x").unwrap();
    listener.process().terminate();
    assert_eq!(read_response(&mut client).status, 503);
    drop(lock);
    let outcome = listener.wait();
    assert!(
        outcome.stderr().contains("1 request not stored"),
        "{outcome}"
    );
}

#[test]
fn delayed_response_is_sent_after_exit_after() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--exit-after", "1", "--respond", "202@1500ms"]);
    let started = std::time::Instant::now();
    assert_eq!(listener.get("/").status, 202);
    assert!(
        started.elapsed() >= std::time::Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(listener.wait().ndjson().len(), 2);

    let listener = Listener::start(&env, &["--respond", "202@1m"]);
    let mut client = listener.connect();
    client
        .write_all(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let caught = || {
        env.hookfire(["captured", "list", "-o", "json"])
            .run()
            .json()
            .as_array()
            .unwrap()
            .len()
            == 2
    };
    let bound = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !caught() {
        assert!(std::time::Instant::now() < bound, "it is not caught");
    }
    assert_eq!(listener.stop().ndjson().len(), 2, "it is shown once");
    let shown = env
        .hookfire(["captured", "show", "2", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        shown["response"]["status"],
        serde_json::Value::Null,
        "{shown}"
    );
}

#[test]
fn quiet_still_prints_the_token() {
    let env = TestEnv::new();
    let args = ["listen", "0.0.0.0:0", "--expose", "-q", "--for", "100ms"];
    let outcome = env.hookfire(args).run().assert_code(0);
    assert!(
        outcome.stderr().starts_with("web UI:") && outcome.stderr().contains("?token="),
        "{outcome}"
    );
    assert_eq!(outcome.stderr().lines().count(), 1, "{outcome}");
}

#[test]
fn ready_file_exists_while_listening() {
    let env = TestEnv::new();
    let file = env.write_file("url", "stale");
    let listener = Listener::start(&env, &["--ready-file", "url"]);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap().trim_end(),
        listener.url()
    );
    // Another listener that finds the port taken, or uses another port, and ends first.
    let port = listener.port().to_string();
    env.hookfire(["listen", "--port", &port, "--ready-file", "url"])
        .run()
        .assert_code(1);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap().trim_end(),
        listener.url()
    );
    let other = Listener::start(&env, &["--ready-file", "url"]);
    listener.stop();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap().trim_end(),
        other.url()
    );
    other.stop();
    assert!(!file.exists());
}

#[test]
fn exit_after_and_for_do_not_wait_for_partial_requests() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--exit-after", "2"]);
    let mut kept_alive = listener.connect();
    kept_alive
        .write_all(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(read_response(&mut kept_alive).status, 200);
    assert_eq!(listener.get("/2").status, 200);
    assert_eq!(listener.wait().ndjson().len(), 3);

    let mut listener = Listener::start(&env, &["--for", "200ms"]);
    assert!(listener.process().is_running());
    assert_eq!(listener.wait().ndjson().len(), 1);

    let mut listener = Listener::start(&env, &[]);
    let mut half = listener.connect();
    half.write_all(b"GET /half HTT").unwrap();
    listener.process().interrupt();
    listener.wait();
}

#[test]
fn browser_that_opens_the_address_gets_the_page() {
    let env = TestEnv::new();
    let request = |path: &str, accept: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        )
    };
    let html = "text/html,application/xhtml+xml";
    let listener = Listener::start(&env, &[]);
    let opened = listener.send(request("/", html));
    assert_eq!(
        (opened.status, opened.header("location")),
        (303, Some("/_hookfire/"))
    );
    assert_eq!(
        listener
            .send(request("/favicon.ico", "image/avif,*/*"))
            .status,
        204
    );
    assert_eq!(listener.inbox().len(), 0);
    for captured in [
        request("/?a=b", html),
        request("/hook", html),
        request("/", "*/*"),
        request("/favicon.ico", "*/*"),
        request("/", html).replace("GET", "POST"),
    ] {
        assert_eq!(listener.send(captured).status, 200);
    }
    assert_eq!(listener.inbox().len(), 5);
    listener.stop();
    let scripted = Listener::start(&env, &["--respond", "503", "--exit-after", "1"]);
    assert_eq!(scripted.send(request("/", html)).status, 503);
    scripted.wait();
}

#[test]
fn text_output_has_a_banner_and_a_line_per_request() {
    let env = TestEnv::new();
    let mut running = env
        .hookfire([
            "listen",
            ":0",
            "--exit-after",
            "2",
            "--ready-file",
            "url",
            "-v",
        ])
        .spawn();
    running.wait_for_stderr("limits:");
    let url = std::fs::read_to_string(env.work_dir().join("url")).unwrap();
    for target in ["/hook?token=canary", "/%1b"] {
        let url = format!("{}{target}", url.trim_end());
        env.hookfire(["fire", "account", "created", "--url", &url, "--no-retry"])
            .run()
            .assert_code(0);
    }
    let outcome = running.wait().assert_code(0);
    for limit in [
        "head 64 KiB",
        "100 headers",
        "body 1 MiB",
        "30s",
        "512 connections",
        "4 MiB buffered",
        "newest 10000",
    ] {
        assert!(outcome.stderr().contains(limit), "{limit}: {outcome}");
    }
    let lines: Vec<&str> = outcome.stdout().lines().collect();
    assert_eq!(lines.len(), 2, "{outcome}");
    assert!(
        lines[0].contains("#1")
            && lines[0].contains("POST /hook")
            && lines[0].contains("account.created"),
        "{outcome}"
    );
    assert!(lines[0].contains("200"), "{outcome}");
    let (time, rest) = lines[0].split_at(8);
    let digits: Vec<usize> = time
        .split(':')
        .filter(|part| part.parse::<u8>().is_ok())
        .map(str::len)
        .collect();
    assert!(
        digits == [2, 2, 2] && rest.starts_with(" #1 "),
        "it begins with the time: {outcome}"
    );
}

#[test]
fn invalid_options_of_listen_are_refused() {
    let env = TestEnv::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = |args: &[&str], code: i32, words: &str| {
        let outcome = env
            .hookfire([&["listen"], args].concat())
            .run()
            .assert_code(code);
        assert!(outcome.stderr().contains(words), "{words}: {outcome}");
        assert_eq!(outcome.stdout(), "", "{outcome}");
    };
    refused(&["0.0.0.0:0"], 2, "--expose");
    refused(&["--port", "1", "2"], 2, "both give a port");
    refused(&["--respond", "nonsense"], 2, "`nonsense` is not a step");
    refused(&["--bin", "a/b"], 2, "a bin's name consists of");
    refused(&["--bin", "api"], 2, "reserved by the listener");
    refused(
        &["--emulate-portal", "--bin", "x", "--bin", "admin"],
        2,
        "`--bin admin`",
    );
    refused(&["--response-header", "nonsense"], 2, "--response-header");
    refused(
        &["--require-secret", "token=@env:NOT_SET_AT_ALL"],
        1,
        "NOT_SET_AT_ALL",
    );
    refused(&["--forward-to", "ftp://x"], 2, "ftp");
    refused(
        &["--ready-file", "no/such/folder/url"],
        2,
        "directory does not exist",
    );
    refused(&["--tls-cert", "x.pem"], 2, "--tls-key");
    for answer in [
        &["--respond", "200"][..],
        &["--response-body", "x"],
        &["--response-header", "A: b"],
        &["--status-in-path"],
    ] {
        refused(
            &[answer, &["--forward-to", "http://127.0.0.1:1"]].concat(),
            2,
            answer[0],
        );
    }
    for origin in [
        "null",
        "localhost:3000",
        "http://",
        "http://x/",
        "http://a b",
        "http://x:",
        "http://x:99999",
        "http://u@x",
    ] {
        refused(&["--allow-origin", origin], 2, "an origin is like");
    }
    for itself in [
        "http://127.0.0.1:4711/x",
        "http://localhost:4711",
        "http://0.0.0.0:4711",
    ] {
        refused(&["4711", "--forward-to", itself], 2, "leads back");
    }
    assert!(
        !env.journal_path().exists(),
        "what is wrong with the command line is found before anything is made"
    );
    for framing in ["Content-Length: 9", "Connection: x"] {
        refused(
            &["--port", "0", "--response-header", framing],
            2,
            "cannot be set",
        );
    }
    for unwritable in ["A: b\rc", "A: b\nc", "A b: c"] {
        refused(
            &["--port", "0", "--response-header", unwritable],
            2,
            "is not a valid response header",
        );
    }
    refused(&[&port], 1, &format!("port {port} is already in use"));
}

#[test]
fn the_token_of_the_page_is_neither_stored_nor_forwarded() {
    let env = TestEnv::new();
    let target = Listener::start(&env, &["--bin", "target"]);
    let url = format!("http://127.0.0.1:{}/target", target.port());
    let listener = Listener::start(&env, &["0.0.0.0", "--expose", "--forward-to", &url]);
    let page = listener.ready()["page"].as_str().unwrap();
    let token = page.split_once("token=").unwrap().1.to_owned();
    let request = format!(
        "GET /hook?token={token} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(listener.send(request.as_bytes()).status, 200);
    for outcome in [listener.stop(), target.stop()] {
        let captures = outcome.ndjson()[1..].to_vec();
        assert_eq!(captures.len(), 1, "{outcome}");
        assert!(!captures[0].to_string().contains(&token), "{outcome}");
    }
}

#[test]
fn listeners_that_forward_to_each_other_stop_with_508() {
    let env = TestEnv::new();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let first = Listener::start(&env, &["--forward-to", &format!("http://127.0.0.1:{port}")]);
    let back = format!("http://127.0.0.1:{}", first.port());
    let second = Listener::start_at(&env, &port.to_string(), &["--forward-to", &back]);
    assert_eq!(first.get("/hook").status, 508);
    second.stop();
    let outcome = first.stop();
    let captures = outcome.ndjson().len() - 1;
    assert_eq!(captures, 3, "{outcome}");
}

#[test]
fn exposed_without_an_address_all_addresses_are_used() {
    let env = TestEnv::new();
    let outcome = env
        .hookfire(["listen", "--port", "0", "--expose", "--for", "50ms"])
        .run()
        .assert_code(0);
    assert!(outcome.stderr().contains("others:"), "{outcome}");
    assert!(outcome.stderr().contains("token="), "{outcome}");
}

#[test]
fn routes_come_before_respond_and_both_before_a_bin() {
    let env = TestEnv::new();
    let routes = ["--route", "POST /paid=503x2,200", "--route", "POST /*=202"];
    let listener = Listener::start(&env, &routes);
    let bin = r#"{"status":418,"headers":[],"body":"short and stout","delay_ms":0}"#;
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute("UPDATE bins SET response = ?1", [bin])
        .unwrap();
    let statuses = |listener: &Listener| {
        ["/paid", "/other", "/paid", "/paid", "/paid"].map(|path| listener.post(path, "").status)
    };
    assert_eq!(statuses(&listener), [503, 202, 503, 200, 200]);
    assert_eq!(
        listener.get("/paid").status,
        418,
        "no route: the bin's response"
    );
    listener.stop();
    let listener = Listener::start(&env, &["--respond", "204", "--route", "POST /paid=201"]);
    assert_eq!(listener.post("/paid", "").status, 201);
    let put = "PUT /paid HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(listener.send(put).status, 204);
    listener.stop();
    let outcome = env
        .hookfire(["listen", "--route", "/paid=200"])
        .run()
        .assert_code(2);
    assert!(
        outcome.stderr().contains("write METHOD PATH=SCRIPT"),
        "{outcome}"
    );
}
