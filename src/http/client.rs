//! Building the HTTP client: TLS trust, proxies, and everything it must not do by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, NoProxy, Proxy, Url};
use rustls::RootCertStore;

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

/// A client for targets such as `base`, which keeps so many connections to a host.
pub fn build(
    options: &TransportOptions,
    base: &BaseUrl,
    (connect_timeout, timeout): (Duration, Duration),
    connections_kept: usize,
) -> Result<Client, ClientError> {
    // Already installed by an earlier client of this process, or now: either is ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let proxy = if base.is_loopback() {
        None
    } else {
        options.proxy.as_ref()
    };
    let tls_proxy =
        proxy.is_some_and(|proxy| proxy.expose().to_ascii_lowercase().starts_with("https:"));
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        // Where one of them was closed meanwhile, another is made, but only while nothing of the request was written.
        .pool_max_idle_per_host(connections_kept)
        .http1_only()
        // One exchange within a deadline of our own needs no probes.
        .tcp_keepalive(None)
        .tcp_keepalive_interval(None)
        .tcp_keepalive_retries(None)
        .tcp_user_timeout(None)
        .connect_timeout(connect_timeout)
        .timeout(timeout)
        // Reading the system's roots costs milliseconds that a plain http request need not pay.
        .tls_certs_only(if base.is_https() || tls_proxy {
            trusted(options)?
        } else {
            Vec::new()
        });
    if options.insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let Some(identity) = identity(options)? {
        builder = builder.identity(identity);
    }
    if base.is_loopback() {
        builder = builder
            .no_proxy()
            .dns_resolver(std::sync::Arc::new(Loopback));
    } else if let Some(proxy) = proxy {
        builder = builder.proxy(named_proxy(proxy)?.no_proxy(NoProxy::from_env()));
    }
    builder
        .build()
        .map_err(|e| ClientError::Setup(super::failure::innermost(&e.without_url())))
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

fn trusted(options: &TransportOptions) -> Result<Vec<Certificate>, ClientError> {
    if let Some(path) = &options.cacert {
        let pem = read("certificate", path)?;
        let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if found.is_empty() {
            return Err(ClientError::Pem {
                what: "certificate",
                path: path.clone(),
            });
        }
        return Ok(found);
    }
    // A system's store may hold a certificate that the verifier cannot read; it must not stop the others.
    let mut scratch = RootCertStore::empty();
    let usable: Vec<Certificate> = rustls_native_certs::load_native_certs()
        .certs
        .into_iter()
        .filter(|der| scratch.add(der.clone()).is_ok())
        .filter_map(|der| Certificate::from_der(&der).ok())
        .collect();
    if !usable.is_empty() {
        return Ok(usable);
    }
    let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    Ok(bundled
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect())
}

fn identity(options: &TransportOptions) -> Result<Option<Identity>, ClientError> {
    let Some(cert) = &options.cert else {
        return if options.key.is_some() {
            Err(ClientError::KeyAlone)
        } else {
            Ok(None)
        };
    };
    let mut pem = read("certificate", cert)?;
    if let Some(key) = &options.key {
        pem.push(b'\n');
        pem.extend(read("key", key)?);
    }
    let path = options.key.as_ref().unwrap_or(cert).clone();
    Identity::from_pem(&pem)
        .map(Some)
        .map_err(|_| ClientError::Pem {
            what: "certificate with its key",
            path,
        })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|source| ClientError::File {
        what,
        path: path.to_owned(),
        source,
    })
}
