//! Masks known secrets in text from outside, in whatever common spelling an endpoint echoes them.
//!
//! Found are a value as it is, percent- and `+`-encoded (any letters encoded, either hex case), XML- and JSON-escaped, and
//! base64 (both alphabets, any alignment). Matching walks the text once per value instead of listing spellings, so a
//! mixture of them is found too. It deliberately does not look for hashes, compressed or encrypted forms.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::{MASK, Secret};

/// Values shorter than this are masked only where they stand alone: `1` in `v=1`, but not in `2021`.
const STANDS_ALONE_BELOW: usize = 4;
/// A cut-off beginning of a secret is masked from this many bytes on.
const TELLING_PREFIX: usize = 4;
/// As much of it in base64.
const TELLING_BASE64: usize = 6;

/// Masks the secrets it was made with; without any it changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// Longest first, so that a secret inside another does not leave the rest of the longer one behind.
    secrets: Vec<Secret>,
    base64: Vec<Secret>,
}

impl Redactor {
    /// A redactor for these values; empty ones are dropped, since they would match everywhere.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(secrets);
        redactor
    }

    /// Adds more values to mask.
    pub fn add<'a>(&mut self, secrets: impl IntoIterator<Item = &'a Secret>) {
        for secret in secrets {
            if !secret.expose().is_empty() && !self.secrets.contains(secret) {
                self.base64.extend(base64_cores(secret.expose()));
                self.secrets.push(secret.clone());
            }
        }
        self.secrets
            .sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        self.base64
            .sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    /// The length in bytes of the longest spelling that is looked for: how far past a cut one must have read to judge it.
    pub fn reach(&self) -> usize {
        // `&#x00;` is the longest spelling of one byte, and base64 is shorter.
        self.secrets
            .iter()
            .map(|secret| secret.expose().len() * 6)
            .max()
            .unwrap_or(0)
    }

    /// The text with every spelling of every secret masked.
    pub fn redact(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.redact_bytes(text.as_bytes())).into_owned()
    }

    /// As [`Redactor::redact`], for bytes that need not be text.
    pub fn redact_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = bytes.to_vec();
        for secret in &self.secrets {
            text = replace(
                &text,
                |rest| match_spelling(rest, secret.expose().as_bytes()),
                secret.expose().len(),
            );
        }
        for core in &self.base64 {
            let core = core.expose().as_bytes();
            text = replace(
                &text,
                |rest| rest.starts_with(core).then_some(core.len()),
                core.len(),
            );
        }
        text
    }

    /// As [`Redactor::redact_bytes`], for text that was cut off: a beginning of a secret at its very end is masked too.
    pub fn redact_cut(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = self.redact_bytes(bytes);
        let earliest = text.len().saturating_sub(self.reach());
        let begins = |tail: &[u8]| {
            self.secrets
                .iter()
                .any(|secret| is_beginning(tail, secret.expose().as_bytes()))
                || self.base64.iter().any(|core| {
                    tail.len() >= TELLING_BASE64 && core.expose().as_bytes().starts_with(tail)
                })
        };
        if let Some(start) = (earliest..text.len()).find(|start| begins(&text[*start..])) {
            text.truncate(start);
            text.extend_from_slice(MASK.as_bytes());
        }
        text
    }
}

/// Whether `tail` spells a beginning of `value`, and ends where the text was cut off, be it in the middle of an escape.
fn is_beginning(tail: &[u8], value: &[u8]) -> bool {
    if tail.len() >= TELLING_PREFIX && value.starts_with(tail) {
        return true;
    }
    let mut at = 0;
    for (spelled, &wanted) in value.iter().enumerate() {
        // Before it is taken for the character that begins an escape, and is one of the value's own.
        if spelled >= TELLING_PREFIX && is_cut_escape(&tail[at..]) {
            return true;
        }
        match match_byte(&tail[at..], wanted) {
            Some(length) => at += length,
            None => return false,
        }
    }
    false
}

/// Nothing, or an escape without its end.
fn is_cut_escape(rest: &[u8]) -> bool {
    let open = |longest: usize| {
        rest.len() < longest
            && rest[1..]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'#')
    };
    match rest.first() {
        None => true,
        Some(b'%') => open("%00".len()),
        Some(b'\\') => open("\\u0000".len()),
        Some(b'&') => open("&#x0000;".len()),
        Some(_) => false,
    }
}

