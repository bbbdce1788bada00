//! Showing a document to a person: decoded and re-indented.
//!
//! Deliberately never on the way to an endpoint, and never a guess: an element that holds any text
//! of its own is shown to the last blank as it is, and so is all that is in it.
//!
//! Invariant: apart from white space between tags, the result is the document.

use super::MAX_DOCUMENT_DEPTH;
use super::chars::is_blank;
use super::encoding::decode;
use super::error::EventError;
use super::scan::{Kind, Scanner, Token};

const INDENT: &str = "  ";

/// Levels that are indented; deeper ones stay at this. Else a deep document of 1 MB would take 1 GB
/// to show.
const DEEPEST_INDENT: usize = 40;

/// The document as text, each element on a line of its own, indented by two spaces a level; no
/// newline at the end.
///
/// Only white space around elements, comments and processing instructions changes. Elements with
/// text in them (or `xml:space="preserve"`) are kept as they are. An XML declaration is shown as it
/// is too, though the text is no longer in the encoding that it names.
///
/// # Errors
/// As for [`Object::parse`](super::Object::parse).
pub fn pretty(document: &[u8]) -> Result<String, EventError> {
    let decoded = decode(document)?;
    let tokens: Vec<Token<'_>> =
        Scanner::new(&decoded.text, MAX_DOCUMENT_DEPTH)?.collect::<Result<_, _>>()?;
    let keep = kept_as_they_are(&tokens);
    let mut pretty = String::with_capacity(decoded.text.len() * 2);
    let mut kept_depth = None;
    for (token, keep) in tokens.iter().zip(keep) {
        let raw = &decoded.text[token.span.clone()];
        if let Some(depth) = kept_depth {
            pretty.push_str(raw);
            if token.depth == depth && matches!(token.kind, Kind::Close) {
                kept_depth = None;
            }
            continue;
        }
        // Outside the kept elements all text is white space between tags.
        if matches!(token.kind, Kind::Text(_)) {
            continue;
        }
        start_line(&mut pretty, token);
        pretty.push_str(raw);
        kept_depth = keep.then_some(token.depth);
    }
    Ok(pretty)
}

/// For each token: is it the start tag of an element that must not be re-indented?
fn kept_as_they_are(tokens: &[Token<'_>]) -> Vec<bool> {
    let mut keep = vec![false; tokens.len()];
    // For each open element: its start tag's place, and whether any markup is in it.
    let mut open: Vec<(usize, bool)> = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        let is_text = match &token.kind {
            Kind::Text(text) => !is_blank(text),
            Kind::Reference(_) | Kind::CData(_) => true,
            _ => false,
        };
        match (&token.kind, open.last_mut()) {
            (Kind::Close, Some(&mut (tag, has_markup))) => {
                // A leaf: what looks blank in it is its value.
                keep[tag] |= !has_markup;
                open.pop();
                continue;
            }
            (_, Some((tag, _))) if is_text => keep[*tag] = true,
            (Kind::Open { .. } | Kind::Aside, Some((_, has_markup))) => *has_markup = true,
            _ => {}
        }
        if let Kind::Open {
            attributes,
            empty: false,
            ..
        } = &token.kind
        {
            keep[n] = attributes
                .iter()
                .any(|a| a.name == "xml:space" && a.value == "preserve");
            open.push((n, false));
        }
    }
    keep
}

fn start_line(pretty: &mut String, token: &Token<'_>) {
    if !pretty.is_empty() {
        pretty.push('\n');
    }
    let around = match token.kind {
        // A tag's depth counts its own element.
        Kind::Open { .. } | Kind::Close => token.depth - 1,
        _ => token.depth,
    };
    for _ in 0..around.min(DEEPEST_INDENT) {
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
