//! A store, a transport, a clock and an observer for the tests of the use cases: one world, one log of what was done.
//!
//! Strict: a request whose attempt is not committed, an answer that nobody asked for and one that was not used fail the
//! test, and so does any work under a lease that ran out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Attempted, Courier, NextBy, Observer, Shipment};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::{Resolved, Target};
use crate::delivery::{AttemptError, Delivery, ErrorKind, LastError, Outcome, Status};
use crate::event::BodyFormat;
use crate::http::transport::{Answer, NoResponse, Request, Response, Transport};
use crate::journal::store::{
    Begun, Deliveries, JournalError, NewAttempt, NewDelivery, Next, Store, Turn,
};
use crate::secret::{Redactor, Secret};
use crate::time::{Clock, UnixMs, Woken};

pub const T0: UnixMs = UnixMs(1_795_255_200_000);
pub const EVENT: &[u8] = b"<event>\xff</event>";
/// The longest that a scripted attempt may take.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The clock's hands and the log.
pub struct World {
    now: Cell<UnixMs>,
    interrupt_at: Cell<Option<UnixMs>>,
    log: RefCell<Vec<String>>,
    waited: Cell<Duration>,
    committed: RefCell<Vec<String>>,
    requests: RefCell<Vec<Request>>,
    answers: RefCell<VecDeque<(Duration, Result<Response, NoResponse>)>>,
    deliveries: RefCell<BTreeMap<i64, Kept>>,
    fails: RefCell<Vec<&'static str>>,
    taken: RefCell<Vec<&'static str>>,
    suspended: RefCell<Vec<(&'static str, Duration)>>,
}

struct Kept {
    delivery: Delivery,
    event: Vec<u8>,
    lease_until: Option<UnixMs>,
}

impl World {
    pub fn new() -> Rc<World> {
        Rc::new(World {
            now: Cell::new(T0),
            interrupt_at: Cell::default(),
            log: RefCell::default(),
            waited: Cell::default(),
            committed: RefCell::default(),
            requests: RefCell::default(),
            answers: RefCell::default(),
            deliveries: RefCell::default(),
            fails: RefCell::default(),
            taken: RefCell::default(),
            suspended: RefCell::default(),
        })
    }

    /// What was done, in order, each with its second on the clock. Every scripted answer must have been used.
    pub fn log(&self) -> Vec<String> {
        assert_eq!(
            self.answers.borrow().len(),
            0,
            "answers that nobody asked for"
        );
        self.flush_wait();
        self.log.take()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    pub fn sends(&self) -> usize {
        self.requests.borrow().len()
    }

    /// The next request is answered so, after so many seconds.
    pub fn answer(&self, seconds: u64, result: Result<Response, NoResponse>) {
        self.answers
            .borrow_mut()
            .push_back((Duration::from_secs(seconds), result));
    }

    /// The user presses Ctrl-C so many seconds after the beginning.
    pub fn interrupt_at(&self, seconds: u64) {
        self.interrupt_at
            .set(Some(T0.plus(Duration::from_secs(seconds))));
    }

    /// The journal fails at this entry of the log, and does nothing.
    pub fn fail(&self, entry: &'static str) {
        self.fails.borrow_mut().push(entry);
    }

    /// Another process has taken the delivery before this entry of the log.
    pub fn take(&self, entry: &'static str) {
        self.taken.borrow_mut().push(entry);
    }

    /// The process does not run for so many seconds after this attempt (`#1.2`) was committed.
    pub fn suspend(&self, attempt: &'static str, seconds: u64) {
        self.suspended
            .borrow_mut()
            .push((attempt, Duration::from_secs(seconds)));
    }

    pub fn courier(self: &Rc<World>) -> Courier<'_> {
        Courier {
            store: &**self,
            clock: &**self,
        }
    }

    pub fn shipment(self: &Rc<World>, rule: &RetryPolicy) -> Shipment {
        let resolved = Arc::new(Resolved {
            url: Secret::new("https://example.com/?t=1"),
            headers: Vec::new(),
            redactor: Redactor::default().into(),
        });
        let transport: Rc<dyn Transport> = Rc::new(FakeTransport(Rc::clone(self)));
        Shipment {
            transport,
            resolved,
            wire: BodyFormat::Xml,
            rule: rule.clone(),
            insecure: false,
            sent_to: None,
            timeout: TIMEOUT,
            next: NextBy::Waiting,
        }
    }

    /// A delivery that failed earlier.
    pub fn failed_earlier(&self, id: i64, status: Status) -> Delivery {
        let delivery = Delivery {
            id,
            uuid: format!("uuid-{id}"),
            event_type: "account".to_owned(),
            action: "created".to_owned(),
            endpoint: None,
            target: Target::from_url("https://example.com/").unwrap(),
            wire: BodyFormat::Xml,
            rule: RetryPolicy::default(),
            status,
            ignored_by: None,
            created_at: T0,
            finished_at: None,
            next_attempt_at: None,
            attempt_count: 6,
            last_error: None,
        };
        let kept = Kept {
            delivery: delivery.clone(),
            event: EVENT.to_vec(),
            lease_until: None,
        };
        self.deliveries.borrow_mut().insert(id, kept);
        delivery
    }

