//! A delivery's response as it is stored: masked, shortened, and judged by its status.

use std::time::Duration;

use super::{Cut, Response, SendError, status_text};
use crate::capture::{header_text, is_hidden};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::{AttemptError, ErrorKind, Outcome};
use crate::secret::{MASK, Redactor, safe_url};
use crate::time::{UnixMs, parse_http_date};

/// The most bytes of a delivery's response body that are stored.
pub const MAX_STORED_BODY: usize = 64 * 1024;

/// The most bytes of a delivery's response headers that are stored.
const MAX_STORED_HEADERS: usize = 16 * 1024;

/// The most characters of a `Location` in a message.
const MAX_LOCATION_CHARS: usize = 500;

/// The outcome of a delivery's request. The status line decides: an incomplete body is only noted.
pub fn outcome(
    policy: &RetryPolicy,
    redactor: &Redactor,
    result: Result<Response, SendError>,
) -> Outcome {
    match result {
        Ok(response) => {
            let error = (!policy.success.contains(response.status)).then(|| AttemptError {
                kind: ErrorKind::Status,
                message: rejection(policy, redactor, &response),
            });
            let (headers, headers_note) = stored_headers(&response, redactor);
            let (body, body_note) = stored_body(&response, redactor);
            let notes: Vec<String> = headers_note.into_iter().chain(body_note).collect();
            Outcome {
                http_status: Some(response.status),
                error,
                maybe_received: false,
                response_headers: headers,
                response_body: Some(body),
                note: (!notes.is_empty()).then(|| notes.join("; ")),
            }
        }
        Err(SendError {
            kind,
            message,
            maybe_received,
        }) => Outcome {
            error: Some(AttemptError { kind, message }),
            maybe_received,
            ..Outcome::default()
        },
    }
}

/// How long the endpoint asks to wait, with a `Retry-After` in seconds or as a date; only for 429 and 503.
pub fn retry_after(result: &Result<Response, SendError>, now: UnixMs) -> Option<Duration> {
    let response = result.as_ref().ok()?;
    if !matches!(response.status, 429 | 503) {
        return None;
    }
    let value = std::str::from_utf8(response.header("retry-after")?).ok()?;
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    Some(parse_http_date(value)?.since(now))
}

fn rejection(policy: &RetryPolicy, redactor: &Redactor, response: &Response) -> String {
    let status = status_text(response.status);
    match (response.status, response.header("location")) {
        (200..300, _) => format!("{status} is not {}", policy.success),
        (300..400, Some(location)) => {
            let location = safe_url::masked(&String::from_utf8_lossy(location));
            let location = shortened(redactor.redact(&location));
            format!("{status} to {location}; redirects are never followed")
        }
        (300..400, None) => format!("{status}; redirects are never followed"),
        _ => status,
    }
}

fn shortened(mut location: String) -> String {
    if let Some((end, _)) = location.char_indices().nth(MAX_LOCATION_CHARS) {
        location.truncate(end);
        location.push('…');
    }
    location
}

/// The masked headers, and a note if there are more. Credentials that the endpoint sends, such as cookies, are masked too.
fn stored_headers(
    response: &Response,
    redactor: &Redactor,
) -> (Vec<(String, String)>, Option<String>) {
    let mut stored = Vec::new();
    let mut room = MAX_STORED_HEADERS;
    for (name, value) in &response.headers {
        let mut shown = match name.as_str() {
            _ if is_hidden(name, value) => MASK.to_owned(),
            "location" | "content-location" => safe_url::masked(&header_text(value)),
            _ => header_text(&redactor.redact_bytes(value)),
        };
        shown = redactor.redact(&shown);
        let name = redactor.redact(name);
        let is_whole = name.len() + shown.len() <= room;
        if !is_whole {
            let mut end = room.saturating_sub(name.len()).min(shown.len());
            while !shown.is_char_boundary(end) {
                end -= 1;
            }
            shown.truncate(end);
        }
        room = room.saturating_sub(name.len() + shown.len());
        if is_whole || !shown.is_empty() {
            stored.push((name, shown));
        }
        if !is_whole {
            let kept = MAX_STORED_HEADERS / 1024;
            let note = format!("only the first {kept} KiB of the response headers are kept");
            return (stored, Some(note));
        }
    }
    (stored, None)
}

