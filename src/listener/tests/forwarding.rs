//! Forwarding: the forwarded request, the returned response, and its record.

use std::sync::Mutex;
use std::sync::mpsc::SyncSender;

use super::*;
use crate::capture;
use crate::http::Memory;
use crate::journal::{CaptureStore, JournalError, StoreReply, StoredCapture};
use crate::listener::{Upstream, UpstreamResponse, WebUi};
use crate::secret::Secret;

/// The writes in their order.
#[derive(Debug, PartialEq)]
enum Told {
    Keep {
        target: String,
        status: Option<u16>,
    },
    Amend {
        id: i64,
        status: Option<u16>,
        note: Option<String>,
    },
}

struct Notebook {
    told: SyncSender<Told>,
    broken: Mutex<bool>,
}

impl CaptureStore for Notebook {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        if *self.broken.lock().unwrap() {
            return done(Err(Arc::new(JournalError::Unusable {
                path: "x".into(),
                problem: "is full".to_owned(),
            })));
        }
        self.told
            .send(Told::Keep {
                target: capture.head.target().to_owned(),
                status: capture.response.status,
            })
            .unwrap();
        done(Ok(Arc::new(StoredCapture::new(
            7, "inbox", None, capture, body,
        ))));
    }

    fn set_response(&self, id: i64, response: capture::CapturedResponse, done: StoreReply<()>) {
        self.told
            .send(Told::Amend {
                id,
                status: response.status,
                note: response.note,
            })
            .unwrap();
        done(Ok(()));
    }
}

/// Responds as the test decides.
struct RealReceiver {
    seen: SyncSender<(Capture, Body)>,
    responses: Mutex<Receiver<Result<UpstreamResponse, String>>>,
}

impl Upstream for RealReceiver {
    fn name(&self) -> &str {
        "http://up/?token=***"
    }

    fn send(
        &self,
        stored: &StoredCapture,
        room: &Arc<dyn Memory>,
    ) -> Result<UpstreamResponse, String> {
        let (capture, body) = (&stored.record.capture, &stored.body);
        self.seen.send((capture.clone(), body.clone())).unwrap();
        let response = self
            .responses
            .lock()
            .unwrap()
            .recv_timeout(TIMEOUT)
            .unwrap_or_else(|_| panic!("no response"))?;
        room.grow(response.body.len())?;
        Ok(response)
    }
}

struct Stage {
    listener: Listener,
    store: Arc<Notebook>,
    told: Receiver<Told>,
    seen: Receiver<(Capture, Body)>,
    responses: Option<mpsc::Sender<Result<UpstreamResponse, String>>>,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(|_| {})
    }

    fn with(choose: impl FnOnce(&mut Setup)) -> Stage {
        let (tell, told) = mpsc::sync_channel(99);
        let (see, seen) = mpsc::sync_channel(99);
        let (responses, given) = mpsc::channel();
        let store = Arc::new(Notebook {
            told: tell,
            broken: Mutex::new(false),
        });
        let mut setup = Setup::new(
            ANY_PORT,
            "200".parse().unwrap(),
            Arc::clone(&store) as Arc<dyn CaptureStore>,
        );
        setup.upstream = Some(Arc::new(RealReceiver {
            seen: see,
            responses: Mutex::new(given),
        }));
        setup.require_secret = vec![("t".to_owned(), Secret::new("1"))];
        choose(&mut setup);
        Stage {
            listener: Listener::bind(setup).unwrap(),
            store,
            told,
            seen,
            responses: Some(responses),
        }
    }

    fn response(&self, response: Result<UpstreamResponse, String>) {
        self.responses.as_ref().unwrap().send(response).unwrap();
    }

    fn told(&self) -> Told {
        self.told.recv_timeout(TIMEOUT).unwrap()
    }
}

fn relayed(status: u16, headers: &[(&str, &[u8])], body: &str) -> Result<UpstreamResponse, String> {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
        .collect();
    Ok(UpstreamResponse {
        note: None,
        status,
        headers,
        body: body.into(),
    })
}

fn amended(status: u16, note: &str) -> Told {
    Told::Amend {
        id: 7,
        status: Some(status),
        note: Some(note.to_owned()),
    }
}

