//! Sending one HTTP request, and saying truly what came of it.
//!
//! The only place that knows reqwest; `verbatim` sends on what was caught. Exactly one request leaves per call: no redirect, no retry of the client's own, no
//! reused connection. A total deadline holds over resolving, connecting, TLS, writing, status and body, since the client's
//! own timeout starts anew with each read. No URL reaches an error message.

use std::io::Read as _;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Request as WireRequest};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use reqwest::{Method, Url};

use crate::delivery::{AttemptError, ErrorKind};
use crate::safe_url;
use crate::secret::Redactor;
use crate::time::compact;
use crate::transport::{Answer, NoResponse, RESPONSE_BODY_KEPT, Request, Response, Transport};

mod client;
mod failure;
mod verbatim;

pub use client::{ClientError, TransportOptions};

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
    client: ManuallyDrop<Client>,
    timeout: Duration,
    connect_timeout: Duration,
    /// Whether the options name a proxy that targets such as this one may go through.
    proxied: bool,
    interrupted: Arc<AtomicBool>,
}

/// What a request's thread reports, in this order.
enum Stage {
    Head { status: u16, headers: HeaderMap },
    Chunk(Vec<u8>),
    End(BodyEnd),
    Failed(NoResponse),
}

enum BodyEnd {
    Whole,
    Kept,
    Broken(String),
}

/// An answer as it came.
struct Collected {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    end: BodyEnd,
}

