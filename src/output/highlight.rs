//! Colours XML and JSON for a terminal. Only colour codes are added; malformed text stays as it is.

use super::{Tone, paint};

/// Colours a document if it looks like XML or JSON.
pub fn document(text: &str) -> String {
    match text.trim_start().chars().next() {
        Some('<') => xml(text),
        Some('{' | '[') => json(text),
        _ => text.to_owned(),
    }
}

fn xml(text: &str) -> String {
    const KEPT: [(&str, &str); 4] = [
        ("<!--", "-->"),
        ("<![CDATA[", "]]>"),
        ("<?", "?>"),
        ("<!", ">"),
    ];
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let kept = KEPT.iter().find(|(begin, _)| rest.starts_with(begin));
        let (end, is_tag) = match kept {
            Some((_, end)) => (rest.find(end).map(|at| at + end.len()), false),
            None => (end_of_tag(rest), true),
        };
        let (token, after) = rest.split_at(end.unwrap_or(rest.len()));
        if is_tag {
            tag(token, &mut out);
        } else {
            out.push_str(&paint(true, Tone::Faint, token));
        }
        rest = after;
    }
    out + rest
}

/// The length of a tag. A `>` in a quoted value does not end it.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Colours a tag such as `<name attribute="value"/>`.
fn tag(token: &str, out: &mut String) {
    let is_end = |c: char| c.is_whitespace() || c == '/' || c == '>';
    let start = if token.starts_with("</") { 2 } else { 1 };
    let (open, rest) = token.split_at(start);
    let (name, mut rest) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
    out.push_str(open);
    out.push_str(&paint(true, Tone::Name, name));
    while let Some(begin) = rest.find(['"', '\'']) {
        let quote = &rest[begin..=begin];
        let end = rest[begin + 1..].find(quote).map(|at| begin + at + 2);
        let end = end.unwrap_or(rest.len());
        out.push_str(&rest[..begin]);
        out.push_str(&paint(true, Tone::Text, &rest[begin..end]));
        rest = &rest[end..];
    }
    out.push_str(rest);
}

fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, tone) = if first == '"' {
            let length = end_of_string(rest);
            let is_name = rest[length..].trim_start().starts_with(':');
            (length, Some(if is_name { Tone::Name } else { Tone::Text }))
        } else if is_literal(first) {
            let end = rest.find(|c| !is_literal(c)).unwrap_or(rest.len());
            (end, Some(Tone::Literal))
        } else {
            let end = rest.find(|c| c == '"' || is_literal(c));
            (end.unwrap_or(rest.len()), None)
        };
        let (token, after) = rest.split_at(length);
        match tone {
            Some(tone) => out.push_str(&paint(true, tone, token)),
            None => out.push_str(token),
        }
        rest = after;
    }
    out
}

/// Whether the character is part of a number, `true`, `false` or `null`.
fn is_literal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')
}

/// The length of a string with its quotes.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Colour codes as `[cyan]`, and their end as `[]`.
    fn named(text: &str) -> String {
        let codes = [
            ("\u{1b}[36m", "[name]"),
            ("\u{1b}[32m", "[text]"),
            ("\u{1b}[33m", "[literal]"),
            ("\u{1b}[2m", "[faint]"),
            ("\u{1b}[0m", "[]"),
        ];
        codes.iter().fold(document(text), |text, (code, name)| {
            text.replace(code, name)
        })
    }

    #[test]
    fn xml_tags_and_values_are_coloured() {
        assert_eq!(
            named("<?xml?>\n<a b='>' c=\"d\"><!-- e --><f/>g &amp; h</a>"),
            "[faint]<?xml?>[]\n<[name]a[] b=[text]'>'[] c=[text]\"d\"[]>[faint]<!-- e -->[]<[name]f[]/>g &amp; h</[name]a[]>"
        );
    }

    #[test]
    fn json_names_and_values_are_coloured() {
        assert_eq!(
            named(r#"{"a" : [1.5, true], "b\"": "c:"}"#),
            r#"{[name]"a"[] : [[literal]1.5[], [literal]true[]], [name]"b\""[]: [text]"c:"[]}"#
        );
    }

    #[test]
    fn other_text_is_unchanged() {
        assert_eq!(document("a <b> {}"), "a <b> {}");
    }

    proptest! {
        #[test]
        fn only_colour_codes_are_added(text in "[<{\\[][<>{}\"'/\\\\a1é! =?:\\-\\[\\]\n]{0,40}") {
            let plain = named(&text);
            let plain = ["[name]", "[text]", "[literal]", "[faint]"].iter()
                .fold(plain, |text, name| text.replace(name, ""));
            prop_assert_eq!(plain.replace("[]", ""), text.replace("[]", ""));
        }
    }
}
