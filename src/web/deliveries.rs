//! The page's API for deliveries: list, show, retry, delete, and the counts of the chart.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::captures::{MAX_LIST_BYTES, deleted, first_of, page_size};
use super::{ApiResult, Web, WebState, blocking, json_response};
use crate::delivery::filter::Filter;
use crate::delivery::{Delivery, Status};
use crate::error::Failure;
use crate::event;
use crate::journal::DeliveryVersion;
use crate::journal::{Cursor, Query as DeliveryQuery};
use crate::output::json::{delivery_view, whole_delivery};
use crate::time::{UnixMs, rfc3339};

const FAILED: [Status; 2] = [Status::Failed, Status::Interrupted];

/// The page waits for all of them.
const MAX_RETRIES_PER_CALL: usize = 20;

const CHART_BARS: i64 = 48;
const MAX_CHART_HOURS: i64 = 24 * 366;

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/deliveries", get(list))
        .route("/deliveries/{id}", get(show))
        .route("/deliveries/retry", post(retry))
        .route("/deliveries/delete", post(delete))
        .route("/outcomes", get(outcomes))
}

#[derive(Deserialize)]
struct DeliveriesQuery {
    /// `failed` for failed deliveries only.
    #[serde(default)]
    list: String,
    /// Where the page before this one ended: its `more`.
    before: Option<String>,
    limit: Option<u32>,
}

async fn list(State(state): Web, Query(query): Query<DeliveriesQuery>) -> ApiResult {
    state
        .respond(move |_, journal| {
            let below = query.before.as_deref().map(parse_position).transpose()?;
            let limit = page_size(query.limit);
            journal.interrupt_abandoned()?;
            let found = journal.newest(query.list == "failed", below, limit as u32 + 1)?;
            let views = found.iter().map(|delivery| Ok(delivery_view(delivery)));
            let (views, has_more) = first_of(views, limit, MAX_LIST_BYTES)?;
            let last = found.get(views.len().wrapping_sub(1));
            let more = last.filter(|_| has_more).map(position);
            let failed = journal.count(&DeliveryQuery::failed(Filter::default()))?;
            Ok(json!({ "deliveries": views, "more": more, "failed": failed }))
        })
        .await
}

fn position(delivery: &Delivery) -> String {
    format!("{}.{}", delivery.decided_at().0, delivery.id)
}

fn parse_position(text: &str) -> Result<Cursor, Failure> {
    let position = text.split_once('.').and_then(|(time, id)| {
        Some(Cursor {
            finished_at: UnixMs(time.parse().ok()?),
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
            let (attempts, document) = (journal.attempts(id)?, journal.event(id)?);
            let view = whole_delivery(&delivery, &attempts, &document);
            let pretty = event::pretty(&document).ok();
            Ok(json!({ "delivery": view, "pretty": pretty }))
        })
        .await
}

#[derive(Deserialize)]
struct Retry {
    ids: Vec<i64>,
}

/// Retries deliveries one after the other, with one attempt each.
async fn retry(State(state): Web, Json(Retry { ids }): Json<Retry>) -> ApiResult {
    if ids.len() > MAX_RETRIES_PER_CALL {
        return Err(Failure::usage(format!(
            "at most {MAX_RETRIES_PER_CALL} deliveries can be retried by one call"
        )));
    }
    let failed = Arc::clone(&state).with_journal(move |_, journal| {
        let mut failed = Vec::new();
        for id in ids {
            if let Some(delivery) = journal.delivery(id)?
                && delivery.status.in_failed_list()
            {
                let attempts = delivery.attempt_count;
                failed.push(DeliveryVersion { id, attempts });
            }
        }
        Ok(failed)
    });
    let failed = failed.await?;
    if failed.is_empty() {
        let nothing = json!({ "results": [], "error": null });
        return Ok(json_response(StatusCode::OK, &nothing));
    }
    blocking(move || {
        let retried = state.options.sending.retry(failed)?;
        Ok(json_response(StatusCode::OK, &retried))
    })
    .await
}

#[derive(Deserialize)]
struct Delete {
    /// Deliveries as the page showed them; those that were retried since are kept.
    seen: Vec<SeenDelivery>,
}

#[derive(Deserialize)]
struct SeenDelivery {
    id: i64,
    attempts: u32,
}

async fn delete(State(state): Web, Json(Delete { seen }): Json<Delete>) -> ApiResult {
    state
        .respond(move |_, journal| {
            let seen = seen
                .into_iter()
                .map(|SeenDelivery { id, attempts }| DeliveryVersion { id, attempts })
                .collect::<Vec<_>>();
            Ok(deleted(journal.delete(&seen, &FAILED)?))
        })
        .await
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
            let found = journal.outcomes(since, bar_ms)?;
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
