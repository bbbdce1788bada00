//! Reads XML 1.0 strictly, with bounded depth and cost.
//!
//! [`parse`] gives a roxmltree document whose nodes know their byte ranges in the text. roxmltree accepts some documents
//! that other parsers refuse, and spends quadratic time on elements with many attributes; `precheck` streams the text
//! through quick-xml first and refuses both. The other functions read names, attributes and content as written.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::events::{BytesStart, Event};
use roxmltree::{Document, Node};

use super::chars::{is_blank, is_ncname, is_qname, is_space, is_xml_char};
use super::encoding::decode;
use super::error::{EventError, Fault, shown};

/// roxmltree compares each attribute of an element with all others.
const MAX_ATTRIBUTES: usize = 1_000;

/// roxmltree copies the declarations in scope for each element that adds one.
const MAX_NAMESPACES_IN_SCOPE: usize = 64;

/// Parses `text`, which must not start with a byte order mark.
pub fn parse(text: &str, max_depth: usize) -> Result<Document<'_>, EventError> {
    let body = text.trim_start_matches(is_space);
    if body.is_empty() {
        return Err(EventError::Empty);
    }
    if let Some((at, c)) = forbidden_char(text) {
        let code = u32::from(c);
        let problem = format!("the character U+{code:04X} is not allowed in XML 1.0");
        return Err(Fault::new(at, problem).within(text));
    }
    if !body.starts_with('<') {
        return Err(EventError::NotXml { start: shown(body) });
    }
    let checked = precheck(text, max_depth).map_err(|fault| fault.within(text))?;
    let document = Document::parse(&text[..checked]).map_err(|error| malformed(&error))?;
    if checked < text.len() {
        // quick-xml stopped there, and roxmltree would have gone on.
        return Err(Fault::new(checked, "not well-formed").within(text));
    }
    Ok(document)
}

/// Decodes a document; its text has no byte order mark.
pub fn decode_text(document: &[u8]) -> Result<Cow<'_, str>, EventError> {
    Ok(decode(document)?.text)
}

/// The byte range of the root element of a well-formed document.
pub(super) fn root_element(text: &str, max_depth: usize) -> Result<Range<usize>, EventError> {
    Ok(parse(text, max_depth)?.root_element().range())
}

/// Whether XML can contain all characters of the text.
pub fn is_text(text: &str) -> bool {
    forbidden_char(text).is_none()
}

/// The first character that XML 1.0 allows nowhere, with its byte offset.
pub(super) fn forbidden_char(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|&(_, c)| !is_xml_char(c))
}

/// An element that precheck has entered and not left.
struct Open {
    at: usize,
    namespaces_in_scope: usize,
}

