//! The byte stream of a connection, plain or decrypted.

use std::future::Future as _;
use std::io::Result;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

pub(super) enum HttpStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl HttpStream {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether the system has reported that the client closed its sending side. Some clients do that and still read.
    pub(super) fn is_hung_up(&self) -> bool {
        let ready = pin!(self.tcp().ready(Interest::READABLE));
        let polled = ready.poll(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Ready when the client has closed its side. Once other bytes arrived, the task is not woken any more: poll again.
    pub(super) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.tcp().poll_read_ready(cx) {
            Poll::Ready(_) if self.is_hung_up() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

/// Calls a method of either stream.
macro_rules! either {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            HttpStream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            HttpStream::Tls(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        either!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        either!(self.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        either!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}
