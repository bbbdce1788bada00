//! A simulated environment for the engine: a real SQLite journal, scripted endpoints, and a clock that only the engine's
//! waiting moves.
//!
//! It fails the test when a request is sent without a committed claim or without a sufficient lease, and when more requests
//! are handed over than allowed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::delivery::payload::Payload;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::{Resolved, Target};
use crate::delivery::{Delivery, ErrorKind, Outcome, Status};
use crate::engine::{
    Engine, EngineEvent, Idle, Inbox, LEASE_GRACE, RetryMode, RunLimits, RunObserver, SendPlan,
    Sender, Source, Summary, Update, Wait, Writer,
};
use crate::http::{Client, Completed, Request, Response, SendError, TransportOptions};
use crate::journal::{
    self, AttemptResult, DeliveryVersion, Host, Journal, JournalError, NewAttempt, NewDelivery,
    NextStep, Reply, Write, WriteResult,
};
use crate::secret::{Redactor, Secret};
use crate::signature::Signer;
use crate::time::{Clock, UnixMs, Woken};

pub const T0: UnixMs = UnixMs(1_795_255_200_000);
pub const TIMEOUT: Duration = Duration::from_secs(30);
pub const URL: &str = "https://example.com/";

/// How long a request takes, and the status of its response; 0 for none.
pub type Script = Box<dyn Fn(&Delivery, u32) -> (u64, u16)>;

/// The headers of a request.
pub type Headers = Vec<(String, Vec<u8>)>;

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Milliseconds since the start, shared with the journal.
#[derive(Clone, Default)]
pub struct SimulatedTime(Arc<AtomicI64>);

impl SimulatedTime {
    pub fn ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn advance_to(&self, ms: i64) {
        self.0.fetch_max(ms, Ordering::Relaxed);
    }
}

struct SimulatedProcess {
    time: SimulatedTime,
    pid: i64,
}

impl Host for SimulatedProcess {
    fn now(&self) -> UnixMs {
        UnixMs(T0.0 + self.time.ms())
    }

    fn current(&self) -> String {
        format!("test {}", self.pid)
    }

    fn label(&self) -> String {
        format!("host/{}", self.pid)
    }

    fn is_dead(&self, _: &str) -> bool {
        false
    }
}

type Action = Box<dyn FnOnce(&Simulation)>;

pub struct Simulation {
    directory: TempDir,
    pub time: SimulatedTime,
    pub journal: Box<dyn Journal>,
    /// Reads what the journal's interface does not show.
    connection: Connection,
    script: Script,
    pub interrupt_at: Cell<Option<i64>>,
    /// Suspends the process from the first time until the second.
    pub suspend: Cell<Option<(i64, i64)>>,
    agenda: RefCell<BTreeMap<(i64, u64), Action>>,
    planned: Cell<u64>,
    submitted: RefCell<Vec<(Write, Reply)>>,
    committing: Cell<bool>,
    pub commit_ms: Cell<u64>,
    pub commits: RefCell<Vec<usize>>,
    /// From this commit on, none works.
    pub fails_from: Cell<usize>,
    failed: Cell<bool>,
    pub renewals: Cell<usize>,
    /// The most deliveries that one write renewed, and that one commit released.
    pub most_renewed: Cell<usize>,
    pub most_released: Cell<usize>,
    workers: RefCell<Vec<i64>>,
    max_in_flight: Cell<usize>,
    in_flight: Cell<usize>,
    /// Requests that Ctrl-C does not cut off.
    pub drains: Cell<bool>,
    /// Signs the requests.
    pub signer: RefCell<Option<Signer>>,
    /// The headers of each request.
    pub sent_headers: RefCell<Vec<Headers>>,
    /// When each request was sent, with its delivery and attempt.
    pub sent: RefCell<Vec<(i64, i64, u32)>>,
}

