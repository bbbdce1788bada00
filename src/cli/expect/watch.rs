//! Waits for expected captures: as they arrive, while a command runs that may cause them, until a deadline.
//!
//! Captures that were received before the deadline and are known when it has passed count, later ones do not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::capture::expect::Expectation;
use crate::cli::capture_feed::{CaptureFeed, FeedItem};
use crate::error::Failure;
use crate::journal::{JournalError, StoredCapture};
use crate::time::{Clock, UnixMs, duration_ms};

/// How often the command and interrupts are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The exit code of a process that runs meanwhile; none while it runs.
pub type PolledCode<'a> = &'a mut dyn FnMut() -> io::Result<Option<u8>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Enough matched, and the command, if any, succeeded.
    Met,
    /// Too few matched in time, or one did although none should.
    Unmet,
    /// The command ended with this code, which is not 0.
    CommandFailed(u8),
    /// The command was still running at the deadline.
    CommandTimeout,
    Interrupted,
}

#[derive(Default)]
pub struct Arrivals {
    pub captures: u64,
    pub matched: u64,
    /// The capture with the fewest differences; of two the later one.
    pub nearest: Option<Miss>,
    /// Why a request was not stored; the last one's reason.
    pub not_stored: Option<Arc<JournalError>>,
}

/// A capture that does not match.
#[derive(Debug)]
pub struct Miss {
    pub capture: Arc<StoredCapture>,
    pub differences: Vec<String>,
}

pub struct Watch<'a> {
    pub expectation: &'a Expectation,
    /// At least so many captures must match; none if 0.
    pub count: u64,
    pub within: Duration,
    pub clock: &'a dyn Clock,
}

