//! The due queue: order, fairness between endpoints, and other processes.

use super::simulation::URL;
use super::*;
use crate::engine::due::{DueQueue, Upcoming};

const STALLED_URL: &str = "https://stalled.example.com/";

/// Due rows; each keeps its policy.
pub struct DueItems<'a> {
    simulation: &'a Simulation,
    queue: DueQueue<'a>,
}

impl<'a> DueItems<'a> {
    pub fn new(simulation: &'a Simulation, queue: DueQueue<'a>) -> DueItems<'a> {
        DueItems { simulation, queue }
    }
}

impl Source for DueItems<'_> {
    fn next(&mut self) -> SourceItem {
        let now = self.simulation.now();
        match self.queue.next(now).unwrap() {
            Upcoming::Due(seen) => SourceItem::Due(seen),
            Upcoming::Later(at) => SourceItem::Later(Some(at.since(now).max(ms(1)))),
            Upcoming::End => SourceItem::End,
        }
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        Some(
            self.simulation
                .plan_for(&delivery.retry_policy, RetryMode::Schedule),
        )
    }

    fn released(&mut self, id: i64, contact: Contact) {
        self.queue.release(id, contact, self.simulation.now());
    }
}

pub fn limits(jobs: usize) -> RunLimits {
    RunLimits::new(
        jobs,
        if jobs == 1 {
            Claims::OneByOne
        } else {
            Claims::Few
        },
    )
}

pub fn once(simulation: &Simulation, jobs: usize) -> Vec<String> {
    let queue = DueQueue::once(&*simulation.journal, jobs, simulation.now());
    let recorder = Recorder::new(simulation);
    let mut items = DueItems { simulation, queue };
    simulation.run(limits(jobs), &mut items, &recorder);
    recorder.ended.take()
}

pub fn watch(simulation: &Simulation, jobs: usize, stop_at: i64) -> Vec<String> {
    simulation.interrupt_at.set(Some(stop_at));
    simulation.drains.set(true);
    let queue = DueQueue::watching(&*simulation.journal, jobs);
    let recorder = Recorder::new(simulation);
    let mut items = DueItems { simulation, queue };
    simulation.run(limits(jobs), &mut items, &recorder);
    recorder.ended.take()
}

fn schedule(simulation: &Simulation, url: &str, retries: u32, delay_ms: u64) -> i64 {
    let policy = policy(retries, 60_000);
    simulation.add_failed(url, &policy, Some(ms(delay_ms))).id
}

#[test]
fn once_makes_one_attempt_of_each_in_due_order() {
    let simulation = Simulation::new(|_, _| (1, 503));
    for delay in [3, 1, 2, 50_000] {
        schedule(&simulation, URL, 5, delay);
    }
    simulation.wait(ms(100));
    let ended = once(&simulation, 1);
    assert_eq!(simulation.sent_ids(), [2, 3, 1]);
    assert_eq!(ended, ["#2 pending", "#3 pending", "#1 pending"]);
    assert!(simulation.delivery(4).next_attempt_at.is_some());
}

#[test]
fn watcher_makes_each_attempt_when_it_is_due() {
    let simulation = Simulation::new(|_, number| (1_000, if number < 4 { 503 } else { 200 }));
    schedule(&simulation, URL, 5, 10_000);
    schedule(&simulation, URL, 1, 20_000);
    let ended = watch(&simulation, 4, 300_000);
    let expected = ["#1 pending", "#2 failed", "#1 pending", "#1 delivered"];
    assert_eq!(ended, expected);
    let sent = simulation.sent_times(1);
    for (sent, due) in sent.iter().zip([10_000, 71_000, 132_000]) {
        assert!((due..due + 100).contains(sent), "{sent} is not {due}");
    }
    assert_eq!(simulation.sent_times(2).len(), 1, "two attempts in all");
}

#[test]
fn pages_are_sent_once_by_all_workers() {
    let simulation = Simulation::new(|_, _| (5, 200));
    for _ in 0..300 {
        schedule(&simulation, URL, 5, 0);
    }
    let ended = once(&simulation, 8);
    assert_eq!(ended.len(), 300);
    let mut sent = simulation.sent_ids();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent.len(), 300);
}

#[test]
fn watcher_finds_what_others_schedule_and_leave() {
    let simulation = Simulation::new(|_, _| (1, 200));
    simulation.at(5_000, |simulation| {
        schedule(simulation, URL, 5, 0);
    });
    simulation.at(10_000, |simulation| {
        // Accepted by another process, which then dies with its lease.
        let attempt = crate::journal::NewAttempt {
            insecure: false,
            sent_to: None,
            lease: ms(1_000),
        };
        let delivery = simulation.new_delivery(&policy(5, 1_000));
        let accept = Write::Accept(delivery, attempt);
        simulation.other_process().commit(&[accept]).unwrap();
    });
    let ended = watch(&simulation, 2, 60_000);
    assert_eq!(ended, ["#1 delivered", "#2 delivered"]);
    assert!(simulation.sent_times(1)[0] <= 6_100);
    assert!(simulation.sent_times(2)[0] <= 14_000);
}

#[test]
fn delivery_of_another_process_is_left_to_it() {
    let simulation = Simulation::new(|_, _| (1, 200));
    for _ in 0..3 {
        schedule(&simulation, URL, 5, 0);
    }
    let queue = DueQueue::once(&*simulation.journal, 2, simulation.now());
    let mut items = DueItems {
        simulation: &simulation,
        queue,
    };
    let SourceItem::Due(first) = items.next() else {
        panic!("one is due");
    };
    items.released(first.id, Contact::NotSent);
    let claim = crate::journal::Claim {
        id: 2,
        condition: crate::journal::ClaimCondition::Scheduled { attempts: 1 },
        attempt: crate::journal::NewAttempt {
            insecure: false,
            sent_to: None,
            lease: LEASE_GRACE,
        },
    };
    simulation
        .other_process()
        .commit(&[Write::Begin(claim)])
        .unwrap();
    let recorder = Recorder::new(&simulation);
    let summary = simulation.run(limits(2), &mut items, &recorder);
    assert_eq!(simulation.sent_ids(), [3]);
    assert_eq!((summary.skipped, summary.not_sent), (0, 0));
}

