//! The characters that XML 1.0 allows, the visible ones, and escaping.
//!
//! The tables are those of XML 1.0, fifth edition, sections 2.2 and 2.3, and of Namespaces in XML 1.0, section 3.

/// `Char`: what may stand in a document at all, escaped or not.
pub(super) fn is_xml_char(c: char) -> bool {
    // A `char` is never a surrogate.
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// `S`: the four characters that XML counts as white space. Unicode knows more; here they are text.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Empty or only white space.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| is_space(char::from(byte)))
}

/// `NCName`: a name without a colon.
pub(super) fn is_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

/// `QName`: a name with at most one colon, between prefix and local part.
pub(super) fn is_qname(name: &str) -> bool {
    match name.split_once(':') {
        Some((prefix, local)) => is_ncname(prefix) && is_ncname(local),
        None => is_ncname(name),
    }
}

/// `NameStartChar`, but for the colon.
fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar`, but for the colon.
fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c,
            '-' | '.' | '0'..='9'
            | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Escapes text for element content, so that a parser reads it back exactly; forbidden characters become U+FFFD.
pub fn escape_text(value: &str) -> String {
    escape(value, |_| None)
}

/// Like [`escape_text`], for an attribute in quotes of either kind.
pub fn escape_attribute(value: &str) -> String {
    escape(value, |c| match c {
        '"' => Some("&quot;"),
        '\'' => Some("&apos;"),
        // White space in an attribute comes back as a plain space unless it is a reference.
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        _ => None,
    })
}

fn escape(value: &str, reference: impl Fn(char) -> Option<&'static str>) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // Only `]]>` must not stand bare; escaping every `>` keeps the rule free of context.
            '>' => escaped.push_str("&gt;"),
            // A bare CR would come back as LF.
            '\r' => escaped.push_str("&#13;"),
            _ if !is_xml_char(c) => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => match reference(c) {
                Some(reference) => escaped.push_str(reference),
                None => escaped.push(c),
            },
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_char_production() {
        for c in [
            '\t',
            '\n',
            '\r',
            ' ',
            '\u{7F}',
            '\u{85}',
            '\u{D7FF}',
            '\u{E000}',
            '\u{FFFD}',
            '\u{10000}',
            char::MAX,
        ] {
            assert!(is_xml_char(c), "{c:?}");
        }
        for c in [
            '\0', '\u{8}', '\u{B}', '\u{C}', '\u{1B}', '\u{1F}', '\u{FFFE}', '\u{FFFF}',
        ] {
            assert!(!is_xml_char(c), "{c:?}");
        }
    }

    #[test]
    fn names() {
        for name in ["a", "_", "é", "org_name", "x-1.2·", "p:a", "日本"] {
            assert!(is_qname(name), "{name}");
        }
        for name in [
            "", "1a", "-a", ".a", ":a", "a:", "a:b:c", "a b", "a='1'><i", "a:1", "×", "a\u{37E}",
        ] {
            assert!(!is_qname(name), "{name}");
        }
    }

    #[test]
    fn escaping() {
        assert_eq!(escape_text("a<b>&\"'\r\n"), "a&lt;b&gt;&amp;\"'&#13;\n");
        assert_eq!(
            escape_attribute("\"'\t\n\r<"),
            "&quot;&apos;&#9;&#10;&#13;&lt;"
        );
        assert_eq!(escape_text("\0ok\u{FFFF}&"), "\u{FFFD}ok\u{FFFD}&amp;");
    }
}
