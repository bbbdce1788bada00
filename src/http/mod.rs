//! The HTTP client: sends a request, and returns the response or an error.
//!
//! A [`Client`] is made once per way to connect ([`TransportOptions`]). [`SendRequest::send`] waits for the response, and a
//! [`Pool`] sends many requests at once. Each call sends exactly one request: no redirects and no retries. The deadline
//! covers name lookup, connect, TLS, request, status and body; an interrupt ends the wait at once.
//!
//! `client` sends, `direct` sends what reqwest would respell, `options`, `proxy` and `tls` set up connections, `names` looks up
//! hosts, `errors` classifies failures, `outcome` masks and judges a delivery's response, and `replay` turns captured requests into requests.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, USER_AGENT};

use crate::delivery::ErrorKind;
use crate::delivery::target::Resolved;
use crate::secret::{Redactor, Secret};
use crate::signature::Signer;
use crate::text::size;
use crate::time::UnixMs;

mod client;
mod direct;
mod errors;
mod names;
mod options;
mod outcome;
mod pool;
mod proxy;
pub mod replay;
mod tls;

pub use client::{Client, Stream};
pub use errors::{is_refused, tls_error, tls_hint};
pub use options::{ClientError, TransportOptions};
pub use outcome::{MAX_STORED_BODY, outcome, retry_after};
pub use pool::{Done, Pool};
pub use tls::{is_encrypted, tls_config, trusts_built_in_roots};

/// The most of a response's body that is returned when it is not a delivery's.
pub const MAX_RESPONSE_BODY: usize = 16 * 1024 * 1024;

const OWN_USER_AGENT: &str = concat!("hookfire/", env!("CARGO_PKG_VERSION"));

/// One request. Any part of it may be secret.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    /// The whole URL, with its query.
    pub url: Secret,
    /// In order, repeats kept, without `Content-Length`, which the client adds, and mostly without `Host`.
    pub headers: Vec<(String, Vec<u8>)>,
    /// None sends no `Content-Length`, unlike an empty body.
    pub body: Option<Vec<u8>>,
    pub redactor: Arc<Redactor>,
    /// The most bytes of the response's body that are read.
    pub body_limit: usize,
    /// Where the response's body gets its memory, if that is shared.
    pub memory: Option<Arc<dyn Memory>>,
}

impl Request {
    /// Adds the headers of a signature, unless there are some of the same names, and masks the signature in the response.
    /// `id` identifies the delivery or capture.
    pub fn sign(&mut self, signer: &Signer, id: &[u8], at: UnixMs) {
        let signed = signer.sign(id, at, self.body.as_deref().unwrap_or_default());
        let reach = self.redactor.reach();
        let redactor = Arc::make_mut(&mut self.redactor);
        signed.mask_in(redactor);
        self.body_limit += redactor.reach() - reach;
        for (name, value) in signed.headers {
            if !self.has_header(&name) {
                self.headers.push((name, value.into_bytes()));
            }
        }
    }

    pub fn has_header(&self, name: &str) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// A request to a delivery's target, whose headers replace `headers` of the same name.
    pub fn for_delivery(
        target: &Resolved,
        method: &str,
        headers: &[(&'static str, String)],
        body: Option<Vec<u8>>,
    ) -> Request {
        let user_agent = (USER_AGENT.as_str(), OWN_USER_AGENT);
        let given = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let given = given.chain([user_agent]);
        let own = target.headers.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.expose()));
        let all = given
            .filter(|(name, _)| !target.has_header(name))
            .chain(own);
        let all = all.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Request {
            method: method.to_owned(),
            url: target.url.clone(),
            headers: all.collect(),
            body,
            redactor: Arc::clone(&target.redactor),
            // More than is stored, so that a secret across the end is recognised.
            body_limit: MAX_STORED_BODY + target.redactor.reach().max(1),
            memory: None,
        }
    }
}

/// Memory for response bodies that is shared with others. Dropping it gives the memory back.
pub trait Memory: Send + Sync {
    /// Grows the grant to `length` bytes; may wait for it.
    ///
    /// # Errors
    /// The reason for a refusal, to follow "the response body": `is longer than 4 MiB`.
    fn grow(&self, length: usize) -> Result<(), String>;
}

/// A response as it was received. Any part of it may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in order except that repeats stand together.
    pub headers: Vec<(String, Vec<u8>)>,
    /// At most the request's `body_limit` bytes, transfer coding undone.
    pub body: Vec<u8>,
    /// Why the body is incomplete.
    pub cut: Option<Cut>,
}

impl Response {
    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_slice())
    }
}

/// A response whose body has not been read.
struct UnreadResponse {
    status: u16,
    headers: HeaderMap,
    /// The length of the body, if it is known.
    length: Option<u64>,
    body: Box<dyn Read>,
}

impl UnreadResponse {
    /// The response without its body.
    fn head(&self) -> Response {
        let headers = self.headers.iter();
        Response {
            status: self.status,
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            body: Vec::new(),
            cut: None,
        }
    }
}

/// Why a response's body is incomplete. Its text follows "the response body".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// There is more than the request's `body_limit`, which is this many bytes.
    Limit(usize),
    Broken(String),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Limit(bytes) => write!(f, "is longer than {}", size(*bytes as u64)),
            Cut::Broken(reason) => f.write_str(reason),
        }
    }
}

/// The reason that a request got no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    pub kind: ErrorKind,
    pub message: String,
    /// Whether the request may have reached the endpoint.
    pub maybe_received: bool,
}

impl SendError {
    fn not_sent(kind: ErrorKind, message: impl Into<String>) -> SendError {
        SendError {
            kind,
            message: message.into(),
            maybe_received: false,
        }
    }
}

/// The result of a request.
#[derive(Clone)]
pub struct Completed {
    /// From before the name lookup until the end of the body.
    pub duration: Duration,
    pub result: Result<Response, SendError>,
}

/// Sends a request and waits for its result: a [`Client`], or a fake in tests.
pub trait SendRequest {
    fn send(&self, request: Request) -> Completed;
}

/// `503 Service Unavailable`: the code with its standard reason, not the one that the server sent.
pub fn status_text(status: u16) -> String {
    let known = StatusCode::from_u16(status).ok();
    match known.and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests;
