//! Captured requests: the model, masking, matching and diff.
//!
//! [`Capture`] records a request exactly as it was received: names keep their case, repeats stay repeats, bytes stay bytes.
//! [`Mask`] hides secrets where a capture is shown, [`expect`] matches captures against conditions, [`diff`] compares
//! bodies.

mod decode;
pub mod diff;
pub mod expect;
pub mod export;
mod head;

mod mask;
pub mod multipart;
mod signature;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::signature::InvalidSignature;
use crate::time::{UnixMs, measured};

pub use head::{DEFAULT_MAX_HEADERS, Head, MAX_HEADERS};
pub use mask::{Mask, credentials, header_text, is_hidden};
pub use signature::SignatureCheck;

/// The header with the number of listeners that have forwarded a request. Each adds one, so that listeners that forward to
/// each other stop.
pub const HOPS_HEADER: &str = "Hookfire-Hops";

/// The bin of requests whose path names no other bin.
pub const INBOX: &str = "inbox";

/// About one connection (RFC 9110, 7.6.1), or set by every client. Proxies act on `Expect` too.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is about one connection, and new for each.
pub fn is_hop_by_hop(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HOP_BY_HOP.contains(&name.as_str()) || name.starts_with("proxy-")
}

/// Bin names are path segments that need no escaping.
pub fn is_bin_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A request that reached the listener, valid HTTP or not, without its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Capture {
    /// When the first byte of the request was read.
    pub received_at: UnixMs,
    pub remote_addr: SocketAddr,
    /// The raw bytes of the head, final blank line included. For a request that was refused before its head was accepted:
    /// all bytes that were read.
    pub head: Head,
    /// Whether the request is invalid or incomplete: refused, truncated, too slow, or longer than the limits.
    pub malformed: bool,
    /// Whether it had the secret that the listener requires; none if it requires none.
    pub secret_ok: Option<bool>,
    /// The result of verifying its signature; none if the listener verifies none.
    pub signature: Option<SignatureCheck>,
    /// The sender's handshake that the listener answered, such as `slack`, or `cors` for a preflight.
    pub handshake: Option<String>,
    pub response: CapturedResponse,
}

/// The response to a captured request, whether or not the client was still there to receive it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedResponse {
    /// None if no response was sent.
    pub status: Option<u16>,
    /// From the first byte of the request until the response is sent.
    pub duration_ms: u64,
    /// The upstream that sent the response to a forwarded request, the reason for a missing response, or the
    /// fault of a malformed request.
    pub note: Option<String>,
}

/// The note while an upstream or a command is to respond.
const PENDING: &str = "no response yet";

impl CapturedResponse {
    /// Of a request that is being forwarded. It stays so if the listener is killed meanwhile.
    pub fn pending() -> CapturedResponse {
        CapturedResponse {
            note: Some(PENDING.to_owned()),
            ..CapturedResponse::default()
        }
    }

    pub fn is_pending(&self) -> bool {
        *self == CapturedResponse::pending()
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The body with its transfer coding decoded. For a malformed request, the bytes that were read, undecoded if the
    /// transfer coding itself is malformed.
    pub bytes: Vec<u8>,
    /// The bytes as received, chunk sizes and trailers included, if they differ from `bytes`.
    pub wire: Option<Vec<u8>>,
}

impl Body {
    /// The bytes exactly as they were sent.
    pub fn as_sent(&self) -> &[u8] {
        self.wire.as_deref().unwrap_or(&self.bytes)
    }
}

impl Capture {
    /// A capture of these bytes, malformed and without a response until told otherwise.
    pub fn new(received_at: UnixMs, remote_addr: SocketAddr, head: Vec<u8>) -> Capture {
        let (head, response) = (Head::read(head), CapturedResponse::default());
        Capture {
            received_at,
            remote_addr,
            head,
            malformed: true,
            secret_ok: None,
            signature: None,
            handshake: None,
            response,
        }
    }

    /// Whether it is complete, and neither refused nor a handshake.
    pub fn is_accepted(&self) -> bool {
        !self.malformed
            && self.handshake.is_none()
            && self.secret_ok != Some(false)
            && self.invalid_signature().is_none()
    }

    /// Whether the target contains a `#`. No URL can have such a target: what follows would not be sent.
    pub fn has_fragment(&self) -> bool {
        self.path().contains('#') || self.query().is_some_and(|query| query.contains('#'))
    }

