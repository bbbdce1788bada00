//! Records the bytes of each request beside hyper.
//!
//! hyper parses HTTP, but changes the form of heads, and hides requests that it refuses. Captures have to
//! contain the exact bytes, and malformed requests are captured too. So the recorder stands between the socket and hyper:
//! [`RecordedStream`] passes on every byte that hyper reads or writes, and [`RequestRecorder`] keeps the bytes read.
//! It follows hyper's progress: hyper gives the requests to the handler in the order in which they were recorded, and writes
//! refusals of its own only while it reads a head.
//!
//! Next: `framing` finds the ends of heads and bodies, `connection` runs hyper on a recorded stream.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::connections::Activity;
use super::framing::{self, BodyFraming, BodyLength};
use super::limits::ListenerLimits;
use super::memory::{MemoryLimit, MemoryPermit, UNCOUNTED_BYTES};
use super::stream::HttpStream;
use crate::capture::Body;
use crate::time::UnixMs;

/// Bytes of chunk sizes, extensions and trailers that are kept beside a chunked body. A body with more is refused, as its
/// capture would not be exact.
pub(super) const MAX_CHUNK_FRAMING: usize = 64 * 1024;

/// When the first byte of a request was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestStart {
    pub received_at: UnixMs,
    at: Instant,
}

impl RequestStart {
    pub(super) fn now() -> Self {
        Self {
            received_at: UnixMs::from_system(),
            at: Instant::now(),
        }
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The head of the request that the handler has.
#[derive(Debug)]
pub(super) struct RecordedHead {
    /// From the first byte to the empty line, without empty lines before it.
    head: Vec<u8>,
    start: RequestStart,
    pub framing: BodyFraming,
}

impl RecordedHead {
    pub(super) fn has_method(&self, method: &str) -> bool {
        let rest = self.head.strip_prefix(method.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b" "))
    }
}

/// A request as it was sent.
pub(super) struct RecordedRequest {
    pub head: Vec<u8>,
    pub body: Body,
    pub start: RequestStart,
    /// Held until the bytes are released.
    pub memory: MemoryPermit,
    /// Whether the body was longer.
    pub truncated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpPhase {
    /// Reads a head: if it writes now, it refuses that head.
    ReadingHead,
    /// The handler has the oldest request.
    Handling,
    /// Writes the response to the oldest request.
    Responding,
}

/// The bytes of one connection that are not responded to yet.
pub(super) struct RequestRecorder {
    limits: ListenerLimits,
    activity: Rc<Activity>,
    memory: Arc<MemoryLimit>,
    permit: MemoryPermit,
    /// Resolves when there is memory for more.
    pub awaited_permit: Option<Pin<Box<dyn Future<Output = MemoryPermit>>>>,
    pub phase: HttpPhase,
    current: Option<RecordedHead>,
    /// Whether the handler took the body of the current request.
    pub body_taken: bool,
    /// Read after the current head, or not yet a complete head.
    bytes: Vec<u8>,
    /// When the first of `bytes` was read.
    start: Option<RequestStart>,
    /// Whether more was read than is kept.
    truncated: bool,
    /// Whether to drop the bytes read: the rest of an incomplete body, of which the start was taken.
    discards_rest: bool,
    /// Whether hyper has received the whole response to the current request.
    pub response_complete: bool,
    /// The first status with which bytes were refused.
    pub refusal: Option<u16>,
}

impl RequestRecorder {
    pub(super) fn new(
        limits: ListenerLimits,
        memory: Arc<MemoryLimit>,
        activity: Rc<Activity>,
    ) -> Self {
        Self {
            limits,
            activity,
            memory,
            permit: MemoryPermit::default(),
            awaited_permit: None,
            phase: HttpPhase::ReadingHead,
            current: None,
            body_taken: false,
            bytes: Vec::new(),
            start: None,
            truncated: false,
            discards_rest: false,
            response_complete: false,
            refusal: None,
        }
    }

