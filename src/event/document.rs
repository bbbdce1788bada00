//! The whole event document: built around an object, or taken as it is.
//!
//! A built event is the documented envelope around the object's own text. A given document is kept byte for byte; only its
//! type and action are read, and no schema is checked.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event as Token;
use roxmltree::Node;

use super::chars::is_space;
use super::encoding::decode;
use super::error::{EventError, shown};
use super::object::Object;
use super::{MAX_DOCUMENT_DEPTH, xml};
use crate::sanitize::is_deceptive;
use crate::text::named_enum;

/// One event, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    event_type: String,
    action: String,
    bytes: Vec<u8>,
}

named_enum! {
    /// The order and layout of the envelope's elements. Most receivers read by name.
    #[derive(Default)]
    pub enum ElementOrder {
        /// The manual's: type before action, each on its own line.
        #[default]
        Documented = "documented",
        /// The running system's: action before type, all on one line.
        Porta = "porta",
    }
}

impl Event {
    /// Builds the envelope, in UTF-8, around the object as it is.
    ///
    /// Type and action must be plain names ([`EventError::NotAName`]), documented or not.
    pub fn build(
        event_type: &str,
        action: &str,
        object: &Object,
        order: ElementOrder,
    ) -> Result<Event, EventError> {
        require_name("type", event_type)?;
        require_name("action", action)?;
        let object = object.as_str();
        let event = match order {
            ElementOrder::Documented => format!(
                "\n<event>\n  <type>{event_type}</type>\n  <action>{action}</action>\n  <object>\n    {object}\n  </object>\n</event>\n"
            ),
            ElementOrder::Porta => format!(
                "<event><action>{action}</action><type>{event_type}</type><object>{object}</object></event>"
            ),
        };
        let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{event}");
        Ok(Event {
            event_type: event_type.to_owned(),
            action: action.to_owned(),
            bytes: document.into_bytes(),
        })
    }

    /// Takes a finished document, to be sent byte for byte.
    ///
    /// Its root element must be `event`. That element must contain one `type` and one `action` (printable text, surrounding
    /// white space ignored) and one `object` with exactly one element in it, in any order and beside any others. A
    /// declaration that contradicts the bytes is refused, as is everything that [`Object::parse`] refuses.
    pub fn from_document(bytes: Vec<u8>) -> Result<Event, EventError> {
        let decoded = decode(&bytes)?;
        let document = xml::parse(&decoded.text, MAX_DOCUMENT_DEPTH)?;
        let (event_type, action) =
            read_event(document.root_element()).map_err(EventError::NotAnEvent)?;
        if let Some((declared, actual)) = decoded.contradiction() {
            let declared = shown(&declared);
            let problem = format!("its declaration says `{declared}`, but its bytes are {actual}");
            return Err(EventError::NotAnEvent(problem));
        }
        Ok(Event {
            event_type,
            action,
            bytes,
        })
    }

    /// Type and action of a received document. Its `object` is not checked.
    ///
    /// None if it is not well-formed, its root is not `event`, or one of the two is missing, empty or repeated.
    pub fn names(document: &[u8]) -> Option<(String, String)> {
        let decoded = decode(document).ok()?;
        let document = xml::parse(&decoded.text, MAX_DOCUMENT_DEPTH).ok()?;
        read_names(document.root_element()).ok()
    }

    /// Type and action of a document from outside, read only as far as needed: what follows them may be cut off or
    /// malformed. Where [`Event::names`] finds them, the result is the same.
    pub fn title(document: &[u8]) -> Option<(String, String)> {
        let text = decode(document).ok()?.text;
        if xml::forbidden_char(&text).is_some() {
            return None;
        }
        let mut reader = Reader::from_str(&text);
        let (mut event_type, mut action) = (None, None);
        let mut depth = 0;
        while event_type.is_none() || action.is_none() {
            match reader.read_event().ok()? {
                Token::Start(tag) if depth == 0 && tag.name().0 != "event" => return None,
                Token::Start(tag) if depth == 1 && is_title_field(tag.name().0) => {
                    let is_type = tag.name().0 == "type";
                    let field = if is_type {
                        &mut event_type
                    } else {
                        &mut action
                    };
                    if field.replace(read_text(&mut reader)?).is_some() {
                        return None;
                    }
                }
                Token::Start(_) => depth += 1,
                Token::End(_) => depth -= 1,
                Token::Empty(_) if depth == 0 => return None,
                Token::Empty(tag) if depth == 1 && is_title_field(tag.name().0) => return None,
                Token::DocType(_) | Token::Eof => return None,
                _ => {}
            }
        }
        let event_type = field_value("type", &event_type?).ok()?;
        let action = field_value("action", &action?).ok()?;
        Some((event_type, action))
    }

