//! The frame of a man page, and the escapes that every page needs.

use roff::Roff;

/// The title line and the body of a page, as UTF-8 roff. The title has no date, so that builds are reproducible.
pub fn page(name: &str, section: char, body: &str) -> Vec<u8> {
    let title = format!(
        ".TH \"{}\" \"{section}\" \"\" \"hookfire {}\" \"hookfire manual\"\n",
        name.to_ascii_uppercase(),
        env!("CARGO_PKG_VERSION")
    );
    (title + body).into_bytes()
}

/// Renders `roff` so that examples can be copied from any reader.
///
/// The `roff` crate escapes backslashes, dashes and control lines. Groff also prints `'`, `` ` ``, `~` and `^` as
/// typographic characters and reads only ASCII without a preprocessor, and mandoc warns about `\\`.
pub fn render(roff: &Roff) -> String {
    let text = roff.to_roff().replace("\\\\", "\\e");
    let mut page = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' => page.push_str("\\(aq"),
            '`' => page.push_str("\\(ga"),
            '~' => page.push_str("\\(ti"),
            '^' => page.push_str("\\(ha"),
            c if c.is_ascii() => page.push(c),
            c => page.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_characters() {
        let mut roff = Roff::new();
        roff.text([roff::roman(".a 'b' `c` \\d ~/e-f^2 \u{2192}")]);
        assert_eq!(
            render(&roff),
            "\\&.a \\(aqb\\(aq \\(gac\\(ga \\ed \\(ti/e\\-f\\(ha2 \\[u2192]\n"
        );
    }
}
