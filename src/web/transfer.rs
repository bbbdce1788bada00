//! The API that transfers captures to another machine, version 1: `remote::form` has its JSON.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;

use super::list::{MAX_LIST_BYTES, page_size};
use super::{ApiResult, Web, WebOptions, WebState, json_response};
use crate::error::Failure;
use crate::journal::{CaptureQuery, Journal, Order};
use crate::remote::form::{
    API_VERSION, About, BinForm, Bins, CaptureForm, CapturesForm, NAME, PositionForm, RunForm,
};
use crate::time::parse_list_time;

pub(super) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/about", get(about))
        .route("/v1/bins", get(bins))
        .route("/v1/captures", get(list))
        .route("/v1/captures/{id}", get(show))
}

async fn about() -> ApiResult {
    let about = About {
        name: NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api_versions: vec![API_VERSION],
    };
    Ok(json_response(StatusCode::OK, &about))
}

async fn bins(State(state): Web) -> ApiResult {
    let read = |_: &WebOptions, journal: &dyn Journal| {
        // The newest id is read first: a reader that starts there misses no later capture of any bin.
        let newest = journal.newest_capture()?;
        let bins = journal.bins()?.into_iter().map(BinForm::new);
        Ok(Bins {
            bins: bins.collect(),
            newest,
        })
    };
    Ok(json_response(
        StatusCode::OK,
        &state.with_journal(read).await?,
    ))
}

/// The parameters of a query for captures, as in [`CaptureQuery`].
#[derive(Deserialize)]
struct ListQuery {
    bin: Option<String>,
    method: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    action: Option<String>,
    since: Option<String>,
    after: Option<i64>,
    before: Option<i64>,
    limit: Option<u32>,
    /// `newest` for the newest first.
    #[serde(default)]
    order: String,
    /// `1` for captures with their bodies.
    #[serde(default)]
    bodies: String,
}

impl ListQuery {
    fn read(self) -> Result<(CaptureQuery, bool), Failure> {
        let since = self.since.as_deref().map(|text| {
            let time = parse_list_time(text);
            time.ok_or_else(|| Failure::usage(format!("`since` is not a time: {text}")))
        });
        let query = CaptureQuery {
            bin: self.bin,
            method: self.method,
            event_type: self.event_type,
            action: self.action,
            since: since.transpose()?,
            after: self.after,
            before: self.before,
            order: match self.order.as_str() {
                "newest" => Order::NewestFirst,
                _ => Order::OldestFirst,
            },
            limit: Some(page_size(self.limit) as u32),
        };
        Ok((query, self.bodies == "1"))
    }
}

async fn list(State(state): Web, Query(query): Query<ListQuery>) -> ApiResult {
    let (query, with_bodies) = query.read()?;
    let read = move |_: &WebOptions, journal: &dyn Journal| page(journal, &query, with_bodies);
    Ok(json_response(
        StatusCode::OK,
        &state.with_journal(read).await?,
    ))
}

/// Ends early when the captures have [`MAX_LIST_BYTES`] together; the first is there in any case.
fn page(
    journal: &dyn Journal,
    query: &CaptureQuery,
    with_bodies: bool,
) -> Result<CapturesForm, Failure> {
    // Read before the captures: what is deleted in between counts as missed the next time.
    let position = match (&query.bin, query.after) {
        (Some(bin), Some(after)) => journal.bin_position(bin, after)?,
        _ => None,
    };
    let records = journal.captures(query)?;
    let mut page = CapturesForm {
        captures: Vec::new(),
        more: query.limit == u32::try_from(records.len()).ok(),
        position: position.as_ref().map(PositionForm::new),
    };
    let mut bytes = 0;
    for record in records {
        let form = match with_bodies {
            false => CaptureForm::new(&record, None),
            true => match journal.capture(record.id)? {
                Some(stored) => CaptureForm::new(&stored.record, Some(&stored.body)),
                // Deleted in between.
                None => continue,
            },
        };
        bytes += form.json_bytes();
        if bytes > MAX_LIST_BYTES && !page.captures.is_empty() {
            page.more = true;
            break;
        }
        page.captures.push(form);
    }
    Ok(page)
}

async fn show(State(state): Web, Path(id): Path<i64>) -> ApiResult {
    let read = move |_: &WebOptions, journal: &dyn Journal| {
        let stored = journal
            .capture(id)?
            .ok_or_else(|| Failure::no_capture(id))?;
        let mut form = CaptureForm::new(&stored.record, Some(&stored.body));
        form.runs = journal.runs(id)?.iter().map(RunForm::from).collect();
        Ok(form)
    };
    Ok(json_response(
        StatusCode::OK,
        &state.with_journal(read).await?,
    ))
}
