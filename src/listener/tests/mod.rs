//! The listener as a client sees it, over raw sockets. This file tests that captures are exact; the others have a theme each.
//!
//! Nothing here sleeps to wait for the listener: responses and captures are waited for, with a bound.

mod crowd;
mod encrypted;
mod forwarding;
mod refused;
mod responses;

mod stopping;
mod unread;

mod web;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use super::{Listener, ListenerLimits, Setup};
use crate::capture::{Body, Capture};

/// Longer than anything takes that goes well.
const TIMEOUT: Duration = Duration::from_secs(10);

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listener, and the captures that it stored.
struct TestListener {
    listener: Listener,
    received: Receiver<(Capture, Body)>,
}

impl TestListener {
    /// The next capture, if there is one.
    fn try_captured(&self) -> Result<Seen, TryRecvError> {
        self.received.try_recv().map(Seen::from)
    }
}

impl std::ops::Deref for TestListener {
    type Target = Listener;
    fn deref(&self) -> &Listener {
        &self.listener
    }
}

impl std::ops::DerefMut for TestListener {
    fn deref_mut(&mut self) -> &mut Listener {
        &mut self.listener
    }
}

/// A capture, spread out.
#[derive(Debug)]
struct Seen {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    head: Vec<u8>,
    body: Vec<u8>,
    wire: Option<Vec<u8>>,
    malformed: bool,
    secret_ok: Option<bool>,
    response_status: Option<u16>,
    /// The note on the response, or why the request is malformed.
    note: Option<String>,
    remote_addr: SocketAddr,
    received_at_ms: i64,
    duration_ms: u64,
}

impl From<(Capture, Body)> for Seen {
    fn from((capture, body): (Capture, Body)) -> Seen {
        Seen {
            method: capture.head.method().to_owned(),
            target: capture.head.target().to_owned(),
            headers: capture
                .head
                .headers()
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v.to_vec()))
                .collect(),
            head: capture.head.to_vec(),
            body: body.bytes,
            wire: body.wire,
            malformed: capture.malformed,
            secret_ok: capture.secret_ok,
            response_status: capture.response.status,
            note: capture.response.note,
            remote_addr: capture.remote_addr,
            received_at_ms: capture.received_at.0,
            duration_ms: capture.response.duration_ms,
        }
    }
}

/// A listener on loopback, set up further by `choose`.
fn listener_set_up(script: &str, choose: impl FnOnce(&mut Setup)) -> TestListener {
    let (store, received) = mpsc::channel();
    let mut setup = Setup::new(ANY_PORT, script.parse().unwrap(), Arc::new(store));
    choose(&mut setup);
    TestListener {
        listener: Listener::bind(setup).unwrap(),
        received,
    }
}

fn listener_with(script: &str, limits: ListenerLimits) -> TestListener {
    listener_set_up(script, |setup| setup.limits = limits)
}

fn listener(script: &str) -> TestListener {
    listener_with(script, ListenerLimits::default())
}

fn captured(listener: &TestListener) -> Seen {
    listener
        .received
        .recv_timeout(TIMEOUT)
        .map(Seen::from)
        .unwrap()
}

struct Client(BufReader<TcpStream>);

#[derive(Debug, PartialEq, Eq)]
struct Response {
    status: u16,
    /// Lower-cased `name: value` lines.
    headers: Vec<String>,
    body: String,
}

impl Client {
    fn connect(listener: &Listener) -> Self {
        let stream = TcpStream::connect(listener.addr()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Connects and sends.
    fn sending(listener: &Listener, bytes: impl AsRef<[u8]>) -> Self {
        let mut client = Self::connect(listener);
        client.send(bytes);
        client
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn half_close(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Closes so that the listener sees "connection reset by peer".
    fn reset(self) {
        let stream = self.0.into_inner();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_ascii_lowercase()
    }

    fn response(&mut self) -> Response {
        let status = self.line();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => break,
                line => headers.push(line),
            }
        }
        let length = headers
            .iter()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        Response {
            status,
            headers,
            body,
        }
    }

    /// All bytes until the listener closes the connection.
    fn until_closed(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).map(|_| rest)
    }
}

fn names_and_values(capture: &Seen) -> Vec<(&str, &[u8])> {
    capture
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect()
}

#[test]
fn a_capture_contains_the_exact_bytes() {
    let listener = listener("200");
    let head =
        b"POST /hook?token=a%20b&x HTTP/1.1\r\nHOST: h\r\nx-Odd: 1\r\nAccept:  */*\r\nX-oDD:2\r\n\
        X-Latin: caf\xe9\r\nContent-length: 5\r\nx-odd: 3\r\n\r\n";
    let mut client = Client::sending(&listener, [head, &b"\x00\xffabc"[..]].concat());
    let response = client.response();
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    assert!(
        response
            .headers
            .contains(&"content-type: text/plain".to_owned()),
        "{response:?}"
    );

    let capture = captured(&listener);
    assert_eq!(capture.head, head);
    assert_eq!(capture.body, b"\x00\xffabc");
    assert_eq!(
        (capture.method.as_str(), capture.target.as_str()),
        ("POST", "/hook?token=a%20b&x")
    );
    let expected: [(&str, &[u8]); 7] = [
        ("HOST", b"h"),
        ("x-Odd", b"1"),
        ("Accept", b"*/*"),
        ("X-oDD", b"2"),
        ("X-Latin", b"caf\xe9"),
        ("Content-length", b"5"),
        ("x-odd", b"3"),
    ];
    assert_eq!(names_and_values(&capture), expected);
    assert!(!capture.malformed);
    assert_eq!(capture.response_status, Some(200));
    assert_eq!(
        capture.remote_addr,
        client.0.get_ref().local_addr().unwrap()
    );
    assert!(capture.received_at_ms > 1_700_000_000_000 && capture.duration_ms < 10_000);
}

#[test]
fn a_chunked_body_is_captured_decoded_and_as_sent() {
    let listener = listener("200");
    let head = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "6;ext=1\r\nhello \r\n5\r\nworld\r\n0\r\nTrailer: t\r\n\r\n";
    let mut client = Client::sending(&listener, format!("{head}{body}GET /next HTTP/1.1\r\n\r\n"));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 200);
    let capture = captured(&listener);
    assert_eq!(
        (capture.head.as_slice(), capture.body.as_slice()),
        (head.as_bytes(), &b"hello world"[..])
    );
    assert_eq!(
        capture.wire.as_deref(),
        Some(body.as_bytes()),
        "as it was sent, trailer and all"
    );
    assert_eq!(captured(&listener).head, b"GET /next HTTP/1.1\r\n\r\n");
}

