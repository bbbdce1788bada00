//! One connection as the handler sees it: reads request bodies within the limits, and hands out what was recorded.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::Poll;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::time::timeout;

use super::connections::Activity;
use super::limits::Limits;
use super::memory::MemoryPermit;
use super::recorder::{RequestRecorder, RequestStart};
use super::refusal::Refusal;
use super::response::{self, ResponseBody, StreamEnd};
use super::stop::Stop;
use super::stream::HttpStream;
use crate::capture::Body;

/// What happens to a connection after hyper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
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

/// A request as it was sent, with a chunked body also decoded.
pub(super) struct RawRequest {
    pub head: Vec<u8>,
    pub body: Body,
    /// Held until the bytes are released.
    pub memory: MemoryPermit,
}

/// The head of the current request.
#[derive(Clone, Copy)]
pub(super) struct CurrentHead {
    pub arrival: RequestStart,
    pub conflicting: bool,
}

pub(super) struct ClientConnection {
    pub recorder: Rc<RefCell<RequestRecorder>>,
    pub activity: Rc<Activity>,
    /// Gone when hyper has ended.
    pub stream: Weak<RefCell<HttpStream>>,
    pub remote_addr: SocketAddr,
    pub end: Cell<ConnectionEnd>,
    /// The capture that is being responded to by the script, with the status.
    pub responding: Cell<Option<(i64, u16)>>,
    /// Whether this is a plain connection to a port that expects TLS.
    pub is_plain_on_tls_port: bool,
    pub stop: Stop,
}

impl ClientConnection {
    /// The request that hyper has just parsed; `None` if the recorder has another one.
    pub(super) fn begin_request(&self, method: &str) -> Option<CurrentHead> {
        let mut recorder = self.recorder.borrow_mut();
        let request = recorder.begin_handling()?;
        let rest = request.head.strip_prefix(method.as_bytes())?;
        rest.starts_with(b" ").then_some(CurrentHead {
            arrival: request.arrival,
            conflicting: request.conflicting,
        })
    }

    /// Reads a body of at most `limit` bytes. Returns its decoded bytes, if `keep_decoded`, and the reason for a refusal.
    pub(super) async fn read_body(
        &self,
        mut body: Incoming,
        limit: usize,
        limits: &Limits,
        keep_decoded: bool,
    ) -> (Vec<u8>, Option<Refusal>) {
        let mut decoded = Vec::new();
        let refusal = if body.is_end_stream() {
            None
        } else if body.size_hint().lower() > limit as u64 {
            // At once, so that a client that sent `Expect: 100-continue` is not asked to continue.
            Some(Refusal::BodyTooLong)
        } else {
            let kept = keep_decoded.then_some(&mut decoded);
            let reading = timeout(limits.body_deadline, read_frames(&mut body, limit, kept));
            match self.activity.unless_evicted(reading, || true).await {
                Some(Ok(read)) => read,
                Some(Err(_)) if self.recorder.borrow().waits_for_memory() => {
                    Some(Refusal::OutOfMemory)
                }
                Some(Err(_)) => Some(Refusal::BodyTimeout),
                None => {
                    self.end.set(ConnectionEnd::Evict);
                    Some(Refusal::Evicted)
                }
            }
        };
        self.activity.end_client_turn();
        (decoded, refusal)
    }

    /// Takes the current request after its body was read; `None` if the recorder lost it.
    pub(super) fn take_request(
        &self,
        decoded: Vec<u8>,
        refusal: Option<Refusal>,
    ) -> Option<RawRequest> {
        let mut recorder = self.recorder.borrow_mut();
        let chunked = recorder.current()?.chunked;
        let (head, bytes, memory) = recorder.take_current()?;
        let is_decoded = !matches!(
            refusal,
            Some(Refusal::InvalidChunks | Refusal::IncompleteBody)
        );
        let body = if chunked && is_decoded {
            Body {
                bytes: decoded,
                wire: Some(bytes),
            }
        } else {
            Body { bytes, wire: None }
        };
        Some(RawRequest { head, body, memory })
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.recorder
            .borrow()
            .current()
            .is_some_and(|request| request.chunked)
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.recorder
            .borrow()
            .current()
            .is_some_and(|request| request.truncated)
    }

    pub(super) fn respond(&self, response: Response<Bytes>) -> Response<ResponseBody> {
        self.respond_with(response.map(axum::body::Body::from))
    }

    pub(super) fn respond_with(
        &self,
        response: Response<axum::body::Body>,
    ) -> Response<ResponseBody> {
        self.responding.set(None);
        response.map(|body| ResponseBody::new(body, &self.recorder))
    }

    /// The response to a request that could not be stored.
    pub(super) fn respond_unavailable(&self) -> Response<ResponseBody> {
        self.respond(response::message(503, response::reason(503), true))
    }

    /// The client may still be sending when the response is sent.
    pub(super) fn linger(&self) {
        if self.end.get() == ConnectionEnd::Close {
            self.end.set(ConnectionEnd::Linger);
        }
    }

    /// Resolves when the client has hung up, or the listener finishes.
    pub(super) fn stream_end(&self) -> StreamEnd {
        let (stop, stream) = (self.stop.clone(), self.stream.clone());
        Box::pin(async move {
            let hung_up = poll_fn(|cx| match stream.upgrade() {
                Some(stream) => stream.borrow().poll_hung_up(cx),
                None => Poll::Ready(()),
            });
            let _ = stop.unless_finishing(hung_up).await;
        })
    }

    /// Runs `future` while the client waits; `None` if it has hung up and its connection is needed.
    pub(super) async fn unless_abandoned<F: Future>(&self, future: F) -> Option<F::Output> {
        self.activity.unless_abandoned(future).await
    }
}

/// Reads a body to its end, or to the first byte beyond `limit`.
async fn read_frames(
    body: &mut Incoming,
    limit: usize,
    mut kept: Option<&mut Vec<u8>>,
) -> Option<Refusal> {
    let mut left = limit;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Some(body_error(&error)),
        };
        let data = frame.into_data().unwrap_or_default();
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&data[..left.min(data.len())]);
        }
        left = match left.checked_sub(data.len()) {
            Some(left) => left,
            None => return Some(Refusal::BodyTooLong),
        };
    }
    None
}

fn body_error(error: &hyper::Error) -> Refusal {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    match source {
        Some(io) if matches!(io.kind(), InvalidInput | InvalidData) => Refusal::InvalidChunks,
        _ => Refusal::IncompleteBody,
    }
}
