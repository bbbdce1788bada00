//! The variables that tell a command about a captured request.
//!
//! The values come from outside and are data only: programs must not evaluate them.

use serde_json::{Value, json};

use crate::capture::{Mask, header_text};
use crate::journal::StoredCapture;

/// Linux limits one variable to 128 KiB.
const MAX_VALUE_BYTES: usize = 32 * 1024;

/// Ends a value that was cut.
const CUT: &str = "…(cut)";

pub fn variables(capture: &StoredCapture) -> Vec<(&'static str, String)> {
    let record = &capture.record;
    let request = &record.capture;
    let event = record.event.as_ref();
    let content_type = request.header("content-type").map(header_text);
    let headers = request.head.headers().into_iter();
    let headers = headers.map(|(name, value)| json!([name, header_text(value)]));
    let query = Mask::revealing().query(request).into_iter();
    let query = query.map(|(name, value)| json!([name, value]));
    let text = |text: Option<&str>| cut(text.unwrap_or_default());
    vec![
        ("HOOKFIRE_CAPTURE_ID", record.id.to_string()),
        ("HOOKFIRE_CAPTURE_BIN", text(Some(&record.bin))),
        ("HOOKFIRE_CAPTURE_METHOD", text(Some(request.method()))),
        ("HOOKFIRE_CAPTURE_PATH", text(Some(request.path()))),
        (
            "HOOKFIRE_CAPTURE_TYPE",
            text(event.map(|event| event.event_type.as_str())),
        ),
        (
            "HOOKFIRE_CAPTURE_ACTION",
            text(event.map(|event| event.action.as_str())),
        ),
        (
            "HOOKFIRE_CAPTURE_CONTENT_TYPE",
            text(content_type.as_deref()),
        ),
        ("HOOKFIRE_CAPTURE_HEADERS", cut_list(headers)),
        ("HOOKFIRE_CAPTURE_QUERY", cut_list(query)),
    ]
}

/// A variable cannot contain NUL.
fn cut(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    if text.len() <= MAX_VALUE_BYTES {
        return text;
    }
    let mut end = MAX_VALUE_BYTES - CUT.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &text[..end])
}

/// A JSON array; if it is too long, of the first elements and the marker, so that it stays JSON.
fn cut_list(elements: impl Iterator<Item = Value>) -> String {
    let marker = format!(",\"{CUT}\"]");
    let mut list = String::from("[");
    for element in elements {
        let separator = if list.len() > 1 { "," } else { "" };
        let element = format!("{separator}{element}");
        if list.len() + element.len() + marker.len() > MAX_VALUE_BYTES {
            return match list.len() {
                1 => format!("[\"{CUT}\"]"),
                _ => list + &marker,
            };
        }
        list += &element;
    }
    list + "]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_with_a_marker() {
        assert_eq!(cut("a\0b"), "a\u{fffd}b");
        let long = cut(&"é".repeat(MAX_VALUE_BYTES));
        assert!(long.len() <= MAX_VALUE_BYTES && long.ends_with("é…(cut)"));
    }

    #[test]
    fn long_lists_stay_json() {
        let list = |count: usize, length: usize| {
            let value = json!(["name", "\"".repeat(length)]);
            cut_list(std::iter::repeat_n(value, count))
        };
        assert_eq!(list(0, 0), "[]");
        for (count, length, kept) in [(2, 5, 2), (1000, 100, 155), (2, MAX_VALUE_BYTES, 1)] {
            let text = list(count, length);
            assert!(text.len() <= MAX_VALUE_BYTES);
            let read: Value = serde_json::from_str(&text).unwrap();
            let read = read.as_array().unwrap();
            assert_eq!(read.len(), kept, "{count} of {length}");
            assert_eq!(read.last().unwrap() == CUT, count > 2 || length > 5);
        }
    }
}
