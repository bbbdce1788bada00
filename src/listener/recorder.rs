//! Records the bytes of each request beside hyper.
//!
//! hyper parses HTTP, but changes the form of heads, and hides requests that it refuses. Captures have to
//! contain the exact bytes, and malformed requests are captured too. So the recorder stands between the socket and hyper:
//! [`RecordedStream`] passes on every byte that hyper reads or writes, and [`RequestRecorder`] assigns the bytes read to requests.
//! It follows hyper's progress: hyper gives the requests to the handler in the order in which they were recorded, and writes
//! refusals of its own only while it reads a head.
//!
//! Next: `framing` finds the ends of heads and bodies, `connection` runs hyper on a recorded stream.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::connections::Activity;
use super::framing::{self, BodyLength, ChunkScanner, HeadProgress};
use super::limits::Limits;
use super::memory::{MemoryLimit, MemoryPermit};
use super::stream::HttpStream;
use crate::time::{UnixMs, duration_ms};

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
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            received_at: UnixMs(duration_ms(since_epoch)),
            at: Instant::now(),
        }
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request whose head is complete.
#[derive(Debug)]
pub(super) struct RecordedRequest {
    /// From the first byte to the empty line, without empty lines before it.
    pub head: Vec<u8>,
    /// The body as it was sent, up to the limits.
    pub body: Vec<u8>,
    pub start: RequestStart,
    pub chunked: bool,
    /// Whether the body was longer than what is kept of it.
    pub truncated: bool,
    /// See [`framing::BodyFraming::conflicting`].
    pub conflicting: bool,
}

impl RecordedRequest {
    fn bytes(&self) -> usize {
        // A chunked body is decoded into a second buffer.
        self.head.len() + self.body.len() * if self.chunked { 2 } else { 1 }
    }
}

/// What the next bytes belong to.
#[derive(Debug)]
enum RequestPart {
    Head,
    /// The body of the newest request: bytes left.
    Body(u64),
    ChunkedBody(ChunkScanner),
    /// Something that hyper will refuse; it stays in `partial_head`.
    Invalid,
}

/// What hyper is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpPhase {
    /// Reads a head: if it writes now, it refuses that head.
    ReadingHead,
    /// The handler has the oldest request.
    Handling,
    /// Writes the response to the oldest request.
    Responding,
}

/// The requests of one connection that are not responded to yet.
pub(super) struct RequestRecorder {
    limits: Limits,
    activity: Rc<Activity>,
    memory: Arc<MemoryLimit>,
    permit: MemoryPermit,
    /// Resolves when there is memory for more.
    pub awaited_permit: Option<Pin<Box<dyn Future<Output = MemoryPermit>>>>,
    part: RequestPart,
    pub phase: HttpPhase,
    /// Whether the handler took the oldest request, or does not want it.
    pub taken: bool,
    /// Whether hyper has received the whole response to the oldest request.
    pub response_complete: bool,
    /// Oldest first; the handler has the first one.
    pub requests: VecDeque<RecordedRequest>,
    partial_head: Vec<u8>,
    partial_since: Option<RequestStart>,
    /// Whether the last byte of `partial_head` ended a line: another line end completes the head.
    at_line_start: bool,
    /// The first status with which bytes were refused.
    pub refusal: Option<u16>,
}

impl RequestRecorder {
    pub(super) fn new(limits: Limits, memory: Arc<MemoryLimit>, activity: Rc<Activity>) -> Self {
        Self {
            limits,
            activity,
            memory,
            permit: MemoryPermit::default(),
            awaited_permit: None,
            part: RequestPart::Head,
            phase: HttpPhase::ReadingHead,
            taken: false,
            response_complete: false,
            requests: VecDeque::new(),
            partial_head: Vec::new(),
            partial_since: None,
            at_line_start: false,
            refusal: None,
        }
    }

    /// The request that hyper has just given to the handler; `None` if hyper and the recorder disagree about the requests.
    pub(super) fn begin_handling(&mut self) -> Option<&RecordedRequest> {
        self.phase = HttpPhase::Handling;
        self.requests.front()
    }

