//! Conditions on a captured request, and the differences of a capture from them.
//!
//! [`Expectation::unmet`] lists the differences as messages. They may quote the request (in visible characters, on one
//! line) and the condition, but no secret value of either. A malformed capture never matches.

mod field;
mod glob;

use std::fmt;

use memchr::memmem;

use super::{Body, Capture, CaptureRecord, SignatureCheck, header_text};
use crate::document::{Document, looks_like_json};
use crate::event::{self, Event, EventError};
use crate::sanitize::visible_line;
use crate::secret::Secret;
use crate::secret::safe_url::decoded_pairs;
use crate::signature::Verifier;

pub use field::FieldCondition;
pub use glob::Glob;

/// Conditions on a captured request; without any, every request matches.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The type of the event in the body.
    pub event_type: Option<String>,
    /// The action of the event in the body.
    pub action: Option<String>,
    /// Fields of the body, which is XML, JSON or a form.
    pub matches: Vec<FieldCondition>,
    /// Texts that the body contains, once it is decoded.
    pub contains: Vec<String>,
    pub path: Option<Glob>,
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
        self.differences(&record.capture, body)
    }

    pub fn is_met(&self, capture: &Capture, body: &Body) -> bool {
        self.differences(capture, body).is_empty()
    }

    fn differences(&self, capture: &Capture, body: &Body) -> Vec<String> {
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
        unmet.extend(self.wrong_event(capture, body));
        unmet.extend(self.wrong_content(capture, body));
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

    /// Whether the conditions on path, headers and body hold, also of a malformed request.
    pub fn matches_content(&self, capture: &Capture, body: &Body) -> bool {
        self.wrong_content(capture, body).is_empty()
    }

    /// Whether a condition is about the body, other than type and action.
    pub fn needs_body(&self) -> bool {
        !self.matches.is_empty() || !self.contains.is_empty()
    }

    fn wrong_content(&self, capture: &Capture, body: &Body) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(glob) = &self.path
            && !glob.matches(capture.path())
        {
            let (path, glob) = (quoted(capture.path()), quoted(&glob.to_string()));
            wrong.push(format!("path {path} does not match {glob}"));
        }
        if self.needs_body() {
            let content = capture.content(body);
            wrong.extend(self.wrong_fields(capture, &content));
            let is_missing = |text: &&String| memmem::find(&content, text.as_bytes()).is_none();
            let missing = self.contains.iter().filter(is_missing);
            wrong.extend(missing.map(|text| format!("the body does not contain {}", quoted(text))));
        }
        for header in &self.headers {
            wrong.extend(header.wrong_in(capture));
        }
        wrong
    }

    fn wrong_fields(&self, capture: &Capture, content: &[u8]) -> Vec<String> {
        if self.matches.is_empty() {
            return Vec::new();
        }
        let content_type = capture.header("content-type").unwrap_or_default();
        let document = Document::of_type(&header_text(content_type), content)
            .map_err(|reason| visible_line(&reason).into_owned());
        let conditions = self.matches.iter();
        conditions
            .filter_map(|condition| condition.wrong_in(&document))
            .collect()
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

    /// Whether a type or action is expected of a body that is JSON. Only XML events have them.
    pub fn expects_event_of_json(&self, capture: &Capture, body: &Body) -> bool {
        let expects_event = self.event_type.is_some() || self.action.is_some();
        expects_event && looks_like_json(&capture.content(body))
    }

    /// Reads the body to its end: the stored name says only how it begins. A body that is not an event differs in type and
    /// action, so that it is never the nearest miss.
    fn wrong_event(&self, capture: &Capture, body: &Body) -> Vec<String> {
        if self.event_type.is_none() && self.action.is_none() {
            return Vec::new();
        }
        let content = capture.content(body);
        let (event_type, action) = Event::names(&event::extract_xml(&content)).unzip();
        let mut reason = event_type
            .is_none()
            .then(|| format!(": {}", why_not_an_event(&content)));
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
        let path = self
            .path
            .iter()
            .map(|glob| format!("path {}", quoted(&glob.to_string())));
        words.extend(path);
        words.extend(self.matches.iter().map(FieldCondition::to_string));
        let contained = self.contains.iter();
        words.extend(contained.map(|text| format!("{} in the body", quoted(text))));
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