fn replace(text: &[u8], matched: impl Fn(&[u8]) -> Option<usize>, value_len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match matched(&text[at..]) {
            Some(length) if value_len >= STANDS_ALONE_BELOW || stands_alone(text, at, length) => {
                out.extend_from_slice(MASK.as_bytes());
                at += length;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

fn stands_alone(text: &[u8], start: usize, length: usize) -> bool {
    let before = start.checked_sub(1).and_then(|i| text.get(i));
    let after = text.get(start + length);
    [before, after]
        .into_iter()
        .flatten()
        .all(|byte| !byte.is_ascii_alphanumeric())
}

/// How many bytes at the start of `text` spell `value`; none if they do not.
fn match_spelling(text: &[u8], value: &[u8]) -> Option<usize> {
    // As it is, too: a value may itself look escaped. Or an escape of its last byte may begin with that byte.
    let as_it_is = text.starts_with(value).then_some(value.len());
    let spelled = value.iter().try_fold(0, |at, &wanted| {
        Some(at + match_byte(text.get(at..)?, wanted)?)
    });
    as_it_is.max(spelled)
}

/// How many bytes at the start of `text` spell the one byte `wanted`.
fn match_byte(text: &[u8], wanted: u8) -> Option<usize> {
    let first = *text.first()?;
    if first == wanted && first != b'&' && first != b'\\' && first != b'%' {
        return Some(1);
    }
    let escaped = match first {
        b'%' => text.get(1..3).and_then(hex).map(|byte| (byte, 3)),
        b'+' => Some((b' ', 1)),
        b'\\' => json_escape(text),
        b'&' => xml_entity(text),
        _ => None,
    };
    match escaped {
        Some((byte, length)) if byte == wanted => Some(length),
        _ => (first == wanted).then_some(1),
    }
}

fn json_escape(text: &[u8]) -> Option<(u8, usize)> {
    match *text.get(1)? {
        b'u' if text.get(2..4)? == b"00" => Some((hex(text.get(4..6)?)?, 6)),
        b'u' => None,
        b'n' => Some((b'\n', 2)),
        b'r' => Some((b'\r', 2)),
        b't' => Some((b'\t', 2)),
        itself => Some((itself, 2)),
    }
}

fn xml_entity(text: &[u8]) -> Option<(u8, usize)> {
    const NAMED: [(&[u8], u8); 5] = [
        (b"&amp;", b'&'),
        (b"&lt;", b'<'),
        (b"&gt;", b'>'),
        (b"&quot;", b'"'),
        (b"&apos;", b'\''),
    ];
    if let Some((name, byte)) = NAMED.iter().find(|(name, _)| text.starts_with(name)) {
        return Some((*byte, name.len()));
    }
    let end = text.iter().take(8).position(|byte| *byte == b';')?;
    let number = std::str::from_utf8(text.get(2..end)?)
        .ok()
        .filter(|_| text[1] == b'#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => number.parse(),
    };
    code.ok().map(|byte| (byte, end + 1))
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 2)
}

/// The parts of base64 text that a value determines wholly, for each of the three places it can begin at.
fn base64_cores(value: &str) -> Vec<Secret> {
    if value.len() < STANDS_ALONE_BELOW {
        return Vec::new();
    }
    let mut cores = Vec::new();
    for before in 0..3usize {
        let mut padded = vec![0; before];
        padded.extend_from_slice(value.as_bytes());
        let first = (before * 8).div_ceil(6);
        let end = padded.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let core = Secret::new(&engine.encode(&padded)[first..end]);
            if !cores.contains(&core) {
                cores.push(core);
            }
        }
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    fn redactor(values: &[&str]) -> Redactor {
        let secrets: Vec<Secret> = values.iter().map(|value| Secret::new(*value)).collect();
        Redactor::new(&secrets)
    }

    #[test]
    fn every_common_spelling_is_masked() {
        let redactor = redactor(&["p@ss w/rd&\"<é"]);
        for echoed in [
            "p@ss w/rd&\"<é",
            "p%40ss+w%2Frd%26%22%3C%C3%A9",
            "p%40ss%20w%2frd%26%22%3c%c3%a9",
            "p@ss w/rd&amp;&quot;&lt;é",
            "p@ss w\\/rd\\u0026\\\"<é",
            "p&#64;ss w/rd&#x26;&#34;&lt;é",
        ] {
            assert_eq!(
                redactor.redact(&format!("you sent {echoed}!")),
                "you sent ***!",
                "{echoed}"
            );
        }
    }

    #[test]
    fn of_an_escape_that_begins_as_the_value_ends_nothing_is_left() {
        for (value, spelled) in [
            ("  a!A%", "  a!A%25"),
            ("abc&", "abc&amp;"),
            ("abc\\", "abc\\\\"),
            ("ab%41", "ab%41"),
        ] {
            assert_eq!(
                redactor(&[value]).redact(&format!("t={spelled}.")),
                "t=***.",
                "{spelled}"
            );
        }
    }

    #[test]
    fn the_longer_secret_goes_first_and_an_empty_one_does_nothing() {
        assert_eq!(
            redactor(&["abcd", "abcdefgh", ""]).redact("x abcdefgh abcd x"),
            "x *** *** x"
        );
        assert_eq!(redactor(&[""]).redact("text"), "text");
    }

    #[test]
    fn a_short_value_is_masked_only_where_it_stands_alone() {
        assert_eq!(
            redactor(&["1"]).redact("v=1&w=21 HTTP/1.1 x1"),
            "v=***&w=21 HTTP/***.*** x1"
        );
    }

    #[test]
    fn a_secret_cut_off_at_the_end_is_masked() {
        let redactor = redactor(&["correct-horse"]);
        assert_eq!(redactor.redact_cut(b"token=correct-ho"), b"token=***");
        assert_eq!(redactor.redact_cut(b"token=%63orrect%2dho"), b"token=***");
        assert_eq!(redactor.redact_cut(b"token=cor"), b"token=cor");
        for cut in [
            "corre%6",
            "corre%",
            "corre\\u006",
            "corre\\",
            "corre&#x6",
            "corre&",
            "Y29ycmVj",
            "NvcnJlY3Qt",
        ] {
            assert_eq!(
                redactor.redact_cut(format!("token={cut}").as_bytes()),
                b"token=***",
                "{cut}"
            );
        }
        assert_eq!(redactor.redact_cut(b"all is well"), b"all is well");
    }

    #[test]
    fn a_secret_that_looks_escaped_itself_is_masked_where_an_escape_of_it_is_cut_off() {
        for (value, cut) in [
            ("0aa0%A", "%30%61%61%30%2"),
            ("0aa0\\A", "0aa0\\u005"),
            ("0aa0&A", "0aa0&#x2"),
        ] {
            assert_eq!(
                redactor(&[value]).redact_cut(format!("t={cut}").as_bytes()),
                b"t=***",
                "{cut}"
            );
        }
    }

    fn percent_encoded(value: &str, every: bool) -> String {
        value
            .bytes()
            .map(|b| {
                if every || !b.is_ascii_alphanumeric() {
                    format!("%{b:02X}")
                } else {
                    (b as char).to_string()
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn no_spelling_survives(value in "[!-~é]{4,24}", before in "[a-z=]{0,5}", after in "[a-z]{0,5}") {
            let redactor = redactor(&[&value]);
            let inner = format!("{before}{value}{after}");
            let spellings = [
                inner.clone(),
                percent_encoded(&inner, false),
                percent_encoded(&inner, true),
                percent_encoded(&inner, true).to_lowercase(),
            ];
            for spelling in spellings {
                let masked = redactor.redact(&spelling);
                prop_assert!(masked.contains(MASK), "{} stayed {}", spelling, masked);
            }
            for encoded in [STANDARD.encode(&inner), URL_SAFE.encode(&inner)] {
                let masked = redactor.redact(&encoded);
                for core in base64_cores(&value) {
                    prop_assert!(!masked.contains(core.expose()), "{} stayed in {}", core.expose(), masked);
                }
                prop_assert!(masked.contains(MASK));
            }
        }

        #[test]
        fn wherever_a_text_is_cut_no_telling_beginning_of_a_secret_is_left(
            value in "[!-~ ]{6,20}",
            ways in prop::collection::vec(0..4u8, 20),
            before in "[a-z]{0,5}[=?]",
        ) {
            let redactor = redactor(&[&value]);
            let units: Vec<String> = value.bytes().zip(ways).map(|(byte, way)| match way {
                0 => format!("%{byte:02x}"),
                1 => format!("%{byte:02X}"),
                2 if byte == b' ' => "+".to_owned(),
                // Of what may begin an escape, only the escape is unmistakable.
                _ if b"%&\\+".contains(&byte) => format!("%{byte:02X}"),
                _ => char::from(byte).to_string(),
            }).collect();
            let whole = format!("{before}{}", units.concat());
            for cut in before.len()..=whole.len() {
                let mut end = before.len();
                let spelled = units.iter().take_while(|unit| { end += unit.len(); end <= cut }).count();
                let masked = redactor.redact_cut(&whole.as_bytes()[..cut]);
                // Of an escape that was cut in two, its last digit may be left.
                let most = before.len() + MASK.len() + 1;
                let shown = String::from_utf8_lossy(&masked);
                prop_assert!(
                    spelled < TELLING_PREFIX || masked.len() <= most && shown.contains(MASK),
                    "{} became {}", &whole[..cut], shown
                );
            }
        }

        #[test]
        fn text_without_the_secret_is_untouched(text in "[a-m &%+\\\\]{0,60}") {
            prop_assert_eq!(redactor(&["zyxw"]).redact(&text), text);
        }

        #[test]
        fn hostile_text_never_panics(text in any::<Vec<u8>>(), value in any::<String>()) {
            let redactor = redactor(&[&value]);
            redactor.redact_cut(&text);
        }
    }
}
