//! Writes captures and publishes them.
//!
//! Each capture is submitted at once, and its request is responded to only after the commit. The journal's writer commits
//! everything that arrives during one commit with the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot::{self, Receiver};

use super::notifier::Notifier;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::journal::{CaptureStore, JournalError, SharedCapture};

/// Writes captures. Clones write to the same place.
#[derive(Clone)]
pub(super) struct CaptureWriter {
    captures: Arc<dyn CaptureStore>,
    notifier: Notifier,
    pending: Arc<AtomicUsize>,
}

impl CaptureWriter {
    pub(super) fn new(captures: Arc<dyn CaptureStore>, notifier: Notifier) -> Self {
        Self {
            captures,
            notifier,
            pending: Arc::default(),
        }
    }

    /// Writes a capture; returns after its commit. `None` if that failed: then the request must not be acknowledged.
    pub(super) async fn store(&self, capture: Capture, body: Body) -> Option<SharedCapture> {
        let (reply, stored) = oneshot::channel();
        let writer = self.clone();
        self.pending.fetch_add(1, Ordering::Relaxed);
        let done = move |result: Result<SharedCapture, Arc<JournalError>>| {
            writer.pending.fetch_sub(1, Ordering::Relaxed);
            if let Ok(stored) = &result {
                let stored = &stored.caught;
                writer.notifier.captured(stored.id, &stored.bin);
            }
            // The connection may have ended meanwhile.
            let _ = reply.send(result);
        };
        self.captures.store(capture, body, Box::new(done));
        stored.await.ok()?.ok()
    }

    /// Changes the response of a stored capture. The receiver resolves when that is committed or has failed.
    pub(super) fn update_response(&self, id: i64, response: CapturedResponse) -> Receiver<()> {
        let (reply, recorded) = oneshot::channel();
        let notifier = self.notifier.clone();
        let done = move |result: Result<(), Arc<JournalError>>| {
            if result.is_ok() {
                notifier.changed();
            }
            let _ = reply.send(());
        };
        self.captures.set_response(id, response, Box::new(done));
        recorded
    }

    /// Whether a capture is being written, so that its client gets a response soon.
    pub(super) fn is_writing(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > 0
    }
}
