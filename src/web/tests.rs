//! The web UI's responses, from a journal with captures and deliveries, through the router.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::request::Builder;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::capture::{Body as CapturedBody, Capture, CapturedResponse, INBOX};
use crate::delivery::payload::Payload;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Target;
use crate::delivery::{AttemptError, ErrorKind, Outcome};
use crate::env::SystemClock;
use crate::journal::{
    AttemptResult, CaptureStore as _, JournalCaptureStore, NewAttempt, NewDelivery, NextStep,
    Write, WriteResult,
};
use crate::time::{Clock as _, UnixMs};

const EVENT: &[u8] =
    b"<event><type>application</type><action>created</action><object><application><id>7</id>\
    </application></object></event>";

struct TestWeb {
    folder: TempDir,
    web: WebUi,
    notifier: Notifier,
    runtime: Runtime,
}

struct TestResponse {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl TestResponse {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl TestWeb {
    fn new() -> TestWeb {
        TestWeb::with(|_| {})
    }

    fn with(choose: impl FnOnce(&mut WebOptions)) -> TestWeb {
        let folder = tempfile::tempdir().unwrap();
        let mut options = WebOptions {
            program: "hookfire".to_owned(),
            journal: Mutex::new(open(&folder)),
            notifier: Notifier::new(),
            sending: sending(&folder),
            auth: Auth::new(Access::Loopback, None),
            default_bin: INBOX.to_owned(),
            mask: Mask {
                names: ["token".to_owned()].into(),
                ..Mask::default()
            },
            emulate_portal: false,
            portal_token: None,
            redirects_browsers: false,
        };
        choose(&mut options);
        TestWeb {
            folder,
            notifier: options.notifier.clone(),
            web: web_ui(options),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
        }
    }

    fn now(&self) -> UnixMs {
        SystemClock::default().now()
    }

    /// Keeps requests as the catcher does, answered 200.
    fn catch(&self, requests: &[(&str, &[u8])]) {
        let keeper = JournalCaptureStore::start(open(&self.folder), INBOX, 10_000, None).unwrap();
        for (head, body) in requests {
            let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n")).into_bytes();
            let mut capture =
                Capture::new(self.now(), SocketAddr::from(([127, 0, 0, 1], 53122)), head);
            capture.malformed = false;
            capture.response = CapturedResponse {
                status: Some(200),
                duration_ms: 1,
                note: None,
            };
            let (done, kept) = mpsc::channel();
            let body = CapturedBody {
                bytes: body.to_vec(),
                wire: None,
            };
            keeper.store(
                capture,
                body,
                Box::new(move |kept| done.send(kept).unwrap()),
            );
            kept.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
        }
    }

    fn fail_a_delivery(&self) -> i64 {
        let journal = open(&self.folder);
        let target = Target::from_url("http://127.0.0.1:1/hook?token=canary").unwrap();
        let new = NewDelivery {
            payload: Payload::unchecked_event("application", "created", EVENT),
            endpoint: None,
            target,
            retry_policy: RetryPolicy::default(),
        };
        let attempt = NewAttempt {
            insecure: false,
            sent_to: None,
            lease: Duration::ZERO,
        };
        let accepted = journal.commit(&[Write::Accept(new, attempt)]).unwrap();
        let [WriteResult::Delivery(delivery)] = &accepted[..] else {
            panic!("{accepted:?}");
        };
        let id = delivery.id;
        let error = Some(AttemptError {
            kind: ErrorKind::Status,
            message: "503 Service Unavailable".to_owned(),
        });
        let outcome = Outcome {
            http_status: Some(503),
            error,
            maybe_received: false,
            response_headers: Vec::new(),
            response_body: None,
            note: None,
        };
        let result = AttemptResult {
            id,
            number: 1,
            sent_after: Duration::ZERO,
            duration: Duration::from_millis(12),
            outcome: outcome.into(),
            next: NextStep::Failed,
        };
        journal.commit(&[Write::Finish(result)]).unwrap();
        id
    }

    fn send(&self, request: Builder, body: &str) -> TestResponse {
        let bound = Bound {
            addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: false,
        };
        let request = request.extension(bound).body(Body::from(body.to_owned()));
        let request = request.unwrap();
        let (parts, body) = request.into_parts();
        assert!((self.web.reserves)(&parts));
        let request = Request::from_parts(parts, body);
        self.runtime.block_on(async {
            let Ok(response) = self.web.router.clone().oneshot(request).await;
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            TestResponse {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            }
        })
    }

    /// The response to a request from this machine.
    fn get(&self, url: &str) -> TestResponse {
        self.send(request("GET", url), "")
    }

