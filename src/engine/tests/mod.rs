//! The engine in simulated time: nothing is sent unclaimed, nothing is reported unrecorded, and nothing is lost.

mod due;
mod forwarding;
mod leases;
mod simulation;

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::*;
use crate::delivery::Status;
use crate::delivery::retry_policy::{RetryPolicy, RetrySchedule};
use crate::secret::Secret;
use crate::signature::{Key, Scheme, SignedRequest, Signer, Verifier};
use crate::time::UnixMs;
use simulation::{Recorder, Simulation, ms};

fn policy(retries: u32, interval_ms: u64) -> RetryPolicy {
    RetryPolicy {
        retries,
        interval: ms(interval_ms),
        ..RetryPolicy::default()
    }
}

/// New events, then rows of the failed list.
struct Items<'a> {
    simulation: &'a Simulation,
    policy: RetryPolicy,
    mode: RetryMode,
    new: u64,
    lines: u64,
    rows: std::vec::IntoIter<DeliveryVersion>,
    /// Deliveries that cannot be sent, and how long it takes to find out.
    unsendable: fn(i64) -> bool,
    planning: Duration,
    timeout: fn(i64) -> Duration,
}

impl<'a> Items<'a> {
    fn new(simulation: &'a Simulation, new: u64, policy: RetryPolicy) -> Items<'a> {
        Items {
            simulation,
            policy,
            mode: RetryMode::Wait,
            new,
            lines: 0,
            rows: Vec::new().into_iter(),
            unsendable: |_| false,
            planning: Duration::ZERO,
            timeout: |_| simulation::TIMEOUT,
        }
    }

    fn failed(
        simulation: &'a Simulation,
        rows: Vec<DeliveryVersion>,
        policy: RetryPolicy,
    ) -> Items<'a> {
        Items {
            rows: rows.into_iter(),
            ..Items::new(simulation, 0, policy)
        }
    }
}

impl Source for Items<'_> {
    fn next(&mut self) -> SourceItem {
        if let Some(row) = self.rows.next() {
            return SourceItem::Failed(row);
        }
        if self.new == 0 {
            return SourceItem::End;
        }
        self.new -= 1;
        self.lines += 1;
        SourceItem::New {
            delivery: self.simulation.new_delivery(&self.policy),
            plan: self.simulation.plan_for(&self.policy, self.mode),
            line: self.lines,
        }
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        if (self.unsendable)(delivery.id) {
            self.simulation.wait(self.planning);
            return None;
        }
        let timeout = (self.timeout)(delivery.id);
        Some(
            self.simulation
                .plan_within(&self.policy, self.mode, timeout),
        )
    }
}

fn many(jobs: usize) -> RunLimits {
    RunLimits::new(jobs, Claims::Many)
}

fn one_by_one() -> RunLimits {
    RunLimits::new(1, Claims::OneByOne)
}

/// Refuses the first attempt of each tenth delivery.
fn tenth_refused() -> Simulation {
    Simulation::new(|delivery, number| {
        let refused = delivery.id % 10 == 0 && number == 1;
        (10, if refused { 503 } else { 200 })
    })
}

fn failed_rows(simulation: &Simulation, count: usize) -> Vec<DeliveryVersion> {
    (0..count)
        .map(|_| simulation.add_failed(simulation::URL, &policy(0, 0), None))
        .collect()
}

#[test]
fn many_are_delivered_once_and_share_commits() {
    let simulation = Simulation::new(|_, _| (10, 200));
    simulation.commit_ms.set(30);
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 300, policy(5, 60_000));
    let summary = simulation.run(many(4), &mut items, &recorder);
    assert_eq!(
        (summary.delivered, summary.exit),
        (300, crate::exit::Exit::Done)
    );
    recorder.assert_nothing_lost();
    assert_eq!(simulation.sent.borrow().len(), 300);
    let commits = simulation.commits.borrow().len();
    assert!(commits < 200, "{commits} commits for 600 writes");
}

