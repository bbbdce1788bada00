//! Where the captures come from: a listener of our own, or a bin that another hookfire fills.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::capture::expect::Expectation;
use crate::capture::{Body, Capture, CapturedResponse, Caught};
use crate::expect::{Arrival, Arrivals};
use crate::journal::Journal;
use crate::journal::{CaptureQuery, CaptureStore, Done, JournalError, Kept, SharedCapture};

/// How often a bin is looked into.
const GLANCE: Duration = Duration::from_millis(50);

/// How many captures of a bin are read at a time, their bodies not included.
const PAGE: u32 = 100;

/// Bytes of captures that may wait to be judged.
const WAITING_BYTES: usize = 2 * 1024 * 1024;

/// Has another keeper keep captures, and tells of each as soon as it is kept.
///
/// Who sends more than can be judged waits for its answers: what is kept is not acknowledged until there is room for more. So
/// little is left to be judged when the time is up, and no thread is held up.
pub struct Telling<K> {
    keeper: K,
    expectation: Expectation,
    line: Arc<Line>,
}

/// What a [`Telling`] tells. When dropped, nobody is held up any more.
pub struct Told(Arc<Line>);

/// What was told and not yet judged.
#[derive(Default)]
struct Line {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

/// Lets a request get its response.
type Release = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Waiting {
    arrivals: VecDeque<Arrival>,
    bytes: usize,
    /// How many were received, and are not told yet.
    under_way: usize,
    /// What is to be answered as soon as there is room again.
    held: Vec<Release>,
    is_over: bool,
}

impl<K: CaptureStore> Telling<K> {
    /// A keeper like `keeper` for what may be the expected one, and what it tells.
    pub fn new(keeper: K, expectation: Expectation) -> (Telling<K>, Told) {
        let line = Arc::new(Line::default());
        (
            Telling {
                keeper,
                expectation,
                line: Arc::clone(&line),
            },
            Told(line),
        )
    }
}

impl<K: CaptureStore> CaptureStore for Telling<K> {
    fn store(&self, mut capture: Capture, body: Body, done: Done<SharedCapture>) {
        // Marked as by a listener that requires the secret, so that its value is shown nowhere.
        capture.secret_ok = self.expectation.secrets_are_right(&capture);
        let line = Arc::clone(&self.line);
        let place = Place::take(&line);
        let stored = move |result: Result<SharedCapture, Arc<JournalError>>| {
            let arrival = match &result {
                Ok(kept) => Arrival::Kept(Arc::clone(kept)),
                Err(reason) => Arrival::NotKept(Arc::clone(reason)),
            };
            // Before the response: its client may end, and with it the wait.
            line.tell(arrival, Box::new(move || done(result)));
            drop(place);
        };
        self.keeper.store(capture, body, Box::new(stored));
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: Done<()>) {
        self.keeper.set_response(id, response, done);
    }
}

impl Line {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an arrival, and releases its response: at once if there is room for more.
    fn tell(&self, arrival: Arrival, release: Release) {
        let mut waiting = self.waiting();
        if !waiting.is_over {
            waiting.bytes += size(&arrival);
            waiting.arrivals.push_back(arrival);
            if waiting.bytes > WAITING_BYTES {
                return waiting.held.push(release);
            }
        }
        drop(waiting);
        release();
    }
}

/// That of a capture which is being kept, whatever becomes of it.
struct Place(Arc<Line>);

impl Place {
    fn take(line: &Arc<Line>) -> Place {
        line.waiting().under_way += 1;
        Place(Arc::clone(line))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting().under_way -= 1;
        self.0.filled.notify_one();
    }
}

/// About how much memory it holds.
fn size(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Kept(kept) => kept.weight(),
        Arrival::NotKept(_) => Kept::OWN_BYTES,
    }
}

impl Arrivals for Told {
    fn next(&mut self, patience: Duration) -> Result<Option<Arrival>, JournalError> {
        let Told(line) = self;
        let is_empty = |waiting: &mut Waiting| waiting.arrivals.is_empty();
        let waited = line
            .filled
            .wait_timeout_while(line.waiting(), patience, is_empty);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        if patience.is_zero() {
            // The time is up, and what was received by then counts. It is known soon: the journal's patience is short.
            let comes =
                |waiting: &mut Waiting| waiting.arrivals.is_empty() && waiting.under_way > 0;
            waiting = line
                .filled
                .wait_while(waiting, comes)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let next = waiting.arrivals.pop_front();
        waiting.bytes -= next.as_ref().map_or(0, size);
        let held = if waiting.bytes <= WAITING_BYTES {
            std::mem::take(&mut waiting.held)
        } else {
            Vec::new()
        };
        drop(waiting);
        held.into_iter().for_each(|release| release());
        Ok(next)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_over = true;
        waiting.arrivals.clear();
        let held = std::mem::take(&mut waiting.held);
        drop(waiting);
        held.into_iter().for_each(|release| release());
    }
}

/// A bin of the journal, read as it grows.
pub struct Growing<'a> {
    journal: &'a dyn Journal,
    query: CaptureQuery,
    read: VecDeque<Caught>,
}

