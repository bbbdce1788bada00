//! The configuration file, and the settings it shares with the command line.
//!
//! [`Config::load`] reads `hookfire.toml` into endpoints, each with a target and a layer of [`Settings`]. Errors name the
//! file, the line and the nearest known key, and never quote a value, because it might be a secret. A missing file at the
//! default path is an empty configuration. `settings` says what the settings are; the command line's part is in
//! `cli::settings`.

mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::delivery::retry_policy::StatusRanges;
use crate::delivery::target::{Param, Target, Value};
use crate::event::{BodyFormat, ElementOrder};
use crate::secret::safe_url::BaseUrl;
use crate::secret::{Secret, SecretSource, header_is_secret};
use crate::text;
use crate::time::{TimeError, parse_duration, parse_timeout};
pub use settings::{SETTINGS, SettingSource, Settings};

/// The file that `config init` writes: every key, commented.
pub const TEMPLATE: &str = include_str!("template.toml");

#[derive(Debug, Default)]
pub struct Config {
    pub default_endpoint: Option<String>,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub portal: Option<Portal>,
    /// Problems that do not prevent its use.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct Endpoint {
    /// URL, parameters and headers.
    pub target: Target,
    pub settings: Settings,
}

/// The 3scale tenant whose API is called.
#[derive(Debug)]
pub struct Portal {
    pub url: BaseUrl,
    pub settings: Settings,
    pub token: Option<SecretSource>,
    /// The name of the query parameter that carries the token.
    pub parameter: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration `{path}`: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}:{line}: {problem}")]
    Content {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
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
#[serde(
    deny_unknown_fields,
    expecting = "a table such as `[portal]` with `url` and `token`"
)]
struct RawPortal {
    url: Spanned<String>,
    token: Option<Spanned<RawSecret>>,
    parameter: Option<Spanned<String>>,
    timeout: Option<Parsed<Timeout>>,
    connect_timeout: Option<Parsed<Timeout>>,
    cacert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    insecure: Option<bool>,
    proxy: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as `[endpoints.staging]` with `url`"
)]
struct RawEndpoint {
    url: Spanned<String>,
    #[serde(default)]
    secrets: BTreeMap<Spanned<String>, RawSecret>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, RawSecret>,
    #[serde(default)]
    retry: RawRetry,
    success: Option<Parsed<StatusRanges>>,
    timeout: Option<Parsed<Timeout>>,
    connect_timeout: Option<Parsed<Timeout>>,
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
#[serde(
    deny_unknown_fields,
    expecting = "a table such as `retry = { retries = 5, interval = \"60s\" }`"
)]
struct RawRetry {
    retries: Option<u32>,
    interval: Option<Parsed<Interval>>,
}

/// Text that is parsed while the file is read, so that errors have its place.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parsed<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Parsed).map_err(de::Error::custom)
    }
}

struct Interval(std::time::Duration);

impl FromStr for Interval {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Interval, Self::Err> {
        parse_duration(text).map(Interval)
    }
}

struct Timeout(std::time::Duration);

impl FromStr for Timeout {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Timeout, Self::Err> {
        parse_timeout(text).map(Timeout)
    }
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
                SecretSource::parse(text).map(RawSecret).map_err(E::custom)
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
    /// Reads a file. One that does not exist is an empty configuration unless the user `named` it.
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
                "`{}` contains a secret and other users can read it; run `chmod 600 {}`",
                path.display(),
                text::shell_word(&path.to_string_lossy())
            ));
        }
        Ok(config)
    }

    /// Reads a file's text. Relative paths in it start at the file's folder.
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let file = ConfigFile { path, text };
        let raw: RawConfig = toml::from_str(text).map_err(|e| file.toml_error(&e))?;
        let mut endpoints = BTreeMap::new();
        for (name, endpoint) in raw.endpoints {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if name.get_ref().is_empty() || !name.get_ref().bytes().all(plain) {
                return Err(file.error(
                    name.span(),
                    "an endpoint's name consists of letters, digits, `-`, `_` and `.`",
                ));
            }
            endpoints.insert(name.into_inner(), file.endpoint(endpoint)?);
        }
        if let Some(name) = raw
            .default_endpoint
            .as_ref()
            .filter(|name| !endpoints.contains_key(name.get_ref()))
        {
            let known = endpoints.keys().map(String::as_str);
            let problem = format!(
                "`default_endpoint` is not an endpoint of this file{}",
                did_you_mean(name.get_ref(), known)
            );
            return Err(file.error(name.span(), problem));
        }
        let default_endpoint = raw.default_endpoint.map(Spanned::into_inner);
        let portal = raw.portal.map(|portal| file.portal(portal)).transpose()?;
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

