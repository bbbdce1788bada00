//! Sending one HTTP request, and saying truly what came of it.
//!
//! The only place that knows reqwest; `verbatim` sends on what was caught, `crew` sends many at once. Exactly one request leaves
//! per call: no redirect, no retry of the client's own, and no reused connection unless that was asked for. A total deadline holds over resolving, connecting, TLS, writing, status and body, since the client's
//! own timeout starts anew with each read. No URL reaches an error message.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use reqwest::blocking::Request as WireRequest;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use reqwest::{Method, Url};

use crate::delivery::target::Resolved;
use crate::delivery::{AttemptError, ErrorKind};
use crate::http::transport::{
    Answer, NoResponse, RESPONSE_BODY_KEPT, Request, Response, Room, Transport,
};
use crate::secret::Redactor;
use crate::secret::safe_url;
use crate::time::compact;

mod client;
mod crew;
mod failure;
pub mod replay;
pub mod transport;
mod verbatim;
mod worker;

pub use client::{ClientError, TransportOptions};
pub use crew::{KeptAlive, Pool};
use worker::{Ending, Exchange, Read, Received, Workers};

/// The client's own timeout comes this much after the connect timeout, so that a stalled connect is told from a stalled
/// answer; ours comes as much after the client's, for what it does not cover.
const DEADLINE_GRACE: Duration = Duration::from_millis(60);
/// The `User-Agent` of deliveries.
const OWN_NAME: &str = concat!("hookfire/", env!("CARGO_PKG_VERSION"));
/// The most characters of a `Location` that are told.
const LOCATION_SHOWN: usize = 500;
/// How soon an interrupt is noticed while a request is under way.
const INTERRUPT_GRAIN: Duration = Duration::from_millis(50);

/// Sends requests to one kind of target with one set of options.
pub struct Sender {
    // Dropping the client would wait for name lookups that hang; the process's end does not.
    workers: ManuallyDrop<Workers>,
    timeout: Duration,
    connect_timeout: Duration,
    /// Whether the options name a proxy that targets such as this one may go through.
    proxied: bool,
    interrupted: Arc<AtomicBool>,
}

enum BodyEnd {
    Whole,
    Kept,
    Broken(String),
}

/// An answer as it came.
struct Collected {
    received: Received,
    end: BodyEnd,
}

impl Sender {
    /// A sender for targets such as `base` that keeps so many connections to a host for the next requests: none unless
    /// many follow each other.
    ///
    /// # Errors
    /// When a certificate, key or proxy of the options cannot be used; nothing has been connected to then.
    pub fn new(
        options: &TransportOptions,
        base: &safe_url::BaseUrl,
        connections_kept: usize,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Sender, ClientError> {
        let connect_timeout = options.connect_timeout.min(options.timeout);
        let timeouts = (connect_timeout, options.timeout + DEADLINE_GRACE);
        let client = client::build(options, base, timeouts, connections_kept)?;
        let proxied = options.proxy.is_some() && !base.is_loopback();
        Ok(Sender {
            workers: ManuallyDrop::new(Workers::new(client)),
            timeout: options.timeout,
            connect_timeout,
            proxied,
            interrupted,
        })
    }

    /// Sends the request, and collects its answer with up to `limit` bytes of body.
    fn exchange(
        &self,
        wire: Result<WireRequest, String>,
        redactor: &Redactor,
        limit: usize,
        room: Option<Arc<dyn Room>>,
    ) -> Result<Collected, NoResponse> {
        let unsent = |kind, message| NoResponse {
            error: AttemptError { kind, message },
            maybe_received: false,
        };
        let wire = wire.map_err(|message| unsent(ErrorKind::Protocol, message))?;
        let deadline = Instant::now() + self.timeout + DEADLINE_GRACE * 2;
        let begun = self.workers.begin(wire, limit, room);
        let exchange = begun
            .map_err(|e| unsent(ErrorKind::Connect, format!("no thread to send it on: {e}")))?;
        self.collect(exchange, deadline, redactor)
    }

    /// What cannot be reached may be the proxy.
    fn with_proxy_in_mind(&self, mut failure: NoResponse) -> NoResponse {
        if self.proxied && matches!(failure.error.kind, ErrorKind::Dns | ErrorKind::Connect) {
            failure
                .error
                .message
                .push_str(" (by way of the proxy that is set)");
        }
        failure
    }

    /// Waits for the end, the deadline or an interrupt, whatever the worker is at.
    fn collect(
        &self,
        exchange: Exchange,
        deadline: Instant,
        redactor: &Redactor,
    ) -> Result<Collected, NoResponse> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match exchange.wait(left.min(INTERRUPT_GRAIN)) {
                Ok(ending) => return self.collected(ending, self.workers.end(exchange), redactor),
                Err(RecvTimeoutError::Timeout) if self.interrupted.load(Ordering::Relaxed) => {
                    return stopped(exchange.abandon());
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    return self.overdue(exchange.abandon());
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The thread ended without a word, which only a panic in the client does.
                Err(RecvTimeoutError::Disconnected) => return gave_up(exchange.abandon()),
            }
        }
    }

