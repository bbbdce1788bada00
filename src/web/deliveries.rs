//! The page's API for deliveries: list, show, retry, delete, and the counts of the chart.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::captures::deleted;
use super::list::{MAX_LIST_BYTES, Page, Words, page_size};
use super::{ApiResult, Web, WebState, blocking, json_response};
use crate::delivery::filter::Filter;
use crate::delivery::payload::PayloadKind;
use crate::delivery::{Delivery, Status};
use crate::document::pretty_json;
use crate::error::Failure;
use crate::event;
use crate::journal::{Cursor, DeliveryList, DeliveryVersion, PAGE_SIZE, Query as DeliveryQuery};
use crate::output::json::{delivery_view, whole_delivery};
use crate::time::{UnixMs, rfc3339};

const FAILED: [Status; 2] = [Status::Failed, Status::Interrupted];

/// Longer bodies are shown as they are.
const MAX_PRETTY_BYTES: usize = 8 * 1024 * 1024;

/// The page waits for all of them.
const MAX_RETRIES_PER_CALL: usize = 20;

const CHART_BARS: i64 = 48;
const MAX_CHART_HOURS: i64 = 24 * 366;

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/deliveries", get(list))
        .route("/deliveries/{id}", get(show))
        .route("/deliveries/retry", post(retry))
        .route("/deliveries/cancel", post(cancel))
        .route("/deliveries/delete", post(delete))
        .route("/outcomes", get(outcomes))
}

#[derive(Deserialize)]
struct DeliveriesQuery {
    /// `failed`, `scheduled`, or else all.
    #[serde(default)]
    list: String,
    /// Words that the shown part of a delivery must contain.
    #[serde(default)]
    q: String,
    /// Where the page before this one ended: its `more`.
    before: Option<String>,
    limit: Option<u32>,
}

async fn list(State(state): Web, Query(query): Query<DeliveriesQuery>) -> ApiResult {
    state
        .respond(move |_, journal| {
            let below = query.before.as_deref().map(parse_position).transpose()?;
            let (limit, words) = (page_size(query.limit), Words::new(&query.q));
            journal.interrupt_abandoned()?;
            let list = match query.list.as_str() {
                "failed" => DeliveryList::NewestFailed,
                "scheduled" => DeliveryList::Scheduled,
                _ => DeliveryList::All(None),
            };
            let at_once = match words.is_empty() {
                true => limit + 1,
                false => PAGE_SIZE,
            };
            let page = Page::fill(
                journal.deliveries(&of(list), below, at_once),
                (limit, MAX_LIST_BYTES),
                position,
                |delivery| {
                    let is_match = words.is_empty() || words.are_in(&searchable(delivery));
                    Ok((is_match.then(|| delivery_view(delivery)), 0))
                },
            )?;
            Ok(json!({
                "deliveries": page.entries,
                "more": page.more,
                "failed": journal.count(&of(DeliveryList::Failed))?,
                "scheduled": journal.count(&of(DeliveryList::Scheduled))?,
            }))
        })
        .await
}

fn of(list: DeliveryList) -> DeliveryQuery {
    DeliveryQuery {
        list,
        filter: Filter::default(),
        limit: None,
    }
}

/// What the list shows of a delivery.
fn searchable(delivery: &Delivery) -> String {
    let (event_type, action) = (delivery.event_type.as_deref(), delivery.action.as_deref());
    let error = delivery.last_error.as_ref();
    format!(
        "#{} {} {} {} {} {} {} {} {}",
        delivery.id,
        delivery.label(),
        event_type.unwrap_or_default(),
        action.unwrap_or_default(),
        delivery.status.as_str(),
        delivery.endpoint.as_deref().unwrap_or_default(),
        delivery.target,
        error.map_or("", |error| &error.message),
        delivery.uuid,
    )
}

fn position(delivery: &Delivery) -> String {
    format!("{}.{}", delivery.created_at.0, delivery.id)
}

fn parse_position(text: &str) -> Result<Cursor, Failure> {
    let position = text.split_once('.').and_then(|(time, id)| {
        Some(Cursor {
            created_at: UnixMs(time.parse().ok()?),
            id: id.parse().ok()?,
        })
    });
    position.ok_or_else(|| Failure::usage(format!("invalid position `{text}` in `before`")))
}

