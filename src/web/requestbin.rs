//! RequestBin's API: create bins, and read them and their requests. Nothing is masked: its clients compare it with their requests.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::list::Page;
use super::{Web, WebOptions, WebState, json_response, status_of};
use crate::capture::Bin;
use crate::error::{Failure, Kind};
use crate::journal::{Journal, StoredCapture};
use crate::output::requestbin::{bin_view, request_view};
use crate::secret::safe_url::decoded_pairs;
use crate::text::with_program;

/// The newest requests are listed, at most this many.
const MAX_REQUESTS: usize = 1000;
/// The size of a list, unless its first request alone is longer.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;

/// Bins of the journal beyond which the API creates no more.
const MAX_BINS: usize = 1_000;

const NAME_LENGTH: usize = 8;
const NAME_CHARACTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

type BinResult = Result<Response, BinError>;

/// A failure as RequestBin reports it.
struct BinError(Failure);

impl From<Failure> for BinError {
    fn from(failure: Failure) -> BinError {
        BinError(failure)
    }
}

impl IntoResponse for BinError {
    fn into_response(self) -> Response {
        error(status_of(&self.0), &self.0.error.to_string())
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    json_response(status, &json!({ "error": message }))
}

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

async fn create(State(state): Web, body: Bytes) -> BinResult {
    let private = wants_private(&body);
    let created = state.respond(move |options, journal| {
        require_room_for_bin(journal, options)?;
        let mut name = random_name();
        while journal.bin(&name)?.is_some() {
            name = random_name();
        }
        let bin = journal.create_bin(&name, private, journal.now())?;
        Ok(bin_view(&bin))
    });
    Ok(created.await?)
}

pub(super) fn require_room_for_bin(
    journal: &dyn Journal,
    options: &WebOptions,
) -> Result<(), Failure> {
    if journal.bins()?.len() < MAX_BINS {
        return Ok(());
    }
    let message = format!(
        "there are {MAX_BINS} bins already; `hookfire captured delete --bin NAME --with-bin` deletes one"
    );
    Err(Failure::usage(with_program(&message, &options.program)))
}

async fn show(State(state): Web, Path(name): Path<String>) -> BinResult {
    let found = state.respond(move |_, journal| Ok(bin_view(&find(journal, &name)?)));
    Ok(found.await?)
}

async fn list(State(state): Web, Path(name): Path<String>) -> BinResult {
    let listed = state.respond(move |_, journal| {
        let bin = find(journal, &name)?;
        let mut ids = journal.ids_in_bin(&bin.name, i64::MAX)?;
        ids.sort_unstable_by_key(|id| Reverse(*id));
        // None for captures that were deleted meanwhile.
        let captures = ids
            .into_iter()
            .filter_map(|id| journal.capture(id).transpose());
        let page = Page::fill(
            captures,
            (MAX_REQUESTS, MAX_LIST_BYTES),
            |stored| stored.record.id,
            |stored| Ok((Some(request_view(&stored.record, &stored.body)), 0)),
        )?;
        Ok(json!(page.entries))
    });
    Ok(listed.await?)
}

async fn show_request(State(state): Web, Path((bin, id)): Path<(String, String)>) -> BinResult {
    let found = state.respond(move |_, journal| {
        let bin = find(journal, &bin)?;
        let found = match id.parse() {
            Ok(id) => journal.capture(id)?,
            Err(_) => None,
        };
        let found = found.filter(|found| found.record.bin == bin.name);
        let StoredCapture { record, body, .. } =
            found.ok_or_else(|| not_found("Request not found"))?;
        Ok(request_view(&record, &body))
    });
    Ok(found.await?)
}

fn find(journal: &dyn Journal, bin: &str) -> Result<Bin, Failure> {
    let found = journal.bin(bin)?;
    found.ok_or_else(|| not_found("Bin not found"))
}

fn not_found(message: &str) -> Failure {
    Failure::new(Kind::NotFound, message)
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
