//! Why a request is refused: the status, and the reason that its capture shows.
//!
//! hyper refuses heads with nothing but a status, so [`head_reason`] parses the bytes again; its reason may be less exact than
//! hyper's. No reason quotes more than single characters of a target.

use std::borrow::Cow;

use hyper::Uri;

use super::forward::MAX_HOPS;
use super::limits::ListenerLimits;
use super::recorder::MAX_CHUNK_FRAMING;
use super::{framing, response};
use crate::text::size;
use crate::time::compact;

/// The reason if the connection of a silent client was needed.
pub(super) const EVICTED: &str = "the client was silent and its connection was needed";

/// Why a request with a valid head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    BodyTooLong,
    TooMuchChunkFraming,
    BodyTimeout,
    /// The client was silent, and its connection or its memory was needed.
    Evicted,
    OutOfMemory,
    /// The connection ended within the body.
    IncompleteBody,
    InvalidChunks,
    ConflictingLengths,
    /// HTTP on a port that expects TLS.
    PlainHttp,
    /// A required secret is missing or wrong.
    WrongSecret,
    InvalidSignature,
    /// Listeners forward to each other.
    ForwardLoop,
    /// The target cannot be forwarded unchanged.
    Fragment,
}

impl Refusal {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::BodyTooLong | Self::TooMuchChunkFraming => 413,
            Self::BodyTimeout | Self::Evicted => 408,
            Self::OutOfMemory => 503,
            Self::IncompleteBody
            | Self::InvalidChunks
            | Self::ConflictingLengths
            | Self::PlainHttp
            | Self::Fragment => 400,
            Self::InvalidSignature => 401,
            Self::WrongSecret => 403,
            Self::ForwardLoop => 508,
        }
    }

    /// The reason that the capture shows; `None` for a wrong secret and an invalid signature, which the capture shows by itself.
    pub(super) fn reason(self, limits: &ListenerLimits) -> Option<String> {
        Some(match self {
            Self::BodyTooLong => {
                format!("the body is longer than {}", size(limits.body_bytes as u64))
            }
            Self::TooMuchChunkFraming => format!(
                "the chunk sizes and trailers are longer than {}",
                size(MAX_CHUNK_FRAMING as u64)
            ),
            Self::BodyTimeout => format!(
                "the body was not complete after {}",
                compact(limits.body_deadline)
            ),
            Self::Evicted => EVICTED.to_owned(),
            Self::OutOfMemory => format!(
                "other requests used the memory limit of {}",
                size(limits.buffered_bytes as u64)
            ),
            Self::IncompleteBody => {
                "the client closed the connection before the body was complete".to_owned()
            }
            Self::InvalidChunks => "the chunked body is invalid".to_owned(),
            Self::ConflictingLengths => {
                "it has both a Content-Length and a Transfer-Encoding".to_owned()
            }
            Self::PlainHttp => "it is plain HTTP, and this port expects TLS".to_owned(),
            Self::ForwardLoop => {
                format!("{MAX_HOPS} listeners have forwarded it: they forward to each other")
            }
            Self::Fragment => {
                "its target contains a `#` and cannot be forwarded unchanged".to_owned()
            }
            Self::WrongSecret | Self::InvalidSignature => return None,
        })
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::PlainHttp => "this port expects TLS: use https",
            _ => response::reason(self.status()),
        }
    }

    /// Whether it is unclear what the request is.
    pub(super) fn is_ambiguous(self) -> bool {
        matches!(self, Self::ConflictingLengths | Self::PlainHttp)
    }

    /// Whether the request is incomplete or ambiguous, so that the rest of the connection cannot be trusted.
    pub(super) fn is_malformed(self) -> bool {
        !matches!(
            self,
            Self::WrongSecret | Self::InvalidSignature | Self::ForwardLoop | Self::Fragment
        )
    }
}

/// The reason for a head that hyper refused with `status`.
pub(super) fn head_reason(bytes: &[u8], status: u16, limits: &ListenerLimits) -> String {
    match status {
        408 => format!(
            "the head was not complete after {}",
            compact(limits.head_deadline)
        ),
        414 => "the target is longer than 64 KiB".to_owned(),
        431 if bytes.len() > limits.head_bytes => {
            format!("the head is longer than {}", size(limits.head_bytes as u64))
        }
        431 => format!("the head has more than {} headers", limits.headers),
        _ => invalid_head_reason(bytes, limits),
    }
}

