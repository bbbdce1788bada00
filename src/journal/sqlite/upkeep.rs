//! Keeping the journal in order: noticing dead processes, deleting, checking.

use std::collections::HashMap;

use rusqlite::{Row, Transaction, params};

use super::sending::{LAST_SIGN, interrupt_sql, refresh_last_error};
use super::{Query, SqliteJournal};
use crate::delivery::Status;
use crate::journal::store::{JournalError, Liveness, ProcessId, Seen};
use crate::time::UnixMs;

/// What `check` found.
#[derive(Debug)]
pub struct Health {
    /// Deliveries by status, every status named.
    pub counts: Vec<(Status, usize)>,
    /// All attempts.
    pub attempts: usize,
    /// All captures.
    pub captures: usize,
    /// Problems in SQLite's words; none if it is sound.
    pub problems: Vec<String>,
}

/// A delivery and who is at it.
struct Leased {
    id: i64,
    owner: Option<ProcessId>,
    lease_until: i64,
}

/// What somebody is at: word for word the condition of the index `deliveries_leased`, or SQLite would not use it.
pub(super) const LEASED: &str =
    "SELECT id, owner_host, owner_pid, owner_started, coalesce(lease_until, 0) FROM deliveries
     WHERE status = 'pending' AND (owner_host IS NOT NULL OR next_attempt_at IS NULL)";

impl SqliteJournal {
    /// Moves deliveries whose process is gone, or whose lease ran out, to the failed list; returns how many. Those whose rule
    /// has an attempt left are on the schedule, too, from when that is due.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn release_dead(&self, now: UnixMs) -> Result<usize, JournalError> {
        let leased = self.leased()?;
        if leased.is_empty() {
            return Ok(0);
        }
        let mut asked = HashMap::new();
        let dead: Vec<Leased> = leased
            .into_iter()
            .filter(|leased| self.is_dead(leased, now, &mut asked))
            .collect();
        if dead.is_empty() {
            return Ok(0);
        }
        // From the end of one attempt to the start of the next, as if its process had lived.
        let due = format!("iif(attempt_count <= retries, {LAST_SIGN} + retry_interval_ms, NULL)");
        // Unless its owner gave a sign of life since it was read.
        let unchanged = "id = ?1 AND status = 'pending' AND coalesce(lease_until, 0) = ?2
             AND (owner_host IS NOT NULL OR next_attempt_at IS NULL)";
        let interrupt = interrupt_sql(unchanged, &due);
        self.write(|tx| {
            let mut released = 0;
            for Leased { id, lease_until, .. } in &dead {
                if tx.prepare_cached(&interrupt)?.execute([id, lease_until])? == 0 {
                    continue;
                }
                released += 1;
                tx.prepare_cached(
                    "UPDATE attempts SET error_kind = 'interrupted', maybe_received = 1, error_message = ?2
                     WHERE delivery_id = ?1 AND duration_ms IS NULL AND error_kind IS NULL",
                )?
                .execute(params![id, UNSEEN_END])?;
                refresh_last_error(tx, *id)?;
            }
            Ok(released)
        })
    }

    fn leased(&self) -> Result<Vec<Leased>, JournalError> {
        self.read(|conn| {
            conn.prepare_cached(LEASED)?
                .query_map([], |row| {
                    let owner = match (row.get(1)?, row.get(2)?, row.get(3)?) {
                        (Some(host), Some(pid), Some(started)) => {
                            Some(ProcessId { host, pid, started })
                        }
                        _ => None,
                    };
                    Ok(Leased {
                        id: row.get(0)?,
                        owner,
                        lease_until: row.get(4)?,
                    })
                })?
                .collect()
        })
    }

    /// Whether its holder is gone, which is asked once of each process.
    fn is_dead(
        &self,
        leased: &Leased,
        now: UnixMs,
        asked: &mut HashMap<ProcessId, Liveness>,
    ) -> bool {
        let Some(owner) = &leased.owner else {
            return true;
        };
        let liveness = *asked
            .entry(owner.clone())
            .or_insert_with(|| self.processes.liveness(owner));
        liveness == Liveness::Dead || leased.lease_until < now.0
    }

    /// Deletes these deliveries with their attempts, in one commit, but for those that were tried again since they were
    /// seen or have another status now; returns how many.
    ///
    /// # Errors
    /// [`JournalError`]; then none is deleted.
    pub fn delete(&self, seen: &[Seen], statuses: &[Status]) -> Result<usize, JournalError> {
        self.write_and_checkpoint(|tx| {
            let names: Vec<String> = statuses
                .iter()
                .map(|status| format!("'{}'", status.as_str()))
                .collect();
            let sql = format!(
                "DELETE FROM deliveries WHERE id = ?1 AND attempt_count = ?2 AND status IN ({})",
                names.join(", ")
            );
            let mut statement = tx.prepare_cached(&sql)?;
            let deleted = seen.iter().try_fold(0, |deleted, seen| {
                Ok::<_, rusqlite::Error>(
                    deleted + statement.execute(params![seen.id, seen.attempts])?,
                )
            })?;
            give_room_back(tx)?;
            Ok(deleted)
        })
    }

    /// Reads the whole file and counts what is in it.
    ///
    /// # Errors
    /// [`JournalError`] where it cannot even be read; damage found is in [`Health::problems`].
    pub fn check(&self) -> Result<Health, JournalError> {
        let mut problems: Vec<String> = self.read(|conn| {
            conn.prepare("PRAGMA integrity_check(20)")?
                .query_map([], |row| row.get(0))?
                .collect()
        })?;
        problems.retain(|line| line != "ok");
        let orphans: Vec<(String, usize)> = self.read(|conn| {
            let sql = "SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1";
            let found =
                |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs() as usize));
            conn.prepare(sql)?.query_map([], found)?.collect()
        })?;
        problems.extend(
            orphans
                .into_iter()
                .map(|(table, rows)| match table.as_str() {
                    "attempts" => format!("{rows} attempts belong to no delivery"),
                    "imported" => {
                        format!("{rows} uuids of imported deliveries belong to no delivery")
                    }
                    _ => format!("{rows} {table} belong to no bin"),
                }),
        );
        let counts = Status::ALL
            .into_iter()
            .map(|status| Ok((status, self.count(&Query::all(Some(status)))?)))
            .collect::<Result<_, JournalError>>()?;
        let count = |sql: &str| -> Result<usize, JournalError> {
            let rows: i64 = self.read(|conn| conn.query_row(sql, [], |row| row.get(0)))?;
            Ok(usize::try_from(rows).unwrap_or(0))
        };
        let attempts = count("SELECT count(*) FROM attempts")?;
        Ok(Health {
            counts,
            attempts,
            captures: count("SELECT count(*) FROM captures")?,
            problems,
        })
    }
}

/// Returns the pages that a deletion left empty to the file system, in its own commit: an error after it would deny what was
/// done.
pub(super) fn give_room_back(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.prepare("PRAGMA incremental_vacuum")?
        .query_map([], |_| Ok(()))?
        .collect()
}

const UNSEEN_END: &str = "its process ended before an answer was recorded";
