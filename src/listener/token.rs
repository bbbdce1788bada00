//! Random tokens, for who may look and for what a page may run.
//!
//! The randomness is ring's, by way of rustls, which TLS needs anyway: it can fail in words instead of a panic.

use std::fmt::Write as _;

use rustls::crypto::SecureRandom;

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
    Ok(bytes
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
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
}
