//! The whole event document: built around an object, or taken as it comes.
//!
//! Deliberately no reformatting and no schema: a built event is the documented envelope around the
//! object's own text; a given one is kept to the byte, and only its type and action are read out of
//! it.
//!
//! Invariant: `bytes` is what an endpoint gets; decoded, it is a well-formed document whose
//! `<event>` says `event_type` and `action`.

use super::MAX_DOCUMENT_DEPTH;
use super::chars::{is_printable, is_space};
use super::encoding::decode;
use super::error::{EventError, shown};
use super::object::Object;
use super::scan::{Kind, Scanner, Token};

/// One event, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    event_type: String,
    action: String,
    bytes: Vec<u8>,
}

/// Whose order the envelope's fields stand in. Receivers read by name; some only think they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ElementOrder {
    /// The manual's: type before action.
    #[default]
    Documented,
    /// The running system's: action before type.
    Porta,
}

impl ElementOrder {
    /// Both, the default first.
    pub const ALL: [ElementOrder; 2] = [ElementOrder::Documented, ElementOrder::Porta];

    /// The word for it on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ElementOrder::Documented => "documented",
            ElementOrder::Porta => "porta",
        }
    }
}

impl Event {
    /// Builds the envelope, in UTF-8, around the object as it is.
    ///
    /// # Errors
    /// [`EventError::NotAName`] for a type or an action that is not one or more of `A-Z a-z 0-9 _ .
    /// -`. The pair need not be a [documented](super::catalogue::EVENTS) one.
    pub fn build(
        event_type: &str,
        action: &str,
        object: &Object,
        compat: ElementOrder,
    ) -> Result<Event, EventError> {
        require_name("type", event_type)?;
        require_name("action", action)?;
        let object = object.as_str();
        let [first, second] = match compat {
            ElementOrder::Documented => [("type", event_type), ("action", action)],
            ElementOrder::Porta => [("action", action), ("type", event_type)],
        };
        let line = |(name, value)| format!("<{name}>{value}</{name}>");
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<event>\n  {}\n  {}\n  <object>\n    {object}\n  </object>\n</event>\n",
            line(first),
            line(second),
        );
        Ok(Event {
            event_type: event_type.to_owned(),
            action: action.to_owned(),
            bytes: document.into_bytes(),
        })
    }

    /// Takes a finished document, to be sent byte for byte.
    ///
    /// Its root element must be `event`. Among that element's children, in any order and beside any
    /// others, there must be one `type` and one `action` (printable text, white space around it
    /// ignored) and one `object` with exactly one element in it.
    ///
    /// # Errors
    /// What [`Object::parse`] refuses, a declaration that contradicts the bytes, and
    /// [`EventError::NotAnEvent`].
    pub fn from_document(bytes: Vec<u8>) -> Result<Event, EventError> {
        let decoded = decode(&bytes)?;
        let mut envelope = Envelope::default();
        for token in Scanner::new(&decoded.text, MAX_DOCUMENT_DEPTH)? {
            envelope.read(token?).map_err(EventError::NotAnEvent)?;
        }
        if let Some((declared, actual)) = decoded.contradiction() {
            let declared = shown(declared);
            let problem = format!("its declaration says `{declared}`, but its bytes are {actual}");
            return Err(EventError::NotAnEvent(problem));
        }
        let (event_type, action) = envelope.finish().map_err(EventError::NotAnEvent)?;
        Ok(Event {
            event_type,
            action,
            bytes,
        })
    }

    /// Type and action of a document that others sent, whatever its object is: none, empty, or several.
    ///
    /// None if it is not well-formed, its root is not `event`, or one of the two is missing, empty or there twice.
    pub fn names(document: &[u8]) -> Option<(String, String)> {
        Event::names_until(document, |_| false)
    }

    /// Type and action of a document that others sent, as soon as both are known: what comes after them is not read, be it
    /// well-formed or not. Where [`Event::names`] has an answer, this is the same.
    pub fn title(document: &[u8]) -> Option<(String, String)> {
        Event::names_until(document, Envelope::is_named)
    }

    fn names_until(
        document: &[u8],
        enough: impl Fn(&Envelope) -> bool,
    ) -> Option<(String, String)> {
        let decoded = decode(document).ok()?;
        let mut envelope = Envelope::default();
        for token in Scanner::new(&decoded.text, MAX_DOCUMENT_DEPTH).ok()? {
            let token = token.ok()?;
            let ends_field = token.depth == 2 && matches!(token.kind, Kind::Close);
            match envelope.read(token) {
                Err(_) if envelope.current != Field::Object => return None,
                _ if ends_field && enough(&envelope) => break,
                _ => {}
            }
        }
        envelope.names().ok()
    }

    /// What the event is about: `account`, `user`, `application`, or whatever its author wrote.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// What happened: `created`, `updated`, …
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The document, in its own encoding, declaration included.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Plain names only, so that neither escaping nor white space can ever be at issue.
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