    /// Takes head and body of the current request, with the permit for their memory.
    pub(super) fn take_current(&mut self) -> Option<(Vec<u8>, Vec<u8>, MemoryPermit)> {
        self.taken = true;
        let request = self.requests.front_mut()?;
        let head = std::mem::take(&mut request.head);
        let body = std::mem::take(&mut request.body);
        Some((head, body, self.release()))
    }

    /// Notes that the bytes read are refused with `status`; only the first refusal counts.
    pub(super) fn refuse(&mut self, status: u16) {
        self.refusal.get_or_insert(status);
    }

    /// Whether hyper has refused a head before all of it was read.
    pub(super) fn is_within_refused_head(&self) -> bool {
        self.refusal == Some(431)
            && matches!(self.part, RequestPart::Head)
            && !self.partial_head.is_empty()
    }

    /// Takes all bytes that were not taken as requests; `None` if there are only empty lines.
    pub(super) fn take_rest(&mut self) -> Option<(Vec<u8>, RequestStart, MemoryPermit)> {
        let taken = usize::from(self.taken).min(self.requests.len());
        let mut since = None;
        let mut bytes = Vec::new();
        for request in self.requests.drain(taken..) {
            since.get_or_insert(request.start);
            bytes.extend(request.head);
            bytes.extend(request.body);
        }
        bytes.append(&mut self.partial_head);
        let permit = self.release();
        let since = since.or(self.partial_since)?;
        let is_empty = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        (!is_empty || self.refusal.is_some()).then_some((bytes, since, permit))
    }