    /// The head that hyper has just parsed; `None` if it is not in the recorded bytes.
    pub(super) fn begin_handling(&mut self) -> Option<&RecordedHead> {
        self.phase = HttpPhase::Handling;
        // Some clients send empty lines before a request.
        let empty_lines = self.bytes.iter().take_while(|byte| is_line_end(byte));
        self.bytes.drain(..empty_lines.count());
        let (length, framing) = framing::parse_head(&self.bytes, self.limits.headers)?;
        let body = self.bytes.split_off(length);
        self.current = Some(RecordedHead {
            head: std::mem::replace(&mut self.bytes, body),
            start: self.start.unwrap_or_else(RequestStart::now),
            framing,
        });
        self.current.as_ref()
    }

    /// Takes the current request. If its body is not complete, the bytes that follow are dropped.
    pub(super) fn take_current(&mut self, complete: bool) -> Option<RecordedRequest> {
        let current = self.current.as_mut()?;
        let (head, start) = (std::mem::take(&mut current.head), current.start);
        let mut limit = self.limits.body_bytes;
        let length = match current.framing.length {
            BodyLength::Bytes(length) => usize::try_from(length).ok(),
            BodyLength::Chunked => {
                limit = limit.saturating_add(MAX_CHUNK_FRAMING);
                framing::chunked_length(&self.bytes)
            }
        };
        let length = length.unwrap_or(usize::MAX).min(self.bytes.len());
        let rest = self.bytes.split_off(length);
        let mut bytes = std::mem::replace(&mut self.bytes, rest);
        let truncated = self.truncated || bytes.len() > limit;
        bytes.truncate(limit);
        self.truncated = false;
        self.discards_rest = !complete;
        self.start = (!self.bytes.is_empty()).then(RequestStart::now);
        self.body_taken = true;
        Some(RecordedRequest {
            head,
            body: Body { bytes, wire: None },
            start,
            memory: self.take_surplus_permit(),
            truncated,
        })
    }

    /// Notes that the bytes read are refused with `status`; only the first refusal counts.
    pub(super) fn refuse(&mut self, status: u16) {
        self.refusal.get_or_insert(status);
    }

    /// Whether hyper has refused a head before all of it was read.
    pub(super) fn is_within_refused_head(&self) -> bool {
        let mut lines = self.bytes.split_inclusive(|&byte| byte == b'\n');
        let is_complete = lines.any(|line| line.iter().all(is_line_end));
        self.refusal == Some(431) && !is_complete && self.bytes.len() <= self.limits.head_bytes
    }

    /// Takes all bytes that were not taken as requests; `None` if there are only empty lines.
    pub(super) fn take_rest(&mut self) -> Option<(Vec<u8>, RequestStart, MemoryPermit)> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut start = self.start;
        if let Some(current) = self.current.take_if(|_| !self.body_taken) {
            bytes.splice(..0, current.head);
            start = Some(current.start);
        }
        let memory = self.take_surplus_permit();
        let is_empty = bytes.iter().all(is_line_end);
        (!is_empty || self.refusal.is_some()).then_some((bytes, start?, memory))
    }

    fn record(&mut self, bytes: &[u8]) {
        if self.discards_rest {
            return;
        }
        self.start.get_or_insert_with(RequestStart::now);
        // hyper may already read the next head.
        let heads = self.limits.head_bytes.saturating_add(UNCOUNTED_BYTES);
        let body = self.limits.body_bytes.saturating_add(MAX_CHUNK_FRAMING);
        let limit = heads.saturating_add(body);
        let room = limit.saturating_sub(self.bytes.len());
        self.truncated |= bytes.len() > room;
        self.bytes.extend(&bytes[..room.min(bytes.len())]);
    }

    /// Bytes in memory, and bytes that the current head or body may still add. A chunked body counts twice: it is decoded too.
    fn buffered_and_expected(&self) -> (usize, usize) {
        let read = self.bytes.len();
        match &self.current {
            Some(RecordedHead { head, framing, .. }) if !self.body_taken => match framing.length {
                BodyLength::Bytes(length) => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let length = length.min(self.limits.body_bytes);
                    (head.len() + read, length.saturating_sub(read))
                }
                BodyLength::Chunked => {
                    let limit = self.limits.body_bytes.saturating_add(MAX_CHUNK_FRAMING);
                    (head.len() + 2 * read, limit.saturating_mul(2))
                }
            },
            _ => (read, self.limits.head_bytes),
        }
    }

