//! Handshakes: requests by which a sender asks whether an address wants its webhooks, and CORS preflights.
//!
//! They are captured and marked, but do not use a step of the script. No handshake reveals more than what the request itself
//! contains, except Zoom's, which is an HMAC of its token.

use std::str::FromStr;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use memchr::memmem;
use serde_json::{Value, json};

use super::response;
use crate::capture::{Body, Capture};
use crate::secret::Secret;
use crate::signature::hmac_hex;
use crate::text::nearest;

/// Longer bodies are not handshakes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A longer token of Zoom is not signed, nor one that contains other characters than letters, digits, `-` and `_`: a
/// signature that senders make contains a dot or a colon in the signed text.
const MAX_ZOOM_TOKEN_BYTES: usize = 128;

/// The result of a preflight may be reused for this many seconds.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// How the capture of a preflight is marked.
const PREFLIGHT: &str = "cors";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// GET with `hub.challenge` (Facebook, Instagram, WhatsApp).
    Meta,
    /// `url_verification` of Slack's Events API.
    Slack,
    /// `SubscriptionValidation` of Azure Event Grid.
    EventGrid,
    /// OPTIONS with `WebHook-Request-Origin` (CloudEvents: HTTP 1.1 Web Hooks, section 4).
    CloudEvents,
    /// A GET request with the query parameter `challenge`, which the response repeats.
    Dropbox,
    /// A JSON body whose event is `endpoint.url_validation`, answered with a signed token.
    Zoom,
}

impl Handshake {
    pub const ALL: [Handshake; 6] = [
        Handshake::Meta,
        Handshake::Slack,
        Handshake::EventGrid,
        Handshake::CloudEvents,
        Handshake::Dropbox,
        Handshake::Zoom,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Handshake::Meta => "meta",
            Handshake::Slack => "slack",
            Handshake::EventGrid => "event-grid",
            Handshake::CloudEvents => "cloudevents",
            Handshake::Dropbox => "dropbox",
            Handshake::Zoom => "zoom",
        }
    }
}

impl FromStr for Handshake {
    type Err = String;

    fn from_str(text: &str) -> Result<Handshake, String> {
        let mut all = Handshake::ALL.into_iter();
        all.find(|one| one.name() == text).ok_or_else(|| {
            let names = Handshake::ALL.map(Handshake::name);
            let near = nearest(text, names.iter().copied());
            let near = near.map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
            format!(
                "unknown handshake `{text}`{near}; known: all, {}",
                names.join(", ")
            )
        })
    }
}

/// The handshakes that a listener answers.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    pub answered: Vec<Handshake>,
    /// For Zoom, which is not answered without it.
    pub secret: Option<Secret>,
    /// Whether to answer CORS preflights, and to let web pages read responses.
    pub cors: bool,
}

/// A response to a handshake.
pub(super) struct HandshakeResponse {
    /// How the capture is marked.
    pub name: &'static str,
    pub response: Response<Bytes>,
}

impl Handshakes {
    /// The response to a complete request, if it is a handshake.
    pub(super) fn respond(&self, capture: &Capture, body: &Body) -> Option<HandshakeResponse> {
        let handshakes = self.answered.iter();
        let mut responses = handshakes.filter_map(|handshake| {
            let response = match handshake {
                Handshake::Meta => meta(capture),
                Handshake::Slack => slack(capture, body),
                Handshake::EventGrid => event_grid(capture, body),
                Handshake::CloudEvents => cloud_events(capture),
                Handshake::Dropbox => dropbox(capture),
                Handshake::Zoom => zoom(capture, body, self.secret.as_ref()?),
            };
            let name = handshake.name();
            response.map(|response| HandshakeResponse { name, response })
        });
        responses
            .next()
            .or_else(|| self.cors.then(|| preflight(capture)).flatten())
    }

