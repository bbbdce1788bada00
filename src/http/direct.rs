//! Sends a request whose path reqwest would respell (`/a/../b`, `/a\b`), over a connection of its own without a proxy.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Uri;
use hyper::body::{Body as _, Bytes};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use rustls::ClientConfig;
use tokio::runtime::Builder;
use tokio::time::timeout;
use url::Position;

use super::errors::{Failed, FailurePoint};
use super::options::MAX_HEADERS;
use super::receiver::Receiver;

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

/// Sends the request and stores the response.
pub fn send(
    tls: ClientConfig,
    request: hyper::Request<Full<Bytes>>,
    deadline: Duration,
    receiver: &Receiver<'_>,
) -> Result<(), Failed> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failed::new(FailurePoint::Build, e))?;
    let mut has_response = false;
    let ended = runtime.block_on(async {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .http1_max_headers(MAX_HEADERS)
            .retry_canceled_requests(false)
            .build(connector);
        timeout(deadline, async {
            let mut response = client.request(request).await?;
            has_response = true;
            let length = response.body().size_hint().exact();
            let status = response.status().as_u16();
            let mut is_wanted = receiver.head(status, response.headers(), length);
            while is_wanted && let Some(frame) = response.body_mut().frame().await {
                match frame.map(|frame| frame.into_data()) {
                    Ok(Ok(data)) => is_wanted = receiver.chunk(&data),
                    // Trailers are not stored.
                    Ok(Err(_)) => {}
                    Err(_) => is_wanted = receiver.cut_by_error(false),
                }
            }
            Ok(())
        })
        .await
    });
    // Without waiting for a name lookup that hangs.
    runtime.shutdown_background();
    match ended {
        Ok(result) => result,
        Err(_) if has_response => {
            receiver.cut_by_error(true);
            Ok(())
        }
        Err(_) => Err(Failed::timeout()),
    }
}
