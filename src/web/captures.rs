//! The page's API for captures: list, search, show, compare, annotate, export as curl, download, delete and replay.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::list::{MAX_LIST_BYTES, Page, Words, page_size};
use super::sending::error_view;
use super::{ApiResult, Web, WebState, blocking, json_response};
use crate::capture::diff::BodyKind;
use crate::capture::{Body, CaptureRecord, Mask, credentials, diff, export};
use crate::delivery::Status;
use crate::error::Failure;
use crate::journal::{CaptureQuery, Journal, Order, PAGE_SIZE, StoredCapture, by_page};
use crate::output::capture::head;
use crate::output::capture_json::{capture_view, run_view};
use crate::output::json::delivery_view;

/// How much of a body is shown, as it is and formatted.
const MAX_SHOWN_BYTES: usize = 256 * 1024;
const MAX_NOTE_BYTES: usize = 4 * 1024;
/// Longer bodies are not formatted.
const MAX_FORMATTED_BYTES: usize = 8 * 1024 * 1024;

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/captures", get(list))
        .route("/captures/{id}", get(show).delete(remove))
        .route("/captures/{id}/note", put(annotate))
        .route("/captures/{id}/diff/{other}", get(compare))
        .route("/captures/{id}/curl", get(curl))
        .route("/captures/{id}/body", get(download))
        .route("/captures/{id}/replay", post(replay))
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
    /// Words that a capture must contain.
    #[serde(default)]
    q: String,
}

/// The newest captures of a bin or of all bins.
async fn list(State(state): Web, Query(list): Query<CapturesQuery>) -> ApiResult {
    state
        .respond(move |options, journal| {
            let limit = page_size(list.limit);
            let words = Words::new(&list.q);
            let mut query = CaptureQuery {
                bin: list.bin.filter(|bin| !bin.is_empty()),
                before: list.before,
                order: Order::NewestFirst,
                limit: Some(match words.is_empty() {
                    true => limit as u32 + 1,
                    false => PAGE_SIZE as u32,
                }),
                ..CaptureQuery::default()
            };
            let newest = journal.newest_capture()?;
            let records = by_page(|| {
                let read = journal.captures(&query)?;
                query.before = read.last().map(|record| record.id);
                Ok(read)
            });
            let mut page = Page::fill(
                records,
                (limit, MAX_LIST_BYTES),
                |record| record.id,
                |record| {
                    let (is_match, read) = matches(journal, record, &words, &options.mask)?;
                    let view = || capture_view(record, &options.mask, None);
                    Ok((is_match.then(view), read))
                },
            )?;
            add_forwards(journal, &mut page.entries)?;
            Ok(json!({ "captures": page.entries, "more": page.more, "newest": newest }))
        })
        .await
}

/// Adds the status of the deliveries that forward a capture: the first of these that one of them has.
fn add_forwards(journal: &dyn Journal, captures: &mut [Value]) -> Result<(), Failure> {
    const ORDER: [Status; 4] = [
        Status::Failed,
        Status::Interrupted,
        Status::Pending,
        Status::Delivered,
    ];
    let ids: Vec<i64> = captures
        .iter()
        .filter_map(|capture| capture["id"].as_i64())
        .collect();
    let mut statuses: HashMap<i64, Vec<Status>> = HashMap::new();
    for delivery in journal.forwards(&ids)? {
        let capture = delivery.capture.unwrap_or_default();
        statuses.entry(capture).or_default().push(delivery.status);
    }
    for capture in captures {
        let id = capture["id"].as_i64().unwrap_or_default();
        let Some(found) = statuses.get(&id) else {
            continue;
        };
        let first = ORDER.iter().find(|status| found.contains(status));
        capture["forwarded"] = first.map(|status| status.as_str()).into();
    }
    Ok(())
}

/// Whether a capture contains all words, in what the list shows, in its headers or in its body; and how much of the body
/// was read. Masked values cannot be searched for.
fn matches(
    journal: &dyn Journal,
    record: &CaptureRecord,
    words: &Words,
    mask: &Mask,
) -> Result<(bool, usize), Failure> {
    if words.is_empty() {
        return Ok((true, 0));
    }
    let missing = words.missing_in(&searchable(record, mask));
    if missing.is_empty() {
        return Ok((true, 0));
    }
    let Some(StoredCapture { body, .. }) = journal.capture(record.id)? else {
        return Ok((false, 0));
    };
    let body = record.capture.content(&body);
    Ok((missing.are_in_bytes(&body), body.len()))
}

/// What the list shows of a capture, and its headers.
fn searchable(record: &CaptureRecord, mask: &Mask) -> String {
    let capture = &record.capture;
    let event = record.event.as_ref().map(|event| {
        let (event_type, action) = (&event.event_type, &event.action);
        format!("{event_type}.{action} {event_type} {action}")
    });
    let status = capture.response.status;
    let status = status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
    let malformed = if capture.malformed { "malformed" } else { "" };
    let secret = match capture.secret_ok {
        Some(false) => "wrong secret",
        _ => "",
    };
    let signature = match &capture.signature {
        Some(check) if check.invalid.is_some() => "invalid signature",
        Some(_) => "valid signature",
        None => "",
    };
    let handshake = match capture.handshake {
        Some(_) => "handshake",
        None => "",
    };
    let headers = mask.headers(capture).into_iter();
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    format!(
        "#{} {} {} {} {status} {} {malformed} {secret} {signature} {handshake} {}\n{headers}",
        record.id,
        capture.method(),
        mask.target(capture),
        event.unwrap_or_default(),
        record.bin,
        record.note.as_deref().unwrap_or_default(),
    )
}

