//! Sending many deliveries at once: written down together, so many on the wire, and each tried again when it is due.
//!
//! The order is the one of a single delivery: no request leaves before its attempt is committed, and nothing is told before
//! its outcome is. What is new is that nobody waits for the other: intents are committed some way ahead of the senders,
//! outcomes behind them, and a delivery that waits for its next attempt is a line in a queue, not a thread.
//!
//! Prints nothing, reads no input and knows neither SQL nor HTTP: the [`Work`] says what is to be sent and is told what
//! came of it. All of it happens on the caller's thread, which waits for one thing only, the next [`Event`]. Memory does
//! not grow with the length of the work, only with the number of deliveries that wait for another attempt, a few bytes
//! each, up to a limit.

mod due;
mod run;
mod tally;
mod window;

pub mod rate;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::delivery::Delivery;
use crate::delivery::switches::Switch;
use crate::engine::deliver::{Attempted, Shipment};
use crate::http::transport::{Answer, Crew};
use crate::journal::store::{Begun, Deliveries, JournalError, Ledger, Seen};
use crate::time::{Clock, UnixMs};

use rate::Rate;
use run::Run;
pub use tally::Latencies;

/// A shipment by a crew, for as many deliveries as go the same way.
pub type CrewShipment = Rc<Shipment<dyn Crew>>;

/// What is to be sent next.
pub enum Task {
    /// A new delivery, as [`crate::journal::store::NewDelivery::accepted`] makes it.
    Fire {
        /// The delivery, without its ids.
        delivery: Box<Delivery>,
        /// Its document.
        event: Arc<[u8]>,
        /// How it is sent.
        shipment: CrewShipment,
        /// By what the caller knows it until it has an id.
        mark: u64,
    },
    /// A new delivery that a switch keeps from being sent: it is only written down.
    Ignore {
        /// The delivery, without its ids.
        delivery: Box<Delivery>,
        /// Its document.
        event: Arc<[u8]>,
        /// The switch.
        by: Switch,
        /// By what the caller knows it until it has an id.
        mark: u64,
    },
    /// A delivery of the failed list, unless somebody tried it since it was seen.
    Resend(Seen),
    /// A delivery of the schedule, unless somebody tried it since it was seen.
    Due(Seen),
    /// Nothing at the moment. It is asked again when a [`Bell`] was rung, when something else happened, and at the latest
    /// after a moment.
    Later,
    /// Nothing any more.
    End,
}

/// What is told while the work is done.
#[derive(Debug)]
pub enum News<'a> {
    /// A delivery was written down as ignored.
    Ignored(&'a Delivery),
    /// A request is about to leave; `made` attempts of this run were made before.
    Sending {
        /// The delivery.
        delivery: &'a Delivery,
        /// Attempts of this run so far.
        made: u32,
    },
    /// An attempt ended and is written down.
    Attempted(&'a Delivery, Attempted<'a>),
    /// A delivery was delivered, has failed, was given up, or was left to the schedule, and that is written down.
    Ended(&'a Delivery),
    /// A delivery was not sent: another process has it, or dealt with it since it was seen.
    Skipped(i64),
    /// A delivery's next attempt is another process's, which has taken it over.
    TakenOver(i64),
    /// The journal did not take the delivery of this mark, so that nothing of it was sent.
    NotTaken(u64),
}

/// How the work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Deliveries that wait for their next attempt.
    pub waiting: usize,
    /// How long it is until the first of them is due.
    pub next_in: Option<Duration>,
}

/// What there is to send, and who is told about it.
pub trait Work {
    /// What is to be sent next. Asked only when there is room for it; it must not block.
    fn next(&mut self) -> Task;

    /// How a delivery that is in the journal already is sent; none, which the work has told, leaves it to the failed list, or
    /// one of the schedule where it is.
    /// Asked before each attempt but the first of a new delivery.
    fn shipment(&mut self, delivery: &Delivery) -> Option<CrewShipment>;

