//! Naming what went wrong on the wire: the error's kind, its words, and whether the request may have arrived.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::delivery::{AttemptError, ErrorKind};
use crate::http::transport::NoResponse;
use crate::secret::Redactor;
use crate::time::compact;

/// Names an error of the client.
pub fn classify(
    error: reqwest::Error,
    redactor: &Redactor,
    timeout: Duration,
    connect_timeout: Duration,
) -> NoResponse {
    // Its `Display` ends with the whole URL.
    let error = error.without_url();
    if error.is_timeout() && !error.is_connect() {
        return no_answer_within(timeout);
    }
    let (kind, message) = if error.is_timeout() {
        (
            ErrorKind::Timeout,
            format!("no connection within {}", compact(connect_timeout)),
        )
    } else if error.is_dns() {
        (
            ErrorKind::Dns,
            format!("the host's name cannot be resolved: {}", innermost(&error)),
        )
    } else if let Some(tls) = tls_words(&error) {
        (ErrorKind::Tls, tls)
    } else if error.is_connect() {
        (ErrorKind::Connect, connect_words(&error))
    } else if tls_error(&error).is_some() {
        (
            ErrorKind::Reset,
            "the TLS connection broke before an answer came".to_owned(),
        )
    } else if closed_early(&error) {
        (
            ErrorKind::Reset,
            "the connection was closed before an answer came".to_owned(),
        )
    } else {
        (
            ErrorKind::Protocol,
            format!(
                "the answer is not HTTP that can be read: {}",
                innermost(&error)
            ),
        )
    };
    let maybe_received = !error.is_connect() && !error.is_dns() && kind != ErrorKind::Tls;
    NoResponse {
        error: AttemptError {
            kind,
            message: redactor.redact(&message),
        },
        maybe_received,
    }
}

/// A connection was there, an answer was not.
pub fn no_answer_within(timeout: Duration) -> NoResponse {
    let message = format!("no answer within {}", compact(timeout));
    NoResponse {
        error: AttemptError {
            kind: ErrorKind::Timeout,
            message,
        },
        maybe_received: true,
    }
}

/// The words of the error at the bottom of the chain: those above it only say "error sending request".
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // An io::Error does not count the error it wraps as its source, only that one's own.
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn io_kinds<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = io::ErrorKind> + 'a {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>().map(io::Error::kind))
}

/// Why there is no TLS connection, if that is what is wrong; one that broke after the handshake was there.
fn tls_words(error: &reqwest::Error) -> Option<String> {
    let shaking_hands = error.is_connect();
    match tls_error(error) {
        Some(rustls::Error::InvalidMessage(_)) if shaking_hands => {
            Some("the endpoint does not answer in TLS; is it plain http?".to_owned())
        }
        Some(tls) if shaking_hands || refuses_us(tls) => Some(format!("no TLS connection: {tls}")),
        Some(_) => None,
        // The peer hung up in the middle of the handshake.
        None => (shaking_hands
            && chain(error).any(|link| link.to_string().contains("tls handshake eof")))
        .then(|| "no TLS connection: the endpoint closed it during the handshake".to_owned()),
    }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    chain(error).find_map(|link| {
        let wrapped = link
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        link.downcast_ref::<rustls::Error>()
            .or_else(|| wrapped.and_then(|inner| inner.downcast_ref()))
    })
}

/// Whether the endpoint turns this client down. In TLS 1.3 it says so only after the client's side of the handshake is
/// done, and still before it looks at any request.
fn refuses_us(tls: &rustls::Error) -> bool {
    use rustls::AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
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

fn connect_words(error: &reqwest::Error) -> String {
    if io_kinds(error).any(|kind| kind == io::ErrorKind::ConnectionRefused) {
        return "connection refused".to_owned();
    }
    format!("no connection: {}", innermost(error))
}

fn closed_early(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    let broken = [
        BrokenPipe,
        ConnectionAborted,
        ConnectionReset,
        NotConnected,
        UnexpectedEof,
    ];
    io_kinds(error).any(|kind| broken.contains(&kind))
        || chain(error).any(|link| {
            link.to_string()
                .contains("connection closed before message completed")
        })
}