    fn flush_wait(&self) {
        let waited = self.waited.take();
        if !waited.is_zero() {
            let entry = format!("wait {}", crate::time::compact(waited));
            self.log.borrow_mut().push(self.stamped(&entry));
        }
    }

    fn stamped(&self, entry: &str) -> String {
        format!("{}s {entry}", self.now.get().since(T0).as_secs())
    }

    fn note(&self, entry: &str) {
        self.flush_wait();
        let entry = self.stamped(entry);
        self.log.borrow_mut().push(entry);
    }

    /// Notes a call of the journal, or fails it as scripted.
    fn call(&self, entry: &str) -> Result<(), JournalError> {
        self.note(entry);
        if self.fails.borrow().contains(&entry) {
            return Err(JournalError::Locked {
                path: "journal.db".into(),
                waited: Duration::from_secs(10),
            });
        }
        Ok(())
    }

    fn commit_attempt(&self, id: i64, number: u32) {
        let attempt = format!("#{id}.{number}");
        let suspended = self
            .suspended
            .borrow()
            .iter()
            .find(|(after, _)| *after == attempt)
            .map(|(_, length)| *length);
        self.now
            .set(self.now.get().plus(suspended.unwrap_or_default()));
        self.committed.borrow_mut().push(attempt);
    }

    fn check_lease(&self, kept: &Kept) {
        let id = kept.delivery.id;
        assert!(
            kept.lease_until.is_some_and(|until| until > self.now.get()),
            "#{id} is done without a lease"
        );
    }
}

impl Clock for World {
    fn now(&self) -> UnixMs {
        self.now.get()
    }

    fn elapsed(&self) -> Duration {
        self.now.get().since(T0)
    }

    fn wait(&self, duration: Duration) -> Woken {
        let end = self.now.get().plus(duration);
        let woken = self
            .interrupt_at
            .get()
            .filter(|at| *at <= end)
            .map(|at| at.max(self.now.get()));
        let until = woken.unwrap_or(end);
        self.waited
            .set(self.waited.get() + until.since(self.now.get()));
        self.now.set(until);
        if woken.is_some() {
            Woken::Interrupted
        } else {
            Woken::Elapsed
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupt_at
            .get()
            .is_some_and(|at| at <= self.now.get())
    }
}

impl Store for World {
    fn accept(
        &self,
        new: &NewDelivery<'_>,
        attempt: &NewAttempt<'_>,
    ) -> Result<Delivery, JournalError> {
        self.call("accept #1")?;
        assert_eq!(attempt.started_at, self.now.get());
        let mut delivery = self.failed_earlier(1, Status::Pending);
        (delivery.target, delivery.rule, delivery.attempt_count) =
            (new.target.clone(), new.rule.clone(), 1);
        let (kept, event, lease_until) = (
            delivery.clone(),
            new.event.to_vec(),
            Some(attempt.lease_until),
        );
        self.deliveries.borrow_mut().insert(
            1,
            Kept {
                delivery: kept,
                event,
                lease_until,
            },
        );
        self.commit_attempt(1, 1);
        Ok(delivery)
    }

    fn ignore(&self, _: &NewDelivery<'_>, _: Switch, _: UnixMs) -> Result<Delivery, JournalError> {
        unreachable!("who sends ignores nothing")
    }

    fn begin_attempt(
        &self,
        id: i64,
        turn: Turn,
        attempt: &NewAttempt<'_>,
    ) -> Result<Begun, JournalError> {
        let mut deliveries = self.deliveries.borrow_mut();
        let kept = deliveries.get_mut(&id).unwrap();
        let number = kept.delivery.attempt_count + 1;
        let entry = format!("begin #{id}.{number}");
        self.call(&entry)?;
        if self.taken.borrow().iter().any(|taken| *taken == entry) {
            return Ok(Begun::Taken);
        }
        assert_eq!(attempt.started_at, self.now.get());
        match turn {
            Turn::Mine => self.check_lease(kept),
            Turn::Failed { attempts } => {
                assert!(kept.delivery.status.in_failed_list());
                assert_eq!(attempts, kept.delivery.attempt_count);
            }
            Turn::Scheduled { .. } => unreachable!("who fires takes nothing off the schedule"),
        }
        kept.delivery.attempt_count = number;
        kept.delivery.status = Status::Pending;
        kept.lease_until = Some(attempt.lease_until);
        self.commit_attempt(id, number);
        Ok(Begun::Attempt(number))
    }

