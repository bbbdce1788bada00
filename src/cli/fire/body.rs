//! `fire --body`: any bytes as a payload, with their content type and the words that name them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde::Deserialize;

use crate::delivery::payload::{
    DEFAULT_METHOD, Payload, PayloadKind, is_content_type, is_label, parse_method, split_name,
};
use crate::error::Failure;

/// Content types by file extension, in lower case.
const CONTENT_TYPES: [(&str, &str); 22] = [
    ("avif", "image/avif"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("form", "application/x-www-form-urlencoded"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", JSON),
    ("jsonl", "application/x-ndjson"),
    ("ndjson", "application/x-ndjson"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
];

pub const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Body")]
pub struct BodyArgs {
    /// Send the bytes of this file (- = stdin) instead of an event; TYPE and ACTION then only name the delivery
    ///
    /// Without TYPE, the top-level `type` of a JSON body names it: `invoice.paid` is the type `invoice` and the action `paid`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = [
        "object", "event", "portal_object", "portal_account", "batch",
    ])]
    pub body: Option<PathBuf>,
    /// The Content-Type of --body [default: by the file's extension, else by its first byte]
    #[arg(long, value_name = "TYPE", value_hint = ValueHint::Other, requires = "body", value_parser = content_type)]
    pub content_type: Option<String>,
    /// The request's method [default: POST]
    #[arg(long, value_name = "METHOD", value_hint = ValueHint::Other, value_parser = method)]
    pub method: Option<String>,
}

/// Parses a content type; the error is a message.
pub fn content_type(text: &str) -> Result<String, String> {
    if is_content_type(text) {
        return Ok(text.to_owned());
    }
    Err("it is not a content type such as application/json".to_owned())
}

/// Parses a method; the error is a message.
pub fn method(text: &str) -> Result<String, String> {
    parse_method(text).ok_or_else(|| "it is not a method such as POST or PUT".to_owned())
}

/// The words that name a payload, as the user gave them.
#[derive(Clone, Copy, Default)]
pub struct Labels<'a> {
    pub event_type: Option<&'a str>,
    pub action: Option<&'a str>,
}

/// A payload of these bytes. Without labels, those of a JSON body are used.
pub fn payload(
    bytes: Vec<u8>,
    content_type: String,
    method: Option<&str>,
    labels: Labels<'_>,
) -> Result<Payload, Failure> {
    let (event_type, action) = match labels.event_type {
        Some(_) => given_names(labels)?,
        None => names_in(&bytes),
    };
    Ok(Payload {
        kind: PayloadKind::Body { content_type },
        method: method.unwrap_or(DEFAULT_METHOD).to_owned(),
        bytes: bytes.into(),
        event_type,
        action,
    })
}

/// The content type of the body in `file`, if there is one, or else of the bytes.
pub fn guess_content_type(file: Option<&Path>, bytes: &[u8]) -> String {
    let extension = file.and_then(Path::extension).unwrap_or_default();
    let extension = extension.to_string_lossy().to_ascii_lowercase();
    let by_extension = CONTENT_TYPES.iter().find(|(known, _)| *known == extension);
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let by_extension = by_extension.map(|(_, content_type)| *content_type);
    let by_first_byte = || match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => JSON,
        Some(b'<') => "application/xml",
        _ => BINARY,
    };
    by_extension.unwrap_or_else(by_first_byte).to_owned()
}

type Names = (Option<String>, Option<String>);

fn given_names(labels: Labels<'_>) -> Result<Names, Failure> {
    let given = labels.event_type.unwrap_or_default();
    let (event_type, action) = match labels.action {
        Some(action) => (given, Some(action)),
        None => split_name(given),
    };
    for label in [Some(event_type), action].into_iter().flatten() {
        if !is_label(label) {
            return Err(Failure::usage(format!(
                "{label:?} cannot name a delivery: it must be one line of at most 200 printable characters"
            )));
        }
    }
    Ok((Some(event_type.to_owned()), action.map(str::to_owned)))
}

/// The names in the top-level `type` of a JSON object; none if it has no such text.
fn names_in(body: &[u8]) -> Names {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let typed = is_object.then(|| serde_json::from_slice::<Typed>(body));
    match typed {
        Some(Ok(Typed { r#type })) if is_label(&r#type) => {
            let (event_type, action) = split_name(&r#type);
            (Some(event_type.to_owned()), action.map(str::to_owned))
        }
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_is_guessed_by_extension_then_first_byte() {
        for (file, bytes, expected) in [
            ("a.JSON", "x", "application/json"),
            ("a.png", "{", "image/png"),
            ("a.unknown", " \n[1]", "application/json"),
            ("-", "\u{feff}{}", "application/json"),
            ("a", "<a/>", "application/xml"),
            ("a", "a=1", BINARY),
            ("a", "", BINARY),
        ] {
            let guessed = guess_content_type(Some(Path::new(file)), bytes.as_bytes());
            assert_eq!(guessed, expected, "{file} {bytes}");
        }
    }

    #[test]
    fn a_json_object_is_named_by_its_type() {
        let names = |body: &str| {
            let (event_type, action) = names_in(body.as_bytes());
            (event_type.unwrap_or_default(), action.unwrap_or_default())
        };
        let pair = |event_type: &str, action: &str| (event_type.to_owned(), action.to_owned());
        assert_eq!(
            names("\u{feff} {\"id\":1,\"type\":\"invoice.payment.failed\"}"),
            pair("invoice.payment", "failed")
        );
        assert_eq!(names(r#"{"type":"ping"}"#), pair("ping", ""));
        for body in [
            r#"{"type":7}"#,
            r#"{"data":{"type":"a.b"}}"#,
            r#"[{"type":"a.b"}]"#,
            r#"{"type":"a\nb"}"#,
            r#"{"type":"a.b""#,
            r#"{"type":"a","type":"b"}"#,
            "<a/>",
        ] {
            assert_eq!(names(body), pair("", ""), "{body}");
        }
    }
}
