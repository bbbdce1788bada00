//! RequestBin's JSON, for its existing clients.
//!
//! Nothing is masked: these clients read what a receiver was sent. RequestBin's format has no place for repeated names or the
//! case of header names; hookfire's own formats keep both.

use serde_json::{Map, Value, json};

use super::capture_json::BodyView;
use crate::capture::{Bin, Body, CaptureRecord, header_text};
use crate::secret::safe_url::decoded_pairs;

const FORM: &str = "application/x-www-form-urlencoded";

pub fn bin_view(bin: &Bin) -> Value {
    json!({
        "name": bin.name,
        "private": bin.private,
        "color": color(&bin.name),
        "request_count": bin.request_count,
    })
}

/// A colour derived from the name. RequestBin chose one at random and stored it.
fn color(name: &str) -> [u8; 3] {
    let mixed = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let [_, red, green, blue] = mixed.to_be_bytes();
    [red, green, blue]
}

pub fn request_view(record: &CaptureRecord, body: &Body) -> Value {
    let capture = &record.capture;
    let content_type = capture.header("content-type").map(header_text);
    let content_type = content_type.unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    let form_data = match media_type.trim().eq_ignore_ascii_case(FORM) {
        true => decoded_pairs(&String::from_utf8_lossy(&body.bytes)),
        false => Vec::new(),
    };
    let headers = capture.head.headers().into_iter();
    let headers = headers.map(|(name, value)| (title_case(name), header_text(value)));
    let shown = BodyView::new(&body.bytes);
    let mut view = json!({
        "id": record.id.to_string(),
        "time": capture.received_at.0 as f64 / 1000.0,
        "remote_addr": capture.remote_addr.ip().to_string(),
        "method": capture.method(),
        "path": capture.path(),
        "headers": last_of_each(headers),
        "query_string": last_of_each(decoded_pairs(capture.query().unwrap_or_default())),
        "form_data": form_data,
        "body": shown.text(),
        "content_type": content_type,
        "content_length": record.body_size,
    });
    if shown.encoding() == "base64" {
        view["body_encoding"] = json!("base64");
    }
    view
}

fn last_of_each(pairs: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
    pairs
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect()
}

/// A header name in the case of `Content-Type`: RequestBin's clients expect that.
fn title_case(name: &str) -> String {
    let mut starts_word = true;
    let change = |c: char| {
        let changed = if starts_word {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        };
        starts_word = c == '-';
        changed
    };
    name.chars().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Capture;
    use crate::time::UnixMs;

    fn request(head: &str, body: &[u8]) -> Value {
        let from = std::net::SocketAddr::from(([127, 0, 0, 1], 53122));
        let capture = Capture::new(
            UnixMs(1_424_180_647_269),
            from,
            head.replace('\n', "\r\n").into_bytes(),
        );
        let record = CaptureRecord {
            id: 17,
            bin: "1al2j5g1".into(),
            event: None,
            body_size: body.len() as u64,
            pinned: false,
            note: None,
            capture,
        };
        let body = Body {
            bytes: body.to_vec(),
            wire: None,
        };
        request_view(&record, &body)
    }

    #[test]
    fn a_request_has_requestbins_shape() {
        let head = "POST /1al2j5g1?token=a%20b&x=1&x=2&word HTTP/1.1\nHost: h\nCONTENT-type: application/xml\nx-a: 1\n\
                    X-A: 2\n\n";
        let expected = json!({
            "id": "17", "time": 1_424_180_647.269, "remote_addr": "127.0.0.1", "method": "POST", "path": "/1al2j5g1",
            "headers": {"Host": "h", "Content-Type": "application/xml", "X-A": "2"},
            "query_string": {"token": "a b", "x": "2", "word": ""}, "form_data": [], "body": "<a/>",
            "content_type": "application/xml", "content_length": 4,
        });
        assert_eq!(request(head, b"<a/>"), expected);
    }

    #[test]
    fn a_form_is_parsed_and_kept_as_body() {
        let head =
            "POST / HTTP/1.1\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\n\n";
        let form = request(head, b"a=1&params%5Bxml%5D=%3Cx%3E+y&a=2");
        assert_eq!(
            form["form_data"],
            json!([["a", "1"], ["params[xml]", "<x> y"], ["a", "2"]])
        );
        assert_eq!(form["body"], "a=1&params%5Bxml%5D=%3Cx%3E+y&a=2");
    }

    #[test]
    fn a_body_that_is_not_utf_8_is_base64() {
        let gzip = request("POST / HTTP/1.1\nX: caf\u{e9}\n\n", b"\x1f\x8b\x08\x00");
        assert_eq!(
            (&gzip["body"], &gzip["body_encoding"]),
            (&json!("H4sIAA=="), &json!("base64"))
        );
    }

    #[test]
    fn the_colour_of_a_bin_is_stable() {
        let bin = |name: &str| Bin {
            name: name.into(),
            private: true,
            created_at: UnixMs(0),
            request_count: 2,
            last_capture_at: None,
            response: None,
        };
        let view = |name: &str| bin_view(&bin(name));
        assert_eq!(view("a"), view("a"));
        assert_ne!(view("a")["color"], view("b")["color"]);
        assert_eq!(view("a")["request_count"], 2);
    }
}