impl Watch<'_> {
    /// Waits until the result is certain. `matched` receives matching captures as they arrive.
    pub fn run(
        &self,
        feed: &mut dyn CaptureFeed,
        mut command: Option<PolledCode<'_>>,
        matched: &mut dyn FnMut(&StoredCapture),
    ) -> Result<(End, Arrivals), Failure> {
        let deadline = self.clock.elapsed().saturating_add(self.within);
        let mut seen = Arrivals::default();
        loop {
            let left = deadline.saturating_sub(self.clock.elapsed());
            if left.is_zero() {
                feed.settle();
            }
            let item = feed.next(left.min(POLL_INTERVAL))?;
            let item = item.filter(|item| !self.is_late(item, deadline));
            let is_quiet = item.is_none();
            if let Some(item) = item {
                self.check(item, &mut seen, matched);
            }
            if self.clock.interrupted() {
                return Ok((End::Interrupted, seen));
            }
            if let Some(exit_code) = &mut command {
                let code = exit_code();
                let unknown = |e| Failure::io("cannot tell whether the command has ended", e);
                match code.map_err(unknown)? {
                    None => {}
                    Some(0) => command = None,
                    Some(code) => return Ok((End::CommandFailed(code), seen)),
                }
            }
            if let Some(end) = self.end(&seen, command.is_some(), left.is_zero() && is_quiet) {
                return Ok((end, seen));
            }
        }
    }

    /// Whether it was received after the deadline. Captures carry the time of day, which may have been set since: the
    /// deadline is that of now, minus the time since.
    fn is_late(&self, item: &FeedItem, deadline: Duration) -> bool {
        let Some(over) = self.clock.elapsed().checked_sub(deadline) else {
            return false;
        };
        let deadline = UnixMs(self.clock.now().0.saturating_sub(duration_ms(over)));
        matches!(item, FeedItem::Captured(capture) if capture.record.capture.received_at > deadline)
    }

    fn check(&self, item: FeedItem, seen: &mut Arrivals, matched: &mut dyn FnMut(&StoredCapture)) {
        let capture = match item {
            FeedItem::Captured(capture) => capture,
            FeedItem::NotStored(reason) => return seen.not_stored = Some(reason),
            FeedItem::Deleted | FeedItem::ResponseNotRecorded(_) => return,
        };
        seen.captures += 1;
        let differences = self.expectation.unmet(&capture.record, &capture.body);
        if differences.is_empty() {
            seen.matched += 1;
            return matched(&capture);
        }
        let nearest = seen.nearest.as_ref();
        if nearest.is_none_or(|nearest| differences.len() <= nearest.differences.len()) {
            seen.nearest = Some(Miss {
                capture,
                differences,
            });
        }
    }

    fn end(&self, seen: &Arrivals, is_running: bool, is_over: bool) -> Option<End> {
        let (is_met, is_certain) = match self.count {
            0 => (seen.matched == 0, seen.matched > 0),
            count => (seen.matched >= count, seen.matched >= count && !is_running),
        };
        match (is_met, is_running) {
            _ if !is_certain && !is_over => None,
            (true, true) => Some(End::CommandTimeout),
            (true, false) => Some(End::Met),
            (false, _) => Some(End::Unmet),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::VecDeque;

    use super::*;
    use crate::capture::{Body, Capture};
    use crate::time::Woken;

    /// A capture whose id is also the time at which it was received.
    fn captured(id: i64, method: &str) -> Arc<StoredCapture> {
        let head = format!("{method} / HTTP/1.1\r\n\r\n").into_bytes();
        let mut capture = Capture::new(UnixMs(id), ([127, 0, 0, 1], 1).into(), head);
        capture.malformed = false;
        Arc::new(StoredCapture::new(
            id,
            "expect",
            None,
            capture,
            Body::default(),
        ))
    }

    /// Time passes only while the feed waits.
    #[derive(Default)]
    struct Now {
        ms: Cell<i64>,
        interrupt_at: Option<i64>,
        /// When the time of day is changed, and by how much.
        set: Option<(i64, i64)>,
    }

    impl Clock for Now {
        fn now(&self) -> UnixMs {
            UnixMs(self.time_of_day(self.ms.get()))
        }
        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.ms.get().unsigned_abs())
        }
        fn wait(&self, _: Duration) -> Woken {
            Woken::Elapsed
        }
        fn interrupted(&self) -> bool {
            self.interrupt_at.is_some_and(|at| at <= self.ms.get())
        }
    }

    impl Now {
        /// The time of day, so many milliseconds after the start.
        fn time_of_day(&self, ms: i64) -> i64 {
            ms + self.set.filter(|(at, _)| *at <= ms).map_or(0, |(_, by)| by)
        }
    }

    /// A capture, or one that was not stored.
    type Planned = Option<Arc<StoredCapture>>;

    /// Items with the time at which each is known.
    struct PlannedFeed<'a> {
        now: &'a Now,
        left: VecDeque<(i64, Planned)>,
    }

    impl CaptureFeed for PlannedFeed<'_> {
        fn next(&mut self, timeout: Duration) -> Result<Option<FeedItem>, Failure> {
            let until = self.now.ms.get() + duration_ms(timeout);
            if self.left.front().is_none_or(|(at, _)| *at > until) {
                self.now.ms.set(until);
                return Ok(None);
            }
            let Some((at, item)) = self.left.pop_front() else {
                return Ok(None);
            };
            self.now.ms.set(self.now.ms.get().max(at));
            Ok(Some(match item {
                Some(capture) => FeedItem::Captured(capture),
                None => FeedItem::NotStored(Arc::new(JournalError::Unusable {
                    path: "x".into(),
                    problem: "y".into(),
                })),
            }))
        }
    }

    /// Waits a second for `count` requests with the method YES. The plan says when each is received and known. Returns how and
    /// when the wait ended, and the ids that matched.
    fn watched(
        count: u64,
        plan: &[(i64, i64, &str)],
        command: Option<(i64, u8)>,
        now: Now,
    ) -> (End, i64, Vec<i64>, Arrivals) {
        let expectation = Expectation {
            method: Some("YES".into()),
            ..Expectation::default()
        };
        let item = |(received, known, method): &(i64, i64, &str)| {
            (*known, Some(captured(now.time_of_day(*received), method)))
        };
        let mut feed = PlannedFeed {
            now: &now,
            left: plan.iter().map(item).collect(),
        };
        let mut ids = Vec::new();
        let watch = Watch {
            expectation: &expectation,
            count,
            within: Duration::from_secs(1),
            clock: &now,
        };
        let mut exit_code = command.map(|(at, code)| {
            let now = &now;
            move || Ok((now.ms.get() >= at).then_some(code))
        });
        let command = exit_code.as_mut().map(|code| code as PolledCode<'_>);
        let mut matched = |capture: &StoredCapture| ids.push(capture.record.id);
        let (end, seen) = watch.run(&mut feed, command, &mut matched).unwrap();
        (end, now.ms.get(), ids, seen)
    }

    #[test]
    fn wait_ends_once_enough_match() {
        let (end, at, ids, _) = watched(
            1,
            &[(300, 301, "YES"), (400, 400, "YES")],
            None,
            Now::default(),
        );
        assert_eq!((end, at, ids), (End::Met, 301, vec![300]));
        let (end, at, ids, _) = watched(
            2,
            &[(300, 300, "YES"), (350, 350, "NO"), (400, 400, "YES")],
            None,
            Now::default(),
        );
        assert_eq!((end, at, ids), (End::Met, 400, vec![300, 400]));
    }

    #[test]
    fn time_of_receipt_decides_at_the_deadline() {
        let (end, _, ids, _) = watched(1, &[(1000, 1000, "YES")], None, Now::default());
        assert_eq!((end, ids), (End::Met, vec![1000]));
        let plan = [(990, 1000, "NO"), (995, 1000, "YES")];
        assert_eq!(watched(1, &plan, None, Now::default()).0, End::Met);
        let (end, at, ids, seen) = watched(1, &[(1001, 1000, "YES")], None, Now::default());
        assert_eq!((end, at, ids, seen.captures), (End::Unmet, 1000, vec![], 0));
    }

    #[test]
    fn time_of_day_may_be_changed_meanwhile() {
        for by in [-3_600_000, 3_600_000] {
            let set = |at| Now {
                set: Some((at, by)),
                ..Now::default()
            };
            let (end, at, ids, _) = watched(1, &[(800, 801, "YES")], None, set(400));
            assert_eq!((end, at, ids.len()), (End::Met, 801, 1), "{by}");
            let (end, at, ..) =
                watched(1, &[(990, 1000, "NO"), (1001, 1000, "YES")], None, set(400));
            assert_eq!(
                (end, at),
                (End::Unmet, 1000),
                "neither sooner nor later, {by}"
            );
        }
    }

    #[test]
    fn nearest_miss_has_fewest_differences() {
        let (end, at, _, seen) = watched(
            2,
            &[(1, 1, "NO"), (2, 2, "YES"), (3, 3, "NOT")],
            None,
            Now::default(),
        );
        assert_eq!(
            (end, at, seen.captures, seen.matched),
            (End::Unmet, 1000, 3, 1)
        );
        assert_eq!(seen.nearest.unwrap().capture.record.id, 3);
    }

    #[test]
    fn none_may_match_with_count_zero() {
        assert_eq!(
            watched(0, &[(5, 5, "NO")], Some((100, 0)), Now::default()).0,
            End::Met
        );
        let (end, at, ids, _) = watched(
            0,
            &[(5, 5, "NO"), (500, 500, "YES")],
            Some((100, 0)),
            Now::default(),
        );
        assert_eq!((end, at, ids), (End::Unmet, 500, vec![500]));
        assert_eq!(
            watched(0, &[], Some((2000, 0)), Now::default()).0,
            End::CommandTimeout
        );
    }

    #[test]
    fn command_is_waited_for_and_its_failure_ends_the_wait() {
        let arrived = [(10, 10, "YES")];
        assert_eq!(
            watched(1, &arrived, Some((500, 0)), Now::default()).0,
            End::Met
        );
        let (end, at, ids, _) = watched(1, &arrived, Some((500, 3)), Now::default());
        assert_eq!(
            (end, ids),
            (End::CommandFailed(3), vec![10]),
            "although enough matched"
        );
        assert!((500..=520).contains(&at), "{at}");
        assert_eq!(
            watched(1, &arrived, Some((2000, 0)), Now::default()).0,
            End::CommandTimeout
        );
        assert_eq!(
            watched(1, &[], Some((2000, 0)), Now::default()).0,
            End::Unmet
        );
        assert_eq!(
            watched(1, &[(800, 800, "YES")], Some((100, 0)), Now::default()).0,
            End::Met,
            "it may arrive after the command ended"
        );
    }

    #[test]
    fn interrupt_ends_the_wait() {
        let (end, at, ..) = watched(
            1,
            &[],
            Some((500, 0)),
            Now {
                interrupt_at: Some(100),
                ..Now::default()
            },
        );
        assert_eq!((end, at), (End::Interrupted, 100));
    }

    #[test]
    fn request_that_was_not_stored_is_remembered() {
        let expectation = Expectation::default();
        let now = Now::default();
        let plan = [(10, None), (20, Some(captured(20, "GET")))];
        let mut feed = PlannedFeed {
            now: &now,
            left: plan.into(),
        };
        let watch = Watch {
            expectation: &expectation,
            count: 1,
            within: Duration::from_secs(1),
            clock: &now,
        };
        let (end, seen) = watch.run(&mut feed, None, &mut |_| ()).unwrap();
        assert_eq!(end, End::Met);
        assert!(seen.not_stored.is_some());
    }
}
