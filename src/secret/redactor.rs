//! Masks known secrets in text from outside, in the encodings in which endpoints commonly echo them.
//!
//! These are found: a value as it is, percent-encoded (any letters, also repeatedly) and with `+`, with HTML, XML and JSON
//! escapes, mixtures of these, base64 (both alphabets, any alignment, with line breaks, also applied twice), and
//! hexadecimal. Hashes, compressed and encrypted forms are not.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::{MASK, Secret};

/// Shorter values are masked only as whole words: `1` in `v=1`, but not in `2021`.
const WHOLE_WORD_BELOW_BYTES: usize = 4;
/// The beginning of a secret at a cut is masked from this length on.
const MIN_PREFIX_BYTES: usize = 4;
/// The same in base64 or hexadecimal.
const MIN_PREFIX_ENCODED: usize = 6;

/// How often percent-encoding may have been applied.
const MAX_PERCENT_LEVEL: usize = 3;

/// Masks the secrets it was made with.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// Longest first, because one secret may contain another.
    secrets: Vec<Secret>,
    /// The same in encodings that change every byte.
    encoded: Vec<Encoded>,
}

/// A value in base64, or in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Encoded {
    text: Secret,
    ignores_case: bool,
}

impl Redactor {
    /// Empty values are ignored.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(secrets);
        redactor
    }

    pub fn add<'a>(&mut self, secrets: impl IntoIterator<Item = &'a Secret>) {
        for secret in secrets {
            if !secret.expose().is_empty() && !self.secrets.contains(secret) {
                self.encoded.extend(encodings(secret.expose()));
                self.secrets.push(secret.clone());
            }
        }
        self.secrets
            .sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        self.encoded
            .sort_by_key(|encoded| std::cmp::Reverse(encoded.text.expose().len()));
    }

    /// The length in bytes of the longest encoding of a secret: how much text after a cut is needed to recognise it.
    pub fn reach(&self) -> usize {
        // `&#x00;` is the longest encoding of one byte.
        self.secrets
            .iter()
            .map(|secret| secret.expose().len() * 6)
            .max()
            .unwrap_or(0)
    }

    pub fn redact(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.redact_bytes(text.as_bytes())).into_owned()
    }

    pub fn redact_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = bytes.to_vec();
        for secret in &self.secrets {
            text = replace(
                &text,
                |rest| match_spelling(rest, secret.expose().as_bytes()),
                secret.expose().len(),
            );
        }
        if self.encoded.is_empty() {
            return text;
        }
        let encoded = |rest: &[u8]| self.encoded.iter().find_map(|e| e.match_start(rest));
        replace(&text, encoded, WHOLE_WORD_BELOW_BYTES)
    }

    /// For text that was cut off: also masks the beginning of a secret at its end.
    pub fn redact_cut(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = self.redact_bytes(bytes);
        let earliest = text.len().saturating_sub(self.reach());
        let begins = |tail: &[u8]| {
            self.secrets
                .iter()
                .any(|secret| is_beginning(tail, secret.expose().as_bytes()))
                || tail.len() >= MIN_PREFIX_ENCODED
                    && self.encoded.iter().any(|encoded| encoded.begins_with(tail))
        };
        if let Some(start) = (earliest..text.len()).find(|start| begins(&text[*start..])) {
            text.truncate(start);
            text.extend_from_slice(MASK.as_bytes());
        }
        text
    }
}

impl Encoded {
    /// The number of bytes at the start of `text` that are this value. There may be line breaks within.
    fn match_start(&self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        for wanted in self.text.expose().bytes() {
            if at > 0 {
                at += line_breaks(&text[at..]);
            }
            if !self.is_byte(*text.get(at)?, wanted) {
                return None;
            }
            at += 1;
        }
        Some(at)
    }

    /// Whether the value begins with all of `tail`.
    fn begins_with(&self, tail: &[u8]) -> bool {
        let given = tail.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
        let mut text = self.text.expose().bytes();
        let mut pairs = given.map(|byte| (*byte, text.next()));
        pairs.all(|(byte, wanted)| wanted.is_some_and(|wanted| self.is_byte(byte, wanted)))
    }

    fn is_byte(&self, given: u8, wanted: u8) -> bool {
        given == wanted || self.ignores_case && given.to_ascii_lowercase() == wanted
    }
}