    /// `account`, `user`, `application`, or any other.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The action that the document names, such as `created` or `updated`.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The document in its own encoding, declaration included.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn is_title_field(name: &str) -> bool {
    matches!(name, "type" | "action")
}

/// The text up to the end tag of the element that was entered; none if it contains an element.
fn read_text(reader: &mut Reader<&[u8]>) -> Option<String> {
    let mut value = String::new();
    loop {
        match reader.read_event().ok()? {
            Token::Text(text) => value.push_str(&text.xml10_content()),
            Token::CData(text) => value.push_str(&text.xml10_content()),
            Token::GeneralRef(name) => match name.resolve_char_ref().ok()? {
                Some(c) => value.push(c),
                None => value.push_str(resolve_predefined_entity(&name)?),
            },
            Token::End(_) => return Some(value),
            Token::Comment(_) | Token::PI(_) => {}
            _ => return None,
        }
    }
}

/// Plain names need neither escaping nor trimming.
fn require_name(field: &'static str, value: &str) -> Result<(), EventError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !value.is_empty() && value.bytes().all(plain) {
        return Ok(());
    }
    Err(EventError::NotAName {
        field,
        value: shown(value),
    })
}

/// The type and action of a whole event. The error follows "not an event:".
fn read_event(root: Node<'_, '_>) -> Result<(String, String), String> {
    let names = read_names(root)?;
    let object = only_child(root, "object")?;
    match xml::elements(object).count() {
        1 => Ok(names),
        0 => Err("its `object` has no element in it".to_owned()),
        count => Err(format!("its `object` has {count} elements in it, not one")),
    }
}

fn read_names(root: Node<'_, '_>) -> Result<(String, String), String> {
    let name = xml::name(root);
    if name != "event" {
        let name = shown(name);
        return Err(format!("its root element is `{name}`, not `event`"));
    }
    let read = |name| {
        let field = only_child(root, name)?;
        if xml::elements(field).next().is_some() {
            return Err(format!("its `{name}` contains an element, not just text"));
        }
        field_value(name, &xml::text(field))
    };
    Ok((read("type")?, read("action")?))
}

fn only_child<'d, 'a>(parent: Node<'d, 'a>, name: &str) -> Result<Node<'d, 'a>, String> {
    let mut named = xml::elements(parent).filter(|(given, _)| *given == name);
    match (named.next(), named.next()) {
        (Some((_, child)), None) => Ok(child),
        (Some(_), Some(_)) => Err(format!("it has more than one `{name}`")),
        (None, _) => Err(format!("it has no `{name}`")),
    }
}

