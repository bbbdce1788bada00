//! A line of a batch: the event that it asks for.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::context::Context;
use crate::cli::sample::{Purpose, SampleArgs};
use crate::error::Failure;
use crate::event::{ElementOrder, Event, Object};

/// `{"type": "account", "action": "created", "set": {"org_name": "Acme"}}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Order {
    #[serde(rename = "type")]
    event_type: String,
    action: String,
    object: Option<String>,
    object_file: Option<PathBuf>,
    #[serde(default)]
    set: Map<String, Value>,
    /// The configured endpoint it is for, if not the command's.
    pub endpoint: Option<String>,
}

impl Order {
    /// Reads a line.
    ///
    /// # Errors
    /// When it is not JSON, or no such object; the words name the column.
    pub fn read(line: &[u8]) -> Result<Order, Failure> {
        serde_json::from_slice(line).map_err(|e| {
            // Each line is a document of its own to the reader: that it is the first one says nothing.
            let words = e.to_string().replace(" at line 1 column ", " at column ");
            Failure::usage(if e.is_data() {
                words
            } else {
                format!("not JSON: {words}")
            })
        })
    }

    /// The event. A sample of it is line `number`'s own.
    ///
    /// # Errors
    /// When there is no object for it, or a field cannot be set.
    pub fn event(
        &self,
        ctx: &Context<'_>,
        sample: &SampleArgs,
        compat: ElementOrder,
        number: u64,
    ) -> Result<Event, Failure> {
        let (event_type, action) = (&self.event_type, &self.action);
        let mut object = match (&self.object, &self.object_file) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage("`object` and `object_file` are both given"));
            }
            (Some(object), None) => Object::parse(object.as_bytes())
                .map_err(|e| Failure::from(e).context("its `object` cannot be sent".to_owned()))?,
            (None, Some(path)) => {
                Object::parse(&super::read(path)?).map_err(|e| super::in_file(e, "object", path))?
            }
            (None, None) => sample.object(ctx, event_type, action, Purpose::Line(number))?,
        };
        for (path, value) in &self.set {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => {
                    return Err(Failure::usage(format!(
                        "`set` gives `{path}` no text, number, true or false"
                    )));
                }
            };
            object.set(path, &value)?;
        }
        Ok(Event::build(event_type, action, &object, compat)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_json_is_told_from_what_is_json_and_no_order() {
        let lines: [(&[u8], &str); 7] = [
            (b"nonsense", "not JSON: expected ident at column 2"),
            (
                br#"{"type":"user","action":"cre"#,
                "not JSON: EOF while parsing a string at column 28",
            ),
            (
                br#"{"type":"user","action":"created"} {}"#,
                "not JSON: trailing characters at column 36",
            ),
            (
                b"{\"type\":\"\xff\"}",
                "not JSON: invalid unicode code point at column 10",
            ),
            (
                b"17",
                "invalid type: integer `17`, expected an object at column 2",
            ),
            (br#"{"type":"user"}"#, "missing field `action` at column 15"),
            (
                br#"{"type":7,"action":"created"}"#,
                "invalid type: integer `7`, expected a string at column 9",
            ),
        ];
        for (line, expected) in lines {
            let failure = Order::read(line)
                .err()
                .map(|failure| failure.error.to_string());
            assert_eq!(
                failure.as_deref(),
                Some(expected),
                "{}",
                line.escape_ascii()
            );
        }
    }
}
