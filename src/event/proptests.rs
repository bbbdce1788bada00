//! Properties of every document, checked with a second parser.

use proptest::prelude::*;

use super::chars::{escape_attribute, escape_text, is_xml_char};
use super::tests::second_parser;
use super::xml::root_element;
use super::*;

/// A tree to write down as XML.
#[derive(Debug, Clone)]
enum Node {
    Element(String, Vec<(String, String)>, Vec<Node>),
    Text(String),
    CharacterReferences(String),
    CData(String),
    Comment(String),
}

impl Node {
    fn write(&self, xml: &mut String) {
        match self {
            Node::Element(name, attributes, children) => {
                *xml += &format!("<{name}");
                for (name, value) in attributes {
                    *xml += &format!(" {name}=\"{}\"", escape_attribute(value));
                }
                if children.is_empty() {
                    return *xml += "/>";
                }
                xml.push('>');
                children.iter().for_each(|child| child.write(xml));
                *xml += &format!("</{name}>");
            }
            Node::Text(text) => *xml += &escape_text(text),
            Node::CharacterReferences(text) => {
                text.chars()
                    .for_each(|c| *xml += &format!("&#x{:X};", u32::from(c)));
            }
            Node::CData(text) => *xml += &format!("<![CDATA[{text}]]>"),
            Node::Comment(text) => *xml += &format!("<!--{text}-->"),
        }
    }

    fn text(&self, into: &mut String) {
        match self {
            Node::Element(_, _, children) => children.iter().for_each(|child| child.text(into)),
            Node::Text(text) | Node::CharacterReferences(text) | Node::CData(text) => *into += text,
            Node::Comment(_) => {}
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        '\t', '\n', '\r', '&', '<', '>', ']', '"', '\'', '\u{85}', '\u{FEFF}', '\u{FFFD}',
    ]);
    prop::collection::vec(prop_oneof![any::<char>(), odd], 0..8)
        .prop_map(|chars| chars.into_iter().filter(|&c| is_xml_char(c)).collect())
}

fn name() -> impl Strategy<Value = String> {
    "[a-d_é][a-c0-9.-]{0,2}"
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        3 => text().prop_map(Node::Text),
        1 => text().prop_map(Node::CharacterReferences),
        1 => text().prop_map(|text| Node::CData(text.replace([']', '\r'], ""))),
        1 => text().prop_map(|text| Node::Comment(text.replace(['-', '\r'], ""))),
    ];
    let content = leaf.prop_recursive(4, 24, 4, |inner| element(inner.boxed()));
    element(content.boxed())
}

fn element(content: BoxedStrategy<Node>) -> impl Strategy<Value = Node> {
    let attributes = prop::collection::btree_map(name(), text(), 0..3);
    let children = prop::collection::vec(content, 0..4);
    (name(), attributes, children).prop_map(|(name, attributes, children)| {
        Node::Element(name, attributes.into_iter().collect(), children)
    })
}

fn xml(tree: &Node) -> String {
    let mut xml = String::new();
    tree.write(&mut xml);
    xml
}

/// All the text in a node.
fn text_of(node: roxmltree::Node<'_, '_>) -> String {
    node.descendants()
        .filter(|node| node.is_text())
        .filter_map(|node| node.text())
        .collect()
}

/// Each element of a document: its tag, attributes, and own text.
fn facts(document: &str) -> Vec<String> {
    let tree = roxmltree::Document::parse(document).unwrap();
    let own = |node: roxmltree::Node<'_, '_>| -> String {
        node.children()
            .filter(|n| n.is_text())
            .filter_map(|n| n.text())
            .collect()
    };
    tree.descendants()
        .filter(|node| node.is_element())
        .map(|node| {
            format!(
                "{:?} {:?} {:?}",
                node.tag_name(),
                node.attributes().collect::<Vec<_>>(),
                own(node)
            )
        })
        .collect()
}

/// The way to a node from the root element, as [`Object::set`] takes it.
fn path_to(node: roxmltree::Node<'_, '_>) -> String {
    let mut steps: Vec<String> = node
        .ancestors()
        .filter(|ancestor| ancestor.parent_element().is_some())
        .map(|element| {
            let name = element.tag_name().name();
            let before = element
                .prev_siblings()
                .filter(|sibling| sibling.has_tag_name(name))
                .count();
            format!("{name}[{before}]")
        })
        .collect();
    steps.reverse();
    steps.join("/")
}

