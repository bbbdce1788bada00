//! Clients that do not read their answers, or do not wait for them: others are served meanwhile, and what was not taken is not
//! said to be answered.

use super::*;
use crate::capture;
use crate::journal::store::{Batch, Done, Keeper};

/// More than the system holds for a client that does not read.
const LONG: usize = 4 << 20;

const TWO: &str = "GET /first HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n";

/// Tells what is amended as well.
struct Noting {
    keeper: mpsc::Sender<(Capture, Body)>,
    amended: mpsc::Sender<capture::CapturedResponse>,
}

impl Keeper for Noting {
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        self.keeper.keep(captures, done);
    }

    fn amend(&self, _: i64, answer: capture::CapturedResponse, done: Done<()>) {
        self.amended.send(answer).unwrap();
        done(Ok(()));
    }
}

/// A catcher, and what is amended of its captures.
fn noting(choose: impl FnOnce(&mut Setup)) -> (TestCatcher, Receiver<capture::CapturedResponse>) {
    let ((keeper, kept), (amends, amended)) = (mpsc::channel(), mpsc::channel());
    let mut setup = Setup::new(
        ANY_PORT,
        "200".parse().unwrap(),
        Arc::new(Noting {
            keeper,
            amended: amends,
        }),
    );
    choose(&mut setup);
    (
        TestCatcher {
            catcher: Catcher::bind(setup).unwrap(),
            kept,
        },
        amended,
    )
}

/// One with long answers.
fn verbose(limits: Limits) -> (TestCatcher, Receiver<capture::CapturedResponse>) {
    noting(|setup| {
        setup.limits = limits;
        setup.response_body = Some(vec![b'x'; LONG]);
    })
}

#[test]
fn who_does_not_read_makes_room_for_others() {
    let (catcher, amended) = verbose(Limits {
        connections: 4,
        ..Limits::default()
    });
    let deaf: Vec<Client> = (0..4).map(|_| Client::sending(&catcher, TWO)).collect();
    for _ in 0..3 {
        let answer =
            Client::sending(&catcher, "GET /whole HTTP/1.1\r\nConnection: close\r\n\r\n").answer();
        assert_eq!(
            (answer.status, answer.body.len()),
            (200, LONG),
            "who reads gets all of it"
        );
    }
    let answer = amended.recv_timeout(PATIENCE).unwrap();
    let note = "while others wanted its place, its client took nothing of its answer 200";
    assert_eq!((answer.status, answer.note.as_deref()), (None, Some(note)));
    drop((deaf, catcher.catcher));
    let captures: Vec<Seen> = catcher.kept.iter().map(Seen::from).collect();
    let rest = captures
        .iter()
        .find(|capture| capture.target == "/second")
        .unwrap();
    assert_eq!(
        (rest.malformed, rest.answer_status),
        (true, None),
        "nothing was said to it"
    );
    assert_eq!(
        rest.note.as_deref(),
        Some("its client did not take the answer before it")
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
fn who_does_not_read_is_given_up_after_a_while() {
    let (catcher, amended) = verbose(Limits {
        head_deadline: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut deaf = Client::sending(&catcher, TWO);
    let answer = amended.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        answer.note.as_deref(),
        Some("for 200ms, its client took nothing of its answer 200")
    );
    assert!(
        deaf.until_closed().is_err(),
        "an answer that was cut off must not look like a whole one"
    );
    assert_eq!(
        [caught(&catcher).target, caught(&catcher).target],
        ["/first", "/second"]
    );
}

#[test]
fn who_does_not_read_does_not_hold_up_the_stop() {
    let (mut catcher, amended) = verbose(Limits::default());
    let deaf = Client::sending(&catcher, TWO);
    assert_eq!(caught(&catcher).target, "/first");
    let started = std::time::Instant::now();
    catcher.stop();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let note = "until the listener ended, its client took nothing of its answer 200";
    assert_eq!(
        amended.recv_timeout(PATIENCE).unwrap().note.as_deref(),
        Some(note)
    );
    drop(deaf);
}

#[test]
fn who_has_hung_up_before_the_answer_is_due_makes_room_for_others() {
    let (catcher, amended) = noting(|setup| {
        setup.script = "200@1m,200@1m,200@1m,200".parse().unwrap();
        setup.limits.connections = 3;
    });
    let waiting = |path: &str| {
        let client = Client::sending(&catcher, format!("GET /{path} HTTP/1.1\r\n\r\n"));
        assert_eq!(caught(&catcher).target, format!("/{path}"));
        client
    };
    let patient = waiting("patient");
    waiting("reset").reset();
    drop(waiting("closed"));
    for _ in 0..2 {
        let mut client = Client::sending(&catcher, "GET /new HTTP/1.1\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        let answer = amended.recv_timeout(PATIENCE).unwrap();
        let note = "its client hung up, and others wanted its place before its answer was due";
        assert_eq!((answer.status, answer.note.as_deref()), (None, Some(note)));
    }
    let mut byte = [0];
    patient.0.get_ref().set_nonblocking(true).unwrap();
    let nothing = patient.0.get_ref().peek(&mut byte).unwrap_err();
    assert_eq!(
        nothing.kind(),
        std::io::ErrorKind::WouldBlock,
        "who waits is let wait"
    );
}
