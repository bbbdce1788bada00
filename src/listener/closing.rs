//! How a connection ends after hyper: with a refusal, held open in silence, or with a reset.
//!
//! Each way has a time limit.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::connections::Activity;
use super::stop::Stop;
use super::stream::HttpStream;

/// How long a refused client may pause before its connection is closed.
pub(super) const CLIENT_PAUSE: Duration = Duration::from_secs(1);

/// How long a refused client may go on sending. Some clients send a whole body before they read the response.
const LINGER_LIMIT: Duration = Duration::from_secs(30);

/// How long the last write to a silent client may take.
const CLOSE_WRITE_LIMIT: Duration = Duration::from_millis(10);

const DISCARD_BUFFER_BYTES: usize = 16 * 1024;

/// Writes `message`, and closes so that the client can read it although it is still sending: to close with unread bytes would
/// reset the connection, and the client could lose the message.
pub(super) async fn linger(mut stream: HttpStream, message: &[u8], stop: &Stop) {
    let lingering = async {
        let sent = timeout(CLIENT_PAUSE, send_last(&mut stream, message)).await;
        if sent.is_ok_and(|sent| sent.is_ok()) {
            discard_until_pause(&mut stream, || true).await;
        }
    };
    let _ = stop.unless_stopping(timeout(LINGER_LIMIT, lingering)).await;
}

/// Writes `message` to a client that sends nothing, and closes at once. TLS has a closing message of its own.
pub(super) async fn close(mut stream: HttpStream, message: &[u8]) {
    let _ = timeout(CLOSE_WRITE_LIMIT, send_last(&mut stream, message)).await;
}

/// Sends nothing until the client closes its side, the connection is needed, or the listener stops.
pub(super) async fn hold(mut stream: HttpStream, activity: &Activity, stop: &Stop) {
    activity.begin_client_turn();
    let held = async {
        let mut buffer = vec![0; DISCARD_BUFFER_BYTES];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    let _ = stop
        .unless_stopping(activity.unless_evicted(held, || true))
        .await;
}

/// Closes with a TCP reset.
pub(super) fn reset(stream: HttpStream) {
    // If this failed, which no platform is known to do, the client would see an ordinary close.
    let _ = stream.tcp().set_zero_linger();
    drop(stream);
}

/// Reads and drops bytes while `wanted`, until the client pauses or closes its side.
pub(super) async fn discard_until_pause(
    stream: &mut (impl AsyncRead + Unpin),
    wanted: impl Fn() -> bool,
) {
    let mut buffer = vec![0; DISCARD_BUFFER_BYTES];
    while wanted()
        && timeout(CLIENT_PAUSE, stream.read(&mut buffer))
            .await
            .is_ok_and(|read| read.is_ok_and(|read| read > 0))
    {}
}

async fn send_last(stream: &mut HttpStream, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(message).await?;
    stream.shutdown().await
}
