//! Whatever fails a worker, each request is answered, and the next one is sent.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::delivery::target::Target;
use crate::http::TransportOptions;
use crate::secret::Secret;

/// Nothing here lasts so long unless it lasts for ever.
const LONG: Duration = Duration::from_secs(20);
/// How long those may take that never end.
const SHORT: Duration = Duration::from_secs(1);

const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const PANICS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\npanic";
/// Those that never end, which the client alone would wait for.
const TRICKLES: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n";
const PANICS_TRICKLING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\npanic";
const TURNED_AWAY: &str = "200, the response body was still coming after 1s";

/// Gives each connection its answer, and a byte more now and then for as long as somebody listens.
struct Endpoint {
    url: String,
}

impl Endpoint {
    fn new(answers: &'static [&'static [u8]]) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = move |answer: &&[u8]| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
            stream.write_all(answer).unwrap();
            thread::spawn(move || {
                while stream.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
            });
        };
        thread::spawn(move || answers.iter().for_each(answer));
        Endpoint { url }
    }

    /// Sends there on these threads, and gives up after so long.
    fn crew(&self, pool: &Arc<Pool>, timeout: Duration) -> KeptAlive {
        let options = TransportOptions {
            timeout,
            ..TransportOptions::default()
        };
        let base = Target::from_url(&self.url).unwrap().base;
        let interrupted = Arc::clone(&pool.0.interrupted);
        KeptAlive::new(
            Sender::new(&options, &base, 0, interrupted).unwrap(),
            Arc::clone(pool),
        )
    }

    fn begin(&self, pool: &Arc<Pool>, timeout: Duration) -> Receiver<Answer> {
        let (url, redactor) = (Secret::new(&self.url), Redactor::default());
        let target = Arc::new(Resolved {
            url,
            headers: Vec::new(),
            redactor,
        });
        let (tell, told) = mpsc::channel();
        let request = Request {
            body: None,
            target,
            headers: Vec::new(),
        };
        self.crew(pool, timeout)
            .begin(request, Box::new(move |answer| drop(tell.send(answer))));
        told
    }
}

/// A crew of one.
fn pool(means: Means) -> Arc<Pool> {
    Arc::new(Pool::with(1, Arc::default(), means).unwrap())
}

/// What came, in words: its status with what is to be said about it, or the error's.
fn words(told: &Receiver<Answer>) -> String {
    match told.recv_timeout(LONG).expect("it is never told").result {
        Ok(Response {
            status, note: None, ..
        }) => status.to_string(),
        Ok(Response {
            status,
            note: Some(note),
            ..
        }) => format!("{status}, {note}"),
        Err(none) => {
            format!(
                "{} {}",
                none.error.message,
                if none.maybe_received {
                    "(received?)"
                } else {
                    "(not sent)"
                }
            )
        }
    }
}

/// The system gives threads except for these, counted from 0.
fn refusing(refused: impl Fn(usize) -> bool + Send + Sync + 'static) -> Means {
    let (asked, means) = (AtomicUsize::new(0), Means::default());
    let start: Start = Box::new(move |work| {
        if refused(asked.fetch_add(1, Ordering::Relaxed)) {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        (means.start)(work)
    });
    Means {
        start,
        ..Means::default()
    }
}

/// Masks what is not the word at which it panics.
fn panicking() -> Means {
    let mask = |found: Collected, redactor: &Redactor| {
        assert!(!found.received.body.starts_with(b"panic"));
        masked(found, redactor)
    };
    Means {
        mask,
        ..Means::default()
    }
}

#[test]
fn a_worker_that_was_turned_away_from_is_replaced_as_soon_as_there_is_a_thread() {
    let endpoint = Endpoint::new(&[TRICKLES, NO_CONTENT]);
    let pool = pool(Means {
        hope: LONG,
        ..refusing(|asked| (1..4).contains(&asked))
    });
    let (trickles, waits) = (endpoint.begin(&pool, SHORT), endpoint.begin(&pool, LONG));
    assert_eq!(words(&trickles), TURNED_AWAY);
    assert_eq!(words(&waits), "204");
}

#[test]
fn what_waits_is_told_when_there_is_no_thread_for_long() {
    let endpoint = Endpoint::new(&[TRICKLES]);
    let pool = pool(Means {
        hope: Duration::ZERO,
        ..refusing(|asked| asked > 0)
    });
    let (trickles, waits) = (endpoint.begin(&pool, SHORT), endpoint.begin(&pool, LONG));
    assert_eq!(words(&trickles), TURNED_AWAY);
    assert_eq!(words(&waits), "no thread to send it on (not sent)");
}

#[test]
fn an_answer_that_cannot_be_masked_is_told_as_none_and_the_next_request_is_sent() {
    let endpoint = Endpoint::new(&[PANICS, NO_CONTENT]);
    let pool = pool(panicking());
    assert_eq!(
        words(&endpoint.begin(&pool, LONG)),
        "the answer could not be masked (received?)"
    );
    assert_eq!(words(&endpoint.begin(&pool, LONG)), "204");
}

#[test]
fn one_turned_away_from_that_cannot_be_masked_is_told_and_others_are_still_watched() {
    let endpoint = Endpoint::new(&[PANICS_TRICKLING, TRICKLES]);
    let pool = pool(panicking());
    assert_eq!(
        words(&endpoint.begin(&pool, SHORT)),
        "the answer could not be masked (received?)"
    );
    assert_eq!(words(&endpoint.begin(&pool, SHORT)), TURNED_AWAY);
}
