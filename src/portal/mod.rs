//! A 3scale tenant's Account Management API, as far as webhooks go: the failed deliveries, the objects, the switchboard.
//!
//! Says HTTP through whatever [`Relay`] it is given, and so has the sender's deadlines, trust and proxies. What the answers
//! mean is `tenant`'s business.
//!
//! Invariant: the token is a parameter of each request, and in none of the texts that come out of here.

pub mod tenant;

use crate::delivery::AttemptError;
use crate::http::transport::{Exchanged, Relay, Verbatim, status_words};
use crate::secret::safe_url::{BaseUrl, encode_pair, masked};
use crate::secret::{Redactor, Secret};
use crate::time::{UnixMs, parse_http_date};

/// Where the failed deliveries are.
const FAILURES: &str = "/admin/api/webhooks/failures.xml";
/// The most characters of an answer that an error tells.
const SAID: usize = 200;

/// A tenant, and the right to ask it.
pub struct Portal<'a> {
    relay: &'a dyn Relay,
    base: BaseUrl,
    parameter: String,
    token: Secret,
    redactor: Redactor,
}

/// An answer that was a success.
pub struct Answered {
    /// Its body.
    pub body: Vec<u8>,
    /// Why the body is not whole, if it is not.
    pub cut: Option<String>,
    /// What time it is there.
    pub date: Option<UnixMs>,
}

/// What came instead.
#[derive(Debug, thiserror::Error)]
#[error("{asked}: {reason}")]
pub struct PortalError {
    /// Method and URL, without the token.
    pub asked: String,
    /// What came.
    pub reason: Reason,
}

/// Why a request to a tenant was no success.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// No answer. A change may have been made all the same.
    #[error("{}{}", .error.message, if *.maybe_received { " (it may have been done all the same)" } else { "" })]
    NoAnswer {
        /// Why.
        error: AttemptError,
        /// Whether it was a change that may have been made.
        maybe_received: bool,
    },
    /// 401 or 403.
    #[error("{status}: the tenant does not take the token{said}")]
    Token {
        /// The status in words.
        status: String,
        /// What the tenant said, masked, with what joins it.
        said: String,
    },
    /// 404.
    #[error("404 Not Found")]
    NotFound,
    /// A page for people.
    #[error("{status}, and a page for a browser instead of data")]
    Html {
        /// The status in words.
        status: String,
    },
    /// A redirect.
    #[error("{status}: the tenant points {}", .to.as_ref().map_or_else(|| "elsewhere and does not say where".to_owned(), |to| format!("to `{to}`")))]
    Redirect {
        /// The status in words.
        status: String,
        /// Where to, masked, if it says so.
        to: Option<String>,
    },
    /// Any other status.
    #[error("{status}{said}")]
    Status {
        /// The status in words.
        status: String,
        /// What the tenant said, masked, with what joins it to the status.
        said: String,
    },
}

