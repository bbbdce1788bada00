//! Makes text from outside safe for a terminal: control, bidirectional and zero-width characters become escapes.
//!
//! `output` decides where this is needed: pipes and files get text unchanged.

use std::borrow::Cow;

/// The text with deceptive characters written as `\u{…}`. Newlines and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_deceptive(c) && c != '\n' && c != '\t')
}

/// As [`visible`], for one line: newlines and tabs are escaped too.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    escape(text, is_deceptive)
}

/// As [`visible`], for JSON text, with JSON's own escapes.
pub fn visible_json(text: String) -> String {
    let hide = |c: char| is_deceptive(c) && c != '\n';
    // The usual case, fast.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text;
    }
    if !text.chars().any(hide) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hide(c) {
            c.encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

fn escape(text: &str, hide: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hide) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !hide(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(out)
}

/// A control character, or one that is invisible or changes the direction of text.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}'                  // soft hyphen
            | '\u{061C}'                // Arabic letter mark
            | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' // fillers that draw nothing
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'   // zero width, and left-to-right marks
            | '\u{2028}'..='\u{202E}'   // line separators, bidirectional overrides
            | '\u{2060}'..='\u{206F}'
            | '\u{FE00}'..='\u{FE0F}'   // variation selectors
            | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}' // tags and more selectors
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_escapes_become_text() {
        for attack in [
            "\x1b]0;title\x07",
            "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
            "\x1b]52;c;cGF5bG9hZA==\x07",
            "\x1b[2J",
            "\x1bc",
            "\u{9b}31m",
            "good\rbad",
            "\u{202e}txt.exe",
            "nul\0",
            "zero\u{200b}width",
        ] {
            let shown = visible(attack);
            assert!(
                shown.chars().all(|c| !is_deceptive(c)),
                "{attack:?} became {shown:?}"
            );
        }
        assert_eq!(visible("good\rbad"), "good\\rbad");
        assert_eq!(visible("a\x1b[2J"), "a\\u{1b}[2J");
    }

    #[test]
    fn clean_text_is_borrowed_with_its_lines() {
        assert!(matches!(visible("a\n\tb é 漢"), Cow::Borrowed(_)));
        assert_eq!(visible_line("a\nb"), "a\\nb");
    }

    #[test]
    fn json_stays_the_same_json() {
        for text in [
            "\u{9b}31m\u{202e}\u{feff}",
            "\u{7f}\u{e0041}\u{2028}",
            "plain \u{1f600} é\n",
        ] {
            let json = visible_json(serde_json::to_string_pretty(&[text]).unwrap());
            assert!(
                json.chars().all(|c| !is_deceptive(c) || c == '\n'),
                "{json:?}"
            );
            assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
        }
    }

    proptest! {
        #[test]
        fn json_text_is_preserved_and_visible(text in any::<String>()) {
            let json = visible_json(serde_json::to_string(&text).unwrap());
            prop_assert!(json.chars().all(|c| !is_deceptive(c)), "{:?}", json);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn output_has_no_deceptive_characters(text in any::<String>()) {
            let shown = visible_line(&text);
            prop_assert!(shown.chars().all(|c| !is_deceptive(c)));
            prop_assert_eq!(visible_line(&shown).into_owned(), shown.clone().into_owned(), "twice is once");
        }
    }
}
