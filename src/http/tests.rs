//! Tests of the client against sockets: requests, responses, deadlines and interrupts.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::*;
use crate::secret::safe_url::BaseUrl;

/// No test takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

struct Limited;

impl Memory for Limited {
    fn grow(&self, length: usize) -> Result<(), String> {
        if length > 10 {
            return Err("is too long for this".to_owned());
        }
        Ok(())
    }
}

fn request(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: Secret::new(url),
        headers: Vec::new(),
        body: None,
        redactor: Arc::default(),
        body_limit: 100,
        memory: None,
    }
}

fn client(url: &str, timeout: Duration, interrupted: &Arc<AtomicBool>) -> Client {
    let options = TransportOptions {
        timeout,
        ..TransportOptions::default()
    };
    client_with(&options, url, interrupted)
}

fn client_with(options: &TransportOptions, url: &str, interrupted: &Arc<AtomicBool>) -> Client {
    let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
    let (base, _) = BaseUrl::parse(&origin.join("/")).unwrap();
    Client::new(options, &base, 0, Arc::clone(interrupted)).unwrap()
}

fn send(request: Request) -> Completed {
    client(request.url.expose(), LONG, &Arc::default()).send(request)
}

fn error(request: Request) -> SendError {
    send(request).result.err().unwrap()
}

fn response(request: Request) -> Response {
    let result = send(request).result;
    result.map_err(|error| error.message).unwrap()
}

fn message(completed: Completed) -> String {
    match completed.result {
        Ok(response) => format!(
            "{} {}",
            response.status,
            response.cut.map(|cut| cut.to_string()).unwrap_or_default()
        ),
        Err(error) => error.message,
    }
}

/// Sends one response and returns the request, up to its blank line or a body that ends with `END`.
fn serve(response: &[u8]) -> (String, JoinHandle<Vec<u8>>) {
    let (listener, url) = listen();
    let response = response.to_vec();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while !received.ends_with(b"END") && !received.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the request is incomplete");
            received.extend_from_slice(&buffer[..read]);
        }
        // A client that has enough closes the connection.
        let _ = stream.write_all(&response);
        received
    });
    (url, served)
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Sends `head` to each connection, then a byte every 20 ms for as long as the client reads.
fn serve_slowly(head: &'static [u8]) -> String {
    let (listener, url) = listen();
    let serve = |mut stream: TcpStream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(head).unwrap();
        while !head.is_empty() && stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = stream.read(&mut [0; 4096]);
        thread::sleep(LONG);
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    url
}

#[test]
fn sends_and_returns_bytes_unchanged() {
    let (url, served) = serve(
        b"HTTP/1.1 418 Short\r\nX-A: 1\r\nX-B: caf\xe9\r\nx-a: 2\r\nContent-Length: 3\r\n\r\n\x00\xffx",
    );
    let headers = [
        ("X-Z", &b"caf\xe9"[..]),
        ("accept", b"a/b"),
        ("x-z", b"2"),
        ("Empty", b""),
    ];
    let response = response(Request {
        method: "pUt".to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .to_vec(),
        body: Some(b"\x00\xff END".to_vec()),
        ..request(&format!("{url}/a%2fb//c?x=%41&&y"))
    });
    let received = served.join().unwrap();
    let host = url.strip_prefix("http://").unwrap();
    let expected = [
        b"pUt /a%2fb//c?x=%41&&y HTTP/1.1\r\nx-z: caf\xe9\r\nx-z: 2\r\naccept: a/b\r\nempty: \r\ncontent-length: 6\r\nhost: ",
        host.as_bytes(),
        b"\r\n\r\n\x00\xff END",
    ]
    .concat();
    assert_eq!(
        received.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    assert_eq!(
        (response.status, &response.body[..], response.cut),
        (418, &b"\x00\xffx"[..], None)
    );
    let headers: Vec<(&str, &[u8])> = response
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), &value[..]))
        .collect();
    assert_eq!(
        headers,
        [
            ("x-a", &b"1"[..]),
            ("x-a", b"2"),
            ("x-b", b"caf\xe9"),
            ("content-length", b"3")
        ]
    );
}

