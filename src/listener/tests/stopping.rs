//! How a listener begins and ends.

use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use super::super::ListenerError;
use super::*;
use crate::capture;
use crate::journal::{CaptureStore, JournalError, StoreReply, StoredCapture};

fn stop_promptly(listener: &mut Listener) {
    let started = Instant::now();
    listener.stop();
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn an_address_in_use_is_an_error() {
    let listener = listener("200");
    let again = Setup::new(
        listener.addr(),
        "200".parse().unwrap(),
        Arc::new(mpsc::channel().0),
    );
    let again = Listener::bind(again).unwrap_err();
    assert!(matches!(again, ListenerError::Bind { addr, .. } if addr == listener.addr()));
    assert_eq!(
        again.to_string(),
        format!("cannot listen on `{}`", listener.addr())
    );
}

#[test]
fn the_url_reaches_an_unspecified_address() {
    let here = listener("200");
    assert_eq!(here.url(), format!("http://{}", here.addr()));
    let everywhere = listener_set_up("200", |setup| {
        setup.addr = SocketAddr::from(([0, 0, 0, 0], 0))
    });
    assert_eq!(
        everywhere.url(),
        format!("http://127.0.0.1:{}", everywhere.addr().port())
    );
}

#[test]
fn stop_does_not_wait_for_idle_or_partial_requests() {
    let mut listener = listener("200,timeout");
    let mut idle = Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    captured(&listener);
    let mut held = Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n");
    captured(&listener);
    let mut fresh = Client::connect(&listener);
    let mut half = Client::sending(&listener, "nonsense");
    // Once this later connection was served and seen to end, the half-sent head before it was read, too.
    let mut seen = Client::sending(
        &listener,
        "POST / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(seen.response().status, 100);
    drop(seen);
    assert!(captured(&listener).malformed);
    stop_promptly(&mut listener);
    for client in [&mut idle, &mut held, &mut fresh, &mut half] {
        assert!(client.until_closed().is_ok_and(|rest| rest.is_empty()));
    }
    assert!(TcpStream::connect(listener.addr()).is_err());
    let cut = listener.try_captured().unwrap();
    assert_eq!(
        (cut.head.as_slice(), cut.malformed, cut.response_status),
        (&b"nonsense"[..], true, None)
    );
    assert_eq!(
        listener.try_captured().unwrap_err(),
        TryRecvError::Disconnected
    );
}

#[test]
fn stop_completes_a_request_in_progress() {
    let mut listener = listener("200");
    let head = "POST / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let mut client = Client::sending(&listener, head);
    // The go-ahead says that the request is being served.
    assert_eq!(client.response().status, 100);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| {
            let started = Instant::now();
            listener.stop();
            (started.elapsed(), listener)
        });
        client.send("some body");
        let response = client.response();
        assert_eq!(response.status, 200);
        let (took, listener) = stopping.join().unwrap();
        assert!(took < Duration::from_millis(900), "{took:?}");
        assert!(!captured(&listener).malformed);
    });
}

#[test]
fn stop_captures_a_request_that_takes_too_long() {
    let mut listener = listener("200");
    let sent = "POST / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let mut client = Client::sending(&listener, sent);
    assert_eq!(client.response().status, 100);
    let started = Instant::now();
    listener.stop();
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    let cut = listener.try_captured().unwrap();
    assert_eq!(
        (cut.head.as_slice(), cut.response_status),
        (sent.as_bytes(), None)
    );
    assert!(cut.malformed);
    listener.stop();
}

#[test]
fn excess_connections_wait_while_others_are_served() {
    let limits = ListenerLimits {
        connections: 1,
        ..ListenerLimits::default()
    };
    let mut listener = listener_with("200@100ms,200", limits);
    let mut first = Client::sending(&listener, "GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n");
    let served = captured(&listener);
    let mut second = Client::sending(&listener, "GET /2 HTTP/1.1\r\n\r\n");
    assert_eq!(
        [first.response().status, second.response().status],
        [200, 200]
    );
    let waited = captured(&listener);
    assert_eq!(
        [served.target.as_str(), waited.target.as_str()],
        ["/1", "/2"]
    );
    assert!(
        waited.received_at_ms - served.received_at_ms >= 99,
        "the second is read after the first is answered"
    );
    stop_promptly(&mut listener);
}

/// Keeps nothing, and says so late, as a locked journal does.
struct Locked(Duration);

impl CaptureStore for Locked {
    fn store(&self, _: Capture, _: Body, done: StoreReply<Arc<StoredCapture>>) {
        let patience = self.0;
        std::thread::spawn(move || {
            std::thread::sleep(patience);
            done(Err(Arc::new(JournalError::Unusable {
                path: "x".into(),
                problem: "is locked".to_owned(),
            })));
        });
    }

    fn set_response(&self, _: i64, _: capture::CapturedResponse, done: StoreReply<()>) {
        done(Ok(()));
    }
}

#[test]
fn stop_still_responds_503_after_a_failed_write() {
    let locked = Arc::new(Locked(Duration::from_millis(1_800)));
    let mut listener =
        Listener::bind(Setup::new(ANY_PORT, "200".parse().unwrap(), locked)).unwrap();
    let mut client = Client::sending(
        &listener,
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
    );
    // The go-ahead says that the request is being served.
    assert_eq!(client.response().status, 100);
    client.send("x");
    listener.stop();
    assert_eq!(client.response().status, 503);
}

#[test]
fn drain_sends_each_response_when_it_is_due() {
    let mut listener = listener("202@1200ms");
    let started = Instant::now();
    let mut client = Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n");
    captured(&listener);
    let mut idle = Client::connect(&listener);
    listener.drain(|| false);
    assert!(
        started.elapsed() >= Duration::from_millis(1_200),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(client.response().status, 202);
    assert!(idle.until_closed().is_ok_and(|rest| rest.is_empty()));
    assert!(TcpStream::connect(listener.addr()).is_err());
}

#[test]
fn drain_waits_until_held_clients_hang_up() {
    let mut listener = listener("timeout");
    let mut client = Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n");
    captured(&listener);
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| listener.drain(|| false));
        client
            .0
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let waited = client.until_closed().unwrap_err().kind();
        assert!(
            matches!(
                waited,
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
            "{waited:?}"
        );
        drop(client);
        draining.join().unwrap();
    });
}

#[test]
fn an_interrupt_ends_the_wait_for_responses() {
    for script in ["200@1m", "timeout"] {
        let mut listener = listener(script);
        let mut client = Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n");
        captured(&listener);
        let started = Instant::now();
        listener.drain(|| started.elapsed() > Duration::from_millis(50));
        assert!(
            started.elapsed() < Duration::from_millis(800),
            "{script}: {:?}",
            started.elapsed()
        );
        assert!(
            client.until_closed().is_ok_and(|rest| rest.is_empty()),
            "{script}: not answered early"
        );
    }
}
