//! The schedule: deliveries that wait for their next attempt and have no owner, and those whose owner has ended.
//!
//! Each condition repeats the WHERE clause of the index `deliveries_due` or `deliveries_due_forwards`; otherwise SQLite does
//! not use the index.

use std::collections::HashMap;

use rusqlite::{Transaction, params};

use super::SqliteJournal;
use super::attempts::{LAST_ACTIVE_AT, interrupt_sql, refresh_last_error};
use crate::journal::rows::{self, DUE_COLUMNS, DUE_TARGET, Row as _};
use crate::journal::stored::{INTERRUPTED_MESSAGE, InProgress};
use crate::journal::values::BoundSql;
use crate::journal::{
    DeliveryVersion, Due, DueFilter, JournalError, Schedule, Slice, in_slices, statements,
};
use crate::time::UnixMs;

/// Has two parts, because for `(next_attempt_at, id) > (?2, ?3)` SQLite would use only the first column of the index,
/// and thousands of deliveries may be due at the same moment.
pub fn due_sql(forwards: bool) -> String {
    let forwards = match forwards {
        true => "capture_id IS NOT NULL",
        false => "TRUE",
    };
    format!(
        "SELECT * FROM
         (SELECT {DUE_COLUMNS}, {DUE_TARGET} FROM deliveries
          WHERE next_attempt_at IS NOT NULL AND owner IS NULL AND sequence IS NULL AND {forwards}
              AND next_attempt_at = ?2 AND next_attempt_at <= ?1 AND id > ?3 AND (?5 IS NULL OR url = ?5)
          ORDER BY id LIMIT ?4)
         UNION ALL SELECT * FROM
         (SELECT {DUE_COLUMNS}, {DUE_TARGET} FROM deliveries
          WHERE next_attempt_at IS NOT NULL AND owner IS NULL AND sequence IS NULL AND {forwards}
              AND next_attempt_at > ?2 AND next_attempt_at <= ?1 AND (?5 IS NULL OR url = ?5)
          ORDER BY next_attempt_at, id LIMIT ?4)
         ORDER BY 1, 2 LIMIT ?4"
    )
}

/// The first undelivered delivery of each sequence, found by one search of the index for each.
fn in_sequence_sql() -> String {
    format!(
        "WITH RECURSIVE first (id, sequence) AS (
         SELECT * FROM (SELECT id, sequence FROM deliveries
             WHERE sequence IS NOT NULL AND status <> 'delivered' ORDER BY sequence, id LIMIT 1)
         UNION ALL
         SELECT next.id, next.sequence FROM first JOIN deliveries next ON next.id =
             (SELECT id FROM deliveries
              WHERE sequence IS NOT NULL AND status <> 'delivered' AND sequence > first.sequence
              ORDER BY sequence, id LIMIT 1))
         SELECT {DUE_COLUMNS}, {DUE_TARGET} FROM first JOIN deliveries USING (id)
         WHERE next_attempt_at IS NOT NULL AND owner IS NULL AND next_attempt_at <= ?1 ORDER BY 1, 2"
    )
}

/// SQL condition: scheduled, and unchanged since it was read. Parameters: id, attempt count.
const UNCHANGED: &str =
    "next_attempt_at IS NOT NULL AND owner IS NULL AND id = ?1 AND attempt_count = ?2";

impl Schedule for SqliteJournal {
    fn due_page(
        &self,
        after: Option<(UnixMs, i64)>,
        limit: u32,
        filter: DueFilter<'_>,
    ) -> Result<Vec<Due>, JournalError> {
        let (at, id) = after.unwrap_or((UnixMs(i64::MIN), 0));
        let DueFilter { url, forwards } = filter;
        let values = [
            self.host.now().into(),
            at.into(),
            id.into(),
            limit.into(),
            url.into(),
        ];
        self.all(&BoundSql::with(due_sql(forwards), values), |row| {
            rows::due(row, false)
        })
    }

