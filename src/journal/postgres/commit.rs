//! Applies a group of writes in one transaction, with one statement for many writes of a kind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::attempts::AttemptWriter;
use super::connection::is_value_error;
use super::error::PostgresError;
use super::session::Session;
use super::{PostgresJournal, new_captures, runs};
use crate::journal::{JournalError, Write, WriteResult, statements};

/// The row that a write changes. Two writes of one group must not change the same row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ChangedRow {
    Delivery(i64),
    Capture(i64),
}

impl PostgresJournal {
    pub(super) fn commit_group(
        &self,
        id: Uuid,
        writes: &[Write],
    ) -> Result<Vec<WriteResult>, JournalError> {
        let mut unconfirmed = self.unconfirmed.borrow_mut();
        // The result of an earlier try, if that was the latest commit.
        let mut done = match unconfirmed.take() {
            Some((earlier, results)) if earlier == id => Some(results),
            _ => None,
        };
        let finished = writes.iter().filter_map(|write| match write {
            Write::Finish(result) => Some(result.id),
            _ => None,
        });
        let finished: Vec<i64> = finished.collect();
        let mut apply = |one_by_one| {
            self.connection
                .write_as(id, &mut done, &finished, |session| {
                    self.apply_all(session, writes, one_by_one)
                })
        };
        let mut committed = apply(false);
        if committed.as_ref().is_err_and(is_value_error) {
            committed = apply(true);
        }
        *unconfirmed = done.map(|results| (id, results));
        committed.map_err(|fault| match self.connection.error(fault) {
            error if unconfirmed.is_none() => error,
            JournalError::Unreachable { path, problem } | JournalError::Busy { path, problem } => {
                JournalError::Unconfirmed { path, problem }
            }
            // The transaction whose connection was lost has not ended.
            JournalError::Locked { path, .. } => {
                let problem = "a lost connection has not ended yet".to_owned();
                JournalError::Unconfirmed { path, problem }
            }
            error => error,
        })
    }

    fn apply_all(
        &self,
        session: &mut Session,
        writes: &[Write],
        one_by_one: bool,
    ) -> Result<Vec<WriteResult>, PostgresError> {
        let mut results = vec![WriteResult::Done; writes.len()];
        for group in groups(writes) {
            match one_by_one {
                false => self.apply(session, &group, &mut results)?,
                true => {
                    for one in group {
                        self.apply_or_reject(session, one, &mut results)?;
                    }
                }
            }
        }
        Ok(results)
    }

    /// Leaves out a write that cannot be stored, and reports it as rejected.
    fn apply_or_reject(
        &self,
        session: &mut Session,
        write: (usize, &Write),
        results: &mut [WriteResult],
    ) -> Result<(), PostgresError> {
        session.queue("SAVEPOINT one_write", Vec::new());
        let applied = self.apply(session, &[write], results);
        match applied.and_then(|()| session.batch("RELEASE one_write")) {
            Err(fault) if is_value_error(&fault) => {
                session.roll_back("ROLLBACK TO one_write")?;
                let error = self.connection.error(fault);
                results[write.0] = WriteResult::Rejected(Arc::new(error));
                session.batch("RELEASE one_write")
            }
            applied => applied,
        }
    }

    pub(super) fn writer<'s>(&'s self, session: &'s mut Session) -> AttemptWriter<'s> {
        AttemptWriter {
            session,
            owner: &self.owner,
            label: &self.label,
            now: self.connection.now(),
            path: self.connection.shown(),
        }
    }