#[test]
fn each_attempt_is_signed_anew_with_the_same_id() {
    let simulation = Simulation::new(|_, _| (1_000, 503));
    let scheme: &'static Scheme = "standard".parse().unwrap();
    let secret = Secret::new("whsec_a2V5");
    let key = Key::new(scheme, &secret).unwrap();
    let signer = Signer::new(scheme.clone(), vec![key]);
    *simulation.signer.borrow_mut() = Some(signer);
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 1, policy(4, 60_000));
    simulation.run(one_by_one(), &mut items, &recorder);
    let sent = simulation.sent_headers.borrow();
    let values = |name: &str| {
        let all = sent.iter().map(|headers| {
            let found = headers.iter().find(|(own, _)| own == name);
            String::from_utf8(found.unwrap().1.clone()).unwrap()
        });
        all.collect::<Vec<_>>()
    };
    let times: Vec<i64> = values("webhook-timestamp")
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let ages: Vec<i64> = times.iter().map(|time| time - times[0]).collect();
    assert_eq!(ages, [0, 61, 122, 183, 244]);
    assert!((0..2).contains(&(times[0] - simulation::T0.0 / 1000)));
    let distinct = |name: &str| values(name).into_iter().collect::<HashSet<_>>().len();
    assert_eq!(distinct("webhook-id"), 1);
    assert_eq!(distinct("webhook-signature"), 5);
    let verifier = Verifier::new(scheme.clone(), &[secret], ms(1_000)).unwrap();
    for (headers, time) in sent.iter().zip(times) {
        let headers = headers.iter();
        let headers: Vec<(&str, &[u8])> = headers
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let request = SignedRequest {
            headers: &headers,
            body: b"<event/>",
            decompressed: None,
            received_at: UnixMs(time * 1000),
        };
        assert_eq!(verifier.check(&request), Ok(()));
    }
}

#[test]
fn attempts_follow_the_policy() {
    let simulation = Simulation::new(|_, _| (1_000, 503));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 1, RetryPolicy::default());
    let summary = simulation.run(one_by_one(), &mut items, &recorder);
    assert_eq!(
        (summary.failed, summary.exit),
        (1, crate::exit::Exit::Refused)
    );
    let sent = simulation.sent_times(1);
    let gaps: Vec<i64> = sent.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(gaps.len(), 5);
    assert!(
        gaps.iter().all(|gap| (61_000..61_100).contains(gap)),
        "{gaps:?}"
    );
    let expected = ["#1 1/6", "#1 2/6", "#1 3/6", "#1 4/6", "#1 5/6", "#1 6/6"];
    assert_eq!(*recorder.attempts.borrow(), expected);
}

#[test]
fn attempts_follow_a_schedule_with_jitter() {
    let simulation = Simulation::new(|_, _| (1_000, 503));
    let recorder = Recorder::new(&simulation);
    let schedule: RetrySchedule = "2s,20s,4s".parse().unwrap();
    let policy = RetryPolicy {
        retries: schedule.retries(),
        schedule: Some(schedule),
        ..RetryPolicy::default()
    };
    let mut items = Items::new(&simulation, 1, policy);
    simulation.run(one_by_one(), &mut items, &recorder);
    let sent = simulation.sent_times(1);
    let gaps: Vec<i64> = sent.windows(2).map(|two| two[1] - two[0]).collect();
    // An attempt takes a second, and the random number is always 0.5.
    for (gap, expected) in gaps.iter().zip([3_100, 22_000, 5_200]) {
        assert!((expected..expected + 100).contains(gap), "{gaps:?}");
    }
    assert_eq!(gaps.len(), 3);
}

#[test]
fn waiting_delivery_delays_no_other() {
    let simulation = Simulation::new(|delivery, number| {
        (
            10,
            if delivery.id == 1 && number == 1 {
                503
            } else {
                200
            },
        )
    });
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 50, policy(1, 5_000));
    simulation.run(many(1), &mut items, &recorder);
    recorder.assert_nothing_lost();
    let sent = simulation.sent_times(1);
    assert!((5_010..5_100).contains(&(sent[1] - sent[0])), "{sent:?}");
    let last_other = (2..=50).map(|id| simulation.sent_times(id)[0]).max();
    assert!(last_other < Some(1_000), "{last_other:?}");
}

