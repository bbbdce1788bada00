//! How to connect: timeouts, TLS and proxy options, and a reqwest client made of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy, Url};
use rustls::ClientConfig;

use crate::secret::Secret;
use crate::secret::safe_url::BaseUrl;

/// How to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// For the whole attempt: resolve, connect, TLS, write, status and body.
    pub timeout: Duration,
    /// For resolve, connect and TLS.
    pub connect_timeout: Duration,
    /// PEM certificates to trust instead of the system's.
    pub cacert: Option<PathBuf>,
    /// The client's own certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM; none if it is in the same file.
    pub key: Option<PathBuf>,
    /// Certificates go unchecked.
    pub insecure: bool,
    /// The proxy, instead of the environment's. It may hold a password.
    pub proxy: Option<Secret>,
}

impl Default for TransportOptions {
    fn default() -> TransportOptions {
        TransportOptions {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            cacert: None,
            cert: None,
            key: None,
            insecure: false,
            proxy: None,
        }
    }
}

/// Options that no client can be made of.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A PEM file cannot be read.
    #[error("cannot read the {what} `{path}`: {source}")]
    File {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A PEM file holds something else.
    #[error("`{path}` holds no {what} in PEM form")]
    Pem {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A key without a certificate.
    #[error("`--key` needs `--cert`")]
    KeyAlone,
    /// The proxy's URL.
    #[error("the proxy is not a URL such as http://proxy.example.com:3128")]
    Proxy,
    /// The system's TLS configuration, or the client's.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

/// What a reqwest client is made of.
pub struct Connector<'a> {
    pub options: &'a TransportOptions,
    pub base: &'a BaseUrl,
    pub connect_timeout: Duration,
    pub idle_connections: usize,
}

impl Connector<'_> {
    fn proxy(&self) -> Option<&Secret> {
        let proxy = self.options.proxy.as_ref();
        proxy.filter(|_| !self.base.is_loopback())
    }

    pub fn tls(&self) -> Result<ClientConfig, ClientError> {
        let is_https = |proxy: &Secret| proxy.expose().to_ascii_lowercase().starts_with("https:");
        let with_roots = self.base.is_https() || self.proxy().is_some_and(is_https);
        super::tls::client_config(self.options, with_roots)
    }

    pub fn build(&self, tls: ClientConfig) -> Result<Client, ClientError> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            // A kept connection that the endpoint closed is replaced as long as nothing of the request was written to it.
            .pool_max_idle_per_host(self.idle_connections)
            .http1_only()
            .connect_timeout(self.connect_timeout)
            // Each request has its own, see `Client::send`.
            .timeout(None)
            .tls_backend_preconfigured(tls);
        if self.base.is_loopback() {
            builder = builder.no_proxy().dns_resolver(Arc::new(Loopback));
        } else if let Some(proxy) = self.proxy() {
            builder = builder.proxy(named_proxy(proxy)?.no_proxy(NoProxy::from_env()));
        }
        builder
            .build()
            .map_err(|e| ClientError::Setup(super::errors::innermost(&e.without_url())))
    }
}

/// What `localhost` and the names below it mean, whatever a resolver would say (RFC 6761, 6.3): secrets go there in the
/// clear and past every proxy. It also spares the thread and the files that asking the system takes.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        let hosts = [
            IpAddr::from(Ipv6Addr::LOCALHOST),
            IpAddr::from(Ipv4Addr::LOCALHOST),
        ];
        // Port 0 stands for the URL's.
        let addresses: Addrs = Box::new(hosts.into_iter().map(|host| SocketAddr::new(host, 0)));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn named_proxy(proxy: &Secret) -> Result<Proxy, ClientError> {
    // As curl reads it: without a scheme it is http. With any but these two the client would go around it, silently.
    let text = match proxy.expose() {
        text if text.contains("://") => text.to_owned(),
        text => format!("http://{text}"),
    };
    let url = Url::parse(&text).map_err(|_| ClientError::Proxy)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ClientError::Proxy);
    }
    Proxy::all(url).map_err(|_| ClientError::Proxy)
}
