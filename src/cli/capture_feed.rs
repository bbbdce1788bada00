//! Captures as they arrive: those of this process's listener ([`ListenerFeed`]), or those in a bin that another process
//! fills ([`BinFeed`]).
//!
//! A [`FeedingStore`] between the listener and the journal passes each capture on once it is committed. The queue is
//! limited in bytes. When it is full, `listen` queues ids only and reads the captures from the journal later, so that a
//! slow reader of stdout does not delay clients; `expect` delays the responses, so that little is left to check at its deadline.

use std::collections::{HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::capture::{Body, Capture, CaptureRecord, CapturedResponse};
use crate::error::Failure;
use crate::journal::{
    CaptureQuery, CaptureStore, Journal, JournalError, StoreReply, StoredCapture,
};

const MAX_QUEUED_BYTES: usize = 2 * 1024 * 1024;

/// How often to check for the end of writes that were lost.
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

const BIN_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Captures of a bin that are read at a time, without their bodies.
const BIN_PAGE_SIZE: u32 = 100;

pub enum FeedItem {
    Captured(Arc<StoredCapture>),
    /// A capture that was deleted from the journal before it could be read.
    Deleted,
    /// A request that could not be stored and got a 503.
    NotStored(Arc<JournalError>),
    /// The response of a stored request could not be recorded.
    ResponseNotRecorded(Arc<JournalError>),
}

pub trait CaptureFeed {
    /// The next item, in order of arrival; waits for at most `timeout`.
    fn next(&mut self, timeout: Duration) -> Result<Option<FeedItem>, Failure>;

    /// Whether more has arrived than the queue holds, so that the last item was read from the journal.
    fn is_behind(&self) -> bool {
        false
    }

    /// Waits until a received request is in the queue, or none is being stored.
    fn settle(&mut self) {}
}

/// What happens when the queue is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Queue ids, and read the captures from the journal later.
    ReadLater,
    /// Requests get their responses once there is room.
    DelayResponses,
}

/// Stores captures in another store, and feeds them to a [`ListenerFeed`].
pub struct FeedingStore<S> {
    store: S,
    queue: Arc<Queue>,
    when_full: WhenFull,
    /// Responses come from a forward target, and captures are fed once they are known.
    forwards: bool,
}

/// The captures of a [`FeedingStore`]. Dropping it ends all delays.
pub struct ListenerFeed<'a> {
    queue: Arc<Queue>,
    journal: &'a dyn Journal,
    /// Ids to read from the journal before the rest of the queue.
    ids: Option<RangeInclusive<i64>>,
}