#[test]
fn waiting_deliveries_are_limited() {
    let simulation = Simulation::new(|_, number| (1, if number == 1 { 503 } else { 200 }));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 300, policy(1, 60_000));
    simulation.run(many(4), &mut items, &recorder);
    recorder.assert_nothing_lost();
    let max = run::MAX_WAITING + 2 * window::MAX_AHEAD + 8;
    assert!(recorder.max_waiting.get() <= max);
    assert!(simulation.time.ms() > 60_000);
}

#[test]
fn slow_endpoint_has_few_claims_ahead() {
    let simulation = Simulation::new(|_, _| (1_000, 200));
    simulation.interrupt_at.set(Some(10_500));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 500, policy(5, 60_000));
    simulation.run(many(2), &mut items, &recorder);
    recorder.assert_nothing_lost();
    let unsent = simulation.deliveries().len() - simulation.sent.borrow().len();
    assert!(unsent <= 8, "{unsent} were claimed and not sent");
}

#[test]
fn rate_limits_first_attempts_and_retries() {
    let simulation = Simulation::new(|_, number| (1, if number == 1 { 503 } else { 200 }));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 20, policy(1, 100));
    let limits = RunLimits {
        rate: Some("10/s".parse().unwrap()),
        ..many(8)
    };
    simulation.run(limits, &mut items, &recorder);
    recorder.assert_nothing_lost();
    let sent = simulation.sent.borrow();
    assert_eq!(sent.len(), 40);
    assert!(
        sent.windows(2).all(|two| two[1].0 - two[0].0 >= 100),
        "{sent:?}"
    );
}

#[test]
fn ctrl_c_at_any_time_leaves_nothing_pending() {
    for moment in (0..130).step_by(7).chain((130..62_000).step_by(9_973)) {
        let simulation = tenth_refused();
        simulation.interrupt_at.set(Some(moment));
        let recorder = Recorder::new(&simulation);
        let mut items = Items::new(&simulation, 100, RetryPolicy::default());
        simulation.run(many(4), &mut items, &recorder);
        recorder.assert_nothing_lost();
        let accepted = simulation.deliveries().len() as u64;
        assert_eq!(accepted + items.new, 100, "the rest was not taken");
        assert!(simulation.time.ms() <= moment + 200);
    }
}

#[test]
fn response_after_ctrl_c_still_counts() {
    for (status, expected) in [(200, Status::Delivered), (503, Status::Interrupted)] {
        let simulation = Simulation::new(move |_, _| (2_000, status));
        simulation.interrupt_at.set(Some(1_000));
        simulation.drains.set(true);
        let recorder = Recorder::new(&simulation);
        let mut items = Items::new(&simulation, 1, RetryPolicy::default());
        simulation.run(one_by_one(), &mut items, &recorder);
        assert_eq!(simulation.delivery(1).status, expected);
    }
}

#[test]
fn failed_commit_stops_all_and_names_what_was_sent() {
    for fails_from in (0..30).step_by(3) {
        let simulation = tenth_refused();
        simulation.fails_from.set(fails_from);
        let recorder = Recorder::new(&simulation);
        let mut items = Items::new(&simulation, 500, RetryPolicy::default());
        let summary = simulation.run(many(4), &mut items, &recorder);
        let halted = summary.halted.unwrap();
        let mut unrecorded: Vec<i64> = halted.unrecorded.iter().map(|(id, _)| *id).collect();
        let mut expected = simulation.sent_ids();
        expected.retain(|id| {
            let attempts = simulation.journal.attempts(*id).unwrap();
            attempts.iter().any(|attempt| attempt.outcome.is_none())
        });
        unrecorded.sort_unstable();
        expected.sort_unstable();
        assert_eq!(unrecorded, expected, "commit {fails_from}");
        // Accepted are the first lines, without a gap.
        let accepted = simulation.deliveries().len() as u64;
        let mut not_accepted = recorder.not_accepted.take();
        not_accepted.sort_unstable();
        let rest: Vec<u64> = (accepted + 1..=items.lines).collect();
        assert_eq!(not_accepted, rest, "commit {fails_from}");
    }
}

