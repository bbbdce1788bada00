//! Captures as the catcher and the readers of captures see them: kept before they are answered, read later.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::StoreError;
use crate::capture::{Answer, Body, Capture, Caught, EventName, INBOX};
use crate::time::UnixMs;

/// A capture that is committed, given back to whom it concerns, so that nobody has to copy it or to read it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The capture, with its id, its bin, and what event its body is.
    pub caught: Caught,
    /// Its body.
    pub body: Body,
}

impl Kept {
    /// What was kept under this id, in this bin.
    pub fn new(id: i64, bin: &str, event: Option<EventName>, capture: Capture, body: Body) -> Kept {
        let body_size = body.bytes.len() as u64;
        Kept { caught: Caught { id, bin: bin.to_owned(), event, body_size, capture }, body }
    }
}

/// Called, on whatever thread, as soon as it is known what became of a write. Many writes may share one commit, and so
/// one failure.
pub type Done<T> = Box<dyn FnOnce(Result<T, Arc<StoreError>>) + Send>;

/// Keeps captures.
pub trait Keeper: Send + Sync {
    /// Keeps a capture in the bin that its path names; returns at once. `done` is called when it is committed, or cannot
    /// be: then it must not be acknowledged.
    fn keep(&self, capture: Capture, body: Body, done: Done<Arc<Kept>>);

    /// Replaces the answer of a capture that is kept, where it was not known before; returns at once.
    fn amend(&self, id: i64, answer: Answer, done: Done<()>);
}

/// Keeps nothing itself: hands captures on, in their order, to whoever has the other end.
impl Keeper for Sender<(Capture, Body)> {
    fn keep(&self, capture: Capture, body: Body, done: Done<Arc<Kept>>) {
        let sent = self.send((capture.clone(), body.clone()));
        let kept = sent.map(|()| Arc::new(Kept::new(0, INBOX, None, capture, body)));
        done(kept.map_err(|_| Arc::new(nobody_takes_them())));
    }

    fn amend(&self, _: i64, _: Answer, done: Done<()>) {
        done(Ok(()));
    }
}

fn nobody_takes_them() -> StoreError {
    StoreError::Unusable { path: "memory".into(), problem: "takes no captures any more".to_owned() }
}

/// Which captures, the newest or the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureQuery {
    /// In this bin.
    pub bin: Option<String>,
    /// With this method, in whatever case.
    pub method: Option<String>,
    /// With an event of this type as body.
    pub event_type: Option<String>,
    /// With an event of this action as body.
    pub action: Option<String>,
    /// Received at or after this time.
    pub since: Option<UnixMs>,
    /// With a greater id.
    pub after: Option<i64>,
    /// With a smaller id.
    pub before: Option<i64>,
    /// The order of ids.
    pub order: Order,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Of two captures, which comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The one with the smaller id.
    #[default]
    OldestFirst,
    /// The one with the greater id.
    NewestFirst,
}
