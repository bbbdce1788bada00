//! Many clients at once, and much from one: nobody is held up, and nothing grows without bound.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::capture;
use crate::journal::store::{Batch, Done, Keeper};

const HALF_HEAD: &str = "GET /half HTTP/1.1\r\nA:";
const HALF_BODY: &str = "POST /stalled HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc";

/// How long the middle one of fifty clients waits for its answer.
fn median_wait(catcher: &TestCatcher) -> Duration {
    let wait = || {
        let started = Instant::now();
        assert_eq!(
            Client::sending(catcher, "GET /whole HTTP/1.1\r\n\r\n")
                .answer()
                .status,
            200
        );
        started.elapsed()
    };
    let mut waits: Vec<Duration> = std::iter::repeat_with(wait).take(50).collect();
    waits.sort();
    waits[25]
}

#[test]
fn more_half_requests_than_seats_do_not_delay_others() {
    let catcher = catcher("200");
    let alone = median_wait(&catcher);
    let heads: Vec<Client> = (0..400)
        .map(|_| Client::sending(&catcher, HALF_HEAD))
        .collect();
    let bodies: Vec<Client> = (0..200)
        .map(|_| Client::sending(&catcher, HALF_BODY))
        .collect();
    let crowded = median_wait(&catcher);
    // The middle one of many: a busy machine delays some, a crowd that is in the way all of them.
    assert!(
        crowded < alone + Duration::from_millis(50),
        "{alone:?} alone, {crowded:?} in the crowd"
    );
    drop((heads, bodies));
    let captures: Vec<Seen> =
        std::iter::from_fn(|| catcher.kept.recv_timeout(PATIENCE).ok().map(Seen::from))
            .take(700)
            .collect();
    assert_eq!(
        captures.iter().filter(|capture| !capture.malformed).count(),
        100
    );
    // Whether their seats were wanted or they went away: what was sent is kept.
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
fn the_longest_silent_makes_room_and_is_told_why() {
    let catcher = catcher_with(
        "200,timeout,200",
        Limits {
            connections: 4,
            ..Limits::default()
        },
    );
    let mut idle = Client::sending(&catcher, "GET /idle HTTP/1.1\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    let mut held = Client::sending(&catcher, "GET /held HTTP/1.1\r\n\r\n");
    let mut head = Client::sending(&catcher, HALF_HEAD);
    let mut body = Client::sending(&catcher, HALF_BODY);
    let mut newest = Vec::new();
    for _ in 0..4 {
        let mut client = Client::sending(&catcher, "GET /new HTTP/1.1\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        newest.push(client);
    }
    assert_eq!(idle.until_closed().unwrap(), b"");
    assert_eq!(held.until_closed().unwrap(), b"");
    assert_eq!([head.answer().status, body.answer().status], [408, 408]);
    assert_eq!(head.until_closed().unwrap(), b"");
    assert_eq!(body.until_closed().unwrap(), b"");
    let mut captures: Vec<(String, Option<u16>, Vec<u8>)> = (0..8)
        .map(|_| caught(&catcher))
        .map(|capture| (capture.target, capture.answer_status, capture.body))
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
fn who_is_refused_while_sending_much_reads_why_when_it_is_done() {
    let catcher = catcher("200");
    let size = 100 << 20;
    let mut client = Client::sending(
        &catcher,
        format!("POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n"),
    );
    let piece = vec![b'x'; 1 << 20];
    // Some clients look for an answer only when all is sent.
    for _ in 0..size / piece.len() {
        client.send(&piece);
    }
    assert_eq!(client.answer().status, 413);
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(caught(&catcher).body.len() <= 1 << 20);
}

/// A POST that has sent so many bytes of one more.
fn stalled(bytes: usize) -> Vec<u8> {
    let head = format!(
        "POST /stalled HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        bytes + 1
    );
    [head.into_bytes(), vec![b'x'; bytes]].concat()
}

#[test]
fn bodies_that_do_not_fit_into_the_memory_wait_and_the_silent_make_room() {
    let limits = Limits {
        buffered_bytes: 1 << 20,
        ..Limits::default()
    };
    let catcher = catcher_with("200", limits);
    let sent = 600 << 10;
    // Twenty times as much as there is room for; what is small is not concerned.
    let mut crowd: Vec<Client> = (0..20).map(|_| Client::connect(&catcher)).collect();
    let sending: Vec<_> = crowd
        .iter_mut()
        .map(|client| {
            let mut stream = client.0.get_ref().try_clone().unwrap();
            std::thread::spawn(move || stream.write_all(&stalled(sent)))
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(
            Client::sending(&catcher, "GET /small HTTP/1.1\r\n\r\n")
                .answer()
                .status,
            200
        );
    }
    let mut large = Client::sending(&catcher, [stalled(sent), b"x".to_vec()].concat());
    assert_eq!(large.answer().status, 200);
    for client in &mut crowd {
        assert_eq!(client.answer().status, 408);
    }
    sending
        .into_iter()
        .for_each(|sending| sending.join().unwrap().unwrap());
    let captures: Vec<Seen> = (0..41).map(|_| caught(&catcher)).collect();
    let refused: Vec<&Seen> = captures
        .iter()
        .filter(|capture| capture.malformed)
        .collect();
    assert_eq!(refused.len(), 20);
    assert!(refused.iter().all(|capture| {
        capture
            .note
            .as_deref()
            .is_some_and(|note| note.contains("silent"))
    }));
    assert_eq!(
        refused
            .iter()
            .filter(|capture| capture.body.len() == sent)
            .count(),
        20,
        "they were read before"
    );
}

/// Keeps all but the first, which it keeps when it is told to.
struct Hesitant {
    keeper: mpsc::Sender<(Capture, Body)>,
    withheld: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    first: AtomicBool,
    told: mpsc::Sender<()>,
}

impl Keeper for Hesitant {
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        let keeper = self.keeper.clone();
        let keep = move || keeper.keep(captures, done);
        if self.first.swap(false, Ordering::SeqCst) {
            *self.withheld.lock().unwrap() = Some(Box::new(keep));
            self.told.send(()).unwrap();
        } else {
            keep();
        }
    }

    fn amend(&self, id: i64, answer: capture::CapturedResponse, done: Done<()>) {
        self.keeper.amend(id, answer, done);
    }
}

#[test]
fn who_finds_no_memory_in_time_is_answered_503() {
    let (told, withheld) = mpsc::channel();
    let (keeper, kept) = mpsc::channel();
    let hesitant = Arc::new(Hesitant {
        keeper,
        withheld: Mutex::default(),
        first: AtomicBool::new(true),
        told,
    });
    let mut setup = Setup::new(ANY_PORT, "200".parse().unwrap(), hesitant.clone());
    setup.limits.buffered_bytes = 64 << 10;
    let deadline = Duration::from_millis(300);
    setup.limits.body_deadline = deadline;
    let catcher = Catcher::bind(setup).unwrap();
    // Whole, larger than all there is, and in memory until it is kept.
    let mut first = Client::sending(&catcher, [stalled(600 << 10), b"x".to_vec()].concat());
    withheld.recv_timeout(PATIENCE).unwrap();
    let mut second = Client::sending(&catcher, [stalled(20 << 10), b"x".to_vec()].concat());
    let mut small = Client::sending(&catcher, "GET /small HTTP/1.1\r\n\r\n");
    // What comes meanwhile is kept after it, so that nobody sees from outside when the time of the second is up.
    std::thread::sleep(deadline * 3);
    (hesitant.withheld.lock().unwrap().take().unwrap())();
    assert_eq!(
        [
            first.answer().status,
            second.answer().status,
            small.answer().status
        ],
        [200, 503, 200]
    );
    let mut captures: Vec<Seen> = (0..3)
        .map(|_| kept.recv_timeout(PATIENCE).map(Seen::from).unwrap())
        .collect();
    captures.sort_by_key(|capture| capture.body.len());
    assert_eq!(captures[0].target, "/small");
    assert!(captures[1].malformed && captures[1].body.len() < 20 << 10);
    assert_eq!(
        captures[1].note.as_deref(),
        Some("others took all 64 KiB that may be buffered")
    );
}

#[test]
fn too_much_framing_for_an_exact_copy_is_413() {
    let catcher = catcher("200");
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "1\r\nx\r\n".repeat(400_000);
    let mut client = Client::sending(&catcher, head);
    client.send(&chunks);
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    let capture = caught(&catcher);
    assert!(capture.malformed);
    let wire = capture.wire.unwrap();
    assert_eq!(wire.len(), (1 << 20) + (64 << 10));
    assert!(chunks.as_bytes().starts_with(&wire));
    // The same bytes in fewer chunks are taken, and are exact.
    let chunks = format!(
        "{}0\r\nA: b\r\n\r\n",
        "400\r\n".to_owned() + &"x".repeat(1024) + "\r\n"
    );
    let mut client = Client::sending(&catcher, format!("{head}{chunks}"));
    assert_eq!(client.answer().status, 200);
    let capture = caught(&catcher);
    assert_eq!(
        (capture.wire.as_deref(), capture.body.len()),
        (Some(chunks.as_bytes()), 1024)
    );
}
