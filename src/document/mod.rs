//! Bodies that are XML or JSON: a tree to search and compare, [paths](FieldPath) into it, and changes of JSON.
//!
//! JSON keeps all digits of its numbers, and the order and repeats of its keys. Every step takes linear time.

mod edit;
mod path;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::event::{self, Element, EventError};

pub use edit::{Change, edit_json};
pub use path::FieldPath;

/// Limits the recursion over JSON; [`event::tree`] limits that over XML.
const MAX_JSON_DEPTH: usize = 64;

/// Deeper levels of JSON are indented no further.
const MAX_INDENTED_LEVELS: usize = 20;

/// A longer result is not worth showing: indentation makes a hostile document forty times as long.
const MAX_GROWTH: usize = 16;
const MAX_SMALL_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub struct Document<'a> {
    /// The name of the root element; none for JSON.
    pub root_name: Option<String>,
    pub root: BodyNode<'a>,
}

#[derive(Debug)]
pub enum BodyNode<'a> {
    /// A JSON string, an attribute's value, or an element that has only text.
    Text(Cow<'a, str>),
    /// A JSON number, boolean or null, as written.
    Literal(&'a str),
    Array(Vec<BodyNode<'a>>),
    /// A JSON object, or an element with attributes or elements. An element's attributes come first, with names such as
    /// `@id`; its texts have no name.
    Group(Vec<(Option<Cow<'a, str>>, BodyNode<'a>)>),
}

impl<'a> Document<'a> {
    /// Reads XML, plain or in a form, or JSON with or without a byte order mark. The error is a message.
    pub fn read(body: &'a [u8]) -> Result<Document<'a>, String> {
        let not_xml = match event::tree(&event::extract_xml(body)) {
            Ok(root) => {
                return Ok(Document {
                    root_name: Some(root.name.clone()),
                    root: BodyNode::element(root),
                });
            }
            Err(error) => error,
        };
        match json_text(body) {
            Ok(text) => {
                let mut tokens = Tokens(text);
                let root = tokens
                    .next()
                    .and_then(|first| BodyNode::json(first, &mut tokens, MAX_JSON_DEPTH))
                    .ok_or_else(|| format!("JSON nested more than {MAX_JSON_DEPTH} deep"))?;
                Ok(Document {
                    root_name: None,
                    root,
                })
            }
            Err(error) if looks_like_json(body) => Err(format!("not JSON: {error}")),
            Err(_) => Err(match not_xml {
                EventError::Empty => "the body is empty".to_owned(),
                EventError::NotXml { .. } => "the body is neither XML nor JSON".to_owned(),
                error => error.to_string(),
            }),
        }
    }

    /// As [`Document::read`]; a body that is neither XML nor JSON, and has the type of a form, is a group of its fields.
    pub fn of_type(content_type: &str, body: &'a [u8]) -> Result<Document<'a>, String> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is_form = media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        match Document::read(body) {
            Err(_) if is_form && !body.is_empty() => {
                let fields = form_urlencoded::parse(body);
                let fields = fields.map(|(name, value)| (Some(name), BodyNode::Text(value)));
                Ok(Document {
                    root_name: None,
                    root: BodyNode::Group(fields.collect()),
                })
            }
            read => read,
        }
    }
}

impl<'a> BodyNode<'a> {
    fn element(element: Element) -> BodyNode<'a> {
        let is_leaf = element.elements().next().is_none();
        if is_leaf && element.attributes.is_empty() {
            return BodyNode::Text(element.text().into());
        }
        let text = |text: String| BodyNode::Text(text.into());
        let mut members = Vec::new();
        let empty_text = is_leaf && element.content.is_empty();
        for (name, value) in element.attributes {
            members.push((Some(format!("@{name}").into()), text(value)));
        }
        for node in element.content {
            members.push(match node {
                event::Node::Element(mut child) => {
                    let name = std::mem::take(&mut child.name);
                    (Some(name.into()), BodyNode::element(child))
                }
                event::Node::Text(value) => (None, text(value)),
            });
        }
        members.extend(empty_text.then(|| (None, text(String::new()))));
        BodyNode::Group(members)
    }

    /// The value that begins with the token `first`; none if it is nested too deep.
    fn json(first: &'a str, tokens: &mut Tokens<'a>, depth: usize) -> Option<BodyNode<'a>> {
        let depth = depth.checked_sub(1)?;
        Some(match first {
            "[" => {
                let mut items = Vec::new();
                while let Some(token) = tokens.next().filter(|token| *token != "]") {
                    if token != "," {
                        items.push(BodyNode::json(token, tokens, depth)?);
                    }
                }
                BodyNode::Array(items)
            }
            "{" => {
                let mut members = Vec::new();
                while let Some(key) = tokens.next().filter(|token| *token != "}") {
                    if key != "," {
                        let value = tokens.nth(1)?;
                        let value = BodyNode::json(value, tokens, depth)?;
                        members.push((Some(unquoted(key)), value));
                    }
                }
                BodyNode::Group(members)
            }
            _ if first.starts_with('"') => BodyNode::Text(unquoted(first)),
            _ => BodyNode::Literal(first),
        })
    }

    /// Whether it is an element or object with members of its own, rather than a value.
    pub fn is_group(&self) -> bool {
        match self {
            BodyNode::Text(_) | BodyNode::Literal(_) => false,
            BodyNode::Array(_) => true,
            BodyNode::Group(members) => {
                let is_member =
                    |name: &Option<Cow<'_, str>>| !name.as_ref().is_none_or(|n| n.starts_with('@'));
                // An element without elements has a text, though it may be empty.
                members.iter().any(|(name, _)| is_member(name))
                    || members.iter().all(|(name, _)| name.is_some())
            }
        }
    }

    /// A scalar's value, or the text directly in an element.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            BodyNode::Text(text) => Cow::Borrowed(text),
            BodyNode::Literal(written) => Cow::Borrowed(written),
            BodyNode::Array(_) => Cow::Borrowed(""),
            BodyNode::Group(members) => {
                let texts = members.iter().filter(|(name, _)| name.is_none());
                Cow::Owned(texts.map(|(_, text)| text.text()).collect::<String>())
            }
        }
    }

    /// The members of a group and the items of an array, which have no name.
    pub fn children(&self) -> impl Iterator<Item = (Option<&str>, &BodyNode<'a>)> {
        let (items, members): (&[BodyNode<'a>], &[_]) = match self {
            BodyNode::Array(items) => (items, &[]),
            BodyNode::Group(members) => (&[], members),
            _ => (&[], &[]),
        };
        let members = members.iter().map(|(name, node)| (name.as_deref(), node));
        items.iter().map(|item| (None, item)).chain(members)
    }
}