impl<'a> ListenerFeed<'a> {
    /// `journal` is where `store` stores.
    pub fn new<S: CaptureStore>(
        store: S,
        journal: &'a dyn Journal,
        when_full: WhenFull,
        forwards: bool,
    ) -> (FeedingStore<S>, ListenerFeed<'a>) {
        let queue = Arc::new(Queue::default());
        let store = FeedingStore {
            store,
            queue: Arc::clone(&queue),
            when_full,
            forwards,
        };
        let feed = ListenerFeed {
            queue,
            journal,
            ids: None,
        };
        (store, feed)
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    /// Cloned for each capture that is being stored.
    in_progress: Arc<()>,
}

#[derive(Default)]
struct QueueState {
    entries: VecDeque<QueueEntry>,
    bytes: usize,
    /// Captures that are fed once their response is known.
    awaiting: HashSet<i64>,
    /// Completes requests whose responses are delayed.
    delayed: Vec<Box<dyn FnOnce() + Send>>,
    is_closed: bool,
    /// Whether the feed waits for an entry. To notify it is a system call, even if it does not.
    is_waiting: bool,
}

enum QueueEntry {
    Item(FeedItem),
    /// Consecutive ids of captures that are read from the journal.
    Ids(RangeInclusive<i64>),
}

impl QueueEntry {
    fn bytes(&self) -> usize {
        match self {
            QueueEntry::Item(FeedItem::Captured(capture)) => capture.memory_bytes(),
            QueueEntry::Item(_) => StoredCapture::OWN_BYTES,
            QueueEntry::Ids(_) => 0,
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, timeout: Duration) -> MutexGuard<'_, QueueState> {
        let is_empty = |state: &mut QueueState| {
            state.is_waiting = state.entries.is_empty();
            state.is_waiting
        };
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, is_empty);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Adds an entry; completes its request with `respond`, later if responses are to be delayed.
    fn push(
        &self,
        entry: QueueEntry,
        when_full: WhenFull,
        respond: impl FnOnce() + Send + 'static,
    ) {
        let mut state = self.lock();
        if !state.is_closed {
            let is_full = state.bytes + entry.bytes() > MAX_QUEUED_BYTES;
            match entry {
                QueueEntry::Item(FeedItem::Captured(capture))
                    if is_full && when_full == WhenFull::ReadLater =>
                {
                    state.push_id(capture.record.id);
                }
                QueueEntry::Ids(ids) => state.push_id(*ids.start()),
                entry => {
                    state.bytes += entry.bytes();
                    state.entries.push_back(entry);
                }
            }
            if std::mem::take(&mut state.is_waiting) {
                self.changed.notify_one();
            }
            if is_full && when_full == WhenFull::DelayResponses {
                state.delayed.push(Box::new(respond));
                return;
            }
        }
        drop(state);
        respond();
    }
}

impl QueueState {
    fn push_id(&mut self, id: i64) {
        match self.entries.back_mut() {
            Some(QueueEntry::Ids(ids)) if ids.end() + 1 == id => *ids = *ids.start()..=id,
            _ => self.entries.push_back(QueueEntry::Ids(id..=id)),
        }
    }
}

impl<S: CaptureStore> CaptureStore for FeedingStore<S> {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        let awaits_response = self.forwards && capture.response.is_pending();
        let (queue, when_full) = (Arc::clone(&self.queue), self.when_full);
        let in_progress = Arc::clone(&queue.in_progress);
        let stored = move |result: Result<Arc<StoredCapture>, Arc<JournalError>>| {
            let item = match &result {
                Ok(capture) if awaits_response => {
                    queue.lock().awaiting.insert(capture.record.id);
                    return done(result);
                }
                Ok(capture) => FeedItem::Captured(Arc::clone(capture)),
                Err(reason) => FeedItem::NotStored(Arc::clone(reason)),
            };
            // Before the response: its client may end, and with it the wait.
            queue.push(QueueEntry::Item(item), when_full, move || done(result));
            drop(in_progress);
        };
        self.store.store(capture, body, Box::new(stored));
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: StoreReply<()>) {
        let queue = Arc::clone(&self.queue);
        let recorded = move |result: Result<(), Arc<JournalError>>| {
            if queue.lock().awaiting.remove(&id) {
                // Even if its response could not be recorded.
                queue.push(QueueEntry::Ids(id..=id), WhenFull::ReadLater, || ());
            }
            if let Err(reason) = &result {
                let item = FeedItem::ResponseNotRecorded(Arc::clone(reason));
                queue.push(QueueEntry::Item(item), WhenFull::ReadLater, || ());
            }
            done(result);
        };
        self.store.set_response(id, response, Box::new(recorded));
    }
}

impl CaptureFeed for ListenerFeed<'_> {
    fn next(&mut self, timeout: Duration) -> Result<Option<FeedItem>, Failure> {
        if let Some(ids) = &mut self.ids {
            if let Some(id) = ids.next() {
                return Ok(Some(self.read(id)?));
            }
            self.ids = None;
        }
        let mut state = self.queue.wait(timeout);
        let Some(entry) = state.entries.pop_front() else {
            return Ok(None);
        };
        state.bytes -= entry.bytes();
        let delayed = match state.bytes <= MAX_QUEUED_BYTES {
            true => std::mem::take(&mut state.delayed),
            false => Vec::new(),
        };
        drop(state);
        delayed.into_iter().for_each(|respond| respond());
        match entry {
            QueueEntry::Item(item) => Ok(Some(item)),
            QueueEntry::Ids(ids) => {
                self.ids = Some(ids);
                self.next(timeout)
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.ids.is_some()
    }

    fn settle(&mut self) {
        let is_storing = || Arc::strong_count(&self.queue.in_progress) > 1;
        while is_storing() && self.queue.wait(SETTLE_INTERVAL).entries.is_empty() {}
    }
}

impl ListenerFeed<'_> {
    fn read(&self, id: i64) -> Result<FeedItem, JournalError> {
        Ok(match self.journal.capture(id)? {
            Some(capture) => FeedItem::Captured(Arc::new(capture)),
            None => FeedItem::Deleted,
        })
    }
}

