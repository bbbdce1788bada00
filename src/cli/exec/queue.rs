//! Runs a command for each capture, in the order of captures, after the response.
//!
//! The queue holds ids only; workers read the captures from the journal. It is lost with the process: a capture without a run
//! was not passed to the command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    sender: Sender<i64>,
    workers: Vec<JoinHandle<()>>,
}

struct RunQueue {
    /// Ids of captures that wait.
    waiting: Mutex<Receiver<i64>>,
    is_closed: AtomicBool,
    reports: Reports,
}

impl RunQueue {
    fn waiting(&self) -> MutexGuard<'_, Receiver<i64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next id; waits for one. None at the end.
    fn pop(&self, runner: &Runner) -> Option<i64> {
        const POLL_INTERVAL: Duration = Duration::from_millis(50);
        loop {
            let waiting = self.waiting();
            if runner.clock.interrupted() {
                return None;
            }
            let is_closed = self.is_closed.load(Ordering::Relaxed);
            let timeout = match is_closed {
                true => Duration::ZERO,
                false => POLL_INTERVAL,
            };
            match waiting.recv_timeout(timeout) {
                Ok(id) => return Some(id),
                Err(_) if is_closed => return None,
                Err(_) => {}
            }
        }
    }
}

impl ExecQueue {
    /// Starts one worker per journal.
    pub fn start(
        runner: &Runner,
        filter: &Expectation,
        journals: Vec<Box<dyn Journal>>,
        notifier: &Notifier,
    ) -> ExecQueue {
        let (sender, waiting) = mpsc::channel();
        let queue = Arc::new(RunQueue {
            waiting: Mutex::new(waiting),
            is_closed: AtomicBool::new(false),
            reports: Reports::default(),
        });
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
        ExecQueue {
            queue,
            sender,
            workers,
        }
    }

    /// A store that also queues the captures that may be passed to the command.
    pub fn feed<S: CaptureStore>(&self, store: S) -> ExecStore<S> {
        ExecStore {
            store,
            sender: self.sender.clone(),
        }
    }

    pub fn reports(&self) -> Vec<Report> {
        self.queue.reports.take()
    }

    /// Takes nothing new. Returns whether all commands have ended.
    pub fn close(&self) -> bool {
        self.queue.is_closed.store(true, Ordering::Relaxed);
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// The captures for which no command was run, after the end.
    pub fn left_out(&self) -> Option<String> {
        let waiting = self.queue.waiting().try_iter().count();
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
    sender: Sender<i64>,
}

impl<S: CaptureStore> CaptureStore for ExecStore<S> {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        let is_accepted = capture.is_accepted();
        let sender = self.sender.clone();
        let stored = move |result: Result<Arc<StoredCapture>, Arc<JournalError>>| {
            if let Ok(capture) = &result
                && is_accepted
            {
                // The queue lives as long as the listener.
                let _ = sender.send(capture.record.id);
            }
            done(result);
        };
        self.store.store(capture, body, Box::new(stored));
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: StoreReply<()>) {
        self.store.set_response(id, response, done);
    }
}
