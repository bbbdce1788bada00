//! One run of the engine: an event loop on the caller's thread.
//!
//! A delivery is in one state at a time: claiming (its claim is being committed), ready, in flight (the senders have its
//! request), recording (its outcome is being committed), or waiting for its next attempt, from where it is claimed again.
//! Events move it on.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::iter;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::lookahead::{Lookahead, Next};
use super::plan::{RetryMode, SendPlan};
use super::rate::Bucket;
use super::window::{ClaimWindow, MAX_AHEAD};
use super::{
    Claims, Contact, Engine, EngineEvent, FinishedAttempt, Halted, INTERRUPT_POLL, Idle,
    LEASE_GRACE, RunObserver, Source, SourceItem, Summary, Update, Waker,
};
use crate::capture::Capture;
use crate::delivery::switches::Switch;
use crate::delivery::{AttemptError, Delivery, ErrorKind, LastError, Outcome, Status};
use crate::http::{Completed, is_refused, outcome as outcome_of, retry_after};
use crate::journal::{
    AttemptResult, Claim, ClaimCondition, JournalError, NewAttempt, NewDelivery, NextStep, Reply,
    ScheduleSlot, StoredCapture, Write, WriteResult,
};
use crate::secret::Redactor;
use crate::time::UnixMs;

/// A request is sent only under a lease that was taken or renewed within this time.
const MAX_LEASE_AGE: Duration = Duration::from_secs(LEASE_GRACE.as_secs() / 2);

/// How often leases are renewed.
const RENEW_INTERVAL: Duration = Duration::from_secs(LEASE_GRACE.as_secs() / 4);

/// Payloads in memory at most, in bytes.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Deliveries that may wait for their next attempt while new ones are taken. Tests use fewer.
pub const MAX_WAITING: usize = if cfg!(test) { 200 } else { 1_000_000 };

/// Events to handle before requests are sent again.
const MAX_EVENTS_PER_ROUND: usize = 256;

/// Deliveries that turn out not to be sendable before requests are sent again: each may take a commit of its own.
const MAX_UNSENT_PER_ROUND: usize = 16;

/// Rounds after which the observer's `idle` is called even if there is something to do.
const ROUNDS_PER_IDLE: u64 = 16;

/// Waiting deliveries to release in one commit.
pub const MAX_RELEASED_AT_ONCE: usize = if cfg!(test) { 8 } else { 500 };

/// How many leases of waiting deliveries one write renews, so that it holds the journal's lock for a short time.
pub const MAX_RENEWED_AT_ONCE: usize = if cfg!(test) { 8 } else { 5_000 };

/// A delivery that waits for its next attempt. Holds ids only, since many may wait.
struct Waiting {
    /// Attempts of this run so far.
    made: u32,
    lease_until: Duration,
}

/// An attempt that is claimed, or whose claim is being committed.
struct ClaimedAttempt {
    delivery: Box<Delivery>,
    condition: ClaimCondition,
    payload: Arc<[u8]>,
    /// The capture that the delivery forwards.
    captured: Option<Arc<Capture>>,
    plan: Arc<SendPlan>,
    /// Attempts before this one: of this run, or of all runs for a scheduled delivery.
    made: u32,
    /// A time before its lease was taken or renewed, on a monotonic clock that also runs while the machine is suspended.
    leased_at: Duration,
    /// When the claim was committed.
    claimed_at: Duration,
    /// When the senders got the request.
    handed_over_at: Duration,
}

/// A delivery with its payload, and with the capture that it forwards.
type StoredPayload = (Delivery, Vec<u8>, Option<Capture>);

/// An attempt whose outcome is being committed.
struct Recording {
    attempt: ClaimedAttempt,
    /// Whether the request was sent at all.
    sent: bool,
    duration: Duration,
    outcome: Arc<Outcome>,
    next: NextStep,
    ended_at: Duration,
}

type Written = Result<WriteResult, Arc<JournalError>>;

