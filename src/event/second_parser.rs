//! For tests: the crate `xml` reads what this module accepts.

use xml::reader::{EventReader, ParserConfig, XmlEvent};

/// All the text in a document. The error is the parser's message.
pub fn text(document: &str) -> Result<String, String> {
    let config = ParserConfig::new()
        .cdata_to_characters(true)
        .ignore_root_level_whitespace(true);
    let mut text = String::new();
    for event in EventReader::new_with_config(document.as_bytes(), config) {
        match event.map_err(|e| e.to_string())? {
            XmlEvent::Characters(more) | XmlEvent::Whitespace(more) => text.push_str(&more),
            _ => {}
        }
    }
    Ok(text)
}
