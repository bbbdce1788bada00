//! The JSON that transfers captures, version 1: what the listener's API writes and [`super::Remote`] reads.
//!
//! Bytes are base64, so that head and body arrive exactly as they were captured. Readers ignore keys that they do not
//! know. A change that older readers would misunderstand needs a new version, below another path.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::capture::{
    Bin, Body, Capture, CaptureRecord, CapturedResponse, EventName, Head, Run, SignatureCheck,
    is_bin_name,
};
use crate::journal::{FollowCursor, StoredCapture};
use crate::signature::{InvalidKind, InvalidSignature};
use crate::time::{parse_list_time, rfc3339};

/// What `about` says in `name`.
pub const NAME: &str = "hookfire";

/// The version of the form in this module.
pub const API_VERSION: u32 = 1;

/// Head and body of a larger capture are not transferred together: its body is left out.
pub const MAX_CAPTURE_BYTES: usize = 32 * 1024 * 1024;

/// The response to `GET /_hookfire/api/about`.
#[derive(Debug, Serialize, Deserialize)]
pub struct About {
    pub name: String,
    /// The version of the listener's program.
    pub version: String,
    pub api_versions: Vec<u32>,
}

/// The response to `GET /_hookfire/api/v1/bins`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bins {
    pub bins: Vec<BinForm>,
    /// The id of the newest capture of all bins, 0 without captures.
    pub newest: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct BinForm {
    pub name: String,
    pub created_at: String,
    pub request_count: u64,
    pub last_capture_at: Option<String>,
    #[serde(default)]
    pub private: bool,
}

impl BinForm {
    pub fn new(bin: Bin) -> BinForm {
        BinForm {
            name: bin.name,
            created_at: rfc3339(bin.created_at),
            request_count: bin.request_count,
            last_capture_at: bin.last_capture_at.map(rfc3339),
            private: bin.private,
        }
    }

    /// The bin; the error names the value that is invalid.
    pub fn read(&self) -> Result<Bin, &'static str> {
        let last = self.last_capture_at.as_deref();
        let last = last.map(|at| parse_list_time(at).ok_or("last_capture_at"));
        Ok(Bin {
            name: self.name.clone(),
            created_at: parse_list_time(&self.created_at).ok_or("created_at")?,
            request_count: self.request_count,
            last_capture_at: last.transpose()?,
            private: self.private,
            response: None,
        })
    }
}

/// The response to `GET /_hookfire/api/v1/captures`.
#[derive(Debug, Serialize, Deserialize)]
pub struct CapturesForm {
    pub captures: Vec<CaptureForm>,
    /// Whether there may be more.
    pub more: bool,
    /// With the parameters `bin` and `after`: how many captures the reader has missed follows from it.
    pub position: Option<PositionForm>,
}

/// A [`FollowCursor`] as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct PositionForm {
    pub bin_created_at: String,
    pub seen: i64,
}

