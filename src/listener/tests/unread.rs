//! Clients that do not read their responses, or do not wait for them.

use super::*;
use crate::capture;
use crate::journal::{CaptureStore, StoreReply, StoredCapture};

/// More than the system holds for a client that does not read.
const LONG: usize = 4 << 20;

const TWO: &str = "GET /first HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n";

/// Also reports changed responses.
struct Noting {
    store: mpsc::Sender<(Capture, Body)>,
    amended: mpsc::Sender<capture::CapturedResponse>,
}

impl CaptureStore for Noting {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        self.store.store(capture, body, done);
    }

    fn set_response(&self, _: i64, response: capture::CapturedResponse, done: StoreReply<()>) {
        self.amended.send(response).unwrap();
        done(Ok(()));
    }
}

/// A listener, and the changed responses of its captures.
fn noting(choose: impl FnOnce(&mut Setup)) -> (TestListener, Receiver<capture::CapturedResponse>) {
    let ((store, received), (amends, amended)) = (mpsc::channel(), mpsc::channel());
    let mut setup = Setup::new(
        ANY_PORT,
        "200".parse().unwrap(),
        Arc::new(Noting {
            store,
            amended: amends,
        }),
    );
    choose(&mut setup);
    (
        TestListener {
            listener: Listener::bind(setup).unwrap(),
            received,
        },
        amended,
    )
}

/// One with long responses.
fn verbose(limits: ListenerLimits) -> (TestListener, Receiver<capture::CapturedResponse>) {
    noting(|setup| {
        setup.limits = limits;
        setup.response_body = Some(vec![b'x'; LONG]);
    })
}

#[test]
fn clients_that_do_not_read_are_evicted() {
    let (listener, amended) = verbose(ListenerLimits {
        connections: 4,
        ..ListenerLimits::default()
    });
    let deaf: Vec<Client> = (0..4).map(|_| Client::sending(&listener, TWO)).collect();
    for _ in 0..3 {
        let response = Client::sending(
            &listener,
            "GET /whole HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        .response();
        assert_eq!(
            (response.status, response.body.len()),
            (200, LONG),
            "who reads gets all of it"
        );
    }
    let response = amended.recv_timeout(TIMEOUT).unwrap();
    let note = "the client read nothing of the response 200 and its connection was needed";
    assert_eq!(
        (response.status, response.note.as_deref()),
        (None, Some(note))
    );
    drop((deaf, listener.listener));
    let captures: Vec<Seen> = listener.received.iter().map(Seen::from).collect();
    let rest = captures
        .iter()
        .find(|capture| capture.target == "/second")
        .unwrap();
    assert_eq!(
        (rest.malformed, rest.response_status),
        (true, None),
        "nothing was said to it"
    );
    assert_eq!(
        rest.note.as_deref(),
        Some("the client did not read the response before it")
    );
    assert_eq!(
        captures
            .iter()
            .filter(|capture| capture.target == "/first" && !capture.malformed)
            .count(),
        4
    );
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let (listener, amended) = verbose(ListenerLimits {
        head_deadline: Duration::from_millis(200),
        ..ListenerLimits::default()
    });
    let mut deaf = Client::sending(&listener, TWO);
    let response = amended.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(
        response.note.as_deref(),
        Some("the client read nothing of the response 200 for 200ms")
    );
    assert!(
        deaf.until_closed().is_err(),
        "a response that was cut off must not look like a whole one"
    );
    assert_eq!(
        [captured(&listener).target, captured(&listener).target],
        ["/first", "/second"]
    );
}

#[test]
fn a_client_that_does_not_read_does_not_delay_the_stop() {
    let (mut listener, amended) = verbose(ListenerLimits::default());
    let deaf = Client::sending(&listener, TWO);
    assert_eq!(captured(&listener).target, "/first");
    let started = std::time::Instant::now();
    listener.stop();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let note = "the client read nothing of the response 200 until the listener stopped";
    assert_eq!(
        amended.recv_timeout(TIMEOUT).unwrap().note.as_deref(),
        Some(note)
    );
    drop(deaf);
}

#[test]
fn clients_that_hung_up_are_evicted() {
    let (listener, amended) = noting(|setup| {
        setup.script = "200@1m".parse().unwrap();
        setup.limits.connections = 3;
    });
    let waiting = |path: &str| {
        let client = Client::sending(&listener, format!("GET /{path} HTTP/1.1\r\n\r\n"));
        assert_eq!(captured(&listener).target, format!("/{path}"));
        client
    };
    let patient = waiting("patient");
    waiting("reset").reset();
    drop(waiting("closed"));
    let _new = ["new", "newest"].map(|path| {
        let client = waiting(path);
        let response = amended.recv_timeout(TIMEOUT).unwrap();
        let note = "the client closed the connection before the response was due, and the connection was needed";
        assert_eq!((response.status, response.note.as_deref()), (None, Some(note)));
        client
    });
    let mut byte = [0];
    patient.0.get_ref().set_nonblocking(true).unwrap();
    let nothing = patient.0.get_ref().peek(&mut byte).unwrap_err();
    assert_eq!(
        nothing.kind(),
        std::io::ErrorKind::WouldBlock,
        "the patient client still waits"
    );
}