impl Simulation {
    pub fn new(script: impl Fn(&Delivery, u32) -> (u64, u16) + 'static) -> Simulation {
        let directory = tempfile::tempdir().unwrap();
        let time = SimulatedTime::default();
        let path = directory.path().join("journal.db");
        let process = SimulatedProcess {
            time: time.clone(),
            pid: 1,
        };
        let journal = journal::open_on(Box::new(process), &path).unwrap();
        let connection = Connection::open(&path).unwrap();
        Simulation {
            directory,
            time,
            journal,
            connection,
            script: Box::new(script),
            interrupt_at: Cell::new(None),
            suspend: Cell::new(None),
            agenda: RefCell::default(),
            planned: Cell::new(0),
            submitted: RefCell::default(),
            committing: Cell::new(false),
            commit_ms: Cell::new(1),
            commits: RefCell::default(),
            fails_from: Cell::new(usize::MAX),
            failed: Cell::new(false),
            renewals: Cell::new(0),
            most_renewed: Cell::new(0),
            most_released: Cell::new(0),
            workers: RefCell::default(),
            max_in_flight: Cell::new(0),
            in_flight: Cell::new(0),
            drains: Cell::new(false),
            signer: RefCell::default(),
            sent_headers: RefCell::default(),
            sent: RefCell::default(),
        }
    }

    pub fn run(
        &self,
        limits: RunLimits,
        source: &mut dyn Source,
        observer: &dyn RunObserver,
    ) -> Summary {
        self.run_with(Inbox::default(), limits, source, observer)
    }

    pub fn run_with(
        &self,
        inbox: Inbox,
        limits: RunLimits,
        source: &mut dyn Source,
        observer: &dyn RunObserver,
    ) -> Summary {
        *self.workers.borrow_mut() = vec![0; limits.jobs];
        self.max_in_flight.set(limits.handed_over());
        let engine = Engine {
            journal: &*self.journal,
            writer: self,
            sender: self,
            clock: self,
            wait: self,
            random: &|| 0.5,
            limits,
        };
        engine.run(inbox, source, observer)
    }

    /// Another process on the same journal.
    pub fn other_process(&self) -> Box<dyn Journal> {
        let process = SimulatedProcess {
            time: self.time.clone(),
            pid: 2,
        };
        let path = self.directory.path().join("journal.db");
        journal::open_on(Box::new(process), &path).unwrap()
    }

    pub fn new_delivery(&self, policy: &RetryPolicy) -> NewDelivery {
        self.new_delivery_to(URL, policy)
    }

    pub fn new_delivery_to(&self, url: &str, policy: &RetryPolicy) -> NewDelivery {
        NewDelivery {
            payload: Payload::unchecked_event("account", "created", b"<event/>"),
            endpoint: None,
            target: Target::from_url(url).unwrap(),
            retry_policy: policy.clone(),
        }
    }

    /// Adds a delivery with one failed attempt to the failed list, or to the schedule after `delay`.
    pub fn add_failed(
        &self,
        url: &str,
        policy: &RetryPolicy,
        delay: Option<Duration>,
    ) -> DeliveryVersion {
        let attempt = NewAttempt {
            insecure: false,
            sent_to: None,
            lease: LEASE_GRACE,
        };
        let accept = Write::Accept(self.new_delivery_to(url, policy), attempt);
        let accepted = self.journal.commit(&[accept]).unwrap().remove(0);
        let WriteResult::Delivery(delivery) = accepted else {
            panic!("{accepted:?}");
        };
        let outcome = Outcome {
            http_status: Some(503),
            error: Some(crate::delivery::AttemptError {
                kind: ErrorKind::Status,
                message: "503 Service Unavailable".to_owned(),
            }),
            maybe_received: false,
            response_headers: Vec::new(),
            response_body: None,
            note: None,
        };
        let finish = Write::Finish(AttemptResult {
            id: delivery.id,
            number: 1,
            sent_after: Duration::ZERO,
            duration: Duration::ZERO,
            outcome: Arc::new(outcome),
            next: delay.map_or(NextStep::Failed, |delay| NextStep::Scheduled { delay }),
        });
        self.journal.commit(&[finish]).unwrap();
        DeliveryVersion {
            id: delivery.id,
            attempts: 1,
        }
    }

