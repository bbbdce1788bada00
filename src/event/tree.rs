//! What a document says, independent of how it is written: elements, attributes and text.
//!
//! Two documents with equal trees are equivalent. A tree leaves out the declaration and encoding, the order of attributes,
//! the spelling of characters (entity, CDATA, line end), comments, processing instructions, and white space between
//! elements. White space in an element without child elements is its value and stays, as does all white space under
//! `xml:space="preserve"`. Prefixes count as part of a name.

use roxmltree::Node as XmlNode;

use super::chars::is_blank;
use super::encoding::decode;
use super::error::EventError;
use super::{MAX_DOCUMENT_DEPTH, xml};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// As written, with its prefix.
    pub name: String,
    /// Names and values, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// Child elements and texts in order; no empty text, and no two texts in a row.
    pub content: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.content.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The text directly in the element.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    fn read(node: XmlNode<'_, '_>, preserve: bool) -> Element {
        let preserve = space_attribute(node).map_or(preserve, |value| value == "preserve");
        let mut content = Vec::new();
        for child in node.children() {
            if child.is_element() {
                content.push(Node::Element(Element::read(child, preserve)));
            } else if child.is_text() {
                let more = child.text().unwrap_or_default();
                match content.last_mut() {
                    Some(Node::Text(text)) => text.push_str(more),
                    _ if more.is_empty() => {}
                    _ => content.push(Node::Text(more.to_owned())),
                }
            }
        }
        let is_layout = |node: &Node| matches!(node, Node::Text(text) if is_blank(text));
        let has_text = content
            .iter()
            .any(|node| matches!(node, Node::Text(_)) && !is_layout(node));
        let has_elements = content.iter().any(|node| matches!(node, Node::Element(_)));
        if has_elements && !has_text && !preserve {
            content.retain(|node| !is_layout(node));
        }
        let mut attributes = Vec::new();
        for (name, value) in xml::attribute_values(node) {
            attributes.push((name.to_owned(), value.to_owned()));
        }
        attributes.sort_unstable();
        Element {
            name: xml::name(node).to_owned(),
            attributes,
            content,
        }
    }
}

/// The value of the element's `xml:space` attribute, which says whether white space matters.
pub(super) fn space_attribute<'d>(node: XmlNode<'d, '_>) -> Option<&'d str> {
    node.attribute((roxmltree::NS_XML_URI, "space"))
}

/// The root element of a document; fails as [`Object::parse`](super::Object::parse) does.
pub fn tree(document: &[u8]) -> Result<Element, EventError> {
    let decoded = decode(document)?;
    let document = xml::parse(&decoded.text, MAX_DOCUMENT_DEPTH)?;
    Ok(Element::read(document.root_element(), false))
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
