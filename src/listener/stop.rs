//! Tells connections that the listener is about to end.

use std::future::Future;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopPhase {
    Serving,
    /// Accepts nothing new; requests in progress get their responses when they are due.
    Finishing,
    /// Waits only for what ends soon.
    Stopping,
}

#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<StopPhase>);

impl Stop {
    /// Counts a dropped sender as [`StopPhase::Stopping`].
    pub(super) fn new(phases: watch::Receiver<StopPhase>) -> Self {
        Self(phases)
    }

    pub(super) fn is_requested(&self) -> bool {
        *self.0.borrow() > StopPhase::Serving
    }

    /// Runs `future`; `None` if the listener finishes or stops first.
    pub(super) async fn unless_finishing<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless(StopPhase::Finishing, future).await
    }

    /// Runs `future`; `None` if the listener stops first.
    pub(super) async fn unless_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless(StopPhase::Stopping, future).await
    }

    async fn unless<F: Future>(&self, phase: StopPhase, future: F) -> Option<F::Output> {
        let mut phases = self.0.clone();
        tokio::select! {
            biased;
            output = future => Some(output),
            _ = phases.wait_for(|now| *now >= phase) => None,
        }
    }
}