/// JSON over several lines, indented by two spaces a level; nothing else is changed. None if it is not JSON, or too deep.
pub fn pretty_json(body: &[u8]) -> Option<String> {
    let max_length = body.len().saturating_mul(MAX_GROWTH).max(MAX_SMALL_BYTES);
    let mut pretty = String::new();
    let (mut level, mut previous) = (0_usize, "");
    for token in Tokens(json_text(body).ok()?) {
        let is_end = matches!(token, "]" | "}");
        level -= usize::from(is_end);
        let is_empty = is_end && matches!(previous, "[" | "{");
        if !is_empty && (is_end || matches!(previous, "[" | "{" | ",")) {
            pretty.push('\n');
            pretty.push_str(&"  ".repeat(level.min(MAX_INDENTED_LEVELS)));
        }
        pretty.push_str(if token == ":" { ": " } else { token });
        level += usize::from(matches!(token, "[" | "{"));
        previous = token;
        if pretty.len() > max_length {
            return None;
        }
    }
    Some(pretty)
}

/// Whether a body is JSON rather than XML, by its first character.
pub fn looks_like_json(body: &[u8]) -> bool {
    let start = without_mark(body).trim_ascii_start().first();
    matches!(start, Some(b'{' | b'['))
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

fn json_text(body: &[u8]) -> serde_json::Result<&str> {
    Ok(serde_json::from_slice::<&RawValue>(without_mark(body))?.get())
}

/// The tokens of valid JSON, as written.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let length = match text.as_bytes().first()? {
            b'"' => {
                let mut is_escaped = false;
                let end = text[1..].bytes().position(|byte| {
                    let is_end = byte == b'"' && !is_escaped;
                    is_escaped = byte == b'\\' && !is_escaped;
                    is_end
                });
                end? + 2
            }
            b'[' | b']' | b'{' | b'}' | b',' | b':' => 1,
            _ => text
                .find(|c: char| c.is_ascii_whitespace() || matches!(c, ']' | '}' | ','))
                .unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(length);
        self.0 = rest;
        Some(token)
    }
}

