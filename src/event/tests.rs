//! Malformed documents and attacks.

use super::*;

fn refusal(text: &str) -> String {
    Object::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn refuses_malformed_documents() {
    for (text, message) in [
        (
            "<a>\0</a>",
            "line 1, column 4: the character U+0000 is not allowed in XML 1.0",
        ),
        (
            "<a b='\u{1B}'/>",
            "line 1, column 7: the character U+001B is not allowed in XML 1.0",
        ),
        (
            "<a><!--\u{FFFF}--></a>",
            "line 1, column 8: the character U+FFFF is not allowed in XML 1.0",
        ),
        (
            "<a>&#0;</a>",
            "line 1, column 4: `&#0;` is not a character that XML 1.0 allows",
        ),
        (
            "<a>&#xD800;</a>",
            "line 1, column 4: `&#xD800;` is not a character that XML 1.0 allows",
        ),
        (
            "<a b='&#x1F;'/>",
            "line 1, column 1: `&#x1F;` is not a character that XML 1.0 allows",
        ),
        ("<a>&nbsp;</a>", "line 1, column 4: unknown entity `&nbsp;`"),
        (
            "<a>&b</a>",
            "line 1, column 4: not a reference that XML allows (write `&amp;` for a plain `&`)",
        ),
        (
            "<a>\n<1/></a>",
            "line 2, column 1: `1` is not an element name",
        ),
        (
            "<a b='1' b='2'/>",
            "line 1, column 10: the attribute `b` appears twice",
        ),
        ("<a b/>", "line 1, column 5: expected `=`, found `/`"),
        ("<a b=c/>", "line 1, column 6: expected a quote, found `c`"),
        ("<a b='<'/>", "line 1, column 7: `<` in an attribute value"),
        (
            "<a>]]></a>",
            "line 1, column 7: `]]>` in text: write `]]&gt;`",
        ),
        ("<a><!-- -- --></a>", "line 1, column 4: `--` in a comment"),
        ("<a><!-- ---></a>", "line 1, column 4: `--` in a comment"),
        (
            "<a><?XmL b?></a>",
            "line 1, column 4: `<?XmL` is reserved for the XML declaration",
        ),
        (
            "<a><?1 b?></a>",
            "line 1, column 4: `1` is not a processing instruction's name",
        ),
        (
            "<a><?xml version='1.0'?></a>",
            "line 1, column 4: an XML declaration is allowed only at the very start",
        ),
        (
            "<?xml?><a/>",
            "line 1, column 1: the XML declaration must begin with `version=\"1.0\"`",
        ),
        (
            "<?xml version='2.0'?><a/>",
            "line 1, column 1: the XML declaration must begin with `version=\"1.0\"`",
        ),
        (
            "<?xml version='1.0' standalone='maybe'?><a/>",
            "line 1, column 1: `standalone` is wrong here in the XML declaration",
        ),
        ("<a></a b='1'>", "line 1, column 8: expected `>`, found `b`"),
    ] {
        assert_eq!(refusal(text), message, "{text}");
    }
}

#[test]
fn namespaces_must_be_declared_and_make_sense() {
    for valid in [
        "<p:a xmlns:p='u'><p:b/></p:a>",
        "<a xml:lang='en' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='u' xmlns:p='u' x='1' p:x='2'/>",
        "<a xmlns:p='u'><b xmlns:p='v' p:x='1'/><c p:x='1'/></a>",
    ] {
        assert!(Object::parse(valid.as_bytes()).is_ok(), "{valid}");
        assert!(second_parser::text(valid).is_ok(), "{valid}");
    }
    for (text, message) in [
        (
            "<p:a/>",
            "line 1, column 2: the namespace prefix `p` is not declared",
        ),
        (
            "<a p:x='1'/>",
            "line 1, column 4: the namespace prefix `p` is not declared",
        ),
        (
            "<a><b xmlns:p='u'/><p:c/></a>",
            "line 1, column 21: the namespace prefix `p` is not declared",
        ),
        (
            "<a><b xmlns:p='u'></b><p:c/></a>",
            "line 1, column 24: the namespace prefix `p` is not declared",
        ),
        (
            "<a xmlns:p='u' xmlns:q='&#117;' p:x='1' q:x='2'/>",
            "line 1, column 41: the attribute `x` appears twice",
        ),
        (
            "<a xmlns:p=''/>",
            "line 1, column 1: the prefix `p` is bound to nothing",
        ),
        (
            "<a xmlns:xmlns='u'/>",
            "line 1, column 1: the prefix `xmlns` cannot be declared",
        ),
        (
            "<a xmlns:xml='u'/>",
            "line 1, column 4: the prefix `xml` cannot be bound to another namespace",
        ),
        (
            "<xmlns:a/>",
            "line 1, column 2: the prefix `xmlns` is reserved for declarations",
        ),
        (
            "<a:b:c xmlns:a='u'/>",
            "line 1, column 1: `a:b:c` is not an element name",
        ),
    ] {
        assert_eq!(refusal(text), message, "{text}");
    }
}

#[test]
fn a_doctype_is_refused_whatever_is_in_it() {
    let laughs = "<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY lol 'lol'>\
                  <!ENTITY l2 '&lol;&lol;&lol;&lol;'>]>\n<lolz>&l2;</lolz>";
    assert_eq!(
        refusal(laughs),
        "line 2, column 1: a DOCTYPE is refused: it could define entities"
    );
    for text in [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!doctype a><a/>",
        "<!DOCTYPE",
        "<!DOCTYPE a [<!ENTITY",
    ] {
        assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
        assert!(
            Event::from_document(text.as_bytes().to_vec()).is_err(),
            "{text}"
        );
        assert!(pretty(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn depth_is_limited_without_recursion() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let deepest = Object::parse(nested(MAX_DEPTH).as_bytes()).unwrap();
    let event = Event::build("a", "b", &deepest, ElementOrder::Documented).unwrap();
    assert_eq!(
        Event::from_document(event.bytes().to_vec()),
        Ok(event.clone())
    );
    assert!(pretty(event.bytes()).is_ok());

    for depth in [MAX_DEPTH + 1, 100_000] {
        assert_eq!(
            refusal(&nested(depth)),
            "line 1, column 3001: elements nested more than 1000 deep"
        );
    }
    assert!(refusal(&"<a>".repeat(100_000)).ends_with("elements nested more than 1000 deep"));
    let path = vec!["a"; MAX_DEPTH].join("/");
    assert!(
        deepest
            .clone()
            .set_all(&[(&path, "")])
            .unwrap_err()
            .to_string()
            .ends_with("elements nested more than 1000 deep")
    );
}

#[test]
fn a_live_message_is_an_event() {
    let message = r#"<?xml version="1.0" encoding="UTF-8"?>
<event>
  <action>created</action>
  <type>account</type>
  <object>
    <account>
      <id>6</id>
      <plans>
        <plan default="true">
          <id>6</id>
        </plan>
      </plans>
    </account>
  </object>
</event>"#;
    let event = Event::from_document(message.as_bytes().to_vec()).unwrap();
    assert_eq!((event.event_type(), event.action()), ("account", "created"));
    assert_eq!(event.bytes(), message.as_bytes());
    assert_eq!(pretty(message.as_bytes()).unwrap(), message);
}

/// The crate `xml` reads what this module accepts.
pub(super) mod second_parser {
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
}
