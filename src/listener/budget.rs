//! How many bytes of requests are in memory while they come and are not kept yet, over all connections.
//!
//! Each connection has a small part free, which is all that most requests ever need. What goes beyond it is counted, and
//! when that is as much as it may be, whoever needs more waits: nothing is read of it meanwhile. Holders that have fallen
//! silent then make room, as they do where seats are short.
//!
//! Deliberately knows neither requests nor sockets.
//!
//! Invariant: what is held is at most the limit and one read beyond it, but for the oldest holder, who never waits: so one
//! always gets on, however large its request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::seats::{self, Seat};

/// Bytes that each connection may hold uncounted: as many as hyper reads at first.
pub(super) const FREE: usize = 8 * 1024;

/// How often the silent are asked to make room, as long as somebody waits for it.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// What all connections may hold together beyond their free parts.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    held: Cell<usize>,
    /// The number that the next share, or place in the line of holders, gets.
    next: Cell<u64>,
    /// Who holds something that counts, the oldest holder first.
    holders: RefCell<BTreeMap<u64, Holder>>,
    /// Whom to wake when there is room, by the number of their share.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    wanted: Notify,
}

#[derive(Debug)]
struct Holder {
    seat: Rc<Seat>,
    held: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(limit: usize) -> Rc<Budget> {
        Rc::new(Budget {
            limit,
            held: Cell::new(0),
            next: Cell::new(0),
            holders: RefCell::default(),
            waiting: RefCell::default(),
            wanted: Notify::new(),
        })
    }

    /// A connection's share, which holds nothing yet.
    pub(super) fn share(self: &Rc<Self>, seat: &Rc<Seat>) -> Share {
        let id = self.number();
        Share {
            budget: Rc::clone(self),
            seat: Rc::clone(seat),
            id,
            held: 0,
            place: None,
            waits: false,
        }
    }

    /// Asks silent holders to make room whenever somebody waits for it. Never ends.
    pub(super) async fn watch(self: Rc<Self>) {
        loop {
            self.wanted.notified().await;
            while !self.waiting.borrow().is_empty() {
                self.make_room();
                sleep(ROOM_PAUSE).await;
            }
        }
    }

    /// Asks the longest silent holders to leave, until a quarter of the budget is on its way back.
    fn make_room(&self) {
        let holders = self.holders.borrow();
        let mut leaving: usize = holders
            .values()
            .filter(|holder| holder.seat.is_asked())
            .map(|holder| holder.held)
            .sum();
        for seat in seats::stalled(holders.values().map(|holder| &holder.seat)) {
            if leaving >= self.limit / 4 {
                break;
            }
            leaving += holders
                .values()
                .find(|holder| Rc::ptr_eq(&holder.seat, &seat))
                .map_or(0, |holder| holder.held);
            seat.ask_to_leave();
        }
    }

    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    fn wake_all(&self) {
        // Who still finds no room waits again. Woken outside of the borrow, as they may look at once.
        let waiting: Vec<Waker> = self.waiting.borrow().values().cloned().collect();
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// What one connection holds.
#[derive(Debug)]
pub(super) struct Share {
    budget: Rc<Budget>,
    seat: Rc<Seat>,
    id: u64,
    held: usize,
    /// Its place in the line of holders, as long as it holds more than its free part.
    place: Option<u64>,
    waits: bool,
}

impl Share {
    /// From now on it holds `bytes` in all.
    pub(super) fn hold(&mut self, bytes: usize) {
        let (before, now) = (self.held.saturating_sub(FREE), bytes.saturating_sub(FREE));
        self.held = bytes;
        if before == now {
            return;
        }
        let budget = &self.budget;
        budget.held.set(budget.held.get() - before + now);
        if now == 0 {
            if let Some(place) = self.place.take() {
                budget.holders.borrow_mut().remove(&place);
            }
        } else {
            let place = *self.place.get_or_insert_with(|| budget.number());
            let holder = Holder {
                seat: Rc::clone(&self.seat),
                held: now,
            };
            budget.holders.borrow_mut().insert(place, holder);
        }
        if now < before && !budget.waiting.borrow().is_empty() {
            budget.wake_all();
        }
    }

    /// Ready as soon as it may hold more.
    pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.may_hold_more() {
            self.wait_no_more();
            return Poll::Ready(());
        }
        // The client may be sending: that nothing is heard of it is not its silence.
        self.seat.pause();
        self.waits = true;
        self.budget
            .waiting
            .borrow_mut()
            .insert(self.id, cx.waker().clone());
        self.budget.wanted.notify_one();
        Poll::Pending
    }

    /// Whether it waits for room.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    fn may_hold_more(&self) -> bool {
        self.held < FREE || self.budget.held.get() < self.budget.limit || self.is_oldest()
    }

    fn is_oldest(&self) -> bool {
        self.place.is_some() && self.place == self.budget.holders.borrow().keys().next().copied()
    }

    fn wait_no_more(&mut self) {
        if self.waits {
            self.waits = false;
            self.budget.waiting.borrow_mut().remove(&self.id);
            self.seat.wait();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.waiting.borrow_mut().remove(&self.id);
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::seats::Seats;
    use super::*;

    fn may_grow(share: &mut Share) -> bool {
        share
            .poll_room(&Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn what_is_small_is_free_and_the_rest_is_counted_until_it_is_given_back() {
        let (budget, seats) = (Budget::new(100), Seats::default());
        let [mut first, mut second, mut third] = [0; 3].map(|_| budget.share(&seats.take()));
        first.hold(FREE);
        assert_eq!(budget.held.get(), 0);
        first.hold(FREE + 40);
        second.hold(FREE + 60);
        third.hold(FREE - 1);
        assert_eq!(budget.held.get(), 100);
        assert!(
            may_grow(&mut third),
            "there is always room for what is free"
        );
        third.hold(FREE);
        assert!(may_grow(&mut first), "the oldest holder always gets on");
        assert!(!may_grow(&mut second) && !may_grow(&mut third));
        assert!(second.waits() && !first.waits());
        first.hold(0);
        assert!(may_grow(&mut second) && may_grow(&mut third) && !second.waits());
        second.hold(FREE + 100);
        assert!(!may_grow(&mut third) && may_grow(&mut second));
        drop(second);
        assert_eq!(budget.held.get(), 0);
        assert!(may_grow(&mut third));
        drop((first, third));
        assert!(budget.waiting.borrow().is_empty() && budget.holders.borrow().is_empty());
    }

    #[test]
    fn the_longest_silent_holders_make_room_and_nobody_who_waits_for_us() {
        let (budget, seats) = (Budget::new(400), Seats::default());
        let silent = [3_000, 9_000, 5_000].map(|millis| seats::tests::silent_for(&seats, millis));
        let mut shares: Vec<Share> = silent.iter().map(|seat| budget.share(seat)).collect();
        shares.iter_mut().for_each(|share| share.hold(FREE + 90));
        let waits = seats::tests::silent_for(&seats, 99_000);
        let mut waiting = budget.share(&waits);
        waiting.hold(FREE + 130);
        assert!(!may_grow(&mut waiting));
        let small = seats::tests::silent_for(&seats, 99_000);
        let _small = budget.share(&small);
        budget.make_room();
        let asked =
            || [&silent[0], &silent[1], &silent[2], &waits, &small].map(|seat| seat.is_asked());
        assert_eq!(
            asked(),
            [false, true, true, false, false],
            "a quarter comes back"
        );
        budget.make_room();
        assert_eq!(
            asked(),
            [false, true, true, false, false],
            "it is on its way already"
        );
    }
}