struct ConfigFile<'a> {
    path: &'a Path,
    text: &'a str,
}

impl ConfigFile<'_> {
    fn error(&self, span: Range<usize>, problem: impl Into<String>) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        ConfigError::Content {
            path: self.path.to_owned(),
            line,
            problem: problem.into(),
        }
    }

    /// A TOML error in hookfire's words, which never quote the value found.
    fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        let (message, span) = (error.message(), error.span().unwrap_or(0..0));
        let problem = if let Some((unknown, known)) = unknown_field(message) {
            format!("unknown key `{unknown}`{}", did_you_mean(unknown, known))
        } else if let Some(expected) = expected(message) {
            match self.key_before(span.start) {
                Some((key, _)) => format!("`{key}` must be {expected}"),
                None => format!("expected {expected}"),
            }
        } else if let Some(key) = self.unquoted_value(span.start) {
            format!("the value of `{key}` needs quotes: `{key} = \"…\"`")
        } else {
            let line = message.lines().next().unwrap_or_default();
            line.replace("missing field", "missing key")
        };
        self.error(span, problem)
    }

    /// The key that is assigned a value before this offset of its line, and the offset behind its `=`.
    fn key_before(&self, offset: usize) -> Option<(&str, usize)> {
        let before = self.text.get(..offset)?;
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let equals = line_start + before[line_start..].rfind('=')?;
        let key = self.text[line_start..equals]
            .trim_end()
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .next()?;
        (!key.is_empty()).then_some((key, equals + 1))
    }

    /// The key of a value that should have been in quotes, such as `timeout = 30s`.
    fn unquoted_value(&self, offset: usize) -> Option<&str> {
        let (key, value_start) = self.key_before(offset)?;
        let value = self.text[value_start..].lines().next()?.trim();
        let is_unquoted = !value.is_empty() && !value.starts_with(['"', '\'', '[', '{', '#']);
        is_unquoted.then_some(key)
    }

    fn endpoint(&self, raw: RawEndpoint) -> Result<Endpoint, ConfigError> {
        let folder = self.folder();
        let mut target = self.target(&raw.url)?;
        for (name, secret) in raw.secrets {
            if name.get_ref().is_empty() {
                return Err(self.error(name.span(), "a secret of this endpoint has no name"));
            }
            if let Some(problem) = secret_problem(&secret.0) {
                let problem = format!("the secret `{}` {problem}", name.get_ref());
                return Err(self.error(name.span(), problem));
            }
            target.set_param(Param::secret(name.into_inner(), secret.0.anchored(&folder)));
        }
        for (name, value) in raw.params {
            target.set_param(Param::public(name, value));
        }
        for (name, source) in raw.headers {
            let header = header(name.get_ref(), source.0.anchored(&folder))
                .map_err(|e| self.error(name.span(), e))?;
            target.set_header(header);
        }
        let mut events = None;
        if let Some(names) = raw.events {
            let patterns = names.iter().map(|name| self.read(name, str::parse));
            events = Some(patterns.collect::<Result<_, _>>()?);
        }
        let settings = Settings {
            retries: raw.retry.retries,
            retry_interval: raw.retry.interval.map(|interval| interval.0.0),
            success: raw.success.map(|success| success.0),
            timeout: raw.timeout.map(|timeout| timeout.0.0),
            connect_timeout: raw.connect_timeout.map(|timeout| timeout.0.0),
            cacert: raw.cacert.map(|path| folder.join(path)),
            cert: raw.cert.map(|path| folder.join(path)),
            key: raw.key.map(|path| folder.join(path)),
            insecure: raw.insecure,
            proxy: raw.proxy.map(Secret::new),
            wire: self.one_of(raw.wire, BodyFormat::ALL, BodyFormat::as_str)?,
            compat: self.one_of(raw.compat, ElementOrder::ALL, ElementOrder::as_str)?,
            active: raw.active,
            provider_actions: raw.provider_actions,
            events,
        };
        Ok(Endpoint { target, settings })
    }

    fn portal(&self, raw: RawPortal) -> Result<Portal, ConfigError> {
        let folder = self.folder();
        let target = self.target(&raw.url)?;
        if !target.params.is_empty() {
            let problem = "the portal's `url` must not have a query; the token belongs in `token`";
            return Err(self.error(raw.url.span(), problem));
        }
        let mut token = None;
        if let Some(raw) = raw.token {
            if let Some(problem) = secret_problem(&raw.get_ref().0) {
                return Err(self.error(raw.span(), format!("the portal's `token` {problem}")));
            }
            token = Some(raw.into_inner().0.anchored(&folder));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if let Some(name) = &raw.parameter
            && (name.get_ref().is_empty() || !name.get_ref().bytes().all(plain))
        {
            let problem = "`parameter` must be a name such as access_token or provider_key";
            return Err(self.error(name.span(), problem));
        }
        let settings = Settings {
            timeout: raw.timeout.map(|timeout| timeout.0.0),
            connect_timeout: raw.connect_timeout.map(|timeout| timeout.0.0),
            cacert: raw.cacert.map(|path| folder.join(path)),
            cert: raw.cert.map(|path| folder.join(path)),
            key: raw.key.map(|path| folder.join(path)),
            insecure: raw.insecure,
            proxy: raw.proxy.map(Secret::new),
            ..Settings::default()
        };
        Ok(Portal {
            url: target.base,
            settings,
            token,
            parameter: raw.parameter.map(Spanned::into_inner),
        })
    }

    /// The folder at which relative paths start. Absolute, because the journal keeps references to secret files for later
    /// runs in other folders.
    fn folder(&self) -> PathBuf {
        let path = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
        path.parent().unwrap_or(Path::new("")).to_owned()
    }

    fn target(&self, url: &Spanned<String>) -> Result<Target, ConfigError> {
        self.read(url, Target::from_url)
    }

    fn read<T, E: fmt::Display>(
        &self,
        raw: &Spanned<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        parse(raw.get_ref()).map_err(|e| self.error(raw.span(), e.to_string()))
    }

    fn one_of<T: Copy, const N: usize>(
        &self,
        raw: Option<Spanned<String>>,
        known: [T; N],
        name: fn(T) -> &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(raw) = raw else { return Ok(None) };
        let word = raw.get_ref();
        if let Some(found) = known.iter().find(|value| name(**value) == word) {
            return Ok(Some(*found));
        }
        let names = text::listed(known.map(name));
        Err(self.error(raw.span(), format!("`{word}` is not one of {names}")))
    }
}