    /// Assigns bytes to the requests to which they belong.
    fn record(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match &mut self.part {
                RequestPart::Head => self.record_head(bytes),
                RequestPart::Invalid => {
                    let most = self
                        .limits
                        .head_bytes
                        .saturating_add(self.limits.body_bytes);
                    extend_up_to(&mut self.partial_head, bytes, most);
                    bytes.len()
                }
                RequestPart::Body(left) => {
                    let used =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= used as u64;
                    let ended = *left == 0;
                    self.record_body(&bytes[..used], ended);
                    used
                }
                RequestPart::ChunkedBody(scanner) => {
                    let (used, ended) = scanner.scan(bytes);
                    self.record_body(&bytes[..used], ended);
                    used
                }
            };
            bytes = &bytes[used..];
        }
    }

    /// Adds to the head up to its next empty line; returns how many bytes that took.
    fn record_head(&mut self, bytes: &[u8]) -> usize {
        self.partial_since.get_or_insert_with(RequestStart::now);
        let mut used = 0;
        let mut empty_line = false;
        for &byte in bytes {
            used += 1;
            match byte {
                b'\n' if self.at_line_start => {
                    empty_line = true;
                    break;
                }
                b'\n' => self.at_line_start = true,
                b'\r' => {}
                _ => self.at_line_start = false,
            }
        }
        self.partial_head.extend_from_slice(&bytes[..used]);
        if self.partial_head.len() > self.limits.head_bytes {
            self.part = RequestPart::Invalid;
        } else if empty_line {
            self.end_head();
        }
        used
    }

    /// Begins a request if the empty line just read completed its head.
    fn end_head(&mut self) {
        let framing = match framing::head_progress(&self.partial_head, self.limits.headers) {
            // Some clients send empty lines before a request.
            HeadProgress::Partial => return,
            HeadProgress::Invalid => {
                self.part = RequestPart::Invalid;
                return;
            }
            HeadProgress::Complete(framing) => framing,
        };
        let mut head = std::mem::take(&mut self.partial_head);
        let empty_lines = head
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        head.drain(..empty_lines);
        self.at_line_start = false;
        self.requests.push_back(RecordedRequest {
            head,
            body: Vec::new(),
            start: self.partial_since.take().unwrap_or_else(RequestStart::now),
            chunked: framing.length == BodyLength::Chunked,
            truncated: false,
            conflicting: framing.conflicting,
        });
        self.part = match framing.length {
            BodyLength::Bytes(0) => RequestPart::Head,
            BodyLength::Bytes(length) => RequestPart::Body(length),
            BodyLength::Chunked => RequestPart::ChunkedBody(ChunkScanner::new()),
        };
    }

    fn record_body(&mut self, bytes: &[u8], ended: bool) {
        // There is none if it was refused before its body arrived.
        if let Some(request) = self.requests.back_mut() {
            let framing = if request.chunked {
                MAX_CHUNK_FRAMING
            } else {
                0
            };
            let most = self.limits.body_bytes.saturating_add(framing);
            request.truncated |= !extend_up_to(&mut request.body, bytes, most);
        }
        if ended {
            self.part = RequestPart::Head;
        }
    }

    fn bytes(&self) -> usize {
        let requests: usize = self.requests.iter().map(RecordedRequest::bytes).sum();
        requests + self.partial_head.len()
    }

    /// Bytes that the current part may still add.
    fn bytes_to_come(&self) -> usize {
        let body_limit = self.limits.body_bytes;
        match &self.part {
            RequestPart::Head => self.limits.head_bytes,
            RequestPart::Body(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(body_limit),
            RequestPart::ChunkedBody(_) => body_limit
                .saturating_add(MAX_CHUNK_FRAMING)
                .saturating_mul(2),
            RequestPart::Invalid => self.limits.head_bytes.saturating_add(body_limit),
        }
    }

    /// Ready as soon as there is memory for what the current part may still add. It is acquired at once, so that requests
    /// seldom hold some of it while they wait for more.
    fn poll_memory(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.awaited_permit.is_none() {
            let bytes = self.bytes();
            if bytes < super::memory::UNCOUNTED_BYTES || self.permit.covers(bytes, &self.memory) {
                return Poll::Ready(());
            }
            let more = bytes.saturating_add(self.bytes_to_come()) - self.permit.bytes();
            self.awaited_permit = Some(Box::pin(Arc::clone(&self.memory).acquire(more)));
        }
        let Some(awaited) = &mut self.awaited_permit else {
            return Poll::Ready(());
        };
        let Poll::Ready(permit) = awaited.as_mut().poll(cx) else {
            // The client may be sending without being read: that is not silence.
            self.activity.pause_client_turn();
            return Poll::Pending;
        };
        self.awaited_permit = None;
        self.permit.merge(permit);
        self.activity.set_holds_memory(true);
        self.activity.begin_client_turn();
        Poll::Ready(())
    }

    /// The permit for what was taken: all but what the rest needs.
    fn release(&mut self) -> MemoryPermit {
        let released = self.permit.split_except(self.bytes());
        self.activity.set_holds_memory(!self.permit.is_empty());
        released
    }

    /// Whether what hyper writes is a refusal of its own: then it is not sent, but its status is noted.
    fn intercepts(&mut self, written: &[u8]) -> bool {
        if self.phase != HttpPhase::ReadingHead {
            return false;
        }
        // `HTTP/1.1 431 …`: hyper writes a refusal at once.
        let status = written
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok());
        self.refuse(status.unwrap_or(400));
        true
    }

    /// hyper has nothing left to write. Returns whether that ends a response: of one that does not fit into its buffer, hyper
    /// writes the beginning before it has received the rest.
    fn flushed(&mut self) -> bool {
        let ended = self.phase == HttpPhase::Responding && self.response_complete;
        if ended {
            self.phase = HttpPhase::ReadingHead;
            self.taken = false;
            self.requests.pop_front();
            drop(self.release());
        }
        ended
    }
}

/// Appends bytes up to a length of `limit`; returns whether all of them fit.
fn extend_up_to(to: &mut Vec<u8>, bytes: &[u8], limit: usize) -> bool {
    let room = limit.saturating_sub(to.len());
    to.extend_from_slice(&bytes[..room.min(bytes.len())]);
    bytes.len() <= room
}

