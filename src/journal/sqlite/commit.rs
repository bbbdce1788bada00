//! Applies a group of writes in one transaction.

use rusqlite::Transaction;

use super::SqliteJournal;
use super::new_captures::{CaptureCache, amend};
use super::sending::{self, End};
use crate::delivery::{Delivery, Status};
use crate::journal::store::{self, Begun, JournalError, Slot, Turn};
use crate::journal::{
    AttemptResult, ClaimCondition, NewAttempt, NewDelivery, Next, Write, WriteResult,
};
use crate::time::UnixMs;

/// What applying a write needs besides the write.
struct Applying<'a> {
    tx: &'a Transaction<'a>,
    journal: &'a SqliteJournal,
    now: UnixMs,
}

impl SqliteJournal {
    pub(super) fn commit_writes(&self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        self.refuse_lost_file()?;
        let now = self.processes.now();
        let mut cache = self.captures.borrow_mut();
        let written = self.write_or_take_back(|tx| {
            let applying = Applying {
                tx,
                journal: self,
                now,
            };
            applying.apply_all(writes, &mut cache)
        });
        if written.is_err() {
            *cache = CaptureCache::default();
        }
        let results = written?;
        self.refuse_lost_file()?;
        Ok(results)
    }
}

impl Applying<'_> {
    fn apply_all(
        &self,
        writes: &[Write],
        cache: &mut CaptureCache,
    ) -> rusqlite::Result<Vec<WriteResult>> {
        let captures = writes
            .iter()
            .filter(|write| matches!(write, Write::Capture(_)))
            .count();
        if captures > 0 {
            cache.refresh(self.tx)?;
        }
        let results = writes
            .iter()
            .map(|write| self.apply(write, cache))
            .collect::<rusqlite::Result<_>>()?;
        if captures > 0 {
            cache.prune(self.tx, captures)?;
        }
        Ok(results)
    }

    fn apply(&self, write: &Write, cache: &mut CaptureCache) -> rusqlite::Result<WriteResult> {
        let (tx, owner) = (self.tx, &self.journal.owner);
        match write {
            Write::Accept(new, attempt) => {
                let mut delivery = accepted(new, self.now);
                sending::accept(tx, owner, &mut delivery, &new.event, &self.attempt(attempt))?;
                return Ok(WriteResult::Delivery(Box::new(delivery)));
            }
            Write::Ignore(new, by) => {
                let mut delivery = accepted(new, self.now);
                sending::ignore(tx, &mut delivery, &new.event, *by)?;
                return Ok(WriteResult::Delivery(Box::new(delivery)));
            }
            Write::Begin(claim) => {
                let turn = match claim.condition {
                    ClaimCondition::Owned => Turn::Mine,
                    ClaimCondition::Failed { attempts } => Turn::Failed { attempts },
                    ClaimCondition::Scheduled { attempts } => Turn::Scheduled { attempts },
                };
                let attempt = self.attempt(&claim.attempt);
                return Ok(match sending::begin(tx, owner, claim.id, turn, &attempt)? {
                    Begun::Attempt(number) => WriteResult::Claimed(number),
                    Begun::Taken => WriteResult::Refused,
                });
            }
            Write::Finish(result) => {
                if !self.finish(result)? {
                    return Ok(WriteResult::Deleted);
                }
            }
            Write::Release(ids) => {
                for id in ids {
                    sending::interrupt(tx, owner, *id)?;
                }
            }
            Write::PutBack { id, number, slot } => {
                let slot = Slot {
                    due: slot.due,
                    left_behind: slot.abandoned,
                };
                sending::put_back(tx, owner, *id, *number, slot)?;
            }
            Write::Renew { ids, lease } => {
                let mut owned = Vec::with_capacity(ids.len());
                for &id in ids {
                    if sending::renew(tx, owner, id, self.now.plus(*lease))? {
                        owned.push(id);
                    }
                }
                return Ok(WriteResult::Renewed(owned));
            }
            Write::Capture(new) => return cache.add(tx, new, &self.journal.path),
            Write::AmendCapture { id, response } => amend(tx, *id, response)?,
        }
        Ok(WriteResult::Done)
    }

    fn attempt<'b>(&self, new: &'b NewAttempt) -> store::NewAttempt<'b> {
        store::NewAttempt {
            started_at: self.now,
            insecure: new.insecure,
            sent_to: new.sent_to.as_deref(),
            lease_until: self.now.plus(new.lease),
        }
    }

    /// Whether the attempt existed.
    fn finish(&self, result: &AttemptResult) -> rusqlite::Result<bool> {
        let next = match result.next {
            Next::Delivered => store::Next::Delivered,
            Next::Failed => store::Next::Failed,
            Next::Interrupted => store::Next::Interrupted,
            Next::Scheduled { delay } => store::Next::Scheduled {
                due: self.now.plus(delay),
            },
            Next::Retry { delay, lease } => store::Next::RetryAt {
                due: self.now.plus(delay),
                lease_until: self.now.plus(lease),
            },
        };
        let end = End {
            id: result.id,
            number: result.number,
            sent_after: result.sent_after,
            left_at: None,
            duration: result.duration,
            outcome: &result.outcome,
            next,
        };
        sending::finish(self.tx, &self.journal.owner, &end)
    }
}

fn accepted(new: &NewDelivery, now: UnixMs) -> Delivery {
    Delivery {
        id: 0,
        uuid: String::new(),
        event_type: new.event_type.clone(),
        action: new.action.clone(),
        endpoint: new.endpoint.clone(),
        target: new.target.clone(),
        wire: new.wire,
        rule: new.rule.clone(),
        status: Status::Pending,
        ignored_by: None,
        created_at: now,
        finished_at: None,
        next_attempt_at: None,
        attempt_count: 0,
        last_error: None,
    }
}
