//! Compares two bodies by content: XML and JSON member by member, all else byte by byte.
//!
//! Bodies are equivalent if they differ only in what no receiver should act on. The format is recognized by the body
//! itself, not by its `Content-Type`. The n-th member of a name is compared with the n-th of that name under the same parent, so
//! that a missing element is one difference. Time is linear and the result limited for all bodies.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Serialize;

use crate::document::{BodyNode, Document, is_same_literal, pretty_json};
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// None if the bodies are equal byte by byte.
    pub kind: Option<BodyKind>,
    /// In the order of the first body. Without any, the bodies are equivalent.
    pub differences: Vec<Difference>,
    /// Whether there are more differences than are listed.
    pub truncated: bool,
}

/// Compares by content if both bodies are XML, plain or in a form, or both are JSON; else byte by byte.
pub fn compare(a: &[u8], b: &[u8]) -> Comparison {
    let mut differ = Differ::default();
    differ.result.kind = match (Document::read(a), Document::read(b)) {
        _ if a == b => None,
        (Ok(a), Ok(b)) if a.root_name.is_some() == b.root_name.is_some() => {
            Some(differ.documents(&a, &b))
        }
        _ => {
            differ.bytes(a, b);
            Some(BodyKind::Bytes)
        }
    };
    differ.result
}

/// XML (also in a form) and JSON over several lines, with no value changed; none for any other body.
pub fn pretty(body: &[u8]) -> Option<String> {
    let xml = event::pretty(&event::extract_xml(body)).ok();
    xml.or_else(|| pretty_json(body))
}

/// Why [`pretty`] returns nothing for this body.
pub fn not_pretty(body: &[u8]) -> String {
    match Document::read(body) {
        Ok(_) => "indented, it would be too long".to_owned(),
        Err(message) => message,
    }
}

#[derive(Default)]
struct Differ {
    is_xml: bool,
    /// From the root to here, put together only for a difference: it may be long.
    path: Vec<String>,
    result: Comparison,
}

impl Differ {
    fn documents(&mut self, a: &Document<'_>, b: &Document<'_>) -> BodyKind {
        if a.root_name != b.root_name {
            self.path.push("root element".to_owned());
            self.push(a.root_name.clone(), b.root_name.clone());
            return BodyKind::Xml;
        }
        self.is_xml = a.root_name.is_some();
        self.path.extend(a.root_name.clone());
        self.nodes(&a.root, &b.root);
        if self.is_xml {
            BodyKind::Xml
        } else {
            BodyKind::Json
        }
    }

    fn nodes(&mut self, a: &BodyNode<'_>, b: &BodyNode<'_>) {
        if self.is_xml {
            let (a, b) = (a.text(), b.text());
            if a != b {
                self.push(Some(a.into_owned()), Some(b.into_owned()));
            }
        } else if !is_same_value(a, b) {
            return self.push(Some(json_summary(a)), Some(json_summary(b)));
        }
        let before = self.result.differences.len();
        if let (BodyNode::Array(a), BodyNode::Array(b)) = (a, b) {
            for i in 0..a.len().max(b.len()) {
                if self.result.truncated {
                    return;
                }
                self.pair(format!("[{i}]"), "", [a.get(i), b.get(i)]);
            }
        }
        let pairs = pairs(a, b);
        for (&(name, number), &pair) in &pairs {
            if self.result.truncated {
                return;
            }
            let is_repeated = number > 1 || pairs.contains_key(&(name, 2));
            self.pair(self.step(name, number, is_repeated), name, pair);
        }
        // The order of elements counts if nothing else differs.
        let names = |node| BodyNode::children(node).map(|(name, _)| name.unwrap_or("text"));
        let is_unchanged = self.result.differences.len() == before;
        if self.is_xml && is_unchanged && !names(a).eq(names(b)) {
            let listed = |node| {
                names(node)
                    .filter(|name| !name.starts_with('@'))
                    .take(MAX_CHARS)
            };
            let [a, b] = [a, b].map(|node| Some(listed(node).collect::<Vec<_>>().join(", ")));
            self.path.push(" (order)".to_owned());
            self.push(a, b);
            self.path.pop();
        }
    }

