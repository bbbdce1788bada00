//! The words a scripted server's script is written in: each step's name, its modifiers, and for how many
//! requests it is.
//!
//! Does nothing to a connection (`action.rs` does) and counts nothing (`server.rs` does). Invariant: a step
//! knows the line of the test that wrote it, so that a complaint can point there.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Answer, Body};

/// One step of a script: what to do with the next request, or with several.
#[must_use = "a step does nothing until it is part of a script"]
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) action: Arc<Action>,
    /// How many requests it is for; `None`: all that come, but at least one.
    pub(super) wanted: Option<usize>,
    pub(super) used: usize,
    pub(super) name: String,
    /// Where the test wrote it.
    pub(super) place: &'static Location<'static>,
}

/// Answers with this status and an empty body.
#[track_caller]
pub fn respond(status: u16) -> Step {
    answer(
        format!("respond({status})"),
        status,
        Body::Bytes(Vec::new()),
    )
}

/// Answers `n` requests with this status.
#[track_caller]
pub fn repeat(status: u16, n: usize) -> Step {
    respond(status).times(n)
}

/// Answers all further requests, at least one, with this status. Only as the last step.
#[track_caller]
pub fn forever(status: u16) -> Step {
    respond(status).endlessly()
}

/// Answers 503 with a body, and a header `X-Echo`, that repeat what came: a receiver that tells secrets on.
#[track_caller]
pub fn echo() -> Step {
    answer("echo()".to_owned(), 503, Body::Echo)
}

/// Answers 200 and promises a body of `declared` bytes, sends `sent` of them, and closes.
#[track_caller]
pub fn head_then_cut_body(declared: u64, sent: u64) -> Step {
    assert!(
        sent < declared,
        "a body of {declared} bytes is not cut after {sent}"
    );
    answer(
        format!("head_then_cut_body({declared}, {sent})"),
        200,
        Body::Cut { declared, sent },
    )
}

/// Answers 200 at once, then sends `byte` again and again, one each `interval`.
#[track_caller]
pub fn drip_body(interval: Duration, byte: u8) -> Step {
    answer(
        format!("drip_body({interval:?}, {byte})"),
        200,
        Body::Drip { interval, byte },
    )
}

/// Answers 200 with a body of so many zero bytes, as fast as the peer takes them.
#[track_caller]
pub fn huge_body(bytes_total: u64) -> Step {
    answer(
        format!("huge_body({bytes_total})"),
        200,
        Body::Huge(bytes_total),
    )
}

/// Answers 200 with a chunked body that goes on, as fast as the peer takes it, and breaks off after 256 MiB.
#[track_caller]
pub fn chunked_endless() -> Step {
    answer("chunked_endless()".to_owned(), 200, Body::Chunks)
}

/// Sends these bytes instead of an answer, and closes.
#[track_caller]
pub fn raw(bytes: impl Into<Vec<u8>>) -> Step {
    Step::new("raw(…)".to_owned(), Action::Raw(bytes.into()))
}

/// Sends `HTTP/1.1 20` and closes.
#[track_caller]
pub fn half_status_line() -> Step {
    Step::new(
        "half_status_line()".to_owned(),
        Action::Raw(b"HTTP/1.1 20".to_vec()),
    )
}

/// Sends a head, from the status line on, one byte each `interval`; the head has no end.
#[track_caller]
pub fn drip_head(interval: Duration) -> Step {
    Step::new(
        format!("drip_head({interval:?})"),
        Action::DripHead(interval),
    )
}

/// Sends a 200 and header after header, as fast as the peer takes them, and breaks off after 256 MiB.
#[track_caller]
pub fn endless_headers() -> Step {
    Step::new("endless_headers()".to_owned(), Action::EndlessHeaders)
}

/// Reads the request and closes properly (FIN) without an answer.
#[track_caller]
pub fn close() -> Step {
    Step::new("close()".to_owned(), Action::Close)
}

/// Reads the request and breaks the connection (RST).
#[track_caller]
pub fn reset() -> Step {
    Step::new("reset()".to_owned(), Action::Reset)
}