    fn finish_attempt(
        &self,
        id: i64,
        number: u32,
        _: Duration,
        outcome: &Outcome,
        next: Next,
    ) -> Result<(), JournalError> {
        let (word, status, lease) = match next {
            Next::Delivered => ("delivered", Status::Delivered, None),
            Next::Failed => ("failed", Status::Failed, None),
            Next::Interrupted => ("interrupted", Status::Interrupted, None),
            Next::Scheduled { .. } => ("scheduled", Status::Pending, None),
            Next::RetryAt { due, lease_until } => {
                assert!(lease_until > due, "the lease must outlive the wait");
                ("again", Status::Pending, Some(lease_until))
            }
        };
        self.call(&format!("finish #{id}.{number} {word}"))?;
        let mut deliveries = self.deliveries.borrow_mut();
        let kept = deliveries.get_mut(&id).unwrap();
        self.check_lease(kept);
        (kept.delivery.status, kept.lease_until) = (status, lease);
        if let Some(AttemptError { kind, message }) = outcome.error.clone() {
            kept.delivery.last_error = Some(LastError {
                kind,
                http_status: outcome.http_status,
                message,
            });
        }
        Ok(())
    }

    fn renew(&self, id: i64, until: UnixMs) -> Result<bool, JournalError> {
        let entry = format!("renew #{id}");
        self.call(&entry)?;
        if self.taken.borrow().iter().any(|taken| *taken == entry) {
            return Ok(false);
        }
        self.deliveries
            .borrow_mut()
            .get_mut(&id)
            .unwrap()
            .lease_until = Some(until);
        Ok(true)
    }

    fn interrupt(&self, id: i64) -> Result<(), JournalError> {
        self.call(&format!("interrupt #{id}"))?;
        let mut deliveries = self.deliveries.borrow_mut();
        let kept = deliveries.get_mut(&id).unwrap();
        self.check_lease(kept);
        (kept.delivery.status, kept.lease_until) = (Status::Interrupted, None);
        Ok(())
    }
}

impl Deliveries for World {
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        Ok(self
            .deliveries
            .borrow()
            .get(&id)
            .map(|kept| kept.delivery.clone()))
    }

    fn event(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        let gone = || JournalError::Unusable {
            path: "journal.db".into(),
            problem: "has no such row".to_owned(),
        };
        self.deliveries
            .borrow()
            .get(&id)
            .map(|kept| kept.event.clone())
            .ok_or_else(gone)
    }
}

struct FakeTransport(Rc<World>);

impl Transport for FakeTransport {
    fn send(&self, request: &Request) -> Answer {
        let committed = self.0.committed.borrow();
        let attempt = committed
            .last()
            .expect("no request may leave before its attempt is committed");
        let entry = format!("send {attempt}");
        assert!(
            !self
                .0
                .log
                .borrow()
                .iter()
                .any(|line| line.ends_with(&entry)),
            "{entry} twice"
        );
        self.0.note(&entry);
        self.0.requests.borrow_mut().push(request.clone());
        let (duration, result) = self
            .0
            .answers
            .borrow_mut()
            .pop_front()
            .expect("one request too many");
        assert!(duration <= TIMEOUT);
        self.0.now.set(self.0.now.get().plus(duration));
        Answer { duration, result }
    }
}

/// Notes what it is told; the countdown is kept apart.
pub struct Listener {
    pub world: Rc<World>,
    pub countdown: Vec<Duration>,
}

impl Listener {
    pub fn new(world: &Rc<World>) -> Listener {
        Listener {
            world: Rc::clone(world),
            countdown: Vec::new(),
        }
    }
}

impl Observer for Listener {
    fn accepted(&mut self, delivery: &Delivery) {
        self.world.note(&format!("told: accepted #{}", delivery.id));
    }

    fn attempting(&mut self, _: &Delivery) {}

    fn attempted(&mut self, attempt: &Attempted<'_>) {
        let Attempted {
            made,
            allowed,
            duration,
            outcome,
            next_in,
        } = attempt;
        let words = outcome
            .error
            .as_ref()
            .map_or("delivered", |error| &error.message);
        let next = next_in.map_or_else(String::new, |next| {
            format!(", next in {}", crate::time::compact(next))
        });
        self.world.note(&format!(
            "told: {made}/{allowed} {words} in {}s{next}",
            duration.as_secs()
        ));
    }

    fn waiting(&mut self, left: Duration) {
        self.countdown.push(left);
    }
}

pub fn status(status: u16) -> Result<Response, NoResponse> {
    Ok(Response {
        status,
        location: None,
        body: Vec::new(),
        note: None,
    })
}

pub fn no_response(kind: ErrorKind) -> Result<Response, NoResponse> {
    let error = AttemptError {
        kind,
        message: format!("no answer: {}", kind.as_str()),
    };
    Err(NoResponse {
        error,
        maybe_received: true,
    })
}
