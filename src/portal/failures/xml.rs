//! Streams `<webhooks-failures>`: one entry in memory at a time.
//!
//! quick-xml finds where entries begin and end; each is then parsed as a document of its own, so that a malformed entry
//! does not hide the next.

use std::io::{self, BufRead, Read};

use quick_xml::Reader;
use quick_xml::errors::Error;
use quick_xml::events::Event as Token;

use super::{ListError, Location, Texts, Visit, read, unreadable};
use crate::event::{MAX_DOCUMENT_DEPTH, xml};

/// Events are a few kilobytes.
const MAX_ENTRY_BYTES: usize = 16 * 1024 * 1024;

const LIST: &str = "webhooks-failures";
const ENTRY: &str = "webhooks-failure";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Hands each entry to `visit`, and stops at its first error.
pub(super) fn each<E>(
    input: &mut dyn BufRead,
    visit: Visit<'_, E>,
) -> Result<Result<(), E>, ListError> {
    let mut list = XmlList::new(input);
    let mut number = 0;
    loop {
        let more = list.advance()?;
        for (line, entry) in list.found.drain(..) {
            number += 1;
            let place = Location {
                number,
                line: Some(line),
            };
            let failure = match entry {
                Ok(texts) => read(place, texts),
                Err(problem) => Err(unreadable(place, problem)),
            };
            if let Err(stop) = visit(failure) {
                return Ok(Err(stop));
            }
        }
        if !more {
            return Ok(Ok(()));
        }
    }
}

