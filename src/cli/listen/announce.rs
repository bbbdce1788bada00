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
use crate::journal::store::{Batch, Done, Keeper, Kept, SharedCapture};

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
    /// Adds those of a batch that are to be shown: all of them at hand or none, as each holds the whole batch.
    fn add_kept(&mut self, batch: &Batch, is_shown: impl Fn(&Kept) -> bool) {
        let bytes: usize = batch.iter().map(Kept::weight).sum();
        let has_room = self.bytes + bytes <= WAITING_BYTES;
        for kept in SharedCapture::each(batch).filter(|kept| is_shown(kept)) {
            if has_room {
                self.waiting.push_back(Announced::Kept(kept));
            } else {
                self.add_id(kept.caught.id);
            }
        }
        self.bytes += if has_room { bytes } else { 0 };
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

    fn add_kept(&self, batch: &Batch, is_shown: impl Fn(&Kept) -> bool) {
        self.add(|queue| queue.add_kept(batch, is_shown));
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

impl Keeper for Announcer {
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        let (announcements, forwards) = (Arc::clone(&self.announcements), self.forwards);
        let announced = move |result: Result<Batch, _>| {
            if let Ok(batch) = &result {
                let unanswered = |capture: &Capture| {
                    forwards && !capture.malformed && capture.response.status.is_none()
                };
                announcements.add_kept(batch, |kept| !unanswered(&kept.caught.capture));
            }
            done(result);
        };
        self.keeper.keep(captures, Box::new(announced));
    }

    fn amend(&self, id: i64, answer: CapturedResponse, done: Done<()>) {
        if !self.forwards {
            // It was shown when it was kept.
            return self.keeper.amend(id, answer, done);
        }
        let announcements = Arc::clone(&self.announcements);
        let announced = move |result: Result<(), _>| {
            // Shown even if it could not be amended: it was caught.
            announcements.add_id(id);
            done(result);
        };
        self.keeper.amend(id, answer, Box::new(announced));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMs;

    /// Captures with these ids that were kept together.
    fn batch(ids: &[i64], body: usize) -> Batch {
        let kept = ids.iter().map(|id| {
            let capture = Capture::new(
                UnixMs(0),
                ([127, 0, 0, 1], 1).into(),
                b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            );
            Kept::new(
                *id,
                "inbox",
                None,
                capture,
                Body {
                    bytes: vec![0; body],
                    wire: None,
                },
            )
        });
        Arc::new(kept.collect())
    }

    fn at_hand(batch: &Batch, at: usize) -> Announced {
        Announced::Kept(SharedCapture::at(batch, at).unwrap())
    }

    #[test]
    fn beyond_a_bound_only_ids_wait_and_the_order_stays() {
        let announcements = Announcements::default();
        let large = WAITING_BYTES / 3;
        let [first, second, small] = [
            batch(&[1, 2], large),
            batch(&[3, 4], large),
            batch(&[10], 1),
        ];
        announcements.add_kept(&first, |_| true);
        announcements.add_kept(&second, |_| true);
        announcements.add_id(5);
        announcements.add_id(20);
        announcements.add_kept(&small, |_| true);
        let expected = [
            at_hand(&first, 0),
            at_hand(&first, 1),
            Announced::Ids(3..=5),
            Announced::Ids(20..=20),
            at_hand(&small, 0),
        ];
        assert_eq!(announcements.take(Duration::ZERO), expected);
        announcements.add_kept(&second, |kept| kept.caught.id == 4);
        assert_eq!(
            announcements.take(Duration::ZERO),
            [at_hand(&second, 1)],
            "there is room again"
        );
        assert!(announcements.take(Duration::ZERO).is_empty());
    }

    #[test]
    fn a_small_capture_does_not_hold_the_large_ones_of_its_batch_uncounted() {
        let announcements = Announcements::default();
        let together = batch(&[1, 2, 3], WAITING_BYTES / 2);
        announcements.add_kept(&together, |kept| kept.caught.id == 1);
        assert_eq!(announcements.take(Duration::ZERO), [Announced::Ids(1..=1)]);
        assert_eq!(Arc::strong_count(&together), 1);
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