/// Reads the request and never answers.
#[track_caller]
pub fn hang() -> Step {
    Step::new("hang()".to_owned(), Action::Hang)
}

/// Reads nothing and never answers: a client that writes more than the sockets' buffers hold gets stuck
/// writing. Such a request is in no list;
/// [`Server::wait_for_connections`](super::Server::wait_for_connections) tells when it is there.
#[track_caller]
pub fn hang_before_read() -> Step {
    Step::new("hang_before_read()".to_owned(), Action::HangBeforeRead)
}

/// Sends these bytes as soon as a request begins, reads nothing of it, and stays.
#[track_caller]
pub fn early(answer: impl Into<Vec<u8>>) -> Step {
    Step::new(
        "early(…)".to_owned(),
        Action::Early {
            answer: answer.into(),
            close: false,
        },
    )
}

/// As [`early`], and closes at once, which breaks the connection of whoever is still writing.
#[track_caller]
pub fn early_then_close(answer: impl Into<Vec<u8>>) -> Step {
    Step::new(
        "early_then_close(…)".to_owned(),
        Action::Early {
            answer: answer.into(),
            close: true,
        },
    )
}

/// Reads the request, sends these bytes, and breaks the connection (RST).
#[track_caller]
pub fn raw_then_reset(bytes: impl Into<Vec<u8>>) -> Step {
    Step::new(
        "raw_then_reset(…)".to_owned(),
        Action::RawThenReset(bytes.into()),
    )
}

#[track_caller]
fn answer(name: String, status: u16, body: Body) -> Step {
    let answer = Answer {
        status,
        reason: None,
        headers: Vec::new(),
        body,
        keep_alive: false,
        held: false,
        pace: Duration::ZERO,
    };
    Step::new(name, Action::Answer(answer))
}

impl Step {
    #[track_caller]
    fn new(name: String, action: Action) -> Self {
        Self {
            action: Arc::new(action),
            wanted: Some(1),
            used: 0,
            name,
            place: Location::caller(),
        }
    }

    /// For `n` requests in a row.
    #[track_caller]
    pub fn times(mut self, n: usize) -> Self {
        assert!(n > 0, "{} for no request at all is not a step", self.name);
        self.wanted = Some(n);
        self
    }

    /// For all further requests, at least one. Only as the last step.
    pub fn endlessly(mut self) -> Self {
        self.wanted = None;
        self
    }

    /// Another status than the step's own.
    #[track_caller]
    pub fn status(self, status: u16) -> Self {
        self.change("status", |answer| answer.status = status)
    }

    /// Another reason phrase than the usual one.
    #[track_caller]
    pub fn reason(self, reason: &str) -> Self {
        self.change("reason", |answer| answer.reason = Some(reason.to_owned()))
    }

    /// One more header. A framing header (`Content-Length`, `Transfer-Encoding`, `Connection`) replaces the
    /// step's own.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.change("header", |answer| {
            answer.headers.push((name.to_owned(), value.to_owned()))
        })
    }

    /// This body, with a fitting `Content-Length`.
    #[track_caller]
    pub fn body(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.change("body", |answer| answer.body = Body::Bytes(bytes.into()))
    }

    /// Leaves the connection open for another request; without this, every answer closes it.
    #[track_caller]
    pub fn keep_alive(self) -> Self {
        self.change("keep_alive", |answer| answer.keep_alive = true)
    }

    /// Keeps the answer back until [`Server::release`](super::Server::release): order without sleeping.
    #[track_caller]
    pub fn held(self) -> Self {
        self.change("held", |answer| answer.held = true)
    }

    /// Reads the request in pieces, and waits so long before each.
    #[track_caller]
    pub fn reading_slowly(self, pace: Duration) -> Self {
        self.change("reading_slowly", |answer| answer.pace = pace)
    }

    #[track_caller]
    fn change(mut self, what: &str, change: impl FnOnce(&mut Answer)) -> Self {
        match Arc::make_mut(&mut self.action) {
            Action::Answer(answer) => change(answer),
            _ => panic!("{} sends no answer that could have a `{what}`", self.name),
        }
        self
    }
}
