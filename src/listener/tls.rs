//! TLS on the listener's port: the certificate and the handshake. Offers HTTP/1.1 only, without client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::stream::HttpStream;
use crate::http::{ClientError, is_encrypted};
use crate::text;

const MAX_PEM_BYTES: u64 = 16 << 20;

/// The first bytes of a failed handshake that are captured.
const MAX_HELLO_BYTES: usize = 16 * 1024;

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
        what: &'static str,
        path: PathBuf,
        source: Error,
    },
    #[error("`{}` does not contain {what} in PEM format", path.display())]
    NotPem { what: &'static str, path: PathBuf },
    #[error(transparent)]
    Client(#[from] ClientError),
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
        let read = |what, path: &Path| {
            text::read_file(path, MAX_PEM_BYTES).map_err(|e| unreadable(what, path, Error::Io(e)))
        };
        let pem = read("a certificate", cert)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = match chain {
            Ok(chain) if chain.is_empty() => Err(Error::NoItemsFound),
            chain => chain,
        };
        let chain = chain.map_err(|error| unreadable("a certificate", cert, error))?;
        let pem = read("a private key", key)?;
        let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            let path = key.to_owned();
            match is_encrypted(&pem) {
                true => ClientError::EncryptedKey { path }.into(),
                false => unreadable("a private key", key, error),
            }
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(chain, private));
        let mut config = config.map_err(|source| TlsError::Unusable {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(Arc::new(config)))
    }

    /// Performs the handshake. A client that does not use TLS gets its stream back with nothing read; `None` if the handshake
    /// fails, or if the client sends nothing. The first bytes are left in `hello`, for the capture of a failed handshake.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        hello: &mut Vec<u8>,
    ) -> Option<Box<dyn HttpStream>> {
        hello.resize(MAX_HELLO_BYTES, 0);
        let length = stream.peek(hello).await.unwrap_or(0);
        hello.truncate(length);
        if *hello.first()? != HANDSHAKE_RECORD {
            return Some(Box::new(stream));
        }
        let accepting = TlsAcceptor::from(Arc::clone(&self.0)).accept(stream);
        Some(Box::new(accepting.await.ok()?))
    }
}

fn unreadable(what: &'static str, path: &Path, error: Error) -> TlsError {
    let path = path.to_owned();
    match error {
        Error::NoItemsFound => TlsError::NotPem { what, path },
        source => TlsError::Pem { what, path, source },
    }
}
