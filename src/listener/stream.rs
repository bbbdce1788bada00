//! The byte stream of a connection, plain or decrypted.

use std::cell::RefCell;
use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

pub(super) enum HttpStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<HandshakeStream>>),
}

impl HttpStream {
    /// The TCP stream below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.get_ref().0.stream,
        }
    }

    /// Whether the client has closed its sending side, as far as the system has reported it. Some clients do that and still
    /// read.
    pub(super) fn is_hung_up(&self) -> bool {
        let ready = pin!(self.tcp().ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => ready.is_ok_and(|ready: Ready| ready.is_read_closed()),
            Poll::Pending => false,
        }
    }

    /// Ready when the client has closed its side. Once other bytes arrived, the task is not woken any more: poll again.
    pub(super) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.tcp().poll_read_ready(cx) {
            Poll::Ready(_) if self.is_hung_up() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// Whether the protocol has a closing message, without which the client cannot distinguish the end from a failure.
    pub(super) fn needs_closing_message(&self) -> bool {
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

/// The bytes read during a TLS handshake, up to a limit: they become a capture if it fails.
#[derive(Debug)]
pub(super) struct HandshakeBytes {
    pub bytes: Vec<u8>,
    pub limit: usize,
}

/// A TCP stream that records the bytes read during the TLS handshake.
pub(super) struct HandshakeStream {
    stream: TcpStream,
    recorded: Option<Rc<RefCell<HandshakeBytes>>>,
}

impl HandshakeStream {
    pub(super) fn new(stream: TcpStream, recorded: Rc<RefCell<HandshakeBytes>>) -> Self {
        Self {
            stream,
            recorded: Some(recorded),
        }
    }

    pub(super) fn end_handshake(&mut self) {
        self.recorded = None;
    }
}

impl AsyncRead for HandshakeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Some(recorded) = &self.recorded {
            let recorded = &mut *recorded.borrow_mut();
            let new = &buf.filled()[before..];
            let room = recorded.limit.saturating_sub(recorded.bytes.len());
            recorded
                .bytes
                .extend_from_slice(&new[..room.min(new.len())]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HandshakeStream {
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
