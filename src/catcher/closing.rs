//! How a connection ends once hyper is done with it: with a refusal, lingering, held in silence, or with a reset.
//!
//! Deliberately keeps nothing of what it still reads: the captures were handed over before.
//!
//! Invariant: each end is bounded, by [`LINGER`] or by the stop of the catcher, however the client behaves.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::Stop;

/// How long a client that was refused may take to stop sending and read why.
const LINGER: Duration = Duration::from_secs(1);

/// Writes `last_words`, if any, and closes so that the client can read them although it is still sending.
///
/// Closing with unread bytes would reset the connection, and the reset would overtake the answer.
pub(super) async fn linger(mut stream: TcpStream, last_words: &[u8], stop: &mut Stop) {
    let parting = async {
        if write_all(&mut stream, last_words).await.is_ok()
            && poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await.is_ok()
        {
            discard(&mut stream).await;
        }
    };
    // Too slow or stopped: then it is closed as it is.
    let _ = stop.race(timeout(LINGER, parting)).await;
}

/// Says nothing until the client closes its side or the catcher stops.
pub(super) async fn hold(mut stream: TcpStream, stop: &mut Stop) {
    let _ = stop.race(discard(&mut stream)).await;
}

/// Closes with a TCP reset; the client sees "connection reset by peer".
pub(super) fn reset(stream: TcpStream) {
    // Were it refused, which no platform is known to do, the client would see a close without an answer.
    let _ = stream.set_zero_linger();
    drop(stream);
}

async fn write_all(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Reads until the client closes its side or the connection fails.
async fn discard(stream: &mut TcpStream) {
    // Read by polling, which yields to the other connections when a client sends without pause; `try_read` would not.
    let mut bytes = [0; 4096];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await;
        if read.is_err() || buffer.filled().is_empty() {
            return;
        }
    }
}
