//! Ends a connection that hyper no longer runs: captures the bytes that did not become a request, and responds to them.
//!
//! The script may also end a connection: held open in silence, or with a TCP reset. Each way but holding has a time limit.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::client::{ClientConnection, CloseMode};
use super::connections::Activity;
use super::handler::Handler;
use super::recorder::{HttpPhase, RecordedStream};
use super::refusal::{self, EVICTED};
use super::response;
use super::shutdown::Shutdown;
use super::stream::HttpStream;
use crate::capture::Body;
use crate::time::compact;

/// How long a refused client may pause before its connection is closed.
const CLIENT_PAUSE: Duration = Duration::from_secs(1);

/// How long a refused client may go on sending. Some clients send a whole body before they read the response.
const LINGER_LIMIT: Duration = Duration::from_secs(30);

/// How long the last write to a silent client may take.
const CLOSE_WRITE_LIMIT: Duration = Duration::from_millis(10);

const DISCARD_BUFFER_BYTES: usize = 16 * 1024;

/// Why hyper no longer runs a connection.
pub(super) enum EndReason {
    /// hyper ended the connection with this result.
    Finished(Result<(), hyper::Error>),
    Shutdown,
    Evicted,
}

/// A connection that hyper no longer runs, and the reason.
pub(super) struct Closing<'a> {
    pub handler: &'a Handler,
    pub client: &'a ClientConnection,
    /// Whether the client reads nothing of its response.
    pub is_stalled: bool,
    pub reason: EndReason,
}

impl Closing<'_> {
    /// Records a response that was not sent completely, captures the bytes that are left, and ends the connection.
    pub(super) async fn run(&self, mut recorded: RecordedStream) {
        let client = self.client;
        let is_responding = client.recorder.borrow().phase == HttpPhase::Responding;
        if is_responding && let Some((id, status, start)) = client.responding.take() {
            let reason = self.unsent_reason(status);
            self.handler.record_no_response(id, start, reason).await;
        }
        if client.recorder.borrow().is_within_refused_head() {
            self.complete_head(&mut recorded).await;
        }
        let refused = self.capture_rest().await;
        let message = refused.map(response::message_bytes).unwrap_or_default();
        let stream = recorded.into_stream();
        let is_evicted = matches!(self.reason, EndReason::Evicted);
        match client.close_mode.get() {
            // It would not read a message either, and the system would keep the unread bytes.
            _ if self.is_stalled => reset(stream),
            CloseMode::Hold => hold(stream, &client.activity, &client.shutdown).await,
            CloseMode::Reset => reset(stream),
            CloseMode::Linger => linger(stream, &message, &client.shutdown).await,
            CloseMode::Close if !message.is_empty() && !is_evicted => {
                linger(stream, &message, &client.shutdown).await;
            }
            CloseMode::Close | CloseMode::Evict => close(stream, &message).await,
        }
    }

    /// Why a response with `status` was not sent completely.
    fn unsent_reason(&self, status: u16) -> String {
        if !self.is_stalled {
            return format!(
                "the client closed the connection before it read the response {status}"
            );
        }
        let when = match self.reason {
            EndReason::Evicted => "and its connection was needed".to_owned(),
            EndReason::Shutdown => "until the listener stopped".to_owned(),
            EndReason::Finished(_) => format!("for {}", compact(self.handler.limits.head_deadline)),
        };
        format!("the client read nothing of the response {status} {when}")
    }

    /// Reads the rest of a head that was refused before it was complete, so that the capture has it: as long as the client
    /// goes on sending, up to the limits.
    async fn complete_head(&self, recorded: &mut RecordedStream) {
        let client = self.client;
        let reading = discard_until_pause(recorded, || {
            client.recorder.borrow().is_within_refused_head()
        });
        let reading = timeout(self.handler.limits.head_deadline, reading);
        let reading = client.activity.unless_evicted(reading);
        let _ = client.shutdown.unless_draining(reading).await;
    }

    /// Captures the bytes that did not become a request. Returns the status to respond with,
    /// if the client can still read a response.
    async fn capture_rest(&self) -> Option<u16> {
        let (bytes, start, memory) = self.client.recorder.borrow_mut().take_rest()?;
        let mut capture = self.handler.capture(self.client, bytes, start);
        let (status, note) = self.refusal(&capture.head);
        capture.response.status = status;
        capture.response.note = Some(note);
        capture.response.duration_ms = start.elapsed_ms();
        let stored = self.handler.writer.store(capture, Body::default()).await;
        drop(memory);
        status.map(|status| if stored.is_some() { status } else { 503 })
    }

    /// The status for bytes that did not become a request, and the reason: the status with which hyper refused them, or, if
    /// hyper sent nothing and the client may still be reading, the appropriate one.
    fn refusal(&self, bytes: &[u8]) -> (Option<u16>, String) {
        let error = match &self.reason {
            _ if self.is_stalled => {
                let reason = "the client did not read the response before it";
                return (None, reason.to_owned());
            }
            EndReason::Evicted => return (Some(408), EVICTED.to_owned()),
            EndReason::Shutdown => {
                let reason = "the listener stopped before the request was complete";
                return (None, reason.to_owned());
            }
            EndReason::Finished(Ok(())) => {
                let reason = "it was sent after the last request of the connection";
                return (None, reason.to_owned());
            }
            EndReason::Finished(Err(error)) => error,
        };
        let intercepted = self.client.recorder.borrow().refusal;
        let status = match intercepted {
            Some(status) => status,
            None if error.is_timeout() => 408,
            None if error.is_parse() || error.is_incomplete_message() => 400,
            None => {
                let reason = "the client closed the connection before the request was complete";
                return (None, reason.to_owned());
            }
        };
        let reason = refusal::head_reason(bytes, status, &self.handler.limits);
        (Some(status), reason)
    }
}

