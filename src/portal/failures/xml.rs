//! Streams `<webhooks-failures>`: one entry in memory at a time.
//!
//! quick-xml finds where entries begin and end; each is then parsed as a document of its own, so that a malformed entry
//! does not hide the next.

use std::io::{self, BufRead, Read as _, Take};

use quick_xml::Reader;
use quick_xml::errors::Error;
use quick_xml::events::Event as Token;

use super::{ListError, TakeTexts, Texts};
use crate::event::{MAX_DOCUMENT_DEPTH, xml};

/// Events are a few kilobytes.
const MAX_ENTRY_MIB: usize = 16;
const MAX_ENTRY_BYTES: usize = MAX_ENTRY_MIB * 1024 * 1024;

const LIST: &str = "webhooks-failures";
const ENTRY: &str = "webhooks-failure";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Hands each entry to `take`, with the line on which it begins, until `take` returns false.
pub(super) fn each(input: &mut dyn BufRead, take: TakeTexts<'_>) -> Result<(), ListError> {
    let mut list = XmlList::new(input);
    list.begin()?;
    let no_end_tag = |line| (line, Err("it has no end tag".to_owned()));
    // The line on which the current entry begins.
    let mut entry: Option<u64> = None;
    let mut in_unknown = false;
    loop {
        if entry.is_none() {
            list.forget(list.raw.len());
        }
        let begins_at = list.raw.len();
        let tag = list.next()?;
        let found = match tag {
            Tag::EntryStart => {
                list.forget(begins_at);
                in_unknown = false;
                entry.replace(list.line).map(no_end_tag)
            }
            Tag::EntryEnd if entry.is_some() => entry.take().map(|line| (line, parse(&list.raw))),
            Tag::ListEnd => entry.map(no_end_tag),
            Tag::Layout => None,
            _ if entry.is_some() || in_unknown => None,
            _ => {
                in_unknown = true;
                Some((list.line, Err("this is not a failure".to_owned())))
            }
        };
        let goes_on = found.is_none_or(|(line, texts)| take(Some(line), texts));
        if !goes_on || tag == Tag::ListEnd {
            return Ok(());
        }
    }
}

#[derive(PartialEq, Eq)]
enum Tag {
    EntryStart,
    EntryEnd,
    ListEnd,
    /// White space or a comment.
    Layout,
    Other,
}

struct XmlList<'r> {
    reader: Reader<Take<&'r mut dyn BufRead>>,
    /// The part of the input that was read and is still needed.
    raw: Vec<u8>,
    /// The line on which `raw` begins.
    line: u64,
}

