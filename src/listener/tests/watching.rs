//! The live stream as a page sees it.

use super::reserved::{Clerk, catcher_with_front, front};
use super::*;
use crate::capture;
use crate::journal::store::{Batch, Done, Keeper};

fn watching(catcher: &Catcher) -> Client {
    let mut client = Client::sending(
        catcher,
        "GET /_hookfire/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .headers
            .contains(&"content-type: text/event-stream".to_owned()),
        "{answer:?}"
    );
    assert_eq!(client.event(), ["retry: 1000", "event: hello", "data: {}"]);
    client
}

impl Client {
    /// The lines of the next event.
    fn event(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty())).collect()
    }
}

#[test]
fn each_commit_is_told_to_whoever_watches() {
    let catcher = catcher_with_front(&Arc::default(), |_| {});
    let (mut one, mut other) = (watching(&catcher), watching(&catcher));
    for _ in 0..3 {
        assert_eq!(
            Client::sending(&catcher, "GET /hook HTTP/1.1\r\n\r\n")
                .answer()
                .status,
            201
        );
        for client in [&mut one, &mut other] {
            assert_eq!(
                client.event(),
                ["event: capture", "data: {\"id\":0,\"bin\":\"inbox\"}"]
            );
        }
    }
    // A stream is no capture, nor is what its client says meanwhile.
    one.send("more");
    drop(one);
    for _ in 0..3 {
        caught(&catcher);
    }
    assert!(catcher.try_caught().is_err());
}

#[test]
fn a_change_that_is_no_capture_is_told() {
    let clerk: Arc<Clerk> = Arc::default();
    let catcher = catcher_with_front(&clerk, |_| {});
    let mut client = watching(&catcher);
    // Changed until it is told: the desk may not have been asked for the first time yet.
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Bounded, so that a test that fails meanwhile does not wait for this one for ever.
            let deadline = std::time::Instant::now() + PATIENCE;
            while !done.load(std::sync::atomic::Ordering::Relaxed)
                && std::time::Instant::now() < deadline
            {
                *clerk.version.lock().unwrap() += 1;
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        assert_eq!(client.event(), ["event: changed", "data: {}"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Acknowledges everything, in a bin whose name makes events that fill buffers quickly.
struct LongWinded(String);

impl Keeper for LongWinded {
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        done(Ok(batch(captures, &self.0, || 1)));
    }

    fn amend(&self, _: i64, _: capture::CapturedResponse, done: Done<()>) {
        done(Ok(()));
    }
}

#[test]
fn who_does_not_read_is_told_what_was_missed_and_holds_up_nobody() {
    let keeper = Arc::new(LongWinded("b".repeat(100_000)));
    let mut setup = Setup::new(ANY_PORT, "201".parse().unwrap(), keeper);
    setup.front = Some(front(&Arc::default()));
    let catcher = Catcher::bind(setup).unwrap();
    let mut slow = watching(&catcher);
    let mut sender = Client::connect(&catcher);
    // More than the system's buffers and the stream's backlog hold.
    for _ in 0..1000 {
        sender.send("GET /hook HTTP/1.1\r\n\r\n");
        assert_eq!(sender.answer().status, 201);
    }
    let mut events = std::iter::from_fn(|| Some(slow.event())).take(1000);
    let lagged = events.find(|event| event[0] == "event: lagged");
    assert!(lagged.is_some_and(|event| event[1].starts_with("data: {\"missed\":")));
    // From there on it hears everything again.
    assert_eq!(events.next().unwrap()[0], "event: capture");
}

#[test]
fn streams_are_limited_and_a_place_is_free_again_when_its_client_leaves() {
    let catcher = catcher_with_front(&Arc::default(), |_| {});
    let mut all: Vec<Client> = (0..64).map(|_| watching(&catcher)).collect();
    let ask = || {
        Client::sending(
            &catcher,
            "GET /_hookfire/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
    };
    let refused = ask().answer();
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (503, "too many pages are watching already\n")
    );
    all.pop();
    let deadline = std::time::Instant::now() + PATIENCE;
    while ask().answer().status == 503 {
        assert!(
            std::time::Instant::now() < deadline,
            "the place is never free"
        );
    }
}

#[test]
fn the_stop_ends_a_stream_at_once() {
    let mut catcher = catcher_with_front(&Arc::default(), |_| {});
    let mut client = watching(&catcher);
    let started = std::time::Instant::now();
    catcher.stop();
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(client.until_closed().unwrap(), b"");
}
