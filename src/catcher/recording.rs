//! The recording: a stream under hyper that puts on a tape what is read, as it comes.
//!
//! Deliberately changes nothing of what hyper reads, but reads nothing while there is no memory for it. Of what it writes, only hyper's own refusals are held back and
//! noted, so that the connection's owner can hand the capture over *before* the client reads its 400.
//!
//! Invariant: hyper reads no byte that is not on the tape.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::seats::Seat;
use super::stream::Wire;
use super::tape::Tape;

/// A stream that records what is read from it on its tape, and tells its seat.
///
/// Shutting it down does nothing: whoever drives the connection may still have a refusal to write.
pub(super) struct Recording {
    stream: Wire,
    tape: Rc<RefCell<Tape>>,
    seat: Rc<Seat>,
}

impl Recording {
    pub(super) fn new(stream: Wire, tape: Rc<RefCell<Tape>>, seat: Rc<Seat>) -> Self {
        Self { stream, tape, seat }
    }

    /// The stream, no longer recorded.
    pub(super) fn into_stream(self) -> Wire {
        self.stream
    }
}

impl AsyncRead for Recording {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.tape.borrow_mut().poll_room(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.tape.borrow_mut().record(&buf.filled()[before..]);
        self.seat.hear();
        Poll::Ready(Ok(()))
    }
}

// Not vectored, so that hyper puts an answer's head and body into one buffer and one system call.
impl AsyncWrite for Recording {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.tape.borrow_mut().holds_back(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.tape.borrow_mut().flushed() {
            self.seat.wait();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
