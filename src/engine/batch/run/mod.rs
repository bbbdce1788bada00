//! One run of the engine: where each delivery is on its way, and what moves it on.
//!
//! A delivery is in one place at a time: its intent is being committed, it is ready to be sent, on the wire, its outcome is
//! being committed, or it waits for its next attempt.
//!
//! Invariant: only what the journal said is committed becomes ready, only what is ready and surely leased is sent, and only
//! what is recorded is told.

mod leases;
mod stopping;
mod taking;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use super::due::{DueQueue, Waiting};
use super::rate::Bucket;
use super::window::{MOST, Window};
use super::{CrewShipment, Engine, Event, Gauge, Halted, News, What, Work};
use crate::delivery::{Delivery, ErrorKind, Outcome};
use crate::engine::deliver::{Attempted, LEASE_GRACE, NextBy, event_request, settle};
use crate::http::transport::{Answer, judge};
use crate::journal::store::{Begun, Done, Ended, Intent, JournalError, Next, Turn};
use crate::time::{UnixMs, duration_ms};

/// A lease is renewed when this much of it is over, and nothing is sent under one that is older.
const RENEW_AFTER: Duration = LEASE_GRACE.checked_div(2).expect("two is not zero");

/// Documents in memory, however many deliveries there is room for otherwise.
const BYTES: usize = 32 * 1024 * 1024;

/// The most that wait for another attempt while new ones are taken. So many would take a test too long.
pub const WAITING: usize = if cfg!(test) { 1_000 } else { 1_000_000 };

/// Events that are handled before the wire is looked after again.
const EVENTS_AT_ONCE: usize = 256;

/// So often it is said how it stands, even if something is always to be done.
const ROUNDS_UNTIL_PAUSE: u64 = 16;

/// Deliveries that turn out not to be sent before the wire is looked after again: each may take a commit of its own.
const UNSENT_AT_ONCE: usize = 16;

/// Deliveries given up in one entry of the journal.
const GIVEN_UP_AT_ONCE: usize = 500;

/// An intent that is being committed.
enum Intended {
    New {
        event: Arc<[u8]>,
        shipment: CrewShipment,
        mark: u64,
        at: UnixMs,
    },
    Again(Parcel),
}

/// A delivery whose next attempt is written down.
struct Parcel {
    delivery: Box<Delivery>,
    /// By which right it was begun.
    turn: Turn,
    event: Arc<[u8]>,
    shipment: CrewShipment,
    /// Attempts before this one: of this run, or of all where its rule is kept to.
    made: u32,
    leased_at: UnixMs,
}

/// A request that the crew has.
struct Flight {
    delivery: Box<Delivery>,
    shipment: CrewShipment,
    made: u32,
    bytes: usize,
    given_at: UnixMs,
}

/// An outcome that is being committed.
struct Landing {
    delivery: Box<Delivery>,
    /// Attempts of this run, this one included, and the most that there may be; none if its request did not leave.
    attempts: Option<(u32, u32)>,
    duration: Duration,
    outcome: Arc<Outcome>,
    next: Next,
    ended_at: UnixMs,
    /// The same in the time that the clock has run.
    elapsed: Duration,
    interval: Duration,
}

/// One run.
pub struct Run<'r> {
    engine: &'r Engine<'r>,
    mail: Sender<Event>,
    work: &'r mut dyn Work,
    newest: u64,
    committing: HashMap<u64, Intended>,
    ready: VecDeque<Parcel>,
    on_wire: HashMap<u64, Flight>,
    landing: HashMap<u64, Landing>,
    waiting: DueQueue,
    /// Entries about deliveries that are given up or ignored.
    others: usize,
    bytes: usize,
    window: Window,
    /// The longest time that a request has of all that were begun so far.
    slowest: Duration,
    bucket: Option<Bucket>,
    /// When the next one may leave, if the rate is what holds it up.
    free_at: Option<UnixMs>,
    renewing: bool,
    has_more: bool,
    stopping: bool,
    halted: Option<Arc<JournalError>>,
    unrecorded: Vec<(i64, String)>,
}