fn find(journal: &dyn Journal, id: i64) -> Result<StoredCapture, Failure> {
    let found = journal.capture(id)?;
    found.ok_or_else(|| Failure::no_capture(id))
}

#[derive(Deserialize)]
struct ShowQuery {
    /// `1` shows the values of secrets instead of `***`.
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
            let StoredCapture { record, body, .. } = find(journal, id)?;
            let (runs, forwards) = (journal.runs(id)?, journal.forwards(&[id])?);
            let mut view = detail(&record, &body, &query.mask(&options.mask));
            view["runs"] = runs.iter().map(run_view).collect();
            view["forwards"] = forwards.iter().map(delivery_view).collect();
            Ok(view)
        })
        .await
}

fn detail(record: &CaptureRecord, received: &Body, mask: &Mask) -> Value {
    let capture = &record.capture;
    let (body, problem) = match capture.decoded(received) {
        Ok(body) => (body, None),
        Err(problem) => (Cow::Borrowed(&*received.bytes), Some(problem)),
    };
    let is_text = std::str::from_utf8(&body).is_ok();
    let (shown, sent) = (beginning(&body), beginning(received.as_sent()));
    let (pretty, unformatted) = match is_text {
        true => formatted(&body),
        false => (None, None),
    };
    let language = match pretty.as_deref().map(str::trim_start) {
        Some(pretty) if pretty.starts_with('<') => "xml",
        Some(_) => "json",
        None if is_text => "text",
        None => "binary",
    };
    let raw_head = match mask.reveal {
        true => String::from_utf8_lossy(&capture.head).into_owned(),
        false => format!("{}\n", head(capture, mask)),
    };
    let decoded_size = matches!(body, Cow::Owned(_)).then_some(body.len());
    let shown_body = Body {
        bytes: shown.to_vec(),
        wire: None,
    };
    let shown_pretty = pretty.as_deref().map(|pretty| beginning(pretty.as_bytes()));
    json!({
        "capture": capture_view(record, mask, Some(&shown_body)),
        "hidden": mask.hides(capture),
        "credentials": credentials(capture.head.headers()),
        "decoded_size": decoded_size,
        "not_decoded": problem,
        "pretty": shown_pretty.map(String::from_utf8_lossy),
        "pretty_whole": shown_pretty.map(<[u8]>::len) == pretty.as_ref().map(String::len),
        "not_pretty": unformatted,
        "language": language,
        "raw": raw_head + &String::from_utf8_lossy(sent),
        "whole": shown.len() == body.len(),
        "raw_whole": sent.len() == received.as_sent().len(),
    })
}

/// A body over several lines; else why not, if it looks like XML or JSON.
fn formatted(body: &[u8]) -> (Option<String>, Option<String>) {
    if body.len() > MAX_FORMATTED_BYTES {
        let max = MAX_FORMATTED_BYTES / (1024 * 1024);
        return (None, Some(format!("it is longer than {max} MiB")));
    }
    let pretty = diff::pretty(body);
    let is_markup = matches!(body.trim_ascii_start().first(), Some(b'<' | b'{' | b'['));
    let reason = (pretty.is_none() && is_markup).then(|| diff::not_pretty(body));
    (pretty, reason)
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
            let StoredCapture { record, body, .. } = find(journal, id)?;
            let mask = query.mask(&options.mask);
            export::curl(&record, &body, &mask, &options.program).map_err(Failure::from)
        })
        .await
}

#[derive(Deserialize)]
struct DownloadQuery {
    /// `1` decodes the `Content-Encoding` of the body.
    #[serde(default)]
    decoded: String,
}

async fn download(
    State(state): Web,
    Path(id): Path<i64>,
    Query(query): Query<DownloadQuery>,
) -> ApiResult {
    state
        .with_journal(move |_, journal| {
            let StoredCapture { record, body, .. } = find(journal, id)?;
            let bytes = match query.decoded == "1" {
                true => {
                    let decoded = record.capture.decoded(&body);
                    decoded.map_err(Failure::usage)?.into_owned()
                }
                false => body.bytes,
            };
            // A type that browsers save instead of showing.
            let headers = [(CONTENT_TYPE, "application/octet-stream")];
            Ok((headers, bytes).into_response())
        })
        .await
}

#[derive(Deserialize)]
struct Annotation {
    pinned: bool,
    note: String,
}

async fn annotate(
    State(state): Web,
    Path(id): Path<i64>,
    Json(Annotation { pinned, note }): Json<Annotation>,
) -> ApiResult {
    if note.len() > MAX_NOTE_BYTES {
        let message = format!("a note has at most {MAX_NOTE_BYTES} bytes");
        return Err(Failure::usage(message));
    }
    state
        .respond(move |_, journal| {
            let note = Some(note.trim()).filter(|note| !note.is_empty());
            match journal.annotate_capture(id, pinned, note)? {
                true => Ok(json!({ "pinned": pinned, "note": note })),
                false => Err(Failure::no_capture(id)),
            }
        })
        .await
}

/// How the bodies of two captures differ.
async fn compare(State(state): Web, Path((a, b)): Path<(i64, i64)>) -> ApiResult {
    state
        .respond(move |_, journal| {
            let (a, b) = (find(journal, a)?, find(journal, b)?);
            let [body_a, body_b] =
                [&a, &b].map(|stored| stored.record.capture.content(&stored.body));
            let compared = diff::compare(&body_a, &body_b);
            Ok(json!({
                "kind": compared.kind.map(BodyKind::as_str),
                "differences": compared.differences,
                "truncated": compared.truncated,
            }))
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
    let StoredCapture { record, body, .. } = found.await?;
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
