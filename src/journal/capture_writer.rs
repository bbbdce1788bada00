//! Adds captures through a [`GroupWriter`].

use std::path::PathBuf;
use std::sync::Arc;

use super::{CaptureRules, GroupWriter, Journal, NewCapture, Write, WriteResult};
use super::{CaptureStore, Done, JournalError, Kept, SharedCapture};
use crate::capture::{Body, Capture, CapturedResponse, EventName};
use crate::event::{self, Event};

/// Adds captures on a thread of its own. Dropping it adds what was submitted first.
pub struct CaptureKeeper {
    writer: GroupWriter,
    rules: Arc<CaptureRules>,
    path: PathBuf,
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
            path: journal.path().to_owned(),
            writer: GroupWriter::start(journal, None)?,
            rules: Arc::new(CaptureRules {
                default_bin: default_bin.to_owned(),
                keep_per_bin,
            }),
        })
    }
}

impl CaptureStore for CaptureKeeper {
    fn store(&self, capture: Capture, body: Body, done: Done<SharedCapture>) {
        // Here and not on the writer's thread, for which others wait.
        let event = event_name(&body.bytes);
        let new = NewCapture {
            capture,
            body,
            event,
            rules: Arc::clone(&self.rules),
        };
        let path = self.path.clone();
        self.writer.submit(
            Write::Capture(Arc::new(new)),
            Box::new(move |result| done(stored(result, path))),
        );
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: Done<()>) {
        self.writer.submit(
            Write::AmendCapture { id, response },
            Box::new(move |result| done(result.map(drop))),
        );
    }
}

fn stored(
    result: Result<WriteResult, Arc<JournalError>>,
    path: PathBuf,
) -> Result<SharedCapture, Arc<JournalError>> {
    match result? {
        WriteResult::Captured(stored) => {
            let new = Arc::unwrap_or_clone(stored.new);
            let kept = Kept::new(stored.id, &stored.bin, new.event, new.capture, new.body);
            Ok(Arc::new(kept))
        }
        WriteResult::Rejected(error) => Err(error),
        _ => Err(Arc::new(JournalError::Unusable {
            path,
            problem: "stored no capture".to_owned(),
        })),
    }
}

/// Type and action of a body that begins like an event.
fn event_name(body: &[u8]) -> Option<EventName> {
    let (event_type, action) = Event::title(&event::extract_xml(body))?;
    Some(EventName { event_type, action })
}
