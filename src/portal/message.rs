//! The message in an error response of the portal: the texts of its JSON or XML. Secrets are not masked here.

use serde_json::Value;

use crate::event::{self, Element};

/// A longer body is returned as it is.
const MAX_PARSED_BYTES: usize = 64 * 1024;

/// The texts in JSON or XML, joined; any other body as it is.
pub(super) fn message(body: &[u8]) -> String {
    let mut texts = Vec::new();
    if body.len() > MAX_PARSED_BYTES {
        return String::from_utf8_lossy(body).into_owned();
    }
    if let Ok(value) = serde_json::from_slice(body) {
        json_texts("", &value, &mut texts);
    } else if let Ok(root) = event::tree(body) {
        xml_texts(&root, &mut texts);
    }
    if texts.is_empty() {
        String::from_utf8_lossy(body).into_owned()
    } else {
        texts.join("; ")
    }
}

/// `url is invalid` of `{"errors":{"url":["is invalid"]}}`.
fn json_texts(field: &str, value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_generic = matches!(name.as_str(), "errors" | "error" | "base");
                json_texts(if is_generic { field } else { name }, value, texts);
            }
        }
        Value::Array(values) => {
            for value in values {
                json_texts(field, value, texts);
            }
        }
        Value::String(text) => texts.push(format!("{field} {text}").trim().to_owned()),
        Value::Null => {}
        other => texts.push(format!("{field} {other}").trim().to_owned()),
    }
}

fn xml_texts(element: &Element, texts: &mut Vec<String>) {
    let mut has_elements = false;
    for inner in element.elements() {
        has_elements = true;
        xml_texts(inner, texts);
    }
    if !has_elements && !element.text().trim().is_empty() {
        texts.push(element.text().trim().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_without_markup() {
        for (body, expected) in [
            (
                r#"{"errors":{"url":["is invalid","is too long"],"base":["no"]}}"#,
                "url is invalid; url is too long; no",
            ),
            (r#"{"error":"may only read"}"#, "may only read"),
            (r#"{"status":7,"error":null}"#, "status 7"),
            (
                "<errors><error>Url &lt;x&gt; is invalid</error>\n<error> no </error></errors>",
                "Url <x> is invalid; no",
            ),
            ("<error>no</error>", "no"),
            ("{}", "{}"),
            ("<errors/>", "<errors/>"),
            ("not < found", "not < found"),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes()), expected, "{body}");
        }
        let long = format!("[\"{}\"]", "x".repeat(MAX_PARSED_BYTES));
        assert_eq!(message(long.as_bytes()), long);
    }
}
