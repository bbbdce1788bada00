//! Sending a request with a deadline, abandoned at an interrupt.

use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, blocking};

use super::direct::{Direct, DirectRequest};
use super::errors::Failed;
use super::options::{ClientError, Connector, TransportOptions};
use super::pool::Done;
use super::proxy::Proxies;
use super::{Completed, Cut, Request, Response, SendError};
use crate::delivery::ErrorKind;
use crate::secret::safe_url::BaseUrl;
use crate::time::compact;

/// How soon an interrupt is noticed while a request is under way.
pub const INTERRUPT_POLL: Duration = Duration::from_millis(50);
/// The deadline comes this much after the connect timeout, so that both being equal is reported as a connect timeout.
const DEADLINE_GRACE: Duration = Duration::from_millis(60);
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// Sends requests with one set of options, over connections of its own. Never dropped: that would join reqwest's thread,
/// which may wait for a name lookup that hangs.
#[derive(Clone, Copy)]
pub struct Client(&'static Inner);

struct Inner {
    http: blocking::Client,
    direct: Direct,
    timeout: Duration,
    connect_timeout: Duration,
    proxies: Proxies,
    interrupted: Arc<AtomicBool>,
}

impl Client {
    /// A client for targets like `base` (same scheme, loopback or not) that keeps up to `idle_connections` open per host.
    /// Once `interrupted` is set, its requests end within 50 ms.
    ///
    /// # Errors
    /// A certificate, key or proxy of the options cannot be used.
    pub fn new(
        options: &TransportOptions,
        base: &BaseUrl,
        idle_connections: usize,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Client, ClientError> {
        let connect_timeout = options.connect_timeout.min(options.timeout);
        let proxies = if base.is_loopback() {
            Proxies::default()
        } else {
            Proxies::new(options.proxy.as_ref())?
        };
        let connector = Connector {
            options,
            base,
            proxies: &proxies,
            connect_timeout,
            idle_connections,
        };
        let tls = connector.tls()?;
        Ok(Client(Box::leak(Box::new(Inner {
            direct: Direct::new(tls.clone(), base.is_loopback(), connect_timeout),
            http: connector.build(tls)?,
            timeout: options.timeout,
            connect_timeout,
            proxies,
            interrupted,
        }))))
    }

    /// Sends one request and waits for its result: until the deadline, or an interrupt.
    pub fn send(&self, request: Request) -> Completed {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = move |completed| {
            // The receiver is below.
            let _ = sender.send(completed);
        };
        let exchange = Arc::new(Exchange::new(*self, request, Box::new(done)));
        let running = Arc::clone(&exchange);
        if let Err(error) = thread::Builder::new().spawn(move || running.run()) {
            exchange.fail(&error);
        }
        loop {
            match receiver.recv_timeout(INTERRUPT_POLL) {
                Ok(completed) => return completed,
                Err(RecvTimeoutError::Timeout) if exchange.is_interrupted() => exchange.abandon(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Completed {
                        duration: Duration::ZERO,
                        result: Err(panicked()),
                    };
                }
            }
        }
    }
}

/// A request under way. The thread that runs it and the one that abandons it share it; the first to end it reports.
pub struct Exchange {
    client: Client,
    request: Mutex<Option<Request>>,
    state: Mutex<State>,
}

struct State {
    begun: Option<Instant>,
    received: Option<Response>,
    /// Taken by the one who reports.
    done: Option<Done>,
}

impl Exchange {
    pub fn new(client: Client, request: Request, done: Done) -> Exchange {
        Exchange {
            client,
            request: Mutex::new(Some(request)),
            state: Mutex::new(State {
                begun: None,
                received: None,
                done: Some(done),
            }),
        }
    }

    pub fn is_interrupted(&self) -> bool {
        self.client.0.interrupted.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the request and reports its result, on this thread.
    pub fn run(&self) {
        let request = self
            .request
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(request) = request else { return };
        if self.is_interrupted() {
            return self.abandon();
        }
        self.state().begun = Some(Instant::now());
        // The panic hook has reported where; the other requests go on.
        let result = catch_unwind(AssertUnwindSafe(|| self.client.0.run(request, self)));
        let error = match result {
            Ok(result) => result.err(),
            Err(_) => Some(panicked()),
        };
        let received = self.state().received.take();
        self.report(match (received, error) {
            (Some(response), _) => Ok(response),
            (None, Some(error)) => Err(error),
            (None, None) => Err(panicked()),
        });
    }

    /// Reports what was received so far. The thread that runs the request ends unnoticed.
    pub fn abandon(&self) {
        let (has_begun, received) = {
            let mut state = self.state();
            (state.begun.is_some(), state.received.take())
        };
        self.report(match received {
            Some(response) => Ok(Response {
                cut: Some(Cut::Broken(
                    "was still arriving at the interrupt".to_owned(),
                )),
                ..response
            }),
            None if has_begun => Err(SendError {
                kind: ErrorKind::Interrupted,
                message: "stopped before a response".to_owned(),
                maybe_received: true,
            }),
            None => Err(SendError::not_sent(
                ErrorKind::Interrupted,
                "stopped before it was sent",
            )),
        });
    }

    /// Reports that there is no thread for it.
    pub fn fail(&self, error: &std::io::Error) {
        let message = format!("no thread to send it on: {error}");
        self.report(Err(SendError::not_sent(ErrorKind::Connect, message)));
    }

    fn report(&self, result: Result<Response, SendError>) {
        let (begun, done) = {
            let mut state = self.state();
            (state.begun, state.done.take())
        };
        if let Some(done) = done {
            done(Completed {
                duration: begun.map(|begun| begun.elapsed()).unwrap_or_default(),
                result,
            });
        }
    }
}

/// Stores a response while it arrives.
pub struct Receiver<'a> {
    exchange: &'a Exchange,
    limit: usize,
    memory: Option<Arc<dyn super::Memory>>,
}

impl Receiver<'_> {
    /// Stores the head. Returns whether the body is wanted.
    pub fn head(&self, status: u16, headers: &HeaderMap, body_length: Option<u64>) -> bool {
        let length = body_length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let mut response = Response {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            body: Vec::new(),
            cut: None,
        };
        if let (Some(memory), Some(length)) = (&self.memory, length) {
            // A body that is too long is not read at all.
            response.cut = memory.grow(length).err().map(Cut::Broken);
        }
        let is_wanted = response.cut.is_none();
        if is_wanted {
            response
                .body
                .reserve_exact(length.unwrap_or(0).min(self.limit));
        }
        let mut state = self.exchange.state();
        state.received = state.done.is_some().then_some(response);
        is_wanted && state.received.is_some()
    }

    /// Stores more of the body. Returns whether even more is wanted.
    pub fn chunk(&self, bytes: &[u8]) -> bool {
        let length = match &self.exchange.state().received {
            Some(response) => response.body.len(),
            None => return false,
        };
        let is_too_long = bytes.len() > self.limit - length;
        let bytes = &bytes[..bytes.len().min(self.limit - length)];
        if let Some(memory) = &self.memory
            && let Err(refused) = memory.grow(length + bytes.len())
        {
            self.cut(&refused);
            return false;
        }
        match &mut self.exchange.state().received {
            Some(response) => {
                response.body.extend_from_slice(bytes);
                response.cut = is_too_long.then_some(Cut::Limit(self.limit));
                !is_too_long
            }
            None => false,
        }
    }

    pub fn cut_at_deadline(&self) {
        let timeout = compact(self.exchange.client.0.timeout);
        self.cut(&format!("was still arriving after {timeout}"));
    }

    /// Notes why the body is incomplete.
    pub fn cut(&self, reason: &str) {
        if let Some(response) = &mut self.exchange.state().received {
            response.cut = Some(Cut::Broken(reason.to_owned()));
        }
    }
}

impl Inner {
    /// An error only where no response has begun.
    fn run(&self, request: Request, exchange: &Exchange) -> Result<(), SendError> {
        let receiver = Receiver {
            exchange,
            limit: request.body_limit,
            memory: request.memory,
        };
        let unsendable = |message| SendError::not_sent(ErrorKind::Protocol, message);
        let text = request.url.expose();
        let url =
            Url::parse(text).map_err(|e| unsendable(format!("the URL cannot be sent to: {e}")))?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| unsendable(format!("`{}` cannot be sent as a method", request.method)))?;
        let headers = header_map(&request.headers).map_err(unsendable)?;
        let has_proxy = self.proxies.for_url(&url).is_some();
        let deadline = self.timeout + DEADLINE_GRACE;
        let sent = if url.as_str() == text || url.path() == "/" && url.query().is_none() {
            let mut outgoing = blocking::Request::new(method, url);
            *outgoing.headers_mut() = headers;
            *outgoing.body_mut() = request.body.map(Into::into);
            // Covers the body too, unlike a timeout of the client, which starts anew with each read.
            *outgoing.timeout_mut() = Some(deadline);
            self.http
                .execute(outgoing)
                .map_err(Failed::from)
                .map(|response| read(response, &receiver))
        } else if has_proxy {
            let message = "its path cannot go through a proxy unchanged";
            return Err(unsendable(message.to_owned()));
        } else {
            let direct = DirectRequest {
                url: &url,
                text,
                method,
                headers,
                body: request.body,
            };
            self.direct.send(direct, deadline, &receiver)
        };
        sent.map_err(|failed| {
            let mut error = failed.classify(self.timeout, self.connect_timeout);
            if has_proxy && matches!(error.kind, ErrorKind::Dns | ErrorKind::Connect) {
                error.message.push_str(" (through the configured proxy)");
            }
            error.message = request.redactor.redact(&error.message);
            error
        })
    }
}

