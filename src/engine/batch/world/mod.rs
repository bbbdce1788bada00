//! A world in which the engine runs: a journal that commits groups, senders, other processes, and time that passes only
//! when the engine waits.
//!
//! Strict: a request whose attempt is not committed or not surely leased, one too many at once, and an engine that waits for
//! nothing all fail the test.

mod schedule;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Engine, Event, Halted, Mail, Pace, Patience, Work};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::Switch;
use crate::delivery::target::{Resolved, Target};
use crate::delivery::{Delivery, ErrorKind, Status};
use crate::engine::deliver::fakes::{EVENT, T0, TIMEOUT};
use crate::engine::deliver::{NextBy, Shipment};
use crate::event::BodyFormat;
use crate::http::transport::{Answer, Answered, Crew, NoResponse, Request, Response};
use crate::journal::store::{
    Begun, Deliveries, Done, Ended, Intent, JournalError, Ledger, NewDelivery, Next, Slot, Turn,
};
use crate::secret::{Redactor, Secret};
use crate::time::{Clock, UnixMs, Woken};

/// How an endpoint answers: the delivery, the attempt, and then how long it takes and what comes.
pub type Answers = Box<dyn Fn(i64, u32) -> (Duration, Result<Response, NoResponse>)>;

/// An entry of the ledger: what it does when it is committed, given whether that works.
type Entry = Box<dyn FnOnce(&World, Result<(), Arc<JournalError>>)>;

/// Something that happens at its time.
type Deed = Box<dyn FnOnce(&World)>;

/// A delivery as the journal has it.
pub struct Kept {
    pub delivery: Delivery,
    pub lease_until: Option<UnixMs>,
    /// Whether another process has it.
    pub stolen: bool,
    /// Whether each attempt's end is recorded.
    pub recorded: Vec<bool>,
}

pub struct World {
    now: Cell<UnixMs>,
    /// By so many milliseconds somebody has set the clock.
    pub set_by: Cell<i64>,
    pub interrupt_at: Cell<Option<UnixMs>>,
    /// The process is stopped at the first time, until the second; meanwhile another one takes what it may take.
    pub frozen: Cell<Option<(UnixMs, UnixMs)>>,
    pub kept: RefCell<BTreeMap<i64, Kept>>,
    agenda: RefCell<BTreeMap<(UnixMs, u64), Deed>>,
    planned: Cell<u64>,
    /// What is to be committed, with whether it looks ahead.
    submitted: RefCell<Vec<(bool, Entry)>>,
    committing: Cell<bool>,
    /// How long a commit takes.
    pub commit_takes: Cell<Duration>,
    /// How many entries each commit had.
    pub commits: RefCell<Vec<usize>>,
    /// The number of the commit from which on none works.
    pub broken_from: Cell<Option<usize>>,
    torn: Cell<bool>,
    answers: Answers,
    /// When each sender gets free.
    senders: RefCell<Vec<UnixMs>>,
    /// When each request left, and of which delivery and attempt it was.
    pub sent: RefCell<Vec<(UnixMs, i64, u32)>>,
    pub renewals: Cell<usize>,
    /// Whether requests come to their end whatever the user wants.
    pub drains: Cell<bool>,
    /// Another process holds the journal's lock from the first time until the second; it is waited for.
    pub locked: Cell<Option<(UnixMs, UnixMs)>>,
    /// How often a page of the schedule was read.
    pub looks: Cell<usize>,
    /// How many deliveries a process left behind of which nobody has heard so far.
    pub left_behind: Cell<usize>,
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn at(ms: i64) -> UnixMs {
    UnixMs(T0.0 + ms)
}

fn locked() -> Arc<JournalError> {
    Arc::new(JournalError::Locked {
        path: "journal.db".into(),
        waited: Duration::from_secs(10),
    })
}

impl World {
    pub fn new(answers: Answers) -> Rc<World> {
        Rc::new(World {
            now: Cell::new(T0),
            set_by: Cell::default(),
            interrupt_at: Cell::default(),
            frozen: Cell::default(),
            kept: RefCell::default(),
            agenda: RefCell::default(),
            planned: Cell::default(),
            submitted: RefCell::default(),
            committing: Cell::default(),
            commit_takes: Cell::new(ms(1)),
            commits: RefCell::default(),
            broken_from: Cell::default(),
            torn: Cell::default(),
            answers,
            senders: RefCell::default(),
            sent: RefCell::default(),
            renewals: Cell::default(),
            drains: Cell::default(),
            locked: Cell::default(),
            looks: Cell::default(),
            left_behind: Cell::default(),
        })
    }

    pub fn run(self: &Rc<World>, pace: Pace, work: &mut dyn Work) -> Result<(), Halted> {
        self.run_with(Mail::default(), pace, work)
    }

