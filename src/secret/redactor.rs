//! Masks known secrets in text from outside, in the encodings in which endpoints commonly echo them.
//!
//! These are found: a value as it is, in base64 (both alphabets, any alignment, with line breaks, also applied twice) and in
//! hexadecimal; in all of these, characters may be percent-encoded (up to three times), written as `+`, or as JSON, HTML and
//! XML escapes. Hashes, compressed and encrypted forms are not.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::{MASK, Secret};

/// Shorter values are masked only as whole words: `1` in `v=1`, but not in `2021`.
const WHOLE_WORD_BELOW_BYTES: usize = 4;
/// The beginning of a secret at a cut is masked from this length on.
const MIN_PREFIX_BYTES: usize = 4;
/// The same in base64 or hexadecimal.
const MIN_PREFIX_ENCODED: usize = 6;

const ESCAPE_STARTS: &[u8] = b"%+\\&";
/// How often percent-encoding may have been applied.
const MAX_PERCENT_LEVEL: usize = 3;
/// The longest escape of one byte, such as `&#x00000A;`.
const MAX_ESCAPE_BYTES: usize = 12;

/// Masks the secrets it was made with.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    patterns: Vec<Pattern>,
}

/// A secret, or one in an encoding that changes every byte.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: Secret,
    /// Whether this is base64 or hexadecimal: line breaks may occur within, and case is ignored.
    is_encoded: bool,
}

/// How much the start of a text and a pattern have in common.
#[derive(Debug, Default)]
struct Spelled {
    /// The number of bytes of text that spell the whole pattern.
    whole: Option<usize>,
    /// The number of bytes of the pattern after which the text ends.
    cut_after: Option<usize>,
}

impl Redactor {
    /// A redactor for these secrets; those with an empty value are ignored.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(secrets);
        redactor
    }

    pub fn add<'a>(&mut self, secrets: impl IntoIterator<Item = &'a Secret>) {
        for secret in secrets {
            for pattern in patterns(secret) {
                if !self.patterns.contains(&pattern) {
                    self.patterns.push(pattern);
                }
            }
        }
    }

    /// Adds a value that is not text, such as a key or a signature. It is found in hexadecimal and base64.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        if bytes.len() < WHOLE_WORD_BELOW_BYTES {
            return;
        }
        let hexadecimal = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = base64_cores(bytes);
        for text in base64.into_iter().chain([hexadecimal]) {
            let pattern = Pattern {
                text: Secret::new(text),
                is_encoded: true,
            };
            if !self.patterns.contains(&pattern) {
                self.patterns.push(pattern);
            }
        }
    }

    /// The length in bytes of the longest encoding of a secret: how much text after a cut is needed to recognise it.
    pub fn reach(&self) -> usize {
        let secrets = self.patterns.iter().filter(|pattern| !pattern.is_encoded);
        let longest = secrets.map(|pattern| pattern.text.expose().len()).max();
        longest.unwrap_or(0) * MAX_ESCAPE_BYTES
    }

    pub fn redact(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.redact_bytes(text.as_bytes())).into_owned()
    }

    /// Overlapping secrets become one mask.
    pub fn redact_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut masked_end = 0;
        // Where each pattern's last match ended: no match of the same pattern begins before.
        let mut ends = vec![0; self.patterns.len()];
        for (at, byte) in bytes.iter().enumerate() {
            let escapes = escapes(&bytes[at..]);
            for (pattern, end) in self.patterns.iter().zip(&mut ends) {
                if at >= *end
                    && let Some(length) = pattern.find(bytes, at, &escapes)
                {
                    *end = at + length;
                    if at >= masked_end {
                        out.extend_from_slice(MASK.as_bytes());
                    }
                    masked_end = masked_end.max(*end);
                }
            }
            if at >= masked_end {
                out.push(*byte);
            }
        }
        out
    }

    /// For text that was cut off: also masks the beginning of a secret at its end.
    pub fn redact_cut(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = self.redact_bytes(bytes);
        let earliest = text.len().saturating_sub(self.reach());
        let begins = |tail: &[u8]| self.patterns.iter().any(|pattern| pattern.is_cut(tail));
        if let Some(start) = (earliest..text.len()).find(|start| begins(&text[*start..])) {
            text.truncate(start);
            text.extend_from_slice(MASK.as_bytes());
        }
        text
    }
}

impl Pattern {
    /// The number of bytes at `at` that spell this. A short one must be a whole word.
    fn find(&self, text: &[u8], at: usize, escapes: &[Escape]) -> Option<usize> {
        let rest = &text[at..];
        if !self.begins(rest, escapes) {
            return None;
        }
        let length = self.spelled(rest).whole?;
        let is_long = self.text.expose().len() >= WHOLE_WORD_BELOW_BYTES;
        (is_long || stands_alone(text, at, length)).then_some(length)
    }

