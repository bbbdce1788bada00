//! The statements that both implementations run.

use super::captures::{CaptureQuery, FollowCursor, Order};
use super::records::{Cursor, DeliveryList, Query};
use super::rows::{
    ATTEMPT_COLUMNS, BIN_COLUMNS, CAPTURE_COLUMNS, DELIVERY_COLUMNS, DUE_TARGET, RUN_COLUMNS,
};
use super::stored::signature_json;
use super::values::{BoundSql, SqlValue, milliseconds};
use crate::capture::{BinResponse, CapturedResponse, Run, SignatureCheck};
use crate::delivery::{ErrorKind, Status};
use crate::time::UnixMs;

/// How many deliveries [`status_counts`] counts at most, so that the web UI does not wait long.
const MAX_COUNTED: u32 = if cfg!(test) { 20 } else { 20_000 };

/// SQL condition: scheduled. Repeats a part of the WHERE clause of an index; otherwise the index is not used.
pub const SCHEDULED: &str = "next_attempt_at IS NOT NULL AND owner IS NULL";

/// SQL condition: forwards a capture to a URL, got no response, and waits for its next attempt. Parameters: now, the URL.
const UNANSWERED: &str = "next_attempt_at > $1 AND owner IS NULL AND capture_id IS NOT NULL
     AND status <> 'delivered' AND status = 'pending' AND url = $2 AND error_kind <> 'status'";

/// The condition that selects a query's deliveries.
fn condition(query: &Query) -> BoundSql<'_> {
    let filter = &query.filter;
    // Repeats the WHERE clause of an index; otherwise the index is not used.
    let (list, time) = match query.list {
        DeliveryList::Failed | DeliveryList::NewestFailed => {
            ("status IN ('failed', 'interrupted')", "finished_at")
        }
        DeliveryList::Scheduled => (
            "next_attempt_at IS NOT NULL AND owner IS NULL AND status = 'pending'",
            "created_at",
        ),
        DeliveryList::All(_) => ("TRUE", "coalesce(finished_at, created_at)"),
    };
    let mut condition = BoundSql::new(list);
    if let DeliveryList::All(status) = query.list {
        condition.and("status = ?", status.map(Status::as_str));
    }
    condition.and("type = ?", filter.event_type.as_deref());
    condition.and("action = ?", filter.action.as_deref());
    condition.and("endpoint = ?", filter.endpoint.as_deref());
    condition.and(&format!("{time} >= ?"), filter.since);
    condition.and(&format!("{time} <= ?"), filter.before);
    condition.and("error_kind = ?", filter.error.map(ErrorKind::as_str));
    if let Some(owner) = &filter.owner {
        let process = format!("{owner}/");
        condition.push(
            " AND (last_owner = ? OR substr(last_owner, 1, length(?)) = ?)",
            [owner.into(), process.clone().into(), process.into()],
        );
    }
    if let Some(ranges) = &filter.http_status {
        let ranges = ranges.ranges();
        let either = vec!["error_status BETWEEN ? AND ?"; ranges.len()].join(" OR ");
        let bounds = ranges
            .iter()
            .flat_map(|range| [*range.start(), *range.end()]);
        condition.push(&format!(" AND ({either})"), bounds.map(SqlValue::from));
    }
    condition
}

/// The statement that reads the next `limit` deliveries of a query, after `after`.
pub fn page<'q>(
    columns: &str,
    query: &'q Query,
    after: Option<Cursor>,
    limit: Option<usize>,
) -> BoundSql<'q> {
    let mut page = condition(query);
    let order = match query.list {
        DeliveryList::Failed => "created_at, id",
        DeliveryList::NewestFailed => "created_at DESC, id DESC",
        DeliveryList::All(_) | DeliveryList::Scheduled => "id DESC",
    };
    if let Some(after) = after {
        let (created_at, id) = (after.created_at.into(), after.id.into());
        match query.list {
            DeliveryList::Failed => page.push(" AND (created_at, id) > (?, ?)", [created_at, id]),
            DeliveryList::NewestFailed => {
                page.push(" AND (created_at, id) < (?, ?)", [created_at, id]);
            }
            DeliveryList::All(_) | DeliveryList::Scheduled => page.push(" AND id < ?", [id]),
        }
    }
    page.sql = format!(
        "SELECT {columns} FROM hookfire.deliveries WHERE {} ORDER BY {order}",
        page.sql
    );
    if let Some(limit) = limit {
        page.push(" LIMIT ?", [number(limit)]);
    }
    page
}

