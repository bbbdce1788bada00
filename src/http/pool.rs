//! Worker threads that send requests, so that their callers can abandon them at an interrupt.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::{Completed, Cut, Request, Response, SendError, SendRequest};
use crate::delivery::ErrorKind;

/// How soon an interrupt is noticed.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

/// Called once with the result of a request, on any thread.
pub type Done = Box<dyn FnOnce(Completed) + Send>;

/// Up to `jobs` threads, started as needed. They end after the pool is dropped.
pub struct Pool {
    jobs: usize,
    workers: Arc<Workers>,
}

#[derive(Default)]
struct Workers {
    state: Mutex<PoolState>,
    /// There is a job, or the pool was closed.
    changed: Condvar,
}

#[derive(Default)]
struct PoolState {
    queue: VecDeque<Arc<Exchange>>,
    running: Vec<Arc<Exchange>>,
    threads: usize,
    is_closed: bool,
}

impl Pool {
    pub fn new(jobs: usize) -> Pool {
        Pool {
            jobs,
            workers: Arc::default(),
        }
    }

    /// Sends the request as soon as a thread is free, and returns at once. `done` is called with the response, at the
    /// deadline, or when [`Pool::abandon_interrupted`] is called.
    pub fn begin(&self, client: Client, request: Request, done: Done) {
        let exchange = Arc::new(Exchange {
            client,
            state: Mutex::new(ExchangeState {
                request: Some(request),
                begun: None,
                head: None,
                done: Some(done),
            }),
        });
        let mut state = lock(&self.workers.state);
        if state.threads < self.jobs {
            let workers = Arc::clone(&self.workers);
            match thread::Builder::new().spawn(move || workers.work()) {
                Ok(_) => state.threads += 1,
                Err(e) if state.threads == 0 => {
                    drop(state);
                    let message = format!("no thread to send it on: {e}");
                    let error = SendError::not_sent(ErrorKind::Connect, message);
                    return exchange.report(Err(error));
                }
                // The threads that there are will get to it.
                Err(_) => {}
            }
        }
        state.queue.push_back(exchange);
        drop(state);
        self.workers.changed.notify_one();
    }

    /// Abandons all requests if there was an interrupt. The threads stay with them until they time out.
    pub fn abandon_interrupted(&self) {
        let mut state = lock(&self.workers.state);
        let mut all = state.queue.iter().chain(&state.running);
        if !all.any(|exchange| exchange.client.is_interrupted()) {
            return;
        }
        let queue = std::mem::take(&mut state.queue);
        let abandoned: Vec<_> = queue.into_iter().chain(state.running.drain(..)).collect();
        drop(state);
        abandoned.iter().for_each(|exchange| exchange.abandon());
    }
}

impl SendRequest for Client {
    /// Waits until the deadline or an interrupt.
    fn send(&self, request: Request) -> Completed {
        let (sender, receiver) = mpsc::sync_channel(1);
        let pool = Pool::new(1);
        let done = move |completed| drop(sender.send(completed));
        pool.begin(*self, request, Box::new(done));
        loop {
            match receiver.recv_timeout(INTERRUPT_POLL) {
                Ok(completed) => return completed,
                Err(RecvTimeoutError::Timeout) => pool.abandon_interrupted(),
                Err(RecvTimeoutError::Disconnected) => {
                    return Completed {
                        duration: Duration::ZERO,
                        result: Err(panicked()),
                    };
                }
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.workers.state).is_closed = true;
        self.workers.changed.notify_all();
    }
}

impl Workers {
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
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// A request, shared by the thread that runs it and the one that may abandon it. The first to end it reports.
struct Exchange {
    client: Client,
    state: Mutex<ExchangeState>,
}

struct ExchangeState {
    request: Option<Request>,
    begun: Option<Instant>,
    head: Option<Response>,
    /// Taken by the thread that reports.
    done: Option<Done>,
}

impl Exchange {
    fn run(&self) {
        if self.client.is_interrupted() {
            return self.abandon();
        }
        let mut state = lock(&self.state);
        state.begun = Some(Instant::now());
        let Some(request) = state.request.take() else {
            return;
        };
        drop(state);
        let on_head = |head: &Response| lock(&self.state).head = Some(head.clone());
        // The panic hook has reported where; the other requests go on.
        let run = catch_unwind(AssertUnwindSafe(|| self.client.run(request, on_head)));
        self.report(run.unwrap_or_else(|_| Err(panicked())));
    }

    /// Reports the response as far as it was read. The thread that runs the request reports nothing then.
    fn abandon(&self) {
        let mut state = lock(&self.state);
        let (head, has_begun) = (state.head.take(), state.begun.is_some());
        drop(state);
        let message = if has_begun {
            "stopped before a response"
        } else {
            "stopped before it was sent"
        };
        self.report(match head {
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
        let mut state = lock(&self.state);
        let (begun, done) = (state.begun, state.done.take());
        drop(state);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
