//! What can be wrong with an event, in words for the person who wrote it.
//!
//! Deliberately one small enum whose details are text: callers show these errors, they do not
//! branch on them.
//!
//! Invariant: no message carries a control or invisible character out of the document, nor more
//! than a few words of it ([`shown`] sees to both).

use super::chars;

/// Why an object, an event or an edit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Nothing there, or nothing but white space.
    #[error("the document is empty")]
    Empty,
    /// The XML declaration names an encoding that nobody knows.
    #[error("unknown encoding `{label}` in the XML declaration")]
    UnknownEncoding {
        /// The name as declared.
        label: String,
    },
    /// The bytes are not text in the encoding that they claim to be in.
    #[error("not valid {encoding}: malformed sequence at byte {offset}")]
    Undecodable {
        /// The encoding's usual name.
        encoding: &'static str,
        /// Bytes before the malformed sequence, a byte order mark included.
        offset: usize,
    },
    /// Text, but no attempt at XML.
    #[error("not XML: it starts with `{start}`")]
    NotXml {
        /// The first few characters.
        start: String,
    },
    /// XML, but not well-formed, or with a construct that is refused here.
    #[error("line {line}, column {column}: {problem}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters: bytes would mislead in any encoding but UTF-8.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Well-formed XML that is not an event document.
    #[error("not an event: {0}")]
    NotAnEvent(String),
    /// A type or an action that cannot stand in a document that we build.
    #[error(
        "the {field} `{value}` is not a plain name: one or more letters, digits, `_`, `.`, `-`"
    )]
    NotAName {
        /// `type` or `action`.
        field: &'static str,
        /// What was given.
        value: String,
    },
    /// The object has no place for a value, or cannot hold it.
    #[error("cannot set `{path}`: {problem}")]
    Set {
        /// The path as given.
        path: String,
        /// Which step failed and what is there instead, or what is wrong with the value.
        problem: String,
    },
}

/// A problem at a byte offset into the decoded text. Parsers deal in these; [`Fault::within`] makes
/// them readable.
#[derive(Debug)]
pub(super) struct Fault {
    /// Bytes before the culprit; always at a character boundary.
    pub(super) at: usize,
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(at: usize, problem: impl Into<String>) -> Self {
        Fault {
            at,
            problem: problem.into(),
        }
    }

    /// The error to show: the offset becomes a line and a column of `text`.
    pub(super) fn within(self, text: &str) -> EventError {
        let before = &text[..self.at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        EventError::Malformed {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            problem: self.problem,
        }
    }
}

/// `text` fit for a message: cut to a few words, with U+FFFD for all that cannot be seen.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let visible = |c| {
        if chars::is_printable(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    let mut short: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "<a>\n  äö<";
        let error = Fault::new(text.len() - 1, "`<` left open").within(text);
        assert_eq!(error.to_string(), "line 2, column 5: `<` left open");
    }

    #[test]
    fn messages_stay_short_and_visible() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}b"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(shown(&"x".repeat(10_000)).chars().count(), 61);
    }
}
