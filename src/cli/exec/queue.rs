//! Runs a command for each capture, in the order of captures, after the response.
//!
//! The queue holds ids only; workers read the captures from the journal. It is lost with the process: a capture without a run
//! was not passed to the command.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Runner;
use crate::capture::expect::Expectation;
use crate::capture::{Body, Capture, CapturedResponse, Run};
use crate::cli::reports::{Report, Reports};
use crate::journal::{CaptureStore, Journal, JournalError, StoreReply, StoredCapture};
use crate::listener::Notifier;
use crate::text::count;
use crate::time::Clock as _;

/// Commands that run, and those that wait.
pub struct ExecQueue {
    queue: Arc<RunQueue>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct RunQueue {
    state: Mutex<State>,
    changed: Condvar,
    reports: Reports,
}

#[derive(Default)]
struct State {
    ids: VecDeque<RangeInclusive<i64>>,
    is_closed: bool,
}

impl RunQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, id: i64) {
        let mut state = self.lock();
        match state.ids.back_mut() {
            Some(ids) if ids.end() + 1 == id => *ids = *ids.start()..=id,
            _ => state.ids.push_back(id..=id),
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next id; waits for one. None at the end.
    fn pop(&self, runner: &Runner) -> Option<i64> {
        const POLL_INTERVAL: Duration = Duration::from_millis(50);
        let mut state = self.lock();
        loop {
            if runner.clock.interrupted() {
                return None;
            }
            if let Some(ids) = state.ids.front_mut() {
                let id = *ids.start();
                match id < *ids.end() {
                    true => *ids = id + 1..=*ids.end(),
                    false => drop(state.ids.pop_front()),
                }
                return Some(id);
            }
            if state.is_closed {
                return None;
            }
            let waited = self.changed.wait_timeout(state, POLL_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl ExecQueue {
    /// With one worker per journal.
    pub fn start(
        runner: &Runner,
        filter: &Expectation,
        journals: Vec<Box<dyn Journal>>,
        notifier: &Notifier,
    ) -> ExecQueue {
        let queue = Arc::new(RunQueue::default());
        let workers = journals.into_iter().map(|journal| {
            let worker = Worker {
                queue: Arc::clone(&queue),
                runner: runner.clone(),
                filter: filter.clone(),
                notifier: notifier.clone(),
                journal,
            };
            std::thread::spawn(move || worker.work())
        });
        let workers = workers.collect();
        ExecQueue { queue, workers }
    }

    /// A store that also queues the captures that may be passed to the command.
    pub fn feed<S: CaptureStore>(&self, store: S) -> ExecStore<S> {
        ExecStore {
            store,
            queue: Arc::clone(&self.queue),
        }
    }

    pub fn reports(&self) -> Vec<Report> {
        self.queue.reports.take()
    }

    /// Takes nothing new. Returns whether all commands have ended.
    pub fn close(&self) -> bool {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// The captures for which no command was run, after the end.
    pub fn left_out(&self) -> Option<String> {
        let state = self.queue.lock();
        let waiting: i64 = state
            .ids
            .iter()
            .map(|ids| ids.end() - ids.start() + 1)
            .sum();
        let waiting = usize::try_from(waiting).unwrap_or_default();
        (waiting > 0).then(|| {
            let captures = count(waiting, "capture was", "captures were");
            format!("{captures} not passed to the command; `hookfire captured replay ID --exec CMD` does that")
        })
    }
}

struct Worker {
    queue: Arc<RunQueue>,
    runner: Runner,
    filter: Expectation,
    notifier: Notifier,
    journal: Box<dyn Journal>,
}

impl Worker {
    fn work(&self) {
        while let Some(id) = self.queue.pop(&self.runner) {
            let result = match self.journal.capture(id) {
                Ok(Some(capture)) if self.filter.is_met(&capture.record.capture, &capture.body) => {
                    self.runner.run(&capture)
                }
                Ok(Some(_)) => continue,
                Ok(None) => Err("not run: the capture was deleted".to_owned()),
                Err(error) => Err(format!("not run: {error}")),
            };
            self.notifier.changed();
            let succeeded = result.as_ref().is_ok_and(Run::succeeded);
            let text = report(id, &self.runner.name(), &result);
            self.queue.reports.push(text, succeeded);
        }
    }
}

fn report(id: i64, command: &str, result: &Result<Run, String>) -> String {
    let text = match result {
        Ok(run) => {
            let last = run
                .stderr
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty());
            let last = last.filter(|_| !run.succeeded());
            let last = last.map_or(String::new(), |line| format!(": {}", line.trim()));
            format!("{}{last}", run.outcome())
        }
        Err(error) => error.clone(),
    };
    format!("#{id} {command}: {text}")
}

/// Stores captures in another store, and queues them.
pub struct ExecStore<S> {
    store: S,
    queue: Arc<RunQueue>,
}

impl<S: CaptureStore> CaptureStore for ExecStore<S> {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        let is_accepted = capture.is_accepted();
        let queue = Arc::clone(&self.queue);
        let stored = move |result: Result<Arc<StoredCapture>, Arc<JournalError>>| {
            if let Ok(capture) = &result
                && is_accepted
            {
                queue.push(capture.record.id);
            }
            done(result);
        };
        self.store.store(capture, body, Box::new(stored));
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: StoreReply<()>) {
        self.store.set_response(id, response, done);
    }
}
