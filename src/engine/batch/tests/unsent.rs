//! What turns out not to be sent is left as it is, and holds up nothing else.

use super::*;

#[test]
fn what_another_process_took_or_deleted_or_delivered_is_skipped() {
    let world = World::new(always(ms(10), 200));
    for id in 1..=3 {
        world.failed_earlier(id, Status::Failed);
    }
    world.failed_earlier(4, Status::Delivered);
    world.failed_earlier(5, Status::Pending);
    let mut caller = Caller::resending(&world, &[9, 4, 5, 2, 3, 1]);
    // One that somebody tried since it was seen, and one that somebody takes in the last moment.
    world
        .kept
        .borrow_mut()
        .get_mut(&2)
        .unwrap()
        .delivery
        .attempt_count += 1;
    world.plan(at(0), |world| {
        world.kept.borrow_mut().get_mut(&3).unwrap().delivery.status = Status::Pending
    });
    world.run(IN_TURN, &mut caller).unwrap();
    assert_eq!(
        caller.ended,
        [
            "#9 skipped",
            "#4 skipped",
            "#5 skipped",
            "#2 skipped",
            "#3 skipped",
            "#1 delivered"
        ]
    );
}

#[test]
fn one_that_cannot_be_prepared_stays_as_it_is_and_holds_up_nobody() {
    let world = World::new(always(ms(10), 200));
    for id in 1..=3 {
        world.failed_earlier(id, Status::Failed);
    }
    let mut caller = Caller::resending(&world, &[1, 2, 3]);
    caller.unprepared.push(2);
    world.run(IN_TURN, &mut caller).unwrap();
    assert_eq!(
        caller.ended,
        ["#1 delivered", "#2 not sent", "#3 delivered"]
    );
    assert_eq!(
        (world.status(2), sent_of(&world).len()),
        (Status::Failed, 2)
    );
}

#[test]
fn one_that_cannot_be_prepared_any_more_goes_to_the_failed_list() {
    let world = World::new(always(ms(10), 503));
    let mut caller = Caller::new(&world, 1);
    caller.unprepared.push(1);
    world.run(pace(2), &mut caller).unwrap();
    assert_eq!(caller.ended, ["#1 not sent", "#1 interrupted"]);
}

#[test]
fn however_many_cannot_be_prepared_what_can_is_sent_and_recorded_meanwhile() {
    let world = World::new(always(ms(10), 200));
    (1..=1_002).for_each(|id| world.failed_earlier(id, Status::Failed));
    let ids: Vec<i64> = (1..=1_002).collect();
    let mut caller = Caller::resending(&world, &ids);
    caller.unprepared = (2..=1_001).collect();
    caller.refusal_takes = ms(1);
    world.run(pace(2), &mut caller).unwrap();
    let told = |end: &str| caller.ended.iter().position(|told| told == end).unwrap();
    assert!(
        told("#1 delivered") < 100,
        "it waited for {} that could not be sent",
        told("#1 delivered")
    );
    assert_eq!(
        (told("#1002 delivered"), caller.ended.len()),
        (1_001, 1_002)
    );
    // Nor does it wait for anything to happen before it goes on.
    assert!(world.elapsed() < ms(1_000 + 50), "{:?}", world.elapsed());
}

#[test]
fn ctrl_c_is_noticed_among_many_that_cannot_be_prepared() {
    let world = World::new(always(ms(10), 200));
    (1..=1_000).for_each(|id| world.failed_earlier(id, Status::Failed));
    let ids: Vec<i64> = (1..=1_000).collect();
    let mut caller = Caller::resending(&world, &ids);
    caller.unprepared = ids;
    caller.refusal_takes = ms(1);
    world.interrupt_at.set(Some(at(500)));
    world.run(pace(2), &mut caller).unwrap();
    assert!(
        (490..=520).contains(&caller.ended.len()),
        "{} were looked at",
        caller.ended.len()
    );
}