impl<'r> Run<'r> {
    /// A run that has done nothing yet.
    pub fn new(engine: &'r Engine<'r>, mail: Sender<Event>, work: &'r mut dyn Work) -> Run<'r> {
        Run {
            engine,
            mail,
            work,
            newest: 0,
            committing: HashMap::new(),
            ready: VecDeque::new(),
            on_wire: HashMap::new(),
            landing: HashMap::new(),
            waiting: DueQueue::default(),
            others: 0,
            bytes: 0,
            window: Window::new(engine.pace.jobs, engine.pace.far_ahead),
            slowest: Duration::ZERO,
            bucket: engine.pace.rate.map(Bucket::new),
            free_at: None,
            renewing: false,
            has_more: true,
            stopping: false,
            halted: None,
            unrecorded: Vec::new(),
        }
    }

    /// Does what there is to do, then waits for what happens next.
    pub fn go(mut self, events: &Receiver<Event>) -> Result<(), Halted> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            events
                .try_iter()
                .take(EVENTS_AT_ONCE)
                .for_each(|event| self.handle(event.0));
            if self.stopping || self.engine.clock.interrupted() {
                self.stop();
            }
            self.keep_leases();
            let comes_back = self.take_work();
            self.dispatch();
            if self.is_idle() && (self.stopping || !self.has_more) {
                break;
            }
            let mut next = events.try_recv().ok();
            if next.is_none() || rounds % ROUNDS_UNTIL_PAUSE == 0 {
                let until = self.pause();
                let until = if comes_back {
                    Some(Duration::ZERO)
                } else {
                    until
                };
                next = next.or_else(|| self.engine.patience.receive(events, until));
            }
            next.into_iter().for_each(|event| self.handle(event.0));
        }
        match self.halted {
            Some(source) => Err(Halted {
                source,
                unrecorded: self.unrecorded,
            }),
            None => Ok(()),
        }
    }

    /// Says how it stands; gives the time for which nothing is to be done.
    fn pause(&mut self) -> Option<Duration> {
        let elapsed = self.elapsed();
        let next_in = self
            .waiting
            .next_due()
            .map(|due| due.saturating_sub(elapsed));
        let pause = self.work.pause(&Gauge {
            waiting: self.waiting.len(),
            next_in,
        });
        [pause, self.next_deed()].into_iter().flatten().min()
    }

    fn now(&self) -> UnixMs {
        self.engine.clock.now()
    }

    /// For what must not be held up by somebody who sets the clock.
    fn elapsed(&self) -> Duration {
        self.engine.clock.elapsed()
    }

    /// The longest that a request takes once the crew has it: the one before it, for whatever endpoint, may take all of its
    /// time, and was begun earlier.
    fn longest(&self, shipment: &CrewShipment) -> Duration {
        shipment.timeout.saturating_add(self.slowest)
    }

    /// Whether nothing at all is under way.
    fn is_idle(&self) -> bool {
        let under_way =
            self.committing.len() + self.ready.len() + self.on_wire.len() + self.landing.len();
        under_way + self.waiting.len() + self.others == 0
    }

    /// How long it is until there is something to do even if nothing happens.
    fn next_deed(&self) -> Option<Duration> {
        if self.stopping {
            return None;
        }
        let (now, elapsed) = (self.now(), self.elapsed());
        let due = self
            .waiting
            .next_due()
            .filter(|due| *due > elapsed)
            .map(|due| due - elapsed);
        let renewal = if self.renewing {
            None
        } else {
            self.next_renewal()
        };
        let at = self.free_at.into_iter().chain(renewal).min();
        [at.map(|at| at.since(now)), due]
            .into_iter()
            .flatten()
            .min()
    }

    fn next_key(&mut self) -> u64 {
        self.newest += 1;
        self.newest
    }

    /// Tells the engine what came of an entry.
    fn done<T: Send + 'static>(
        &self,
        what: impl FnOnce(Result<T, Arc<JournalError>>) -> What + Send + 'static,
    ) -> Done<T> {
        let mail = self.mail.clone();
        // The other end is there until all has been told.
        Box::new(move |result| drop(mail.send(Event(what(result)))))
    }

    /// Puts on the wire what may go there.
    fn dispatch(&mut self) {
        self.free_at = None;
        while !self.stopping && self.on_wire.len() < self.engine.pace.at_hand() {
            let now = self.now();
            let Some(first) = self.ready.front() else {
                let held_up = self
                    .bucket
                    .as_ref()
                    .is_some_and(|bucket| bucket.free_at(now).is_some());
                if !self.committing.is_empty() && !held_up {
                    self.window.starve();
                }
                return;
            };
            // It may be another process's by now, until a renewal says that it is not.
            if first.leased_at.plus(RENEW_AFTER) <= now {
                return;
            }
            if let Some(Err(free_at)) = self.bucket.as_mut().map(|bucket| bucket.take(now)) {
                self.free_at = Some(free_at);
                return;
            }
            if let Some(parcel) = self.ready.pop_front() {
                self.send(parcel, now);
            }
        }
    }

    fn send(&mut self, parcel: Parcel, now: UnixMs) {
        let Parcel {
            delivery,
            event,
            shipment,
            made,
            leased_at,
            ..
        } = parcel;
        self.window.sent(now.since(leased_at));
        self.work.told(News::Sending {
            delivery: &delivery,
            made,
        });
        let key = self.next_key();
        let request = event_request(&delivery.uuid, &event, &shipment);
        let crew = Rc::clone(&shipment.transport);
        let made = made.saturating_add(1);
        self.on_wire.insert(
            key,
            Flight {
                delivery,
                shipment,
                made,
                bytes: event.len(),
                given_at: now,
            },
        );
        let mail = self.mail.clone();
        // The other end is there until all has been told.
        crew.begin(
            request,
            Box::new(move |answer| drop(mail.send(Event(What::Answered(key, answer))))),
        );
    }

    fn handle(&mut self, what: What) {
        match what {
            What::Accepted(key, result) => self.accepted(key, result),
            What::Begun(key, result) => self.begun(key, result),
            What::Answered(key, answer) => self.answered(key, answer),
            What::Recorded(key, result) => self.recorded(key, result),
            What::Ignored(mark, result) => {
                self.others -= 1;
                match result {
                    Ok(delivery) => self.work.told(News::Ignored(&delivery)),
                    Err(e) => self.not_taken(mark, e),
                }
            }
            What::GivenUp(ids, result) => {
                self.others -= 1;
                match result {
                    Ok(()) => ids.into_iter().for_each(|id| self.tell_end(id)),
                    Err(e) => self.halt(e),
                }
            }
            What::PutBack(result) => {
                self.others -= 1;
                result.unwrap_or_else(|e| self.halt(e));
            }
            What::Renewed(renewal, result) => {
                self.renewing = false;
                match result {
                    Ok(mine) => self.renewed(&renewal, &mine.into_iter().collect()),
                    Err(e) => self.halt(e),
                }
            }
            What::Rung => {}
        }
    }

    fn accepted(&mut self, key: u64, result: Result<Box<Delivery>, Arc<JournalError>>) {
        let Some(Intended::New {
            event,
            shipment,
            mark,
            at,
        }) = self.committing.remove(&key)
        else {
            return;
        };
        self.window.committed();
        match result {
            Ok(delivery) => {
                self.ready.push_back(Parcel {
                    delivery,
                    turn: Turn::Mine,
                    event,
                    shipment,
                    made: 0,
                    leased_at: at,
                });
            }
            Err(e) => {
                self.bytes -= event.len();
                self.not_taken(mark, e);
            }
        }
    }

    fn not_taken(&mut self, mark: u64, error: Arc<JournalError>) {
        self.work.told(News::NotTaken(mark));
        self.halt(error);
    }

    fn begun(&mut self, key: u64, result: Result<Begun, Arc<JournalError>>) {
        let Some(Intended::Again(mut parcel)) = self.committing.remove(&key) else {
            return;
        };
        self.window.committed();
        match result {
            Ok(Begun::Attempt(number)) => {
                parcel.delivery.attempt_count = number;
                self.ready.push_back(parcel);
                return;
            }
            Ok(Begun::Taken) => self.taken(parcel.turn, parcel.delivery.id),
            Err(e) => self.halt(e),
        }
        self.bytes -= parcel.event.len();
    }

    fn answered(&mut self, key: u64, answer: Answer) {
        let Some(flight) = self.on_wire.remove(&key) else {
            return;
        };
        let Flight {
            delivery,
            shipment,
            made,
            bytes,
            given_at,
        } = flight;
        self.bytes -= bytes;
        let Answer { duration, result } = answer;
        // It may have waited for a sender.
        let left_at = given_at.max(UnixMs(self.now().0.saturating_sub(duration_ms(duration))));
        let outcome = Arc::new(judge(&shipment.rule, result));
        let interval = shipment.rule.interval;
        let due = self.now().plus(interval);
        let next = match (&outcome.error, shipment.next) {
            (None, _) => Next::Delivered,
            (Some(_), NextBy::Waiting) if self.stopping || self.engine.clock.interrupted() => {
                Next::Interrupted
            }
            // What the endpoint said counts, whoever wants this process to end.
            (Some(error), NextBy::Schedule) if error.kind == ErrorKind::Interrupted => {
                Next::Interrupted
            }
            (Some(_), _) if made >= shipment.rule.attempts() => Next::Failed,
            (Some(_), NextBy::Schedule) => Next::Scheduled { due },
            (Some(_), NextBy::Waiting) => Next::RetryAt {
                due,
                lease_until: due.plus(LEASE_GRACE),
            },
        };
        let attempts = Some((made, shipment.rule.attempts()));
        let (ended_at, elapsed) = (left_at.plus(duration), self.elapsed());
        self.land(
            Landing {
                delivery,
                attempts,
                duration,
                outcome,
                next,
                ended_at,
                elapsed,
                interval,
            },
            Some(left_at),
        );
    }

    fn land(&mut self, landing: Landing, left_at: Option<UnixMs>) {
        let key = self.next_key();
        let (id, number) = (landing.delivery.id, landing.delivery.attempt_count);
        let (duration, next, outcome) =
            (landing.duration, landing.next, Arc::clone(&landing.outcome));
        let ended = Ended {
            id,
            number,
            left_at,
            duration,
            outcome,
            next,
        };
        self.engine.ledger.finish(
            ended,
            self.done(move |recorded| What::Recorded(key, recorded)),
        );
        self.landing.insert(key, landing);
    }

    fn recorded(&mut self, key: u64, result: Result<(), Arc<JournalError>>) {
        let Some(landing) = self.landing.remove(&key) else {
            return;
        };
        let Landing {
            mut delivery,
            attempts,
            duration,
            outcome,
            next,
            ended_at,
            elapsed,
            interval,
        } = landing;
        if let Err(e) = result {
            if attempts.is_some() {
                let came_of_it = outcome
                    .error
                    .as_ref()
                    .map_or("delivered", |error| &error.message)
                    .to_owned();
                self.unrecorded.push((delivery.id, came_of_it));
            }
            return self.halt(e);
        }
        settle(&mut delivery, &outcome, next, ended_at);
        if let Some((made, allowed)) = attempts {
            let next_in = delivery.next_attempt_at.map(|_| interval);
            let attempted = Attempted {
                made,
                allowed,
                duration,
                outcome: &outcome,
                next_in,
            };
            self.work.told(News::Attempted(&delivery, attempted));
        }
        match (next, attempts) {
            (Next::RetryAt { lease_until, .. }, Some((made, _))) => {
                let due = elapsed.saturating_add(interval);
                self.waiting.push(Waiting {
                    due,
                    id: delivery.id,
                    made,
                    lease_until,
                });
            }
            _ => self.work.told(News::Ended(&delivery)),
        }
    }

    /// The journal cannot be used: nothing more is sent.
    fn halt(&mut self, error: Arc<JournalError>) {
        self.stopping = true;
        self.halted.get_or_insert(error);
    }
}