    fn page_token(&self) -> String {
        let page = self.get("/_hookfire/").body;
        let (_, rest) = page
            .split_once("name=\"hookfire-token\" content=\"")
            .unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Status and body of a request as the page sends it.
    fn reply(&self, method: &str, url: &str, body: &str) -> (u16, String) {
        let mut request = request(method, url).header("x-hookfire-token", self.page_token());
        if body.starts_with('{') {
            request = request.header("content-type", "application/json");
        }
        let response = self.send(request, body);
        (response.status, response.body)
    }

    fn json(&self, method: &str, url: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.reply(method, url, body);
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")),
        )
    }

    fn page(&self, url: &str) -> Value {
        let (status, value) = self.json("GET", &format!("/_hookfire/api/{url}"), "");
        assert_eq!(status, 200, "{value}");
        value
    }
}

fn request(method: &str, url: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(url)
        .header("host", "localhost")
}

fn sending(folder: &TempDir) -> Sending {
    Sending {
        journal: (&folder.path().join("journal.db")).into(),
        config_path: None,
        transport: crate::http::TransportOptions::default(),
        clock: SystemClock::default(),
        mask: Mask::default(),
        known: crate::engine::resend::KnownTargets::default(),
        clients: Mutex::new(crate::engine::plan::Clients::new(Arc::default())),
    }
}

fn open(folder: &TempDir) -> Box<dyn Journal> {
    crate::journal::open(&folder.path().join("journal.db")).unwrap()
}

fn ids(list: &Value) -> Vec<i64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect()
}

#[test]
fn requestbin_client_finds_what_it_posted() {
    let web = TestWeb::new();
    let (status, bin) = web.json("POST", "/api/v1/bins", r#"{"private": true}"#);
    assert_eq!(
        (status, &bin["private"], &bin["request_count"]),
        (200, &json!(true), &json!(0))
    );
    let name = bin["name"].as_str().unwrap();
    assert!(
        name.len() == 8
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()),
        "{name}"
    );
    assert_eq!(bin["color"].as_array().unwrap().len(), 3);
    assert_eq!(
        web.json("GET", &format!("/api/v1/bins/{name}/requests"), ""),
        (200, json!([]))
    );

    let to = |path: String| format!("POST {path}?token=s3cret HTTP/1.1\nHost: h");
    web.catch(&[
        (&to(format!("/{name}")), EVENT),
        (&to(format!("/{name}/deeper")), b"x"),
        (&to("/".into()), b"y"),
    ]);
    let (_, requests) = web.json("GET", &format!("/api/v1/bins/{name}/requests"), "");
    assert_eq!(requests.as_array().unwrap().len(), 2);
    assert_eq!(
        [&requests[0]["body"], &requests[1]["body"]],
        [&json!("x"), &json!(String::from_utf8_lossy(EVENT))]
    );
    assert_eq!(
        requests[1]["query_string"],
        json!({ "token": "s3cret" }),
        "its clients check it"
    );
    let one = format!(
        "/api/v1/bins/{name}/requests/{}",
        requests[1]["id"].as_str().unwrap()
    );
    assert_eq!(web.json("GET", &one, ""), (200, requests[1].clone()));
    assert_eq!(
        web.json("GET", &format!("/api/v1/bins/{name}"), "").1["request_count"],
        2
    );
    let color = web.json("GET", &format!("/api/v1/bins/{name}"), "").1["color"].clone();
    assert_eq!(color, bin["color"]);
}

#[test]
fn requestbin_errors_have_its_form() {
    let web = TestWeb::new();
    web.catch(&[("POST / HTTP/1.1", b"")]);
    for (method, path, status, words) in [
        ("GET", "/api/v1/bins/none", 404, "Bin not found"),
        ("GET", "/api/v1/bins/none/requests", 404, "Bin not found"),
        ("GET", "/api/v1/bins/none/requests/1", 404, "Bin not found"),
        (
            "GET",
            "/api/v1/bins/inbox/requests/2",
            404,
            "Request not found",
        ),
        (
            "GET",
            "/api/v1/bins/inbox/requests/x4ol9j",
            404,
            "Request not found",
        ),
        ("GET", "/api/v1/bins", 405, "Method not allowed"),
        ("DELETE", "/api/v1/bins/inbox", 405, "Method not allowed"),
        ("GET", "/api/v1/bins/a/elsewhere", 404, "Not found"),
    ] {
        assert_eq!(
            web.json(method, path, ""),
            (status, json!({ "error": words })),
            "{method} {path}"
        );
    }
    assert_eq!(
        web.json("POST", "/api/v1/bins", "private=true").1["private"],
        true
    );
    assert_eq!(web.json("POST", "/api/v1/bins", "").1["private"], false);
    let other = web.json("POST", "/api/v1/bins", "").1["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        web.json("GET", &format!("/api/v1/bins/{other}/requests/1"), "")
            .0,
        404,
        "it is in another bin"
    );
}

#[test]
fn requestbin_lists_are_limited_in_bytes() {
    let web = TestWeb::new();
    let big = vec![b'x'; 3 * 1024 * 1024];
    web.catch(&[
        ("POST /1 HTTP/1.1", &big),
        ("POST /2 HTTP/1.1", &big),
        ("POST /3 HTTP/1.1", &big),
    ]);
    let requests = web.json("GET", "/api/v1/bins/inbox/requests", "").1;
    let paths: Vec<&str> = requests
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/3", "/2"]);
}

#[test]
fn requestbin_list_limit_counts_json_bytes() {
    let web = TestWeb::new();
    let hostile = vec![1; 1024 * 1024];
    let requests: Vec<(&str, &[u8])> = vec![("POST / HTTP/1.1", &hostile); 4];
    web.catch(&requests);
    let (_, answer) = web.reply("GET", "/api/v1/bins/inbox/requests", "");
    let listed: Value = serde_json::from_str(&answer).unwrap();
    assert!(
        answer.len() < 9 * 1024 * 1024 && listed.as_array().unwrap().len() == 1,
        "{}",
        answer.len()
    );
}

#[test]
fn large_bodies_are_shortened_but_downloadable() {
    let web = TestWeb::new();
    let large = format!("<a>{}</a>", "<é/>".repeat(300_000)).into_bytes();
    let bytes = [&[0xff][..], &large].concat();
    let deep = [
        b"<a>".repeat(900),
        b"<b/>".repeat(60_000),
        b"</a>".repeat(900),
    ]
    .concat();
    web.catch(&[
        ("POST /1 HTTP/1.1", &large),
        ("POST /2 HTTP/1.1", &bytes),
        ("POST /3 HTTP/1.1", &deep),
    ]);
    let one = |id: i64| {
        let (_, answer) = web.reply("GET", &format!("/_hookfire/api/captures/{id}"), "");
        assert!(answer.len() < 2 * 1024 * 1024, "#{id}: {}", answer.len());
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let (text, binary, deep) = (one(1), one(2), one(3));
    assert_eq!(
        (&text["whole"], &text["pretty_whole"], &text["language"]),
        (&json!(false), &json!(false), &json!("xml"))
    );
    assert!(
        text["pretty"]
            .as_str()
            .unwrap()
            .starts_with("<a>\n  <é/>\n")
    );
    let shown = text["capture"]["body"].as_str().unwrap();
    assert!(
        large.starts_with(shown.as_bytes()) && (250_000..=262_144).contains(&shown.len()),
        "{}",
        shown.len()
    );
    assert!(text["raw"].as_str().unwrap().ends_with(shown));
    assert_eq!(text["capture"]["body_size"], large.len());
    assert_eq!(
        (&binary["whole"], &binary["capture"]["body_encoding"]),
        (&json!(false), &json!("base64"))
    );
    assert_eq!(
        (&deep["whole"], &deep["pretty_whole"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        web.reply("GET", "/_hookfire/api/captures/1/body", "")
            .1
            .as_bytes(),
        large
    );
}

#[test]
fn captures_are_paged_and_filtered() {
    let web = TestWeb::new();
    assert_eq!(
        web.page("bins"),
        json!({ "bins": [{ "name": "inbox", "request_count": 0, "default": true, "response": null }], "newest": 0 })
    );
    let heads: Vec<String> = (1..=5)
        .map(|n| format!("POST /p{n}?token=findme HTTP/1.1\nContent-Type: text/x{n}"))
        .collect();
    let requests: Vec<(&str, &[u8])> = heads
        .iter()
        .map(|head| (head.as_str(), &b"hi"[..]))
        .collect();
    web.catch(&requests);
    web.catch(&[("PUT /event HTTP/1.1", EVENT)]);
    let first = web.page("captures?limit=4");
    assert_eq!(
        (ids(&first["captures"]), &first["more"]),
        (vec![6, 5, 4, 3], &json!(3))
    );
    let rest = web.page("captures?limit=4&before=3");
    assert_eq!(
        (ids(&rest["captures"]), &rest["more"]),
        (vec![2, 1], &Value::Null)
    );
    assert!(first["captures"][0].get("body").is_none());

    let filtered = |q: &str| ids(&web.page(&format!("captures?q={q}"))["captures"]);
    assert_eq!(filtered("put"), [6]);
    assert_eq!(filtered("APPLICATION.created"), [6]);
    assert_eq!(filtered("post+p3"), [3]);
    assert_eq!(filtered("text/x2"), [2]);
    assert_eq!(filtered("%234"), [4]);
    assert_eq!(filtered("200"), [6, 5, 4, 3, 2, 1]);
    assert!(
        filtered("findme").is_empty(),
        "a masked value cannot be guessed by filtering"
    );
    assert!(
        web.page("captures?bin=other")["captures"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(ids(&web.page("captures?limit=1&q=post")["captures"]), [5]);
}

#[test]
fn search_reads_headers_and_decoded_bodies() {
    let web = TestWeb::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"squeezed Needle").unwrap();
    let gzip = gzip.finish().unwrap();
    web.catch(&[
        (
            "POST /1 HTTP/1.1\nX-Team: Blue\nAuthorization: canary",
            b"a needle here",
        ),
        ("POST /2 HTTP/1.1\nContent-Encoding: gzip", &gzip),
        (
            "POST /3 HTTP/1.1\nContent-Encoding: gzip",
            b"a needle that is not gzip",
        ),
        ("POST /4 HTTP/1.1", b"\xff\xfe bytes and a NEEDLE"),
    ]);
    let found = |q: &str| ids(&web.page(&format!("captures?q={q}"))["captures"]);
    assert_eq!(found("needle"), [4, 3, 2, 1]);
    assert_eq!(found("needle+squeezed"), [2]);
    assert_eq!(found("x-team:+blue+needle"), [1], "a word each");
    assert!(found("canary").is_empty(), "a masked header");
    let (one, three) = (web.page("captures/2"), web.page("captures/3"));
    assert_eq!(
        (&one["capture"]["body"], &one["decoded_size"]),
        (&json!("squeezed Needle"), &json!(15))
    );
    assert_eq!(three["not_decoded"], "invalid gzip header");
    assert_eq!(
        web.reply("GET", "/_hookfire/api/captures/2/body?decoded=1", ""),
        (200, "squeezed Needle".to_owned())
    );
}

#[test]
fn bins_are_created_with_a_valid_response_only() {
    let web = TestWeb::new();
    let save = |name: &str, response: Value| {
        let body = json!({ "response": response }).to_string();
        web.reply("PUT", &format!("/_hookfire/api/bins/{name}"), &body)
    };
    let valid = json!({ "status": 503, "headers": [["X-A", "b"]], "body": "x", "delay_ms": 9 });
    assert_eq!(save("orders", valid.clone()).0, 200);
    let bins = web.page("bins");
    let of = |name: &str| {
        let mut bins = bins["bins"].as_array().unwrap().iter();
        bins.find(|bin| bin["name"] == name)
            .map(|bin| &bin["response"])
    };
    assert_eq!(
        (of("orders"), of("inbox")),
        (Some(&valid), Some(&Value::Null))
    );
    let long = "x".repeat(300 * 1024);
    for (name, response, words) in [
        ("a%20b", Value::Null, "letters, digits"),
        (
            "b",
            json!({ "status": 99, "headers": [], "body": "", "delay_ms": 0 }),
            "200 to 599",
        ),
        (
            "b",
            json!({ "status": 200, "headers": [["a\n", ""]], "body": "", "delay_ms": 0 }),
            "not a valid",
        ),
        (
            "b",
            json!({ "status": 200, "headers": [["Connection", "x"]], "body": "", "delay_ms": 0 }),
            "cannot be set",
        ),
        (
            "b",
            json!({ "status": 200, "headers": [], "body": long, "delay_ms": 0 }),
            "256 KiB",
        ),
        (
            "b",
            json!({ "status": 200, "headers": [], "body": "", "delay_ms": 600_001 }),
            "10 minutes",
        ),
    ] {
        let (status, message) = save(name, response);
        assert!(
            status == 400 && message.contains(words),
            "{status} {message}"
        );
    }
    assert_eq!(save("orders", Value::Null).0, 200);
    assert_eq!(web.page("bins")["bins"][1]["response"], Value::Null);
}

#[test]
fn a_limited_number_of_bins_can_be_created() {
    let web = TestWeb::new();
    let journal = open(&web.folder);
    let save = |name: &str| {
        web.reply("PUT", &format!("/_hookfire/api/bins/{name}"), "{}")
            .0
    };
    for n in 1..1_000 {
        journal
            .create_bin(&n.to_string(), false, web.now())
            .unwrap();
    }
    assert_eq!([save("new"), save("newer")], [200, 400]);
    assert_eq!(save("new"), 200, "it exists");
}

#[test]
fn search_stops_after_a_part_of_the_journal() {
    let web = TestWeb::new();
    let large = vec![b'x'; 20 * 1024 * 1024];
    let requests: Vec<(&str, &[u8])> = vec![("POST / HTTP/1.1", &large); 3];
    web.catch(&requests);
    let first = web.page("captures?q=needle");
    assert_eq!(
        (ids(&first["captures"]), &first["more"]),
        (vec![], &json!(2))
    );
    let rest = web.page("captures?q=needle&before=2");
    assert_eq!(
        (ids(&rest["captures"]), &rest["more"]),
        (vec![], &Value::Null)
    );
}

#[test]
fn event_in_a_form_is_pretty_printed() {
    let web = TestWeb::new();
    let form = crate::event::BodyFormat::Form.body(EVENT);
    web.catch(&[(
        "POST / HTTP/1.1\nContent-Type: application/x-www-form-urlencoded",
        &form,
    )]);
    let one = web.page("captures/1");
    assert_eq!(
        (&one["language"], &one["capture"]["type"]),
        (&json!("xml"), &json!("application"))
    );
    assert!(
        one["pretty"]
            .as_str()
            .unwrap()
            .contains("\n  <type>application</type>\n"),
        "{one}"
    );
    assert!(
        one["raw"]
            .as_str()
            .unwrap()
            .ends_with(std::str::from_utf8(&form).unwrap()),
        "raw is what came"
    );
}

#[test]
fn captures_hide_secrets_until_revealed() {
    let web = TestWeb::new();
    web.catch(&[(
        "POST /h?token=canary&a=1 HTTP/1.1\nAuthorization: Bearer canary\nX: 1",
        EVENT,
    )]);
    let hidden = web.reply("GET", "/_hookfire/api/captures/1", "").1;
    assert!(!hidden.contains("canary"), "{hidden}");
    let hidden: Value = serde_json::from_str(&hidden).unwrap();
    assert_eq!(hidden["hidden"], true);
    assert_eq!(hidden["language"], "xml");
    assert!(
        hidden["pretty"]
            .as_str()
            .unwrap()
            .contains("\n  <type>application</type>\n")
    );
    assert!(
        hidden["raw"]
            .as_str()
            .unwrap()
            .starts_with("POST /h?token=***&a=1 HTTP/1.1\nAuthorization: ***\nX: 1\n\n<event>")
    );
    assert!(
        !web.reply("GET", "/_hookfire/api/captures/1/curl", "")
            .1
            .contains("canary")
    );

    let open = web.page("captures/1?reveal=1");
    assert_eq!(
        (&open["hidden"], &open["capture"]["query"][0]),
        (&json!(false), &json!(["token", "canary"]))
    );
    assert!(
        open["raw"]
            .as_str()
            .unwrap()
            .contains("\r\nAuthorization: Bearer canary\r\n")
    );
    assert!(
        web.reply("GET", "/_hookfire/api/captures/1/curl?reveal=1", "")
            .1
            .contains("Bearer canary")
    );
}

#[test]
fn each_listener_has_its_own_instance_id() {
    let web = TestWeb::new();
    let said = web.reply("GET", "/_hookfire/api/instance", "");
    assert_eq!(
        (said.0, &said),
        (200, &web.reply("GET", "/_hookfire/api/instance", ""))
    );
    std::thread::sleep(Duration::from_millis(2));
    assert_ne!(
        said,
        TestWeb::new().reply("GET", "/_hookfire/api/instance", "")
    );
}

#[test]
fn captures_are_deleted_singly_and_by_bin() {
    let web = TestWeb::new();
    web.catch(&[
        ("POST /1 HTTP/1.1", b""),
        ("POST /2 HTTP/1.1", b""),
        ("POST /3 HTTP/1.1", b""),
    ]);
    let before = web.reply("GET", "/_hookfire/api/version", "").1;
    assert_eq!(
        web.json("DELETE", "/_hookfire/api/captures/2", ""),
        (200, json!({ "deleted": 1 }))
    );
    assert_ne!(web.reply("GET", "/_hookfire/api/version", "").1, before);
    assert_eq!(web.json("GET", "/_hookfire/api/captures/2", "").0, 404);
    let newest = web.page("bins")["newest"].as_i64().unwrap();
    web.catch(&[("POST /while-the-dialog-is-open HTTP/1.1", b"")]);
    assert_eq!(
        web.reply("DELETE", "/_hookfire/api/bins/inbox/captures", "")
            .0,
        400,
        "no upper bound was given"
    );
    let clear = format!("/_hookfire/api/bins/inbox/captures?until={newest}");
    assert_eq!(
        web.json("DELETE", &clear, ""),
        (200, json!({ "deleted": 2 }))
    );
    assert_eq!(ids(&web.page("captures")["captures"]), [4]);
}

#[test]
fn failed_deliveries_are_listed_charted_and_deleted() {
    let web = TestWeb::new();
    let made: Vec<i64> = (0..3).map(|_| web.fail_a_delivery()).collect();
    let first = web.page("deliveries?list=failed&limit=2");
    assert_eq!(
        (ids(&first["deliveries"]), &first["failed"]),
        (vec![made[2], made[1]], &json!(3))
    );
    let more = first["more"].as_str().unwrap();
    let rest = web.page(&format!("deliveries?list=failed&limit=2&before={more}"));
    assert_eq!(
        (ids(&rest["deliveries"]), &rest["more"]),
        (vec![made[0]], &Value::Null)
    );
    assert_eq!(ids(&web.page("deliveries?list=all")["deliveries"]).len(), 3);

    let one = web.page(&format!("deliveries/{}", made[0]));
    assert_eq!(
        one["delivery"]["attempts"][0]["error"]["message"],
        "503 Service Unavailable"
    );
    assert_eq!(one["delivery"]["url"], "http://127.0.0.1:1/hook?token=***");
    assert!(one["pretty"].as_str().unwrap().contains("\n  <type>"));

    let bars = web.page("outcomes?hours=1");
    let failed: i64 = bars["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bar| bar["failed"].as_i64().unwrap())
        .sum();
    assert_eq!((failed, &bars["cut"]), (3, &json!(false)));

    let delete = |attempts: u32| {
        let body = json!({ "seen": [{ "id": made[0], "attempts": attempts }] }).to_string();
        web.json("POST", "/_hookfire/api/deliveries/delete", &body)
            .1["deleted"]
            .clone()
    };
    assert_eq!(delete(0), 0, "it was tried again since the page saw it");
    assert_eq!(delete(1), 1);
    assert_eq!(web.page("deliveries?list=failed")["failed"], 2);
    let nothing = web.json(
        "POST",
        "/_hookfire/api/deliveries/retry",
        &format!("{{\"ids\":[{}]}}", made[0]),
    );
    assert_eq!(
        nothing,
        (200, json!({ "results": [], "error": null })),
        "it is gone, and nothing is sent"
    );
}

#[test]
fn failed_calls_say_why() {
    let web = TestWeb::new();
    for (method, url, body, status, words) in [
        ("GET", "captures/9", "", 404, "there is no capture #9"),
        ("GET", "captures/x", "", 400, "Cannot parse `x` to a `i64`"),
        ("GET", "deliveries/9", "", 404, "there is no delivery #9"),
        (
            "GET",
            "deliveries?before=9",
            "",
            400,
            "invalid position `9`",
        ),
        ("POST", "deliveries/retry", "{}", 422, "missing field `ids`"),
        ("GET", "outcomes?hours=0", "", 400, "1 to"),
        ("POST", "captures/9", "", 405, ""),
        ("GET", "elsewhere", "", 404, "there is no API call GET"),
    ] {
        let (given, message) = web.reply(method, &format!("/_hookfire/api/{url}"), body);
        assert!(
            given == status && message.contains(words),
            "{method} {url}: {given} {message}"
        );
    }
}

#[test]
fn lists_are_limited_in_bytes() {
    let web = TestWeb::new();
    let head = format!("POST / HTTP/1.1\nX-Long: {}", "x".repeat(400_000));
    web.catch(&[(&head, b""), (&head, b""), (&head, b"")]);
    let first = web.page("captures");
    assert_eq!(
        (ids(&first["captures"]), &first["more"]),
        (vec![3, 2], &json!(2))
    );
    let rest = web.page("captures?before=2");
    assert_eq!(
        (ids(&rest["captures"]), &rest["more"]),
        (vec![1], &Value::Null)
    );
}

#[test]
fn page_has_a_new_nonce_each_time_and_strict_headers() {
    let web = TestWeb::new();
    let mut nonces = Vec::new();
    for path in [
        "/_hookfire/",
        "/_hookfire",
        "/%5Fhookfire/",
        "/bin?inspect",
        "/bin/more?a=1&inspect",
    ] {
        let page = web.get(path);
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").unwrap();
        let (_, rest) = policy.split_once("script-src 'nonce-").unwrap();
        let nonce = rest.split_once('\'').unwrap().0;
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
                 img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
        );
        assert_eq!(page.body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
        assert!(!page.body.contains("{{"));
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(page.header(name), Some(value));
        }
        assert_eq!(page.header("set-cookie"), None);
        nonces.push(nonce.to_owned());
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 5);
}

#[test]
fn only_the_page_changes_data_and_only_under_a_local_name() {
    let web = TestWeb::new();
    web.catch(&[("POST / HTTP/1.1", b"")]);
    let token = web.page_token();
    let delete = |headers: &[(&str, &str)]| {
        let mut request = request("DELETE", "/_hookfire/api/captures/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        web.send(request, "")
    };
    let refused = delete(&[]);
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (403, "only the web UI may change data\n")
    );
    assert_eq!(delete(&[("x-hookfire-token", "wrong")]).status, 403);
    let evil = [
        ("x-hookfire-token", token.as_str()),
        ("origin", "http://evil.example"),
    ];
    assert_eq!(delete(&evil).status, 403);
    let rebound = Request::builder()
        .uri("/_hookfire/")
        .header("host", "evil.example");
    let rebound = web.send(rebound, "");
    assert_eq!(rebound.status, 403);
    assert!(!rebound.body.contains(&token) && rebound.body.contains("localhost"));
    let cross_site = request("POST", "/api/v1/bins").header("sec-fetch-site", "cross-site");
    assert_eq!(web.send(cross_site, "").status, 403);
    assert_eq!(
        web.page("captures")["captures"].as_array().unwrap().len(),
        1
    );
    assert_eq!(delete(&[("x-hookfire-token", &token)]).status, 200);
    assert_eq!(web.page("captures")["captures"], json!([]));
}

#[test]
fn exposed_page_sets_a_cookie_for_its_token() {
    let web = TestWeb::with(|options| {
        let access = Access::Tokens {
            token: Secret::new("T0ken"),
            read_tokens: Vec::new(),
        };
        options.auth = Auth::new(access, None);
    });
    let get = |url: &str, name: &'static str, value: &str| {
        let request = Request::builder().uri(url).header("host", "any.example");
        web.send(request.header(name, value), "")
    };
    let refused = get("/_hookfire/", "accept", "*/*");
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Bearer"))
    );
    let page = get("/_hookfire/?token=T0ken", "accept", "*/*");
    assert_eq!(
        page.header("set-cookie"),
        Some("hookfire_8080=T0ken; Path=/_hookfire; HttpOnly; SameSite=Strict")
    );
    let captures = get("/_hookfire/api/captures", "cookie", "hookfire_8080=T0ken");
    assert_eq!(captures.status, 200);
    for url in ["/_hookfire/events", "/bin?inspect", "/api/v1/bins/inbox"] {
        assert_eq!(get(url, "accept", "*/*").status, 401, "{url}");
    }
    let bin = get("/api/v1/bins/none", "authorization", "bearer T0ken");
    assert_eq!(bin.status, 404);
}

#[test]
fn allowed_origin_may_use_requestbins_api_only() {
    let web = TestWeb::with(|options| {
        let origin = "http://app.example".to_owned();
        options.auth = Auth::new(Access::Loopback, Some(origin));
    });
    let from =
        |method: &str, url: &str| request(method, url).header("origin", "http://app.example");
    let response = web.send(from("GET", "/api/v1/bins/none"), "");
    assert_eq!(
        (
            response.status,
            response.header("access-control-allow-origin")
        ),
        (404, Some("http://app.example"))
    );
    assert_eq!(response.header("cross-origin-resource-policy"), None);
    let preflight = from("OPTIONS", "/api/v1/bins").header("access-control-request-method", "POST");
    let preflight = web.send(preflight, "");
    assert_eq!(
        (
            preflight.status,
            preflight.header("access-control-allow-origin"),
            preflight.header("access-control-allow-headers")
        ),
        (
            204,
            Some("http://app.example"),
            Some("Authorization, Content-Type")
        )
    );
    let captures = web.get("/_hookfire/api/captures");
    assert_eq!(
        (
            captures.status,
            captures.header("access-control-allow-origin")
        ),
        (200, None)
    );
    assert_eq!(
        web.send(from("GET", "/_hookfire/api/captures"), "").status,
        403
    );
}

#[test]
fn event_stream_reports_captures_and_other_changes() {
    let web = TestWeb::new();
    let bound = Bound {
        addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
        tls: false,
    };
    let stream = || async {
        let request = request("GET", "/_hookfire/events").extension(bound);
        let router = web.web.router.clone();
        let Ok(response) = router.oneshot(request.body(Body::empty()).unwrap()).await;
        response
    };
    web.runtime.block_on(async {
        let response = stream().await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = response.into_body().into_data_stream();
        let mut next =
            async || String::from_utf8(events.next().await.unwrap().unwrap().to_vec()).unwrap();
        let hello = next().await;
        assert!(hello.contains("event: hello\n") && hello.contains("retry: 1000\n"));
        web.notifier.captured(7, "inbox");
        let capture = next().await;
        assert!(capture.contains("event: capture\n"), "{capture}");
        assert!(capture.contains("data: {\"id\":7,\"bin\":\"inbox\"}\n"));
        web.notifier.changed();
        assert_eq!(next().await, "event: changed\ndata: {}\n\n");
        for id in 0..1000 {
            web.notifier.captured(id, "inbox");
        }
        assert!(
            next()
                .await
                .starts_with("event: lagged\ndata: {\"missed\":")
        );
        let mut open = Vec::new();
        for _ in 1..events::MAX_STREAMS {
            open.push(stream().await);
        }
        assert_eq!(stream().await.status(), 503);
        open.pop();
        assert_eq!(stream().await.status(), 200);
    });
}

/// Sends a request to the portal emulator; the token is added to the query.
fn emulated(
    web: &TestWeb,
    method: &str,
    call: &str,
    content_type: &str,
    body: &str,
) -> TestResponse {
    let url = format!("/admin/api/{call}?access_token=T");
    let request = request(method, &url).header("content-type", content_type);
    web.send(request, body)
}

fn emulator() -> TestWeb {
    TestWeb::with(|options| {
        options.emulate_portal = true;
        options.portal_token = Some(Secret::new("T"));
    })
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[test]
fn emulated_delete_reads_time_from_the_body_too() {
    for (content_type, body) in [
        (FORM, "time=2020-01-01+10%3A00%3A00+UTC"),
        (JSON, r#"{"time":"2020-01-01"}"#),
        (JSON, r#"{"web_hook":{"time":"20200101T100000Z"}}"#),
        (FORM, "web_hook[time]=Wed, 01 Jan 2020 10:00:00 GMT"),
        (FORM, "time=01 Jan 2020 10:00:00"),
        (FORM, "time=2020/01/01 10:00:00"),
        (FORM, "time=2020-01-01 11:00:00 %2B0100"),
    ] {
        let web = emulator();
        web.fail_a_delivery();
        let deleted = emulated(&web, "DELETE", "webhooks/failures.xml", content_type, body);
        assert_eq!((deleted.status, deleted.body.as_str()), (200, ""), "{body}");
        assert_eq!(web.page("deliveries")["failed"], 1, "{body}");
    }
}

#[test]
fn emulated_delete_leaves_a_new_journal_alone() {
    let web = emulator();
    web.fail_a_delivery();
    for suffix in ["", "-wal", "-shm"] {
        let file = web.folder.path().join(format!("journal.db{suffix}"));
        std::fs::remove_file(file).unwrap();
    }
    let new = web.fail_a_delivery();
    let refused = emulated(&web, "DELETE", "webhooks/failures.xml", FORM, "");
    assert_eq!(refused.status, 503);
    assert!(open(&web.folder).delivery(new).unwrap().is_some());
}

#[test]
fn emulated_delete_refuses_unreadable_times() {
    let web = emulator();
    web.fail_a_delivery();
    for time in ["", "soon", "now", "yesterday", "323123122"] {
        let body = format!("time={time}");
        let refused = emulated(&web, "DELETE", "webhooks/failures.xml", FORM, &body);
        assert_eq!(refused.status, 400, "{time}");
        assert!(refused.body.contains("<error>invalid time</error>"));
    }
    let broken = emulated(&web, "DELETE", "webhooks/failures.json", JSON, "{\"time\":");
    assert_eq!(broken.status, 400);
    assert_eq!(web.page("deliveries")["failed"], 1);
    emulated(&web, "DELETE", "webhooks/failures.json", FORM, "");
    assert_eq!(web.page("deliveries")["failed"], 0);
}

#[test]
fn emulator_takes_the_token_in_every_form() {
    let web = emulator();
    let with = |url: &str, authorization: &str| {
        let request = request("GET", url).header("authorization", authorization);
        web.send(request, "").status
    };
    let call = "/admin/api/webhooks/failures.xml";
    assert_eq!(with(call, "Basic VDo="), 200, "as user");
    assert_eq!(with(call, "Basic Olg6VA=="), 403);
    assert_eq!(with(call, "Basic OlQ="), 200, "as password");
    assert_eq!(with(&format!("{call}?provider_key=T"), ""), 200);
    assert_eq!(with(&format!("{call}?access_token=X"), ""), 403);
    let refused = web.get(call);
    assert_eq!(
        refused.header("content-type"),
        Some("application/xml; charset=utf-8")
    );
    assert!(refused.body.contains("<error>Access denied</error>"));
}

#[test]
fn emulated_settings_follow_the_portals_rules() {
    let web = emulator();
    let update = |method: &str, content_type: &str, body: &str| {
        let response = emulated(&web, method, "webhooks.json", content_type, body);
        let json = serde_json::from_str::<Value>(&response.body).unwrap_or_default();
        (response.status, json["webhook"].clone())
    };
    assert_eq!(update("PUT", FORM, "url=not+a+url").0, 200, "inactive");
    assert_eq!(update("PUT", FORM, "active=1").0, 422);
    assert_eq!(
        update("PATCH", FORM, "web_hook[url]=http://h&active=1").0,
        200
    );
    let settings = update(
        "PUT",
        JSON,
        r#"{"user_created_on":1,"user_deleted_on":"true"}"#,
    )
    .1;
    assert_eq!(
        [
            &settings["active"],
            &settings["user_created_on"],
            &settings["user_deleted_on"],
            &settings["provider_actions"]
        ],
        [&json!(true), &json!(true), &json!(true), &json!(false)]
    );
    assert_eq!(settings.as_object().unwrap().len(), 19);
    assert_eq!(update("PUT", JSON, r#"{"active":"0","url":""}"#).0, 200);
    assert_eq!(update("PUT", JSON, "{").0, 400);
    let long = format!("http://h/{}", "x".repeat(247));
    for (url, status) in [
        ("http://user:word@h/", 200),
        ("https://h/#part", 200),
        ("http:://banana", 200),
        ("foo http://h", 200),
        (&long[..255], 200),
        (&long, 422),
        ("ftp://h/", 422),
        ("http:// h", 422),
        ("words", 422),
    ] {
        let body = json!({ "active": 1, "url": url }).to_string();
        assert_eq!(update("PUT", JSON, &body).0, status, "{url}");
    }
    for call in ["webhooks.xml", "webhooks"] {
        let refused = emulated(&web, "PUT", call, FORM, "active=1");
        assert_eq!(refused.status, 406, "{call}");
    }
}
