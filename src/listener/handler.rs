//! Handles one request: web UI or capture, then the response of the script or of the forward target.
//!
//! A captured request gets a response only after its capture is committed.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::ORIGIN;
use hyper::{Request, Response};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::sleep;

use super::auth;
use super::capture_writer::{CaptureWriter, Stored};
use super::client::{ClientConnection, CloseMode, NoResponse};
use super::connections::EVICTABLE_AFTER;
use super::forward::{ForwardHandler, MAX_FORWARDS, MAX_HOPS};
use super::handshake::{HandshakeResponse, Handshakes};
use super::limits::ListenerLimits;
use super::memory::MemoryLimit;
use super::recorder::{RecordedRequest, RequestStart};
use super::refusal::Refusal;
use super::response::{self, ResponseBody};
use super::route::Route;
use super::script::{self, HeaderError, ResponseScript, ScriptAction, ScriptStep};
use super::setup::{Bound, Setup};
use super::tls::Tls;
use super::web::{MAX_CHANGES, MAX_READS, WebHandler};
use crate::capture::{Body, Capture, CapturedResponse, SignatureCheck};
use crate::secret::Secret;
use crate::signature::Verifier;

/// How long a client may read nothing of a response while others wait for the memory that it uses. Longer than for a request,
/// as a slow network looks the same.
const UNREAD_RESPONSE_EVICTION: Duration = Duration::from_secs(1);

/// The signature of a longer body is verified on another thread, so that other requests do not wait for it.
const MAX_VERIFIED_AT_ONCE: usize = 256 * 1024;

/// What the connections of a listener share.
pub(super) struct Handler {
    pub limits: ListenerLimits,
    pub required_secrets: Vec<(String, Secret)>,
    pub verifier: Option<Arc<Verifier>>,
    pub handshakes: Handshakes,
    pub web_tokens: Vec<Secret>,
    pub writer: CaptureWriter,
    pub script: ResponseScript,
    /// Whether the script replaces the responses of bins.
    pub overrides_bins: bool,
    pub routes: Vec<(Route, ResponseScript)>,
    pub forwarder: Option<Arc<ForwardHandler>>,
    /// Whether requests are forwarded, now or later.
    pub forwards: bool,
    pub web: Option<WebHandler>,
    pub request_memory: Arc<MemoryLimit>,
    pub response_memory: Arc<MemoryLimit>,
    pub tls: Option<Tls>,
}

impl Handler {
    /// For a listener that is bound to `addr`.
    pub(super) fn new(
        setup: Setup,
        addr: SocketAddr,
    ) -> Result<(Handler, UnboundedReceiver<Stored>), HeaderError> {
        let limits = setup.limits;
        let response_memory = MemoryLimit::new(limits.buffered_bytes, UNREAD_RESPONSE_EVICTION);
        let forwarder = setup.upstream.map(|upstream| {
            Arc::new(ForwardHandler {
                upstream,
                slots: Arc::new(Semaphore::new(MAX_FORWARDS)),
                memory: Arc::clone(&response_memory),
                limits,
            })
        });
        let bound = Bound {
            addr,
            tls: setup.tls.is_some(),
        };
        let web = setup.web.map(|ui| WebHandler {
            ui,
            bound,
            reads: Semaphore::new(MAX_READS),
            changes: Semaphore::new(MAX_CHANGES),
            memory: Arc::clone(&response_memory),
        });
        let (body, headers) = (setup.response_body, setup.response_headers);
        let routes = setup.routes.into_iter().map(|route| {
            let script = route.script.clone();
            let script = ResponseScript::new(script, false, body.clone(), &headers)?;
            Ok((route, script))
        });
        let routes = routes.collect::<Result<_, HeaderError>>()?;
        let (writer, stored) = CaptureWriter::new(setup.captures, setup.notifier);
        let handler = Handler {
            limits,
            required_secrets: setup.require_secret,
            verifier: setup.verifier.map(Arc::new),
            handshakes: setup.handshakes,
            web_tokens: setup.web_tokens,
            writer,
            script: ResponseScript::new(setup.script, setup.status_in_path, body, &headers)?,
            overrides_bins: setup.overrides_bins,
            routes,
            forwards: forwarder.is_some() || setup.forwards_later,
            forwarder,
            web,
            request_memory: MemoryLimit::new(limits.buffered_bytes, EVICTABLE_AFTER),
            response_memory,
            tls: setup.tls,
        };
        Ok((handler, stored))
    }

