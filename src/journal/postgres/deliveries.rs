//! Reading, importing and deleting deliveries.

use super::{PostgresJournal, SLICE};
use crate::delivery::{Attempt, Delivery, Status};
use crate::journal::postgres::error::PostgresError;
use crate::journal::rows::{self, ATTEMPT_COLUMNS, DELIVERY_COLUMNS, Row as _};
use crate::journal::values::SqlValue;
use crate::journal::{
    Cursor, Deliveries, DeliveryVersion, Import, JournalError, Query, Slice, StatusCounts,
    Unchanged, statements,
};
use crate::time::UnixMs;

/// How many deliveries [`Deliveries::status_counts`] counts at most, so that the web UI does not wait long.
const MAX_COUNTED: u32 = if cfg!(test) { 20 } else { 20_000 };

/// How many deliveries one transaction imports.
const IMPORT_SLICE: usize = 100;

impl Deliveries for PostgresJournal {
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        self.one_delivery("id = $1", id.into())
    }

    fn delivery_by_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError> {
        self.one_delivery("lower(uuid) = lower($1)", uuid.into())
    }

    fn payload(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        self.connection.read(|session| {
            let sql =
                "SELECT coalesce((SELECT c.body FROM hookfire.captures c WHERE c.id = d.capture_id), d.payload)
                 FROM hookfire.deliveries d WHERE d.id = $1";
            let row = session.row(sql, &[id.into()])?;
            let row = row.ok_or_else(|| PostgresError::internal(self.connection.shown()))?;
            Ok(row.try_get(0)?)
        })
    }

    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError> {
        let sql = format!(
            "SELECT {ATTEMPT_COLUMNS} FROM hookfire.attempts WHERE delivery_id = $1 ORDER BY number"
        );
        self.connection.read(|session| {
            let rows = session.rows(&sql, &[id.into()])?;
            rows.iter().map(rows::attempt).collect()
        })
    }

    fn unchanged(
        &self,
        seen: &[DeliveryVersion],
        limit: usize,
        max_bytes: usize,
    ) -> Result<Unchanged, JournalError> {
        // OFFSET 0 keeps the order of `seen`, so that the statement ends at the limit.
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS}, payload, place FROM (
                 SELECT d.*, seen.place,
                     sum(octet_length(d.payload)) OVER (ORDER BY seen.place ROWS UNBOUNDED PRECEDING) AS bytes
                 FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS seen (id, attempts, place)
                     CROSS JOIN LATERAL (
                         SELECT * FROM hookfire.deliveries
                         WHERE deliveries.id = seen.id AND attempt_count = seen.attempts OFFSET 0
                     ) d
                 ORDER BY seen.place LIMIT $3
             ) unchanged
             WHERE bytes - octet_length(payload) < $4 ORDER BY place"
        );
        let [ids, attempts] = version_arrays(seen);
        let number = |size: usize| SqlValue::from(i64::try_from(size).unwrap_or(i64::MAX));
        let values = [ids, attempts, number(limit), number(max_bytes)];
        self.connection.read(|session| {
            let rows = session.rows(&sql, &values)?;
            let (mut unchanged, mut bytes, mut last) = (Unchanged::default(), 0, 0_i64);
            for row in &rows {
                let payload: Vec<u8> = row.try_get("payload")?;
                bytes += payload.len();
                last = row.try_get("place")?;
                unchanged.found.push((rows::delivery(row)?, payload));
            }
            let is_cut = unchanged.found.len() >= limit || bytes >= max_bytes;
            unchanged.done = match is_cut {
                true => usize::try_from(last).unwrap_or_default(),
                false => seen.len(),
            };
            Ok(unchanged)
        })
    }

    fn delivery_versions(&self, query: &Query) -> Result<Vec<DeliveryVersion>, JournalError> {
        let page = statements::deliveries("id, attempt_count", query, None, query.limit);
        self.connection
            .read(|session| session.select(&page)?.iter().map(rows::version).collect())
    }

    fn page(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Delivery>, JournalError> {
        let page = statements::deliveries(DELIVERY_COLUMNS, query, after, Some(limit));
        self.connection
            .read(|session| session.select(&page)?.iter().map(rows::delivery).collect())
    }

    fn count_up_to(&self, query: &Query, max: usize) -> Result<usize, JournalError> {
        let count = statements::count(query, max);
        let number = self.number(&count.sql, &count.values)?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn status_counts(&self, since: UnixMs, interval_ms: i64) -> Result<StatusCounts, JournalError> {
        let counted = SqlValue::from(MAX_COUNTED);
        let counts_sql = "SELECT (created_at - $1) / $2, status, count(*)
             FROM (SELECT created_at, status FROM hookfire.deliveries ORDER BY id DESC LIMIT $3) newest
             WHERE created_at >= $1 AND status <> 'ignored'
             GROUP BY 1, 2 ORDER BY 1, 2";
        let cut_sql =
            "SELECT created_at >= $1 FROM hookfire.deliveries ORDER BY id DESC LIMIT 1 OFFSET $2";
        self.connection.read(|session| {
            let values = [since.into(), interval_ms.max(1).into(), counted.clone()];
            let mut counts = Vec::new();
            for row in session.rows(counts_sql, &values)? {
                counts.push((row.read(0)?, row.read(1)?, row.read(2)?));
            }
            // Reads no further than the first delivery that was not counted.
            let cut = session.row(cut_sql, &[since.into(), counted.clone()])?;
            let cut = cut.map(|row| row.try_get(0)).transpose()?;
            Ok(StatusCounts {
                counts,
                cut: cut.unwrap_or(false),
            })
        })
    }

    fn import_slice(&self, imports: &[Import]) -> Result<Slice, JournalError> {
        let slice = &imports[..imports.len().min(IMPORT_SLICE)];
        let changed = self
            .connection
            .write(|session| self.writer(session).import(slice))?;
        Ok(Slice {
            done: slice.len(),
            changed,
        })
    }

    fn delete_slice(
        &self,
        seen: &[DeliveryVersion],
        statuses: &[Status],
    ) -> Result<Slice, JournalError> {
        let sql = "DELETE FROM hookfire.deliveries WHERE id IN (
             SELECT d.id FROM hookfire.deliveries d JOIN unnest($1::bigint[], $2::bigint[]) AS seen (id, attempts)
                 ON seen.id = d.id AND seen.attempts = d.attempt_count
             WHERE d.status = ANY($3) ORDER BY d.id FOR UPDATE OF d)
             RETURNING id";
        self.change_slice(seen, |session, seen| {
            let [ids, attempts] = version_arrays(seen);
            let statuses = SqlValue::texts(statuses.iter().map(|status| status.as_str()));
            let rows = session.rows(sql, &[ids, attempts, statuses])?;
            let deleted = rows.iter().map(|row| row.read(0));
            let deleted: Vec<i64> = deleted.collect::<Result<_, PostgresError>>()?;
            session.execute(
                "DELETE FROM hookfire.attempts WHERE delivery_id = ANY($1)",
                &[SqlValue::ints(deleted.iter().copied())],
            )?;
            Ok(deleted.len())
        })
    }
}

