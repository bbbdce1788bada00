//! The accepting side: takes connections in, as many as allowed, until told to stop, and then waits for them to end.
//!
//! Deliberately knows nothing of HTTP: see `connection`.
//!
//! Invariant: nothing a client does, and no failure to accept, ends the loop. Only the stop does.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::connection;
use super::exchange::Shared;

/// How long to wait after a failed accept. Mostly there are no file descriptors left, and asking at once again would
/// only burn the processor until a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the silent are asked to make room, as long as there is none.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// How long open connections may take to end after the stop: longer than they take by themselves, and than the journal's
/// lock is waited for.
const DRAIN: Duration = Duration::from_secs(3);

/// How far a catcher is on the way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Nothing new is taken; what was taken gets the answer it is due, when it is due.
    Finishing,
    /// Nothing is waited for but what is nearly done.
    Stopping,
}

/// The word that the catcher ends, as its connections hear it.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<Phase>);

impl Stop {
    /// Hears of the phases that are sent, and of the last when the sender is gone.
    pub(super) fn new(receiver: watch::Receiver<Phase>) -> Self {
        Self(receiver)
    }

    fn is_asked(&self) -> bool {
        *self.0.borrow() > Phase::Serving
    }

    /// What `future` gives, or `None` if the catcher begins to end before. On a draw the future wins.
    pub(super) async fn race<F: Future>(&mut self, future: F) -> Option<F::Output> {
        self.race_against(Phase::Finishing, future).await
    }

    /// What `future` gives, or `None` if the catcher is stopped before: to be finished is no reason to give up.
    pub(super) async fn race_if_stopped<F: Future>(&mut self, future: F) -> Option<F::Output> {
        self.race_against(Phase::Stopping, future).await
    }

    async fn race_against<F: Future>(&mut self, phase: Phase, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut stopped = pin!(self.0.wait_for(|now| *now >= phase));
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            stopped.as_mut().poll(cx).map(|_| None)
        })
        .await
    }
}

/// Accepts and serves connections until `stop`, then lets them end: as long as that takes while it is finishing, and for at
/// most [`DRAIN`] once it is stopped. Must run in a `LocalSet`.
pub(super) async fn run(listener: TcpListener, shared: Rc<Shared>, mut stop: Stop) {
    let all = shared.limits.connections.max(1);
    let permits = Arc::new(Semaphore::new(all as usize));
    let courier = Rc::clone(&shared);
    tokio::task::spawn_local(async move { courier.courier.run().await });
    tokio::task::spawn_local(Rc::clone(&shared.budget).watch());
    // Asked at each turn, since the race is for the listener as long as clients keep coming.
    while !stop.is_asked() {
        let Some(accepted) = stop.race(listener.accept()).await else {
            break;
        };
        match accepted {
            Ok((stream, remote_addr)) => {
                let Some(permit) = stop.race(permit(&permits, &shared, all)).await else {
                    break;
                };
                let (shared, stop) = (Rc::clone(&shared), stop.clone());
                let seat = shared.seats.take();
                tokio::task::spawn_local(async move {
                    connection::serve(
                        stream,
                        remote_addr,
                        Rc::clone(&shared),
                        Rc::clone(&seat),
                        stop,
                    )
                    .await;
                    shared.seats.leave(&seat);
                    drop(permit);
                });
            }
            Err(_) => {
                let _ = stop.race(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
    // From now on clients are refused instead of waiting for nobody.
    drop(listener);
    // Having all permits means that no connection is left.
    if stop
        .race_if_stopped(permits.acquire_many(all))
        .await
        .is_none()
    {
        let _ = timeout(DRAIN, permits.acquire_many(all)).await;
    }
}

/// A permit for one more connection. When there is none, the silent make room, and several at a time: those who leave
/// share a commit. Whoever comes after this one waits in the system's queue.
async fn permit(permits: &Arc<Semaphore>, shared: &Shared, all: u32) -> OwnedSemaphorePermit {
    let some = (all as usize / 4).max(1);
    loop {
        if permits.available_permits() == 0 {
            shared.seats.make_room(some);
        }
        if let Ok(Ok(permit)) = timeout(ROOM_PAUSE, Arc::clone(permits).acquire_owned()).await {
            return permit;
        }
    }
}