#[test]
fn one_by_one_finishes_each_before_the_next() {
    let simulation = Simulation::new(|delivery, number| {
        (
            10,
            if delivery.id == 2 && number < 4 {
                503
            } else {
                200
            },
        )
    });
    let mut rows = failed_rows(&simulation, 3);
    rows.reverse();
    let recorder = Recorder::new(&simulation);
    let mut items = Items::failed(&simulation, rows, policy(5, 60_000));
    simulation.run(one_by_one(), &mut items, &recorder);
    assert_eq!(simulation.sent_ids(), [3, 2, 2, 2, 1]);
    let expected = ["#3 delivered", "#2 delivered", "#1 delivered"];
    assert_eq!(*recorder.ended.borrow(), expected);
    assert!(simulation.time.ms() >= 120_000);
}

#[test]
fn stop_after_and_max_end_the_run() {
    let simulation = Simulation::new(|_, _| (10, 503));
    let rows = failed_rows(&simulation, 9);
    let recorder = Recorder::new(&simulation);
    let limits = RunLimits {
        stop_after: 3,
        ..one_by_one()
    };
    let mut items = Items::failed(&simulation, rows.clone(), policy(0, 0));
    let summary = simulation.run(limits, &mut items, &recorder);
    assert_eq!((summary.failed, simulation.sent_ids()), (3, vec![1, 2, 3]));
    let limits = RunLimits { max: 4, ..many(8) };
    let mut items = Items::failed(&simulation, rows[3..].to_vec(), policy(0, 0));
    let summary = simulation.run(limits, &mut items, &recorder);
    assert_eq!((summary.failed, simulation.sent.borrow().len()), (4, 7));
}

#[test]
fn changed_deliveries_are_skipped() {
    let simulation = Simulation::new(|_, _| (10, 200));
    let rows = failed_rows(&simulation, 4);
    let other = simulation.other_process();
    let attempt = crate::journal::NewAttempt {
        insecure: false,
        sent_to: None,
        lease: LEASE_GRACE,
    };
    let claim = crate::journal::Claim {
        id: 1,
        condition: crate::journal::ClaimCondition::Failed { attempts: 1 },
        attempt,
    };
    other.commit(&[Write::Begin(claim)]).unwrap();
    other
        .delete(&rows[1..2], &[Status::Failed, Status::Interrupted])
        .unwrap();
    let recorder = Recorder::new(&simulation);
    let mut items = Items::failed(&simulation, rows, policy(0, 0));
    let summary = simulation.run(many(2), &mut items, &recorder);
    assert_eq!((summary.skipped, summary.delivered), (2, 2));
    let mut ended = recorder.ended.take();
    ended.sort();
    let expected = ["#1 skipped", "#2 skipped", "#3 delivered", "#4 delivered"];
    assert_eq!(ended, expected);
}

#[test]
fn unsendable_deliveries_stay_and_delay_no_other() {
    let simulation = Simulation::new(|_, _| (10, 200));
    let rows = failed_rows(&simulation, 200);
    let recorder = Recorder::new(&simulation);
    let mut items = Items::failed(&simulation, rows, policy(0, 0));
    items.unsendable = |id| id > 1 && id < 200;
    items.planning = ms(10);
    let summary = simulation.run(many(2), &mut items, &recorder);
    assert_eq!((summary.not_sent, summary.delivered), (198, 2));
    assert_eq!(simulation.delivery(7).status, Status::Failed);
    // The first is recorded long before all others were looked at.
    assert_eq!(simulation.delivery(1).status, Status::Delivered);
    let finished = simulation.delivery(1).finished_at.unwrap();
    assert!(finished.since(simulation::T0) < ms(500), "{finished:?}");
}

#[test]
fn unsendable_retry_goes_to_the_failed_list() {
    let simulation = Simulation::new(|_, _| (10, 503));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 1, policy(1, 1_000));
    items.unsendable = |_| true;
    let summary = simulation.run(many(1), &mut items, &recorder);
    assert_eq!((summary.interrupted, summary.not_sent), (1, 0));
    recorder.assert_nothing_lost();
}

