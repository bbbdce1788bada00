//! Random tokens, and the comparison of what a stranger sent with what is secret.
//!
//! The randomness is ring's, by way of rustls, which TLS needs anyway: it can fail in words instead of a panic.

use std::fmt::Write as _;

use rustls::crypto::SecureRandom;
use subtle::ConstantTimeEq as _;

use crate::secret::Secret;

/// The system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no random numbers")]
pub struct NoRandomness;

/// 128 random bits as 32 hexadecimal digits.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_token() -> Result<Secret, NoRandomness> {
    random_hex(source()).map(Secret::new)
}

/// Where random numbers come from.
pub(super) fn source() -> &'static dyn SecureRandom {
    rustls::crypto::ring::default_provider().secure_random
}

pub(super) fn random_hex(source: &dyn SecureRandom) -> Result<String, NoRandomness> {
    let mut bytes = [0; 16];
    source.fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes.iter().fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// Whether what was sent is the secret, in a time that tells nothing but its length.
pub(super) fn same(sent: &[u8], secret: &Secret) -> bool {
    sent.ct_eq(secret.expose().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (random_token().unwrap(), random_token().unwrap());
        assert_eq!(one.expose().len(), 32);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }

    #[test]
    fn only_the_same_is_the_same() {
        let secret = Secret::new("abc");
        assert!(same(b"abc", &secret));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!same(other, &secret));
        }
    }
}
