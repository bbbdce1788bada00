//! What a 3scale tenant says of its failed deliveries, read: XML or JSON, one after the other.
//!
//! Deliberately asks nobody and keeps nothing: bytes come in, deliveries go out. The URLs of such a list are whole, secrets
//! included; their values are given beside the delivery, for whoever sends it on, and are in none of its texts.
//!
//! Invariant: one failure of the list is in memory at a time, and what is wrong with one does not hide the next.

mod json;
mod words;

use std::io::{self, BufRead};

use crate::delivery::target::{Param, Target, Value};
use crate::delivery::{ErrorKind, LastError};
use crate::event::failures::{FailuresReader, ListError as XmlError};
use crate::event::{Event, failures};
use crate::secret::safe_url::BaseUrl;
use crate::secret::{MASK, Redactor, Secret, SecretSource};
use crate::time::{UnixMs, parse_list_time};

pub use words::words;

/// A failed delivery as a tenant tells of it.
#[derive(Debug)]
pub struct Failed {
    /// The delivery's id there, which is its uuid here.
    pub uuid: String,
    /// When it failed last.
    pub at: UnixMs,
    /// The same as the tenant wrote it.
    pub time: String,
    /// Why.
    pub error: LastError,
    /// Where it was sent, without the values of its query.
    pub target: Target,
    /// Where it was sent, with them.
    pub whole: Target,
    /// The event.
    pub event: Event,
}

/// A failure of a list that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which of the list, from 1.
    pub number: u64,
    /// The line on which it begins, where there are lines.
    pub line: Option<u64>,
    /// Its id, if it has one.
    pub uuid: Option<String>,
    /// Its time, if it has one that can be read.
    pub at: Option<UnixMs>,
    /// What is wrong.
    pub problem: String,
}

impl std::fmt::Display for Broken {
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

/// A list that cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// What it comes from gives an error.
    #[error("the list cannot be read: {0}")]
    Io(io::Error),
    /// It is something else.
    #[error("{0}")]
    Other(String),
    /// It ends too early.
    #[error("the list breaks off before its end")]
    Cut,
}

/// The texts of one failure, whatever the list was written in.
#[derive(Debug, Default)]
struct Texts {
    id: Option<String>,
    time: Option<String>,
    error: Option<String>,
    url: Option<String>,
    event: Option<Vec<u8>>,
}

/// Where a failure stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: u64,
    line: Option<u64>,
}

/// Hands each failure of a list to `visit`, in its order; stops at its first error.
///
/// # Errors
/// [`ListError`] as the outer result, `visit`'s own as the inner one. What was handed over before is as good as it was.
pub fn each<E>(
    input: &mut dyn BufRead,
    mut visit: impl FnMut(Result<Failed, Broken>) -> Result<(), E>,
) -> Result<Result<(), E>, ListError> {
    match first_byte(input)? {
        Some(b'{' | b'[') => json::each(input, &mut visit),
        Some(b'<') => xml(input, &mut visit),
        // Of a UTF-16 list, too.
        Some(0xFE | 0xFF) => xml(input, &mut visit),
        Some(_) => Err(ListError::Other("it is neither XML nor JSON".to_owned())),
        None => Err(ListError::Other("it is empty".to_owned())),
    }
}

/// The first byte that says something; what says nothing is passed by, a byte at a time: a pipe gives any piece.
fn first_byte(input: &mut dyn BufRead) -> Result<Option<u8>, ListError> {
    // What is still to come of UTF-8's byte order mark.
    let mut mark: &[u8] = b"\xEF\xBB\xBF";
    loop {
        let Some(&byte) = input.fill_buf().map_err(ListError::Io)?.first() else {
            return Ok(None);
        };
        match mark {
            [next, rest @ ..] if *next == byte => mark = rest,
            // Half a mark is none.
            [_] | [_, _] => return Ok(Some(0xEF)),
            _ if byte.is_ascii_whitespace() => {}
            _ => return Ok(Some(byte)),
        }
        input.consume(1);
    }
}

fn xml<E>(
    input: &mut dyn BufRead,
    visit: &mut dyn FnMut(Result<Failed, Broken>) -> Result<(), E>,
) -> Result<Result<(), E>, ListError> {
    let mut reader = FailuresReader::new(input);
    let mut number = 0;
    loop {
        let piece = match reader.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(Ok(())),
            Err(XmlError::Io(e)) => return Err(ListError::Io(e)),
            Err(e @ XmlError::Other(_)) => return Err(ListError::Other(e.to_string())),
            Err(XmlError::Cut) => return Err(ListError::Cut),
        };
        number += 1;
        let place = Place {
            number,
            line: Some(piece.line),
        };
        let read = match piece.entry {
            Ok(failures::Entry {
                id,
                time,
                error,
                url,
                event,
            }) => read(
                place,
                Texts {
                    id,
                    time,
                    error,
                    url,
                    event,
                },
            ),
            Err(problem) => Err(broken(place, None, None, problem)),
        };
        if let Err(e) = visit(read) {
            return Ok(Err(e));
        }
    }
}