    fn due_in_sequence(&self) -> Result<Vec<Due>, JournalError> {
        let first = BoundSql::with(in_sequence_sql(), [self.host.now().into()]);
        self.all(&first, |row| rows::due(row, true))
    }

    fn scheduled_to(&self, target: &str, forwards: bool) -> Result<usize, JournalError> {
        self.value(&statements::scheduled_to(target, forwards))
    }

    fn pending_forwards(&self, max: usize) -> Result<usize, JournalError> {
        self.value(&statements::pending_forwards(max))
    }

    fn next_due(&self) -> Result<Option<(UnixMs, i64)>, JournalError> {
        let next = statements::next_due(self.host.now());
        self.first(&next, |row| Ok((row.read(0)?, row.read(1)?)))
    }

    fn scheduled_after(&self, time: UnixMs) -> Result<Option<(usize, UnixMs)>, JournalError> {
        let found = self.first(&statements::scheduled_after(time), |row| {
            Ok((row.read(0)?, row.read::<Option<UnixMs>>(1)?))
        })?;
        Ok(found.and_then(|(number, latest)| Some((number, latest?))))
    }

    fn bring_forward(&self, url: &str) -> Result<bool, JournalError> {
        let now = self.host.now();
        // Without any, the journal is not locked.
        let some = self.first(&statements::unanswered(url, now), |_| Ok(()))?;
        Ok(some.is_some() && self.changes(&statements::bring_forward(url, now))?)
    }

    fn cancel_slice(&self, seen: &[DeliveryVersion]) -> Result<Slice, JournalError> {
        self.write_slice(seen, |tx, seen| {
            tx.prepare_cached(&interrupt_sql(UNCHANGED, "NULL"))?
                .execute(params![seen.id, seen.attempts])
        })
    }

    fn interrupt_abandoned(&self) -> Result<usize, JournalError> {
        let mut abandoned = self.all(&statements::in_progress(), |row| rows::in_progress(row))?;
        // Looks up each owner once.
        let mut owners = HashMap::new();
        abandoned.retain(|delivery| {
            let Some(owner) = &delivery.owner else {
                return true;
            };
            let (is_dead, passed) = *owners
                .entry(owner.clone())
                .or_insert_with(|| (self.host.is_dead(owner), self.host.lease_time_passed(owner)));
            is_dead || delivery.lease_until < passed
        });
        let change = |rest: &[InProgress]| self.write_slice(rest, interrupt);
        let (all, result) = in_slices(&abandoned, change, |_| true);
        result.map(|()| all.changed)
    }
}

/// Moves a delivery to the failed list and, if attempts are left, to the schedule, unless its owner has renewed the
/// lease since it was read. Returns how many rows it changed.
fn interrupt(tx: &Transaction<'_>, delivery: &InProgress) -> rusqlite::Result<usize> {
    let interval = "coalesce(json_extract(retry_schedule, '$[' || (attempt_count - 1) || ']'), retry_interval_ms)";
    let due = format!("iif(attempt_count <= retries, {LAST_ACTIVE_AT} + {interval}, NULL)");
    let unchanged = "id = ?1 AND status = 'pending' AND coalesce(lease_until, 0) = ?2
         AND (owner IS NOT NULL OR next_attempt_at IS NULL)";
    let interrupted = tx
        .prepare_cached(&interrupt_sql(unchanged, &due))?
        .execute(params![delivery.id, delivery.lease_until])?;
    if interrupted > 0 {
        tx.prepare_cached(
            "UPDATE attempts SET error_kind = 'interrupted', maybe_received = 1, error_message = ?2
             WHERE delivery_id = ?1 AND duration_ms IS NULL AND error_kind IS NULL",
        )?
        .execute(params![delivery.id, INTERRUPTED_MESSAGE])?;
        refresh_last_error(tx, delivery.id)?;
    }
    Ok(interrupted)
}
