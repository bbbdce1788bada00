//! What a tenant says is wrong, read: the texts of its JSON or XML.
//!
//! Deliberately masks nothing: who shows it knows the secrets that it may repeat.

use serde_json::Value;

use crate::event::{self, Element};

/// A longer answer is no message, and is not read as one.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// What is said in JSON or XML, without its markup; anything else as it is.
pub fn words(body: &[u8]) -> String {
    let mut said = Vec::new();
    if body.len() > LONGEST_MESSAGE {
        return String::from_utf8_lossy(body).into_owned();
    }
    if let Ok(value) = serde_json::from_slice(body) {
        texts_of_json("", &value, &mut said);
    } else if let Ok(root) = event::tree(body) {
        texts_of_xml(&root, &mut said);
    }
    if said.is_empty() {
        String::from_utf8_lossy(body).into_owned()
    } else {
        said.join("; ")
    }
}

/// `url is invalid` of `{"errors":{"url":["is invalid"]}}`.
fn texts_of_json(field: &str, value: &Value, said: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let name = if matches!(name.as_str(), "errors" | "error" | "base") {
                field
            } else {
                name
            };
            texts_of_json(name, value, said);
        }),
        Value::Array(values) => values
            .iter()
            .for_each(|value| texts_of_json(field, value, said)),
        Value::String(text) => said.push(format!("{field} {text}").trim().to_owned()),
        Value::Null => {}
        other => said.push(format!("{field} {other}").trim().to_owned()),
    }
}

fn texts_of_xml(element: &Element, said: &mut Vec<String>) {
    let mut has_elements = false;
    for inner in element.elements() {
        has_elements = true;
        texts_of_xml(inner, said);
    }
    if !has_elements && !element.text().trim().is_empty() {
        said.push(element.text().trim().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_without_its_markup_and_anything_else_as_it_is() {
        for (said, told) in [
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
            assert_eq!(words(said.as_bytes()), told, "{said}");
        }
        let long = format!("[\"{}\"]", "x".repeat(LONGEST_MESSAGE));
        assert_eq!(words(long.as_bytes()), long);
    }
}
