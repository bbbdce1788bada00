//! Classifies what went wrong: the kind of error, a message, and whether the request may have arrived.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::client::legacy;
use rustls::CertificateError;
use tokio::time::error::Elapsed;

use super::SendError;
use super::options::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::delivery::{ErrorKind, Outcome};
use crate::text::size;
use crate::time::compact;

const CONNECTION_REFUSED: &str = "connection refused";

/// Whether nothing listens at the address.
pub fn is_refused(outcome: &Outcome) -> bool {
    let error = outcome.error.as_ref();
    error.is_some_and(|e| e.kind == ErrorKind::Connect && e.message == CONNECTION_REFUSED)
}

/// How far a request got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Build,
    Lookup,
    Connect,
    Exchange,
}

/// An error of the client, with the phase that it ended.
pub struct TransportError {
    phase: Phase,
    error: Box<dyn Error + Send + Sync>,
}

impl From<reqwest::Error> for TransportError {
    fn from(error: reqwest::Error) -> TransportError {
        let phase = if error.is_builder() {
            Phase::Build
        } else if error.is_dns() {
            Phase::Lookup
        } else if error.is_connect() {
            Phase::Connect
        } else {
            Phase::Exchange
        };
        // Its text ends with the URL, secrets included.
        TransportError::new(phase, error.without_url())
    }
}

/// Marks a failed name lookup in the chain of an error.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LookupError(pub io::Error);

impl From<legacy::Error> for TransportError {
    fn from(error: legacy::Error) -> TransportError {
        let phase = if !error.is_connect() {
            Phase::Exchange
        } else if find::<LookupError>(&error).is_some() {
            Phase::Lookup
        } else {
            Phase::Connect
        };
        TransportError::new(phase, error)
    }
}

impl TransportError {
    pub fn new(phase: Phase, error: impl Into<Box<dyn Error + Send + Sync>>) -> TransportError {
        let error = error.into();
        TransportError { phase, error }
    }