/// The length of line breaks at the start of `text`, as they are or as JSON escapes.
fn line_breaks(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match &text[at..] {
            [b'\r' | b'\n', ..] => at += 1,
            [b'\\', b'r' | b'n', ..] => at += 2,
            _ => return at,
        }
    }
}

/// Whether `tail` is the beginning of `value`, in any encoding; it may end within an escape.
fn is_beginning(tail: &[u8], value: &[u8]) -> bool {
    if tail.len() >= MIN_PREFIX_BYTES && value.starts_with(tail) {
        return true;
    }
    (1..=MAX_PERCENT_LEVEL).any(|level| is_encoded_beginning(tail, value, level))
}

fn is_encoded_beginning(tail: &[u8], value: &[u8], level: usize) -> bool {
    let mut at = 0;
    for (spelled, &wanted) in value.iter().enumerate() {
        // Checked first: the start of an escape may also be a character of the value.
        if spelled >= MIN_PREFIX_BYTES && is_cut_escape(&tail[at..]) {
            return true;
        }
        match match_byte(&tail[at..], wanted, level) {
            Some(length) => at += length,
            None => return false,
        }
    }
    false
}

/// Whether `rest` is empty or an incomplete escape.
fn is_cut_escape(rest: &[u8]) -> bool {
    let open = |longest: usize| {
        rest.len() < longest
            && rest[1..]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'#')
    };
    match rest.first() {
        None => true,
        Some(b'%') => {
            let mut digits = &rest[1..];
            while let Some(inner) = digits.strip_prefix(b"25") {
                digits = inner;
            }
            digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit)
        }
        Some(b'\\') => open("\\u0000".len()),
        Some(b'&') => open("&NewLine;".len()),
        Some(_) => false,
    }
}

