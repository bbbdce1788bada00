//! The keys `sign` and `signing_secret` of an endpoint.

use toml::de::DeValue;

use super::{ConfigEntry, ConfigError, header_name_error};
use crate::delivery::signing::Signing;
use crate::secret::SecretSource;
use crate::signature::{Algorithm, CustomScheme, Encoding, Scheme};

const SIGN_FORM: &str = "the name of a scheme or a table such as `sign = { header = \"X-Signature\", payload = \"{body}\" }`";
const SIGN_KEYS: &str = "header algorithm encoding prefix payload timestamp_header";

/// What an endpoint says about signatures.
#[derive(Default)]
pub(super) struct SigningKeys<'a> {
    scheme: Option<Scheme>,
    /// With its entry, to report that it is of no use.
    secrets: Option<(ConfigEntry<'a>, Vec<SecretSource>)>,
}

impl<'a> SigningKeys<'a> {
    /// Reads a key about signatures; false for any other key.
    pub fn read(&mut self, entry: ConfigEntry<'a>) -> Result<bool, ConfigError> {
        match entry.name() {
            "sign" => self.scheme = Some(scheme(entry)?),
            "signing_secret" => self.secrets = Some((entry, secrets(entry)?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub fn signing(self) -> Result<Option<Signing>, ConfigError> {
        match (self.scheme, self.secrets) {
            (None, None) => Ok(None),
            (None, Some((entry, _))) => Err(entry.key_error(
                "`signing_secret` needs `sign`, which names the scheme of the signature",
            )),
            (Some(scheme), secrets) => Ok(Some(Signing {
                scheme,
                secrets: secrets.map_or(Vec::new(), |(_, secrets)| secrets),
            })),
        }
    }
}

fn scheme(entry: ConfigEntry<'_>) -> Result<Scheme, ConfigError> {
    match entry.value.get_ref() {
        DeValue::String(_) => {
            let known: &'static Scheme = entry.parsed(str::parse)?;
            Ok(known.clone())
        }
        DeValue::Table(_) => custom(entry),
        _ => Err(entry.must_be(SIGN_FORM)),
    }
}

fn custom(entry: ConfigEntry<'_>) -> Result<Scheme, ConfigError> {
    let mut custom = CustomScheme::default();
    for entry in entry.entries(SIGN_FORM)? {
        match entry.name() {
            "header" => custom.header = header(entry)?,
            "timestamp_header" => custom.timestamp_header = Some(header(entry)?),
            "algorithm" => custom.algorithm = entry.one_of(&Algorithm::ALL, Algorithm::as_str)?,
            "encoding" => custom.encoding = entry.one_of(&Encoding::ALL, Encoding::as_str)?,
            "prefix" => custom.prefix = entry.text()?.to_owned(),
            "payload" => custom.payload = entry.text()?.to_owned(),
            _ => return Err(entry.unknown(SIGN_KEYS)),
        }
    }
    Scheme::try_from(custom).map_err(|e| entry.error(e.to_string()))
}

fn header(entry: ConfigEntry<'_>) -> Result<String, ConfigError> {
    let name = entry.text()?;
    match header_name_error(name) {
        Some(error) => Err(entry.error(error)),
        None => Ok(name.to_owned()),
    }
}

/// One secret or a list of them.
fn secrets(entry: ConfigEntry<'_>) -> Result<Vec<SecretSource>, ConfigError> {
    let DeValue::Array(values) = entry.value.get_ref() else {
        return Ok(vec![entry.secret("secret ")?]);
    };
    if values.is_empty() {
        return Err(entry.error("`signing_secret` is an empty list"));
    }
    let entries = values.iter().map(|value| ConfigEntry { value, ..entry });
    entries.map(|entry| entry.secret("secret ")).collect()
}
