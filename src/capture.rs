//! One request as it was caught: the domain's record of what a stranger sent.
//!
//! Deliberately does not parse, decode or judge anything: not the body, not the query, not the secret. It knows
//! neither how the bytes were read nor where they will be stored.
//!
//! Invariant: nothing here is prettier than what arrived. Names keep their case, repeats stay repeats, bytes stay bytes.

use std::fmt;
use std::net::SocketAddr;

/// One request that reached the catcher, kept byte for byte, whether it was good HTTP or not.
#[derive(Clone, PartialEq, Eq)]
pub struct Capture {
    /// When the first byte of the request was read, in milliseconds since the Unix epoch.
    pub received_at_ms: i64,
    /// The other end of the connection.
    pub remote_addr: SocketAddr,
    /// The method as it came, such as `POST`. Empty when the bytes could not be read as HTTP that far.
    pub method: String,
    /// The raw request target as it came, such as `/hook?a=1`. Empty when the bytes could not be read that far.
    pub target: String,
    /// Header names in their own case and their values' bytes, in order, repeats kept. Empty when unreadable.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The raw bytes of the head, final blank line included. For a request refused before its head was accepted:
    /// all that was read of it, its body included.
    pub head: Vec<u8>,
    /// The body with its transfer coding undone. For a malformed request: what was read of it; if the transfer coding
    /// itself was broken, that is the bytes as they came, undecoded.
    pub body: Vec<u8>,
    /// Whether the request was not taken in whole: refused, broken off, too slow, or longer than the limits.
    pub malformed: bool,
    /// The status the request was to be answered with (a client may be gone before it arrives); `None` when
    /// deliberately or necessarily nothing was answered.
    pub answer_status: Option<u16>,
    /// Milliseconds from the first byte of the request until its answer was decided.
    pub duration_ms: u64,
}

impl Capture {
    /// The path in the target: `/hook` of `/hook?a=1`, also of `http://host/hook?a=1`. The forms without a path (`*`,
    /// and `CONNECT`'s `host:port`) are given back as they came.
    #[must_use]
    pub fn path(&self) -> &str {
        let before_query = self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path);
        if before_query.starts_with('/') {
            return before_query;
        }
        let Some((_, after_scheme)) = before_query.split_once("://") else {
            return before_query;
        };
        after_scheme.find('/').map_or("/", |slash| &after_scheme[slash..])
    }
}

/// Shapes and sizes only: query, headers and body may carry secrets, and a debug line is no place for them.
impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("received_at_ms", &self.received_at_ms)
            .field("remote_addr", &self.remote_addr)
            .field("method", &self.method)
            .field("path", &self.path())
            .field("headers", &self.headers.len())
            .field("head_bytes", &self.head.len())
            .field("body_bytes", &self.body.len())
            .field("malformed", &self.malformed)
            .field("answer_status", &self.answer_status)
            .field("duration_ms", &self.duration_ms)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_target(target: &str) -> Capture {
        Capture {
            received_at_ms: 0,
            remote_addr: SocketAddr::from(([127, 0, 0, 1], 1)),
            method: "GET".into(),
            target: target.into(),
            headers: vec![("Authorization".into(), b"canary".to_vec())],
            head: b"canary".to_vec(),
            body: b"canary".to_vec(),
            malformed: false,
            answer_status: Some(200),
            duration_ms: 0,
        }
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
            let capture = with_target(target);
            assert_eq!(capture.path(), path, "{target}");
        }
    }

    #[test]
    fn debug_shows_neither_query_nor_bytes() {
        let shown = format!("{:?}", with_target("/hook?token=canary"));
        assert!(shown.contains("/hook") && !shown.contains("canary"), "{shown}");
    }
}
