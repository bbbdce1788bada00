//! Whatever waits is leased for as long as it waits, and what another process may have by now is not sent.

use super::*;

#[test]
fn leases_are_renewed_of_what_has_to_wait() {
    // One at a time for 20 s each: some of what was begun in the first moments waits for minutes.
    let world = World::new(Box::new(|id, _| {
        (
            if id < 40 {
                ms(1)
            } else {
                Duration::from_secs(20)
            },
            status(200),
        )
    }));
    let mut caller = Caller::new(&world, 60);
    world.run(pace(1), &mut caller).unwrap();
    assert_eq!(caller.ended.len(), 60);
    assert!(
        world.renewals.get() > 0,
        "the world checks each lease when a request leaves"
    );
}

#[test]
fn what_is_due_and_has_to_wait_for_a_sender_keeps_its_lease() {
    let answers = |_, number| {
        if number == 1 {
            (ms(1), status(503))
        } else {
            (Duration::from_secs(20), status(200))
        }
    };
    let world = World::new(Box::new(answers));
    let mut caller = Caller::new(&world, 40);
    caller.rule = RetryPolicy {
        retries: 1,
        interval: ms(1_000),
        ..RetryPolicy::default()
    };
    // Another process would take whatever it may.
    for second in 0..2_000 {
        world.plan(at(second * 1_000), |world| {
            let now = world.now();
            for (id, kept) in &*world.kept.borrow() {
                let pending = kept.delivery.status == Status::Pending;
                assert!(
                    !pending || kept.lease_until.is_some_and(|until| until > now),
                    "#{id} seems to be dead"
                );
            }
        });
    }
    world.run(pace(1), &mut caller).unwrap();
    assert_eq!(
        caller
            .ended
            .iter()
            .filter(|end| end.ends_with("delivered"))
            .count(),
        40
    );
    assert!(world.elapsed() >= Duration::from_secs(800));
}

#[test]
fn what_another_process_took_while_this_one_was_stopped_is_not_sent() {
    let world = World::new(Box::new(|id, _| {
        (ms(if id == 1 { 10 } else { 1_000 }), status(200))
    }));
    world.frozen.set(Some((at(20), at(3_600_000))));
    let mut caller = Caller::new(&world, 6);
    world.run(pace(1), &mut caller).unwrap();
    let sent = sent_of(&world);
    let taken: Vec<&String> = caller
        .ended
        .iter()
        .filter(|end| end.ends_with("taken over"))
        .collect();
    assert!(!taken.is_empty(), "{:?}", caller.ended);
    for end in taken {
        let id: i64 = end[1..].split(' ').next().unwrap().parse().unwrap();
        assert!(
            !sent.contains_key(&id),
            "{end}, and sent at {:?}",
            sent[&id]
        );
    }
    assert_eq!(
        caller.ended.len(),
        6,
        "the others are sent: {:?}",
        caller.ended
    );
}

#[test]
fn what_waits_for_its_next_attempt_is_another_process_s_after_an_hour_of_silence() {
    let world = World::new(always(ms(10), 503));
    world.frozen.set(Some((at(5_000), at(3_600_000))));
    let mut caller = Caller::new(&world, 1);
    world.run(pace(1), &mut caller).unwrap();
    assert_eq!(caller.ended, ["#1 taken over"]);
    assert_eq!(sent_of(&world)[&1].len(), 1);
}

#[test]
fn whoever_sets_the_clock_moves_no_attempt() {
    const HOUR: i64 = 3_600_000;
    for (set_by, renewals) in [(-HOUR, 0), (HOUR, 1)] {
        let world = World::new(Box::new(|_, number| {
            (ms(10), status(if number < 3 { 503 } else { 200 }))
        }));
        world.plan(at(30_000), move |world| world.set_by.set(set_by));
        let mut caller = Caller::new(&world, 3);
        world.run(pace(3), &mut caller).unwrap();
        assert_eq!(caller.ended.len(), 3);
        for sent in sent_of(&world).values() {
            let waited: Vec<i64> = sent.windows(2).map(|two| two[1] - two[0]).collect();
            assert!(
                waited
                    .iter()
                    .all(|waited| (60_000..60_050).contains(waited)),
                "{set_by}: {waited:?}"
            );
        }
        // Where it ends earlier by the clock that others read, a lease is made to last, once.
        assert_eq!(world.renewals.get(), renewals, "{set_by}");
    }
}

#[test]
fn what_waits_for_a_sender_behind_a_slower_endpoint_is_leased_for_as_long() {
    // Eight senders are at an endpoint that may take ten minutes, and does; others wait there for five seconds each.
    let (minutes, seconds) = (Duration::from_secs(600), Duration::from_secs(5));
    for jobs in [1, 8] {
        let slow = 1..=jobs as i64;
        let of_slow = slow.clone();
        let world = World::new(Box::new(move |id, _| {
            (
                if of_slow.contains(&id) {
                    minutes
                } else {
                    ms(10)
                },
                status(200),
            )
        }));
        let ids: Vec<i64> = (1..=100).collect();
        ids.iter()
            .for_each(|id| world.failed_earlier(*id, Status::Failed));
        let mut caller = Caller::resending(&world, &ids);
        caller.timeouts = ids
            .iter()
            .map(|id| (*id, if slow.contains(id) { minutes } else { seconds }))
            .collect();
        // The world checks that no lease may run out before its request ends, whenever that leaves.
        world.run(pace(jobs), &mut caller).unwrap();
        assert_eq!(
            caller
                .ended
                .iter()
                .filter(|end| end.ends_with("delivered"))
                .count(),
            100
        );
        assert!(
            world.renewals.get() > 0,
            "those that were not at hand were renewed"
        );
    }
}