#[test]
fn target_that_cannot_be_sent_to_is_tried_now_and_then() {
    let simulation = Simulation::new(|_, _| (1, 200));
    let start = simulation.now();
    let ids: Vec<i64> = (0..3).map(|_| schedule(&simulation, URL, 5, 0)).collect();
    let mut queue = DueQueue::watching(&*simulation.journal, 8);
    let next_at = |queue: &mut DueQueue<'_>, ms: i64| match queue.next(UnixMs(start.0 + ms)) {
        Ok(Upcoming::Due(seen)) => Some(seen.id),
        Ok(Upcoming::Later(_)) => None,
        other => panic!("{other:?}"),
    };
    simulation.wait(ms(1));
    assert_eq!(next_at(&mut queue, 1), Some(ids[0]));
    assert_eq!(
        queue.cannot_send(ids[0], simulation.now()).unwrap(),
        Some(3)
    );
    queue.release(ids[0], Contact::NotSent, simulation.now());
    let other = schedule(&simulation, STALLED_URL, 5, 0);
    queue.look_from(start);
    assert_eq!(next_at(&mut queue, 1), Some(other), "another target");
    assert_eq!(next_at(&mut queue, 1_900), None);
    assert_eq!(queue.unsendable().unwrap(), 3);

    let tried = next_at(&mut queue, 10_000).expect("one is tried again");
    assert_eq!(next_at(&mut queue, 10_000), None, "one at a time");
    let now = UnixMs(start.0 + 10_000);
    assert_eq!(queue.cannot_send(tried, now).unwrap(), None, "no news");
    queue.release(tried, Contact::NotSent, now);
    let tried = next_at(&mut queue, 20_000).expect("one is tried again");
    queue.can_send(tried);
    assert_eq!(queue.unsendable().unwrap(), 0);
    let others = std::iter::from_fn(|| next_at(&mut queue, 30_000));
    assert_eq!(others.count(), 2);
}

#[test]
fn stopped_watcher_puts_unsent_deliveries_back() {
    let simulation = Simulation::new(|_, _| (10_000, 200));
    let ids: Vec<i64> = (0..12).map(|_| schedule(&simulation, URL, 5, 0)).collect();
    let before: Vec<Delivery> = ids.iter().map(|id| simulation.delivery(*id)).collect();
    let ended = watch(&simulation, 4, 5_000);
    assert_eq!(ended.len(), simulation.sent.borrow().len());
    let sent = simulation.sent_ids();
    for delivery in before {
        let now = simulation.delivery(delivery.id);
        if sent.contains(&delivery.id) {
            assert_eq!(now.status, Status::Delivered);
        } else {
            assert_eq!(now, delivery);
            assert_eq!(simulation.lease_end(delivery.id), None);
        }
    }
}

#[test]
fn stalled_endpoint_leaves_workers_to_others() {
    for (jobs, watching) in [(2, false), (8, false), (8, true)] {
        let simulation = Simulation::new(|delivery, _| {
            if delivery.target.to_string().starts_with(STALLED_URL) {
                (30_000, 0)
            } else {
                (5, 200)
            }
        });
        for _ in 0..300 {
            schedule(&simulation, STALLED_URL, 5, 0);
        }
        for _ in 0..50 {
            schedule(&simulation, URL, 5, 1);
        }
        simulation.wait(ms(2_000));
        if watching {
            simulation.at(20_000, |simulation| {
                schedule(simulation, URL, 5, 0);
            });
            watch(&simulation, jobs, 60_000);
            let late = simulation.sent_times(351)[0];
            assert!(late < 22_000, "{late}");
        } else {
            simulation.interrupt_at.set(Some(100_000));
            once(&simulation, jobs);
        }
        let last_other = (301..=350)
            .map(|id| simulation.sent_times(id)[0])
            .max()
            .unwrap();
        let sent = simulation.sent.borrow();
        let stalled = sent
            .iter()
            .filter(|(at, id, _)| *id <= 300 && *at <= last_other)
            .count();
        assert!(stalled <= jobs / 2, "{stalled} of {jobs} workers");
        let later = sent.iter().filter(|(_, id, _)| *id <= 300).count();
        assert!(later >= jobs, "its turn comes again");
    }
}

#[test]
fn unresponsive_endpoints_share_the_workers() {
    let simulation = Simulation::new(|_, _| (1, 200));
    for endpoint in 0..5 {
        for _ in 0..20 {
            let url = format!("https://host{endpoint}.example.com/");
            schedule(&simulation, &url, 5, endpoint);
        }
    }
    simulation.wait(ms(1_000));
    let now = simulation.now();
    let mut queue = DueQueue::once(&*simulation.journal, 8, now);
    let mut per_endpoint = [0; 5];
    while let Upcoming::Due(seen) = queue.next(now).unwrap() {
        per_endpoint[(seen.id as usize - 1) / 20] += 1;
    }
    assert_eq!(per_endpoint, [4, 2, 1, 1, 1], "each may have one");
    // One that responds may have all, until it stops responding.
    queue.release(1, Contact::Responded, now);
    let Upcoming::Due(next) = queue.next(now).unwrap() else {
        panic!("the first endpoint has more");
    };
    assert!(next.id <= 20);
}