impl Drop for ListenerFeed<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_closed = true;
        state.entries.clear();
        let delayed = std::mem::take(&mut state.delayed);
        drop(state);
        delayed.into_iter().for_each(|respond| respond());
    }
}

/// The captures of a bin in the journal, oldest first, polled.
pub struct BinFeed<'a> {
    journal: &'a dyn Journal,
    query: CaptureQuery,
    page: VecDeque<CaptureRecord>,
}

impl<'a> BinFeed<'a> {
    pub fn new(journal: &'a dyn Journal, query: CaptureQuery) -> BinFeed<'a> {
        BinFeed {
            journal,
            query: CaptureQuery {
                limit: Some(BIN_PAGE_SIZE),
                ..query
            },
            page: VecDeque::new(),
        }
    }

    fn read_next(&mut self) -> Result<Option<FeedItem>, JournalError> {
        loop {
            if self.page.is_empty() {
                self.page.extend(self.journal.captures(&self.query)?);
                self.query.after = self.page.back().map(|last| last.id).or(self.query.after);
            }
            let Some(next) = self.page.pop_front() else {
                return Ok(None);
            };
            if let Some(capture) = self.journal.capture(next.id)? {
                return Ok(Some(FeedItem::Captured(Arc::new(capture))));
            }
        }
    }
}

impl CaptureFeed for BinFeed<'_> {
    fn next(&mut self, timeout: Duration) -> Result<Option<FeedItem>, Failure> {
        if let Some(item) = self.read_next()? {
            return Ok(Some(item));
        }
        thread::sleep(timeout.min(BIN_POLL_INTERVAL));
        Ok(self.read_next()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;
    use crate::time::UnixMs;

    /// Two captures of this size fit into the queue, three do not.
    const LARGE_BODY: usize = MAX_QUEUED_BYTES / 2 - 2 * StoredCapture::OWN_BYTES;

    /// Passes captures to the test, which decides when they are stored.
    struct ManualStore(mpsc::Sender<ToStore>);

    type ToStore = (Capture, Body, StoreReply<Arc<StoredCapture>>);

    impl CaptureStore for ManualStore {
        fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
            self.0.send((capture, body, done)).unwrap();
        }

        fn set_response(&self, _: i64, _: CapturedResponse, done: StoreReply<()>) {
            done(Ok(()));
        }
    }

    struct Fixture {
        _folder: tempfile::TempDir,
        journal: Box<dyn Journal>,
    }

    impl Fixture {
        fn new() -> Fixture {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.db");
            Fixture {
                journal: crate::journal::open(&path).unwrap(),
                _folder: folder,
            }
        }

        /// A feed, with `count` large captures passed to the store, and the responses to them.
        fn fill(
            &self,
            count: usize,
            when_full: WhenFull,
        ) -> (ListenerFeed<'_>, Receiver<ToStore>, Receiver<()>) {
            let (sender, to_store) = mpsc::channel();
            let (respond, responses) = mpsc::channel();
            let (store, feed) =
                ListenerFeed::new(ManualStore(sender), &*self.journal, when_full, false);
            for name in 0..count {
                let head = format!("GET /{name} HTTP/1.1\r\n\r\n").into_bytes();
                let capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head);
                let body = Body {
                    bytes: vec![b'x'; LARGE_BODY],
                    wire: None,
                };
                let respond = respond.clone();
                store.store(capture, body, Box::new(move |_| respond.send(()).unwrap()));
            }
            (feed, to_store, responses)
        }
    }

    fn store_all(to_store: Receiver<ToStore>) {
        for (id, (capture, body, done)) in (1..).zip(to_store) {
            done(Ok(Arc::new(StoredCapture::new(
                id, "inbox", None, capture, body,
            ))));
        }
    }

    fn path(item: Option<FeedItem>) -> String {
        match item {
            Some(FeedItem::Captured(capture)) => capture.record.capture.path().to_owned(),
            Some(FeedItem::Deleted) => "deleted".to_owned(),
            _ => panic!("no capture"),
        }
    }

