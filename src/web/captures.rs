//! The page's API for captures: list, show, export as curl, download, delete and replay.

use std::iter;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::sending::error_view;
use super::{ApiResult, Web, WebState, blocking, json_response};
use crate::capture::{Body, CaptureRecord, Mask, credentials};
use crate::capture::{diff, export};
use crate::error::Failure;
use crate::journal::Journal;
use crate::journal::{CaptureQuery, Order, StoredCapture};
use crate::output::capture::head;
use crate::output::capture_json::CaptureView;
use crate::output::json;

const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 500;
/// The size of a list's JSON, unless its first entry alone is longer.
pub(super) const MAX_LIST_BYTES: usize = 1024 * 1024;
/// Captures read at a time while filtering.
const FILTER_PAGE_SIZE: u32 = 500;
/// How much of a body is shown. Longer bodies are not pretty-printed.
const MAX_SHOWN_BYTES: usize = 256 * 1024;
const MAX_PRETTY_BYTES: usize = 1024 * 1024;

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/bins", get(bins))
        .route("/bins/{bin}/captures", delete(clear))
        .route("/captures", get(list))
        .route("/captures/{id}", get(show).delete(remove))
        .route("/captures/{id}/curl", get(curl))
        .route("/captures/{id}/body", get(download))
        .route("/captures/{id}/replay", post(replay))
}

/// All bins, the default one included before it exists.
async fn bins(State(state): Web) -> ApiResult {
    state
        .respond(|options, journal| {
            // The newest id is read first: a capture that arrives in between is counted, but not deleted by `clear`.
            let (newest, bins) = (journal.newest_capture()?, journal.bins()?);
            let view = |name: &str, count: u64| {
                json!({ "name": name, "request_count": count, "default": name == options.default_bin })
            };
            let mut views: Vec<Value> = bins
                .iter()
                .map(|bin| view(&bin.name, bin.request_count))
                .collect();
            if !bins.iter().any(|bin| bin.name == options.default_bin) {
                views.insert(0, view(&options.default_bin, 0));
            }
            Ok(json!({ "bins": views, "newest": newest }))
        })
        .await
}

#[derive(Deserialize)]
struct ClearQuery {
    /// The newest capture to delete: later ones were not shown when the user confirmed.
    until: i64,
}

async fn clear(
    State(state): Web,
    Path(bin): Path<String>,
    Query(query): Query<ClearQuery>,
) -> ApiResult {
    state
        .respond(move |_, journal| Ok(deleted(journal.clear_bin(&bin, query.until)?)))
        .await
}

pub(super) fn deleted(count: usize) -> Value {
    json!({ "deleted": count })
}

#[derive(Deserialize)]
struct CapturesQuery {
    bin: Option<String>,
    /// Lists captures with smaller ids.
    before: Option<i64>,
    limit: Option<u32>,
    /// Words that the shown part of a capture must contain.
    #[serde(default)]
    q: String,
}

/// The newest captures of a bin or of all bins.
async fn list(State(state): Web, Query(list): Query<CapturesQuery>) -> ApiResult {
    state
        .respond(move |options, journal| {
            let limit = page_size(list.limit);
            let words = list.q.to_lowercase();
            let words: Vec<&str> = words.split_whitespace().collect();
            let query = CaptureQuery {
                bin: list.bin.filter(|bin| !bin.is_empty()),
                before: list.before,
                order: Order::NewestFirst,
                limit: Some(match words.is_empty() {
                    true => limit as u32 + 1,
                    false => FILTER_PAGE_SIZE,
                }),
                ..CaptureQuery::default()
            };
            let views = captures(journal, query).filter_map(|record| match record {
                Ok(record) => matches(&record, &words, &options.mask)
                    .then(|| Ok(CaptureView::new(&record, &options.mask))),
                Err(e) => Some(Err(e)),
            });
            let (views, more) = first_of(views, limit, MAX_LIST_BYTES)?;
            Ok(json!({ "captures": views, "more": more }))
        })
        .await
}

pub(super) fn page_size(limit: Option<u32>) -> usize {
    limit.unwrap_or(DEFAULT_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE) as usize
}

/// The first `limit` of these, fewer if they have more than `max_bytes` together, and whether some were left out.
pub(super) fn first_of<T: Serialize>(
    views: impl Iterator<Item = Result<T, Failure>>,
    limit: usize,
    max_bytes: usize,
) -> Result<(Vec<Value>, bool), Failure> {
    let (mut first, mut bytes) = (Vec::new(), 0);
    for view in views {
        let view = json!(view?);
        bytes += json::compact(&view).len();
        if first.len() == limit || !first.is_empty() && bytes > max_bytes {
            return Ok((first, true));
        }
        first.push(view);
    }
    Ok((first, false))
}

/// Captures from the newest, read in pages of the query's limit.
fn captures(
    journal: &dyn Journal,
    mut query: CaptureQuery,
) -> impl Iterator<Item = Result<CaptureRecord, Failure>> {
    let mut page = Vec::new().into_iter();
    iter::from_fn(move || {
        if page.len() == 0 {
            let read = match journal.captures(&query) {
                Ok(read) => read,
                Err(e) => return Some(Err(e.into())),
            };
            query.before = read.last().map(|record| record.id);
            page = read.into_iter();
        }
        page.next().map(Ok)
    })
}

