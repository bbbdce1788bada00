//! What is expected of a capture, and how far one is from it, in words.
//!
//! Pure: an [`Expectation`] judges what it is given; `watch` waits for it. Words may hold what came (made visible, on one
//! line), and what was expected, but no secret's value, neither the one nor the other.
//!
//! Invariant: a capture that is malformed meets nothing: nobody knows what it would have been.

mod json;
mod watch;

use std::fmt;

use crate::capture::{Body, Capture, Caught};
use crate::event::{self, Event, EventError, Found, Selector};
use crate::sanitize::visible_line;
use crate::secret::Secret;
use crate::secret::safe_url::form_decoded;

pub use watch::{Arrival, Arrivals, Command, End, Miss, Observer, Seen, Watch, WatchError};

/// What a capture must be like. Nothing at all: any request will do.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The type of the event in the body.
    pub event_type: Option<String>,
    /// The action of the event in the body.
    pub action: Option<String>,
    /// What must be where in the body.
    pub matches: Vec<(Selector, String)>,
    /// The method, in whatever case.
    pub method: Option<String>,
    /// Headers that it must have.
    pub headers: Vec<ExpectedHeader>,
    /// Parameters that the query must have, with these values.
    pub secrets: Vec<(String, Secret)>,
}

/// A header with its value.
#[derive(Clone, Debug)]
pub struct ExpectedHeader {
    /// Its name, in whatever case.
    pub name: String,
    /// Its value.
    pub value: Secret,
    /// Whether the value may be shown.
    pub public: bool,
}

impl Expectation {
    /// What the capture does not meet, each in words; nothing if it is what was expected.
    pub fn unmet(&self, caught: &Caught, body: &Body) -> Vec<String> {
        let capture = &caught.capture;
        let mut unmet = Vec::new();
        if capture.malformed {
            unmet.push("it is malformed, or was not taken in whole".to_owned());
        }
        unmet.extend(
            self.method
                .as_deref()
                .and_then(|method| wrong_method(method, capture)),
        );
        unmet.extend(self.wrong_event(body));
        unmet.extend(self.wrong_fields(&event::extract_xml(&body.bytes)));
        unmet.extend(
            self.headers
                .iter()
                .filter_map(|header| header.wrong_in(capture)),
        );
        unmet.extend(
            self.secrets
                .iter()
                .filter_map(|(name, value)| wrong_secret(name, value, capture)),
        );
        unmet
    }

    /// What the document does not say where it should. It is read once, for all of them.
    fn wrong_fields(&self, document: &[u8]) -> Vec<String> {
        if self.matches.is_empty() {
            return Vec::new();
        }
        let selectors: Vec<&Selector> = self.matches.iter().map(|(selector, _)| selector).collect();
        let is_json = json::looks_like(document);
        let found = match is_json {
            true => json::find(&selectors, document),
            false => Selector::find(&selectors, document).map_err(|e| plainly(&e)),
        };
        let fields = self.matches.iter();
        match found {
            Ok(found) => {
                let wrong = |((selector, value), found): (&(Selector, String), Vec<Found>)| {
                    wrong_field(selector, value, &found, is_json)
                };
                fields.zip(found).filter_map(wrong).collect()
            }
            Err(reason) => fields
                .map(|(selector, _)| {
                    format!("{} cannot be found: {reason}", quoted(selector.as_str()))
                })
                .collect(),
        }
    }

    /// Whether the query has the secrets that are expected; none if none are.
    pub fn secrets_are_right(&self, capture: &Capture) -> Option<bool> {
        let right = |(name, value): &(String, Secret)| wrong_secret(name, value, capture).is_none();
        (!self.secrets.is_empty()).then(|| self.secrets.iter().all(right))
    }

    /// The values that no output may show.
    pub fn secret_values(&self) -> impl Iterator<Item = &Secret> {
        let headers = self
            .headers
            .iter()
            .filter(|header| !header.public)
            .map(|header| &header.value);
        headers.chain(self.secrets.iter().map(|(_, value)| value))
    }

