//! Delivers captures: the delivery engine on a thread of its own, beside a command that adds captures to the journal.
//!
//! The schedule in the journal is the queue. The thread sends the deliveries that forward captures and are due, those of
//! earlier runs and of other processes too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::context::Context;
use super::reports::{Report, Reports};
use crate::capture::Mask;
use crate::config::{Config, Settings};
use crate::delivery::target::Target;
use crate::delivery::{Delivery, Status};
use crate::engine::due::{DueQueue, Upcoming, postpone};
use crate::engine::plan::{Clients, PlanError};
use crate::engine::resend::{Overrides, Planner, url_key};
use crate::engine::{
    Claims, Contact, Engine, Idle, Inbox, RETRY_PAUSE, RealTime, RunLimits, RunObserver, SendPlan,
    Source, SourceItem, Update, WaitingRetry, Waker,
};
use crate::env::{Environment, SystemClock};
use crate::error::{Failure, Kind};
use crate::http::{Pool, status_text};
use crate::journal::{self, GroupWriter, Journal, JournalError, Location};
use crate::listener::Notifier;
use crate::time::{Clock as _, UnixMs, compact, measured};

/// The shortest time until the schedule is read again.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// How often the deliveries that wait are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(500);

/// How deliveries are sent that forward captures.
pub struct ForwardOptions {
    pub journal: Location,
    pub config: Config,
    /// Over those of the endpoints.
    pub transport: Settings,
    /// Targets that were given as URLs: the journal has them without their secrets.
    pub targets: Vec<Target>,
    /// Masks the secrets of captures in responses.
    pub mask: Mask,
    /// Requests at the same time.
    pub jobs: usize,
    /// How many deliveries wait, counted regularly up to `max_pending`.
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
    inbox: Waker,
    /// When the first of the new deliveries is due; `i64::MAX` if there are none.
    new_from: AtomicI64,
    is_closed: AtomicBool,
    reports: Reports,
}

impl ForwardThread {
    pub fn start(ctx: &Context<'_>, options: ForwardOptions) -> Result<ForwardThread, Failure> {
        let inbox = Inbox::default();
        let shared = Arc::new(Shared {
            inbox: inbox.waker(),
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
            .spawn(move || run.run(inbox))
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
                shared.inbox.wake();
            }
        }
    }

    pub fn reports(&self) -> Vec<Report> {
        self.shared.reports.take()
    }

    /// Takes no more deliveries. Returns whether the requests under way have ended.
    pub fn close(&self) -> bool {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.shared.inbox.wake();
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
    fn run(&self, mut inbox: Inbox) {
        let mut reported = String::new();
        loop {
            let ended = self.run_engine(inbox);
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
            inbox = Inbox::default();
        }
    }

    fn run_engine(&self, inbox: Inbox) -> Result<(), Arc<JournalError>> {
        let options = &self.options;
        let open = || journal::open(options.journal.clone());
        let journal = open()?;
        let shared = Arc::clone(&self.shared);
        let retry = WaitingRetry::new(self.clock.clone(), inbox.waker())
            .until(move || shared.is_closed.load(Ordering::Relaxed));
        let writer = GroupWriter::start(open()?, Some(Box::new(retry)))?;
        let keyed = |target: &Target| (url_key(target), target.clone());
        let planner = Planner {
            config: &options.config,
            env: &Environment,
            clients: &self.clients,
            overrides: Overrides {
                settings: options.transport.clone(),
                urls: options.targets.iter().map(keyed).collect::<HashMap<_, _>>(),
                ..Overrides::default()
            },
            scheduled: true,
            jobs: options.jobs,
            mask: options.mask.clone(),
        };
        let mut source = ForwardSource {
            run: self,
            journal: &*journal,
            planner: &planner,
            queue: DueQueue::forwarding(&*journal, options.jobs),
            not_sendable: HashSet::new(),
            count_at: Duration::ZERO,
            error: None,
        };
        let engine = Engine {
            journal: &*journal,
            writer: &writer,
            sender: &Pool::new(options.jobs),
            clock: &self.clock,
            wait: &RealTime,
            random: &|| Environment.random(),
            limits: RunLimits::new(options.jobs, Claims::Many),
        };
        let summary = engine.run(inbox, &mut source, self);
        match (source.error, summary.halted) {
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

/// The engine's source: deliveries that forward captures, as they become due.
struct ForwardSource<'a> {
    run: &'a ForwardRun,
    journal: &'a dyn Journal,
    planner: &'a Planner<'a>,
    queue: DueQueue<'a>,
    /// Deliveries that were reported as not sendable: once is enough.
    not_sendable: HashSet<i64>,
    /// When to count the waiting deliveries again, on the monotonic clock.
    count_at: Duration,
    /// Why the schedule cannot be read.
    error: Option<JournalError>,
}

impl ForwardSource<'_> {
    /// Other processes send deliveries too, so that they are counted again now and then.
    fn count(&mut self) -> Result<(), JournalError> {
        let elapsed = self.run.clock.elapsed();
        if elapsed >= self.count_at {
            let options = &self.run.options;
            let waiting = self.journal.pending_forwards(options.max_pending)?;
            options.pending.store(waiting, Ordering::Relaxed);
            self.count_at = elapsed + COUNT_INTERVAL;
        }
        Ok(())
    }

    fn postpone(&mut self, delivery: &Delivery, error: PlanError) {
        if self.not_sendable.insert(delivery.id) {
            let words = format!("not sent, it stays scheduled: {error}");
            self.run.report(delivery, &words, false);
        }
        if let Err(e) = postpone(self.journal, delivery, true) {
            self.error.get_or_insert(e);
        }
    }
}

impl Source for ForwardSource<'_> {
    fn next(&mut self) -> SourceItem {
        let shared = &self.run.shared;
        if self.error.is_some() || shared.is_closed.load(Ordering::Relaxed) {
            return SourceItem::End;
        }
        let new_from = shared.new_from.swap(i64::MAX, Ordering::Relaxed);
        if new_from != i64::MAX {
            self.queue.look_from(UnixMs(new_from));
        }
        let now = self.run.clock.now();
        if let Err(e) = self.count() {
            self.error = Some(e);
            return SourceItem::End;
        }
        match self.queue.next(now) {
            Ok(Upcoming::Due(seen)) => SourceItem::Due(seen),
            Ok(Upcoming::Later(at)) => SourceItem::Later(Some(at.since(now).max(MIN_WAIT))),
            Ok(Upcoming::End) => SourceItem::End,
            Err(e) => {
                self.error = Some(e);
                SourceItem::End
            }
        }
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        match self.planner.plan(delivery) {
            Ok(planned) => Some(Arc::new(planned.plan)),
            Err(e) => {
                self.postpone(delivery, e);
                None
            }
        }
    }

    fn released(&mut self, id: i64, contact: Contact) {
        if contact != Contact::NotSent {
            self.not_sendable.remove(&id);
        }
        self.queue.release(id, contact, self.run.clock.now());
    }
}