/// Whether what the list shows of a capture contains all words. Masked values cannot be searched for.
fn matches(record: &CaptureRecord, words: &[&str], mask: &Mask) -> bool {
    if words.is_empty() {
        return true;
    }
    let capture = &record.capture;
    let event = record.event.as_ref().map(|event| {
        let (event_type, action) = (&event.event_type, &event.action);
        format!("{event_type}.{action} {event_type} {action}")
    });
    let status = capture.response.status;
    let status = status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
    let content_type = capture.header("content-type").map(String::from_utf8_lossy);
    let malformed = if capture.malformed { "malformed" } else { "" };
    let secret = match capture.secret_ok {
        Some(false) => "wrong secret",
        _ => "",
    };
    let shown = format!(
        "#{} {} {} {} {status} {} {} {malformed} {secret}",
        record.id,
        capture.method(),
        mask.target(capture),
        event.unwrap_or_default(),
        record.bin,
        content_type.unwrap_or_default(),
    )
    .to_lowercase();
    words.iter().all(|word| shown.contains(word))
}

fn find(journal: &dyn Journal, id: i64) -> Result<StoredCapture, Failure> {
    let found = journal.capture(id)?;
    found.ok_or_else(|| Failure::no_capture(id))
}

#[derive(Deserialize)]
struct ShowQuery {
    /// `1` shows secret values.
    #[serde(default)]
    reveal: String,
}

impl ShowQuery {
    fn mask(&self, mask: &Mask) -> Mask {
        Mask {
            reveal: self.reveal == "1",
            ..mask.clone()
        }
    }
}

async fn show(State(state): Web, Path(id): Path<i64>, Query(query): Query<ShowQuery>) -> ApiResult {
    state
        .respond(move |options, journal| {
            let StoredCapture { record, body } = find(journal, id)?;
            Ok(detail(&record, &body, &query.mask(&options.mask)))
        })
        .await
}

fn detail(record: &CaptureRecord, body: &Body, mask: &Mask) -> Value {
    let is_text = std::str::from_utf8(&body.bytes).is_ok();
    let (shown, sent) = (beginning(&body.bytes), beginning(body.as_sent()));
    let is_whole = shown.len() == body.bytes.len() && sent.len() == body.as_sent().len();
    let pretty = match is_text && body.bytes.len() <= MAX_SHOWN_BYTES {
        true => diff::pretty(&body.bytes).filter(|pretty| pretty.len() <= MAX_PRETTY_BYTES),
        false => None,
    };
    let language = match pretty.as_deref().map(str::trim_start) {
        Some(pretty) if pretty.starts_with('<') => "xml",
        Some(_) => "json",
        None if is_text => "text",
        None => "binary",
    };
    let capture = &record.capture;
    let raw_head = match mask.reveal {
        true => String::from_utf8_lossy(&capture.head).into_owned(),
        false => format!("{}\n", head(capture, mask)),
    };
    let shown = Body {
        bytes: shown.to_vec(),
        wire: None,
    };
    json!({
        "capture": CaptureView::new(record, mask).with_body(&shown),
        "hidden": mask.hides(capture),
        "credentials": credentials(capture.head.headers()),
        "pretty": pretty,
        "language": language,
        "raw": raw_head + &String::from_utf8_lossy(sent),
        "whole": is_whole,
    })
}

/// The shown part of a body, not cut inside a character.
fn beginning(bytes: &[u8]) -> &[u8] {
    if bytes.len() <= MAX_SHOWN_BYTES {
        return bytes;
    }
    let cut = &bytes[..MAX_SHOWN_BYTES];
    match std::str::from_utf8(cut) {
        Err(e) if e.error_len().is_none() => &cut[..e.valid_up_to()],
        _ => cut,
    }
}

async fn curl(
    State(state): Web,
    Path(id): Path<i64>,
    Query(query): Query<ShowQuery>,
) -> Result<String, Failure> {
    state
        .with_journal(move |options, journal| {
            let StoredCapture { record, body } = find(journal, id)?;
            let mask = query.mask(&options.mask);
            export::curl(&record, &body, &mask, &options.program).map_err(Failure::from)
        })
        .await
}

async fn download(State(state): Web, Path(id): Path<i64>) -> ApiResult {
    state
        .with_journal(move |_, journal| {
            let StoredCapture { body, .. } = find(journal, id)?;
            // A type that browsers save instead of showing.
            let headers = [(CONTENT_TYPE, "application/octet-stream")];
            Ok((headers, body.bytes).into_response())
        })
        .await
}

async fn remove(State(state): Web, Path(id): Path<i64>) -> ApiResult {
    state
        .respond(move |_, journal| Ok(deleted(journal.delete_captures(&[id])?)))
        .await
}

#[derive(Deserialize)]
struct Replay {
    url: String,
    #[serde(default)]
    send_credentials: bool,
}

async fn replay(State(state): Web, Path(id): Path<i64>, Json(replay): Json<Replay>) -> ApiResult {
    let found = Arc::clone(&state).with_journal(move |_, journal| find(journal, id));
    let StoredCapture { record, body } = found.await?;
    blocking(move || {
        let (sending, mask) = (&state.options.sending, &state.options.mask);
        let (url, credentials) = (&replay.url, replay.send_credentials);
        let sent = sending.replay(&record, &body, url, credentials, mask);
        let view = match sent {
            Ok(result) => json!({ "result": result, "error": null }),
            Err(failure) => json!({ "result": null, "error": error_view(&failure) }),
        };
        Ok(json_response(StatusCode::OK, &view))
    })
    .await
}
