//! Tells connections that the listener is about to end.

use std::future::Future;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Accepts nothing new; requests in progress get their responses when they are due.
    Finishing,
    /// Waits only for what ends soon.
    Stopping,
}

/// Follows the listener's phase.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<Phase>);

impl Stop {
    /// Counts a dropped sender as [`Phase::Stopping`].
    pub(super) fn new(phases: watch::Receiver<Phase>) -> Self {
        Self(phases)
    }

    pub(super) fn is_requested(&self) -> bool {
        *self.0.borrow() > Phase::Serving
    }

    /// Runs `future`; `None` if the listener finishes or stops first.
    pub(super) async fn unless_finishing<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless(Phase::Finishing, future).await
    }

    /// Runs `future`; `None` if the listener stops first.
    pub(super) async fn unless_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless(Phase::Stopping, future).await
    }

    async fn unless<F: Future>(&self, phase: Phase, future: F) -> Option<F::Output> {
        let mut phases = self.0.clone();
        tokio::select! {
            biased;
            output = future => Some(output),
            _ = phases.wait_for(|now| *now >= phase) => None,
        }
    }
}
