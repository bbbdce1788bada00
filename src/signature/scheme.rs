//! Signature schemes as data, and what all of them have in common.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::invalid::{InvalidKind, InvalidSignature};
use super::payload::{PayloadTemplate, TemplatePart};
use super::{Key, SignedRequest};
use crate::text::{named_enum, nearest};

/// How requests are signed: with HMAC over the body and, in most schemes, a timestamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    pub(super) name: &'static str,
    /// The header that carries the signature.
    pub(super) header: Cow<'static, str>,
    pub(super) layout: Layout,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    pub(super) timestamp_header: Option<Cow<'static, str>>,
    pub(super) payload: PayloadTemplate,
    /// Whether base64 follows `whsec_` in a secret. Otherwise the secret is used as it is.
    pub(super) decodes_secrets: bool,
}

/// How the header's value is composed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Layout {
    /// One signature after a prefix, such as `sha256=`.
    Single { prefix: Cow<'static, str> },
    /// `v1,SIGNATURE v1,SIGNATURE`: separated by spaces; other versions are ignored.
    List,
    /// Parameters separated by commas: `t=TIMESTAMP,v1=SIGNATURE,v1=SIGNATURE`.
    Pairs,
}

named_enum! {
    /// The hash function of the HMAC.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Algorithm {
        Sha256 = "sha256",
        Sha1 = "sha1",
        Sha512 = "sha512",
    }
}

named_enum! {
    /// How a signature is written.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Encoding {
        Hex = "hex",
        Base64 = "base64",
    }
}

/// Identifies a delivery over all its attempts.
pub const ID_HEADER: &str = "webhook-id";

static BUILT_IN: [Scheme; 5] = [
    Scheme {
        name: "standard",
        header: Cow::Borrowed("webhook-signature"),
        layout: Layout::List,
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Base64,
        timestamp_header: Some(Cow::Borrowed("webhook-timestamp")),
        payload: PayloadTemplate::known("{id}.{timestamp}.{body}"),
        decodes_secrets: true,
    },
    Scheme {
        name: "github",
        header: Cow::Borrowed("X-Hub-Signature-256"),
        layout: Layout::Single {
            prefix: Cow::Borrowed("sha256="),
        },
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        timestamp_header: None,
        payload: PayloadTemplate::known("{body}"),
        decodes_secrets: false,
    },
    Scheme {
        name: "stripe",
        header: Cow::Borrowed("Stripe-Signature"),
        layout: Layout::Pairs,
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        timestamp_header: None,
        payload: PayloadTemplate::known("{timestamp}.{body}"),
        decodes_secrets: false,
    },
    Scheme {
        name: "slack",
        header: Cow::Borrowed("X-Slack-Signature"),
        layout: Layout::Single {
            prefix: Cow::Borrowed("v0="),
        },
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        timestamp_header: Some(Cow::Borrowed("X-Slack-Request-Timestamp")),
        payload: PayloadTemplate::known("v0:{timestamp}:{body}"),
        decodes_secrets: false,
    },
    Scheme {
        name: "shopify",
        header: Cow::Borrowed("X-Shopify-Hmac-Sha256"),
        layout: Layout::Single {
            prefix: Cow::Borrowed(""),
        },
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Base64,
        timestamp_header: None,
        payload: PayloadTemplate::known("{body}"),
        decodes_secrets: false,
    },
];

/// A name that is neither that of a built-in scheme nor one of the configuration.
#[derive(Debug, thiserror::Error)]
#[error("unknown signature scheme `{name}`{}; known: {}", suggestion(.name), Scheme::NAMES.join(", "))]
pub struct SchemeError {
    name: String,
}

fn suggestion(name: &str) -> String {
    nearest(&name.to_ascii_lowercase(), Scheme::NAMES)
        .map_or(String::new(), |near| format!(" (did you mean `{near}`?)"))
}

impl std::str::FromStr for &'static Scheme {
    type Err = SchemeError;

    fn from_str(name: &str) -> Result<&'static Scheme, SchemeError> {
        let named = BUILT_IN.iter().find(|scheme| scheme.name == name);
        named.ok_or_else(|| SchemeError {
            name: name.to_owned(),
        })
    }
}

/// The values of a request's signature headers.
pub(super) struct SignatureHeaders<'a> {
    pub id: &'a [u8],
    /// As written, because that is signed. Empty if the scheme has none.
    pub timestamp: &'a str,
    /// As written. More than one if the sender is changing its secret.
    pub signatures: Vec<&'a str>,
}

impl Scheme {
    pub const NAMES: [&'static str; 5] = ["standard", "github", "stripe", "slack", "shopify"];

    /// The name of schemes that the configuration describes.
    pub(super) const CUSTOM: &'static str = "custom";

    pub(super) fn known() -> &'static [Scheme] {
        &BUILT_IN
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The scheme whose signature header the request has.
    pub fn detect(headers: &[(&str, &[u8])]) -> Option<&'static Scheme> {
        let has = |name: &str| {
            headers
                .iter()
                .any(|(given, _)| given.eq_ignore_ascii_case(name))
        };
        BUILT_IN.iter().find(|scheme| has(&scheme.header))
    }

    pub(super) fn has_timestamp(&self) -> bool {
        self.payload.contains(TemplatePart::Timestamp)
    }