    /// Ready as soon as there is memory for what the current part may still add. It is acquired at once, so that requests
    /// seldom hold some of it while they wait for more.
    fn poll_memory(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.awaited_permit.is_none() {
            let (bytes, more) = self.buffered_and_expected();
            if self.permit.covers(bytes, &self.memory) {
                return Poll::Ready(());
            }
            let missing = bytes.saturating_add(more) - self.permit.bytes();
            self.awaited_permit = Some(Box::pin(Arc::clone(&self.memory).acquire(missing)));
        }
        let Some(awaited) = &mut self.awaited_permit else {
            return Poll::Ready(());
        };
        let Poll::Ready(permit) = awaited.as_mut().poll(cx) else {
            // The client may be sending without being read: that is not silence.
            self.activity.pause_client_wait();
            return Poll::Pending;
        };
        self.awaited_permit = None;
        self.permit.merge(permit);
        self.activity.set_holds_memory(true);
        self.activity.begin_client_wait();
        Poll::Ready(())
    }

    /// The part of the permit that the bytes left do not need.
    fn take_surplus_permit(&mut self) -> MemoryPermit {
        let released = self.permit.release_all_but(self.buffered_and_expected().0);
        self.activity.set_holds_memory(!self.permit.is_empty());
        released
    }

    /// Notes the status of a refusal that hyper writes by itself; returns false for anything else. The refusal is not sent:
    /// `closing` responds after the capture.
    fn intercept_refusal(&mut self, written: &[u8]) -> bool {
        if self.phase != HttpPhase::ReadingHead {
            return false;
        }
        // `HTTP/1.1 431 …`: hyper writes a refusal at once.
        let status = std::str::from_utf8(written.get(9..12).unwrap_or_default());
        self.refuse(status.unwrap_or_default().parse().unwrap_or(400));
        true
    }

    /// Call it when hyper has nothing left to write. Returns whether that ends a response: if a response does not fit into
    /// hyper's buffer, hyper writes its beginning before it has received the rest.
    fn end_flushed_response(&mut self) -> bool {
        let ended = self.phase == HttpPhase::Responding && self.response_complete;
        if ended {
            self.phase = HttpPhase::ReadingHead;
            self.body_taken = false;
            self.current = None;
            drop(self.take_surplus_permit());
        }
        ended
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// A stream that records the bytes hyper reads. It does not read while memory is short, and fails if the client reads nothing of
/// its response for too long.
///
/// Shutting it down does nothing: `connection` may still have to send a refusal.
pub(super) struct RecordedStream {
    pub stream: Rc<RefCell<Box<dyn HttpStream>>>,
    pub recorder: Rc<RefCell<RequestRecorder>>,
    pub activity: Rc<Activity>,
    /// How long a client may read nothing of its response.
    pub write_timeout: Duration,
    /// Set while the client reads nothing of its response.
    pub stalled: Option<Pin<Box<Sleep>>>,
}

impl RecordedStream {
    /// Whether the client reads nothing of its response.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    pub(super) fn into_stream(self) -> Box<dyn HttpStream> {
        Rc::into_inner(self.stream)
            .expect("others upgrade their weak references only while they poll")
            .into_inner()
    }

    /// Passes on the result of a write. While a response cannot be written, the listener waits for the client.
    fn check_stalled<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.activity.end_client_wait();
            }
            return written;
        }
        if self.recorder.borrow().phase != HttpPhase::Responding {
            return Poll::Pending;
        }
        let stalled = self.stalled.get_or_insert_with(|| {
            self.activity.begin_wait_until(Interest::WRITABLE);
            Box::pin(sleep(self.write_timeout))
        });
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for RecordedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.recorder.borrow_mut().poll_memory(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf))?;
        self.recorder.borrow_mut().record(&buf.filled()[before..]);
        self.activity.client_progressed();
        Poll::Ready(Ok(()))
    }
}

