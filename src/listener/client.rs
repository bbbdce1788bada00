//! One connection as the handler sees it: reads requests within the limits, and sends responses.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::io::ErrorKind::{InvalidData, InvalidInput};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::Poll;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::time::timeout;

use super::connections::Activity;
use super::framing::BodyLength;
use super::limits::ListenerLimits;
use super::recorder::{RecordedRequest, RequestRecorder, RequestStart};
use super::refusal::Refusal;
use super::response::{self, ResponseBody, StreamEnd};
use super::shutdown::Shutdown;
use super::stream::HttpStream;

/// How to close a connection when hyper no longer runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseMode {
    Close,
    /// The client may still be sending when it is refused.
    Linger,
    /// The client is silent, and its connection is needed.
    Evict,
    /// No response: the connection stays open.
    Hold,
    Reset,
}

/// Makes hyper end the connection without a response.
#[derive(Debug, thiserror::Error)]
#[error("the script sends no response")]
pub(super) struct NoResponse;

pub(super) struct ClientConnection {
    pub recorder: Rc<RefCell<RequestRecorder>>,
    pub activity: Rc<Activity>,
    /// Gone when hyper has ended.
    pub stream: Weak<RefCell<Box<dyn HttpStream>>>,
    pub remote_addr: SocketAddr,
    pub close_mode: Cell<CloseMode>,
    /// While the script's response is sent: the id of the capture, the status, and the start of the request.
    pub responding: Cell<Option<(i64, u16, RequestStart)>>,
    /// Whether this is a plain connection to a port that expects TLS.
    pub is_plain_on_tls_port: bool,
    pub shutdown: Shutdown,
}

impl ClientConnection {
    /// Reads the request with this method, which hyper has just parsed, and decodes a chunked body.
    ///
    /// `None` if the recorder has another request.
    pub(super) async fn read_request(
        &self,
        method: &str,
        body: Incoming,
        limits: &ListenerLimits,
    ) -> Option<(RecordedRequest, Option<Refusal>)> {
        let framing = {
            let mut recorder = self.recorder.borrow_mut();
            let head = recorder.begin_handling()?;
            if !head.has_method(method) {
                return None;
            }
            head.framing
        };
        let is_chunked = framing.length == BodyLength::Chunked;
        let mut decoded = Vec::new();
        let reading = self.read_body(body, limits, is_chunked.then_some(&mut decoded));
        let refusal = reading.await;
        self.activity.end_client_wait();
        let mut recorder = self.recorder.borrow_mut();
        let mut request = recorder.take_current(refusal.is_none())?;
        let invalid = [Some(Refusal::InvalidChunks), Some(Refusal::IncompleteBody)];
        if is_chunked && !invalid.contains(&refusal) {
            request.body.wire = Some(std::mem::replace(&mut request.body.bytes, decoded));
        }
        let refusal = refusal
            .or(request.truncated.then_some(Refusal::TooMuchChunkFraming))
            .or(framing.conflicting.then_some(Refusal::ConflictingLengths))
            .or(self.is_plain_on_tls_port.then_some(Refusal::PlainHttp));
        Some((request, refusal))
    }

    async fn read_body(
        &self,
        mut body: Incoming,
        limits: &ListenerLimits,
        decoded: Option<&mut Vec<u8>>,
    ) -> Option<Refusal> {
        if body.is_end_stream() {
            return None;
        }
        if body.size_hint().lower() > limits.body_bytes as u64 {
            // At once, so that a client that sent `Expect: 100-continue` is not asked to continue.
            return Some(Refusal::BodyTooLong);
        }
        let reading = read_frames(&mut body, limits.body_bytes, decoded);
        let reading = timeout(limits.body_deadline, reading);
        match self.activity.unless_evicted(reading).await {
            Some(Ok(refusal)) => refusal,
            Some(Err(_)) if self.recorder.borrow().awaited_permit.is_some() => {
                Some(Refusal::OutOfMemory)
            }
            Some(Err(_)) => Some(Refusal::BodyTimeout),
            None => {
                self.close_mode.set(CloseMode::Evict);
                Some(Refusal::Evicted)
            }
        }
    }

    pub(super) fn respond(&self, response: Response<Bytes>) -> Response<ResponseBody> {
        self.responding.set(None);
        response.map(|body| ResponseBody::new(body.into(), &self.recorder))
    }

    /// The response to a request that could not be stored.
    pub(super) fn respond_unavailable(&self) -> Response<ResponseBody> {
        self.respond(response::message(503, response::reason(503), true))
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> Response<ResponseBody> {
        let closes = refusal.is_malformed();
        if closes && self.close_mode.get() == CloseMode::Close {
            self.close_mode.set(CloseMode::Linger);
        }
        let (status, message) = (refusal.status(), refusal.message());
        self.respond(response::message(status, message, closes))
    }

    /// Resolves when the client has hung up, or the listener drains.
    pub(super) fn stream_end(&self) -> StreamEnd {
        let (shutdown, stream) = (self.shutdown.clone(), self.stream.clone());
        Box::pin(async move {
            let hung_up = poll_fn(|cx| match stream.upgrade() {
                Some(stream) => stream.borrow().poll_hung_up(cx),
                None => Poll::Ready(()),
            });
            let _ = shutdown.unless_draining(hung_up).await;
        })
    }
}

/// Reads a body to its end, or to the first byte beyond `limit`.
async fn read_frames(
    body: &mut Incoming,
    limit: usize,
    mut decoded: Option<&mut Vec<u8>>,
) -> Option<Refusal> {
    let mut left = limit;
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Some(body_error(&error)),
        };
        if let Some(decoded) = &mut decoded {
            decoded.extend_from_slice(&data[..left.min(data.len())]);
        }
        if data.len() > left {
            return Some(Refusal::BodyTooLong);
        }
        left -= data.len();
    }
    None
}

fn body_error(error: &hyper::Error) -> Refusal {
    let source = error.source().and_then(|source| source.downcast_ref());
    match source.map(std::io::Error::kind) {
        Some(InvalidInput | InvalidData) => Refusal::InvalidChunks,
        _ => Refusal::IncompleteBody,
    }
}