    /// Reads the headers of the scheme; each may occur once.
    pub(super) fn read_headers<'a>(
        &self,
        request: &SignedRequest<'a>,
    ) -> Result<SignatureHeaders<'a>, InvalidSignature> {
        let value = match self.header_value(request, &self.header) {
            Ok(value) => value,
            Err(fault) => return Err(self.other_scheme(request).unwrap_or(fault)),
        };
        let mut given = SignatureHeaders {
            id: b"",
            timestamp: "",
            signatures: Vec::new(),
        };
        match &self.layout {
            Layout::Single { prefix } => given.signatures.extend(value.strip_prefix(&**prefix)),
            Layout::List => given.signatures.extend(
                value
                    .split_ascii_whitespace()
                    .filter_map(|part| part.strip_prefix("v1,")),
            ),
            Layout::Pairs => {
                for (name, value) in value.split(',').filter_map(|pair| pair.split_once('=')) {
                    match name.trim() {
                        "t" => given.timestamp = value.trim(),
                        "v1" => given.signatures.push(value.trim()),
                        _ => {}
                    }
                }
            }
        }
        if let Some(header) = &self.timestamp_header {
            given.timestamp = self.header_value(request, header)?;
        }
        if self.payload.contains(TemplatePart::Id) {
            given.id = self.header_value(request, ID_HEADER)?.as_bytes();
        }
        // A signature in the other encoding is explained like one that does not match.
        let mut written = given.signatures.iter();
        if !written.any(|text| self.is_tag(text)) {
            let (header, form) = (&self.header, self.form());
            let detail = format!("the header `{header}` does not have the form {form}");
            return Err(InvalidSignature::new(
                InvalidKind::MalformedSignature,
                detail,
            ));
        }
        if self.has_timestamp() && timestamp_seconds(given.timestamp).is_none() {
            let place = self.timestamp_header.as_ref().unwrap_or(&self.header);
            return Err(InvalidSignature::new(
                InvalidKind::MalformedTimestamp,
                format!("the header `{place}` has no timestamp in seconds since 1970"),
            ));
        }
        Ok(given)
    }

    fn header_value<'a>(
        &self,
        request: &SignedRequest<'a>,
        name: &str,
    ) -> Result<&'a str, InvalidSignature> {
        let mut values = request.values(name);
        let (first, second) = (values.next(), values.next());
        let Some(value) = first else {
            let detail = format!("the request has no header `{name}`");
            return Err(InvalidSignature::new(InvalidKind::MissingHeader, detail));
        };
        if second.is_some() {
            let detail = format!("the request has more than one header `{name}`");
            return Err(InvalidSignature::new(InvalidKind::RepeatedHeader, detail));
        }
        std::str::from_utf8(value).map_err(|_| {
            let detail = format!("the header `{name}` is not text");
            InvalidSignature::new(InvalidKind::MalformedSignature, detail)
        })
    }

    fn other_scheme(&self, request: &SignedRequest<'_>) -> Option<InvalidSignature> {
        let other = Scheme::detect(request.headers).filter(|other| *other != self)?;
        Some(InvalidSignature::new(
            InvalidKind::OtherScheme,
            format!(
                "the request has no header `{}`, but `{}` of the scheme {}",
                self.header, other.header, other.name
            ),
        ))
    }

    /// Whether the key made one of the signatures, for this body.
    pub(super) fn matches(&self, key: &Key, given: &SignatureHeaders<'_>, body: &[u8]) -> bool {
        self.matches_as(&self.payload, self.encoding, key, given, body)
    }

    pub(super) fn matches_as(
        &self,
        payload: &PayloadTemplate,
        encoding: Encoding,
        key: &Key,
        given: &SignatureHeaders<'_>,
        body: &[u8],
    ) -> bool {
        let tag = self.tag(payload, key, given.id, given.timestamp, body);
        let mut tags = given
            .signatures
            .iter()
            .filter_map(|text| encoding.decode(text));
        tags.any(|given| given.ct_eq(tag.as_ref()).into())
    }

    pub(super) fn tag(
        &self,
        payload: &PayloadTemplate,
        key: &Key,
        id: &[u8],
        timestamp: &str,
        body: &[u8],
    ) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(self.algorithm.hmac(), &key.0));
        for part in payload.parts() {
            context.update(match part {
                TemplatePart::Text(text) => text.as_bytes(),
                TemplatePart::Id => id,
                TemplatePart::Timestamp => timestamp.as_bytes(),
                TemplatePart::Body => body,
            });
        }
        context.sign()
    }

    /// Whether this may be a signature in any encoding, by its length.
    fn is_tag(&self, text: &str) -> bool {
        let length = self.algorithm.hmac().digest_algorithm().output_len();
        let is_long = |tag: Vec<u8>| tag.len() == length;
        let mut encodings = Encoding::ALL.into_iter();
        encodings.any(|encoding| encoding.decode(text).is_some_and(is_long))
    }

    /// How the header must look, for messages: `v1,BASE64`.
    fn form(&self) -> String {
        let signature = match self.encoding {
            Encoding::Hex => "HEX",
            Encoding::Base64 => "BASE64",
        };
        match &self.layout {
            Layout::Single { prefix } => format!("`{prefix}{signature}`"),
            Layout::List => format!("`v1,{signature}`"),
            Layout::Pairs => format!("`t=SECONDS,v1={signature}`"),
        }
    }
}

pub(super) fn timestamp_seconds(text: &str) -> Option<i64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

impl Algorithm {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl Encoding {
    pub(super) fn other(self) -> Encoding {
        match self {
            Encoding::Hex => Encoding::Base64,
            Encoding::Base64 => Encoding::Hex,
        }
    }

    /// The name of the encoding in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Encoding::Hex => "hexadecimal",
            Encoding::Base64 => "base64",
        }
    }

    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Encoding::Base64 => STANDARD.decode(text).ok(),
            Encoding::Hex => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let pair = |pair: &[u8]| {
                    let [high, low] = pair else { return None };
                    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
                };
                text.as_bytes().chunks(2).map(pair).collect()
            }
        }
    }
}
