//! Requests for the web UI: they are read completely, then an axum router responds.

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Uri};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::client::ClientConnection;
use super::limits::Limits;
use super::memory::{MemoryLimit, UNCOUNTED_BYTES};
use super::response::{self, ResponseBody};
use super::setup::{Bound, WebUi};

/// Bytes that a request to the web UI may have in its body.
const MAX_WEB_BODY: usize = 1024 * 1024;

/// Requests that the web UI handles at a time; only their responses are not yet counted in memory.
const MAX_WEB_CALLS: usize = 32;

pub(super) struct WebHandler {
    ui: WebUi,
    bound: Bound,
    calls: Semaphore,
    memory: Arc<MemoryLimit>,
}

impl WebHandler {
    /// Counts the responses of `ui` in `memory` until they were sent.
    pub(super) fn new(ui: WebUi, bound: Bound, memory: Arc<MemoryLimit>) -> Self {
        Self {
            ui,
            bound,
            calls: Semaphore::new(MAX_WEB_CALLS),
            memory,
        }
    }

    /// Whether a request is not to be captured.
    pub(super) fn reserves(&self, method: &Method, uri: &Uri) -> bool {
        (self.ui.reserves)(method, uri)
    }

    pub(super) async fn respond(
        &self,
        client: &ClientConnection,
        mut parts: Parts,
        body: Incoming,
        limits: &Limits,
    ) -> Response<ResponseBody> {
        let (bytes, refusal) = client.read_body(body, MAX_WEB_BODY, limits, true).await;
        if let Some(refusal) = refusal {
            client.linger();
            let message = response::message(refusal.status(), refusal.message(), true);
            return client.respond(message);
        }
        parts.extensions.insert(self.bound);
        let request = Request::from_parts(parts, axum::body::Body::from(bytes));
        let call = self.calls.acquire().await;
        let Ok(response) = self.ui.router.clone().oneshot(request).await;
        let size = response.body().size_hint().exact();
        let permit = match size.map(|size| usize::try_from(size).unwrap_or(usize::MAX)) {
            Some(bytes) if bytes > UNCOUNTED_BYTES => {
                let permit = Arc::clone(&self.memory).acquire(bytes).await;
                client.activity.set_holds_memory(true);
                permit
            }
            _ => None,
        };
        drop(call);
        client.respond_with(response).map(|body| match size {
            Some(_) => body.holding(permit.unwrap_or_default()),
            None => body.ending_with(client.stream_end()),
        })
    }
}
