//! Publishes changes to the streams of server-sent events.
//!
//! The capture writer publishes each capture after its commit; the web UI subscribes.

use std::sync::Arc;

use tokio::sync::broadcast;

/// Events that a slow subscriber may fall behind before it misses some.
const EVENT_BACKLOG: usize = 256;

/// Something that a page may want to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    Captured {
        id: i64,
        bin: Arc<str>,
    },
    /// Something else changed, such as the response of a capture.
    Changed,
}

/// Sends events to all subscribers; clones share them.
#[derive(Clone, Debug)]
pub struct Notifier {
    events: broadcast::Sender<Notification>,
}

impl Notifier {
    pub fn new() -> Self {
        Self {
            events: broadcast::Sender::new(EVENT_BACKLOG),
        }
    }

    pub fn captured(&self, id: i64, bin: &str) {
        if self.events.receiver_count() > 0 {
            let bin = bin.into();
            let _ = self.events.send(Notification::Captured { id, bin });
        }
    }

    pub fn changed(&self) {
        // Fails only without subscribers.
        let _ = self.events.send(Notification::Changed);
    }

    /// Receives every event from now on; reports how many it missed if it falls behind.
    pub fn subscribe(&self) -> broadcast::Receiver<Notification> {
        self.events.subscribe()
    }
}
