//! Forwards stored requests to a real receiver, records its responses and returns them.
//!
//! Nothing is forwarded before its commit. The response is recorded before it is returned, also if the client has gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::capture_writer::CaptureWriter;
use super::memory::{MemoryLimit, MemoryPermit, UNCOUNTED_BYTES};
use super::recorder::RequestStart;
use super::response;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::http::Memory;
use crate::journal::SharedCapture;
use crate::text::size;
use crate::time::compact;

/// Requests that are being forwarded at a time: each occupies a thread.
const MAX_FORWARDS: usize = 256;

/// How many listeners have forwarded a request. Each adds one, so that listeners that forward to each other stop.
pub const HOPS_HEADER: &str = "Hookfire-Hops";

/// A request that this many listeners have forwarded is refused.
pub(super) const MAX_HOPS: u32 = 5;

/// The value of [`HOPS_HEADER`]; 0 if it is missing or invalid.
pub fn hops(capture: &Capture) -> u32 {
    let value = capture.header(HOPS_HEADER);
    let text = value.and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A response of the forward target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    pub status: u16,
    /// In their order. Those that belong to one connection are not returned to the client, nor is the length, except for
    /// HEAD.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// Where captured requests are forwarded. Called on threads that may block, several at once.
pub trait Upstream: Send + Sync {
    /// Its URL, without secrets.
    fn name(&self) -> &str;

    /// Sends the request once, and returns the response within a deadline of its own. Asks `memory` before it reads a body.
    /// The error is a message without secrets.
    fn relay(
        &self,
        capture: &Capture,
        body: &Body,
        memory: &Arc<dyn Memory>,
    ) -> Result<Relayed, String>;
}

pub(super) struct ForwardHandler {
    upstream: Arc<dyn Upstream>,
    slots: Arc<Semaphore>,
    memory: Arc<MemoryLimit>,
    limit_bytes: usize,
    memory_timeout: Duration,
}

impl ForwardHandler {
    /// Counts responses in `memory`, of which each may use `limit_bytes` and wait for `memory_timeout`.
    pub(super) fn new(
        upstream: Arc<dyn Upstream>,
        memory: Arc<MemoryLimit>,
        limit_bytes: usize,
        memory_timeout: Duration,
    ) -> Self {
        Self {
            upstream,
            slots: Arc::new(Semaphore::new(MAX_FORWARDS)),
            memory,
            limit_bytes,
            memory_timeout,
        }
    }

    /// Forwards a stored request, whose memory is released afterwards. Goes on if the returned future is dropped. `None` if
    /// the result is unknown.
    pub(super) async fn forward(
        self: Rc<Self>,
        writer: CaptureWriter,
        stored: SharedCapture,
        arrival: RequestStart,
        request_memory: MemoryPermit,
    ) -> Option<Response<Bytes>> {
        let relaying = tokio::task::spawn_local(async move {
            let response = self.relay(writer, stored, arrival).await;
            drop(request_memory);
            response
        });
        relaying.await.ok()?
    }

    async fn relay(
        &self,
        writer: CaptureWriter,
        stored: SharedCapture,
        arrival: RequestStart,
    ) -> Option<Response<Bytes>> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let upstream = Arc::clone(&self.upstream);
        let memory: Arc<dyn Memory> = Arc::new(ResponseMemory {
            memory: Arc::clone(&self.memory),
            held: Mutex::default(),
            limit_bytes: self.limit_bytes,
            timeout: self.memory_timeout,
            runtime: Handle::current(),
        });
        let (done, recorded) = oneshot::channel();
        // The thread also records the response, so that it does so even if the listener stops meanwhile.
        let relaying = tokio::task::spawn_blocking(move || {
            let stored = &*stored;
            let relay = || upstream.relay(&stored.caught.capture, &stored.body, &memory);
            let result = catch_unwind(AssertUnwindSafe(relay))
                .unwrap_or_else(|_| Err("internal error".to_owned()))
                .and_then(final_response);
            drop(slot);
            let (response, note) = match result {
                Ok(relayed) => (
                    client_response(relayed, memory, stored.caught.capture.method()),
                    format!("forwarded to {}", upstream.name()),
                ),
                Err(error) => {
                    let note = format!("not forwarded to {}: {error}", upstream.name());
                    (response::message(502, &note, false), note)
                }
            };
            let captured = CapturedResponse {
                status: Some(response.status().as_u16()),
                duration_ms: arrival.elapsed_ms(),
                note: Some(note),
            };
            writer.update_response(stored.caught.id, captured, move || {
                let _ = done.send(());
            });
            response
        });
        let response = relaying.await.ok()?;
        // Returned even if it could not be recorded: the receiver has acted.
        let _ = recorded.await;
        Some(response)
    }
}

/// Counts the body of one response.
struct ResponseMemory {
    memory: Arc<MemoryLimit>,
    held: Mutex<MemoryPermit>,
    limit_bytes: usize,
    timeout: Duration,
    runtime: Handle,
}

impl Memory for ResponseMemory {
    fn grow(&self, length: usize) -> Result<(), String> {
        if length > self.limit_bytes {
            return Err(format!("is longer than {}", size(self.limit_bytes as u64)));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.covers(length, &self.memory) {
            return Ok(());
        }
        // A body that grows piece by piece needs a buffer of up to twice its length.
        let wanted = length.next_power_of_two().min(self.limit_bytes);
        let more = wanted.saturating_sub(UNCOUNTED_BYTES) - held.bytes();
        let acquiring =
            async { timeout(self.timeout, Arc::clone(&self.memory).acquire(more)).await };
        match self.runtime.block_on(acquiring) {
            Ok(Some(permit)) => {
                held.merge(permit);
                Ok(())
            }
            Ok(None) => Err("was dropped because the listener stops".to_owned()),
            Err(_) => Err(format!(
                "waited {} for memory: other responses used the limit of {}",
                compact(self.timeout),
                size(self.limit_bytes as u64)
            )),
        }
    }
}

fn final_response(relayed: Relayed) -> Result<Relayed, String> {
    match relayed.status {
        200..=599 => Ok(relayed),
        other => Err(format!(
            "the response has the status {other}, which cannot be returned"
        )),
    }
}

/// A body with the memory it uses until it was sent.
struct CountedBody {
    body: Vec<u8>,
    _memory: Arc<dyn Memory>,
}

impl AsRef<[u8]> for CountedBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// The response for the client, without the headers that belong to the connection to the receiver.
fn client_response(relayed: Relayed, memory: Arc<dyn Memory>, method: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_owner(CountedBody {
        body: relayed.body,
        _memory: memory,
    }));
    *response.status_mut() = response::status_code(relayed.status);
    let named_by_connection: Vec<String> = relayed
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| {
            let names = String::from_utf8_lossy(value).to_ascii_lowercase();
            names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    for (name, value) in &relayed.headers {
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        ) else {
            continue;
        };
        if method == "HEAD"
            && name == CONTENT_LENGTH
            && value.as_bytes().iter().all(u8::is_ascii_digit)
        {
            // The length of a body that is not sent: it frames nothing.
            response.headers_mut().insert(name, value);
        } else if !response::is_framing(name.as_str())
            && !named_by_connection
                .iter()
                .any(|named| named == name.as_str())
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}
