//! Stores the listener's captures in the journal, through a [`GroupWriter`].

use std::sync::Arc;

use super::{
    CaptureRules, CaptureStore, GroupWriter, Journal, JournalError, StoreReply, StoredCapture,
    Write, WriteResult,
};
use crate::capture::{Body, Capture, CapturedResponse, EventName};
use crate::event::{self, Event};

/// Commits captures on its own thread. Dropping it and all references to its writer commits what was submitted first.
pub struct JournalCaptureStore {
    writer: Arc<GroupWriter>,
}

impl JournalCaptureStore {
    /// Captures whose path does not name an existing bin go to `default_bin`. Each bin keeps its newest `keep_per_bin`.
    pub fn start(
        mut journal: Box<dyn Journal>,
        default_bin: &str,
        keep_per_bin: u32,
    ) -> Result<JournalCaptureStore, JournalError> {
        journal.tune_for_captures(CaptureRules {
            default_bin: default_bin.to_owned(),
            keep_per_bin,
        })?;
        let writer = Arc::new(GroupWriter::start(journal, None)?);
        Ok(JournalCaptureStore { writer })
    }

    /// For other writes about captures, which share its commits.
    pub fn writer(&self) -> Arc<GroupWriter> {
        Arc::clone(&self.writer)
    }
}

impl CaptureStore for JournalCaptureStore {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        // Not on the writer's thread: parsing there would delay the writes of other threads.
        let event = event_name(&body.bytes);
        let new = Arc::new(StoredCapture::new(0, "", event, capture, body));
        let write = Write::Capture(Arc::clone(&new));
        let reply = move |result: Result<WriteResult, Arc<JournalError>>| {
            done(result.and_then(|result| match result {
                WriteResult::Rejected(error) => Err(error),
                WriteResult::Captured { id, bin, response } => {
                    // Does not copy: the writer has dropped its own reference.
                    let mut stored = Arc::unwrap_or_clone(new);
                    (stored.record.id, stored.record.bin) = (id, bin);
                    stored.bin_response = response;
                    Ok(Arc::new(stored))
                }
                _ => Ok(new),
            }));
        };
        self.writer.submit(write, Box::new(reply));
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: StoreReply<()>) {
        self.writer.submit(
            Write::AmendCapture { id, response },
            Box::new(move |result| done(result.map(drop))),
        );
    }
}

/// Type and action of a body that begins like an event.
fn event_name(body: &[u8]) -> Option<EventName> {
    let (event_type, action) = Event::title(&event::extract_xml(body))?;
    Some(EventName { event_type, action })
}
