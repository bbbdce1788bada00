//! Whether a request's signature is valid.

use std::time::Duration;

use super::invalid::{InvalidKind, InvalidSignature};
use super::scheme::{Scheme, SignatureHeaders, timestamp_seconds};
use super::{Key, MalformedSecret, SignedRequest, diagnosis};
use crate::secret::Secret;

/// Verifies requests of one scheme.
#[derive(Clone, Debug)]
pub struct Verifier {
    scheme: Scheme,
    /// One of them must have made the signature.
    keys: Vec<Key>,
    /// How far the timestamp may be from the time at which the request arrived.
    tolerance: Duration,
}

impl Verifier {
    pub fn new(
        scheme: Scheme,
        secrets: &[Secret],
        tolerance: Duration,
    ) -> Result<Verifier, MalformedSecret> {
        let keys = secrets.iter().map(|secret| Key::new(&scheme, secret));
        Ok(Verifier {
            keys: keys.collect::<Result<_, _>>()?,
            scheme,
            tolerance,
        })
    }

    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Whether one of the keys made one of the request's signatures, in time. Takes one HMAC per key: a signature that does
    /// not match is an [`InvalidKind::Mismatch`].
    pub fn check(&self, request: &SignedRequest<'_>) -> Result<(), InvalidSignature> {
        let given = self.scheme.read_headers(request)?;
        let mut keys = self.keys.iter();
        if !keys.any(|key| self.scheme.matches(key, &given, request.body)) {
            return Err(diagnosis::mismatch());
        }
        if self.scheme.has_timestamp() {
            check_age(&given, request, self.tolerance)?;
        }
        Ok(())
    }

    /// As [`Verifier::check`]; finds out why a signature does not match, which takes many HMACs and copies of the body.
    pub fn explain(&self, request: &SignedRequest<'_>) -> Result<(), InvalidSignature> {
        match self.check(request) {
            Err(fault) if fault.kind == InvalidKind::Mismatch => {
                let given = self.scheme.read_headers(request)?;
                let (scheme, keys) = (&self.scheme, &self.keys);
                Err(diagnosis::explain(scheme, keys, request, &given))
            }
            checked => checked,
        }
    }
}

/// A valid signature that is too old may be a recorded request that someone sends again.
fn check_age(
    given: &SignatureHeaders<'_>,
    request: &SignedRequest<'_>,
    tolerance: Duration,
) -> Result<(), InvalidSignature> {
    let signed = timestamp_seconds(given.timestamp).unwrap_or_default();
    let received = request.received_at.0.div_euclid(1000);
    let (age, tolerance_seconds) = (received.saturating_sub(signed), tolerance.as_secs());
    if age.unsigned_abs() <= tolerance_seconds {
        return Ok(());
    }
    let (kind, relation) = match age {
        0.. => (InvalidKind::TimestampTooOld, "before"),
        _ => (InvalidKind::TimestampInFuture, "after"),
    };
    Err(InvalidSignature::new(
        kind,
        format!(
            "the signature is correct, but was made {} seconds {relation} the request arrived; {tolerance_seconds} are allowed",
            age.unsigned_abs()
        ),
    ))
}
