//! Reasons why a signature is not valid, with hints.

/// Why a request's signature is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSignature {
    pub kind: InvalidKind,
    /// A clause for people. Contains no value of a header and no secret.
    pub detail: String,
}

impl InvalidSignature {
    pub fn new(kind: InvalidKind, detail: impl Into<String>) -> InvalidSignature {
        let detail = detail.into();
        InvalidSignature { kind, detail }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidKind {
    /// Not all bytes of the request were stored.
    Incomplete,
    MissingHeader,
    RepeatedHeader,
    OtherScheme,
    MalformedSignature,
    MalformedTimestamp,
    TimestampTooOld,
    TimestampInFuture,
    OtherEncoding,
    NoTimestamp,
    Secret,
    BodyLineEnds,
    BodyFinalNewline,
    BodyCharset,
    BodyCompressed,
    BodyDecompressed,
    BodyReserialized,
    Mismatch,
}

impl InvalidKind {
    const ALL: [InvalidKind; 18] = [
        InvalidKind::Incomplete,
        InvalidKind::MissingHeader,
        InvalidKind::RepeatedHeader,
        InvalidKind::OtherScheme,
        InvalidKind::MalformedSignature,
        InvalidKind::MalformedTimestamp,
        InvalidKind::TimestampTooOld,
        InvalidKind::TimestampInFuture,
        InvalidKind::OtherEncoding,
        InvalidKind::NoTimestamp,
        InvalidKind::Secret,
        InvalidKind::BodyLineEnds,
        InvalidKind::BodyFinalNewline,
        InvalidKind::BodyCharset,
        InvalidKind::BodyCompressed,
        InvalidKind::BodyDecompressed,
        InvalidKind::BodyReserialized,
        InvalidKind::Mismatch,
    ];

    /// The kind with this name in JSON.
    pub fn named(name: &str) -> Option<InvalidKind> {
        let mut all = InvalidKind::ALL.into_iter();
        all.find(|kind| kind.as_str() == name)
    }

    /// The name of the reason in JSON output.
    pub fn as_str(self) -> &'static str {
        self.name_and_hint().0
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        self.name_and_hint().1
    }

    fn name_and_hint(self) -> (&'static str, &'static str) {
        match self {
            InvalidKind::Incomplete => (
                "incomplete",
                "only a complete request can be verified; `hookfire listen --max-body SIZE` accepts larger bodies",
            ),
            InvalidKind::MissingHeader => (
                "missing_header",
                "check that the sender signs its requests, and that no proxy removes the header",
            ),
            InvalidKind::RepeatedHeader => (
                "repeated_header",
                "a signature counts only if its headers occur once; check for a proxy that adds them again",
            ),
            InvalidKind::OtherScheme => (
                "other_scheme",
                "verify with the scheme that the sender uses",
            ),
            InvalidKind::MalformedSignature => (
                "malformed_signature",
                "compare the header with the sender's documentation; a proxy may have cut it",
            ),
            InvalidKind::MalformedTimestamp => (
                "malformed_timestamp",
                "compare the header with the sender's documentation",
            ),
            InvalidKind::TimestampTooOld => (
                "timestamp_too_old",
                "a request that was recorded and sent again must be signed anew; if it was only slow, allow more with `--tolerance`",
            ),
            InvalidKind::TimestampInFuture => (
                "timestamp_in_future",
                "set the clocks of both machines, or allow more with `--tolerance`",
            ),
            InvalidKind::OtherEncoding => (
                "other_encoding",
                "make the sender encode the signature as the scheme requires",
            ),
            InvalidKind::NoTimestamp => (
                "no_timestamp",
                "make the sender sign the timestamp together with the body",
            ),
            InvalidKind::Secret => (
                "secret",
                "use the secret exactly as the sender's settings show it",
            ),
            InvalidKind::BodyLineEnds => (
                "body_line_ends",
                "sign and send the same bytes; an editor or a text mode of the sender converts line ends",
            ),
            InvalidKind::BodyFinalNewline => (
                "body_final_newline",
                "sign and send the same bytes; `echo`, templates and editors add a newline",
            ),
            InvalidKind::BodyCharset => (
                "body_charset",
                "sign the bytes that are sent, after they are encoded",
            ),
            InvalidKind::BodyCompressed => (
                "body_compressed",
                "decompress the body before you verify it",
            ),
            InvalidKind::BodyDecompressed => (
                "body_decompressed",
                "verify the bytes as they were sent, before anything decompresses them",
            ),
            InvalidKind::BodyReserialized => (
                "body_reserialized",
                "sign and verify the raw bytes of the body; do not parse and write the JSON between",
            ),
            InvalidKind::Mismatch => (
                "mismatch",
                "most likely the secret is another one, or the body was changed; compare both with the sender's",
            ),
        }
    }
}