#[test]
fn the_response_is_recorded_and_then_returned() {
    let stage = Stage::new();
    let mut client = Client::sending(
        &stage.listener,
        "PUT /a?t=1 HTTP/1.1\r\nX-Odd: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    );
    let (capture, body) = stage.seen.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(
        stage.told(),
        Told::Keep {
            target: "/a?t=1".to_owned(),
            status: None
        },
        "committed before it is sent on"
    );
    assert_eq!(
        (capture.method(), body.bytes.as_slice()),
        ("PUT", &b"ab"[..])
    );
    assert!(stage.told.try_recv().is_err());
    let headers: [(&str, &[u8]); 8] = [
        ("Content-Type", b"text/xml"),
        ("Set-Cookie", b"a=1"),
        ("Set-Cookie", b"b=caf\xe9"),
        ("Connection", b"close, X-Hop"),
        ("X-Hop", b"1"),
        ("Transfer-Encoding", b"chunked"),
        ("Content-Length", b"99"),
        ("Keep-Alive", b"timeout=5"),
    ];
    stage.response(relayed(418, &headers, "<tea/>"));
    let mut raw = vec![0; 17];
    std::io::Read::read_exact(&mut client.0, &mut raw).unwrap();
    assert_eq!(
        stage.told(),
        amended(418, "forwarded to http://up/?token=***")
    );
    client.half_close();
    let rest = client.until_closed().unwrap();
    let head_end = rest
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let (head, body) = rest.split_at(head_end);
    assert_eq!(body, b"<tea/>");
    let lines: Vec<&[u8]> = head.split(|&byte| byte == b'\n').collect();
    for expected in [
        &b"content-type: text/xml\r"[..],
        b"set-cookie: a=1\r",
        b"set-cookie: b=caf\xe9\r",
        b"content-length: 6\r",
    ] {
        assert!(
            lines.contains(&expected),
            "{}",
            String::from_utf8_lossy(head)
        );
    }
    for hop in ["x-hop", "chunked", "keep-alive", "99"] {
        assert!(!String::from_utf8_lossy(head).contains(hop), "{hop}");
    }
}

#[test]
fn a_head_response_keeps_its_content_length() {
    let stage = Stage::new();
    let mut client = Client::sending(
        &stage.listener,
        "HEAD /?t=1 HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    stage.response(relayed(
        200,
        &[
            ("Content-Length", b"1234"),
            ("content-length", b"1234"),
            ("X-A", b"1"),
        ],
        "",
    ));
    let response = String::from_utf8(client.until_closed().unwrap()).unwrap();
    assert!(
        response.contains("\r\ncontent-length: 1234\r\n") && response.ends_with("\r\n\r\n"),
        "{response}"
    );
    assert_eq!(response.matches("content-length").count(), 1, "{response}");
}

#[test]
fn forwarded_responses_are_sandboxed_beside_the_web_ui() {
    let stage = Stage::with(|setup| {
        setup.web = Some(WebUi {
            reserves: Box::new(|_| false),
            router: axum::Router::new(),
        });
    });
    let mut client = Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n");
    stage.response(relayed(
        200,
        // The second is that of another listener, to which this one forwards.
        &[
            (
                "Content-Security-Policy",
                b"sandbox allow-same-origin allow-scripts",
            ),
            (
                "Content-Security-Policy",
                b"sandbox allow-scripts allow-forms",
            ),
        ],
        "<html>",
    ));
    let policies: Vec<String> = client
        .response()
        .headers
        .into_iter()
        .filter(|line| line.contains("policy"))
        .collect();
    let expected = [
        "sandbox allow-same-origin allow-scripts",
        "sandbox allow-scripts allow-forms",
    ];
    assert_eq!(
        policies,
        expected.map(|policy| format!("content-security-policy: {policy}"))
    );
}

#[test]
fn a_failed_forward_is_502_and_recorded() {
    let stage = Stage::new();
    let mut client = Client::connect(&stage.listener);
    for (given, why) in [
        (Err("connection refused".to_owned()), "connection refused"),
        (
            relayed(101, &[], ""),
            "the response has the status 101, which cannot be returned",
        ),
    ] {
        client.send("GET /?t=1 HTTP/1.1\r\n\r\n");
        stage.response(given);
        let response = client.response();
        let words = format!("not forwarded to http://up/?token=***: {why}");
        assert_eq!(
            (response.status, response.body),
            (502, format!("{words}\n"))
        );
        assert!(matches!(stage.told(), Told::Keep { .. }));
        assert_eq!(stage.told(), amended(502, &words));
    }
}

#[test]
fn a_closed_client_loses_no_record() {
    let stage = Stage::new();
    let client = Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n");
    stage.seen.recv_timeout(TIMEOUT).unwrap();
    client.reset();
    stage.response(relayed(200, &[], "late"));
    assert!(matches!(stage.told(), Told::Keep { .. }));
    assert_eq!(
        stage.told(),
        amended(200, "forwarded to http://up/?token=***")
    );
    // Nor is the request kept a second time.
    assert!(stage.told.recv_timeout(Duration::from_millis(100)).is_err());
}

