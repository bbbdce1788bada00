//! JSON as it was written: laid out and compared without a value being changed on the way.
//!
//! Numbers keep all their digits and objects their repeated keys, which a parser into numbers and maps would lose.
//!
//! Invariant: what was read is valid JSON, nested at most [`MAX_DEPTH`] deep.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Difference;

/// Deeper than people nest. Each level is read again for those in it, so that a hostile document costs so many readings.
const MAX_DEPTH: usize = 64;

/// Levels that are indented; deeper ones stay at this, or a deep document of 1 MB would take 100 MB to show.
const DEEPEST_INDENT: usize = 20;

/// A JSON document, or a value in one.
#[derive(Debug)]
pub enum Json<'a> {
    /// A string, number, boolean or null, as it was written.
    Scalar(&'a str),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object's members, in order, repeated keys included.
    Object(Vec<(String, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads a document; none if it is not JSON, or nested too deep.
    pub fn read(bytes: &'a [u8]) -> Option<Json<'a>> {
        Json::value(
            serde_json::from_slice::<&RawValue>(bytes).ok()?.get(),
            MAX_DEPTH,
        )
    }

    fn value(text: &'a str, depth: usize) -> Option<Json<'a>> {
        let within = depth.checked_sub(1)?;
        match text.as_bytes().first()? {
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                Some(Json::Array(
                    items
                        .iter()
                        .map(|item| Json::value(item.get(), within))
                        .collect::<Option<_>>()?,
                ))
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
    pub fn laid_out(&self) -> String {
        let mut text = String::new();
        self.lay_out(&mut text, 0);
        text
    }

    fn lay_out(&self, text: &mut String, level: usize) {
        match self {
            Json::Scalar(written) => text.push_str(written),
            Json::Array(items) => lay_out_all(text, level, ['[', ']'], items, |text, item| {
                item.lay_out(text, level + 1)
            }),
            Json::Object(members) => {
                lay_out_all(text, level, ['{', '}'], members, |text, (key, value)| {
                    text.push_str(&quoted(key));
                    text.push_str(": ");
                    value.lay_out(text, level + 1);
                })
            }
        }
    }

    /// The value in short.
    fn summary(&self) -> String {
        match self {
            Json::Scalar(written) => (*written).to_owned(),
            Json::Array(items) if items.is_empty() => "[]".to_owned(),
            Json::Array(_) => "[…]".to_owned(),
            Json::Object(members) if members.is_empty() => "{}".to_owned(),
            Json::Object(_) => "{…}".to_owned(),
        }
    }
}

/// An object's members as they come.
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

fn lay_out_all<T>(
    text: &mut String,
    level: usize,
    [open, close]: [char; 2],
    items: &[T],
    mut one: impl FnMut(&mut String, &T),
) {
    text.push(open);
    for (i, item) in items.iter().enumerate() {
        text.push_str(if i > 0 { ",\n" } else { "\n" });
        indent(text, level + 1);
        one(text, item);
    }
    if !items.is_empty() {
        text.push('\n');
        indent(text, level);
    }
    text.push(close);
}

fn indent(text: &mut String, level: usize) {
    text.push_str(&"  ".repeat(level.min(DEEPEST_INDENT)));
}

/// The differences, in the order of `a`; what only `b` has comes last of its parent. Paths are those of `jq`.
pub fn differences(a: &Json<'_>, b: &Json<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(a, b, "", &mut found);
    found
}

fn compare(a: &Json<'_>, b: &Json<'_>, path: &str, found: &mut Vec<Difference>) {
    match (a, b) {
        (Json::Scalar(a), Json::Scalar(b)) if plain(a) == plain(b) => {}
        (Json::Array(a), Json::Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                both(
                    a.get(i),
                    b.get(i),
                    &format!("{}[{i}]", if path.is_empty() { "." } else { path }),
                    found,
                );
            }
        }
        (Json::Object(a), Json::Object(b)) => {
            let (theirs, ours) = (numbered(b), numbered(a));
            let known: HashMap<(&str, usize), &Json<'_>> = theirs.iter().copied().collect();
            for &(key, value) in &ours {
                both(
                    Some(value),
                    known.get(&key).copied(),
                    &member(path, key),
                    found,
                );
            }
            let ours: HashMap<(&str, usize), &Json<'_>> = ours.into_iter().collect();
            for &(key, value) in theirs.iter().filter(|(key, _)| !ours.contains_key(key)) {
                both(None, Some(value), &member(path, key), found);
            }
        }
        _ => found.push(difference(Some(a), Some(b), path)),
    }
}

fn both(a: Option<&Json<'_>>, b: Option<&Json<'_>>, path: &str, found: &mut Vec<Difference>) {
    match (a, b) {
        (Some(a), Some(b)) => compare(a, b, path, found),
        _ => found.push(difference(a, b, path)),
    }
}

fn difference(a: Option<&Json<'_>>, b: Option<&Json<'_>>, path: &str) -> Difference {
    let path = if path.is_empty() { "." } else { path };
    Difference {
        path: path.to_owned(),
        a: a.map(Json::summary),
        b: b.map(Json::summary),
    }
}

/// Each key with its number among the members of that name: a repeated one is another member.
fn numbered<'j>(members: &'j [(String, Json<'j>)]) -> Vec<((&'j str, usize), &'j Json<'j>)> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    members
        .iter()
        .map(|(key, value)| {
            let number = numbers.entry(key).or_insert(0);
            *number += 1;
            ((key.as_str(), *number), value)
        })
        .collect()
}

/// `.name`, or `."odd name"`; a repeated key says which of them.
fn member(path: &str, (key, number): (&str, usize)) -> String {
    let simple = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let key = if simple {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(quoted(key))
    };
    let which = if number > 1 {
        format!(" (number {number})")
    } else {
        String::new()
    };
    format!("{path}.{key}{which}")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A scalar with the one spelling that all its spellings share.
fn plain(written: &str) -> Cow<'_, str> {
    match written.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(written)
            .map_or(Cow::Borrowed(written), |s| Cow::Owned(format!("\"{s}"))),
        Some(b'-' | b'0'..=b'9') => number(written).map_or(Cow::Borrowed(written), Cow::Owned),
        _ => Cow::Borrowed(written),
    }
}

/// `-12e-1` of `-1.20`: all its digits without zeros at either end, and an exponent. None if that cannot be counted.
fn number(written: &str) -> Option<String> {
    let (sign, rest) = written
        .strip_prefix('-')
        .map_or(("", written), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.trim_start_matches('0').is_empty() {
        return Some("0".to_owned());
    }
    let exponent: i64 = exponent.parse().ok()?;
    let shift = i64::try_from(digits.len() - significant.len()).ok()?
        - i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.checked_add(shift)?;
    Some(format!(
        "{sign}{}e{exponent}",
        significant.trim_start_matches('0')
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(a: &str, b: &str) -> Vec<String> {
        let (a, b) = (
            Json::read(a.as_bytes()).unwrap(),
            Json::read(b.as_bytes()).unwrap(),
        );
        let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        differences(&a, &b)
            .iter()
            .map(|d| format!("{}: {} / {}", d.path, told(&d.a), told(&d.b)))
            .collect()
    }

    #[test]
    fn spellings_of_one_meaning() {
        for (a, b) in [
            (
                "{\"a\":1,\"b\":[true,null]}",
                " { \"b\" : [ true , null ] , \"a\" : 1 } ",
            ),
            ("[1,10,0.5,-0,1e3,120]", "[1.0,1E1,5e-1,0,1000,1.2e2]"),
            ("\"\\u00e9\\/\"", "\"é/\""),
            ("{\"\\u0061\":0}", "{\"a\":0.0}"),
        ] {
            assert_eq!(found(a, b), [""; 0], "{a} {b}");
        }
    }

    #[test]
    fn each_difference_has_its_path() {
        assert_eq!(
            found(
                r#"{"a":{"b":[1,2]},"x y":1,"c":"1","d":[]}"#,
                r#"{"a":{"b":[1,3,4]},"c":1,"e":{}}"#
            ),
            [
                ".a.b[1]: 2 / 3",
                ".a.b[2]: - / 4",
                ".\"x y\": 1 / -",
                ".c: \"1\" / 1",
                ".d: [] / -",
                ".e: - / {}"
            ]
        );
        assert_eq!(found("[1]", "{}"), [".: […] / {}"]);
        assert_eq!(found("[1]", "[2]"), [".[0]: 1 / 2"]);
    }

    #[test]
    fn no_digit_is_lost() {
        let (a, b) = ("12345678901234567890123", "12345678901234567890124");
        assert_eq!(found(a, b), [format!(".: {a} / {b}")]);
        assert_eq!(
            found("1e99999999999999999999", "1e99999999999999999998").len(),
            1
        );
        assert_eq!(
            found("{\"a\":1,\"a\":2}", "{\"a\":2}"),
            [".a: 1 / 2", ".a (number 2): 2 / -"]
        );
    }

    #[test]
    fn laid_out_nothing_else_is_changed() {
        let text = "{\"n\":1.00e5,\"s\":\"\\u0041\",\"l\":[1,{}],\"e\":[]}";
        let shown = Json::read(text.as_bytes()).unwrap().laid_out();
        assert_eq!(
            shown,
            "{\n  \"n\": 1.00e5,\n  \"s\": \"\\u0041\",\n  \"l\": [\n    1,\n    {}\n  ],\n  \"e\": []\n}"
        );
    }

    #[test]
    fn what_is_deep_is_not_indented_for_ever() {
        let levels = MAX_DEPTH - 1;
        let deep = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let shown = Json::read(deep.as_bytes()).unwrap().laid_out();
        let indents = shown
            .lines()
            .map(|line| line.len() - line.trim_start().len());
        assert_eq!(
            (shown.lines().count(), indents.max()),
            (2 * levels + 1, Some(2 * DEEPEST_INDENT))
        );
    }

    #[test]
    fn what_is_not_json_is_none() {
        for text in ["", "{", "[1,]", "nul", "\"\n\"", "1 2", "\u{feff}1"] {
            assert!(Json::read(text.as_bytes()).is_none(), "{text:?}");
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::read(deep(MAX_DEPTH).as_bytes()).is_some());
        assert!(Json::read(deep(MAX_DEPTH + 1).as_bytes()).is_none());
        assert!(Json::read(deep(20_000).as_bytes()).is_none());
    }
}
