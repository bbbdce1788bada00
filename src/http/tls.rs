//! TLS settings: which certificates are trusted, and the client's own.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use memchr::memmem;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::{ClientError, TransportOptions};
use crate::text;

const MAX_PEM_BYTES: u64 = 16 << 20;

/// `with_roots` is false where no TLS connection will be made: reading the system's certificates takes milliseconds.
pub fn client_config(
    options: &TransportOptions,
    with_roots: bool,
) -> Result<ClientConfig, ClientError> {
    let setup = |e: &dyn std::fmt::Display| ClientError::Setup(e.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| setup(&e))?;
    let builder = if with_roots {
        let (roots, given) = trusted(options)?;
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(CertificateVerifier {
                webpki: webpki.build().map_err(|e| setup(&e))?,
                given,
                insecure: options.insecure,
            }))
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    match identity(options)? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| setup(&e)),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// TLS settings for a connection that is not HTTP. `authorities` is a PEM file to trust instead of the system's;
/// `insecure` accepts every certificate.
pub fn tls_config(authorities: Option<&Path>, insecure: bool) -> Result<ClientConfig, ClientError> {
    let options = TransportOptions {
        cacert: authorities.map(Path::to_owned),
        insecure,
        ..TransportOptions::default()
    };
    client_config(&options, true)
}

/// The trusted authorities, and the certificates that were given instead of the system's.
fn trusted(
    options: &TransportOptions,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), ClientError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.cacert {
        let given = certificates(path)?;
        let (added, _) = roots.add_parsable_certificates(given.iter().cloned());
        if added == 0 {
            return Err(ClientError::Pem {
                what: "certificate",
                path: path.clone(),
            });
        }
        return Ok((roots, given));
    }
    Ok((default_roots().store.clone(), Vec::new()))
}

/// The authorities that are trusted without `--cacert`.
struct DefaultRoots {
    store: RootCertStore,
    /// They come with the program, because the system has none.
    are_built_in: bool,
}

fn default_roots() -> &'static DefaultRoots {
    static ROOTS: OnceLock<DefaultRoots> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut store = RootCertStore::empty();
        // A certificate that cannot be parsed does not stop the others.
        let system = rustls_native_certs::load_native_certs().certs;
        let (added, _) = store.add_parsable_certificates(system);
        if added == 0 {
            let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
            store.add_parsable_certificates(built_in);
        }
        DefaultRoots {
            store,
            are_built_in: added == 0,
        }
    })
}

/// Whether a connection to an `https` URL trusts the certificates that come with the program, because the system has none.
pub fn trusts_built_in_roots(options: &TransportOptions) -> bool {
    options.cacert.is_none() && !options.insecure && default_roots().are_built_in
}

/// Whether it is a key with `BEGIN ENCRYPTED PRIVATE KEY`, or with `Proc-Type: 4,ENCRYPTED` in the older form.
pub fn is_encrypted(pem: &[u8]) -> bool {
    memmem::find(pem, b"ENCRYPTED").is_some()
}

type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client's certificates and key.
fn identity(options: &TransportOptions) -> Result<Option<ClientIdentity>, ClientError> {
    let Some(cert) = &options.cert else {
        return match options.key {
            Some(_) => Err(ClientError::KeyAlone),
            None => Ok(None),
        };
    };
    let chain = certificates(cert)?;
    let path = options.key.as_ref().unwrap_or(cert);
    let pem = read("key", path)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) if !chain.is_empty() => Ok(Some((chain, key))),
        Err(_) if is_encrypted(&pem) => Err(ClientError::EncryptedKey { path: path.clone() }),
        _ => Err(ClientError::Pem {
            what: "certificate with its key",
            path: path.clone(),
        }),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let pem = read("certificate", path)?;
    Ok(CertificateDer::pem_slice_iter(&pem).flatten().collect())
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, ClientError> {
    text::read_file(path, MAX_PEM_BYTES).map_err(|source| ClientError::File {
        what,
        path: path.to_owned(),
        source,
    })
}

/// The usual verification, which also accepts a given certificate that is used by a server although it is marked as an
/// authority's: `openssl req -x509` makes such certificates.
#[derive(Debug)]
struct CertificateVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
    insecure: bool,
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.insecure {
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.webpki
                .verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match verified {
            // The dates were verified before this.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.given.iter().any(|given| given == end_entity) =>
            {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.insecure {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.insecure {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
