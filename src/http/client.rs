//! Sends one request with a deadline.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use rustls::ClientConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, sleep_until};

use super::errors::Failed;
use super::options::{ClientError, TransportOptions};
use super::proxy::Proxies;
use super::{Completed, Cut, Memory, Request, Response, SendError, direct, options, tls};
use crate::delivery::ErrorKind;
use crate::secret::safe_url::BaseUrl;
use crate::time::compact;

/// The deadline comes this much after the connect timeout, so that both being equal is reported as a connect timeout.
const DEADLINE_GRACE: Duration = Duration::from_millis(60);

/// How soon an interrupt is noticed.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

/// Sends requests with one set of options, over connections of its own.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    tls: ClientConfig,
    proxies: Proxies,
    timeout: Duration,
    connect_timeout: Duration,
    interrupted: Arc<AtomicBool>,
}

/// Why a request was given up.
enum Stop {
    Deadline,
    Interrupt,
}

impl Client {
    /// A client for targets like `base` (same scheme, loopback or not) that keeps up to `idle_connections` open per host.
    /// Once `interrupted` is set, its requests end within 50 ms.
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
        let tls = tls::client_config(options, base.is_https() || proxies.need_tls())?;
        let http = options::builder(base, proxies.clone())
            .pool_max_idle_per_host(idle_connections)
            .connect_timeout(connect_timeout)
            .tls_backend_preconfigured(tls.clone())
            .build()
            .map_err(|e| ClientError::Setup(super::errors::innermost(&e.without_url())))?;
        Ok(Client(Arc::new(Inner {
            http,
            tls,
            proxies,
            timeout: options.timeout,
            connect_timeout,
            interrupted,
        })))
    }

    /// Sends one request on this thread and waits for its result, until the deadline or an interrupt.
    pub fn send(&self, request: Request) -> Completed {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(e) => {
                let message = format!("no connection: {e}");
                return Completed {
                    duration: Duration::ZERO,
                    result: Err(SendError::not_sent(ErrorKind::Connect, message)),
                };
            }
        };
        // The panic hook has reported where it panicked.
        let sending = AssertUnwindSafe(|| runtime.block_on(self.complete(request)));
        let completed = catch_unwind(sending).unwrap_or_else(|_| panicked());
        // Without waiting for a name lookup that hangs.
        runtime.shutdown_background();
        completed
    }

    /// As [`Client::send`], for many requests at once.
    pub async fn complete(&self, request: Request) -> Completed {
        let begun = Instant::now();
        let result = self.exchange(request, begun).await;
        Completed {
            duration: begun.elapsed(),
            result,
        }
    }

    async fn exchange(&self, request: Request, begun: Instant) -> Result<Response, SendError> {
        let interrupted = |message: &str, maybe_received| SendError {
            kind: ErrorKind::Interrupted,
            message: message.to_owned(),
            maybe_received,
        };
        if self.is_interrupted() {
            return Err(interrupted("stopped before it was sent", false));
        }
        let deadline = begun + self.0.timeout + DEADLINE_GRACE;
        let (limit, memory) = (request.body_limit, request.memory.clone());
        let response = match self.until(deadline, self.request(request)).await {
            Ok(response) => response?,
            Err(Stop::Deadline) => {
                return Err(Failed::timeout().classify(self.0.timeout, self.0.connect_timeout));
            }
            Err(Stop::Interrupt) => return Err(interrupted("stopped before a response", true)),
        };
        let headers = response.headers().iter();
        let mut received = Response {
            status: response.status().as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            body: Vec::new(),
            cut: None,
        };
        let reading = read_body(response, &mut received.body, limit, memory.as_deref());
        received.cut = match self.until(deadline, reading).await {
            Ok(read) => read.err(),
            Err(Stop::Deadline) => {
                let after = compact(self.0.timeout);
                Some(Cut::Broken(format!("was still arriving after {after}")))
            }
            Err(Stop::Interrupt) => {
                let reason = "was still arriving at the interrupt";
                Some(Cut::Broken(reason.to_owned()))
            }
        };
        Ok(received)
    }

    /// Waits for `work` until the deadline or an interrupt.
    async fn until<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Result<T, Stop> {
        let interrupted = async {
            while !self.is_interrupted() {
                sleep(INTERRUPT_POLL).await;
            }
        };
        tokio::select! {
            done = work => Ok(done),
            () = sleep_until(deadline) => Err(Stop::Deadline),
            () = interrupted => Err(Stop::Interrupt),
        }
    }

    fn is_interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// Sends the request and waits for the head of its response.
    async fn request(&self, request: Request) -> Result<reqwest::Response, SendError> {
        let inner = &*self.0;
        let unsendable = |message| Err(SendError::not_sent(ErrorKind::Protocol, message));
        let text = request.url.expose();
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(e) => return unsendable(format!("the URL is not valid: {e}")),
        };
        let Ok(method) = Method::from_bytes(request.method.as_bytes()) else {
            return unsendable(format!("`{}` cannot be sent as a method", request.method));
        };
        let headers = match header_map(&request.headers) {
            Ok(headers) => headers,
            Err(name) => return unsendable(format!("`{name}` cannot be sent as a header")),
        };
        let has_proxy = inner.proxies.for_url(&url).is_some();
        let sent = if url.as_str() == text || url.path() == "/" && url.query().is_none() {
            let mut outgoing = reqwest::Request::new(method, url);
            *outgoing.headers_mut() = headers;
            *outgoing.body_mut() = request.body.map(Into::into);
            inner.http.execute(outgoing).await.map_err(Failed::from)
        } else if has_proxy {
            return unsendable("its path cannot go through a proxy unchanged".to_owned());
        } else {
            match direct::build(&url, text, method, headers, request.body) {
                Ok(outgoing) => direct::send(inner.tls.clone(), outgoing).await,
                Err(failed) => Err(failed),
            }
        };
        sent.map_err(|failed| {
            let mut error = failed.classify(inner.timeout, inner.connect_timeout);
            if has_proxy && matches!(error.kind, ErrorKind::Dns | ErrorKind::Connect) {
                error.message.push_str(" (through the configured proxy)");
            }
            error.message = request.redactor.redact(&error.message);
            error
        })
    }
}

