//! How a connection ends once hyper is done with it: with a refusal, lingering, held in silence, or with a reset.
//!
//! Deliberately keeps nothing of what it still reads: the captures were handed over before.
//!
//! Invariant: each end is bounded, by [`LINGER`] or by the stop of the catcher, however the client behaves.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::seats::Seat;
use super::server::Stop;
use super::stream::HttpStream;

/// How long a client that was refused may pause before it is taken to be done.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// How long it may take to stop sending and read why. Some clients send a whole body before they look for an answer.
const LINGER: Duration = Duration::from_secs(30);

/// How long the last words to somebody who makes room for others may take.
const HASTE: Duration = Duration::from_millis(10);

/// Writes `last_words`, if any, and closes so that the client can read them although it is still sending.
///
/// Closing with unread bytes would reset the connection, and the reset would overtake the answer.
pub(super) async fn linger(mut stream: HttpStream, last_words: &[u8], stop: &mut Stop) {
    let parting = async {
        let said = async {
            write_all(&mut stream, last_words).await.is_ok() && shut_down(&mut stream).await
        };
        if timeout(PAUSE, said).await.unwrap_or(false) {
            while timeout(PAUSE, discard_some(&mut stream))
                .await
                .unwrap_or(false)
            {}
        }
    };
    // Too slow or stopped: then it is closed as it is.
    let _ = stop.race_if_stopped(timeout(LINGER, parting)).await;
}

/// Writes `last_words` to somebody who sends nothing, and closes without waiting for anything.
pub(super) async fn part(mut stream: HttpStream, last_words: &[u8]) {
    let parting =
        async { write_all(&mut stream, last_words).await.is_ok() && shut_down(&mut stream).await };
    let _ = timeout(HASTE, parting).await;
}

/// Closes what hyper ended well.
pub(super) async fn close(stream: HttpStream) {
    if stream.says_goodbye() {
        part(stream, &[]).await;
    }
}

/// Says nothing until the client closes its side, its seat is wanted, or the catcher stops.
pub(super) async fn hold(mut stream: HttpStream, seat: &Seat, stop: &mut Stop) {
    seat.wait();
    let held = async { while discard_some(&mut stream).await {} };
    let _ = stop.race_if_stopped(seat.race(held, || true)).await;
}

/// Closes with a TCP reset; the client sees "connection reset by peer".
pub(super) fn reset(stream: HttpStream) {
    // Were it refused, which no platform is known to do, the client would see a close without an answer.
    let _ = stream.tcp().set_zero_linger();
    drop(stream);
}

pub(super) async fn write_all(stream: &mut HttpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
}

async fn shut_down(stream: &mut HttpStream) -> bool {
    poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx))
        .await
        .is_ok()
}

/// Reads and forgets; false when the client has closed its side or the connection has failed.
pub(super) async fn discard_some(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    // Read by polling, which yields to the other connections when a client sends without pause; `try_read` would not.
    let read = poll_fn(|cx| {
        // On the stack, and not in the future: every connection's would be larger by it from its beginning on.
        let mut bytes = [0; 16 * 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(io::Result::Ok(buffer.filled().len()))
    });
    read.await.is_ok_and(|read| read > 0)
}
