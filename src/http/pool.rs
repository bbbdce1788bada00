//! Worker threads that send requests, so that their callers can abandon them at an interrupt.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::receiver::{Done, InFlight, Receiver, lock};
use super::{Completed, Cut, Request, Response, SendError};
use crate::delivery::ErrorKind;

/// How soon an interrupt is noticed.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

/// Up to `jobs` threads, started as needed. They end when the pool is dropped.
pub struct Pool(Arc<Workers>);

struct Workers {
    jobs: usize,
    state: Mutex<Jobs>,
    /// There is a job, or the pool was closed.
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    queue: VecDeque<Arc<Exchange>>,
    running: Vec<Arc<Exchange>>,
    threads: usize,
    idle: usize,
    is_watched: bool,
    is_closed: bool,
}

impl Pool {
    pub fn new(jobs: usize) -> Pool {
        Pool(Arc::new(Workers {
            jobs,
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Sends the request as soon as a thread is free, and returns at once. `done` is always called: with the response, at
    /// the deadline, or within 50 ms of an interrupt.
    pub fn begin(&self, client: &Client, request: Request, done: Done) {
        let exchange = Arc::new(Exchange {
            client: *client,
            progress: Mutex::new(InFlight {
                request: Some(request),
                begun: None,
                received: None,
                done: Some(done),
            }),
        });
        let mut state = lock(&self.0.state);
        if let Err(error) = self.0.add_threads(&mut state) {
            drop(state);
            let message = format!("no thread to send it on: {error}");
            exchange.report(Err(SendError::not_sent(ErrorKind::Connect, message)));
            return;
        }
        state.queue.push_back(exchange);
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Client {
    /// Sends one request and waits for its result, until the deadline or an interrupt.
    pub fn send(&self, request: Request) -> Completed {
        let (sender, receiver) = mpsc::sync_channel(1);
        let pool = Pool::new(1);
        pool.begin(
            self,
            request,
            Box::new(move |completed| drop(sender.send(completed))),
        );
        receiver.recv().unwrap_or_else(|_| Completed {
            duration: Duration::ZERO,
            result: Err(panicked()),
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.0.state).is_closed = true;
        self.0.changed.notify_all();
    }
}

impl Workers {
    /// Starts a thread for one more job, if all are busy and there may be more, and the one that watches for interrupts.
    fn add_threads(self: &Arc<Workers>, state: &mut Jobs) -> std::io::Result<()> {
        if !state.is_watched {
            let shared = Arc::clone(self);
            thread::Builder::new().spawn(move || shared.watch())?;
            state.is_watched = true;
        }
        if state.queue.len() >= state.idle && state.threads < self.jobs {
            let shared = Arc::clone(self);
            match thread::Builder::new().spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                // The threads that there are will get to it.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(exchange) = state.queue.pop_front() {
                state.running.push(Arc::clone(&exchange));
                drop(state);
                exchange.run();
                state = lock(&self.state);
                state.running.retain(|other| !Arc::ptr_eq(other, &exchange));
            } else if state.is_closed {
                return;
            } else {
                state.idle += 1;
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    /// Abandons everything once there is an interrupt. The threads stay with their requests until these time out.
    fn watch(&self) {
        loop {
            thread::sleep(INTERRUPT_POLL);
            let mut state = lock(&self.state);
            if state.is_closed && state.running.is_empty() && state.queue.is_empty() {
                return;
            }
            let mut all = state.queue.iter().chain(&state.running);
            if all.any(|exchange| exchange.client.is_interrupted()) {
                let queue = std::mem::take(&mut state.queue);
                let abandoned: Vec<_> = queue.into_iter().chain(state.running.drain(..)).collect();
                drop(state);
                abandoned.iter().for_each(|exchange| exchange.abandon());
            }
        }
    }
}

/// A request under way, shared by the thread that runs it and the one that may abandon it. The first to end it reports.
struct Exchange {
    client: Client,
    progress: Mutex<InFlight>,
}

impl Exchange {
    fn run(&self) {
        if self.client.is_interrupted() {
            return self.abandon();
        }
        let mut progress = lock(&self.progress);
        progress.begun = Some(Instant::now());
        let Some(request) = progress.request.take() else {
            return;
        };
        drop(progress);
        let receiver = Receiver {
            progress: &self.progress,
            timeout: self.client.timeout(),
            limit: request.body_limit,
            memory: request.memory.clone(),
            length: Cell::new(0),
        };
        // The panic hook has reported where; the other requests go on.
        let run = catch_unwind(AssertUnwindSafe(|| self.client.run(request, &receiver)));
        let error = run.unwrap_or_else(|_| Err(panicked())).err();
        let received = lock(&self.progress).received.take();
        self.report(received.ok_or_else(|| error.unwrap_or_else(panicked)));
    }

    /// Reports what was received so far. The result of the thread that runs the request is dropped.
    fn abandon(&self) {
        let mut progress = lock(&self.progress);
        let has_begun = progress.begun.is_some();
        let received = progress.received.take();
        drop(progress);
        let message = if has_begun {
            "stopped before a response"
        } else {
            "stopped before it was sent"
        };
        self.report(match received {
            Some(mut response) => {
                let reason = "was still arriving at the interrupt".to_owned();
                response.cut = Some(Cut::Broken(reason));
                Ok(response)
            }
            None => Err(SendError {
                kind: ErrorKind::Interrupted,
                message: message.to_owned(),
                maybe_received: has_begun,
            }),
        });
    }

    fn report(&self, result: Result<Response, SendError>) {
        let mut progress = lock(&self.progress);
        let (begun, done) = (progress.begun, progress.done.take());
        drop(progress);
        if let Some(done) = done {
            let duration = begun.map(|begun| begun.elapsed()).unwrap_or_default();
            done(Completed { duration, result });
        }
    }
}

fn panicked() -> SendError {
    SendError {
        kind: ErrorKind::Protocol,
        message: "the HTTP client failed (a bug in hookfire)".to_owned(),
        maybe_received: true,
    }
}
