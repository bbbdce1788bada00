//! The configuration file, and the settings it shares with the command line.
//!
//! [`Config::load`] reads `hookfire.toml` into endpoints, each with a target and a layer of [`Settings`]. Errors name the
//! file, the line and the nearest known key, and never quote a value, because it might be a secret. A missing file at the
//! default path is an empty configuration. `settings` says what the settings are; the command line's part is in
//! `cli::settings`.

mod settings;
mod signing;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use http::HeaderName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::delivery::target::{Param, Target};
use crate::event::{BodyFormat, ElementOrder};
use crate::secret::safe_url::{self, BaseUrl};
use crate::secret::{Secret, SecretSource, contains_reference, header_is_secret};
use crate::text;
use crate::time::{parse_duration, parse_timeout};
pub use settings::{SETTINGS, SettingSource, Settings};
use signing::SigningKeys;

/// The file that `config init` writes: every key, commented.
pub const TEMPLATE: &str = include_str!("template.toml");

#[derive(Debug, Default)]
pub struct Config {
    pub default_endpoint: Option<String>,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub portal: Option<Portal>,
    pub journal: JournalConfig,
    /// Problems that do not prevent its use.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct Endpoint {
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

/// Where the journal is, unless an option or variable says so.
#[derive(Debug, Default)]
pub struct JournalConfig {
    /// The URL of a database, without a password.
    pub url: Option<String>,
    pub password: Option<SecretSource>,
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
        /// The line of the file, counted from 1.
        line: usize,
        problem: String,
    },
}

const MAX_BYTES: u64 = 1 << 20;

const ROOT_KEYS: &str = "default_endpoint endpoints portal journal";
const CONNECTION_KEYS: &str = "timeout connect_timeout cacert cert key insecure proxy resolve";
const ENDPOINT_KEYS: &str = "url secrets params headers retry success active provider_actions events wire compat sign signing_secret";
const PORTAL_KEYS: &str = "url token parameter";
const JOURNAL_KEYS: &str = "url password";
const ENDPOINT_FORM: &str = "a table such as `[endpoints.staging]` with `url`";
const PORTAL_FORM: &str = "a table such as `[portal]` with `url` and `token`";
const JOURNAL_FORM: &str = "a table such as `[journal]` with `url` and `password`";
const PARAMS_FORM: &str = "a table such as `params = { tenant = \"acme\" }`";
const HEADERS_FORM: &str = "a table such as `headers = { X-Source = \"test\" }`";
const RETRY_FORM: &str = "a table such as `retry = { retries = 5, interval = \"60s\" }`";
const SECRETS_FORM: &str = "a table such as `secrets = { token = { env = \"HOOK_TOKEN\" } }`";
const SECRET_FORM: &str = "text, { env = \"VARIABLE\" } or { file = \"PATH\" }";

