//! Searches bytes for a secret: plain, percent- or form-encoded, base64 at any alignment, hexadecimal, JSON-escaped.
//!
//! Percent-encoders differ, so the searched bytes are decoded instead of encoding the secret. Compressed, encrypted and
//! split forms are not found. Short secrets are rejected, because they would be found by chance.

use std::borrow::Cow;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// At this length, at least 9 base64 characters depend on the secret alone at any alignment.
const SHORTEST: usize = 8;

pub struct Canary {
    /// Name and bytes of each form, without duplicates.
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// Panics on a secret shorter than 8 bytes.
    #[track_caller]
    pub fn new(secret: &str) -> Self {
        assert!(
            secret.len() >= SHORTEST,
            "a canary needs {SHORTEST} bytes, or chance finds it: `{secret}`"
        );
        let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let json = serde_json::Value::from(secret).to_string();
        let mut forms = vec![
            ("as it is", secret.as_bytes().to_vec()),
            ("JSON-escaped", json.as_bytes()[1..json.len() - 1].to_vec()),
            (
                "in hexadecimal",
                hexadecimal.to_ascii_uppercase().into_bytes(),
            ),
            ("in hexadecimal", hexadecimal.into_bytes()),
        ];
        for alphabet in [STANDARD, URL_SAFE] {
            forms.extend((0..3).map(|offset| {
                (
                    "in base64",
                    base64_core(secret.as_bytes(), alphabet, offset),
                )
            }));
        }
        forms.sort_by(|(_, one), (_, other)| one.cmp(other));
        forms.dedup_by(|(_, one), (_, other)| one == other);
        Self { forms }
    }

    /// Describes where and in which form `haystack` contains the secret.
    pub fn find(&self, haystack: &[u8]) -> Option<String> {
        let views = [
            ("", Cow::Borrowed(haystack)),
            (
                "percent-encoded, ",
                Cow::Owned(percent_decoded(haystack, b'+')),
            ),
            (
                "form-encoded, ",
                Cow::Owned(percent_decoded(haystack, b' ')),
            ),
        ];
        views
            .iter()
            .enumerate()
            .find_map(|(index, (encoded, view))| {
                // Skip views that are equal to an earlier one.
                let searched = views[..index].iter().any(|(_, earlier)| earlier == view);
                let (form, at) = if searched {
                    None
                } else {
                    self.find_plain(view)
                }?;
                let around = &view[at.saturating_sub(40)..view.len().min(at + 80)];
                Some(format!("{encoded}{form}: …{}…", around.escape_ascii()))
            })
    }

    fn find_plain(&self, haystack: &[u8]) -> Option<(&'static str, usize)> {
        // One pass for all forms, with a quick check of the first byte: the input may be megabytes.
        let mut begins = [false; 256];
        self.forms
            .iter()
            .for_each(|(_, form)| begins[usize::from(form[0])] = true);
        let starts = (0..haystack.len()).filter(|at| begins[usize::from(haystack[*at])]);
        let mut found = starts.filter_map(|at| {
            let form = self
                .forms
                .iter()
                .find(|(_, form)| haystack[at..].starts_with(form));
            form.map(|(name, _)| (*name, at))
        });
        found.next()
    }
}

/// Decodes `%XX`, and `+` to `plus`; invalid encodings stay.
fn percent_decoded(bytes: &[u8], plus: u8) -> Vec<u8> {
    let digit = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(if byte == b'+' { plus } else { byte });
                at += 1;
            }
        }
    }
    decoded
}

/// The base64 characters that depend only on `bytes` when `offset` unknown bytes precede them and any bytes follow.
fn base64_core(bytes: &[u8], alphabet: &[u8; 64], offset: usize) -> Vec<u8> {
    let whole = [&vec![0; offset], bytes].concat();
    let known_bits = offset * 8..whole.len() * 8;
    (known_bits.start.div_ceil(6)..known_bits.end / 6)
        .map(|sextet| {
            let bit = |at: usize| whole[at / 8] >> (7 - at % 8) & 1;
            let value = (sextet * 6..sextet * 6 + 6).fold(0, |value, at| value << 1 | bit(at));
            alphabet[usize::from(value)]
        })
        .collect()
}
