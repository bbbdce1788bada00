//! Sending a request whose path reqwest would respell (`/a/../b`, `/a\b`): one connection, no proxy.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use reqwest::header::{ACCEPT, HOST, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Position};

use super::client::{CONNECTION_BROKE, Receiver};
use super::errors::{Failed, Phase};
use super::options::MAX_HEADERS;

pub struct Direct {
    tls: Arc<ClientConfig>,
    is_loopback: bool,
    connect_timeout: Duration,
}

/// A request to the server of `url` for the path and query of `text`, which starts with that server.
pub struct DirectRequest<'a> {
    pub url: &'a Url,
    pub text: &'a str,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
}

impl DirectRequest<'_> {
    fn build(self) -> Result<hyper::Request<Full<Bytes>>, Failed> {
        let build =
            |error: Box<dyn std::error::Error + Send + Sync>| Failed::new(Phase::Build, error);
        let target = self
            .text
            .strip_prefix(&self.url[..Position::BeforePath])
            .ok_or_else(|| build("the URL's server is not written as URLs are".into()))?;
        let host = &self.url[Position::BeforeHost..Position::BeforePath];
        let host = HeaderValue::from_str(host).map_err(|e| build(e.into()))?;
        let body = Bytes::from(self.body.unwrap_or_default());
        let mut request = hyper::Request::new(Full::new(body));
        *request.method_mut() = self.method;
        *request.uri_mut() = target
            .parse()
            .map_err(|e: http::uri::InvalidUri| build(e.into()))?;
        *request.headers_mut() = self.headers;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        let any = HeaderValue::from_static("*/*");
        headers.entry(ACCEPT).or_insert(any);
        Ok(request)
    }
}

impl Direct {
    pub fn new(tls: ClientConfig, is_loopback: bool, connect_timeout: Duration) -> Direct {
        Direct {
            tls: Arc::new(tls),
            is_loopback,
            connect_timeout,
        }
    }

    /// Sends the path and query of `text` as they are written to the server of `url`, and stores the response.
    pub fn send(
        &self,
        request: DirectRequest<'_>,
        deadline: Duration,
        receiver: &Receiver<'_>,
    ) -> Result<(), Failed> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failed::new(Phase::Build, e.into()))?;
        let mut has_response = false;
        let exchange = self.exchange(request, receiver, &mut has_response);
        let ended = runtime.block_on(async { timeout(deadline, exchange).await });
        // Without waiting for a name lookup that hangs.
        runtime.shutdown_background();
        match ended {
            Ok(result) => result,
            Err(_) if has_response => {
                receiver.cut_at_deadline();
                Ok(())
            }
            Err(_) => Err(Failed::timeout(Phase::Exchange)),
        }
    }

    async fn exchange(
        &self,
        request: DirectRequest<'_>,
        receiver: &Receiver<'_>,
        has_response: &mut bool,
    ) -> Result<(), Failed> {
        let connecting = timeout(self.connect_timeout, self.connect(request.url));
        let connected = connecting.await;
        let mut sender = connected.map_err(|_| Failed::timeout(Phase::Connect))??;
        let response = sender.send_request(request.build()?).await;
        let mut response = response.map_err(|e| Failed::new(Phase::Exchange, e.into()))?;
        *has_response = true;
        let length = response.body().size_hint().exact();
        if !receiver.head(response.status().as_u16(), response.headers(), length) {
            return Ok(());
        }
        while let Some(frame) = response.body_mut().frame().await {
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) if !receiver.chunk(&data) => return Ok(()),
                // Trailers are not kept.
                Ok(_) => {}
                Err(_) => {
                    receiver.cut(CONNECTION_BROKE);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn connect(&self, url: &Url) -> Result<http1::SendRequest<Full<Bytes>>, Failed> {
        let connect = |error: io::Error| Failed::new(Phase::Connect, error.into());
        let stream = self.connect_tcp(url).await?;
        if url.scheme() == "http" {
            return handshake(stream).await;
        }
        let name = url.host_str().unwrap_or_default();
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
            .map_err(|e| Failed::new(Phase::Connect, e.into()))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        handshake(connector.connect(name, stream).await.map_err(connect)?).await
    }

    async fn connect_tcp(&self, url: &Url) -> Result<TcpStream, Failed> {
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
            Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
            Some(Host::Domain(_)) if self.is_loopback => vec![
                (Ipv6Addr::LOCALHOST, port).into(),
                (Ipv4Addr::LOCALHOST, port).into(),
            ],
            Some(Host::Domain(name)) => lookup_host((name, port))
                .await
                .map_err(|e| Failed::new(Phase::Lookup, e.into()))?
                .collect(),
            None => Vec::new(),
        };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            }
        }
        Err(Failed::new(Phase::Connect, last.into()))
    }
}

async fn handshake<S>(stream: S) -> Result<http1::SendRequest<Full<Bytes>>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connected = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = connected.map_err(|e| Failed::new(Phase::Connect, e.into()))?;
    // Errors of the connection are reported by the sender and the body too.
    tokio::spawn(connection);
    Ok(sender)
}
