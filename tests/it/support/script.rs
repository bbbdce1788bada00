//! The steps of a [`Server`](super::Server) script. Each step knows the line of the test that created it, for error
//! messages.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Body, Response};

/// A step: what to do with the next request, or with several.
#[must_use = "a step does nothing until it is part of a script"]
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) action: Arc<Action>,
    /// Number of requests; `None`: all further ones, at least one.
    pub(super) wanted: Option<usize>,
    pub(super) used: usize,
    pub(super) name: String,
    pub(super) place: &'static Location<'static>,
}

/// Responds with this status and an empty body.
#[track_caller]
pub fn respond(status: u16) -> Step {
    response(
        format!("respond({status})"),
        status,
        Body::Bytes(Vec::new()),
    )
}

/// Responds to `n` requests with this status.
#[track_caller]
pub fn repeat(status: u16, n: usize) -> Step {
    respond(status).times(n)
}

/// Responds to all further requests with this status. Must be the last step; at least one request must arrive.
#[track_caller]
pub fn forever(status: u16) -> Step {
    respond(status).endlessly()
}

/// Responds with 503 and repeats the request in the body and in the header `X-Echo`, to test masking.
#[track_caller]
pub fn echo() -> Step {
    response("echo()".to_owned(), 503, Body::Echo)
}

/// Responds with 200, announces `declared` bytes, sends `sent`, and closes.
#[track_caller]
pub fn head_then_cut_body(declared: u64, sent: u64) -> Step {
    assert!(
        sent < declared,
        "a body of {declared} bytes is not cut after {sent}"
    );
    response(
        format!("head_then_cut_body({declared}, {sent})"),
        200,
        Body::Cut { declared, sent },
    )
}

/// Responds with 200, then sends `byte` once per `interval`.
#[track_caller]
pub fn drip_body(interval: Duration, byte: u8) -> Step {
    response(
        format!("drip_body({interval:?}, {byte})"),
        200,
        Body::Drip { interval, byte },
    )
}

/// Responds with 200 and this number of zero bytes.
#[track_caller]
pub fn huge_body(bytes_total: u64) -> Step {
    response(
        format!("huge_body({bytes_total})"),
        200,
        Body::Huge(bytes_total),
    )
}

/// Responds with 200 and an endless chunked body, which ends after 256 MiB.
#[track_caller]
pub fn chunked_endless() -> Step {
    response("chunked_endless()".to_owned(), 200, Body::Chunks)
}

/// Sends these bytes and closes.
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

/// Sends an endless head, one byte per `interval`.
#[track_caller]
pub fn drip_head(interval: Duration) -> Step {
    Step::new(
        format!("drip_head({interval:?})"),
        Action::DripHead(interval),
    )
}

/// Responds with 200 and endless headers, which end after 256 MiB.
#[track_caller]
pub fn endless_headers() -> Step {
    Step::new("endless_headers()".to_owned(), Action::EndlessHeaders)
}

/// Reads the request and closes (FIN) without a response.
#[track_caller]
pub fn close() -> Step {
    Step::new("close()".to_owned(), Action::Close)
}

/// Reads the request and resets the connection (RST).
#[track_caller]
pub fn reset() -> Step {
    Step::new("reset()".to_owned(), Action::Reset)
}

/// Reads the request and never responds.
#[track_caller]
pub fn hang() -> Step {
    Step::new("hang()".to_owned(), Action::Hang)
}

/// Neither reads nor responds, so that a client blocks when the socket buffers are full. Such a request is not
/// recorded; use [`Server::wait_for_connections`](super::Server::wait_for_connections).
#[track_caller]
pub fn hang_before_read() -> Step {
    Step::new("hang_before_read()".to_owned(), Action::HangBeforeRead)
}

/// Sends these bytes as soon as a request starts, reads nothing, and keeps the connection.
#[track_caller]
pub fn early(response: impl Into<Vec<u8>>) -> Step {
    Step::new(
        "early(…)".to_owned(),
        Action::Early {
            response: response.into(),
            close: false,
        },
    )
}

/// Like [`early`], and closes at once, which resets a connection that is still being written to.
#[track_caller]
pub fn early_then_close(response: impl Into<Vec<u8>>) -> Step {
    Step::new(
        "early_then_close(…)".to_owned(),
        Action::Early {
            response: response.into(),
            close: true,
        },
    )
}

/// Reads the request, sends these bytes, and resets the connection (RST).
#[track_caller]
pub fn raw_then_reset(bytes: impl Into<Vec<u8>>) -> Step {
    Step::new(
        "raw_then_reset(…)".to_owned(),
        Action::RawThenReset(bytes.into()),
    )
}

#[track_caller]
fn response(name: String, status: u16, body: Body) -> Step {
    let response = Response {
        status,
        reason: None,
        headers: Vec::new(),
        body,
        keep_alive: false,
        held: false,
        pace: Duration::ZERO,
    };
    Step::new(name, Action::Response(response))
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

    #[track_caller]
    pub fn times(mut self, n: usize) -> Self {
        assert!(n > 0, "{} for no request at all is not a step", self.name);
        self.wanted = Some(n);
        self
    }

    /// For all further requests, at least one. Must be the last step.
    pub fn endlessly(mut self) -> Self {
        self.wanted = None;
        self
    }

    #[track_caller]
    pub fn status(self, status: u16) -> Self {
        self.change("status", |response| response.status = status)
    }

    #[track_caller]
    pub fn reason(self, reason: &str) -> Self {
        self.change("reason", |response| {
            response.reason = Some(reason.to_owned())
        })
    }

    /// Adds a header. `Content-Length`, `Transfer-Encoding` and `Connection` replace the default.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.change("header", |response| {
            response.headers.push((name.to_owned(), value.to_owned()))
        })
    }

    /// Sets the body and its `Content-Length`.
    #[track_caller]
    pub fn body(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.change("body", |response| response.body = Body::Bytes(bytes.into()))
    }

    /// Keeps the connection open; by default every response closes it.
    #[track_caller]
    pub fn keep_alive(self) -> Self {
        self.change("keep_alive", |response| response.keep_alive = true)
    }

    /// Holds the response until [`Server::release`](super::Server::release).
    #[track_caller]
    pub fn held(self) -> Self {
        self.change("held", |response| response.held = true)
    }

    /// Reads the request in pieces, with a delay before each.
    #[track_caller]
    pub fn reading_slowly(self, pace: Duration) -> Self {
        self.change("reading_slowly", |response| response.pace = pace)
    }

    #[track_caller]
    fn change(mut self, what: &str, change: impl FnOnce(&mut Response)) -> Self {
        match Arc::make_mut(&mut self.action) {
            Action::Response(response) => change(response),
            _ => panic!("{} sends no response that could have a `{what}`", self.name),
        }
        self
    }
}
