//! Delivers captures: the delivery engine on a thread of its own, beside a command that adds captures to the journal.
//!
//! The schedule in the journal is the queue. The thread sends the deliveries that forward captures and are due, those of
//! earlier runs and of other processes too.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::context::Context;
use super::report::cannot_send;
use super::reports::{Report, Reports};
use crate::capture::Mask;
use crate::config::Config;
use crate::delivery::{Delivery, Status};
use crate::engine::due::DueQueue;
use crate::engine::due_source::{DueReport, DueSource};
use crate::engine::plan::{Clients, PlanError};
use crate::engine::resend::{KnownTargets, Overrides, Planner};
use crate::engine::{
    Claims, Engine, Idle, Inbox, RETRY_PAUSE, RealTime, RunLimits, RunObserver, Update,
    WaitingRetry, Waker,
};
use crate::env::{Environment, SystemClock};
use crate::error::{Failure, Kind};
use crate::http::{Pool, status_text};
use crate::journal::{self, GroupWriter, Journal, JournalError, Location};
use crate::listener::Notifier;
use crate::time::{Clock as _, UnixMs, compact, measured};

/// How often the deliveries that wait are counted, unless that takes more than a small part of the time.
const COUNT_INTERVAL: Duration = Duration::from_millis(500);
const COUNTS_TAKE: u32 = 20;

/// How deliveries are sent that forward captures.
pub struct ForwardOptions {
    pub journal: Location,
    pub config: Config,
    pub known: KnownTargets,
    /// Masks the secrets of captures in responses.
    pub mask: Mask,
    /// Requests at the same time.
    pub jobs: usize,
    /// How many deliveries wait that this process can send, counted regularly up to `max_pending`.
    pub pending: Arc<AtomicUsize>,
    pub max_pending: usize,
    /// Is told that captures have changed.
    pub notifier: Option<Notifier>,
}

/// The running thread. It stops when dropped.
pub struct ForwardThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// That of the engine while it runs.
    waker: Mutex<Option<Waker>>,
    /// When the first of the new deliveries is due; `i64::MAX` if there are none.
    new_from: AtomicI64,
    is_closed: AtomicBool,
    reports: Reports,
}

impl Shared {
    fn set_waker(&self, waker: Waker) {
        let mut current = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(waker);
    }

    fn wake(&self) {
        let current = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*current {
            waker.wake();
        }
    }
}

impl ForwardThread {
    pub fn start(ctx: &Context<'_>, options: ForwardOptions) -> Result<ForwardThread, Failure> {
        let shared = Arc::new(Shared {
            waker: Mutex::default(),
            new_from: AtomicI64::new(i64::MAX),
            is_closed: AtomicBool::new(false),
            reports: Reports::default(),
        });
        let run = ForwardRun {
            shared: Arc::clone(&shared),
            options,
            clock: ctx.clock.clone(),
            clients: Clients::new(ctx.clock.interrupt_flag()),
        };
        let thread = thread::Builder::new().name("forward".to_owned());
        let thread = thread
            .spawn(move || run.run())
            .map_err(|e| Failure::from_error(Kind::Error, e))?;
        Ok(ForwardThread {
            shared,
            thread: Some(thread),
        })
    }

    /// Tells the thread that deliveries were added, and when they are due.
    pub fn waker(&self) -> impl Fn(UnixMs) + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move |due: UnixMs| {
            if shared.new_from.fetch_min(due.0, Ordering::Relaxed) == i64::MAX {
                shared.wake();
            }
        }
    }

    pub fn reports(&self) -> Vec<Report> {
        self.shared.reports.take()
    }

    /// Takes no more deliveries. Returns whether the requests under way have ended.
    pub fn close(&self) -> bool {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.shared.wake();
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for ForwardThread {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            // Fails only after a panic, which was reported.
            let _ = thread.join();
        }
    }
}

struct ForwardRun {
    shared: Arc<Shared>,
    options: ForwardOptions,
    clock: SystemClock,
    clients: Clients,
}

impl ForwardRun {
    /// Runs the engine until it is closed, and again after an error of the journal: the captures are still answered.
    fn run(&self) {
        let mut reported = String::new();
        loop {
            let ended = self.run_engine();
            let is_over = self.shared.is_closed.load(Ordering::Relaxed) || self.clock.interrupted();
            if let Err(error) = ended {
                let next = if is_over { "" } else { "; trying again" };
                let text = format!("captures are not forwarded: {error}{next}");
                if reported != text {
                    reported.clone_from(&text);
                    self.shared.reports.push(text, false);
                }
            }
            if is_over {
                return;
            }
            self.clock.wait(RETRY_PAUSE);
        }
    }

