//! Writing down what is sent: each method one transaction, committed and synced before it returns.
//!
//! Every transaction begins IMMEDIATE: one that read first and wrote later would fail with "busy" as soon as two processes
//! do it at once.

use std::path::Path;
use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};
use uuid::Builder;

use super::{SqliteJournal, rows};
use crate::delivery::switches::Switch;
use crate::delivery::{Delivery, Outcome, Status};
use crate::event::BodyFormat;
use crate::journal::store::{
    Begun, Deliveries, JournalError, NewAttempt, NewDelivery, Next, ProcessId, Slot, Store, Turn,
};
use crate::time::{UnixMs, duration_ms};

impl Store for SqliteJournal {
    fn accept(
        &self,
        new: &NewDelivery<'_>,
        attempt: &NewAttempt<'_>,
    ) -> Result<Delivery, JournalError> {
        let mut delivery = new.accepted(attempt.started_at);
        self.write_ahead(|tx| accept(tx, &self.owner, &mut delivery, new.event, attempt))?;
        Ok(delivery)
    }

    fn ignore(
        &self,
        new: &NewDelivery<'_>,
        by: Switch,
        now: UnixMs,
    ) -> Result<Delivery, JournalError> {
        let mut delivery = new.accepted(now);
        self.write_alone(|tx| ignore(tx, &mut delivery, new.event, by))?;
        Ok(delivery)
    }

    fn begin_attempt(
        &self,
        id: i64,
        turn: Turn,
        attempt: &NewAttempt<'_>,
    ) -> Result<Begun, JournalError> {
        self.write_or_take_back(|tx| begin(tx, &self.owner, id, turn, attempt))
    }

    fn finish_attempt(
        &self,
        id: i64,
        number: u32,
        duration: Duration,
        outcome: &Outcome,
        next: Next,
    ) -> Result<(), JournalError> {
        let end = End {
            id,
            number,
            left_at: None,
            sent_after: Duration::ZERO,
            duration,
            outcome,
            next,
        };
        if !self.write_outcome(|tx| finish(tx, &self.owner, &end))? {
            return Err(deleted(self.path(), id));
        }
        self.refuse_lost_file()
    }

    fn renew(&self, id: i64, until: UnixMs) -> Result<bool, JournalError> {
        self.write(|tx| renew(tx, &self.owner, id, until))
    }

    fn interrupt(&self, id: i64) -> Result<(), JournalError> {
        self.write(|tx| interrupt(tx, &self.owner, id))
    }
}

impl Deliveries for SqliteJournal {
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {} FROM deliveries WHERE id = ?1",
                rows::DELIVERY_COLUMNS
            ))?
            .query_row([id], rows::delivery)
            .optional()
        })
    }

    fn event(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT event FROM deliveries WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
        })
    }
}

/// An attempt that ended.
pub(super) struct End<'a> {
    pub id: i64,
    pub number: u32,
    /// When its request left, if that was later than it was written down.
    pub left_at: Option<UnixMs>,
    pub sent_after: Duration,
    pub duration: Duration,
    pub outcome: &'a Outcome,
    pub next: Next,
}

/// There is nowhere to write what came of a delivery.
pub(super) fn deleted(path: &Path, id: i64) -> JournalError {
    JournalError::Lost {
        path: path.to_owned(),
        what: format!("#{id} was deleted from it"),
    }
}

pub(super) fn accept(
    tx: &Transaction<'_>,
    owner: &ProcessId,
    delivery: &mut Delivery,
    event: &[u8],
    attempt: &NewAttempt<'_>,
) -> rusqlite::Result<()> {
    delivery.attempt_count = 1;
    insert_delivery(tx, delivery, event, Some((owner, attempt.lease_until)))?;
    insert_attempt(tx, delivery.id, 1, attempt)
}

pub(super) fn ignore(
    tx: &Transaction<'_>,
    delivery: &mut Delivery,
    event: &[u8],
    by: Switch,
) -> rusqlite::Result<()> {
    (delivery.status, delivery.ignored_by) = (Status::Ignored, Some(by));
    insert_delivery(tx, delivery, event, None)
}

