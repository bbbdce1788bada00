//! Sends a request whose path reqwest would respell (`/a/../b`, `/a\b`), over a connection of its own without a proxy.

use std::io::{self, Read};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Uri;
use hyper::body::{Body as _, Bytes};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use rustls::ClientConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout, timeout_at};
use tower::{Service as _, service_fn};
use url::Position;

use super::UnreadResponse;
use super::errors::{LookupError, Phase, TransportError};
use super::names::Resolver;
use super::options::MAX_HEADERS;

/// A request to the server of `url` for the path and query of `text`, which begins with that server.
pub fn build(
    url: &Url,
    text: &str,
    method: Method,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
) -> Result<hyper::Request<Full<Bytes>>, TransportError> {
    let server = &url[..Position::BeforePath];
    let target = text.strip_prefix(server).unwrap_or_default();
    let uri = Uri::builder()
        .scheme(url.scheme())
        .authority(&url[Position::BeforeHost..Position::BeforePath])
        .path_and_query(target)
        .build();
    let mut request = hyper::Request::new(Full::new(Bytes::from(body.unwrap_or_default())));
    *request.uri_mut() = uri.map_err(|e| TransportError::new(Phase::Build, e))?;
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    let any = HeaderValue::from_static("*/*");
    request.headers_mut().entry(ACCEPT).or_insert(any);
    Ok(request)
}

/// The options of connections that are made without reqwest.
pub struct Direct {
    pub tls: ClientConfig,
    pub resolver: Resolver,
    pub connect_timeout: Duration,
}

impl Direct {
    /// Sends the request and waits for the head of its response, whose body can be read until the deadline.
    pub fn send(
        &self,
        request: hyper::Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<UnreadResponse, TransportError> {
        let deadline = Instant::now() + deadline;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| TransportError::new(Phase::Build, e))?;
        let (resolver, connect_timeout) = (self.resolver.clone(), self.connect_timeout);
        let mut tcp = HttpConnector::new_with_resolver(service_fn(move |name: Name| {
            let resolver = resolver.clone();
            async move {
                let addresses = resolver.addresses(name.as_str()).await;
                addresses.map(Vec::into_iter).map_err(LookupError)
            }
        }));
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let connector = service_fn(move |uri: Uri| {
            let connected = timeout(connect_timeout, connector.clone().call(uri));
            Box::pin(async { connected.await.unwrap_or_else(|e| Err(e.into())) })
        });
        let client = Client::builder(TokioExecutor::new())
            .http1_max_headers(MAX_HEADERS)
            .retry_canceled_requests(false)
            .build(connector);
        let sent = runtime.block_on(async { timeout_at(deadline, client.request(request)).await });
        let sent = match sent {
            Ok(sent) => sent.map_err(TransportError::from),
            Err(elapsed) => Err(TransportError::new(Phase::Exchange, elapsed)),
        };
        let (head, frames) = match sent {
            Ok(response) => response.into_parts(),
            Err(error) => {
                // Without waiting for a name lookup that hangs.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(UnreadResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            length: frames.size_hint().exact(),
            body: Box::new(BodyReader {
                runtime,
                deadline,
                frames,
                unread: Bytes::new(),
            }),
        })
    }
}

/// A body, with the runtime that its connection runs on.
struct BodyReader {
    runtime: Runtime,
    deadline: Instant,
    frames: hyper::body::Incoming,
    unread: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            let next = async { timeout_at(self.deadline, self.frames.frame()).await };
            let Some(frame) = self.runtime.block_on(next).map_err(io::Error::other)? else {
                return Ok(0);
            };
            // Trailers are not stored.
            self.unread = frame
                .map_err(io::Error::other)?
                .into_data()
                .unwrap_or_default();
        }
        let read = self.unread.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.unread.split_to(read));
        Ok(read)
    }
}
