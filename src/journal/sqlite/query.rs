//! Reading lists: a filter as SQL, rows handed over one by one.
//!
//! What a condition means is `filter`'s business; a test holds the SQL to it.

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::{SqliteJournal, rows};
use crate::delivery::filter::Filter;
use crate::delivery::{Attempt, Delivery, Status};
use crate::journal::store::{JournalError, Seen};

/// Which deliveries, and in which order.
#[derive(Clone, Debug)]
pub struct Query {
    /// The list.
    pub list: List,
    /// What narrows it.
    pub filter: Filter,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A list of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The failed list: failed and interrupted ones, oldest failure first.
    Failed,
    /// All, or all of one status, newest first.
    All(Option<Status>),
}

impl Query {
    /// The failed list, narrowed by `filter`.
    pub fn failed(filter: Filter) -> Query {
        Query {
            list: List::Failed,
            filter,
            limit: None,
        }
    }

    /// All deliveries, or all of one status.
    pub fn all(status: Option<Status>) -> Query {
        Query {
            list: List::All(status),
            filter: Filter::default(),
            limit: None,
        }
    }

    fn condition(&self) -> (String, Vec<Value>) {
        let mut sql = String::new();
        let mut values = Vec::new();
        let mut and = |condition: String, value: Vec<Value>| {
            sql.push_str(if sql.is_empty() { "" } else { " AND " });
            sql.push_str(&condition);
            values.extend(value);
        };
        let time = match self.list {
            List::Failed => {
                // Word for word the condition of the index `deliveries_failed`, or SQLite would not use it.
                and("status IN ('failed', 'interrupted')".to_owned(), vec![]);
                "finished_at"
            }
            List::All(status) => {
                if let Some(status) = status {
                    and(
                        "status = ?".to_owned(),
                        vec![Value::from(status.as_str().to_owned())],
                    );
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
        } = &self.filter;
        for (column, wanted) in [
            ("type", event_type),
            ("action", action),
            ("endpoint", endpoint),
        ] {
            if let Some(wanted) = wanted {
                and(format!("{column} = ?"), vec![Value::from(wanted.clone())]);
            }
        }
        for (comparison, point) in [(">=", since), ("<=", before)] {
            if let Some(point) = point {
                and(format!("{time} {comparison} ?"), vec![Value::from(point.0)]);
            }
        }
        if let Some(ranges) = http_status {
            let bounds = ranges.ranges().iter();
            let either: Vec<&str> = bounds
                .clone()
                .map(|_| "error_status BETWEEN ? AND ?")
                .collect();
            let values =
                bounds.flat_map(|range| [i64::from(*range.start()), i64::from(*range.end())]);
            and(
                format!("({})", either.join(" OR ")),
                values.map(Value::from).collect(),
            );
        }
        if let Some(kind) = error {
            and(
                "error_kind = ?".to_owned(),
                vec![Value::from(kind.as_str().to_owned())],
            );
        }
        (
            if sql.is_empty() {
                "true".to_owned()
            } else {
                sql
            },
            values,
        )
    }

    fn select(&self, columns: &str) -> (String, Vec<Value>) {
        let (condition, mut values) = self.condition();
        let order = match self.list {
            List::Failed => "finished_at, id",
            List::All(_) => "id DESC",
        };
        let limit = self
            .limit
            .map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        values.push(Value::from(limit));
        (
            format!("SELECT {columns} FROM deliveries WHERE {condition} ORDER BY {order} LIMIT ?"),
            values,
        )
    }
}

impl SqliteJournal {
    /// Hands each delivery of the list to `visit`, without holding more than one; stops at its first error.
    ///
    /// # Errors
    /// [`JournalError`] as the outer result, `visit`'s own as the inner one.
    pub fn each<E>(
        &self,
        query: &Query,
        mut visit: impl FnMut(Delivery) -> Result<(), E>,
    ) -> Result<Result<(), E>, JournalError> {
        let (sql, values) = query.select(rows::DELIVERY_COLUMNS);
        self.read(|conn| {
            let mut statement = conn.prepare_cached(&sql)?;
            let mut found = statement.query(params_from_iter(&values))?;
            while let Some(row) = found.next()? {
                if let Err(e) = visit(rows::delivery(row)?) {
                    return Ok(Err(e));
                }
            }
            Ok(Ok(()))
        })
    }

    /// What is in the list, in its order.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn seen(&self, query: &Query) -> Result<Vec<Seen>, JournalError> {
        let (sql, values) = query.select("id, attempt_count");
        self.read(|conn| {
            conn.prepare_cached(&sql)?
                .query_map(params_from_iter(&values), |row| {
                    Ok(Seen {
                        id: row.get(0)?,
                        attempts: row.get(1)?,
                    })
                })?
                .collect()
        })
    }

    /// How many deliveries the list has, its limit left aside.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn count(&self, query: &Query) -> Result<usize, JournalError> {
        let (condition, values) = query.condition();
        self.read(|conn| {
            let sql = format!("SELECT count(*) FROM deliveries WHERE {condition}");
            let count: i64 = conn
                .prepare_cached(&sql)?
                .query_row(params_from_iter(&values), |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or(0))
        })
    }

    /// As [`SqliteJournal::count`], but counts no further than to `most`: to count a long list takes longer than to show its
    /// beginning.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn count_up_to(&self, query: &Query, most: usize) -> Result<usize, JournalError> {
        let bounded = Query {
            limit: Some(most),
            ..query.clone()
        };
        let (sql, values) = bounded.select("1");
        self.read(|conn| {
            let sql = format!("SELECT count(*) FROM ({sql})");
            let count: i64 = conn
                .prepare_cached(&sql)?
                .query_row(params_from_iter(&values), |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or(0))
        })
    }

    /// The attempts of a delivery, in order.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError> {
        self.read(|conn| {
            let columns = rows::ATTEMPT_COLUMNS;
            let sql =
                format!("SELECT {columns} FROM attempts WHERE delivery_id = ?1 ORDER BY number");
            conn.prepare_cached(&sql)?
                .query_map([id], rows::attempt)?
                .collect()
        })
    }

    /// SQLite's own words on how it would read a list.
    #[cfg(test)]
    pub(super) fn plan(&self, query: &Query) -> Result<String, JournalError> {
        let (sql, values) = query.select(rows::DELIVERY_COLUMNS);
        self.read(|conn| {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let steps =
                statement.query_map(params_from_iter(&values), |row| row.get::<_, String>(3))?;
            Ok(steps.collect::<rusqlite::Result<Vec<_>>>()?.join("\n"))
        })
    }
}
