//! The JSON view of a capture: what `listen` streams, and `captured list` and `show` print.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::capture::Run;
use crate::capture::{Body, Capture, CaptureRecord, Mask, SignatureCheck, header_text, multipart};
use crate::time::rfc3339;

/// A capture as every command prints it; lists leave the body out.
pub fn capture_view(record: &CaptureRecord, mask: &Mask, body: Option<&Body>) -> Value {
    let capture = &record.capture;
    let mut view = json!({
        "event": "capture",
        "id": record.id,
        "bin": record.bin,
        "received_at": rfc3339(capture.received_at),
        "remote_addr": capture.remote_addr.to_string(),
        "method": capture.method(),
        "path": capture.path(),
        "query": mask.query(capture),
        "headers": mask.headers(capture),
    });
    if let Some(body) = body {
        let parts = parts_view(capture, body);
        let body = BodyView::new(&body.bytes);
        view["body"] = body.text().into();
        view["body_encoding"] = body.encoding().into();
        if let Some(parts) = parts {
            view["parts"] = parts;
        }
    }
    let response = &capture.response;
    view["body_size"] = record.body_size.into();
    view["type"] = json!(record.event.as_ref().map(|event| &event.event_type));
    view["action"] = json!(record.event.as_ref().map(|event| &event.action));
    view["secret_ok"] = json!(capture.secret_ok);
    view["signature"] = json!(capture.signature.as_ref().map(signature_view));
    view["handshake"] = json!(capture.handshake);
    view["malformed"] = capture.malformed.into();
    if record.pinned {
        view["pinned"] = true.into();
    }
    if let Some(note) = &record.note {
        view["note"] = note.as_str().into();
    }
    view["response"] = json!({ "status": response.status, "duration_ms": response.duration_ms });
    if let Some(note) = &response.note {
        view["response"]["note"] = note.as_str().into();
    }
    view
}

pub fn run_view(run: &Run) -> Value {
    json!({
        "number": run.number,
        "command": run.command,
        "started_at": rfc3339(run.started_at),
        "duration_ms": run.duration_ms,
        "exit_code": run.exit_code,
        "error": run.error,
        "stderr": run.stderr,
    })
}

/// As [`capture_view`], with the runs of commands and the views of the deliveries that forward it.
pub fn whole_capture_view(
    record: &CaptureRecord,
    mask: &Mask,
    body: &Body,
    runs: &[Run],
    forwards: Vec<Value>,
) -> Value {
    let mut view = capture_view(record, mask, Some(body));
    if !runs.is_empty() {
        view["runs"] = runs.iter().map(run_view).collect();
    }
    if !forwards.is_empty() {
        view["forwards"] = forwards.into();
    }
    view
}

/// The parts of a multipart body; none for other bodies.
fn parts_view(capture: &Capture, body: &Body) -> Option<Value> {
    let content_type = header_text(capture.header("content-type")?);
    let parts = multipart::parts(&content_type, &capture.content(body))?;
    let parts = parts.iter().map(|part| {
        json!({
            "name": part.name,
            "file_name": part.file_name,
            "content_type": part.content_type,
            "size": part.size,
        })
    });
    Some(parts.collect())
}

fn signature_view(check: &SignatureCheck) -> Value {
    match &check.invalid {
        None => json!({ "verified": true, "scheme": check.scheme }),
        Some(fault) => json!({
            "verified": false,
            "scheme": check.scheme,
            "reason": fault.kind.as_str(),
            "detail": fault.detail,
            "hint": fault.kind.hint(),
        }),
    }
}

/// Bytes as JSON carries them: text where they are, else base64.
#[derive(Debug)]
pub struct BodyView<'a> {
    body: Cow<'a, str>,
    body_encoding: &'static str,
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

    /// The body as JSON shows it: text if it is UTF-8, otherwise base64.
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
            pinned: false,
            note: None,
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
        let after = r#""body_size":8,"type":"application","action":"created","secret_ok":null,"signature":null,"handshake":null,"malformed":false,"#
            .to_owned()
            + r#""response":{"status":200,"duration_ms":1}}"#;
        let view = |body| compact(&capture_view(&record(), &mask, body));
        assert_eq!(view(None), format!("{before}{after}"));
        let body_keys = r#""body":"<event/>","body_encoding":"utf8","#;
        assert_eq!(view(Some(&body)), format!("{before}{body_keys}{after}"));
    }

    #[test]
    fn a_body_that_is_no_text_is_base64() {
        let view = BodyView::new(b"\xff\x00");
        assert_eq!((view.text(), view.encoding()), ("/wA=", "base64"));
    }
}