impl<'a> Growing<'a> {
    /// The captures that `query` asks for, oldest first, now and later.
    pub fn new(journal: &'a dyn Journal, query: CaptureQuery) -> Growing<'a> {
        Growing {
            journal,
            query: CaptureQuery {
                limit: Some(PAGE),
                ..query
            },
            read: VecDeque::new(),
        }
    }

    /// The next one that is there already.
    fn known(&mut self) -> Result<Option<Arrival>, JournalError> {
        loop {
            if self.read.is_empty() {
                self.read.extend(self.journal.captures(&self.query)?);
                self.query.after = self.read.back().map(|last| last.id).or(self.query.after);
            }
            let Some(next) = self.read.pop_front() else {
                return Ok(None);
            };
            // One that was deleted meanwhile is none.
            if let Some((caught, body)) = self.journal.capture(next.id)? {
                return Ok(Some(Arrival::Kept(Kept { caught, body }.into())));
            }
        }
    }
}

impl Arrivals for Growing<'_> {
    fn next(&mut self, patience: Duration) -> Result<Option<Arrival>, JournalError> {
        if let Some(arrival) = self.known()? {
            return Ok(Some(arrival));
        }
        thread::sleep(patience.min(GLANCE));
        self.known()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::time::UnixMs;

    /// Two of these have room, and no third.
    const LARGE: usize = WAITING_BYTES / 2 - 2 * Kept::OWN_BYTES;

    /// Gives what it is to keep to whoever has the other end.
    struct ByHand(mpsc::Sender<ToKeep>);

    type ToKeep = (Capture, Body, Done<SharedCapture>);

    impl CaptureStore for ByHand {
        fn store(&self, capture: Capture, body: Body, done: Done<SharedCapture>) {
            self.0.send((capture, body, done)).unwrap();
        }

        fn set_response(&self, _: i64, _: CapturedResponse, _: Done<()>) {}
    }

    struct Desk {
        told: Told,
        to_keep: mpsc::Receiver<ToKeep>,
        answered: mpsc::Receiver<()>,
    }

    /// So many large captures, handed to the keeper.
    fn handed_over(count: usize) -> Desk {
        let (by_hand, to_keep) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let (telling, told) = Telling::new(ByHand(by_hand), Expectation::default());
        for name in 0..count {
            let head = format!("GET /{name} HTTP/1.1\r\n\r\n").into_bytes();
            let capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head);
            let answer = answer.clone();
            let done = move |_| answer.send(()).unwrap();
            let body = Body {
                bytes: vec![b'x'; LARGE],
                wire: None,
            };
            telling.store(capture, body, Box::new(done));
        }
        Desk {
            told,
            to_keep,
            answered,
        }
    }

    /// Keeps all of them, on the thread that also has to judge: nobody may be held up.
    fn keep(to_keep: mpsc::Receiver<ToKeep>) {
        for (capture, body, done) in to_keep {
            let kept = Kept::new(1, "expect", None, capture, body);
            done(Ok(Arc::new(kept)));
        }
    }

    fn path(arrival: Option<Arrival>) -> String {
        let Some(Arrival::Kept(kept)) = arrival else {
            panic!("nothing is told")
        };
        kept.caught.capture.path().to_owned()
    }

    #[test]
    fn who_sends_more_than_is_judged_waits_for_answers_and_nothing_is_left_out() {
        let Desk {
            mut told,
            to_keep,
            answered,
        } = handed_over(10);
        keep(to_keep);
        assert_eq!(
            answered.try_iter().count(),
            2,
            "there is no room for a third"
        );
        for expected in 0..10 {
            // As when the time is up: what was received counts.
            assert_eq!(
                path(told.next(Duration::ZERO).unwrap()),
                format!("/{expected}")
            );
        }
        assert_eq!(answered.iter().count(), 8);
        assert!(told.next(Duration::ZERO).unwrap().is_none());
    }

    #[test]
    fn when_nobody_judges_any_more_nobody_waits() {
        let Desk {
            told,
            to_keep,
            answered,
        } = handed_over(10);
        keep(to_keep);
        drop(told);
        assert_eq!(answered.iter().count(), 10);
    }

    #[test]
    fn nobody_waits_for_what_nobody_keeps() {
        let Desk {
            mut told, to_keep, ..
        } = handed_over(1);
        assert!(
            told.next(Duration::from_millis(1)).unwrap().is_none(),
            "it is under way"
        );
        drop(to_keep);
        assert!(told.next(Duration::ZERO).unwrap().is_none(), "it is lost");
    }
}
