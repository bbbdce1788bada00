//! How to connect: timeouts, TLS and proxy options, and a reqwest client made of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Proxy;
use reqwest::blocking::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use rustls::ClientConfig;

use super::proxy::Proxies;
use crate::secret::Secret;
use crate::secret::safe_url::BaseUrl;

/// The most headers of a response; hyper limits their size to about 400 KiB.
pub const MAX_HEADERS: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// For the whole request: name lookup, connect, TLS, request, status and body.
    pub timeout: Duration,
    /// For name lookup, connect and TLS.
    pub connect_timeout: Duration,
    /// PEM certificates to trust instead of the system's.
    pub cacert: Option<PathBuf>,
    /// The client's certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM; none if it is in the certificate's file.
    pub key: Option<PathBuf>,
    /// Certificates are not verified.
    pub insecure: bool,
    /// Used instead of the environment's proxies. It may contain a password.
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

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot read the {what} `{path}`: {source}")]
    File {
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("`{path}` does not contain a {what} in PEM form")]
    Pem { what: &'static str, path: PathBuf },
    #[error("`--key` requires `--cert`")]
    KeyAlone,
    #[error("the proxy is not a URL such as http://proxy.example.com:3128")]
    Proxy,
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

/// What a reqwest client is made of.
pub struct Connector<'a> {
    pub options: &'a TransportOptions,
    pub base: &'a BaseUrl,
    pub proxies: &'a Proxies,
    pub connect_timeout: Duration,
    pub idle_connections: usize,
}

impl Connector<'_> {
    pub fn tls(&self) -> Result<ClientConfig, ClientError> {
        let with_roots = self.base.is_https() || self.proxies.need_tls();
        super::tls::client_config(self.options, with_roots)
    }

    pub fn build(&self, tls: ClientConfig) -> Result<Client, ClientError> {
        let proxies = self.proxies.clone();
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            // A kept connection that the endpoint closed is replaced as long as nothing of the request was written to it.
            .pool_max_idle_per_host(self.idle_connections)
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(self.connect_timeout)
            // Each request has its own.
            .timeout(None)
            .proxy(Proxy::custom(move |url| proxies.for_url(url).cloned()))
            .tls_backend_preconfigured(tls);
        if self.base.is_loopback() {
            builder = builder.dns_resolver(Arc::new(Loopback));
        }
        builder
            .build()
            .map_err(|e| ClientError::Setup(super::errors::innermost(&e.without_url())))
    }
}

/// Resolves `localhost` and its subdomains without asking the system (RFC 6761, 6.3), because secrets are sent there
/// unencrypted and without a proxy.
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
