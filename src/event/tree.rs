//! What a document says, whatever its spelling: elements, attributes and text.
//!
//! Lost on purpose is what no receiver is to act on: the declaration and encoding, the order of attributes, which of several
//! spellings a character has (entity, CDATA, line end), comments and processing instructions, and white space between
//! elements. White space in an element that has no elements in it is its value and stays, as does all of it under
//! `xml:space="preserve"`. Prefixes are names: two that are bound to one namespace are two.
//!
//! Invariant: two documents with equal trees are equal in meaning.

use super::MAX_DOCUMENT_DEPTH;
use super::chars::is_blank;
use super::encoding::decode;
use super::error::EventError;
use super::scan::{Kind, Scanner};
use super::tag::{Attribute, normalized};

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name, prefix included.
    pub name: String,
    /// Names and values, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// What is in it, in order; no two texts stand beside each other, and none is empty.
    pub content: Vec<Node>,
}

/// What can be in an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text.
    Text(String),
}

impl Element {
    /// The elements directly in it.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.content.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The text directly in it.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    fn push_text(&mut self, more: &str) {
        match self.content.last_mut() {
            _ if more.is_empty() => {}
            Some(Node::Text(text)) => text.push_str(more),
            _ => self.content.push(Node::Text(more.to_owned())),
        }
    }

    /// Without the white space between its elements, if it has no other text.
    fn settled(mut self, preserve: bool) -> Element {
        let only_blanks = |node: &Node| {
            matches!(node, Node::Element(_)) || matches!(node, Node::Text(t) if is_blank(t))
        };
        if !preserve && self.elements().next().is_some() && self.content.iter().all(only_blanks) {
            self.content.retain(|node| matches!(node, Node::Element(_)));
        }
        self
    }
}

/// The root element of a document.
///
/// # Errors
/// As for [`Object::parse`](super::Object::parse).
pub fn tree(document: &[u8]) -> Result<Element, EventError> {
    let decoded = decode(document)?;
    let mut open: Vec<(Element, bool)> = Vec::new();
    let mut root = Element::default();
    for token in Scanner::new(&decoded.text, MAX_DOCUMENT_DEPTH)? {
        let closed = match token?.kind {
            Kind::Open {
                name,
                attributes,
                empty,
            } => {
                let around = open.last().is_some_and(|(_, preserve)| *preserve);
                let space = attributes
                    .iter()
                    .find(|attribute| attribute.name == "xml:space");
                let preserve = space.map_or(around, |space| space.value == "preserve");
                let element = Element {
                    name: name.to_owned(),
                    attributes: sorted(&attributes),
                    content: Vec::new(),
                };
                open.push((element, preserve));
                if empty { open.pop() } else { None }
            }
            Kind::Close => open.pop(),
            Kind::Text(text) | Kind::CData(text) => {
                if let Some((element, _)) = open.last_mut() {
                    // A parser reports every line end as one LF.
                    element.push_text(&text.replace("\r\n", "\n").replace('\r', "\n"));
                }
                None
            }
            Kind::Reference(c) => {
                if let Some((element, _)) = open.last_mut() {
                    element.push_text(c.encode_utf8(&mut [0; 4]));
                }
                None
            }
            Kind::Declaration | Kind::Aside => None,
        };
        let Some((element, preserve)) = closed else {
            continue;
        };
        let element = element.settled(preserve);
        match open.last_mut() {
            Some((around, _)) => around.content.push(Node::Element(element)),
            None => root = element,
        }
    }
    Ok(root)
}

fn sorted(attributes: &[Attribute<'_>]) -> Vec<(String, String)> {
    // The scanner has read each value already, and refused those that cannot be.
    let value = |a: &Attribute<'_>| {
        normalized(a.value).map_or_else(|_| a.value.to_owned(), |value| value.into_owned())
    };
    let mut sorted: Vec<_> = attributes
        .iter()
        .map(|a| (a.name.to_owned(), value(a)))
        .collect();
    sorted.sort_unstable();
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        tree(one.as_bytes()).unwrap() == tree(other.as_bytes()).unwrap()
    }

    #[test]
    fn spellings_of_one_meaning() {
        for (one, other) in [
            (
                "<a x='1' y='2'/>",
                "<?xml version=\"1.0\"?>\n<a y=\"2\"  x = \"&#49;\"></a>\n",
            ),
            ("<a><b>1</b><c/></a>", "<a>\n  <b>1</b>\n  <c></c>\n</a>"),
            (
                "<a>x &lt; y &amp; é</a>",
                "<a>x <![CDATA[< y &]]> &#xe9;</a>",
            ),
            ("<a>1\n2</a>", "<a>1\r\n2</a>"),
            ("<a>12</a>", "<a>1<!-- c -->2<?p i?></a>"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>";
        assert_eq!(tree(latin).unwrap(), tree("<a>é</a>".as_bytes()).unwrap());
    }

    #[test]
    fn differences_in_meaning() {
        for (one, other) in [
            ("<a>1</a>", "<a> 1</a>"),
            ("<a> </a>", "<a/>"),
            ("<a><b/><c/></a>", "<a><c/><b/></a>"),
            ("<p>x <b/> y</p>", "<p>x<b/>y</p>"),
            (
                "<a xml:space='preserve'> <b> <c/></b></a>",
                "<a xml:space='preserve'> <b><c/></b></a>",
            ),
            ("<a x=''/>", "<a/>"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