/// Checks what roxmltree does not, up to the first place where quick-xml itself finds a fault; returns that place, or
/// the length of the text.
fn precheck(text: &str, max_depth: usize) -> Result<usize, Fault> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root_seen = false;
    loop {
        // Positions in a string in memory fit a usize.
        let at = reader.buffer_position() as usize;
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(Error::IllFormed(IllFormedError::UnmatchedEndTag(name))) => {
                let problem = format!("`</{}>` closes nothing", shown(&name));
                return Err(Fault::new(at, problem));
            }
            Err(_) => {
                let end = reader.buffer_position() as usize;
                return Ok((end.max(at)..=text.len())
                    .find(|&end| text.is_char_boundary(end))
                    .unwrap_or(text.len()));
            }
        };
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                if open.is_empty() && root_seen {
                    return Err(Fault::new(at, "a second root element"));
                }
                root_seen = true;
                if open.len() == max_depth {
                    let problem = format!("elements nested more than {max_depth} deep");
                    return Err(Fault::new(at, problem));
                }
                let name = tag.name().0;
                if !is_qname(name) {
                    let problem = format!("`{}` is not an element name", shown(name));
                    return Err(Fault::new(at, problem));
                }
                let outside = open.last().map_or(0, |around| around.namespaces_in_scope);
                let namespaces_in_scope = outside + check_attributes(tag, at)?;
                if namespaces_in_scope > MAX_NAMESPACES_IN_SCOPE {
                    let problem = format!(
                        "more than {MAX_NAMESPACES_IN_SCOPE} namespace declarations in scope"
                    );
                    return Err(Fault::new(at, problem));
                }
                if matches!(event, Event::Start(_)) {
                    open.push(Open {
                        at,
                        namespaces_in_scope,
                    });
                }
            }
            Event::End(_) => {
                open.pop();
            }
            Event::Text(_) if open.is_empty() => {
                let raw = &text[at..reader.buffer_position() as usize];
                if !is_blank(raw) {
                    let blank = raw.len() - raw.trim_start_matches(is_space).len();
                    return Err(Fault::new(at + blank, "text outside the root element"));
                }
            }
            Event::CData(_) | Event::GeneralRef(_) if open.is_empty() => {
                return Err(Fault::new(at, "text outside the root element"));
            }
            Event::GeneralRef(reference) => {
                check_character_references(&format!("&{};", &**reference), at)?;
            }
            Event::Decl(declaration) => check_declaration(declaration, at)?,
            Event::PI(instruction) => check_instruction(instruction, at)?,
            Event::DocType(_) => {
                let problem = "a DOCTYPE is refused: it could define entities";
                return Err(Fault::new(at, problem));
            }
            Event::Eof => {
                if let Some(unclosed) = open.last() {
                    let tag = &text[unclosed.at + 1..];
                    let name = tag.split(|c| is_space(c) || c == '>').next();
                    let name = shown(name.unwrap_or_default());
                    let problem = format!("`<{name}>` is never closed");
                    return Err(Fault::new(unclosed.at, problem));
                }
                if !root_seen {
                    return Err(Fault::new(text.len(), "no root element"));
                }
                return Ok(text.len());
            }
            Event::Text(_) | Event::CData(_) | Event::Comment(_) => {}
        }
    }
}

/// Returns how many namespaces the tag declares.
fn check_attributes(tag: &BytesStart<'_>, at: usize) -> Result<usize, Fault> {
    let mut declared = 0;
    let mut default_declared = false;
    for (n, attribute) in tag.attributes().with_checks(false).enumerate() {
        // roxmltree reports what cannot be read.
        let Ok(attribute) = attribute else { break };
        if n == MAX_ATTRIBUTES {
            let problem = format!("an element with more than {MAX_ATTRIBUTES} attributes");
            return Err(Fault::new(at, problem));
        }
        let name = attribute.key.0;
        if !is_qname(name) {
            let problem = format!("`{}` is not an attribute name", shown(name));
            return Err(Fault::new(at, problem));
        }
        check_character_references(&attribute.value, at)?;
        match name.split_once(':') {
            Some(("xmlns", "xmlns")) => {
                return Err(Fault::new(at, "the prefix `xmlns` cannot be declared"));
            }
            Some(("xmlns", prefix)) if attribute.value.is_empty() => {
                let problem = format!("the prefix `{}` is bound to nothing", shown(prefix));
                return Err(Fault::new(at, problem));
            }
            Some((_, "xmlns")) => {
                let problem = format!("`{}` is not an attribute name", shown(name));
                return Err(Fault::new(at, problem));
            }
            None if name == "xmlns" && default_declared => {
                return Err(Fault::new(at, "the attribute `xmlns` appears twice"));
            }
            Some(("xmlns", _)) => declared += 1,
            None if name == "xmlns" => {
                default_declared = true;
                declared += 1;
            }
            _ => {}
        }
    }
    Ok(declared)
}

/// roxmltree reads a surrogate as U+FFFD.
fn check_character_references(text: &str, at: usize) -> Result<(), Fault> {
    for reference in text.split("&#").skip(1) {
        let number = reference.split(';').next().unwrap_or_default();
        let code = match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        if !code.is_ok_and(|code| char::from_u32(code).is_some_and(is_xml_char)) {
            let number = shown(number);
            let problem = format!("`&#{number};` is not a character that XML 1.0 allows");
            return Err(Fault::new(at, problem));
        }
    }
    Ok(())
}

