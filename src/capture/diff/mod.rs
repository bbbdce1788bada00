//! Compares two bodies by content: XML and JSON element by element, all else byte by byte.
//!
//! Bodies are equivalent if they differ only in what no receiver should act on. The format is recognized by the body
//! itself, not by its `Content-Type`. Time is linear and the result limited for all bodies.

mod json;
mod xml;

use std::collections::HashMap;

use serde::Serialize;

use super::json::Json;
use crate::event;

const MAX_DIFFERENCES: usize = 1_000;
/// Of a path, and of each value.
const MAX_CHARS: usize = 1_000;

/// How two bodies were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    Xml,
    Json,
    Bytes,
}

impl BodyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            BodyKind::Xml => "xml",
            BodyKind::Json => "json",
            BodyKind::Bytes => "bytes",
        }
    }
}

/// One place in which two bodies differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Such as `event/object/plan/@id` in XML, `.items[2].name` in JSON, and `byte 17` elsewhere.
    pub path: String,
    /// What the first has there, if anything.
    pub a: Option<String>,
    /// What the second has there.
    pub b: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    SameBytes,
    /// Other bytes with the same content.
    Equivalent(BodyKind),
    Different(BodyKind, Differences),
}

/// Differences in the order of the first body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub found: Vec<Difference>,
    /// Whether there are more than are listed.
    pub truncated: bool,
}

impl Differences {
    fn push(&mut self, path: String, a: Option<String>, b: Option<String>) {
        if self.found.len() == MAX_DIFFERENCES {
            self.truncated = true;
            return;
        }
        self.found.push(Difference {
            path: shortened(path),
            a: a.map(shortened),
            b: b.map(shortened),
        });
    }
}

/// Gives each item its number among those of the same name, counted from 1.
fn numbered<'a, T>(items: impl Iterator<Item = (&'a str, T)>) -> Vec<((&'a str, usize), T)> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut numbered = Vec::new();
    for (name, item) in items {
        let number = numbers.entry(name).or_insert(0);
        *number += 1;
        numbered.push(((name, *number), item));
    }
    numbered
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Compares by content if both bodies are XML, plain or in a form, or both are JSON; else byte by byte.
pub fn compare(a: &[u8], b: &[u8]) -> Comparison {
    if a == b {
        return Comparison::SameBytes;
    }
    let tree = |body| event::tree(&event::extract_xml(body));
    let mut differences = Differences::default();
    let kind = if let (Ok(a), Ok(b)) = (tree(a), tree(b)) {
        xml::compare_roots(&a, &b, &mut differences);
        BodyKind::Xml
    } else if let (Ok(a), Ok(b)) = (Json::parse(a), Json::parse(b)) {
        json::compare_roots(&a, &b, &mut differences);
        BodyKind::Json
    } else {
        let (path, a, b) = first_difference(a, b);
        differences.push(path, a, b);
        BodyKind::Bytes
    };
    if differences.found.is_empty() {
        Comparison::Equivalent(kind)
    } else {
        Comparison::Different(kind, differences)
    }
}

/// XML (also in a form) and JSON over several lines, with no value changed; none for any other body.
pub fn pretty(body: &[u8]) -> Option<String> {
    if let Ok(pretty) = event::pretty(&event::extract_xml(body)) {
        return Some(pretty);
    }
    Some(Json::parse(body).ok()?.pretty())
}

fn first_difference(a: &[u8], b: &[u8]) -> (String, Option<String>, Option<String>) {
    const SHOWN_BYTES: usize = 24;
    let is_text = std::str::from_utf8(a).is_ok() && std::str::from_utf8(b).is_ok();
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let from = |bytes: &[u8]| {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let more = if rest.len() > SHOWN_BYTES { "…" } else { "" };
        let shown = &rest[..rest.len().min(SHOWN_BYTES)];
        if is_text {
            return Some(String::from_utf8_lossy(shown).into_owned() + more);
        }
        let codes: Vec<String> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(codes.join(" ") + more)
    };
    (format!("byte {at}"), from(a), from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_compared_by_their_format() {
        assert_eq!(compare(b"x", b"x"), Comparison::SameBytes);
        assert_eq!(
            compare(b"<a/>", b"<a></a>"),
            Comparison::Equivalent(BodyKind::Xml)
        );
        assert_eq!(
            compare(b"<a/>", b"params[xml]=%3Ca/%3E"),
            Comparison::Equivalent(BodyKind::Xml)
        );
        assert_eq!(
            compare(b"[1]", b"[ 1.0 ]"),
            Comparison::Equivalent(BodyKind::Json)
        );
        assert!(matches!(
            compare(b"<a/>", b"[]"),
            Comparison::Different(BodyKind::Bytes, _)
        ));
    }

    #[test]
    fn xml_in_a_form_is_pretty_printed() {
        assert_eq!(
            pretty(b"params%5Bxml%5D=%3Ca%3E+%3Cb/%3E%3C/a%3E").as_deref(),
            Some("<a>\n  <b/>\n</a>")
        );
        assert_eq!(pretty(b"xml=%3Ca/%3E"), None);
    }

    #[test]
    fn bytes_differ_from_the_first_difference_on() {
        let found = |a: &[u8], b: &[u8]| match compare(a, b) {
            Comparison::Different(BodyKind::Bytes, differences) => differences.found,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            found(b"ab\xff", b"ab"),
            [Difference {
                path: "byte 2".into(),
                a: Some("ff".into()),
                b: None
            }]
        );
        assert_eq!(
            found(b"one\ntwo", b"one two"),
            [Difference {
                path: "byte 3".into(),
                a: Some("\ntwo".into()),
                b: Some(" two".into())
            }]
        );
    }

    #[test]
    fn hostile_documents_cost_little() {
        let started = std::time::Instant::now();
        let size = |comparison: &Comparison| match comparison {
            Comparison::Different(_, Differences { found, truncated }) => {
                let text = |value: &Option<String>| value.as_ref().map_or(0, String::len);
                let bytes: usize = found
                    .iter()
                    .map(|d| d.path.len() + text(&d.a) + text(&d.b))
                    .sum();
                (bytes, *truncated)
            }
            other => panic!("{other:?}"),
        };
        // Long paths to many differences, many siblings of different names, and one huge text.
        let name = "n".repeat(1_000);
        let deep = |leaf: &str| {
            let open = format!("<{name}>").repeat(500);
            let close = format!("</{name}>").repeat(500);
            format!("<a>{open}{}{close}</a>", leaf.repeat(20_000))
        };
        let names: String = (0..50_000).map(|n| format!("<n{n}/>")).collect();
        let text = "x".repeat(1_000_000);
        for (a, b) in [
            (deep("<b>1</b>"), deep("<b>2</b>")),
            (format!("<a>{names}</a>"), "<a><b/></a>".to_owned()),
            (format!("<a>{text}</a>"), format!("<a>{text}y</a>")),
            (
                format!("[{}0]", "1,".repeat(200_000)),
                format!("[{}0]", "2,".repeat(200_000)),
            ),
        ] {
            let (bytes, _) = size(&compare(a.as_bytes(), b.as_bytes()));
            assert!(bytes < 4 * MAX_DIFFERENCES * MAX_CHARS, "{bytes}");
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}
