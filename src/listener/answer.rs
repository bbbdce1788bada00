//! What an answer says: its text and headers for a status, and the same answer written by hand where hyper writes none.
//!
//! Deliberately has no say in which status is answered: that is the script's, or a fault's.
//!
//! Invariant: the tape is told when hyper has taken the last of an answer. It counts on that to know where one ends. And
//! hyper, which copies what it takes, holds no more than [`PIECE`] of a long one.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use hyper::{Response, StatusCode};

use super::tape::Tape;

const TEXT_PLAIN: &str = "text/plain";

/// Bytes of an answer's body that hyper is given at once.
const PIECE: usize = 64 * 1024;

/// An answer that is not yet on its way.
pub(super) type Answer = Response<Bytes>;

/// An answer on its way.
pub(super) type Sent = Response<ResponseBody>;

/// A body that tells the tape when hyper is done with it.
pub(super) struct ResponseBody {
    body: axum::body::Body,
    /// Read from `body` and not yet given to hyper.
    pending: Bytes,
    tape: Rc<RefCell<Tape>>,
    /// Resolves when the rest of a stream is no longer wanted.
    ended: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Sends an answer on its way.
pub(super) fn send(answer: Answer, tape: &Rc<RefCell<Tape>>) -> Sent {
    send_body(answer.map(axum::body::Body::from), tape, None)
}

/// Sends an answer whose body may be a stream, which ends early when `ended` resolves.
pub(super) fn send_body(
    answer: Response<axum::body::Body>,
    tape: &Rc<RefCell<Tape>>,
    ended: Option<Pin<Box<dyn Future<Output = ()>>>>,
) -> Sent {
    tape.borrow_mut().answer();
    answer.map(|body| ResponseBody {
        body,
        pending: Bytes::new(),
        tape: Rc::clone(tape),
        ended,
    })
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.tape.borrow_mut().answered();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(ended) = &mut self.ended
            && ended.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        if self.pending.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)?) {
                None => return Poll::Ready(None),
                Some(frame) => self.pending = frame.into_data().unwrap_or_default(),
            }
        }
        let piece = PIECE.min(self.pending.len());
        Poll::Ready(Some(Ok(Frame::data(self.pending.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.size_hint();
        match body.exact() {
            Some(exact) => SizeHint::with_exact(exact + self.pending.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// What scripted answers carry.
#[derive(Debug, Default)]
pub(super) struct Dress {
    body: Option<Bytes>,
    headers: HeaderMap,
}

/// Why a header cannot be answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a name, or a value that would break the line.
    #[error(
        "`{0}` is not a header to answer with: a name is letters, digits and `-`, a value has no control characters"
    )]
    Unwritable(String),
    /// A header that says how the answer is framed.
    #[error("`{0}` cannot be chosen: it follows from the body and the connection")]
    Framing(String),
}

impl Dress {
    /// Whether answers say nothing that was chosen on the command line, but their status.
    pub(super) fn is_plain(&self) -> bool {
        self.body.is_none() && self.headers.is_empty()
    }

    /// Takes a body, if any, instead of `ok`, and headers beside or instead of the `Content-Type`.
    pub(super) fn new(
        body: Option<Vec<u8>>,
        headers: &[(String, String)],
    ) -> Result<Dress, HeaderError> {
        let mut dress = Dress {
            body: body.map(Bytes::from),
            headers: HeaderMap::new(),
        };
        for (name, value) in headers {
            let unwritable = || HeaderError::Unwritable(name.clone());
            if is_framing(name) {
                return Err(HeaderError::Framing(name.clone()));
            }
            let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unwritable())?;
            dress.headers.append(
                known,
                HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unwritable())?,
            );
        }
        Ok(dress)
    }
}

/// Whether a header concerns one connection or its framing, and not what is said.
pub(super) fn is_framing(name: &str) -> bool {
    const FRAMING: [&str; 10] = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    FRAMING
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

/// The script's answer with `status`.
pub(super) fn scripted(status: u16, dress: &Dress) -> Answer {
    let mut response = match &dress.body {
        Some(body) if has_body(status) => with(status, body.clone()),
        _ => with(status, text(status)),
    };
    if !dress.headers.is_empty() {
        let headers = response.headers_mut();
        if dress.headers.contains_key(CONTENT_TYPE) {
            headers.remove(CONTENT_TYPE);
        }
        headers.extend(dress.headers.clone());
    }
    response
}

/// Keeps an answer that a browser might show as a page apart from hookfire's own page, which has the same address: what runs
/// in it has an origin of its own, to which nothing here answers. A policy that the answer has already still holds.
pub(super) fn kept_apart(mut answer: Answer) -> Answer {
    let apart = HeaderValue::from_static("sandbox allow-scripts allow-forms");
    answer.headers_mut().append(CONTENT_SECURITY_POLICY, apart);
    answer
}

/// An answer with `status` that says why, in words; with `close`, the connection ends after it.
pub(super) fn refusing(status: u16, words: &str, close: bool) -> Answer {
    let mut response = with(status, Bytes::from(format!("{words}\n")));
    if close {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer in plain text.
fn with(status: u16, body: Bytes) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status_code(status);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_PLAIN));
    response
}

/// Scripts and faults only know statuses from 200 to 599, which are all valid.
pub(super) fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The bytes of the answer to what hyper refused; the connection ends after it.
pub(super) fn refusal(status: u16) -> Vec<u8> {
    let reason = reason(status);
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {TEXT_PLAIN}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}\n",
        reason.len() + 1
    )
    .into_bytes()
}

/// `ok` for what went well, exactly as RequestBin says it, else the reason phrase, with a line end for those who read it
/// in a terminal.
fn text(status: u16) -> Bytes {
    match status {
        _ if !has_body(status) => Bytes::new(),
        200..=299 => Bytes::from_static(b"ok"),
        _ => Bytes::from(format!("{}\n", reason(status))),
    }
}

fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 205 | 304)
}

pub(super) fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("No Reason Phrase")
}
