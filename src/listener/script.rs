//! The responses of a listener: `503x3@1s,200` responds three times with 503, a second late, then always with 200.

use std::cell::Cell;
use std::str::FromStr;
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::response;
use crate::capture::{BinResponse, is_hop_by_hop};
use crate::time::parse_duration;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScriptStep {
    pub action: ScriptAction,
    /// From the commit of the capture to the response or the reset.
    pub delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScriptAction {
    /// Respond with this status, 200 to 599.
    Respond(u16),
    /// Send nothing and keep the connection open until the client closes it or the listener stops.
    Timeout,
    /// Close the connection with a TCP reset.
    Reset,
}

/// The steps for the requests of a listener, in the order in which they are captured, over all connections.
///
/// Written as steps separated by commas: a status, `timeout` or `reset`. All but the last may have a count, and all but
/// `timeout` a delay, in either order (`503x3`, `200@2s`, `503x3@1s`). The last step repeats for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Each step with the number of requests it is for.
    counted: Vec<(ScriptStep, u64)>,
    last: ScriptStep,
}

impl Script {
    /// The step for the request with this index, counted from 0.
    pub(super) fn step(&self, index: u64) -> ScriptStep {
        let mut left = index;
        for &(step, count) in &self.counted {
            match left.checked_sub(count) {
                Some(after) => left = after,
                None => return step,
            }
        }
        self.last
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut counted = Vec::new();
        let mut steps = text.split(',').map(str::trim).peekable();
        while let Some(written) = steps.next() {
            let (step, count) = parse_step(written)?;
            if steps.peek().is_some() {
                counted.push((step, count.unwrap_or(1)));
            } else if count.is_some() {
                return Err(format!(
                    "`{written}` is the last step, which repeats for ever: omit its count, or add a step, as in `{written},200`"
                ));
            } else {
                return Ok(Self {
                    counted,
                    last: step,
                });
            }
        }
        Err("a script has at least one step, such as `200`".to_owned())
    }
}

fn parse_step(written: &str) -> Result<(ScriptStep, Option<u64>), String> {
    if written.is_empty() {
        return Err("a step is empty: write a script like `200` or `503x3,200`".to_owned());
    }
    // Neither mark occurs in a word, a number or a unit.
    let (what, mut rest) = written.split_at(written.find(['x', '@']).unwrap_or(written.len()));
    let action = parse_action(what, written)?;
    let (mut count, mut delay) = (None, None);
    while let Some(mark) = rest.chars().next() {
        let end = rest[1..].find(['x', '@']).map_or(rest.len(), |at| at + 1);
        let value = &rest[1..end];
        let is_second = if mark == 'x' {
            let parsed = parse_digits(value).filter(|count| *count > 0);
            let invalid =
                || format!("`{written}` has an invalid count: use a number from 1, as in `503x3`");
            count.replace(parsed.ok_or_else(invalid)?).is_some()
        } else {
            let invalid = |_| {
                format!(
                    "`{written}` has an invalid delay: use a duration, as in `200@2s` or `503@500ms`"
                )
            };
            delay
                .replace(parse_duration(value).map_err(invalid)?)
                .is_some()
        };
        if is_second {
            return Err(format!(
                "`{written}` has two counts or two delays: use one of each, as in `503x3@1s`"
            ));
        }
        rest = &rest[end..];
    }
    if action == ScriptAction::Timeout && delay.is_some() {
        return Err(format!(
            "`{written}` delays a response that never comes: use `timeout` alone, or a status such as `200@2s`"
        ));
    }
    let delay = delay.unwrap_or_default();
    Ok((ScriptStep { action, delay }, count))
}

fn parse_action(what: &str, written: &str) -> Result<ScriptAction, String> {
    match what {
        "timeout" => Ok(ScriptAction::Timeout),
        "reset" => Ok(ScriptAction::Reset),
        _ => match parse_digits::<u16>(what) {
            Some(status @ 200..=599) => Ok(ScriptAction::Respond(status)),
            _ if what.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(format!("`{what}` is not a response status: use 200 to 599"))
            }
            _ => Err(format!(
                "`{written}` is not a step: use a status from 200 to 599, `timeout` or `reset`, with `xN` to repeat it and `@2s` to delay it"
            )),
        },
    }
}

/// A number of digits only: `parse` alone would also accept `+3`.
fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

/// The last segment of `path` if it is a status from 200 to 599, such as 503 in `/bin/503`.
fn status_in(path: &str) -> Option<u16> {
    let (_, last) = path.rsplit_once('/')?;
    parse_digits::<u16>(last).filter(|status| last.len() == 3 && (200..=599).contains(status))
}

/// The responses of a listener, as its options choose them.
pub(super) struct ResponseScript {
    script: Script,
    /// How many steps were used.
    used: Cell<u64>,
    status_in_path: bool,
    body: Option<Bytes>,
    headers: HeaderMap,
}

/// Why a header cannot be sent with responses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error(
        "`{0}` is not a valid response header: a name consists of letters, digits and `-`, a value has no control characters"
    )]
    Invalid(String),
    #[error("`{0}` cannot be set: it follows from the body and the connection")]
    Framing(String),
}

impl ResponseScript {
    /// With `body` instead of the default one, and `headers`: a `Content-Type` replaces `text/plain`. With `status_in_path`,
    /// a path that ends with a status gets that status.
    pub(super) fn new(
        script: Script,
        status_in_path: bool,
        body: Option<Vec<u8>>,
        headers: &[(String, String)],
    ) -> Result<ResponseScript, HeaderError> {
        Ok(ResponseScript {
            script,
            used: Cell::new(0),
            status_in_path,
            body: body.map(Bytes::from),
            headers: response_headers(headers)?,
        })
    }

