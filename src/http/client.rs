//! Sends one request with a deadline.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, blocking};

use super::direct::Direct;
use super::errors::{TransportError, is_timeout};
use super::names::Resolver;
use super::options::{ClientError, TransportOptions};
use super::proxy::Proxies;
use super::{Cut, Memory, Request, Response, SendError, UnreadResponse, direct, options, tls};
use crate::delivery::ErrorKind;
use crate::secret::safe_url::BaseUrl;
use crate::time::compact;

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
    proxies: Proxies,
    timeout: Duration,
    /// Whether `timeout` limits the wait for the head, and then for each part of the body, instead of the whole request.
    is_streaming: bool,
    interrupted: Arc<AtomicBool>,
}

impl From<blocking::Response> for UnreadResponse {
    fn from(mut response: blocking::Response) -> UnreadResponse {
        UnreadResponse {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            length: response.content_length(),
            body: Box::new(response),
        }
    }
}

impl Client {
    /// A client for targets like `base` (same scheme, loopback or not) that keeps up to `idle_connections` open per host.
    /// Its requests are abandoned soon after `interrupted` is set.
    pub fn new(
        options: &TransportOptions,
        base: &BaseUrl,
        idle_connections: usize,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Client, ClientError> {
        Client::build(options, base, (idle_connections, false), interrupted)
    }

    /// A client for responses without an end: the timeout limits the wait for the head, and then for each part of the body.
    pub fn streaming(
        options: &TransportOptions,
        base: &BaseUrl,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Client, ClientError> {
        Client::build(options, base, (0, true), interrupted)
    }

    fn build(
        options: &TransportOptions,
        base: &BaseUrl,
        (idle_connections, is_streaming): (usize, bool),
        interrupted: Arc<AtomicBool>,
    ) -> Result<Client, ClientError> {
        let connect_timeout = options.connect_timeout.min(options.timeout);
        let addresses = options.addresses(base);
        let resolver = Resolver {
            is_loopback: base.is_loopback(),
            given: addresses.map(|addresses| (base.host().to_owned(), addresses.into())),
        };
        let proxies = if options.is_local(base) {
            Proxies::default()
        } else {
            Proxies::new(options.proxy.as_ref())?
        };
        let tls = tls::client_config(options, base.is_https() || proxies.need_tls())?;
        let http = options::builder(resolver.clone(), proxies.clone())
            .pool_max_idle_per_host(idle_connections)
            .connect_timeout(connect_timeout)
            .timeout(is_streaming.then_some(options.timeout))
            .tls_backend_preconfigured(tls.clone())
            .build()
            .map_err(|e| ClientError::Setup(super::errors::innermost(&e.without_url())))?;
        Ok(Client(Box::leak(Box::new(Inner {
            http,
            direct: Direct {
                tls,
                resolver,
                connect_timeout,
            },
            proxies,
            timeout: options.timeout,
            is_streaming,
            interrupted,
        }))))
    }

    pub(super) fn is_interrupted(self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// Sends the request on this thread and reads its response, whose head is passed to `on_head` first.
    pub(super) fn run(
        self,
        request: Request,
        on_head: impl FnOnce(&Response),
    ) -> Result<Response, SendError> {
        let (limit, memory) = (request.body_limit, request.memory.clone());
        let mut unread = self.receive_head(request)?;
        let mut response = unread.head();
        on_head(&response);
        let read = self.read_body(&mut unread, &mut response.body, limit, memory.as_deref());
        response.cut = read.err();
        Ok(response)
    }

    /// Sends the request on this thread and waits for the head of its response; for a client that is
    /// [streaming](Client::streaming).
    pub fn open(self, request: Request) -> Result<Stream, SendError> {
        let unread = self.receive_head(request)?;
        Ok(Stream {
            client: self,
            unread,
        })
    }

    /// Sends the request and waits for the head of its response.
    fn receive_head(self, request: Request) -> Result<UnreadResponse, SendError> {
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
        // reqwest sends the text of its own `Url`, which has a `/` where the given one has no path.
        let sent = if url.as_str() == text || url.path() == "/" && url.query().is_none() {
            let mut outgoing = blocking::Request::new(method, url);
            *outgoing.headers_mut() = headers;
            *outgoing.body_mut() = request.body.map(Into::into);
            // Covers the body too, unlike a timeout of the client, which starts anew with each read.
            *outgoing.timeout_mut() = (!inner.is_streaming).then_some(deadline);
            let sent = inner.http.execute(outgoing).map_err(TransportError::from);
            sent.map(UnreadResponse::from)
        } else if has_proxy {
            return unsendable("its path cannot go through a proxy unchanged".to_owned());
        } else {
            direct::build(&url, text, method, headers, request.body)
                .and_then(|outgoing| inner.direct.send(outgoing, deadline))
        };
        sent.map_err(|failed| {
            let mut error = failed.classify(inner.timeout, inner.direct.connect_timeout);
            if has_proxy && matches!(error.kind, ErrorKind::Dns | ErrorKind::Connect) {
                error.message.push_str(" (through the configured proxy)");
            }
            error.message = request.redactor.redact(&error.message);
            error
        })
    }

    /// Appends the body to `body`, at most `limit` bytes. An error is why it is incomplete.
    fn read_body(
        self,
        unread: &mut UnreadResponse,
        body: &mut Vec<u8>,
        limit: usize,
        memory: Option<&dyn Memory>,
    ) -> Result<(), Cut> {
        let grow = |length| match memory {
            Some(memory) => memory.grow(length).map_err(Cut::Broken),
            None => Ok(()),
        };
        // A body that is too long for the memory is not read at all.
        let length = usize::try_from(unread.length.unwrap_or(0)).unwrap_or(usize::MAX);
        grow(length)?;
        body.reserve_exact(length.min(limit));
        let mut buffer = [0; READ_BUFFER_BYTES];
        loop {
            let read = match unread.body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(e) if is_timeout(&e) => {
                    let after = compact(self.0.timeout);
                    return Err(Cut::Broken(format!("was still arriving after {after}")));
                }
                Err(_) => {
                    let reason = "was cut short: the connection broke before its end";
                    return Err(Cut::Broken(reason.to_owned()));
                }
            };
            let kept = &buffer[..read.min(limit - body.len())];
            grow(body.len() + kept.len())?;
            body.extend_from_slice(kept);
            if kept.len() < read {
                return Err(Cut::Limit(limit));
            }
        }
    }
}

/// A response whose body is read as it arrives.
pub struct Stream {
    client: Client,
    unread: UnreadResponse,
}

impl Stream {
    pub fn status(&self) -> u16 {
        self.unread.status
    }

    pub fn header(&self, name: &str) -> String {
        let value = self.unread.headers.get(name);
        value.map_or(String::new(), |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        })
    }

    /// Waits for the next bytes of the body. The error says why they are missing, as in "the response body …".
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        match self.unread.body.read(buffer) {
            Ok(0) => Err("was closed".to_owned()),
            Ok(read) => Ok(read),
            Err(e) if is_timeout(&e) => {
                let timeout = compact(self.client.0.timeout);
                Err(format!("was silent for {timeout}"))
            }
            Err(_) => Err("was cut".to_owned()),
        }
    }

    /// The whole response, with at most `limit` bytes of its body.
    pub fn into_response(self, limit: usize) -> Response {
        let Stream { client, mut unread } = self;
        let mut response = unread.head();
        let read = client.read_body(&mut unread, &mut response.body, limit, None);
        response.cut = read.err();
        response
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