    pub(super) async fn handle(
        &self,
        client: &ClientConnection,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let (parts, body) = request.into_parts();
        let reading = client.read_request(parts.method.as_str(), body, &self.limits);
        let Some((request, refusal)) = reading.await else {
            // To assign bytes to the wrong request would be worse than to refuse this one.
            client.recorder.borrow_mut().refuse(400);
            return Err(NoResponse);
        };
        if let Some(web) = &self.web
            && (web.ui.reserves)(&parts)
            && !refusal.is_some_and(Refusal::is_ambiguous)
        {
            // Boxed: it is rare, and would enlarge the future of every request.
            return match refusal {
                Some(refusal) => Ok(client.refuse(refusal)),
                None => Box::pin(web.respond(client, parts, request)).await,
            };
        }
        let has_origin = parts.headers.contains_key(ORIGIN);
        let mut response = self.respond(client, request, refusal).await?;
        self.handshakes.allow_reading(has_origin, &mut response);
        Ok(response)
    }

    /// Captures a request and responds to it.
    async fn respond(
        &self,
        client: &ClientConnection,
        mut request: RecordedRequest,
        refusal: Option<Refusal>,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let head = std::mem::take(&mut request.head);
        let mut capture = self.capture(client, head, request.start);
        let mut refusal = refusal.or_else(|| self.check(&capture));
        capture.malformed = refusal.is_some_and(Refusal::is_malformed);
        if refusal.is_none()
            && let Some(answer) = self.handshakes.respond(&capture, &request.body)
        {
            return Ok(self.end_handshake(client, capture, request, answer).await);
        }
        if let Some(verifier) = &self.verifier {
            match refusal {
                None => {
                    let verifying = verify(verifier, capture, request.body);
                    (capture, request.body) = verifying.await;
                    let is_invalid = capture.invalid_signature().is_some();
                    refusal = is_invalid.then_some(Refusal::InvalidSignature);
                }
                Some(refusal) if refusal.is_malformed() => {
                    let reason = refusal.reason(&self.limits);
                    let check = SignatureCheck::incomplete(verifier, reason.as_deref());
                    capture.signature = Some(check);
                }
                Some(_) => {}
            }
        }
        if let Some(refusal) = refusal {
            return Ok(self.refuse(client, capture, request, refusal).await);
        }
        match &self.forwarder {
            Some(forwarder) if forwarder.upstream.accepts(&capture, &request.body) => {
                Box::pin(self.forward(client, capture, request, Arc::clone(forwarder))).await
            }
            _ => self.follow_script(client, capture, request).await,
        }
    }

    /// Why a complete request is refused, if it is.
    fn check(&self, capture: &Capture) -> Option<Refusal> {
        if capture.secret_ok == Some(false) {
            return Some(Refusal::WrongSecret);
        }
        if !self.forwards {
            return None;
        }
        if capture.hops() >= MAX_HOPS {
            return Some(Refusal::ForwardLoop);
        }
        capture.has_fragment().then_some(Refusal::Fragment)
    }

    pub(super) fn capture(
        &self,
        client: &ClientConnection,
        head: Vec<u8>,
        start: RequestStart,
    ) -> Capture {
        let tokens = self.web_tokens.iter();
        let head = tokens.fold(head, |head, token| auth::without_token(&head, token));
        let mut capture = Capture::new(start.received_at, client.remote_addr, head);
        capture.secret_ok = auth::check_secrets(&self.required_secrets, capture.query());
        capture
    }

    async fn refuse(
        &self,
        client: &ClientConnection,
        mut capture: Capture,
        request: RecordedRequest,
        refusal: Refusal,
    ) -> Response<ResponseBody> {
        capture.response = CapturedResponse {
            status: Some(refusal.status()),
            duration_ms: request.start.elapsed_ms(),
            note: refusal.reason(&self.limits),
        };
        let stored = self.writer.store(capture, request.body).await;
        let response = client.refuse(refusal);
        match stored {
            Some(_) => response,
            None => client.respond_unavailable(),
        }
    }

    async fn end_handshake(
        &self,
        client: &ClientConnection,
        mut capture: Capture,
        request: RecordedRequest,
        HandshakeResponse { name, mut response }: HandshakeResponse,
    ) -> Response<ResponseBody> {
        capture.handshake = Some(name.to_owned());
        capture.response = CapturedResponse {
            status: Some(response.status().as_u16()),
            duration_ms: request.start.elapsed_ms(),
            note: None,
        };
        self.sandbox(&mut response);
        match self.writer.store(capture, request.body).await {
            Some(_) => client.respond(response),
            None => client.respond_unavailable(),
        }
    }

