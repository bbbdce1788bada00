//! Reading `<webhooks-failures>`: entry by entry, however long the list is, whatever is wrong with one of them.
//!
//! The list is cut into entries by their tags alone, and each is then read as a document of its own: what is broken in one
//! cannot hide the next. Deliberately judges no value: what makes a time or a URL is for others to say.
//!
//! Invariant: memory holds one entry, and an entry is at most [`LONGEST_ENTRY`] long.

use std::io::{self, Read};

use super::super::MAX_DOCUMENT_DEPTH;
use super::super::encoding::unreadable_byte_by_byte;
use super::super::scan::{Kind, Scanner};

/// Bytes of one entry. Events are a few kilobytes.
const LONGEST_ENTRY: usize = 16 * 1024 * 1024;
/// Bytes before the root element: a declaration, a comment.
const LONGEST_PROLOG: usize = 64 * 1024;
/// Bytes read at once, at least.
const STEP: usize = 16 * 1024;

const LIST: &[u8] = b"<webhooks-failures";
const LIST_END: &[u8] = b"</webhooks-failures";
const ENTRY: &[u8] = b"<webhooks-failure";
const ENTRY_END: &[u8] = b"</webhooks-failure";
const DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The texts of one entry; none where the entry has no such element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// `<id>`
    pub id: Option<String>,
    /// `<time>`
    pub time: Option<String>,
    /// `<error>`
    pub error: Option<String>,
    /// `<url>`
    pub url: Option<String>,
    /// The event as a document of its own: a declaration, and from the root element on what stood there.
    pub event: Option<Vec<u8>>,
}

/// Something that stands where an entry is expected.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The entry, or what is wrong with it.
    pub entry: Result<Entry, String>,
}

/// A list that cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// What it comes from gives an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a list of failures: {0}")]
    Other(String),
    /// It ends before its end tag.
    #[error("it breaks off before its end")]
    Cut,
}

/// Reads a list.
pub struct FailuresReader<R> {
    input: R,
    /// Read and not yet looked at.
    buffer: Vec<u8>,
    line: u64,
    begun: bool,
    done: bool,
    /// Within an entry that was given up.
    lost: bool,
}

/// Where an entry ends.
enum End {
    /// Behind its end tag.
    Behind(usize),
    /// Nowhere: the next one begins here.
    Missing(usize),
    /// Not in what was read. If that is because of a comment or CDATA section without an end, the entry's end tag
    /// may be in there.
    NotYet(Option<usize>),
}

impl<R: Read> FailuresReader<R> {
    /// A reader at the beginning of a list.
    pub fn new(input: R) -> FailuresReader<R> {
        FailuresReader {
            input,
            buffer: Vec::new(),
            line: 1,
            begun: false,
            done: false,
            lost: false,
        }
    }

    /// The next entry; none at the end of the list.
    ///
    /// # Errors
    /// [`ListError`]; what came before is as good as it was.
    pub fn next(&mut self) -> Result<Option<Piece>, ListError> {
        if !self.begun {
            self.begun = true;
            self.begin()?;
        }
        while !self.done {
            if let Some(piece) = self.strangers()? {
                return Ok(Some(piece));
            }
            if !self.done {
                return self.entry().map(Some);
            }
        }
        Ok(None)
    }

    /// Goes behind the root element's start tag.
    fn begin(&mut self) -> Result<(), ListError> {
        let start = loop {
            if let Some(reason) = unreadable_byte_by_byte(&self.buffer) {
                return Err(ListError::Other(reason));
            }
            if let Some(at) = find_tag(&self.buffer, LIST, 0) {
                break at;
            }
            if self.buffer.len() > LONGEST_PROLOG || !self.more()? {
                return Err(ListError::Other(
                    "it has no element `webhooks-failures`".to_owned(),
                ));
            }
        };
        if find(&self.buffer[..start], b"<!DOCTYPE", 0).is_some() {
            return Err(ListError::Other(
                "it has a DOCTYPE, which is refused: it could define entities".to_owned(),
            ));
        }
        let open = loop {
            if let Some(at) = find(&self.buffer, b">", start) {
                break at;
            }
            if !self.more()? {
                return Err(ListError::Cut);
            }
        };
        self.done = self.buffer[open - 1] == b'/';
        self.drop_to(open + 1);
        Ok(())
    }