async fn show(State(state): Web, Path(id): Path<i64>) -> ApiResult {
    state
        .respond(move |_, journal| {
            let delivery = journal.delivery(id)?;
            let delivery = delivery.ok_or_else(|| Failure::no_delivery(id))?;
            let (attempts, payload) = (journal.attempts(id)?, journal.payload(id)?);
            let view = whole_delivery(&delivery, &attempts, &payload);
            let pretty = match delivery.payload_kind {
                PayloadKind::Event(_) => event::pretty(&payload).ok(),
                PayloadKind::Body { .. } if payload.len() > MAX_PRETTY_BYTES => None,
                PayloadKind::Body { .. } => pretty_json(&payload),
            };
            Ok(json!({ "delivery": view, "pretty": pretty }))
        })
        .await
}

#[derive(Deserialize)]
struct Retry {
    ids: Vec<i64>,
    /// Sends scheduled deliveries now, instead of failed ones.
    #[serde(default)]
    scheduled: bool,
}

/// Retries deliveries one after the other, with one attempt each.
async fn retry(State(state): Web, Json(Retry { ids, scheduled }): Json<Retry>) -> ApiResult {
    if ids.len() > MAX_RETRIES_PER_CALL {
        return Err(Failure::usage(format!(
            "at most {MAX_RETRIES_PER_CALL} deliveries can be retried by one call"
        )));
    }
    let seen = Arc::clone(&state).with_journal(move |_, journal| {
        let mut seen = Vec::new();
        for id in ids {
            if let Some(delivery) = journal.delivery(id)?
                && match scheduled {
                    true => delivery.next_attempt_at.is_some() && !delivery.is_owned,
                    false => delivery.status.in_failed_list(),
                }
            {
                seen.push(DeliveryVersion::from(&delivery));
            }
        }
        Ok(seen)
    });
    let seen = seen.await?;
    if seen.is_empty() {
        let nothing = json!({ "results": [], "error": null });
        return Ok(json_response(StatusCode::OK, &nothing));
    }
    blocking(move || {
        let retried = state.options.sending.retry(seen, scheduled)?;
        Ok(json_response(StatusCode::OK, &retried))
    })
    .await
}

/// Moves scheduled deliveries to the failed list.
async fn cancel(State(state): Web, Json(Seen { seen }): Json<Seen>) -> ApiResult {
    state
        .respond(move |_, journal| {
            let cancelled = journal.cancel(&versions(seen))?;
            Ok(json!({ "cancelled": cancelled }))
        })
        .await
}

#[derive(Deserialize)]
struct Seen {
    /// Deliveries as the page showed them; those that were retried since are not changed.
    seen: Vec<SeenDelivery>,
}

#[derive(Deserialize)]
struct SeenDelivery {
    id: i64,
    attempts: u32,
}

async fn delete(State(state): Web, Json(Seen { seen }): Json<Seen>) -> ApiResult {
    state
        .respond(move |_, journal| Ok(deleted(journal.delete(&versions(seen), &FAILED)?)))
        .await
}

fn versions(seen: Vec<SeenDelivery>) -> Vec<DeliveryVersion> {
    let version = |SeenDelivery { id, attempts }| DeliveryVersion { id, attempts };
    seen.into_iter().map(version).collect()
}

#[derive(Deserialize)]
struct OutcomesQuery {
    hours: Option<i64>,
}

/// How many deliveries of the last hours have which status, as the bars of the chart.
async fn outcomes(State(state): Web, Query(query): Query<OutcomesQuery>) -> ApiResult {
    let hours = query.hours.unwrap_or(24);
    if !(1..=MAX_CHART_HOURS).contains(&hours) {
        return Err(Failure::usage(format!(
            "`hours` must be from 1 to {MAX_CHART_HOURS}"
        )));
    }
    state
        .respond(move |_, journal| {
            let now = journal.now();
            let bar_ms = hours * 3_600_000 / CHART_BARS;
            let since = UnixMs(now.0 - bar_ms * CHART_BARS);
            let found = journal.status_counts(since, bar_ms)?;
            let mut bars = [[0; 3]; CHART_BARS as usize];
            for (bar, status, count) in found.counts {
                let column = match status {
                    Status::Delivered => 0,
                    Status::Failed | Status::Interrupted => 1,
                    Status::Pending => 2,
                    _ => continue,
                };
                // A delivery accepted at this very moment belongs to the last bar.
                bars[bar.min(bars.len() - 1)][column] += count;
            }
            let bars = bars
                .iter()
                .enumerate()
                .map(|(bar, [delivered, failed, pending])| {
                    json!({
                        "start": rfc3339(UnixMs(since.0 + bar as i64 * bar_ms)),
                        "delivered": delivered,
                        "failed": failed,
                        "pending": pending,
                    })
                });
            let bars: Vec<Value> = bars.collect();
            Ok(json!({
                "from": rfc3339(since), "to": rfc3339(now), "buckets": bars, "cut": found.cut,
            }))
        })
        .await
}
