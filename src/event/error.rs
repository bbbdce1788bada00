//! Why an object, an event or an edit is refused. Messages quote at most a few characters of the document, made visible.

use crate::sanitize::is_deceptive;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("the document is empty")]
    Empty,
    #[error("unknown encoding `{label}` in the XML declaration")]
    UnknownEncoding { label: String },
    #[error("not valid {encoding}: malformed sequence at byte {offset}")]
    Undecodable {
        encoding: &'static str,
        /// In bytes, a byte order mark included.
        offset: usize,
    },
    #[error("not XML: it starts with `{start}`")]
    NotXml { start: String },
    /// Not well-formed, or with a construct that is refused. Lines and columns are counted from 1.
    #[error("line {line}, column {column}: {problem}")]
    Malformed {
        line: usize,
        /// In characters: bytes would mislead in any encoding but UTF-8.
        column: usize,
        problem: String,
    },
    #[error("not an event: {0}")]
    NotAnEvent(String),
    /// A type or an action that cannot be used to build an event.
    #[error(
        "the {field} `{value}` is not a plain name: one or more letters, digits, `_`, `.`, `-`"
    )]
    NotAName { field: &'static str, value: String },
    #[error("cannot set `{path}`: {problem}")]
    Set { path: String, problem: String },
}

/// A problem at a byte offset in the decoded text.
#[derive(Debug)]
pub(super) struct Fault {
    /// A byte offset at a character boundary.
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

    /// Turns the offset into a line and a column of `text`.
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

/// The beginning of `text` for a message, with U+FFFD for invisible characters.
pub(super) fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let short: String = text.chars().take(MAX_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    short.replace(is_deceptive, "\u{FFFD}") + more
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
