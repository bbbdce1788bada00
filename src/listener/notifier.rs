//! Publishes changes to the streams of server-sent events.
//!
//! The capture writer publishes each capture after its commit; the web UI subscribes.

use std::sync::Arc;

use tokio::sync::broadcast;

/// Events that a slow subscriber may fall behind before it misses some.
const EVENT_BACKLOG: usize = 256;

/// Something that a page may want to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A capture was committed.
    Captured { id: i64, bin: Arc<str> },
    /// Something else changed, such as the response of a capture.
    Changed,
}

/// Sends events to all subscribers; clones share them.
#[derive(Clone, Debug)]
pub struct Notifier {
    events: broadcast::Sender<Event>,
}

impl Notifier {
    /// A notifier without subscribers.
    pub fn new() -> Self {
        Self {
            events: broadcast::Sender::new(EVENT_BACKLOG),
        }
    }

    /// Publishes a committed capture.
    pub fn captured(&self, id: i64, bin: &str) {
        if self.events.receiver_count() > 0 {
            self.publish(Event::Captured {
                id,
                bin: bin.into(),
            });
        }
    }

    /// Publishes another change.
    pub fn changed(&self) {
        self.publish(Event::Changed);
    }

    /// Receives every event from now on; reports how many it missed if it falls behind.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn publish(&self, event: Event) {
        // Fails only without subscribers.
        let _ = self.events.send(event);
    }
}
