//! Captures on their way to the keeper, and what became of them on its way back.
//!
//! While one batch is being committed, the next is collected; what comes alone travels alone, at once. So the more come, the
//! more share a commit, and a wake-up of either thread. The next batch leaves before those who waited for the last are
//! answered: both threads have something to do.
//!
//! Invariant: what is given is handed to the keeper, also when nobody waits for it any more; each who waits is told, and told
//! of a success only when it is committed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use tokio::sync::{Notify, oneshot};

use super::bell::Bell;
use crate::capture::{Body, Capture};
use crate::store::{Batch, Keeper, OneKept};

/// What became of a batch; `None` if it could not be kept.
type Outcome = Option<Batch>;

/// Between the connections and the keeper. All of them share one thread.
pub(super) struct Courier {
    keeper: Arc<dyn Keeper>,
    bell: Arc<Bell>,
    /// What leaves next.
    load: RefCell<Load>,
    loaded: Notify,
}

/// A batch that is being collected.
#[derive(Default)]
struct Load {
    captures: Vec<(Capture, Body)>,
    ticket: Rc<Ticket>,
}

/// Where those who gave a batch's captures learn what became of it.
#[derive(Default)]
struct Ticket {
    outcome: RefCell<Option<Outcome>>,
    /// Who waits, by the place in the batch.
    waiting: RefCell<Vec<Option<Waker>>>,
}

impl Courier {
    pub(super) fn new(keeper: Arc<dyn Keeper>, bell: Arc<Bell>) -> Self {
        Self { keeper, bell, load: RefCell::default(), loaded: Notify::new() }
    }

    /// Has a capture kept; `None` if it could not be, and must not be acknowledged.
    pub(super) async fn keep(&self, capture: Capture, body: Body) -> Option<OneKept> {
        let (ticket, at) = {
            let mut load = self.load.borrow_mut();
            load.captures.push((capture, body));
            (Rc::clone(&load.ticket), load.captures.len() - 1)
        };
        if at == 0 {
            // Whoever has something to give in this turn comes before it is heard.
            self.loaded.notify_one();
        }
        let batch = poll_fn(|cx| ticket.poll(at, cx.waker())).await?;
        OneKept::at(&batch, at)
    }

    /// Goes to and fro, for ever.
    pub(super) async fn run(&self) {
        loop {
            self.loaded.notified().await;
            let mut trip = self.leave();
            while let Some((ticket, back)) = trip {
                let outcome = back.await.ok().flatten();
                trip = self.leave();
                ticket.settle(outcome);
            }
        }
    }

    /// Hands the keeper what was collected, if anything.
    fn leave(&self) -> Option<(Rc<Ticket>, oneshot::Receiver<Outcome>)> {
        let Load { captures, ticket } = self.load.take();
        if captures.is_empty() {
            return None;
        }
        let (report, back) = oneshot::channel();
        let (bell, count) = (Arc::clone(&self.bell), captures.len());
        let done = move |result: Result<Batch, _>| {
            bell.kept(&result, count);
            // Nobody waits any more when the catcher has ended.
            let _ = report.send(result.ok());
        };
        self.keeper.keep(captures, Box::new(done));
        Some((ticket, back))
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

impl Ticket {
    fn poll(&self, at: usize, waker: &Waker) -> Poll<Outcome> {
        if let Some(outcome) = &*self.outcome.borrow() {
            return Poll::Ready(outcome.clone());
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() <= at {
            waiting.resize(at + 1, None);
        }
        match &mut waiting[at] {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }

    fn settle(&self, outcome: Outcome) {
        *self.outcome.borrow_mut() = Some(outcome);
        self.waiting.take().into_iter().flatten().for_each(Waker::wake);
    }
}
