//! RequestBin's API: create bins, and read them and their requests. Nothing is masked: its clients check what was sent.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::{ApiResult, Web, WebState, json_body, json_response};
use crate::capture::Bin;
use crate::error::Failure;
use crate::journal::Journal;
use crate::journal::{CaptureQuery, Order};
use crate::output::json;
use crate::output::requestbin::{BinView, RequestView};
use crate::secret::safe_url::decoded_pairs;

/// The newest requests are listed, at most this many.
const MAX_REQUESTS: usize = 1000;
/// The size of a list, unless its first request alone is longer.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;
const PAGE_SIZE: u32 = 50;

const NAME_LENGTH: usize = 8;
const NAME_CHARACTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/", post(create))
        .route("/{bin}", get(show))
        .route("/{bin}/requests", get(list))
        .route("/{bin}/requests/{id}", get(show_request))
        .fallback(async || error(StatusCode::NOT_FOUND, "Not found"))
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
        })
}

async fn create(State(state): Web, body: Bytes) -> Response {
    let private = wants_private(&body);
    let created = state.with_journal(move |_, journal| {
        let mut name = random_name();
        while journal.bin(&name)?.is_some() {
            name = random_name();
        }
        let bin = journal.create_bin(&name, private, journal.now())?;
        Ok(json_response(StatusCode::OK, &BinView::new(&bin)))
    });
    or_error(created.await)
}

async fn show(State(state): Web, Path(name): Path<String>) -> Response {
    let found = state.with_journal(move |_, journal| {
        let bin = journal.bin(&name)?;
        Ok(bin.map_or_else(no_such_bin, |bin| {
            json_response(StatusCode::OK, &BinView::new(&bin))
        }))
    });
    or_error(found.await)
}

async fn list(State(state): Web, Path(name): Path<String>) -> Response {
    let listed = state.with_journal(move |_, journal| match journal.bin(&name)? {
        Some(bin) => Ok(json_body(StatusCode::OK, requests(journal, &bin)?)),
        None => Ok(no_such_bin()),
    });
    or_error(listed.await)
}

async fn show_request(State(state): Web, Path((bin, id)): Path<(String, String)>) -> Response {
    let found = state.with_journal(move |_, journal| {
        if journal.bin(&bin)?.is_none() {
            return Ok(no_such_bin());
        }
        let found = match id.parse() {
            Ok(id) => journal.capture(id)?,
            Err(_) => None,
        };
        Ok(match found {
            Some((caught, body)) if caught.bin == bin => {
                json_response(StatusCode::OK, &RequestView::new(&caught, &body))
            }
            _ => error(StatusCode::NOT_FOUND, "Request not found"),
        })
    });
    or_error(found.await)
}

fn or_error(result: ApiResult) -> Response {
    result.unwrap_or_else(|failed| error(failed.status(), &failed.0.error.to_string()))
}

fn no_such_bin() -> Response {
    error(StatusCode::NOT_FOUND, "Bin not found")
}

fn error(status: StatusCode, message: &str) -> Response {
    json_response(status, &json!({ "error": message }))
}

/// `private` in a JSON object or in a form, with any of the values that clients use for true.
fn wants_private(body: &[u8]) -> bool {
    let is_true = |value: &str| {
        matches!(
            value.to_ascii_lowercase().as_str(),
            "true" | "1" | "on" | "yes"
        )
    };
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        return match object.get("private") {
            Some(Value::Bool(private)) => *private,
            Some(Value::String(value)) => is_true(value),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        };
    }
    decoded_pairs(&String::from_utf8_lossy(body))
        .iter()
        .any(|(name, value)| name == "private" && is_true(value))
}

/// Names need to be new but not secret, so the random keys of the standard library's hasher are enough.
fn random_name() -> String {
    let mut random = RandomState::new().build_hasher().finish();
    let mut next = || {
        let character = NAME_CHARACTERS[(random % NAME_CHARACTERS.len() as u64) as usize];
        random /= NAME_CHARACTERS.len() as u64;
        char::from(character)
    };
    (0..NAME_LENGTH).map(|_| next()).collect()
}

/// A JSON array of the bin's requests, newest first.
fn requests(journal: &dyn Journal, bin: &Bin) -> Result<Vec<u8>, Failure> {
    let mut list = b"[".to_vec();
    let mut count = 0;
    let mut query = CaptureQuery {
        bin: Some(bin.name.clone()),
        order: Order::NewestFirst,
        limit: Some(PAGE_SIZE),
        ..CaptureQuery::default()
    };
    'pages: loop {
        let page = journal.captures(&query)?;
        let Some(last) = page.last() else { break };
        query.before = Some(last.id);
        for caught in &page {
            // Deleted meanwhile.
            let Some((caught, body)) = journal.capture(caught.id)? else {
                continue;
            };
            // Measured as JSON, in which a body can be six times as long.
            let request = json::compact(&RequestView::new(&caught, &body));
            let is_full = list.len() + request.len() > MAX_LIST_BYTES;
            if count == MAX_REQUESTS || count > 0 && is_full {
                break 'pages;
            }
            if count > 0 {
                list.push(b',');
            }
            list.extend_from_slice(request.as_bytes());
            count += 1;
        }
    }
    list.push(b']');
    Ok(list)
}
