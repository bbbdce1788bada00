//! How the engine commits: at once on its own thread, or in groups on the journal's writer thread.

use std::sync::Arc;
use std::time::Duration;

use super::{Waker, Writer};
use crate::journal::{CommitRetry, GroupWriter, Journal, JournalError, Reply, Write};
use crate::time::{Clock, Woken};

/// The pause between two tries to write to a locked or full journal; the journal waits for a lock before it gives up.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Commits each write before `submit` returns. For runs of one delivery at a time.
pub struct InlineWriter<'a>(pub &'a dyn Journal);

impl Writer for InlineWriter<'_> {
    fn submit(&self, writes: Vec<(Write, Reply)>) {
        for (write, reply) in writes {
            let committed = self.0.commit(std::slice::from_ref(&write));
            let result = committed.map_err(Arc::new);
            reply(result.map(|mut results| results.remove(0)));
        }
    }
}

impl Writer for GroupWriter {
    fn submit(&self, writes: Vec<(Write, Reply)>) {
        self.submit_all(writes);
    }
}

/// Retries a commit to a locked or full journal until the user interrupts or the run is over, and tells the engine.
pub struct WaitingRetry<C> {
    clock: C,
    waker: Waker,
    is_over: Box<dyn Fn() -> bool + Send>,
    blocked: bool,
}

impl<C: Clock> WaitingRetry<C> {
    pub fn new(clock: C, waker: Waker) -> WaitingRetry<C> {
        WaitingRetry {
            clock,
            waker,
            is_over: Box::new(|| false),
            blocked: false,
        }
    }

    /// Retries no more once `is_over` returns true.
    #[must_use]
    pub fn until(self, is_over: impl Fn() -> bool + Send + 'static) -> WaitingRetry<C> {
        WaitingRetry {
            is_over: Box::new(is_over),
            ..self
        }
    }
}

impl<C: Clock + Send> CommitRetry for WaitingRetry<C> {
    fn retry(&mut self, error: &JournalError) -> bool {
        if self.clock.interrupted() || (self.is_over)() {
            return false;
        }
        if !std::mem::replace(&mut self.blocked, true) {
            let why = error.to_string();
            self.waker.send(move |run| run.journal_blocked(Some(&why)));
        }
        self.clock.wait(RETRY_PAUSE) == Woken::Elapsed && !(self.is_over)()
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.blocked) {
            self.waker.send(|run| run.journal_blocked(None));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::env::SystemClock;

    #[test]
    fn commit_is_not_repeated_once_the_run_is_over() {
        let (sender, events) = mpsc::channel();
        let retry = WaitingRetry::new(SystemClock::default(), Waker(sender));
        let mut retry = retry.until(|| true);
        let path = "journal.db".into();
        assert!(!retry.retry(&JournalError::Full { path }));
        assert!(events.try_recv().is_err(), "nothing waits");
    }
}