    /// What there is of an exchange that has lasted too long.
    fn overdue(&self, received: Option<Received>) -> Result<Collected, NoResponse> {
        let words = format!("was still coming after {}", compact(self.timeout));
        cut_short(received, &words, || failure::no_answer_within(self.timeout))
    }

    fn collected(
        &self,
        ending: Ending,
        received: Option<Received>,
        redactor: &Redactor,
    ) -> Result<Collected, NoResponse> {
        let end = match ending {
            Ok(Read::Whole) => BodyEnd::Whole,
            Ok(Read::Limit) => BodyEnd::Kept,
            Ok(Read::Broken) => {
                BodyEnd::Broken("was cut short: the connection broke before its end".to_owned())
            }
            Ok(Read::NoRoom(words)) => BodyEnd::Broken(words),
            Err(error) => {
                let failure =
                    failure::classify(error, redactor, self.timeout, self.connect_timeout);
                return Err(self.with_proxy_in_mind(failure));
            }
        };
        let headless = || {
            no_response(
                ErrorKind::Protocol,
                "a body came before its head".to_owned(),
            )
        };
        received
            .map(|received| Collected { received, end })
            .ok_or_else(headless)
    }
}

/// What there is of an exchange when the user interrupts.
fn stopped(received: Option<Received>) -> Result<Collected, NoResponse> {
    let failure = || {
        no_response(
            ErrorKind::Interrupted,
            "stopped before an answer came".to_owned(),
        )
    };
    cut_short(
        received,
        "was still coming when the program was stopped",
        failure,
    )
}

/// What there is of an exchange in which the client panicked.
fn gave_up(received: Option<Received>) -> Result<Collected, NoResponse> {
    let failure = || {
        no_response(
            ErrorKind::Protocol,
            "the HTTP client gave up without a reason".to_owned(),
        )
    };
    cut_short(received, "could not be read", failure)
}

/// What there is of an exchange that is not waited for any longer: the beginning of an answer, else `failure`.
fn cut_short(
    received: Option<Received>,
    words: &str,
    failure: impl FnOnce() -> NoResponse,
) -> Result<Collected, NoResponse> {
    let collected = |received| Collected {
        received,
        end: BodyEnd::Broken(words.to_owned()),
    };
    received.map(collected).ok_or_else(failure)
}

impl Transport for Sender {
    fn send(&self, request: &Request) -> Answer {
        let begun = Instant::now();
        let redactor = &request.target.redactor;
        let wire = WireTarget::of(&request.target)
            .and_then(|target| target.request(&request.headers, request.body.clone()));
        let answered = Sender::exchange(self, wire, redactor, body_limit(redactor), None);
        let result = answered.map(|answer| masked(answer, redactor));
        Answer {
            duration: begun.elapsed(),
            result,
        }
    }
}