    pub fn plan_for(&self, policy: &RetryPolicy, mode: RetryMode) -> Arc<SendPlan> {
        self.plan_within(policy, mode, TIMEOUT)
    }

    pub fn plan_within(
        &self,
        policy: &RetryPolicy,
        mode: RetryMode,
        timeout: Duration,
    ) -> Arc<SendPlan> {
        static CLIENT: OnceLock<Client> = OnceLock::new();
        let client = CLIENT.get_or_init(|| {
            let base = Target::from_url(URL).unwrap().base;
            let interrupted = Arc::new(AtomicBool::new(false));
            Client::new(&TransportOptions::default(), &base, 0, interrupted).unwrap()
        });
        Arc::new(SendPlan {
            client: *client,
            target: Arc::new(Resolved {
                base: Target::from_url(URL).unwrap().base,
                signer: self.signer.borrow().clone(),
                url: Secret::new(URL),
                headers: Vec::new(),
                redactor: Arc::new(Redactor::default()),
            }),
            body_format: None,
            policy: policy.clone(),
            insecure: false,
            sent_to: None,
            forwarding: Arc::default(),
            timeout,
            mode,
        })
    }

    /// Does something at a time.
    pub fn at(&self, ms: i64, action: impl FnOnce(&Simulation) + 'static) {
        self.planned.set(self.planned.get() + 1);
        let key = (ms, self.planned.get());
        self.agenda.borrow_mut().insert(key, Box::new(action));
    }

    pub fn delivery(&self, id: i64) -> Delivery {
        self.journal.delivery(id).unwrap().unwrap()
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        let mut statement = self
            .connection
            .prepare("SELECT id FROM deliveries ORDER BY id")
            .unwrap();
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        ids.map(|id| self.delivery(id.unwrap())).collect()
    }

    /// The times at which a delivery was sent.
    pub fn sent_times(&self, id: i64) -> Vec<i64> {
        let sent = self.sent.borrow();
        let of_delivery = sent.iter().filter(|(_, sent, _)| *sent == id);
        of_delivery.map(|(at, ..)| *at).collect()
    }

    /// The order in which deliveries were sent.
    pub fn sent_ids(&self) -> Vec<i64> {
        self.sent.borrow().iter().map(|(_, id, _)| *id).collect()
    }

    /// When the lease of a delivery ends.
    pub fn lease_end(&self, id: i64) -> Option<i64> {
        let query = "SELECT lease_until FROM deliveries WHERE id = ?1";
        let end: Option<i64> = self
            .connection
            .query_row(query, [id], |row| row.get(0))
            .unwrap();
        Some(end? - T0.0)
    }

    fn commit(&self) {
        if self.submitted.borrow().is_empty() || self.committing.replace(true) {
            return;
        }
        let done_at = self.time.ms() + self.commit_ms.get() as i64;
        let group = self.submitted.take();
        self.at(done_at, move |simulation| {
            simulation.committing.set(false);
            simulation.finish_commit(group);
            simulation.commit();
        });
    }

    fn finish_commit(&self, group: Vec<(Write, Reply)>) {
        let number = self.commits.borrow().len();
        self.commits.borrow_mut().push(group.len());
        let works = number < self.fails_from.get();
        let was_failed = self.failed.get() || !works;
        self.failed.set(was_failed);
        let locked = || {
            Arc::new(JournalError::Locked {
                path: "journal.db".into(),
                waited: Duration::from_secs(10),
            })
        };
        let (mut writes, mut replies, mut released) = (Vec::new(), Vec::new(), 0);
        for (write, reply) in group {
            let begins = matches!(
                write,
                Write::Accept(..) | Write::Ignore(..) | Write::Begin(_)
            );
            match &write {
                Write::Renew { ids, .. } => {
                    self.renewals.set(self.renewals.get() + 1);
                    self.most_renewed
                        .set(self.most_renewed.get().max(ids.len()));
                }
                Write::Release(ids) => released += ids.len(),
                _ => {}
            }
            if !works || was_failed && begins {
                reply(Err(locked()));
            } else {
                writes.push(write);
                replies.push(reply);
            }
        }
        self.most_released
            .set(self.most_released.get().max(released));
        let results = self.journal.commit(&writes).unwrap();
        for (reply, result) in replies.into_iter().zip(results) {
            reply(Ok(result));
        }
    }

