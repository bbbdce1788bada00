//! Runs one connection: hyper parses the requests on a recorded stream, the handler responds.
//!
//! Bytes that did not become a request are captured as malformed when the connection ends.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{ClientConnection, ConnectionEnd};
use super::closing;
use super::connections::Activity;
use super::handler::Handler;
use super::limits::ListenerLimits;
use super::recorder::{HttpPhase, RecordedStream, RequestRecorder, RequestStart};
use super::refusal::{self, EVICTED};
use super::response;
use super::stop::Stop;
use super::stream::HttpStream;
use crate::capture::{Body, Capture};
use crate::time::compact;

/// How long a request may take after the listener stops, or, while it is read, after the listener finishes. Shorter than the
/// server's own limit, so that the rest is still captured.
const DRAIN_LIMIT: Duration = Duration::from_millis(900);

/// How much longer if a capture is being written: as long as the journal's writer waits for a lock. With [`DRAIN_LIMIT`] still
/// shorter than the server's limit.
const WRITE_DRAIN_LIMIT: Duration = Duration::from_millis(2_000);

/// hyper panics with a smaller buffer.
const HYPER_MIN_BUFFER_BYTES: usize = 8192;

enum HttpOutcome {
    Ended(Result<(), hyper::Error>),
    Stopped,
    Evicted,
}

/// Serves a connection until it ends, or until the listener ends and the current request has its response.
pub(super) async fn serve(
    stream: TcpStream,
    remote_addr: SocketAddr,
    handler: Rc<Handler>,
    activity: Rc<Activity>,
    stop: Stop,
) {
    // Responses are small and written at once: to wait for more would only delay them.
    let _ = stream.set_nodelay(true);
    let opened = open(stream, remote_addr, &handler, &activity, &stop).await;
    if let Some(stream) = opened {
        serve_http(stream, remote_addr, handler, activity, stop).await;
    }
}

/// Performs the TLS handshake if there is a certificate. `None` if it failed; the bytes read are captured.
async fn open(
    stream: TcpStream,
    remote_addr: SocketAddr,
    handler: &Handler,
    activity: &Activity,
    stop: &Stop,
) -> Option<HttpStream> {
    let Some(tls) = &handler.tls else {
        return Some(HttpStream::Plain(stream));
    };
    let mut hello = Vec::new();
    let start = RequestStart::now();
    let accepting = tls.accept(stream, &mut hello);
    let accepting = timeout(handler.limits.head_deadline, accepting);
    let accepted = stop
        .unless_finishing(activity.unless_evicted(accepting, || true))
        .await;
    let note = match accepted {
        Some(Some(Ok(Some(opened)))) => return Some(opened),
        Some(Some(_)) => "the TLS handshake failed",
        Some(None) => EVICTED,
        None => "the listener stopped during the TLS handshake",
    };
    if !hello.is_empty() {
        let mut capture = Capture::new(start.received_at, remote_addr, hello);
        capture.response.duration_ms = start.elapsed_ms();
        capture.response.note = Some(note.to_owned());
        // A failure is counted; the client gets no response.
        let _ = handler.writer.store(capture, Body::default()).await;
    }
    None
}

async fn serve_http(
    stream: HttpStream,
    remote_addr: SocketAddr,
    handler: Rc<Handler>,
    activity: Rc<Activity>,
    stop: Stop,
) {
    let limits = handler.limits;
    let is_plain_on_tls_port = handler.tls.is_some() && matches!(stream, HttpStream::Plain(_));
    let stream = Rc::new(RefCell::new(stream));
    activity.set_stream(&stream);
    let recorder = Rc::new(RefCell::new(RequestRecorder::new(
        limits,
        Arc::clone(&handler.request_memory),
        Rc::clone(&activity),
    )));
    let client = Rc::new(ClientConnection {
        recorder: Rc::clone(&recorder),
        activity: Rc::clone(&activity),
        stream: Rc::downgrade(&stream),
        remote_addr,
        end: Cell::new(ConnectionEnd::Close),
        responding: Cell::new(None),
        is_plain_on_tls_port,
        stop,
    });
    let service = service_fn({
        let (client, handler) = (Rc::clone(&client), Rc::clone(&handler));
        move |request| {
            let (client, handler) = (Rc::clone(&client), Rc::clone(&handler));
            async move { handler.handle(&client, request).await }
        }
    });
    let recorded = RecordedStream {
        stream,
        recorder: Rc::clone(&recorder),
        activity: Rc::clone(&activity),
        write_timeout: limits.head_deadline,
        stalled: None,
    };
    let mut connection = http1::Builder::new()
        // Without a timer hyper ignores the timeout.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .max_headers(limits.headers)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(HYPER_MIN_BUFFER_BYTES))
        // A client may close its sending side and wait for the response, as `nc -N` does.
        .half_close(true)
        .serve_connection(TokioIo::new(recorded), service);

    // While the handler has a request, it notices an eviction itself.
    let serving = activity.unless_evicted(&mut connection, || {
        recorder.borrow().phase != HttpPhase::Handling
    });
    let outcome = match client.stop.unless_finishing(serving).await {
        Some(Some(ended)) => HttpOutcome::Ended(ended),
        Some(None) => HttpOutcome::Evicted,
        None if recorder.borrow().phase == HttpPhase::ReadingHead => HttpOutcome::Stopped,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            drain(&mut connection, &handler, &client).await
        }
    };
    let recorded = connection.into_parts().io.into_inner();
    Closing {
        handler: &handler,
        client: &client,
        is_stalled: recorded.is_stalled(),
        outcome,
    }
    .run(recorded)
    .await;
}