/// `content` is all between `<?` and `?>`.
fn check_declaration(content: &str, at: usize) -> Result<(), Fault> {
    if at != 0 {
        let problem = "an XML declaration is allowed only at the very start";
        return Err(Fault::new(at, problem));
    }
    let tag = BytesStart::from_content(content, "xml".len());
    let mut attributes = Vec::new();
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.map_err(|e| Fault::new(at, e.to_string()))?;
        attributes.push((attribute.key.0.to_owned(), attribute.value.into_owned()));
    }
    let mut rest = attributes.iter().peekable();
    let version = rest.next_if(|(name, value)| name == "version" && is_version(value));
    if version.is_none() {
        let problem = "the XML declaration must begin with `version=\"1.0\"`";
        return Err(Fault::new(at, problem));
    }
    rest.next_if(|(name, value)| name == "encoding" && is_encoding_name(value));
    rest.next_if(|(name, value)| name == "standalone" && matches!(value.as_str(), "yes" | "no"));
    let Some((name, _)) = rest.next() else {
        return Ok(());
    };
    let problem = format!("`{}` is wrong here in the XML declaration", shown(name));
    Err(Fault::new(at, problem))
}

/// `content` is all between `<?` and `?>`.
fn check_instruction(content: &str, at: usize) -> Result<(), Fault> {
    let target = &content[..content.find(is_space).unwrap_or(content.len())];
    if target.eq_ignore_ascii_case("xml") {
        let problem = format!("`<?{target}` is reserved for the XML declaration");
        return Err(Fault::new(at, problem));
    }
    if !is_ncname(target) {
        let problem = format!("`{}` is not a processing instruction's name", shown(target));
        return Err(Fault::new(at, problem));
    }
    Ok(())
}

/// `VersionNum`: a 1.0 processor reads any 1.x by the rules of 1.0.
fn is_version(value: &str) -> bool {
    let minor = value.strip_prefix("1.").unwrap_or_default();
    !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the name follows the grammar's `EncName`: a letter, then letters, digits, `.`, `_` and `-`.
fn is_encoding_name(value: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    value.starts_with(|c: char| c.is_ascii_alphabetic()) && value.bytes().all(is_plain)
}

fn malformed(error: &roxmltree::Error) -> EventError {
    use roxmltree::Error;
    let position = error.pos();
    let problem = match error {
        Error::UnknownNamespace(prefix, _) => {
            format!("the namespace prefix `{}` is not declared", shown(prefix))
        }
        Error::UnexpectedCloseTag(expected, found, _) => {
            let (expected, found) = (shown(expected), shown(found));
            format!("expected `</{expected}>`, found `</{found}>`")
        }
        Error::DuplicatedAttribute(name, _) | Error::DuplicatedNamespace(name, _) => {
            format!("the attribute `{}` appears twice", shown(name))
        }
        Error::UnknownEntityReference(name, _) => format!("unknown entity `&{};`", shown(name)),
        Error::MalformedEntityReference(_) => {
            "not a reference that XML allows (write `&amp;` for a plain `&`)".to_owned()
        }
        Error::InvalidXmlPrefixUri(_) => {
            "the prefix `xml` cannot be bound to another namespace".to_owned()
        }
        Error::UnexpectedXmlUri(_) | Error::UnexpectedXmlnsUri(_) => {
            "a reserved namespace cannot be declared".to_owned()
        }
        Error::InvalidElementNamePrefix(_) => {
            "the prefix `xmlns` is reserved for declarations".to_owned()
        }
        Error::InvalidChar(b'"' | b'\'', b'<', _) => "`<` in an attribute value".to_owned(),
        Error::InvalidChar(expected, found, _) => {
            let expected = char::from(*expected);
            format!("expected `{expected}`, found `{}`", found.escape_ascii())
        }
        Error::InvalidChar2(expected, found, _) => {
            format!("expected {expected}, found `{}`", found.escape_ascii())
        }
        Error::InvalidCharacterData(_) => "`]]>` in text: write `]]&gt;`".to_owned(),
        Error::InvalidComment(_) => "`--` in a comment".to_owned(),
        Error::InvalidName(_) => "a name that XML does not allow".to_owned(),
        Error::UnexpectedEndOfStream => "the document ends too early".to_owned(),
        other => {
            let message = other.to_string();
            let at = format!(" at {position}");
            shown(message.strip_suffix(&at).unwrap_or(&message))
        }
    };
    EventError::Malformed {
        line: position.row as usize,
        column: position.col as usize,
        problem,
    }
}

/// An attribute as written, namespace declarations included.
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    /// Where the value is in the document, without its quotes.
    pub(super) value_range: Range<usize>,
}