/// How much of a body is read, of which [`RESPONSE_BODY_KEPT`] bytes are kept.
fn body_limit(redactor: &Redactor) -> usize {
    // One byte more at least, or a body of exactly so many could not be told from a longer one.
    RESPONSE_BODY_KEPT + redactor.reach().max(1)
}

fn masked(answer: Collected, redactor: &Redactor) -> Response {
    let Collected {
        received: answer,
        end,
    } = answer;
    let location = answer
        .headers
        .get(LOCATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let location =
        location.map(|location| shortened(redactor.redact(&safe_url::masked(&location))));
    let (body, note) = kept_body(&answer.body, end, redactor);
    Response {
        status: answer.status,
        location,
        body,
        note,
    }
}

fn no_response(kind: ErrorKind, message: String) -> NoResponse {
    NoResponse {
        error: AttemptError { kind, message },
        maybe_received: true,
    }
}

/// A target as the client takes it.
struct WireTarget {
    /// What it was made of.
    target: Arc<Resolved>,
    url: Url,
    headers: HeaderMap,
}

impl WireTarget {
    fn of(target: &Arc<Resolved>) -> Result<WireTarget, String> {
        let url = Url::parse(target.url.expose())
            .map_err(|e| format!("the URL cannot be sent to: {e}"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &target.headers {
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("`{name}` cannot be a header"))?;
            value.set_sensitive(true);
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` cannot be a header"))?;
            headers.insert(name, value);
        }
        // Here, not in the client, which sends on what others wrote as well.
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(OWN_NAME));
        Ok(WireTarget {
            target: Arc::clone(target),
            url,
            headers,
        })
    }

    /// The one that is `known`, if it is of this target.
    fn known_or_of<'a>(
        known: &'a mut Option<WireTarget>,
        target: &Arc<Resolved>,
    ) -> Result<&'a WireTarget, String> {
        match known.take_if(|known| Arc::ptr_eq(&known.target, target)) {
            Some(same) => Ok(known.insert(same)),
            None => Ok(known.insert(WireTarget::of(target)?)),
        }
    }

    /// A request to it, with headers of which those of the target's own win.
    fn request(
        &self,
        headers: &[(&'static str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<WireRequest, String> {
        let method = if body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut wire = WireRequest::new(method, self.url.clone());
        let all = wire.headers_mut();
        for (name, value) in headers
            .iter()
            .filter(|(name, _)| !self.headers.contains_key(*name))
        {
            all.insert(
                *name,
                HeaderValue::from_str(value).map_err(|_| format!("`{name}` cannot be a header"))?,
            );
        }
        for (name, value) in &self.headers {
            all.insert(name.clone(), value.clone());
        }
        *wire.body_mut() = body.map(Into::into);
        Ok(wire)
    }
}

/// The masked location, cut to what a message can hold: an endpoint may send one of any length.
fn shortened(mut location: String) -> String {
    if let Some((end, _)) = location.char_indices().nth(LOCATION_SHOWN) {
        location.truncate(end);
        location.push('…');
    }
    location
}

/// What of the body is kept, and what is to be said about the rest.
fn kept_body(body: &[u8], end: BodyEnd, redactor: &Redactor) -> (Vec<u8>, Option<String>) {
    let (mut masked, note) = match end {
        BodyEnd::Whole => (redactor.redact_bytes(body), None),
        BodyEnd::Kept => (redactor.redact_cut(body), None),
        BodyEnd::Broken(words) => (
            redactor.redact_cut(body),
            Some(format!("the response body {words}")),
        ),
    };
    if body.len() <= RESPONSE_BODY_KEPT {
        return (masked, note);
    }
    masked.truncate(RESPONSE_BODY_KEPT);
    let cut = format!(
        "only the first {} KiB of the response body are kept",
        RESPONSE_BODY_KEPT / 1024
    );
    (
        masked,
        Some(note.map_or(cut.clone(), |note| format!("{note}; {cut}"))),
    )
}