/// The statement that counts the deliveries of a query, up to `max`.
pub fn count(query: &Query, max: usize) -> BoundSql<'_> {
    let mut count = condition(query);
    count.push(" LIMIT ?", [number(max)]);
    count.sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM hookfire.deliveries WHERE {}) matching",
        count.sql
    );
    count
}

/// The statement that reads captures.
pub fn captures(query: &CaptureQuery) -> BoundSql<'_> {
    let mut select = BoundSql::new(&format!(
        "SELECT {CAPTURE_COLUMNS} FROM hookfire.captures c JOIN hookfire.bins b ON b.id = c.bin_id WHERE TRUE"
    ));
    let bin = query.bin.as_deref();
    select.and(
        "c.bin_id = (SELECT id FROM hookfire.bins WHERE name = ?)",
        bin,
    );
    select.and("lower(c.method) = lower(?)", query.method.as_deref());
    select.and("c.type = ?", query.event_type.as_deref());
    select.and("c.action = ?", query.action.as_deref());
    select.and("c.received_at >= ?", query.since);
    select.and("c.id > ?", query.after);
    select.and("c.id < ?", query.before);
    let order = match query.order {
        Order::OldestFirst => "c.id",
        Order::NewestFirst => "c.id DESC",
    };
    select.sql += &format!(" ORDER BY {order}");
    if let Some(limit) = query.limit {
        select.push(" LIMIT ?", [limit.into()]);
    }
    select
}

/// Reads [`DELIVERY_COLUMNS`]. The condition has one parameter.
pub fn deliveries_where<'a>(condition: &str, value: impl Into<SqlValue<'a>>) -> BoundSql<'a> {
    let sql = format!("SELECT {DELIVERY_COLUMNS} FROM hookfire.deliveries WHERE {condition}");
    BoundSql::with(sql, [value.into()])
}

/// Reads the payload of a delivery, or the body of its capture.
pub fn payload(id: i64) -> BoundSql<'static> {
    BoundSql::with(
        "SELECT coalesce((SELECT c.body FROM hookfire.captures c WHERE c.id = d.capture_id), d.payload)
         FROM hookfire.deliveries d WHERE d.id = $1",
        [id.into()],
    )
}

/// Reads [`ATTEMPT_COLUMNS`].
pub fn attempts(id: i64) -> BoundSql<'static> {
    let sql = format!(
        "SELECT {ATTEMPT_COLUMNS} FROM hookfire.attempts WHERE delivery_id = $1 ORDER BY number"
    );
    BoundSql::with(sql, [id.into()])
}

/// Reads the number of an interval, a status, and how many of the newest deliveries that were accepted in the interval
/// have it.
pub fn status_counts(since: UnixMs, interval_ms: i64) -> BoundSql<'static> {
    BoundSql::with(
        "SELECT (created_at - $1) / $2, status, count(*)
         FROM (SELECT created_at, status FROM hookfire.deliveries ORDER BY id DESC LIMIT $3) newest
         WHERE created_at >= $1 AND status <> 'ignored'
         GROUP BY 1, 2 ORDER BY 1, 2",
        [since.into(), interval_ms.max(1).into(), MAX_COUNTED.into()],
    )
}

/// Reads whether deliveries that were accepted since `since` are not in [`status_counts`]. Reads no further than the first
/// delivery that is not.
pub fn status_counts_are_cut(since: UnixMs) -> BoundSql<'static> {
    BoundSql::with(
        "SELECT created_at >= $1 FROM hookfire.deliveries ORDER BY id DESC LIMIT 1 OFFSET $2",
        [since.into(), MAX_COUNTED.into()],
    )
}

/// Counts the pending deliveries that forward captures, up to `max`.
pub fn pending_forwards(max: usize) -> BoundSql<'static> {
    BoundSql::with(
        "SELECT count(*) FROM (SELECT 1 FROM hookfire.deliveries
         WHERE capture_id IS NOT NULL AND status <> 'delivered' AND status = 'pending'
         LIMIT $1) pending",
        [number(max)],
    )
}