    /// Goes to the next entry or the end of the list; gives what stands before it and is neither.
    fn strangers(&mut self) -> Result<Option<Piece>, ListError> {
        let line = self.line;
        let mut strange = false;
        loop {
            let next = [
                find_tag(&self.buffer, ENTRY, 0),
                find_tag(&self.buffer, LIST_END, 0),
            ];
            if let Some(next) = next.into_iter().flatten().min() {
                strange |= !self.lost && !is_nothing(&self.buffer[..next]);
                self.drop_to(next);
                break;
            }
            if self.lost || self.buffer.len() > LONGEST_PROLOG {
                strange |= !self.lost;
                // The last bytes may be the beginning of a tag.
                self.drop_to(self.buffer.len().saturating_sub(LIST_END.len() + 1));
            }
            if !self.more()? {
                self.done = true;
                return Err(ListError::Cut);
            }
        }
        self.lost = false;
        self.done = self.buffer.starts_with(LIST_END);
        let words = "what stands here is no failure";
        Ok(strange.then(|| Piece {
            line,
            entry: Err(words.to_owned()),
        }))
    }

    /// Reads the entry that begins here.
    fn entry(&mut self) -> Result<Piece, ListError> {
        let line = self.line;
        let (end, whole) = loop {
            let guess = match end_of_entry(&self.buffer) {
                End::Behind(end) => break (end, true),
                End::Missing(end) => break (end, false),
                End::NotYet(guess) => guess,
            };
            let too_long = self.buffer.len() > LONGEST_ENTRY;
            if too_long || !self.more()? {
                if let Some(end) = guess {
                    break (end, true);
                }
                if !too_long {
                    self.done = true;
                    return Err(ListError::Cut);
                }
                self.lost = true;
                self.drop_to(ENTRY.len());
                let words = format!("it is longer than {} MiB", LONGEST_ENTRY / 1024 / 1024);
                return Ok(Piece {
                    line,
                    entry: Err(words),
                });
            }
        };
        let entry = if whole {
            parse(&self.buffer[..end])
        } else {
            Err("it has no end tag".to_owned())
        };
        self.drop_to(end);
        Ok(Piece { line, entry })
    }

    /// Reads on; false at the end.
    fn more(&mut self) -> io::Result<bool> {
        // As much again as there is: what is looked through again then stays in proportion.
        let wanted = self.buffer.len().max(STEP) as u64;
        Ok((&mut self.input)
            .take(wanted)
            .read_to_end(&mut self.buffer)?
            > 0)
    }

    fn drop_to(&mut self, end: usize) {
        self.line += self.buffer[..end]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64;
        self.buffer.drain(..end);
    }
}

/// Where the entry that begins `bytes` ends. What looks like a tag in a comment or a CDATA section is none.
fn end_of_entry(bytes: &[u8]) -> End {
    let mut at = ENTRY.len();
    // `<webhooks-failure/>` has no end tag.
    match find(bytes, b">", 0) {
        Some(open) if bytes[open - 1] == b'/' => return End::Behind(open + 1),
        Some(_) => {}
        None => return End::NotYet(None),
    }
    while let Some(open) = find(bytes, b"<", at) {
        let rest = &bytes[open..];
        let aside = [(&b"<!--"[..], &b"-->"[..]), (b"<![CDATA[", b"]]>")];
        if let Some((start, end)) = aside.iter().find(|(start, _)| rest.starts_with(start)) {
            match find(rest, end, start.len()) {
                Some(length) => at = open + length + end.len(),
                None => {
                    return End::NotYet(
                        find_tag(bytes, ENTRY_END, open).and_then(|tag| closed(bytes, tag)),
                    );
                }
            }
            continue;
        }
        if is_tag(rest, ENTRY_END) {
            return closed(bytes, open).map_or(End::NotYet(None), End::Behind);
        }
        if is_tag(rest, ENTRY) || is_tag(rest, LIST_END) {
            return End::Missing(open);
        }
        at = open + 1;
    }
    End::NotYet(None)
}

