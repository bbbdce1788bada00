//! Responses: plain text for a status, and the body type that all responses share.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::memory::MemoryPermit;
use super::recorder::{HttpPhase, RequestRecorder};

const TEXT_PLAIN: &str = "text/plain";

/// Bytes of a body that hyper gets at once: it copies them.
const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Resolves when the client no longer wants the rest of a stream.
pub(super) type StreamEnd = Pin<Box<dyn Future<Output = ()>>>;

/// The body of a response on its way to the client. Tells the recorder when hyper has received all of it.
pub(super) struct ResponseBody {
    body: axum::body::Body,
    /// Read from `body` and not yet given to hyper.
    pending: Bytes,
    recorder: Rc<RefCell<RequestRecorder>>,
    /// For bodies without an end of their own.
    pub end: Option<StreamEnd>,
    /// Held until the body was sent.
    pub memory: MemoryPermit,
}

impl ResponseBody {
    pub(super) fn new(body: axum::body::Body, recorder: &Rc<RefCell<RequestRecorder>>) -> Self {
        {
            let mut recorder = recorder.borrow_mut();
            recorder.phase = HttpPhase::Responding;
            recorder.response_complete = false;
        }
        Self {
            body,
            pending: Bytes::new(),
            recorder: Rc::clone(recorder),
            end: None,
            memory: MemoryPermit::default(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.recorder.borrow_mut().response_complete = true;
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        if self.pending.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)?) {
                None => return Poll::Ready(None),
                Some(frame) => self.pending = frame.into_data().unwrap_or_default(),
            }
        }
        let length = MAX_FRAME_BYTES.min(self.pending.len());
        Poll::Ready(Some(Ok(Frame::data(self.pending.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.size_hint().exact() {
            Some(exact) => SizeHint::with_exact(exact + self.pending.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// Puts a response whose content the listener does not control into an origin of its own: its scripts cannot use the web UI,
/// which has the same address. A policy that the response already has still holds.
pub(super) fn sandbox(response: &mut Response<Bytes>) {
    let policy = HeaderValue::from_static("sandbox allow-scripts allow-forms");
    let headers = response.headers_mut();
    let mut policies = headers.get_all(CONTENT_SECURITY_POLICY).iter();
    if !policies.any(|existing| existing == policy) {
        headers.append(CONTENT_SECURITY_POLICY, policy);
    }
}

/// A response with a message; with `close`, the connection ends after it.
pub(super) fn message(status: u16, message: &str, close: bool) -> Response<Bytes> {
    let mut response = plain_text(status, Bytes::from(format!("{message}\n")));
    if close {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub(super) fn plain_text(status: u16, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status_code(status);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_PLAIN));
    response
}

/// Scripts and refusals have statuses from 200 to 599, which are all valid.
pub(super) fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The bytes of a response that hyper does not write; the connection ends after it.
pub(super) fn message_bytes(status: u16) -> Vec<u8> {
    let reason = reason(status);
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {TEXT_PLAIN}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}\n",
        reason.len() + 1
    )
    .into_bytes()
}

/// `ok` for a success, as RequestBin responds, else the reason phrase with a line end for terminals.
pub(super) fn default_body(status: u16) -> Bytes {
    match status {
        _ if !has_body(status) => Bytes::new(),
        200..=299 => Bytes::from_static(b"ok"),
        _ => Bytes::from(format!("{}\n", reason(status))),
    }
}

pub(super) fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 205 | 304)
}

pub(super) fn reason(status: u16) -> &'static str {
    let reason = status_code(status).canonical_reason();
    reason.unwrap_or("No Reason Phrase")
}