/// One capture; `GET /_hookfire/api/v1/captures/ID` adds the runs of commands for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct CaptureForm {
    pub id: i64,
    pub bin: String,
    pub received_at: String,
    pub remote_addr: SocketAddr,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub action: Option<String>,
    pub malformed: bool,
    pub secret_ok: Option<bool>,
    pub signature: Option<SignatureForm>,
    pub handshake: Option<String>,
    pub response: ResponseForm,
    pub pinned: bool,
    pub note: Option<String>,
    pub body_size: u64,
    /// Request line and headers as received, base64.
    pub head: String,
    /// Base64, transfer coding decoded; null if it was not asked for, or is too large.
    pub body: Option<String>,
    /// Base64, as received, if it differs from `body`.
    pub wire_body: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunForm>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SignatureForm {
    pub scheme: String,
    /// Why it is not valid; null if it is.
    pub reason: Option<String>,
    pub detail: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ResponseForm {
    pub status: Option<u16>,
    pub duration_ms: u64,
    pub note: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RunForm {
    pub number: u32,
    pub command: String,
    pub started_at: String,
    pub duration_ms: Option<u64>,
    pub exit_code: Option<i32>,
    pub error: Option<String>,
    pub stderr: String,
}

impl CaptureForm {
    /// Without `body`, the form has no body.
    pub fn new(record: &CaptureRecord, body: Option<&Body>) -> CaptureForm {
        let capture = &record.capture;
        let size = |body: &Body| body.bytes.len() + body.wire.as_ref().map_or(0, Vec::len);
        let body = body.filter(|body| capture.head.len() + size(body) <= MAX_CAPTURE_BYTES);
        let event = record.event.as_ref();
        CaptureForm {
            id: record.id,
            bin: record.bin.clone(),
            received_at: rfc3339(capture.received_at),
            remote_addr: capture.remote_addr,
            event_type: event.map(|event| event.event_type.clone()),
            action: event.map(|event| event.action.clone()),
            malformed: capture.malformed,
            secret_ok: capture.secret_ok,
            signature: capture.signature.as_ref().map(SignatureForm::from),
            handshake: capture.handshake.clone(),
            response: ResponseForm {
                status: capture.response.status,
                duration_ms: capture.response.duration_ms,
                note: capture.response.note.clone(),
            },
            pinned: record.pinned,
            note: record.note.clone(),
            body_size: record.body_size,
            head: STANDARD.encode(&*capture.head),
            body: body.map(|body| STANDARD.encode(&body.bytes)),
            wire_body: body.and_then(|body| Some(STANDARD.encode(body.wire.as_ref()?))),
            runs: Vec::new(),
        }
    }

    /// About how long its JSON is.
    pub fn json_bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        StoredCapture::OWN_BYTES
            + self.head.len()
            + length(&self.body)
            + length(&self.wire_body)
            + length(&self.note)
    }

    /// The capture, whose body is empty if the form has none. An error names the key that is not valid.
    pub fn read(&self) -> Result<StoredCapture, &'static str> {
        if self.id <= 0 {
            return Err("id");
        }
        if !is_bin_name(&self.bin) {
            return Err("bin");
        }
        let decode = |text: &str, key| STANDARD.decode(text).map_err(|_| key);
        let decode_optional =
            |text: &Option<String>, key| text.as_deref().map(|text| decode(text, key)).transpose();
        let event = match (&self.event_type, &self.action) {
            (Some(event_type), Some(action)) => Some(EventName {
                event_type: event_type.clone(),
                action: action.clone(),
            }),
            _ => None,
        };
        let signature = self.signature.as_ref().map(SignatureForm::read);
        let capture = Capture {
            received_at: parse_list_time(&self.received_at).ok_or("received_at")?,
            remote_addr: self.remote_addr,
            head: Head::read(decode(&self.head, "head")?),
            malformed: self.malformed,
            secret_ok: self.secret_ok,
            signature,
            handshake: self.handshake.clone(),
            response: CapturedResponse {
                status: self.response.status,
                duration_ms: self.response.duration_ms,
                note: self.response.note.clone(),
            },
        };
        let body = Body {
            bytes: decode_optional(&self.body, "body")?.unwrap_or_default(),
            wire: decode_optional(&self.wire_body, "wire_body")?,
        };
        if self.body.is_some() && body.bytes.len() as u64 != self.body_size {
            return Err("body_size");
        }
        let record = CaptureRecord {
            id: self.id,
            bin: self.bin.clone(),
            event,
            body_size: self.body_size,
            pinned: self.pinned,
            note: self.note.clone(),
            capture,
        };
        Ok(StoredCapture {
            record,
            body,
            bin_response: None,
        })
    }

    /// Whether the remote left out a body that was asked for.
    pub fn lacks_body(&self) -> bool {
        self.body.is_none() && self.body_size > 0
    }
}

impl From<&SignatureCheck> for SignatureForm {
    fn from(check: &SignatureCheck) -> SignatureForm {
        let invalid = check.invalid.as_ref();
        SignatureForm {
            scheme: check.scheme.clone(),
            reason: invalid.map(|fault| fault.kind.as_str().to_owned()),
            detail: invalid.map(|fault| fault.detail.clone()),
        }
    }
}

impl SignatureForm {
    fn read(&self) -> SignatureCheck {
        let invalid = self.reason.as_deref().map(|reason| {
            // A newer listener may know more reasons.
            let kind = InvalidKind::named(reason).unwrap_or(InvalidKind::Mismatch);
            InvalidSignature::new(kind, self.detail.clone().unwrap_or_default())
        });
        SignatureCheck {
            scheme: self.scheme.clone(),
            invalid,
        }
    }
}

