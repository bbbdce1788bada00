//! Statements that add and claim deliveries, and record attempts.
//!
//! Each statement that changes many deliveries locks them in the order of their ids first, so that two processes never
//! wait for each other.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use uuid::Builder;

use super::error::PostgresError;
use super::session::{Session, insert_all};
use crate::delivery::switches::Switch;
use crate::delivery::{Delivery, Status};
use crate::journal::rows::{Row as _, version};
use crate::journal::values::{NewRow, SqlValue};
use crate::journal::{
    AttemptResult, Claim, ClaimCondition, Forward, Import, NewAttempt, NewDelivery, NextStep,
    ScheduleSlot, StoredCapture, WriteResult,
};
use crate::journal::{new_rows, stored};
use crate::time::{UnixMs, duration_ms};

/// SQL expression: when the first successful attempt of the delivery `d` ended, or NULL.
const SUCCEEDED_AT: &str = "(SELECT a.started_at + a.duration_ms FROM hookfire.attempts a
     WHERE a.delivery_id = d.id AND a.duration_ms IS NOT NULL AND a.error_kind IS NULL ORDER BY a.number LIMIT 1)";

/// SQL expression: when the last attempt of the delivery `d` ended, or began if its end was not recorded.
pub const LAST_ACTIVE_AT: &str =
    "(SELECT a.started_at + coalesce(a.duration_ms, 0) FROM hookfire.attempts a
     WHERE a.delivery_id = d.id ORDER BY a.number DESC LIMIT 1)";

/// SQL condition: the process $1 owns the delivery `d`.
const OWNED: &str = "d.status = 'pending' AND d.owner = $1";

/// A delivery to add: its place in the group, its first attempt, or the switch that keeps it from being sent.
pub type NewEntry<'w> = (
    usize,
    &'w NewDelivery,
    Option<&'w NewAttempt>,
    Option<Switch>,
);

/// What is known about an attempt once its result is stored.
struct Recorded {
    was_interrupted: bool,
    ended_at: UnixMs,
}

/// A transaction, and the process and time that its writes record.
pub struct AttemptWriter<'s> {
    pub session: &'s mut Session,
    pub owner: &'s str,
    /// The owner as users see it.
    pub label: &'s str,
    pub now: UnixMs,
    pub path: &'s Path,
}