impl<'r> XmlList<'r> {
    fn new(input: &'r mut dyn BufRead) -> XmlList<'r> {
        let mut reader = Reader::from_reader(input.take(MAX_ENTRY_BYTES as u64));
        reader.config_mut().expand_empty_elements = true;
        // Tags that do not match are reported by the parser of the entry.
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        XmlList {
            reader,
            raw: Vec::new(),
            line: 1,
        }
    }

    /// Forgets the first `length` bytes of `raw`; as many can be read instead.
    fn forget(&mut self, length: usize) {
        let forgotten = self.raw.drain(..length);
        self.line += forgotten.filter(|byte| *byte == b'\n').count() as u64;
        let allowed = MAX_ENTRY_BYTES.saturating_sub(self.raw.len());
        self.reader.get_mut().set_limit(allowed as u64);
    }

    /// Reads up to and including the start tag of the list.
    fn begin(&mut self) -> Result<(), ListError> {
        let mut has_doctype = false;
        loop {
            match self.reader.read_event_into(&mut self.raw) {
                Ok(Token::Decl(declaration)) => match declaration.encoding() {
                    Some(Ok(label)) if !is_utf8(&label) => return Err(unreadable_encoding(&label)),
                    _ => {}
                },
                Ok(Token::DocType(_)) => has_doctype = true,
                Ok(Token::Start(tag)) if tag.name().0 == LIST && has_doctype => {
                    return Err(not_a_list(
                        "it has a DOCTYPE, which is refused: it could define entities",
                    ));
                }
                Ok(Token::Start(tag)) if tag.name().0 == LIST => return Ok(()),
                Err(Error::Io(e)) => return Err(ListError::Io(io::Error::new(e.kind(), e))),
                Ok(Token::Start(_) | Token::Eof) | Err(_) => {
                    return Err(not_a_list("it has no element `webhooks-failures`"));
                }
                Ok(_) => {}
            }
        }
    }

    fn next(&mut self) -> Result<Tag, ListError> {
        let before = self.reader.buffer_position();
        let tag = match self.reader.read_event_into(&mut self.raw) {
            Ok(Token::Start(tag)) if tag.name().0 == ENTRY => Tag::EntryStart,
            Ok(Token::End(tag)) if tag.name().0 == ENTRY => Tag::EntryEnd,
            Ok(Token::End(tag)) if tag.name().0 == LIST => Tag::ListEnd,
            Ok(Token::Text(text)) if text.trim_ascii().is_empty() => Tag::Layout,
            Ok(Token::Comment(_)) => Tag::Layout,
            Ok(Token::Eof) => return Err(self.end()),
            Err(Error::Io(e)) => return Err(ListError::Io(io::Error::new(e.kind(), e))),
            // The parser of the entry reports it.
            Err(_) if self.reader.buffer_position() > before => Tag::Other,
            Err(_) => return Err(self.end()),
            Ok(_) => Tag::Other,
        };
        Ok(tag)
    }

    /// Why there is no more to read.
    fn end(&self) -> ListError {
        if self.reader.get_ref().limit() > 0 {
            return ListError::Cut;
        }
        ListError::Other(format!(
            "a failure in the list is longer than {MAX_ENTRY_MIB} MiB"
        ))
    }
}

fn is_utf8(label: &str) -> bool {
    let labels = ["utf-8", "utf8", "us-ascii", "ascii"];
    labels.iter().any(|utf8| label.eq_ignore_ascii_case(utf8))
}

fn not_a_list(problem: &str) -> ListError {
    ListError::Other(format!("not a list of failures: {problem}"))
}

pub(super) fn unreadable_encoding(name: &str) -> ListError {
    not_a_list(&format!(
        "it is in {}; only UTF-8 lists can be read",
        name.escape_default()
    ))
}

/// Parses an entry that was cut out of its list.
fn parse(bytes: &[u8]) -> Result<Texts, String> {
    let text = str::from_utf8(bytes)
        .map_err(|e| format!("not valid UTF-8 after {} bytes of it", e.valid_up_to()))?;
    let document = xml::parse(text, MAX_DOCUMENT_DEPTH + 1).map_err(|e| format!("in it, {e}"))?;
    let mut texts = Texts::default();
    for (name, element) in xml::elements(document.root_element()) {
        let value = xml::text(element);
        let value = match name {
            // Escaped as one text, or as elements.
            "event" if element.first_element_child().is_none() && value.trim().starts_with('<') => {
                value.trim().to_owned()
            }
            "event" => format!("{DECLARATION}{}\n", &text[element.range()]),
            _ => value,
        };
        let Some(field) = texts.field_mut(name) else {
            continue;
        };
        if field.replace(value).is_some() {
            return Err(format!("it has more than one `{name}`"));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids that were found, or `line: problem`; and the final error.
    fn read(list: &str) -> (Vec<String>, Option<String>) {
        let mut input = io::BufReader::with_capacity(1, list.as_bytes());
        let mut found = Vec::new();
        let ended = each(&mut input, &mut |line, entry| {
            found.push(match entry {
                Ok(texts) => texts.id.unwrap_or_default(),
                Err(problem) => format!("{}: {problem}", line.unwrap()),
            });
            true
        });
        (found, ended.err().map(|e| e.to_string()))
    }

    fn entry(id: &str) -> String {
        format!("<webhooks-failure><id>{id}</id></webhooks-failure>")
    }

    #[test]
    fn an_entry_has_its_texts_and_its_event_as_a_document() {
        let entry = "<webhooks-failure>\n<id> a </id><time>t</time><error>x &amp; <![CDATA[<y>]]></error>\
                     <url>http://h/?a=1&amp;b=2</url><event a='1'>\n <type>t</type></event>\n</webhooks-failure>";
        let document =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<event a='1'>\n <type>t</type></event>\n";
        assert_eq!(
            parse(entry.as_bytes()),
            Ok(Texts {
                id: Some(" a ".into()),
                time: Some("t".into()),
                error: Some("x & <y>".into()),
                url: Some("http://h/?a=1&b=2".into()),
                event: Some(document.into()),
                ..Texts::default()
            })
        );
    }

    #[test]
    fn empty_lists() {
        for list in [
            "<webhooks-failures/>",
            "<?xml version='1.0'?>\n<!-- c -->\n<webhooks-failures type='array'>\n</webhooks-failures>\n",
        ] {
            assert_eq!(read(list), (vec![], None), "{list}");
        }
    }

    #[test]
    fn malformed_entries_do_not_hide_the_next() {
        let (a, b) = (entry("a"), entry("b"));
        for (broken, problem) in [
            (
                "<webhooks-failure><id>x</di></webhooks-failure>",
                "in it, line 1",
            ),
            ("<webhooks-failure><id>x</id>", "it has no end tag"),
            (
                "<webhooks-failure><id>x</id><id>y</id></webhooks-failure>",
                "it has more than one `id`",
            ),
            ("<other>x</other>", "this is not a failure"),
        ] {
            let (found, end) = read(&format!(
                "<webhooks-failures>\n{a}\n{broken}\n{b}\n</webhooks-failures>"
            ));
            assert_eq!((found.len(), end), (3, None), "{broken}: {found:?}");
            assert_eq!(
                (found[0].as_str(), found[2].as_str()),
                ("a", "b"),
                "{broken}"
            );
            assert!(found[1].contains(problem), "{broken}: {found:?}");
        }
        assert!(
            read("<webhooks-failures>\n\n<webhooks-failure>&x;</webhooks-failure></webhooks-failures>").0[0]
                .starts_with("3: ")
        );
    }

    #[test]
    fn tags_in_comments_and_cdata_are_ignored() {
        let inside = "<webhooks-failure><!-- </webhooks-failure> --><event><![CDATA[</webhooks-failure>]]></event><id>a</id></webhooks-failure>";
        let list = format!(
            "<webhooks-failures><!-- c -->{inside}{}</webhooks-failures>",
            entry("b")
        );
        assert_eq!(read(&list), (vec!["a".to_owned(), "b".to_owned()], None));
    }

    #[test]
    fn a_truncated_list_gives_its_complete_entries() {
        let list = format!("<webhooks-failures>{}<webhooks-failure><id>b", entry("a"));
        assert_eq!(
            read(&list),
            (
                vec!["a".to_owned()],
                Some("the list ends too early".to_owned())
            )
        );
        let list = format!("<webhooks-failures>{}\n", entry("a"));
        assert_eq!(
            read(&list),
            (
                vec!["a".to_owned()],
                Some("the list ends too early".to_owned())
            )
        );
    }

    #[test]
    fn other_documents_are_refused() {
        for list in [
            "",
            "<html></html>",
            "<!DOCTYPE webhooks-failures [<!ENTITY a 'b'>]><webhooks-failures/>",
            "<webhooks-failuresx/>",
            "<?xml version='1.0' encoding='ISO-8859-1'?><webhooks-failures/>",
        ] {
            assert!(
                read(list)
                    .1
                    .is_some_and(|words| words.starts_with("not a list of failures")),
                "{list}"
            );
        }
    }

    #[test]
    fn an_escaped_event_is_an_event_too() {
        let entry = "<webhooks-failure><event>&lt;event/&gt;</event></webhooks-failure>";
        let texts = parse(entry.as_bytes()).unwrap();
        assert_eq!(texts.event.as_deref(), Some("<event/>"));
    }

    #[test]
    fn an_endless_entry_is_refused() {
        let endless = io::repeat(b'x').take(2 * MAX_ENTRY_BYTES as u64);
        let list = b"<webhooks-failures><webhooks-failure><id>".chain(endless);
        let ended = each(&mut io::BufReader::new(list), &mut |_, _| true);
        assert_eq!(
            ended.unwrap_err().to_string(),
            "a failure in the list is longer than 16 MiB"
        );
    }
}
