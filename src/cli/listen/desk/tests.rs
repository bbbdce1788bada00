//! The desk's answers, call by call, from a journal with something in it.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::capture::{Body, Capture, CapturedResponse, INBOX};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Target;
use crate::delivery::{AttemptError, ErrorKind, Outcome};
use crate::env::HostProcesses;
use crate::event::BodyFormat;
use crate::journal::CaptureKeeper;
use crate::journal::store::{Keeper as _, NewAttempt, NewDelivery, Next};

const EVENT: &[u8] =
    b"<event><type>application</type><action>created</action><object><application><id>7</id>\
    </application></object></event>";

struct Office {
    folder: TempDir,
    desk: ListenDesk,
}

impl Office {
    fn new() -> Office {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            journal: open(&folder),
            config: None,
            default_bin: INBOX.to_owned(),
            mask: Mask {
                names: ["token".to_owned()].into(),
                ..Mask::default()
            },
            portal_token: None,
        };
        Office {
            desk: ListenDesk::new(options).unwrap(),
            folder,
        }
    }

    /// Keeps requests as the catcher does, answered 200.
    fn catch(&self, requests: &[(&str, &[u8])]) {
        let keeper = CaptureKeeper::start(open(&self.folder), INBOX, 10_000).unwrap();
        for (head, body) in requests {
            let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n")).into_bytes();
            let mut capture = Capture::new(
                self.desk.now(),
                SocketAddr::from(([127, 0, 0, 1], 53122)),
                head,
            );
            capture.malformed = false;
            capture.answer = CapturedResponse {
                status: Some(200),
                duration_ms: 1,
                note: None,
            };
            let (done, kept) = mpsc::channel();
            let body = Body {
                bytes: body.to_vec(),
                wire: None,
            };
            keeper.keep(
                vec![(capture, body)],
                Box::new(move |kept| done.send(kept).unwrap()),
            );
            kept.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
        }
    }

    fn fail_a_delivery(&self) -> i64 {
        let journal = open(&self.folder);
        let target = Target::from_url("http://127.0.0.1:1/hook?token=canary").unwrap();
        let new = NewDelivery {
            event_type: "application",
            action: "created",
            event: EVENT,
            endpoint: None,
            target: &target,
            wire: BodyFormat::Xml,
            rule: &RetryPolicy::default(),
        };
        let now = self.desk.now();
        let attempt = NewAttempt {
            started_at: now,
            insecure: false,
            sent_to: None,
            lease_until: now,
        };
        let id = journal.accept(&new, &attempt).unwrap().id;
        let error = Some(AttemptError {
            kind: ErrorKind::Status,
            message: "503 Service Unavailable".to_owned(),
        });
        let outcome = Outcome {
            http_status: Some(503),
            error,
            maybe_received: false,
            response_body: None,
            note: None,
        };
        journal
            .finish_attempt(id, 1, Duration::from_millis(12), &outcome, Next::Failed)
            .unwrap();
        id
    }

    fn reply(&self, method: &str, url: &str, body: &str) -> (u16, String) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let reply = self.desk.answer(&Call {
            method: method.to_owned(),
            path: path
                .trim_start_matches('/')
                .split('/')
                .map(str::to_owned)
                .collect(),
            query: crate::secret::safe_url::decoded_pairs(query),
            content_type: String::new(),
            body: body.as_bytes().to_vec(),
        });
        (reply.status, String::from_utf8(reply.body).unwrap())
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

fn open(folder: &TempDir) -> Box<dyn Journal> {
    crate::journal::open(&folder.path().join("journal.db"), Box::new(HostProcesses)).unwrap()
}

fn ids(list: &Value) -> Vec<i64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect()
}

#[test]
fn a_client_of_requestbin_finds_what_it_posted() {
    let office = Office::new();
    let (status, bin) = office.json("POST", "/api/v1/bins", r#"{"private": true}"#);
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
        office.json("GET", &format!("/api/v1/bins/{name}/requests"), ""),
        (200, json!([]))
    );

    let to = |path: String| format!("POST {path}?token=s3cret HTTP/1.1\nHost: h");
    office.catch(&[
        (&to(format!("/{name}")), EVENT),
        (&to(format!("/{name}/deeper")), b"x"),
        (&to("/".into()), b"y"),
    ]);
    let (_, requests) = office.json("GET", &format!("/api/v1/bins/{name}/requests"), "");
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
    assert_eq!(office.json("GET", &one, ""), (200, requests[1].clone()));
    assert_eq!(
        office.json("GET", &format!("/api/v1/bins/{name}"), "").1["request_count"],
        2
    );
    let color = office.json("GET", &format!("/api/v1/bins/{name}"), "").1["color"].clone();
    assert_eq!(color, bin["color"]);
}

