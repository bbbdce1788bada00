//! How to connect: timeouts, TLS and proxy options, and a reqwest client made of them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Proxy;
use reqwest::blocking::ClientBuilder;
use reqwest::redirect::Policy;

use super::names::Resolver;
use super::proxy::Proxies;
use crate::delivery::host_addresses::{HostAddresses, addresses_of};
use crate::secret::Secret;
use crate::secret::safe_url::BaseUrl;
use crate::text::shell_word;

/// The most headers of a response. hyper allocates a table of this size for each response, interim (1xx) ones included, so
/// that an endpoint that sends those without end costs more CPU time with a larger number.
pub const MAX_HEADERS: usize = 2_000;
/// The size of a response's status line and headers that hyper accepts in any case. It gives up a longer head when its
/// buffer is full, at 1 MiB at the latest. reqwest has no option for it.
pub const MAX_HEAD_BYTES: usize = 408 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// For the whole request: name lookup, connect, TLS, request, status and body.
    pub timeout: Duration,
    /// For name lookup, connect and TLS.
    pub connect_timeout: Duration,
    /// PEM certificates to trust instead of the system's.
    pub cacert: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    /// Its key, PEM; none if it is in the certificate's file.
    pub key: Option<PathBuf>,
    pub insecure: bool,
    /// Used instead of the environment's proxies. It may contain a password.
    pub proxy: Option<Secret>,
    /// Hosts that are not looked up. A proxy, if one is used, looks them up itself.
    pub resolve: Vec<HostAddresses>,
}

impl TransportOptions {
    /// The given addresses of a server.
    pub fn addresses(&self, base: &BaseUrl) -> Option<&[IpAddr]> {
        addresses_of(&self.resolve, base)
    }

    /// Whether requests to a server stay on this machine.
    pub fn is_local(&self, base: &BaseUrl) -> bool {
        match self.addresses(base) {
            Some(addresses) => addresses.iter().all(IpAddr::is_loopback),
            None => base.is_loopback(),
        }
    }
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
            resolve: Vec::new(),
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
    #[error(
        "the key in `{path}` is encrypted; `openssl pkey -in {} -out FILE` decrypts it",
        shell_word(&path.to_string_lossy())
    )]
    EncryptedKey { path: PathBuf },
    #[error("`--key` requires `--cert`")]
    KeyAlone,
    #[error("the proxy is not a URL such as http://proxy.example.com:3128")]
    Proxy,
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

pub fn builder(resolver: Resolver, proxies: Proxies) -> ClientBuilder {
    ClientBuilder::new()
        .redirect(Policy::none())
        .referer(false)
        // A kept connection that the endpoint closed is replaced as long as nothing of the request was written to it.
        .retry(reqwest::retry::never())
        .http1_only()
        .http1_max_headers(MAX_HEADERS)
        // Each request has its own.
        .timeout(None)
        .proxy(Proxy::custom(move |url| proxies.for_url(url).cloned()))
        .dns_resolver(Arc::new(resolver))
}
