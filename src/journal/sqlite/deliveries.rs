//! Reading, importing and deleting deliveries.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, params_from_iter};

use super::SqliteJournal;
use crate::delivery::{Attempt, Delivery, ErrorKind, Status};
use crate::journal::rows::{self, ATTEMPT_COLUMNS, DELIVERY_COLUMNS, Row as _};
use crate::journal::{
    Cursor, Deliveries, DeliveryList, DeliveryVersion, Import, JournalError, Query, Slice,
    StatusCounts, Unchanged,
};
use crate::time::UnixMs;

/// How many deliveries `outcomes` counts at most, so that the web UI does not wait long.
pub const MAX_COUNTED: u32 = if cfg!(test) { 20 } else { 20_000 };

/// How many deliveries [`Deliveries::delivery_versions`] reads at a time.
const VERSIONS_PAGE: usize = if cfg!(test) { 20 } else { 2_000 };

/// A condition or statement, and the values of its parameters.
pub struct BoundSql<'a> {
    pub sql: String,
    pub values: Vec<Box<dyn ToSql + 'a>>,
}

impl<'a> BoundSql<'a> {
    pub fn new(sql: &str) -> BoundSql<'a> {
        BoundSql {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// The condition that selects a query's deliveries.
    fn condition(query: &'a Query) -> BoundSql<'a> {
        let filter = &query.filter;
        // Repeats the WHERE clause of an index; otherwise SQLite does not use the index.
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
            let is_process = "last_owner = ? OR substr(last_owner, 1, length(?)) = ?";
            let process = format!("{owner}/");
            let values = [owner.clone(), process.clone(), process];
            condition.push(&format!(" AND ({is_process})"), values);
        }
        if let Some(ranges) = &filter.http_status {
            let ranges = ranges.ranges();
            let either = vec!["error_status BETWEEN ? AND ?"; ranges.len()].join(" OR ");
            let bounds = ranges
                .iter()
                .flat_map(|range| [*range.start(), *range.end()]);
            condition.push(&format!(" AND ({either})"), bounds);
        }
        condition
    }

    /// The statement that reads the next `limit` deliveries of a query, after `after`.
    pub fn page(
        columns: &str,
        query: &'a Query,
        after: Option<Cursor>,
        limit: Option<usize>,
    ) -> BoundSql<'a> {
        let order = match query.list {
            DeliveryList::Failed => "created_at, id",
            DeliveryList::NewestFailed => "created_at DESC, id DESC",
            DeliveryList::All(_) | DeliveryList::Scheduled => "id DESC",
        };
        let mut page = BoundSql::condition(query);
        if let Some(Cursor { created_at, id }) = after {
            let by_time = [created_at.0, id];
            match query.list {
                DeliveryList::Failed => page.push(" AND (created_at, id) > (?, ?)", by_time),
                DeliveryList::NewestFailed => page.push(" AND (created_at, id) < (?, ?)", by_time),
                DeliveryList::All(_) | DeliveryList::Scheduled => page.push(" AND id < ?", [id]),
            }
        }
        page.limit(order, limit);
        page.sql = format!("SELECT {columns} FROM deliveries WHERE {}", page.sql);
        page
    }

    /// Adds a condition with one parameter; does nothing if `value` is `None`.
    pub fn and(&mut self, sql: &str, value: Option<impl ToSql + 'a>) {
        if let Some(value) = value {
            self.push(&format!(" AND {sql}"), [value]);
        }
    }

    fn push(&mut self, sql: &str, values: impl IntoIterator<Item = impl ToSql + 'a>) {
        self.sql.push_str(sql);
        for value in values {
            self.values.push(Box::new(value));
        }
    }

    /// Adds ORDER BY and LIMIT; `None` for no limit.
    pub fn limit(&mut self, order: &str, limit: Option<usize>) {
        let limit = limit.map_or(-1, |limit| limit as i64);
        self.push(&format!(" ORDER BY {order} LIMIT ?"), [limit]);
    }

    pub fn rows<T>(
        &self,
        conn: &Connection,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        conn.prepare_cached(&self.sql)?
            .query_map(params_from_iter(&self.values), read)?
            .collect()
    }
}

impl SqliteJournal {
    /// Reads a row of [`DELIVERY_COLUMNS`].
    pub(super) fn row(&self, row: &Row<'_>) -> rusqlite::Result<Delivery> {
        let mut delivery = rows::delivery(row)?;
        if self.files.foreign_owner.is_some() {
            delivery.target.distrust_secrets();
        }
        Ok(delivery)
    }
}