fn read(mut response: blocking::Response, receiver: &Receiver<'_>) {
    let status = response.status().as_u16();
    if !receiver.head(status, response.headers(), response.content_length()) {
        return;
    }
    let mut buffer = [0; READ_BUFFER_BYTES];
    loop {
        match response.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) if receiver.chunk(&buffer[..n]) => {}
            Ok(_) => return,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if is_timeout(&e) => return receiver.cut_at_deadline(),
            Err(_) => return receiver.cut(CONNECTION_BROKE),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref();
    inner
        .and_then(|inner| inner.downcast_ref::<reqwest::Error>())
        .is_some_and(reqwest::Error::is_timeout)
}

pub const CONNECTION_BROKE: &str = "was cut short: the connection broke before its end";

fn header_map(headers: &[(String, Vec<u8>)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes());
        let (Ok(header), Ok(mut value)) = (header, HeaderValue::from_bytes(value)) else {
            return Err(format!("`{name}` cannot be sent as a header"));
        };
        value.set_sensitive(true);
        map.append(header, value);
    }
    Ok(map)
}

fn panicked() -> SendError {
    SendError {
        kind: ErrorKind::Protocol,
        message: "the HTTP client failed (a bug in hookfire)".to_owned(),
        maybe_received: true,
    }
}
