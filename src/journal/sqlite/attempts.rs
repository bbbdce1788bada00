//! Statements that add and claim deliveries, and record attempts.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Builder;

use super::rows;
use crate::delivery::switches::Switch;
use crate::delivery::{Delivery, Status};
use crate::journal::{
    AttemptResult, Claim, ClaimCondition, Forward, Import, NewAttempt, NewDelivery, NextStep,
    ScheduleSlot, StoredCapture, WriteResult, new_rows, stored,
};
use crate::time::{UnixMs, duration_ms};

/// SQL condition: this process owns the delivery. Parameters: id, owner.
const OWNED: &str = "id = ?1 AND status = 'pending' AND owner = ?2";

/// SQL expression: when the first successful attempt of a delivery ended, or NULL.
const SUCCEEDED_AT: &str =
    "(SELECT started_at + duration_ms FROM attempts WHERE delivery_id = deliveries.id
     AND duration_ms IS NOT NULL AND error_kind IS NULL ORDER BY number LIMIT 1)";

/// SQL expression: when the last attempt of a delivery ended, or began if its end was not recorded.
pub const LAST_ACTIVE_AT: &str = "(SELECT started_at + coalesce(duration_ms, 0) FROM attempts
     WHERE delivery_id = deliveries.id ORDER BY number DESC LIMIT 1)";

/// A transaction, and the process and time that its writes record.
pub struct WriteTransaction<'a> {
    pub tx: &'a Transaction<'a>,
    pub owner: &'a str,
    /// The owner as users see it.
    pub label: &'a str,
    pub now: UnixMs,
    /// The time by the owner's lease clock.
    pub lease_clock: UnixMs,
}

