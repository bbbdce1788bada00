//! Handles one request: web UI or capture, then the response of the script or of the forward target.
//!
//! A captured request gets a response only after its capture is committed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::time::sleep;

use super::auth::{self, RequiredSecrets};
use super::capture_writer::CaptureWriter;
use super::client::{ClientConnection, ConnectionEnd, NoResponse, RawRequest};
use super::forward::{self, ForwardHandler, MAX_HOPS};
use super::limits::ListenerLimits;
use super::memory::{MemoryLimit, MemoryPermit};
use super::recorder::{HttpPhase, RequestStart};
use super::refusal::Refusal;
use super::response::{self, ResponseBody};
use super::script::{ResponseScript, ScriptAction, ScriptStep};
use super::tls::Tls;
use super::web::WebHandler;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::secret::Secret;

/// What the connections of a listener share.
pub(super) struct Handler {
    pub limits: ListenerLimits,
    pub secrets: RequiredSecrets,
    pub web_token: Option<Secret>,
    pub writer: CaptureWriter,
    pub script: ResponseScript,
    pub forwarder: Option<Rc<ForwardHandler>>,
    pub web: Option<WebHandler>,
    pub request_memory: Arc<MemoryLimit>,
    pub tls: Option<Tls>,
}

/// A request on its way to the journal.
struct Captured {
    capture: Capture,
    body: Body,
    memory: MemoryPermit,
    start: RequestStart,
}

impl Handler {
    pub(super) async fn handle(
        &self,
        client: &ClientConnection,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let (parts, body) = request.into_parts();
        let reading = client.read_request(parts.method.as_str(), body, &self.limits);
        let Some(request) = reading.await else {
            // To assign bytes to the wrong request would be worse than to refuse this one.
            client.recorder.borrow_mut().refuse(400);
            return Err(NoResponse);
        };
        if let Some(web) = &self.web
            && web.reserves(&parts.method, &parts.uri)
            && !request.refusal.is_some_and(Refusal::is_ambiguous)
        {
            // Boxed: it is rare, and would enlarge the future of every request.
            return Ok(Box::pin(web.respond(client, parts, request)).await);
        }
        let RawRequest {
            head,
            body,
            start,
            memory,
            refusal,
        } = request;
        let mut capture = self.capture(client, head, start);
        let refusal = refusal
            .or((capture.secret_ok == Some(false)).then_some(Refusal::WrongSecret))
            .or(self
                .is_forward_loop(&capture)
                .then_some(Refusal::ForwardLoop));
        capture.malformed = refusal.is_some_and(Refusal::is_malformed);
        let captured = Captured {
            capture,
            body,
            memory,
            start,
        };
        match (refusal, &self.forwarder) {
            (Some(refusal), _) => Ok(self.refuse(client, captured, refusal).await),
            (None, Some(forwarder)) => {
                Box::pin(self.forward(client, captured, Rc::clone(forwarder))).await
            }
            (None, None) => self.follow_script(client, captured).await,
        }
    }

    pub(super) fn capture(
        &self,
        client: &ClientConnection,
        head: Vec<u8>,
        start: RequestStart,
    ) -> Capture {
        let head = match &self.web_token {
            Some(token) => auth::without_token(&head, token),
            None => head,
        };
        let mut capture = Capture::new(start.received_at, client.remote_addr, head);
        capture.secret_ok = self.secrets.check(capture.query());
        capture
    }

    async fn refuse(
        &self,
        client: &ClientConnection,
        mut captured: Captured,
        refusal: Refusal,
    ) -> Response<ResponseBody> {
        captured.capture.response = CapturedResponse {
            status: Some(refusal.status()),
            duration_ms: captured.start.elapsed_ms(),
            note: refusal.reason(&self.limits),
        };
        let stored = self.store(captured).await;
        let response = client.refuse(refusal);
        if stored.is_none() {
            return client.respond_unavailable();
        }
        response
    }

