//! The configuration file: TOML in, endpoints out.
//!
//! Errors name the file, the line and the word that was meant, and never quote a value: it might be a secret. A missing
//! file at the default place is an empty configuration. Nothing here knows flags or environment variables.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::delivery::retry_policy::StatusRanges;
use crate::delivery::switches::EventPattern;
use crate::delivery::target::{Param, Target, Value};
use crate::event::{BodyFormat, ElementOrder};
use crate::secret::{Secret, SecretSource, header_is_secret};
use crate::text;
use crate::time::{parse_duration, parse_timeout};

/// The file that `config init` writes: every key, commented.
pub const TEMPLATE: &str = include_str!("template.toml");

/// A configuration that was read and checked.
#[derive(Debug, Default)]
pub struct Config {
    /// The endpoint that commands use when none is named.
    pub default_endpoint: Option<String>,
    /// The endpoints, by name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The 3scale tenant whose API is asked.
    pub portal: Option<Portal>,
    /// What is allowed but unwise.
    pub warnings: Vec<String>,
}

/// A named target with what it sets of the rule and the connection.
#[derive(Debug)]
pub struct Endpoint {
    /// URL, parameters, headers.
    pub target: Target,
    /// `retry.retries`
    pub retries: Option<u32>,
    /// `retry.interval`
    pub retry_interval: Option<Duration>,
    /// `success`
    pub success: Option<StatusRanges>,
    /// `timeout`
    pub timeout: Option<Duration>,
    /// `connect_timeout`
    pub connect_timeout: Option<Duration>,
    /// `cacert`
    pub cacert: Option<PathBuf>,
    /// `cert`
    pub cert: Option<PathBuf>,
    /// `key`
    pub key: Option<PathBuf>,
    /// `insecure`
    pub insecure: Option<bool>,
    /// `proxy`
    pub proxy: Option<Secret>,
    /// `active`
    pub active: Option<bool>,
    /// `provider_actions`
    pub provider_actions: Option<bool>,
    /// `events`
    pub events: Option<Vec<EventPattern>>,
    /// `wire`
    pub wire: Option<BodyFormat>,
    /// `compat`
    pub compat: Option<ElementOrder>,
}