/// What the event loop does when a commit has ended.
type Then = Box<dyn FnOnce(&mut EventLoop<'_>, Written) + Send>;

/// The results of writes that were submitted together. Sent when it is dropped, with the last reply.
struct Replies {
    waker: Waker,
    results: Mutex<Vec<(Then, Written)>>,
}

impl Replies {
    fn add(&self, then: Then, result: Written) {
        let result = match result {
            Ok(WriteResult::Rejected(error)) => Err(error),
            result => result,
        };
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.push((then, result));
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        let results = std::mem::take(&mut self.results);
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.waker.send(move |run| {
            for (then, result) in results {
                then(run, result);
            }
        });
    }
}

pub struct EventLoop<'r> {
    engine: &'r Engine<'r>,
    waker: Waker,
    source: &'r mut dyn Source,
    lookahead: Lookahead,
    observer: &'r dyn RunObserver,
    summary: Summary,
    claiming: usize,
    ready: VecDeque<ClaimedAttempt>,
    in_flight: usize,
    recording: usize,
    /// By due time on the monotonic clock, then by id.
    waiting: BTreeMap<(Duration, i64), Waiting>,
    /// Writes of deliveries that are ignored, given up or put back.
    other_writes: usize,
    /// Writes of this round, which are submitted together.
    writes: Vec<(Write, Then)>,
    /// The size of all payloads in memory.
    bytes: usize,
    window: ClaimWindow,
    /// The longest request timeout so far, because a request may wait behind one with this timeout.
    longest_timeout: Duration,
    bucket: Option<Bucket>,
    /// When the rate allows the next request.
    rate_allows_at: Option<Duration>,
    /// When to ask the source again, if it said so.
    ask_source_at: Option<Duration>,
    renewing: bool,
    /// Whether a write that releases waiting deliveries is being committed.
    releasing: bool,
    renew_at: Duration,
    has_more: bool,
    stopping: bool,
}

