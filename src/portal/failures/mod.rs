//! Lists of failed deliveries, in XML or JSON: read one failure at a time, and written.
//!
//! The URLs in such a list are complete, secrets included. [`PortalFailure::target`] has the names of its parameters only;
//! [`PortalFailure::full_target`] has the values, for sending it again. No message contains them. A portal accepts any text
//! as a URL: failures with text that is not a URL are read as well.

#[cfg(test)]
mod fuzz;
mod json;
#[cfg(test)]
mod tests;
mod write;
mod xml;

use std::io::{self, BufRead};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::delivery::payload::{self, DEFAULT_METHOD, Payload, PayloadKind};
use crate::delivery::target::{Param, Target, Value};
use crate::delivery::{ErrorKind, LastError};
use crate::event::{BodyFormat, Event};
use crate::secret::{MASK, Redactor, Secret, SecretSource, safe_url};
use crate::time::{UnixMs, parse_list_time};

pub use write::{FailureEntry, FailuresWriter, ListFormat};

/// A failed delivery as the portal lists it.
#[derive(Debug)]
pub struct PortalFailure {
    pub uuid: String,
    pub at: UnixMs,
    /// The same as the portal wrote it.
    pub time: String,
    pub error: LastError,
    /// The target without the values of its parameters, which may be secret.
    pub target: Target,
    pub full_target: Target,
    pub payload: Payload,
}

/// A failure in the list that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct UnreadableFailure {
    /// Its position in the list, counted from 1.
    pub number: u64,
    /// The line on which it begins, in XML.
    pub line: Option<u64>,
    pub uuid: Option<String>,
    pub at: Option<UnixMs>,
    pub problem: String,
}

impl std::fmt::Display for UnreadableFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failure {}", self.number)?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        if let Some(uuid) = &self.uuid {
            write!(f, ", id `{uuid}`")?;
        }
        write!(f, ": {}", self.problem)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("the list cannot be read: {0}")]
    Io(io::Error),
    /// It is not such a list, or too large.
    #[error("{0}")]
    Other(String),
    #[error("the list ends too early")]
    Cut,
}

/// The texts of one failure.
#[derive(Debug, Default, PartialEq)]
struct Texts {
    id: Option<String>,
    time: Option<String>,
    error: Option<String>,
    url: Option<String>,
    /// A document of its own.
    event: Option<String>,
    // Only in lists of hookfire:
    event_type: Option<String>,
    action: Option<String>,
    method: Option<String>,
    content_type: Option<String>,
    body_encoding: Option<String>,
    body: Option<String>,
}

/// The `body_encoding` of a body that is not text.
const BASE64: &str = "base64";

impl Texts {
    /// The texts by their names in a list, in the order in which hookfire writes them.
    fn fields(&self) -> [(&'static str, Option<&str>); 11] {
        [
            ("id", self.id.as_deref()),
            ("time", self.time.as_deref()),
            ("error", self.error.as_deref()),
            ("url", self.url.as_deref()),
            ("event", self.event.as_deref()),
            ("type", self.event_type.as_deref()),
            ("action", self.action.as_deref()),
            ("method", self.method.as_deref()),
            ("content_type", self.content_type.as_deref()),
            ("body_encoding", self.body_encoding.as_deref()),
            ("body", self.body.as_deref()),
        ]
    }

    /// The field for the text of this name.
    fn field_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "id" => &mut self.id,
            "time" => &mut self.time,
            "error" => &mut self.error,
            "url" => &mut self.url,
            "event" => &mut self.event,
            "type" => &mut self.event_type,
            "action" => &mut self.action,
            "method" => &mut self.method,
            "content_type" => &mut self.content_type,
            "body_encoding" => &mut self.body_encoding,
            "body" => &mut self.body,
            _ => return None,
        })
    }
}

/// Takes the texts of each failure or why it has none, with its line in XML; false stops the reading.
type TakeTexts<'t> = &'t mut dyn FnMut(Option<u64>, Result<Texts, String>) -> bool;

