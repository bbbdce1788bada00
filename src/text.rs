//! Text helpers: plurals, lists, suggestions for mistyped words, shell quoting, sizes, files that are read whole.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Defines an enum whose variants have names, in the journal, the configuration and output.
macro_rules! named_enum {
    ($(#[$attr:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        // Some enums are never read by name.
        #[allow(dead_code)]
        impl $name {
            pub const ALL: [$name; [$($text),+].len()] = [$($name::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            #[allow(dead_code, reason = "some enums are only printed")]
            pub fn from_name(name: &str) -> Option<$name> {
                $name::ALL.into_iter().find(|one| one.as_str() == name)
            }
        }
    };
}
pub(crate) use named_enum;

/// A number with its noun: `1 delivery`, `2 deliveries`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The beginning of a text with more than `max` characters, and `…`.
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The candidate most similar to `word`, if one is similar.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (similarity(word, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?` or `; known are …`, to follow a message about an unknown word.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", listed(known)),
    }
}

/// 0 to 1. One typing error in a short word counts as much as a common beginning.
fn similarity(word: &str, candidate: &str) -> f64 {
    let one_error = word.len() > 2 && strsim::osa_distance(word, candidate) == 1;
    strsim::jaro_winkler(word, candidate).max(if one_error { 0.9 } else { 0.0 })
}

/// `` `a`, `b` and `c` ``.
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A word for a command line that users may paste: in single quotes unless it is plain.
pub fn shell_word(word: &str) -> String {
    let plain = !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_./:=@,+%".contains(&b));
    if plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Binary units first: [`size`] uses only these.
const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A message whose commands begin with `program`, which is `hookfire` with global options, instead of `hookfire`.
pub fn with_program<'t>(text: &'t str, program: &str) -> Cow<'t, str> {
    match program {
        "hookfire" => Cow::Borrowed(text),
        _ => Cow::Owned(text.replace("`hookfire ", &format!("`{program} "))),
    }
}

/// `512 B`, `1.5 KiB`, `3 MiB`.
pub fn size(bytes: u64) -> String {
    let (unit, worth) = UNITS[..3]
        .iter()
        .find(|(_, worth)| bytes >= *worth)
        .copied()
        .unwrap_or(("B", 1));
    let tenths = (u128::from(bytes) * 10 / u128::from(worth)) as u64;
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// Reads a whole file, which may be a device without an end, unless it is larger than `max` bytes.
pub fn read_file(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_whole(File::open(path)?, max)
}

/// Reads a file as [`read_file`] does and requires it to be UTF-8.
pub fn read_text(path: &Path, max: u64) -> io::Result<String> {
    let text = String::from_utf8(read_file(path, max)?);
    text.map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Reads to the end, with the limit and the errors of [`read_file`].
pub fn read_whole(input: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is larger than {}", size(max))));
    }
    Ok(bytes)
}

/// Parses `1MiB`, `64 KiB`, `10MB` or a plain number of bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is not a size such as 1MiB, 64KiB or 1048576");
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = (&text[..end], text[end..].trim());
    let worth = match unit {
        "" => 1,
        _ => {
            UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .ok_or_else(refused)?
                .1
        }
    };
    let number: u64 = digits.parse().map_err(|_| refused())?;
    number
        .checked_mul(worth)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for (text, bytes) in [
            ("1MiB", 1 << 20),
            ("64 kib", 65_536),
            ("10MB", 10_000_000),
            ("5", 5),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "0KiB",
            "MiB",
            "-1",
            "1.5MiB",
            "1XB",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(
            [size(0), size(512), size(1024), size(1536), size(1 << 20)],
            ["0 B", "512 B", "1 KiB", "1.5 KiB", "1 MiB"]
        );
        assert_eq!(size(u64::MAX), "17179869183.9 GiB");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("é".repeat(9).as_str(), 3), "ééé…");
        assert_eq!(cut("ééé", 3), "ééé");
    }

    #[test]
    fn nearest_finds_similar_words_only() {
        assert_eq!(
            nearest("stagin", ["production", "staging"]),
            Some("staging")
        );
        assert_eq!(nearest("ulr", ["url", "key"]), Some("url"));
        assert_eq!(nearest("zzz", ["production", "staging"]), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(listed([]), "none");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }

    #[test]
    fn shell_words_are_quoted_where_needed() {
        assert_eq!(shell_word("a/b.xml"), "a/b.xml");
        assert_eq!(shell_word("http://h/?a=1&b=2"), "'http://h/?a=1&b=2'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