/// The element's name as written, prefix included.
pub fn name<'a>(element: Node<'_, 'a>) -> &'a str {
    let tag = &element.document().input_text()[element.range().start + 1..];
    let end = tag.find(|c| is_space(c) || matches!(c, '/' | '>'));
    &tag[..end.unwrap_or(tag.len())]
}

/// The child elements with their names as written.
pub fn elements<'d, 'a>(parent: Node<'d, 'a>) -> impl Iterator<Item = (&'a str, Node<'d, 'a>)> {
    let elements = parent.children().filter(Node::is_element);
    elements.map(|child| (name(child), child))
}

/// The text directly in an element: references, CDATA and line ends resolved.
pub fn text(element: Node<'_, '_>) -> String {
    let texts = element.children().filter(Node::is_text);
    texts.filter_map(|text| text.text()).collect()
}

/// The range between the tags; none for `<x/>`.
pub(super) fn content(element: Node<'_, '_>) -> Option<Range<usize>> {
    let range = element.range();
    let raw = &element.document().input_text()[range.clone()];
    if element.first_child().is_none() && raw.ends_with("/>") {
        return None;
    }
    // The end tag is the last one, and attribute values have no `<`.
    let end = range.start + raw.rfind("</")?;
    let first = element.first_child();
    Some(first.map_or(end, |child| child.range().start)..end)
}

/// The range of the start tag.
pub(super) fn start_tag(element: Node<'_, '_>) -> Range<usize> {
    let range = element.range();
    range.start..content(element).map_or(range.end, |content| content.start)
}

/// The attributes of a well-formed element, in order.
pub(super) fn attributes<'a>(element: Node<'_, 'a>) -> Vec<Attribute<'a>> {
    let text = element.document().input_text();
    let tag = start_tag(element);
    let mut at = tag.start + 1 + name(element).len();
    let mut attributes = Vec::new();
    while let Some(equals) = text[at..tag.end].find('=') {
        let name = text[at..at + equals].trim_matches(is_space);
        at += equals + 1;
        let Some(open) = text[at..tag.end].find(['"', '\'']) else {
            break;
        };
        let quote = &text[at + open..at + open + 1];
        let start = at + open + 1;
        let Some(length) = text[start..tag.end].find(quote) else {
            break;
        };
        attributes.push(Attribute {
            name,
            value_range: start..start + length,
        });
        at = start + length + 1;
    }
    attributes
}

/// The names as written, with their values; those of namespace declarations are not unescaped.
pub(super) fn attribute_values<'d, 'a>(element: Node<'d, 'a>) -> Vec<(&'a str, &'d str)> {
    let text = element.document().input_text();
    // roxmltree lists the attributes in order, but leaves out namespace declarations.
    let mut values = element.attributes().map(|attribute| attribute.value());
    let mut named = Vec::new();
    for Attribute { name, value_range } in attributes(element) {
        let value = match name.split(':').next() {
            Some("xmlns") => &text[value_range],
            _ => values.next().unwrap_or_default(),
        };
        named.push((name, value));
    }
    named
}
