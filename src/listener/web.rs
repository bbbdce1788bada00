//! Requests for the web UI: an axum router responds to them.

use std::sync::Arc;

use axum::body::Body;
use hyper::body::Body as _;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::client::{ClientConnection, NoResponse};
use super::memory::{MemoryLimit, MemoryPermit, UNCOUNTED_BYTES};
use super::recorder::RecordedRequest;
use super::response::ResponseBody;
use super::setup::{Bound, WebUi};

/// Requests that the web UI handles at a time; their responses are not yet counted in memory. Lists are long.
pub(super) const MAX_READS: usize = 2;

/// The same for requests that change something. They may wait for an endpoint, and have short responses.
pub(super) const MAX_CHANGES: usize = 16;

pub(super) struct WebHandler {
    pub ui: WebUi,
    pub bound: Bound,
    pub reads: Semaphore,
    pub changes: Semaphore,
    /// Counts the responses until they were sent.
    pub memory: Arc<MemoryLimit>,
}

impl WebHandler {
    pub(super) async fn respond(
        &self,
        client: &ClientConnection,
        mut parts: Parts,
        recorded: RecordedRequest,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        parts.extensions.insert(self.bound);
        let calls = match parts.method.is_safe() {
            true => &self.reads,
            false => &self.changes,
        };
        let request = Request::from_parts(parts, Body::from(recorded.body.bytes));
        let responding = async {
            let call = calls.acquire().await;
            let Ok(response) = self.ui.router.clone().oneshot(request).await;
            let size = response.body().size_hint().exact();
            let bytes = size.map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
            let mut memory = MemoryPermit::default();
            if bytes > UNCOUNTED_BYTES {
                memory = Arc::clone(&self.memory).acquire(bytes).await;
            }
            drop(call);
            (response, size, memory)
        };
        let responded = client.activity.unless_abandoned(responding).await;
        let (response, size, memory) = responded.ok_or(NoResponse)?;
        client.activity.set_holds_memory(!memory.is_empty());
        let end = size.is_none().then(|| client.stream_end());
        Ok(response.map(|body| {
            let mut body = ResponseBody::new(body, &client.recorder);
            body.end = end;
            body.memory = memory;
            body
        }))
    }
}