impl<'r> EventLoop<'r> {
    pub fn new(
        engine: &'r Engine<'r>,
        sender: mpsc::Sender<EngineEvent>,
        source: &'r mut dyn Source,
        observer: &'r dyn RunObserver,
    ) -> EventLoop<'r> {
        let limits = engine.limits;
        EventLoop {
            engine,
            waker: Waker(sender),
            source,
            lookahead: Lookahead::default(),
            observer,
            summary: Summary::default(),
            claiming: 0,
            ready: VecDeque::new(),
            in_flight: 0,
            recording: 0,
            waiting: BTreeMap::new(),
            other_writes: 0,
            writes: Vec::new(),
            bytes: 0,
            window: ClaimWindow::new(limits.jobs, limits.claims),
            longest_timeout: Duration::ZERO,
            bucket: limits.rate.map(Bucket::new),
            rate_allows_at: None,
            ask_source_at: None,
            renewing: false,
            releasing: false,
            renew_at: engine.clock.elapsed() + RENEW_INTERVAL,
            has_more: true,
            stopping: false,
        }
    }

    pub fn run(mut self, events: &Receiver<EngineEvent>) -> Summary {
        let mut rounds: u64 = 0;
        loop {
            rounds += 1;
            for event in events.try_iter().take(MAX_EVENTS_PER_ROUND) {
                (event.0)(&mut self);
            }
            if self.stopping || self.engine.clock.interrupted() {
                self.stop();
            }
            self.renew_leases();
            let must_take_more = self.take_deliveries();
            self.send_ready();
            self.submit();
            if self.is_idle() && (self.stopping || !self.has_more) {
                return self.summary;
            }
            let mut next = events.try_recv().ok();
            if next.is_none() || rounds.is_multiple_of(ROUNDS_PER_IDLE) {
                let idle = self.idle();
                let timeout = if must_take_more { Duration::ZERO } else { idle };
                next = next.or_else(|| self.engine.wait.receive(events, timeout));
            }
            if let Some(event) = next {
                (event.0)(&mut self);
            }
        }
    }

    /// Lets the observer report; returns how long to wait for an event.
    fn idle(&mut self) -> Duration {
        let elapsed = self.elapsed();
        let next_in = self.next_due().map(|due| due.saturating_sub(elapsed));
        let report_in = self.observer.idle(Idle {
            summary: &self.summary,
            in_flight: self.in_flight,
            waiting: self.waiting.len(),
            next_in,
        });
        let times = [report_in, self.next_action_in(), Some(INTERRUPT_POLL)];
        times.into_iter().flatten().min().unwrap_or(INTERRUPT_POLL)
    }

    /// The time until there is something to do even without an event.
    fn next_action_in(&self) -> Option<Duration> {
        if self.stopping {
            return None;
        }
        let elapsed = self.elapsed();
        // A delivery that is already due waits for a free worker, which is an event.
        [self.next_due(), self.ask_source_at, self.rate_allows_at]
            .into_iter()
            .flatten()
            .filter(|at| *at > elapsed)
            .min()
            .map(|at| at - elapsed)
    }

    /// When the next attempt of a waiting delivery is due.
    fn next_due(&self) -> Option<Duration> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    fn pop_due(&mut self) -> Option<(i64, Waiting)> {
        let elapsed = self.elapsed();
        let first = self.waiting.first_entry()?;
        let (due, id) = *first.key();
        (due <= elapsed).then(|| (id, first.remove()))
    }

    fn now(&self) -> UnixMs {
        self.engine.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.engine.clock.elapsed()
    }

    fn under_way(&self) -> usize {
        self.claiming + self.ready.len() + self.in_flight + self.recording
    }

    fn is_idle(&self) -> bool {
        self.under_way() + self.waiting.len() + self.other_writes == 0
    }

    /// Commits `write` with the others of this round, and calls `then` with its result.
    fn write(
        &mut self,
        write: Write,
        then: impl FnOnce(&mut EventLoop<'_>, Written) + Send + 'static,
    ) {
        self.writes.push((write, Box::new(then)));
    }

    /// Submits the writes of this round; their results come back together.
    fn submit(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let replies = Arc::new(Replies {
            waker: self.waker.clone(),
            results: Mutex::default(),
        });
        let with_reply = |(write, then): (Write, Then)| {
            let replies = Arc::clone(&replies);
            let reply: Reply = Box::new(move |result| replies.add(then, result));
            (write, reply)
        };
        let writes = self.writes.drain(..).map(with_reply).collect();
        self.engine.writer.submit(writes);
    }

    /// As [`EventLoop::write`], for a write that no attempt waits for.
    fn write_other(
        &mut self,
        write: Write,
        then: impl FnOnce(&mut EventLoop<'_>, Written) + Send + 'static,
    ) {
        self.other_writes += 1;
        self.write(write, |run, result| {
            run.other_writes -= 1;
            then(run, result);
        });
    }

    pub fn journal_blocked(&self, why: Option<&str>) {
        self.observer.observe(Update::JournalBlocked(why));
    }

    /// Claims deliveries as long as there is room: first those whose next attempt is due, then new ones. Returns whether
    /// to come back at once: deliveries that cannot be sent take no room, and must not delay the others.
    fn take_deliveries(&mut self) -> bool {
        if self.ahead() > self.window.refill_at() {
            return false;
        }
        let mut unsent = 0;
        while self.has_room() {
            if unsent >= MAX_UNSENT_PER_ROUND {
                return true;
            }
            let claimed = match self.pop_due() {
                Some((id, waiting)) => self.claim_again(id, waiting.made),
                None if !self.may_take_more() => return false,
                None => match self.next_item() {
                    Ok(Next::Row(condition, row)) => self.claim_row(condition, row),
                    Ok(Next::Gone(condition, id)) => {
                        self.lose_claim(id, condition);
                        false
                    }
                    Ok(Next::Other(SourceItem::Later(wait))) => {
                        self.ask_source_at = wait.map(|wait| self.elapsed().saturating_add(wait));
                        return false;
                    }
                    Ok(Next::Other(item)) => self.take_item(item),
                    Err(e) => {
                        self.halt(Arc::new(e));
                        false
                    }
                },
            };
            unsent += usize::from(!claimed);
        }
        false
    }

    fn next_item(&mut self) -> Result<Next, JournalError> {
        self.ask_source_at = None;
        let room = self.window.ahead().saturating_sub(self.ahead());
        let max_bytes = MAX_BYTES.saturating_sub(self.bytes);
        let journal = self.engine.journal;
        self.lookahead.next(self.source, journal, room, max_bytes)
    }

    /// Takes an item that is not a row of the journal; returns false if there is nothing to send.
    fn take_item(&mut self, item: SourceItem) -> bool {
        match item {
            SourceItem::New {
                delivery,
                plan,
                line,
            } => return self.accept(delivery, plan, line),
            SourceItem::Ignore { delivery, by, line } => {
                self.ignore(delivery, by, line);
                return true;
            }
            SourceItem::Invalid => self.summary.invalid += 1,
            SourceItem::NotSendable => self.summary.not_sent += 1,
            SourceItem::End => {
                self.has_more = false;
                return true;
            }
            SourceItem::Failed(_) | SourceItem::Due(_) | SourceItem::Later(_) => {}
        }
        false
    }

    /// Claims that no worker has taken yet.
    fn ahead(&self) -> usize {
        self.claiming + self.ready.len()
    }

    fn has_room(&self) -> bool {
        let max = self.engine.limits.jobs + 2 * MAX_AHEAD;
        !self.stopping
            && self.ahead() < self.window.ahead()
            && self.under_way() + self.other_writes < max
            && self.bytes < MAX_BYTES
    }

    fn may_take_more(&mut self) -> bool {
        let limits = self.engine.limits;
        if self.summary.failures_in_a_row >= limits.stop_after || self.summary.total() >= limits.max
        {
            self.has_more = false;
        }
        // A delivery under way may turn out to be another process's, which does not count.
        let under_way = self.under_way() + self.waiting.len() + self.other_writes;
        self.has_more
            && self.summary.total().saturating_add(under_way) < limits.max
            && (limits.claims != Claims::OneByOne || self.is_idle())
            && self.waiting.len() < MAX_WAITING
    }

    fn new_attempt(&mut self, plan: &SendPlan) -> NewAttempt {
        self.longest_timeout = self.longest_timeout.max(plan.timeout);
        NewAttempt {
            insecure: plan.insecure,
            sent_to: plan.sent_to.clone(),
            lease: self.longest_request(plan).saturating_add(LEASE_GRACE),
        }
    }

    /// How long a request may take once the senders have it, with a slow request before it.
    fn longest_request(&self, plan: &SendPlan) -> Duration {
        plan.timeout.saturating_add(self.longest_timeout)
    }

    fn accept(&mut self, delivery: NewDelivery, plan: Arc<SendPlan>, line: u64) -> bool {
        let attempt = self.new_attempt(&plan);
        let (payload, leased_at) = (Arc::clone(&delivery.payload.bytes), self.elapsed());
        self.bytes += payload.len();
        self.claiming += 1;
        self.write(Write::Accept(delivery, attempt), move |run, result| {
            let bytes = payload.len();
            let attempt = |delivery| ClaimedAttempt {
                delivery,
                condition: ClaimCondition::Owned,
                payload,
                captured: None,
                plan,
                made: 0,
                leased_at,
                claimed_at: Duration::ZERO,
                handed_over_at: Duration::ZERO,
            };
            match result {
                Ok(WriteResult::Delivery(delivery)) => run.claim_succeeded(attempt(delivery)),
                Ok(_) => run.claim_failed(bytes),
                Err(e) => {
                    run.claim_failed(bytes);
                    run.not_accepted(line, e);
                }
            }
        });
        true
    }

    fn ignore(&mut self, delivery: NewDelivery, by: Switch, line: u64) {
        self.write_other(
            Write::Ignore(delivery, by),
            move |run, result| match result {
                Ok(WriteResult::Delivery(delivery)) => run.end(&delivery),
                Ok(_) => {}
                Err(e) => run.not_accepted(line, e),
            },
        );
    }

    fn claim_succeeded(&mut self, mut attempt: ClaimedAttempt) {
        self.claiming -= 1;
        self.window.committed();
        attempt.claimed_at = self.elapsed();
        match attempt.delivery.capture {
            Some(capture) if attempt.captured.is_none() => self.fail_without(capture, attempt),
            _ => self.ready.push_back(attempt),
        }
    }

    /// Moves a delivery to the failed list whose capture does not exist.
    fn fail_without(&mut self, capture: i64, mut attempt: ClaimedAttempt) {
        attempt.made = attempt.made.saturating_add(1);
        let message = format!("capture #{capture}, which it forwards, does not exist");
        let outcome = not_sent(ErrorKind::Capture, message);
        self.record_unsent(attempt, outcome, NextStep::Failed);
    }

    /// The commit of a claim has ended without one; `bytes` is the size of its payload.
    fn claim_failed(&mut self, bytes: usize) {
        self.claiming -= 1;
        self.window.committed();
        self.bytes -= bytes;
    }

    /// Claims the next attempt of a delivery that waited for it.
    fn claim_again(&mut self, id: i64, made: u32) -> bool {
        let stored = self.read(id);
        self.claim_stored(id, ClaimCondition::Owned, stored, made)
    }

    fn claim_row(
        &mut self,
        condition: ClaimCondition,
        (delivery, payload): (Delivery, Vec<u8>),
    ) -> bool {
        let made = match condition {
            ClaimCondition::Scheduled { attempts } => attempts,
            ClaimCondition::Owned | ClaimCondition::Failed { .. } => 0,
        };
        let id = delivery.id;
        let stored = self.with_capture(delivery, payload).map(Some);
        self.claim_stored(id, condition, stored, made)
    }

    /// Claims a delivery in the journal; returns false if it cannot be sent.
    fn claim_stored(
        &mut self,
        id: i64,
        condition: ClaimCondition,
        stored: Result<Option<StoredPayload>, JournalError>,
        made: u32,
    ) -> bool {
        let (delivery, payload, captured) = match stored {
            Ok(Some((delivery, payload, captured))) => {
                (delivery, Arc::<[u8]>::from(payload), captured.map(Arc::new))
            }
            Ok(None) => {
                self.lose_claim(id, condition);
                return false;
            }
            Err(e) => {
                self.halt(Arc::new(e));
                return false;
            }
        };
        let Some(plan) = self.source.plan(&delivery) else {
            if condition == ClaimCondition::Owned {
                self.give_up(id);
            } else {
                self.summary.not_sent += 1;
                self.release(id, condition, Contact::NotSent);
            }
            return false;
        };
        let write = Write::Begin(Claim {
            id,
            condition,
            attempt: self.new_attempt(&plan),
        });
        self.bytes += payload.len();
        self.claiming += 1;
        let attempt = ClaimedAttempt {
            delivery: Box::new(delivery),
            condition,
            payload,
            captured,
            plan,
            made,
            leased_at: self.elapsed(),
            claimed_at: Duration::ZERO,
            handed_over_at: Duration::ZERO,
        };
        self.write(write, |run, result| run.claim_committed(attempt, result));
        true
    }

    /// The delivery; none if it was deleted.
    fn read(&self, id: i64) -> Result<Option<StoredPayload>, JournalError> {
        let journal = self.engine.journal;
        let Some(delivery) = journal.delivery(id)? else {
            return Ok(None);
        };
        if delivery.capture.is_some() {
            return self.with_capture(delivery, Vec::new()).map(Some);
        }
        match journal.payload(id) {
            Ok(payload) => Ok(Some((delivery, payload, None))),
            Err(_) if journal.delivery(id)?.is_none() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The delivery with its payload, or with the capture that it forwards, if that exists.
    fn with_capture(
        &self,
        delivery: Delivery,
        payload: Vec<u8>,
    ) -> Result<StoredPayload, JournalError> {
        let stored = match delivery.capture {
            Some(capture) => self.engine.journal.capture(capture)?,
            None => None,
        };
        Ok(match stored {
            Some(StoredCapture { record, body, .. }) => {
                (delivery, body.bytes, Some(record.capture))
            }
            None => (delivery, payload, None),
        })
    }

    fn claim_committed(&mut self, mut attempt: ClaimedAttempt, result: Written) {
        if let Ok(WriteResult::Claimed(number)) = result {
            attempt.delivery.attempt_count = number;
            return self.claim_succeeded(attempt);
        }
        self.claim_failed(attempt.payload.len());
        match result {
            Ok(_) => self.lose_claim(attempt.delivery.id, attempt.condition),
            Err(e) => self.halt(e),
        }
    }

    fn not_accepted(&mut self, line: u64, error: Arc<JournalError>) {
        self.observer.observe(Update::NotAccepted(line));
        self.halt(error);
    }

    /// A delivery that this process does not have, or no longer has.
    fn lose_claim(&mut self, id: i64, condition: ClaimCondition) {
        match condition {
            ClaimCondition::Owned => self.taken_over(id, condition),
            ClaimCondition::Failed { .. } => {
                self.summary.skipped += 1;
                self.observer.observe(Update::Skipped(id));
            }
            // Another process makes the attempt that is due: all is well.
            ClaimCondition::Scheduled { .. } => self.release(id, condition, Contact::NotSent),
        }
    }

    fn taken_over(&mut self, id: i64, condition: ClaimCondition) {
        self.summary.not_sent += 1;
        self.observer.observe(Update::TakenOver(id));
        self.release(id, condition, Contact::NotSent);
    }

    fn release(&mut self, id: i64, condition: ClaimCondition, contact: Contact) {
        if matches!(condition, ClaimCondition::Scheduled { .. }) {
            self.source.released(id, contact);
        }
    }

    /// Hands claimed requests to the senders, as far as they are free and the rate allows.
    fn send_ready(&mut self) {
        self.rate_allows_at = None;
        while !self.stopping && self.in_flight < self.engine.limits.handed_over() {
            let elapsed = self.elapsed();
            let Some(first) = self.ready.front() else {
                let rate_holds = self
                    .bucket
                    .as_ref()
                    .is_some_and(|bucket| bucket.free_at() > elapsed);
                if self.claiming > 0 && !rate_holds {
                    self.window.starve();
                }
                return;
            };
            // Another process may own it by now; a renewal tells.
            if first.leased_at + MAX_LEASE_AGE <= elapsed {
                return;
            }
            if let Some(bucket) = &mut self.bucket
                && let Err(free_at) = bucket.take(elapsed)
            {
                self.rate_allows_at = Some(free_at);
                return;
            }
            if let Some(attempt) = self.ready.pop_front() {
                self.send(attempt);
            }
        }
    }

    fn send(&mut self, mut attempt: ClaimedAttempt) {
        attempt.handed_over_at = self.elapsed();
        self.window
            .sent(attempt.handed_over_at.saturating_sub(attempt.claimed_at));
        self.observer.observe(Update::Sending {
            delivery: &attempt.delivery,
            made: attempt.made,
        });
        let now = self.now();
        let captured = attempt.captured.as_deref();
        let plan = &attempt.plan;
        let request = plan.request(&attempt.delivery, &attempt.payload, captured, now);
        let redactor = Arc::clone(&request.redactor);
        let waker = self.waker.clone();
        let client = attempt.plan.client;
        self.in_flight += 1;
        self.engine.sender.begin(
            client,
            request,
            Box::new(move |completed| {
                waker.send(move |run| run.request_ended(attempt, completed, &redactor));
            }),
        );
    }

    fn request_ended(
        &mut self,
        mut attempt: ClaimedAttempt,
        completed: Completed,
        redactor: &Redactor,
    ) {
        self.in_flight -= 1;
        let Completed { duration, result } = completed;
        let plan = &attempt.plan;
        let retry_after = retry_after(&result, self.now());
        let outcome = outcome_of(&plan.policy, redactor, result);
        attempt.made = attempt.made.saturating_add(1);
        let next = self.next_step(plan, &outcome, attempt.made, retry_after);
        self.record(Recording {
            attempt,
            sent: true,
            duration,
            outcome: Arc::new(outcome),
            next,
            ended_at: self.elapsed(),
        });
    }

    fn next_step(
        &self,
        plan: &SendPlan,
        outcome: &Outcome,
        made: u32,
        retry_after: Option<Duration>,
    ) -> NextStep {
        let Some(error) = &outcome.error else {
            return NextStep::Delivered;
        };
        let stopped = match plan.mode {
            RetryMode::Wait | RetryMode::WaitUnlessRefused => {
                self.stopping || self.engine.clock.interrupted()
            }
            // The schedule keeps the next attempt, so only a request that Ctrl-C cut off is interrupted.
            RetryMode::Schedule => error.kind == ErrorKind::Interrupted,
        };
        let random = (self.engine.random)();
        let delay = plan.policy.wait_after(made, retry_after, random);
        match plan.mode {
            _ if stopped => NextStep::Interrupted,
            _ if made >= plan.policy.attempts() => NextStep::Failed,
            RetryMode::WaitUnlessRefused if made == 1 && is_refused(outcome) => NextStep::Failed,
            RetryMode::Schedule => NextStep::Scheduled { delay },
            RetryMode::Wait | RetryMode::WaitUnlessRefused => NextStep::Retry {
                delay,
                lease: delay.saturating_add(LEASE_GRACE),
            },
        }
    }

    fn record(&mut self, recording: Recording) {
        let attempt = &recording.attempt;
        // The request may have waited for a worker.
        let sent_at = recording
            .ended_at
            .saturating_sub(recording.duration)
            .max(attempt.handed_over_at);
        let result = AttemptResult {
            id: attempt.delivery.id,
            number: attempt.delivery.attempt_count,
            sent_after: sent_at.saturating_sub(attempt.claimed_at),
            duration: recording.duration,
            outcome: Arc::clone(&recording.outcome),
            next: recording.next,
        };
        self.recording += 1;
        self.write(Write::Finish(result), |run, result| {
            run.outcome_committed(recording, result);
        });
    }

    fn outcome_committed(&mut self, recording: Recording, result: Written) {
        self.recording -= 1;
        let Recording {
            attempt,
            sent,
            duration,
            outcome,
            next,
            ended_at,
        } = recording;
        self.bytes -= attempt.payload.len();
        let mut delivery = attempt.delivery;
        let id = delivery.id;
        let contact = match (sent, outcome.http_status) {
            (false, _) => Contact::NotSent,
            (true, Some(_)) => Contact::Responded,
            (true, None) => Contact::NoResponse,
        };
        self.release(id, attempt.condition, contact);
        let result = match result {
            Ok(WriteResult::Deleted) => Err(Arc::new(self.deleted(id))),
            result => result,
        };
        if let Err(e) = result {
            self.halt(e);
            if let Some(halted) = self.summary.halted.as_mut().filter(|_| sent) {
                let words = match &outcome.error {
                    Some(error) => error.message.clone(),
                    None => "delivered".to_owned(),
                };
                halted.unrecorded.push((id, words));
            }
            return;
        }
        apply(&mut delivery, &outcome, next, self.now());
        // An attempt that was only interrupted is not reported.
        if sent || next == NextStep::Failed {
            if outcome.http_status.is_some() {
                self.summary.latencies.add(duration);
            }
            let next_in = match next {
                NextStep::Scheduled { delay } | NextStep::Retry { delay, .. } => Some(delay),
                _ => None,
            };
            let finished = FinishedAttempt {
                made: attempt.made,
                allowed: attempt.plan.policy.attempts(),
                duration,
                outcome: &outcome,
                next_in,
            };
            self.observer
                .observe(Update::Attempted(&delivery, finished));
        }
        match next {
            NextStep::Retry { delay, lease } => {
                let waiting = Waiting {
                    made: attempt.made,
                    lease_until: self.elapsed().saturating_add(lease),
                };
                let due = ended_at.saturating_add(delay);
                self.waiting.insert((due, id), waiting);
            }
            _ => self.end(&delivery),
        }
    }

    fn deleted(&self, id: i64) -> JournalError {
        JournalError::Lost {
            path: self.engine.journal.path().to_owned(),
            what: format!("#{id} was deleted from it"),
        }
    }

    fn end(&mut self, delivery: &Delivery) {
        self.summary.add(delivery, self.engine.clock.interrupted());
        self.observer.observe(Update::Ended(delivery));
    }

    /// The journal cannot be used: sends nothing more.
    fn halt(&mut self, error: Arc<JournalError>) {
        self.stopping = true;
        self.summary.halted.get_or_insert_with(|| Halted {
            source: error,
            unrecorded: Vec::new(),
        });
    }

    /// Takes back claims without a request: to the failed list, or to the schedule if they came from there. Requests in
    /// flight are abandoned, or end by themselves.
    fn stop(&mut self) {
        self.stopping = true;
        self.engine.sender.abandon_interrupted();
        while let Some(attempt) = self.ready.pop_front() {
            self.withdraw(attempt);
        }
        if !self.releasing {
            self.release_waiting();
        }
    }

    /// Moves deliveries that wait for their next attempt to the failed list. If there are more, they follow once these are
    /// recorded and reported: meanwhile other processes can write.
    fn release_waiting(&mut self) {
        let waiting = iter::from_fn(|| self.waiting.pop_first());
        let ids = waiting.take(MAX_RELEASED_AT_ONCE).map(|((_, id), _)| id);
        let ids: Vec<i64> = ids.collect();
        if ids.is_empty() {
            return;
        }
        self.releasing = true;
        self.write_other(Write::Release(ids.clone()), |run, result| {
            run.releasing = false;
            if result.is_err() {
                // For the others it would probably fail as well, each time after a wait. Other processes move them to
                // the failed list, since this one ends.
                run.waiting.clear();
            }
            run.given_up(ids, result);
        });
    }

    fn give_up(&mut self, id: i64) {
        self.write_other(Write::Release(vec![id]), move |run, result| {
            run.given_up(vec![id], result);
        });
    }

    fn given_up(&mut self, ids: Vec<i64>, result: Written) {
        match result {
            Ok(_) => ids.into_iter().for_each(|id| self.report_released(id)),
            Err(e) => self.halt(e),
        }
    }

    fn report_released(&mut self, id: i64) {
        match self.engine.journal.delivery(id) {
            Ok(Some(delivery)) => self.end(&delivery),
            Ok(None) => {}
            Err(e) => self.halt(Arc::new(e)),
        }
    }

    fn withdraw(&mut self, attempt: ClaimedAttempt) {
        let delivery = &attempt.delivery;
        if let ClaimCondition::Scheduled { .. } = attempt.condition {
            self.bytes -= attempt.payload.len();
            // The delivery is as it was before the claim, except for its attempt count.
            let slot = ScheduleSlot {
                due: delivery.next_attempt_at.unwrap_or_else(|| self.now()),
                abandoned: delivery.status.in_failed_list(),
                last_owner: delivery.last_owner.clone(),
            };
            let (id, number) = (delivery.id, delivery.attempt_count);
            self.write_other(Write::PutBack { id, number, slot }, |run, result| {
                if let Err(e) = result {
                    run.halt(e);
                }
            });
            return self.release(id, attempt.condition, Contact::NotSent);
        }
        let message = "stopped before it was sent".to_owned();
        let outcome = not_sent(ErrorKind::Interrupted, message);
        self.record_unsent(attempt, outcome, NextStep::Interrupted);
    }

    /// Records the outcome of an attempt whose request is not sent.
    fn record_unsent(&mut self, attempt: ClaimedAttempt, outcome: Outcome, next: NextStep) {
        let ended_at = attempt.claimed_at;
        self.record(Recording {
            attempt,
            sent: false,
            duration: Duration::ZERO,
            outcome: Arc::new(outcome),
            next,
            ended_at,
        });
    }

    /// Renews the leases of deliveries that wait for a worker, and of retries that are overdue. A low rate or a slow endpoint
    /// can make them wait for longer than a lease lasts; a process that was suspended learns what others took over.
    fn renew_leases(&mut self) {
        let elapsed = self.elapsed();
        if self.stopping || self.renewing || elapsed < self.renew_at {
            return;
        }
        let mut ids = Vec::new();
        let mut longest = Duration::ZERO;
        for attempt in &self.ready {
            ids.push(attempt.delivery.id);
            longest = longest.max(self.longest_request(&attempt.plan));
        }
        let ready = ids.len();
        let renew_before = elapsed + MAX_LEASE_AGE + RENEW_INTERVAL;
        let waiting = self.waiting.iter();
        let expiring = waiting.filter(|(_, waiting)| waiting.lease_until < renew_before);
        for ((due, id), _) in expiring.take(MAX_RENEWED_AT_ONCE) {
            ids.push(*id);
            longest = longest.max(due.saturating_sub(elapsed));
        }
        // If there may be more, they follow as soon as these are renewed.
        if ids.len() - ready < MAX_RENEWED_AT_ONCE {
            self.renew_at = elapsed + RENEW_INTERVAL;
        }
        if ids.is_empty() {
            return;
        }
        let lease = longest.saturating_add(LEASE_GRACE);
        self.renewing = true;
        let write = Write::Renew {
            ids: ids.clone(),
            lease,
        };
        self.write(write, move |run, result| {
            run.renewing = false;
            match result {
                Ok(WriteResult::Renewed(owned)) => run.leases_renewed(&ids, elapsed, lease, &owned),
                Ok(_) => {}
                Err(e) => run.halt(e),
            }
        });
    }

    fn leases_renewed(&mut self, asked: &[i64], at: Duration, lease: Duration, owned: &[i64]) {
        let asked: HashSet<i64> = asked.iter().copied().collect();
        let owned: HashSet<i64> = owned.iter().copied().collect();
        let is_lost = |id: i64| asked.contains(&id) && !owned.contains(&id);
        let mut lost = Vec::new();
        for mut attempt in std::mem::take(&mut self.ready) {
            let id = attempt.delivery.id;
            if is_lost(id) {
                self.bytes -= attempt.payload.len();
                lost.push((id, attempt.condition));
                continue;
            }
            if owned.contains(&id) {
                attempt.leased_at = attempt.leased_at.max(at);
            }
            self.ready.push_back(attempt);
        }
        self.waiting.retain(|(_, id), waiting| {
            if is_lost(*id) {
                lost.push((*id, ClaimCondition::Owned));
                return false;
            }
            if owned.contains(id) {
                waiting.lease_until = waiting.lease_until.max(at.saturating_add(lease));
            }
            true
        });
        for (id, condition) in lost {
            self.taken_over(id, condition);
        }
    }
}

/// The outcome of an attempt whose request is not sent.
fn not_sent(kind: ErrorKind, message: String) -> Outcome {
    Outcome {
        error: Some(AttemptError { kind, message }),
        ..Outcome::default()
    }
}

/// Updates a delivery as the journal does when it records an attempt.
fn apply(delivery: &mut Delivery, outcome: &Outcome, next: NextStep, now: UnixMs) {
    (delivery.status, delivery.next_attempt_at) = match next {
        NextStep::Delivered => (Status::Delivered, None),
        NextStep::Failed => (Status::Failed, None),
        NextStep::Interrupted => (Status::Interrupted, None),
        NextStep::Scheduled { delay } | NextStep::Retry { delay, .. } => {
            (Status::Pending, Some(now.plus(delay)))
        }
    };
    delivery.finished_at = (delivery.status != Status::Pending).then_some(now);
    if let Some(AttemptError { kind, message }) = outcome.error.clone() {
        delivery.last_error = Some(LastError {
            kind,
            http_status: outcome.http_status,
            message,
        });
    }
}
