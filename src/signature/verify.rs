//! Whether a request's signature is valid.

use std::time::Duration;

use super::invalid::{InvalidKind, InvalidSignature};
use super::scheme::{Scheme, SignatureHeaders, timestamp_seconds};
use super::{Key, SignedRequest, diagnosis};

impl Scheme {
    /// Whether one of the keys made one of the request's signatures, at most `tolerance` before or after it arrived.
    pub fn verify(
        &self,
        keys: &[Key],
        request: &SignedRequest<'_>,
        tolerance: Duration,
    ) -> Result<(), InvalidSignature> {
        let given = self.read_headers(request)?;
        if !keys
            .iter()
            .any(|key| self.matches(key, &given, request.body))
        {
            return Err(diagnosis::explain(self, keys, request, &given));
        }
        if self.has_timestamp() {
            check_age(&given, request, tolerance)?;
        }
        Ok(())
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
