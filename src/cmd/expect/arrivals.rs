//! Where the captures come from: a listener of our own, or a bin that another hookfire fills.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::capture::{Answer, Body, Capture, Caught};
use crate::expect::{Arrival, Arrivals, Expectation};
use crate::journal::Journal;
use crate::store::{Batch, CaptureQuery, Done, Keeper, StoreError};

/// How often a bin is looked into.
const GLANCE: Duration = Duration::from_millis(50);

/// How many captures of a bin are read at a time, their bodies not included.
const PAGE: u32 = 100;

/// Has another keeper keep captures, and tells of each as soon as it is kept.
pub struct Telling<K> {
    keeper: K,
    expectation: Expectation,
    tell: Sender<Arrival>,
}

/// What a [`Telling`] tells.
pub struct Told(Receiver<Arrival>);

impl<K: Keeper> Telling<K> {
    /// A keeper like `keeper` for what may be the expected one, and what it tells.
    pub fn new(keeper: K, expectation: Expectation) -> (Telling<K>, Told) {
        let (tell, told) = channel();
        (Telling { keeper, expectation, tell }, Told(told))
    }
}

impl<K: Keeper> Keeper for Telling<K> {
    fn keep(&self, mut captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        for (capture, _) in &mut captures {
            // As a listener that asks for the secret marks it: whoever looks at it later sees no value of it.
            capture.secret_ok = self.expectation.secrets_are_right(capture);
        }
        let (tell, count) = (self.tell.clone(), captures.len());
        let kept = move |result: Result<Batch, Arc<StoreError>>| {
            for at in 0..count {
                let arrival = match &result {
                    Ok(batch) => Arrival::Kept(Box::new(batch[at].caught.clone()), batch[at].body.clone()),
                    Err(reason) => Arrival::NotKept(Arc::clone(reason)),
                };
                // Before it is answered: whoever sent it may end, and with it the wait. Nobody listens after the wait.
                let _ = tell.send(arrival);
            }
            done(result);
        };
        self.keeper.keep(captures, Box::new(kept));
    }

    fn amend(&self, id: i64, answer: Answer, done: Done<()>) {
        self.keeper.amend(id, answer, done);
    }
}

impl Arrivals for Told {
    fn next(&mut self, patience: Duration) -> Result<Option<Arrival>, StoreError> {
        match self.0.recv_timeout(patience) {
            Ok(arrival) => Ok(Some(arrival)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                // The catcher has gone down, which it has told. The time still has to pass.
                thread::sleep(patience);
                Ok(None)
            }
        }
    }
}

/// A bin of the journal, read as it grows.
pub struct Growing<'a> {
    journal: &'a Journal,
    query: CaptureQuery,
    read: VecDeque<Caught>,
}

impl<'a> Growing<'a> {
    /// The captures that `query` asks for, oldest first, now and later.
    pub fn new(journal: &'a Journal, query: CaptureQuery) -> Growing<'a> {
        Growing { journal, query: CaptureQuery { limit: Some(PAGE), ..query }, read: VecDeque::new() }
    }

    /// The next one that is there already.
    fn known(&mut self) -> Result<Option<Arrival>, StoreError> {
        loop {
            if self.read.is_empty() {
                self.read.extend(self.journal.captures(&self.query)?);
                self.query.after = self.read.back().map(|last| last.id).or(self.query.after);
            }
            let Some(next) = self.read.pop_front() else { return Ok(None) };
            // One that was deleted meanwhile is none.
            if let Some((caught, body)) = self.journal.capture(next.id)? {
                return Ok(Some(Arrival::Kept(Box::new(caught), body)));
            }
        }
    }
}

impl Arrivals for Growing<'_> {
    fn next(&mut self, patience: Duration) -> Result<Option<Arrival>, StoreError> {
        if let Some(arrival) = self.known()? {
            return Ok(Some(arrival));
        }
        thread::sleep(patience.min(GLANCE));
        self.known()
    }
}
