//! The page's API for bins: list, create, clear, and choose the response.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::captures::deleted;
use super::requestbin::require_room_for_bin;
use super::{ApiResult, Web, WebState, json_response};
use crate::capture::{BinResponse, is_bin_name};
use crate::error::{Failure, Kind};
use crate::journal::Journal;
use crate::listener::response_headers;

const MAX_RESPONSE_BYTES: usize = 256 * 1024;
const MAX_DELAY_MS: u64 = 10 * 60 * 1000;

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/bins", get(bins))
        .route("/bins/{bin}", put(save))
        .route("/bins/{bin}/captures", delete(clear))
}

/// All bins, the default one included before it exists.
async fn bins(State(state): Web) -> ApiResult {
    state
        .respond(|options, journal| {
            // The newest id is read first: a capture that arrives in between is counted, but not deleted by `clear`.
            let (newest, bins) = (journal.newest_capture()?, journal.bins()?);
            let view = |name: &str, count: u64, response: Option<&BinResponse>| {
                json!({
                    "name": name,
                    "request_count": count,
                    "default": name == options.default_bin,
                    "response": response,
                })
            };
            let mut views: Vec<Value> = bins
                .iter()
                .map(|bin| view(&bin.name, bin.request_count, bin.response.as_ref()))
                .collect();
            if !bins.iter().any(|bin| bin.name == options.default_bin) {
                views.insert(0, view(&options.default_bin, 0, None));
            }
            Ok(json!({ "bins": views, "newest": newest }))
        })
        .await
}

#[derive(Deserialize)]
struct SavedBin {
    /// None for the response that the listener's options choose.
    response: Option<BinResponse>,
}

/// Creates a bin unless it exists, and replaces its response.
async fn save(
    State(state): Web,
    Path(name): Path<String>,
    Json(SavedBin { response }): Json<SavedBin>,
) -> ApiResult {
    if !is_bin_name(&name) {
        return Err(Failure::usage(
            "a bin's name has 1 to 64 letters, digits, `-` and `_`".to_owned(),
        ));
    }
    response.as_ref().map_or(Ok(()), check_response)?;
    state
        .respond(move |options, journal| {
            if journal.bin(&name)?.is_none() {
                require_room_for_bin(journal, options)?;
            }
            journal.create_bin(&name, false, journal.now())?;
            journal.set_bin_response(&name, response.as_ref())?;
            Ok(json!({ "name": name }))
        })
        .await
}

fn check_response(response: &BinResponse) -> Result<(), Failure> {
    let problem = match response {
        _ if !(200..=599).contains(&response.status) => "the status must be from 200 to 599",
        _ if response.body.len() > MAX_RESPONSE_BYTES => "the body is longer than 256 KiB",
        _ if response.delay_ms > MAX_DELAY_MS => "the delay is longer than 10 minutes",
        _ => {
            let headers = response_headers(&response.headers);
            return headers
                .map(drop)
                .map_err(|e| Failure::from_error(Kind::Usage, e));
        }
    };
    Err(Failure::usage(problem.to_owned()))
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
    let clear = move |journal: &dyn Journal| Ok(journal.clear_bin(&bin, query.until)?);
    let count = state.change_many(clear).await?;
    Ok(json_response(StatusCode::OK, &deleted(count)))
}