/// Why a secret cannot be used, if so. `--secret` refuses the same.
fn secret_problem(source: &SecretSource) -> Option<&'static str> {
    match source {
        SecretSource::Literal(value) if value.expose().is_empty() => Some("is empty"),
        SecretSource::Env(variable) if variable.is_empty() => Some("names no variable"),
        _ => None,
    }
}

/// A request header. Its value is a secret if it is a reference or the name is known for credentials. Refuses names that
/// are not valid or that hookfire sets itself.
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
        return Err("a header's name consists of letters, digits and `-`".to_owned());
    }
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(format!("hookfire sets the header `{name}` itself"));
    }
    match source {
        SecretSource::Literal(value) if !header_is_secret(name, value.expose()) => {
            if value.expose().chars().any(|c| c.is_control() && c != '\t') {
                return Err(format!(
                    "the value of header `{name}` contains a control character"
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

fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match text::nearest(word, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", text::listed(known)),
    }
}

/// What should be in the place of a value of another type, from serde's
/// ``invalid type: integer `42`, expected a string``.
fn expected(message: &str) -> Option<&str> {
    if !message.starts_with("invalid type: ") && !message.starts_with("invalid value: ") {
        return None;
    }
    let (_, expected) = message.rsplit_once(", expected ")?;
    Some(match expected {
        "a string" | "path string" => "text in quotes",
        "a boolean" => "`true` or `false`",
        "a map" => "a table",
        "a sequence" => "a list in `[` and `]`",
        "u32" => "a whole number from 0 to 4294967295",
        other => other,
    })
}

fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
