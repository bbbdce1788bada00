//! Webhook signatures: sign a request, verify one, and find out why a signature does not match. No I/O.
//!
//! A [`Scheme`] is data: its headers, the signed content, and the form of the signature. Five are known by name; a
//! [`CustomScheme`] describes any other.

mod custom;
mod diagnosis;
mod invalid;
mod payload;
mod rewrite;
mod scheme;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

pub use custom::CustomScheme;
pub use invalid::{InvalidKind, InvalidSignature};
pub use scheme::{Algorithm, Encoding, ID_HEADER, Scheme};
pub use sign::Signer;
pub use verify::Verifier;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;
use crate::time::UnixMs;

/// Starts the secrets of Standard Webhooks; base64 follows.
const SECRET_PREFIX: &str = "whsec_";

/// A key for HMAC, made from a secret. Not printable, like the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

/// `whsec_` is not followed by base64. The value is not shown.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signing secret starts with `whsec_`, but no base64 follows")]
pub struct MalformedSecret;

impl Key {
    /// Decodes `whsec_…` for schemes whose secrets are written that way.
    pub fn new(scheme: &Scheme, secret: &Secret) -> Result<Key, MalformedSecret> {
        let text = secret.expose();
        match text.strip_prefix(SECRET_PREFIX) {
            Some(encoded) if scheme.decodes_secrets => STANDARD
                .decode(encoded)
                .ok()
                .filter(|key| !key.is_empty())
                .map(Key)
                .ok_or(MalformedSecret),
            _ => Ok(Key(text.as_bytes().to_owned())),
        }
    }
}

/// The HMAC-SHA256 of a content in hexadecimal, with the secret as it is.
pub fn hmac_hex(secret: &Secret, content: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = ring::hmac::sign(&key, content);
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::secret::MASK)
    }
}

/// A received request, as far as a signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// All headers in the order received; a repeated name stays repeated.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// As received, transfer coding removed.
    pub body: &'a [u8],
    /// The body after `Content-Encoding` is decoded; `None` if it has none.
    pub decompressed: Option<&'a [u8]>,
    pub received_at: UnixMs,
}

impl<'a> SignedRequest<'a> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |(given, value): &(&str, &'a [u8])| {
            given.eq_ignore_ascii_case(name).then_some(*value)
        };
        self.headers.iter().filter_map(named)
    }
}
