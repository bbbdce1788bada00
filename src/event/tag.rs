//! The inside of a tag: its attributes, and the references in their values.
//!
//! quick-xml's own attribute iterator lets through missing white space, bad names and `<` in
//! values, so the little grammar is read here, strictly. The XML declaration has the same grammar
//! and comes here too.
//!
//! Deliberately without namespaces: `xmlns` is an attribute like any other on this level.
//!
//! Invariant: every offset points into the text that was given, so that a fault can be shown and an
//! edit aimed.

use std::borrow::Cow;
use std::ops::Range;

use super::chars::{is_qname, is_space, is_xml_char};
use super::error::{Fault, shown};

/// One `name="value"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    /// As written: references not expanded, quotes not included.
    pub(super) value: &'a str,
    /// Where the name begins.
    pub(super) at: usize,
    /// Where the value stands, quotes not included.
    pub(super) value_span: Range<usize>,
}

/// Reads the attributes in `span`, which begins right after a tag's name and ends before its `>`,
/// `/>` or `?>`.
///
/// # Errors
/// Anything but `S Name Eq Quoted` repeated, a `<` or a bad reference in a value, a name twice.
pub(super) fn attributes(text: &str, span: Range<usize>) -> Result<Vec<Attribute<'_>>, Fault> {
    let mut attributes = Vec::new();
    if span.is_empty() {
        return Ok(attributes);
    }
    let mut at = span.start;
    loop {
        let next = skip_space(text, at, span.end);
        if next == span.end {
            break;
        }
        if next == at {
            return Err(Fault::new(at, "white space expected before an attribute"));
        }
        let attribute = attribute(text, next..span.end)?;
        at = attribute.value_span.end + 1;
        attributes.push(attribute);
    }
    refuse_repeated(&attributes)?;
    Ok(attributes)
}

fn attribute(text: &str, span: Range<usize>) -> Result<Attribute<'_>, Fault> {
    let tail = &text[span.clone()];
    let name_ends = |byte: u8| is_space(char::from(byte)) || byte == b'=';
    let name = &tail[..tail.bytes().position(name_ends).unwrap_or(tail.len())];
    if !is_qname(name) {
        return Err(Fault::new(
            span.start,
            format!("`{}` is not an attribute name", shown(name)),
        ));
    }
    let equals = skip_space(text, span.start + name.len(), span.end);
    if !text[equals..span.end].starts_with('=') {
        return Err(Fault::new(
            span.start,
            format!("the attribute `{}` has no value", shown(name)),
        ));
    }
    let open = skip_space(text, equals + 1, span.end);
    let Some(quote) = text[open..span.end]
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))
    else {
        return Err(Fault::new(
            open,
            format!("the value of `{}` is not in quotes", shown(name)),
        ));
    };
    let start = open + 1;
    let Some(length) = text[start..span.end].find(quote) else {
        return Err(Fault::new(
            open,
            format!("the value of `{}` has no closing quote", shown(name)),
        ));
    };
    let value = &text[start..start + length];
    if let Some(bracket) = value.bytes().position(|byte| byte == b'<') {
        return Err(Fault::new(start + bracket, "`<` in an attribute value"));
    }
    normalized(value).map_err(|fault| Fault {
        at: start + fault.at,
        ..fault
    })?;
    Ok(Attribute {
        name,
        value,
        at: span.start,
        value_span: start..start + length,
    })
}

/// Sorted rather than compared in pairs: a tag may hold as many attributes as its author pleases.
fn refuse_repeated(attributes: &[Attribute<'_>]) -> Result<(), Fault> {
    let mut sorted: Vec<_> = attributes
        .iter()
        .map(|attribute| (attribute.name, attribute.at))
        .collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Fault::new(
            pair[1].1,
            format!("the attribute `{}` stands twice", shown(pair[1].0)),
        )),
        None => Ok(()),
    }
}