    pub fn run_with(
        self: &Rc<World>,
        mail: Mail,
        pace: Pace,
        work: &mut dyn Work,
    ) -> Result<(), Halted> {
        *self.senders.borrow_mut() = vec![T0; pace.jobs];
        Engine {
            store: &**self,
            ledger: &**self,
            clock: &**self,
            patience: &**self,
            pace,
        }
        .run(mail, work)
    }

    pub fn shipment(self: &Rc<World>, rule: &RetryPolicy) -> super::CrewShipment {
        self.shipment_then(rule, NextBy::Waiting)
    }

    /// One to an endpoint that is given so long to answer.
    pub fn shipment_within(
        self: &Rc<World>,
        rule: &RetryPolicy,
        timeout: Duration,
    ) -> super::CrewShipment {
        self.shipment_of(rule, NextBy::Waiting, timeout)
    }

    /// One after which the next attempt is made so.
    pub fn shipment_then(
        self: &Rc<World>,
        rule: &RetryPolicy,
        next: NextBy,
    ) -> super::CrewShipment {
        self.shipment_of(rule, next, TIMEOUT)
    }

    fn shipment_of(
        self: &Rc<World>,
        rule: &RetryPolicy,
        next: NextBy,
        timeout: Duration,
    ) -> super::CrewShipment {
        let resolved = Resolved {
            url: Secret::new("https://example.com/"),
            headers: Vec::new(),
            redactor: Redactor::default().into(),
        };
        let transport: Rc<dyn Crew> = Rc::new(Senders(Rc::clone(self), timeout));
        Rc::new(Shipment {
            transport,
            resolved: Arc::new(resolved),
            wire: BodyFormat::Xml,
            rule: rule.clone(),
            insecure: false,
            sent_to: None,
            timeout,
            next,
        })
    }

    pub fn new_delivery(&self, rule: &RetryPolicy) -> Box<Delivery> {
        let target = Target::from_url("https://example.com/").unwrap();
        let (event_type, action, wire) = ("account", "created", BodyFormat::Xml);
        let new = NewDelivery {
            event_type,
            action,
            event: EVENT,
            endpoint: None,
            target: &target,
            wire,
            rule,
        };
        Box::new(new.accepted(self.now()))
    }

    /// A delivery that had six attempts earlier.
    pub fn failed_earlier(&self, id: i64, status: Status) {
        let delivery = self.new_delivery(&RetryPolicy::default());
        let delivery = Delivery {
            id,
            uuid: id.to_string(),
            status,
            attempt_count: 6,
            ..*delivery
        };
        let recorded = vec![true; 6];
        self.kept.borrow_mut().insert(
            id,
            Kept {
                delivery,
                lease_until: None,
                stolen: false,
                recorded,
            },
        );
    }

    pub fn status(&self, id: i64) -> Status {
        self.kept.borrow()[&id].delivery.status
    }

    /// Has something happen then.
    pub fn plan(&self, when: UnixMs, deed: impl FnOnce(&World) + 'static) {
        self.planned.set(self.planned.get() + 1);
        self.agenda
            .borrow_mut()
            .insert((when, self.planned.get()), Box::new(deed));
    }

    fn submit(&self, looks_ahead: bool, entry: Entry) {
        self.submitted.borrow_mut().push((looks_ahead, entry));
    }

    /// Commits what is submitted by now, in one go.
    fn commit(&self) {
        let group = self.submitted.take();
        if group.is_empty() || self.committing.replace(true) {
            self.submitted.replace(group);
            return;
        }
        let unlocked = self.unlocked_at().filter(|_| !self.interrupted());
        let waits = unlocked.map(|at| {
            at.min(self.interrupt_at.get().unwrap_or(at))
                .since(self.now.get())
        });
        self.plan(
            self.now
                .get()
                .plus(waits.unwrap_or_default())
                .plus(self.commit_takes.get()),
            move |world| {
                world.committing.set(false);
                let number = world.commits.borrow().len();
                world.commits.borrow_mut().push(group.len());
                let works = world.broken_from.get().is_none_or(|from| number < from)
                    && world.unlocked_at().is_none();
                let torn = world.torn.get();
                for (looks_ahead, entry) in group {
                    entry(
                        world,
                        if works && !(torn && looks_ahead) {
                            Ok(())
                        } else {
                            Err(locked())
                        },
                    );
                }
                world.torn.set(torn || !works);
            },
        );
    }

    /// Another process takes all whose leases have run out.
    fn steal(&self) {
        for kept in self.kept.borrow_mut().values_mut() {
            if kept.delivery.status == Status::Pending
                && kept.lease_until.is_some_and(|until| until < self.now())
            {
                (kept.stolen, kept.delivery.status) = (true, Status::Interrupted);
            }
        }
    }

