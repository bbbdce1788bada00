//! Runs one connection: hyper parses the requests on a recorded stream, the handler responds.
//!
//! Bytes that did not become a request are captured as malformed when the connection ends.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{ClientConnection, CloseMode};
use super::closing::{Closing, EndReason};
use super::connections::Activity;
use super::handler::Handler;
use super::recorder::{HttpPhase, RecordedStream, RequestRecorder, RequestStart};
use super::refusal::EVICTED;
use super::shutdown::{COMMIT_LIMIT, REQUEST_LIMIT, Shutdown};
use super::stream::HttpStream;
use crate::capture::{Body, Capture};

/// hyper panics with a smaller buffer.
const HYPER_MIN_BUFFER_BYTES: usize = 8192;

/// Serves a connection until it ends, or until the listener ends and the current request has its response.
pub(super) async fn serve(
    stream: TcpStream,
    remote_addr: SocketAddr,
    handler: Rc<Handler>,
    activity: Rc<Activity>,
    shutdown: Shutdown,
) {
    // Responses are small and written at once: to wait for more would only delay them.
    let _ = stream.set_nodelay(true);
    let opened = open(stream, remote_addr, &handler, &activity, &shutdown).await;
    if let Some(stream) = opened {
        serve_http(stream, remote_addr, handler, activity, shutdown).await;
    }
}

/// Performs the TLS handshake if there is a certificate. `None` if it failed; the bytes read are captured.
async fn open(
    stream: TcpStream,
    remote_addr: SocketAddr,
    handler: &Handler,
    activity: &Activity,
    shutdown: &Shutdown,
) -> Option<Box<dyn HttpStream>> {
    let Some(tls) = &handler.tls else {
        return Some(Box::new(stream));
    };
    let mut hello = Vec::new();
    let start = RequestStart::now();
    let accepting = tls.accept(stream, &mut hello);
    let accepting = timeout(handler.limits.head_deadline, accepting);
    let accepted = shutdown
        .unless_draining(activity.unless_evicted(accepting))
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
    stream: Box<dyn HttpStream>,
    remote_addr: SocketAddr,
    handler: Rc<Handler>,
    activity: Rc<Activity>,
    shutdown: Shutdown,
) {
    let limits = handler.limits;
    let is_plain_on_tls_port = handler.tls.is_some() && !stream.is_encrypted();
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
        close_mode: Cell::new(CloseMode::Close),
        responding: Cell::new(None),
        is_plain_on_tls_port,
        shutdown,
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
    let serving = activity.unless_evicted_if(&mut connection, || {
        recorder.borrow().phase != HttpPhase::Handling
    });
    let reason = match client.shutdown.unless_draining(serving).await {
        Some(Some(ended)) => EndReason::Finished(ended),
        Some(None) => EndReason::Evicted,
        None if recorder.borrow().phase == HttpPhase::ReadingHead => EndReason::Shutdown,
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
        reason,
    }
    .run(recorded)
    .await;
}

/// Waits for the response to the current request: until it is due while the listener drains, and for a short time once it
/// aborts. A request that is incomplete gets a short time in both cases.
async fn drain(
    mut connection: impl Future<Output = Result<(), hyper::Error>> + Unpin,
    handler: &Handler,
    client: &ClientConnection,
) -> EndReason {
    let draining = async {
        match timeout(REQUEST_LIMIT, &mut connection).await {
            Ok(ended) => Some(ended),
            Err(_) if client.recorder.borrow().body_taken => Some((&mut connection).await),
            Err(_) => None,
        }
    };
    if let Some(ended) = client.shutdown.unless_aborting(draining).await {
        return ended.map_or(EndReason::Shutdown, EndReason::Finished);
    }
    let mut drained = timeout(REQUEST_LIMIT, &mut connection).await;
    if drained.is_err() && handler.writer.is_writing() {
        drained = timeout(COMMIT_LIMIT, &mut connection).await;
    }
    drained.map_or(EndReason::Shutdown, EndReason::Finished)
}
