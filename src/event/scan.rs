//! The scanner: a document's text as a stream of tokens, each checked, each with its place.
//!
//! quick-xml cuts the text into pieces and matches the tags. It is lenient by design, so every rule
//! of XML 1.0 that it leaves to its caller is held here: characters, names, attributes, references,
//! comments, the declaration, what may stand outside the root element. This is the only file that
//! names quick-xml.
//!
//! Deliberately refused although XML has it: a DOCTYPE, and with it every entity but the predefined
//! five. Nesting is limited, and held in a vector rather than on the call stack.
//!
//! Invariant: when the iterator has ended without an error, the text was a well-formed document
//! with one root element, and the tokens' spans cover it without a gap.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::errors::{Error as XmlError, IllFormedError};
use quick_xml::events::Event;

use super::chars::{is_blank, is_ncname, is_qname, is_space, is_xml_char};
use super::error::{EventError, Fault, shown};
use super::namespaces::Namespaces;
use super::tag::{self, Attribute};

/// One piece of a document.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// Its bytes in the text, markup included.
    pub(super) span: Range<usize>,
    /// How many elements it lies in; a tag counts its own element, so the root's tags have depth 1.
    pub(super) depth: usize,
}

/// What a [`Token`] is.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// `<?xml …?>`; only ever the first.
    Declaration,
    /// A start tag, or an `empty` element's only tag, after which no [`Kind::Close`] comes.
    Open {
        name: &'a str,
        attributes: Vec<Attribute<'a>>,
        empty: bool,
    },
    /// An end tag.
    Close,
    /// Characters as they stand in the text; outside the root element only white space.
    Text(&'a str),
    /// `&lt;`, `&#65;` and the like, as the character that is meant.
    Reference(char),
    /// The content of a CDATA section.
    CData(&'a str),
    /// A comment or a processing instruction.
    Aside,
}

/// Reads a document token by token; ends after the first error.
pub(super) struct Scanner<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    max_depth: usize,
    open: Vec<Open<'a>>,
    namespaces: Namespaces<'a>,
    root_seen: bool,
    done: bool,
}

/// An element whose end tag has not come yet.
struct Open<'a> {
    name: &'a str,
    at: usize,
    namespaces_mark: usize,
}

impl<'a> Scanner<'a> {
    /// Prepares to read `text`, which has no byte order mark.
    ///
    /// # Errors
    /// What can be said at a glance: nothing there, no XML, or a character that XML forbids
    /// anywhere.
    pub(super) fn new(text: &'a str, max_depth: usize) -> Result<Self, EventError> {
        let body = text.trim_start_matches(is_space);
        if body.is_empty() {
            return Err(EventError::Empty);
        }
        // Once, up front: then no place in a document can be forgotten.
        let plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
        // Nearly always it is plain, and that is told much faster by the byte.
        let is_plain = text.bytes().fold(true, |all, byte| all & plain(byte));
        let mut unusual = if is_plain { "" } else { text }.char_indices();
        if let Some((at, c)) = unusual.find(|&(_, c)| !is_xml_char(c)) {
            let problem = format!(
                "the character U+{:04X} is not allowed in XML 1.0",
                u32::from(c)
            );
            return Err(Fault::new(at, problem).within(text));
        }
        if !body.starts_with('<') {
            return Err(EventError::NotXml { start: shown(body) });
        }
        Ok(Scanner {
            text,
            reader: Reader::from_str(text),
            max_depth,
            open: Vec::new(),
            namespaces: Namespaces::default(),
            root_seen: false,
            done: false,
        })
    }

