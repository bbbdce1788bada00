//! The schedule: deliveries that wait for their next attempt and have no owner, and those whose owner has ended.
//!
//! Each condition repeats the WHERE clause of an index, so that it is used.

use std::time::Duration;

use super::attempts::{LAST_ACTIVE_AT, interrupt_sql, refresh_last_errors};
use super::deliveries::version_arrays;
use super::error::PostgresError;
use super::session::Session;
use super::{PostgresJournal, SLICE};
use crate::journal::rows::{self, DUE_COLUMNS, DUE_TARGET, Row as _};
use crate::journal::statements::SCHEDULED;
use crate::journal::stored::{INTERRUPTED_MESSAGE, InProgress};
use crate::journal::values::{BoundSql, SqlValue};
use crate::journal::{
    DeliveryVersion, Due, DueFilter, JournalError, Schedule, Slice, in_slices, statements,
};
use crate::time::{UnixMs, duration_ms};

/// The first undelivered delivery of each sequence, found by one search of the index for each.
fn in_sequence_sql() -> String {
    format!(
        "WITH RECURSIVE first (id, sequence) AS (
         (SELECT id, sequence FROM hookfire.deliveries
          WHERE sequence IS NOT NULL AND status <> 'delivered' ORDER BY sequence, id LIMIT 1)
         UNION ALL
         SELECT next.id, next.sequence FROM first CROSS JOIN LATERAL
             (SELECT id, sequence FROM hookfire.deliveries
              WHERE sequence IS NOT NULL AND status <> 'delivered' AND sequence > first.sequence
              ORDER BY sequence, id LIMIT 1) next)
         SELECT d.next_attempt_at, d.id, d.attempt_count, d.url, {DUE_TARGET} FROM first JOIN hookfire.deliveries d ON d.id = first.id
         WHERE d.next_attempt_at IS NOT NULL AND d.owner IS NULL AND d.next_attempt_at <= $1 ORDER BY 1, 2"
    )
}

/// SQL condition: a delivery has an owner, or was abandoned before it had one.
const IN_PROGRESS: &str = "status = 'pending' AND (owner IS NOT NULL OR next_attempt_at IS NULL)";

/// A row of `writers` that has not changed for this long belongs to a process that was killed.
const WRITER_AGE: Duration = Duration::from_secs(86_400);

impl Schedule for PostgresJournal {
    fn due_page(
        &self,
        after: Option<(UnixMs, i64)>,
        limit: u32,
        filter: DueFilter<'_>,
    ) -> Result<Vec<Due>, JournalError> {
        let mut due = BoundSql::new(&format!(
            "SELECT {DUE_COLUMNS}, {DUE_TARGET} FROM hookfire.deliveries
             WHERE {SCHEDULED} AND sequence IS NULL"
        ));
        if filter.forwards {
            due.sql += " AND capture_id IS NOT NULL";
        }
        due.and("next_attempt_at <= ?", Some(self.connection.now()));
        if let Some((at, id)) = after {
            due.push(
                " AND (next_attempt_at, id) > (?, ?)",
                [at.into(), id.into()],
            );
        }
        due.and("url = ?", filter.url);
        due.push(" ORDER BY next_attempt_at, id LIMIT ?", [limit.into()]);
        self.all(&due, |row| rows::due(row, false))
    }

    fn due_in_sequence(&self) -> Result<Vec<Due>, JournalError> {
        let first = BoundSql::with(in_sequence_sql(), [self.connection.now().into()]);
        self.all(&first, |row| rows::due(row, true))
    }

    fn scheduled_to(&self, target: &str, forwards: bool) -> Result<usize, JournalError> {
        self.value(&statements::scheduled_to(target, forwards))
    }

    fn pending_forwards(&self, max: usize) -> Result<usize, JournalError> {
        self.value(&statements::pending_forwards(max))
    }

    fn next_due(&self) -> Result<Option<(UnixMs, i64)>, JournalError> {
        let next = statements::next_due(self.connection.now());
        self.first(&next, |row| Ok((row.read(0)?, row.read(1)?)))
    }

    fn scheduled_after(&self, time: UnixMs) -> Result<Option<(usize, UnixMs)>, JournalError> {
        let found = self.first(&statements::scheduled_after(time), |row| {
            Ok((row.read(0)?, row.read::<Option<UnixMs>>(1)?))
        })?;
        Ok(found.and_then(|(number, latest)| Some((number, latest?))))
    }

    fn bring_forward(&self, url: &str) -> Result<bool, JournalError> {
        self.changes(&statements::bring_forward(url, self.connection.now()))
    }

    fn cancel_slice(&self, seen: &[DeliveryVersion]) -> Result<Slice, JournalError> {
        let selected = "d.id = ANY($1) AND (d.id, d.attempt_count) IN
             (SELECT * FROM unnest($1::bigint[], $2::bigint[]))";
        let sql = interrupt_sql(
            selected,
            "d.next_attempt_at IS NOT NULL AND d.owner IS NULL",
            "NULL::bigint",
        );
        self.change_slice(seen, |session, seen| {
            session.execute(&sql, &version_arrays(seen))
        })
    }

