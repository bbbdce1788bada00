//! Reading, importing and deleting deliveries.

use super::{PostgresJournal, SLICE};
use crate::delivery::{Attempt, Delivery, Status};
use crate::journal::postgres::error::PostgresError;
use crate::journal::rows::{self, DELIVERY_COLUMNS, Row as _};
use crate::journal::values::SqlValue;
use crate::journal::{
    Cursor, Deliveries, DeliveryVersion, Import, JournalError, Query, Slice, StatusCounts,
    Unchanged, statements,
};
use crate::time::UnixMs;

/// How many deliveries one transaction imports.
const IMPORT_SLICE: usize = 100;

impl Deliveries for PostgresJournal {
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        self.first(&statements::deliveries_where("id = $1", id), rows::delivery)
    }

    fn delivery_by_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError> {
        let by_uuid = statements::deliveries_where("lower(uuid) = lower($1)", uuid);
        self.first(&by_uuid, rows::delivery)
    }

    fn payload(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        self.value(&statements::payload(id))
    }

    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError> {
        self.all(&statements::attempts(id), rows::attempt)
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
        let versions = statements::page("id, attempt_count", query, None, query.limit);
        self.all(&versions, rows::version)
    }

    fn page(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Delivery>, JournalError> {
        let page = statements::page(DELIVERY_COLUMNS, query, after, Some(limit));
        self.all(&page, rows::delivery)
    }

    fn count_up_to(&self, query: &Query, max: usize) -> Result<usize, JournalError> {
        self.value(&statements::count(query, max))
    }

    fn status_counts(&self, since: UnixMs, interval_ms: i64) -> Result<StatusCounts, JournalError> {
        let counts = statements::status_counts(since, interval_ms);
        let cut = statements::status_counts_are_cut(since);
        Ok(StatusCounts {
            counts: self.all(&counts, |row| {
                Ok((row.read(0)?, row.read(1)?, row.read(2)?))
            })?,
            cut: self.first(&cut, |row| row.read(0))?.unwrap_or(false),
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
