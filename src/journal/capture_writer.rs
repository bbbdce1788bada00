//! Stores the listener's captures in the journal, through a [`GroupWriter`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    CaptureRules, CaptureStore, Forward, GroupWriter, Journal, JournalError, StoreReply,
    StoredCapture, Write, WriteResult,
};
use crate::capture::expect::Expectation;
use crate::capture::{Body, Capture, CapturedResponse, EventName};
use crate::event::{self, Event};
use crate::time::UnixMs;

/// Which captures become deliveries, in the commit that adds them.
pub struct Forwarding {
    pub forwards: Arc<[Forward]>,
    /// Which of the accepted captures.
    pub filter: Expectation,
    /// How many deliveries may wait; further captures are not stored.
    pub max_pending: usize,
    /// How many wait, about: this adds those that it stores, others count anew.
    pub pending: Arc<AtomicUsize>,
    /// Called after a commit with deliveries, with the time at which they are due.
    pub added: Box<dyn Fn(UnixMs) + Send + Sync>,
}

impl Forwarding {
    /// A capture is forwarded if its sender learns that it was accepted.
    fn takes(&self, capture: &Capture, body: &Body) -> bool {
        let status = capture.response.status.unwrap_or_default();
        capture.is_accepted() && (200..300).contains(&status) && self.filter.is_met(capture, body)
    }
}

/// Commits captures on its own thread. Dropping it and all references to its writer commits what was submitted first.
pub struct JournalCaptureStore {
    writer: Arc<GroupWriter>,
    forwarding: Option<Arc<Forwarding>>,
}

impl JournalCaptureStore {
    /// Captures whose path does not name an existing bin go to `default_bin`. Each bin keeps its newest `keep_per_bin`.
    pub fn start(
        mut journal: Box<dyn Journal>,
        default_bin: &str,
        keep_per_bin: u32,
        forwarding: Option<Forwarding>,
    ) -> Result<JournalCaptureStore, JournalError> {
        journal.tune_for_captures(CaptureRules {
            default_bin: default_bin.to_owned(),
            keep_per_bin,
            keep_without_delivery: false,
            survives_power_failure: forwarding.is_some(),
        })?;
        let writer = Arc::new(GroupWriter::start(journal, None)?);
        Ok(JournalCaptureStore {
            writer,
            forwarding: forwarding.map(Arc::new),
        })
    }

    /// For other writes about captures, which share its commits.
    pub fn writer(&self) -> Arc<GroupWriter> {
        Arc::clone(&self.writer)
    }
}

impl CaptureStore for JournalCaptureStore {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        let forwarding = self.forwarding.as_ref();
        let forwarding = forwarding.filter(|one| one.takes(&capture, &body)).cloned();
        if let Some(full) = &forwarding
            && full.pending.load(Ordering::Relaxed) >= full.max_pending
        {
            let max = full.max_pending;
            return done(Err(Arc::new(JournalError::Backlog { max })));
        }
        // Not on the writer's thread: parsing there would delay the writes of other threads.
        let event = event_name(&body.bytes);
        let new = Arc::new(StoredCapture::new(0, "", event, capture, body));
        let write = Write::Capture {
            capture: Arc::clone(&new),
            forwards: forwarding
                .as_ref()
                .map_or_else(Arc::default, |one| Arc::clone(&one.forwards)),
        };
        let reply = move |result: Result<WriteResult, Arc<JournalError>>| {
            if let (Some(forwarding), Ok(WriteResult::Captured { due, .. })) =
                (&forwarding, &result)
            {
                let added = forwarding.forwards.len();
                forwarding.pending.fetch_add(added, Ordering::Relaxed);
                (forwarding.added)(*due);
            }
            done(result.and_then(|result| match result {
                WriteResult::Rejected(error) => Err(error),
                WriteResult::Captured {
                    id, bin, response, ..
                } => {
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