    fn advance(&mut self) -> Result<Option<Token<'a>>, Fault> {
        let start = self.offset();
        let event = self
            .reader
            .read_event()
            .map_err(|error| self.lexical_fault(&error))?;
        let span = start..self.offset();
        let raw = &self.text[span.clone()];
        let depth = self.open.len();
        let kind = match event {
            Event::Start(_) => return self.open_tag(span, false).map(Some),
            Event::Empty(_) => return self.open_tag(span, true).map(Some),
            Event::End(_) => {
                self.close_tag();
                Kind::Close
            }
            Event::Text(_) => self.characters(raw, start)?,
            Event::CData(_) => {
                self.require_root(start)?;
                Kind::CData(&raw["<![CDATA[".len()..raw.len() - "]]>".len()])
            }
            Event::GeneralRef(_) => {
                self.require_root(start)?;
                Kind::Reference(
                    tag::reference(&raw[1..raw.len() - 1])
                        .map_err(|problem| Fault::new(start, problem))?,
                )
            }
            Event::Comment(_) => comment(raw, start)?,
            Event::PI(_) => instruction(raw, start)?,
            Event::Decl(_) => declaration(self.text, span.clone())?,
            Event::DocType(_) => {
                return Err(Fault::new(
                    start,
                    "a DOCTYPE is refused: it could define entities",
                ));
            }
            Event::Eof => return self.end().map(|()| None),
        };
        Ok(Some(Token { kind, span, depth }))
    }

    fn open_tag(&mut self, span: Range<usize>, empty: bool) -> Result<Token<'a>, Fault> {
        let at = span.start;
        if self.open.is_empty() && self.root_seen {
            return Err(Fault::new(at, "a second root element"));
        }
        self.root_seen = true;
        let depth = self.open.len() + 1;
        if depth > self.max_depth {
            return Err(Fault::new(
                at,
                format!("elements nested more than {} deep", self.max_depth),
            ));
        }
        let inside = at + 1..span.end - if empty { "/>".len() } else { ">".len() };
        let tag = &self.text[inside.clone()];
        let name_ends = |byte: u8| is_space(char::from(byte)) || byte == b'/';
        let name = &tag[..tag.bytes().position(name_ends).unwrap_or(tag.len())];
        if !is_qname(name) {
            return Err(Fault::new(
                at,
                format!("`{}` is not an element name", shown(name)),
            ));
        }
        let attributes = tag::attributes(self.text, inside.start + name.len()..inside.end)?;
        let namespaces_mark = self.namespaces.open(name, at, &attributes)?;
        if empty {
            self.namespaces.close(namespaces_mark);
        } else {
            self.open.push(Open {
                name,
                at,
                namespaces_mark,
            });
        }
        Ok(Token {
            kind: Kind::Open {
                name,
                attributes,
                empty,
            },
            span,
            depth,
        })
    }

    /// quick-xml has compared the names; what is left is to forget the element.
    fn close_tag(&mut self) {
        if let Some(open) = self.open.pop() {
            self.namespaces.close(open.namespaces_mark);
        }
    }

    fn characters(&self, raw: &'a str, start: usize) -> Result<Kind<'a>, Fault> {
        if self.open.is_empty() && !is_blank(raw) {
            let first = raw.find(|c| !is_space(c)).unwrap_or(0);
            self.require_root(start + first)?;
        }
        // Looking for the one byte first, which is hardly ever there.
        let bracket = raw.bytes().position(|byte| byte == b']');
        match bracket.and_then(|from| Some(from + raw[from..].find("]]>")?)) {
            Some(at) => Err(Fault::new(start + at, "`]]>` in text: write `]]&gt;`")),
            None => Ok(Kind::Text(raw)),
        }
    }

    fn require_root(&self, at: usize) -> Result<(), Fault> {
        if self.open.is_empty() {
            Err(Fault::new(at, "text outside the root element"))
        } else {
            Ok(())
        }
    }

    fn end(&self) -> Result<(), Fault> {
        match self.open.last() {
            Some(open) => Err(Fault::new(
                open.at,
                format!("`<{}>` is never closed", shown(open.name)),
            )),
            None if self.root_seen => Ok(()),
            None => Err(Fault::new(self.text.len(), "no root element")),
        }
    }

    /// quick-xml's complaint, in our words where its own would quote the document at length.
    fn lexical_fault(&self, error: &XmlError) -> Fault {
        let problem = match error {
            XmlError::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
                format!(
                    "expected `</{}>`, found `</{}>`",
                    shown(expected),
                    shown(found)
                )
            }
            XmlError::IllFormed(IllFormedError::UnmatchedEndTag(name)) => {
                format!("`</{}>` closes nothing", shown(name))
            }
            XmlError::IllFormed(IllFormedError::UnclosedReference) => {
                "`&` without `;`: write `&amp;`".to_owned()
            }
            XmlError::IllFormed(other) => other.to_string(),
            XmlError::Syntax(syntax) => syntax.to_string(),
            other => other.to_string(),
        };
        // An offset into a string in memory, so nothing is cut off; backwards should it ever
        // point into a character.
        let reported = self.reader.error_position() as usize;
        let boundary = |at: &usize| self.text.is_char_boundary(*at);
        let at = (0..=reported).rev().find(boundary).unwrap_or(0);
        Fault::new(at, problem)
    }

    fn offset(&self) -> usize {
        // Cannot be cut short: it counts bytes of a string in memory.
        self.reader.buffer_position() as usize
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Result<Token<'a>, EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = self.advance();
        self.done = !matches!(result, Ok(Some(_)));
        result.map_err(|fault| fault.within(self.text)).transpose()
    }
}

