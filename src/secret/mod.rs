//! Secrets: values that are used but never shown.
//!
//! A [`Secret`] cannot be printed. A [`SecretSource`] says where one comes from, and is all that the journal stores. A
//! [`Redactor`] masks known secrets in text from outside.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::text::{nearest, read_text};

mod redactor;
pub mod safe_url;
pub use redactor::Redactor;

/// The size of a file with a secret. A stored reference may name a file without an end, such as `/dev/zero`.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Shown in place of a secret.
pub const MASK: &str = "***";

/// A secret value, without `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value, to be sent, or found in text that must not contain it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time, except for the length.
    pub fn is(&self, given: &[u8]) -> bool {
        given.ct_eq(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Where a secret comes from. Stored as its reference, or null without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Option<String>", from = "Option<String>")]
pub enum SecretSource {
    /// The value itself. Only that there was one is stored.
    Literal(Secret),
    /// An environment variable, by name.
    Env(String),
    /// A file, by path. One trailing newline is not part of the secret.
    File(PathBuf),
    /// A literal value of an earlier run, which was not stored.
    NotStored,
    /// A reference in a journal that belongs to another user, who must not choose which files and variables are read.
    Untrusted(String),
}

impl From<SecretSource> for Option<String> {
    fn from(source: SecretSource) -> Option<String> {
        source.reference()
    }
}

impl From<Option<String>> for SecretSource {
    fn from(reference: Option<String>) -> SecretSource {
        let source = reference.and_then(|reference| SecretSource::parse(&reference).ok());
        source.unwrap_or(SecretSource::NotStored)
    }
}

/// Why a secret cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable `{0}` is not set, or is empty")]
    Env(String),
    #[error("the environment variable `{0}` is not UTF-8")]
    EnvText(String),
    #[error("cannot read the file `{0}`: {1}")]
    File(PathBuf, io::Error),
    #[error("its value contains a control character, which a header cannot")]
    Control,
    #[error("none is given")]
    NotGiven,
    #[error("it starts with `whsec_`, but no base64 follows")]
    NotBase64,
    #[error("its value was given literally, and values are never stored")]
    NotStored,
    #[error(
        "the journal belongs to another user, and the configuration does not name `{0}` for this endpoint"
    )]
    Untrusted(String),
}

/// A value that starts like a reference, such as `@evn:TOKEN` or `@env:`. It is not shown, because it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReference {
    #[error("the value starts like a reference, but is neither `@env:VARIABLE` nor `@file:PATH`{}; write `@@` for a value that starts with `@`", suggestion(*.near))]
    Unknown { near: Option<&'static str> },
    #[error("`@env:` names no variable; write `@env:VARIABLE`")]
    NoVariable,
    #[error("`@file:` names no file; write `@file:PATH`")]
    NoFile,
}

fn suggestion(near: Option<&str>) -> String {
    near.map_or(String::new(), |near| format!(" (did you mean `@{near}:`?)"))
}

/// How secrets are looked up: the process's environment, or a test's.
pub trait Variables {
    fn var(&self, name: &str) -> Option<std::ffi::OsString>;
}

impl SecretSource {
    /// Parses `@env:VAR`, `@file:PATH` or a literal value, in which `@@` at the start stands for `@`.
    pub fn parse(text: &str) -> Result<SecretSource, InvalidReference> {
        let Some(rest) = text.strip_prefix('@') else {
            return Ok(SecretSource::Literal(Secret::new(text)));
        };
        match rest.split_once(':') {
            Some(("env", "")) => Err(InvalidReference::NoVariable),
            Some(("file", "")) => Err(InvalidReference::NoFile),
            Some(("env", name)) => Ok(SecretSource::Env(name.to_owned())),
            Some(("file", path)) => Ok(SecretSource::File(PathBuf::from(path))),
            Some((word, _))
                if word.bytes().all(|b| b.is_ascii_alphabetic()) && !word.is_empty() =>
            {
                let near = nearest(&word.to_ascii_lowercase(), ["env", "file"]);
                Err(InvalidReference::Unknown { near })
            }
            _ if rest.starts_with('@') => Ok(SecretSource::Literal(Secret::new(rest))),
            _ => Ok(SecretSource::Literal(Secret::new(text))),
        }
    }

    /// `@env:VAR` or `@file:PATH`, which may be stored and shown; none for a literal value.
    pub fn reference(&self) -> Option<String> {
        match self {
            SecretSource::Env(name) => Some(format!("@env:{name}")),
            SecretSource::File(path) => Some(format!("@file:{}", path.display())),
            SecretSource::Untrusted(reference) => Some(reference.clone()),
            SecretSource::Literal(_) | SecretSource::NotStored => None,
        }
    }

    /// Marks the reference as written by someone else, so that it is not looked up.
    pub fn distrust(&mut self) {
        if let Some(reference) = self.reference() {
            *self = SecretSource::Untrusted(reference);
        }
    }

    /// With a relative file made absolute from `folder`, so that a later run in another directory finds it.
    #[must_use]
    pub fn anchored(self, folder: &Path) -> SecretSource {
        match self {
            SecretSource::File(path) => SecretSource::File(folder.join(path)),
            other => other,
        }
    }

    pub fn resolve(&self, variables: &dyn Variables) -> Result<Secret, SecretError> {
        match self {
            SecretSource::Literal(secret) => Ok(secret.clone()),
            SecretSource::NotStored => Err(SecretError::NotStored),
            SecretSource::Untrusted(reference) => Err(SecretError::Untrusted(reference.clone())),
            SecretSource::Env(name) => {
                let value = variables.var(name).filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| SecretError::Env(name.clone()))?;
                let text = value.into_string();
                text.map(Secret)
                    .map_err(|_| SecretError::EnvText(name.clone()))
            }
            SecretSource::File(path) => {
                read_secret_file(path).map_err(|e| SecretError::File(path.clone(), e))
            }
        }
    }
}

