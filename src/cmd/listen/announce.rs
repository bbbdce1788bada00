//! From the keeper to the screen: which captures are this listener's own, and when each can be shown.
//!
//! Deliberately passes on ids alone: what they are of is in the journal by then, so that a slow reader of stdout costs a few
//! bytes a capture, and holds up nobody.
//!
//! Invariant: an id is passed on once, after its capture is committed and its answer known.

use std::sync::mpsc::Sender;

use crate::capture::{Answer, Body, Capture};
use crate::journal::CaptureKeeper;
use crate::store::{Done, Keeper, Kept};

/// Keeps captures in the journal, and passes on their ids.
pub struct Announcer {
    keeper: CaptureKeeper,
    ids: Sender<i64>,
    /// Answers come from elsewhere, and are known only after the capture is kept.
    forwards: bool,
}

impl Announcer {
    /// Passes on to `ids` what `keeper` keeps.
    pub fn new(keeper: CaptureKeeper, ids: Sender<i64>, forwards: bool) -> Announcer {
        Announcer { keeper, ids, forwards }
    }
}

impl Keeper for Announcer {
    fn keep(&self, capture: Capture, body: Body, done: Done<Kept>) {
        let unanswered = self.forwards && !capture.malformed && capture.answer.status.is_none();
        let ids = self.ids.clone();
        let announced = move |result: Result<Kept, _>| {
            if let (Ok(kept), false) = (&result, unanswered) {
                // Nobody listens any more when the program is ending.
                let _ = ids.send(kept.id);
            }
            done(result);
        };
        self.keeper.keep(capture, body, Box::new(announced));
    }

    fn amend(&self, id: i64, answer: Answer, done: Done<()>) {
        let ids = self.ids.clone();
        let announced = move |result: Result<(), _>| {
            // Shown even if it could not be amended: it was caught.
            let _ = ids.send(id);
            done(result);
        };
        self.keeper.amend(id, answer, Box::new(announced));
    }
}