/// Reads all of `text` and returns where its root element stands.
///
/// # Errors
/// Whatever the [`Scanner`] finds.
pub(super) fn root_element(text: &str, max_depth: usize) -> Result<Range<usize>, EventError> {
    let mut root = 0..0;
    for token in Scanner::new(text, max_depth)? {
        let token = token?;
        match token.kind {
            Kind::Open { .. } if token.depth == 1 => root = token.span,
            Kind::Close if token.depth == 1 => root.end = token.span.end,
            _ => {}
        }
    }
    Ok(root)
}

fn comment<'a>(raw: &str, start: usize) -> Result<Kind<'a>, Fault> {
    // With one hyphen of the closing `-->`, so that a comment ending in a hyphen is found as well.
    match raw["<!--".len()..raw.len() - "->".len()].find("--") {
        Some(at) => Err(Fault::new(start + "<!--".len() + at, "`--` in a comment")),
        None => Ok(Kind::Aside),
    }
}

fn instruction<'a>(raw: &str, start: usize) -> Result<Kind<'a>, Fault> {
    let content = &raw["<?".len()..raw.len() - "?>".len()];
    let target = &content[..content.find(is_space).unwrap_or(content.len())];
    if target.eq_ignore_ascii_case("xml") {
        return Err(Fault::new(
            start,
            format!("`<?{target}` is reserved for the XML declaration"),
        ));
    }
    if !is_ncname(target) {
        return Err(Fault::new(
            start,
            format!("`{}` is not a processing instruction's name", shown(target)),
        ));
    }
    Ok(Kind::Aside)
}

fn declaration<'a>(text: &str, span: Range<usize>) -> Result<Kind<'a>, Fault> {
    if span.start != 0 {
        return Err(Fault::new(
            span.start,
            "an XML declaration may only stand at the very start",
        ));
    }
    let attributes = tag::attributes(text, "<?xml".len()..span.end - "?>".len())?;
    let mut rest = attributes.iter().peekable();
    if rest
        .next_if(|a| a.name == "version" && is_version(a.value))
        .is_none()
    {
        return Err(Fault::new(
            0,
            "the XML declaration must begin with `version=\"1.0\"`",
        ));
    }
    rest.next_if(|a| a.name == "encoding" && is_encoding_name(a.value));
    rest.next_if(|a| a.name == "standalone" && matches!(a.value, "yes" | "no"));
    match rest.next() {
        Some(a) => Err(Fault::new(
            a.at,
            format!("`{}` is wrong here in the XML declaration", shown(a.name)),
        )),
        None => Ok(Kind::Declaration),
    }
}

/// `VersionNum`: a 1.0 processor reads any 1.x, by the rules of 1.0.
fn is_version(value: &str) -> bool {
    value
        .strip_prefix("1.")
        .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()))
}

/// `EncName`.
fn is_encoding_name(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
