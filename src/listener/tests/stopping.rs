//! How a catcher begins and ends.

use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use super::super::CatcherError;
use super::*;
use crate::capture;
use crate::journal::store::{Batch, Done, JournalError, Keeper};

fn stop_promptly(catcher: &mut Catcher) {
    let started = Instant::now();
    catcher.stop();
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let catcher = catcher("200");
    let again = Setup::new(
        catcher.addr(),
        "200".parse().unwrap(),
        Arc::new(mpsc::channel().0),
    );
    let again = Catcher::bind(again).unwrap_err();
    assert!(matches!(again, CatcherError::Bind { addr, .. } if addr == catcher.addr()));
    assert_eq!(
        again.to_string(),
        format!("cannot listen on `{}`", catcher.addr())
    );
}

#[test]
fn the_url_can_be_reached_from_here() {
    let here = catcher("200");
    assert_eq!(here.url(), format!("http://{}", here.addr()));
    let everywhere = catcher_set_up("200", |setup| {
        setup.addr = SocketAddr::from(([0, 0, 0, 0], 0))
    });
    assert_eq!(
        everywhere.url(),
        format!("http://127.0.0.1:{}", everywhere.addr().port())
    );
}

#[test]
fn stop_does_not_wait_for_idle_or_half_sent_or_held_connections() {
    let mut catcher = catcher("200,timeout");
    let mut idle = Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    caught(&catcher);
    let mut held = Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n");
    caught(&catcher);
    let mut fresh = Client::connect(&catcher);
    let mut half = Client::sending(&catcher, "nonsense");
    // Once this later connection was served and seen to end, the half-sent head before it was read, too.
    let mut seen = Client::sending(
        &catcher,
        "POST / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(seen.answer().status, 100);
    drop(seen);
    assert!(caught(&catcher).malformed);
    stop_promptly(&mut catcher);
    for client in [&mut idle, &mut held, &mut fresh, &mut half] {
        assert!(client.until_closed().is_ok_and(|rest| rest.is_empty()));
    }
    assert!(TcpStream::connect(catcher.addr()).is_err());
    let cut = catcher.try_caught().unwrap();
    assert_eq!(
        (cut.head.as_slice(), cut.malformed, cut.answer_status),
        (&b"nonsense"[..], true, None)
    );
    assert_eq!(
        catcher.try_caught().unwrap_err(),
        TryRecvError::Disconnected
    );
}

#[test]
fn stop_lets_a_request_be_finished() {
    let mut catcher = catcher("200");
    let head = "POST / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let mut client = Client::sending(&catcher, head);
    // The go-ahead says that the request is being served.
    assert_eq!(client.answer().status, 100);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| {
            let started = Instant::now();
            catcher.stop();
            (started.elapsed(), catcher)
        });
        client.send("some body");
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        let (took, catcher) = stopping.join().unwrap();
        assert!(took < Duration::from_millis(900), "{took:?}");
        assert!(!caught(&catcher).malformed);
    });
}

#[test]
fn stop_cuts_what_takes_too_long_and_keeps_it() {
    let mut catcher = catcher("200");
    let sent = "POST / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let mut client = Client::sending(&catcher, sent);
    assert_eq!(client.answer().status, 100);
    let started = Instant::now();
    catcher.stop();
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    let cut = catcher.try_caught().unwrap();
    assert_eq!(
        (cut.head.as_slice(), cut.answer_status),
        (sent.as_bytes(), None)
    );
    assert!(cut.malformed);
    catcher.stop();
}

#[test]
fn connections_beyond_the_limit_wait_while_the_others_are_served() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let mut catcher = catcher_with("200@100ms,200", limits);
    let mut first = Client::sending(&catcher, "GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n");
    let served = caught(&catcher);
    let mut second = Client::sending(&catcher, "GET /2 HTTP/1.1\r\n\r\n");
    assert_eq!([first.answer().status, second.answer().status], [200, 200]);
    let waited = caught(&catcher);
    assert_eq!(
        [served.target.as_str(), waited.target.as_str()],
        ["/1", "/2"]
    );
    assert!(
        waited.received_at_ms - served.received_at_ms >= 99,
        "the second is read after the first is answered"
    );
    stop_promptly(&mut catcher);
}

/// Keeps nothing, and says so late, as a locked journal does.
struct Locked(Duration);

impl Keeper for Locked {
    fn keep(&self, _: Vec<(Capture, Body)>, done: Done<Batch>) {
        let patience = self.0;
        std::thread::spawn(move || {
            std::thread::sleep(patience);
            done(Err(Arc::new(JournalError::Unusable {
                path: "x".into(),
                problem: "is locked".to_owned(),
            })));
        });
    }

    fn amend(&self, _: i64, _: capture::CapturedResponse, done: Done<()>) {
        done(Ok(()));
    }
}

#[test]
fn stop_lets_a_client_know_that_its_request_could_not_be_kept() {
    let locked = Arc::new(Locked(Duration::from_millis(1_800)));
    let mut catcher = Catcher::bind(Setup::new(ANY_PORT, "200".parse().unwrap(), locked)).unwrap();
    let mut client = Client::sending(
        &catcher,
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
    );
    // The go-ahead says that the request is being served.
    assert_eq!(client.answer().status, 100);
    client.send("x");
    catcher.stop();
    assert_eq!(client.answer().status, 503);
    assert_eq!(catcher.failed_keeps().count, 1);
}

#[test]
fn finish_gives_each_answer_when_it_is_due() {
    let mut catcher = catcher("202@1200ms");
    let started = Instant::now();
    let mut client = Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n");
    caught(&catcher);
    let mut idle = Client::connect(&catcher);
    catcher.finish(|| false);
    assert!(
        started.elapsed() >= Duration::from_millis(1_200),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(client.answer().status, 202);
    assert!(idle.until_closed().is_ok_and(|rest| rest.is_empty()));
    assert!(TcpStream::connect(catcher.addr()).is_err());
}

#[test]
fn finish_waits_for_whom_is_not_to_be_answered_until_they_hang_up() {
    let mut catcher = catcher("timeout");
    let mut client = Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n");
    caught(&catcher);
    std::thread::scope(|scope| {
        let finishing = scope.spawn(|| catcher.finish(|| false));
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
        finishing.join().unwrap();
    });
}

#[test]
fn an_interrupt_ends_the_finish() {
    for script in ["200@1m", "timeout"] {
        let mut catcher = catcher(script);
        let mut client = Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n");
        caught(&catcher);
        let started = Instant::now();
        catcher.finish(|| started.elapsed() > Duration::from_millis(50));
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
