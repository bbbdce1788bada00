//! Emulates a 3scale portal for `hookfire portal`: its webhook API, on the journal's failed deliveries.
//!
//! Behaves like the portal itself where clients can tell: parameters come from the query and the body alike, times are
//! inclusive to the second, a wrong token is a 403 and an unreadable time a 400. The webhook settings are kept until the
//! listener ends, and do not affect anything.

use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value, json};

use super::auth::{Authorization, authorization};
use super::{Web, WebState, json_response};
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::error::{Failure, Kind};
use crate::event::catalogue::EVENTS;
use crate::journal::{Cursor, Journal, Query};
use crate::output::OutputError;
use crate::portal::failures::{FailureEntry, FailuresWriter, ListFormat};
use crate::secret::safe_url::decoded_pairs;
use crate::time::{UnixMs, parse_portal_time, rfc3339_seconds};

const XML: &str = "application/xml; charset=utf-8";
const TOKEN_PARAMETERS: [&str; 2] = ["access_token", "provider_key"];
const MAX_URL_CHARACTERS: usize = 255;

/// A list is sent in parts of about this many failures or bytes.
const PAGE_SIZE: usize = 100;
const PART_BYTES: usize = 256 * 1024;

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/api/webhooks/failures.xml", get(list).delete(delete))
        .route("/api/webhooks/failures.json", get(list).delete(delete))
        .route("/api/webhooks.json", put(update).patch(update))
        .route("/api/webhooks", put(not_acceptable).patch(not_acceptable))
        .route(
            "/api/webhooks.xml",
            put(not_acceptable).patch(not_acceptable),
        )
        .fallback(not_found)
}

/// A request's parameters, from the query and the body. Extracting them checks the token.
struct Parameters {
    /// Those of the body after those of the query; the last of a name wins.
    pairs: Vec<(String, Value)>,
    format: ResponseFormat,
}

/// The format of lists and errors.
#[derive(Clone, Copy)]
struct ResponseFormat(ListFormat);

impl ResponseFormat {
    fn of(uri: &Uri) -> ResponseFormat {
        ResponseFormat(match uri.path().ends_with(".xml") {
            true => ListFormat::Xml,
            false => ListFormat::Json,
        })
    }

    fn error(self, status: StatusCode, message: &str) -> Response {
        match self.0 {
            ListFormat::Xml => {
                let document = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>{message}</error>\n"
                );
                (status, [(CONTENT_TYPE, XML)], document).into_response()
            }
            ListFormat::Json => json_response(status, &json!({ "error": message })),
        }
    }

    fn failure(self, failure: &Failure) -> Response {
        let status = match failure.kind {
            Kind::Journal => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.error(status, "the emulator cannot read the journal")
    }
}

impl FromRequest<Arc<WebState>> for Parameters {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<WebState>) -> Result<Self, Response> {
        let format = ResponseFormat::of(request.uri());
        let mut pairs = text_pairs(request.uri().query().unwrap_or_default());
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !content_type.starts_with("application/json") {
            pairs.extend(text_pairs(&String::from_utf8_lossy(&body)));
        } else if !body.trim_ascii().is_empty() {
            match serde_json::from_slice::<Map<String, Value>>(&body) {
                Ok(object) => pairs.extend(object),
                Err(_) => return Err(format.error(StatusCode::BAD_REQUEST, "invalid JSON")),
            }
        }
        let parameters = Parameters {
            pairs: flattened(pairs),
            format,
        };
        if parameters.has_token(state, &headers) {
            Ok(parameters)
        } else {
            Err(format.error(StatusCode::FORBIDDEN, "Access denied"))
        }
    }
}

impl Parameters {
    fn get(&self, name: &str) -> Option<&Value> {
        let mut named = self.pairs.iter().rev().filter(|(given, _)| given == name);
        named.next().map(|(_, value)| value)
    }

    /// The token may be a parameter, or the user or password of HTTP Basic.
    fn has_token(&self, state: &WebState, headers: &HeaderMap) -> bool {
        let Some(token) = &state.options.portal_token else {
            return true;
        };
        let is_parameter = TOKEN_PARAMETERS.iter().any(|name| {
            let value = self.get(name).and_then(Value::as_str);
            value.is_some_and(|value| token.is(value.as_bytes()))
        });
        let in_header = match authorization(headers) {
            Some(Authorization::Basic(user, password)) => {
                token.is(user.as_bytes()) || token.is(password.as_bytes())
            }
            _ => false,
        };
        is_parameter || in_header
    }
}

fn text_pairs(form: &str) -> Vec<(String, Value)> {
    let pairs = decoded_pairs(form).into_iter();
    pairs
        .map(|(name, value)| (name, Value::from(value)))
        .collect()
}

/// `web_hook[url]` and `{"web_hook": {"url": …}}` mean the same as `url`.
fn flattened(pairs: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (name, value) in pairs {
        let inner = name
            .strip_prefix("web_hook[")
            .and_then(|rest| rest.strip_suffix(']'));
        match (inner, value) {
            (None, Value::Object(object)) if name == "web_hook" => flat.extend(object),
            (Some(inner), value) => flat.push((inner.to_owned(), value)),
            (None, value) => flat.push((name, value)),
        }
    }
    flat
}

fn failed_deliveries(before: Option<UnixMs>) -> Query {
    Query::failed(Filter {
        before,
        ..Filter::default()
    })
}

/// A list that is being sent, part by part. A client that reads slowly holds neither the journal nor the whole list.
struct SentList {
    writer: FailuresWriter<Vec<u8>>,
    after: Option<Cursor>,
}

