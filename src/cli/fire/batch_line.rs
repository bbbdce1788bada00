//! One line of a batch: the event or other payload that it describes.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::body::{self, Labels};
use super::{FireArgs, payload};
use crate::cli::context::Context;
use crate::cli::sample::{SampleArgs, SamplePurpose};
use crate::cli::settings::FireSettings;
use crate::delivery::payload::Payload;
use crate::document::{Change, edit_json};
use crate::error::Failure;
use crate::event::{ElementOrder, Event, Object};
use crate::text;

/// `{"type": "account", "action": "created", "set": {"org_name": "Acme"}}`, or `{"body": {"id": 7}}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct BatchLine {
    #[serde(rename = "type")]
    event_type: Option<String>,
    action: Option<String>,
    object: Option<String>,
    object_file: Option<PathBuf>,
    /// JSON, sent as it is written in the line.
    body: Option<Box<RawValue>>,
    body_text: Option<String>,
    body_file: Option<PathBuf>,
    content_type: Option<String>,
    method: Option<String>,
    #[serde(default)]
    set: IndexMap<String, Box<RawValue>>,
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
                Category::Syntax if !line.trim_ascii_start().starts_with(b"{") => wrong_shape(line),
                Category::Eof => "not JSON: the line ends too early".to_owned(),
                Category::Syntax | Category::Io => {
                    // Each line is a document of its own for the parser.
                    let problem = e.to_string().replace(" at line 1 column ", " at column ");
                    format!("not JSON: {problem}")
                }
            })
        })
    }

    /// Builds the payload. Samples differ from line to line.
    pub fn payload(
        &self,
        ctx: &Context<'_>,
        args: &FireArgs,
        settings: &FireSettings<'_>,
        number: u64,
    ) -> Result<Payload, Failure> {
        self.refuse_two_payloads()?;
        let method = match &self.method {
            Some(method) => Some(body::method(method).map_err(|e| invalid("method", &e))?),
            None => args.body.method.clone(),
        };
        if let Some((bytes, content_type)) = self.body(ctx)? {
            return self.body_payload(bytes, content_type, method, settings);
        }
        if self.content_type.is_some() {
            return Err(Failure::usage(
                "`content_type` is for a `body`, `body_text` or `body_file`, and there is none",
            ));
        }
        let event = self.event(ctx, &args.sample, settings.element_order, number)?;
        let mut payload = Payload::event(&event, settings.body_format);
        payload.method = method.unwrap_or(payload.method);
        Ok(payload)
    }

    fn refuse_two_payloads(&self) -> Result<(), Failure> {
        let given = [
            ("object", self.object.is_some()),
            ("object_file", self.object_file.is_some()),
            ("body", self.body.is_some()),
            ("body_text", self.body_text.is_some()),
            ("body_file", self.body_file.is_some()),
        ];
        let mut given = given.iter().filter(|(_, is_given)| *is_given);
        match (given.next(), given.next()) {
            (Some((one, _)), Some((other, _))) => Err(Failure::usage(format!(
                "`{one}` and `{other}` are both given"
            ))),
            _ => Ok(()),
        }
    }

    /// The bytes of a payload that is not an event, and their content type by default.
    fn body(&self, ctx: &Context<'_>) -> Result<Option<(Vec<u8>, String)>, Failure> {
        let guess = body::guess_content_type;
        if let Some(body) = &self.body {
            let json = body.get().as_bytes().to_vec();
            return Ok(Some((json, body::JSON.to_owned())));
        }
        if let Some(text) = &self.body_text {
            let bytes = text.as_bytes();
            return Ok(Some((bytes.to_vec(), guess(None, bytes))));
        }
        let Some(file) = &self.body_file else {
            return Ok(None);
        };
        let bytes = payload::read(file, ctx, "a body")?;
        let content_type = guess(Some(file), &bytes);
        Ok(Some((bytes, content_type)))
    }

    fn body_payload(
        &self,
        mut bytes: Vec<u8>,
        mut content_type: String,
        method: Option<String>,
        settings: &FireSettings<'_>,
    ) -> Result<Payload, Failure> {
        if let Some(given) = &self.content_type {
            payload::refuse_second_content_type("`content_type`", settings)?;
            content_type = body::content_type(given).map_err(|e| invalid("content_type", &e))?;
        }
        if !self.set.is_empty() {
            let changes = self.set.iter();
            let changes = changes.map(|(path, value)| Change::json(path, value.get()));
            let changes = changes.collect::<Result<Vec<_>, _>>();
            let edited = changes.and_then(|changes| edit_json(&bytes, &changes));
            bytes = edited.map_err(Failure::usage)?;
        }
        let labels = Labels {
            event_type: self.event_type.as_deref(),
            action: self.action.as_deref(),
        };
        if labels.event_type.is_none() && labels.action.is_some() {
            return Err(Failure::usage("`type` is missing"));
        }
        body::payload(bytes, content_type, method.as_deref(), labels)
    }

    fn event(
        &self,
        ctx: &Context<'_>,
        sample: &SampleArgs,
        order: ElementOrder,
        number: u64,
    ) -> Result<Event, Failure> {
        let (Some(event_type), Some(action)) = (&self.event_type, &self.action) else {
            let missing = if self.event_type.is_none() {
                "type"
            } else {
                "action"
            };
            return Err(Failure::usage(format!("`{missing}` is missing")));
        };
        let mut object = match (&self.object, &self.object_file) {
            (Some(object), _) => Object::parse(object.as_bytes())
                .map_err(|e| Failure::from(e).context("its `object` cannot be sent".to_owned()))?,
            (None, Some(path)) => Object::parse(&payload::read(path, ctx, "an object")?)
                .map_err(|e| payload::in_file(e, "object", path))?,
            (None, None) => {
                sample.object(ctx, event_type, action, order, SamplePurpose::Line(number))?
            }
        };
        let changes = self.set.iter().map(|(path, value)| match value.get() {
            text if text.starts_with('"') => match serde_json::from_str(text) {
                Ok(text) => Ok((path.as_str(), text)),
                Err(e) => Err(Failure::usage(format!(
                    "the value of `{path}` in `set` is not a text: {e}"
                ))),
            },
            text if text.starts_with(['{', '[']) || text == "null" => Err(Failure::usage(format!(
                "the value of `{path}` in `set` is not a text, number, true or false"
            ))),
            text => Ok((path.as_str(), text.to_owned())),
        });
        let changes: Vec<(&str, String)> = changes.collect::<Result<_, Failure>>()?;
        let changes: Vec<(&str, &str)> = changes.iter().map(|(p, v)| (*p, &**v)).collect();
        object.set_all(&changes)?;
        Ok(Event::build(event_type, action, &object, order)?)
    }
}

fn invalid(key: &str, problem: &str) -> Failure {
    Failure::usage(format!("`{key}`: {problem}"))
}

/// The error in a line that is valid JSON.
fn wrong_shape(line: &[u8]) -> String {
    const KEYS: [&str; 11] = [
        "type",
        "action",
        "object",
        "object_file",
        "body",
        "body_text",
        "body_file",
        "content_type",
        "method",
        "set",
        "endpoint",
    ];
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
            "body" => (true, "JSON"),
            _ => (
                value.is_string() || value.is_null(),
                "text in double quotes",
            ),
        };
        if !is_valid {
            return format!("`{key}` must be {form}");
        }
    }
    "a key occurs twice".to_owned()
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
            ("nonsense", object),
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
