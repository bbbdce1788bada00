//! From the keeper to the screen: which captures are this listener's own, and when each can be shown.
//!
//! What was kept is passed on itself, as long as whoever shows it keeps up; then only its id, under which the journal has
//! it, and of ids that follow each other only the first and the last. So a slow reader of stdout costs little memory, and
//! holds up nobody.
//!
//! Invariant: a capture is passed on once, after it is committed and its answer known.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::capture::{Body, Capture, CapturedResponse};
use crate::journal::CaptureKeeper;
use crate::journal::{CaptureStore, Done, SharedCapture};

/// Bytes of captures that may wait to be shown.
const WAITING_BYTES: usize = 2 * 1024 * 1024;

/// Captures to be shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Announced {
    /// One, at hand.
    Kept(SharedCapture),
    /// Those with these ids, to be read in the journal.
    Ids(RangeInclusive<i64>),
}

/// What waits to be shown, in its order.
#[derive(Debug, Default)]
pub struct Announcements {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Announced>,
    bytes: usize,
    /// Whether somebody waits for it to fill.
    awaited: bool,
}

impl Queue {
    fn add_kept(&mut self, kept: &SharedCapture) {
        let bytes = kept.weight();
        if self.bytes + bytes <= WAITING_BYTES {
            self.bytes += bytes;
            self.waiting.push_back(Announced::Kept(Arc::clone(kept)));
        } else {
            self.add_id(kept.caught.id);
        }
    }

    fn add_id(&mut self, id: i64) {
        match self.waiting.back_mut() {
            Some(Announced::Ids(ids)) if ids.end() + 1 == id => *ids = *ids.start()..=id,
            _ => self.waiting.push_back(Announced::Ids(id..=id)),
        }
    }
}

impl Announcements {
    /// What has come since this was last asked, as soon as there is something; nothing if nothing comes for so long.
    pub fn take(&self, patience: Duration) -> VecDeque<Announced> {
        let mut queue = self.queue();
        if queue.waiting.is_empty() && !patience.is_zero() {
            queue.awaited = true;
            let waited = self
                .filled
                .wait_timeout_while(queue, patience, |queue| queue.waiting.is_empty());
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.awaited = false;
        }
        queue.bytes = 0;
        std::mem::take(&mut queue.waiting)
    }

    fn add_kept(&self, kept: &SharedCapture) {
        self.add(|queue| queue.add_kept(kept));
    }

    fn add_id(&self, id: i64) {
        self.add(|queue| queue.add_id(id));
    }

    fn add(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue();
        add(&mut queue);
        if queue.awaited {
            self.filled.notify_one();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps captures in the journal, and passes them on.
pub struct Announcer {
    keeper: CaptureKeeper,
    announcements: Arc<Announcements>,
    /// Answers come from elsewhere, and are known only after the capture is kept.
    forwards: bool,
}

impl Announcer {
    /// Passes on to `announcements` what `keeper` keeps.
    pub fn new(
        keeper: CaptureKeeper,
        announcements: Arc<Announcements>,
        forwards: bool,
    ) -> Announcer {
        Announcer {
            keeper,
            announcements,
            forwards,
        }
    }
}

impl CaptureStore for Announcer {
    fn store(&self, capture: Capture, body: Body, done: Done<SharedCapture>) {
        let awaits_response =
            self.forwards && !capture.malformed && capture.response.status.is_none();
        let announcements = Arc::clone(&self.announcements);
        let announced = move |result: Result<SharedCapture, _>| {
            if let Ok(kept) = &result
                && !awaits_response
            {
                announcements.add_kept(kept);
            }
            done(result);
        };
        self.keeper.store(capture, body, Box::new(announced));
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: Done<()>) {
        if !self.forwards {
            // It was shown when it was stored.
            return self.keeper.set_response(id, response, done);
        }
        let announcements = Arc::clone(&self.announcements);
        let announced = move |result: Result<(), _>| {
            // Shown even if its response could not be recorded.
            announcements.add_id(id);
            done(result);
        };
        self.keeper.set_response(id, response, Box::new(announced));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Kept;
    use crate::time::UnixMs;

    fn kept(id: i64, body: usize) -> SharedCapture {
        let head = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        let capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head);
        let body = Body {
            bytes: vec![0; body],
            wire: None,
        };
        Arc::new(Kept::new(id, "inbox", None, capture, body))
    }

    #[test]
    fn beyond_a_limit_only_ids_wait_in_order() {
        let announcements = Announcements::default();
        let large = WAITING_BYTES / 3;
        let captures = [1, 2, 3, 4].map(|id| kept(id, large));
        for capture in &captures {
            announcements.add_kept(capture);
        }
        announcements.add_id(5);
        announcements.add_id(20);
        let small = kept(21, 1);
        announcements.add_kept(&small);
        let expected = [
            Announced::Kept(Arc::clone(&captures[0])),
            Announced::Kept(Arc::clone(&captures[1])),
            Announced::Ids(3..=5),
            Announced::Ids(20..=20),
            Announced::Kept(small),
        ];
        assert_eq!(announcements.take(Duration::ZERO), expected);
        announcements.add_kept(&captures[3]);
        let again = Announced::Kept(Arc::clone(&captures[3]));
        assert_eq!(
            announcements.take(Duration::ZERO),
            [again],
            "there is room again"
        );
        assert!(announcements.take(Duration::ZERO).is_empty());
    }

    #[test]
    fn who_waits_is_told() {
        let announcements = Arc::new(Announcements::default());
        let waiting = {
            let announcements = Arc::clone(&announcements);
            std::thread::spawn(move || announcements.take(Duration::from_secs(20)))
        };
        announcements.add_id(7);
        assert_eq!(waiting.join().unwrap(), [Announced::Ids(7..=7)]);
    }
}
