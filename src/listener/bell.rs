//! What the catcher tells the live page while it runs, and counts for its owner: that something was kept, or could not be.
//!
//! Deliberately says no more than that: what was kept is read where it is kept. It waits for nobody.
//!
//! Invariant: whoever hears the bell finds in the journal what it was rung for.

use std::sync::{Arc, Mutex, PoisonError};

use super::notifier::Notifier;
use crate::journal::store::{Batch, JournalError};

/// What could not be kept so far, and was therefore answered 503.
#[derive(Clone, Debug, Default)]
pub struct FailedKeeps {
    /// How many writes failed.
    pub count: u64,
    /// Why the last of them did.
    pub last: Option<Arc<JournalError>>,
}

/// Rung after each write, on whatever thread.
#[derive(Debug)]
pub(super) struct Bell {
    notifier: Notifier,
    failed: Mutex<FailedKeeps>,
}

impl Bell {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self {
            notifier,
            failed: Mutex::default(),
        }
    }

    /// So many captures were kept, or not; of those that were, perhaps not all.
    pub(super) fn kept(&self, result: &Result<Batch, Arc<JournalError>>, count: usize) {
        match result {
            Ok(batch) => {
                for kept in batch.iter().filter(|kept| kept.refused.is_none()) {
                    self.notifier.captured(kept.caught.id, &kept.caught.bin);
                }
                batch
                    .iter()
                    .filter_map(|kept| kept.refused.as_ref())
                    .for_each(|error| self.note_failure(error, 1));
            }
            Err(error) => self.note_failure(error, count),
        }
    }

    /// The answer of a capture was kept, or not.
    pub(super) fn amended(&self, result: &Result<(), Arc<JournalError>>) {
        match result {
            Ok(()) => {
                self.notifier.changed();
            }
            Err(error) => self.note_failure(error, 1),
        }
    }

    pub(super) fn failed(&self) -> FailedKeeps {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note_failure(&self, error: &Arc<JournalError>, count: usize) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.count += count as u64;
        failed.last = Some(Arc::clone(error));
    }
}
