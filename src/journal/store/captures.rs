//! Captures as the catcher and the readers of captures see them: kept before they are answered, read later.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::JournalError;
use crate::capture::{Body, Capture, CapturedResponse, Caught, EventName, INBOX};
use crate::time::UnixMs;

/// A capture that is committed, given back to whom it concerns, so that nobody has to copy it or to read it again.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The capture, with its id, its bin, and what event its body is.
    pub caught: Caught,
    /// Its body.
    pub body: Body,
    /// Why it was not kept after all, although the others of its batch were.
    pub refused: Option<Arc<JournalError>>,
}

impl Kept {
    /// About what a capture takes in memory beside its head and its body, in bytes.
    pub const OWN_BYTES: usize = 1024;

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let Body { bytes, wire } = &self.body;
        Kept::OWN_BYTES
            + self.caught.capture.head.len()
            + bytes.len()
            + wire.as_ref().map_or(0, Vec::len)
    }

    /// What was kept under this id, in this bin.
    pub fn new(id: i64, bin: &str, event: Option<EventName>, capture: Capture, body: Body) -> Kept {
        let body_size = body.bytes.len() as u64;
        Kept {
            caught: Caught {
                id,
                bin: bin.to_owned(),
                event,
                body_size,
                capture,
            },
            body,
            refused: None,
        }
    }
}

/// Why one was refused says nothing about the capture.
impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        self.caught == other.caught && self.body == other.body
    }
}

impl Eq for Kept {}

/// Captures that share a commit, in the order in which they were given. Those who are concerned hold them together: to take
/// them apart would cost more than to keep them.
pub type Batch = Arc<Vec<Kept>>;

/// One capture of a batch, all of which stays in memory as long as this does. Who keeps it for longer than a moment keeps a
/// copy of it alone: see [`SharedCapture::into_own`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedCapture {
    batch: Batch,
    at: usize,
}

impl SharedCapture {
    /// Each of a batch that was kept.
    pub fn each(batch: &Batch) -> impl Iterator<Item = SharedCapture> {
        (0..batch.len()).filter_map(|at| SharedCapture::at(batch, at))
    }

    /// The one at this place in a batch, if there is one and it was kept.
    pub fn at(batch: &Batch, at: usize) -> Option<SharedCapture> {
        batch.get(at)?.refused.is_none().then(|| SharedCapture {
            batch: Arc::clone(batch),
            at,
        })
    }

    /// The same without the others of its batch.
    pub fn into_own(self) -> SharedCapture {
        if self.batch.len() == 1 {
            self
        } else {
            Kept::clone(&self).into()
        }
    }
}

/// In a batch of its own.
impl From<Kept> for SharedCapture {
    fn from(kept: Kept) -> SharedCapture {
        SharedCapture {
            batch: Arc::new(vec![kept]),
            at: 0,
        }
    }
}

impl Deref for SharedCapture {
    type Target = Kept;

    fn deref(&self) -> &Kept {
        &self.batch[self.at]
    }
}

/// Called, on whatever thread, as soon as it is known what became of a write. Many writes may share one commit, and so
/// one failure.
pub type Done<T> = Box<dyn FnOnce(Result<T, Arc<JournalError>>) + Send>;

/// Keeps captures.
pub trait Keeper: Send + Sync {
    /// Keeps captures in the bins that their paths name; waits for nobody else. `done` is called, before this returns or
    /// later, when all of them are committed but those that are [`refused`](Kept::refused) each for a reason of its own, or
    /// none can be. What is not committed must not be acknowledged.
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>);

    /// Replaces the answer of a capture that is kept, where it was not known before; returns at once.
    fn amend(&self, id: i64, answer: CapturedResponse, done: Done<()>);
}

/// Keeps nothing itself: hands captures on, in their order, to whoever has the other end.
impl Keeper for Sender<(Capture, Body)> {
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        let sent = captures.into_iter().map(|(capture, body)| {
            self.send((capture.clone(), body.clone()))
                .map_err(|_| Arc::new(nobody_takes_them()))?;
            Ok(Kept::new(0, INBOX, None, capture, body))
        });
        done(sent.collect::<Result<_, _>>().map(Arc::new));
    }

    fn amend(&self, _: i64, _: CapturedResponse, done: Done<()>) {
        done(Ok(()));
    }
}

fn nobody_takes_them() -> JournalError {
    JournalError::Unusable {
        path: "memory".into(),
        problem: "takes no captures any more".to_owned(),
    }
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