pub(super) fn begin(
    tx: &Transaction<'_>,
    owner: &ProcessId,
    id: i64,
    turn: Turn,
    attempt: &NewAttempt<'_>,
) -> rusqlite::Result<Begun> {
    let (condition, seen) = match turn {
        Turn::Mine => (
            "status = 'pending' AND owner_host = ?2 AND owner_pid = ?3 AND owner_started = ?4",
            -1,
        ),
        Turn::Failed { attempts } => (
            "status IN ('failed', 'interrupted') AND attempt_count = ?6",
            i64::from(attempts),
        ),
        Turn::Scheduled { attempts } => (
            "next_attempt_at IS NOT NULL AND owner_host IS NULL AND attempt_count = ?6",
            i64::from(attempts),
        ),
    };
    let number: Option<u32> = tx
        .prepare_cached(&format!(
            "UPDATE deliveries SET status = 'pending', finished_at = NULL, next_attempt_at = NULL,
                 attempt_count = attempt_count + 1,
                 owner_host = ?2, owner_pid = ?3, owner_started = ?4, lease_until = ?5
             WHERE id = ?1 AND ?6 = ?6 AND {condition} RETURNING attempt_count"
        ))?
        .query_row(
            params![
                id,
                owner.host,
                owner.pid,
                owner.started,
                attempt.lease_until.0,
                seen
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(number) = number else {
        return Ok(Begun::Taken);
    };
    insert_attempt(tx, id, number, attempt)?;
    Ok(Begun::Attempt(number))
}

/// Whether the attempt was there to be finished.
pub(super) fn finish(
    tx: &Transaction<'_>,
    owner: &ProcessId,
    end: &End<'_>,
) -> rusqlite::Result<bool> {
    let End {
        id,
        number,
        left_at,
        sent_after,
        duration,
        outcome,
        next,
    } = *end;
    let error = outcome.error.as_ref();
    let mut update = tx.prepare_cached(
        "UPDATE attempts SET duration_ms = ?3, http_status = ?4, error_kind = ?5, error_message = ?6,
             maybe_received = ?7, response_body = ?8, note = ?9, started_at = coalesce(?10, started_at + ?12)
         WHERE delivery_id = ?1 AND number = ?2 AND duration_ms IS NULL AND (error_kind IS NOT NULL) = ?11",
    )?;
    let mut end_attempt = |closed: bool| {
        let rows = update.execute(params![
            id,
            number,
            duration_ms(duration),
            outcome.http_status,
            error.map(|e| e.kind.as_str()),
            error.map(|e| &e.message),
            outcome.maybe_received,
            outcome.response_body,
            outcome.note,
            left_at.map(|at| at.0),
            closed,
            duration_ms(sent_after),
        ])?;
        Ok::<_, rusqlite::Error>(rows > 0)
    };
    // Another process may have taken this one for dead and closed its attempt: what really happened counts more.
    let closed = !end_attempt(false)?;
    if closed && !end_attempt(true)? {
        return Ok(false);
    }
    // A success changes the error that is shown only where its attempt was taken for one that failed.
    if error.is_some() || closed {
        refresh_last_error(tx, id)?;
    }
    // Late news of an older attempt may have come in between: delivered once is delivered.
    let (number, next) = match next {
        Next::Delivered => (number, next),
        _ => earlier_success(tx, id)?.map_or((number, next), |earlier| (earlier, Next::Delivered)),
    };
    let (status, due, lease_until) = match next {
        Next::Delivered => (Status::Delivered, None, None),
        Next::Failed => (Status::Failed, None, None),
        Next::Interrupted => (Status::Interrupted, None, None),
        Next::Scheduled { due } => (Status::Pending, Some(due.0), None),
        Next::RetryAt { due, lease_until } => (Status::Pending, Some(due.0), Some(lease_until.0)),
    };
    // Late news of an older attempt changes where the delivery stands only if it says that it was delivered.
    tx.prepare_cached(
        "UPDATE deliveries SET status = ?2, next_attempt_at = ?3, lease_until = ?4,
             finished_at = iif(?2 = 'pending', NULL, (SELECT started_at + duration_ms FROM attempts
                               WHERE delivery_id = ?1 AND number = ?8)),
             owner_host = iif(?4 IS NOT NULL, ?5, NULL),
             owner_pid = iif(?4 IS NOT NULL, ?6, NULL),
             owner_started = iif(?4 IS NOT NULL, ?7, NULL)
         WHERE id = ?1 AND status <> 'delivered'
             AND ((owner_host = ?5 AND owner_pid = ?6 AND owner_started = ?7)
                  OR (owner_host IS NULL AND (attempt_count = ?8 OR ?2 = 'delivered')))",
    )?
    .execute(params![
        id,
        status.as_str(),
        due,
        lease_until,
        owner.host,
        owner.pid,
        owner.started,
        number
    ])?;
    Ok(true)
}

/// A delivery that is this process's, as SQL; its three parameters follow the id.
const MINE: &str =
    "id = ?1 AND status = 'pending' AND owner_host = ?2 AND owner_pid = ?3 AND owner_started = ?4";

pub(super) fn interrupt(tx: &Transaction<'_>, owner: &ProcessId, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(&interrupt_sql(MINE, "NULL"))?
        .execute(params![id, owner.host, owner.pid, owner.started])?;
    Ok(())
}

/// Takes back an attempt that was not made, and leaves the delivery to the schedule.
pub(super) fn put_back(
    tx: &Transaction<'_>,
    owner: &ProcessId,
    id: i64,
    number: u32,
    slot: Slot,
) -> rusqlite::Result<()> {
    let not_made = format!(
        "DELETE FROM attempts WHERE delivery_id = ?1 AND number = ?5 AND duration_ms IS NULL
             AND EXISTS (SELECT 1 FROM deliveries WHERE {MINE} AND attempt_count = ?5)"
    );
    if tx.prepare_cached(&not_made)?.execute(params![
        id,
        owner.host,
        owner.pid,
        owner.started,
        number
    ])? == 0
    {
        return Ok(());
    }
    let sql = format!(
        "UPDATE deliveries SET attempt_count = attempt_count - 1,
             status = iif({SUCCEEDED} IS NULL, iif(?3, 'interrupted', 'pending'), 'delivered'),
             next_attempt_at = iif({SUCCEEDED} IS NULL, ?2, NULL),
             finished_at = coalesce({SUCCEEDED}, iif(?3, {LAST_SIGN}, NULL)),
             lease_until = NULL, owner_host = NULL, owner_pid = NULL, owner_started = NULL
         WHERE id = ?1"
    );
    tx.prepare_cached(&sql)?
        .execute(params![id, slot.due.0, slot.left_behind])?;
    Ok(())
}

/// Whether the delivery was still this process's, whose lease then lasts until `until`.
pub(super) fn renew(
    tx: &Transaction<'_>,
    owner: &ProcessId,
    id: i64,
    until: UnixMs,
) -> rusqlite::Result<bool> {
    let sql = format!("UPDATE deliveries SET lease_until = max(lease_until, ?5) WHERE {MINE}");
    let renewed = tx.prepare_cached(&sql)?.execute(params![
        id,
        owner.host,
        owner.pid,
        owner.started,
        until.0
    ])?;
    Ok(renewed > 0)
}

/// The first attempt of a delivery that was a success.
fn earlier_success(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Option<u32>> {
    tx.prepare_cached(
        "SELECT number FROM attempts WHERE delivery_id = ?1 AND duration_ms IS NOT NULL AND error_kind IS NULL
         ORDER BY number LIMIT 1",
    )?
    .query_row([id], |row| row.get(0))
    .optional()
}

/// Keeps the newest unsuccessful attempt's error with its delivery, where lists and filters read it.
pub(super) fn refresh_last_error(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE deliveries SET (error_kind, error_status, error_message) =
             (SELECT error_kind, http_status, error_message FROM attempts
              WHERE delivery_id = ?1 AND error_kind IS NOT NULL ORDER BY number DESC LIMIT 1)
         WHERE id = ?1",
    )?
    .execute([id])?;
    Ok(())
}

/// When an attempt of the delivery first succeeded, as SQL: late news may have come while another process had it.
const SUCCEEDED: &str =
    "(SELECT started_at + duration_ms FROM attempts WHERE delivery_id = deliveries.id
     AND duration_ms IS NOT NULL AND error_kind IS NULL ORDER BY number LIMIT 1)";

/// When a delivery's last attempt ended, as SQL: the last sign of life, where its end was not recorded.
pub(super) const LAST_SIGN: &str = "(SELECT started_at + coalesce(duration_ms, 0) FROM attempts
     WHERE delivery_id = deliveries.id ORDER BY number DESC LIMIT 1)";