    /// Whether `tail` is the beginning of this; it may end within an escape.
    fn is_cut(&self, tail: &[u8]) -> bool {
        let least = match self.is_encoded {
            true => MIN_PREFIX_ENCODED,
            false => MIN_PREFIX_BYTES,
        };
        self.begins(tail, &escapes(tail)) && self.spelled(tail).cut_after >= Some(least)
    }

    /// Whether `text`, which begins with one of `escapes` if any, spells the first character. Not necessary, but fast.
    fn begins(&self, text: &[u8], escapes: &[Escape]) -> bool {
        let value = self.text.expose().as_bytes();
        self.is_byte(text[0], value[0])
            || escapes
                .iter()
                .any(|escape| value.starts_with(&escape.bytes))
    }

    /// Follows all spellings at the same time: a byte may stand for itself or begin an escape.
    fn spelled(&self, text: &[u8]) -> Spelled {
        let value = self.text.expose().as_bytes();
        let mut spelled = Spelled::default();
        // Usually the bytes stand for themselves.
        let plain = text.iter().zip(value).take_while(|(given, wanted)| {
            self.is_byte(**given, **wanted) && !ESCAPE_STARTS.contains(given)
        });
        let plain = plain.count();
        let next = text.get(plain).filter(|_| plain < value.len());
        if next.is_some_and(|byte| !ESCAPE_STARTS.contains(byte) && !is_line_break(byte)) {
            return spelled;
        }
        // Pairs of positions in the pattern and in the text that have the same bytes before them.
        let mut positions = BTreeSet::from([(plain, plain)]);
        while let Some((at, end)) = positions.pop_first() {
            let (wanted, rest) = (&value[at..], &text[end..]);
            if wanted.is_empty() {
                spelled.whole = Some(end);
                continue;
            }
            if is_cut_escape(rest) {
                spelled.cut_after = Some(at);
            }
            let skips_breaks = self.is_encoded && at > 0;
            if rest
                .first()
                .is_some_and(|byte| self.is_byte(*byte, wanted[0]))
            {
                positions.insert((at + 1, end + 1));
            } else if skips_breaks && rest.first().is_some_and(is_line_break) {
                positions.insert((at, end + 1));
            }
            for escape in escapes(rest) {
                if wanted.starts_with(&escape.bytes) {
                    positions.insert((at + escape.bytes.len(), end + escape.length));
                } else if skips_breaks && escape.bytes.iter().all(is_line_break) {
                    positions.insert((at, end + escape.length));
                }
            }
        }
        spelled
    }

    fn is_byte(&self, given: u8, wanted: u8) -> bool {
        given == wanted || self.is_encoded && given.eq_ignore_ascii_case(&wanted)
    }
}