fn read_secret_file(path: &Path) -> io::Result<Secret> {
    let text = read_text(path, MAX_FILE_BYTES)?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok(Secret::new(value))
}

/// Whether a literal value contains a reference after its start. To send it as it is would be a mistake.
pub fn contains_reference(value: &str) -> bool {
    ["@env:", "@file:"]
        .into_iter()
        .any(|start| value.rfind(start) > Some(0))
}

/// Whether the header's name or value looks like a credential, so that its value is treated as a secret. A signature is not
/// one: it is valid for one body only.
pub fn header_is_secret(name: &str, value: &str) -> bool {
    const NAMES: &str =
        "auth token secret key cookie password passwd credential session jwt bearer";
    const SCHEMES: [&str; 4] = ["basic ", "bearer ", "digest ", "token "];
    let (name, value) = (name.to_ascii_lowercase(), value.to_ascii_lowercase());
    let is_named = NAMES.split(' ').any(|part| name.contains(part));
    is_named && !name.contains("signature")
        || SCHEMES.iter().any(|scheme| value.starts_with(scheme))
}

/// The secrets within a header's value: the token after `Bearer ` or `Basic `, and the password in a basic token.
pub fn credentials_in_header(value: &Secret) -> Vec<Secret> {
    let Some((scheme, token)) = value.expose().split_once(' ') else {
        return Vec::new();
    };
    let mut found = vec![Secret::new(token)];
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(decoded) = STANDARD.decode(token.trim())
        && let Ok(pair) = String::from_utf8(decoded)
    {
        let password = pair
            .split_once(':')
            .map_or(&*pair, |(_, password)| password);
        found.push(Secret::new(password));
    }
    found
}

#[cfg(test)]
pub struct TestVariables(pub &'static [(&'static str, &'static str)]);

#[cfg(test)]
impl Variables for TestVariables {
    fn var(&self, name: &str) -> Option<std::ffi::OsString> {
        let (_, value) = self.0.iter().find(|(given, _)| *given == name)?;
        Some(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let source = SecretSource::parse("hunter2").unwrap();
        assert_eq!(format!("{source:?}"), "Literal(***)");
        assert_eq!(source.reference(), None);
    }

    #[test]
    fn unknown_references_are_refused_with_a_suggestion() {
        for (text, suggestion) in [
            ("@evn:CANARY", "did you mean `@env:`?"),
            ("@Env:CANARY", "did you mean `@env:`?"),
            ("@flie:CANARY", "did you mean `@file:`?"),
            ("@vault:CANARY", "write `@@`"),
        ] {
            let error = SecretSource::parse(text).unwrap_err().to_string();
            assert!(error.contains(suggestion), "{error}");
            assert!(
                !error.contains("CANARY") && !error.contains("vault"),
                "{error}"
            );
        }
        for (text, value) in [
            ("@@evn:x", "@evn:x"),
            ("@@", "@"),
            ("@x", "@x"),
            ("@", "@"),
            ("@a b:c", "@a b:c"),
            ("a@env:x", "a@env:x"),
        ] {
            let source = SecretSource::parse(text).unwrap();
            assert_eq!(source, SecretSource::Literal(Secret::new(value)));
        }
    }

    #[test]
    fn secret_equals_only_its_value() {
        let secret = Secret::new("hunter2");
        assert!(secret.is(b"hunter2"));
        for other in [&b"hunter3"[..], b"hunter", b"hunter22", b"", b"Hunter2"] {
            assert!(!secret.is(other));
        }
    }

    #[test]
    fn references_are_resolved_each_time() {
        let source = SecretSource::parse("@env:TOKEN").unwrap();
        assert_eq!(source.reference().as_deref(), Some("@env:TOKEN"));
        let found = source.resolve(&TestVariables(&[("TOKEN", "abc")]));
        assert_eq!(found.unwrap().expose(), "abc");
        for variables in [&[][..], &[("TOKEN", "")]] {
            assert_eq!(
                source
                    .resolve(&TestVariables(variables))
                    .unwrap_err()
                    .to_string(),
                "the environment variable `TOKEN` is not set, or is empty"
            );
        }
    }

    #[test]
    fn secret_file_is_short_text_without_its_final_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for (content, expected) in [
            ("abc\n", "abc"),
            ("abc", "abc"),
            ("abc\r\n", "abc"),
            ("a b \n\n", "a b \n"),
        ] {
            std::fs::write(&path, content).unwrap();
            let source = SecretSource::parse("@file:token")
                .unwrap()
                .anchored(dir.path());
            assert_eq!(
                source.resolve(&TestVariables(&[])).unwrap().expose(),
                expected
            );
        }
        for unusable in ["\n".to_owned(), "x".repeat(65_537)] {
            std::fs::write(&path, unusable).unwrap();
            let source = SecretSource::File(path.clone());
            assert!(source.resolve(&TestVariables(&[])).is_err());
        }
    }

    #[test]
    fn credential_headers_are_known_by_name_or_scheme() {
        assert!(header_is_secret("Authorization", "x"));
        assert!(header_is_secret("X-Api-Key", "x"));
        assert!(header_is_secret("X-Custom", "Bearer abc"));
        assert!(!header_is_secret("X-Source", "ci"));
        assert!(!header_is_secret("Content-Type", "text/xml"));
    }
}