fn invalid_head_reason(bytes: &[u8], limits: &ListenerLimits) -> String {
    if bytes.starts_with(b"\x16\x03") {
        return "it is TLS, and this port expects plain HTTP".to_owned();
    }
    if bytes.starts_with(b"PRI * HTTP/2.0\r\n") {
        return "it is HTTP/2, and this port expects HTTP/1".to_owned();
    }
    let mut headers = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut head = httparse::Request::new(&mut headers);
    let reason = match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => return valid_head_reason(&head),
        Ok(httparse::Status::Partial) => {
            "the client closed the connection before the head was complete"
        }
        Err(httparse::Error::Token) if head.method.is_none() => {
            "it does not begin with an HTTP method"
        }
        Err(httparse::Error::Token) => return target_reason(&target_in(bytes)),
        Err(httparse::Error::Version) => "the first line does not end with HTTP/1.0 or HTTP/1.1",
        Err(httparse::Error::NewLine) => "a line of the head has an invalid line end",
        Err(httparse::Error::HeaderName) => {
            "a header line has no name, or an invalid character in its name"
        }
        Err(httparse::Error::HeaderValue) => "a header value contains a control character",
        Err(_) => "the head is not valid HTTP",
    };
    reason.to_owned()
}

/// The reason for a head that hyper refused although its syntax is valid.
fn valid_head_reason(head: &httparse::Request<'_, '_>) -> String {
    if framing::body_framing(head).is_none() {
        return "the Content-Length or Transfer-Encoding is invalid".to_owned();
    }
    target_reason(head.path.unwrap_or_default())
}

fn target_reason(target: &str) -> String {
    let bad = target
        .chars()
        .find(|c| !c.is_ascii() || c.is_ascii_control() || format!("/{c}").parse::<Uri>().is_err());
    match bad {
        Some(char::REPLACEMENT_CHARACTER) => {
            "the target contains bytes that are not UTF-8: they must be percent-encoded".to_owned()
        }
        Some(c) if c.is_control() => format!(
            "the target contains the control character U+{:04X}",
            u32::from(c)
        ),
        Some(c) => format!("the target contains `{c}`, which must be percent-encoded"),
        None => "the target is invalid".to_owned(),
    }
}

/// The target in the first line of an invalid head.
fn target_in(bytes: &[u8]) -> Cow<'_, str> {
    let line = bytes.split(|&byte| byte == b'\n').next();
    let target = line.and_then(|line| line.split(|&byte| byte == b' ').nth(1));
    String::from_utf8_lossy(target.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_heads_have_a_reason() {
        let limits = ListenerLimits::default();
        for (head, expected) in [
            (&b"\x16\x03\x01\x02\x00"[..], "it is TLS"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it is HTTP/2"),
            (b"(nonsense)\r\n\r\n", "begin with an HTTP method"),
            (b"GET /a<b> HTTP/1.1\r\n\r\n", "contains `<`"),
            (b"GET /caf\xe9 HTTP/1.1\r\n\r\n", "bytes that are not UTF-8"),
            (
                b"GET /a\x07 HTTP/1.1\r\n\r\n",
                "the control character U+0007",
            ),
            (b"GET / HTTP/3.1\r\n\r\n", "HTTP/1.0 or HTTP/1.1"),
            (b"GET / HTTP/1.1\r\nno header\r\n\r\n", "has no name"),
            (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", "a control character"),
            (
                b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                "the Content-Length or",
            ),
            (b"GET / HTTP/1.1\r\nHost", "closed the connection"),
        ] {
            let reason = head_reason(head, 400, &limits);
            assert!(reason.contains(expected), "{expected}: {reason}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
        assert_eq!(
            head_reason(many.as_bytes(), 431, &limits),
            "the head has more than 100 headers"
        );
        assert_eq!(
            head_reason(&[b'x'; 70_000], 431, &limits),
            "the head is longer than 64 KiB"
        );
        assert_eq!(
            head_reason(b"GET", 408, &limits),
            "the head was not complete after 30s"
        );
    }
}