impl WriteTransaction<'_> {
    pub fn accept(&self, new: &NewDelivery, attempt: &NewAttempt) -> rusqlite::Result<WriteResult> {
        let mut delivery = self.new_delivery(new)?;
        (delivery.attempt_count, delivery.is_owned) = (1, true);
        delivery.last_owner = Some(self.label.to_owned());
        self.insert(&delivery, &new.payload.bytes, Some(attempt))?;
        self.insert_attempt(delivery.id, 1, attempt)?;
        Ok(WriteResult::Delivery(delivery))
    }

    pub fn ignore(&self, new: &NewDelivery, by: Switch) -> rusqlite::Result<WriteResult> {
        let mut delivery = self.new_delivery(new)?;
        (delivery.status, delivery.ignored_by) = (Status::Ignored, Some(by));
        self.insert(&delivery, &new.payload.bytes, None)?;
        Ok(WriteResult::Delivery(delivery))
    }

    /// Adds a scheduled delivery for each of `forwards`.
    pub fn forward(
        &self,
        captured: &StoredCapture,
        (id, bin): (i64, &str),
        forwards: &[Forward],
    ) -> rusqlite::Result<()> {
        for forward in forwards {
            let (delivery_id, uuid) = self.new_ids()?;
            let origin = (id, bin);
            let delivery =
                stored::forwarding_delivery(forward, captured, origin, delivery_id, uuid, self.now);
            self.insert(&delivery, &[], None)?;
        }
        Ok(())
    }

    /// Begins an attempt if the condition holds.
    pub fn begin(&self, claim: &Claim) -> rusqlite::Result<WriteResult> {
        let (condition, attempts) = match claim.condition {
            ClaimCondition::Owned => (OWNED, None),
            ClaimCondition::Failed { attempts } => (
                "id = ?1 AND status IN ('failed', 'interrupted')",
                Some(attempts),
            ),
            ClaimCondition::Scheduled { attempts } => (
                "id = ?1 AND next_attempt_at IS NOT NULL AND owner IS NULL",
                Some(attempts),
            ),
        };
        let number: Option<u32> = self
            .tx
            .prepare_cached(&format!(
                "UPDATE deliveries SET status = 'pending', finished_at = NULL, next_attempt_at = NULL,
                     attempt_count = attempt_count + 1,
                     owner = ?2, lease_until = ?3, last_owner = ?5
                 WHERE {condition} AND (?4 IS NULL OR attempt_count = ?4) RETURNING attempt_count"
            ))?
            .query_row(
                params![claim.id, self.owner, self.lease_clock.plus(claim.attempt.lease), attempts, self.label],
                |row| row.get(0),
            )
            .optional()?;
        let Some(number) = number else {
            return Ok(WriteResult::Refused);
        };
        self.insert_attempt(claim.id, number, &claim.attempt)?;
        Ok(WriteResult::Claimed(number))
    }

    /// Records the result of an attempt.
    pub fn finish(&self, result: &AttemptResult) -> rusqlite::Result<WriteResult> {
        let AttemptResult { id, number, .. } = *result;
        // Another process may have considered this one dead and marked the attempt as interrupted: the real result
        // replaces that mark.
        let was_interrupted = !self.finish_attempt(result, false)?;
        if was_interrupted && !self.finish_attempt(result, true)? {
            return Ok(WriteResult::Deleted);
        }
        if result.outcome.error.is_some() || was_interrupted {
            refresh_last_error(self.tx, id)?;
        }
        // If an earlier attempt has succeeded in the meantime, the delivery is delivered even if this attempt failed.
        let earlier_success = match result.next {
            NextStep::Delivered => None,
            _ => self.first_success(id)?,
        };
        let (number, next) = match earlier_success {
            Some(earlier) => (earlier, NextStep::Delivered),
            None => (number, result.next),
        };
        let (status, delay, lease) = match next {
            NextStep::Delivered => (Status::Delivered, None, None),
            NextStep::Failed => (Status::Failed, None, None),
            NextStep::Interrupted => (Status::Interrupted, None, None),
            NextStep::Scheduled { delay } => (Status::Pending, Some(delay), None),
            NextStep::Retry { delay, lease } => (Status::Pending, Some(delay), Some(lease)),
        };
        // If another attempt has begun since, only a success changes the delivery.
        self.tx
            .prepare_cached(
                "UPDATE deliveries SET status = ?2, next_attempt_at = ?3, lease_until = ?4,
                     finished_at = iif(?2 = 'pending', NULL, (SELECT started_at + duration_ms FROM attempts
                                       WHERE delivery_id = ?1 AND number = ?6)),
                     owner = iif(?4 IS NOT NULL, ?5, NULL)
                 WHERE id = ?1 AND status <> 'delivered'
                     AND (owner = ?5 OR (owner IS NULL AND (attempt_count = ?6 OR ?2 = 'delivered')))",
            )?
            .execute(params![
                id,
                status.as_str(),
                delay.map(|delay| self.now.plus(delay)),
                lease.map(|lease| self.lease_clock.plus(lease)),
                self.owner,
                number
            ])?;
        Ok(WriteResult::Done)
    }

    /// Returns false if the attempt does not exist or has a result. `interrupted`: update it only if another process
    /// has marked it as interrupted; otherwise only if it is in flight.
    fn finish_attempt(&self, result: &AttemptResult, interrupted: bool) -> rusqlite::Result<bool> {
        let outcome = &result.outcome;
        let error = outcome.error.as_ref();
        let rows = self
            .tx
            .prepare_cached(
                "UPDATE attempts SET duration_ms = ?3, http_status = ?4, error_kind = ?5, error_message = ?6,
                     maybe_received = ?7, response_body = ?8, note = ?9, started_at = started_at + ?10,
                     response_headers = ?12
                 WHERE delivery_id = ?1 AND number = ?2 AND duration_ms IS NULL
                     AND (error_kind IS NOT NULL) = ?11",
            )?
            .execute(params![
                result.id,
                result.number,
                duration_ms(result.duration),
                outcome.http_status,
                error.map(|e| e.kind.as_str()),
                error.map(|e| &e.message),
                outcome.maybe_received,
                outcome.response_body,
                outcome.note,
                duration_ms(result.sent_after),
                interrupted,
                stored::headers_json(&outcome.response_headers),
            ])?;
        Ok(rows > 0)
    }

    fn first_success(&self, id: i64) -> rusqlite::Result<Option<u32>> {
        self.tx
            .prepare_cached(
                "SELECT number FROM attempts
                 WHERE delivery_id = ?1 AND duration_ms IS NOT NULL AND error_kind IS NULL
                 ORDER BY number LIMIT 1",
            )?
            .query_row([id], |row| row.get(0))
            .optional()
    }

    /// Moves deliveries that this process owns to the failed list.
    pub fn release(&self, ids: &[i64]) -> rusqlite::Result<WriteResult> {
        for id in ids {
            self.tx
                .prepare_cached(&interrupt_sql(OWNED, "NULL"))?
                .execute(params![id, self.owner])?;
        }
        Ok(WriteResult::Done)
    }

    /// Deletes an attempt that was not sent, and returns the delivery to its place in the schedule.
    pub fn put_back(
        &self,
        id: i64,
        number: u32,
        slot: &ScheduleSlot,
    ) -> rusqlite::Result<WriteResult> {
        let deleted = self
            .tx
            .prepare_cached(&format!(
                "DELETE FROM attempts WHERE delivery_id = ?1 AND number = ?3 AND duration_ms IS NULL
                     AND EXISTS (SELECT 1 FROM deliveries WHERE {OWNED} AND attempt_count = ?3)"
            ))?
            .execute(params![id, self.owner, number])?;
        if deleted == 0 {
            return Ok(WriteResult::Done);
        }
        self.tx
            .prepare_cached(&format!(
                "UPDATE deliveries SET attempt_count = attempt_count - 1,
                     status = iif({SUCCEEDED_AT} IS NULL, iif(?3, 'interrupted', 'pending'), 'delivered'),
                     next_attempt_at = iif({SUCCEEDED_AT} IS NULL, ?2, NULL),
                     finished_at = coalesce({SUCCEEDED_AT}, iif(?3, {LAST_ACTIVE_AT}, NULL)),
                     lease_until = NULL, owner = NULL, last_owner = ?4
                 WHERE id = ?1"
            ))?
            .execute(params![id, slot.due, slot.abandoned, slot.last_owner])?;
        Ok(WriteResult::Done)
    }

    /// Extends the leases that this process still has, but never shortens one.
    pub fn renew(&self, ids: &[i64], lease: Duration) -> rusqlite::Result<WriteResult> {
        let mut renew = self.tx.prepare_cached(&format!(
            "UPDATE deliveries SET lease_until = max(lease_until, ?3) WHERE {OWNED}"
        ))?;
        let mut owned = Vec::with_capacity(ids.len());
        for &id in ids {
            if renew.execute(params![id, self.owner, self.lease_clock.plus(lease)])? > 0 {
                owned.push(id);
            }
        }
        Ok(WriteResult::Renewed(owned))
    }

    /// Adds a delivery to the failed list. Returns false if one with its uuid exists.
    pub fn import(&self, import: &Import) -> rusqlite::Result<bool> {
        let is_known = self
            .tx
            .prepare_cached("SELECT 1 FROM deliveries WHERE uuid = ?1")?
            .exists([&import.uuid])?;
        if is_known {
            return Ok(false);
        }
        let delivery = stored::imported_delivery(import, self.new_id()?.0);
        self.insert(&delivery, &import.delivery.payload.bytes, None)?;
        let attempt = new_rows::imported_attempt(delivery.id, import);
        rows::insert(self.tx, "attempts", &attempt)?;
        Ok(true)
    }

    /// A delivery with its new id and uuid, not yet inserted.
    fn new_delivery(&self, new: &NewDelivery) -> rusqlite::Result<Box<Delivery>> {
        let (id, uuid) = self.new_ids()?;
        Ok(Box::new(stored::new_delivery(new, id, uuid, self.now)))
    }

    /// The id and uuid of a new delivery.
    fn new_ids(&self) -> rusqlite::Result<(i64, String)> {
        let (id, random) = self.new_id()?;
        let uuid = Builder::from_unix_timestamp_millis(self.now.0.unsigned_abs(), &random);
        Ok((id, uuid.into_uuid().to_string()))
    }

    /// The next id, and random bytes.
    fn new_id(&self) -> rusqlite::Result<(i64, [u8; 10])> {
        self.tx
            .prepare_cached(
                "SELECT 1 + max(newest_delivery, coalesce((SELECT max(id) FROM deliveries), 0)), randomblob(10)
                 FROM deleted_ids",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn insert(
        &self,
        delivery: &Delivery,
        payload: &[u8],
        attempt: Option<&NewAttempt>,
    ) -> rusqlite::Result<()> {
        let lease = attempt.map(|attempt| (self.owner, self.lease_clock.plus(attempt.lease)));
        let mut row = new_rows::delivery(delivery, payload, lease);
        row.push(("id", delivery.id.into()));
        rows::insert(self.tx, "deliveries", &row)
    }

    fn insert_attempt(&self, id: i64, number: u32, attempt: &NewAttempt) -> rusqlite::Result<()> {
        let row = new_rows::attempt(id, number, attempt, self.now);
        rows::insert(self.tx, "attempts", &row)
    }
}

/// Copies the error of the newest unsuccessful attempt to the delivery, where lists and filters read it.
pub fn refresh_last_error(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE deliveries SET (error_kind, error_status, error_message) =
             (SELECT error_kind, http_status, error_message FROM attempts
              WHERE delivery_id = ?1 AND error_kind IS NOT NULL ORDER BY number DESC LIMIT 1)
         WHERE id = ?1",
    )?
    .execute([id])?;
    Ok(())
}

/// The statement that moves deliveries to the failed list as interrupted, scheduled for `due`, an SQL expression or
/// NULL. If an attempt has succeeded, the delivery becomes delivered instead.
pub fn interrupt_sql(condition: &str, due: &str) -> String {
    format!(
        "UPDATE deliveries SET status = iif({SUCCEEDED_AT} IS NULL, 'interrupted', 'delivered'),
             next_attempt_at = iif({SUCCEEDED_AT} IS NULL, {due}, NULL),
             lease_until = NULL, owner = NULL,
             finished_at = coalesce({SUCCEEDED_AT}, {LAST_ACTIVE_AT})
         WHERE {condition}"
    )
}