    /// How many listeners have forwarded the request; 0 if [`HOPS_HEADER`] is missing or invalid.
    pub fn hops(&self) -> u32 {
        let value = self.header(HOPS_HEADER);
        let text = value.and_then(|value| std::str::from_utf8(value).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// As received; empty if unreadable.
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// `/hook` for `/hook?a=1` and for `http://host/hook?a=1`. Targets without a path (`*`, and `CONNECT`'s `host:port`)
    /// are returned without a change.
    pub fn path(&self) -> &str {
        path_of(self.head.target())
    }

    /// `HTTP/1.1`, as the request line ends.
    pub fn version(&self) -> String {
        let line = self
            .head
            .split(|byte| *byte == b'\n')
            .find(|line| !line.iter().all(u8::is_ascii_whitespace));
        let last = line.and_then(|line| line.trim_ascii_end().rsplit(|byte| *byte == b' ').next());
        last.map(header_text).unwrap_or_default()
    }

    /// The raw query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.head.target().split_once('?').map(|(_, query)| query)
    }

    /// The value of the last header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut last_first = self.head.headers().into_iter().rev();
        let (_, value) = last_first.find(|(given, _)| given.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// A body of this request without its `Content-Encoding`. The error is a message.
    pub fn decoded<'a>(&self, body: &'a Body) -> Result<Cow<'a, [u8]>, String> {
        let coding = self.header("content-encoding").unwrap_or_default();
        decode::decoded(&header_text(coding), &body.bytes)
    }

    /// As [`Capture::decoded`]; as received if it cannot be decoded.
    pub fn content<'a>(&self, body: &'a Body) -> Cow<'a, [u8]> {
        self.decoded(body).unwrap_or(Cow::Borrowed(&body.bytes))
    }

    /// Why its signature is not valid, if the listener verified it.
    pub fn invalid_signature(&self) -> Option<&InvalidSignature> {
        self.signature.as_ref()?.invalid.as_ref()
    }

    /// The headers that are meant for the final receiver.
    pub fn end_to_end_headers(&self) -> Vec<(&str, &[u8])> {
        end_to_end(self.head.headers())
    }
}

/// The headers without those about one connection, which `Connection` may list.
pub fn end_to_end<'a>(mut headers: Vec<(&'a str, &'a [u8])>) -> Vec<(&'a str, &'a [u8])> {
    let lists = headers.iter();
    let lists = lists.filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let lists: Vec<String> = lists.map(|(_, value)| header_text(value)).collect();
    headers.retain(|(name, _)| {
        let mut listed = lists.iter().flat_map(|list| list.split(','));
        !is_hop_by_hop(name) && !listed.any(|one| one.trim().eq_ignore_ascii_case(name))
    });
    headers
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

/// A capture as the journal lists it: without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureRecord {
    pub id: i64,
    pub bin: String,
    /// If the body begins like an event.
    pub event: Option<EventName>,
    /// Size of the body as stored, in bytes: without chunk framing, and before `Content-Encoding` is decoded.
    pub body_size: u64,
    /// Whether it stays although the bin has more captures than its limit.
    pub pinned: bool,
    /// What the user wrote about it.
    pub note: Option<String>,
    pub capture: Capture,
}

/// One run of a command for a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Counted from 1 for each capture.
    pub number: u32,
    /// The program, without its arguments.
    pub command: String,
    pub started_at: UnixMs,
    /// None while it runs, and if hookfire was killed meanwhile.
    pub duration_ms: Option<u64>,
    /// As in a shell: 128 plus the number of a signal.
    pub exit_code: Option<i32>,
    /// Why it was not started, or was ended.
    pub error: Option<String>,
    /// The end of standard error, without secrets.
    pub stderr: String,
}

impl Run {
    pub fn succeeded(&self) -> bool {
        self.error.is_none() && self.exit_code == Some(0)
    }

    /// `exit code 1 (12 ms)`
    pub fn outcome(&self) -> String {
        let took = self.duration_ms.map(Duration::from_millis).map(measured);
        let took = took.map_or(String::new(), |took| format!(" ({took})"));
        match (&self.error, self.exit_code) {
            (Some(error), _) => format!("{error}{took}"),
            (None, Some(code)) => format!("exit code {code}{took}"),
            (None, None) => "not ended: it is running, or hookfire was killed".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName {
    pub event_type: String,
    pub action: String,
}

/// A named group of captures; the first segment of a request's path selects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bin {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// As requested by its creator; without effect on a loopback address.
    pub private: bool,
    pub created_at: UnixMs,
    pub request_count: u64,
    /// When the newest of its captures was received.
    pub last_capture_at: Option<UnixMs>,
    /// None for the response that the listener's options choose.
    pub response: Option<BinResponse>,
}

/// The response to requests that are captured in a bin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinResponse {
    /// The status of the response, from 200 to 599.
    pub status: u16,
    /// Headers in order. A `Content-Type` among them replaces the default, `text/plain`.
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub delay_ms: u64,
}

/// Sizes only: query, headers and body may contain secrets.
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
            .field("response", &self.response)
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
