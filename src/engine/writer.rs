//! How the engine commits and sends: on its own thread, or in groups on the journal's writer thread and many at once on the
//! pool's.

use std::sync::Arc;
use std::time::Duration;

use super::{EventKind, Sender, Waker, Writer};
use crate::http::{Client, Done, Pool, Request};
use crate::journal::JournalError;
use crate::journal::{CommitRetry, GroupWriter, Journal, Reply, Write};
use crate::time::{Clock, Woken};

/// The pause between two tries to write to a locked or full journal; the journal waits for a lock before it gives up.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Commits and sends before it returns. For runs of one delivery at a time.
pub struct Inline<'a>(pub &'a dyn Journal);

impl Writer for Inline<'_> {
    fn submit(&self, write: Write, reply: Reply) {
        let committed = self.0.commit(std::slice::from_ref(&write));
        let result = committed.map_err(Arc::new);
        reply(result.map(|mut results| results.remove(0)));
    }
}

impl Sender for Inline<'_> {
    fn begin(&self, client: &Client, request: Request, done: Done) {
        done(client.send(request));
    }
}

impl Writer for GroupWriter {
    fn submit(&self, write: Write, reply: Reply) {
        GroupWriter::submit(self, write, reply);
    }
}

impl Sender for Pool {
    fn begin(&self, client: &Client, request: Request, done: Done) {
        Pool::begin(self, client, request, done);
    }
}

/// Retries a commit to a locked or full journal until the user interrupts, and tells the engine.
pub struct WaitingRetry<C> {
    clock: C,
    waker: Waker,
    blocked: bool,
}

impl<C: Clock> WaitingRetry<C> {
    pub fn new(clock: C, waker: Waker) -> WaitingRetry<C> {
        WaitingRetry {
            clock,
            waker,
            blocked: false,
        }
    }
}

impl<C: Clock + Send> CommitRetry for WaitingRetry<C> {
    fn retry(&mut self, error: &JournalError) -> bool {
        if self.clock.interrupted() {
            return false;
        }
        if !std::mem::replace(&mut self.blocked, true) {
            self.waker
                .send(EventKind::JournalBlocked(Some(error.to_string())));
        }
        self.clock.wait(RETRY_PAUSE) == Woken::Elapsed
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.blocked) {
            self.waker.send(EventKind::JournalBlocked(None));
        }
    }
}