/// Reads the due time and the id of the first delivery that is due after `now`.
pub fn next_due(now: UnixMs) -> BoundSql<'static> {
    let sql = format!(
        "SELECT next_attempt_at, id FROM hookfire.deliveries
         WHERE {SCHEDULED} AND sequence IS NULL AND next_attempt_at > $1 ORDER BY next_attempt_at, id LIMIT 1"
    );
    BoundSql::with(sql, [now.into()])
}

/// Reads how many deliveries are due after `time`, and when the last of them is.
pub fn scheduled_after(time: UnixMs) -> BoundSql<'static> {
    let sql = format!(
        "SELECT count(*), max(next_attempt_at) FROM hookfire.deliveries
         WHERE {SCHEDULED} AND next_attempt_at > $1"
    );
    BoundSql::with(sql, [time.into()])
}

/// Counts deliveries to a target; has one part for each index.
pub fn scheduled_to(target: &str, forwards: bool) -> BoundSql<'_> {
    // Not in the words of the index `deliveries_capture`, which has those that are delivered, too.
    let captured = match forwards {
        true => "coalesce(capture_id, 0) <> 0 AND",
        false => "",
    };
    let scheduled = format!("{SCHEDULED} AND {captured} {DUE_TARGET} = $1");
    let sql = format!(
        "SELECT (SELECT count(*) FROM hookfire.deliveries WHERE sequence IS NULL AND {scheduled})
             + (SELECT count(*) FROM hookfire.deliveries
                WHERE sequence IS NOT NULL AND status <> 'delivered' AND {scheduled})"
    );
    BoundSql::with(sql, [target.into()])
}

/// Reads a row if a delivery forwards a capture to the URL, got no response, and is due after `now`.
pub fn unanswered(url: &str, now: UnixMs) -> BoundSql<'_> {
    let sql = format!("SELECT 1 FROM hookfire.deliveries WHERE {UNANSWERED} LIMIT 1");
    BoundSql::with(sql, [now.into(), url.into()])
}

/// Makes those deliveries due at `now`.
pub fn bring_forward(url: &str, now: UnixMs) -> BoundSql<'_> {
    let sql = format!("UPDATE hookfire.deliveries SET next_attempt_at = $1 WHERE {UNANSWERED}");
    BoundSql::with(sql, [now.into(), url.into()])
}

/// Reads the rows of [`rows::in_progress`](super::rows::in_progress).
pub fn in_progress() -> BoundSql<'static> {
    BoundSql::new(
        "SELECT id, owner, coalesce(lease_until, 0) FROM hookfire.deliveries
         WHERE status = 'pending' AND (owner IS NOT NULL OR next_attempt_at IS NULL)",
    )
}

/// Reads [`CAPTURE_COLUMNS`], the body, and the body as it was sent.
pub fn capture(id: i64) -> BoundSql<'static> {
    let sql = format!(
        "SELECT {CAPTURE_COLUMNS}, c.body, c.wire_body
         FROM hookfire.captures c JOIN hookfire.bins b ON b.id = c.bin_id WHERE c.id = $1"
    );
    BoundSql::with(sql, [id.into()])
}

/// Reads [`RUN_COLUMNS`].
pub fn runs(capture: i64) -> BoundSql<'static> {
    let sql =
        format!("SELECT {RUN_COLUMNS} FROM hookfire.runs WHERE capture_id = $1 ORDER BY number");
    BoundSql::with(sql, [capture.into()])
}

pub fn end_run(capture: i64, run: &Run) -> BoundSql<'_> {
    BoundSql::with(
        "UPDATE hookfire.runs SET duration_ms = $3, exit_code = $4, error = $5, stderr = $6
         WHERE capture_id = $1 AND number = $2",
        [
            capture.into(),
            run.number.into(),
            run.duration_ms.map(milliseconds).into(),
            run.exit_code.into(),
            (&run.error).into(),
            (&run.stderr).into(),
        ],
    )
}

pub fn newest_capture() -> BoundSql<'static> {
    BoundSql::new("SELECT coalesce(max(id), 0) FROM hookfire.captures")
}

pub fn ids_in_bin(name: &str, until: i64) -> BoundSql<'_> {
    BoundSql::with(
        "SELECT id FROM hookfire.captures
         WHERE bin_id = (SELECT id FROM hookfire.bins WHERE name = $1) AND id <= $2 ORDER BY id",
        [name.into(), until.into()],
    )
}