/// Hands each failure of a list to `visit`, in order; stops at its first error, which is the inner result.
pub fn each<E>(
    input: &mut dyn BufRead,
    mut visit: impl FnMut(Result<PortalFailure, UnreadableFailure>) -> Result<(), E>,
) -> Result<Result<(), E>, ListError> {
    let (mut number, mut visited) = (0, Ok(()));
    let mut take = |line, texts: Result<Texts, String>| {
        number += 1;
        visited = visit(read(number, line, texts));
        visited.is_ok()
    };
    let read = match first_byte(input)? {
        Some(b'{' | b'[') => json::each(input, &mut take),
        Some(b'<') => xml::each(input, &mut take),
        Some(0xFE) => Err(xml::unreadable_encoding("UTF-16BE")),
        Some(0xFF) => Err(xml::unreadable_encoding("UTF-16LE")),
        Some(_) => Err(ListError::Other("it is neither XML nor JSON".to_owned())),
        None => Err(ListError::Other("it is empty".to_owned())),
    };
    match visited {
        Ok(()) => read.map(Ok),
        stopped => Ok(stopped),
    }
}

/// Skips white space and a UTF-8 byte order mark, byte by byte: a pipe may deliver any piece.
fn first_byte(input: &mut dyn BufRead) -> Result<Option<u8>, ListError> {
    let mut rest_of_mark: &[u8] = b"\xEF\xBB\xBF";
    loop {
        let Some(&byte) = input.fill_buf().map_err(ListError::Io)?.first() else {
            return Ok(None);
        };
        match rest_of_mark {
            [next, rest @ ..] if *next == byte => rest_of_mark = rest,
            [_] | [_, _] => return Ok(Some(0xEF)),
            _ if byte.is_ascii_whitespace() => {}
            _ => return Ok(Some(byte)),
        }
        input.consume(1);
    }
}

fn read(
    number: u64,
    line: Option<u64>,
    texts: Result<Texts, String>,
) -> Result<PortalFailure, UnreadableFailure> {
    let (mut uuid, mut at) = (None, None);
    let failure = texts.and_then(|texts| {
        let id = texts.id.as_deref().map(str::trim);
        uuid = id.filter(|id| is_id(id)).map(str::to_owned);
        at = texts.time.as_deref().and_then(parse_list_time);
        build(texts, uuid.clone(), at)
    });
    failure.map_err(|problem| UnreadableFailure {
        number,
        line,
        uuid,
        at,
        problem,
    })
}

fn build(
    mut texts: Texts,
    uuid: Option<String>,
    at: Option<UnixMs>,
) -> Result<PortalFailure, String> {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
    let uuid = uuid.ok_or("it has no `id`, or one that cannot be a header's value")?;
    let (time, url) = (text(&texts.time), text(&texts.url));
    let at = match at {
        Some(at) => at,
        None if time.is_empty() => return Err("it has no `time`".to_owned()),
        None => return Err("its `time` cannot be read".to_owned()),
    };
    let mut full_target = Target::from_list(&url);
    let payload = payload(&mut texts)?;
    let (target, mut values) = without_values(&mut full_target);
    values.add(&url_secrets(&url));
    Ok(PortalFailure {
        uuid,
        at,
        time,
        error: last_error(values.redact(&texts.error.unwrap_or_default())),
        target,
        full_target,
        payload,
    })
}

