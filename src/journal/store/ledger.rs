//! The journal as those see it who send many at once: what they submit is committed together.
//!
//! Each method returns at once; what became of an entry is told when its commit is durable, or failed. Entries are
//! committed in the order in which they were submitted.

use std::sync::Arc;
use std::time::Duration;

use super::{Begun, Done, JournalError, NewAttempt, Next, Slot, Turn};
use crate::delivery::switches::Switch;
use crate::delivery::{Delivery, Outcome};
use crate::time::UnixMs;

/// An attempt about to begin, as [`NewAttempt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Now: the request leaves at some time after this is committed.
    pub started_at: UnixMs,
    /// Whether certificates go unchecked.
    pub insecure: bool,
    /// Where it goes, masked, if not to the delivery's own URL.
    pub sent_to: Option<String>,
    /// Until when the lease holds without another sign of life.
    pub lease_until: UnixMs,
}

impl Intent {
    /// The same, borrowed.
    pub fn as_attempt(&self) -> NewAttempt<'_> {
        let Intent {
            started_at,
            insecure,
            ref sent_to,
            lease_until,
        } = *self;
        NewAttempt {
            started_at,
            insecure,
            sent_to: sent_to.as_deref(),
            lease_until,
        }
    }
}

/// An attempt that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The delivery.
    pub id: i64,
    /// The attempt.
    pub number: u32,
    /// When its request left, if that was later than it was written down.
    pub left_at: Option<UnixMs>,
    /// How long it took.
    pub duration: Duration,
    /// What it came to.
    pub outcome: Arc<Outcome>,
    /// What follows.
    pub next: Next,
}

/// A journal that takes many entries at once.
///
/// Once it could not commit an entry, it takes no other that a request would follow: what was accepted is then a beginning
/// of what was submitted, without a gap. What came of requests it still tries to record.
pub trait Ledger {
    /// As [`super::Store::accept`]. The delivery comes back with its ids.
    fn accept(
        &self,
        delivery: Box<Delivery>,
        event: Arc<[u8]>,
        attempt: Intent,
        done: Done<Box<Delivery>>,
    );

    /// As [`super::Store::ignore`]. The delivery comes back with its ids.
    fn ignore(
        &self,
        delivery: Box<Delivery>,
        event: Arc<[u8]>,
        by: Switch,
        done: Done<Box<Delivery>>,
    );

    /// As [`super::Store::begin_attempt`].
    fn begin(&self, id: i64, turn: Turn, attempt: Intent, done: Done<Begun>);

    /// As [`super::Store::finish_attempt`].
    fn finish(&self, ended: Ended, done: Done<()>);

    /// As [`super::Store::interrupt`], for many.
    fn interrupt(&self, ids: Vec<i64>, done: Done<()>);

    /// Takes back an attempt whose request has not left and will not: the delivery has its place on the schedule again, as if
    /// nobody had begun it. Changes nothing where it is another process's by now.
    fn put_back(&self, id: i64, number: u32, slot: Slot, done: Done<()>);

    /// Has the leases of these last until then; gives those of them that are still this process's to lease.
    fn renew(&self, ids: Vec<i64>, until: UnixMs, done: Done<Vec<i64>>);
}

/// What comes of a commit that failed for a reason that may pass.
pub trait Endurance: Send {
    /// Waits for a while; whether the commit is to be tried again.
    fn endures(&mut self, error: &JournalError) -> bool;

    /// A commit works.
    fn over(&mut self);
}