impl<'a> Portal<'a> {
    /// The tenant at `base`, asked with this token in this parameter; `others` are secrets that may be in its answers.
    pub fn new(
        relay: &'a dyn Relay,
        base: BaseUrl,
        parameter: &str,
        token: Secret,
        others: &[Secret],
    ) -> Portal<'a> {
        let mut redactor = Redactor::new([&token]);
        redactor.add(others);
        Portal {
            relay,
            base,
            parameter: parameter.to_owned(),
            token,
            redactor,
        }
    }

    /// The list of failed deliveries, oldest first.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn failures(&self) -> Result<Answered, PortalError> {
        self.ask("GET", FAILURES, &[], None)
    }

    /// Deletes the failed deliveries up to this time, inclusive; all of them without one.
    ///
    /// # Errors
    /// [`PortalError`]
    pub fn delete_failures(&self, time: Option<&str>) -> Result<(), PortalError> {
        let query: Vec<(&str, &str)> = time.map(|time| ("time", time)).into_iter().collect();
        self.ask("DELETE", FAILURES, &query, None).map(|_| ())
    }

    /// An object's XML: its path below `/admin/api/`, and what else the query says.
    ///
    /// # Errors
    /// [`PortalError`]
    pub fn object(&self, path: &str, query: &[(&str, &str)]) -> Result<Answered, PortalError> {
        self.ask("GET", &format!("/admin/api/{path}"), query, None)
    }

    /// Changes the switchboard.
    ///
    /// # Errors
    /// [`PortalError`]
    pub fn set_webhooks(&self, fields: &[(String, String)]) -> Result<Answered, PortalError> {
        let token = (self.parameter.as_str(), self.token.expose());
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let form = std::iter::once(token)
            .chain(fields)
            .map(|(name, value)| encode_pair(name, value));
        let form = form.collect::<Vec<_>>().join("&");
        self.ask("PUT", "/admin/api/webhooks.json", &[], Some(form))
    }

    /// The text with the token masked, in whatever spelling.
    pub fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    /// One request. The token is in its form, or else in its query.
    fn ask(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        form: Option<String>,
    ) -> Result<Answered, PortalError> {
        let path = format!("{}{path}", self.base.path().trim_end_matches('/'));
        let shown = self.base.with_path(&path, None);
        let mut pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| encode_pair(name, value))
            .collect();
        if form.is_none() {
            pairs.push(encode_pair(&self.parameter, self.token.expose()));
        }
        let query = (!pairs.is_empty()).then(|| pairs.join("&"));
        let url = self.base.with_path(&path, query.as_deref());
        let mut headers = vec![(
            "user-agent",
            concat!("hookfire/", env!("CARGO_PKG_VERSION")),
        )];
        headers.extend(
            form.is_some()
                .then_some(("content-type", "application/x-www-form-urlencoded")),
        );
        let request = Verbatim {
            method: method.to_owned(),
            url: Secret::new(url.as_str()),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: form.map(String::into_bytes),
            redactor: self.redactor.clone(),
            room: None,
        };
        let answered = match self.relay.exchange(&request).result {
            Ok(exchanged) => self.judge(exchanged),
            Err(none) => {
                let maybe_received = none.maybe_received && method != "GET";
                Err(Reason::NoAnswer {
                    error: none.error,
                    maybe_received,
                })
            }
        };
        answered.map_err(|reason| PortalError {
            asked: format!("{method} {shown}"),
            reason,
        })
    }

    fn judge(&self, answer: Exchanged) -> Result<Answered, Reason> {
        let header = |name: &str| {
            let found = answer.headers.iter().find(|(given, _)| given == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let status = status_words(answer.status);
        let html = is_html(&answer.body);
        match answer.status {
            200..=299 if html => Err(Reason::Html { status }),
            200..=299 => {
                let date = header("date").and_then(|date| parse_http_date(&date));
                Ok(Answered {
                    body: answer.body,
                    cut: answer.cut,
                    date,
                })
            }
            300..=399 => {
                let to = header("location").filter(|to| !to.trim().is_empty());
                Err(Reason::Redirect {
                    status,
                    to: to.map(|to| self.redact(&masked(&to))),
                })
            }
            401 | 403 if html => Err(Reason::Token {
                status,
                said: String::new(),
            }),
            401 | 403 => Err(Reason::Token {
                status,
                said: self.said(&answer.body),
            }),
            404 if !html => Err(Reason::NotFound),
            _ if html => Err(Reason::Html { status }),
            _ => Err(Reason::Status {
                status,
                said: self.said(&answer.body),
            }),
        }
    }

    /// The beginning of what was said, in one line.
    fn said(&self, body: &[u8]) -> String {
        let text = self.redactor.redact(&tenant::words(body));
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.char_indices().nth(SAID) {
            _ if words.is_empty() => String::new(),
            Some((end, _)) => format!(": {}…", &words[..end]),
            None => format!(": {words}"),
        }
    }
}

/// Told by itself: a `Content-Type` may say anything.
fn is_html(body: &[u8]) -> bool {
    let start = &body[..body.len().min(1024)];
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let start = start.trim_start_matches('\u{feff}').trim_start();
    start.starts_with("<!doctype html")
        || start.starts_with("<html")
        || start.contains("<html ")
        || start.contains("<html>")
}

#[cfg(test)]
mod tests;