impl PostgresJournal {
    fn one_delivery(
        &self,
        condition: &str,
        value: SqlValue<'_>,
    ) -> Result<Option<Delivery>, JournalError> {
        let sql = format!("SELECT {DELIVERY_COLUMNS} FROM hookfire.deliveries WHERE {condition}");
        self.connection.read(|session| {
            let row = session.row(&sql, std::slice::from_ref(&value))?;
            row.as_ref().map(rows::delivery).transpose()
        })
    }

    /// Changes the first deliveries, in one transaction. `change` returns how many it changed.
    pub(super) fn change_slice(
        &self,
        seen: &[DeliveryVersion],
        change: impl Fn(
            &mut super::session::Session,
            &[DeliveryVersion],
        ) -> Result<usize, PostgresError>,
    ) -> Result<Slice, JournalError> {
        let slice = &seen[..seen.len().min(SLICE)];
        let changed = self.connection.write(|session| change(session, slice))?;
        Ok(Slice {
            done: slice.len(),
            changed,
        })
    }
}

/// The ids and the attempt counts.
pub fn version_arrays(seen: &[DeliveryVersion]) -> [SqlValue<'static>; 2] {
    let attempts = seen.iter().map(|seen| i64::from(seen.attempts));
    [
        SqlValue::ints(seen.iter().map(|seen| seen.id)),
        SqlValue::ints(attempts),
    ]
}