    fn interrupt_abandoned(&self) -> Result<usize, JournalError> {
        let owners = self.connection.read(owners)?;
        // Leases that end before the time of their owner have expired. Later ones were renewed in the meantime.
        let expired: Vec<(String, i64)> = owners
            .into_iter()
            .filter_map(|(owner, [first_lease, last_lease])| {
                let passed = match self.connection.host().is_dead(&owner) {
                    true => last_lease + 1,
                    false => self.connection.lease_time_passed(&owner).0,
                };
                (first_lease < passed).then_some((owner, passed))
            })
            .collect();
        let abandoned = self
            .connection
            .read(|session| abandoned(session, &expired))?;
        if abandoned.is_empty() {
            return Ok(0);
        }
        let change = |rest: &[InProgress]| {
            let slice = &rest[..rest.len().min(SLICE)];
            let changed = self
                .connection
                .write(|session| interrupt(session, slice, self.connection.now()))?;
            Ok(Slice {
                done: slice.len(),
                changed,
            })
        };
        let (all, result) = in_slices(&abandoned, change, |_| true);
        result.map(|()| all.changed)
    }
}

/// The owners of deliveries, and when the first and the last lease of each ends.
fn owners(session: &mut Session) -> Result<Vec<(String, [i64; 2])>, PostgresError> {
    let rows = session.rows(
        &format!(
            "SELECT owner, min(coalesce(lease_until, 0)), max(coalesce(lease_until, 0)) FROM hookfire.deliveries
             WHERE {IN_PROGRESS} AND owner IS NOT NULL GROUP BY owner"
        ),
        &[],
    )?;
    let owners = rows.iter();
    owners
        .map(|row| Ok((row.read(0)?, [row.read(1)?, row.read(2)?])))
        .collect()
}

/// Deliveries in progress that have no owner, or one of these owners and a lease that ends before its time.
fn abandoned(
    session: &mut Session,
    expired: &[(String, i64)],
) -> Result<Vec<InProgress>, PostgresError> {
    let sql = format!(
        "SELECT id, owner, coalesce(lease_until, 0) FROM hookfire.deliveries
             LEFT JOIN unnest($1::text[], $2::bigint[]) AS expired (name, passed) ON name = owner
         WHERE {IN_PROGRESS} AND (owner IS NULL OR coalesce(lease_until, 0) < passed)"
    );
    let owners = expired.iter().map(|(owner, _)| Some(owner.into()));
    let rows = session.rows(
        &sql,
        &[
            SqlValue::Texts(owners.collect()),
            SqlValue::ints(expired.iter().map(|(_, passed)| *passed)),
        ],
    )?;
    rows.iter().map(rows::in_progress).collect()
}

/// Moves deliveries to the failed list and, if attempts are left, to the schedule, unless their owners have renewed the
/// leases since they were read. Returns how many it moved.
fn interrupt(
    session: &mut Session,
    deliveries: &[InProgress],
    now: UnixMs,
) -> Result<usize, PostgresError> {
    let due = format!(
        "CASE WHEN d.attempt_count <= d.retries THEN {LAST_ACTIVE_AT}
             + coalesce((d.retry_schedule::json ->> (d.attempt_count - 1)::int)::bigint, d.retry_interval_ms) END"
    );
    let selected = "d.id = ANY($1) AND (d.id, coalesce(d.lease_until, 0)) IN
         (SELECT * FROM unnest($1::bigint[], $2::bigint[]))";
    let condition = "d.status = 'pending' AND (d.owner IS NOT NULL OR d.next_attempt_at IS NULL)";
    let rows = session.rows(
        &interrupt_sql(selected, condition, &due),
        &[
            SqlValue::ints(deliveries.iter().map(|delivery| delivery.id)),
            SqlValue::ints(deliveries.iter().map(|delivery| delivery.lease_until.0)),
        ],
    )?;
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get(0)?);
    }
    session.execute(
        "UPDATE hookfire.attempts SET error_kind = 'interrupted', maybe_received = TRUE, error_message = $2
         WHERE delivery_id = ANY($1) AND duration_ms IS NULL AND error_kind IS NULL",
        &[SqlValue::ints(ids.iter().copied()), INTERRUPTED_MESSAGE.into()],
    )?;
    refresh_last_errors(session, &ids);
    let oldest = UnixMs(now.0 - duration_ms(WRITER_AGE));
    session.execute(
        "DELETE FROM hookfire.writers WHERE id IN (
             SELECT id FROM hookfire.writers WHERE at < $1 ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED)",
        &[oldest.into()],
    )?;
    Ok(ids.len())
}
