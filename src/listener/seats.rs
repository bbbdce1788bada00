//! Who is connected, and who makes room when all seats are taken.
//!
//! Deliberately knows nothing of HTTP: a connection says when it waits for its client and when it does not. Nobody has to
//! leave while there is room.
//!
//! Invariant: only a connection whose client has for [`STALLED`] neither said anything, where it has the word, nor taken
//! anything of its answer is asked to leave, the longest silent first. So a crowd of clients that say nothing, or do not listen,
//! delays nobody for longer than that and a commit. One whose client waits for us leaves only when that client has hung up.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How long a client must have said nothing before its seat may go to another. A request that is sent in one go, even
/// over a busy loopback, is never cut in two for as long as that.
pub(super) const STALLED: Duration = Duration::from_millis(20);

/// How often those who let their clients wait are asked to look whether they are still there: each is woken for it.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// One connection's seat.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// When its client last said something, or took something of its answer, while the next move is the client's.
    waiting_since: Cell<Option<Instant>>,
    asked_to_leave: Cell<bool>,
    /// Whether its client is let wait for so long that it may be gone meanwhile.
    deferred: Cell<bool>,
    asked_to_look: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Seat {
    /// From now on the next word is the client's.
    pub(super) fn wait(&self) {
        self.waiting_since.set(Some(Instant::now()));
    }

    /// The client has said something.
    pub(super) fn hear(&self) {
        if self.waiting_since.get().is_some() {
            self.wait();
        }
    }

    /// For now nothing is heard of the client because nobody listens.
    pub(super) fn pause(&self) {
        self.waiting_since.set(None);
    }

    /// From now on the client waits for us. If it was asked to leave just before it spoke, it may stay.
    pub(super) fn work(&self) {
        self.waiting_since.set(None);
        self.asked_to_leave.set(false);
    }

    /// Whether the connection was asked to make room.
    pub(super) fn is_asked(&self) -> bool {
        self.asked_to_leave.get()
    }

    /// What `future` gives, or `None` if the connection is asked to leave before and `may_leave`. On a draw the future
    /// wins. All races for one seat must be run by one task.
    pub(super) async fn race<F: Future>(
        &self,
        future: F,
        may_leave: impl Fn() -> bool,
    ) -> Option<F::Output> {
        self.race_until(future, || self.is_asked() && may_leave())
            .await
    }

    /// What `future` gives for a client that is let wait, or `None` if others want the seat before, and nobody is in it.
    pub(super) async fn race_deferred<F: Future>(
        &self,
        future: F,
        is_gone: impl Fn() -> bool,
    ) -> Option<F::Output> {
        self.deferred.set(true);
        let given = self
            .race_until(future, || self.asked_to_look.take() && is_gone())
            .await;
        self.deferred.set(false);
        given
    }

    async fn race_until<F: Future>(
        &self,
        future: F,
        is_over: impl Fn() -> bool,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if is_over() {
                return Poll::Ready(None);
            }
            let mut waker = self.waker.borrow_mut();
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn ask_to_leave(&self) {
        self.asked_to_leave.set(true);
        self.wake();
    }

    fn ask_to_look(&self) {
        self.asked_to_look.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// All seats that are taken.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: RefCell<Vec<Rc<Seat>>>,
    /// When those who let their clients wait were last asked whether they are still there.
    looked: Cell<Option<Instant>>,
}

impl Seats {
    /// Takes a seat; its client has the first word.
    pub(super) fn take(&self) -> Rc<Seat> {
        let seat = Rc::new(Seat::default());
        seat.wait();
        self.taken.borrow_mut().push(Rc::clone(&seat));
        seat
    }

    /// Gives a seat back.
    pub(super) fn leave(&self, seat: &Rc<Seat>) {
        let mut taken = self.taken.borrow_mut();
        if let Some(at) = taken.iter().position(|other| Rc::ptr_eq(other, seat)) {
            taken.swap_remove(at);
        }
    }

    /// Asks the longest silent to leave, until `wanted` are on their way; fewer if the others are not silent. Then those leave
    /// as well whose clients did not wait for their answer.
    pub(super) fn make_room(&self, wanted: usize) {
        let taken = self.taken.borrow();
        let leaving = taken.iter().filter(|seat| seat.is_asked()).count();
        let (missing, stalled) = (wanted.saturating_sub(leaving), stalled(taken.iter()));
        for seat in stalled.iter().take(missing) {
            seat.ask_to_leave();
        }
        let now = Instant::now();
        let long_ago = self
            .looked
            .get()
            .is_none_or(|looked| now.duration_since(looked) >= LOOK_PAUSE);
        if stalled.len() < missing && long_ago {
            self.looked.set(Some(now));
            taken
                .iter()
                .filter(|seat| seat.deferred.get())
                .for_each(|seat| seat.ask_to_look());
        }
    }
}

/// Those who have been silent for [`STALLED`] and are not asked to leave yet, the longest silent first.
pub(super) fn stalled<'a>(seats: impl Iterator<Item = &'a Rc<Seat>>) -> Vec<Rc<Seat>> {
    let now = Instant::now();
    let silent = |seat: &Rc<Seat>| {
        let since = seat.waiting_since.get().filter(|_| !seat.is_asked())?;
        (now.duration_since(since) >= STALLED).then(|| (since, Rc::clone(seat)))
    };
    let mut stalled: Vec<(Instant, Rc<Seat>)> = seats.filter_map(silent).collect();
    stalled.sort_by_key(|(since, _)| *since);
    stalled.into_iter().map(|(_, seat)| seat).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::task::Context;

    use super::*;

    pub(in super::super) fn silent_for(seats: &Seats, millis: u64) -> Rc<Seat> {
        let seat = seats.take();
        seat.waiting_since
            .set(Instant::now().checked_sub(Duration::from_millis(millis)));
        seat
    }

    #[test]
    fn the_longest_silent_leave_and_nobody_who_is_served_or_has_just_spoken() {
        let seats = Seats::default();
        let served = silent_for(&seats, 9_000);
        served.work();
        served.hear();
        let [short, long, longest] = [100, 5_000, 8_000].map(|millis| silent_for(&seats, millis));
        let fresh = seats.take();
        seats.make_room(2);
        let asked = || [&served, &short, &long, &longest, &fresh].map(|seat| seat.is_asked());
        assert_eq!(asked(), [false, false, true, true, false]);
        seats.make_room(2);
        assert_eq!(
            asked(),
            [false, false, true, true, false],
            "two are on their way already"
        );
        longest.work();
        seats.leave(&long);
        seats.make_room(9);
        assert_eq!(
            asked(),
            [false, true, true, false, false],
            "who has spoken meanwhile may stay"
        );
    }

    #[test]
    fn who_is_let_wait_leaves_only_when_gone_and_only_when_others_want_the_seat() {
        let (seats, gone) = (Seats::default(), Cell::new(true));
        let seat = seats.take();
        seat.work();
        let mut waiting = pin!(seat.race_deferred(std::future::pending::<()>(), || gone.get()));
        let mut poll = || {
            waiting
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
        assert!(poll().is_pending(), "nobody wants it");
        gone.set(false);
        seats.make_room(1);
        assert!(poll().is_pending(), "it is still there");
        gone.set(true);
        seats.looked.set(None);
        let silent = silent_for(&seats, 9_000);
        seats.make_room(1);
        assert!(
            poll().is_pending() && silent.is_asked(),
            "others are enough"
        );
        seats.make_room(2);
        assert!(poll().is_ready());
    }
}
