//! The open connections, and which of them are closed when there are too many.
//!
//! Each connection reports whether it waits for its client. When the connection limit or the memory limit is reached,
//! the clients that have been silent for the longest time are evicted: those that send nothing of their request, and those
//! that read nothing of their response. A client that waits for its response is evicted only if it has hung up.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::sync::Notify;

use super::stream::HttpStream;

/// Silence after which a client can be evicted. A request that is sent at once has no such pause, even on a busy machine.
pub(super) const EVICTABLE_AFTER: Duration = Duration::from_millis(20);

/// What one connection is doing, as far as eviction is concerned. Shared by the tasks of the listener's thread.
pub(super) struct Activity {
    /// While the listener waits for the client: when the client last sent or read something.
    silent_since: Cell<Option<Instant>>,
    awaited: Cell<Interest>,
    /// Whether the client waits for a response that is not due yet.
    awaits_response: Cell<bool>,
    holds_memory: Cell<bool>,
    evicted: Cell<bool>,
    changed: Notify,
    stream: RefCell<Weak<RefCell<Box<dyn HttpStream>>>>,
}

impl Activity {
    /// Names the stream that tells whether the client has hung up.
    pub(super) fn set_stream(&self, stream: &Rc<RefCell<Box<dyn HttpStream>>>) {
        *self.stream.borrow_mut() = Rc::downgrade(stream);
    }

    /// From now on the listener waits for the client.
    pub(super) fn begin_client_wait(&self) {
        self.begin_wait_until(Interest::READABLE);
    }

    /// From now on the listener waits until the client sends, or reads, something.
    pub(super) fn begin_wait_until(&self, interest: Interest) {
        self.awaited.set(interest);
        self.silent_since.set(Some(Instant::now()));
        if self.evicted.get() {
            self.changed.notify_waiters();
        }
    }

    /// The client has sent or read something.
    pub(super) fn client_progressed(&self) {
        if self.silent_since.get().is_some() {
            self.silent_since.set(Some(Instant::now()));
        }
    }

    /// The listener does not read from the client for now.
    pub(super) fn pause_client_wait(&self) {
        self.silent_since.set(None);
    }

    /// The client now waits for the listener. A client that was selected for eviction just before it sent something may stay.
    pub(super) fn end_client_wait(&self) {
        self.silent_since.set(None);
        self.evicted.set(false);
    }

    pub(super) fn set_holds_memory(&self, holds: bool) {
        self.holds_memory.set(holds);
    }

    /// Runs `future`; `None` if the connection is evicted first.
    pub(super) async fn unless_evicted<F: Future>(&self, future: F) -> Option<F::Output> {
        self.unless_evicted_if(future, || true).await
    }

    /// As [`Activity::unless_evicted`], but goes on while `may_end` is false.
    pub(super) async fn unless_evicted_if<F: Future>(
        &self,
        future: F,
        may_end: impl Fn() -> bool,
    ) -> Option<F::Output> {
        let evicted = async {
            while !(self.evicted.get() && may_end()) {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            biased;
            output = future => Some(output),
            () = evicted => None,
        }
    }

    /// Runs `future` while the client waits for its response; `None` if the client has hung up and its connection is needed.
    pub(super) async fn unless_abandoned<F: Future>(&self, future: F) -> Option<F::Output> {
        self.awaits_response.set(true);
        let output = self.unless_evicted(future).await;
        self.awaits_response.set(false);
        output
    }

    fn evict(&self) {
        self.evicted.set(true);
        self.changed.notify_waiters();
    }

    /// Since when this client is silent, if that is at least `silence` and it is not evicted yet.
    fn evictable_since(&self, silence: Duration) -> Option<Instant> {
        let since = self.silent_since.get()?;
        if since.elapsed() < silence || self.evicted.get() {
            return None;
        }
        // On a busy machine it may be this thread that is late.
        let stream = self.stream.borrow().upgrade();
        let is_ready =
            stream.is_some_and(|stream| stream.borrow().ready(self.awaited.get()).is_some());
        (!is_ready).then_some(since)
    }

    fn is_abandoned(&self) -> bool {
        if !self.awaits_response.get() || self.evicted.get() {
            return false;
        }
        let stream = self.stream.borrow().upgrade();
        stream.is_none_or(|stream| stream.borrow().is_hung_up())
    }
}

#[derive(Default)]
pub(super) struct Connections {
    open: RefCell<Vec<Rc<Activity>>>,
}

impl Connections {
    /// Adds a connection, and waits for its client.
    pub(super) fn open(&self) -> Rc<Activity> {
        let activity = Rc::new(Activity {
            silent_since: Cell::default(),
            awaited: Cell::new(Interest::READABLE),
            awaits_response: Cell::default(),
            holds_memory: Cell::default(),
            evicted: Cell::default(),
            changed: Notify::new(),
            stream: RefCell::default(),
        });
        activity.begin_client_wait();
        self.open.borrow_mut().push(Rc::clone(&activity));
        activity
    }

