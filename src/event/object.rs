//! The object of an event: one XML element, as 3scale's API returns it.
//!
//! It is kept as text and becomes part of the event as it was written: an endpoint receives what the user's file says,
//! byte for byte except for the encoding.

use super::MAX_DEPTH;
use super::encoding::decode;
use super::error::EventError;
use super::xml::root_element;

/// One well-formed XML element, as UTF-8 text without a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    text: String,
}

impl Object {
    /// Reads a document and keeps its root element, with the element's own layout and line ends.
    ///
    /// The bytes may be UTF-8 or UTF-16 (with a byte order mark or without), or in the encoding
    /// that their XML declaration names. The declaration goes, and so do comments, processing
    /// instructions and white space around the element.
    pub fn parse(bytes: &[u8]) -> Result<Object, EventError> {
        Object::from_text(&decode(bytes)?.text)
    }

    /// [`Object::parse`] for text that is decoded already.
    pub(super) fn from_text(text: &str) -> Result<Object, EventError> {
        let root = root_element(text, MAX_DEPTH)?;
        Ok(Object {
            text: text[root].to_owned(),
        })
    }

    /// An element that the caller has written itself: checked in debug builds only.
    pub(super) fn written(text: String) -> Object {
        debug_assert_eq!(root_element(&text, MAX_DEPTH), Ok(0..text.len()));
        Object { text }
    }

    /// The element, from its `<` to its last `>`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Sets fields in turn, each a path and a value, and changes no byte outside them.
    ///
    /// A path leads from the root element's children down: `org_name`, `plan/name`,
    /// `users/user[2]/email`; `[n]` counts from 1 among siblings of that name, and is 1 where it is
    /// left out. A last step `@name` is an attribute: `plan/@default`. Names are compared as
    /// written, prefix included.
    ///
    /// A value is plain text and is escaped here. It replaces everything in the element; an empty
    /// value leaves the element empty. If only the last step is missing, the element (or attribute)
    /// is added at the end of its parent, on a line of its own if its siblings are; `a[3]` is added
    /// only where there are two.
    ///
    /// Fails with [`EventError::Set`], and changes nothing, for an unreadable path, a missing step, a child for an element
    /// that contains text, a character that XML forbids, and a result that would not be well-formed.
    pub fn set_all(&mut self, changes: &[(&str, &str)]) -> Result<(), EventError> {
        self.text = super::edit::set_all(&self.text, changes)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Object::parse(text.as_bytes()).map_or_else(|error| error.to_string(), |object| object.text)
    }

    #[test]
    fn keeps_the_element_and_nothing_around_it() {
        let text = "\u{FEFF}<?xml version='1.0'?>\n<!-- a --><?b c?> \
                    <x a = '1'>\r\n <y/>&#13;<!-- c -->\r</x >\n<!-- d -->\n";
        assert_eq!(parsed(text), "<x a = '1'>\r\n <y/>&#13;<!-- c -->\r</x >");
    }

    #[test]
    fn refuses_what_is_not_one_element() {
        for (text, message) in [
            ("", "the document is empty"),
            (" \n\t", "the document is empty"),
            ("\u{FEFF}", "the document is empty"),
            ("{\"id\": 6}", "not XML: it starts with `{\"id\": 6}`"),
            ("<!-- a -->", "line 1, column 11: no root element"),
            ("<a/><b/>", "line 1, column 5: a second root element"),
            (
                "<a/>\n b",
                "line 2, column 2: text outside the root element",
            ),
            (
                "<a/>&lt;",
                "line 1, column 5: text outside the root element",
            ),
            (
                "<a/><![CDATA[]]>",
                "line 1, column 5: text outside the root element",
            ),
            ("<a>", "line 1, column 1: `<a>` is never closed"),
            (
                "<a><b></a></b>",
                "line 1, column 7: expected `</b>`, found `</a>`",
            ),
            ("<a/></a>", "line 1, column 5: `</a>` closes nothing"),
            (
                "\n<?xml version='1.0'?><a/>",
                "line 2, column 1: an XML declaration is allowed only at the very start",
            ),
        ] {
            assert_eq!(parsed(text), message, "{text}");
        }
    }
}