fn broken(
    place: Place,
    uuid: Option<&str>,
    at: Option<UnixMs>,
    problem: impl Into<String>,
) -> Broken {
    let Place { number, line } = place;
    Broken {
        number,
        line,
        uuid: uuid.map(str::to_owned),
        at,
        problem: problem.into(),
    }
}

/// The failure that these texts are.
fn read(place: Place, texts: Texts) -> Result<Failed, Broken> {
    let time = texts
        .time
        .as_deref()
        .map(str::trim)
        .unwrap_or_default()
        .to_owned();
    let at = parse_list_time(&time);
    let uuid = texts.id.as_deref().map(str::trim).filter(|id| is_id(id));
    let wrong = |problem: String| broken(place, uuid, at, problem);
    let Some(uuid) = uuid else {
        return Err(wrong(
            "it has no `id`, or one that cannot be a header's value".to_owned(),
        ));
    };
    let Some(at) = at else {
        let problem = if time.is_empty() {
            "it has no `time`"
        } else {
            "its `time` cannot be read"
        };
        return Err(wrong(problem.to_owned()));
    };
    let url = texts
        .url
        .as_deref()
        .map(str::trim)
        .filter(|url| !url.is_empty());
    let url = url.ok_or_else(|| wrong("it has no `url`".to_owned()))?;
    let (target, whole, secrets) = targets(url).map_err(|e| wrong(format!("its `url`: {e}")))?;
    let event = texts
        .event
        .ok_or_else(|| wrong("it has no `event`".to_owned()))?;
    let event = Event::from_document(event).map_err(|e| wrong(format!("its `event`: {e}")))?;
    let message = Redactor::new(&secrets).redact(&texts.error.unwrap_or_default());
    Ok(Failed {
        uuid: uuid.to_owned(),
        at,
        time,
        error: last_error(message),
        target,
        whole,
        event,
    })
}

/// It goes out as a header, and onto command lines.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !id.is_empty() && id.len() <= 200 && id.bytes().all(plain)
}

/// Where it goes, without the values of its query and with them, and these values.
fn targets(url: &str) -> Result<(Target, Target, Vec<Secret>), crate::secret::safe_url::UrlError> {
    let mut whole = Target::from_url(url)?;
    for param in &mut whole.params {
        // What hookfire itself lists has masks in the place of values; to send them as values would only fail again.
        if matches!(&param.value, Value::Secret(SecretSource::Literal(value)) if value.expose() == MASK)
        {
            *param = Param::secret(&param.name, SecretSource::Forgotten);
        }
    }
    let (base, pairs) = BaseUrl::parse(url)?;
    let params = pairs
        .iter()
        .map(|pair| Param::secret(&pair.name, SecretSource::Forgotten))
        .collect();
    let secrets = pairs
        .into_iter()
        .flat_map(|pair| [pair.value, pair.spelling])
        .collect();
    Ok((
        Target {
            base,
            params,
            headers: Vec::new(),
        },
        whole,
        secrets,
    ))
}

/// The kind of an error of which only the words are known.
fn last_error(message: String) -> LastError {
    const TELLING: [(ErrorKind, &[&str]); 6] = [
        (
            ErrorKind::Interrupted,
            &["interrupted", "its process ended", "stopped"],
        ),
        (
            ErrorKind::Timeout,
            &["timed out", "timeout", "no answer within", "expired"],
        ),
        (ErrorKind::Tls, &["ssl", "tls", "certificate"]),
        (
            ErrorKind::Dns,
            &["getaddrinfo", "name or service", "resolve", "lookup", "dns"],
        ),
        (
            ErrorKind::Connect,
            &["refused", "unreachable", "no route", "connect"],
        ),
        (
            ErrorKind::Reset,
            &[
                "reset",
                "end of file",
                "eof",
                "broken pipe",
                "closed",
                "broke",
            ],
        ),
    ];
    let status = message
        .split_whitespace()
        .next()
        .filter(|word| word.len() == 3)
        .and_then(|word| word.parse().ok());
    if let Some(status) = status.filter(|status| (100..600).contains(status)) {
        return LastError {
            kind: ErrorKind::Status,
            http_status: Some(status),
            message,
        };
    }
    let words = message.to_lowercase();
    let found = TELLING
        .iter()
        .find(|(_, telltales)| telltales.iter().any(|telltale| words.contains(telltale)));
    LastError {
        kind: found.map_or(ErrorKind::Protocol, |(kind, _)| *kind),
        http_status: None,
        message,
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