#[test]
fn requestbins_refusals_have_its_shapes() {
    let office = Office::new();
    office.catch(&[("POST / HTTP/1.1", b"")]);
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
        ("GET", "/api/v1/elsewhere", 404, "Not found"),
    ] {
        assert_eq!(
            office.json(method, path, ""),
            (status, json!({ "error": words })),
            "{method} {path}"
        );
    }
    assert_eq!(
        office.json("POST", "/api/v1/bins", "private=true").1["private"],
        true
    );
    assert_eq!(office.json("POST", "/api/v1/bins", "").1["private"], false);
    let other = office.json("POST", "/api/v1/bins", "").1["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        office
            .json("GET", &format!("/api/v1/bins/{other}/requests/1"), "")
            .0,
        404,
        "it is in another bin"
    );
}

#[test]
fn one_answer_has_only_so_many_bytes_of_requests() {
    let office = Office::new();
    let big = vec![b'x'; 3 * 1024 * 1024];
    office.catch(&[
        ("POST /1 HTTP/1.1", &big),
        ("POST /2 HTTP/1.1", &big),
        ("POST /3 HTTP/1.1", &big),
    ]);
    let requests = office.json("GET", "/api/v1/bins/inbox/requests", "").1;
    let paths: Vec<&str> = requests
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/3", "/2"]);
}

#[test]
fn an_answer_is_no_larger_for_what_its_bytes_become_in_json() {
    let office = Office::new();
    let hostile = vec![1; 1024 * 1024];
    let requests: Vec<(&str, &[u8])> = vec![("POST / HTTP/1.1", &hostile); 4];
    office.catch(&requests);
    let (_, answer) = office.reply("GET", "/api/v1/bins/inbox/requests", "");
    let listed: Value = serde_json::from_str(&answer).unwrap();
    assert!(
        answer.len() < 9 * 1024 * 1024 && listed.as_array().unwrap().len() == 1,
        "{}",
        answer.len()
    );
}

#[test]
fn of_a_large_body_the_beginning_is_shown_and_all_of_it_can_be_had() {
    let office = Office::new();
    let large = format!("<a>{}</a>", "<é/>".repeat(300_000)).into_bytes();
    let bytes = [&[0xff][..], &large].concat();
    let deep = [
        b"<a>".repeat(900),
        b"<b/>".repeat(60_000),
        b"</a>".repeat(900),
    ]
    .concat();
    office.catch(&[
        ("POST /1 HTTP/1.1", &large),
        ("POST /2 HTTP/1.1", &bytes),
        ("POST /3 HTTP/1.1", &deep),
    ]);
    let one = |id: i64| {
        let (_, answer) = office.reply("GET", &format!("/_hookfire/api/captures/{id}"), "");
        assert!(answer.len() < 2 * 1024 * 1024, "#{id}: {}", answer.len());
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let (text, binary, deep) = (one(1), one(2), one(3));
    assert_eq!(
        (&text["whole"], &text["pretty"], &text["language"]),
        (&json!(false), &Value::Null, &json!("text"))
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
        (&deep["whole"], &deep["pretty"]),
        (&json!(true), &Value::Null),
        "it would be large"
    );
    assert_eq!(
        office
            .reply("GET", "/_hookfire/api/captures/1/body", "")
            .1
            .as_bytes(),
        large
    );
}

#[test]
fn captures_are_listed_page_by_page_and_filtered() {
    let office = Office::new();
    assert_eq!(
        office.page("bins"),
        json!({ "bins": [{ "name": "inbox", "request_count": 0, "default": true }], "newest": 0 })
    );
    let heads: Vec<String> = (1..=5)
        .map(|n| format!("POST /p{n}?token=findme HTTP/1.1\nContent-Type: text/x{n}"))
        .collect();
    let requests: Vec<(&str, &[u8])> = heads
        .iter()
        .map(|head| (head.as_str(), &b"hi"[..]))
        .collect();
    office.catch(&requests);
    office.catch(&[("PUT /event HTTP/1.1", EVENT)]);
    let first = office.page("captures?limit=4");
    assert_eq!(
        (ids(&first["captures"]), &first["more"]),
        (vec![6, 5, 4, 3], &json!(true))
    );
    let rest = office.page("captures?limit=4&before=3");
    assert_eq!(
        (ids(&rest["captures"]), &rest["more"]),
        (vec![2, 1], &json!(false))
    );
    assert!(first["captures"][0].get("body").is_none());

    let filtered = |q: &str| ids(&office.page(&format!("captures?q={q}"))["captures"]);
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
        office.page("captures?bin=other")["captures"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        ids(&office.page("captures?limit=1&q=post")["captures"]),
        [5]
    );
}

#[test]
fn the_event_in_a_form_is_laid_out_and_named_as_a_plain_one_is() {
    let office = Office::new();
    let form = crate::event::BodyFormat::Form.body(EVENT);
    office.catch(&[(
        "POST / HTTP/1.1\nContent-Type: application/x-www-form-urlencoded",
        &form,
    )]);
    let one = office.page("captures/1");
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
fn a_capture_hides_its_secrets_until_asked() {
    let office = Office::new();
    office.catch(&[(
        "POST /h?token=canary&a=1 HTTP/1.1\nAuthorization: Bearer canary\nX: 1",
        EVENT,
    )]);
    let hidden = office.reply("GET", "/_hookfire/api/captures/1", "").1;
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
        !office
            .reply("GET", "/_hookfire/api/captures/1/curl", "")
            .1
            .contains("canary")
    );

    let open = office.page("captures/1?reveal=1");
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
        office
            .reply("GET", "/_hookfire/api/captures/1/curl?reveal=1", "")
            .1
            .contains("Bearer canary")
    );
}

