//! The same JSON as other programs write it.

use std::fmt;

use crate::document::{BodyNode, Document};

/// A larger body is not rewritten: there are forty ways, and the signature of each is computed.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// One way to write JSON.
#[derive(Clone, Copy)]
pub(super) struct JsonStyle {
    spacing: Spacing,
    sorted: bool,
    /// `\/` for `/`, as PHP writes it.
    escaped_slashes: bool,
    /// `\u00e9` for `é`, as Python and PHP write it.
    ascii: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Spacing {
    Compact,
    /// `{"a": 1, "b": 2}`, as Python writes it.
    OneLine,
    Lines(usize),
}

/// Completes "the same JSON …".
impl fmt::Display for JsonStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spacing {
            Spacing::Compact => f.write_str("written without spaces")?,
            Spacing::OneLine => f.write_str("written with a space after each comma and colon")?,
            Spacing::Lines(indent) => write!(f, "indented by {indent} spaces")?,
        }
        for (applies, words) in [
            (self.sorted, ", with sorted keys"),
            (self.escaped_slashes, ", with slashes written as `\\/`"),
            (
                self.ascii,
                ", with other characters than ASCII written as `\\u`",
            ),
        ] {
            if applies {
                f.write_str(words)?;
            }
        }
        Ok(())
    }
}

/// The body in all styles, simple ones first; nothing if it is not JSON, or too large.
pub(super) fn json_styles(body: &[u8]) -> impl Iterator<Item = (JsonStyle, Vec<u8>)> {
    let document = Document::read(body).ok();
    let is_json = |document: &Document<'_>| document.root_name.is_none() && body.len() <= MAX_BYTES;
    let document = document.filter(is_json);
    document.into_iter().flat_map(|document| {
        all_styles().into_iter().map(move |style| {
            let mut text = String::new();
            style.write(&document.root, 0, &mut text);
            (style, text.into_bytes())
        })
    })
}

fn all_styles() -> Vec<JsonStyle> {
    let mut styles = Vec::new();
    for (ascii, escaped_slashes) in [(false, false), (true, false), (true, true), (false, true)] {
        for sorted in [false, true] {
            for spacing in [
                Spacing::Compact,
                Spacing::OneLine,
                Spacing::Lines(2),
                Spacing::Lines(4),
            ] {
                styles.push(JsonStyle {
                    spacing,
                    sorted,
                    escaped_slashes,
                    ascii,
                });
            }
        }
    }
    styles
}

impl JsonStyle {
    fn write(self, node: &BodyNode<'_>, level: usize, out: &mut String) {
        match node {
            BodyNode::Text(text) => self.write_string(text, out),
            BodyNode::Literal(written) => out.push_str(written),
            BodyNode::Array(items) => {
                self.write_list("[]", items, level, out, |item, out| {
                    self.write(item, level + 1, out);
                });
            }
            BodyNode::Group(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if self.sorted {
                    members.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                let colon = match self.spacing {
                    Spacing::Compact => ":",
                    Spacing::OneLine | Spacing::Lines(_) => ": ",
                };
                self.write_list("{}", &members, level, out, |(name, value), out| {
                    self.write_string(name.as_deref().unwrap_or_default(), out);
                    out.push_str(colon);
                    self.write(value, level + 1, out);
                });
            }
        }
    }

    fn write_list<T>(
        self,
        brackets: &str,
        items: &[T],
        level: usize,
        out: &mut String,
        write_item: impl Fn(&T, &mut String),
    ) {
        let (open, close) = brackets.split_at(1);
        let new_line = |level: usize, out: &mut String| {
            if let Spacing::Lines(indent) = self.spacing {
                out.push('\n');
                out.push_str(&" ".repeat(indent * level));
            }
        };
        out.push_str(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(if self.spacing == Spacing::OneLine {
                    ", "
                } else {
                    ","
                });
            }
            new_line(level + 1, out);
            write_item(item, out);
        }
        if !items.is_empty() {
            new_line(level, out);
        }
        out.push_str(close);
    }

    fn write_string(self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '/' if self.escaped_slashes => out.push_str("\\/"),
                c if c < ' ' || self.ascii && !c.is_ascii() => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}