fn payload(texts: &mut Texts) -> Result<Payload, String> {
    let method = match &texts.method {
        None => DEFAULT_METHOD.to_owned(),
        Some(method) => {
            payload::parse_method(method).ok_or("its `method` cannot be sent as a method")?
        }
    };
    if let Some(event) = texts.event.take() {
        let event = Event::from_document(event.into_bytes());
        let event = event.map_err(|e| format!("its `event`: {e}"))?;
        return Ok(Payload {
            method,
            ..Payload::event(&event, BodyFormat::default())
        });
    }
    let body = texts.body.take().ok_or("it has no `event`")?;
    let bytes = match texts.body_encoding.as_deref() {
        None => body.into_bytes(),
        Some(BASE64) => {
            let decoded = STANDARD.decode(body.trim());
            decoded.map_err(|_| "its `body` is not valid base64")?
        }
        Some(_) => return Err("its `body_encoding` is unknown".to_owned()),
    };
    let content_type = texts.content_type.take();
    let content_type = content_type.filter(|text| payload::is_content_type(text));
    let label = |text: Option<String>| text.filter(|text| payload::is_label(text));
    Ok(Payload {
        kind: PayloadKind::Body {
            content_type: content_type.ok_or("its `content_type` is missing or invalid")?,
        },
        method,
        bytes: bytes.into(),
        event_type: label(texts.event_type.take()),
        action: label(texts.action.take()),
    })
}

/// Ids are sent as a header and printed in command lines.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !id.is_empty() && id.len() <= 200 && id.bytes().all(plain)
}

/// The target without its secrets, and the secrets. hookfire's own lists have masks instead of values: those
/// are dropped in `full_target` too.
fn without_values(full_target: &mut Target) -> (Target, Redactor) {
    let (mut target, mut values) = (full_target.clone(), Redactor::default());
    let full = full_target
        .params
        .iter_mut()
        .chain(&mut full_target.headers);
    let masked = target.params.iter_mut().chain(&mut target.headers);
    for (full, masked) in full.zip(masked) {
        *masked = Param::secret(&full.name, SecretSource::NotStored);
        match &full.value {
            Value::Secret(SecretSource::Literal(value)) if value.expose() != MASK => {
                values.add([value].into_iter().chain(&full.spelling));
            }
            _ => *full = masked.clone(),
        }
    }
    (target, values)
}

/// The secrets in text that may not even be a URL.
fn url_secrets(text: &str) -> Vec<Secret> {
    let mut secrets = safe_url::credentials(text);
    let query = text.split_once(['?', '#']).map_or("", |(_, query)| query);
    for pair in query.split(['&', '#']) {
        let value = pair.split_once('=').map_or(pair, |(_, value)| value);
        secrets.extend([Secret::new(pair), Secret::new(value)]);
    }
    secrets.retain(|secret| secret.expose() != MASK);
    secrets
}

/// 3scale's own software reports every failure this way, whatever the cause.
const UNREPORTED_CAUSE: &str = "WebHookWorker::ClientError";

/// Guesses the kind of an error from its message.
fn last_error(message: String) -> LastError {
    const PHRASES: [(ErrorKind, &str); 6] = [
        (
            ErrorKind::Interrupted,
            "interrupted|its process ended|stopped",
        ),
        (
            ErrorKind::Timeout,
            "timed out|timeout|no answer within|no response within|expired",
        ),
        (ErrorKind::Tls, "ssl|tls|certificate"),
        (
            ErrorKind::Dns,
            "getaddrinfo|name or service|resolve|lookup|dns",
        ),
        (ErrorKind::Connect, "refused|unreachable|no route|connect"),
        (
            ErrorKind::Reset,
            "reset|end of file|eof|broken pipe|closed|broke",
        ),
    ];
    let first_word = message.split_whitespace().next().unwrap_or_default();
    let status = first_word.parse().ok();
    let status = status.filter(|status| first_word.len() == 3 && (100..600).contains(status));
    let lower = message.to_lowercase();
    let is_phrase = |phrases: &str| phrases.split('|').any(|phrase| lower.contains(phrase));
    let guessed = PHRASES.iter().find(|(_, phrases)| is_phrase(phrases));
    let kind = match (status, guessed) {
        _ if message.trim() == UNREPORTED_CAUSE => ErrorKind::Portal,
        (Some(_), _) => ErrorKind::Status,
        (None, Some((kind, _))) => *kind,
        (None, None) => ErrorKind::Protocol,
    };
    LastError {
        kind,
        http_status: status,
        message,
    }
}