    /// Applies writes of one kind, which all change different rows.
    fn apply(
        &self,
        session: &mut Session,
        group: &[(usize, &Write)],
        results: &mut [WriteResult],
    ) -> Result<(), PostgresError> {
        let Some((_, first)) = group.first() else {
            return Ok(());
        };
        let mut writer = self.writer(session);
        match first {
            Write::Accept(..) | Write::Ignore(..) => {
                let new = group.iter().filter_map(|(at, write)| match write {
                    Write::Accept(new, attempt) => Some((*at, new, Some(attempt), None)),
                    Write::Ignore(new, by) => Some((*at, new, None, Some(*by))),
                    _ => None,
                });
                writer.add(new.collect(), results)
            }
            Write::Begin(_) => {
                let claims = group.iter().filter_map(|(at, write)| match write {
                    Write::Begin(claim) => Some((*at, claim)),
                    _ => None,
                });
                writer.begin(&claims.collect::<Vec<_>>(), results)
            }
            Write::Finish(_) => {
                let finished = group.iter().filter_map(|(at, write)| match write {
                    Write::Finish(result) => Some((*at, result)),
                    _ => None,
                });
                writer.finish(&finished.collect::<Vec<_>>(), results)
            }
            Write::Release(_) => {
                let ids = group.iter().filter_map(|(_, write)| match write {
                    Write::Release(ids) => Some(ids),
                    _ => None,
                });
                writer.release(ids.flatten().copied().collect());
                Ok(())
            }
            Write::PutBack { .. } => {
                for (_, write) in group {
                    if let Write::PutBack { id, number, slot } = write {
                        writer.put_back(*id, *number, slot)?;
                    }
                }
                Ok(())
            }
            Write::Renew { .. } => {
                for (at, write) in group {
                    if let Write::Renew { ids, lease } = write {
                        results[*at] = WriteResult::Renewed(writer.renew(ids, *lease)?);
                    }
                }
                Ok(())
            }
            Write::Capture { .. } => {
                let captures = group.iter().filter_map(|(at, write)| match write {
                    Write::Capture { capture, forwards } => Some((*at, &**capture, &**forwards)),
                    _ => None,
                });
                let captures: Vec<_> = captures.collect();
                let new = captures.iter().map(|(at, capture, _)| (*at, *capture));
                let mut rules = self.captures.borrow_mut();
                new_captures::add(session, &mut rules, &new.collect::<Vec<_>>(), results)?;
                self.writer(session).forward(&captures, results)?;
                new_captures::prune(session, &mut rules)
            }
            Write::Forward { .. } => {
                // Captures are deleted under this lock too.
                new_captures::lock(session)?;
                let stored = group.iter().filter_map(|(at, write)| match write {
                    Write::Forward { capture, forwards } => Some((*at, &**capture, &**forwards)),
                    _ => None,
                });
                let stored: Vec<_> = stored.collect();
                let ids = stored.iter().map(|(_, capture, _)| capture.record.id);
                let existing = new_captures::existing(session, ids)?;
                for (at, capture, _) in &stored {
                    results[*at] = match existing.contains(&capture.record.id) {
                        true => WriteResult::Captured {
                            id: capture.record.id,
                            bin: capture.record.bin.clone(),
                            response: None,
                            due: self.connection.now(),
                        },
                        false => WriteResult::Deleted,
                    };
                }
                self.writer(session).forward(&stored, results)
            }
            Write::AmendCapture { .. }
            | Write::SetSignature { .. }
            | Write::BeginRun(..)
            | Write::EndRun(..)
            | Write::MoveCursor { .. } => {
                for (at, write) in group {
                    let statement = match write {
                        Write::AmendCapture { id, response } => {
                            statements::amend_capture(*id, response)
                        }
                        Write::SetSignature { id, check } => statements::set_signature(*id, check),
                        Write::EndRun(id, run) => statements::end_run(*id, run),
                        Write::BeginRun(id, run) => {
                            results[*at] = runs::begin(session, *id, run)?;
                            continue;
                        }
                        Write::MoveCursor { name, from, to } => {
                            let moved = statements::move_cursor(name, from.as_ref(), to);
                            match session.run(&moved)? {
                                1 => continue,
                                _ => return Err(JournalError::CursorMoved.into()),
                            }
                        }
                        _ => continue,
                    };
                    session.run(&statement)?;
                }
                Ok(())
            }
        }
    }
}

/// Splits writes into groups of one kind, in which each write changes other rows. Writes that change the same row stay in
/// their order; other writes do not depend on each other.
fn groups(writes: &[Write]) -> Vec<Vec<(usize, &Write)>> {
    let mut next_level: HashMap<ChangedRow, usize> = HashMap::new();
    let mut groups: BTreeMap<(usize, usize), Vec<(usize, &Write)>> = BTreeMap::new();
    for (at, write) in writes.iter().enumerate() {
        let (kind, changed) = changed(write);
        let levels = changed.iter().map(|row| next_level.get(row).copied());
        let level = levels.max().flatten().unwrap_or(0);
        for row in changed {
            next_level.insert(row, level + 1);
        }
        groups.entry((level, kind)).or_default().push((at, write));
    }
    groups.into_values().collect()
}

/// A number per kind of write, and the existing rows that a write changes.
fn changed(write: &Write) -> (usize, Vec<ChangedRow>) {
    let deliveries = |ids: &[i64]| ids.iter().copied().map(ChangedRow::Delivery).collect();
    match write {
        Write::Accept(..) | Write::Ignore(..) => (0, Vec::new()),
        Write::Finish(result) => (1, deliveries(&[result.id])),
        Write::PutBack { id, .. } => (2, deliveries(&[*id])),
        Write::Begin(claim) => (3, deliveries(&[claim.id])),
        Write::Renew { ids, .. } => (4, deliveries(ids)),
        Write::Release(ids) => (5, deliveries(ids)),
        Write::Capture { .. } => (6, Vec::new()),
        Write::Forward { capture, .. } => (11, vec![ChangedRow::Capture(capture.record.id)]),
        Write::AmendCapture { id, .. } => (7, vec![ChangedRow::Capture(*id)]),
        Write::SetSignature { id, .. } => (8, vec![ChangedRow::Capture(*id)]),
        Write::BeginRun(id, _) => (9, vec![ChangedRow::Capture(*id)]),
        Write::EndRun(id, _) => (10, vec![ChangedRow::Capture(*id)]),
        // Applied in their order, and after the writes that take the lock of captures.
        Write::MoveCursor { .. } => (12, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_of_one_delivery_stay_in_order() {
        let renew = |ids: &[i64]| Write::Renew {
            ids: ids.to_vec(),
            lease: Duration::ZERO,
        };
        let release = |id| Write::Release(vec![id]);
        let writes = [
            renew(&[1, 2]),
            release(1),
            renew(&[3]),
            renew(&[1]),
            release(2),
        ];
        let order: Vec<Vec<usize>> = groups(&writes)
            .iter()
            .map(|group| group.iter().map(|(at, _)| *at).collect())
            .collect();
        assert_eq!(order, [vec![0, 2], vec![1, 4], vec![3]]);
    }
}