fn is_line_break(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// An escape, and the byte or character it stands for.
struct Escape {
    length: usize,
    bytes: Vec<u8>,
}

/// What `text` may begin with, if it begins with an escape.
fn escapes(text: &[u8]) -> Vec<Escape> {
    let byte = |(byte, length)| Escape {
        length,
        bytes: vec![byte],
    };
    let character = |(character, length)| Escape {
        length,
        bytes: String::from(character).into_bytes(),
    };
    match text.first() {
        Some(b'%') => {
            let levels = (0..MAX_PERCENT_LEVEL).filter_map(|level| percent_escape(text, level));
            levels.map(byte).collect()
        }
        Some(b'+') => vec![byte((b' ', 1))],
        Some(b'\\') => {
            let short = json_escape(text).map(byte);
            short
                .into_iter()
                .chain(unicode_escape(text).map(character))
                .collect()
        }
        Some(b'&') => entity(text).map(character).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// `%41`, or `%2541` where `%` itself was encoded.
fn percent_escape(text: &[u8], nested: usize) -> Option<(u8, usize)> {
    let mut rest = &text[1..];
    for _ in 0..nested {
        rest = rest.strip_prefix(b"25")?;
    }
    let byte = u8::try_from(number(rest.get(..2)?, 16)?).ok()?;
    Some((byte, text.len() - rest.len() + 2))
}

/// `\n`, or a backslash before a punctuation character.
fn json_escape(text: &[u8]) -> Option<(u8, usize)> {
    let byte = match *text.get(1)? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other if other.is_ascii_punctuation() => other,
        _ => return None,
    };
    Some((byte, 2))
}

/// `\u00e9`, or two for a surrogate pair.
fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| number(text.get(at..)?.strip_prefix(b"\\u")?.get(..4)?, 16);
    let first = unit(0)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let pair = [first as u16, unit(6)? as u16];
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((character, 12))
}

/// Parses a character reference at the start of `text`: `&amp;`, `&#38;` or `&#x26;`.
fn entity(text: &[u8]) -> Option<(char, usize)> {
    // Each name with its character.
    const NAMED: &str = "amp& lt< gt> quot\" apos' sol/ equals= plus+ percnt% colon: commat@ num# dollar$ excl! ast* lpar( \
        rpar) comma, period. semi; quest? lsqb[ rsqb] lowbar_ grave` lcub{ rcub} verbar| bsol\\ Hat^ Tab\t NewLine\n";
    let end = text
        .iter()
        .take(MAX_ESCAPE_BYTES)
        .position(|byte| *byte == b';')?;
    let code =
        match &text[1..end] {
            [b'#', b'x' | b'X', digits @ ..] => number(digits, 16)?,
            [b'#', digits @ ..] => number(digits, 10)?,
            name => NAMED.split(' ').find_map(|entity| {
                match entity.as_bytes().strip_prefix(name)? {
                    [character] => Some(u32::from(*character)),
                    _ => None,
                }
            })?,
        };
    Some((char::from_u32(code)?, end + 1))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// Whether `rest` is empty or an incomplete escape.
fn is_cut_escape(rest: &[u8]) -> bool {
    let open = |longest: usize| {
        rest.len() < longest
            && rest[1..]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"#\\".contains(b))
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
        Some(b'\\') => open("\\ud83d\\ude00".len()),
        Some(b'&') => open(MAX_ESCAPE_BYTES),
        Some(_) => false,
    }
}

/// A secret as it is, in hexadecimal, in base64, and in base64 applied twice.
fn patterns(secret: &Secret) -> Vec<Pattern> {
    let value = secret.expose();
    let mut texts = Vec::new();
    if value.len() >= WHOLE_WORD_BELOW_BYTES {
        texts.push(value.bytes().map(|byte| format!("{byte:02x}")).collect());
        let once = base64_cores(value.as_bytes());
        texts.extend(once.iter().flat_map(|core| base64_cores(core.as_bytes())));
        texts.extend(once);
    }
    let encoded = texts.into_iter().map(|text: String| Pattern {
        text: Secret::new(text),
        is_encoded: true,
    });
    let itself = Pattern {
        text: secret.clone(),
        is_encoded: false,
    };
    encoded
        .chain([itself])
        .filter(|pattern| !pattern.text.expose().is_empty())
        .collect()
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
            cores.push(engine.encode(&padded)[first..end].to_owned());
        }
    }
    cores
}

fn stands_alone(text: &[u8], start: usize, length: usize) -> bool {
    let before = start.checked_sub(1).and_then(|i| text.get(i));
    let after = text.get(start + length);
    [before, after]
        .into_iter()
        .flatten()
        .all(|byte| !byte.is_ascii_alphanumeric())
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
            "p@ss w/rd&\\\"<\\u00e9",
            "p@ss w/rd&amp;&quot;&lt;&#233;",
            "p@ss w/rd&amp;&quot;&lt;&#xE9;",
        ] {
            assert_eq!(
                redactor.redact(&format!("you sent {echoed}!")),
                "you sent ***!",
                "{echoed}"
            );
        }
    }

    #[test]
    fn escapes_of_other_scripts_are_masked() {
        let redactor = redactor(&["\u{1f511}pässwörd"]);
        for echoed in [
            "\\ud83d\\udd11p\\u00e4ssw\\u00F6rd",
            "&#128273;p&#xe4;ssw&#246;rd",
            "%F0%9F%94%91p%c3%a4ssw%25C3%25B6rd",
        ] {
            assert_eq!(redactor.redact(&format!("[{echoed}]")), "[***]");
            for cut in 24..echoed.len() {
                let shown = redactor.redact_cut(&echoed.as_bytes()[..cut]);
                assert_eq!(String::from_utf8_lossy(&shown), "***", "{}", &echoed[..cut]);
            }
        }
    }

    #[test]
    fn escaped_base64_is_masked() {
        let redactor = redactor(&["???>>>"]);
        for echoed in ["Pz8/Pj4+", "Pz8%2FPj4%2B", "Pz8\\/Pj4+", "Pz8_%0D%0APj4-"] {
            assert_eq!(redactor.redact(&format!("[{echoed}]")), "[***]");
        }
    }

    #[test]
    fn overlapping_secrets_are_masked_together() {
        let redactor = redactor(&["abcdef", "defghi"]);
        assert_eq!(redactor.redact("x abcdefghi x"), "x *** x");
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
        for cut in
            "corre%6 corre% corre\\u006 corre\\ corre&#x6 corre& Y29ycmVj NvcnJlY3Qt".split(' ')
        {
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
            let shown = redactor(&[value]).redact_cut(format!("t={cut}").as_bytes());
            assert_eq!(shown, b"t=***", "{cut}");
        }
    }

    fn percent_encoded(value: &str, every: bool) -> String {
        let encode = |b: u8| match every || !b.is_ascii_alphanumeric() {
            true => format!("%{b:02X}"),
            false => char::from(b).to_string(),
        };
        value.bytes().map(encode).collect()
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