    /// Moves the clock; after a suspension, another process takes over expired leases.
    fn advance_to(&self, ms: i64) {
        self.time.advance_to(ms);
        if let Some((from, to)) = self.suspend.get()
            && from <= self.time.ms()
        {
            self.suspend.set(None);
            self.time.advance_to(to);
            self.other_process().interrupt_abandoned().unwrap();
        }
    }

    /// Runs one planned action that is due; returns whether there was one.
    fn act(&self) -> bool {
        let mut agenda = self.agenda.borrow_mut();
        let Some(first) = agenda.first_entry() else {
            return false;
        };
        if first.key().0 > self.time.ms() {
            return false;
        }
        let action = first.remove();
        drop(agenda);
        action(self);
        true
    }
}

impl Clock for Simulation {
    fn now(&self) -> UnixMs {
        UnixMs(T0.0 + self.time.ms())
    }

    fn elapsed(&self) -> Duration {
        ms(self.time.ms().unsigned_abs())
    }

    fn wait(&self, duration: Duration) -> Woken {
        self.time
            .advance_to(self.time.ms() + duration.as_millis() as i64);
        Woken::Elapsed
    }

    fn interrupted(&self) -> bool {
        self.interrupt_at
            .get()
            .is_some_and(|at| at <= self.time.ms())
    }
}

impl Writer for Simulation {
    fn submit(&self, writes: Vec<(Write, Reply)>) {
        self.submitted.borrow_mut().extend(writes);
        self.commit();
    }
}

impl Sender for Simulation {
    fn abandon_interrupted(&self) {}

    fn begin(&self, _: Client, request: Request, reply: Box<dyn FnOnce(Completed) + Send>) {
        self.sent_headers.borrow_mut().push(request.headers.clone());
        let uuid = request
            .headers
            .iter()
            .find(|(name, _)| name == "webhook-id")
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let query = "SELECT id FROM deliveries WHERE uuid = ?1";
        let id = self
            .connection
            .query_row(query, [uuid], |row| row.get(0))
            .unwrap();
        let delivery = self.delivery(id);
        let number = delivery.attempt_count;
        assert_eq!(
            delivery.status,
            Status::Pending,
            "claimed before it is sent"
        );
        let attempts = self.journal.attempts(delivery.id).unwrap();
        assert!(attempts[number as usize - 1].outcome.is_none());
        self.in_flight.set(self.in_flight.get() + 1);
        assert!(self.in_flight.get() <= self.max_in_flight.get());
        // A request may wait for the worker that is free first.
        let mut workers = self.workers.borrow_mut();
        let worker = (0..workers.len())
            .min_by_key(|worker| workers[*worker])
            .unwrap();
        let start = workers[worker].max(self.time.ms());
        let (takes, status) = (self.script)(&delivery, number);
        let mut end = start + takes as i64;
        let mut result = match status {
            0 => Err(SendError {
                kind: ErrorKind::Timeout,
                message: "no response within 30s".to_owned(),
                maybe_received: true,
            }),
            status => Ok(Response {
                status,
                headers: Vec::new(),
                body: Vec::new(),
                cut: None,
            }),
        };
        if let Some(stop) = self.interrupt_at.get().filter(|_| !self.drains.get())
            && stop < end
        {
            end = stop.max(self.time.ms());
            result = Err(SendError {
                kind: ErrorKind::Interrupted,
                message: "stopped before a response came".to_owned(),
                maybe_received: true,
            });
        }
        workers[worker] = end;
        drop(workers);
        let lease_end = self.lease_end(delivery.id).unwrap();
        assert!(lease_end > end, "a lease covers its request");
        self.sent.borrow_mut().push((start, delivery.id, number));
        let duration = ms((end - start).max(0).unsigned_abs());
        self.at(end, move |simulation| {
            simulation.in_flight.set(simulation.in_flight.get() - 1);
            reply(Completed { duration, result });
        });
    }
}

