//! Worker threads that send many requests at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::client::{Client, Exchange, INTERRUPT_POLL};
use super::{Completed, Request};

/// Called once with the result of a request, on another thread.
pub type Done = Box<dyn FnOnce(Completed) + Send>;

/// Up to `jobs` threads, started as needed. They end when the pool is dropped.
pub struct Pool(Arc<Shared>);

struct Shared {
    jobs: usize,
    state: Mutex<State>,
    /// There is a job, or the pool was closed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Exchange>>,
    /// What the threads are working on.
    running: Vec<Arc<Exchange>>,
    threads: usize,
    idle: usize,
    is_watched: bool,
    is_closed: bool,
}

impl Pool {
    pub fn new(jobs: usize) -> Pool {
        Pool(Arc::new(Shared {
            jobs,
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Sends the request as soon as a thread is free, and returns at once. `done` is always called: with the response, at
    /// the deadline, or within 50 ms of an interrupt.
    pub fn begin(&self, client: &Client, request: Request, done: Done) {
        let exchange = Arc::new(Exchange::new(*client, request, done));
        let mut state = self.0.lock();
        if let Err(error) = self.0.add_threads(&mut state) {
            drop(state);
            exchange.fail(&error);
            return;
        }
        state.queue.push_back(exchange);
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread for one more job, if all are busy and there may be more, and the one that watches for interrupts.
    fn add_threads(self: &Arc<Shared>, state: &mut State) -> std::io::Result<()> {
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
        while let Some(exchange) = self.next() {
            exchange.run();
            let is_other = |running: &Arc<Exchange>| !Arc::ptr_eq(running, &exchange);
            self.lock().running.retain(is_other);
        }
    }

    /// Waits for a job; none when the pool is closed.
    fn next(&self) -> Option<Arc<Exchange>> {
        let mut state = self.lock();
        loop {
            if let Some(exchange) = state.queue.pop_front() {
                state.running.push(Arc::clone(&exchange));
                return Some(exchange);
            }
            if state.is_closed {
                return None;
            }
            state.idle += 1;
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Abandons everything once there is an interrupt. The threads stay with their requests until these time out.
    fn watch(&self) {
        loop {
            thread::sleep(INTERRUPT_POLL);
            let mut state = self.lock();
            if state.is_closed {
                return;
            }
            let mut all = state.queue.iter().chain(&state.running);
            if all.any(|exchange| exchange.is_interrupted()) {
                let queue = std::mem::take(&mut state.queue);
                let abandoned: Vec<_> = queue.into_iter().chain(state.running.drain(..)).collect();
                drop(state);
                abandoned.iter().for_each(|exchange| exchange.abandon());
            }
        }
    }
}
