//! What an answer says: its text for a status, and the same answer written by hand where hyper writes none.
//!
//! Deliberately has no say in which status is answered: that is the script's, or a fault's.
//!
//! Invariant: every answer is one frame of a known length. The recording counts on it to know where an answer ends.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

const TEXT_PLAIN: &str = "text/plain";

/// The answer with `status`; with `close`, the connection ends after it.
pub(super) fn response(status: u16, close: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text(status))));
    // Scripts and faults only know statuses from 200 to 599, which are all valid.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_PLAIN));
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The bytes of the answer to what hyper refused; the connection ends after it.
pub(super) fn refusal(status: u16) -> Vec<u8> {
    let (reason, text) = (reason(status), text(status));
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {TEXT_PLAIN}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

/// `ok` for what went well, else the reason phrase; with a line end, for those who read it in a terminal.
fn text(status: u16) -> String {
    match status {
        // These cannot have a body.
        204 | 205 | 304 => String::new(),
        200..=299 => "ok\n".to_owned(),
        _ => format!("{}\n", reason(status)),
    }
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("No Reason Phrase")
}
