//! The client of a listener's API: one request per call, with the token in a header.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{AddressError, RemoteError, RemoteErrorKind};
use super::events::Events;
use super::form::{
    API_VERSION, About, Bins, CaptureForm, CapturesForm, MAX_CAPTURE_BYTES, NAME, PositionForm,
};
use crate::capture::{Bin, Run};
use crate::delivery::{AttemptError, ErrorKind};
use crate::http::{Client, Cut, Request, Response, SendError, SendRequest, status_text};
use crate::journal::{CaptureQuery, FollowCursor, Order, StoredCapture};
use crate::sanitize::visible_line;
use crate::secret::safe_url::{BaseUrl, UrlError, encode_pair, masked};
use crate::secret::{Redactor, Secret};
use crate::text::cut;
use crate::time::rfc3339;

/// The end of the addresses that `listen` prints, which may be left out.
const PAGE: &str = "/_hookfire";
const API: &str = "/_hookfire/api";
const EVENTS: &str = "/_hookfire/events";

/// The longest responses: without captures, and with them as JSON with base64.
const MAX_SHORT_BYTES: usize = 1024 * 1024;
const MAX_CAPTURES_BYTES: usize = 2 * MAX_CAPTURE_BYTES;

/// How much of a remote's own message is shown.
const MAX_MESSAGE_CHARS: usize = 200;

/// The URL below which a listener serves its page and API.
#[derive(Clone, Debug)]
pub struct RemoteAddress {
    /// Its path is what a proxy in front of the listener may add.
    base: BaseUrl,
}