impl From<&Run> for RunForm {
    fn from(run: &Run) -> RunForm {
        RunForm {
            number: run.number,
            command: run.command.clone(),
            started_at: rfc3339(run.started_at),
            duration_ms: run.duration_ms,
            exit_code: run.exit_code,
            error: run.error.clone(),
            stderr: run.stderr.clone(),
        }
    }
}

impl RunForm {
    pub fn read(&self) -> Result<Run, &'static str> {
        Ok(Run {
            number: self.number,
            command: self.command.clone(),
            started_at: parse_list_time(&self.started_at).ok_or("started_at")?,
            duration_ms: self.duration_ms,
            exit_code: self.exit_code,
            error: self.error.clone(),
            stderr: self.stderr.clone(),
        })
    }
}

impl PositionForm {
    pub fn new(position: &FollowCursor) -> PositionForm {
        PositionForm {
            bin_created_at: rfc3339(position.bin_created_at),
            seen: position.seen,
        }
    }

    pub fn read(&self, last_id: i64) -> Result<FollowCursor, &'static str> {
        Ok(FollowCursor {
            bin_created_at: parse_list_time(&self.bin_created_at).ok_or("bin_created_at")?,
            last_id,
            seen: self.seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMs;

    fn capture() -> StoredCapture {
        let head = b"POST /h\xe9?a=%00 HTTP/1.1\r\nX-A:  1\r\nx-a: caf\xe9\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut capture = Capture::new(
            UnixMs(1_763_632_800_345),
            SocketAddr::from(([127, 0, 0, 1], 53122)),
            head.to_vec(),
        );
        capture.malformed = false;
        capture.secret_ok = Some(false);
        capture.handshake = Some("slack".to_owned());
        capture.signature = Some(SignatureCheck {
            scheme: "github".to_owned(),
            invalid: Some(InvalidSignature::new(InvalidKind::Mismatch, "x")),
        });
        capture.response = CapturedResponse {
            status: Some(403),
            duration_ms: 7,
            note: Some("a\nb".to_owned()),
        };
        let body = Body {
            bytes: b"\x00\xff<".to_vec(),
            wire: Some(b"3\r\n\x00\xff<\r\n0\r\n\r\n".to_vec()),
        };
        let event = EventName {
            event_type: "account".to_owned(),
            action: "created".to_owned(),
        };
        let mut stored = StoredCapture::new(17, "inbox", Some(event), capture, body);
        stored.record.pinned = true;
        stored.record.note = Some("note".to_owned());
        stored
    }

    fn through_json(form: &CaptureForm) -> CaptureForm {
        serde_json::from_str(&serde_json::to_string(form).unwrap()).unwrap()
    }

    #[test]
    fn captures_are_transferred_without_a_change() {
        let stored = capture();
        let form = CaptureForm::new(&stored.record, Some(&stored.body));
        assert_eq!(through_json(&form).read(), Ok(stored));
    }

    #[test]
    fn bodies_may_be_left_out() {
        let stored = capture();
        let form = through_json(&CaptureForm::new(&stored.record, None));
        assert!(form.lacks_body());
        let read = form.read().unwrap();
        assert_eq!((read.record, read.body), (stored.record, Body::default()));
        let large = Body {
            bytes: vec![0; MAX_CAPTURE_BYTES],
            wire: None,
        };
        assert_eq!(CaptureForm::new(&capture().record, Some(&large)).body, None);
    }

    #[test]
    fn invalid_values_are_named() {
        let with = |change: fn(&mut CaptureForm)| {
            let stored = capture();
            let mut form = CaptureForm::new(&stored.record, Some(&stored.body));
            change(&mut form);
            form.read().unwrap_err()
        };
        assert_eq!(with(|form| form.id = 0), "id");
        assert_eq!(with(|form| form.bin = "a/../b".to_owned()), "bin");
        assert_eq!(with(|form| form.head = "é".to_owned()), "head");
        assert_eq!(with(|form| form.body_size = 4), "body_size");
        assert_eq!(
            with(|form| form.received_at = "now".to_owned()),
            "received_at"
        );
    }
}
