//! Sending many requests at once over connections that are kept.
//!
//! Whoever begins a request is not kept waiting: the worker that made it tells what came of it, and takes the next one that
//! waits. One thread watches them all, and turns away from those that are over the deadline, or from all when the user
//! interrupts; a worker that was turned away from is forgotten with what it is at, and another takes its place. Whatever
//! happens, each request that was begun is answered.
//!
//! A kept connection that the endpoint has closed meanwhile is left, and another made, only as long as nothing of the
//! request was written to it. So it is still exactly one request each.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::worker::{Progress, exchange};
use super::{
    Collected, DEADLINE_GRACE, INTERRUPT_GRAIN, Sender, WireTarget, body_limit, gave_up, masked,
    no_response, stopped,
};
use crate::delivery::target::Resolved;
use crate::delivery::{AttemptError, ErrorKind};
use crate::http::transport::{Answer, Answered, Crew, NoResponse, Request, Response};
use crate::secret::Redactor;

/// For so long a request waits for a thread where there is none at all: the system may be about to have one again.
const HOPE: Duration = Duration::from_secs(5);

/// Sends requests to one kind of target with one set of options, on the threads of a pool.
pub struct KeptAlive {
    sender: Arc<Sender>,
    pool: Arc<Pool>,
}

impl KeptAlive {
    /// Sends as `sender` does, whose client should keep its connections.
    pub fn new(sender: Sender, pool: Arc<Pool>) -> KeptAlive {
        KeptAlive {
            sender: Arc::new(sender),
            pool,
        }
    }
}

impl Crew for KeptAlive {
    fn begin(&self, request: Request, answered: Answered) {
        self.pool.begin(Waiting {
            sender: Arc::clone(&self.sender),
            request,
            answered,
        });
    }
}

/// So many threads, which make one request each at a time.
pub struct Pool(Arc<Shared>);

/// Starts a thread.
type Start = Box<dyn Fn(Box<dyn FnOnce() + Send>) -> std::io::Result<()> + Send + Sync>;

/// What workers rely on and what may fail them.
struct Means {
    start: Start,
    mask: fn(Collected, &Redactor) -> Response,
    /// For how long all that waits does so although there is no worker, before it is told.
    hope: Duration,
}

struct Shared {
    jobs: usize,
    means: Means,
    interrupted: Arc<AtomicBool>,
    state: Mutex<State>,
    /// A request waits for a worker.
    waits: Condvar,
    /// There is something to watch again, or never more.
    begun: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// One for each worker.
    seats: Vec<Arc<Seat>>,
    /// Workers that look for work.
    idle: usize,
    /// Whether there was nothing to watch.
    unwatched: bool,
    closed: bool,
}

/// What a worker is at. It has a lock of its own, which hardly anybody else wants; where that of the pool is wanted as well,
/// that one comes first.
#[derive(Default)]
struct Seat(Mutex<Option<UnderWay>>);

/// A request that no worker has yet.
struct Waiting {
    sender: Arc<Sender>,
    request: Request,
    answered: Answered,
}

/// A request that a worker makes.
struct Assigned {
    sender: Arc<Sender>,
    request: Request,
    begun: Instant,
    progress: Arc<Progress>,
}

/// The same, for whoever watches it.
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
        Pool::with(jobs, interrupted, Means::default())
    }

    fn with(jobs: usize, interrupted: Arc<AtomicBool>, means: Means) -> std::io::Result<Pool> {
        let (waits, begun) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared {
            jobs,
            means,
            interrupted,
            state: Mutex::default(),
            waits,
            begun,
        });
        let watched = Arc::clone(&shared);
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watched.watch())?;
        Ok(Pool(shared))
    }

    fn begin(&self, waiting: Waiting) {
        let mut state = self.0.lock();
        state.waiting.push_back(waiting);
        self.0.man(&mut state);
        if state.seats.is_empty()
            && let Some(Waiting { answered, .. }) = state.waiting.pop_back()
        {
            drop(state);
            answered(no_thread());
        }
    }
}

