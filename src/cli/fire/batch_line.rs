//! One line of a batch: the event it describes.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::payload;
use crate::cli::context::Context;
use crate::cli::sample::{SampleArgs, SamplePurpose};
use crate::cli::settings::FireSettings;
use crate::delivery::payload::Payload;
use crate::error::Failure;
use crate::event::{Event, Object};
use crate::text;

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
            Failure::usage(match e.classify() {
                Category::Data => wrong_shape(line),
                Category::Eof => "not JSON: the line ends too early".to_owned(),
                Category::Syntax | Category::Io => {
                    // Each line is a document of its own for the parser.
                    let problem = e.to_string().replace(" at line 1 column ", " at column ");
                    format!("not JSON: {problem}")
                }
            })
        })
    }

    /// Builds the event. Samples differ from line to line.
    pub fn payload(
        &self,
        ctx: &Context<'_>,
        sample: &SampleArgs,
        settings: &FireSettings<'_>,
        number: u64,
    ) -> Result<Payload, Failure> {
        let order = settings.element_order;
        let (event_type, action) = (&self.event_type, &self.action);
        let mut object = match (&self.object, &self.object_file) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage("`object` and `object_file` are both given"));
            }
            (Some(object), None) => Object::parse(object.as_bytes())
                .map_err(|e| Failure::from(e).context("its `object` cannot be sent".to_owned()))?,
            (None, Some(path)) => Object::parse(&payload::read(path, ctx, "an object")?)
                .map_err(|e| payload::in_file(e, "object", path))?,
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
        let event = Event::build(event_type, action, &object, order)?;
        Ok(Payload::event(&event, settings.body_format))
    }
}

/// What is wrong with a line that is JSON.
fn wrong_shape(line: &[u8]) -> String {
    const KEYS: [&str; 6] = ["type", "action", "object", "object_file", "set", "endpoint"];
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return "it must be an object such as {\"type\": \"user\", \"action\": \"created\"}"
            .to_owned();
    };
    for (key, value) in &members {
        if !KEYS.contains(&key.as_str()) {
            return format!("unknown key `{key}`{}", text::did_you_mean(key, KEYS));
        }
        let (is_valid, form) = match key.as_str() {
            "set" => (
                value.is_object(),
                "an object such as {\"org_name\": \"Acme\"}",
            ),
            "type" | "action" => (value.is_string(), "text in double quotes"),
            _ => (
                value.is_string() || value.is_null(),
                "text in double quotes",
            ),
        };
        if !is_valid {
            return format!("`{key}` must be {form}");
        }
    }
    match ["type", "action"]
        .iter()
        .find(|key| !members.contains_key(**key))
    {
        Some(key) => format!("`{key}` is missing"),
        None => "a key occurs twice".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_a_line_is_json() {
        let object = "it must be an object such as {\"type\": \"user\", \"action\": \"created\"}";
        let array = "a JSON array; a batch has one JSON object per line";
        let lines = [
            ("[", array),
            (r#"[{"type":"user"}]"#, array),
            ("nonsense", "not JSON: expected ident at column 2"),
            (
                r#"{"type":"user","action":"cre"#,
                "not JSON: the line ends too early",
            ),
            (
                r#"{"type":"user","action":"created"} {}"#,
                "not JSON: trailing characters at column 36",
            ),
            ("17", object),
            ("null", object),
            (r#"{"type":"user"}"#, "`action` is missing"),
            (
                r#"{"type":7,"action":"created"}"#,
                "`type` must be text in double quotes",
            ),
            (
                r#"{"type":"user","action":"created","sett":{}}"#,
                "unknown key `sett`; did you mean `set`?",
            ),
            (
                r#"{"type":"user","action":"created","set":[]}"#,
                "`set` must be an object such as {\"org_name\": \"Acme\"}",
            ),
            (
                r#"{"type":"user","type":"user","action":"created"}"#,
                "a key occurs twice",
            ),
        ];
        for (line, expected) in lines {
            let failure = BatchLine::parse(line.as_bytes()).err();
            let message = failure.map(|failure| failure.error.to_string());
            assert_eq!(message.as_deref(), Some(expected), "{line}");
        }
    }
}