    /// What the body says of itself. One that is no event differs in each: it must not seem nearer than one that is.
    ///
    /// It is read to its end: the name that a capture is kept under says only how its body begins.
    fn wrong_event(&self, body: &Body) -> Vec<String> {
        if self.event_type.is_none() && self.action.is_none() {
            return Vec::new();
        }
        let (event_type, action) = Event::names(&event::extract_xml(&body.bytes)).unzip();
        let came = event_type.as_ref();
        let pairs = [
            ("type", &self.event_type, event_type.as_ref()),
            ("action", &self.action, action.as_ref()),
        ];
        let mut why = came.is_none().then(|| why_no_event(&body.bytes));
        let wrong = pairs
            .into_iter()
            .filter_map(|(what, expected, came)| match (expected, came) {
                (Some(expected), Some(came)) if expected != came => Some(format!(
                    "{what} is {}, not {}",
                    quoted(came),
                    quoted(expected)
                )),
                (Some(_), None) => Some(why.take().map_or_else(
                    || format!("it has no {what}"),
                    |why| format!("it has no {what}: {why}"),
                )),
                _ => None,
            });
        wrong.collect()
    }
}

fn why_no_event(body: &[u8]) -> String {
    let reason = match Event::from_document(event::extract_xml(body).into_owned()) {
        Err(EventError::Empty) => return "its body is empty".to_owned(),
        Err(error) => plainly(&error),
        // Its names would have been found; whoever changes that is to hear no lie.
        Ok(_) => return "its body was not read as an event".to_owned(),
    };
    // What is XML says so itself.
    let no_event = if reason.starts_with("not an event") {
        ""
    } else {
        "no event: "
    };
    format!("its body is {no_event}{reason}")
}

/// What is expected, in words: ``type `account`, action `created`, `//org_name` = `Acme` ``.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("method", &self.method),
            ("type", &self.event_type),
            ("action", &self.action),
        ];
        let mut words: Vec<String> = named
            .iter()
            .filter_map(|(what, word)| Some(format!("{what} {}", quoted(word.as_ref()?))))
            .collect();
        words.extend(
            self.matches
                .iter()
                .map(|(path, value)| format!("{} = {}", quoted(path.as_str()), quoted(value))),
        );
        words.extend(self.headers.iter().map(|header| match header.public {
            true => format!(
                "header {} = {}",
                quoted(&header.name),
                quoted(header.value.expose())
            ),
            false => format!("header {}", quoted(&header.name)),
        }));
        words.extend(
            self.secrets
                .iter()
                .map(|(name, _)| format!("secret {}", quoted(name))),
        );
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
                let came = String::from_utf8_lossy(value);
                format!(
                    "header {name} is {}, not {}",
                    quoted(&came),
                    quoted(self.value.expose())
                )
            }
        })
    }
}

fn wrong_method(expected: &str, capture: &Capture) -> Option<String> {
    let came = capture.method();
    (!came.eq_ignore_ascii_case(expected))
        .then(|| format!("method is {}, not {}", quoted(came), quoted(expected)))
}

fn wrong_secret(name: &str, expected: &Secret, capture: &Capture) -> Option<String> {
    let pairs = capture
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let values: Vec<String> = pairs
        .filter(|(given, _)| form_decoded(given.as_bytes()) == name)
        .map(|(_, value)| form_decoded(value.as_bytes()))
        .collect();
    let name = quoted(name);
    if values.is_empty() {
        return Some(format!("secret parameter {name} is missing"));
    }
    // Given twice, a receiver may take either.
    let right = values
        .iter()
        .filter(|value| expected.is(value.as_bytes()))
        .count()
        == values.len();
    (!right).then(|| format!("secret parameter {name} is wrong"))
}

fn wrong_field(
    selector: &Selector,
    expected: &str,
    found: &[Found],
    is_json: bool,
) -> Option<String> {
    let path = quoted(selector.as_str());
    let fits = |found: &Found| match found {
        Found::Text(text) => text == expected || text.trim() == expected.trim(),
        Found::Elements => false,
    };
    if found.iter().any(fits) {
        return None;
    }
    let what = match (is_json, selector.is_attribute()) {
        (true, _) => "value",
        (false, true) => "attribute",
        (false, false) => "element",
    };
    Some(match found {
        [] => format!("no {what} {path}"),
        found => format!("{path} is {}, not {}", values(found), quoted(expected)),
    })
}

/// What was found, each value once, as a sentence lists it; of many the first few.
fn values(found: &[Found]) -> String {
    const MOST: usize = 3;
    let mut words: Vec<String> = Vec::new();
    for found in found {
        let word = match found {
            Found::Text(text) => quoted(text.trim()),
            Found::Elements => "a group of elements".to_owned(),
        };
        if words.contains(&word) {
            continue;
        }
        if words.len() == MOST {
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

/// A word from outside in backticks: on one line, and cut to what a message can hold.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let short: String = text.chars().take(LONGEST).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{rest}`", visible_line(&short))
}

#[cfg(test)]
mod tests;