    /// Whether the path of a request chooses its status.
    pub(super) fn is_chosen_by(&self, path: &str) -> bool {
        self.status_in_path && status_in(path).is_some()
    }

    /// The step for the next request.
    pub(super) fn next(&self, path: &str) -> ScriptStep {
        if self.status_in_path
            && let Some(status) = status_in(path)
        {
            return ScriptStep {
                action: ScriptAction::Respond(status),
                delay: Duration::ZERO,
            };
        }
        let index = self.used.get();
        self.used.set(index.saturating_add(1));
        self.script.step(index)
    }

    /// Whether the user chose a body or headers.
    pub(super) fn is_customized(&self) -> bool {
        self.body.is_some() || !self.headers.is_empty()
    }

    pub(super) fn response(&self, status: u16) -> Response<Bytes> {
        chosen_response(status, self.body.clone(), self.headers.clone())
    }
}

/// The response that a bin has of its own.
pub(super) fn response_of(bin: &BinResponse) -> Response<Bytes> {
    // They were checked when they were stored.
    let headers = response_headers(&bin.headers).unwrap_or_default();
    chosen_response(bin.status, Some(Bytes::from(bin.body.clone())), headers)
}

fn chosen_response(status: u16, body: Option<Bytes>, headers: HeaderMap) -> Response<Bytes> {
    let body = match body {
        Some(body) if response::has_body(status) => body,
        _ => response::default_body(status),
    };
    let mut response = response::plain_text(status, body);
    if headers.contains_key(CONTENT_TYPE) {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response.headers_mut().extend(headers);
    response
}

/// The headers of a response, if they can be sent.
pub fn response_headers(headers: &[(String, String)]) -> Result<HeaderMap, HeaderError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if is_hop_by_hop(name) {
            return Err(HeaderError::Framing(name.clone()));
        }
        let (Ok(valid_name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) else {
            return Err(HeaderError::Invalid(name.clone()));
        };
        map.append(valid_name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::ScriptAction::{Reset, Respond, Timeout};
    use super::*;

    fn first(script: &str, requests: u64) -> Vec<ScriptAction> {
        let script: Script = script.parse().unwrap();
        (0..requests)
            .map(|index| script.step(index).action)
            .collect()
    }

    #[test]
    fn the_last_step_repeats() {
        assert_eq!(first("200", 3), [Respond(200); 3]);
        assert_eq!(
            first("503x3,200", 5),
            [
                Respond(503),
                Respond(503),
                Respond(503),
                Respond(200),
                Respond(200)
            ]
        );
        assert_eq!(
            first("404, timeoutx2 ,reset", 5),
            [Respond(404), Timeout, Timeout, Reset, Reset]
        );
        let script: Script = "500x18446744073709551615,500x2,200".parse().unwrap();
        assert_eq!(script.step(u64::MAX).action, Respond(500));
    }

    #[test]
    fn a_delay_stands_before_or_after_the_count() {
        for script in ["503x2@1m30s,200@500ms", "503@1m30sx2 , 200@500ms"] {
            let script: Script = script.parse().unwrap();
            let late = ScriptStep {
                action: Respond(503),
                delay: Duration::from_secs(90),
            };
            let last = ScriptStep {
                action: Respond(200),
                delay: Duration::from_millis(500),
            };
            assert_eq!(
                [0, 1, 2, 9].map(|index| script.step(index)),
                [late, late, last, last]
            );
        }
        let reset = "reset@2s".parse::<Script>().unwrap().step(0);
        assert_eq!(
            reset,
            ScriptStep {
                action: Reset,
                delay: Duration::from_secs(2)
            }
        );
    }

    #[test]
    fn invalid_steps_are_named() {
        for (text, expected) in [
            ("", "a step is empty"),
            ("503,,200", "a step is empty"),
            ("503x3,", "a step is empty"),
            ("ok", "`ok` is not a step"),
            ("x3,200", "`x3` is not a step"),
            ("@1s", "`@1s` is not a step"),
            ("Timeout", "`Timeout` is not a step"),
            ("+200", "`+200` is not a step"),
            ("-1", "`-1` is not a step"),
            ("199", "`199` is not a response status"),
            ("600", "`600` is not a response status"),
            ("99999", "`99999` is not a response status"),
            ("503x,200", "`503x` has an invalid count"),
            ("503x0,200", "`503x0` has an invalid count"),
            ("503x+3,200", "`503x+3` has an invalid count"),
            ("503x3x3,200", "`503x3x3` has two counts or two delays"),
            ("200@1s@1s", "`200@1s@1s` has two counts or two delays"),
            ("200@", "`200@` has an invalid delay"),
            ("200@2", "`200@2` has an invalid delay"),
            ("200@-2s", "`200@-2s` has an invalid delay"),
            (
                "timeout@2s",
                "`timeout@2s` delays a response that never comes",
            ),
            ("503x3", "`503x3` is the last step"),
            ("503x3@1s", "`503x3@1s` is the last step"),
        ] {
            let error = text.parse::<Script>().unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_may_end_in_a_status() {
        for (path, status) in [
            ("/bin/503", Some(503)),
            ("/200", Some(200)),
            ("/a/b/599", Some(599)),
        ] {
            assert_eq!(status_in(path), status, "{path}");
        }
        for path in [
            "/bin",
            "/503/",
            "/bin/199",
            "/bin/600",
            "/bin/0503",
            "/bin/+503",
            "503",
            "/bin/50x",
            "*",
            "",
        ] {
            assert_eq!(status_in(path), None, "{path}");
        }
    }
}