impl Deliveries for SqliteJournal {
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE id = ?1"
            ))?
            .query_row([id], |row| self.row(row))
            .optional()
        })
    }

    fn delivery_by_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE uuid = ?1"
            ))?
            .query_row([uuid], |row| self.row(row))
            .optional()
        })
    }

    fn payload(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT coalesce((SELECT body FROM captures WHERE captures.id = capture_id), payload)
                 FROM deliveries WHERE deliveries.id = ?1",
            )?
            .query_row([id], |row| row.get(0))
        })
    }

    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE delivery_id = ?1 ORDER BY number"
            ))?
            .query_map([id], |row| rows::attempt(row))?
            .collect()
        })
    }

    fn unchanged(
        &self,
        seen: &[DeliveryVersion],
        limit: usize,
        max_bytes: usize,
    ) -> Result<Unchanged, JournalError> {
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS}, payload FROM deliveries WHERE id = ?1 AND attempt_count = ?2"
        );
        self.read(|conn| {
            let mut read = conn.prepare_cached(&sql)?;
            let payload_column = read.column_count() - 1;
            let (mut unchanged, mut bytes) = (Unchanged::default(), 0);
            for DeliveryVersion { id, attempts } in seen {
                if unchanged.found.len() >= limit || bytes >= max_bytes {
                    break;
                }
                unchanged.done += 1;
                let found = read
                    .query_row([*id, i64::from(*attempts)], |row| {
                        Ok((self.row(row)?, row.get::<_, Vec<u8>>(payload_column)?))
                    })
                    .optional()?;
                bytes += found.as_ref().map_or(0, |(_, payload)| payload.len());
                unchanged.found.extend(found);
            }
            Ok(unchanged)
        })
    }

    fn delivery_versions(&self, query: &Query) -> Result<Vec<DeliveryVersion>, JournalError> {
        const COLUMNS: &str = "id, attempt_count, created_at";
        let (mut versions, mut after) = (Vec::new(), None);
        let limit = query.limit.unwrap_or(usize::MAX);
        // No transaction is open between two pages: while one is, the write-ahead log only grows.
        while versions.len() < limit {
            let page = VERSIONS_PAGE.min(limit - versions.len());
            let page = BoundSql::page(COLUMNS, query, after, Some(page));
            let rows =
                self.read(|conn| page.rows(conn, |row| Ok((rows::version(row)?, row.read(2)?))))?;
            let Some((last, created_at)) = rows.last() else {
                break;
            };
            let (id, created_at) = (last.id, *created_at);
            after = Some(Cursor { created_at, id });
            versions.extend(rows.into_iter().map(|(version, _)| version));
        }
        Ok(versions)
    }

    fn page(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Delivery>, JournalError> {
        let page = BoundSql::page(DELIVERY_COLUMNS, query, after, Some(limit));
        self.read(|conn| page.rows(conn, |row| self.row(row)))
    }

    fn count_up_to(&self, query: &Query, max: usize) -> Result<usize, JournalError> {
        let mut condition = BoundSql::condition(query);
        condition.push(" LIMIT ?", [i64::try_from(max).unwrap_or(-1)]);
        let sql = &condition.sql;
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE {sql})"
            ))?
            .query_row(params_from_iter(&condition.values), |row| row.get(0))
        })
    }

    fn status_counts(&self, since: UnixMs, interval_ms: i64) -> Result<StatusCounts, JournalError> {
        self.read(|conn| {
            let counts = conn
                .prepare_cached(
                    "SELECT (created_at - ?1) / ?2, status, count(*)
                     FROM (SELECT created_at, status FROM deliveries ORDER BY id DESC LIMIT ?3)
                     WHERE created_at >= ?1 AND status <> 'ignored'
                     GROUP BY 1, 2 ORDER BY 1, 2",
                )?
                .query_map(params![since, interval_ms.max(1), MAX_COUNTED], |row| {
                    Ok((row.read(0)?, row.read(1)?, row.read(2)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            // Reads no further than the first delivery that was not counted.
            let cut = conn
                .prepare_cached(
                    "SELECT created_at >= ?1 FROM deliveries ORDER BY id DESC LIMIT 1 OFFSET ?2",
                )?
                .query_row(params![since, MAX_COUNTED], |row| row.get(0))
                .optional()?;
            Ok(StatusCounts {
                counts,
                cut: cut.unwrap_or(false),
            })
        })
    }

    fn import_slice(&self, imports: &[Import]) -> Result<Slice, JournalError> {
        self.write_slice(imports, |tx, import| {
            let is_new = self.write_transaction(tx).import(import)?;
            Ok(usize::from(is_new))
        })
    }

    fn delete_slice(
        &self,
        seen: &[DeliveryVersion],
        statuses: &[Status],
    ) -> Result<Slice, JournalError> {
        let names: Vec<String> = statuses
            .iter()
            .map(|status| format!("'{}'", status.as_str()))
            .collect();
        let delete = format!(
            "DELETE FROM deliveries WHERE id = ?1 AND attempt_count = ?2 AND status IN ({})",
            names.join(", ")
        );
        self.write_slice(seen, |tx, seen| {
            tx.prepare_cached(&delete)?
                .execute(params![seen.id, seen.attempts])
        })
    }
}
