//! Looks for a secret in whatever form it may leak: plain, percent- or form-encoded, base64 at any alignment,
//! hexadecimal, JSON-escaped.
//!
//! Percent-encoders differ in what they encode, so the haystack is decoded instead of the secret encoded in
//! every way. Does not look for compressed, encrypted or split forms. Invariant: each form searched for is
//! long enough that finding it by chance is out of the question, which is why short secrets are refused.

use std::borrow::Cow;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The shortest canary: at any alignment, at least 9 of its base64 characters are its own.
const SHORTEST: usize = 8;

/// A secret, ready to be looked for.
pub struct Canary {
    /// The name of each form, and its bytes; no bytes twice.
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

    /// In words, where and in which form `haystack` holds the secret.
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
                // What contains nothing encoded need not be searched again.
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
        // One walk for all forms, which nearly always goes on at the first byte: what is searched may be megabytes.
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

/// `bytes` with each `%XX` as the byte it stands for, and each `+` as `plus`; what is not an encoding stays.
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

/// The base64 characters that depend on nothing but `bytes`, when `offset` unknown bytes stand before them in
/// the encoded text and anything may follow: what the neighbours cannot change is what a search can look for.
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
