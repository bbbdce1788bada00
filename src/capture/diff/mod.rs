//! Bodies as people read them: XML and JSON laid out, and two of them compared by what they say.
//!
//! Deliberately knows nothing of requests, and repairs nothing: what is neither XML nor JSON is bytes. A document is told by
//! itself, not by its `Content-Type`, which may lie.

mod json;
mod xml;

use crate::event;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A well-formed XML document.
    Xml,
    /// A JSON document.
    Json,
    /// Anything else.
    Bytes,
}

impl Kind {
    /// The word for it, in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Xml => "xml",
            Kind::Json => "json",
            Kind::Bytes => "bytes",
        }
    }
}

/// Something that two bodies do not both say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: `event/object/plan/@id`, `.items[2].name`, `byte 17`.
    pub path: String,
    /// What the first says there; none if it has nothing there.
    pub a: Option<String>,
    /// What the second says there.
    pub b: Option<String>,
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same bytes.
    SameBytes,
    /// Other bytes that say the same.
    SameMeaning(Kind),
    /// They say different things, in the order of the first.
    Different(Kind, Vec<Difference>),
}

/// Compares two bodies: by meaning if both are XML, plain or in a form, or both are JSON, else byte by byte.
pub fn compare(a: &[u8], b: &[u8]) -> Verdict {
    if a == b {
        return Verdict::SameBytes;
    }
    let (kind, differences) = if let (Ok(a), Ok(b)) = (
        event::tree(&event::extract_xml(a)),
        event::tree(&event::extract_xml(b)),
    ) {
        (Kind::Xml, xml::differences(&a, &b))
    } else if let (Some(a), Some(b)) = (json::Json::read(a), json::Json::read(b)) {
        (Kind::Json, json::differences(&a, &b))
    } else {
        (Kind::Bytes, vec![first_byte(a, b)])
    };
    if differences.is_empty() {
        Verdict::SameMeaning(kind)
    } else {
        Verdict::Different(kind, differences)
    }
}

/// XML (also that which a form carries) and JSON laid out over several lines, no value of it changed; none for anything
/// else.
pub fn laid_out(body: &[u8]) -> Option<String> {
    event::pretty(&event::extract_xml(body))
        .ok()
        .or_else(|| Some(json::Json::read(body)?.laid_out()))
}

fn first_byte(a: &[u8], b: &[u8]) -> Difference {
    /// So much of what follows is shown.
    const SHOWN: usize = 24;
    let text = std::str::from_utf8(a).is_ok() && std::str::from_utf8(b).is_ok();
    let at = a
        .iter()
        .zip(b)
        .position(|(a, b)| a != b)
        .unwrap_or(a.len().min(b.len()));
    let from = |bytes: &[u8]| {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let more = if rest.len() > SHOWN { "…" } else { "" };
        let shown = &rest[..rest.len().min(SHOWN)];
        let codes = || {
            shown
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        Some(format!(
            "{}{more}",
            if text {
                String::from_utf8_lossy(shown).into_owned()
            } else {
                codes()
            }
        ))
    };
    Difference {
        path: format!("byte {at}"),
        a: from(a),
        b: from(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_told_by_what_they_are() {
        assert_eq!(compare(b"x", b"x"), Verdict::SameBytes);
        assert_eq!(
            compare(b"<a/>", b"<a></a>"),
            Verdict::SameMeaning(Kind::Xml)
        );
        assert_eq!(
            compare(b"<a/>", b"params[xml]=%3Ca/%3E"),
            Verdict::SameMeaning(Kind::Xml)
        );
        assert_eq!(
            laid_out(b"params%5Bxml%5D=%3Ca%3E+%3Cb/%3E%3C/a%3E").as_deref(),
            Some("<a>\n  <b/>\n</a>")
        );
        assert_eq!(laid_out(b"xml=%3Ca/%3E"), None);
        assert_eq!(
            compare(b"[1]", b"[ 1.0 ]"),
            Verdict::SameMeaning(Kind::Json)
        );
        assert!(matches!(
            compare(b"<a/>", b"[]"),
            Verdict::Different(Kind::Bytes, _)
        ));
    }

    #[test]
    fn bytes_differ_from_the_first_on_that_does() {
        let Verdict::Different(Kind::Bytes, found) = compare(b"ab\xff", b"ab") else {
            panic!("they differ")
        };
        assert_eq!(
            found,
            [Difference {
                path: "byte 2".into(),
                a: Some("ff".into()),
                b: None
            }]
        );
        let Verdict::Different(_, found) = compare(b"one\ntwo", b"one two") else {
            panic!("they differ")
        };
        assert_eq!(
            found,
            [Difference {
                path: "byte 3".into(),
                a: Some("\ntwo".into()),
                b: Some(" two".into())
            }]
        );
    }
}