#[test]
fn a_page_can_tell_a_listener_from_the_next_one() {
    let office = Office::new();
    let said = office.reply("GET", "/_hookfire/api/instance", "");
    assert_eq!(
        (said.0, &said),
        (200, &office.reply("GET", "/_hookfire/api/instance", ""))
    );
    std::thread::sleep(Duration::from_millis(2));
    assert_ne!(
        said,
        Office::new().reply("GET", "/_hookfire/api/instance", "")
    );
}

#[test]
fn captures_are_deleted_one_by_one_and_by_bin() {
    let office = Office::new();
    office.catch(&[
        ("POST /1 HTTP/1.1", b""),
        ("POST /2 HTTP/1.1", b""),
        ("POST /3 HTTP/1.1", b""),
    ]);
    let before = office.reply("GET", "/_hookfire/api/version", "").1;
    assert_eq!(
        office.json("DELETE", "/_hookfire/api/captures/2", ""),
        (200, json!({ "deleted": 1 }))
    );
    assert_ne!(office.reply("GET", "/_hookfire/api/version", "").1, before);
    assert_eq!(office.json("GET", "/_hookfire/api/captures/2", "").0, 404);
    let newest = office.page("bins")["newest"].as_i64().unwrap();
    office.catch(&[("POST /while-the-dialog-is-open HTTP/1.1", b"")]);
    assert_eq!(
        office
            .json("DELETE", "/_hookfire/api/bins/inbox/captures", "")
            .0,
        400,
        "nobody said how many"
    );
    let clear = format!("/_hookfire/api/bins/inbox/captures?until={newest}");
    assert_eq!(
        office.json("DELETE", &clear, ""),
        (200, json!({ "deleted": 2 }))
    );
    assert_eq!(ids(&office.page("captures")["captures"]), [4]);
}

#[test]
fn the_failed_list_is_read_counted_charted_and_deleted_as_it_was_seen() {
    let office = Office::new();
    let made: Vec<i64> = (0..3).map(|_| office.fail_a_delivery()).collect();
    let first = office.page("deliveries?list=failed&limit=2");
    assert_eq!(
        (ids(&first["deliveries"]), &first["failed"]),
        (vec![made[2], made[1]], &json!(3))
    );
    let more = first["more"].as_str().unwrap();
    let rest = office.page(&format!("deliveries?list=failed&limit=2&before={more}"));
    assert_eq!(
        (ids(&rest["deliveries"]), &rest["more"]),
        (vec![made[0]], &Value::Null)
    );
    assert_eq!(
        ids(&office.page("deliveries?list=all")["deliveries"]).len(),
        3
    );

    let one = office.page(&format!("deliveries/{}", made[0]));
    assert_eq!(
        one["delivery"]["attempts"][0]["error"]["message"],
        "503 Service Unavailable"
    );
    assert_eq!(one["delivery"]["url"], "http://127.0.0.1:1/hook?token=***");
    assert!(one["pretty"].as_str().unwrap().contains("\n  <type>"));

    let bars = office.page("outcomes?hours=1");
    let failed: i64 = bars["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bar| bar["failed"].as_i64().unwrap())
        .sum();
    assert_eq!((failed, &bars["cut"]), (3, &json!(false)));

    let delete = |attempts: u32| {
        let body = json!({ "seen": [{ "id": made[0], "attempts": attempts }] }).to_string();
        office
            .json("POST", "/_hookfire/api/deliveries/delete", &body)
            .1["deleted"]
            .clone()
    };
    assert_eq!(delete(0), 0, "it was tried again since the page saw it");
    assert_eq!(delete(1), 1);
    assert_eq!(office.page("deliveries?list=failed")["failed"], 2);
    let nothing = office.json(
        "POST",
        "/_hookfire/api/deliveries/retry",
        &format!("{{\"ids\":[{}]}}", made[0]),
    );
    assert_eq!(
        nothing,
        (200, json!({ "results": [], "error": null })),
        "it is gone, and nothing is run"
    );
}

#[test]
fn what_cannot_be_answered_is_said_in_words() {
    let office = Office::new();
    for (method, url, body, status, words) in [
        ("GET", "captures/9", "", 404, "there is no capture #9"),
        ("GET", "captures/x", "", 400, "`x` is no number"),
        ("GET", "deliveries/9", "", 404, "there is no delivery #9"),
        (
            "GET",
            "deliveries?before=9",
            "",
            400,
            "`9` is no place in a list",
        ),
        ("POST", "deliveries/retry", "{}", 400, "missing field `ids`"),
        ("GET", "outcomes?hours=0", "", 400, "1 to"),
        ("POST", "captures/9", "", 404, "nothing that answers"),
        ("GET", "elsewhere", "", 404, "nothing that answers"),
    ] {
        let (given, error) = office.json(method, &format!("/_hookfire/api/{url}"), body);
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            given == status && message.contains(words),
            "{method} {url}: {given} {message}"
        );
    }
}
