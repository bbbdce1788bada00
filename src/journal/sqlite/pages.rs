//! Reading for somebody who watches: deliveries page by page, the newest first, what became of them over time, and whether
//! anything has changed.
//!
//! Deliberately no filters: the lists of `query` have those.

use rusqlite::params;

use super::{SqliteJournal, rows};
use crate::delivery::{Delivery, Status};
use crate::journal::store::JournalError;
use crate::time::UnixMs;

/// How many deliveries outcomes are counted of: reading them takes a moment, in a journal of whatever size.
pub const COUNTED_AT_MOST: u32 = 20_000;

/// The last delivery of a page; the next page begins below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Below {
    /// When it failed last; only for the failed list.
    pub finished_at: UnixMs,
    /// Its id.
    pub id: i64,
}

/// What became of deliveries over time.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// For each stretch of time that has any, and each status: how many were accepted then and have it now.
    pub counts: Vec<(usize, Status, usize)>,
    /// Whether there are more of that time than were counted.
    pub cut: bool,
}

impl SqliteJournal {
    /// A page of the failed list, or of all deliveries, the newest first.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn newest(
        &self,
        failed: bool,
        below: Option<Below>,
        limit: u32,
    ) -> Result<Vec<Delivery>, JournalError> {
        let sql = newest_sql(failed);
        let below = below.unwrap_or(Below {
            finished_at: UnixMs(i64::MAX),
            id: i64::MAX,
        });
        self.read(|conn| {
            conn.prepare_cached(&sql)?
                .query_map(
                    params![below.finished_at.0, below.id, limit],
                    rows::delivery,
                )?
                .collect()
        })
    }

    /// What became of the deliveries accepted since `since`, by stretches of `stretch_ms`; of the newest
    /// [`COUNTED_AT_MOST`] only. Nothing was to become of what was ignored.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn outcomes(&self, since: UnixMs, stretch_ms: i64) -> Result<Outcomes, JournalError> {
        self.read(|conn| {
            let counts = conn
                .prepare_cached(
                    "SELECT (created_at - ?1) / ?2, status, count(*)
                     FROM (SELECT created_at, status FROM deliveries ORDER BY id DESC LIMIT ?3)
                     WHERE created_at >= ?1 AND status IN ('pending', 'delivered', 'failed', 'interrupted')
                     GROUP BY 1, 2 ORDER BY 1, 2",
                )?
                .query_map(params![since.0, stretch_ms.max(1), COUNTED_AT_MOST], |row| {
                    let status = rows::status(row, 1)?;
                    let (stretch, count): (i64, i64) = (row.get(0)?, row.get(2)?);
                    Ok((usize::try_from(stretch).unwrap_or(0), status, usize::try_from(count).unwrap_or(0)))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let cut = conn
                .prepare_cached("SELECT 1 FROM deliveries WHERE created_at >= ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2")?
                .exists(params![since.0, COUNTED_AT_MOST])?;
            Ok(Outcomes { counts, cut })
        })
    }

    /// Something that differs from what it was whenever anybody has changed anything.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn version(&self) -> Result<(i64, i64), JournalError> {
        // SQLite's own counter tells of the commits of others only.
        self.read(|conn| {
            let by_others = conn
                .prepare_cached("PRAGMA data_version")?
                .query_row([], |row| row.get(0))?;
            let by_this = conn
                .prepare_cached("SELECT total_changes()")?
                .query_row([], |row| row.get(0))?;
            Ok((by_others, by_this))
        })
    }
}

pub(super) fn newest_sql(failed: bool) -> String {
    let columns = rows::DELIVERY_COLUMNS;
    if failed {
        // Word for word the condition of the index `deliveries_failed`, or SQLite would not use it.
        format!(
            "SELECT {columns} FROM deliveries
             WHERE status IN ('failed', 'interrupted') AND (finished_at, id) < (?1, ?2)
             ORDER BY finished_at DESC, id DESC LIMIT ?3"
        )
    } else {
        // The first parameter is named, so that both statements take the same ones.
        format!(
            "SELECT {columns} FROM deliveries WHERE id < ?2 AND ?1 IS NOT NULL ORDER BY id DESC LIMIT ?3"
        )
    }
}