/// The masked body, and a note if it is incomplete.
fn stored_body(response: &Response, redactor: &Redactor) -> (Vec<u8>, Option<String>) {
    let body = &response.body;
    let is_long = body.len() > MAX_STORED_BODY;
    let mut masked = if is_long || response.cut.is_some() {
        redactor.redact_cut(body)
    } else {
        redactor.redact_bytes(body)
    };
    let mut notes = Vec::new();
    if let Some(Cut::Broken(reason)) = &response.cut {
        notes.push(format!("the response body {reason}"));
    }
    if is_long {
        masked.truncate(MAX_STORED_BODY);
        notes.push(format!(
            "only the first {} KiB of the response body are kept",
            MAX_STORED_BODY / 1024
        ));
    }
    (masked, (!notes.is_empty()).then(|| notes.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(status: u16, location: Option<&str>) -> Outcome {
        let location = location.map(|to| ("location".to_owned(), to.as_bytes().to_vec()));
        let response = Response {
            status,
            headers: location.into_iter().collect(),
            body: Vec::new(),
            cut: None,
        };
        outcome(&RetryPolicy::default(), &Redactor::default(), Ok(response))
    }

    #[test]
    fn stored_headers_are_masked_and_limited() {
        let stored = |headers: &[(&str, &str)]| {
            let headers = headers.iter();
            let response = Response {
                status: 200,
                headers: headers
                    .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                    .collect(),
                body: Vec::new(),
                cut: None,
            };
            let mut redactor = Redactor::default();
            redactor.add([&crate::secret::Secret::new("s3cret/1")]);
            outcome(&RetryPolicy::default(), &redactor, Ok(response))
        };
        let outcome = stored(&[
            ("server", "x"),
            ("x-echo", "token=s3cret%2F1"),
            ("set-cookie", "session=abc"),
            ("location", "/next?token=other"),
        ]);
        let shown = outcome
            .response_headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "server: x",
                "x-echo: token=***",
                "set-cookie: ***",
                "location: /next?token=***"
            ]
        );
        assert_eq!(outcome.note, None);

        let long = "\u{e9}".repeat(MAX_STORED_HEADERS / 2);
        let outcome = stored(&[("a", &long), ("b", "2")]);
        let [(_, value)] = &outcome.response_headers[..] else {
            panic!("{} headers", outcome.response_headers.len());
        };
        assert_eq!(value.len(), MAX_STORED_HEADERS - 2);
        assert_eq!(
            outcome.note.as_deref(),
            Some("only the first 16 KiB of the response headers are kept")
        );
    }

    #[test]
    fn retry_after_is_read_of_a_busy_endpoint_only() {
        let asked = |status: u16, value: &str| {
            let response = Response {
                status,
                headers: vec![("retry-after".to_owned(), value.as_bytes().to_vec())],
                body: Vec::new(),
                cut: None,
            };
            // Sun, 06 Nov 1994 08:49:37 GMT
            retry_after(&Ok(response), UnixMs(784_111_777_000)).map(|wait| wait.as_secs())
        };
        assert_eq!(asked(503, " 120 "), Some(120));
        assert_eq!(asked(429, "Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(asked(429, "Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(asked(503, &"9".repeat(30)), Some(u64::MAX));
        for (status, value) in [
            (500, "1"),
            (503, ""),
            (503, "-1"),
            (503, "soon"),
            (503, "1.5"),
        ] {
            assert_eq!(asked(status, value), None, "{status} {value}");
        }
    }

    #[test]
    fn status_line_decides_and_the_message_says_why() {
        assert_eq!(received(200, None).error, None);
        let message = |outcome: Outcome| outcome.error.unwrap().message;
        assert_eq!(message(received(202, None)), "202 Accepted is not 200");
        assert_eq!(message(received(503, None)), "503 Service Unavailable");
        assert_eq!(message(received(599, None)), "599");
        assert_eq!(
            message(received(302, Some("https://h/?a=b"))),
            "302 Found to https://h/?a=***; redirects are never followed"
        );
    }
}
