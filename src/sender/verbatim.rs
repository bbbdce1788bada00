//! Sending on what was caught: method, URL, headers and body as they came.
//!
//! Deliberately adds nothing of hookfire's own. What the client underneath cannot leave alone: header names go out in
//! lower case with repeats beside each other, a request without `Accept` gets `Accept: */*`, and all of it is HTTP/1.1
//! with a `Host` and a `Content-Length` made for it. HTTP gives none of that a meaning.

use std::time::Instant;

use reqwest::blocking::Request as WireRequest;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::{BodyEnd, Collected, Sender};
use crate::transport::{ANSWER_BODY_KEPT, Exchange, Exchanged, Relay, Verbatim};

impl Relay for Sender {
    fn exchange(&self, request: &Verbatim) -> Exchange {
        let begun = Instant::now();
        // One byte more, or a body of exactly so many could not be told from a longer one.
        let answered = self.exchange(wire_request(request), &request.redactor, ANSWER_BODY_KEPT + 1);
        Exchange { duration: begun.elapsed(), result: answered.map(as_it_came) }
    }
}

fn as_it_came(answer: Collected) -> Exchanged {
    let headers = answer.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let mut body = answer.body;
    let long = body.len() > ANSWER_BODY_KEPT;
    body.truncate(ANSWER_BODY_KEPT);
    let cut = match answer.end {
        BodyEnd::Broken(words) => Some(words),
        _ if long => Some(format!("is longer than {} MiB", ANSWER_BODY_KEPT / 1024 / 1024)),
        BodyEnd::Whole | BodyEnd::Kept => None,
    };
    Exchanged { status: answer.status, headers, body, cut }
}

fn wire_request(request: &Verbatim) -> Result<WireRequest, String> {
    let url = Url::parse(request.url.expose()).map_err(|e| format!("the URL cannot be sent to: {e}"))?;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| format!("`{}` cannot be sent as a method", request.method))?;
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let unsendable = |_| format!("`{name}` cannot be sent as a header");
        let mut value = HeaderValue::from_bytes(value).map_err(|_| unsendable(()))?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable(()))?, value);
    }
    let mut wire = WireRequest::new(method, url);
    *wire.headers_mut() = headers;
    *wire.body_mut() = request.body.clone().map(Into::into);
    Ok(wire)
}
