//! Many clients at once, and long requests: other clients are served, and memory stays limited.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::capture;
use crate::journal::{CaptureStore, StoreReply, StoredCapture};

const HALF_HEAD: &str = "GET /half HTTP/1.1\r\nA:";
const HALF_BODY: &str = "POST /stalled HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc";

#[test]
fn partial_requests_do_not_block_others() {
    let listener = listener("200");
    let heads: Vec<Client> = (0..400)
        .map(|_| Client::sending(&listener, HALF_HEAD))
        .collect();
    let bodies: Vec<Client> = (0..200)
        .map(|_| Client::sending(&listener, HALF_BODY))
        .collect();
    // Far less than the 30 seconds for which each of the others may be silent; `benches/` measures how long it takes.
    let started = Instant::now();
    for _ in 0..50 {
        let mut client = Client::sending(&listener, "GET /whole HTTP/1.1\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    assert!(started.elapsed() < TIMEOUT, "{:?}", started.elapsed());
    drop((heads, bodies));
    let captures: Vec<Seen> =
        std::iter::from_fn(|| listener.received.recv_timeout(TIMEOUT).ok().map(Seen::from))
            .take(650)
            .collect();
    assert_eq!(
        captures.iter().filter(|capture| !capture.malformed).count(),
        50
    );
    for (target, sent) in [("/half", HALF_HEAD), ("/stalled", HALF_BODY)] {
        let halves: Vec<&Seen> = captures
            .iter()
            .filter(|capture| capture.malformed && capture.target == target)
            .collect();
        assert_eq!(halves.len(), if target == "/half" { 400 } else { 200 });
        for half in halves {
            assert_eq!([half.head.as_slice(), &half.body].concat(), sent.as_bytes());
        }
    }
}

#[test]
fn the_longest_silent_client_is_evicted_with_408() {
    let listener = listener_with(
        "200,timeout,200",
        ListenerLimits {
            connections: 4,
            ..ListenerLimits::default()
        },
    );
    let mut idle = Client::sending(&listener, "GET /idle HTTP/1.1\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    let mut held = Client::sending(&listener, "GET /held HTTP/1.1\r\n\r\n");
    let mut head = Client::sending(&listener, HALF_HEAD);
    let mut body = Client::sending(&listener, HALF_BODY);
    let mut newest = Vec::new();
    for _ in 0..4 {
        let mut client = Client::sending(&listener, "GET /new HTTP/1.1\r\n\r\n");
        assert_eq!(client.response().status, 200);
        newest.push(client);
    }
    assert_eq!(idle.until_closed().unwrap(), b"");
    assert_eq!(held.until_closed().unwrap(), b"");
    assert_eq!([head.response().status, body.response().status], [408, 408]);
    assert_eq!(head.until_closed().unwrap(), b"");
    assert_eq!(body.until_closed().unwrap(), b"");
    let mut captures: Vec<(String, Option<u16>, Vec<u8>)> = (0..8)
        .map(|_| captured(&listener))
        .map(|capture| (capture.target, capture.response_status, capture.body))
        .collect();
    captures.sort();
    let seen =
        |target: &str, status, body: &str| (target.to_owned(), status, body.as_bytes().to_vec());
    assert_eq!(
        captures[..2],
        [seen("/half", Some(408), ""), seen("/held", None, "")]
    );
    assert_eq!(captures[7], seen("/stalled", Some(408), "abc"));
}

#[test]
fn a_refused_client_can_finish_sending_and_read_413() {
    let listener = listener("200");
    let size = 100 << 20;
    let mut client = Client::sending(
        &listener,
        format!("POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n"),
    );
    let piece = vec![b'x'; 1 << 20];
    // Some clients look for a response only when all is sent.
    for _ in 0..size / piece.len() {
        client.send(&piece);
    }
    assert_eq!(client.response().status, 413);
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(captured(&listener).body.len() <= 1 << 20);
}

/// A POST without the last byte of its body.
fn stalled(bytes: usize) -> Vec<u8> {
    let head = format!(
        "POST /stalled HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        bytes + 1
    );
    [head.into_bytes(), vec![b'x'; bytes]].concat()
}

#[test]
fn silent_clients_release_memory_for_others() {
    let limits = ListenerLimits {
        buffered_bytes: 1 << 20,
        body_deadline: Duration::from_secs(5),
        ..ListenerLimits::default()
    };
    let listener = listener_with("200", limits);
    let sent = 600 << 10;
    // Twenty times the limit, which does not count small requests.
    let mut crowd: Vec<Client> = (0..20).map(|_| Client::connect(&listener)).collect();
    let sending: Vec<_> = crowd
        .iter_mut()
        .map(|client| {
            let mut stream = client.0.get_ref().try_clone().unwrap();
            std::thread::spawn(move || stream.write_all(&stalled(sent)))
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(
            Client::sending(&listener, "GET /small HTTP/1.1\r\n\r\n")
                .response()
                .status,
            200
        );
    }
    let mut large = Client::sending(&listener, [stalled(sent), b"x".to_vec()].concat());
    assert_eq!(large.response().status, 200);
    for client in &mut crowd {
        assert_eq!(client.response().status, 408);
    }
    sending
        .into_iter()
        .for_each(|sending| sending.join().unwrap().unwrap());
    let captures: Vec<Seen> = (0..41).map(|_| captured(&listener)).collect();
    let refused: Vec<&Seen> = captures
        .iter()
        .filter(|capture| capture.malformed)
        .collect();
    assert_eq!(refused.len(), 20);
    // The last two hold memory that nothing waits for: they are refused only after their deadline.
    let evicted = refused.iter().filter(|capture| {
        let note = capture.note.as_deref();
        note.is_some_and(|note| note.contains("silent"))
    });
    assert!(evicted.count() >= 18);
    assert_eq!(
        refused
            .iter()
            .filter(|capture| capture.body.len() == sent)
            .count(),
        20,
        "they were read before"
    );
}

/// Withholds the first two captures.
struct Hesitant {
    store: mpsc::Sender<(Capture, Body)>,
    withheld: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    left: AtomicUsize,
    reports: mpsc::Sender<()>,
}

impl CaptureStore for Hesitant {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        let store = self.store.clone();
        let keep = move || store.store(capture, body, done);
        if self.left.load(Ordering::SeqCst) > 0 {
            self.left.fetch_sub(1, Ordering::SeqCst);
            self.withheld.lock().unwrap().push(Box::new(keep));
            self.reports.send(()).unwrap();
        } else {
            keep();
        }
    }

    fn set_response(&self, id: i64, response: capture::CapturedResponse, done: StoreReply<()>) {
        self.store.set_response(id, response, done);
    }
}

#[test]
fn a_request_without_memory_in_time_is_503() {
    let (reports, withheld) = mpsc::channel();
    let (store, received) = mpsc::channel();
    let hesitant = Arc::new(Hesitant {
        store,
        withheld: Mutex::default(),
        left: AtomicUsize::new(2),
        reports,
    });
    let mut setup = Setup::new(ANY_PORT, "200".parse().unwrap(), hesitant.clone());
    setup.limits.buffered_bytes = 64 << 10;
    setup.limits.body_deadline = Duration::from_millis(300);
    let listener = Listener::bind(setup).unwrap();
    // Larger than the limit, and in memory until it is stored; the next one may exceed the limit.
    let complete = |bytes| [stalled(bytes), b"x".to_vec()].concat();
    let mut stored = [600 << 10, 20 << 10].map(|bytes| {
        let client = Client::sending(&listener, complete(bytes));
        withheld.recv_timeout(TIMEOUT).unwrap();
        client
    });
    let mut waiting = Client::sending(&listener, complete(20 << 10));
    let mut small = Client::sending(&listener, "GET /small HTTP/1.1\r\n\r\n");
    assert_eq!(small.response().status, 200);
    assert_eq!(waiting.response().status, 503);
    for store in hesitant.withheld.lock().unwrap().drain(..) {
        store();
    }
    assert_eq!(
        stored.each_mut().map(|client| client.response().status),
        [200; 2]
    );
    let captures: Vec<Seen> = (0..4)
        .map(|_| received.recv_timeout(TIMEOUT).map(Seen::from).unwrap())
        .collect();
    let refused = captures.iter().find(|capture| capture.malformed).unwrap();
    assert!(refused.body.len() < 20 << 10);
    assert_eq!(
        refused.note.as_deref(),
        Some("other requests used the memory limit of 64 KiB")
    );
}

#[test]
fn too_much_chunk_framing_is_413() {
    let listener = listener("200");
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "1\r\nx\r\n".repeat(200_000);
    let mut client = Client::sending(&listener, head);
    client.send(&chunks);
    client.send("0\r\n\r\n");
    assert_eq!(client.response().status, 413);
    let capture = captured(&listener);
    assert!(capture.malformed);
    let wire = capture.wire.unwrap();
    assert_eq!(wire.len(), (1 << 20) + (64 << 10));
    assert!(chunks.as_bytes().starts_with(&wire));
    // The same bytes in fewer chunks are taken, and are exact.
    let chunks = format!(
        "{}0\r\nA: b\r\n\r\n",
        "400\r\n".to_owned() + &"x".repeat(1024) + "\r\n"
    );
    let mut client = Client::sending(&listener, format!("{head}{chunks}"));
    assert_eq!(client.response().status, 200);
    let capture = captured(&listener);
    assert_eq!(
        (capture.wire.as_deref(), capture.body.len()),
        (Some(chunks.as_bytes()), 1024)
    );
}
