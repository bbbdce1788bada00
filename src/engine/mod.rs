//! The delivery engine: the only code that sends deliveries.
//!
//! A command builds a [`Source`] of deliveries (one new event, the lines of a batch, rows of the failed list, due rows)
//! and an [`RunObserver`] that prints, and calls [`Engine::run`]. Each delivery passes through the same steps: claim it in
//! the journal, send the request, record the outcome, and wait for the next attempt if the retry policy has one.
//!
//! What the engine guarantees:
//!
//! - A request is sent only after its claim is committed.
//! - A result is reported only after it is committed.
//! - A request is sent only under a lease with at least half of [`LEASE_GRACE`] left beyond the request's own deadline.
//! - When it stops early, everything it claimed is recorded as interrupted or is back on the schedule.
//!
//! That an unresponsive endpoint gets at most half of the workers is up to [`due`], which decides what to claim.
//!
//! Read `run.rs` for the state machine, [`due`] for the schedule, [`resend`] for how a delivery is sent again.

pub mod due;
pub mod due_source;
mod lookahead;
pub mod plan;
mod rate;
pub mod resend;
mod run;
mod summary;
#[cfg(test)]
mod tests;
mod window;
mod writer;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::delivery::switches::Switch;
use crate::delivery::{Delivery, Outcome};
use crate::http::{Client, Done, Pool, Request};
use crate::journal::{DeliveryVersion, Journal, JournalError, NewDelivery, Reply, Write};
use crate::time::Clock;

pub use plan::{RetryMode, SendPlan};
pub use rate::Rate;
pub use summary::{Summary, exit_of};
pub use writer::{InlineWriter, RETRY_PAUSE, WaitingRetry};

/// How long a lease lasts beyond the request or wait that it covers: time for the journal's lock and the disk.
pub const LEASE_GRACE: Duration = Duration::from_secs(60);

/// How soon Ctrl-C is noticed when nothing else happens.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

pub enum SourceItem {
    /// A new event. `line` identifies it until it has an id.
    New {
        delivery: NewDelivery,
        plan: Arc<SendPlan>,
        line: u64,
    },
    /// A new event that a webhook switch stops: it is recorded and not sent.
    Ignore {
        delivery: NewDelivery,
        by: Switch,
        line: u64,
    },
    /// A delivery of the failed list; skipped if it was sent since it was listed.
    Failed(DeliveryVersion),
    /// A delivery of the schedule; skipped if it was sent since it was listed.
    Due(DeliveryVersion),
    /// Nothing now. The source is asked again after each event, a [`Waker`] call too, and after this time.
    Later(Option<Duration>),
    /// An item that is not an event; the source has reported it.
    Invalid,
    /// An item that cannot be sent; the source has reported it.
    NotSendable,
    End,
}

/// The last contact with the endpoint when a delivery leaves the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    Responded,
    NoResponse,
    NotSent,
}

/// Yields the deliveries to send.
pub trait Source {
    /// The next item. Must not block, because the event loop calls it.
    fn next(&mut self) -> SourceItem;

    /// How to send a delivery that is in the journal, asked before each attempt except the first of a new event. `None`
    /// leaves the delivery as it is; the source has reported why.
    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>>;

    /// The engine is done with a [`SourceItem::Due`] delivery.
    fn released(&mut self, _id: i64, _contact: Contact) {}
}

#[derive(Debug)]
pub struct FinishedAttempt<'a> {
    /// Attempts so far: of this run, or under the policy if that spans runs.
    pub made: u32,
    pub allowed: u32,
    pub duration: Duration,
    pub outcome: &'a Outcome,
    pub next_in: Option<Duration>,
}

#[derive(Debug)]
pub enum Update<'a> {
    /// A request is about to be sent; `made` attempts were made before.
    Sending {
        delivery: &'a Delivery,
        made: u32,
    },
    Attempted(&'a Delivery, FinishedAttempt<'a>),
    /// The final state of a delivery for this run was recorded.
    Ended(&'a Delivery),
    /// Another process has sent, claimed or deleted the delivery since it was listed.
    Skipped(i64),
    /// Another process took the delivery over while this one was suspended.
    TakenOver(i64),
    /// The journal did not accept the event of this line, so it was not sent.
    NotAccepted(u64),
    /// The journal is locked or full and is retried; `None` once it works again.
    JournalBlocked(Option<&'a str>),
}

/// The state of a run while nothing happens.
#[derive(Clone, Copy, Debug)]
pub struct Idle<'a> {
    pub summary: &'a Summary,
    pub in_flight: usize,
    /// Deliveries that wait for their next attempt.
    pub waiting: usize,
    /// The time until the first of them is due.
    pub next_in: Option<Duration>,
}