/// What has been seen of an event document so far. The problems are in words, to follow "not an
/// event:".
#[derive(Default)]
struct Envelope {
    event_type: Option<String>,
    action: Option<String>,
    /// Elements directly in `<object>`.
    objects: Option<usize>,
    /// The child of `<event>` that is being read.
    current: Field,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Field {
    Type,
    Action,
    Object,
    #[default]
    Other,
}

impl Envelope {
    fn read(&mut self, token: Token<'_>) -> Result<(), String> {
        match (token.depth, token.kind) {
            (1, Kind::Open { name, .. }) if name != "event" => Err(format!(
                "its root element is `{}`, not `event`",
                shown(name)
            )),
            (2, Kind::Open { name, .. }) => self.enter(name),
            (2, Kind::Text(text) | Kind::CData(text)) => {
                self.push(text);
                Ok(())
            }
            (2, Kind::Reference(c)) => {
                self.push(c.encode_utf8(&mut [0; 4]));
                Ok(())
            }
            (3, Kind::Open { .. }) => self.enter_deeper(),
            _ => Ok(()),
        }
    }

    fn enter(&mut self, name: &str) -> Result<(), String> {
        let repeated = match name {
            "type" => {
                self.current = Field::Type;
                self.event_type.replace(String::new()).is_some()
            }
            "action" => {
                self.current = Field::Action;
                self.action.replace(String::new()).is_some()
            }
            "object" => {
                self.current = Field::Object;
                self.objects.replace(0).is_some()
            }
            _ => {
                self.current = Field::Other;
                false
            }
        };
        if repeated {
            Err(format!("it has more than one `{name}`"))
        } else {
            Ok(())
        }
    }

    fn enter_deeper(&mut self) -> Result<(), String> {
        match self.current {
            Field::Type => Err("its `type` holds an element, not just text".to_owned()),
            Field::Action => Err("its `action` holds an element, not just text".to_owned()),
            Field::Object => {
                self.objects = self.objects.map(|count| count + 1);
                Ok(())
            }
            Field::Other => Ok(()),
        }
    }

    fn push(&mut self, text: &str) {
        let field = match self.current {
            Field::Type => &mut self.event_type,
            Field::Action => &mut self.action,
            Field::Object | Field::Other => return,
        };
        if let Some(value) = field {
            value.push_str(text);
        }
    }

    /// Whether both the type and the action have come.
    fn is_named(&self) -> bool {
        self.event_type.is_some() && self.action.is_some()
    }

    /// The type and the action.
    fn names(self) -> Result<(String, String), String> {
        Ok((
            field_value("type", self.event_type)?,
            field_value("action", self.action)?,
        ))
    }

    /// The type and the action of an event that is whole.
    fn finish(self) -> Result<(String, String), String> {
        let objects = self.objects;
        let names = self.names()?;
        match objects {
            Some(1) => Ok(names),
            Some(0) => Err("its `object` has no element in it".to_owned()),
            Some(count) => Err(format!("its `object` has {count} elements in it, not one")),
            None => Err("it has no `object`".to_owned()),
        }
    }
}

fn field_value(name: &str, text: Option<String>) -> Result<String, String> {
    let text = text.ok_or_else(|| format!("it has no `{name}`"))?;
    let value = text.trim_matches(is_space);
    if value.is_empty() {
        return Err(format!("its `{name}` is empty"));
    }
    let plain = value
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    match if plain {
        None
    } else {
        value.chars().find(|&c| !is_printable(c))
    } {
        Some(c) => Err(format!(
            "its `{name}` has the unprintable character U+{:04X}",
            u32::from(c)
        )),
        None => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_is_called_does_not_depend_on_its_object() {
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
    fn an_event_that_breaks_off_in_its_object_has_a_title_but_no_names() {
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
            text.contains("<event>\n  <action>created</action>\n  <type>user</type>\n  <object>"),
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
                "<event><object/><object/></event>",
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
                "its `type` holds an element, not just text",
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
