//! JSON as written: numbers keep all their digits, objects their order and repeated keys.
//!
//! serde_json checks the document; its `Value` would lose both. Used to show, compare and search bodies.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Each level is read again for those in it, so that a document is read this often at most.
const MAX_DEPTH: usize = 64;

/// Deeper levels are indented no further: a deep document of 1 MB would take 100 MB to show.
const MAX_INDENTED_LEVELS: usize = 20;

#[derive(Debug)]
pub enum Json<'a> {
    /// A string, number, boolean or null, as written.
    Scalar(&'a str),
    Array(Vec<Json<'a>>),
    Object(Vec<(String, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Parses a document; a byte order mark is ignored. The error is a message.
    pub fn parse(bytes: &'a [u8]) -> Result<Json<'a>, String> {
        let bytes = without_mark(bytes);
        let root: &RawValue =
            serde_json::from_slice(bytes).map_err(|e| format!("not JSON: {e}"))?;
        Json::value(root.get(), MAX_DEPTH)
            .ok_or_else(|| format!("JSON nested more than {MAX_DEPTH} deep"))
    }

    fn value(text: &'a str, depth: usize) -> Option<Json<'a>> {
        let within = depth.checked_sub(1)?;
        match text.as_bytes().first()? {
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let items = items.iter().map(|item| Json::value(item.get(), within));
                Some(Json::Array(items.collect::<Option<_>>()?))
            }
            b'{' => {
                let Members(members) = serde_json::from_str(text).ok()?;
                let members = members
                    .into_iter()
                    .map(|(key, value)| Some((key, Json::value(value.get(), within)?)));
                Some(Json::Object(members.collect::<Option<_>>()?))
            }
            _ => Some(Json::Scalar(text)),
        }
    }

    /// The document over several lines, indented by two spaces a level.
    pub fn pretty(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    fn write(&self, text: &mut String, level: usize) {
        match self {
            Json::Scalar(written) => text.push_str(written),
            Json::Array(items) => write_all(text, level, ['[', ']'], items, |text, item| {
                item.write(text, level + 1)
            }),
            Json::Object(members) => {
                write_all(text, level, ['{', '}'], members, |text, (key, value)| {
                    text.push_str(&quoted(key));
                    text.push_str(": ");
                    value.write(text, level + 1);
                })
            }
        }
    }
}

/// Whether a body is JSON rather than XML, by its first character.
pub fn looks_like_json(body: &[u8]) -> bool {
    let start = without_mark(body).trim_ascii_start().first();
    matches!(start, Some(b'{' | b'['))
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// An object's members in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn write_all<T>(
    text: &mut String,
    level: usize,
    [open, close]: [char; 2],
    items: &[T],
    mut write: impl FnMut(&mut String, &T),
) {
    text.push(open);
    for (i, item) in items.iter().enumerate() {
        text.push_str(if i > 0 { ",\n" } else { "\n" });
        indent(text, level + 1);
        write(text, item);
    }
    if !items.is_empty() {
        text.push('\n');
        indent(text, level);
    }
    text.push(close);
}

fn indent(text: &mut String, level: usize) {
    text.push_str(&"  ".repeat(level.min(MAX_INDENTED_LEVELS)));
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a scalar that is a string.
pub fn string(scalar: &str) -> Option<String> {
    serde_json::from_str(scalar).ok()
}

/// `-12e-1` for `-1.20`: the same text for equal numbers. None for other text, and for an exponent beyond 64 bits.
pub fn canonical_number(written: &str) -> Option<String> {
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
        let text = "{\"n\":1.00e5,\"s\":\"\\u0041\",\"l\":[1,{}],\"e\":[]}";
        let shown = Json::parse(text.as_bytes()).unwrap().pretty();
        assert_eq!(
            shown,
            "{\n  \"n\": 1.00e5,\n  \"s\": \"\\u0041\",\n  \"l\": [\n    1,\n    {}\n  ],\n  \"e\": []\n}"
        );
    }

    #[test]
    fn indentation_is_limited() {
        let levels = MAX_DEPTH - 1;
        let deep = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let shown = Json::parse(deep.as_bytes()).unwrap().pretty();
        let indents = shown
            .lines()
            .map(|line| line.len() - line.trim_start().len());
        assert_eq!(
            (shown.lines().count(), indents.max()),
            (2 * levels + 1, Some(2 * MAX_INDENTED_LEVELS))
        );
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "{", "[1,]", "nul", "\"\n\"", "1 2", "\u{feff}\u{feff}1"] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Json::parse("\u{feff}1".as_bytes()).is_ok());
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(Json::parse(deep(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(Json::parse(deep(20_000).as_bytes()).is_err());
    }

    #[test]
    fn equal_numbers_have_one_canonical_form() {
        for (a, b) in [
            ("10.50", "10.5"),
            ("1e2", "100"),
            ("-0", "0.0"),
            ("5E-1", "0.5"),
        ] {
            assert_eq!(canonical_number(a), canonical_number(b), "{a} {b}");
        }
        assert_ne!(
            canonical_number("123456789012345678901234567890"),
            canonical_number("123456789012345678901234567891")
        );
        for text in ["", "x", "-", "1x", "+1", "1e", "1e99999999999999999999"] {
            assert_eq!(canonical_number(text), None, "{text}");
        }
    }
}
