//! Reading deliveries and attempts.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::rows;
use crate::delivery::filter::Filter;
use crate::delivery::{Attempt, Delivery, Status};
use crate::journal::Seen;
use crate::journal::{Cursor, List, Outcomes, Query};
use crate::time::UnixMs;

/// How many deliveries [`outcomes`] counts at most: a page that shows them must not wait long.
pub const MAX_COUNTED: u32 = 20_000;

/// A statement's condition and its parameters.
pub struct Condition {
    pub sql: String,
    pub values: Vec<Value>,
}

impl Condition {
    pub fn new(query: &Query) -> Condition {
        let mut condition = Condition {
            sql: "TRUE".to_owned(),
            values: Vec::new(),
        };
        let time = match query.list {
            List::Failed | List::NewestFailed => {
                // The same words as in the index `deliveries_failed`, or SQLite does not use it.
                condition
                    .sql
                    .push_str(" AND status IN ('failed', 'interrupted')");
                "finished_at"
            }
            List::All(status) => {
                if let Some(status) = status {
                    condition.and("status = ?", [status.as_str().to_owned()]);
                }
                "coalesce(finished_at, created_at)"
            }
        };
        let Filter {
            event_type,
            action,
            endpoint,
            since,
            before,
            http_status,
            error,
        } = &query.filter;
        let words = [
            ("type = ?", event_type),
            ("action = ?", action),
            ("endpoint = ?", endpoint),
        ];
        for (sql, word) in words {
            if let Some(word) = word {
                condition.and(sql, [word.clone()]);
            }
        }
        if let Some(since) = since {
            condition.and(&format!("{time} >= ?"), [since.0]);
        }
        if let Some(before) = before {
            condition.and(&format!("{time} <= ?"), [before.0]);
        }
        if let Some(ranges) = http_status {
            let ranges = ranges.ranges();
            let either = vec!["error_status BETWEEN ? AND ?"; ranges.len()].join(" OR ");
            let bounds = ranges
                .iter()
                .flat_map(|range| [i64::from(*range.start()), i64::from(*range.end())]);
            condition.and(&format!("({either})"), bounds);
        }
        if let Some(kind) = error {
            condition.and("error_kind = ?", [kind.as_str().to_owned()]);
        }
        condition
    }

    fn and<V: Into<Value>>(&mut self, sql: &str, values: impl IntoIterator<Item = V>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values.into_iter().map(Into::into));
    }
}

/// The statement for the next deliveries of a list, after `after`.
pub fn page_statement(query: &Query, after: Option<Cursor>, limit: usize) -> Condition {
    let mut page = Condition::new(query);
    let order = match query.list {
        List::NewestFailed => {
            if let Some(Cursor { finished_at, id }) = after {
                page.and("(finished_at, id) < (?, ?)", [finished_at.0, id]);
            }
            "finished_at DESC, id DESC"
        }
        List::Failed => {
            if let Some(Cursor { finished_at, id }) = after {
                page.and("(finished_at, id) > (?, ?)", [finished_at.0, id]);
            }
            "finished_at, id"
        }
        List::All(_) => {
            if let Some(Cursor { id, .. }) = after {
                page.and("id < ?", [id]);
            }
            "id DESC"
        }
    };
    let columns = rows::DELIVERY_COLUMNS;
    let condition = page.sql;
    page.values.push(Value::from(limit as i64));
    page.sql =
        format!("SELECT {columns} FROM deliveries WHERE {condition} ORDER BY {order} LIMIT ?");
    page
}

pub fn page(
    conn: &Connection,
    query: &Query,
    after: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let page = page_statement(query, after, limit);
    conn.prepare_cached(&page.sql)?
        .query_map(params_from_iter(&page.values), rows::delivery)?
        .collect()
}

/// Id and attempt count of each delivery of a list, in its order and within its limit.
pub fn versions(conn: &Connection, query: &Query) -> rusqlite::Result<Vec<Seen>> {
    let limit = query.limit.map_or(-1, |limit| limit as i64);
    let order = match query.list {
        List::Failed => "finished_at, id",
        List::NewestFailed => "finished_at DESC, id DESC",
        List::All(_) => "id DESC",
    };
    let Condition { sql, mut values } = Condition::new(query);
    values.push(Value::from(limit));
    conn.prepare_cached(&format!(
        "SELECT id, attempt_count FROM deliveries WHERE {sql} ORDER BY {order} LIMIT ?"
    ))?
    .query_map(params_from_iter(&values), |row| {
        Ok(Seen {
            id: row.get(0)?,
            attempts: row.get(1)?,
        })
    })?
    .collect()
}

/// Counts no further than to `most`.
pub fn count(conn: &Connection, query: &Query, most: Option<usize>) -> rusqlite::Result<usize> {
    let Condition { sql, mut values } = Condition::new(query);
    values.push(Value::from(most.map_or(-1, |most| most as i64)));
    conn.prepare_cached(&format!(
        "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE {sql} LIMIT ?)"
    ))?
    .query_row(params_from_iter(&values), rows::count)
}

pub fn delivery(conn: &Connection, id: i64) -> rusqlite::Result<Option<Delivery>> {
    let columns = rows::DELIVERY_COLUMNS;
    conn.prepare_cached(&format!("SELECT {columns} FROM deliveries WHERE id = ?1"))?
        .query_row([id], rows::delivery)
        .optional()
}

pub fn event(conn: &Connection, id: i64) -> rusqlite::Result<Vec<u8>> {
    conn.prepare_cached("SELECT event FROM deliveries WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
}

pub fn attempts(conn: &Connection, id: i64) -> rusqlite::Result<Vec<Attempt>> {
    let columns = rows::ATTEMPT_COLUMNS;
    conn.prepare_cached(&format!(
        "SELECT {columns} FROM attempts WHERE delivery_id = ?1 ORDER BY number"
    ))?
    .query_map([id], rows::attempt)?
    .collect()
}

pub fn outcomes(conn: &Connection, since: UnixMs, interval_ms: i64) -> rusqlite::Result<Outcomes> {
    let counts = conn
        .prepare_cached(
            "SELECT (created_at - ?1) / ?2, status, count(*)
             FROM (SELECT created_at, status FROM deliveries ORDER BY id DESC LIMIT ?3)
             WHERE created_at >= ?1 AND status IN ('pending', 'delivered', 'failed', 'interrupted')
             GROUP BY 1, 2 ORDER BY 1, 2",
        )?
        .query_map(params![since.0, interval_ms.max(1), MAX_COUNTED], |row| {
            let interval: i64 = row.get(0)?;
            let status: Status = rows::status(row, 1)?;
            let count: i64 = row.get(2)?;
            Ok((
                usize::try_from(interval).unwrap_or(0),
                status,
                usize::try_from(count).unwrap_or(0),
            ))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let cut = conn
        .prepare_cached(
            "SELECT 1 FROM deliveries WHERE created_at >= ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2",
        )?
        .exists(params![since.0, MAX_COUNTED])?;
    Ok(Outcomes { counts, cut })
}

/// SQLite's counter of other connections' commits, and this connection's changes.
pub fn change_counters(conn: &Connection) -> rusqlite::Result<(i64, i64)> {
    let by_others = conn
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))?;
    let by_this = conn
        .prepare_cached("SELECT total_changes()")?
        .query_row([], |row| row.get(0))?;
    Ok((by_others, by_this))
}
