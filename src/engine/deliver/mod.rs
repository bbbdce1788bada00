//! Delivering one event: write down, send, write the outcome down, wait, again.
//!
//! The order is the promise: no request leaves before its attempt is committed, and nothing counts as delivered before an
//! endpoint said so. Prints nothing and knows neither SQL nor HTTP; an [`Observer`] is told what happens.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Resolved;
use crate::delivery::{AttemptError, Delivery, ErrorKind, LastError, Outcome, Status};
use crate::event::BodyFormat;
use crate::http::transport::{Answer, Request, Transport, judge};
use crate::journal::store::{Begun, JournalError, NewAttempt, NewDelivery, Next, Store, Turn};
use crate::time::{Clock, UnixMs, Woken};

/// How long a lease outlives the longest that an attempt or a wait may take: time for the journal's lock and the disk.
pub const LEASE_GRACE: Duration = Duration::from_secs(60);
/// How often a countdown is told.
const COUNTDOWN_GRAIN: Duration = Duration::from_secs(1);

/// All that sending one delivery takes; `T` is a [`Transport`], or the crew that sends many.
pub struct Shipment<T: ?Sized = dyn Transport> {
    /// What sends.
    pub transport: Rc<T>,
    /// Where to, with every secret in place.
    pub resolved: Arc<Resolved>,
    /// How the request carries the event.
    pub wire: BodyFormat,
    /// By which rule.
    pub rule: RetryPolicy,
    /// Whether certificates go unchecked.
    pub insecure: bool,
    /// Where it goes, masked, if not to the delivery's own URL.
    pub sent_to: Option<String>,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// Who makes the next attempt, if this one fails and the rule has another.
    pub next: NextBy,
}

/// Who makes a delivery's next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextBy {
    /// This process, which waits for it.
    Waiting,
    /// Whoever looks at the schedule when it is due.
    Schedule,
}

/// What is told while a delivery is under way.
pub trait Observer {
    /// It is written down; its first request is about to leave.
    fn accepted(&mut self, delivery: &Delivery);
    /// A request is about to leave.
    fn attempting(&mut self, delivery: &Delivery);
    /// An attempt ended and is written down. `made` of `allowed` attempts of this run are done.
    fn attempted(&mut self, attempt: &Attempted<'_>);
    /// The next attempt is due in `left`.
    fn waiting(&mut self, left: Duration);
}

/// An attempt that ended.
#[derive(Debug)]
pub struct Attempted<'a> {
    /// Attempts of this run so far.
    pub made: u32,
    /// The most that this run may make.
    pub allowed: u32,
    /// How long it took.
    pub duration: Duration,
    /// What it came to.
    pub outcome: &'a Outcome,
    /// When the next one follows.
    pub next_in: Option<Duration>,
}

/// Why a delivery has no recorded end.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The journal could not take it, so nothing was sent.
    #[error(transparent)]
    NotSent(#[from] JournalError),
    /// Something was sent, and the journal could not take what came of it.
    #[error("#{id} was sent ({came_of_it}), but the journal could not record it")]
    NotRecorded {
        /// The delivery.
        id: i64,
        /// What the attempt came to, in words.
        came_of_it: String,
        /// Why.
        source: JournalError,
    },
    /// Another attempt is due, and the journal could not take it.
    #[error("#{id} waits for its next attempt, but the journal cannot take it")]
    Stuck {
        /// The delivery.
        id: i64,
        /// Why.
        source: JournalError,
    },
    /// Another process took the delivery over while this one was not running.
    #[error("#{0} was taken over by another process")]
    TakenOver(i64),
}

/// Sends deliveries, one at a time.
pub struct Courier<'a> {
    /// Where all is written down.
    pub store: &'a dyn Store,
    /// Time and the user's wish to stop.
    pub clock: &'a dyn Clock,
}