pub fn annotate_capture<'a>(id: i64, pinned: bool, note: Option<&'a str>) -> BoundSql<'a> {
    BoundSql::with(
        "UPDATE hookfire.captures SET pinned = $2, note = $3 WHERE id = $1",
        [id.into(), pinned.into(), note.into()],
    )
}

/// Replaces the response of a capture.
pub fn amend_capture(id: i64, response: &CapturedResponse) -> BoundSql<'_> {
    BoundSql::with(
        "UPDATE hookfire.captures SET response_status = $2, response_duration_ms = $3, response_note = $4 WHERE id = $1",
        [
            id.into(),
            response.status.into(),
            milliseconds(response.duration_ms).into(),
            (&response.note).into(),
        ],
    )
}

pub fn set_signature(id: i64, check: &SignatureCheck) -> BoundSql<'static> {
    BoundSql::with(
        "UPDATE hookfire.captures SET signature = $2 WHERE id = $1",
        [id.into(), signature_json(check).into()],
    )
}

/// Reads [`BIN_COLUMNS`] of all bins.
pub fn bins(order: &str) -> BoundSql<'static> {
    BoundSql::new(&format!(
        "SELECT {BIN_COLUMNS} FROM hookfire.bins b ORDER BY {order}"
    ))
}

/// Reads [`BIN_COLUMNS`].
pub fn bin(name: &str) -> BoundSql<'_> {
    let sql = format!("SELECT {BIN_COLUMNS} FROM hookfire.bins b WHERE b.name = $1");
    BoundSql::with(sql, [name.into()])
}

/// Reads the [`FollowCursor`] of a reader that has read all captures up to `last_id`.
pub fn bin_position(name: &str, last_id: i64) -> BoundSql<'_> {
    BoundSql::with(
        "SELECT b.created_at, $2, b.deleted +
             (SELECT count(*) FROM hookfire.captures c WHERE c.bin_id = b.id AND c.id <= $2)
         FROM hookfire.bins b WHERE b.name = $1",
        [name.into(), last_id.into()],
    )
}

/// Reads a [`FollowCursor`].
pub fn cursor(name: &str) -> BoundSql<'_> {
    BoundSql::with(
        "SELECT bin_created_at, last_id, seen FROM hookfire.cursors WHERE name = $1",
        [name.into()],
    )
}

/// Changes one row, unless the cursor is not `from`.
pub fn move_cursor<'a>(
    name: &'a str,
    from: Option<&FollowCursor>,
    to: &FollowCursor,
) -> BoundSql<'a> {
    let mut values = vec![
        name.into(),
        to.bin_created_at.into(),
        to.last_id.into(),
        to.seen.into(),
    ];
    let sql = match from {
        None => {
            "INSERT INTO hookfire.cursors (name, bin_created_at, last_id, seen) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO NOTHING"
        }
        Some(from) => {
            values.extend([
                from.bin_created_at.into(),
                from.last_id.into(),
                from.seen.into(),
            ]);
            "UPDATE hookfire.cursors SET bin_created_at = $2, last_id = $3, seen = $4
             WHERE name = $1 AND bin_created_at = $5 AND last_id = $6 AND seen = $7"
        }
    };
    BoundSql::with(sql, values)
}

pub fn insert_bin(name: &str, private: bool, now: UnixMs) -> BoundSql<'_> {
    BoundSql::with(
        "INSERT INTO hookfire.bins (name, private, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
        [name.into(), private.into(), now.into()],
    )
}

pub fn set_bin_response<'a>(name: &'a str, response: Option<&BinResponse>) -> BoundSql<'a> {
    let json = response.map(|response| serde_json::json!(response).to_string());
    BoundSql::with(
        "UPDATE hookfire.bins SET response = $2 WHERE name = $1",
        [name.into(), json.into()],
    )
}

/// Deletes a bin without captures.
pub fn delete_bin(name: &str) -> BoundSql<'_> {
    BoundSql::with(
        "DELETE FROM hookfire.bins AS b WHERE b.name = $1
             AND NOT EXISTS (SELECT 1 FROM hookfire.captures c WHERE c.bin_id = b.id)",
        [name.into()],
    )
}

fn number(size: usize) -> SqlValue<'static> {
    i64::try_from(size).unwrap_or(i64::MAX).into()
}
