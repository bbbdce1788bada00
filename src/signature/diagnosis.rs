//! Why a signature does not match: tries the usual causes, one at a time, and names the first that explains it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use super::invalid::{InvalidKind, InvalidSignature};
use super::payload::PayloadTemplate;
use super::rewrite;
use super::scheme::{Scheme, SignatureHeaders};
use super::{Key, SECRET_PREFIX, SignedRequest};

/// Explains signatures that do not match.
pub(super) fn explain(
    scheme: &Scheme,
    keys: &[Key],
    request: &SignedRequest<'_>,
    given: &SignatureHeaders<'_>,
) -> InvalidSignature {
    let body = request.body;
    let any_key = |body: &[u8]| keys.iter().any(|key| scheme.matches(key, given, body));
    let other = scheme.encoding.other();
    if keys
        .iter()
        .any(|key| scheme.matches_as(&scheme.payload, other, key, given, body))
    {
        let detail = format!(
            "the signature is written in {}, not in {}",
            other.name(),
            scheme.encoding.name()
        );
        return InvalidSignature::new(InvalidKind::OtherEncoding, detail);
    }
    let only_body = &PayloadTemplate::known("{body}");
    if scheme.has_timestamp()
        && (keys.iter()).any(|key| scheme.matches_as(only_body, scheme.encoding, key, given, body))
    {
        let detail = "the signature covers the body, but not the timestamp";
        return InvalidSignature::new(InvalidKind::NoTimestamp, detail);
    }
    for key in keys {
        for (other, detail) in other_readings(key) {
            if scheme.matches(&other, given, body) {
                return InvalidSignature::new(InvalidKind::Secret, detail);
            }
        }
    }
    for (kind, detail, other) in other_bodies(request) {
        if any_key(&other) {
            return InvalidSignature::new(kind, detail);
        }
    }
    for (style, other) in rewrite::json_styles(body) {
        if any_key(&other) {
            let detail = format!("the signature is correct for the same JSON {style}");
            return InvalidSignature::new(InvalidKind::BodyReserialized, detail);
        }
    }
    if is_decompressed(request) {
        return InvalidSignature::new(
            InvalidKind::BodyDecompressed,
            "the header `Content-Encoding` says that the body is compressed with gzip, but it is not",
        );
    }
    mismatch()
}

/// A signature that nothing explains.
pub(super) fn mismatch() -> InvalidSignature {
    let detail = "the signature is not of this body with this secret";
    InvalidSignature::new(InvalidKind::Mismatch, detail)
}

/// The keys that other readings of the same secret give, each with its explanation.
fn other_readings(key: &Key) -> Vec<(Key, String)> {
    let mut found: Vec<(Vec<u8>, &str)> = Vec::new();
    let bytes = &key.0[..];
    let trimmed = bytes.trim_ascii();
    if trimmed != bytes {
        found.push((trimmed.to_owned(), "the secret has white space around it"));
    }
    found.push((
        [bytes, b"\n"].concat(),
        "the sender's secret ends with a newline",
    ));
    for quote in [b'"', b'\''] {
        let quotes = [quote];
        let inner = bytes
            .strip_prefix(&quotes)
            .and_then(|rest| rest.strip_suffix(&quotes));
        if let Some(inner) = inner {
            found.push((inner.to_owned(), "the secret has quotes around it"));
        }
        let quoted = [&quotes[..], bytes, &quotes[..]].concat();
        found.push((quoted, "the sender's secret has quotes around it"));
    }
    if let Some(rest) = bytes.strip_prefix(SECRET_PREFIX.as_bytes()) {
        found.push((
            rest.to_owned(),
            "the sender uses the secret without `whsec_`",
        ));
        found.extend(STANDARD.decode(rest).ok().map(|decoded| {
            (
                decoded,
                "the sender decodes the secret from base64, without `whsec_`",
            )
        }));
    } else {
        let prefixed = [SECRET_PREFIX.as_bytes(), bytes].concat();
        found.push((prefixed, "the sender's secret starts with `whsec_`"));
    }
    found.extend((STANDARD.decode(bytes).ok()).map(|decoded| {
        (
            decoded,
            "the sender decodes the secret from base64; write it with `whsec_` before it",
        )
    }));
    // What a secret with `whsec_` looked like before it was decoded.
    let encoded = STANDARD.encode(bytes);
    let prefixed = format!("{SECRET_PREFIX}{encoded}").into_bytes();
    found.push((
        prefixed,
        "the sender does not decode the secret from base64, and includes `whsec_`",
    ));
    found.push((
        encoded.into_bytes(),
        "the sender does not decode the secret from base64",
    ));
    (found.into_iter())
        .filter(|(bytes, _)| !bytes.is_empty())
        .map(|(bytes, detail)| (Key(bytes), detail.to_owned()))
        .collect()
}

type OtherBody<'a> = (InvalidKind, &'static str, Cow<'a, [u8]>);

/// What the body may have been before it was changed on its way, or what the sender took for it.
fn other_bodies<'a>(request: &SignedRequest<'a>) -> Vec<OtherBody<'a>> {
    let body = request.body;
    let mut found: Vec<OtherBody<'a>> = Vec::new();
    for end in [&b"\n"[..], b"\r\n"] {
        if let Some(rest) = body.strip_suffix(end) {
            let detail = "the signature is correct for the body without its final newline";
            found.push((InvalidKind::BodyFinalNewline, detail, rest.into()));
        }
        let detail = "the signature is correct for the body with a newline after it";
        let longer = [body, end].concat();
        found.push((InvalidKind::BodyFinalNewline, detail, longer.into()));
    }
    let lf = replace(body, b"\r\n", b"\n");
    let crlf = replace(&lf, b"\n", b"\r\n");
    found.push((
        InvalidKind::BodyLineEnds,
        "the signature is correct for the body with CRLF line ends",
        crlf.into(),
    ));
    found.push((
        InvalidKind::BodyLineEnds,
        "the signature is correct for the body with LF line ends",
        lf.into(),
    ));
    match std::str::from_utf8(body) {
        Ok(text) => {
            let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
            let detail = "the signature is correct for the body in ISO-8859-1; it arrived in UTF-8";
            found.extend(latin1.map(|bytes| (InvalidKind::BodyCharset, detail, bytes.into())));
        }
        Err(_) => {
            let utf8: String = body.iter().map(|byte| char::from(*byte)).collect();
            let detail = "the signature is correct for the body in UTF-8; it arrived in ISO-8859-1";
            found.push((InvalidKind::BodyCharset, detail, utf8.into_bytes().into()));
        }
    }
    let mark = b"\xEF\xBB\xBF";
    let without = body.strip_prefix(mark);
    let detail = "the signature is correct for the body without its byte order mark";
    found.extend(without.map(|rest| (InvalidKind::BodyCharset, detail, rest.into())));
    let detail = "the signature is correct for the body with a byte order mark";
    found.push((
        InvalidKind::BodyCharset,
        detail,
        [mark, body].concat().into(),
    ));
    if let Some(bytes) = request.decompressed {
        let detail = "the signature is correct for the decompressed body";
        found.push((InvalidKind::BodyCompressed, detail, bytes.into()));
    }
    found
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memmem::find(rest, from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// Whether something decompressed the body and left the header.
fn is_decompressed(request: &SignedRequest<'_>) -> bool {
    let mut encodings = request.values("content-encoding");
    encodings.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"gzip"))
        && !request.body.starts_with(b"\x1f\x8b")
}