impl Wait for Simulation {
    fn receive(&self, events: &Receiver<EngineEvent>, timeout: Duration) -> Option<EngineEvent> {
        // The clock has a resolution of 1 ms.
        let end = self.time.ms() + timeout.as_nanos().div_ceil(1_000_000) as i64;
        loop {
            if let Ok(event) = events.try_recv() {
                return Some(event);
            }
            if self.act() {
                continue;
            }
            let next = self.agenda.borrow().keys().next().map(|(at, _)| *at);
            match next.filter(|next| *next <= end) {
                Some(next) => self.advance_to(next),
                None => {
                    self.advance_to(end);
                    return None;
                }
            }
        }
    }
}

/// Records what the engine reports, and checks that it is recorded in the journal.
pub struct Recorder<'a> {
    pub simulation: &'a Simulation,
    /// `#1 delivered`
    pub ended: RefCell<Vec<String>>,
    pub attempts: RefCell<Vec<String>>,
    pub not_accepted: RefCell<Vec<u64>>,
    pub max_waiting: Cell<usize>,
}

impl<'a> Recorder<'a> {
    pub fn new(simulation: &'a Simulation) -> Recorder<'a> {
        Recorder {
            simulation,
            ended: RefCell::default(),
            attempts: RefCell::default(),
            not_accepted: RefCell::default(),
            max_waiting: Cell::new(0),
        }
    }

    pub fn count(&self, what: &str) -> usize {
        let ended = self.ended.borrow();
        ended.iter().filter(|line| line.ends_with(what)).count()
    }

    /// Every delivery has ended, and was reported once.
    pub fn assert_nothing_lost(&self) {
        let deliveries = self.simulation.deliveries();
        let mut expected: Vec<String> = deliveries
            .iter()
            .map(|delivery| format!("#{} {}", delivery.id, delivery.status.as_str()))
            .collect();
        let mut reported = self.ended.borrow().clone();
        reported.sort();
        expected.sort();
        assert_eq!(reported, expected);
        for delivery in deliveries {
            assert_ne!(delivery.status, Status::Pending, "#{}", delivery.id);
            let attempts = self.simulation.journal.attempts(delivery.id).unwrap();
            assert!(attempts.iter().all(|attempt| attempt.outcome.is_some()));
        }
    }
}

impl RunObserver for Recorder<'_> {
    fn observe(&self, update: Update<'_>) {
        let line = match update {
            Update::Ended(delivery) => {
                let stored = self.simulation.delivery(delivery.id);
                assert_eq!(stored.status, delivery.status, "reported and not recorded");
                format!("#{} {}", delivery.id, delivery.status.as_str())
            }
            Update::Attempted(delivery, attempt) => {
                let attempts = self.simulation.journal.attempts(delivery.id).unwrap();
                let number = delivery.attempt_count as usize;
                assert!(attempts[number - 1].outcome.is_some(), "not recorded");
                let (made, allowed) = (attempt.made, attempt.allowed);
                let line = format!("#{} {made}/{allowed}", delivery.id);
                self.attempts.borrow_mut().push(line);
                return;
            }
            Update::Skipped(id) => format!("#{id} skipped"),
            Update::TakenOver(id) => format!("#{id} taken over"),
            Update::NotAccepted(line) => {
                self.not_accepted.borrow_mut().push(line);
                return;
            }
            Update::Sending { .. } | Update::JournalBlocked(_) => return,
        };
        self.ended.borrow_mut().push(line);
    }

    fn idle(&self, idle: Idle<'_>) -> Option<Duration> {
        self.max_waiting
            .set(self.max_waiting.get().max(idle.waiting));
        None
    }
}
