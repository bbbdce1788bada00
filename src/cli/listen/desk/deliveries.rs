//! The page's deliveries: lists, one with its attempts, retried, deleted, and what became of them over time.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ListenDesk, body, json_reply, number};
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::error::{Failure, Kind};
use crate::event;
use crate::journal::store::Seen;
use crate::journal::{Below, Query};
use crate::listener::desk::{Call, Reply};
use crate::output::json::DeliveryView;
use crate::time::{UnixMs, rfc3339};

const FAILED_LIST: [Status; 2] = [Status::Failed, Status::Interrupted];

/// Deliveries in one answer.
const MOST: u32 = 500;
/// Deliveries retried by one call, which waits for all of them.
const MOST_RETRIED: usize = 20;
/// Bars of the chart.
const STRETCHES: i64 = 48;
/// The longest time that the chart shows.
const MOST_HOURS: i64 = 24 * 366;

/// Answers a call below `/_hookfire/api/deliveries`.
pub(super) fn answer(desk: &ListenDesk, call: &Call, path: &[&str]) -> Result<Reply, Failure> {
    match (call.method.as_str(), path) {
        ("GET", []) => list(desk, call),
        ("GET", [id]) => one(desk, number(id)?),
        ("POST", ["retry"]) => retry(desk, call),
        ("POST", ["delete"]) => delete(desk, call),
        _ => Err(super::no_such_call(call)),
    }
}

fn list(desk: &ListenDesk, call: &Call) -> Result<Reply, Failure> {
    let failed = call.parameter("list") == Some("failed");
    let below = call.parameter("before").map(below).transpose()?;
    let limit = call
        .parameter("limit")
        .map(number)
        .transpose()?
        .unwrap_or(50);
    let limit = u32::try_from(limit).unwrap_or(MOST).clamp(1, MOST);
    let (mut found, in_failed_list) = desk.read(|journal| {
        journal.release_dead(desk.now())?;
        Ok((
            journal.newest(failed, below, limit + 1)?,
            journal.count(&Query::failed(Filter::default()))?,
        ))
    })?;
    let rest = found.len() > limit as usize;
    found.truncate(limit as usize);
    let more = found
        .last()
        .filter(|_| rest)
        .map(|last| format!("{}.{}", last.decided_at().0, last.id));
    let views: Vec<DeliveryView> = found.iter().map(DeliveryView::new).collect();
    Ok(json_reply(
        200,
        &json!({ "deliveries": views, "more": more, "failed": in_failed_list }),
    ))
}

/// Reads where a page begins, as the page before it said.
fn below(text: &str) -> Result<Below, Failure> {
    let parts = text
        .split_once('.')
        .and_then(|(time, id)| Some((time.parse().ok()?, id.parse().ok()?)));
    let (time, id) =
        parts.ok_or_else(|| Failure::usage(format!("`{text}` is no place in a list")))?;
    Ok(Below {
        finished_at: UnixMs(time),
        id,
    })
}

fn one(desk: &ListenDesk, id: i64) -> Result<Reply, Failure> {
    let found = desk.read(|journal| {
        let Some(delivery) = journal.delivery(id)? else {
            return Ok(None);
        };
        Ok(Some((delivery, journal.attempts(id)?, journal.event(id)?)))
    })?;
    let (delivery, attempts, document) = found.ok_or_else(|| Failure::no_delivery(id))?;
    let view = DeliveryView::new(&delivery)
        .with_attempts(&attempts)
        .with_event(&document);
    // What is damaged is shown as it is.
    let pretty = event::pretty(&document).ok();
    Ok(json_reply(
        200,
        &json!({ "delivery": view, "pretty": pretty }),
    ))
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<i64>,
}

/// Retries them, one after the other, and tells what came of each that was sent.
fn retry(desk: &ListenDesk, call: &Call) -> Result<Reply, Failure> {
    let Ids { ids } = body(call)?;
    if ids.len() > MOST_RETRIED {
        return Err(Failure::usage(format!(
            "{MOST_RETRIED} deliveries at most are retried by one call"
        )));
    }
    // One that was dealt with meanwhile would keep the others from being sent.
    let left = desk.read(|journal| {
        let mut left = Vec::new();
        for id in ids {
            if journal
                .delivery(id)?
                .is_some_and(|delivery| delivery.status.in_failed_list())
            {
                left.push(id.to_string());
            }
        }
        Ok(left)
    })?;
    if left.is_empty() {
        return Ok(json_reply(200, &json!({ "results": [], "error": null })));
    }
    // One attempt each, whatever the environment says: the page waits for them.
    let args: Vec<String> = ["retry", "--retries", "0"]
        .map(str::to_owned)
        .into_iter()
        .chain(left)
        .collect();
    let said = desk.itself.run(&args, &[])?;
    let results = said
        .result
        .filter(Value::is_array)
        .unwrap_or_else(|| json!([]));
    Ok(json_reply(
        200,
        &json!({ "results": results, "error": said.error }),
    ))
}

#[derive(Deserialize)]
struct Deletion {
    seen: Vec<SeenByPage>,
}

#[derive(Deserialize)]
struct SeenByPage {
    id: i64,
    attempts: u32,
}

/// Deletes those of the failed list that are still as the page saw them.
fn delete(desk: &ListenDesk, call: &Call) -> Result<Reply, Failure> {
    let Deletion { seen } = body(call)?;
    let seen: Vec<Seen> = seen
        .into_iter()
        .map(|SeenByPage { id, attempts }| Seen { id, attempts })
        .collect();
    let deleted = desk.read(|journal| journal.delete(&seen, &FAILED_LIST))?;
    Ok(json_reply(200, &json!({ "deleted": deleted })))
}

/// What became of the deliveries of the last hours, as the chart's bars.
pub(super) fn outcomes(desk: &ListenDesk, call: &Call) -> Result<Reply, Failure> {
    let hours = call
        .parameter("hours")
        .map(number)
        .transpose()?
        .unwrap_or(24);
    if !(1..=MOST_HOURS).contains(&hours) {
        return Err(Failure::new(
            Kind::Usage,
            format!("the chart shows 1 to {MOST_HOURS} hours"),
        ));
    }
    let now = desk.now();
    let stretch = hours * 3_600_000 / STRETCHES;
    let since = UnixMs(now.0 - stretch * STRETCHES);
    let found = desk.read(|journal| journal.outcomes(since, stretch))?;
    let count = |n: i64, statuses: &[Status]| -> usize {
        // What is accepted at this very moment is in the last one.
        let stretch = |at: usize| i64::try_from(at).unwrap_or(i64::MAX).min(STRETCHES - 1);
        let these = found
            .counts
            .iter()
            .filter(|(at, status, _)| stretch(*at) == n && statuses.contains(status));
        these.map(|(_, _, count)| count).sum()
    };
    let buckets: Vec<Value> = (0..STRETCHES)
        .map(|n| {
            json!({
                "start": rfc3339(UnixMs(since.0 + n * stretch)), "delivered": count(n, &[Status::Delivered]),
                "failed": count(n, &FAILED_LIST), "pending": count(n, &[Status::Pending]),
            })
        })
        .collect();
    let view =
        json!({ "from": rfc3339(since), "to": rfc3339(now), "buckets": buckets, "cut": found.cut });
    Ok(json_reply(200, &view))
}