    fn pass(&self, until: UnixMs) {
        self.now.set(until.max(self.now.get()));
        if let Some((from, to)) = self
            .frozen
            .get()
            .filter(|(from, _)| *from <= self.now.get())
        {
            self.frozen.set(None);
            self.now.set(to.max(from));
            self.steal();
        }
    }
}

impl Clock for World {
    fn now(&self) -> UnixMs {
        UnixMs(self.now.get().0 + self.set_by.get())
    }

    fn elapsed(&self) -> Duration {
        self.now.get().since(T0)
    }

    /// The engine waits for events; only who reads a journal that is locked waits for nothing but the time.
    fn wait(&self, duration: Duration) -> Woken {
        let end = self.now.get().plus(duration);
        let woken = self.interrupt_at.get().filter(|at| *at <= end);
        self.now.set(woken.map_or(end, |at| at.max(self.now.get())));
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

impl Patience for World {
    fn receive(&self, events: &Receiver<Event>, time: Option<Duration>) -> Option<Event> {
        let until = time.map(|time| self.now.get().plus(time));
        loop {
            self.commit();
            if let Ok(event) = events.try_recv() {
                return Some(event);
            }
            let interrupt = self.interrupt_at.get().filter(|_| !self.interrupted());
            let planned = self.agenda.borrow().keys().next().map(|(when, _)| *when);
            let next = [until, interrupt, planned].into_iter().flatten().min();
            self.pass(next.expect("the engine waits for nothing"));
            if planned.is_none_or(|planned| planned > self.now.get()) {
                return None;
            }
            let (_, deed) = self.agenda.borrow_mut().pop_first().unwrap();
            deed(self);
        }
    }
}

impl Ledger for World {
    fn accept(
        &self,
        mut delivery: Box<Delivery>,
        event: Arc<[u8]>,
        attempt: Intent,
        done: Done<Box<Delivery>>,
    ) {
        assert_eq!(&*event, EVENT);
        let accept: Entry = Box::new(move |world, committed| {
            let mut kept = world.kept.borrow_mut();
            let id = kept.last_key_value().map_or(1, |(id, _)| id + 1);
            (delivery.id, delivery.uuid, delivery.attempt_count) = (id, id.to_string(), 1);
            if committed.is_ok() {
                let (delivery, lease_until) = ((*delivery).clone(), Some(attempt.lease_until));
                kept.insert(
                    id,
                    Kept {
                        delivery,
                        lease_until,
                        stolen: false,
                        recorded: vec![false],
                    },
                );
            }
            done(committed.map(|()| delivery));
        });
        self.submit(true, accept);
    }

    fn ignore(
        &self,
        mut delivery: Box<Delivery>,
        _: Arc<[u8]>,
        _: Switch,
        done: Done<Box<Delivery>>,
    ) {
        let ignore = move |_: &World, committed: Result<(), _>| {
            delivery.status = Status::Ignored;
            done(committed.map(|()| delivery));
        };
        self.submit(true, Box::new(ignore));
    }

    fn begin(&self, id: i64, turn: Turn, attempt: Intent, done: Done<Begun>) {
        let begin: Entry = Box::new(move |world, committed| {
            let mut kept = world.kept.borrow_mut();
            let found = kept.get_mut(&id).filter(|kept| match turn {
                Turn::Mine => kept.delivery.status == Status::Pending && !kept.stolen,
                Turn::Failed { attempts } => {
                    kept.delivery.status.in_failed_list() && kept.delivery.attempt_count == attempts
                }
                Turn::Scheduled { attempts } => {
                    kept.is_scheduled() && kept.delivery.attempt_count == attempts
                }
            });
            let begun = match found {
                Some(kept) if committed.is_ok() => {
                    kept.delivery.attempt_count += 1;
                    kept.delivery.next_attempt_at = None;
                    (kept.delivery.status, kept.lease_until) =
                        (Status::Pending, Some(attempt.lease_until));
                    kept.recorded.push(false);
                    Begun::Attempt(kept.delivery.attempt_count)
                }
                _ => Begun::Taken,
            };
            done(committed.map(|()| begun));
        });
        self.submit(true, begin);
    }

    fn finish(&self, ended: Ended, done: Done<()>) {
        let finish: Entry = Box::new(move |world, committed| {
            let Ended {
                id, number, next, ..
            } = ended;
            let mut kept = world.kept.borrow_mut();
            let kept = kept.get_mut(&id).unwrap();
            if committed.is_ok() {
                kept.recorded[number as usize - 1] = true;
                // Who has it by now has begun another attempt, and this is old news.
                if kept.stolen && matches!(next, Next::Scheduled { .. }) {
                    return done(committed);
                }
                (kept.delivery.status, kept.lease_until) = match next {
                    Next::Delivered => (Status::Delivered, None),
                    Next::Failed => (Status::Failed, None),
                    Next::Interrupted => (Status::Interrupted, None),
                    Next::Scheduled { due } => {
                        kept.delivery.next_attempt_at = Some(due);
                        (Status::Pending, None)
                    }
                    Next::RetryAt { due, lease_until } => {
                        assert!(lease_until > due, "the lease must outlive the wait");
                        (Status::Pending, Some(lease_until))
                    }
                };
            }
            done(committed);
        });
        self.submit(false, finish);
    }

    fn interrupt(&self, ids: Vec<i64>, done: Done<()>) {
        let interrupt: Entry = Box::new(move |world, committed| {
            if committed.is_ok() {
                let mut kept = world.kept.borrow_mut();
                ids.iter()
                    .for_each(|id| kept.get_mut(id).unwrap().delivery.status = Status::Interrupted);
            }
            done(committed);
        });
        self.submit(false, interrupt);
    }

    fn put_back(&self, id: i64, number: u32, slot: Slot, done: Done<()>) {
        let put_back = move |world: &World, committed: Result<(), _>| {
            let mut kept = world.kept.borrow_mut();
            let kept = kept.get_mut(&id).unwrap();
            if committed.is_ok() && kept.delivery.status == Status::Pending && !kept.stolen {
                assert_eq!(
                    (kept.delivery.attempt_count, kept.recorded.pop()),
                    (number, Some(false))
                );
                (kept.delivery.attempt_count, kept.lease_until) = (number - 1, None);
                kept.delivery.next_attempt_at = Some(slot.due);
                if slot.left_behind {
                    kept.delivery.status = Status::Interrupted;
                }
            }
            done(committed);
        };
        self.submit(false, Box::new(put_back));
    }

    fn renew(&self, ids: Vec<i64>, until: UnixMs, done: Done<Vec<i64>>) {
        let renew: Entry = Box::new(move |world, committed| {
            world.renewals.set(world.renewals.get() + 1);
            let mut kept = world.kept.borrow_mut();
            let mine = ids.into_iter().filter(|id| {
                let kept = kept.get_mut(id).unwrap();
                let mine = kept.delivery.status == Status::Pending && !kept.stolen;
                if mine {
                    kept.lease_until = Some(until);
                }
                mine
            });
            let mine = mine.collect();
            done(committed.map(|()| mine));
        });
        self.submit(false, renew);
    }
}

/// What sends, and how long a request may take.
struct Senders(Rc<World>, Duration);

impl Crew for Senders {
    fn begin(&self, request: Request, answered: Answered) {
        let (world, now) = (&*self.0, self.0.now.get());
        assert!(
            !world.interrupted() && !world.torn.get(),
            "nothing is begun any more"
        );
        assert_eq!(request.body.as_deref(), Some(EVENT));
        let (_, uuid) = request
            .headers
            .iter()
            .find(|(name, _)| *name == "webhook-id")
            .unwrap();
        let id: i64 = uuid.parse().unwrap();
        let mut senders = world.senders.borrow_mut();
        let free = senders.iter_mut().min().unwrap();
        let starts = now.max(*free);
        let number = {
            let kept = world.kept.borrow();
            let kept = kept
                .get(&id)
                .expect("no request may leave before its attempt is committed");
            assert!(!kept.stolen, "#{id} is another process's");
            assert_eq!(
                kept.recorded.last(),
                Some(&false),
                "#{id} has no attempt that may be made"
            );
            let last = starts.plus(self.1).0 + world.set_by.get();
            let sure = kept.lease_until.is_some_and(|until| until.0 > last);
            assert!(
                sure,
                "the lease of #{id} may run out before its request ends"
            );
            kept.delivery.attempt_count
        };
        let (takes, result) = (world.answers)(id, number);
        let stopped = world
            .interrupt_at
            .get()
            .filter(|_| !world.drains.get())
            .map(|at| at.plus(ms(50)));
        if let Some(stopped) = stopped.filter(|stopped| *stopped < starts.plus(takes)) {
            let maybe_received = starts < stopped;
            let error = crate::delivery::AttemptError {
                kind: ErrorKind::Interrupted,
                message: "stopped".to_owned(),
            };
            let answer = Answer {
                duration: ms(0),
                result: Err(NoResponse {
                    error,
                    maybe_received,
                }),
            };
            if maybe_received {
                world.sent.borrow_mut().push((starts, id, number));
            }
            return world.plan(stopped, move |_| answered(answer));
        }
        world.sent.borrow_mut().push((starts, id, number));
        *free = starts.plus(takes);
        world.plan(starts.plus(takes), move |_| {
            answered(Answer {
                duration: takes,
                result,
            })
        });
    }
}

impl Deliveries for World {
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        Ok(self
            .kept
            .borrow()
            .get(&id)
            .map(|kept| kept.delivery.clone()))
    }

    fn event(&self, _: i64) -> Result<Vec<u8>, JournalError> {
        Ok(EVENT.to_vec())
    }
}
