//! Applies a group of writes in one transaction.

use std::sync::Arc;

use rusqlite::Transaction;

use super::SqliteJournal;
use super::attempts::WriteTransaction;
use super::captures::exists;
use super::error::is_value_error;
use super::new_captures::CaptureCache;
use super::rows::execute;
use super::runs;
use crate::journal::values::BoundSql;
use crate::journal::{JournalError, Write, WriteResult, statements};

impl SqliteJournal {
    pub(super) fn commit_group(&self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        let mut cache = self.captures.borrow_mut();
        let committed = self.write(|tx| match self.apply_all(tx, writes, &mut cache, false) {
            // Savepoints are slow; they are needed only to leave out the write that cannot be stored.
            Err(error) if is_value_error(&error) => {
                cache.reset();
                tx.execute_batch("ROLLBACK; BEGIN IMMEDIATE")?;
                self.apply_all(tx, writes, &mut cache, true)
            }
            applied => applied,
        });
        if let Err(error) = &committed {
            cache.reset();
            if matches!(
                error,
                JournalError::Unusable { .. } | JournalError::Full { .. }
            ) {
                self.overwrite_failed_commit();
            }
        }
        committed
    }

    pub(super) fn write_transaction<'a>(&'a self, tx: &'a Transaction<'a>) -> WriteTransaction<'a> {
        WriteTransaction {
            tx,
            owner: &self.owner,
            label: &self.label,
            now: self.host.now(),
            lease_clock: self.host.lease_clock(),
        }
    }

    fn apply_all(
        &self,
        tx: &Transaction<'_>,
        writes: &[Write],
        cache: &mut CaptureCache,
        with_savepoints: bool,
    ) -> rusqlite::Result<Vec<WriteResult>> {
        let transaction = self.write_transaction(tx);
        let has_captures = writes
            .iter()
            .any(|write| matches!(write, Write::Capture { .. }));
        if has_captures {
            cache.refresh(tx)?;
        }
        let mut results = Vec::with_capacity(writes.len());
        for write in writes {
            results.push(if with_savepoints {
                self.apply_or_reject(&transaction, write, cache)?
            } else {
                apply(&transaction, write, cache)?
            });
        }
        if has_captures {
            cache.prune(tx, writes.len(), self.pace.slice_time)?;
        }
        Ok(results)
    }

    /// Leaves out a write that cannot be stored, and reports it as rejected.
    fn apply_or_reject(
        &self,
        transaction: &WriteTransaction<'_>,
        write: &Write,
        cache: &mut CaptureCache,
    ) -> rusqlite::Result<WriteResult> {
        let tx = transaction.tx;
        tx.prepare_cached("SAVEPOINT one_write")?.execute([])?;
        let result = match apply(transaction, write, cache) {
            Err(error) if is_value_error(&error) => {
                tx.prepare_cached("ROLLBACK TO one_write")?.execute([])?;
                cache.forget_default_bin();
                WriteResult::Rejected(Arc::new(self.error(error)))
            }
            applied => applied?,
        };
        tx.prepare_cached("RELEASE one_write")?.execute([])?;
        Ok(result)
    }

    /// A commit that was written to the WAL but not synced was reported as failed, yet other processes would still read
    /// it. Another commit overwrites it there, whether that can be synced or not.
    fn overwrite_failed_commit(&self) {
        let _ = self.write(|tx| {
            let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            tx.pragma_update(None, "user_version", version)
        });
    }
}

fn apply(
    transaction: &WriteTransaction<'_>,
    write: &Write,
    cache: &mut CaptureCache,
) -> rusqlite::Result<WriteResult> {
    let run = |statement: &BoundSql<'_>| {
        execute(transaction.tx, statement)?;
        Ok(WriteResult::Done)
    };
    match write {
        Write::Accept(new, attempt) => transaction.accept(new, attempt),
        Write::Ignore(new, by) => transaction.ignore(new, *by),
        Write::Begin(claim) => transaction.begin(claim),
        Write::Finish(result) => transaction.finish(result),
        Write::Release(ids) => transaction.release(ids),
        Write::PutBack { id, number, slot } => transaction.put_back(*id, *number, slot),
        Write::Renew { ids, lease } => transaction.renew(ids, *lease),
        Write::Capture { capture, forwards } => {
            let result = cache.add(transaction, capture, forwards.len())?;
            if let WriteResult::Captured { id, bin, .. } = &result {
                transaction.forward(capture, (*id, bin), forwards)?;
            }
            Ok(result)
        }
        Write::Forward { capture, forwards } => {
            let (id, bin) = (capture.record.id, &capture.record.bin);
            if !exists(transaction.tx, id)? {
                return Ok(WriteResult::Deleted);
            }
            transaction.forward(capture, (id, bin), forwards)?;
            Ok(WriteResult::Captured {
                id,
                bin: bin.clone(),
                response: None,
                due: transaction.now,
            })
        }
        Write::BeginRun(id, run) => runs::begin(transaction.tx, *id, run),
        Write::AmendCapture { id, response } => run(&statements::amend_capture(*id, response)),
        Write::EndRun(id, ended) => run(&statements::end_run(*id, ended)),
        Write::MoveCursor { name, from, to } => {
            match execute(
                transaction.tx,
                &statements::move_cursor(name, from.as_ref(), to),
            )? {
                1 => Ok(WriteResult::Done),
                changed => Err(rusqlite::Error::StatementChangedRows(changed)),
            }
        }
        Write::SetSignature { id, check } => run(&statements::set_signature(*id, check)),
    }
}