#[test]
fn background_makes_one_attempt_and_schedules_the_next() {
    for (status, retries, expected) in [
        (503, 1, Status::Pending),
        (503, 0, Status::Failed),
        (200, 1, Status::Delivered),
    ] {
        let simulation = Simulation::new(move |_, _| (2_000, status));
        let recorder = Recorder::new(&simulation);
        let mut items = Items::new(&simulation, 1, policy(retries, 60_000));
        items.mode = RetryMode::Schedule;
        let summary = simulation.run(one_by_one(), &mut items, &recorder);
        let delivery = simulation.delivery(1);
        assert_eq!(delivery.status, expected);
        let scheduled = expected == Status::Pending;
        assert_eq!(summary.scheduled, usize::from(scheduled));
        assert_eq!(delivery.next_attempt_at.is_some(), scheduled);
        assert_eq!(simulation.lease_end(1), None);
    }
    let simulation = Simulation::new(|_, _| (2_000, 503));
    simulation.interrupt_at.set(Some(1_000));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 1, policy(5, 60_000));
    items.mode = RetryMode::Schedule;
    simulation.run(one_by_one(), &mut items, &recorder);
    assert_eq!(simulation.delivery(1).status, Status::Interrupted);
}

/// Yields an event each second and ends with the sixth.
struct Slow<'a> {
    items: Items<'a>,
    waker: Waker,
}

impl Source for Slow<'_> {
    fn next(&mut self) -> SourceItem {
        let simulation = self.items.simulation;
        if self.items.lines as i64 * 1_000 <= simulation.time.ms() {
            return self.items.next();
        }
        let waker = self.waker.clone();
        let next = (simulation.time.ms() / 1_000 + 1) * 1_000;
        simulation.at(next, move |_| waker.wake());
        SourceItem::Later(None)
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        self.items.plan(delivery)
    }
}

#[test]
fn events_are_sent_as_they_arrive() {
    let simulation = Simulation::new(|_, _| (10, 200));
    let recorder = Recorder::new(&simulation);
    let inbox = Inbox::default();
    let mut source = Slow {
        items: Items::new(&simulation, 6, policy(0, 0)),
        waker: inbox.waker(),
    };
    simulation.run_with(inbox, many(4), &mut source, &recorder);
    let sent: Vec<i64> = simulation
        .sent
        .borrow()
        .iter()
        .map(|(at, ..)| at / 1_000)
        .collect();
    assert_eq!(sent, [0, 1, 2, 3, 4, 5]);
    assert_eq!(recorder.count("delivered"), 6);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40, failure_persistence: Some(Box::new(FileFailurePersistence::Off)), ..ProptestConfig::default()
    })]

    /// The simulation checks claims, leases and the order of recording and reporting; this checks the rest.
    #[test]
    fn nothing_is_lost_or_sent_again_after_delivery(
        seed in any::<u64>(),
        jobs in 1usize..9,
        new in 1u64..60,
        commit in 0u64..40,
        stop in prop::option::of(0i64..5_000),
        rate in prop::option::of(20u32..200),
    ) {
        let chance = move |id: i64, number: u32, of: u64| {
            let mixed = seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(number) << 32;
            mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31) % of
        };
        let simulation = Simulation::new(move |delivery, number| {
            let status = [503, 200, 200, 0][chance(delivery.id, number, 4) as usize];
            (chance(delivery.id, number, 97), status)
        });
        simulation.commit_ms.set(commit);
        simulation.interrupt_at.set(stop);
        let recorder = Recorder::new(&simulation);
        let mut items = Items::new(&simulation, new, policy(2, 300));
        let limits = RunLimits {
            rate: rate.map(|rate| format!("{rate}/s").parse().unwrap()),
            ..many(jobs)
        };
        simulation.run(limits, &mut items, &recorder);
        recorder.assert_nothing_lost();
        for delivery in simulation.deliveries() {
            let sent = simulation.sent_times(delivery.id);
            prop_assert!(sent.len() <= 3);
            for (number, two) in sent.windows(2).enumerate() {
                let status = chance(delivery.id, number as u32 + 1, 4);
                prop_assert!(status == 0 || status == 3, "#{} was sent again", delivery.id);
                prop_assert!(two[1] - two[0] >= 300);
            }
        }
    }
}