    pub(super) fn close(&self, activity: &Rc<Activity>) {
        let mut open = self.open.borrow_mut();
        open.retain(|other| !Rc::ptr_eq(other, activity));
    }

    /// Evicts clients until `count` evicted connections are still open: the longest silent first, then those that have hung up
    /// before their response was due.
    pub(super) fn evict(&self, count: usize) {
        let open = self.open.borrow();
        let leaving = open.iter().filter(|other| other.evicted.get()).count();
        let missing = count.saturating_sub(leaving);
        let silent = longest_silent(&open, EVICTABLE_AFTER, |_| true);
        let abandoned = open.iter().filter(|other| other.is_abandoned());
        for activity in silent.into_iter().chain(abandoned).take(missing) {
            activity.evict();
        }
    }

    /// Evicts the longest silent client that holds memory, if it is silent for at least `silence`. Does nothing while
    /// an evicted connection still holds memory.
    pub(super) fn evict_for_memory(&self, silence: Duration) {
        let open = self.open.borrow();
        let holds_memory = |activity: &Activity| activity.holds_memory.get();
        let mut leaving = open.iter().filter(|other| other.evicted.get());
        if leaving.any(|activity| holds_memory(activity)) {
            return;
        }
        if let Some(activity) = longest_silent(&open, silence, holds_memory).first() {
            activity.evict();
        }
    }
}

fn longest_silent(
    open: &[Rc<Activity>],
    silence: Duration,
    matches: impl Fn(&Activity) -> bool,
) -> Vec<&Rc<Activity>> {
    let mut silent = Vec::new();
    for activity in open.iter().filter(|activity| matches(activity)) {
        if let Some(since) = activity.evictable_since(silence) {
            silent.push((since, activity));
        }
    }
    silent.sort_by_key(|(since, _)| *since);
    silent.into_iter().map(|(_, activity)| activity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent_for(connections: &Connections, millis: u64) -> Rc<Activity> {
        let activity = connections.open();
        let since = Instant::now().checked_sub(Duration::from_millis(millis));
        activity.silent_since.set(since);
        activity
    }

    #[test]
    fn evicts_the_longest_silent_and_none_that_is_served() {
        let connections = Connections::default();
        let served = silent_for(&connections, 9_000);
        served.end_client_wait();
        served.client_progressed();
        let [short, long, longest] =
            [100, 5_000, 8_000].map(|millis| silent_for(&connections, millis));
        let fresh = connections.open();
        let evicted =
            || [&served, &short, &long, &longest, &fresh].map(|activity| activity.evicted.get());
        connections.evict(2);
        assert_eq!(evicted(), [false, false, true, true, false]);
        connections.evict(2);
        assert_eq!(evicted(), [false, false, true, true, false], "two suffice");
        longest.end_client_wait();
        connections.close(&long);
        connections.evict(9);
        assert_eq!(evicted(), [false, true, true, false, false]);
    }

    #[test]
    fn memory_is_taken_from_one_silent_holder_at_a_time() {
        let connections = Connections::default();
        let [short, long, idle] =
            [100, 5_000, 8_000].map(|millis| silent_for(&connections, millis));
        short.set_holds_memory(true);
        long.set_holds_memory(true);
        connections.evict_for_memory(EVICTABLE_AFTER);
        connections.evict_for_memory(EVICTABLE_AFTER);
        let evicted = [&short, &long, &idle].map(|activity| activity.evicted.get());
        assert_eq!(evicted, [false, true, false]);
        connections.close(&long);
        connections.evict_for_memory(EVICTABLE_AFTER);
        assert!(short.evicted.get() && !idle.evicted.get());
    }
}
