//! Requests as they were caught: the domain's record of what a stranger sent.
//!
//! Deliberately judges nothing: not the body, not the query, not the secret. It knows neither how the bytes were read nor
//! where they will be stored.
//!
//! Invariant: nothing here is prettier than what arrived. Names keep their case, repeats stay repeats, bytes stay bytes.

pub mod diff;
mod head;
mod mask;

use std::fmt;
use std::net::SocketAddr;

use crate::time::UnixMs;

pub use head::{Head, MOST_HEADERS, USUAL_HEADERS};
pub use mask::{Mask, credentials, header_text, is_hidden};

/// The bin of requests whose path names no other.
pub const INBOX: &str = "inbox";

/// Whether a bin may be called that: it must be a segment of a path as it is written there.
pub fn is_bin_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// One request that reached the catcher, whether it was good HTTP or not: everything but its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Capture {
    /// When the first byte of the request was read.
    pub received_at: UnixMs,
    /// The other end of the connection.
    pub remote_addr: SocketAddr,
    /// The raw bytes of the head, final blank line included. For a request refused before its head was accepted: all that
    /// was read of it, its body included.
    pub head: Head,
    /// Whether the request was not taken in whole: refused, broken off, too slow, or longer than the limits.
    pub malformed: bool,
    /// Whether it carried the secret that the catcher asks for; none if it asks for none.
    pub secret_ok: Option<bool>,
    /// What it was answered.
    pub answer: CapturedResponse,
}

/// What a request was answered, or is to be (a client may be gone before it arrives).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedResponse {
    /// None when deliberately or necessarily nothing was answered.
    pub status: Option<u16>,
    /// Milliseconds from the first byte of the request until its answer leaves.
    pub duration_ms: u64,
    /// Where the answer comes from, if not from the catcher itself: the upstream that the request was forwarded to, or why
    /// that failed. Why there was none. Of a malformed request: what was wrong with it.
    pub note: Option<String>,
}

/// A request's body.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The body with its transfer coding undone. For a malformed request: what was read of it; if the transfer coding
    /// itself was broken, that is the bytes as they came, undecoded.
    pub bytes: Vec<u8>,
    /// The bytes as they came on the wire, chunk sizes and trailers included, where they differ from `bytes`.
    pub wire: Option<Vec<u8>>,
}

impl Body {
    /// The bytes exactly as they were sent.
    pub fn as_sent(&self) -> &[u8] {
        self.wire.as_deref().unwrap_or(&self.bytes)
    }
}

impl Capture {
    /// A capture of these bytes, so far malformed and unanswered.
    pub fn new(received_at: UnixMs, remote_addr: SocketAddr, head: Vec<u8>) -> Capture {
        let (head, answer) = (Head::read(head), CapturedResponse::default());
        Capture {
            received_at,
            remote_addr,
            head,
            malformed: true,
            secret_ok: None,
            answer,
        }
    }

    /// The method as it came; empty when unreadable.
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// The path in the target: `/hook` of `/hook?a=1`, also of `http://host/hook?a=1`. The forms without a path (`*`,
    /// and `CONNECT`'s `host:port`) are given back as they came.
    pub fn path(&self) -> &str {
        path_of(self.head.target())
    }

    /// The raw query in the target, without its question mark; none if it has none.
    pub fn query(&self) -> Option<&str> {
        self.head.target().split_once('?').map(|(_, query)| query)
    }

    /// The value of the last header of that name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let named = self
            .head
            .headers()
            .into_iter()
            .rev()
            .find(|(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }
}

fn path_of(target: &str) -> &str {
    let before_query = target.split_once('?').map_or(target, |(path, _)| path);
    if before_query.starts_with('/') {
        return before_query;
    }
    let Some((_, after_scheme)) = before_query.split_once("://") else {
        return before_query;
    };
    after_scheme
        .find('/')
        .map_or("/", |slash| &after_scheme[slash..])
}

/// A capture as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// What people type: `17`.
    pub id: i64,
    /// The bin it is in.
    pub bin: String,
    /// The type and action, if its body begins as an event does.
    pub event: Option<EventName>,
    /// Bytes of its body, transfer coding undone.
    pub body_size: u64,
    /// The rest.
    pub capture: Capture,
}

/// What a body that is an event says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName {
    /// Such as `application`.
    pub event_type: String,
    /// Such as `created`.
    pub action: String,
}

/// A place for captures, named by the first segment of a request's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bin {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// What its maker said; nothing follows from it on a loopback address.
    pub private: bool,
    /// When it was made.
    pub created_at: UnixMs,
    /// How many captures are in it.
    pub request_count: u64,
}

/// Shapes and sizes only: query, headers and body may carry secrets, and a debug line is no place for them.
impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("received_at", &self.received_at)
            .field("remote_addr", &self.remote_addr)
            .field("method", &self.method())
            .field("path", &self.path())
            .field("headers", &self.head.headers().len())
            .field("head_bytes", &self.head.len())
            .field("malformed", &self.malformed)
            .field("answer", &self.answer)
            .finish()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_target(target: &str) -> Capture {
        let head = format!("GET {target} HTTP/1.1\r\nAuthorization: canary\r\n\r\n").into_bytes();
        Capture::new(UnixMs(0), SocketAddr::from(([127, 0, 0, 1], 1)), head)
    }

    #[test]
    fn path_of_every_form_of_target() {
        for (target, path) in [
            ("/", "/"),
            ("/hook?a=1&b=?", "/hook"),
            ("/hook?", "/hook"),
            ("/go?to=http://x/y", "/go"),
            ("/a://b/c", "/a://b/c"),
            ("http://host:1/a/b?c", "/a/b"),
            ("http://host?c", "/"),
            ("http://host", "/"),
            ("*", "*"),
            ("host:443", "host:443"),
            ("", ""),
        ] {
            assert_eq!(path_of(target), path, "{target}");
        }
    }

    #[test]
    fn query_and_headers_are_found() {
        let capture = with_target("/hook?a=1&b=?");
        assert_eq!(capture.query(), Some("a=1&b=?"));
        assert_eq!(capture.header("AUTHORIZATION"), Some(&b"canary"[..]));
        assert_eq!(with_target("/hook").query(), None);
    }

    #[test]
    fn debug_shows_neither_query_nor_bytes() {
        let shown = format!(
            "{:?} {:?}",
            with_target("/hook?token=canary"),
            Body {
                bytes: b"canary".into(),
                wire: None
            }
        );
        assert!(
            shown.contains("/hook") && !shown.contains("canary"),
            "{shown}"
        );
    }
}
