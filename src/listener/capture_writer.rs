//! Writes captures and publishes them.
//!
//! Each capture is submitted at once, and its request is responded to only after the commit. The journal's writer commits
//! everything that arrives during one commit with the next one. Its results come back through one channel: to wake the
//! listener's thread for each of them would cost more than to store it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::notifier::Notifier;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::journal::{CaptureStore, JournalError, StoredCapture};

/// Results that are returned at a time.
const MAX_RETURNED: usize = 256;

/// The result of a write, and where to return it: `None` if the write failed.
pub(super) type Stored = (
    oneshot::Sender<Option<Arc<StoredCapture>>>,
    Option<Arc<StoredCapture>>,
);

/// Writes captures. Clones write to the same place.
#[derive(Clone)]
pub(super) struct CaptureWriter {
    captures: Arc<dyn CaptureStore>,
    notifier: Notifier,
    pending: Arc<AtomicUsize>,
    stored: UnboundedSender<Stored>,
}

impl CaptureWriter {
    /// The results must be returned with [`CaptureWriter::return_results`].
    pub(super) fn new(
        captures: Arc<dyn CaptureStore>,
        notifier: Notifier,
    ) -> (CaptureWriter, UnboundedReceiver<Stored>) {
        let (stored, results) = mpsc::unbounded_channel();
        let writer = CaptureWriter {
            captures,
            notifier,
            pending: Arc::default(),
            stored,
        };
        (writer, results)
    }

    /// Publishes stored captures, and lets their requests go on. Must run as long as there are connections.
    pub(super) async fn return_results(self, mut results: UnboundedReceiver<Stored>) {
        let mut together = Vec::new();
        while results.recv_many(&mut together, MAX_RETURNED).await > 0 {
            for (reply, capture) in together.drain(..) {
                if let Some(stored) = &capture {
                    self.notifier.captured(stored.record.id, &stored.record.bin);
                }
                // The connection may have ended meanwhile.
                let _ = reply.send(capture);
            }
        }
    }

    /// Writes a capture; returns after its commit. `None` if that failed: then the request must not be acknowledged.
    pub(super) async fn store(&self, capture: Capture, body: Body) -> Option<Arc<StoredCapture>> {
        let (reply, replied) = oneshot::channel();
        let (pending, results) = (Arc::clone(&self.pending), self.stored.clone());
        pending.fetch_add(1, Ordering::Relaxed);
        let done = move |result: Result<Arc<StoredCapture>, Arc<JournalError>>| {
            pending.fetch_sub(1, Ordering::Relaxed);
            // The listener may have ended meanwhile.
            let _ = results.send((reply, result.ok()));
        };
        self.captures.store(capture, body, Box::new(done));
        replied.await.ok()?
    }

    /// Changes the response of a stored capture. The receiver resolves when that is committed or has failed.
    pub(super) fn update_response(
        &self,
        id: i64,
        response: CapturedResponse,
    ) -> oneshot::Receiver<()> {
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
