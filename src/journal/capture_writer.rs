//! Adds captures through a [`GroupWriter`].

use std::sync::{Arc, Mutex, PoisonError};

use super::store::{Batch, Done, JournalError, Keeper, Kept};
use super::{CaptureRules, GroupWriter, Journal, NewCapture, Write, WriteResult};
use crate::capture::{Body, Capture, CapturedResponse, EventName};
use crate::event::{self, Event};

/// Adds captures on a thread of its own. Dropping it adds what was submitted first.
pub struct CaptureKeeper {
    writer: GroupWriter,
    rules: Arc<CaptureRules>,
}

impl CaptureKeeper {
    /// Puts what names no bin into `default_bin`, and keeps the newest `keep_per_bin` of each bin.
    pub fn start(
        mut journal: Box<dyn Journal>,
        default_bin: &str,
        keep_per_bin: u32,
    ) -> Result<CaptureKeeper, JournalError> {
        journal.tune_for_captures()?;
        Ok(CaptureKeeper {
            writer: GroupWriter::start(journal, None)?,
            rules: Arc::new(CaptureRules {
                default_bin: default_bin.to_owned(),
                keep_per_bin,
            }),
        })
    }
}

/// The results of a batch, collected until the last has arrived.
struct Pending {
    kept: Vec<Option<Kept>>,
    failed: Option<Arc<JournalError>>,
    missing: usize,
    done: Option<Done<Batch>>,
}

impl Keeper for CaptureKeeper {
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        let pending = Arc::new(Mutex::new(Pending {
            kept: captures.iter().map(|_| None).collect(),
            failed: None,
            missing: captures.len(),
            done: Some(done),
        }));
        for (index, (capture, body)) in captures.into_iter().enumerate() {
            let event = event_name(&body.bytes);
            let new = Arc::new(NewCapture {
                capture,
                body,
                event,
                rules: Arc::clone(&self.rules),
            });
            let (pending, written) = (Arc::clone(&pending), Arc::clone(&new));
            let reply = move |result| record(&pending, index, &written, result);
            self.writer.submit(Write::Capture(new), Box::new(reply));
        }
    }

    fn amend(&self, id: i64, response: CapturedResponse, done: Done<()>) {
        self.writer.submit(
            Write::AmendCapture { id, response },
            Box::new(move |result| done(result.map(drop))),
        );
    }
}

fn record(
    pending: &Mutex<Pending>,
    index: usize,
    new: &NewCapture,
    result: Result<WriteResult, Arc<JournalError>>,
) {
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = |id, bin: &str| {
        let (capture, body) = (new.capture.clone(), new.body.clone());
        Kept::new(id, bin, new.event.clone(), capture, body)
    };
    pending.kept[index] = match result {
        Ok(WriteResult::Captured(stored)) => Some(kept(stored.id, &stored.bin)),
        Ok(WriteResult::Rejected(error)) => Some(Kept {
            refused: Some(error),
            ..kept(0, "")
        }),
        Ok(_) => None,
        Err(error) => {
            pending.failed = Some(error);
            None
        }
    };
    pending.missing -= 1;
    if pending.missing == 0
        && let Some(done) = pending.done.take()
    {
        let kept = std::mem::take(&mut pending.kept);
        done(match &pending.failed {
            Some(error) => Err(Arc::clone(error)),
            None => Ok(Arc::new(kept.into_iter().flatten().collect())),
        });
    }
}

/// Type and action of a body that begins like an event.
fn event_name(body: &[u8]) -> Option<EventName> {
    let (event_type, action) = Event::title(&event::extract_xml(body))?;
    Some(EventName { event_type, action })
}