pub fn panicked() -> Completed {
    Completed {
        duration: Duration::ZERO,
        result: Err(SendError {
            kind: ErrorKind::Protocol,
            message: "the HTTP client failed (a bug in hookfire)".to_owned(),
            maybe_received: true,
        }),
    }
}

/// A runtime for requests on the current thread.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Appends the body to `body`, at most `limit` bytes. An error is why it is incomplete.
async fn read_body(
    mut response: reqwest::Response,
    body: &mut Vec<u8>,
    limit: usize,
    memory: Option<&dyn Memory>,
) -> Result<(), Cut> {
    let grow = async |length| match memory {
        Some(memory) => memory.grow(length).await.map_err(Cut::Broken),
        None => Ok(()),
    };
    // A body that is too long is not read at all.
    let length = response.content_length().unwrap_or(0);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    grow(length).await?;
    body.reserve_exact(length.min(limit));
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(()),
            Err(_) => {
                let reason = "was cut short: the connection broke before its end";
                return Err(Cut::Broken(reason.to_owned()));
            }
        };
        let kept = &chunk[..chunk.len().min(limit - body.len())];
        grow(body.len() + kept.len()).await?;
        body.extend_from_slice(kept);
        if kept.len() < chunk.len() {
            return Err(Cut::Limit(limit));
        }
    }
}

/// An error is the name of a header that cannot be sent.
fn header_map(headers: &[(String, Vec<u8>)]) -> Result<HeaderMap, &str> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes());
        let (Ok(header), Ok(mut value)) = (header, HeaderValue::from_bytes(value)) else {
            return Err(name);
        };
        value.set_sensitive(true);
        map.append(header, value);
    }
    Ok(map)
}
