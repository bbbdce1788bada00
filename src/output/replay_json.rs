//! The JSON view of a replayed capture: the request as sent, and the response.

use serde_json::{Value, json};

use super::capture_json::BodyView;
use crate::capture::{header_text, is_hidden};
use crate::http::replay::Prepared;
use crate::http::{Completed, MAX_STORED_BODY};
use crate::secret::MASK;
use crate::time::duration_ms;

/// Secrets of the capture and of the destination are masked in the response.
pub fn view(id: i64, prepared: &Prepared, completed: &Completed) -> Value {
    let request = &prepared.request;
    let mut view = json!({
        "id": id, "method": request.method, "url": prepared.shown_url,
        "http_status": null, "duration_ms": duration_ms(completed.duration),
        "error": null, "maybe_received": false, "response_headers": null, "response_body": null,
        "response_body_encoding": null, "response_body_size": null, "note": null,
    });
    match &completed.result {
        Err(error) => {
            view["error"] = json!({ "kind": error.kind.as_str(), "message": error.message });
            view["maybe_received"] = error.maybe_received.into();
        }
        Ok(response) => {
            let mut headers = Vec::new();
            for (name, value) in &response.headers {
                let shown = match is_hidden(name, value) {
                    true => MASK.to_owned(),
                    false => request.redactor.redact(&header_text(value)),
                };
                headers.push((name, shown));
            }
            let body = request.redactor.redact_bytes(&response.body);
            let body = stored_part(&body);
            let cut = response.cut.as_ref();
            view["http_status"] = response.status.into();
            view["response_headers"] = json!(headers);
            view["response_body"] = body.text().into();
            view["response_body_encoding"] = body.encoding().into();
            view["response_body_size"] = response.body.len().into();
            view["note"] = cut.map(|cut| format!("the response body {cut}")).into();
        }
    }
    view
}

/// The beginning of a body, not cut inside a character.
fn stored_part(body: &[u8]) -> BodyView<'_> {
    let part = &body[..body.len().min(MAX_STORED_BODY)];
    match std::str::from_utf8(part) {
        Err(e) if e.error_len().is_none() && part.len() < body.len() => {
            BodyView::new(&part[..e.valid_up_to()])
        }
        _ => BodyView::new(part),
    }
}