#[test]
fn requests_on_one_connection_are_separated() {
    let requests = [
        "POST /1 HTTP/1.1\r\nA: 1\r\nContent-Length: 3\r\n\r\nabc",
        "\r\nGET /2 HTTP/1.1\r\na: 2\r\n\r\n",
        "POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ];
    let listener = listener("200");
    // One after the other, then all at once, then byte by byte.
    let mut client = Client::connect(&listener);
    for request in requests {
        client.send(request);
        assert_eq!(client.response().status, 200);
    }
    client.send(requests.concat());
    requests
        .concat()
        .bytes()
        .for_each(|byte| client.send([byte]));
    for _ in 0..6 {
        assert_eq!(client.response().status, 200);
    }
    for _ in 0..3 {
        for request in requests {
            let capture = captured(&listener);
            let head = request
                .trim_start()
                .split_inclusive("\r\n\r\n")
                .next()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&capture.head), head);
            assert_eq!(
                capture.body,
                if capture.target == "/2" { "" } else { "abc" }.as_bytes()
            );
            assert!(!capture.malformed);
        }
    }
    assert!(listener.try_captured().is_err());
}

#[test]
fn pipelined_requests_are_captured_in_order() {
    let listener = listener("200");
    let requests: String = (0..500)
        .map(|number| format!("POST /{number} HTTP/1.1\r\nContent-Length: 4\r\n\r\n{number:4}"))
        .collect();
    let mut client = Client::sending(&listener, requests);
    for number in 0..500 {
        assert_eq!(client.response().status, 200);
        let capture = captured(&listener);
        assert_eq!(capture.target, format!("/{number}"));
        assert_eq!(capture.body, format!("{number:4}").as_bytes());
    }
}

#[test]
fn http_1_0_gets_a_response_and_is_closed() {
    let listener = listener("200");
    let mut client = Client::sending(&listener, "GET /old HTTP/1.0\nA: b\n\n");
    assert_eq!(client.response().body, "ok");
    assert_eq!(client.until_closed().unwrap(), b"");
    let capture = captured(&listener);
    assert_eq!(capture.head, b"GET /old HTTP/1.0\nA: b\n\n");
    assert!(!capture.malformed);
}

#[test]
fn a_half_closed_client_gets_its_response() {
    let listener = listener("200");
    let mut client = Client::sending(&listener, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    client.half_close();
    assert_eq!(client.response().status, 200);
    assert_eq!(client.until_closed().unwrap(), b"");
    let capture = captured(&listener);
    assert!(capture.body.is_empty() && !capture.malformed);
    assert!(listener.try_captured().is_err());
}

#[test]
fn expect_continue_is_refused_if_the_body_is_too_large() {
    let limits = ListenerLimits {
        body_bytes: 4,
        ..ListenerLimits::default()
    };
    let listener = listener_with("201", limits);
    let mut client = Client::sending(
        &listener,
        "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    assert_eq!(client.response().status, 100);
    client.send("abcd");
    assert_eq!(client.response().status, 201);
    assert_eq!(captured(&listener).body, b"abcd");
    client.send("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().status, 413);
    assert!(captured(&listener).malformed);
}

#[test]
fn a_request_is_captured_before_its_response() {
    let listener = listener("200");
    for request in ["GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n"] {
        for _ in 0..50 {
            let mut client = Client::sending(&listener, request);
            client.response();
            assert!(listener.try_captured().is_ok(), "{request}");
        }
    }
}