impl AttemptWriter<'_> {
    pub fn add(
        &mut self,
        entries: Vec<NewEntry<'_>>,
        results: &mut [WriteResult],
    ) -> Result<(), PostgresError> {
        let mut deliveries: Vec<Box<Delivery>> = Vec::with_capacity(entries.len());
        for (_, new, attempt, by) in &entries {
            let mut delivery = stored::new_delivery(new, 0, self.new_uuid(), self.now);
            if let Some(by) = by {
                (delivery.status, delivery.ignored_by) = (Status::Ignored, Some(*by));
            }
            if attempt.is_some() {
                (delivery.attempt_count, delivery.is_owned) = (1, true);
                delivery.last_owner = Some(self.label.to_owned());
            }
            deliveries.push(Box::new(delivery));
        }
        let new_rows = entries
            .iter()
            .zip(&deliveries)
            .map(|((_, new, attempt, _), delivery)| {
                let lease = attempt.map(|attempt| (self.owner, self.now.plus(attempt.lease)));
                new_rows::delivery(delivery, &new.payload.bytes, lease)
            });
        let new_rows = new_rows.collect();
        let ids = insert_deliveries(self.session, new_rows, "")?;
        let (mut begun, mut insecure, mut sent_to) = (Vec::new(), Vec::new(), Vec::new());
        for ((at, _, attempt, _), mut delivery) in entries.into_iter().zip(deliveries) {
            let id = ids.get(&delivery.uuid.to_lowercase());
            delivery.id = *id.ok_or_else(|| PostgresError::internal(self.path))?;
            if let Some(attempt) = attempt {
                begun.push(delivery.id);
                insecure.push(Some(attempt.insecure));
                sent_to.push(attempt.sent_to.clone().map(Into::into));
            }
            results[at] = WriteResult::Delivery(delivery);
        }
        if begun.is_empty() {
            return Ok(());
        }
        self.session.queue(
            "INSERT INTO hookfire.attempts (delivery_id, number, started_at, insecure, sent_to)
             SELECT id, 1, $1, insecure, sent_to
             FROM unnest($2::bigint[], $3::boolean[], $4::text[]) AS new (id, insecure, sent_to)",
            vec![
                self.now.into(),
                SqlValue::ints(begun),
                SqlValue::Bools(insecure),
                SqlValue::Texts(sent_to),
            ],
        );
        Ok(())
    }

    /// Adds a scheduled delivery for each of the forwards of captures, whose results have their ids and bins.
    pub fn forward(
        &mut self,
        captures: &[(usize, &StoredCapture, &[Forward])],
        results: &mut [WriteResult],
    ) -> Result<(), PostgresError> {
        let mut deliveries = Vec::new();
        for (at, captured, forwards) in captures {
            let WriteResult::Captured { id, bin, due, .. } = &mut results[*at] else {
                continue;
            };
            *due = self.now;
            for forward in *forwards {
                let (origin, uuid) = ((*id, bin.as_str()), self.new_uuid());
                deliveries.push(stored::forwarding_delivery(
                    forward, captured, origin, 0, uuid, self.now,
                ));
            }
        }
        let new_rows = deliveries.iter();
        let new_rows = new_rows.map(|delivery| new_rows::delivery(delivery, &[], None));
        insert_deliveries(self.session, new_rows.collect(), "")?;
        Ok(())
    }

    /// Begins attempts whose conditions hold. Deliveries that another process is changing at this moment count as claimed
    /// by it, except those that this process owns.
    pub fn begin(
        &mut self,
        claims: &[(usize, &Claim)],
        results: &mut [WriteResult],
    ) -> Result<(), PostgresError> {
        let in_failed_list = "d.status IN ('failed', 'interrupted')";
        let scheduled = "d.next_attempt_at IS NOT NULL AND d.owner IS NULL";
        for (is_kind, condition, wait) in [
            (is_owned as fn(&ClaimCondition) -> bool, OWNED, ""),
            (is_failed, in_failed_list, "SKIP LOCKED"),
            (is_scheduled, scheduled, "SKIP LOCKED"),
        ] {
            let of_kind = claims.iter().filter(|(_, claim)| is_kind(&claim.condition));
            let of_kind: Vec<_> = of_kind.copied().collect();
            if !of_kind.is_empty() {
                self.begin_all(&of_kind, condition, wait, results)?;
            }
        }
        Ok(())
    }

    fn begin_all(
        &mut self,
        claims: &[(usize, &Claim)],
        condition: &str,
        wait: &str,
        results: &mut [WriteResult],
    ) -> Result<(), PostgresError> {
        let mut ordered: Vec<&Claim> = claims.iter().map(|(_, claim)| *claim).collect();
        ordered.sort_by_key(|claim| claim.id);
        let each = || ordered.iter();
        let attempts = each().map(|claim| match claim.condition {
            ClaimCondition::Owned => None,
            ClaimCondition::Failed { attempts } | ClaimCondition::Scheduled { attempts } => {
                Some(i64::from(attempts))
            }
        });
        // Looks up each delivery by its id, in order: the condition would make the server read the whole failed list.
        let sql = format!(
            "WITH claim AS (
                 SELECT claim.* FROM
                     unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], $6::text[])
                         AS claim (id, attempts, lease_until, insecure, sent_to)
                     CROSS JOIN LATERAL (
                         SELECT 1 FROM hookfire.deliveries d
                         WHERE d.id = claim.id AND {condition}
                             AND (claim.attempts IS NULL OR d.attempt_count = claim.attempts)
                         FOR UPDATE {wait}
                     ) locked
             ), begun AS (
                 UPDATE hookfire.deliveries d SET status = 'pending', finished_at = NULL, next_attempt_at = NULL,
                     attempt_count = d.attempt_count + 1, owner = $1, lease_until = claim.lease_until,
                     last_owner = $8
                 FROM claim WHERE d.id = claim.id
                 RETURNING d.id, d.attempt_count, claim.insecure, claim.sent_to
             ), attempt AS (
                 INSERT INTO hookfire.attempts (delivery_id, number, started_at, insecure, sent_to)
                 SELECT id, attempt_count, $7, insecure, sent_to FROM begun
             )
             SELECT id, attempt_count FROM begun"
        );
        let values = [
            self.owner.into(),
            SqlValue::ints(each().map(|claim| claim.id)),
            SqlValue::Ints(attempts.collect()),
            SqlValue::ints(each().map(|claim| self.now.plus(claim.attempt.lease).0)),
            SqlValue::Bools(each().map(|claim| Some(claim.attempt.insecure)).collect()),
            SqlValue::Texts(
                each()
                    .map(|claim| claim.attempt.sent_to.as_deref().map(Into::into))
                    .collect(),
            ),
            self.now.into(),
            self.label.into(),
        ];
        let mut begun = HashMap::new();
        for row in self.session.rows(&sql, &values)? {
            let version = version(&row)?;
            begun.insert(version.id, version.attempts);
        }
        for (at, claim) in claims {
            results[*at] = match begun.get(&claim.id) {
                Some(number) => WriteResult::Claimed(*number),
                None => WriteResult::Refused,
            };
        }
        Ok(())
    }

    /// Records the results of attempts. The transaction has locked their deliveries.
    pub fn finish(
        &mut self,
        finished: &[(usize, &AttemptResult)],
        results: &mut [WriteResult],
    ) -> Result<(), PostgresError> {
        let recorded = self.finish_attempts(finished)?;
        let (mut stored, mut with_error) = (Vec::new(), Vec::new());
        for (at, result) in finished {
            let Some(recorded) = recorded.get(&result.id) else {
                results[*at] = WriteResult::Deleted;
                continue;
            };
            stored.push((*result, recorded.ended_at));
            // Another process may have considered this one dead and marked the attempt as interrupted: the real result
            // replaces that mark.
            if result.outcome.error.is_some() || recorded.was_interrupted {
                with_error.push(result.id);
            }
        }
        if !with_error.is_empty() {
            refresh_last_errors(self.session, &with_error);
        }
        self.change_status(&stored);
        Ok(())
    }

    /// Returns what it recorded, by the delivery's id. Attempts that do not exist, or have a result, are left out.
    ///
    /// Looks up each attempt by its key, as the deliveries are locked: few attempts of the table have no result, so that the
    /// server would read all of it to find them.
    fn finish_attempts(
        &mut self,
        finished: &[(usize, &AttemptResult)],
    ) -> Result<HashMap<i64, Recorded>, PostgresError> {
        let each = || finished.iter().map(|(_, result)| result);
        let error = |result: &&&AttemptResult| result.outcome.error.clone();
        let rows = self.session.rows(
            "UPDATE hookfire.attempts a SET duration_ms = r.duration_ms, http_status = r.http_status,
                 error_kind = r.error_kind, error_message = r.error_message, maybe_received = r.maybe_received,
                 response_body = r.response_body, note = r.note, started_at = a.started_at + r.sent_after,
                 response_headers = r.response_headers
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                     $7::boolean[], $8::bytea[], $9::text[], $10::bigint[], $11::text[])
                 AS r (id, number, duration_ms, http_status, error_kind, error_message, maybe_received,
                     response_body, note, sent_after, response_headers)
                 CROSS JOIN LATERAL (
                     SELECT b.ctid AS at, b.error_kind IS NOT NULL AS was_interrupted FROM hookfire.attempts b
                     WHERE b.delivery_id = r.id AND b.number = r.number AND b.duration_ms IS NULL OFFSET 0
                 ) found
             WHERE a.ctid = found.at
             RETURNING r.id, found.was_interrupted, a.started_at + a.duration_ms",
            &[
                SqlValue::ints(each().map(|result| result.id)),
                SqlValue::ints(each().map(|result| i64::from(result.number))),
                SqlValue::ints(each().map(|result| duration_ms(result.duration))),
                SqlValue::Ints(
                    each()
                        .map(|result| result.outcome.http_status.map(Into::into))
                        .collect(),
                ),
                SqlValue::Texts(
                    each()
                        .map(|result| error(&result).map(|error| error.kind.as_str().into()))
                        .collect(),
                ),
                SqlValue::Texts(
                    each()
                        .map(|result| error(&result).map(|error| error.message.into()))
                        .collect(),
                ),
                SqlValue::Bools(
                    each()
                        .map(|result| Some(result.outcome.maybe_received))
                        .collect(),
                ),
                SqlValue::ByteArrays(
                    each()
                        .map(|result| result.outcome.response_body.as_deref())
                        .collect(),
                ),
                SqlValue::Texts(
                    each()
                        .map(|result| result.outcome.note.as_deref().map(Into::into))
                        .collect(),
                ),
                SqlValue::ints(each().map(|result| duration_ms(result.sent_after))),
                SqlValue::Texts(
                    each()
                        .map(|result| stored::headers_json(&result.outcome.response_headers).map(Into::into))
                        .collect(),
                ),
            ],
        )?;
        let mut all = HashMap::new();
        for row in rows {
            let recorded = Recorded {
                was_interrupted: row.read(1)?,
                ended_at: row.read(2)?,
            };
            all.insert(row.read(0)?, recorded);
        }
        Ok(all)
    }

    /// Changes deliveries after an attempt. If an earlier attempt has succeeded in the meantime, the delivery is delivered
    /// even if this attempt failed. If another attempt has begun since, only a success changes the delivery.
    fn change_status(&mut self, finished: &[(&AttemptResult, UnixMs)]) {
        let steps: Vec<_> = finished
            .iter()
            .map(|(result, ended_at)| match result.next {
                NextStep::Delivered => (Status::Delivered, None, None, Some(*ended_at)),
                NextStep::Failed => (Status::Failed, None, None, Some(*ended_at)),
                NextStep::Interrupted => (Status::Interrupted, None, None, Some(*ended_at)),
                NextStep::Scheduled { delay } => (Status::Pending, Some(delay), None, None),
                NextStep::Retry { delay, lease } => {
                    (Status::Pending, Some(delay), Some(lease), None)
                }
            })
            .collect();
        let at = |delay: Option<Duration>| delay.map(|delay| self.now.plus(delay).0);
        let numbers = finished.iter().map(|(result, _)| result.number);
        self.session.queue(
            "UPDATE hookfire.deliveries d SET status = n.status, next_attempt_at = n.next_attempt_at,
                 lease_until = n.lease_until, owner = CASE WHEN n.lease_until IS NOT NULL THEN $1 END,
                 finished_at = n.finished_at
             FROM (
                 SELECT r.id, r.number, coalesce(earlier.status, r.status) AS status,
                     CASE WHEN earlier.status IS NULL THEN r.next_attempt_at END AS next_attempt_at,
                     CASE WHEN earlier.status IS NULL THEN r.lease_until END AS lease_until,
                     coalesce(earlier.ended_at, r.finished_at) AS finished_at
                 FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
                     AS r (id, number, status, next_attempt_at, lease_until, finished_at)
                 LEFT JOIN LATERAL (
                     SELECT 'delivered' AS status, a.started_at + a.duration_ms AS ended_at
                     FROM hookfire.attempts a
                     WHERE r.status <> 'delivered'
                         AND a.delivery_id = r.id AND a.duration_ms IS NOT NULL AND a.error_kind IS NULL
                     ORDER BY a.number LIMIT 1
                 ) earlier ON TRUE
             ) n CROSS JOIN LATERAL (
                 SELECT b.ctid AS at FROM hookfire.deliveries b
                 WHERE b.id = n.id AND b.status <> 'delivered' AND (b.owner = $1
                     OR (b.owner IS NULL AND (b.attempt_count = n.number OR n.status = 'delivered')))
                 OFFSET 0
             ) found
             WHERE d.ctid = found.at",
            vec![
                self.owner.to_owned().into(),
                SqlValue::ints(finished.iter().map(|(result, _)| result.id)),
                SqlValue::ints(numbers.map(i64::from)),
                SqlValue::texts(steps.iter().map(|(status, ..)| status.as_str())),
                SqlValue::Ints(steps.iter().map(|(_, delay, ..)| at(*delay)).collect()),
                SqlValue::Ints(steps.iter().map(|(_, _, lease, _)| at(*lease)).collect()),
                SqlValue::Ints(steps.iter().map(|(.., end)| end.map(|end| end.0)).collect()),
            ],
        );
    }

    /// Moves deliveries that this process owns to the failed list.
    pub fn release(&mut self, ids: Vec<i64>) {
        self.session.queue(
            &interrupt_sql("d.id = ANY($2)", OWNED, "NULL::bigint"),
            vec![self.owner.to_owned().into(), SqlValue::ints(ids)],
        );
    }

    /// Deletes an attempt that was not sent, and returns the delivery to its place in the schedule.
    pub fn put_back(
        &mut self,
        id: i64,
        number: u32,
        slot: &ScheduleSlot,
    ) -> Result<(), PostgresError> {
        let deleted = self.session.execute(
            &format!(
                "DELETE FROM hookfire.attempts WHERE delivery_id = $2 AND number = $3 AND duration_ms IS NULL
                     AND EXISTS (SELECT 1 FROM hookfire.deliveries d
                                 WHERE d.id = $2 AND {OWNED} AND d.attempt_count = $3 FOR UPDATE)"
            ),
            &[self.owner.into(), id.into(), number.into()],
        )?;
        if deleted == 0 {
            return Ok(());
        }
        self.session.execute(
            &format!(
                "UPDATE hookfire.deliveries d SET attempt_count = d.attempt_count - 1,
                     status = CASE WHEN {SUCCEEDED_AT} IS NOT NULL THEN 'delivered'
                                   WHEN $3 THEN 'interrupted' ELSE 'pending' END,
                     next_attempt_at = CASE WHEN {SUCCEEDED_AT} IS NULL THEN $2 END,
                     finished_at = coalesce({SUCCEEDED_AT}, CASE WHEN $3 THEN {LAST_ACTIVE_AT} END),
                     lease_until = NULL, owner = NULL, last_owner = $4
                 WHERE d.id = $1"
            ),
            &[
                id.into(),
                slot.due.into(),
                slot.abandoned.into(),
                (&slot.last_owner).into(),
            ],
        )?;
        Ok(())
    }

    /// Extends the leases that this process still has, but never shortens one. Returns their ids.
    pub fn renew(&mut self, ids: &[i64], lease: Duration) -> Result<Vec<i64>, PostgresError> {
        let rows = self.session.rows(
            &format!(
                "UPDATE hookfire.deliveries d SET lease_until = greatest(d.lease_until, $3)
                 FROM (SELECT d.id FROM hookfire.deliveries d WHERE d.id = ANY($2) AND {OWNED}
                       ORDER BY d.id FOR UPDATE) locked
                 WHERE d.id = locked.id RETURNING d.id"
            ),
            &[
                self.owner.into(),
                SqlValue::ints(ids.iter().copied()),
                self.now.plus(lease).into(),
            ],
        )?;
        let mut owned: HashSet<i64> = HashSet::new();
        for row in rows {
            owned.insert(row.try_get(0)?);
        }
        Ok(ids
            .iter()
            .copied()
            .filter(|id| owned.contains(id))
            .collect())
    }

    /// Adds deliveries to the failed list, except those whose uuid exists. Returns how many it added.
    pub fn import(&mut self, imports: &[Import]) -> Result<usize, PostgresError> {
        let deliveries: Vec<Delivery> = imports
            .iter()
            .map(|import| stored::imported_delivery(import, 0))
            .collect();
        let new_rows = deliveries.iter().zip(imports).map(|(delivery, import)| {
            new_rows::delivery(delivery, &import.delivery.payload.bytes, None)
        });
        let new_rows = new_rows.collect();
        let mut ids = insert_deliveries(self.session, new_rows, "ON CONFLICT DO NOTHING")?;
        let added = ids.len();
        let attempts = imports.iter().filter_map(|import| {
            let id = ids.remove(&import.uuid.to_lowercase())?;
            Some(new_rows::imported_attempt(id, import))
        });
        let attempts = attempts.collect();
        insert_all(self.session, "attempts", attempts, "")?;
        Ok(added)
    }

    /// A UUIDv7 with the transaction's time.
    fn new_uuid(&self) -> String {
        let random = uuid::Uuid::new_v4().into_bytes();
        let mut ten = [0; 10];
        // Leaves out the bytes that hold a version and a variant.
        ten.copy_from_slice(&[
            random[0], random[1], random[2], random[3], random[4], random[5], random[10],
            random[11], random[12], random[13],
        ]);
        let uuid = Builder::from_unix_timestamp_millis(self.now.0.unsigned_abs(), &ten);
        uuid.into_uuid().to_string()
    }
}