/// Writes `message`, and closes so that the client can read it although it is still sending: to close with unread bytes would
/// reset the connection, and the client could lose the message.
async fn linger(mut stream: Box<dyn HttpStream>, message: &[u8], shutdown: &Shutdown) {
    let lingering = async {
        let sent = timeout(CLIENT_PAUSE, send_last(&mut stream, message)).await;
        if sent.is_ok_and(|sent| sent.is_ok()) {
            discard_until_pause(&mut stream, || true).await;
        }
    };
    let _ = shutdown
        .unless_aborting(timeout(LINGER_LIMIT, lingering))
        .await;
}

/// Writes `message` to a client that sends nothing, and closes at once. TLS has a closing message of its own.
async fn close(mut stream: Box<dyn HttpStream>, message: &[u8]) {
    let _ = timeout(CLOSE_WRITE_LIMIT, send_last(&mut stream, message)).await;
}

/// Sends nothing until the client closes its side, the connection is needed, or the listener stops.
async fn hold(mut stream: Box<dyn HttpStream>, activity: &Activity, shutdown: &Shutdown) {
    activity.begin_client_wait();
    let held = async {
        let mut buffer = vec![0; DISCARD_BUFFER_BYTES];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    let held = activity.unless_evicted(held);
    let _ = shutdown.unless_aborting(held).await;
}

/// Closes with a TCP reset.
fn reset(stream: Box<dyn HttpStream>) {
    // If this failed, which no platform is known to do, the client would see an ordinary close.
    let _ = stream.tcp().set_zero_linger();
    drop(stream);
}

/// Reads and drops bytes while `wanted`, until the client pauses or closes its side.
async fn discard_until_pause(stream: &mut (impl AsyncRead + Unpin), wanted: impl Fn() -> bool) {
    let mut buffer = vec![0; DISCARD_BUFFER_BYTES];
    while wanted()
        && timeout(CLIENT_PAUSE, stream.read(&mut buffer))
            .await
            .is_ok_and(|read| read.is_ok_and(|read| read > 0))
    {}
}

async fn send_last(stream: &mut Box<dyn HttpStream>, message: &[u8]) -> std::io::Result<()> {
    stream.write_all(message).await?;
    stream.shutdown().await
}
