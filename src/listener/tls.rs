//! TLS in front of the catcher: the certificate, and the handshake.
//!
//! Deliberately asks no client for a certificate, and offers HTTP/1.1 only.
//!
//! Invariant: a client that does not get through the handshake leaves its bytes: they become a malformed capture.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::stream::{HttpStream, Tap, Tapped};

/// What each TLS connection begins with, and no HTTP request does.
const HANDSHAKE_RECORD: u8 = 0x16;

/// A certificate chain with its key, ready to be served with.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read, or has nothing of the kind in it.
    #[error("cannot read {what} in `{}`", path.display())]
    Pem {
        /// `a certificate` or `a private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// The file has no certificate in it.
    #[error("there is no certificate in `{}`", .0.display())]
    Empty(PathBuf),
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate in `{}` cannot be used with the key in `{}`", cert.display(), key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads a certificate, with those between it and its root if there are any, and its private key, both PEM.
    ///
    /// # Errors
    /// When a file cannot be read, has nothing of the kind in it, or the two do not belong together.
    pub fn load(cert: &Path, key: &Path) -> Result<Tls, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|source| TlsError::Pem {
                what: "a certificate",
                path: cert.to_owned(),
                source,
            })?;
        if chain.is_empty() {
            return Err(TlsError::Empty(cert.to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem {
            what: "a private key",
            path: key.to_owned(),
            source,
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(chain, private)
            })
            .map_err(|source| TlsError::Unusable {
                cert: cert.to_owned(),
                key: key.to_owned(),
                source,
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(Arc::new(config)))
    }

    /// Opens a TLS connection. What is read meanwhile goes to `tap`. A client that does not speak TLS is given back as it
    /// came, none of its bytes read; `None` if the handshake fails, or there is no first byte.
    pub(super) async fn open(
        &self,
        stream: TcpStream,
        tap: &Rc<RefCell<Tap>>,
    ) -> Option<HttpStream> {
        let mut first = [0];
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        if first != [HANDSHAKE_RECORD] {
            return Some(HttpStream::Plain(stream));
        }
        let tapped = Tapped::new(stream, Rc::clone(tap));
        let mut opened = TlsAcceptor::from(Arc::clone(&self.0))
            .accept(tapped)
            .await
            .ok()?;
        opened.get_mut().0.untap();
        Some(HttpStream::Tls(Box::new(opened)))
    }
}