impl Sender {
    /// A sender for targets such as `base`.
    ///
    /// # Errors
    /// When a certificate, key or proxy of the options cannot be used; nothing has been connected to then.
    pub fn new(
        options: &TransportOptions,
        base: &safe_url::BaseUrl,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Sender, ClientError> {
        let connect_timeout = options.connect_timeout.min(options.timeout);
        let client = client::build(options, base, connect_timeout, options.timeout + DEADLINE_GRACE)?;
        let proxied = options.proxy.is_some() && !base.is_loopback();
        Ok(Sender {
            client: ManuallyDrop::new(client),
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
    ) -> Result<Collected, NoResponse> {
        let wire = wire.map_err(|message| NoResponse {
            error: AttemptError { kind: ErrorKind::Protocol, message },
            maybe_received: false,
        })?;
        self.collect(&self.start(wire, redactor.clone(), limit))
    }

    fn start(&self, wire: WireRequest, redactor: Redactor, limit: usize) -> Receiver<Stage> {
        let client = Client::clone(&self.client);
        let (timeout, connect_timeout) = (self.timeout, self.connect_timeout);
        let (report, stages) = mpsc::channel();
        std::thread::spawn(move || {
            let exchanged = client.execute(wire);
            // A send fails only when the deadline has passed and nobody listens any more.
            let _ = match exchanged {
                Err(e) => report.send(Stage::Failed(failure::classify(e, &redactor, timeout, connect_timeout))),
                Ok(response) => read_response(response, limit, &report),
            };
        });
        stages
    }

    /// What cannot be reached may be the proxy.
    fn with_proxy_in_mind(&self, mut failure: NoResponse) -> NoResponse {
        if self.proxied && matches!(failure.error.kind, ErrorKind::Dns | ErrorKind::Connect) {
            failure.error.message.push_str(" (by way of the proxy that is set)");
        }
        failure
    }

    fn stopped() -> BodyEnd {
        BodyEnd::Broken("was still coming when the program was stopped".to_owned())
    }

    fn overdue(&self) -> BodyEnd {
        BodyEnd::Broken(format!("was still coming after {}", compact(self.timeout)))
    }

    /// Collects the stages until the end, the deadline or an interrupt.
    fn collect(&self, stages: &Receiver<Stage>) -> Result<Collected, NoResponse> {
        let deadline = Instant::now() + self.timeout + DEADLINE_GRACE * 2;
        let mut head = None;
        let mut body = Vec::new();
        let end = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match stages.recv_timeout(left.min(INTERRUPT_GRAIN)) {
                Ok(Stage::Failed(failure)) => return Err(self.with_proxy_in_mind(failure)),
                Ok(Stage::Head { status, headers }) => head = Some((status, headers)),
                Ok(Stage::Chunk(bytes)) => {
                    body.extend(bytes);
                    // A body that drips leaves no pause in which this would be noticed.
                    if self.interrupted.load(Ordering::Relaxed) {
                        break Sender::stopped();
                    }
                    if left.is_zero() {
                        break self.overdue();
                    }
                }
                Ok(Stage::End(end)) => break end,
                Err(RecvTimeoutError::Timeout) if self.interrupted.load(Ordering::Relaxed) => {
                    if head.is_none() {
                        return Err(no_response(ErrorKind::Interrupted, "stopped before an answer came".to_owned()));
                    }
                    break Sender::stopped();
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    if head.is_none() {
                        return Err(failure::no_answer_within(self.timeout));
                    }
                    break self.overdue();
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The thread ended without a word, which only a panic in the client does.
                Err(RecvTimeoutError::Disconnected) if head.is_none() => {
                    return Err(no_response(
                        ErrorKind::Protocol,
                        "the HTTP client gave up without a reason".to_owned(),
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => break BodyEnd::Broken("could not be read".to_owned()),
            }
        };
        let Some((status, headers)) = head else {
            return Err(no_response(ErrorKind::Protocol, "a body came before its head".to_owned()));
        };
        Ok(Collected { status, headers, body, end })
    }
}

impl Transport for Sender {
    fn send(&self, request: &Request) -> Answer {
        let begun = Instant::now();
        let redactor = &request.target.redactor;
        // One byte more at least, or a body of exactly so many could not be told from a longer one.
        let limit = RESPONSE_BODY_KEPT + redactor.reach().max(1);
        let answered = Sender::exchange(self, wire_request(request), redactor, limit);
        let result = answered.map(|answer| masked(answer, redactor));
        Answer { duration: begun.elapsed(), result }
    }
}

fn masked(answer: Collected, redactor: &Redactor) -> Response {
    let location = answer.headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let location = location.map(|location| shortened(redactor.redact(&safe_url::masked(&location))));
    let (body, note) = kept_body(&answer.body, answer.end, redactor);
    Response { status: answer.status, location, body, note }
}

fn no_response(kind: ErrorKind, message: String) -> NoResponse {
    NoResponse { error: AttemptError { kind, message }, maybe_received: true }
}

fn wire_request(request: &Request) -> Result<WireRequest, String> {
    let url = Url::parse(request.target.url.expose()).map_err(|e| format!("the URL cannot be sent to: {e}"))?;
    let method = if request.body.is_some() { Method::POST } else { Method::GET };
    let mut wire = WireRequest::new(method, url);
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.insert(*name, HeaderValue::from_str(value).map_err(|_| format!("`{name}` cannot be a header"))?);
    }
    for (name, value) in &request.target.headers {
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| format!("`{name}` cannot be a header"))?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` cannot be a header"))?;
        headers.insert(name, value);
    }
    // Here, not in the client, which sends on what others wrote as well.
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OWN_NAME));
    *wire.headers_mut() = headers;
    *wire.body_mut() = request.body.clone().map(Into::into);
    Ok(wire)
}

fn read_response(
    mut response: reqwest::blocking::Response,
    limit: usize,
    report: &mpsc::Sender<Stage>,
) -> Result<(), mpsc::SendError<Stage>> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    report.send(Stage::Head { status, headers })?;
    let mut read = 0;
    let mut buffer = vec![0; 8 * 1024];
    loop {
        if read >= limit {
            return report.send(Stage::End(BodyEnd::Kept));
        }
        let room = buffer.len().min(limit - read);
        match response.read(&mut buffer[..room]) {
            Ok(0) => return report.send(Stage::End(BodyEnd::Whole)),
            Ok(n) => {
                read += n;
                report.send(Stage::Chunk(buffer[..n].to_vec()))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => {
                let words = "was cut short: the connection broke before its end".to_owned();
                return report.send(Stage::End(BodyEnd::Broken(words)));
            }
        }
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
        BodyEnd::Broken(words) => (redactor.redact_cut(body), Some(format!("the response body {words}"))),
    };
    if body.len() <= RESPONSE_BODY_KEPT {
        return (masked, note);
    }
    masked.truncate(RESPONSE_BODY_KEPT);
    let cut = format!("only the first {} KiB of the response body are kept", RESPONSE_BODY_KEPT / 1024);
    (masked, Some(note.map_or(cut.clone(), |note| format!("{note}; {cut}"))))
}
