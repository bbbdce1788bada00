//! Applies a group of writes in one transaction.

use std::cell::RefMut;
use std::sync::Arc;

use rusqlite::Transaction;

use super::SqliteJournal;
use super::attempts::Writing;
use super::error::is_about_a_value;
use super::new_captures::{CaptureCache, amend};
use crate::journal::JournalError;
use crate::journal::{Write, WriteResult};

impl SqliteJournal {
    pub(super) fn commit_group(&self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        let mut cache = self.captures.borrow_mut();
        let committed = self.write(|tx| self.apply_all(tx, writes, &mut cache));
        if let Err(error) = &committed {
            cache.forget();
            if matches!(
                error,
                JournalError::Unusable { .. } | JournalError::Full { .. }
            ) {
                self.overwrite_failed_commit();
            }
        }
        committed
    }

    fn apply_all(
        &self,
        tx: &Transaction<'_>,
        writes: &[Write],
        cache: &mut RefMut<'_, CaptureCache>,
    ) -> rusqlite::Result<Vec<WriteResult>> {
        let writing = Writing {
            tx,
            owner: &self.owner,
            now: self.host.now(),
        };
        let has_captures = writes
            .iter()
            .any(|write| matches!(write, Write::Capture(_)));
        if has_captures {
            cache.refresh(tx)?;
        }
        let mut results = Vec::with_capacity(writes.len());
        for write in writes {
            tx.prepare_cached("SAVEPOINT one_write")?.execute([])?;
            let result = match apply(&writing, write, cache) {
                Err(error) if is_about_a_value(&error) => {
                    tx.prepare_cached("ROLLBACK TO one_write")?.execute([])?;
                    WriteResult::Rejected(Arc::new(self.error(error)))
                }
                applied => applied?,
            };
            tx.prepare_cached("RELEASE one_write")?.execute([])?;
            results.push(result);
        }
        if has_captures {
            cache.prune(tx)?;
        }
        Ok(results)
    }

    /// A commit that was written and could not be synced is still in the WAL, and the next process would find it. Another
    /// commit takes its place there, whether that can be synced or not.
    fn overwrite_failed_commit(&self) {
        let _ = self.write(|tx| {
            let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            tx.pragma_update(None, "user_version", version)
        });
    }
}

fn apply(
    writing: &Writing<'_>,
    write: &Write,
    cache: &mut CaptureCache,
) -> rusqlite::Result<WriteResult> {
    let result = match write {
        Write::Accept(new, attempt) => WriteResult::Delivery(writing.accept(new, attempt)?),
        Write::Ignore(new, by) => WriteResult::Delivery(writing.ignore(new, *by)?),
        Write::Begin(claim) => match writing.begin(claim)? {
            Some(number) => WriteResult::Claimed(number),
            None => WriteResult::Refused,
        },
        Write::Finish(result) => {
            if writing.finish(result)? {
                WriteResult::Done
            } else {
                WriteResult::Deleted
            }
        }
        Write::Release(ids) => {
            for id in ids {
                writing.release(*id)?;
            }
            WriteResult::Done
        }
        Write::PutBack { id, number, slot } => {
            writing.put_back(*id, *number, *slot)?;
            WriteResult::Done
        }
        Write::Renew { ids, lease } => {
            let until = writing.now.plus(*lease);
            let mut owned = Vec::with_capacity(ids.len());
            for &id in ids {
                if writing.renew(id, until)? {
                    owned.push(id);
                }
            }
            WriteResult::Renewed(owned)
        }
        Write::Capture(new) => {
            let (id, bin) = cache.add(writing.tx, new)?;
            WriteResult::Captured { id, bin }
        }
        Write::AmendCapture { id, response } => {
            amend(writing.tx, *id, response)?;
            WriteResult::Done
        }
    };
    Ok(result)
}
