//! One line of a batch: the event it describes.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::context::Context;
use crate::cli::sample::{SampleArgs, SamplePurpose};
use crate::error::Failure;
use crate::event::{ElementOrder, Event, Object};

/// `{"type": "account", "action": "created", "set": {"org_name": "Acme"}}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct BatchLine {
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

impl BatchLine {
    /// Parses a line; errors name the column.
    pub fn parse(line: &[u8]) -> Result<BatchLine, Failure> {
        if line.trim_ascii_start().starts_with(b"[") {
            return Err(
                Failure::usage("a JSON array; a batch has one JSON object per line")
                    .hint("`jq -c '.[]' FILE` writes each element of an array as one line"),
            );
        }
        serde_json::from_slice(line).map_err(|e| {
            // Each line is a document of its own for the parser.
            let message = e.to_string().replace(" at line 1 column ", " at column ");
            Failure::usage(if e.is_data() {
                message
            } else {
                format!("not JSON: {message}")
            })
        })
    }

    /// Builds the event. Samples differ from line to line.
    pub fn event(
        &self,
        ctx: &Context<'_>,
        sample: &SampleArgs,
        order: ElementOrder,
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
            (None, None) => {
                sample.object(ctx, event_type, action, order, SamplePurpose::Line(number))?
            }
        };
        let changes = self.set.iter().map(|(path, value)| match value {
            Value::String(text) => Ok((path.as_str(), Cow::Borrowed(text.as_str()))),
            Value::Number(_) | Value::Bool(_) => Ok((path.as_str(), Cow::Owned(value.to_string()))),
            _ => Err(Failure::usage(format!(
                "the value of `{path}` in `set` is not a text, number, true or false"
            ))),
        });
        let changes: Vec<_> = changes.collect::<Result<_, _>>()?;
        let changes: Vec<(&str, &str)> = changes.iter().map(|(p, v)| (*p, &**v)).collect();
        object.set_all(&changes)?;
        Ok(Event::build(event_type, action, &object, order)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_a_line_is_json() {
        let lines: [(&[u8], &str); 9] = [
            (b"[", "a JSON array; a batch has one JSON object per line"),
            (
                br#"[{"type":"user"}]"#,
                "a JSON array; a batch has one JSON object per line",
            ),
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
            let failure = BatchLine::parse(line)
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
