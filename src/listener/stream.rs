//! The byte stream of a connection, plain or decrypted.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, Ready};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

pub(super) trait HttpStream: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
    fn is_encrypted(&self) -> bool;
}

impl HttpStream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn is_encrypted(&self) -> bool {
        false
    }
}

impl HttpStream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn is_encrypted(&self) -> bool {
        true
    }
}

impl dyn HttpStream {
    /// What the system has reported and no task has processed yet.
    pub(super) fn ready(&self, interest: Interest) -> Option<Ready> {
        let ready = pin!(self.tcp().ready(interest));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => ready.ok(),
            Poll::Pending => None,
        }
    }

    /// Whether the client has closed its sending side. Some clients do that and still read.
    pub(super) fn is_hung_up(&self) -> bool {
        let ready = self.ready(Interest::READABLE);
        ready.is_some_and(|ready| ready.is_read_closed())
    }

    /// Ready when the client has closed its side. Once other bytes arrived, the task is not woken any more: poll again.
    pub(super) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.tcp().poll_read_ready(cx) {
            Poll::Ready(_) if self.is_hung_up() => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}
