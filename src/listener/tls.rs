//! TLS on the listener's port: the certificate and the handshake. Offers HTTP/1.1 only, without client certificates.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::stream::{HandshakeBytes, HandshakeStream, HttpStream};

/// The first byte of every TLS connection, and of no HTTP request.
const HANDSHAKE_RECORD: u8 = 0x16;

/// A certificate chain with its key.
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
    #[error("cannot read {what} in `{}`", path.display())]
    Pem {
        /// `a certificate` or `a private key`.
        what: &'static str,
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("`{}` contains no certificate", .0.display())]
    Empty(PathBuf),
    #[error("the certificate in `{}` cannot be used with the key in `{}`", cert.display(), key.display())]
    Unusable {
        cert: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads PEM files: a certificate, with its intermediate certificates if there are any, and its private key.
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

    /// Performs the handshake, and records the bytes read meanwhile. A client that does not use TLS gets its stream back with
    /// nothing read; `None` if the handshake fails, or if there is no first byte.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        recorded: &Rc<RefCell<HandshakeBytes>>,
    ) -> Option<HttpStream> {
        let mut first = [0];
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        if first != [HANDSHAKE_RECORD] {
            return Some(HttpStream::Plain(stream));
        }
        let stream = HandshakeStream::new(stream, Rc::clone(recorded));
        let mut encrypted = TlsAcceptor::from(Arc::clone(&self.0))
            .accept(stream)
            .await
            .ok()?;
        encrypted.get_mut().0.end_handshake();
        Some(HttpStream::Tls(Box::new(encrypted)))
    }
}
