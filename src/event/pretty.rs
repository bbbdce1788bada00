//! Shows a document to a person: decoded and re-indented.
//!
//! Only white space between tags changes. An element that contains text of its own is shown as it is, with all that is in
//! it. The result is never sent to an endpoint.

use roxmltree::Node;

use super::chars::is_blank;
use super::encoding::decode;
use super::error::EventError;
use super::tree::space_attribute;
use super::{MAX_DOCUMENT_DEPTH, xml};

const INDENT: &str = "  ";

/// Deeper levels are indented no further: a deep document of 1 MB would take 1 GB to show.
const MAX_INDENTED_LEVELS: usize = 40;

/// The document as text, each element on its own line, indented by two spaces a level, without a newline at the end.
///
/// Elements with text in them (or `xml:space="preserve"`) are kept as they are. So is an XML declaration, though the text
/// is no longer in the encoding that it names. Fails as [`Object::parse`](super::Object::parse) does.
pub fn pretty(document: &[u8]) -> Result<String, EventError> {
    let decoded = decode(document)?;
    let text = decoded.text.as_ref();
    let document = xml::parse(text, MAX_DOCUMENT_DEPTH)?;
    let mut pretty = String::with_capacity(text.len() * 2);
    if let Some(end) = text.find("?>").filter(|_| text.starts_with("<?xml ")) {
        pretty.push_str(&text[..end + "?>".len()]);
    }
    for node in document.root().children() {
        write(node, 0, &mut pretty);
    }
    Ok(pretty)
}

fn write(node: Node<'_, '_>, level: usize, pretty: &mut String) {
    let text = node.document().input_text();
    start_line(pretty, level);
    let content = match xml::content(node) {
        Some(content) if node.is_element() && !is_kept_as_is(node, content.end) => content,
        _ => return pretty.push_str(&text[node.range()]),
    };
    pretty.push_str(&text[node.range().start..content.start]);
    for child in node.children().filter(|child| !child.is_text()) {
        write(child, level + 1, pretty);
    }
    start_line(pretty, level);
    pretty.push_str(&text[content.end..node.range().end]);
}

/// Whether white space in the element may be part of its value.
fn is_kept_as_is(element: Node<'_, '_>, content_end: usize) -> bool {
    let text = element.document().input_text();
    let has_text = |child: Node<'_, '_>| {
        // roxmltree joins text and CDATA, and gives the range of the first.
        let end = child
            .next_sibling()
            .map_or(content_end, |next| next.range().start);
        child.is_text() && !is_blank(&text[child.range().start..end])
    };
    let is_leaf = element.children().all(|child| child.is_text());
    is_leaf || space_attribute(element) == Some("preserve") || element.children().any(has_text)
}

fn start_line(pretty: &mut String, level: usize) {
    if !pretty.is_empty() {
        pretty.push('\n');
    }
    for _ in 0..level.min(MAX_INDENTED_LEVELS) {
        pretty.push_str(INDENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        pretty(text.as_bytes()).unwrap()
    }

    #[test]
    fn indents_elements_and_keeps_text() {
        let document = "<?xml version=\"1.0\"?><event><type> t </type>\n\n<object><a><b x='1'/>\
                        <!-- c --><d></d><e>\n</e></a></object></event>\n";
        let expected = r#"<?xml version="1.0"?>
<event>
  <type> t </type>
  <object>
    <a>
      <b x='1'/>
      <!-- c -->
      <d></d>
      <e>
</e>
    </a>
  </object>
</event>"#;
        assert_eq!(shown(document), expected);
    }

    #[test]
    fn keeps_mixed_content_whole() {
        for kept in [
            "<p>one <b> <i/> </b>\n two</p>",
            "<p>&#32;<i/> <i/></p>",
            "<p><![CDATA[]]> <i/></p>",
            "<p xml:space='preserve'> <i/> </p>",
        ] {
            assert_eq!(
                shown(&format!("<a> {kept} <q/></a>")),
                format!("<a>\n  {kept}\n  <q/>\n</a>")
            );
        }
    }

    #[test]
    fn changes_nothing_the_second_time() {
        let once = shown("<a><b><c>x</c><d/></b><e/></a>");
        assert_eq!(shown(&once), once);
    }

    #[test]
    fn decodes() {
        let bytes = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>";
        assert_eq!(
            pretty(bytes).unwrap(),
            "<?xml version='1.0' encoding='ISO-8859-1'?>\n<a>é</a>"
        );
    }
}