fn replace(text: &[u8], matched: impl Fn(&[u8]) -> Option<usize>, value_len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match matched(&text[at..]) {
            Some(length)
                if value_len >= WHOLE_WORD_BELOW_BYTES || stands_alone(text, at, length) =>
            {
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

/// The number of bytes at the start of `text` that encode `value`.
fn match_spelling(text: &[u8], value: &[u8]) -> Option<usize> {
    // Compared unencoded too: a value may look escaped itself, or an escape of its last byte begins with that byte.
    let as_it_is = text.starts_with(value).then_some(value.len());
    let encoded = |level| {
        value.iter().try_fold(0, |at, &wanted| {
            Some(at + match_byte(text.get(at..)?, wanted, level)?)
        })
    };
    as_it_is.max((1..=MAX_PERCENT_LEVEL).filter_map(encoded).max())
}

/// The number of bytes at the start of `text` that encode the byte `wanted`.
fn match_byte(text: &[u8], wanted: u8, level: usize) -> Option<usize> {
    let first = *text.first()?;
    if first == wanted && first != b'&' && first != b'\\' && first != b'%' {
        return Some(1);
    }
    let escaped = match first {
        b'%' => percent_escape(text, level),
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

/// `%41`, or `%2541` where `%` was encoded again, up to `level` times in all.
fn percent_escape(text: &[u8], level: usize) -> Option<(u8, usize)> {
    let mut at = 1;
    for _ in 1..level {
        if text.get(at..at + 2) == Some(b"25") && text.get(at + 2..at + 4).and_then(hex).is_some() {
            at += 2;
        }
    }
    let byte = text.get(at..at + 2).and_then(hex)?;
    Some((byte, at + 2))
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
    // Each name with its character.
    const NAMED: &str = "amp& lt< gt> quot\" apos' sol/ equals= plus+ percnt% colon: commat@ num# dollar$ excl! ast* lpar( \
        rpar) comma, period. semi; quest? lsqb[ rsqb] lowbar_ grave` lcub{ rcub} verbar| bsol\\ Hat^ Tab\t NewLine\n";
    for entity in NAMED.split(' ') {
        let (name, character) = entity.split_at(entity.len() - 1);
        let rest = text[1..].strip_prefix(name.as_bytes());
        if rest.is_some_and(|rest| rest.starts_with(b";")) {
            return Some((character.as_bytes()[0], name.len() + 2));
        }
    }
    let end = text.iter().take(9).position(|byte| *byte == b';')?;
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

/// A value in hexadecimal, in base64, and in base64 applied twice.
fn encodings(value: &str) -> Vec<Encoded> {
    if value.len() < WHOLE_WORD_BELOW_BYTES {
        return Vec::new();
    }
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let once = base64_cores(value.as_bytes());
    let twice = once.iter().flat_map(|core| base64_cores(core.as_bytes()));
    let mut all = vec![Encoded {
        text: Secret::new(hex),
        ignores_case: true,
    }];
    for core in once.iter().cloned().chain(twice) {
        let encoded = Encoded {
            text: Secret::new(core),
            ignores_case: false,
        };
        if encoded.text.expose().len() >= WHOLE_WORD_BELOW_BYTES && !all.contains(&encoded) {
            all.push(encoded);
        }
    }
    all
}

/// The parts of base64 text that a value determines completely, for each of the three alignments.
fn base64_cores(value: &[u8]) -> Vec<String> {
    let mut cores = Vec::new();
    for before in 0..3usize {
        let mut padded = vec![0; before];
        padded.extend_from_slice(value);
        let first = (before * 8).div_ceil(6);
        let end = padded.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let core = engine.encode(&padded)[first..end].to_owned();
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
    fn common_encodings_are_masked() {
        let redactor = redactor(&["p@ss w/rd&\"<é"]);
        for echoed in [
            "p@ss w/rd&\"<é",
            "p%40ss+w%2Frd%26%22%3C%C3%A9",
            "p%40ss%20w%2frd%26%22%3c%c3%a9",
            "p@ss w/rd&amp;&quot;&lt;é",
            "p@ss w\\/rd\\u0026\\\"<é",
            "p&#64;ss w/rd&#x26;&#34;&lt;é",
            "p&commat;ss w&sol;rd&amp;&quot;&lt;é",
            "p%2540ss%2520w%252Frd%2526%2522%253C%25C3%25A9",
            "7040737320772f726426223Cc3A9",
        ] {
            assert_eq!(
                redactor.redact(&format!("you sent {echoed}!")),
                "you sent ***!",
                "{echoed}"
            );
        }
    }

    #[test]
    fn base64_with_line_breaks_or_applied_twice_is_masked() {
        let redactor = redactor(&["correct-horse!!"]);
        for echoed in [
            "Y29ycmVjdC1ob3JzZSEh",
            "Y29ycmVjdC\r\n1ob3JzZSEh",
            "Y29ycmVjdC\\n1ob3JzZSEh",
            "WTI5eWNtVmpkQzFvYjNKelpTRWg=",
        ] {
            let masked = redactor.redact(&format!("you sent {echoed}"));
            assert!(
                masked.trim_end_matches('=').len() <= "you sent ***h".len(),
                "{masked}"
            );
        }
    }

    #[test]
    fn escapes_of_the_last_byte_are_masked_completely() {
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
    fn longer_secrets_are_masked_first() {
        assert_eq!(
            redactor(&["abcd", "abcdefgh", ""]).redact("x abcdefgh abcd x"),
            "x *** *** x"
        );
        assert_eq!(redactor(&[""]).redact("text"), "text");
    }

    #[test]
    fn short_values_are_masked_as_whole_words() {
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
    fn cut_escapes_of_values_that_look_escaped_are_masked() {
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
        fn no_encoding_survives(value in "[!-~é]{4,24}", before in "[a-z=]{0,5}", after in "[a-z]{0,5}") {
            let redactor = redactor(&[&value]);
            let inner = format!("{before}{value}{after}");
            let hex = |text: &str| text.bytes().map(|b| format!("{b:02X}")).collect::<String>();
            let twice = percent_encoded(&percent_encoded(&inner, true), false);
            let wrapped = STANDARD.encode(&inner).as_bytes().chunks(5).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect();
            let spellings = [
                inner.clone(),
                hex(&inner),
                hex(&inner).to_lowercase(),
                twice.clone(),
                percent_encoded(&twice, false),
                STANDARD.encode(STANDARD.encode(&inner)),
                URL_SAFE.encode(STANDARD.encode(&inner)),
                wrapped,
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
                for core in base64_cores(value.as_bytes()) {
                    prop_assert!(!masked.contains(&core), "{} stayed in {}", core, masked);
                }
                prop_assert!(masked.contains(MASK));
            }
        }

        #[test]
        fn no_beginning_of_a_secret_is_left_at_a_cut(
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
                    spelled < MIN_PREFIX_BYTES || masked.len() <= most && shown.contains(MASK),
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