/// Reports the run to the user.
pub trait RunObserver {
    fn observe(&self, update: Update<'_>);

    /// Called before the engine waits. Returns the time after which to call it again, if nothing happens before.
    fn idle(&self, idle: Idle<'_>) -> Option<Duration>;
}

/// Commits writes and replies to each; in the order of submission.
pub trait Writer {
    fn submit(&self, writes: Vec<(Write, Reply)>);
}

/// Sends requests at the same time; calls `done` for each exactly once.
pub trait Sender {
    fn begin(&self, client: Client, request: Request, done: Done);

    /// Ends the requests under way that an interrupt abandons.
    fn abandon_interrupted(&self);
}

impl Sender for Pool {
    fn begin(&self, client: Client, request: Request, done: Done) {
        Pool::begin(self, client, request, done);
    }

    fn abandon_interrupted(&self) {
        Pool::abandon_interrupted(self);
    }
}

#[derive(Clone, Copy, Debug)]
pub struct RunLimits {
    /// Requests at the same time.
    pub jobs: usize,
    pub rate: Option<Rate>,
    /// Deliveries to process at most.
    pub max: usize,
    /// Consecutive failures after which no more deliveries are taken.
    pub stop_after: usize,
    pub claims: Claims,
}

/// How many deliveries are claimed before a worker is free for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// Each delivery ends before the next one is claimed.
    OneByOne,
    /// One per worker: claimed deliveries are not available to other processes, and delay those that become due later.
    Few,
    /// As many as keep the workers busy while a group of claims is committed.
    Many,
}

impl RunLimits {
    pub fn new(jobs: usize, claims: Claims) -> RunLimits {
        RunLimits {
            jobs,
            rate: None,
            max: usize::MAX,
            stop_after: usize::MAX,
            claims,
        }
    }

    /// Requests handed to the senders at the same time. One more per worker waits there, so that a free worker need not
    /// wait for the engine, unless the time of sending matters.
    fn handed_over(&self) -> usize {
        if self.claims == Claims::Many && self.rate.is_none() {
            self.jobs * 2
        } else {
            self.jobs
        }
    }
}

/// The journal failed and the run ended early.
#[derive(Debug)]
pub struct Halted {
    pub source: Arc<JournalError>,
    /// Deliveries that were sent and whose outcome, in words, could not be recorded.
    pub unrecorded: Vec<(i64, String)>,
}

/// What the engine waits for: the end of a commit or a request, with what follows it on the engine's thread.
pub struct EngineEvent(Box<dyn FnOnce(&mut run::EventLoop<'_>) + Send>);

/// The queue of events from the writer, the senders and other threads.
pub struct Inbox {
    sender: mpsc::Sender<EngineEvent>,
    receiver: Receiver<EngineEvent>,
}

impl Default for Inbox {
    fn default() -> Inbox {
        let (sender, receiver) = mpsc::channel();
        Inbox { sender, receiver }
    }
}

impl Inbox {
    pub fn waker(&self) -> Waker {
        Waker(self.sender.clone())
    }
}

/// Makes the engine ask its source again, from any thread.
#[derive(Clone)]
pub struct Waker(mpsc::Sender<EngineEvent>);

impl Waker {
    pub fn wake(&self) {
        self.send(|_| {});
    }

    fn send(&self, then: impl FnOnce(&mut run::EventLoop<'_>) + Send + 'static) {
        // The run has ended if nothing receives it.
        let _ = self.0.send(EngineEvent(Box::new(then)));
    }
}

/// How the engine waits for an event; a test advances its clock instead.
pub trait Wait {
    fn receive(&self, events: &Receiver<EngineEvent>, timeout: Duration) -> Option<EngineEvent>;
}

pub struct RealTime;

impl Wait for RealTime {
    fn receive(&self, events: &Receiver<EngineEvent>, timeout: Duration) -> Option<EngineEvent> {
        events.recv_timeout(timeout).ok()
    }
}

pub struct Engine<'a> {
    /// For reading; writes go through `writer`.
    pub journal: &'a dyn Journal,
    pub writer: &'a dyn Writer,
    pub sender: &'a dyn Sender,
    pub clock: &'a dyn Clock,
    pub wait: &'a dyn Wait,
    /// A number from 0 to 1, for the jitter of retry schedules.
    pub random: &'a dyn Fn() -> f64,
    pub limits: RunLimits,
}

impl Engine<'_> {
    /// Sends what `source` yields until it ends, the user interrupts, or the journal fails ([`Summary::halted`]).
    pub fn run(
        &self,
        inbox: Inbox,
        source: &mut dyn Source,
        observer: &dyn RunObserver,
    ) -> Summary {
        run::EventLoop::new(self, inbox.sender, source, observer).run(&inbox.receiver)
    }
}