    async fn follow_script(
        &self,
        client: &ClientConnection,
        mut capture: Capture,
        request: RecordedRequest,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        let mut routes = self.routes.iter();
        let route = routes.find(|(route, _)| route.matches(&capture));
        let script = route.map_or(&self.script, |(_, script)| script);
        let ScriptStep {
            mut action,
            mut delay,
        } = script.next(capture.path());
        let overrides_bin =
            route.is_some() || self.overrides_bins || script.is_chosen_by(capture.path());
        let start = request.start;
        let duration_ms = |delay: Duration| {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            start.elapsed_ms().saturating_add(delay_ms)
        };
        capture.response.duration_ms = duration_ms(delay);
        if let ScriptAction::Respond(status) = action {
            capture.response.status = Some(status);
        }
        let Some(stored) = self.writer.store(capture, request.body).await else {
            return Ok(client.respond_unavailable());
        };
        let id = stored.record.id;
        let of_bin = stored.bin_response.clone().filter(|_| !overrides_bin);
        // The delay may be long: release the memory before it.
        drop((stored, request.memory));
        if let Some(of_bin) = &of_bin {
            action = ScriptAction::Respond(of_bin.status);
            delay = Duration::from_millis(of_bin.delay_ms);
            let response = CapturedResponse {
                status: Some(of_bin.status),
                duration_ms: duration_ms(delay),
                note: None,
            };
            let _ = self.writer.update_response(id, response).await;
        }
        if let Err(reason) = wait(client, delay).await {
            // To respond too early would be another behaviour than the chosen one.
            self.record_no_response(id, start, reason.to_owned()).await;
            return Err(NoResponse);
        }
        match action {
            ScriptAction::Respond(status) => {
                let mut response = match &of_bin {
                    Some(of_bin) => script::response_of(of_bin),
                    None => script.response(status),
                };
                if of_bin.is_some() || script.is_customized() {
                    self.sandbox(&mut response);
                }
                let response = client.respond(response);
                client.responding.set(Some((id, status, start)));
                return Ok(response);
            }
            ScriptAction::Timeout => client.close_mode.set(CloseMode::Hold),
            ScriptAction::Reset => client.close_mode.set(CloseMode::Reset),
        }
        Err(NoResponse)
    }

    async fn forward(
        &self,
        client: &ClientConnection,
        mut capture: Capture,
        request: RecordedRequest,
        forwarder: Arc<ForwardHandler>,
    ) -> Result<Response<ResponseBody>, NoResponse> {
        capture.response = CapturedResponse::pending();
        let Some(stored) = self.writer.store(capture, request.body).await else {
            return Ok(client.respond_unavailable());
        };
        let writer = self.writer.clone();
        let forwarding = forwarder.forward(writer, stored, request.start, request.memory);
        // A task, so that it goes on if the client has hung up.
        match client
            .activity
            .unless_abandoned(spawn_local(forwarding))
            .await
        {
            Some(Ok(Some((mut response, memory)))) => {
                self.sandbox(&mut response);
                client.activity.set_holds_memory(!memory.is_empty());
                let mut response = client.respond(response);
                response.body_mut().memory = memory;
                Ok(response)
            }
            Some(_) => Ok(client.respond_unavailable()),
            None => Err(NoResponse),
        }
    }

    fn sandbox(&self, response: &mut Response<Bytes>) {
        if self.web.is_some() {
            response::sandbox(response);
        }
    }

    /// Records that a captured request got no complete response.
    pub(super) async fn record_no_response(&self, id: i64, start: RequestStart, reason: String) {
        let response = CapturedResponse {
            status: None,
            duration_ms: start.elapsed_ms(),
            note: Some(reason),
        };
        let _ = self.writer.update_response(id, response).await;
    }
}

/// Verifies the signature, without finding out why it does not match.
async fn verify(verifier: &Arc<Verifier>, mut capture: Capture, body: Body) -> (Capture, Body) {
    if body.bytes.len() <= MAX_VERIFIED_AT_ONCE {
        capture.signature = Some(SignatureCheck::quick(verifier, &capture, &body));
        return (capture, body);
    }
    let verifier = Arc::clone(verifier);
    let verifying = spawn_blocking(move || {
        capture.signature = Some(SignatureCheck::quick(&verifier, &capture, &body));
        (capture, body)
    });
    match verifying.await {
        Ok(verified) => verified,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

/// Waits until a response is due; an error says why it will not be sent.
async fn wait(client: &ClientConnection, delay: Duration) -> Result<(), &'static str> {
    if delay.is_zero() {
        return Ok(());
    }
    let waiting = client.activity.unless_abandoned(sleep(delay));
    match client.shutdown.unless_aborting(waiting).await {
        Some(Some(())) => Ok(()),
        Some(None) => Err(
            "the client closed the connection before the response was due, and the connection was needed",
        ),
        None => Err("the listener stopped before the response was due"),
    }
}
