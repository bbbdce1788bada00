//! Conditions on a captured request, and the differences of a capture from them.
//!
//! [`Expectation::unmet`] lists the differences as messages. They may quote the request (in visible characters, on one
//! line) and the condition, but no secret value of either. A malformed capture never matches.

use std::fmt;

use super::{Body, Capture, CaptureRecord, SignatureCheck};
use crate::document::{BodyNode, Document, FieldPath, is_same_literal, looks_like_json};
use crate::event::{self, Event, EventError};
use crate::sanitize::visible_line;
use crate::secret::Secret;
use crate::secret::safe_url::decoded_pairs;
use crate::signature::Verifier;

/// Conditions on a captured request; without any, every request matches.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The type of the event in the body.
    pub event_type: Option<String>,
    /// The action of the event in the body.
    pub action: Option<String>,
    /// Fields of the body, and the value that each must have.
    pub matches: Vec<(FieldPath, String)>,
    /// Compared without regard to case.
    pub method: Option<String>,
    pub headers: Vec<ExpectedHeader>,
    /// Query parameters with these values.
    pub secrets: Vec<(String, Secret)>,
    /// Verifies the signature. A capture that its listener marked as not valid never matches.
    pub verifier: Option<Verifier>,
}

#[derive(Clone, Debug)]
pub struct ExpectedHeader {
    /// Compared without regard to case.
    pub name: String,
    pub value: Secret,
    /// Whether messages may show the value.
    pub public: bool,
}

impl Expectation {
    /// The conditions that the capture does not meet, as messages.
    pub fn unmet(&self, record: &CaptureRecord, body: &Body) -> Vec<String> {
        let capture = &record.capture;
        let mut unmet = Vec::new();
        if capture.malformed {
            unmet.push("the request is malformed or incomplete".to_owned());
        }
        if let Some(name) = &capture.handshake {
            unmet.push(format!("it is a handshake ({name}), which was answered"));
        }
        let method = capture.method();
        if let Some(expected) = &self.method
            && !method.eq_ignore_ascii_case(expected)
        {
            unmet.push(format!(
                "method is {}, not {}",
                quoted(method),
                quoted(expected)
            ));
        }
        unmet.extend(self.wrong_event(body));
        unmet.extend(self.wrong_fields(body));
        for header in &self.headers {
            unmet.extend(header.wrong_in(capture));
        }
        for (name, value) in &self.secrets {
            unmet.extend(wrong_secret(name, value, capture));
        }
        unmet.extend(self.wrong_signature(capture, body));
        unmet
    }

    fn wrong_signature(&self, capture: &Capture, body: &Body) -> Option<String> {
        let fault = match &self.verifier {
            Some(verifier) => SignatureCheck::explained(verifier, capture, body).invalid,
            None => capture.invalid_signature().cloned(),
        };
        Some(format!("the signature is not valid: {}", fault?.detail))
    }

    fn wrong_fields(&self, body: &Body) -> Vec<String> {
        if self.matches.is_empty() {
            return Vec::new();
        }
        let document = Document::read(&body.bytes);
        let wrong = |(path, expected): &(FieldPath, String)| match &document {
            Ok(document) => wrong_field(path, expected, document),
            Err(reason) => {
                let (path, reason) = (quoted(path.as_str()), visible_line(reason));
                Some(format!("{path} cannot be found: {reason}"))
            }
        };
        self.matches.iter().filter_map(wrong).collect()
    }

    /// Whether the query has the expected secrets; none if none are expected.
    pub fn secrets_are_right(&self, capture: &Capture) -> Option<bool> {
        let right = |(name, value): &(String, Secret)| wrong_secret(name, value, capture).is_none();
        (!self.secrets.is_empty()).then(|| self.secrets.iter().all(right))
    }

    /// The values that no output may show.
    pub fn secret_values(&self) -> impl Iterator<Item = &Secret> {
        let headers = self.headers.iter().filter(|header| !header.public);
        let values = headers.map(|header| &header.value);
        values.chain(self.secrets.iter().map(|(_, value)| value))
    }

    /// Reads the body to its end: the stored name says only how it begins. A body that is not an event differs in type and
    /// action, so that it is never the nearest miss.
    fn wrong_event(&self, body: &Body) -> Vec<String> {
        if self.event_type.is_none() && self.action.is_none() {
            return Vec::new();
        }
        let (event_type, action) = Event::names(&event::extract_xml(&body.bytes)).unzip();
        let mut reason = event_type
            .is_none()
            .then(|| format!(": {}", why_not_an_event(&body.bytes)));
        let mut wrong = Vec::new();
        for (what, expected, received) in [
            ("type", &self.event_type, event_type),
            ("action", &self.action, action),
        ] {
            let Some(expected) = expected else { continue };
            match received {
                Some(received) if received == *expected => {}
                Some(received) => {
                    let (received, expected) = (quoted(&received), quoted(expected));
                    wrong.push(format!("{what} is {received}, not {expected}"));
                }
                None => {
                    let reason = reason.take().unwrap_or_default();
                    wrong.push(format!("it has no {what}{reason}"));
                }
            }
        }
        wrong
    }
}