/// The statement that moves a pending delivery to the failed list, with a time on the schedule or NULL.
pub(super) fn interrupt_sql(condition: &str, due: &str) -> String {
    format!(
        "UPDATE deliveries SET status = iif({SUCCEEDED} IS NULL, 'interrupted', 'delivered'),
             next_attempt_at = iif({SUCCEEDED} IS NULL, {due}, NULL),
             lease_until = NULL, owner_host = NULL, owner_pid = NULL, owner_started = NULL,
             finished_at = coalesce({SUCCEEDED}, {LAST_SIGN})
         WHERE {condition}"
    )
}

/// Writes a new delivery down, leased to a process or to none, under ids of its own.
fn insert_delivery(
    tx: &Transaction<'_>,
    delivery: &mut Delivery,
    event: &[u8],
    lease: Option<(&ProcessId, UnixMs)>,
) -> rusqlite::Result<()> {
    delivery.uuid = uuid_v7(tx, delivery.created_at)?;
    let owner = lease.map(|(owner, _)| owner);
    tx.prepare_cached(
        "INSERT INTO deliveries (id, uuid, type, action, endpoint, url, params, headers, retries, retry_interval_ms,
             success, status, created_at, attempt_count, owner_host, owner_pid, owner_started, lease_until, event,
             form, ignored_by)
         VALUES (1 + max(coalesce((SELECT max(id) FROM deliveries), 0),
                         (SELECT seq FROM sqlite_sequence WHERE name = 'deliveries')),
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    )?
    .execute(params![
        delivery.uuid,
        delivery.event_type,
        delivery.action,
        delivery.endpoint,
        delivery.target.base.as_str(),
        rows::kept_json(&delivery.target.params),
        rows::kept_json(&delivery.target.headers),
        delivery.rule.retries,
        duration_ms(delivery.rule.interval),
        delivery.rule.success.to_string(),
        delivery.status.as_str(),
        delivery.created_at.0,
        delivery.attempt_count,
        owner.map(|owner| &owner.host),
        owner.map(|owner| owner.pid),
        owner.map(|owner| owner.started),
        lease.map(|(_, until)| until.0),
        event,
        delivery.wire == BodyFormat::Form,
        delivery.ignored_by.map(Switch::as_str),
    ])?;
    delivery.id = tx.last_insert_rowid();
    Ok(())
}

fn insert_attempt(
    tx: &Transaction<'_>,
    id: i64,
    number: u32,
    attempt: &NewAttempt<'_>,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO attempts (delivery_id, number, started_at, insecure, sent_to) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![id, number, attempt.started_at.0, attempt.insecure, attempt.sent_to])?;
    Ok(())
}

/// Its random part is of SQLite's making, which the system has given its seed already.
fn uuid_v7(tx: &Transaction<'_>, now: UnixMs) -> rusqlite::Result<String> {
    let random = tx
        .prepare_cached("SELECT randomblob(10)")?
        .query_row([], |row| row.get(0))?;
    Ok(
        Builder::from_unix_timestamp_millis(now.0.unsigned_abs(), &random)
            .into_uuid()
            .to_string(),
    )
}