/// The list in the format that the path names, as for errors.
async fn list(State(state): Web, parameters: Parameters) -> Response {
    let format = parameters.format;
    let begun = Arc::clone(&state).with_journal(move |_, journal| {
        journal.interrupt_abandoned()?;
        let writer = FailuresWriter::new(Vec::new(), format.0).map_err(OutputError::from)?;
        next_part(
            journal,
            SentList {
                writer,
                after: None,
            },
        )
    });
    let content_type = match format.0 {
        ListFormat::Xml => XML,
        ListFormat::Json => "application/json",
    };
    let body = match begun.await {
        Err(error) => return format.failure(&error),
        Ok((only, None)) => Body::from(only),
        Ok((first, rest)) => {
            let rest = stream::try_unfold(rest, move |rest| {
                let state = Arc::clone(&state);
                async move {
                    let Some(list) = rest else { return Ok(None) };
                    let part = state.with_journal(move |_, journal| next_part(journal, list));
                    part.await.map(Some)
                }
            });
            let parts = stream::iter([Ok(first)]).chain(rest);
            Body::from_stream(parts.map_err(|failure: Failure| failure.error))
        }
    };
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

/// Some of the list, and the rest of it if there is one.
fn next_part(
    journal: &dyn Journal,
    mut list: SentList,
) -> Result<(Vec<u8>, Option<SentList>), Failure> {
    let page = journal.page(&failed_deliveries(None), list.after, PAGE_SIZE)?;
    for delivery in &page {
        let payload = journal.payload(delivery.id)?;
        let time = rfc3339_seconds(delivery.finished_or_created_at());
        let pushed = list
            .writer
            .push(&FailureEntry::of(delivery, &time, &payload));
        pushed.map_err(|e| Failure::from_error(Kind::Journal, e))?;
        list.after = Some(Cursor::after(delivery));
        if list.writer.out().len() > PART_BYTES {
            return Ok((std::mem::take(list.writer.out()), Some(list)));
        }
    }
    if page.len() == PAGE_SIZE {
        return Ok((std::mem::take(list.writer.out()), Some(list)));
    }
    let end = list.writer.finish().map_err(OutputError::from)?;
    Ok((end, None))
}

/// Deletes failures up to `time`, all without it. A `time` that cannot be read deletes nothing.
async fn delete(State(state): Web, parameters: Parameters) -> Response {
    let before = match parameters.get("time") {
        None => None,
        Some(time) => {
            let Some(time) = time.as_str().and_then(parse_portal_time) else {
                return parameters
                    .format
                    .error(StatusCode::BAD_REQUEST, "invalid time");
            };
            let end_of_second = time.0.div_euclid(1000) * 1000 + 999;
            Some(UnixMs(end_of_second))
        }
    };
    let deleted = state.change_many(move |journal| {
        let seen = journal.delivery_versions(&failed_deliveries(before))?;
        journal.delete(&seen, &[Status::Failed, Status::Interrupted])?;
        Ok(())
    });
    match deleted.await {
        Ok(()) => ([(CONTENT_TYPE, XML)], "").into_response(),
        Err(error) => parameters.format.failure(&error),
    }
}

/// The settings of a new tenant: everything is off.
pub(super) fn default_settings() -> Map<String, Value> {
    let mut settings = Map::from_iter([("url".to_owned(), Value::from(""))]);
    let switches = EVENTS
        .iter()
        .map(|(event_type, action)| format!("{event_type}_{action}_on"));
    for name in ["active", "provider_actions"]
        .map(str::to_owned)
        .into_iter()
        .chain(switches)
    {
        settings.insert(name, Value::Bool(false));
    }
    settings
}

/// Changes the given settings and responds with all of them. Invalid settings change nothing.
async fn update(State(state): Web, parameters: Parameters) -> Response {
    let mut stored = state
        .portal_settings
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let mut settings = stored.clone();
    for (name, value) in &parameters.pairs {
        if let Some(setting) = settings.get_mut(name) {
            *setting = match name.as_str() {
                "url" => Value::from(value.as_str().unwrap_or_default()),
                _ => Value::Bool(is_true(value)),
            };
        }
    }
    if settings["active"] == true
        && let Err(problem) = check_url(settings["url"].as_str().unwrap_or_default())
    {
        return json_response(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({ "errors": { "url": [problem] } }),
        );
    }
    let response = json_response(StatusCode::OK, &json!({ "webhook": settings }));
    *stored = settings;
    response
}

/// As Ruby on Rails reads booleans.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            let text = text.to_ascii_lowercase();
            !matches!(text.as_str(), "" | "0" | "f" | "false" | "off")
        }
        _ => false,
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    if url.chars().count() > MAX_URL_CHARACTERS {
        return Err("is too long (maximum is 255 characters)");
    }
    // The portal looks for a scheme with something behind it, anywhere in the text.
    let begins_url = |rest: &str| {
        rest.trim_start_matches('/')
            .starts_with(|c: char| !c.is_whitespace())
    };
    let mut schemes = ["http:", "https:"].into_iter();
    if schemes.any(|scheme| url.split(scheme).skip(1).any(begins_url)) {
        Ok(())
    } else {
        Err("Must be a valid URL such as http://example.com")
    }
}

async fn not_acceptable(_: Parameters) -> StatusCode {
    StatusCode::NOT_ACCEPTABLE
}

async fn not_found(method: Method, uri: Uri, parameters: Parameters) -> Response {
    let message = format!("the portal emulator has no {method} {}", uri.path());
    parameters.format.error(StatusCode::NOT_FOUND, &message)
}
