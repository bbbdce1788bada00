//! The statements that both implementations run.

use super::captures::{CaptureQuery, Order};
use super::records::{Cursor, DeliveryList, Query};
use super::rows::CAPTURE_COLUMNS;
use super::values::{BoundSql, SqlValue};
use crate::delivery::{ErrorKind, Status};

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
pub fn deliveries<'q>(
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

fn number(size: usize) -> SqlValue<'static> {
    i64::try_from(size).unwrap_or(i64::MAX).into()
}
