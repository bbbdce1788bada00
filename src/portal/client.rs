//! Client for the part of 3scale's Account Management API that concerns webhooks.
//!
//! Requests go through a [`SendRequest`], and so have the HTTP client's deadlines, trust and proxies. The access token is a
//! parameter of each request and is masked in every text that comes out of here.

use std::sync::Arc;

use super::error::{PortalError, PortalErrorKind};
use super::message::message;
use crate::delivery::AttemptError;
use crate::http::{MAX_RESPONSE_BODY, Request, Response, SendRequest, status_text};
use crate::secret::safe_url::{BaseUrl, encode_pair, masked};
use crate::secret::{Redactor, Secret};
use crate::time::{UnixMs, parse_http_date};

const FAILURES_JSON: &str = "/admin/api/webhooks/failures.json";
const FAILURES_XML: &str = "/admin/api/webhooks/failures.xml";
/// How much of the portal's message an error quotes.
const MAX_MESSAGE_CHARS: usize = 200;

/// A tenant's portal, and the access token for it.
pub struct PortalClient<'a> {
    sender: Box<dyn SendRequest + 'a>,
    base: BaseUrl,
    parameter: String,
    token: Secret,
    redactor: Redactor,
}

/// A response with a success status.
pub struct PortalResponse {
    pub body: Vec<u8>,
    /// Why the body is incomplete, if it is.
    pub cut: Option<String>,
    /// The time of the response by the portal's clock.
    pub date: Option<UnixMs>,
}

impl<'a> PortalClient<'a> {
    /// The token is sent as `parameter`.
    pub fn new(
        sender: impl SendRequest + 'a,
        base: BaseUrl,
        parameter: &str,
        token: Secret,
    ) -> PortalClient<'a> {
        let redactor = Redactor::new([&token]);
        PortalClient {
            sender: Box::new(sender),
            base,
            parameter: parameter.to_owned(),
            token,
            redactor,
        }
    }

    /// Masks these as well: responses may repeat them.
    pub fn mask(&mut self, secrets: &[Secret]) {
        self.redactor.add(secrets);
    }

    /// The list of failed deliveries, oldest first: in JSON, which has the events as they were sent (XML indents them anew),
    /// or in XML from a portal without JSON.
    pub fn failures(&self) -> Result<PortalResponse, PortalError> {
        match self.send("GET", FAILURES_JSON, &[], None) {
            Err(e) if e.kind.is_missing() => self.send("GET", FAILURES_XML, &[], None),
            response => response,
        }
    }

    /// Deletes the failed deliveries up to and including this time, or all of them.
    pub fn delete_failures(&self, time: Option<&str>) -> Result<(), PortalError> {
        let query: Vec<(&str, &str)> = time.map(|time| ("time", time)).into_iter().collect();
        self.send("DELETE", FAILURES_XML, &query, None).map(|_| ())
    }

    /// An object's XML. `path` is below `/admin/api/`.
    pub fn object(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<PortalResponse, PortalError> {
        self.send("GET", &format!("/admin/api/{path}"), query, None)
    }

    pub fn set_webhooks(&self, fields: &[(String, String)]) -> Result<PortalResponse, PortalError> {
        let mut form = vec![encode_pair(&self.parameter, self.token.expose())];
        form.extend(fields.iter().map(|(name, value)| encode_pair(name, value)));
        self.send("PUT", "/admin/api/webhooks.json", &[], Some(form.join("&")))
    }

    /// Masks the token, however it is encoded.
    pub fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    /// The token goes into the form, or else into the query.
    fn send(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        form: Option<String>,
    ) -> Result<PortalResponse, PortalError> {
        let path = format!("{}{path}", self.base.path().trim_end_matches('/'));
        let shown = self.base.with_path(&path, None);
        let mut pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| encode_pair(name, value))
            .collect();
        let user_agent = concat!("hookfire/", env!("CARGO_PKG_VERSION"));
        let mut headers = vec![("user-agent".to_owned(), user_agent.as_bytes().to_vec())];
        if form.is_some() {
            let content_type = b"application/x-www-form-urlencoded".to_vec();
            headers.push(("content-type".to_owned(), content_type));
        } else {
            pairs.push(encode_pair(&self.parameter, self.token.expose()));
        }
        let query = (!pairs.is_empty()).then(|| pairs.join("&"));
        let url = self.base.with_path(&path, query.as_deref());
        let request = Request {
            method: method.to_owned(),
            url: Secret::new(url.as_str()),
            headers,
            body: form.map(String::into_bytes),
            redactor: Arc::new(self.redactor.clone()),
            body_limit: MAX_RESPONSE_BODY,
            memory: None,
        };
        let response = match self.sender.send(request).result {
            Ok(exchanged) => self.check(exchanged),
            Err(none) => Err(PortalErrorKind::NoResponse {
                maybe_received: none.maybe_received && method != "GET",
                error: AttemptError {
                    kind: none.kind,
                    message: none.message,
                },
            }),
        };
        response.map_err(|kind| PortalError {
            request: format!("{method} {shown}"),
            kind,
        })
    }

    fn check(&self, response: Response) -> Result<PortalResponse, PortalErrorKind> {
        let header = |name: &str| {
            let found = response.headers.iter().find(|(given, _)| given == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let code = response.status;
        let status = status_text(code);
        let html = is_html(&response.body);
        match code {
            200..=299 if html => Err(PortalErrorKind::Html { code, status }),
            200..=299 => Ok(PortalResponse {
                date: header("date").and_then(|date| parse_http_date(&date)),
                body: response.body,
                cut: response.cut.map(|cut| cut.to_string()),
            }),
            300..=399 => {
                let to = header("location").filter(|to| !to.trim().is_empty());
                Err(PortalErrorKind::Redirect {
                    status,
                    to: to.map(|to| self.redact(&masked(&to))),
                })
            }
            401 | 403 => Err(PortalErrorKind::Token {
                status,
                message: self.message(&response.body),
            }),
            404 if !html => Err(PortalErrorKind::NotFound),
            _ if html => Err(PortalErrorKind::Html { code, status }),
            _ => Err(PortalErrorKind::Status {
                code,
                status,
                message: self.message(&response.body),
            }),
        }
    }

    /// The beginning of the message in an error response, on one line, after `: `; empty for a page.
    fn message(&self, body: &[u8]) -> String {
        if is_html(body) {
            return String::new();
        }
        let text = self.redactor.redact(&message(body));
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MAX_MESSAGE_CHARS) {
            _ if line.is_empty() => String::new(),
            Some((end, _)) => format!(": {}…", &line[..end]),
            None => format!(": {line}"),
        }
    }
}

/// Looks at the body: the `Content-Type` may say anything.
fn is_html(body: &[u8]) -> bool {
    let start = &body[..body.len().min(1024)];
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let start = start.trim_start_matches('\u{feff}').trim_start();
    start.starts_with("<!doctype html")
        || start.starts_with("<html")
        || start.contains("<html ")
        || start.contains("<html>")
}
