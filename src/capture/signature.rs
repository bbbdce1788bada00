//! The signature of a captured request: the result of its verification, which is stored and shown with the capture.

use std::borrow::Cow;

use super::{Body, Capture};
use crate::signature::{InvalidKind, InvalidSignature, SignedRequest, Verifier};

/// The result of verifying a request's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureCheck {
    /// The name of the scheme.
    pub scheme: String,
    /// Why the signature is not valid; none if it is.
    pub invalid: Option<InvalidSignature>,
}

impl SignatureCheck {
    /// Verifies with one HMAC per secret: why a signature does not match remains open.
    pub fn quick(verifier: &Verifier, capture: &Capture, body: &Body) -> SignatureCheck {
        let request = SignedRequest {
            headers: &capture.head.headers(),
            body: &body.bytes,
            decompressed: None,
            received_at: capture.received_at,
        };
        SignatureCheck::new(verifier, verifier.check(&request))
    }

    /// Verifies, and finds out why a signature does not match, which takes much longer.
    pub fn explained(verifier: &Verifier, capture: &Capture, body: &Body) -> SignatureCheck {
        if capture.malformed {
            return SignatureCheck::incomplete(verifier, capture.response.note.as_deref());
        }
        let decompressed = match capture.decoded(body) {
            Ok(Cow::Owned(bytes)) => Some(bytes),
            _ => None,
        };
        let request = SignedRequest {
            headers: &capture.head.headers(),
            body: &body.bytes,
            decompressed: decompressed.as_deref(),
            received_at: capture.received_at,
        };
        SignatureCheck::new(verifier, verifier.explain(&request))
    }

    /// Of a request whose bytes were not all stored, for this reason.
    pub fn incomplete(verifier: &Verifier, reason: Option<&str>) -> SignatureCheck {
        let detail = "the capture is malformed or incomplete";
        let detail = match reason {
            Some(reason) => format!("{detail}: {reason}"),
            None => detail.to_owned(),
        };
        let fault = InvalidSignature::new(InvalidKind::Incomplete, detail);
        SignatureCheck::new(verifier, Err(fault))
    }

    fn new(verifier: &Verifier, result: Result<(), InvalidSignature>) -> SignatureCheck {
        SignatureCheck {
            scheme: verifier.scheme().name().to_owned(),
            invalid: result.err(),
        }
    }

    /// Whether it is open why the signature does not match.
    pub fn is_mismatch(&self) -> bool {
        let invalid = self.invalid.as_ref();
        invalid.is_some_and(|fault| fault.kind == InvalidKind::Mismatch)
    }
}