proptest! {
    #[test]
    fn accepted_objects_read_the_same_in_a_second_parser(tree in tree()) {
        let xml = xml(&tree);
        let mut expected = String::new();
        tree.text(&mut expected);

        let object = Object::parse(xml.as_bytes()).unwrap();
        prop_assert_eq!(object.as_str(), &xml);
        let parsed = roxmltree::Document::parse(object.as_str()).unwrap();
        prop_assert_eq!(text_of(parsed.root_element()), expected.clone());
        prop_assert_eq!(second_parser::text(object.as_str()), Ok(expected.clone()));

        let event = Event::build("account", "created", &object, ElementOrder::Porta).unwrap();
        let document = str::from_utf8(event.bytes()).unwrap();
        let parsed = roxmltree::Document::parse(document).unwrap();
        let wrapper = parsed.root_element().last_element_child().unwrap();
        let spliced = wrapper.first_element_child().unwrap();
        prop_assert_eq!(text_of(spliced), expected);
        prop_assert_eq!(Event::from_document(event.bytes().to_vec()), Ok(event.clone()));
    }

    #[test]
    fn every_encoding_gives_the_same_object(tree in tree(), mark: bool, declare: bool) {
        let xml = xml(&tree);
        let declaration = if declare { "<?xml version='1.0' encoding='UTF-16'?>" } else { "" };
        let mark = if mark { "\u{FEFF}" } else { "" };
        for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            let document = format!("{mark}{declaration}{xml}");
            let bytes: Vec<u8> = document.encode_utf16().flat_map(to_bytes).collect();
            let object = Object::parse(&bytes).unwrap();
            prop_assert_eq!(object.as_str(), &xml);
        }
    }

    #[test]
    fn set_changes_one_element_and_nothing_else(
        tree in tree(),
        pick: prop::sample::Index,
        value in text(),
    ) {
        let before = format!("<root>{}</root>", xml(&tree));
        let parsed = roxmltree::Document::parse(&before).unwrap();
        let below_root = parsed.root_element().descendants().skip(1);
        let elements: Vec<_> = below_root.filter(|node| node.is_element()).collect();
        let target = *pick.get(&elements);

        let mut object = Object::parse(before.as_bytes()).unwrap();
        object.set_all(&[(&path_to(target), &value)]).unwrap();
        let after = object.as_str();

        prop_assert!(after.starts_with(&before[..target.range().start]));
        prop_assert!(after.ends_with(&before[target.range().end..]));
        let parsed_after = roxmltree::Document::parse(after).unwrap();
        let changed = parsed_after
            .descendants()
            .find(|node| node.is_element() && path_to(*node) == path_to(target))
            .unwrap();
        prop_assert_eq!(text_of(changed), value);
        let attributes = |node: roxmltree::Node<'_, '_>| -> Vec<(String, String)> {
            node.attributes().map(|a| (a.name().to_owned(), a.value().to_owned())).collect()
        };
        prop_assert_eq!(attributes(changed), attributes(target));
    }

    #[test]
    fn set_adds_one_element_and_nothing_else(tree in tree(), value in text(), attribute: bool) {
        let before = xml(&tree);
        let mut object = Object::parse(before.as_bytes()).unwrap();
        let path = if attribute { "@zzz" } else { "zzz" };
        match object.set_all(&[(path, &value)]) {
            Ok(()) => {
                let parsed = roxmltree::Document::parse(object.as_str()).unwrap();
                let root = parsed.root_element();
                if attribute {
                    prop_assert_eq!(root.attribute("zzz"), Some(value.as_str()));
                } else {
                    prop_assert_eq!(root.last_element_child().map(text_of), Some(value));
                    prop_assert_eq!(facts(object.as_str()).len(), facts(&before).len() + 1);
                }
            }
            Err(error) => prop_assert!(error.to_string().contains("contains text, not elements")),
        }
    }

    #[test]
    fn pretty_changes_white_space_only(tree in tree()) {
        let xml = xml(&tree);
        let shown = pretty(xml.as_bytes()).unwrap();
        let squeezed = |text: &str| text.replace([' ', '\t', '\n', '\r'], "");
        prop_assert_eq!(squeezed(&shown), squeezed(&xml));
        prop_assert_eq!(pretty(shown.as_bytes()).unwrap(), shown);
    }

    #[test]
    fn the_second_parser_accepts_what_we_accept(document in mutated()) {
        if let Ok(decoded) = encoding::decode(&document)
            && root_element(&decoded.text, MAX_DOCUMENT_DEPTH).is_ok()
        {
            let parsed = second_parser::text(&decoded.text);
            prop_assert!(parsed.is_ok(), "{:?}: {:?}", parsed, decoded.text);
        }
        if let Ok(event) = Event::from_document(document.clone()) {
            prop_assert_eq!(event.bytes(), document);
        }
    }
}

/// Valid documents with a few pieces cut out and a few put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    const DOCUMENTS: &[&str] = &[
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='yes'?>\n\
         <!-- c -->\n<event a='1' b=\"&lt;\">\n<type>t</type></event>\n",
        "<p:a xmlns:p='u' xmlns:q=\"v\" xmlns='w' p:x='1' q:x='2' xml:lang='en'>\
         <p:b xmlns:p='v'/><q:c/>&#65;&#x41;&amp;</p:a>",
        "<a><?pi some thing?><![CDATA[ <x> ]] ]]><b c='d'>text ]] &gt;</b ><c/></a>",
    ];
    const PIECES: &[&str] = &[
        "<",
        ">",
        "/",
        "/>",
        "</",
        "<a>",
        "</a>",
        "<b/>",
        "&",
        ";",
        "&amp;",
        "&#0;",
        "&#x1F;",
        "&x;",
        "'",
        "\"",
        "=",
        " ",
        "\n",
        "\r",
        "]]>",
        "--",
        "-",
        "<!--",
        "-->",
        "<!---->",
        "<!-->",
        "<?",
        "?>",
        "<?xml?>",
        "<?xml version='1.0'?>",
        "<![CDATA[",
        "<!DOCTYPE a>",
        ":",
        "p:",
        "xmlns:p=''",
        " xmlns:xml='u'",
        " xmlns:p='v'",
        " p:x='1'",
        " x='1'",
        "xmlns",
        "\0",
        "\u{1B}",
        "\u{FFFF}",
        "\u{FEFF}",
        "é",
        "1",
        "a",
    ];
    let edit = (
        any::<prop::sample::Index>(),
        0..4usize,
        prop::option::of(prop::sample::select(PIECES)),
    );
    let edits = prop::collection::vec(edit, 0..4);
    (prop::sample::select(DOCUMENTS), edits).prop_map(|(document, edits)| {
        let mut bytes = document.as_bytes().to_vec();
        for (place, cut, piece) in edits {
            let from = place.index(bytes.len() + 1);
            let to = (from + cut).min(bytes.len());
            bytes.splice(from..to, piece.unwrap_or_default().bytes());
        }
        bytes
    })
}
