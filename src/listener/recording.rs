//! The recording: a stream under hyper that puts on a tape what is read, as it comes.
//!
//! Deliberately changes nothing of what hyper reads, but reads nothing while there is no memory for it. Of what it writes, only
//! hyper's own refusals are held back and noted, so that the connection's owner can hand the capture over *before* the client
//! reads its 400.
//!
//! Invariant: hyper reads no byte that is not on the tape. And hyper waits for a client that takes nothing of its answer only
//! for so long, and only while nobody else wants its seat.

use std::cell::RefCell;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::seats::Seat;
use super::stream::HttpStream;
use super::tape::Tape;

/// A stream that records what is read from it on its tape, and tells its seat.
///
/// Shutting it down does nothing: whoever drives the connection may still have a refusal to write.
pub(super) struct Recording {
    stream: Rc<RefCell<HttpStream>>,
    tape: Rc<RefCell<Tape>>,
    seat: Rc<Seat>,
    /// How long its client may take nothing of an answer.
    patience: Duration,
    /// Runs out then. There is none as long as the client takes what is written.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Recording {
    pub(super) fn new(
        stream: Rc<RefCell<HttpStream>>,
        tape: Rc<RefCell<Tape>>,
        seat: Rc<Seat>,
        patience: Duration,
    ) -> Self {
        Self {
            stream,
            tape,
            seat,
            patience,
            stuck: None,
        }
    }

    /// Whether the client takes nothing of its answer.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// The stream, no longer recorded.
    pub(super) fn into_stream(self) -> HttpStream {
        Rc::into_inner(self.stream)
            .expect("others hold it for the time of a look only")
            .into_inner()
    }

    /// Passes on what came of writing. While the client takes nothing of an answer, it is the one who is waited for.
    fn mind<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stuck.take().is_some() {
                self.seat.work();
            }
            return written;
        }
        if !self.tape.borrow().is_answering() {
            return Poll::Pending;
        }
        let stuck = self.stuck.get_or_insert_with(|| {
            self.seat.wait();
            Box::pin(sleep(self.patience))
        });
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Recording {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.tape.borrow_mut().poll_room(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf))?;
        self.tape.borrow_mut().record(&buf.filled()[before..]);
        self.seat.hear();
        Poll::Ready(Ok(()))
    }
}

// Not vectored, so that hyper puts an answer's head and body into one buffer and one system call.
impl AsyncWrite for Recording {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.tape.borrow_mut().holds_back(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, buf);
        self.mind(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx);
        ready!(self.mind(flushed, cx))?;
        if self.tape.borrow_mut().flushed() {
            self.seat.wait();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
