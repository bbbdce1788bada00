//! Sends a request whose path reqwest would respell (`/a/../b`, `/a\b`), over a connection of its own without a proxy.

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use rustls::ClientConfig;
use url::Position;

use super::errors::{Failed, FailurePoint};
use super::options::MAX_HEADERS;

/// A request to the server of `url` for the path and query of `text`, which begins with that server.
pub fn build(
    url: &Url,
    text: &str,
    method: Method,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
) -> Result<hyper::Request<Full<Bytes>>, Failed> {
    let server = &url[..Position::BeforePath];
    let target = text.strip_prefix(server).unwrap_or_default();
    let uri = Uri::builder()
        .scheme(url.scheme())
        .authority(&url[Position::BeforeHost..Position::BeforePath])
        .path_and_query(target)
        .build();
    let mut request = hyper::Request::new(Full::new(Bytes::from(body.unwrap_or_default())));
    *request.uri_mut() = uri.map_err(|e| Failed::new(FailurePoint::Build, e))?;
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    let any = HeaderValue::from_static("*/*");
    request.headers_mut().entry(ACCEPT).or_insert(any);
    Ok(request)
}

/// Sends the request and waits for the head of its response.
pub async fn send(
    tls: ClientConfig,
    request: hyper::Request<Full<Bytes>>,
) -> Result<reqwest::Response, Failed> {
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
    let connector = connector.https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new())
        .http1_max_headers(MAX_HEADERS)
        .retry_canceled_requests(false)
        .build(connector);
    let response = client.request(request).await?;
    Ok(response.map(reqwest::Body::wrap).into())
}