    fn pair(&mut self, step: String, name: &str, pair: [Option<&BodyNode<'_>>; 2]) {
        self.path.push(step);
        match pair {
            [Some(a), Some(b)] => self.nodes(a, b),
            pair => {
                let [a, b] = pair.map(|node| Some(self.summary(name, node?)));
                self.push(a, b);
            }
        }
        self.path.pop();
    }

    fn step(&self, name: &str, number: usize, is_repeated: bool) -> String {
        match number {
            _ if self.is_xml && is_repeated => format!("/{name}[{number}]"),
            _ if self.is_xml => format!("/{name}"),
            1 => format!(".{}", json_key(name)),
            _ => format!(".{} (number {number})", json_key(name)),
        }
    }

    /// What only one document has.
    fn summary(&self, name: &str, node: &BodyNode<'_>) -> String {
        match self.is_xml {
            true if node.is_group() => format!("<{name}>…</{name}>"),
            true => node.text().into_owned(),
            false => json_summary(node),
        }
    }

    fn bytes(&mut self, a: &[u8], b: &[u8]) {
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
        self.path.push(format!("byte {at}"));
        self.push(from(a), from(b));
    }

    fn push(&mut self, a: Option<String>, b: Option<String>) {
        if self.result.differences.len() == MAX_DIFFERENCES {
            self.result.truncated = true;
            return;
        }
        // A path in JSON begins with a dot.
        let needs_dot = self.path.first().is_none_or(|step| step.starts_with('['));
        let mut path = String::from(if needs_dot { "." } else { "" });
        for step in &self.path {
            path.push_str(step);
            if path.len() > MAX_CHARS * 4 {
                break;
            }
        }
        self.result.differences.push(Difference {
            path: shortened(path),
            a: a.map(shortened),
            b: b.map(shortened),
        });
    }
}

type Pairs<'n, 'a> = IndexMap<(&'n str, usize), [Option<&'n BodyNode<'a>>; 2]>;

/// The members of groups with their number among those of the same name, counted from 1; those of `a` first.
fn pairs<'n, 'a>(a: &'n BodyNode<'a>, b: &'n BodyNode<'a>) -> Pairs<'n, 'a> {
    let mut pairs = Pairs::new();
    for (side, node) in [a, b].into_iter().enumerate() {
        let mut numbers: HashMap<_, usize> = HashMap::new();
        for (name, child) in node.children() {
            let Some(name) = name else { continue };
            let number = numbers.entry(name).or_insert(0);
            *number += 1;
            pairs.entry((name, *number)).or_default()[side] = Some(child);
        }
    }
    pairs
}

fn is_same_value(a: &BodyNode<'_>, b: &BodyNode<'_>) -> bool {
    match (a, b) {
        (BodyNode::Text(a), BodyNode::Text(b)) => a == b,
        (BodyNode::Literal(a), BodyNode::Literal(b)) => is_same_literal(a, b),
        (BodyNode::Array(_), BodyNode::Array(_)) | (BodyNode::Group(_), BodyNode::Group(_)) => true,
        _ => false,
    }
}

fn json_summary(node: &BodyNode<'_>) -> String {
    match node {
        BodyNode::Text(text) => json_string(text),
        BodyNode::Literal(written) => (*written).to_owned(),
        BodyNode::Array(items) if items.is_empty() => "[]".to_owned(),
        BodyNode::Array(_) => "[…]".to_owned(),
        BodyNode::Group(members) if members.is_empty() => "{}".to_owned(),
        BodyNode::Group(_) => "{…}".to_owned(),
    }
}

/// In quotes if it is not a plain name.
fn json_key(key: &str) -> String {
    let simple = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if simple {
        key.to_owned()
    } else {
        json_string(key)
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_compared_by_their_format() {
        assert_eq!(compare(b"x", b"x"), Comparison::default());
        let form: &[u8] = b"params[xml]=%3Ca/%3E";
        for (a, b, kind) in [
            (&b"<a/>"[..], &b"<a></a>"[..], BodyKind::Xml),
            (b"<a/>", form, BodyKind::Xml),
            (b"[1]", b"[ 1.0 ]", BodyKind::Json),
        ] {
            let equivalent = Comparison {
                kind: Some(kind),
                ..Comparison::default()
            };
            assert_eq!(compare(a, b), equivalent);
        }
        let other = compare(b"<a/>", b"[]");
        assert_eq!(
            (other.kind, other.differences.len()),
            (Some(BodyKind::Bytes), 1)
        );
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
        let found = |a: &[u8], b: &[u8]| compare(a, b).differences;
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
        // Long paths to many differences, many siblings, attributes or keys, one huge text, and deep nesting.
        let name = "n".repeat(1_000);
        let deep = |leaf: &str| {
            let open = format!("<{name}>").repeat(500);
            let close = format!("</{name}>").repeat(500);
            format!("<a>{open}{}{close}</a>", leaf.repeat(20_000))
        };
        let names: String = (0..50_000).map(|n| format!("<n{n}/>")).collect();
        let attributes = |value: &str| {
            let all = (0..50_000).map(|n| format!(" a{n}='{value}'"));
            format!("<a{}/>", all.collect::<String>())
        };
        let keys =
            |value: &str| format!("{{{}\"k\":0}}", format!("\"k\":{value},").repeat(100_000));
        let text = "x".repeat(1_000_000);
        for (a, b) in [
            (deep("<b>1</b>"), deep("<b>2</b>")),
            (format!("<a>{names}</a>"), "<a><b/></a>".to_owned()),
            (format!("<a>{text}</a>"), format!("<a>{text}y</a>")),
            (attributes("1"), attributes("2")),
            (keys("1"), keys("2")),
            (
                "[".repeat(60) + &"]".repeat(60),
                "[".repeat(50) + &"]".repeat(50),
            ),
            (
                format!("[{}0]", "1,".repeat(200_000)),
                format!("[{}0]", "2,".repeat(200_000)),
            ),
        ] {
            let found = compare(a.as_bytes(), b.as_bytes()).differences;
            assert!(!found.is_empty());
            let text = |value: &Option<String>| value.as_ref().map_or(0, String::len);
            let bytes = found.iter().map(|d| d.path.len() + text(&d.a) + text(&d.b));
            let bytes: usize = bytes.sum();
            assert!(bytes < 4 * MAX_DIFFERENCES * MAX_CHARS, "{bytes}");
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    fn found(a: &str, b: &str) -> Vec<String> {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let differences = compare(a.as_bytes(), b.as_bytes()).differences;
        let lines = differences
            .iter()
            .map(|d| format!("{}: {} / {}", d.path, shown(&d.a), shown(&d.b)));
        lines.collect()
    }

    #[test]
    fn xml_differences_have_paths() {
        let a = "<event><plan id='1' x='y'><name>Basic</name></plan><user>u</user></event>";
        let b = "<event><plan id='2'><name>Gold</name></plan><user>u</user><state/></event>";
        assert_eq!(
            found(a, b),
            [
                "event/plan/@id: 1 / 2",
                "event/plan/@x: y / -",
                "event/plan/name: Basic / Gold",
                "event/state: - / "
            ]
        );
        assert_eq!(found("<a/>", "<b/>"), ["root element: a / b"]);
    }

    #[test]
    fn repeated_elements_have_a_number() {
        assert_eq!(
            found("<a><b>1</b><b>2</b></a>", "<a><b>1</b><b>3</b></a>"),
            ["a/b[2]: 2 / 3"]
        );
        assert_eq!(
            found("<a><b>1</b><b><c/></b></a>", "<a><b>1</b></a>"),
            ["a/b[2]: <b>…</b> / -"]
        );
    }

    #[test]
    fn order_counts_if_nothing_else_differs() {
        assert_eq!(
            found("<a><b/><c/></a>", "<a><c/><b/></a>"),
            ["a (order): b, c / c, b"]
        );
        assert_eq!(
            found("<a>x<b/></a>", "<a><b/>x</a>"),
            ["a (order): text, b / b, text"]
        );
    }

    #[test]
    fn spelling_does_not_count() {
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
    fn json_differences_have_paths() {
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
}
