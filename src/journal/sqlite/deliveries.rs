//! Reading, importing and deleting deliveries.

use rusqlite::{OptionalExtension as _, Row, params};

use super::SqliteJournal;
use crate::delivery::{Attempt, Delivery, Status};
use crate::journal::rows::{self, DELIVERY_COLUMNS, Row as _};
use crate::journal::{
    Cursor, Deliveries, DeliveryVersion, Import, JournalError, Query, Slice, StatusCounts,
    Unchanged, statements,
};
use crate::time::UnixMs;

/// How many deliveries [`Deliveries::delivery_versions`] reads at a time.
const VERSIONS_PAGE: usize = if cfg!(test) { 20 } else { 2_000 };

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
        self.first(&statements::deliveries_where("id = $1", id), |row| {
            self.row(row)
        })
    }

    fn delivery_by_uuid(&self, uuid: &str) -> Result<Option<Delivery>, JournalError> {
        let by_uuid = statements::deliveries_where("uuid = $1", uuid);
        self.first(&by_uuid, |row| self.row(row))
    }

    fn payload(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        self.value(&statements::payload(id))
    }

    fn attempts(&self, id: i64) -> Result<Vec<Attempt>, JournalError> {
        self.all(&statements::attempts(id), |row| rows::attempt(row))
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
            let page = statements::page(COLUMNS, query, after, Some(page));
            let rows = self.all(&page, |row| Ok((rows::version(row)?, row.read(2)?)))?;
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
        let page = statements::page(DELIVERY_COLUMNS, query, after, Some(limit));
        self.all(&page, |row| self.row(row))
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