    #[test]
    fn full_queue_delays_responses_and_loses_nothing() {
        let fixture = Fixture::new();
        let (mut feed, to_store, responses) = fixture.fill(10, WhenFull::DelayResponses);
        store_all(to_store);
        assert_eq!(responses.try_iter().count(), 2, "a third does not fit");
        for expected in 0..10 {
            feed.settle();
            assert_eq!(
                path(feed.next(Duration::ZERO).unwrap()),
                format!("/{expected}")
            );
        }
        assert_eq!(responses.iter().count(), 8);
        assert!(feed.next(Duration::ZERO).unwrap().is_none());
    }

    #[test]
    fn full_queue_keeps_ids_and_delays_nobody() {
        let fixture = Fixture::new();
        let (mut feed, to_store, responses) = fixture.fill(5, WhenFull::ReadLater);
        store_all(to_store);
        assert_eq!(responses.iter().count(), 5);
        let mut next = || path(feed.next(Duration::ZERO).unwrap());
        assert_eq!([next(), next()], ["/0", "/1"]);
        assert_eq!(
            [next(), next(), next()],
            ["deleted"; 3],
            "not in the journal"
        );
        assert!(feed.next(Duration::ZERO).unwrap().is_none());
    }

    #[test]
    fn dropped_feed_delays_nobody() {
        let fixture = Fixture::new();
        let (feed, to_store, responses) = fixture.fill(10, WhenFull::DelayResponses);
        store_all(to_store);
        drop(feed);
        assert_eq!(responses.iter().count(), 10);
    }

    #[test]
    fn settle_does_not_wait_for_lost_captures() {
        let fixture = Fixture::new();
        let (mut feed, to_store, _responses) = fixture.fill(1, WhenFull::DelayResponses);
        assert!(feed.next(Duration::from_millis(1)).unwrap().is_none());
        drop(to_store);
        feed.settle();
        assert!(feed.next(Duration::ZERO).unwrap().is_none());
    }

    #[test]
    fn next_returns_as_soon_as_a_capture_is_stored() {
        let fixture = Fixture::new();
        let (mut feed, to_store, _responses) = fixture.fill(1, WhenFull::ReadLater);
        let storing = thread::spawn(move || store_all(to_store));
        assert_eq!(path(feed.next(Duration::from_secs(20)).unwrap()), "/0");
        storing.join().unwrap();
    }

    #[test]
    fn requests_that_are_not_stored_are_reported() {
        let fixture = Fixture::new();
        let (mut feed, to_store, responses) = fixture.fill(1, WhenFull::ReadLater);
        let (_, _, done) = to_store.recv().unwrap();
        done(Err(Arc::new(JournalError::Unusable {
            path: "journal".into(),
            problem: "is broken".to_owned(),
        })));
        let Some(FeedItem::NotStored(error)) = feed.next(Duration::ZERO).unwrap() else {
            panic!("nothing is reported");
        };
        assert!(error.to_string().contains("is broken"));
        assert_eq!(responses.iter().count(), 1);
    }

    #[test]
    fn forwarded_captures_are_fed_once_their_response_is_known() {
        let fixture = Fixture::new();
        let (sender, to_store) = mpsc::channel();
        let (store, mut feed) = ListenerFeed::new(
            ManualStore(sender),
            &*fixture.journal,
            WhenFull::ReadLater,
            true,
        );
        let head = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        let mut capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head);
        capture.malformed = false;
        capture.response = CapturedResponse::pending();
        store.store(capture, Body::default(), Box::new(|_| ()));
        let (capture, body, done) = to_store.recv().unwrap();
        done(Ok(Arc::new(StoredCapture::new(
            1, "inbox", None, capture, body,
        ))));
        assert!(feed.next(Duration::ZERO).unwrap().is_none());
        let response = CapturedResponse {
            status: Some(200),
            duration_ms: 1,
            note: None,
        };
        store.set_response(1, response.clone(), Box::new(|_| ()));
        assert_eq!(path(feed.next(Duration::ZERO).unwrap()), "deleted");
        store.set_response(1, response, Box::new(|_| ()));
        assert!(feed.next(Duration::ZERO).unwrap().is_none(), "fed once");
    }
}
