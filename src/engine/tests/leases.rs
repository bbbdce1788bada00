//! Waiting deliveries stay leased; deliveries that another process took over are not sent.

use super::*;

#[test]
fn leases_of_ready_deliveries_are_renewed() {
    // One at a time, 20 s each: some wait for minutes after they were claimed.
    let simulation = Simulation::new(|delivery, _| {
        let takes = if delivery.id < 40 { 1 } else { 20_000 };
        (takes, 200)
    });
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 60, policy(0, 0));
    simulation.run(many(1), &mut items, &recorder);
    assert_eq!(recorder.count("delivered"), 60);
    assert!(simulation.renewals.get() > 0);
}

#[test]
fn leases_of_overdue_retries_are_renewed() {
    let simulation = Simulation::new(
        |_, number| {
            if number == 1 { (1, 503) } else { (20_000, 200) }
        },
    );
    for time in 0..180 {
        simulation.at(time * 5_000, |simulation| {
            for delivery in simulation.deliveries() {
                let lease_end = simulation.lease_end(delivery.id);
                assert!(
                    delivery.status != Status::Pending
                        || lease_end.is_some_and(|end| end > simulation.time.ms()),
                    "#{} can be taken over",
                    delivery.id
                );
            }
        });
    }
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 100, policy(1, 1_000));
    simulation.run(many(1), &mut items, &recorder);
    assert_eq!(recorder.count("delivered"), 100);
    assert!(simulation.time.ms() >= 2_000_000);
    // Each write renews the few that are about to be sent, and some of the many that are overdue.
    let most = simulation.most_renewed.get();
    assert!((1..60).contains(&most), "{most}");
}

#[test]
fn ctrl_c_releases_few_deliveries_at_once() {
    let simulation = Simulation::new(|_, _| (10, 503));
    simulation.interrupt_at.set(Some(5_000));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 40, RetryPolicy::default());
    simulation.run(many(8), &mut items, &recorder);
    assert_eq!(recorder.count("interrupted"), 40);
    assert_eq!(simulation.most_released.get(), run::MAX_RELEASED_AT_ONCE);
}

#[test]
fn ctrl_c_does_not_wait_for_a_locked_journal_again_and_again() {
    let simulation = Simulation::new(|_, _| (10, 503));
    simulation.at(5_000, |simulation| {
        simulation.fails_from.set(simulation.commits.borrow().len());
    });
    simulation.interrupt_at.set(Some(5_000));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 40, RetryPolicy::default());
    let summary = simulation.run(many(8), &mut items, &recorder);
    assert!(summary.halted.is_some());
    let failed = simulation.commits.borrow().len() - simulation.fails_from.get();
    assert_eq!((failed, recorder.count("interrupted")), (1, 0));
}

#[test]
fn ready_delivery_that_was_taken_over_is_not_sent() {
    let simulation = Simulation::new(|delivery, _| {
        let takes = if delivery.id == 1 { 10 } else { 1_000 };
        (takes, 200)
    });
    simulation.suspend.set(Some((20, 3_600_000)));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 6, policy(0, 0));
    simulation.run(many(1), &mut items, &recorder);
    let ended = recorder.ended.borrow();
    let taken: Vec<&String> = ended
        .iter()
        .filter(|line| line.ends_with("taken over"))
        .collect();
    assert!(!taken.is_empty(), "{ended:?}");
    for line in taken {
        let id: i64 = line[1..].split(' ').next().unwrap().parse().unwrap();
        let sent_late = simulation.sent_times(id).iter().any(|at| *at >= 3_600_000);
        assert!(!sent_late, "{line}");
    }
    assert_eq!(ended.len(), 6, "{ended:?}");
}

#[test]
fn waiting_delivery_that_was_taken_over_is_not_sent() {
    let simulation = Simulation::new(|_, _| (10, 503));
    simulation.suspend.set(Some((5_000, 3_600_000)));
    let recorder = Recorder::new(&simulation);
    let mut items = Items::new(&simulation, 1, RetryPolicy::default());
    let summary = simulation.run(many(1), &mut items, &recorder);
    assert_eq!(*recorder.ended.borrow(), ["#1 taken over"]);
    assert_eq!((summary.not_sent, simulation.sent_times(1).len()), (1, 1));
}

#[test]
fn lease_covers_the_wait_behind_a_slow_request() {
    // The workers are at an endpoint that takes ten minutes; others with a timeout of 5 s wait behind.
    for jobs in [1, 8] {
        let simulation = Simulation::new(move |delivery, _| {
            let takes = if delivery.id <= jobs { 600_000 } else { 10 };
            (takes, 200)
        });
        let rows = failed_rows(&simulation, 60);
        let recorder = Recorder::new(&simulation);
        let mut items = Items::failed(&simulation, rows, policy(0, 0));
        items.timeout = if jobs == 1 {
            |id| Duration::from_secs(if id <= 1 { 600 } else { 5 })
        } else {
            |id| Duration::from_secs(if id <= 8 { 600 } else { 5 })
        };
        simulation.run(many(jobs as usize), &mut items, &recorder);
        assert_eq!(recorder.count("delivered"), 60);
        assert!(simulation.renewals.get() > 0);
    }
}