impl Config {
    /// Reads a file. One that does not exist is an empty configuration unless the user `named` it.
    pub fn load(path: &Path, named: bool) -> Result<Config, ConfigError> {
        let text = match text::read_text(path, MAX_BYTES) {
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
        let root = DeTable::parse(text).map_err(|e| file.syntax_error(&e))?;
        let mut config = Config::default();
        let mut default = None;
        for entry in file.entries(root.get_ref()) {
            match entry.name() {
                "default_endpoint" => default = Some(entry),
                "endpoints" => {
                    for entry in entry.entries(ENDPOINT_FORM)? {
                        let endpoint = entry.endpoint()?;
                        config.endpoints.insert(entry.name().to_owned(), endpoint);
                    }
                }
                "portal" => config.portal = Some(entry.portal()?),
                "journal" => config.journal = entry.journal()?,
                _ => return Err(entry.unknown(ROOT_KEYS)),
            }
        }
        if let Some(entry) = default {
            let name = entry.text()?;
            if !config.endpoints.contains_key(name) {
                let near = text::did_you_mean(name, config.endpoints.keys().map(String::as_str));
                let problem = format!("`default_endpoint` is not an endpoint of this file{near}");
                return Err(entry.error(problem));
            }
            config.default_endpoint = Some(name.to_owned());
        }
        Ok(config)
    }

    fn has_literal_secret(&self) -> bool {
        let tokens = self.portal.iter().flat_map(|portal| &portal.token);
        let tokens = tokens.chain(&self.journal.password);
        let endpoints = self.endpoints.values();
        let targets = endpoints.map(|endpoint| &endpoint.target);
        let signing = targets.clone().flat_map(|target| &target.signing);
        let mut secrets = tokens
            .chain(targets.flat_map(Target::secrets))
            .chain(signing.flat_map(|signing| &signing.secrets));
        secrets.any(|source| matches!(source, SecretSource::Literal(_)))
    }
}

#[derive(Clone, Copy)]
struct ConfigFile<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> ConfigFile<'a> {
    fn error(self, span: Range<usize>, problem: impl Into<String>) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        ConfigError::Content {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            problem: problem.into(),
        }
    }

    /// A TOML error without its excerpt of the file. Text without quotes is the most common one.
    fn syntax_error(self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let problem = match self.unquoted_value(span.start) {
            Some((key, "")) => format!("`{key}` has no value"),
            Some((key @ ("active" | "provider_actions" | "insecure"), _)) => {
                format!("`{key}` must be `true` or `false`")
            }
            Some(("retry", _)) => format!("`retry` must be {RETRY_FORM}"),
            Some((key, _)) => format!("the value of `{key}` needs quotes: `{key} = \"…\"`"),
            None => error.message().lines().take(1).collect(),
        };
        self.error(span, problem)
    }

    /// A key and its value, if that is missing or should have been in quotes, such as `timeout = 30s`.
    fn unquoted_value(self, offset: usize) -> Option<(&'a str, &'a str)> {
        let before = self.text.get(..offset)?;
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let equals = line_start + before[line_start..].rfind('=')?;
        let key = self.text[line_start..equals].trim_end();
        let key = key.rsplit([' ', '\t', '{', ',']).next()?;
        let value = self.text[equals + 1..].lines().next()?.trim();
        let is_unquoted = !value.starts_with(['"', '\'', '[', '{']);
        let is_key = !key.is_empty();
        (is_unquoted && is_key).then_some((key, value.split('#').next()?))
    }

    /// The folder at which relative paths start. Absolute, because the journal keeps references to secret files for
    /// later runs in other folders.
    fn folder(self) -> PathBuf {
        let path = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
        path.parent().unwrap_or(Path::new("")).to_owned()
    }

    fn entries(self, table: &'a DeTable<'a>) -> impl Iterator<Item = ConfigEntry<'a>> {
        table.iter().map(move |(key, value)| ConfigEntry {
            file: self,
            key,
            value,
        })
    }
}

