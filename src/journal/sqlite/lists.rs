//! Reading deliveries and attempts.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::rows;
use crate::delivery::{Attempt, Delivery};
use crate::journal::DeliveryVersion;
use crate::journal::{Cursor, DeliveryList, Outcomes, Query};
use crate::time::UnixMs;

/// How many deliveries [`outcomes`] counts at most, so that the web UI does not wait long.
pub const MAX_COUNTED: u32 = 20_000;

/// A condition or statement, and the values of its parameters.
#[derive(Default)]
pub struct BoundSql {
    pub sql: String,
    pub values: Vec<Value>,
}

impl BoundSql {
    /// The condition that selects a query's deliveries.
    pub fn new(query: &Query) -> BoundSql {
        let filter = &query.filter;
        let mut condition = BoundSql {
            sql: "TRUE".to_owned(),
            values: Vec::new(),
        };
        let mut time = "finished_at";
        match query.list {
            // Repeats the WHERE clause of the index `deliveries_failed`; otherwise SQLite does not use the index.
            DeliveryList::Failed | DeliveryList::NewestFailed => {
                condition.sql = "status IN ('failed', 'interrupted')".to_owned();
            }
            DeliveryList::All(status) => {
                condition.and(
                    "status = ?",
                    status.map(|status| status.as_str().to_owned()),
                );
                time = "coalesce(finished_at, created_at)";
            }
        }
        condition.and("type = ?", filter.event_type.clone());
        condition.and("action = ?", filter.action.clone());
        condition.and("endpoint = ?", filter.endpoint.clone());
        condition.and(&format!("{time} >= ?"), filter.since.map(|since| since.0));
        condition.and(
            &format!("{time} <= ?"),
            filter.before.map(|before| before.0),
        );
        let kind = filter.error.map(|kind| kind.as_str().to_owned());
        condition.and("error_kind = ?", kind);
        if let Some(ranges) = &filter.http_status {
            let ranges = ranges.ranges();
            let either = vec!["error_status BETWEEN ? AND ?"; ranges.len()].join(" OR ");
            condition.sql.push_str(&format!(" AND ({either})"));
            for range in ranges {
                let bounds = [range.start(), range.end()].map(|bound| i64::from(*bound).into());
                condition.values.extend(bounds);
            }
        }
        condition
    }

    /// Adds a condition with one parameter; does nothing if `value` is `None`.
    pub fn and(&mut self, sql: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.sql.push_str(" AND ");
            self.sql.push_str(sql);
            self.values.push(value.into());
        }
    }

    fn after(&mut self, comparison: &str, after: Option<Cursor>) {
        if let Some(Cursor { finished_at, id }) = after {
            let sql = format!("(finished_at, id) {comparison} (?, ?)");
            self.and(&sql, Some(finished_at.0));
            self.values.push(Value::from(id));
        }
    }
}

/// The statement that reads the next `limit` deliveries of a query, after `after`.
pub fn page_statement(query: &Query, after: Option<Cursor>, limit: usize) -> BoundSql {
    let mut page = BoundSql::new(query);
    match query.list {
        DeliveryList::Failed => page.after(">", after),
        DeliveryList::NewestFailed => page.after("<", after),
        DeliveryList::All(_) => page.and("id < ?", after.map(|after| after.id)),
    }
    let order = order(query.list);
    let columns = rows::DELIVERY_COLUMNS;
    let condition = page.sql;
    page.values.push(Value::from(limit as i64));
    page.sql =
        format!("SELECT {columns} FROM deliveries WHERE {condition} ORDER BY {order} LIMIT ?");
    page
}

fn order(list: DeliveryList) -> &'static str {
    match list {
        DeliveryList::Failed => "finished_at, id",
        DeliveryList::NewestFailed => "finished_at DESC, id DESC",
        DeliveryList::All(_) => "id DESC",
    }
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

/// Id and attempt count of each delivery of a query, in its order and within its limit.
pub fn versions(conn: &Connection, query: &Query) -> rusqlite::Result<Vec<DeliveryVersion>> {
    let limit = query.limit.map_or(-1, |limit| limit as i64);
    let order = order(query.list);
    let BoundSql { sql, mut values } = BoundSql::new(query);
    values.push(Value::from(limit));
    conn.prepare_cached(&format!(
        "SELECT id, attempt_count FROM deliveries WHERE {sql} ORDER BY {order} LIMIT ?"
    ))?
    .query_map(params_from_iter(&values), |row| {
        Ok(DeliveryVersion {
            id: row.get(0)?,
            attempts: row.get(1)?,
        })
    })?
    .collect()
}

/// Stops counting at `max`.
pub fn count(conn: &Connection, query: &Query, max: Option<usize>) -> rusqlite::Result<usize> {
    let BoundSql { sql, mut values } = BoundSql::new(query);
    values.push(Value::from(max.map_or(-1, |max| max as i64)));
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
            let (interval, count): (i64, i64) = (row.get(0)?, row.get(2)?);
            Ok((
                interval.unsigned_abs() as usize,
                row.get(1)?,
                count.unsigned_abs() as usize,
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