/// Waits for the response to the current request: until it is due while the listener finishes, and for a short time once it
/// stops. A request that is incomplete gets a short time in both cases.
async fn drain(
    mut connection: impl Future<Output = Result<(), hyper::Error>> + Unpin,
    handler: &Handler,
    client: &ClientConnection,
) -> HttpOutcome {
    let finishing = async {
        match timeout(DRAIN_LIMIT, &mut connection).await {
            Ok(ended) => Some(ended),
            Err(_) if client.recorder.borrow().taken => Some((&mut connection).await),
            Err(_) => None,
        }
    };
    if let Some(ended) = client.stop.unless_stopping(finishing).await {
        return ended.map_or(HttpOutcome::Stopped, HttpOutcome::Ended);
    }
    let mut drained = timeout(DRAIN_LIMIT, &mut connection).await;
    if drained.is_err() && handler.writer.is_writing() {
        drained = timeout(WRITE_DRAIN_LIMIT, &mut connection).await;
    }
    drained.map_or(HttpOutcome::Stopped, HttpOutcome::Ended)
}

/// The end of a connection after hyper.
struct Closing<'a> {
    handler: &'a Handler,
    client: &'a ClientConnection,
    /// Whether the client reads nothing of its response.
    is_stalled: bool,
    outcome: HttpOutcome,
}

impl Closing<'_> {
    async fn run(&self, mut recorded: RecordedStream) {
        let client = self.client;
        self.handler
            .record_unsent(client, |status| self.unsent_reason(status))
            .await;
        if client.recorder.borrow().is_within_refused_head() {
            self.complete_head(&mut recorded).await;
        }
        let refused = self.capture_rest().await;
        let message = refused.map(response::message_bytes).unwrap_or_default();
        let stream = recorded.into_stream();
        let is_evicted = matches!(self.outcome, HttpOutcome::Evicted);
        match client.end.get() {
            // It would not read a message either, and the system would keep the unread bytes.
            _ if self.is_stalled => closing::reset(stream),
            ConnectionEnd::Hold => closing::hold(stream, &client.activity, &client.stop).await,
            ConnectionEnd::Reset => closing::reset(stream),
            ConnectionEnd::Linger => closing::linger(stream, &message, &client.stop).await,
            ConnectionEnd::Close if !message.is_empty() && !is_evicted => {
                closing::linger(stream, &message, &client.stop).await;
            }
            ConnectionEnd::Close | ConnectionEnd::Evict => closing::close(stream, &message).await,
        }
    }

    /// Why a response with `status` was not sent completely.
    fn unsent_reason(&self, status: u16) -> String {
        if !self.is_stalled {
            return format!(
                "the client closed the connection before it read the response {status}"
            );
        }
        let when = match self.outcome {
            HttpOutcome::Evicted => "and its connection was needed".to_owned(),
            HttpOutcome::Stopped => "until the listener stopped".to_owned(),
            HttpOutcome::Ended(_) => format!("for {}", compact(self.limits().head_deadline)),
        };
        format!("the client read nothing of the response {status} {when}")
    }

    /// Reads the rest of a head that was refused before it was complete, so that the capture has it: as long as the client
    /// goes on sending, up to the limits.
    async fn complete_head(&self, recorded: &mut RecordedStream) {
        let client = self.client;
        let reading = closing::discard_until_pause(recorded, || {
            client.recorder.borrow().is_within_refused_head()
        });
        let reading = timeout(self.limits().head_deadline, reading);
        let reading = client.activity.unless_evicted(reading, || true);
        let _ = client.stop.unless_finishing(reading).await;
    }

    /// Captures the bytes that did not become a request. Returns the status to respond with, if the client can still get
    /// one.
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
        let error = match &self.outcome {
            _ if self.is_stalled => {
                let reason = "the client did not read the response before it";
                return (None, reason.to_owned());
            }
            HttpOutcome::Evicted => return (Some(408), EVICTED.to_owned()),
            HttpOutcome::Stopped => {
                let reason = "the listener stopped before the request was complete";
                return (None, reason.to_owned());
            }
            HttpOutcome::Ended(Ok(())) => {
                let reason = "it was sent after the last request of the connection";
                return (None, reason.to_owned());
            }
            HttpOutcome::Ended(Err(error)) => error,
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
        let reason = refusal::head_reason(bytes, status, self.limits());
        (Some(status), reason)
    }

    fn limits(&self) -> &ListenerLimits {
        &self.handler.limits
    }
}
