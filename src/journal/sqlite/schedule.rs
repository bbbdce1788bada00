//! The schedule: what is due, what will be, and what is put off or taken off it.
//!
//! Each statement has word for word the condition of the index `deliveries_due`, or SQLite would not use it.

use rusqlite::params;

use super::SqliteJournal;
use super::sending::interrupt_sql;
use crate::journal::store::{Due, JournalError, Schedule, Seen};
use crate::time::UnixMs;

/// In two parts, since SQLite looks up only the first column of `(next_attempt_at, id) > (?2, ?3)`: thousands that are due
/// at one moment would be walked again for each page.
pub(super) const DUE: &str = "SELECT * FROM
     (SELECT next_attempt_at, id, attempt_count, url FROM deliveries
      WHERE next_attempt_at IS NOT NULL AND owner_host IS NULL
          AND next_attempt_at = ?2 AND next_attempt_at <= ?1 AND id > ?3 AND (?5 IS NULL OR url = ?5)
      ORDER BY id LIMIT ?4)
     UNION ALL SELECT * FROM
     (SELECT next_attempt_at, id, attempt_count, url FROM deliveries
      WHERE next_attempt_at IS NOT NULL AND owner_host IS NULL
          AND next_attempt_at > ?2 AND next_attempt_at <= ?1 AND (?5 IS NULL OR url = ?5)
      ORDER BY next_attempt_at, id LIMIT ?4)
     ORDER BY 1, 2 LIMIT ?4";

pub(super) const NEXT_DUE: &str = "SELECT min(next_attempt_at) FROM deliveries
     WHERE next_attempt_at IS NOT NULL AND owner_host IS NULL AND next_attempt_at > ?1";

/// As it was seen, and still on the schedule.
const AS_SEEN: &str =
    "next_attempt_at IS NOT NULL AND owner_host IS NULL AND id = ?1 AND attempt_count = ?2";

impl Schedule for SqliteJournal {
    fn due(
        &self,
        now: UnixMs,
        last: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError> {
        let (at, id) = last.map_or((i64::MIN, 0), |(at, id)| (at.0, id));
        self.read(|conn| {
            conn.prepare_cached(DUE)?
                .query_map(params![now.0, at, id, limit, url], |row| {
                    let seen = Seen {
                        id: row.get(1)?,
                        attempts: row.get(2)?,
                    };
                    Ok(Due {
                        at: UnixMs(row.get(0)?),
                        seen,
                        url: row.get(3)?,
                    })
                })?
                .collect()
        })
    }

    fn next_due(&self, now: UnixMs) -> Result<Option<UnixMs>, JournalError> {
        self.read(|conn| {
            let due: Option<i64> = conn
                .prepare_cached(NEXT_DUE)?
                .query_row([now.0], |row| row.get(0))?;
            Ok(due.map(UnixMs))
        })
    }

    fn release_dead(&self, now: UnixMs) -> Result<usize, JournalError> {
        // Who watches a file that was removed would wait for ever.
        self.refuse_lost_file()?;
        SqliteJournal::release_dead(self, now)
    }

    fn postpone(&self, seen: Seen, due: UnixMs) -> Result<bool, JournalError> {
        self.write(|tx| {
            let sql = format!("UPDATE deliveries SET next_attempt_at = ?3 WHERE {AS_SEEN}");
            Ok(tx
                .prepare_cached(&sql)?
                .execute(params![seen.id, seen.attempts, due.0])?
                == 1)
        })
    }

    fn unschedule(&self, seen: &[Seen]) -> Result<usize, JournalError> {
        let interrupt = interrupt_sql(AS_SEEN, "NULL");
        self.write_and_checkpoint(|tx| {
            let mut statement = tx.prepare_cached(&interrupt)?;
            seen.iter().try_fold(0, |taken, seen| {
                Ok(taken + statement.execute(params![seen.id, seen.attempts])?)
            })
        })
    }
}

impl SqliteJournal {
    /// What is scheduled, of one endpoint or of all; what a dead process left behind is in the failed list already.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn scheduled(&self, endpoint: Option<&str>) -> Result<Vec<Seen>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT id, attempt_count FROM deliveries
                 WHERE next_attempt_at IS NOT NULL AND owner_host IS NULL AND status = 'pending'
                     AND (?1 IS NULL OR endpoint = ?1)
                 ORDER BY id",
            )?
            .query_map([endpoint], |row| {
                Ok(Seen {
                    id: row.get(0)?,
                    attempts: row.get(1)?,
                })
            })?
            .collect()
        })
    }

    /// Whether a delivery waits for its next attempt without anybody who would make it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn is_scheduled(&self, id: i64) -> Result<bool, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT 1 FROM deliveries
                 WHERE next_attempt_at IS NOT NULL AND owner_host IS NULL AND status = 'pending' AND id = ?1",
            )?
            .exists([id])
        })
    }
}
