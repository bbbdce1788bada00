//! The shutdown of a listener: first it drains, then it aborts. Connections watch for both.
//!
//! The limits apply once it aborts. [`CONNECTIONS_LIMIT`] is longer than the other two together, so that every connection can
//! still capture its unread bytes.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

/// How long a request may take, also while the listener drains if the request is incomplete.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_millis(900);

/// How much longer a request may take whose capture is being written: as long as the journal's writer waits for a lock.
pub(super) const COMMIT_LIMIT: Duration = Duration::from_secs(2);

/// How long the server waits for its connections.
pub(super) const CONNECTIONS_LIMIT: Duration = Duration::from_secs(3);

/// How long the listener waits for calls of the web UI and for forwards. They go on while the process lives.
pub(super) const BLOCKING_CALLS_LIMIT: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ShutdownPhase {
    Serving,
    /// Accepts nothing new; requests in progress get their responses when they are due.
    Draining,
    /// Waits only for what ends within the limits.
    Aborting,
}

#[derive(Clone)]
pub(super) struct Shutdown(watch::Receiver<ShutdownPhase>);

impl Shutdown {
    /// Counts a dropped sender as [`ShutdownPhase::Aborting`].
    pub(super) fn new(phases: watch::Receiver<ShutdownPhase>) -> Self {
        Self(phases)
    }

    pub(super) fn is_requested(&self) -> bool {
        *self.0.borrow() > ShutdownPhase::Serving
    }

    /// Runs `future`; `None` if the listener drains or aborts first.
    pub(super) async fn unless_draining<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless(ShutdownPhase::Draining, future).await
    }

    /// Runs `future`; `None` if the listener aborts first.
    pub(super) async fn unless_aborting<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless(ShutdownPhase::Aborting, future).await
    }

    async fn unless<F: Future>(&self, phase: ShutdownPhase, future: F) -> Option<F::Output> {
        let mut phases = self.0.clone();
        tokio::select! {
            biased;
            output = future => Some(output),
            _ = phases.wait_for(|now| *now >= phase) => None,
        }
    }
}