#[test]
fn adds_only_accept_and_host() {
    for target in ["/", "/a/../b"] {
        let (url, served) = serve(NO_CONTENT);
        assert!(send(request(&format!("{url}{target}"))).result.is_ok());
        let host = url.strip_prefix("http://").unwrap();
        let received = String::from_utf8(served.join().unwrap()).unwrap();
        let mut lines: Vec<&str> = received.lines().collect();
        lines.sort_unstable();
        let host = format!("host: {host}");
        let first = format!("GET {target} HTTP/1.1");
        assert_eq!(lines, ["", &first, "accept: */*", &host]);
    }
}

#[test]
fn targets_are_sent_as_written() {
    for target in
        "/a%2Fb/../c /a/./b /a/%2e%2e/b /a\\b /a\"b /a{b} //b? /?q={'x':1} /caf\u{e9}?q=\u{20ac}"
            .split(' ')
    {
        let (url, served) = serve(NO_CONTENT);
        let completed = send(request(&format!("{url}{target}")));
        assert!(completed.result.is_ok(), "{target}");
        let received = String::from_utf8(served.join().unwrap()).unwrap();
        let expected = format!("GET {target} HTTP/1.1");
        assert_eq!(received.lines().next(), Some(expected.as_str()));
    }
}

#[test]
fn body_is_read_up_to_its_limit_and_memory() {
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let limited = || Some(Arc::new(Limited) as Arc<dyn Memory>);
    let broken = Some("was cut short: the connection broke before its end");
    let refused = Some("is too long for this");
    for (announced, sent, memory, kept, cut) in [
        (100, 100, None, 100, None),
        (101, 101, None, 100, Some("is longer than 100 B")),
        (5, 3, None, 3, broken),
        (10, 10, limited(), 10, None),
        (11, 11, limited(), 0, refused),
    ] {
        for target in ["/", "/a/../b"] {
            let body = vec![b'x'; sent];
            let (url, served) = serve(&[head(announced).into_bytes(), body].concat());
            let response = response(Request {
                memory: memory.clone(),
                ..request(&format!("{url}{target}"))
            });
            let cut_text = response.cut.map(|cut| cut.to_string());
            assert_eq!(
                (response.body.len(), cut_text.as_deref()),
                (kept, cut),
                "{announced}, {target}"
            );
            served.join().unwrap();
        }
    }
}

#[test]
fn errors_have_a_kind_and_say_if_the_request_may_have_arrived() {
    let (listener, closed) = listen();
    drop(listener);
    for target in ["/", "/a/../b"] {
        let refused = SendError::not_sent(ErrorKind::Connect, "connection refused");
        assert_eq!(error(request(&format!("{closed}{target}"))), refused);
        for (response, kind) in [
            (&b"no HTTP at all\r\n\r\n"[..], ErrorKind::Protocol),
            (b"", ErrorKind::Reset),
        ] {
            let (url, _served) = serve(response);
            let error = error(request(&format!("{url}{target}")));
            assert_eq!((error.kind, error.maybe_received), (kind, true));
        }
    }
    let unsendable = error(Request {
        method: "A B".to_owned(),
        ..request("http://127.0.0.1:1")
    });
    let expected = SendError::not_sent(ErrorKind::Protocol, "`A B` cannot be sent as a method");
    assert_eq!(unsendable, expected);
}

#[test]
fn request_that_cannot_be_built_is_not_maybe_received() {
    for target in ["/?", "/a/../b?"] {
        let (url, _served) = serve(NO_CONTENT);
        let long = "x".repeat(70_000);
        let error = error(request(&format!("{url}{target}{long}")));
        assert!(!error.maybe_received, "{target}");
    }
}