fn is_owned(condition: &ClaimCondition) -> bool {
    matches!(condition, ClaimCondition::Owned)
}

fn is_failed(condition: &ClaimCondition) -> bool {
    matches!(condition, ClaimCondition::Failed { .. })
}

fn is_scheduled(condition: &ClaimCondition) -> bool {
    matches!(condition, ClaimCondition::Scheduled { .. })
}

/// Inserts deliveries. Returns the ids by uuid, in lower case.
fn insert_deliveries(
    session: &mut Session,
    new_rows: Vec<NewRow<'_>>,
    on_conflict: &str,
) -> Result<HashMap<String, i64>, PostgresError> {
    let rest = format!("{on_conflict} RETURNING lower(uuid), id");
    let mut ids = HashMap::new();
    for row in insert_all(session, "deliveries", new_rows, &rest)? {
        ids.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(ids)
}

/// Copies the error of the newest unsuccessful attempt to each delivery, where lists and filters read it.
pub fn refresh_last_errors(session: &mut Session, ids: &[i64]) {
    session.queue(
        "UPDATE hookfire.deliveries d SET (error_kind, error_status, error_message) =
             (SELECT a.error_kind, a.http_status, a.error_message FROM hookfire.attempts a
              WHERE a.delivery_id = d.id AND a.error_kind IS NOT NULL ORDER BY a.number DESC LIMIT 1)
         WHERE d.id = ANY($1)",
        vec![SqlValue::ints(ids.iter().copied())],
    );
}

/// The statement that moves deliveries to the failed list as interrupted, scheduled for `due`, an SQL expression or
/// NULL. If an attempt has succeeded, the delivery becomes delivered instead. `selected` and `condition` are conditions
/// about the delivery `d`; returns its id.
pub fn interrupt_sql(selected: &str, condition: &str, due: &str) -> String {
    format!(
        "UPDATE hookfire.deliveries d
         SET status = CASE WHEN {SUCCEEDED_AT} IS NULL THEN 'interrupted' ELSE 'delivered' END,
             next_attempt_at = CASE WHEN {SUCCEEDED_AT} IS NULL THEN {due} END,
             lease_until = NULL, owner = NULL,
             finished_at = coalesce({SUCCEEDED_AT}, {LAST_ACTIVE_AT})
         FROM (SELECT d.id FROM hookfire.deliveries d WHERE {selected} AND {condition} ORDER BY d.id FOR UPDATE) locked
         WHERE d.id = locked.id RETURNING d.id"
    )
}