struct XmlList<'r> {
    reader: Reader<Recorder<'r>>,
    position: ReadState,
    has_doctype: bool,
    /// The entries that the last token completed, or their faults, each with the line on which it begins.
    found: Vec<(u64, Result<Texts, String>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadState {
    BeforeList,
    InList,
    /// The line on which the entry begins.
    InEntry(u64),
    /// Within something that is not an entry and has been reported.
    InUnknown,
}

impl<'r> XmlList<'r> {
    fn new(input: &'r mut dyn BufRead) -> XmlList<'r> {
        let mut reader = Reader::from_reader(Recorder {
            input,
            recorded: Vec::new(),
            line: 1,
        });
        // Tags that do not match are reported by the parser of the entry.
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        XmlList {
            reader,
            position: ReadState::BeforeList,
            has_doctype: false,
            found: Vec::new(),
        }
    }

    /// Reads one token; false after the end of the list.
    fn advance(&mut self) -> Result<bool, ListError> {
        if !matches!(self.position, ReadState::InEntry(_)) {
            self.reader.get_mut().recorded.clear();
        }
        let (start, line) = (
            self.reader.get_ref().recorded.len(),
            self.reader.get_ref().line,
        );
        let offset = self.reader.buffer_position();
        let mut buffer = Vec::new();
        let token = match self.reader.read_event_into(&mut buffer) {
            Ok(token) => token,
            Err(Error::Io(_)) if self.reader.get_ref().is_full() => {
                let limit = MAX_ENTRY_BYTES / 1024 / 1024;
                let problem = format!("a failure in the list is longer than {limit} MiB");
                return Err(ListError::Other(problem));
            }
            Err(Error::Io(e)) => return Err(ListError::Io(io::Error::new(e.kind(), e))),
            Err(_) if self.reader.buffer_position() == offset => return Err(ListError::Cut),
            Err(_) => {
                self.unknown(line);
                return Ok(true);
            }
        };
        let (name, opens, empty) = match &token {
            Token::Start(tag) => (tag.name().0, true, false),
            Token::Empty(tag) => (tag.name().0, true, true),
            Token::End(tag) => (tag.name().0, false, false),
            _ => ("", false, false),
        };
        match (&token, self.position) {
            (Token::Eof, ReadState::BeforeList) => return Err(not_a_list()),
            (Token::Eof, _) => return Err(ListError::Cut),
            (Token::DocType(_), ReadState::BeforeList) => self.has_doctype = true,
            (Token::Decl(declaration), ReadState::BeforeList) => {
                if let Some(Ok(label)) = declaration.encoding()
                    && !["utf-8", "utf8", "us-ascii", "ascii"]
                        .contains(&label.to_ascii_lowercase().as_str())
                {
                    return Err(unreadable_encoding(&label));
                }
            }
            (_, ReadState::BeforeList) if opens && name == LIST => {
                if self.has_doctype {
                    let problem = "it has a DOCTYPE, which is refused: it could define entities";
                    return Err(ListError::Other(format!(
                        "not a list of failures: {problem}"
                    )));
                }
                self.position = ReadState::InList;
                return Ok(!empty);
            }
            (_, ReadState::BeforeList) if opens => return Err(not_a_list()),
            (_, ReadState::BeforeList) => {}
            (_, position) if opens && name == ENTRY => {
                if let ReadState::InEntry(line) = position {
                    self.found.push((line, Err("it has no end tag".to_owned())));
                }
                self.reader.get_mut().recorded.drain(..start);
                if empty {
                    self.found.push((line, Ok(Texts::default())));
                    self.position = ReadState::InList;
                } else {
                    self.position = ReadState::InEntry(line);
                }
            }
            (Token::End(_), ReadState::InEntry(line)) if name == ENTRY => {
                self.found
                    .push((line, parse(&self.reader.get_ref().recorded)));
                self.position = ReadState::InList;
            }
            (Token::End(_), position) if name == LIST => {
                if let ReadState::InEntry(line) = position {
                    self.found.push((line, Err("it has no end tag".to_owned())));
                }
                return Ok(false);
            }
            (Token::Text(text), _) if text.trim_ascii().is_empty() => {}
            (Token::Comment(_), _) => {}
            _ => self.unknown(line),
        }
        Ok(true)
    }

    /// Reports something that is not an entry, once.
    fn unknown(&mut self, line: u64) {
        if self.position == ReadState::InList {
            self.found
                .push((line, Err("this is not a failure".to_owned())));
            self.position = ReadState::InUnknown;
        }
    }
}

fn not_a_list() -> ListError {
    ListError::Other("not a list of failures: it has no element `webhooks-failures`".to_owned())
}

pub(super) fn unreadable_encoding(name: &str) -> ListError {
    ListError::Other(format!(
        "not a list of failures: it is in {}; only UTF-8 lists can be read",
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
        let (field, value) = match name {
            "id" => (&mut texts.id, value),
            "time" => (&mut texts.time, value),
            "error" => (&mut texts.error, value),
            "url" => (&mut texts.url, value),
            // Escaped as one text, or as elements.
            "event" if element.first_element_child().is_none() && value.trim().starts_with('<') => {
                (&mut texts.event, value.trim().to_owned())
            }
            "event" => {
                let event = format!("{DECLARATION}{}\n", &text[element.range()]);
                (&mut texts.event, event)
            }
            _ => continue,
        };
        if field.replace(value).is_some() {
            return Err(format!("it has more than one `{name}`"));
        }
    }
    Ok(texts)
}

/// Keeps what is read, and counts lines.
struct Recorder<'r> {
    input: &'r mut dyn BufRead,
    recorded: Vec<u8>,
    line: u64,
}

impl Recorder<'_> {
    fn is_full(&self) -> bool {
        self.recorded.len() > MAX_ENTRY_BYTES
    }
}

impl Read for Recorder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Recorder<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.is_full() {
            return Err(io::Error::other("the entry is too long"));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        if let Ok(available) = self.input.fill_buf() {
            let consumed = &available[..length];
            self.line += consumed.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.recorded.extend_from_slice(consumed);
        }
        self.input.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids that were found, or `line: problem`; and the final error.
    fn read(list: &str) -> (Vec<String>, Option<String>) {
        let mut input = io::BufReader::with_capacity(1, list.as_bytes());
        let mut list = XmlList::new(&mut input);
        let mut found = Vec::new();
        loop {
            let more = match list.advance() {
                Ok(more) => more,
                Err(e) => return (found, Some(e.to_string())),
            };
            for (line, entry) in list.found.drain(..) {
                found.push(match entry {
                    Ok(texts) => texts.id.unwrap_or_default(),
                    Err(problem) => format!("{line}: {problem}"),
                });
            }
            if !more {
                return (found, None);
            }
        }
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
        let mut input = io::BufReader::new(list);
        let mut list = XmlList::new(&mut input);
        let error = loop {
            if let Err(error) = list.advance() {
                break error;
            }
        };
        assert_eq!(
            error.to_string(),
            "a failure in the list is longer than 16 MiB"
        );
    }
}
