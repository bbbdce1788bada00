//! Sending many requests at once over connections that are kept.
//!
//! Whoever begins a request is not kept waiting: the worker that made it tells what came of it, and takes the next one that
//! waits. One thread watches them all, and turns away from those that are over the deadline, or from all when the user
//! interrupts; a worker that was turned away from is forgotten with what it is at, and another takes its place.
//!
//! A kept connection that the endpoint has closed meanwhile is left, and another made, only as long as nothing of the
//! request was written to it. So it is still exactly one request each.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::worker::{Progress, exchange};
use super::{Collected, DEADLINE_GRACE, INTERRUPT_GRAIN, Sender, body_limit, gave_up, masked, stopped, wire_request};
use crate::delivery::{AttemptError, ErrorKind};
use crate::target::Resolved;
use crate::transport::{Answer, Answered, Crew, NoResponse, Request};

/// Sends requests to one kind of target with one set of options, on the threads of a pool.
pub struct KeptAlive {
    sender: Arc<Sender>,
    pool: Arc<Pool>,
}

impl KeptAlive {
    /// Sends as `sender` does, whose client should keep its connections.
    pub fn new(sender: Sender, pool: Arc<Pool>) -> KeptAlive {
        KeptAlive { sender: Arc::new(sender), pool }
    }
}

impl Crew for KeptAlive {
    fn begin(&self, request: Request, answered: Answered) {
        self.pool.begin(Waiting { sender: Arc::clone(&self.sender), request, answered });
    }
}

/// So many threads, which make one request each at a time.
pub struct Pool(Arc<Shared>);

struct Shared {
    jobs: usize,
    interrupted: Arc<AtomicBool>,
    state: Mutex<State>,
    /// A request waits for a worker.
    waits: Condvar,
    /// There is something to watch again, or never more.
    begun: Condvar,
}

#[derive(Default)]
struct State {
    newest: u64,
    waiting: VecDeque<Waiting>,
    under_way: HashMap<u64, UnderWay>,
    /// Those that look for work, and all that may.
    idle: usize,
    workers: usize,
    closed: bool,
}

/// A request that no worker has yet.
struct Waiting {
    sender: Arc<Sender>,
    request: Request,
    answered: Answered,
}

/// A request that a worker has, and who waits for it.
struct UnderWay {
    sender: Arc<Sender>,
    target: Arc<Resolved>,
    progress: Arc<Progress>,
    begun: Instant,
    answered: Answered,
}

impl Pool {
    /// At most `jobs` threads, which are started as they are needed.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(jobs: usize, interrupted: Arc<AtomicBool>) -> std::io::Result<Pool> {
        let (waits, begun) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { jobs, interrupted, state: Mutex::default(), waits, begun });
        let watched = Arc::clone(&shared);
        thread::Builder::new().name("watch".to_owned()).spawn(move || watched.watch())?;
        Ok(Pool(shared))
    }

    fn begin(&self, waiting: Waiting) {
        let mut state = self.0.lock();
        state.waiting.push_back(waiting);
        self.0.man(&mut state);
        if state.workers == 0
            && let Some(Waiting { answered, .. }) = state.waiting.pop_back()
        {
            drop(state);
            answered(unsent(ErrorKind::Connect, "no thread to send it on".to_owned()));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.begun.notify_all();
        self.0.waits.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees that there is a worker for what waits, as long as there may be one more.
    fn man(self: &Arc<Shared>, state: &mut State) {
        if state.idle > 0 {
            self.waits.notify_one();
        }
        // Those that are idle may be on their way to what came before.
        if state.waiting.len() > state.idle && state.workers < self.jobs {
            let shared = Arc::clone(self);
            if thread::Builder::new().name("send".to_owned()).spawn(move || shared.work()).is_ok() {
                state.workers += 1;
            }
        }
    }

    /// Makes one request after the other.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            let Some(Waiting { sender, request, answered }) = state.waiting.pop_front() else {
                if state.closed {
                    return;
                }
                state.idle += 1;
                state = self.waits.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            if state.under_way.is_empty() {
                self.begun.notify_one();
            }
            state.newest += 1;
            let (key, begun, progress) = (state.newest, Instant::now(), Arc::<Progress>::default());
            let target = Arc::clone(&request.target);
            let under_way = UnderWay {
                sender: Arc::clone(&sender),
                target: Arc::clone(&target),
                progress: Arc::clone(&progress),
                begun,
                answered,
            };
            state.under_way.insert(key, under_way);
            drop(state);
            // After a panic, which was told, the others are sent as if it were the endpoint's fault.
            let made = catch_unwind(AssertUnwindSafe(|| make(&sender, request, &progress)));
            let result = made.unwrap_or_else(|_| gave_up(progress.take()));
            let taken_back = self.lock().under_way.remove(&key);
            // Turned away from: another worker has this one's place by now.
            let Some(UnderWay { answered, .. }) = taken_back else { return };
            answered(Answer { duration: begun.elapsed(), result: result.map(|found| masked(found, &target.redactor)) });
            state = self.lock();
        }
    }

    /// Turns away from what lasts too long, until the pool is dropped.
    fn watch(self: &Arc<Shared>) {
        let mut state = self.lock();
        while !state.closed {
            if state.under_way.is_empty() && state.waiting.is_empty() {
                state = self.begun.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = self.begun.wait_timeout(state, INTERRUPT_GRAIN).unwrap_or_else(PoisonError::into_inner).0;
            let interrupted = self.interrupted.load(Ordering::Relaxed);
            let unmade = if interrupted { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
            let over = |_: &u64, found: &mut UnderWay| interrupted || found.begun.elapsed() >= found.longest();
            let over: Vec<UnderWay> = state.under_way.extract_if(over).map(|(_, found)| found).collect();
            state.workers -= over.len();
            for _ in 0..over.len().min(state.waiting.len()) {
                self.man(&mut state);
            }
            drop(state);
            over.into_iter().for_each(|found| found.turn_away(interrupted));
            for Waiting { answered, .. } in unmade {
                answered(unsent(ErrorKind::Interrupted, "stopped before it was sent".to_owned()));
            }
            state = self.lock();
        }
    }
}

impl UnderWay {
    fn longest(&self) -> Duration {
        self.sender.timeout + DEADLINE_GRACE * 2
    }

    fn turn_away(self, interrupted: bool) {
        let received = self.progress.take();
        let collected = if interrupted { stopped(received) } else { self.sender.overdue(received) };
        let result = collected.map(|found| masked(found, &self.target.redactor));
        (self.answered)(Answer { duration: self.begun.elapsed(), result });
    }
}

fn make(sender: &Sender, mut request: Request, progress: &Progress) -> Result<Collected, NoResponse> {
    let body = request.body.take();
    let wire = wire_request(&request, body).map_err(|message| NoResponse {
        error: AttemptError { kind: ErrorKind::Protocol, message },
        maybe_received: false,
    })?;
    let redactor = &request.target.redactor;
    let ending = exchange(sender.workers.client(), wire, body_limit(redactor), None, progress);
    sender.collected(ending, progress.take(), redactor)
}

/// What becomes of a request that was not made.
fn unsent(kind: ErrorKind, message: String) -> Answer {
    let none = NoResponse { error: AttemptError { kind, message }, maybe_received: false };
    Answer { duration: Duration::ZERO, result: Err(none) }
}