fn field_value(name: &str, text: &str) -> Result<String, String> {
    let value = text.trim_matches(is_space);
    if value.is_empty() {
        return Err(format!("its `{name}` is empty"));
    }
    if let Some(c) = value.chars().find(|&c| is_deceptive(c)) {
        let code = u32::from(c);
        return Err(format!(
            "its `{name}` has the unprintable character U+{code:04X}"
        ));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_depend_on_the_object() {
        let names = |inside: &str| Event::names(format!("<event>{inside}</event>").as_bytes());
        let called =
            |event_type: &str, action: &str| Some((event_type.to_owned(), action.to_owned()));
        for object in [
            "",
            "<object/>",
            "<object> </object>",
            "<object>text</object>",
            "<object><a/><b/></object>",
            "<object/><object/>",
        ] {
            let inside = format!("{object}<type> application </type><action>created</action>");
            assert_eq!(names(&inside), called("application", "created"), "{inside}");
        }
        for inside in [
            "<type>a</type>",
            "<type>a</type><action/>",
            "<type>a</type><type>b</type><action>c</action>",
            "<type><a/></type><action>c</action>",
            "<object><type>a</type><action>b</action></object>",
            "<type>a</type><action>c</action><object>",
        ] {
            assert_eq!(names(inside), None, "{inside}");
        }
        assert_eq!(
            Event::names(b"<other><type>a</type><action>b</action></other>"),
            None
        );
        assert_eq!(Event::names(b"type=a&action=b"), None);
    }

    #[test]
    fn a_truncated_event_has_a_title_but_no_names() {
        let title = |document: &str| Event::title(document.as_bytes());
        let called = Some(("application".to_owned(), "created".to_owned()));
        let begun = "<event><type>application</type><action>created</action>";
        for rest in [
            "<object><application><id>1</i",
            "</event>",
            "",
            "<type>twice</type></event>",
            "</other>",
        ] {
            assert_eq!(title(&format!("{begun}{rest}")), called, "{rest}");
        }
        assert_eq!(Event::names(format!("{begun}<object>").as_bytes()), None);
        let object_first = "<event><object><type>no</type></object><action>created</action><type>application</type>";
        assert_eq!(title(object_first), called);
        for document in [
            "<event><type>application</type><action>created",
            "<event><type>application</type><action/><object/></event>",
            "<event><type>a</type><type>b</type><action>c</action></event>",
            "<event><type><a/></type><action>c</action></event>",
            "<other><type>a</type><action>b</action></other>",
            "<event><type>a</type><action>b</action><object>\u{1}</object></event>",
        ] {
            assert_eq!(title(document), None, "{document}");
        }
    }

    #[test]
    fn builds_the_documented_envelope() {
        let object = Object::parse(b"<?xml version='1.0'?><user>\r\n <id>1</id></user>\n").unwrap();
        let event = Event::build("user", "created", &object, ElementOrder::Documented).unwrap();
        let expected = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<event>\n  <type>user</type>\n",
            "  <action>created</action>\n  <object>\n    <user>\r\n <id>1</id></user>\n",
            "  </object>\n</event>\n",
        ]
        .concat();
        assert_eq!(str::from_utf8(event.bytes()).unwrap(), expected);
        assert_eq!((event.event_type(), event.action()), ("user", "created"));
        assert_eq!(Event::from_document(event.bytes().to_vec()), Ok(event));
    }

    #[test]
    fn the_running_systems_order_has_the_action_first() {
        let object = Object::parse(b"<user/>").unwrap();
        let event = Event::build("user", "created", &object, ElementOrder::Porta).unwrap();
        let text = str::from_utf8(event.bytes()).unwrap();
        assert!(
            text.ends_with(
                "?><event><action>created</action><type>user</type><object><user/></object></event>"
            ),
            "{text}"
        );
        assert_eq!(Event::from_document(event.bytes().to_vec()), Ok(event));
    }

    #[test]
    fn builds_with_plain_names_only() {
        let object = Object::parse(b"<user/>").unwrap();
        for bad in ["", " ", "a b", "a<b", "é", "a\n"] {
            assert!(
                Event::build(bad, "created", &object, ElementOrder::Porta).is_err(),
                "{bad}"
            );
            assert!(
                Event::build("user", bad, &object, ElementOrder::Porta).is_err(),
                "{bad}"
            );
        }
        assert_eq!(
            Event::build("user", "a/b", &object, ElementOrder::Documented)
                .unwrap_err()
                .to_string(),
            "the action `a/b` is not a plain name: one or more letters, digits, `_`, `.`, `-`"
        );
    }

    #[test]
    fn reads_fields_by_name_and_keeps_the_bytes() {
        let text = "\u{FEFF}<?xml version='1.0' encoding='utf-8'?>\n<!-- x --><event x='1'>\n \
                    <action> cre<![CDATA[at]]>&#101;d\n</action><id/>\
                    <object> <a><type/></a> </object><type>&lt;t e&gt;</type>\
                    <extra><type>no</type></extra></event>\r\n";
        let event = Event::from_document(text.as_bytes().to_vec()).unwrap();
        assert_eq!((event.event_type(), event.action()), ("<t e>", "created"));
        assert_eq!(event.bytes(), text.as_bytes());
    }

    #[test]
    fn says_what_is_not_an_event() {
        for (text, problem) in [
            ("<account/>", "its root element is `account`, not `event`"),
            ("<event/>", "it has no `type`"),
            ("<event><type>t</type></event>", "it has no `action`"),
            (
                "<event><type>t</type><action>a</action></event>",
                "it has no `object`",
            ),
            (
                "<event><type>t</type><action>a</action><object>&lt;a/></object></event>",
                "its `object` has no element in it",
            ),
            (
                "<event><type>t</type><action>a</action><object><a/><b/></object></event>",
                "its `object` has 2 elements in it, not one",
            ),
            (
                "<event><type>t</type><type>t</type></event>",
                "it has more than one `type`",
            ),
            (
                "<event><type>t</type><action>a</action><object/><object/></event>",
                "it has more than one `object`",
            ),
            (
                "<event><type> \n</type><action>a</action></event>",
                "its `type` is empty",
            ),
            (
                "<event><type>t</type><action>a\u{202E}b</action></event>",
                "its `action` has the unprintable character U+202E",
            ),
            (
                "<event><type>t</type><action>a&#10;b</action></event>",
                "its `action` has the unprintable character U+000A",
            ),
            (
                "<event><type><b/></type></event>",
                "its `type` contains an element, not just text",
            ),
        ] {
            let error = Event::from_document(text.as_bytes().to_vec()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("not an event: {problem}"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_lying_declaration_would_reach_the_receiver() {
        let text = "<?xml version='1.0' encoding='UTF-16'?><event><type>t</type>\
                    <action>a</action><object><a/></object></event>";
        assert_eq!(
            Event::from_document(text.as_bytes().to_vec())
                .unwrap_err()
                .to_string(),
            "not an event: its declaration says `UTF-16`, but its bytes are UTF-8"
        );
    }
}
