//! Interrupting deliveries of dead processes, deleting deliveries, and verifying the journal.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, params};

use super::attempts::{LAST_ACTIVE_AT, interrupt_sql, refresh_last_error};
use super::{SqliteJournal, lists, rows};
use crate::delivery::Status;
use crate::journal::{DeliveryVersion, JournalError};
use crate::journal::{Health, Query};

/// Repeats the WHERE clause of the index `deliveries_leased`; otherwise SQLite does not use the index.
pub const LEASED_SQL: &str = "SELECT id, owner, coalesce(lease_until, 0) FROM deliveries
     WHERE status = 'pending' AND (owner IS NOT NULL OR next_attempt_at IS NULL)";

const INTERRUPTED_MESSAGE: &str = "its process ended before a response was recorded";

/// A pending delivery that has an owner, or has neither an owner nor a due time.
struct Leased {
    id: i64,
    owner: Option<String>,
    lease_until: i64,
}

impl SqliteJournal {
    pub(super) fn interrupt_abandoned_deliveries(&self) -> Result<usize, JournalError> {
        let leased = self.read(leased)?;
        if leased.is_empty() {
            return Ok(0);
        }
        let (now, mut is_owner_dead) = (self.host.now(), HashMap::new());
        let mut abandoned = leased;
        abandoned.retain(|leased| {
            let is_dead = match &leased.owner {
                // Looks up each process once.
                Some(owner) => *is_owner_dead
                    .entry(owner.clone())
                    .or_insert_with(|| self.host.is_dead(owner)),
                None => true,
            };
            is_dead || leased.lease_until < now.0
        });
        if abandoned.is_empty() {
            return Ok(0);
        }
        self.write(|tx| {
            let mut interrupted = 0;
            for leased in &abandoned {
                interrupted += interrupt(tx, leased)?;
            }
            Ok(interrupted)
        })
    }
}

fn leased(conn: &Connection) -> rusqlite::Result<Vec<Leased>> {
    conn.prepare_cached(LEASED_SQL)?
        .query_map([], |row| {
            Ok(Leased {
                id: row.get(0)?,
                owner: row.get(1)?,
                lease_until: row.get(2)?,
            })
        })?
        .collect()
}

/// Moves a delivery to the failed list and, if attempts are left, to the schedule, unless its owner has renewed the
/// lease since it was read. Returns how many rows it changed.
fn interrupt(tx: &Transaction<'_>, leased: &Leased) -> rusqlite::Result<usize> {
    let due = format!("iif(attempt_count <= retries, {LAST_ACTIVE_AT} + retry_interval_ms, NULL)");
    let unchanged = "id = ?1 AND status = 'pending' AND coalesce(lease_until, 0) = ?2
         AND (owner IS NOT NULL OR next_attempt_at IS NULL)";
    let interrupted = tx
        .prepare_cached(&interrupt_sql(unchanged, &due))?
        .execute([leased.id, leased.lease_until])?;
    if interrupted > 0 {
        tx.prepare_cached(
            "UPDATE attempts SET error_kind = 'interrupted', maybe_received = 1, error_message = ?2
             WHERE delivery_id = ?1 AND duration_ms IS NULL AND error_kind IS NULL",
        )?
        .execute(params![leased.id, INTERRUPTED_MESSAGE])?;
        refresh_last_error(tx, leased.id)?;
    }
    Ok(interrupted)
}

/// Deletes a delivery unless it changed since it was read. Returns how many rows it deleted.
pub fn delete(
    tx: &Transaction<'_>,
    seen: DeliveryVersion,
    statuses: &[Status],
) -> rusqlite::Result<usize> {
    let names: Vec<String> = statuses
        .iter()
        .map(|status| format!("'{}'", status.as_str()))
        .collect();
    tx.prepare_cached(&format!(
        "DELETE FROM deliveries WHERE id = ?1 AND attempt_count = ?2 AND status IN ({})",
        names.join(", ")
    ))?
    .execute(params![seen.id, seen.attempts])
}

pub fn check(conn: &Connection) -> rusqlite::Result<Health> {
    let mut problems: Vec<String> = conn
        .prepare("PRAGMA integrity_check(20)")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    problems.retain(|line| line != "ok");
    let orphans: Vec<(String, usize)> = conn
        .prepare("SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1")?
        .query_map([], |row| {
            let rows: i64 = row.get(1)?;
            Ok((row.get(0)?, usize::try_from(rows).unwrap_or(0)))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (table, rows) in orphans {
        problems.push(match table.as_str() {
            "attempts" => format!("{rows} attempts refer to deliveries that do not exist"),
            _ => format!("{rows} {table} refer to bins that do not exist"),
        });
    }
    let mut counts = Vec::new();
    for status in Status::ALL {
        counts.push((status, lists::count(conn, &Query::all(Some(status)), None)?));
    }
    Ok(Health {
        counts,
        attempts: conn.query_row("SELECT count(*) FROM attempts", [], rows::count)?,
        captures: conn.query_row("SELECT count(*) FROM captures", [], rows::count)?,
        problems,
    })
}
