//! Handles one request: web UI or capture, then the response of the script or of the forward target.
//!
//! A captured request gets a response only after its capture is committed.

use std::rc::Rc;

use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::time::sleep;

use super::auth::{self, RequiredSecrets};
use super::capture_writer::CaptureWriter;
use super::client::{ClientConnection, ConnectionEnd, CurrentHead, NoResponse};
use super::forward::{self, ForwardHandler, MAX_HOPS};
use super::limits::Limits;
use super::memory::MemoryPermit;
use super::recorder::RequestStart;
use super::refusal::Refusal;
use super::response::{self, ResponseBody};
use super::script::{ResponseScript, ScriptAction, ScriptStep};
use super::stop::Stop;
use super::web::WebHandler;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::secret::Secret;

/// What the connections of a listener share.
pub(super) struct Handler {
    pub limits: Limits,
    pub secrets: RequiredSecrets,
    pub web_token: Option<Secret>,
    pub writer: CaptureWriter,
    pub script: ResponseScript,
    pub forwarder: Option<Rc<ForwardHandler>>,
    pub web: Option<WebHandler>,
}

impl Handler {
    pub(super) async fn handle(
        &self,
        client: &ClientConnection,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let Some(head) = client.begin_request(request.method().as_str()) else {
            // To assign bytes to the wrong request would be worse than to refuse this one.
            client.recorder.borrow_mut().refuse(400);
            return Err(NoResponse);
        };
        let (parts, body) = request.into_parts();
        if let Some(web) = self.web_for(client, head, &parts) {
            client.recorder.borrow_mut().skip_current();
            // Boxed: it is rare, and would enlarge the future of every request.
            return Ok(Box::pin(web.respond(client, parts, body, &self.limits)).await);
        }
        let limit = self.limits.body_bytes;
        let (decoded, refusal) = client
            .read_body(body, limit, &self.limits, client.is_chunked())
            .await;
        let truncated = client.is_truncated();
        let Some(request) = client.take_request(decoded, refusal) else {
            return Err(NoResponse);
        };
        let mut capture = self.capture(client, request.head, head.arrival);
        let refusal = refusal
            .or(truncated.then_some(Refusal::TooMuchChunkFraming))
            .or(head.conflicting.then_some(Refusal::ConflictingLengths))
            .or(client.is_plain_on_tls_port.then_some(Refusal::PlainHttp))
            .or((capture.secret_ok == Some(false)).then_some(Refusal::WrongSecret))
            .or(self
                .is_forward_loop(&capture)
                .then_some(Refusal::ForwardLoop));
        capture.malformed = refusal.is_some_and(Refusal::is_malformed);
        let captured = Captured {
            capture,
            body: request.body,
            memory: request.memory,
            arrival: head.arrival,
        };
        match (refusal, &self.forwarder) {
            (Some(refusal), _) => Ok(self.refuse(client, captured, refusal).await),
            (None, Some(forwarder)) => {
                Box::pin(self.forward(client, captured, Rc::clone(forwarder))).await
            }
            (None, None) => self.follow_script(client, captured).await,
        }
    }

    fn web_for(
        &self,
        client: &ClientConnection,
        head: CurrentHead,
        parts: &Parts,
    ) -> Option<&WebHandler> {
        if head.conflicting || client.is_plain_on_tls_port {
            return None;
        }
        self.web
            .as_ref()
            .filter(|web| web.reserves(&parts.method, &parts.uri))
    }

    pub(super) fn capture(
        &self,
        client: &ClientConnection,
        head: Vec<u8>,
        arrival: RequestStart,
    ) -> Capture {
        let head = match &self.web_token {
            Some(token) => auth::without_token(&head, token),
            None => head,
        };
        let mut capture = Capture::new(arrival.received_at, client.remote_addr, head);
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
            duration_ms: captured.arrival.elapsed_ms(),
            note: refusal.reason(&self.limits),
        };
        if refusal.is_malformed() {
            client.linger();
        }
        if self.store(captured).await.is_none() {
            return client.respond_unavailable();
        }
        let message =
            response::message(refusal.status(), refusal.message(), refusal.is_malformed());
        client.respond(message)
    }

    async fn follow_script(
        &self,
        client: &ClientConnection,
        mut captured: Captured,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let ScriptStep { action, delay } = self.script.next(captured.capture.path());
        let arrival = captured.arrival;
        captured.capture.response.duration_ms = arrival
            .elapsed_ms()
            .saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        if let ScriptAction::Respond(status) = action {
            captured.capture.response.status = Some(status);
        }
        let Some(id) = self.store(captured).await else {
            return Ok(client.respond_unavailable());
        };
        if !delay.is_zero()
            && let Some(reason) = wait(client, &client.stop, delay).await
        {
            // To respond too early would be another behaviour than the chosen one.
            let response = CapturedResponse {
                status: None,
                duration_ms: arrival.elapsed_ms(),
                note: Some(reason.to_owned()),
            };
            self.writer.record_response(id, response).await;
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
        let Captured {
            capture,
            body,
            memory,
            arrival,
        } = captured;
        let Ok(stored) = self.writer.store(capture, body).await else {
            return Ok(client.respond_unavailable());
        };
        let forwarding = forwarder.forward(self.writer.clone(), stored, arrival, memory);
        match client.unless_abandoned(forwarding).await {
            Some(Some(mut response)) => {
                self.sandbox(&mut response);
                client.activity.set_holds_memory(true);
                Ok(client.respond(response))
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
        let Captured {
            capture,
            body,
            memory,
            ..
        } = captured;
        let stored = self.writer.store(capture, body).await;
        drop(memory);
        stored.ok().map(|stored| stored.caught.id)
    }

    /// Records that the response in progress was not sent completely, if there is one.
    pub(super) async fn record_unsent(
        &self,
        client: &ClientConnection,
        reason: impl FnOnce(u16) -> String,
    ) {
        let (unsent, duration_ms) = {
            let recorder = client.recorder.borrow();
            let duration_ms = recorder
                .current()
                .map_or(0, |request| request.arrival.elapsed_ms());
            (recorder.is_responding(), duration_ms)
        };
        let Some((id, status)) = client.responding.take().filter(|_| unsent) else {
            return;
        };
        let response = CapturedResponse {
            status: None,
            duration_ms,
            note: Some(reason(status)),
        };
        self.writer.record_response(id, response).await;
    }
}

/// A request on its way to the journal.
struct Captured {
    capture: Capture,
    body: Body,
    memory: MemoryPermit,
    arrival: RequestStart,
}

/// Waits until a response is due; returns why it will not be sent, if so.
async fn wait(
    client: &ClientConnection,
    stop: &Stop,
    delay: std::time::Duration,
) -> Option<&'static str> {
    let waiting = client.unless_abandoned(sleep(delay));
    match stop.unless_stopping(waiting).await {
        Some(Some(())) => None,
        Some(None) => Some(
            "the client closed the connection before the response was due, and the connection was needed",
        ),
        None => Some("the listener stopped before the response was due"),
    }
}