    async fn follow_script(
        &self,
        client: &ClientConnection,
        mut captured: Captured,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let ScriptStep { action, delay } = self.script.next(captured.capture.path());
        let start = captured.start;
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        captured.capture.response.duration_ms = start.elapsed_ms().saturating_add(delay_ms);
        if let ScriptAction::Respond(status) = action {
            captured.capture.response.status = Some(status);
        }
        let Some(id) = self.store(captured).await else {
            return Ok(client.respond_unavailable());
        };
        if let Err(reason) = wait(client, delay).await {
            // To respond too early would be another behaviour than the chosen one.
            self.record_no_response(id, start, reason.to_owned()).await;
            return Err(NoResponse);
        }
        match action {
            ScriptAction::Respond(status) => {
                let mut response = self.script.response(status);
                if self.script.is_customized() {
                    self.sandbox(&mut response);
                }
                let response = client.respond(response);
                client.responding.set(Some((id, status)));
                return Ok(response);
            }
            ScriptAction::Timeout => client.end.set(ConnectionEnd::Hold),
            ScriptAction::Reset => client.end.set(ConnectionEnd::Reset),
        }
        Err(NoResponse)
    }

    async fn forward(
        &self,
        client: &ClientConnection,
        captured: Captured,
        forwarder: Rc<ForwardHandler>,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let storing = self.writer.store(captured.capture, captured.body);
        let Ok(stored) = storing.await else {
            return Ok(client.respond_unavailable());
        };
        let (writer, start) = (self.writer.clone(), captured.start);
        let forwarding = forwarder.forward(writer, stored, start, captured.memory);
        match client.activity.unless_abandoned(forwarding).await {
            Some(Some((mut response, memory))) => {
                self.sandbox(&mut response);
                client.activity.set_holds_memory(!memory.is_empty());
                let mut response = client.respond(response);
                response.body_mut().memory = memory;
                Ok(response)
            }
            Some(None) => Ok(client.respond_unavailable()),
            None => Err(NoResponse),
        }
    }

    fn is_forward_loop(&self, capture: &Capture) -> bool {
        self.forwarder.is_some() && forward::hops(capture) >= MAX_HOPS
    }

    fn sandbox(&self, response: &mut Response<Bytes>) {
        if self.web.is_some() {
            response::sandbox(response);
        }
    }

    /// Stores a capture and releases its memory; returns its id.
    async fn store(&self, captured: Captured) -> Option<i64> {
        let storing = self.writer.store(captured.capture, captured.body);
        let stored = storing.await.ok()?;
        Some(stored.caught.id)
    }

    /// Records that the response in progress was not sent completely, if there is one.
    pub(super) async fn record_unsent(
        &self,
        client: &ClientConnection,
        reason: impl FnOnce(u16) -> String,
    ) {
        let start = {
            let recorder = client.recorder.borrow();
            let current = recorder.current.as_ref();
            current
                .filter(|_| recorder.phase == HttpPhase::Responding)
                .map(|request| request.start)
        };
        if let (Some((id, status)), Some(start)) = (client.responding.take(), start) {
            self.record_no_response(id, start, reason(status)).await;
        }
    }

    async fn record_no_response(&self, id: i64, start: RequestStart, reason: String) {
        let response = CapturedResponse {
            status: None,
            duration_ms: start.elapsed_ms(),
            note: Some(reason),
        };
        let _ = self.writer.update_response(id, response).await;
    }
}

/// Waits until a response is due; an error says why it will not be sent.
async fn wait(client: &ClientConnection, delay: Duration) -> Result<(), &'static str> {
    if delay.is_zero() {
        return Ok(());
    }
    let waiting = client.activity.unless_abandoned(sleep(delay));
    match client.stop.unless_stopping(waiting).await {
        Some(Some(())) => Ok(()),
        Some(None) => Err(
            "the client closed the connection before the response was due, and the connection was needed",
        ),
        None => Err("the listener stopped before the response was due"),
    }
}
