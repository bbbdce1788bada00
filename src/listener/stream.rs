//! A connection's bytes, plain or out of TLS.
//!
//! Deliberately knows neither HTTP nor certificates.
//!
//! Invariant: what was read of a TLS connection while it was being opened can be had, for a capture of what failed.

use std::cell::RefCell;
use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream of HTTP.
pub(super) enum HttpStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Tapped>>),
}

impl HttpStream {
    /// The TCP stream below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.get_ref().0.stream,
        }
    }

    /// Whether its client has closed its side, as far as the system has said so yet. Some do and still read.
    pub(super) fn is_hung_up(&self) -> bool {
        let ready = pin!(self.tcp().ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => ready.is_ok_and(|ready: Ready| ready.is_read_closed()),
            Poll::Pending => false,
        }
    }

    /// Ready when the client has closed its side. After other bytes arrived it has to be polled again, as those do not wake
    /// the task.
    pub(super) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.tcp().poll_read_ready(cx) {
            Poll::Ready(_) if self.is_hung_up() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// Whether closing it takes a last word, without which the client could not tell the end from a cut.
    pub(super) fn says_goodbye(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What was read, as far as a limit.
#[derive(Debug)]
pub(super) struct Tap {
    pub bytes: Vec<u8>,
    pub limit: usize,
}

/// A TCP stream that can be listened in on.
pub(super) struct Tapped {
    stream: TcpStream,
    tap: Option<Rc<RefCell<Tap>>>,
}

impl Tapped {
    pub(super) fn new(stream: TcpStream, tap: Rc<RefCell<Tap>>) -> Self {
        Self {
            stream,
            tap: Some(tap),
        }
    }

    /// No longer listens in.
    pub(super) fn untap(&mut self) {
        self.tap = None;
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Some(tap) = &self.tap {
            let tap = &mut *tap.borrow_mut();
            let new = &buf.filled()[before..];
            let room = tap.limit.saturating_sub(tap.bytes.len());
            tap.bytes.extend_from_slice(&new[..room.min(new.len())]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
