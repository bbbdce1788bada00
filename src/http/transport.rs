//! Sending as the use cases see it: one request, one answer or none.
//!
//! A [`Request`] is a delivery's; its answer comes back masked. A [`Verbatim`] one was caught from somebody else and goes
//! on as it came; its answer is for the one who sent it, and so comes back as it is. [`judge`] is the rule's word on an
//! answer. How a request is sent is `sender`'s business.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Resolved;
use crate::delivery::{AttemptError, ErrorKind, Outcome};
use crate::secret::{Redactor, Secret};

/// The most of a response's body that is kept.
pub const RESPONSE_BODY_KEPT: usize = 64 * 1024;

/// The most of an answer's body that is handed on.
pub const ANSWER_BODY_KEPT: usize = 16 * 1024 * 1024;

/// One request. Its URL and headers hold secrets.
#[derive(Clone, Debug)]
pub struct Request {
    /// POST with a body, else GET.
    pub body: Option<Vec<u8>>,
    /// URL, headers and what to mask.
    pub target: Arc<Resolved>,
    /// Headers that every delivery carries; an extra header of the same name wins.
    pub headers: Vec<(&'static str, String)>,
}

/// What came back. All texts are masked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status line's code.
    pub status: u16,
    /// Where a redirect points.
    pub location: Option<String>,
    /// The beginning of the body, at most [`RESPONSE_BODY_KEPT`] bytes.
    pub body: Vec<u8>,
    /// What happened to the rest of the body, if it did not come whole.
    pub note: Option<String>,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoResponse {
    /// The kind and words.
    pub error: AttemptError,
    /// Whether the request may have reached the endpoint.
    pub maybe_received: bool,
}

/// One try: how long it took and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// From before the name was resolved until the body ended.
    pub duration: Duration,
    /// The response, or why there is none.
    pub result: Result<Response, NoResponse>,
}

/// A request that goes out as it was caught. Any part of it may be secret.
#[derive(Clone)]
pub struct Verbatim {
    /// The method in its own case.
    pub method: String,
    /// The whole URL.
    pub url: Secret,
    /// Names and values in order, repeats kept. What frames the message (`Host`, `Content-Length`) is the sender's to add.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, transfer coding undone; none if the request had none, which is another thing than an empty one.
    pub body: Option<Vec<u8>>,
    /// Masks in errors what the URL holds.
    pub redactor: Redactor,
    /// Where the answer's body finds room, if that is bounded by more than [`ANSWER_BODY_KEPT`].
    pub room: Option<Arc<dyn Room>>,
}

/// Room in memory for an answer's body, which others want as well. Whoever has it keeps it until it is dropped.
pub trait Room: Send + Sync {
    /// Asked by who reads the body, before it has this length. May wait for a while.
    ///
    /// # Errors
    /// Words for why there is none: `is longer than 4 MiB`.
    fn grow(&self, length: usize) -> Result<(), String>;
}

/// What came back for a [`Verbatim`] request, as it came. Any part of it may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// The status line's code.
    pub status: u16,
    /// Names in lower case, values' bytes, in order but for repeats, which stand together.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, transfer coding undone, at most [`ANSWER_BODY_KEPT`] bytes.
    pub body: Vec<u8>,
    /// Why the body is not whole, if it is not: `was cut short: …`.
    pub cut: Option<String>,
}

/// One exchange: how long it took and what came of it.
#[derive(Clone)]
pub struct Exchange {
    /// From before the name was resolved until the body ended.
    pub duration: Duration,
    /// What came back, or why nothing did.
    pub result: Result<Exchanged, NoResponse>,
}

/// Sends caught requests on, from whatever thread.
pub trait Relay: Send + Sync {
    /// Sends exactly one HTTP request; returns within the transport's deadline or when the user interrupts.
    fn exchange(&self, request: &Verbatim) -> Exchange;
}

/// Sends requests.
pub trait Transport {
    /// Sends exactly one HTTP request; returns within the transport's deadline or when the user interrupts.
    fn send(&self, request: &Request) -> Answer;
}

/// Called with what came of a request, on whatever thread.
pub type Answered = Box<dyn FnOnce(Answer) + Send>;

/// Sends requests, many at once.
pub trait Crew {
    /// Has exactly one HTTP request sent; returns at once. `answered` is called within the transport's deadline, or soon
    /// after the user interrupts.
    fn begin(&self, request: Request, answered: Answered);
}

/// What an answer means under a rule: the status line decides.
pub fn judge(rule: &RetryPolicy, result: Result<Response, NoResponse>) -> Outcome {
    match result {
        Ok(response) => Outcome {
            http_status: Some(response.status),
            error: (!rule.success.contains(response.status)).then(|| AttemptError {
                kind: ErrorKind::Status,
                message: refusal(rule, &response),
            }),
            maybe_received: false,
            response_body: Some(response.body),
            note: response.note,
        },
        Err(none) => Outcome {
            http_status: None,
            error: Some(none.error),
            maybe_received: none.maybe_received,
            response_body: None,
            note: None,
        },
    }
}

/// `503 Service Unavailable`: the code with the standard's own words for it. What the server wrote there is not kept.
pub fn status_words(status: u16) -> String {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
}

fn refusal(rule: &RetryPolicy, response: &Response) -> String {
    let status = status_words(response.status);
    match (response.status, &response.location) {
        (200..300, _) => format!("{status} is not {}", rule.success),
        (300..400, Some(location)) => {
            format!("{status} to {location}; redirects are never followed")
        }
        (300..400, None) => format!("{status}; redirects are never followed"),
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, location: Option<&str>) -> Outcome {
        let response = Response {
            status,
            location: location.map(str::to_owned),
            body: Vec::new(),
            note: None,
        };
        judge(&RetryPolicy::default(), Ok(response))
    }

    #[test]
    fn the_status_line_decides_and_the_words_say_why() {
        assert_eq!(answered(200, None).error, None);
        let message = |outcome: Outcome| outcome.error.unwrap().message;
        assert_eq!(message(answered(202, None)), "202 Accepted is not 200");
        assert_eq!(message(answered(503, None)), "503 Service Unavailable");
        assert_eq!(message(answered(599, None)), "599");
        assert_eq!(
            message(answered(302, Some("https://h/?a=***"))),
            "302 Found to https://h/?a=***; redirects are never followed"
        );
    }
}
