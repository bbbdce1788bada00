//! Schemes that the configuration describes, and how the journal stores a scheme.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::payload::{PayloadError, PayloadTemplate, TemplatePart};
use super::scheme::{Algorithm, Encoding, Layout, Scheme};

/// A scheme with one signature in one header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomScheme {
    /// The header that carries the signature.
    pub header: String,
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    /// Before the signature, such as `sha256=`.
    pub prefix: String,
    /// The signed content, with `{id}`, `{timestamp}` and `{body}`.
    pub payload: String,
    /// Carries the timestamp, in seconds since 1970.
    pub timestamp_header: Option<String>,
}

impl Default for CustomScheme {
    fn default() -> CustomScheme {
        CustomScheme {
            header: String::new(),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: String::new(),
            payload: "{body}".to_owned(),
            timestamp_header: None,
        }
    }
}

/// Why a description is not a scheme.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CustomSchemeError {
    #[error(transparent)]
    PayloadTemplate(#[from] PayloadError),
    #[error("`header` names no header for the signature")]
    NoHeader,
    #[error(
        "`payload` contains `{{timestamp}}`, so `timestamp_header` must name the header that carries it"
    )]
    NoTimestampHeader,
    #[error("`timestamp_header` needs `{{timestamp}}` in `payload`; otherwise nothing protects it")]
    UnsignedTimestamp,
    #[error("`header` and `timestamp_header` are the same")]
    SameHeader,
    #[error("`prefix` must be visible ASCII characters, because it is part of a header")]
    Prefix,
}

impl TryFrom<CustomScheme> for Scheme {
    type Error = CustomSchemeError;

    /// Does not check the names of headers.
    fn try_from(custom: CustomScheme) -> Result<Scheme, CustomSchemeError> {
        let payload = PayloadTemplate::parse(custom.payload)?;
        if custom.header.is_empty() {
            return Err(CustomSchemeError::NoHeader);
        }
        let signs_timestamp = payload.contains(TemplatePart::Timestamp);
        match &custom.timestamp_header {
            Some(name) if name.eq_ignore_ascii_case(&custom.header) => {
                return Err(CustomSchemeError::SameHeader);
            }
            Some(_) if !signs_timestamp => return Err(CustomSchemeError::UnsignedTimestamp),
            None if signs_timestamp => return Err(CustomSchemeError::NoTimestampHeader),
            _ => {}
        }
        if !custom.prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CustomSchemeError::Prefix);
        }
        Ok(Scheme {
            name: Scheme::CUSTOM,
            header: custom.header.into(),
            layout: Layout::Single {
                prefix: custom.prefix.into(),
            },
            algorithm: custom.algorithm,
            encoding: custom.encoding,
            timestamp_header: custom.timestamp_header.map(Into::into),
            payload,
            decodes_secrets: false,
        })
    }
}

/// A known scheme by its name, any other by its description.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredScheme {
    Known(String),
    Custom(CustomScheme),
}

impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match &self.layout {
            Layout::Single { prefix } if self.name == Scheme::CUSTOM => {
                StoredScheme::Custom(CustomScheme {
                    header: self.header.to_string(),
                    algorithm: self.algorithm,
                    encoding: self.encoding,
                    prefix: prefix.to_string(),
                    payload: self.payload.as_str().to_owned(),
                    timestamp_header: self.timestamp_header.as_ref().map(ToString::to_string),
                })
            }
            _ => StoredScheme::Known(self.name.to_owned()),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scheme, D::Error> {
        match StoredScheme::deserialize(deserializer)? {
            StoredScheme::Known(name) => {
                let known: &'static Scheme = name.parse().map_err(D::Error::custom)?;
                Ok(known.clone())
            }
            StoredScheme::Custom(custom) => Scheme::try_from(custom).map_err(D::Error::custom),
        }
    }
}
