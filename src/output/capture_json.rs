//! The JSON view of a capture: what `listen` streams, and `captured list` and `show` print.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::capture::{Body, CaptureRecord, Mask};
use crate::time::rfc3339;

/// A capture as every command prints it; lists leave the body out.
#[derive(Debug, Serialize)]
pub struct CaptureView<'a> {
    event: &'static str,
    id: i64,
    bin: String,
    received_at: String,
    remote_addr: String,
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    #[serde(flatten)]
    body: Option<BodyView<'a>>,
    body_size: u64,
    r#type: Option<String>,
    action: Option<String>,
    secret_ok: Option<bool>,
    malformed: bool,
    response: ResponseView,
}

/// Bytes as JSON carries them: text where they are, else base64.
#[derive(Debug, Serialize)]
pub struct BodyView<'a> {
    body: Cow<'a, str>,
    body_encoding: &'static str,
}

#[derive(Debug, Serialize)]
struct ResponseView {
    status: Option<u16>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl<'a> CaptureView<'a> {
    pub fn new(record: &CaptureRecord, mask: &Mask) -> CaptureView<'a> {
        let capture = &record.capture;
        CaptureView {
            event: "capture",
            id: record.id,
            bin: record.bin.clone(),
            received_at: rfc3339(capture.received_at),
            remote_addr: capture.remote_addr.to_string(),
            method: capture.method().to_owned(),
            path: capture.path().to_owned(),
            query: mask.query(capture),
            headers: mask.headers(capture),
            body: None,
            body_size: record.body_size,
            r#type: record.event.as_ref().map(|event| event.event_type.clone()),
            action: record.event.as_ref().map(|event| event.action.clone()),
            secret_ok: capture.secret_ok,
            malformed: capture.malformed,
            response: ResponseView {
                status: capture.response.status,
                duration_ms: capture.response.duration_ms,
                note: capture.response.note.clone(),
            },
        }
    }

    #[must_use]
    pub fn with_body(mut self, body: &'a Body) -> CaptureView<'a> {
        self.body = Some(BodyView::new(&body.bytes));
        self
    }
}

impl<'a> BodyView<'a> {
    /// The view of these bytes.
    pub fn new(bytes: &'a [u8]) -> BodyView<'a> {
        match std::str::from_utf8(bytes) {
            Ok(text) => BodyView {
                body: Cow::Borrowed(text),
                body_encoding: "utf8",
            },
            Err(_) => BodyView {
                body: Cow::Owned(STANDARD.encode(bytes)),
                body_encoding: "base64",
            },
        }
    }

    /// Text, or base64.
    pub fn text(&self) -> &str {
        &self.body
    }

    /// `utf8` or `base64`: what the text is.
    pub fn encoding(&self) -> &'static str {
        self.body_encoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Capture, CapturedResponse, EventName};
    use crate::output::json::compact;
    use crate::time::UnixMs;

    fn record() -> CaptureRecord {
        let head = b"POST /hook?token=%73&x HTTP/1.1\r\nContent-Type: application/xml\r\nCookie: a\r\n\r\n".to_vec();
        let mut capture = Capture::new(
            UnixMs(1_763_632_800_345),
            ([127, 0, 0, 1], 53122).into(),
            head,
        );
        capture.malformed = false;
        capture.response = CapturedResponse {
            status: Some(200),
            duration_ms: 1,
            note: None,
        };
        let event = Some(EventName {
            event_type: "application".to_owned(),
            action: "created".to_owned(),
        });
        CaptureRecord {
            id: 17,
            bin: "inbox".to_owned(),
            event,
            body_size: 8,
            capture,
        }
    }

    #[test]
    fn the_view_is_that_of_the_contract() {
        let mask = Mask {
            names: ["token".to_owned()].into(),
            ..Mask::default()
        };
        let body = Body {
            bytes: b"<event/>".to_vec(),
            wire: None,
        };
        let before =
            r#"{"event":"capture","id":17,"bin":"inbox","received_at":"2025-11-20T10:00:00.345Z","#
                .to_owned()
                + r#""remote_addr":"127.0.0.1:53122","method":"POST","path":"/hook","query":[["token","***"],["x",""]],"#
                + r#""headers":[["Content-Type","application/xml"],["Cookie","***"]],"#;
        let after = r#""body_size":8,"type":"application","action":"created","secret_ok":null,"malformed":false,"#
            .to_owned()
            + r#""response":{"status":200,"duration_ms":1}}"#;
        let view = CaptureView::new(&record(), &mask);
        assert_eq!(compact(&view), format!("{before}{after}"));
        let body_keys = r#""body":"<event/>","body_encoding":"utf8","#;
        assert_eq!(
            compact(&view.with_body(&body)),
            format!("{before}{body_keys}{after}")
        );
    }

    #[test]
    fn a_body_that_is_no_text_is_base64() {
        let view = BodyView::new(b"\xff\x00");
        assert_eq!((view.text(), view.encoding()), ("/wA=", "base64"));
    }
}