impl RemoteAddress {
    /// Parses `https://hooks.example.com/_hookfire/`, or the same without its path.
    pub fn parse(text: &str) -> Result<RemoteAddress, AddressError> {
        let (base, query) = BaseUrl::parse(text).map_err(|e| match e {
            UrlError::UserInfo => AddressError::Token,
            e => AddressError::Url(e),
        })?;
        if query.iter().any(|pair| pair.name == "token") {
            return Err(AddressError::Token);
        }
        if !query.is_empty() {
            return Err(AddressError::Query);
        }
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix(PAGE).unwrap_or(path);
        let address = base.with_path(path, None);
        let (base, _) = BaseUrl::parse(address.as_str())?;
        Ok(RemoteAddress { base })
    }

    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    pub fn shown(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

/// A listener on another machine.
pub struct Remote {
    sender: Box<dyn SendRequest + Send>,
    address: RemoteAddress,
    token: Option<Secret>,
    redactor: Arc<Redactor>,
}

/// Captures that follow each other.
pub struct CapturePage {
    pub captures: Vec<RemoteCapture>,
    pub more: bool,
    /// If the query has a bin and `after`.
    pub position: Option<FollowCursor>,
}

pub struct RemoteCapture {
    pub stored: StoredCapture,
    /// Whether the remote has left out a body that is too large.
    pub lacks_body: bool,
}

impl Remote {
    /// `secrets` are masked in messages besides the token.
    pub fn new(
        sender: Box<dyn SendRequest + Send>,
        address: RemoteAddress,
        token: Option<Secret>,
        secrets: &[Secret],
    ) -> Remote {
        let mut redactor = Redactor::new(&token);
        redactor.add(secrets);
        Remote {
            sender,
            address,
            token,
            redactor: Arc::new(redactor),
        }
    }

    pub fn address(&self) -> &RemoteAddress {
        &self.address
    }

    /// Finds out whether the remote is a listener whose captures this program can read.
    pub fn check(&self) -> Result<(), RemoteError> {
        let about: About = match self.read("about", &[], MAX_SHORT_BYTES) {
            Err(RemoteErrorKind::Status { code: 404, .. }) => {
                return Err(self.error(RemoteErrorKind::TooOld { version: None }));
            }
            about => about.map_err(|kind| self.error(kind))?,
        };
        if about.name != NAME {
            let other = format!("it is `{}`", self.shown(&about.name));
            return Err(self.error(RemoteErrorKind::NotHookfire(other)));
        }
        let versions = &about.api_versions;
        if versions.contains(&API_VERSION) {
            return Ok(());
        }
        let version = self.shown(&about.version);
        Err(self.error(match versions.iter().min() {
            Some(oldest) if *oldest > API_VERSION => RemoteErrorKind::TooNew {
                version,
                offered: versions.iter().take(8).map(u32::to_string).collect(),
            },
            _ => RemoteErrorKind::TooOld {
                version: Some(version),
            },
        }))
    }

    pub fn bins(&self) -> Result<Bins, RemoteError> {
        let bins = self.read("v1/bins", &[], MAX_SHORT_BYTES);
        bins.map_err(|kind| self.error(kind))
    }

    /// The bins as the journal there has them, but without responses of their own.
    pub fn read_bins(&self) -> Result<Vec<Bin>, RemoteError> {
        let bins = self.bins()?.bins;
        let bins = bins.iter().map(|bin| bin.read().map_err(invalid));
        let bins = bins.collect::<Result<_, _>>();
        bins.map_err(|kind| self.error(kind))
    }

    /// One page of captures; the query's limit is that of the page.
    pub fn captures(
        &self,
        query: &CaptureQuery,
        with_bodies: bool,
    ) -> Result<CapturePage, RemoteError> {
        let read = || {
            let page: CapturesForm = self.read(
                "v1/captures",
                &parameters(query, with_bodies),
                MAX_CAPTURES_BYTES,
            )?;
            let captures = page.captures.iter().map(|form| {
                let stored = self.capture_of(form)?;
                Ok(RemoteCapture {
                    stored,
                    lacks_body: with_bodies && form.lacks_body(),
                })
            });
            let captures = captures.collect::<Result<Vec<_>, _>>()?;
            check_order(query, &captures)?;
            let position = match (&page.position, query.after) {
                (Some(position), Some(after)) => Some(read_position(position, after)?),
                _ => None,
            };
            Ok(CapturePage {
                more: page.more && !captures.is_empty(),
                captures,
                position,
            })
        };
        read().map_err(|kind| self.error(kind))
    }

    /// A capture with its body and the runs of commands for it.
    pub fn capture(&self, id: i64) -> Result<Option<(StoredCapture, Vec<Run>)>, RemoteError> {
        let read = || {
            let path = format!("v1/captures/{id}");
            let form: CaptureForm = match self.read(&path, &[], MAX_CAPTURES_BYTES) {
                Err(RemoteErrorKind::Status { code: 404, .. }) => return Ok(None),
                form => form?,
            };
            let stored = self.capture_of(&form)?;
            if stored.record.id != id {
                return Err(invalid("id"));
            }
            if form.lacks_body() {
                let body_size = form.body_size;
                return Err(RemoteErrorKind::LargeBody { id, body_size });
            }
            let runs = form.runs.iter().map(|run| run.read().map_err(invalid));
            Ok(Some((stored, runs.collect::<Result<_, _>>()?)))
        };
        read().map_err(|kind| self.error(kind))
    }

    /// The live events of the listener. `streams` is a client for responses without an end.
    pub(super) fn events(&self, streams: Client) -> Result<Events, RemoteError> {
        let open = || {
            let mut request = self.request(EVENTS, &[], MAX_SHORT_BYTES);
            request.headers[0].1 = b"text/event-stream".to_vec();
            let stream = streams.open(request).map_err(no_response)?;
            match stream.status() {
                200 if stream
                    .header("content-type")
                    .starts_with("text/event-stream") =>
                {
                    Ok(Events::new(stream))
                }
                200 => Err(RemoteErrorKind::NotHookfire(
                    "it sends no events".to_owned(),
                )),
                _ => match self.check_status(stream.into_response(MAX_MESSAGE_CHARS * 4)) {
                    Err(kind) => Err(kind),
                    Ok(_) => Err(RemoteErrorKind::NotHookfire(
                        "it sends no events".to_owned(),
                    )),
                },
            }
        };
        open().map_err(|kind| self.error(kind))
    }

    pub fn error(&self, kind: RemoteErrorKind) -> RemoteError {
        RemoteError {
            remote: self.address.shown().to_owned(),
            kind,
        }
    }

    fn capture_of(&self, form: &CaptureForm) -> Result<StoredCapture, RemoteErrorKind> {
        form.read().map_err(invalid)
    }

    /// The response to a GET of a path below the API.
    fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        limit: usize,
    ) -> Result<T, RemoteErrorKind> {
        let request = self.request(&format!("{API}/{path}"), parameters, limit);
        let response = match self.sender.send(request).result {
            Ok(response) => response,
            Err(none) => return Err(no_response(none)),
        };
        let response = self.check_status(response)?;
        match response.cut {
            Some(Cut::Limit(limit)) => return Err(RemoteErrorKind::TooLong(limit)),
            Some(Cut::Broken(reason)) => {
                return Err(RemoteErrorKind::NoResponse(AttemptError {
                    kind: ErrorKind::Reset,
                    message: format!("the response {reason}"),
                }));
            }
            None => {}
        }
        serde_json::from_slice(&response.body).map_err(|e| match e.classify() {
            serde_json::error::Category::Data => {
                RemoteErrorKind::Invalid(self.shown(&e.to_string()))
            }
            _ => RemoteErrorKind::NotHookfire("the response is not JSON".to_owned()),
        })
    }

    fn request(&self, path: &str, parameters: &[(&str, String)], body_limit: usize) -> Request {
        let base = &self.address.base;
        let path = format!("{}{path}", base.path().trim_end_matches('/'));
        let pairs: Vec<String> = parameters
            .iter()
            .map(|(name, value)| encode_pair(name, value))
            .collect();
        let query = (!pairs.is_empty()).then(|| pairs.join("&"));
        let mut headers = vec![
            ("accept".to_owned(), b"application/json".to_vec()),
            (
                "user-agent".to_owned(),
                concat!("hookfire/", env!("CARGO_PKG_VERSION")).into(),
            ),
        ];
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose());
            headers.push(("authorization".to_owned(), bearer.into_bytes()));
        }
        Request {
            method: "GET".to_owned(),
            url: Secret::new(base.with_path(&path, query.as_deref()).as_str()),
            headers,
            body: None,
            redactor: Arc::clone(&self.redactor),
            body_limit,
            memory: None,
        }
    }

    fn check_status(&self, response: Response) -> Result<Response, RemoteErrorKind> {
        let code = response.status;
        let status = status_text(code);
        let is_json = header(&response, "content-type").starts_with("application/json");
        match code {
            200 if is_json => Ok(response),
            300..=399 => {
                let to = header(&response, "location");
                Err(RemoteErrorKind::Redirect(
                    (!to.trim().is_empty()).then(|| self.shown(&masked(&to))),
                ))
            }
            401 => Err(RemoteErrorKind::Unauthorized {
                has_token: self.token.is_some(),
            }),
            403 => Err(RemoteErrorKind::Forbidden(self.message(&response))),
            // As hookfire's own errors are.
            404 if is_json && error_of(&response)["kind"] == "not_found" => {
                Err(RemoteErrorKind::Status {
                    code,
                    status,
                    message: String::new(),
                })
            }
            429 | 500.. => Err(RemoteErrorKind::Status {
                code,
                status,
                message: match self.message(&response) {
                    message if message.is_empty() => message,
                    message => format!(": {message}"),
                },
            }),
            _ => Err(RemoteErrorKind::NotHookfire(match code {
                200 => "the response is not JSON".to_owned(),
                _ => status,
            })),
        }
    }

    /// The beginning of the message in an error response; empty for a page.
    fn message(&self, response: &Response) -> String {
        let text = String::from_utf8_lossy(&response.body);
        if text.trim_start().starts_with('<') {
            return String::new();
        }
        let error = error_of(response);
        self.shown(error["message"].as_str().unwrap_or(text.trim()))
    }

    /// Text from the remote on one line, of limited length.
    fn shown(&self, text: &str) -> String {
        let text = self.redactor.redact(text);
        visible_line(&cut(&text, MAX_MESSAGE_CHARS)).into_owned()
    }
}

