//! Requests for the web UI: an axum router responds to them.

use std::sync::Arc;

use axum::body::Body;
use hyper::body::Body as _;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Uri};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::client::ClientConnection;
use super::memory::{MemoryLimit, MemoryPermit, UNCOUNTED_BYTES};
use super::recorder::RecordedRequest;
use super::response::ResponseBody;
use super::setup::{Bound, WebUi};

/// Requests that the web UI handles at a time; only their responses are not yet counted in memory.
pub(super) const MAX_WEB_CALLS: usize = 32;

pub(super) struct WebHandler {
    pub ui: WebUi,
    pub bound: Bound,
    pub calls: Semaphore,
    /// Counts the responses until they were sent.
    pub memory: Arc<MemoryLimit>,
}

impl WebHandler {
    /// Whether a request is not to be captured.
    pub(super) fn reserves(&self, method: &Method, uri: &Uri) -> bool {
        (self.ui.reserves)(method, uri)
    }

    pub(super) async fn respond(
        &self,
        client: &ClientConnection,
        mut parts: Parts,
        recorded: RecordedRequest,
    ) -> Response<ResponseBody> {
        parts.extensions.insert(self.bound);
        let request = Request::from_parts(parts, Body::from(recorded.body.bytes));
        let call = self.calls.acquire().await;
        let Ok(response) = self.ui.router.clone().oneshot(request).await;
        let size = response.body().size_hint().exact();
        let bytes = size.map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let mut memory = MemoryPermit::default();
        if bytes > UNCOUNTED_BYTES {
            memory = Arc::clone(&self.memory).acquire(bytes).await;
            client.activity.set_holds_memory(true);
        }
        drop(call);
        let end = size.is_none().then(|| client.stream_end());
        response.map(|body| {
            let mut body = ResponseBody::new(body, &client.recorder);
            body.end = end;
            body.memory = memory;
            body
        })
    }
}
