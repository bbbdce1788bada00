//! Waiting for what is expected: captures as they come, a command that may cause them, and a time by which it must be.
//!
//! Deliberately knows neither a listener nor a journal nor a process: what comes is [`Arrivals`], what runs a [`Command`].
//!
//! Invariant: what was received in time and is known when the time is up is judged, however much that is; what was received
//! later is not.

use std::sync::Arc;
use std::time::Duration;

use crate::capture::expect::Expectation;
use crate::capture::{Body, Caught};
use crate::journal::{JournalError, SharedCapture};
use crate::time::{Clock, UnixMs, duration_ms};

/// How soon it is noticed that the command has ended or the user interrupts.
const GRAIN: Duration = Duration::from_millis(20);

/// Something that came.
pub enum Arrival {
    /// A capture that is kept.
    Kept(SharedCapture),
    /// A request that could not be kept, and was answered so.
    NotKept(Arc<JournalError>),
}

/// Where captures come from, in their order.
pub trait Arrivals {
    /// The next one; waits for at most `patience`.
    ///
    /// # Errors
    /// [`JournalError`] if they cannot be read.
    fn next(&mut self, patience: Duration) -> Result<Option<Arrival>, JournalError>;
}

/// A process that runs meanwhile.
pub trait Command {
    /// Its exit code, once it has ended.
    ///
    /// # Errors
    /// The system's.
    fn ended(&mut self) -> std::io::Result<Option<u8>>;
}

/// Is told of captures that are what was expected, as soon as they are known.
pub trait Observer {
    /// This one is.
    fn matched(&mut self, caught: &Caught, body: &Body);
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As many came as were expected, and the command, if there was one, has ended well.
    Met,
    /// Too few came in time, or one although none was to come.
    Unmet,
    /// The command ended with this code, which is not 0.
    CommandFailed(u8),
    /// The time was up while the command was still running.
    CommandLate,
    /// The user interrupted.
    Interrupted,
}

/// What came while waiting.
#[derive(Default)]
pub struct Seen {
    /// How many captures there were.
    pub captures: u64,
    /// How many of them were what was expected.
    pub matched: u64,
    /// Of the others the one that was nearest to it; of two the newer.
    pub nearest: Option<Miss>,
    /// Why a request could not be kept; the last one's reason.
    pub not_kept: Option<Arc<JournalError>>,
}

/// A capture that is not what was expected.
#[derive(Debug)]
pub struct Miss {
    /// The capture.
    pub kept: SharedCapture,
    /// In what it differs.
    pub unmet: Vec<String>,
}

/// What is waited for, and for how long.
pub struct Watch<'a> {
    /// What is expected of each.
    pub expectation: &'a Expectation,
    /// How many are: at least so many, or, if 0, none at all.
    pub count: u64,
    /// How long.
    pub within: Duration,
    /// The clock, and the user's wish to stop.
    pub clock: &'a dyn Clock,
}

/// Why waiting failed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// What was caught cannot be read.
    #[error(transparent)]
    Store(#[from] JournalError),
    /// What became of the command cannot be told.
    #[error("cannot tell whether the command has ended")]
    Command(#[source] std::io::Error),
}

impl Watch<'_> {
    /// Waits until it is met, cannot be met any more, or the time is up.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn run(
        &self,
        arrivals: &mut dyn Arrivals,
        mut command: Option<&mut dyn Command>,
        observer: &mut dyn Observer,
    ) -> Result<(End, Seen), WatchError> {
        let deadline = self.clock.elapsed().saturating_add(self.within);
        let mut seen = Seen::default();
        loop {
            let left = deadline.saturating_sub(self.clock.elapsed());
            let arrival = arrivals.next(left.min(GRAIN))?;
            let quiet = arrival
                .as_ref()
                .is_none_or(|arrival| self.is_late(arrival, deadline));
            if let Some(arrival) = arrival.filter(|_| !quiet) {
                self.take(arrival, &mut seen, observer);
            }
            if self.clock.interrupted() {
                return Ok((End::Interrupted, seen));
            }
            if let Some(running) = &mut command
                && let Some(code) = running.ended().map_err(WatchError::Command)?
            {
                if code != 0 {
                    return Ok((End::CommandFailed(code), seen));
                }
                command = None;
            }
            let up = left.is_zero() && quiet;
            if let Some(end) = self.end(&seen, command.is_some(), up) {
                return Ok((end, seen));
            }
        }
    }

    /// Whether it was received after the deadline. When it was received, the time of day says, which may have been set since
    /// the wait began: the deadline is at what it says now, less what has passed since.
    fn is_late(&self, arrival: &Arrival, deadline: Duration) -> bool {
        let Some(over) = self.clock.elapsed().checked_sub(deadline) else {
            return false;
        };
        let ended = UnixMs(self.clock.now().0.saturating_sub(duration_ms(over)));
        matches!(arrival, Arrival::Kept(kept) if kept.caught.capture.received_at > ended)
    }

    fn take(&self, arrival: Arrival, seen: &mut Seen, observer: &mut dyn Observer) {
        let kept = match arrival {
            Arrival::Kept(kept) => kept,
            Arrival::NotKept(reason) => {
                seen.not_kept = Some(reason);
                return;
            }
        };
        seen.captures += 1;
        let unmet = self.expectation.unmet(&kept.caught, &kept.body);
        if unmet.is_empty() {
            seen.matched += 1;
            observer.matched(&kept.caught, &kept.body);
        } else if seen
            .nearest
            .as_ref()
            .is_none_or(|nearest| unmet.len() <= nearest.unmet.len())
        {
            seen.nearest = Some(Miss { kept, unmet });
        }
    }

    fn end(&self, seen: &Seen, running: bool, up: bool) -> Option<End> {
        if self.count == 0 {
            return match (seen.matched, up, running) {
                (0, false, _) => None,
                (0, true, false) => Some(End::Met),
                (0, true, true) => Some(End::CommandLate),
                _ => Some(End::Unmet),
            };
        }
        match (seen.matched >= self.count, running, up) {
            (true, false, _) => Some(End::Met),
            (true, true, true) => Some(End::CommandLate),
            (false, _, true) => Some(End::Unmet),
            (_, _, false) => None,
        }
    }
}