    /// The message may contain secrets.
    pub fn classify(&self, timeout: Duration, connect_timeout: Duration) -> SendError {
        let error: &(dyn Error + 'static) = &*self.error;
        let because = |text: &str| format!("{text}: {}", innermost(error));
        let timed_out = is_timeout(error);
        let (kind, message) = match self.phase {
            Phase::Exchange if timed_out => {
                let message = format!("no response within {}", compact(timeout));
                (ErrorKind::Timeout, message)
            }
            _ if timed_out => {
                let message = format!("no connection within {}", compact(connect_timeout));
                (ErrorKind::Timeout, message)
            }
            Phase::Build => (ErrorKind::Protocol, because("the request cannot be sent")),
            Phase::Lookup => (
                ErrorKind::Dns,
                because("the host's name cannot be resolved"),
            ),
            Phase::Connect => connect_error(error),
            Phase::Exchange => exchange_error(error),
        };
        SendError {
            maybe_received: self.phase == Phase::Exchange && kind != ErrorKind::Tls,
            kind,
            message,
        }
    }
}

fn connect_error(error: &(dyn Error + 'static)) -> (ErrorKind, String) {
    let message = match find(error) {
        Some(rustls::Error::InvalidMessage(_)) => {
            "the endpoint does not speak TLS; is it plain http?".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(reason)) => {
            format!("no TLS connection: {}", certificate_error(reason))
        }
        Some(tls) => format!("no TLS connection: {tls}"),
        None if has_io_error(error, &[io::ErrorKind::UnexpectedEof]) => {
            "no TLS connection: the endpoint closed it during the handshake".to_owned()
        }
        None if has_io_error(error, &[io::ErrorKind::ConnectionRefused]) => {
            return (ErrorKind::Connect, CONNECTION_REFUSED.to_owned());
        }
        None => {
            let message = format!("no connection: {}", innermost(error));
            return (ErrorKind::Connect, message);
        }
    };
    (ErrorKind::Tls, message)
}

const UNKNOWN_ISSUER: &str = "the certificate's issuer is not trusted";
const WRONG_HOST: &str = "the certificate is for another host";
const NOT_YET_VALID: &str = "the certificate is not valid yet";

fn certificate_error(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => UNKNOWN_ISSUER.to_owned(),
        CertificateError::BadSignature => {
            format!("{UNKNOWN_ISSUER}: a trusted one has the same name, but another key")
        }
        CertificateError::NotValidForName => WRONG_HOST.to_owned(),
        CertificateError::NotValidForNameContext { presented, .. } => {
            // `DnsName("hooks.example.com")`
            let names: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
            format!("{WRONG_HOST}: {}", names.join(", "))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            NOT_YET_VALID.to_owned()
        }
        // Only by an authority's certificate: one that is given with `--cacert` is accepted.
        CertificateError::Other(_) => {
            format!("{UNKNOWN_ISSUER}: it is not a certificate for a server")
        }
        other => format!("the certificate is not valid: {other}"),
    }
}

/// Why a TLS handshake failed; none if the cause is something else.
pub fn tls_error(error: &(dyn Error + 'static)) -> Option<String> {
    match find(error)? {
        rustls::Error::InvalidCertificate(reason) => Some(certificate_error(reason)),
        other => Some(other.to_string()),
    }
}

fn plain_name(name: &str) -> &str {
    let name = name.split_once('(').map_or(name, |(_, name)| name);
    name.trim_matches([')', '"'])
}

/// What users can do about a TLS error with this message.
pub fn tls_hint(message: &str) -> Option<String> {
    let hint = if message.contains(UNKNOWN_ISSUER) {
        "trust the endpoint's own certificate with `--cacert FILE`"
    } else if message.contains(WRONG_HOST) {
        "use a host in the URL that the certificate names"
    } else if message.contains(NOT_YET_VALID) {
        "check this machine's clock"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

fn exchange_error(error: &(dyn Error + 'static)) -> (ErrorKind, String) {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    match find(error) {
        Some(tls) if rejects_client(tls) => {
            return (ErrorKind::Tls, format!("no TLS connection: {tls}"));
        }
        Some(_) => {
            let message = "the TLS connection broke before a response";
            return (ErrorKind::Reset, message.to_owned());
        }
        None => {}
    }
    let closed = [
        BrokenPipe,
        ConnectionAborted,
        ConnectionReset,
        NotConnected,
        UnexpectedEof,
    ];
    let incomplete = find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message);
    if incomplete || has_io_error(error, &closed) {
        let message = "the connection was closed before a response";
        return (ErrorKind::Reset, message.to_owned());
    }
    let is_too_large = find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse_too_large);
    let message = if is_too_large {
        let size = size(MAX_HEAD_BYTES as u64);
        format!("the response has more than {MAX_HEADERS} headers or {size} of them")
    } else {
        format!("the response is not valid HTTP: {}", innermost(error))
    };
    (ErrorKind::Protocol, message)
}

/// The text of the error at the bottom of the chain: those above it only say "error sending request".
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = chain(error).last();
    last.map(ToString::to_string).unwrap_or_default()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // An io::Error's source is not the error that it wraps, but that one's source.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|link| link.downcast_ref::<E>())
}

fn has_io_error(error: &(dyn Error + 'static), kinds: &[io::ErrorKind]) -> bool {
    chain(error)
        .filter_map(|link| link.downcast_ref::<io::Error>())
        .any(|error| kinds.contains(&error.kind()))
}

pub fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    find::<Elapsed>(error).is_some()
        || find::<reqwest::Error>(error).is_some_and(reqwest::Error::is_timeout)
}

/// Whether the endpoint rejects this client. In TLS 1.3 it says so after the client's side of the handshake, and still
/// before it reads a request.
fn rejects_client(tls: &rustls::Error) -> bool {
    use rustls::AlertDescription::*;
    matches!(
        tls,
        rustls::Error::AlertReceived(
            AccessDenied
                | BadCertificate
                | CertificateExpired
                | CertificateRequired
                | CertificateRevoked
                | CertificateUnknown
                | UnknownCA
                | UnsupportedCertificate
        )
    )
}
