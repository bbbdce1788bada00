//! Sends one request with a deadline.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, blocking};
use rustls::ClientConfig;

use super::errors::Failed;
use super::options::{ClientError, TransportOptions};

use super::proxy::Proxies;
use super::receiver::Receiver;
use super::{Request, SendError, direct, options, tls};
use crate::delivery::ErrorKind;
use crate::secret::safe_url::BaseUrl;

/// The deadline comes this much after the connect timeout, so that both being equal is reported as a connect timeout.
const DEADLINE_GRACE: Duration = Duration::from_millis(60);
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// Sends requests with one set of options, over connections of its own. Never dropped: that would join reqwest's thread,
/// which may wait for a name lookup that hangs.
#[derive(Clone, Copy)]
pub struct Client(&'static Inner);

struct Inner {
    http: blocking::Client,
    tls: ClientConfig,
    proxies: Proxies,
    timeout: Duration,
    connect_timeout: Duration,
    interrupted: Arc<AtomicBool>,
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
        Ok(Client(Box::leak(Box::new(Inner {
            http,
            tls,
            proxies,
            timeout: options.timeout,
            connect_timeout,
            interrupted,
        }))))
    }

    pub(super) fn is_interrupted(self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    pub(super) fn timeout(self) -> Duration {
        self.0.timeout
    }

    /// Sends the request on this thread and stores its response. An error only if there is none.
    pub(super) fn run(self, request: Request, receiver: &Receiver<'_>) -> Result<(), SendError> {
        let inner = self.0;
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
        let deadline = inner.timeout + DEADLINE_GRACE;
        let has_proxy = inner.proxies.for_url(&url).is_some();
        let sent = if url.as_str() == text || url.path() == "/" && url.query().is_none() {
            let mut outgoing = blocking::Request::new(method, url);
            *outgoing.headers_mut() = headers;
            *outgoing.body_mut() = request.body.map(Into::into);
            // Covers the body too, unlike a timeout of the client, which starts anew with each read.
            *outgoing.timeout_mut() = Some(deadline);
            let response = inner.http.execute(outgoing).map_err(Failed::from);
            response.map(|response| read(response, receiver))
        } else if has_proxy {
            return unsendable("its path cannot go through a proxy unchanged".to_owned());
        } else {
            direct::build(&url, text, method, headers, request.body)
                .and_then(|request| direct::send(inner.tls.clone(), request, deadline, receiver))
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

fn read(mut response: blocking::Response, receiver: &Receiver<'_>) {
    let status = response.status().as_u16();
    let length = response.content_length();
    let mut is_wanted = receiver.head(status, response.headers(), length);
    let mut buffer = [0; READ_BUFFER_BYTES];
    while is_wanted {
        is_wanted = match response.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => receiver.chunk(&buffer[..n]),
            Err(e) => {
                let inner = e.get_ref().and_then(|e| e.downcast_ref::<reqwest::Error>());
                receiver.cut_by_error(inner.is_some_and(reqwest::Error::is_timeout))
            }
        };
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