// Not vectored, so that hyper writes the head and the body of a response with one system call.
impl AsyncWrite for RecordedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.recorder.borrow_mut().intercept_refusal(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, buf);
        self.check_stalled(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx);
        ready!(self.check_stalled(flushed, cx))?;
        if self.recorder.borrow_mut().end_flushed_response() {
            self.activity.begin_client_wait();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::connections::Connections;
    use super::*;

    const POST: &[u8] = b"\r\nPOST /1 HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\nabc";
    const CHUNKED: &[u8] =
        b"POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    const BARE: &[u8] = b"GET /3 HTTP/1.0\nA: b\n\n";

    fn recorded(wire: &[u8], piece: usize) -> RequestRecorder {
        let limits = ListenerLimits {
            head_bytes: 64,
            body_bytes: 8,
            ..ListenerLimits::default()
        };
        let activity = Connections::default().open();
        let mut recorder =
            RequestRecorder::new(limits, MemoryLimit::new(1 << 20, Duration::ZERO), activity);
        wire.chunks(piece).for_each(|bytes| recorder.record(bytes));
        recorder
    }

    /// Takes the next request, and ends its response.
    fn next(recorder: &mut RequestRecorder) -> (Vec<u8>, Vec<u8>, bool) {
        recorder.begin_handling().unwrap();
        let request = recorder.take_current(true).unwrap();
        recorder.phase = HttpPhase::Responding;
        recorder.response_complete = true;
        assert!(recorder.end_flushed_response());
        (request.head, request.body.bytes, request.truncated)
    }

    #[test]
    fn pipelined_requests_are_separated_in_any_pieces() {
        let wire = [POST, CHUNKED, BARE, b"GET /half"].concat();
        for piece in 1..=wire.len() {
            let mut recorder = recorded(&wire, piece);
            for (head, body) in [
                (&POST[2..41], &b"abc"[..]),
                (&CHUNKED[..48], b"1\r\nx\r\n0\r\n\r\n"),
                (BARE, b""),
            ] {
                let expected = (head.to_vec(), body.to_vec(), false);
                assert_eq!(next(&mut recorder), expected, "{piece}");
            }
            assert_eq!(recorder.take_rest().unwrap().0, b"GET /half", "{piece}");
        }
    }

    #[test]
    fn bodies_are_truncated_at_the_limits() {
        let length = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789";
        let (_, body, truncated) = next(&mut recorded(length, 4));
        assert_eq!((body.as_slice(), truncated), (&b"12345678"[..], true));
        let coding = &b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
        let zeros = vec![b'0'; MAX_CHUNK_FRAMING + 9];
        let (_, body, truncated) = next(&mut recorded(&[coding, &zeros].concat(), 4096));
        assert_eq!((body.len(), truncated), (MAX_CHUNK_FRAMING + 8, true));
    }

    #[test]
    fn a_request_is_removed_when_its_response_is_flushed() {
        let mut recorder = recorded(&[BARE, BARE].concat(), 7);
        assert!(recorder.intercept_refusal(b"HTTP/1.1 431 Too Large\r\n"));
        assert_eq!(recorder.refusal, Some(431));
        assert_eq!(recorder.begin_handling().unwrap().head, BARE);
        recorder.end_flushed_response();
        assert!(!recorder.intercept_refusal(b"HTTP/1.1 100 Continue\r\n\r\n"));
        recorder.take_current(true);
        recorder.phase = HttpPhase::Responding;
        assert!(
            !recorder.end_flushed_response(),
            "the response is not complete"
        );
        assert!(recorder.phase != HttpPhase::ReadingHead);
        recorder.response_complete = true;
        assert!(recorder.end_flushed_response() && recorder.phase == HttpPhase::ReadingHead);
        assert_eq!(recorder.bytes, BARE);
    }

    #[test]
    fn the_rest_is_what_was_not_taken() {
        let wire = [BARE, POST, b"GET"].concat();
        let mut recorder = recorded(&wire, wire.len());
        recorder.begin_handling();
        recorder.take_current(true);
        let (rest, ..) = recorder.take_rest().unwrap();
        assert_eq!(rest, [POST, b"GET"].concat());
        assert!(recorder.take_rest().is_none());
        assert!(recorded(b"\r\n\r\n", 1).take_rest().is_none());
    }

    #[test]
    fn invalid_bytes_are_kept_up_to_the_limits() {
        let bad = b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(recorded(bad, 5).take_rest().unwrap().0, bad);
        let long = recorded(&[b'x'; 100_000], 1000).take_rest().unwrap().0;
        assert_eq!(long.len(), 64 + UNCOUNTED_BYTES + 8 + MAX_CHUNK_FRAMING);
    }
}