#[test]
fn response_may_have_many_headers() {
    for target in ["/", "/a/../b"] {
        for (count, expected) in [
            (2_000, "204 "),
            (
                2_001,
                "the response has more than 2000 headers or 408 KiB of them",
            ),
        ] {
            let headers: String = (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect();
            let head = format!("HTTP/1.1 204 No Content\r\n{headers}\r\n");
            let (url, _served) = serve(head.as_bytes());
            let completed = send(request(&format!("{url}{target}")));
            assert_eq!(message(completed), expected);
        }
    }
}

#[test]
fn deadline_covers_head_and_body() {
    let dripping = b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n";
    for (head, expected) in [
        (&b""[..], "no response within 300ms"),
        (dripping, "200 was still arriving after 300ms"),
    ] {
        for target in ["/", "/a/../b"] {
            let url = format!("{}{target}", serve_slowly(head));
            let begun = Instant::now();
            let completed = client(&url, SHORT, &Arc::default()).send(Request {
                body_limit: 99_999,
                ..request(&url)
            });
            assert!(begun.elapsed() < SHORT + Duration::from_millis(250));
            assert_eq!(message(completed), expected);
        }
    }
}

/// A server whose queue of connections is full, so that the kernel ignores new ones.
fn never_accepting() -> (TcpListener, Vec<TcpStream>, String) {
    let (listener, url) = listen();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, SHORT);
    let queued = std::iter::from_fn(|| connect().ok()).collect();
    (listener, queued, url)
}

#[test]
fn connect_timeout_is_reported_as_such() {
    let (_listener, _queued, server) = never_accepting();
    for target in ["/", "/a/../b"] {
        let url = format!("{server}{target}");
        for (timeout, connect_timeout) in [(LONG, SHORT), (SHORT, SHORT), (SHORT, LONG)] {
            let begun = Instant::now();
            let options = TransportOptions {
                timeout,
                connect_timeout,
                ..TransportOptions::default()
            };
            let completed = client_with(&options, &url, &Arc::default()).send(request(&url));
            let expected = SendError::not_sent(ErrorKind::Timeout, "no connection within 300ms");
            assert_eq!(completed.result.err(), Some(expected), "{target}");
            assert!(begun.elapsed() < SHORT + Duration::from_millis(500));
        }
    }
}

#[test]
fn names_are_looked_up_in_the_same_way_for_any_target() {
    let (url, _served) = serve(NO_CONTENT);
    let port = url.rsplit(':').next().unwrap();
    let local = format!("http://x.localhost:{port}/a/../b");
    assert_eq!(message(send(request(&local))), "204 ");
    let unknown =
        ["/", "/a/../b"].map(|target| error(request(&format!("http://x.invalid{target}"))));
    assert_eq!(unknown[0], unknown[1]);
    assert_eq!(unknown[0].kind, ErrorKind::Dns);
}

/// A pool of two threads with three requests, and where their results go.
fn begin_three(client: Client, url: &str) -> (Pool, mpsc::Receiver<String>) {
    let pool = Pool::new(2);
    let (sender, receiver) = mpsc::channel();
    for _ in 0..3 {
        let sender = sender.clone();
        let done = move |completed| sender.send(message(completed)).unwrap();
        pool.begin(client, request(url), Box::new(done));
    }
    (pool, receiver)
}

#[test]
fn interrupt_abandons_what_is_running_and_waiting() {
    let interrupted = Arc::<AtomicBool>::default();
    let url = serve_slowly(b"");
    let client = client(&url, LONG, &interrupted);
    let (pool, receiver) = begin_three(client, &url);
    thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    interrupted.store(true, Ordering::Relaxed);
    pool.abandon_interrupted();
    let mut messages: Vec<String> = (0..3)
        .map(|_| receiver.recv_timeout(LONG).unwrap())
        .collect();
    messages.sort();
    assert_eq!(
        messages,
        [
            "stopped before a response",
            "stopped before a response",
            "stopped before it was sent"
        ]
    );
    assert_eq!(
        message(client.send(request(&url))),
        "stopped before it was sent"
    );
    assert!(begun.elapsed() < LONG / 4);
}

#[test]
fn pool_sends_as_many_at_once_as_it_has_threads() {
    let (listener, url) = listen();
    let client = client(&url, LONG, &Arc::default());
    let (_pool, receiver) = begin_three(client, &url);
    let respond = |mut stream: TcpStream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(NO_CONTENT).unwrap();
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), "204 ");
    };
    let streams = [listener.accept().unwrap().0, listener.accept().unwrap().0];
    assert!(receiver.try_recv().is_err());
    streams.into_iter().for_each(respond);
    respond(listener.accept().unwrap().0);
}