/// A stream that records the bytes hyper reads. It reads nothing while there is no memory, and fails if the client reads nothing of
/// its response for too long.
///
/// Shutting it down does nothing: `connection` may still have to send a refusal.
pub(super) struct RecordedStream {
    stream: Rc<RefCell<HttpStream>>,
    recorder: Rc<RefCell<RequestRecorder>>,
    activity: Rc<Activity>,
    write_timeout: Duration,
    /// Set while the client reads nothing of its response.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl RecordedStream {
    pub(super) fn new(
        stream: Rc<RefCell<HttpStream>>,
        recorder: Rc<RefCell<RequestRecorder>>,
        activity: Rc<Activity>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            recorder,
            activity,
            write_timeout,
            stalled: None,
        }
    }

    /// Whether the client reads nothing of its response.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    pub(super) fn into_stream(self) -> HttpStream {
        Rc::into_inner(self.stream)
            .expect("others upgrade their weak references only while they poll")
            .into_inner()
    }

    /// Passes on the result of a write. While a response cannot be written, the next move is the client's.
    fn check_stalled<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.activity.end_client_turn();
            }
            return written;
        }
        if self.recorder.borrow().phase != HttpPhase::Responding {
            return Poll::Pending;
        }
        let stalled = self.stalled.get_or_insert_with(|| {
            self.activity.begin_client_turn();
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
        self.activity.client_moved();
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
        if self.recorder.borrow_mut().intercepts(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, buf);
        self.check_stalled(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx);
        ready!(self.check_stalled(flushed, cx))?;
        if self.recorder.borrow_mut().flushed() {
            self.activity.begin_client_turn();
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
        let limits = Limits {
            head_bytes: 64,
            body_bytes: 8,
            ..Limits::default()
        };
        let activity = Connections::default().open();
        let mut recorder =
            RequestRecorder::new(limits, MemoryLimit::new(1 << 20, Duration::ZERO), activity);
        wire.chunks(piece).for_each(|bytes| recorder.record(bytes));
        recorder
    }

    #[test]
    fn pipelined_requests_are_separated_in_any_pieces() {
        let wire = [POST, CHUNKED, BARE, b"GET /half"].concat();
        for piece in 1..=wire.len() {
            let recorder = recorded(&wire, piece);
            let requests: Vec<_> = recorder
                .requests
                .iter()
                .map(|request| (request.head.as_slice(), request.body.as_slice()))
                .collect();
            let expected = [
                (&POST[2..41], &b"abc"[..]),
                (&CHUNKED[..48], b"1\r\nx\r\n0\r\n\r\n"),
                (BARE, b""),
            ];
            assert_eq!(requests, expected, "{piece}");
            assert_eq!(recorder.partial_head, b"GET /half", "{piece}");
        }
    }

    #[test]
    fn bodies_are_truncated_at_the_limits() {
        let length = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789";
        let long = recorded(length, 4);
        assert_eq!(long.requests[0].body, b"12345678");
        assert!(long.requests[0].truncated);
        let coding = &b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
        let zeros = vec![b'0'; MAX_CHUNK_FRAMING + 9];
        let padded = recorded(&[coding, &zeros].concat(), 4096);
        assert_eq!(padded.requests[0].body.len(), MAX_CHUNK_FRAMING + 8);
        assert!(padded.requests[0].truncated);
    }

    #[test]
    fn a_request_is_removed_when_its_response_is_flushed() {
        let mut recorder = recorded(&[BARE, BARE].concat(), 7);
        assert!(recorder.intercepts(b"HTTP/1.1 431 Too Large\r\n"));
        assert_eq!(recorder.refusal, Some(431));
        assert_eq!(recorder.begin_handling().unwrap().head, BARE);
        recorder.flushed();
        assert!(!recorder.intercepts(b"HTTP/1.1 100 Continue\r\n\r\n"));
        recorder.take_current();
        recorder.phase = HttpPhase::Responding;
        assert!(!recorder.flushed(), "the response is not complete");
        assert!(recorder.phase != HttpPhase::ReadingHead);
        recorder.response_complete = true;
        assert!(recorder.flushed() && recorder.phase == HttpPhase::ReadingHead);
        assert_eq!(recorder.requests.len(), 1);
    }

    #[test]
    fn the_rest_is_what_was_not_taken() {
        let wire = [BARE, POST, b"GET"].concat();
        let mut recorder = recorded(&wire, wire.len());
        recorder.begin_handling();
        recorder.take_current();
        let (rest, ..) = recorder.take_rest().unwrap();
        assert_eq!(rest, [&POST[2..], b"GET"].concat());
        assert!(recorder.take_rest().is_none());
        assert!(recorded(b"\r\n\r\n", 1).take_rest().is_none());
    }

    #[test]
    fn invalid_bytes_are_kept_up_to_the_limits() {
        let bad = b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(recorded(bad, 5).take_rest().unwrap().0, bad);
        assert_eq!(
            recorded(&[b'x'; 1000], 10).take_rest().unwrap().0.len(),
            64 + 8
        );
    }
}
