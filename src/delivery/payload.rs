//! What a delivery sends: an event document, or any other bytes with a content type.

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::{BodyFormat, Event};
use crate::sanitize::is_deceptive;

/// How 3scale sends events, and the default for other payloads.
pub const DEFAULT_METHOD: &str = "POST";

/// The most characters of a type or action of a payload that is not an event.
const MAX_LABEL_CHARS: usize = 200;

/// How a payload becomes the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// An event document, as the body or in a form.
    Event(BodyFormat),
    /// The body itself, sent byte for byte.
    Body { content_type: String },
}

impl PayloadKind {
    pub fn content_type(&self) -> &str {
        match self {
            PayloadKind::Event(format) => format.content_type(),
            PayloadKind::Body { content_type } => content_type,
        }
    }

    /// The body of a request with this payload.
    pub fn request_body<'p>(&self, payload: &'p [u8]) -> Cow<'p, [u8]> {
        match self {
            PayloadKind::Event(format) => format.body(payload),
            PayloadKind::Body { .. } => Cow::Borrowed(payload),
        }
    }

    /// The body format of an event; none for other payloads.
    pub fn event_format(&self) -> Option<BodyFormat> {
        match self {
            PayloadKind::Event(format) => Some(*format),
            PayloadKind::Body { .. } => None,
        }
    }

    /// The same kind, with an event in another body format if one is given.
    #[must_use]
    pub fn in_format(self, format: Option<BodyFormat>) -> PayloadKind {
        match (self, format) {
            (PayloadKind::Event(_), Some(format)) => PayloadKind::Event(format),
            (kind, _) => kind,
        }
    }
}

/// A payload to send, with its method and the words that name it in lists and filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub kind: PayloadKind,
    pub method: String,
    pub bytes: Arc<[u8]>,
    pub event_type: Option<String>,
    pub action: Option<String>,
}

impl Payload {
    pub fn event(event: &Event, format: BodyFormat) -> Payload {
        Payload {
            kind: PayloadKind::Event(format),
            method: DEFAULT_METHOD.to_owned(),
            bytes: event.bytes().into(),
            event_type: Some(event.event_type().to_owned()),
            action: Some(event.action().to_owned()),
        }
    }
}

#[cfg(test)]
impl Payload {
    /// An event that is not parsed, in the format XML.
    pub fn unchecked_event(event_type: &str, action: &str, document: &[u8]) -> Payload {
        Payload {
            kind: PayloadKind::Event(BodyFormat::Xml),
            method: DEFAULT_METHOD.to_owned(),
            bytes: document.into(),
            event_type: Some(event_type.to_owned()),
            action: Some(action.to_owned()),
        }
    }
}

impl Payload {
    /// `application.created`; `-` if nothing names the payload.
    pub fn name(&self) -> String {
        name(self.event_type.as_deref(), self.action.as_deref())
    }
}

/// A method as it is sent, in upper case; `None` for an invalid method, and for CONNECT, which asks for a tunnel.
pub fn parse_method(text: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let method = text.to_ascii_uppercase();
    let is_valid = (1..=40).contains(&method.len()) && method.bytes().all(is_token);
    (is_valid && method != "CONNECT").then_some(method)
}

/// Whether text can be the value of a `Content-Type` header: `TYPE/SUBTYPE`, with or without parameters.
pub fn is_content_type(text: &str) -> bool {
    let media_type = text.split(';').next().unwrap_or_default().trim();
    let has_two_parts = media_type
        .split_once('/')
        .is_some_and(|(main, sub)| !main.is_empty() && !sub.is_empty());
    has_two_parts && text.len() <= 200 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// `application.created`, `ping` without an action, or `-` without a type.
pub fn name(event_type: Option<&str>, action: Option<&str>) -> String {
    match (event_type, action) {
        (Some(event_type), Some(action)) => format!("{event_type}.{action}"),
        (Some(event_type), None) => event_type.to_owned(),
        (None, _) => "-".to_owned(),
    }
}

/// Splits `invoice.payment.failed` at its last dot: type `invoice.payment`, action `failed`.
pub fn split_name(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((event_type, action)) if !event_type.is_empty() && !action.is_empty() => {
            (event_type, Some(action))
        }
        _ => (name, None),
    }
}

/// Whether text can name a payload: on one line, printable, and not too long for a list.
pub fn is_label(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= MAX_LABEL_CHARS
        && !text.chars().any(is_deceptive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_the_last_dot() {
        for (written, parts) in [
            ("invoice.paid", ("invoice", Some("paid"))),
            (
                "invoice.payment.failed",
                ("invoice.payment", Some("failed")),
            ),
            ("ping", ("ping", None)),
            ("ping.", ("ping.", None)),
            (".ping", (".ping", None)),
        ] {
            assert_eq!(split_name(written), parts);
            assert_eq!(name(Some(parts.0), parts.1), written);
        }
        assert_eq!(name(None, None), "-");
    }

    #[test]
    fn labels_are_one_printable_line() {
        assert!(is_label("order placed") && is_label(&"x".repeat(200)));
        for text in ["", " ", "a\nb", "\u{202e}a", &"x".repeat(201)] {
            assert!(!is_label(text), "{text:?}");
        }
    }
}