impl Courier<'_> {
    /// Accepts a new delivery and sends it by its rule; returns it as it then is.
    ///
    /// # Errors
    /// [`DeliverError`].
    pub fn fire(
        &self,
        new: &NewDelivery<'_>,
        shipment: &Shipment,
        observer: &mut dyn Observer,
    ) -> Result<Delivery, DeliverError> {
        let first = self.new_attempt(shipment);
        let mut delivery = self.store.accept(new, &first)?;
        observer.accepted(&delivery);
        self.send(&mut delivery, new.event, &first, shipment, observer)?;
        Ok(delivery)
    }

    /// Sends a delivery whose first attempt is written down, until the rule ends it or it is put on the schedule; keeps
    /// `delivery` as the journal has it.
    fn send(
        &self,
        delivery: &mut Delivery,
        event: &[u8],
        first: &NewAttempt<'_>,
        shipment: &Shipment,
        observer: &mut dyn Observer,
    ) -> Result<(), DeliverError> {
        let request = event_request(&delivery.uuid, event, shipment);
        let (id, allowed) = (delivery.id, shipment.rule.attempts());
        let mut attempt = *first;
        for made in 1.. {
            self.hold(id, &attempt, shipment)?;
            observer.attempting(delivery);
            let Answer { duration, result } = shipment.transport.send(&request);
            let outcome = judge(&shipment.rule, result);
            let next = self.next(&outcome, made, shipment);
            self.store
                .finish_attempt(id, delivery.attempt_count, duration, &outcome, next)
                .map_err(|source| {
                    let came_of_it = outcome
                        .error
                        .as_ref()
                        .map_or("delivered", |error| &error.message)
                        .to_owned();
                    DeliverError::NotRecorded {
                        id,
                        came_of_it,
                        source,
                    }
                })?;
            let ended_at = attempt.started_at.plus(duration);
            settle(delivery, &outcome, next, ended_at);
            let next_in = delivery.next_attempt_at.map(|_| shipment.rule.interval);
            observer.attempted(&Attempted {
                made,
                allowed,
                duration,
                outcome: &outcome,
                next_in,
            });
            if !matches!(next, Next::RetryAt { .. }) {
                break;
            }
            let stuck = |source| DeliverError::Stuck { id, source };
            if self.wait(shipment.rule.interval, observer) == Woken::Interrupted {
                self.store.interrupt(id).map_err(stuck)?;
                settle(delivery, &outcome, Next::Interrupted, ended_at);
                break;
            }
            attempt = self.new_attempt(shipment);
            match self
                .store
                .begin_attempt(id, Turn::Mine, &attempt)
                .map_err(stuck)?
            {
                Begun::Attempt(number) => delivery.attempt_count = number,
                Begun::Taken => return Err(DeliverError::TakenOver(id)),
            }
        }
        Ok(())
    }

    /// Sees to it that the delivery is still this process's: one that was stopped for long after it had written an attempt
    /// down may find that another one has taken it over and sent it.
    fn hold(
        &self,
        id: i64,
        attempt: &NewAttempt<'_>,
        shipment: &Shipment,
    ) -> Result<(), DeliverError> {
        let now = self.clock.now();
        let late = now > attempt.started_at.plus(LEASE_GRACE);
        if late
            && !self
                .store
                .renew(id, now.plus(shipment.timeout).plus(LEASE_GRACE))?
        {
            return Err(DeliverError::TakenOver(id));
        }
        Ok(())
    }

    fn next(&self, outcome: &Outcome, made: u32, shipment: &Shipment) -> Next {
        let Some(error) = &outcome.error else {
            return Next::Delivered;
        };
        let due = self.clock.now().plus(shipment.rule.interval);
        let stopped = match shipment.next {
            NextBy::Waiting => self.clock.interrupted(),
            // What the endpoint said counts, whoever wants this process to end.
            NextBy::Schedule => error.kind == ErrorKind::Interrupted,
        };
        match shipment.next {
            _ if stopped => Next::Interrupted,
            _ if made >= shipment.rule.attempts() => Next::Failed,
            NextBy::Schedule => Next::Scheduled { due },
            NextBy::Waiting => Next::RetryAt {
                due,
                lease_until: due.plus(LEASE_GRACE),
            },
        }
    }

    fn new_attempt<'b>(&self, shipment: &'b Shipment) -> NewAttempt<'b> {
        let started_at = self.clock.now();
        NewAttempt {
            started_at,
            insecure: shipment.insecure,
            sent_to: shipment.sent_to.as_deref(),
            lease_until: started_at.plus(shipment.timeout).plus(LEASE_GRACE),
        }
    }

    fn wait(&self, interval: Duration, observer: &mut dyn Observer) -> Woken {
        let mut left = interval;
        while !left.is_zero() {
            observer.waiting(left);
            let slice = left.min(COUNTDOWN_GRAIN);
            if self.clock.wait(slice) == Woken::Interrupted {
                return Woken::Interrupted;
            }
            left -= slice;
        }
        if self.clock.interrupted() {
            Woken::Interrupted
        } else {
            Woken::Elapsed
        }
    }
}

/// Brings a delivery to where an attempt's outcome has left it.
pub fn settle(delivery: &mut Delivery, outcome: &Outcome, next: Next, finished_at: UnixMs) {
    (delivery.status, delivery.next_attempt_at) = match next {
        Next::Delivered => (Status::Delivered, None),
        Next::Failed => (Status::Failed, None),
        Next::Interrupted => (Status::Interrupted, None),
        Next::Scheduled { due } | Next::RetryAt { due, .. } => (Status::Pending, Some(due)),
    };
    delivery.finished_at = (delivery.status != Status::Pending).then_some(finished_at);
    if let Some(AttemptError { kind, message }) = outcome.error.clone() {
        delivery.last_error = Some(LastError {
            kind,
            http_status: outcome.http_status,
            message,
        });
    }
}

/// The request that carries an event.
pub fn event_request<T: ?Sized>(uuid: &str, event: &[u8], shipment: &Shipment<T>) -> Request {
    let Shipment { resolved, wire, .. } = shipment;
    let (body, target) = (wire.body(event).into_owned(), Arc::clone(resolved));
    Request {
        body: Some(body),
        target,
        headers: event_headers(uuid, *wire),
    }
}

/// The headers that every delivery carries.
pub fn event_headers(uuid: &str, wire: BodyFormat) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", wire.content_type().to_owned()),
        ("webhook-id", uuid.to_owned()),
    ]
}

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;