    /// Lets web pages read a response to a captured request, unless it says who may.
    pub(super) fn allow_reading<B>(&self, has_origin: bool, response: &mut Response<B>) {
        let headers = response.headers_mut();
        if self.cors && has_origin && !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
}

fn meta(capture: &Capture) -> Option<Response<Bytes>> {
    let is_subscription = query_value(capture, "hub.mode").as_deref() == Some("subscribe");
    let challenge = query_value(capture, "hub.challenge")?;
    (capture.method() == "GET" && is_subscription).then(|| text(challenge))
}

fn dropbox(capture: &Capture) -> Option<Response<Bytes>> {
    let challenge = query_value(capture, "challenge")?;
    (capture.method() == "GET").then(|| text(challenge))
}

fn slack(capture: &Capture, body: &Body) -> Option<Response<Bytes>> {
    let json = posted_json(capture, body, "url_verification")?;
    let is_verification = json["type"] == "url_verification";
    let challenge = json["challenge"].as_str().filter(|_| is_verification)?;
    Some(text(challenge.to_owned()))
}

fn event_grid(capture: &Capture, body: &Body) -> Option<Response<Bytes>> {
    const EVENT_TYPE: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";
    let json = posted_json(capture, body, EVENT_TYPE)?;
    let event = json.as_array()?.first()?;
    let is_validation = event["eventType"] == EVENT_TYPE;
    let code = event["data"]["validationCode"].as_str();
    let code = code.filter(|_| is_validation)?;
    Some(json_response(&json!({ "validationResponse": code })))
}

fn zoom(capture: &Capture, body: &Body, secret: &Secret) -> Option<Response<Bytes>> {
    const EVENT: &str = "endpoint.url_validation";
    let json = posted_json(capture, body, EVENT)?;
    let token = json["payload"]["plainToken"].as_str();
    let token = token.filter(|_| json["event"] == EVENT)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if token.len() > MAX_ZOOM_TOKEN_BYTES || !token.bytes().all(is_plain) {
        return None;
    }
    let encrypted = hmac_hex(secret, token.as_bytes());
    Some(json_response(
        &json!({ "plainToken": token, "encryptedToken": encrypted }),
    ))
}

fn cloud_events(capture: &Capture) -> Option<Response<Bytes>> {
    const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
    const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");
    if capture.method() != "OPTIONS" {
        return None;
    }
    let origin = HeaderValue::from_bytes(capture.header("webhook-request-origin")?).ok()?;
    let mut response = response::plain_text(200, Bytes::new());
    let headers = response.headers_mut();
    headers.insert(ALLOWED_ORIGIN, origin);
    headers.insert(ALLOWED_RATE, HeaderValue::from_static("*"));
    headers.insert(ALLOW, HeaderValue::from_static("POST"));
    Some(response)
}

/// Allows the method and the headers that the page asks for.
fn preflight(capture: &Capture) -> Option<HandshakeResponse> {
    capture.header("origin")?;
    let method = capture.header("access-control-request-method")?;
    if capture.method() != "OPTIONS" {
        return None;
    }
    let mut response = response::plain_text(204, Bytes::new());
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_bytes(method).ok()?,
    );
    if let Some(asked) = capture.header("access-control-request-headers") {
        let asked = HeaderValue::from_bytes(asked).ok()?;
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    Some(HandshakeResponse {
        name: PREFLIGHT,
        response,
    })
}

fn query_value(capture: &Capture, name: &str) -> Option<String> {
    let query = capture.query()?.as_bytes();
    let mut pairs = form_urlencoded::parse(query);
    pairs.find_map(|(given, value)| (given == name).then(|| value.into_owned()))
}

/// The JSON of a POST that contains `word`: most requests are not parsed.
fn posted_json(capture: &Capture, body: &Body, word: &str) -> Option<Value> {
    let (bytes, word) = (&body.bytes, word.as_bytes());
    let may_be = capture.method() == "POST"
        && bytes.len() <= MAX_BODY_BYTES
        && memmem::find(bytes, word).is_some();
    may_be.then(|| serde_json::from_slice(bytes).ok()).flatten()
}

/// Text that browsers do not take for HTML.
fn text(text: String) -> Response<Bytes> {
    let mut response = response::plain_text(200, Bytes::from(text));
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn json_response(json: &Value) -> Response<Bytes> {
    let mut response = text(json.to_string());
    let content_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