    fn run_engine(&self) -> Result<(), Arc<JournalError>> {
        let options = &self.options;
        let inbox = Inbox::default();
        self.shared.set_waker(inbox.waker());
        let open = || journal::open(options.journal.clone());
        let journal = open()?;
        let shared = Arc::clone(&self.shared);
        let retry = WaitingRetry::new(self.clock.clone(), inbox.waker())
            .until(move || shared.is_closed.load(Ordering::Relaxed));
        let writer = GroupWriter::start(open()?, Some(Box::new(retry)))?;
        let planner = Planner {
            config: &options.config,
            env: &Environment,
            clients: &self.clients,
            overrides: Overrides {
                known: options.known.clone(),
                ..Overrides::default()
            },
            scheduled: true,
            jobs: options.jobs,
            mask: options.mask.clone(),
        };
        let report = ForwardReport {
            run: self,
            journal: &*journal,
            count_at: Cell::new(Duration::ZERO),
        };
        let queue = DueQueue::forwarding(&*journal, options.jobs);
        let mut source = DueSource::new(queue, &planner, &self.clock, &report);
        let engine = Engine {
            journal: &*journal,
            writer: &writer,
            sender: &Pool::new(options.jobs),
            clock: &self.clock,
            wait: &RealTime,
            random: &|| Environment.random(),
            limits: RunLimits::new(options.jobs, Claims::Many),
        };
        let mut summary = engine.run(inbox, &mut source, self);
        match (source.finish(&mut summary), summary.halted) {
            (Some(error), _) => Err(Arc::new(error)),
            (None, Some(halted)) => Err(halted.source),
            (None, None) => Ok(()),
        }
    }

    fn report(&self, delivery: &Delivery, words: &str, succeeded: bool) {
        let capture = delivery.capture.unwrap_or_default();
        let text = format!("#{capture} → {}: {words}", delivery.target);
        self.shared.reports.push(text, succeeded);
    }
}

impl RunObserver for ForwardRun {
    fn observe(&self, update: Update<'_>) {
        match update {
            Update::Attempted(delivery, attempt) => {
                let outcome = attempt.outcome;
                let duration = measured(attempt.duration);
                let words = match (&outcome.error, outcome.http_status) {
                    (None, Some(status)) => format!("{} ({duration})", status_text(status)),
                    (Some(error), _) => format!("{} ({duration})", error.message),
                    (None, None) => format!("delivered ({duration})"),
                };
                let next = match (delivery.status, attempt.next_in) {
                    (Status::Pending, Some(wait)) => {
                        format!(
                            "; attempt {} of {} in {}",
                            attempt.made + 1,
                            attempt.allowed,
                            rounded(wait)
                        )
                    }
                    (Status::Failed, _) if delivery.sequence.is_some() => {
                        let id = delivery.id;
                        format!(
                            "; all attempts failed, and later ones of its bin wait: `hookfire retry {id}` sends it again, \
                             `hookfire failed delete {id}` skips it"
                        )
                    }
                    (Status::Failed, _) => {
                        format!("; all attempts failed, `hookfire retry {}`", delivery.id)
                    }
                    _ => String::new(),
                };
                self.report(delivery, &(words + &next), outcome.error.is_none());
            }
            Update::Ended(_) => {
                if let Some(notifier) = &self.options.notifier {
                    notifier.changed();
                }
            }
            Update::JournalBlocked(Some(why)) => {
                let text = format!("captures wait to be forwarded: {why}");
                self.shared.reports.push(text, false);
            }
            Update::Sending { .. }
            | Update::Skipped(_)
            | Update::TakenOver(_)
            | Update::NotAccepted(_)
            | Update::JournalBlocked(None) => {}
        }
    }

    fn idle(&self, _: Idle<'_>) -> Option<Duration> {
        None
    }
}

/// Longer than a second, in whole seconds.
fn rounded(wait: Duration) -> String {
    match wait.as_secs() {
        0 => compact(wait),
        seconds => compact(Duration::from_secs(seconds)),
    }
}

/// Takes note of new deliveries, counts those that wait, and reports those that cannot be sent.
struct ForwardReport<'a> {
    run: &'a ForwardRun,
    journal: &'a dyn Journal,
    /// When to count the waiting deliveries again, on the monotonic clock.
    count_at: Cell<Duration>,
}

impl ForwardReport<'_> {
    /// Other processes send deliveries too, so that they are counted again now and then. Those that this process cannot send
    /// must not keep it from accepting others.
    fn count(&self, queue: &DueQueue<'_>) -> Result<(), JournalError> {
        let (options, clock) = (&self.run.options, &self.run.clock);
        let started = clock.elapsed();
        if started < self.count_at.get() {
            return Ok(());
        }
        let unsendable = queue.unsendable()?;
        let max = options.max_pending.saturating_add(unsendable);
        let waiting = self.journal.pending_forwards(max)?;
        let sendable = waiting.saturating_sub(unsendable);
        options.pending.store(sendable, Ordering::Relaxed);
        let ended = clock.elapsed();
        let pause = ended.saturating_sub(started).saturating_mul(COUNTS_TAKE);
        self.count_at.set(ended + pause.max(COUNT_INTERVAL));
        Ok(())
    }
}

impl DueReport for ForwardReport<'_> {
    fn before_next(&self, queue: &mut DueQueue<'_>) -> Result<bool, JournalError> {
        let shared = &self.run.shared;
        if shared.is_closed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let new_from = shared.new_from.swap(i64::MAX, Ordering::Relaxed);
        if new_from != i64::MAX {
            queue.look_from(UnixMs(new_from));
        }
        self.count(queue).map(|()| true)
    }

    fn cannot_send(&self, delivery: &Delivery, number: usize, error: PlanError) {
        let failure = cannot_send(delivery, number, error);
        let hints = failure.hints.join("; ");
        let text = format!("{}; {hints}", failure.message_with_causes());
        self.run.shared.reports.push(text, false);
        self.count_at.set(Duration::ZERO);
    }
}
