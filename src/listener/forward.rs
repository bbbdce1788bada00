//! Forwards stored requests to an upstream, the real receiver; records its responses and returns them.
//!
//! Nothing is forwarded before its commit. The response is recorded before it is returned, also if the client has gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::capture_writer::CaptureWriter;
use super::limits::ListenerLimits;
use super::memory::{MemoryLimit, MemoryPermit, UNCOUNTED_BYTES};
use super::recorder::RequestStart;
use super::response;
use crate::capture::{Body, Capture, CapturedResponse, end_to_end};
use crate::http::Memory;
use crate::journal::StoredCapture;
use crate::text::size;
use crate::time::compact;

/// Requests that are being forwarded at a time: each occupies a thread.
pub(super) const MAX_FORWARDS: usize = 256;

/// A request that this many listeners have forwarded is refused.
pub const MAX_HOPS: u32 = 5;

/// A response of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamResponse {
    pub status: u16,
    /// In their order. The client does not get those that belong to one connection, nor the length, except for HEAD.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Describes the response in its capture, instead of the upstream's name.
    pub note: Option<String>,
}

/// Where captured requests are forwarded. Called on threads that may block, several at once.
pub trait Upstream: Send + Sync {
    /// The URL for notes: it contains no secrets.
    fn name(&self) -> &str;

    /// Whether a complete request is for it. The others get the script's responses. Must not block.
    fn accepts(&self, _capture: &Capture, _body: &Body) -> bool {
        true
    }

    /// Sends the request once, and returns the response within a deadline of its own. Asks `memory` before it reads a body.
    /// The error is a message without secrets.
    fn send(
        &self,
        capture: &StoredCapture,
        memory: &Arc<dyn Memory>,
    ) -> Result<UpstreamResponse, String>;
}

pub(super) struct ForwardHandler {
    pub upstream: Arc<dyn Upstream>,
    pub slots: Arc<Semaphore>,
    /// Counts the responses, of which each may use all of it.
    pub memory: Arc<MemoryLimit>,
    pub limits: ListenerLimits,
}

impl ForwardHandler {
    /// Forwards a stored request, whose memory is released afterwards. `None` if the result is unknown.
    pub(super) async fn forward(
        self: Arc<Self>,
        writer: CaptureWriter,
        stored: Arc<StoredCapture>,
        start: RequestStart,
        request_memory: MemoryPermit,
    ) -> Option<(Response<Bytes>, MemoryPermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let upstream = Arc::clone(&self.upstream);
        let memory = Arc::new(ResponseMemory {
            memory: Arc::clone(&self.memory),
            held: Mutex::default(),
            limits: self.limits,
            runtime: Handle::current(),
        });
        // The thread also records the response, so that it does so even if the listener stops meanwhile.
        let sending = tokio::task::spawn_blocking(move || {
            let counted: Arc<dyn Memory> = Arc::clone(&memory) as _;
            let send = || upstream.send(&stored, &counted);
            let sent = catch_unwind(AssertUnwindSafe(send));
            let sent = sent.unwrap_or_else(|_| Err("internal error".to_owned()));
            drop(slot);
            let method = stored.record.capture.method();
            let sent = sent.and_then(|mut sent| {
                let note = sent.note.take();
                client_response(sent, method).map(|response| (response, note))
            });
            let (response, note) = match sent {
                Ok((response, note)) => {
                    let name = upstream.name();
                    (
                        response,
                        note.unwrap_or_else(|| format!("forwarded to {name}")),
                    )
                }
                Err(error) => {
                    let note = format!("not forwarded to {}: {error}", upstream.name());
                    (response::message(502, &note, false), note)
                }
            };
            let captured = CapturedResponse {
                status: Some(response.status().as_u16()),
                duration_ms: start.elapsed_ms(),
                note: Some(note),
            };
            let recorded = writer.update_response(stored.record.id, captured);
            (response, std::mem::take(&mut *memory.held()), recorded)
        });
        let (response, memory, recorded) = sending.await.ok()?;
        // Returned even if it could not be recorded: the upstream has acted.
        let _ = recorded.await;
        drop(request_memory);
        Some((response, memory))
    }
}

/// Counts the body of one response.
struct ResponseMemory {
    memory: Arc<MemoryLimit>,
    held: Mutex<MemoryPermit>,
    limits: ListenerLimits,
    runtime: Handle,
}

impl ResponseMemory {
    fn held(&self) -> MutexGuard<'_, MemoryPermit> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory for ResponseMemory {
    fn grow(&self, length: usize) -> Result<(), String> {
        let limit = self.limits.buffered_bytes;
        if length > limit {
            return Err(format!("is longer than {}", size(limit as u64)));
        }
        let mut held = self.held();
        if held.covers(length, &self.memory) {
            return Ok(());
        }
        // A body that grows piece by piece needs a buffer of up to twice its length.
        let wanted = length.next_power_of_two().min(limit);
        let more = wanted.saturating_sub(UNCOUNTED_BYTES) - held.bytes();
        let deadline = self.limits.body_deadline;
        let acquiring = async { timeout(deadline, Arc::clone(&self.memory).acquire(more)).await };
        let Ok(permit) = self.runtime.block_on(acquiring) else {
            return Err(format!(
                "waited {} for memory: other responses used the limit of {}",
                compact(deadline),
                size(limit as u64)
            ));
        };
        held.merge(permit);
        Ok(())
    }
}

/// The response for the client, without the headers that belong to the connection to the upstream.
fn client_response(upstream: UpstreamResponse, method: &str) -> Result<Response<Bytes>, String> {
    let status = upstream.status;
    if !(200..=599).contains(&status) {
        let reason = format!("the response has the status {status}, which cannot be returned");
        return Err(reason);
    }
    let mut response = Response::new(Bytes::from(upstream.body));
    *response.status_mut() = response::status_code(status);
    let received = upstream.headers.iter();
    let received: Vec<_> = received.map(|(name, value)| (&**name, &**value)).collect();
    // The length of a body that is not sent: it frames nothing.
    let length = received.iter().copied().find(|(name, value)| {
        method == "HEAD"
            && name.eq_ignore_ascii_case("content-length")
            && value.iter().all(u8::is_ascii_digit)
    });
    for (name, value) in end_to_end(received).into_iter().chain(length) {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        ) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