/// A 3scale tenant.
#[derive(Debug)]
pub struct Portal {
    /// Its URL and the connection to it; nothing else of an endpoint.
    pub endpoint: Endpoint,
    /// `token`
    pub token: Option<SecretSource>,
    /// `parameter`
    pub parameter: Option<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its content is wrong.
    #[error("{path}:{line}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    default_endpoint: Option<Spanned<String>>,
    #[serde(default)]
    endpoints: BTreeMap<Spanned<String>, RawEndpoint>,
    portal: Option<RawPortal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPortal {
    url: Spanned<String>,
    token: Option<RawSecret>,
    parameter: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    connect_timeout: Option<Spanned<String>>,
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    insecure: Option<bool>,
    proxy: Option<String>,
}

impl RawPortal {
    /// What it has in common with an endpoint.
    fn endpoint(self) -> RawEndpoint {
        let RawPortal {
            url,
            timeout,
            connect_timeout,
            cacert,
            cert,
            key,
            insecure,
            proxy,
            ..
        } = self;
        let (secrets, params, headers) = Default::default();
        let (retry, success) = Default::default();
        let (active, provider_actions, events, wire, compat) = Default::default();
        RawEndpoint {
            url,
            secrets,
            params,
            headers,
            retry,
            success,
            timeout,
            connect_timeout,
            cacert,
            cert,
            key,
            insecure,
            proxy,
            active,
            provider_actions,
            events,
            wire,
            compat,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEndpoint {
    url: Spanned<String>,
    #[serde(default)]
    secrets: BTreeMap<String, RawSecret>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, RawSecret>,
    #[serde(default)]
    retry: RawRetry,
    success: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    connect_timeout: Option<Spanned<String>>,
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    insecure: Option<bool>,
    proxy: Option<String>,
    active: Option<bool>,
    provider_actions: Option<bool>,
    events: Option<Vec<Spanned<String>>>,
    wire: Option<Spanned<String>>,
    compat: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetry {
    retries: Option<u32>,
    interval: Option<Spanned<String>>,
}

/// `"literal"`, `{ env = "VAR" }` or `{ file = "PATH" }`.
struct RawSecret(SecretSource);

impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawSecret, D::Error> {
        struct SecretVisitor;
        impl<'de> Visitor<'de> for SecretVisitor {
            type Value = RawSecret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, { env = \"VARIABLE\" } or { file = \"PATH\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawSecret, E> {
                Ok(RawSecret(SecretSource::parse(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawSecret, A::Error> {
                let source = match map.next_entry::<String, String>()? {
                    Some((key, name)) if key == "env" => SecretSource::Env(name),
                    Some((key, path)) if key == "file" => SecretSource::File(path.into()),
                    Some((key, _)) => return Err(de::Error::unknown_field(&key, &["env", "file"])),
                    None => return Err(de::Error::missing_field("env")),
                };
                match map.next_key::<String>()? {
                    None => Ok(RawSecret(source)),
                    Some(_) => Err(de::Error::custom(
                        "a secret has one source, either env or file",
                    )),
                }
            }
        }
        deserializer.deserialize_any(SecretVisitor)
    }
}

impl Config {
    /// Reads a file; one that does not exist is an empty configuration unless it was `named` by the user.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, named: bool) -> Result<Config, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !named => {
                return Ok(Config::default());
            }
            Err(source) => {
                return Err(ConfigError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let mut config = Config::parse(path, &text)?;
        if config.has_literal_secret() && readable_by_others(path) {
            config.warnings.push(format!(
                "`{}` holds a secret and others can read it; run `chmod 600 {}`",
                path.display(),
                text::shell_word(&path.to_string_lossy())
            ));
        }
        Ok(config)
    }

    /// Checks a file's text. Relative paths in it are taken from the file's folder.
    ///
    /// # Errors
    /// [`ConfigError::Content`].
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let at = Place { path, text };
        let raw: RawConfig = toml::from_str(text).map_err(|e| at.toml_error(&e))?;
        let mut endpoints = BTreeMap::new();
        for (name, endpoint) in raw.endpoints {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if name.get_ref().is_empty() || !name.get_ref().bytes().all(plain) {
                return Err(at.error(
                    name.span(),
                    "an endpoint's name is made of letters, digits, `-`, `_` and `.`",
                ));
            }
            endpoints.insert(name.into_inner(), at.endpoint(endpoint)?);
        }
        if let Some(name) = raw
            .default_endpoint
            .as_ref()
            .filter(|name| !endpoints.contains_key(name.get_ref()))
        {
            let known = endpoints.keys().map(String::as_str);
            let problem = format!(
                "`default_endpoint` names no endpoint of this file{}",
                meant(name.get_ref(), known)
            );
            return Err(at.error(name.span(), problem));
        }
        let default_endpoint = raw.default_endpoint.map(Spanned::into_inner);
        let portal = raw.portal.map(|portal| at.portal(portal)).transpose()?;
        Ok(Config {
            default_endpoint,
            endpoints,
            portal,
            warnings: Vec::new(),
        })
    }

    fn has_literal_secret(&self) -> bool {
        let token = self
            .portal
            .as_ref()
            .and_then(|portal| portal.token.as_ref());
        matches!(token, Some(SecretSource::Literal(_)))
            || self.endpoints.values().any(|endpoint| {
                let named = endpoint
                    .target
                    .params
                    .iter()
                    .chain(&endpoint.target.headers);
                named
                    .into_iter()
                    .any(|named| matches!(named.value, Value::Secret(SecretSource::Literal(_))))
            })
    }
}

/// A file's text, to tell lines in it.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn error(&self, span: Range<usize>, problem: impl Into<String>) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        ConfigError::Content {
            path: self.path.to_owned(),
            line,
            problem: problem.into(),
        }
    }

    /// TOML's own error without its excerpt of the file, and without the value it found.
    fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        let mut problem = without_value(error.message());
        if let Some((unknown, expected)) = unknown_field(error.message()) {
            problem = format!("unknown key `{unknown}`{}", meant(unknown, expected));
        }
        let span = error.span().unwrap_or(0..0);
        if error.message().starts_with("invalid type")
            && let Some(key) = self.key_before(span.start)
        {
            problem = format!("`{key}`: {problem}");
        }
        self.error(span, problem)
    }

    /// The key whose value begins here.
    fn key_before(&self, start: usize) -> Option<&str> {
        let before = self
            .text
            .get(..start)?
            .trim_end()
            .strip_suffix('=')?
            .trim_end();
        let key = before
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .next()?;
        (!key.is_empty()).then_some(key)
    }

    fn endpoint(&self, raw: RawEndpoint) -> Result<Endpoint, ConfigError> {
        // Absolute, since the reference is kept with each delivery and looked up by later runs elsewhere.
        let path = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut target = Target::from_url(raw.url.get_ref())
            .map_err(|e| self.error(raw.url.span(), e.to_string()))?;
        for (name, secret) in raw.secrets {
            if let Some(problem) = secret_problem(&name, &secret.0) {
                return Err(self.error(raw.url.span(), problem));
            }
            target.set_param(Param::secret(name, secret.0.anchored(folder)));
        }
        for (name, value) in raw.params {
            target.set_param(Param::public(name, value));
        }
        for (name, source) in raw.headers {
            let header = header(name.get_ref(), source.0.anchored(folder))
                .map_err(|e| self.error(name.span(), e))?;
            target.set_header(header);
        }
        Ok(Endpoint {
            target,
            retries: raw.retry.retries,
            retry_interval: self.parsed(raw.retry.interval, parse_duration)?,
            success: self.parsed(raw.success, str::parse)?,
            timeout: self.parsed(raw.timeout, parse_timeout)?,
            connect_timeout: self.parsed(raw.connect_timeout, parse_timeout)?,
            cacert: raw.cacert.map(|path| folder.join(path)),
            cert: raw.cert.map(|path| folder.join(path)),
            key: raw.key.map(|path| folder.join(path)),
            insecure: raw.insecure,
            proxy: raw.proxy.map(Secret::new),
            active: raw.active,
            provider_actions: raw.provider_actions,
            events: raw
                .events
                .map(|names| {
                    names
                        .into_iter()
                        .map(|name| self.read(&name, str::parse))
                        .collect()
                })
                .transpose()?,
            wire: self.parsed(raw.wire, |word| {
                one_of(word, BodyFormat::ALL.map(|wire| (wire.as_str(), wire)))
            })?,
            compat: self.parsed(raw.compat, |word| {
                one_of(
                    word,
                    ElementOrder::ALL.map(|compat| (compat.as_str(), compat)),
                )
            })?,
        })
    }

    fn portal(&self, mut raw: RawPortal) -> Result<Portal, ConfigError> {
        let (url, token) = (raw.url.span(), raw.token.take().map(|token| token.0));
        if let Some(problem) = token
            .as_ref()
            .and_then(|token| secret_problem("token", token))
        {
            return Err(self.error(
                url,
                problem.replace("a secret of this endpoint", "the portal's `token`"),
            ));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let parameter = raw.parameter.take();
        if let Some(name) = parameter
            .as_ref()
            .filter(|name| !name.get_ref().bytes().all(plain) || name.get_ref().is_empty())
        {
            return Err(self.error(
                name.span(),
                "`parameter` is a name such as access_token or provider_key",
            ));
        }
        let endpoint = self.endpoint(raw.endpoint())?;
        if !endpoint.target.params.is_empty() {
            return Err(self.error(
                url,
                "the portal's `url` has a query; what it asks for is given as `token`",
            ));
        }
        let path = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
        let token = token.map(|token| token.anchored(path.parent().unwrap_or(Path::new(""))));
        Ok(Portal {
            endpoint,
            token,
            parameter: parameter.map(Spanned::into_inner),
        })
    }

    fn parsed<T, E: fmt::Display>(
        &self,
        raw: Option<Spanned<String>>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        raw.map(|raw| self.read(&raw, parse)).transpose()
    }

    fn read<T, E: fmt::Display>(
        &self,
        raw: &Spanned<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        parse(raw.get_ref()).map_err(|e| self.error(raw.span(), e.to_string()))
    }
}

/// What a word of a fixed set stands for.
fn one_of<T: Copy, const N: usize>(word: &str, known: [(&str, T); N]) -> Result<T, String> {
    let found = known
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value);
    found.ok_or_else(|| {
        format!(
            "`{word}` is none of {}",
            text::listed(known.iter().map(|(name, _)| *name))
        )
    })
}

/// What makes a secret none; the flag `--secret` refuses the same.
fn secret_problem(name: &str, source: &SecretSource) -> Option<&'static str> {
    match source {
        _ if name.is_empty() => Some("a secret of this endpoint has no name"),
        SecretSource::Literal(value) if value.expose().is_empty() => {
            Some("a secret of this endpoint is empty")
        }
        SecretSource::Env(variable) if variable.is_empty() => {
            Some("a secret of this endpoint names no variable")
        }
        _ => None,
    }
}

/// A header from its name and value; its value is a secret if it is a reference, or if it looks like a credential.
///
/// # Errors
/// In words, when the name cannot be a header's, or is one that hookfire sets itself.
pub fn header(name: &str, source: SecretSource) -> Result<Param, String> {
    const OWN: [&str; 6] = [
        "webhook-id",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "expect",
    ];
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err("a header's name is made of letters, digits and `-`".to_owned());
    }
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(format!("hookfire sets the header `{name}` itself"));
    }
    match source {
        SecretSource::Literal(value) if !header_is_secret(name, value.expose()) => {
            if value.expose().chars().any(|c| c.is_control() && c != '\t') {
                return Err(format!(
                    "the header `{name}` has a control character in its value"
                ));
            }
            Ok(Param::public(name, value.expose()))
        }
        source => Ok(Param::secret(name, source)),
    }
}

fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut words = message.strip_prefix("unknown field `")?.split('`');
    let unknown = words.next()?;
    Some((unknown, words.skip(1).step_by(2).collect()))
}

fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match text::nearest(word, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", text::listed(known)),
    }
}

/// serde quotes the value it could not take: ``invalid type: integer `42`, expected …``.
fn without_value(message: &str) -> String {
    for wrong in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = message
            .strip_prefix(wrong)
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            let kind = found
                .split(['`', '"'])
                .next()
                .unwrap_or_default()
                .trim_end();
            let kind = if kind == "string" { "text" } else { kind };
            return format!("{wrong}{kind}, expected {expected}");
        }
    }
    message.lines().next().unwrap_or_default().to_owned()
}

fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
