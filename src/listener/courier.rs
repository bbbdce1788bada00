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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use tokio::sync::{Notify, oneshot};

use super::bell::Bell;
use crate::capture::{Body, Capture};
use crate::journal::store::{Batch, Keeper, SharedCapture};

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
        Self {
            keeper,
            bell,
            load: RefCell::default(),
            loaded: Notify::new(),
        }
    }

    /// Has a capture kept; `None` if it could not be, and must not be acknowledged.
    pub(super) async fn keep(&self, capture: Capture, body: Body) -> Option<SharedCapture> {
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
        SharedCapture::at(&batch, at)
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
        // Whatever was in a batch, there is a next one; of this one `done` is dropped, and nothing acknowledged.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.keeper.keep(captures, Box::new(done))
        }));
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
        self.waiting
            .take()
            .into_iter()
            .flatten()
            .for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::Mutex;

    use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

    use super::*;
    use crate::capture;
    use crate::journal::store::{Done, JournalError, Kept};
    use crate::time::UnixMs;

    /// Holds what it is given, until it is told to acknowledge it, all but what is for `/refused`; what is for `/panic` it does
    /// not survive.
    #[derive(Default)]
    struct Held(Mutex<Vec<(Batch, Done<Batch>)>>);

    impl Held {
        fn batches(&self) -> Vec<usize> {
            self.0
                .lock()
                .unwrap()
                .iter()
                .map(|(batch, _)| batch.len())
                .collect()
        }

        fn acknowledge(&self) {
            let held = std::mem::take(&mut *self.0.lock().unwrap());
            held.into_iter().for_each(|(batch, done)| done(Ok(batch)));
        }
    }

    impl Keeper for Held {
        fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
            assert!(
                captures
                    .iter()
                    .all(|(capture, _)| capture.path() != "/panic")
            );
            let kept = captures.into_iter().map(|(capture, body)| {
                let refused = || {
                    Arc::new(JournalError::Unusable {
                        path: "x".into(),
                        problem: "is picky".to_owned(),
                    })
                };
                let refused = (capture.path() == "/refused").then(refused);
                Kept {
                    refused,
                    ..Kept::new(1, "inbox", None, capture, body)
                }
            });
            self.0
                .lock()
                .unwrap()
                .push((Arc::new(kept.collect()), done));
        }

        fn amend(&self, _: i64, _: capture::CapturedResponse, _: Done<()>) {}
    }

    fn on_one_thread(test: impl Future) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    fn courier(keeper: &Arc<Held>) -> Rc<Courier> {
        let courier = Rc::new(Courier::new(
            Arc::clone(keeper) as Arc<dyn Keeper>,
            Arc::new(Bell::new(super::super::notifier::Notifier::new())),
        ));
        let running = Rc::clone(&courier);
        spawn_local(async move { running.run().await });
        courier
    }

    fn keep(courier: &Rc<Courier>, path: &str) -> JoinHandle<Option<String>> {
        let head = format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes();
        let capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head);
        let courier = Rc::clone(courier);
        spawn_local(async move {
            let kept = courier.keep(capture, Body::default()).await;
            kept.map(|kept| kept.caught.capture.path().to_owned())
        })
    }

    /// Until everybody has done what can be done.
    async fn all_rest() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[test]
    fn what_comes_while_others_are_being_kept_is_kept_together() {
        on_one_thread(async {
            let keeper = Arc::new(Held::default());
            let courier = courier(&keeper);
            let first = keep(&courier, "/first");
            all_rest().await;
            assert_eq!(keeper.batches(), [1], "alone, and at once");
            let others = ["/0", "/1", "/2"].map(|path| (path, keep(&courier, path)));
            all_rest().await;
            assert_eq!(keeper.batches(), [1]);
            keeper.acknowledge();
            assert_eq!(first.await.unwrap().as_deref(), Some("/first"));
            assert_eq!(keeper.batches(), [3]);
            assert!(
                others.iter().all(|(_, other)| !other.is_finished()),
                "not acknowledged yet"
            );
            keeper.acknowledge();
            for (path, other) in others {
                assert_eq!(other.await.unwrap().as_deref(), Some(path), "each its own");
            }
            assert!(keeper.batches().is_empty());
        });
    }

    #[test]
    fn a_keeper_that_panics_over_one_batch_gets_the_next() {
        on_one_thread(async {
            let keeper = Arc::new(Held::default());
            let courier = courier(&keeper);
            assert_eq!(keep(&courier, "/panic").await.unwrap(), None);
            let next = keep(&courier, "/next");
            all_rest().await;
            keeper.acknowledge();
            assert_eq!(next.await.unwrap().as_deref(), Some("/next"));
        });
    }

    #[test]
    fn one_that_is_refused_is_the_only_one_that_is_not_acknowledged() {
        on_one_thread(async {
            let keeper = Arc::new(Held::default());
            let courier = courier(&keeper);
            let asked = ["/0", "/refused", "/2"].map(|path| keep(&courier, path));
            all_rest().await;
            keeper.acknowledge();
            let mut told = Vec::new();
            for one in asked {
                told.push(one.await.unwrap());
            }
            assert_eq!(told, [Some("/0".to_owned()), None, Some("/2".to_owned())]);
            assert_eq!(courier.bell.failed().count, 1);
        });
    }

    #[test]
    fn what_was_collected_is_handed_over_at_the_end() {
        let keeper = Arc::new(Held::default());
        on_one_thread(async {
            let courier = courier(&keeper);
            keep(&courier, "/under-way");
            all_rest().await;
            keep(&courier, "/collected");
            keep(&courier, "/as-well");
            all_rest().await;
        });
        assert_eq!(keeper.batches(), [1, 2]);
    }
}