/// The text of a JSON string; as written if it has half a surrogate pair.
fn unquoted(token: &str) -> Cow<'_, str> {
    match token.trim_matches('"') {
        plain if !token.contains('\\') => Cow::Borrowed(plain),
        _ => serde_json::from_str(token).map_or(Cow::Borrowed(token), Cow::Owned),
    }
}

/// Whether two JSON numbers are equal by value, or two texts the same.
pub fn is_same_literal(a: &str, b: &str) -> bool {
    a == b || canonical_number(a).is_some_and(|number| canonical_number(b) == Some(number))
}

/// `-12e-1` for `-1.20`: the same text for equal numbers. None for other text, and for an exponent beyond 64 bits.
fn canonical_number(written: &str) -> Option<String> {
    let (sign, rest) = match written.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", written),
    };
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let without_end = digits.trim_end_matches('0');
    let significant = without_end.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let exponent: i64 = exponent.parse().ok()?;
    let shift = i64::try_from(digits.len() - without_end.len()).ok()?
        - i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.checked_add(shift)?;
    Some(format!("{sign}{significant}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_changes_only_white_space() {
        let text = "{ \"n\":1.00e5,\"s\" : \"\\u0041 \\\"[,\\\\\",\"l\":[1 ,{}, [ ] ],\"e\":[\n],\"t\":true}";
        let shown = pretty_json(text.as_bytes()).unwrap();
        assert_eq!(
            shown,
            "{\n  \"n\": 1.00e5,\n  \"s\": \"\\u0041 \\\"[,\\\\\",\n  \"l\": [\n    1,\n    {},\n    []\n  ],\n  \
             \"e\": [],\n  \"t\": true\n}"
        );
    }

    #[test]
    fn indentation_is_limited() {
        let deep = |levels: usize, text: &str| {
            let deep = format!("{}{text}{}", "[".repeat(levels), "]".repeat(levels));
            pretty_json(deep.as_bytes())
        };
        let shown = deep(100, &format!("\"{}\"", "x".repeat(1_000))).unwrap();
        let indents = shown
            .lines()
            .map(|line| line.len() - line.trim_start().len());
        assert_eq!(
            (shown.lines().count(), indents.max()),
            (2 * 100 + 1, Some(2 * MAX_INDENTED_LEVELS))
        );
        assert_eq!(deep(5_000, ""), None);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "{", "[1,]", "nul", "\"\n\"", "1 2", "\u{feff}\u{feff}1"] {
            assert!(Document::read(text.as_bytes()).is_err(), "{text:?}");
            assert_eq!(pretty_json(text.as_bytes()), None, "{text:?}");
        }
        assert!(Document::read("\u{feff}1".as_bytes()).is_ok());
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Document::read(deep(MAX_JSON_DEPTH).as_bytes()).is_ok());
        for levels in [MAX_JSON_DEPTH + 1, 20_000] {
            let error = Document::read(deep(levels).as_bytes()).unwrap_err();
            assert_eq!(error, "JSON nested more than 64 deep");
        }
    }

    #[test]
    fn half_a_surrogate_pair_stays_as_written() {
        let body = br#"{"\ud800":"\udc00"}"#;
        let BodyNode::Group(members) = Document::read(body).unwrap().root else {
            panic!("not an object");
        };
        assert_eq!(members[0].0.as_deref(), Some(r#""\ud800""#));
        assert_eq!(members[0].1.text(), r#""\udc00""#);
    }

    #[test]
    fn numbers_are_compared_by_value() {
        for (a, b) in [
            ("10.50", "10.5"),
            ("1e2", "100"),
            ("-0", "0.0"),
            ("5E-1", "0.5"),
            ("true", "true"),
        ] {
            assert!(is_same_literal(a, b), "{a} {b}");
        }
        assert!(!is_same_literal(
            "123456789012345678901234567890",
            "123456789012345678901234567891"
        ));
        for text in ["", "x", "-", "1x", "+1", "1e", "1e99999999999999999999"] {
            assert_eq!(canonical_number(text), None, "{text}");
        }
    }
}