/// Behind the `>` of the tag that begins at `tag`.
fn closed(bytes: &[u8], tag: usize) -> Option<usize> {
    find(bytes, b">", tag).map(|at| at + 1)
}

/// Whether a tag of exactly this name begins here.
fn is_tag(bytes: &[u8], tag: &[u8]) -> bool {
    bytes.starts_with(tag)
        && bytes
            .get(tag.len())
            .is_some_and(|next| b" \t\r\n/>".contains(next))
}

fn find_tag(bytes: &[u8], tag: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = find(bytes, tag, from)?;
        if is_tag(&bytes[at..], tag) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Where `wanted` first is at or behind `from`. All that is looked for begins or ends with a character that is rare.
fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

/// White space and comments.
fn is_nothing(bytes: &[u8]) -> bool {
    let rest = bytes.trim_ascii_start();
    match rest.strip_prefix(b"<!--") {
        Some(comment) => find(comment, b"-->", 0).is_none_or(|end| is_nothing(&comment[end + 3..])),
        None => rest.is_empty(),
    }
}

/// Reads an entry that was cut out of its list.
fn parse(bytes: &[u8]) -> Result<Entry, String> {
    let text = str::from_utf8(bytes)
        .map_err(|e| format!("not valid UTF-8 after {} bytes of it", e.valid_up_to()))?;
    let mut parts = Parts::default();
    let scanner = Scanner::new(text, MAX_DOCUMENT_DEPTH + 1).map_err(|e| e.to_string())?;
    for token in scanner {
        let token = token.map_err(|e| format!("in it, {e}"))?;
        match (token.depth, token.kind) {
            (2, Kind::Open { name, empty, .. }) => {
                parts.enter(name)?;
                parts.event_start = if name == "event" {
                    Some(token.span.start)
                } else {
                    None
                };
                if empty && name == "event" {
                    parts.entry.event = Some(document(&text[token.span]));
                }
            }
            (2, Kind::Close) => {
                if let Some(start) = parts.event_start.take() {
                    parts.entry.event = Some(parts.event(&text[start..token.span.end]));
                }
            }
            (2, Kind::Text(text) | Kind::CData(text)) => parts.text.push_str(text),
            (2, Kind::Reference(c)) => parts.text.push(c),
            (3, Kind::Open { .. }) => parts.has_elements = true,
            _ => {}
        }
        parts.keep();
    }
    Ok(parts.entry)
}

#[derive(Default)]
struct Parts {
    entry: Entry,
    current: String,
    text: String,
    event_start: Option<usize>,
    has_elements: bool,
    seen: Vec<String>,
}

impl Parts {
    fn enter(&mut self, name: &str) -> Result<(), String> {
        if self.seen.iter().any(|seen| seen == name) {
            return Err(format!("it has more than one `{name}`"));
        }
        self.seen.push(name.to_owned());
        name.clone_into(&mut self.current);
        self.text.clear();
        self.has_elements = false;
        Ok(())
    }

    /// The event, spliced in as its elements, or escaped as one text.
    fn event(&self, spliced: &str) -> Vec<u8> {
        let escaped = self.text.trim();
        if !self.has_elements && escaped.starts_with('<') {
            escaped.as_bytes().to_vec()
        } else {
            document(spliced)
        }
    }

    /// The text so far, where it belongs.
    fn keep(&mut self) {
        let field = match self.current.as_str() {
            "id" => &mut self.entry.id,
            "time" => &mut self.entry.time,
            "error" => &mut self.entry.error,
            "url" => &mut self.entry.url,
            _ => return,
        };
        self.text.clone_into(field.get_or_insert_default());
    }
}

fn document(event: &str) -> Vec<u8> {
    [DECLARATION, event.as_bytes(), b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one by one, as a slow pipe does.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(1).min(room.len());
            room[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// What was found: the ids, or `line: problem`; and how it ended.
    fn read(list: &str) -> (Vec<String>, Option<String>) {
        let mut reader = FailuresReader::new(Slow(list.as_bytes()));
        let mut found = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(Piece {
                    entry: Ok(entry), ..
                })) => found.push(entry.id.unwrap_or_default()),
                Ok(Some(Piece {
                    line,
                    entry: Err(problem),
                })) => found.push(format!("{line}: {problem}")),
                Ok(None) => return (found, None),
                Err(e) => return (found, Some(e.to_string())),
            }
        }
    }

    fn entry(id: &str) -> String {
        format!("<webhooks-failure><id>{id}</id></webhooks-failure>")
    }

    #[test]
    fn an_entry_has_its_texts_and_its_event_as_a_document() {
        let list = "<webhooks-failures><webhooks-failure>\n<id> a </id><time>t</time><error>x &amp; <![CDATA[<y>]]></error>\
                    <url>http://h/?a=1&amp;b=2</url><event a='1'>\n <type>t</type></event>\n</webhooks-failure></webhooks-failures>";
        let mut reader = FailuresReader::new(list.as_bytes());
        let entry = reader.next().unwrap().unwrap().entry.unwrap();
        let document =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<event a='1'>\n <type>t</type></event>\n";
        assert_eq!(
            entry,
            Entry {
                id: Some(" a ".into()),
                time: Some("t".into()),
                error: Some("x & <y>".into()),
                url: Some("http://h/?a=1&b=2".into()),
                event: Some(document.into()),
            }
        );
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(reader.next().unwrap(), None, "the end stays the end");
    }

    #[test]
    fn lists_of_nothing() {
        for list in [
            "<webhooks-failures/>",
            "<?xml version='1.0'?>\n<!-- c -->\n<webhooks-failures type='array'>\n</webhooks-failures>\n",
        ] {
            assert_eq!(read(list), (vec![], None), "{list}");
        }
    }

    #[test]
    fn what_is_broken_is_named_with_its_line_and_hides_nothing() {
        let (a, b) = (entry("a"), entry("b"));
        for (broken, problem) in [
            (
                "<webhooks-failure><id>x</di></webhooks-failure>",
                "in it, line 1",
            ),
            ("<webhooks-failure><id>x</id>", "it has no end tag"),
            (
                "<webhooks-failure><event><![CDATA[x</event></webhooks-failure>",
                "in it, line 1",
            ),
            (
                "<webhooks-failure><!-- x</webhooks-failure>",
                "in it, line 1",
            ),
            (
                "<webhooks-failure><id>x</id><id>y</id></webhooks-failure>",
                "it has more than one `id`",
            ),
            ("<other>x</other>", "what stands here is no failure"),
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
    fn tags_in_comments_and_cdata_are_none() {
        let inside = "<webhooks-failure><!-- </webhooks-failure> --><event><![CDATA[</webhooks-failure>]]></event><id>a</id></webhooks-failure>";
        let list = format!(
            "<webhooks-failures><!-- c -->{inside}{}</webhooks-failures>",
            entry("b")
        );
        assert_eq!(read(&list), (vec!["a".to_owned(), "b".to_owned()], None));
    }

    #[test]
    fn what_breaks_off_gives_what_was_whole() {
        let list = format!("<webhooks-failures>{}<webhooks-failure><id>b", entry("a"));
        assert_eq!(
            read(&list),
            (
                vec!["a".to_owned()],
                Some("it breaks off before its end".to_owned())
            )
        );
        let list = format!("<webhooks-failures>{}\n", entry("a"));
        assert_eq!(
            read(&list),
            (
                vec!["a".to_owned()],
                Some("it breaks off before its end".to_owned())
            )
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
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
        let list = "<webhooks-failures><webhooks-failure><event>&lt;event/&gt;</event></webhooks-failure></webhooks-failures>";
        let entry = FailuresReader::new(list.as_bytes())
            .next()
            .unwrap()
            .unwrap()
            .entry
            .unwrap();
        assert_eq!(entry.event.as_deref(), Some(&b"<event/>"[..]));
    }
}