/// The value that a parser reports: references expanded, white space made plain spaces.
///
/// # Errors
/// A reference that is not closed or not [allowed](reference()); its offset is relative to `value`.
pub(super) fn normalized(value: &str) -> Result<Cow<'_, str>, Fault> {
    if !value
        .bytes()
        .any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r'))
    {
        return Ok(Cow::Borrowed(value));
    }
    let mut plain = String::with_capacity(value.len());
    let mut at = 0;
    while let Some(c) = value[at..].chars().next() {
        let mut length = c.len_utf8();
        if c == '&' {
            let Some(semicolon) = value[at..].find(';') else {
                return Err(Fault::new(at, "`&` without `;`: write `&amp;`"));
            };
            let name = &value[at + 1..at + semicolon];
            plain.push(reference(name).map_err(|problem| Fault::new(at, problem))?);
            length = semicolon + 1;
        } else if value[at..].starts_with("\r\n") {
            plain.push(' ');
            length = 2;
        } else {
            plain.push(if is_space(c) { ' ' } else { c });
        }
        at += length;
    }
    Ok(Cow::Owned(plain))
}

/// The character that `&name;` stands for.
///
/// # Errors
/// In words: an entity other than the five that need no DOCTYPE, or no character that XML allows.
pub(super) fn reference(name: &str) -> Result<char, String> {
    match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => {}
    }
    let Some(number) = name.strip_prefix('#') else {
        return Err(format!("unknown entity `&{};`", shown(name)));
    };
    let (digits, radix) = number
        .strip_prefix('x')
        .map_or((number, 10), |hex| (hex, 16));
    // `from_str_radix` alone would let a sign through.
    let code = digits
        .chars()
        .all(|c| c.is_digit(radix))
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten();
    code.and_then(char::from_u32)
        .filter(|&c| is_xml_char(c))
        .ok_or_else(|| format!("`&{};` is no character that XML 1.0 allows", shown(name)))
}

fn skip_space(text: &str, from: usize, to: usize) -> usize {
    let space = text[from..to]
        .bytes()
        .position(|byte| !is_space(char::from(byte)));
    space.map_or(to, |length| from + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(&str, &str)>, String> {
        attributes(text, 0..text.len())
            .map(|list| list.into_iter().map(|a| (a.name, a.value)).collect())
            .map_err(|fault| format!("{}: {}", fault.at, fault.problem))
    }

    #[test]
    fn reads_attributes() {
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read(" \t"), Ok(vec![]));
        assert_eq!(
            read(" a='1' \n b = \"it's &lt;\" "),
            Ok(vec![("a", "1"), ("b", "it's &lt;")])
        );
    }

    #[test]
    fn refuses_what_is_almost_an_attribute() {
        for (text, message) in [
            ("a='1'", "0: white space expected before an attribute"),
            (" a='1'b='2'", "6: white space expected before an attribute"),
            (" a", "1: the attribute `a` has no value"),
            (" a b='1'", "1: the attribute `a` has no value"),
            (" a=1", "3: the value of `a` is not in quotes"),
            (" a=", "3: the value of `a` is not in quotes"),
            (" a='1", "3: the value of `a` has no closing quote"),
            (" 1='1'", "1: `1` is not an attribute name"),
            (" ='1'", "1: `` is not an attribute name"),
            (" a='<'", "4: `<` in an attribute value"),
            (" a='x&b'", "5: `&` without `;`: write `&amp;`"),
            (" a='&b;'", "4: unknown entity `&b;`"),
            (
                " b='' a='1' c='' a='2'",
                "17: the attribute `a` stands twice",
            ),
            (" /", "1: `/` is not an attribute name"),
        ] {
            assert_eq!(read(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn character_references() {
        for (name, c) in [
            ("#65", 'A'),
            ("#x41", 'A'),
            ("#x10FFFF", char::MAX),
            ("#13", '\r'),
            ("#000000000065", 'A'),
        ] {
            assert_eq!(reference(name), Ok(c), "{name}");
        }
        for name in [
            "#0",
            "#x1F",
            "#xFFFF",
            "#xD800",
            "#x110000",
            "#",
            "#x",
            "#+65",
            "#X41",
            "#99999999999",
            "#6a",
            "nbsp",
            "",
        ] {
            assert!(reference(name).is_err(), "{name}");
        }
    }

    #[test]
    fn values_are_normalized() {
        assert_eq!(normalized("a\r\nb\tc&#10;d").unwrap(), "a b c\nd");
        assert!(matches!(
            normalized("plain").unwrap(),
            Cow::Borrowed("plain")
        ));
    }
}
