//! Waiting, without a listener, a process or real time.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::capture::expect::Expectation;
use crate::capture::{Body, Capture, Caught};
use crate::journal::{JournalError, Kept, SharedCapture};
use crate::time::{Clock, UnixMs, Woken, duration_ms};

fn caught(id: i64, head: &str, body: &str) -> SharedCapture {
    let mut capture = Capture::new(
        UnixMs(id),
        SocketAddr::from(([127, 0, 0, 1], 1)),
        format!("{head}\r\n\r\n").into_bytes(),
    );
    capture.malformed = false;
    Kept::new(
        id,
        "expect",
        None,
        capture,
        Body {
            bytes: body.into(),
            wire: None,
        },
    )
    .into()
}

/// Time passes only while something is waited for.
#[derive(Default)]
struct Now {
    ms: Cell<i64>,
    interrupt_at: Option<i64>,
    /// When somebody sets the time of day, and by how much.
    set: Option<(i64, i64)>,
}

impl Clock for Now {
    fn now(&self) -> UnixMs {
        UnixMs(self.told(self.ms.get()))
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
    /// What the time of day is, so many milliseconds after the start.
    fn told(&self, ms: i64) -> i64 {
        ms + self.set.filter(|(at, _)| *at <= ms).map_or(0, |(_, by)| by)
    }
}

/// What arrives: a capture, or word of one that could not be kept.
type Plan = Option<SharedCapture>;

/// Arrivals with the time at which each is known; a capture's id is the time at which it was received.
struct Planned<'a> {
    now: &'a Now,
    left: VecDeque<(i64, Plan)>,
}

impl Arrivals for Planned<'_> {
    fn next(&mut self, patience: Duration) -> Result<Option<Arrival>, JournalError> {
        let until = self.now.ms.get() + duration_ms(patience);
        if self.left.front().is_none_or(|(at, _)| *at > until) {
            self.now.ms.set(until);
            return Ok(None);
        }
        let Some((at, arrival)) = self.left.pop_front() else {
            return Ok(None);
        };
        self.now.ms.set(self.now.ms.get().max(at));
        Ok(Some(match arrival {
            Some(kept) => Arrival::Kept(kept),
            None => Arrival::NotKept(Arc::new(JournalError::Unusable {
                path: "x".into(),
                problem: "y".into(),
            })),
        }))
    }
}

struct Ends<'a>(&'a Now, i64, u8);

impl Command for Ends<'_> {
    fn ended(&mut self) -> std::io::Result<Option<u8>> {
        Ok((self.0.ms.get() >= self.1).then_some(self.2))
    }
}

#[derive(Default)]
struct Ids(Vec<i64>);

impl Observer for Ids {
    fn matched(&mut self, caught: &Caught, _: &Body) {
        self.0.push(caught.id);
    }
}

/// Waits a second for `count` requests to `/yes`; the plan says when which path is received and known, and when the
/// command ends how. Gives how and when it ended, and what matched.
fn watched(
    count: u64,
    plan: &[(i64, i64, &str)],
    command: Option<(i64, u8)>,
    now: Now,
) -> (End, i64, Vec<i64>, Seen) {
    let expectation = Expectation {
        method: Some("YES".into()),
        ..Expectation::default()
    };
    let arrival = |(received, known, method): &(i64, i64, &str)| {
        (
            *known,
            Some(caught(
                now.told(*received),
                &format!("{method} / HTTP/1.1"),
                "",
            )),
        )
    };
    let mut arrivals = Planned {
        now: &now,
        left: plan.iter().map(arrival).collect(),
    };
    let mut command = command.map(|(at, code)| Ends(&now, at, code));
    let mut ids = Ids::default();
    let watch = Watch {
        expectation: &expectation,
        count,
        within: Duration::from_secs(1),
        clock: &now,
    };
    let running = command.as_mut().map(|command| command as &mut dyn Command);
    let (end, seen) = watch.run(&mut arrivals, running, &mut ids).unwrap();
    (end, now.ms.get(), ids.0, seen)
}

#[test]
fn it_is_met_as_soon_as_enough_have_come() {
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
fn what_came_in_time_counts_although_it_is_known_late_and_what_came_late_does_not() {
    let (end, _, ids, _) = watched(1, &[(1000, 1000, "YES")], None, Now::default());
    assert_eq!((end, ids), (End::Met, vec![1000]));
    let plan = [(990, 1000, "NO"), (995, 1000, "YES")];
    assert_eq!(watched(1, &plan, None, Now::default()).0, End::Met);
    let (end, at, ids, seen) = watched(1, &[(1001, 1000, "YES")], None, Now::default());
    assert_eq!((end, at, ids, seen.captures), (End::Unmet, 1000, vec![], 0));
}

#[test]
fn the_time_of_day_may_be_set_meanwhile() {
    for by in [-3_600_000, 3_600_000] {
        let set = |at| Now {
            set: Some((at, by)),
            ..Now::default()
        };
        let (end, at, ids, _) = watched(1, &[(800, 801, "YES")], None, set(400));
        assert_eq!((end, at, ids.len()), (End::Met, 801, 1), "{by}");
        let (end, at, ..) = watched(1, &[(990, 1000, "NO"), (1001, 1000, "YES")], None, set(400));
        assert_eq!(
            (end, at),
            (End::Unmet, 1000),
            "neither sooner nor later, {by}"
        );
    }
}

#[test]
fn the_nearest_miss_is_the_one_with_the_fewest_differences_and_the_newest_of_those() {
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
    assert_eq!(seen.nearest.unwrap().kept.caught.id, 3);
}

#[test]
fn none_may_come_where_none_is_expected() {
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
        End::CommandLate
    );
}

#[test]
fn a_command_is_waited_for_and_its_failure_is_the_end() {
    let came = [(10, 10, "YES")];
    assert_eq!(
        watched(1, &came, Some((500, 0)), Now::default()).0,
        End::Met
    );
    let (end, at, ids, _) = watched(1, &came, Some((500, 3)), Now::default());
    assert_eq!(
        (end, ids),
        (End::CommandFailed(3), vec![10]),
        "although it was met"
    );
    assert!((500..=520).contains(&at), "{at}");
    assert_eq!(
        watched(1, &came, Some((2000, 0)), Now::default()).0,
        End::CommandLate
    );
    assert_eq!(
        watched(1, &[], Some((2000, 0)), Now::default()).0,
        End::Unmet
    );
    assert_eq!(
        watched(1, &[(800, 800, "YES")], Some((100, 0)), Now::default()).0,
        End::Met,
        "it may come later"
    );
}

#[test]
fn ctrl_c_ends_the_wait() {
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
fn a_request_that_could_not_be_kept_is_remembered_and_waited_on() {
    let expectation = Expectation::default();
    let now = Now::default();
    let plan = [(10, None), (20, Some(caught(20, "GET / HTTP/1.1", "")))];
    let mut arrivals = Planned {
        now: &now,
        left: plan.into(),
    };
    let watch = Watch {
        expectation: &expectation,
        count: 1,
        within: Duration::from_secs(1),
        clock: &now,
    };
    let (end, seen) = watch.run(&mut arrivals, None, &mut Ids::default()).unwrap();
    assert_eq!(end, End::Met);
    assert!(seen.not_kept.is_some());
}