fn no_response(error: SendError) -> RemoteErrorKind {
    RemoteErrorKind::NoResponse(AttemptError {
        kind: error.kind,
        message: error.message,
    })
}

/// The error in a response, as hookfire reports it; null for another response.
fn error_of(response: &Response) -> Value {
    let json: Option<Value> = serde_json::from_slice(&response.body).ok();
    json.map_or(Value::Null, |mut json| json["error"].take())
}

fn header(response: &Response, name: &str) -> String {
    String::from_utf8_lossy(response.header(name).unwrap_or_default()).into_owned()
}

fn invalid(key: &'static str) -> RemoteErrorKind {
    RemoteErrorKind::Invalid(format!("`{key}` is not valid"))
}

fn read_position(form: &PositionForm, after: i64) -> Result<FollowCursor, RemoteErrorKind> {
    form.read(after).map_err(invalid)
}

/// Fails unless the captures are those that were asked for: a reader relies on ids that grow.
fn check_order(query: &CaptureQuery, captures: &[RemoteCapture]) -> Result<(), RemoteErrorKind> {
    let (mut after, mut before) = (query.after.unwrap_or(0), query.before.unwrap_or(i64::MAX));
    for RemoteCapture { stored, .. } in captures {
        let (id, bin) = (stored.record.id, &stored.record.bin);
        let is_asked = query.bin.as_ref().is_none_or(|asked| asked == bin);
        if id <= after || id >= before || !is_asked {
            return Err(invalid("captures"));
        }
        match query.order {
            Order::OldestFirst => after = id,
            Order::NewestFirst => before = id,
        }
    }
    Ok(())
}

fn parameters(query: &CaptureQuery, with_bodies: bool) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    let mut add = |name, value: Option<String>| {
        parameters.extend(value.map(|value| (name, value)));
    };
    add("bin", query.bin.clone());
    add("method", query.method.clone());
    add("type", query.event_type.clone());
    add("action", query.action.clone());
    add("since", query.since.map(rfc3339));
    add("after", query.after.map(|id| id.to_string()));
    add("before", query.before.map(|id| id.to_string()));
    add("limit", query.limit.map(|limit| limit.to_string()));
    let newest = query.order == Order::NewestFirst;
    add("order", newest.then(|| "newest".to_owned()));
    add("bodies", with_bodies.then(|| "1".to_owned()));
    parameters
}