impl Default for Means {
    fn default() -> Means {
        let start = |work| {
            thread::Builder::new()
                .name("send".to_owned())
                .spawn(work)
                .map(drop)
        };
        Means {
            start: Box::new(start),
            mask: masked,
            hope: HOPE,
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
        if state.waiting.len() > state.idle && state.seats.len() < self.jobs {
            let (shared, seat) = (Arc::clone(self), Arc::<Seat>::default());
            let taken = Arc::clone(&seat);
            if (self.means.start)(Box::new(move || shared.work(&taken))).is_ok() {
                state.seats.push(seat);
            }
        }
    }

    /// Makes one request after the other.
    fn work(&self, seat: &Seat) {
        let mut known = None;
        while let Some(request) = self.next(seat) {
            let Assigned {
                sender,
                request,
                begun,
                progress,
            } = request;
            let target = Arc::clone(&request.target);
            // After a panic, which was told, the others are sent as if it were the endpoint's fault.
            let made = catch_unwind(AssertUnwindSafe(|| {
                make(&sender, request, &mut known, &progress)
            }));
            let collected = made.unwrap_or_else(|_| gave_up(progress.take()));
            // Turned away from: another worker has this one's place by now.
            let Some(UnderWay { answered, .. }) = seat.lock().take() else {
                return;
            };
            let duration = begun.elapsed();
            answered(Answer {
                duration,
                result: self.means.shown(collected, &target.redactor),
            });
        }
    }

    /// Waits for a request, and takes it to the seat; none when the pool is dropped.
    fn next(&self, seat: &Seat) -> Option<Assigned> {
        let mut state = self.lock();
        let Waiting {
            sender,
            request,
            answered,
        } = loop {
            if let Some(waiting) = state.waiting.pop_front() {
                break waiting;
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self
                .waits
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        };
        if std::mem::take(&mut state.unwatched) {
            self.begun.notify_one();
        }
        let (begun, progress) = (Instant::now(), Arc::<Progress>::default());
        *seat.lock() = Some(UnderWay {
            sender: Arc::clone(&sender),
            target: Arc::clone(&request.target),
            progress: Arc::clone(&progress),
            begun,
            answered,
        });
        Some(Assigned {
            sender,
            request,
            begun,
            progress,
        })
    }

    /// Turns away from what lasts too long, until the pool is dropped.
    fn watch(self: &Arc<Shared>) {
        let mut unmanned_since = None;
        let mut state = self.lock();
        while !state.closed {
            if state.waiting.is_empty() && state.seats.iter().all(|seat| seat.lock().is_none()) {
                state.unwatched = true;
                state = self
                    .begun
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = self
                .begun
                .wait_timeout(state, INTERRUPT_GRAIN)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let interrupted = self.interrupted.load(Ordering::Relaxed);
            let unmade = if interrupted {
                std::mem::take(&mut state.waiting)
            } else {
                VecDeque::new()
            };
            let over =
                state.vacate(|found| interrupted || found.begun.elapsed() >= found.longest());
            // Those as well that there was no thread for the last time.
            for _ in 0..state
                .waiting
                .len()
                .min(self.jobs.saturating_sub(state.seats.len()))
            {
                self.man(&mut state);
            }
            let unmanned = state.seats.is_empty() && !state.waiting.is_empty();
            unmanned_since = unmanned.then(|| unmanned_since.unwrap_or_else(Instant::now));
            let hopeless = unmanned_since.is_some_and(|since| since.elapsed() >= self.means.hope);
            let unmanned = if hopeless {
                std::mem::take(&mut state.waiting)
            } else {
                VecDeque::new()
            };
            drop(state);
            over.into_iter()
                .for_each(|found| found.turn_away(interrupted, &self.means));
            for Waiting { answered, .. } in unmade {
                answered(unsent(
                    ErrorKind::Interrupted,
                    "stopped before it was sent".to_owned(),
                ));
            }
            unmanned
                .into_iter()
                .for_each(|waiting| (waiting.answered)(no_thread()));
            state = self.lock();
        }
    }
}

impl Means {
    /// An answer as it may be shown. One that cannot be masked is none, or whoever waits for it would do so for ever.
    fn shown(
        &self,
        collected: Result<Collected, NoResponse>,
        redactor: &Redactor,
    ) -> Result<Response, NoResponse> {
        let masked = catch_unwind(AssertUnwindSafe(|| {
            collected.map(|found| (self.mask)(found, redactor))
        }));
        let unmasked = || {
            no_response(
                ErrorKind::Protocol,
                "the answer could not be masked".to_owned(),
            )
        };
        masked.unwrap_or_else(|_| Err(unmasked()))
    }
}

impl State {
    /// Takes their places from those workers whose requests are over.
    fn vacate(&mut self, is_over: impl Fn(&UnderWay) -> bool) -> Vec<UnderWay> {
        let mut over = Vec::new();
        self.seats
            .retain(|seat| match seat.lock().take_if(|found| is_over(found)) {
                Some(found) => {
                    over.push(found);
                    false
                }
                None => true,
            });
        over
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    fn longest(&self) -> Duration {
        self.sender.timeout + DEADLINE_GRACE * 2
    }

    fn turn_away(self, interrupted: bool, means: &Means) {
        let received = self.progress.take();
        let collected = if interrupted {
            stopped(received)
        } else {
            self.sender.overdue(received)
        };
        let duration = self.begun.elapsed();
        (self.answered)(Answer {
            duration,
            result: means.shown(collected, &self.target.redactor),
        });
    }
}

/// `known` is where the request before went: as a rule, this one goes there too.
fn make(
    sender: &Sender,
    mut request: Request,
    known: &mut Option<WireTarget>,
    progress: &Progress,
) -> Result<Collected, NoResponse> {
    let body = request.body.take();
    let wire = WireTarget::known_or_of(known, &request.target)
        .and_then(|target| target.request(&request.headers, body))
        .map_err(|message| NoResponse {
            error: AttemptError {
                kind: ErrorKind::Protocol,
                message,
            },
            maybe_received: false,
        })?;
    let redactor = &request.target.redactor;
    let ending = exchange(
        sender.workers.client(),
        wire,
        body_limit(redactor),
        None,
        progress,
    );
    sender.collected(ending, progress.take(), redactor)
}

/// What becomes of a request that was not made.
fn unsent(kind: ErrorKind, message: String) -> Answer {
    let none = NoResponse {
        error: AttemptError { kind, message },
        maybe_received: false,
    };
    Answer {
        duration: Duration::ZERO,
        result: Err(none),
    }
}

fn no_thread() -> Answer {
    unsent(ErrorKind::Connect, "no thread to send it on".to_owned())
}

#[cfg(test)]
mod tests;