/// A key and its value.
#[derive(Clone, Copy)]
struct ConfigEntry<'a> {
    file: ConfigFile<'a>,
    key: &'a Spanned<Cow<'a, str>>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> ConfigEntry<'a> {
    fn name(self) -> &'a str {
        self.key.get_ref()
    }

    fn error(self, problem: impl Into<String>) -> ConfigError {
        self.file.error(self.value.span(), problem)
    }

    fn key_error(self, problem: impl Into<String>) -> ConfigError {
        self.file.error(self.key.span(), problem)
    }

    /// `known` are the keys that may be there, separated by spaces.
    fn unknown(self, known: &str) -> ConfigError {
        let near = text::did_you_mean(self.name(), known.split(' '));
        self.key_error(format!("unknown key `{}`{near}", self.name()))
    }

    fn must_be(self, form: &str) -> ConfigError {
        self.error(format!("`{}` must be {form}", self.name()))
    }

    fn text(self) -> Result<&'a str, ConfigError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.must_be(match self.name() {
                "timeout" | "connect_timeout" | "interval" => "text in quotes, such as \"30s\"",
                "success" => "text in quotes, such as \"200-207\"",
                "events" => "a list of texts in quotes, such as `events = [\"account.*\"]`",
                _ => "text in quotes",
            })),
        }
    }

    fn parsed<T, E: fmt::Display>(
        self,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        parse(self.text()?).map_err(|e| self.error(e.to_string()))
    }

    fn boolean(self) -> Result<bool, ConfigError> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.must_be("`true` or `false`")),
        }
    }

    fn path(self) -> Result<PathBuf, ConfigError> {
        match self.text()? {
            "" => Err(self.error(format!("`{}` is empty", self.name()))),
            path => Ok(self.file.folder().join(path)),
        }
    }

    fn one_of<T: Copy>(self, all: &[T], name: fn(T) -> &'static str) -> Result<T, ConfigError> {
        let word = self.text()?;
        let value = all.iter().copied().find(|value| name(*value) == word);
        value.ok_or_else(|| {
            let names = text::listed(all.iter().map(|value| name(*value)));
            self.error(format!("`{word}` is not one of {names}"))
        })
    }

    fn entries(self, form: &str) -> Result<impl Iterator<Item = ConfigEntry<'a>>, ConfigError> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(self.file.entries(table)),
            _ => Err(self.must_be(form)),
        }
    }

    fn endpoint(self) -> Result<Endpoint, ConfigError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if self.name().is_empty() || !self.name().bytes().all(plain) {
            let problem = "an endpoint's name consists of letters, digits, `-`, `_` and `.`";
            return Err(self.key_error(problem));
        }
        let (mut url, mut settings) = (None, Settings::default());
        let mut signing = SigningKeys::default();
        let (mut secrets, mut params, mut headers) = (Vec::new(), Vec::new(), Vec::new());
        for entry in self.entries(ENDPOINT_FORM)? {
            match entry.name() {
                "url" => url = Some(entry.parsed(Target::from_url)?),
                "secrets" => {
                    for entry in entry.entries(SECRETS_FORM)? {
                        if entry.name().is_empty() {
                            return Err(entry.key_error("a secret of this endpoint has no name"));
                        }
                        secrets.push(Param::secret(entry.name(), entry.secret("secret ")?));
                    }
                }
                "params" => {
                    for entry in entry.entries(PARAMS_FORM)? {
                        let param = public_param(entry.name(), entry.text()?);
                        params.push(param.map_err(|e| entry.error(e))?);
                    }
                }
                "headers" => {
                    for entry in entry.entries(HEADERS_FORM)? {
                        let header = header(entry.name(), entry.secret_source()?);
                        headers.push(header.map_err(|e| entry.key_error(e))?);
                    }
                }
                "retry" => entry.retry(&mut settings)?,
                "success" => settings.success = Some(entry.parsed(str::parse)?),
                "active" => settings.active = Some(entry.boolean()?),
                "provider_actions" => settings.provider_actions = Some(entry.boolean()?),
                "events" => {
                    let DeValue::Array(values) = entry.value.get_ref() else {
                        return Err(entry.must_be("a list such as `events = [\"account.*\"]`"));
                    };
                    let entries = values.iter().map(|value| ConfigEntry { value, ..entry });
                    let patterns = entries.map(|entry| entry.parsed(str::parse));
                    settings.events = Some(patterns.collect::<Result<_, _>>()?);
                }
                "wire" => settings.wire = Some(entry.one_of(&BodyFormat::ALL, BodyFormat::as_str)?),
                "compat" => {
                    settings.compat = Some(entry.one_of(&ElementOrder::ALL, ElementOrder::as_str)?)
                }
                _ if entry.connection(&mut settings)? || signing.read(entry)? => {}
                _ => return Err(entry.unknown(&format!("{ENDPOINT_KEYS} {CONNECTION_KEYS}"))),
            }
        }
        let mut target = url.ok_or_else(|| self.key_error("missing key `url`"))?;
        for param in secrets.into_iter().chain(params) {
            target.set_param(param);
        }
        for header in headers {
            target.set_header(header);
        }
        target.signing = signing.signing()?;
        Ok(Endpoint { target, settings })
    }

    fn journal(self) -> Result<JournalConfig, ConfigError> {
        let mut journal = JournalConfig::default();
        for entry in self.entries(JOURNAL_FORM)? {
            match entry.name() {
                "url" => {
                    let url = entry.text()?;
                    if !url.contains("://") {
                        return Err(entry.must_be("the URL of a database, such as \"postgresql://ci@db.example.com/hooks\""));
                    }
                    let has_password = safe_url::has_password(url);
                    if has_password {
                        return Err(entry.error(
                            "the journal's `url` contains a password, which belongs in `password`",
                        ));
                    }
                    journal.url = Some(url.to_owned());
                }
                "password" => journal.password = Some(entry.secret("journal's ")?),
                _ => return Err(entry.unknown(JOURNAL_KEYS)),
            }
        }
        Ok(journal)
    }

    fn portal(self) -> Result<Portal, ConfigError> {
        let (mut url, mut settings) = (None, Settings::default());
        let (mut token, mut parameter) = (None, None);
        for entry in self.entries(PORTAL_FORM)? {
            match entry.name() {
                "url" => {
                    let target = entry.parsed(Target::from_url)?;
                    if !target.params.is_empty() {
                        let problem = "the portal's `url` must not have a query; the token belongs in `token`";
                        return Err(entry.error(problem));
                    }
                    url = Some(target.base);
                }
                "token" => token = Some(entry.secret("portal's ")?),
                "parameter" => {
                    let name = entry.text()?;
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                    if name.is_empty() || !name.bytes().all(plain) {
                        return Err(entry.must_be("a name such as access_token or provider_key"));
                    }
                    parameter = Some(name.to_owned());
                }
                _ if entry.connection(&mut settings)? => {}
                _ => return Err(entry.unknown(&format!("{PORTAL_KEYS} {CONNECTION_KEYS}"))),
            }
        }
        Ok(Portal {
            url: url.ok_or_else(|| self.key_error("missing key `url`"))?,
            settings,
            token,
            parameter,
        })
    }

    fn retry(self, settings: &mut Settings) -> Result<(), ConfigError> {
        for entry in self.entries(RETRY_FORM)? {
            match entry.name() {
                "retries" => {
                    let number = match entry.value.get_ref() {
                        DeValue::Integer(number) => number.as_str().parse().ok(),
                        _ => None,
                    };
                    let form = "a whole number from 0 to 4294967295";
                    settings.retries = Some(number.ok_or_else(|| entry.must_be(form))?);
                }
                "interval" => settings.retry_interval = Some(entry.parsed(parse_duration)?),
                "schedule" => settings.retry_schedule = Some(entry.parsed(str::parse)?),
                _ => return Err(entry.unknown("retries interval schedule")),
            }
        }
        let is_fixed = settings.retries.is_some() || settings.retry_interval.is_some();
        if settings.retry_schedule.is_some() && is_fixed {
            return Err(
                self.error("`schedule` replaces `retries` and `interval`; give one or the other")
            );
        }
        Ok(())
    }

    /// Reads a key that endpoints and the portal share; false for any other key.
    fn connection(self, settings: &mut Settings) -> Result<bool, ConfigError> {
        match self.name() {
            "timeout" => settings.timeout = Some(self.parsed(parse_timeout)?),
            "connect_timeout" => settings.connect_timeout = Some(self.parsed(parse_timeout)?),
            "cacert" => settings.cacert = Some(self.path()?),
            "cert" => settings.cert = Some(self.path()?),
            "key" => settings.key = Some(self.path()?),
            "insecure" => settings.insecure = Some(self.boolean()?),
            "proxy" => settings.proxy = Some(Secret::new(self.text()?)),
            "resolve" => {
                let DeValue::Array(values) = self.value.get_ref() else {
                    return Err(self.must_be(
                        "a list such as `resolve = [\"hooks.example.com:443:127.0.0.1\"]`",
                    ));
                };
                let entries = values.iter().map(|value| ConfigEntry { value, ..self });
                let all = entries.map(|entry| entry.parsed(str::parse));
                settings.resolve = Some(all.collect::<Result<_, _>>()?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn secret(self, owner: &str) -> Result<SecretSource, ConfigError> {
        match self.secret_source()? {
            SecretSource::Literal(value) if value.expose().is_empty() => {
                Err(self.error(format!("the {owner}`{}` is empty", self.name())))
            }
            source => Ok(source),
        }
    }

    /// `"literal"`, `{ env = "VAR" }` or `{ file = "PATH" }`.
    fn secret_source(self) -> Result<SecretSource, ConfigError> {
        let source = match self.value.get_ref() {
            DeValue::String(text) => SecretSource::parse(text)
                .map_err(|e| self.error(format!("`{}`: {e}", self.name())))?,
            DeValue::Table(table) if table.len() == 1 => {
                let entry = self.file.entries(table).next();
                let entry = entry.ok_or_else(|| self.must_be(SECRET_FORM))?;
                match entry.name() {
                    "env" | "file" if entry.text()?.is_empty() => {
                        return Err(entry.error(format!("`{}` is empty", entry.name())));
                    }
                    "env" => SecretSource::Env(entry.text()?.to_owned()),
                    "file" => SecretSource::File(entry.text()?.into()),
                    _ => return Err(entry.unknown("env file")),
                }
            }
            _ => return Err(self.must_be(SECRET_FORM)),
        };
        Ok(source.anchored(&self.file.folder()))
    }
}

/// A query parameter that is not secret. Refuses references, which would be sent as they are written.
pub fn public_param(name: &str, value: &str) -> Result<Param, String> {
    match SecretSource::parse(value) {
        Ok(SecretSource::Literal(value)) if !contains_reference(value.expose()) => {
            Ok(Param::public(name, value.expose()))
        }
        Ok(_) => Err(format!(
            "the value of parameter `{name}` is a reference, which only secret parameters accept"
        )),
        Err(e) => Err(format!("parameter `{name}`: {e}")),
    }
}

/// A request header. Its value is a secret if it is a reference or the name is known for credentials. Refuses names that
/// are not valid or that hookfire sets itself.
pub fn header(name: &str, source: SecretSource) -> Result<Param, String> {
    let is_host_header = name.eq_ignore_ascii_case("host");
    if let Some(error) = header_name_error(name).filter(|_| !is_host_header) {
        return Err(error);
    }
    if is_host_header && !is_host(&source) {
        return Err("the value of header `host` is not a host, with or without a port".to_owned());
    }
    match source {
        SecretSource::Literal(value) if contains_reference(value.expose()) => Err(format!(
            "the value of header `{name}` contains a reference; put the whole value into the variable, as in `@env:VARIABLE`"
        )),
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

/// Why a header cannot have this name.
fn header_name_error(name: &str) -> Option<String> {
    const OWN: &str = "webhook-id host content-length transfer-encoding connection expect";
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some("a header's name consists of letters, digits and `-`".to_owned());
    }
    let is_own = OWN.split(' ').any(|own| own.eq_ignore_ascii_case(name));
    is_own.then(|| format!("hookfire sets the header `{name}` itself"))
}

fn is_host(source: &SecretSource) -> bool {
    matches!(source, SecretSource::Literal(value) if BaseUrl::of_host(value.expose()).is_some())
}

fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
