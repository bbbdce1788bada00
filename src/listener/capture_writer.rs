//! Writes captures and publishes them.
//!
//! A request is responded to only after the commit of its capture. Captures that arrive in one turn of the event loop are
//! submitted together, and the results of a commit are received together: to wake the other thread for each of them
//! would cost more than to store it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::notifier::Notifier;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::journal::{CaptureStore, JournalError, NewCapture, SharedCapture};

/// Captures that are submitted at a time, and results that are received at a time.
const MAX_TOGETHER: usize = 256;

type Reply = oneshot::Sender<Option<SharedCapture>>;

/// Writes captures. Clones write to the same place.
#[derive(Clone)]
pub(super) struct CaptureWriter {
    captures: Arc<dyn CaptureStore>,
    notifier: Notifier,
    pending: Arc<AtomicUsize>,
    new: UnboundedSender<NewCapture>,
    stored: UnboundedSender<(Reply, Option<SharedCapture>)>,
}

/// What a [`CaptureWriter`] has to write, and what was written.
pub(super) struct CaptureQueues {
    captures: Arc<dyn CaptureStore>,
    notifier: Notifier,
    new: UnboundedReceiver<NewCapture>,
    stored: UnboundedReceiver<(Reply, Option<SharedCapture>)>,
}

impl CaptureQueues {
    /// Must run as long as captures are written.
    pub(super) async fn run(mut self) {
        let (mut new, mut stored) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                _ = self.new.recv_many(&mut new, MAX_TOGETHER) => {
                    self.captures.store_all(std::mem::take(&mut new));
                }
                _ = self.stored.recv_many(&mut stored, MAX_TOGETHER) => {
                    for (reply, capture) in stored.drain(..) {
                        self.publish(reply, capture);
                    }
                }
            }
        }
    }

    fn publish(&self, reply: Reply, capture: Option<SharedCapture>) {
        if let Some(stored) = &capture {
            self.notifier.captured(stored.caught.id, &stored.caught.bin);
        }
        // The connection may have ended meanwhile.
        let _ = reply.send(capture);
    }
}

impl CaptureWriter {
    pub(super) fn new(
        captures: Arc<dyn CaptureStore>,
        notifier: Notifier,
    ) -> (CaptureWriter, CaptureQueues) {
        let (new, new_captures) = mpsc::unbounded_channel();
        let (stored, stored_captures) = mpsc::unbounded_channel();
        let queues = CaptureQueues {
            captures: Arc::clone(&captures),
            notifier: notifier.clone(),
            new: new_captures,
            stored: stored_captures,
        };
        let writer = CaptureWriter {
            captures,
            notifier,
            pending: Arc::default(),
            new,
            stored,
        };
        (writer, queues)
    }

    /// Writes a capture; returns after its commit. `None` if that failed: then the request must not be acknowledged.
    pub(super) async fn store(&self, capture: Capture, body: Body) -> Option<SharedCapture> {
        let (reply, replied) = oneshot::channel();
        let (pending, results) = (Arc::clone(&self.pending), self.stored.clone());
        pending.fetch_add(1, Ordering::Relaxed);
        let done = move |result: Result<SharedCapture, Arc<JournalError>>| {
            pending.fetch_sub(1, Ordering::Relaxed);
            // The listener may have ended meanwhile.
            let _ = results.send((reply, result.ok()));
        };
        let _ = self.new.send((capture, body, Box::new(done)));
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
