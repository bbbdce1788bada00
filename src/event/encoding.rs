//! From bytes to text: which encoding a document is in, and its text without a byte order mark.
//!
//! A byte order mark, or `<` in UTF-16, decides; else the XML declaration does; else it is UTF-8. Labels mean what they
//! mean on the web (`ISO-8859-1` is read as windows-1252, which has letters where Latin-1 has control codes). A malformed
//! sequence is an error, never U+FFFD: the receiver would see other text than the sender meant.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use quick_xml::events::{BytesDecl, BytesStart};

use super::chars::is_space;
use super::error::{EventError, shown};

/// A document as text, and what its bytes were.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    actual: &'static Encoding,
}

impl Decoded<'_> {
    /// The label in the declaration and the actual encoding, if they disagree. Matters only to a receiver of both.
    pub(super) fn contradiction(&self) -> Option<(String, &'static str)> {
        let label = declared_label(self.text.as_bytes())?;
        // Labels know no byte order unless they name one.
        let either_order = label.eq_ignore_ascii_case("UTF-16") && is_utf16(self.actual);
        let agree = either_order || Encoding::for_label(label.as_bytes()) == Some(self.actual);
        (!agree).then(|| (label, self.actual.name()))
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, EventError> {
    if let Some((actual, mark)) = proven(bytes) {
        let text = decode_as(actual, bytes, mark)?;
        declared_label(text.as_bytes()).map_or(Ok(actual), |label| known(&label))?;
        return Ok(Decoded { text, actual });
    }
    let mut actual = UTF_8;
    if let Some(label) = declared_label(bytes) {
        refuse_high_bytes_in_ascii(&label, bytes)?;
        let declared = known(&label)?;
        // Its declaration could be read byte by byte, so it is not in UTF-16.
        if !is_utf16(declared) {
            actual = declared;
        }
    }
    let text = decode_as(actual, bytes, 0)?;
    Ok(Decoded { text, actual })
}

fn is_utf16(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// The encoding that the first bytes prove, and the length of their byte order mark.
fn proven(bytes: &[u8]) -> Option<(&'static Encoding, usize)> {
    Encoding::for_bom(bytes).or(match bytes {
        [b'<', 0, ..] => Some((UTF_16LE, 0)),
        [0, b'<', ..] => Some((UTF_16BE, 0)),
        _ => None,
    })
}

/// The value of `encoding` in the XML declaration, if there is a declaration and it has one.
fn declared_label(document: &[u8]) -> Option<String> {
    let rest = document.strip_prefix(b"<?")?;
    let length = rest.windows(2).position(|pair| pair == b"?>")?;
    let content = str::from_utf8(&rest[..length]).ok()?;
    if !content.strip_prefix("xml")?.starts_with(is_space) {
        return None;
    }
    let declaration = BytesDecl::from_start(BytesStart::from_content(content, "xml".len()));
    Some(declaration.encoding()?.ok()?.into_owned())
}

fn known(label: &str) -> Result<&'static Encoding, EventError> {
    // Without the "replacement" encodings: they stand for encodings that are unsafe to decode.
    Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| {
        EventError::UnknownEncoding {
            label: shown(label),
        }
    })
}

/// The web reads ASCII as windows-1252 too; a receiver's XML parser does not.
fn refuse_high_bytes_in_ascii(label: &str, bytes: &[u8]) -> Result<(), EventError> {
    let is_ascii = label.eq_ignore_ascii_case("us-ascii") || label.eq_ignore_ascii_case("ascii");
    match bytes.iter().position(|byte| !byte.is_ascii()) {
        Some(offset) if is_ascii => Err(EventError::Undecodable {
            encoding: "US-ASCII",
            offset,
        }),
        _ => Ok(()),
    }
}

/// The text after the first `mark` bytes.
fn decode_as<'a>(
    encoding: &'static Encoding,
    bytes: &'a [u8],
    mark: usize,
) -> Result<Cow<'a, str>, EventError> {
    let body = &bytes[mark..];
    let text = encoding.decode_without_bom_handling_and_without_replacement(body);
    text.ok_or_else(|| EventError::Undecodable {
        encoding: encoding.name(),
        offset: mark + first_malformed(encoding, body),
    })
}

/// Bytes before the first malformed sequence of a text that has one.
fn first_malformed(encoding: &'static Encoding, text: &[u8]) -> usize {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let most = decoder.max_utf8_buffer_length_without_replacement(text.len());
    let mut decoded = String::with_capacity(most.unwrap_or_default());
    match decoder.decode_to_string_without_replacement(text, &mut decoded, true) {
        (DecoderResult::Malformed(length, after), read) => {
            read - usize::from(length) - usize::from(after)
        }
        (_, read) => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn utf8_with_and_without_mark() {
        assert_eq!(decode("<é/>".as_bytes()).unwrap().text, "<é/>");
        assert_eq!(decode("\u{FEFF}<é/>".as_bytes()).unwrap().text, "<é/>");
    }

    #[test]
    fn utf16_in_all_four_forms() {
        for (mark, to_bytes) in [
            ("", u16::to_le_bytes as fn(u16) -> [u8; 2]),
            ("\u{FEFF}", u16::to_le_bytes),
            ("", u16::to_be_bytes),
            ("\u{FEFF}", u16::to_be_bytes),
        ] {
            let bytes = utf16(
                &format!("{mark}<?xml version='1.0' encoding='UTF-16'?><a>é€😀</a>"),
                to_bytes,
            );
            let decoded = decode(&bytes).unwrap();
            assert!(decoded.text.ends_with("<a>é€😀</a>"), "{}", decoded.text);
            assert_eq!(decoded.contradiction(), None);
        }
    }

    #[test]
    fn declared_encodings() {
        for label in ["ISO-8859-1", "windows-1252"] {
            let mut bytes = format!("<?xml version=\"1.0\" encoding=\"{label}\"?><a>").into_bytes();
            bytes.extend(b"\xE9</a>");
            assert!(
                decode(&bytes).unwrap().text.ends_with("<a>é</a>"),
                "{label}"
            );
        }
    }

    #[test]
    fn undecodable_bytes_have_a_position() {
        let message = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_eq!(
            message(b"<a>\xFF</a>"),
            "not valid UTF-8: malformed sequence at byte 3"
        );
        assert_eq!(
            message(b"\xEF\xBB\xBF<a>\xC3"),
            "not valid UTF-8: malformed sequence at byte 6"
        );
        assert_eq!(
            message(b"\xFF\xFE<\0\0\xD8a\0"),
            "not valid UTF-16LE: malformed sequence at byte 4"
        );
        assert_eq!(
            message(b"<?xml version='1.0' encoding='klingon'?><a/>"),
            "unknown encoding `klingon` in the XML declaration"
        );
        assert_eq!(
            message(b"<?xml version='1.0' encoding='US-ASCII'?><a>\xE9</a>"),
            "not valid US-ASCII: malformed sequence at byte 44"
        );
    }

    #[test]
    fn contradicting_declarations_are_noticed() {
        let lying = utf16(
            "\u{FEFF}<?xml version='1.0' encoding='UTF-8'?><a/>",
            u16::to_le_bytes,
        );
        assert_eq!(
            decode(&lying).unwrap().contradiction(),
            Some(("UTF-8".to_owned(), "UTF-16LE"))
        );
        let lying = b"<?xml version='1.0' encoding='UTF-16'?><a/>";
        assert_eq!(
            decode(lying).unwrap().contradiction(),
            Some(("UTF-16".to_owned(), "UTF-8"))
        );
    }
}