    /// What has happened.
    fn told(&mut self, news: News<'_>);

    /// Nothing is to be done until something happens: the time to show how it stands. Called again after the time that is
    /// given, if one is.
    fn pause(&mut self, gauge: &Gauge) -> Option<Duration>;
}

/// How fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The most requests on the wire at once.
    pub jobs: usize,
    /// The most attempts in a time.
    pub rate: Option<Rate>,
    /// Whether each delivery is to end before the next begins.
    pub in_turn: bool,
    /// Whether deliveries may be begun far ahead of the senders, for the sake of speed. Whatever is begun is nobody else's, and
    /// comes before all that becomes due later.
    pub far_ahead: bool,
}

impl Pace {
    /// The most requests that the crew has at once: so many more wait there that a sender which gets free need not wait for
    /// the next one. Where it matters when each leaves, none does.
    fn at_hand(self) -> usize {
        if self.in_turn || !self.far_ahead || self.rate.is_some() {
            self.jobs
        } else {
            self.jobs * 2
        }
    }
}

/// Why the work ended early: the journal could not be written.
#[derive(Debug)]
pub struct Halted {
    /// Why.
    pub source: Arc<JournalError>,
    /// What was sent although the journal could not take what came of it: the delivery, and that in words.
    pub unrecorded: Vec<(i64, String)>,
}

/// What the engine waits for.
pub struct Event(What);

enum What {
    Accepted(u64, Result<Box<Delivery>, Arc<JournalError>>),
    Ignored(u64, Result<Box<Delivery>, Arc<JournalError>>),
    Begun(u64, Result<Begun, Arc<JournalError>>),
    Answered(u64, Answer),
    Recorded(u64, Result<(), Arc<JournalError>>),
    GivenUp(Vec<i64>, Result<(), Arc<JournalError>>),
    PutBack(Result<(), Arc<JournalError>>),
    Renewed(Renewal, Result<Vec<i64>, Arc<JournalError>>),
    Rung,
}

/// Leases that were asked to last longer.
struct Renewal {
    ids: Vec<i64>,
    at: UnixMs,
    until: UnixMs,
}

/// Where events arrive.
pub struct Mail {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Default for Mail {
    fn default() -> Mail {
        let (sender, receiver) = mpsc::channel();
        Mail { sender, receiver }
    }
}

impl Mail {
    /// Rung from another thread when there is something to send again.
    pub fn bell(&self) -> Bell {
        Bell(self.sender.clone())
    }
}

/// Has the engine ask for work.
#[derive(Clone)]
pub struct Bell(Sender<Event>);

impl Bell {
    /// Says that there is something.
    pub fn ring(&self) {
        // Nobody listens any more: the work has ended.
        let _ = self.0.send(Event(What::Rung));
    }
}

/// How the engine waits: for real, or as a test has it.
pub trait Patience {
    /// The next event; none when so long a time has passed, or a moment.
    fn receive(&self, events: &Receiver<Event>, time: Option<Duration>) -> Option<Event>;
}

/// How soon Ctrl-C is noticed when nothing happens.
const INTERRUPT_GRAIN: Duration = Duration::from_millis(50);

/// Waits for real.
pub struct Blocking;

impl Patience for Blocking {
    fn receive(&self, events: &Receiver<Event>, time: Option<Duration>) -> Option<Event> {
        events
            .recv_timeout(time.unwrap_or(INTERRUPT_GRAIN).min(INTERRUPT_GRAIN))
            .ok()
    }
}

/// Sends many.
pub struct Engine<'a> {
    /// Where deliveries are read.
    pub store: &'a dyn Deliveries,
    /// Where all is written down.
    pub ledger: &'a dyn Ledger,
    /// Time, and the user's wish to stop.
    pub clock: &'a dyn Clock,
    /// How it waits.
    pub patience: &'a dyn Patience,
    /// How fast.
    pub pace: Pace,
}

impl Engine<'_> {
    /// Does the work to its end, or until the user interrupts: then nothing is left pending but for what is scheduled, and
    /// [`Clock::interrupted`] says so.
    ///
    /// # Errors
    /// [`Halted`]; nothing was sent from then on.
    pub fn run(&self, mail: Mail, work: &mut dyn Work) -> Result<(), Halted> {
        let Mail { sender, receiver } = mail;
        Run::new(self, sender, work).go(&receiver)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