#[test]
fn an_abandoned_forward_frees_its_connection() {
    let stage = Stage::with(|setup| setup.limits.connections = 2);
    for _ in 0..2 {
        drop(Client::sending(
            &stage.listener,
            "GET /?t=1 HTTP/1.1\r\n\r\n",
        ));
        stage.seen.recv_timeout(TIMEOUT).unwrap();
        assert!(matches!(stage.told(), Told::Keep { .. }));
    }
    assert_eq!(
        Client::sending(&stage.listener, "GET /?t=2 HTTP/1.1\r\n\r\n")
            .response()
            .status,
        403
    );
    assert!(matches!(
        stage.told(),
        Told::Keep {
            status: Some(403),
            ..
        }
    ));
    for _ in 0..2 {
        stage.response(relayed(200, &[], "late"));
        assert_eq!(
            stage.told(),
            amended(200, "forwarded to http://up/?token=***")
        );
    }
}

#[test]
fn unread_responses_count_towards_the_memory_limit() {
    let stage = Stage::with(|setup| {
        setup.limits.buffered_bytes = 2 << 20;
        setup.limits.body_deadline = Duration::from_millis(100);
    });
    let ask = || Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n");
    let long = "x".repeat(2 << 20);
    // One within the limit, and the one that may exceed it.
    let mut unread = [(); 2].map(|()| {
        let client = ask();
        stage.response(relayed(200, &[], &long));
        assert!(matches!(stage.told(), Told::Keep { .. }));
        let forwarded = amended(200, "forwarded to http://up/?token=***");
        assert_eq!(stage.told(), forwarded);
        client
    });
    let no_memory = "waited 100ms for memory: other responses used the limit of 2 MiB";
    for (body, status, expected) in [(&*long, 502, no_memory), ("small", 200, "small")] {
        stage.response(relayed(200, &[], body));
        let response = ask().response();
        assert_eq!(response.status, status);
        assert!(response.body.contains(expected), "{response:?}");
    }
    for client in &mut unread {
        assert_eq!(client.response().body.len(), long.len());
    }
    stage.response(relayed(200, &[], &long));
    assert_eq!(
        ask().response().body.len(),
        long.len(),
        "memory is free again"
    );
}

#[test]
fn clients_that_do_not_read_release_memory_for_others() {
    let stage = Stage::with(|setup| setup.limits.buffered_bytes = 2 << 20);
    let long = "x".repeat(2 << 20);
    let ask = || {
        stage.response(relayed(200, &[], &long));
        Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n")
    };
    // One within the limit, and the one that may exceed it.
    let _unread = [(); 2].map(|()| {
        let client = ask();
        assert!(matches!(stage.told(), Told::Keep { .. }));
        let forwarded = amended(200, "forwarded to http://up/?token=***");
        assert_eq!(stage.told(), forwarded);
        client
    });
    let response = ask().response();
    assert_eq!((response.status, response.body.len()), (200, long.len()));
}

#[test]
fn refused_or_unstored_requests_are_not_forwarded() {
    let stage = Stage::new();
    for (bytes, status) in [
        ("GET /?t=2 HTTP/1.1\r\n\r\n", 403),
        (
            "POST /?t=1 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("nonsense\r\n\r\n", 400),
    ] {
        assert_eq!(
            Client::sending(&stage.listener, bytes).response().status,
            status
        );
    }
    *stage.store.broken.lock().unwrap() = true;
    assert_eq!(
        Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n")
            .response()
            .status,
        503
    );
    assert!(stage.seen.try_recv().is_err());
}

#[test]
fn the_stop_does_not_wait_for_the_forward_target() {
    let mut stage = Stage::new();
    let client = Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n");
    stage.seen.recv_timeout(TIMEOUT).unwrap();
    let started = std::time::Instant::now();
    stage.listener.stop();
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    drop(client);
    // The response is recorded when it arrives after the stop.
    stage.response(relayed(200, &[], ""));
    assert!(matches!(stage.told(), Told::Keep { .. }));
    assert_eq!(
        stage.told(),
        amended(200, "forwarded to http://up/?token=***")
    );
}

#[test]
fn a_response_not_due_at_the_stop_is_recorded() {
    for script in ["200@1m", "reset@1m"] {
        let mut stage = Stage::with(|setup| {
            setup.upstream = None;
            setup.script = script.parse().unwrap();
        });
        let mut client = Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n");
        assert!(matches!(stage.told(), Told::Keep { .. }));
        stage.listener.stop();
        assert!(
            client.until_closed().is_ok_and(|rest| rest.is_empty()),
            "{script}"
        );
        let note = Some("the listener stopped before the response was due".to_owned());
        assert_eq!(
            stage.told(),
            Told::Amend {
                id: 7,
                status: None,
                note
            }
        );
    }
}

#[test]
fn a_panic_while_forwarding_is_502() {
    let mut stage = Stage::new();
    // Its channel is gone, which it responses with a panic.
    stage.responses = None;
    let response = Client::sending(&stage.listener, "GET /?t=1 HTTP/1.1\r\n\r\n").response();
    assert_eq!(
        (response.status, response.body.as_str()),
        (
            502,
            "not forwarded to http://up/?token=***: internal error\n"
        )
    );
}