fn why_not_an_event(body: &[u8]) -> String {
    match Event::from_document(event::extract_xml(body).into_owned()) {
        Err(EventError::Empty) => "its body is empty".to_owned(),
        Err(EventError::NotXml { .. }) if looks_like_json(body) => {
            "its body is JSON, not an event".to_owned()
        }
        Err(error @ EventError::NotAnEvent(_)) => format!("its body is {}", plainly(&error)),
        Err(error) => format!("its body is not an event: {}", plainly(&error)),
        Ok(_) => "its body was not read as an event".to_owned(),
    }
}

/// ``type `account`, action `created`, `//org_name` = `Acme` ``
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("method", &self.method),
            ("type", &self.event_type),
            ("action", &self.action),
        ];
        let mut words = Vec::new();
        for (what, word) in named {
            words.extend(word.iter().map(|word| format!("{what} {}", quoted(word))));
        }
        for (path, value) in &self.matches {
            words.push(format!("{} = {}", quoted(path.as_str()), quoted(value)));
        }
        for header in &self.headers {
            let mut word = format!("header {}", quoted(&header.name));
            if header.public {
                word += &format!(" = {}", quoted(header.value.expose()));
            }
            words.push(word);
        }
        for (name, _) in &self.secrets {
            words.push(format!("secret {}", quoted(name)));
        }
        if let Some(verifier) = &self.verifier {
            words.push(format!("a valid {} signature", verifier.scheme().name()));
        }
        if words.is_empty() {
            f.write_str("any request")
        } else {
            f.write_str(&words.join(", "))
        }
    }
}

impl ExpectedHeader {
    fn wrong_in(&self, capture: &Capture) -> Option<String> {
        let name = quoted(&self.name);
        let headers = capture.head.headers().into_iter();
        let named = headers.filter(|(given, _)| given.eq_ignore_ascii_case(&self.name));
        let values: Vec<&[u8]> = named.map(|(_, value)| value).collect();
        if values.iter().any(|value| self.value.is(value)) {
            return None;
        }
        Some(match values.last() {
            None => format!("header {name} is missing"),
            Some(_) if !self.public => format!("header {name} has another value"),
            Some(value) => {
                let received = quoted(&String::from_utf8_lossy(value));
                let expected = quoted(self.value.expose());
                format!("header {name} is {received}, not {expected}")
            }
        })
    }
}

fn wrong_secret(name: &str, expected: &Secret, capture: &Capture) -> Option<String> {
    let mut values = decoded_pairs(capture.query().unwrap_or_default());
    values.retain(|(given, _)| given == name);
    let name = quoted(name);
    if values.is_empty() {
        return Some(format!("secret parameter {name} is missing"));
    }
    // If it is repeated, a receiver may read either.
    let right = values
        .iter()
        .all(|(_, value)| expected.is(value.as_bytes()));
    (!right).then(|| format!("secret parameter {name} is wrong"))
}

fn wrong_field(path: &FieldPath, expected: &str, document: &Document<'_>) -> Option<String> {
    let found = path.find(document);
    if found.iter().any(|node| is_expected(node, expected)) {
        return None;
    }
    let quoted_path = quoted(path.as_str());
    let what = match document.root_name {
        None => "value",
        Some(_) if path.is_attribute() => "attribute",
        Some(_) => "element",
    };
    Some(match found[..] {
        [] => format!("no {what} {quoted_path}"),
        _ => format!(
            "{quoted_path} is {}, not {}",
            listed(&found),
            quoted(expected)
        ),
    })
}

/// White space around a text does not count; numbers are compared by value.
fn is_expected(node: &BodyNode<'_>, expected: &str) -> bool {
    match node {
        BodyNode::Literal(written) => is_same_literal(written, expected.trim()),
        _ => !node.is_group() && node.text().trim() == expected.trim(),
    }
}

/// The values as a sentence lists them, each once, and of many the first few.
fn listed(found: &[&BodyNode<'_>]) -> String {
    const MAX_VALUES: usize = 3;
    let mut words: Vec<String> = Vec::new();
    for node in found {
        let word = match node.is_group() {
            true => "a group of elements".to_owned(),
            false => quoted(node.text().trim()),
        };
        if words.contains(&word) {
            continue;
        }
        if words.len() == MAX_VALUES {
            words.push("others".to_owned());
            break;
        }
        words.push(word);
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn plainly(error: &EventError) -> String {
    visible_line(&error.to_string()).into_owned()
}

/// In backticks, on one line, and cut to what fits a message.
fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let short: String = text.chars().take(MAX_CHARS).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{rest}`", visible_line(&short))
}

#[cfg(test)]
mod tests;
