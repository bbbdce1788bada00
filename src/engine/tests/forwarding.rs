//! The due queue of deliveries that forward captures: endpoints that do not respond, and sequences.

use std::cell::Cell;
use std::rc::Rc;

use rusqlite::Connection;

use super::due::{limits, once, watch};
use super::simulation::{T0, URL};
use super::*;
use crate::capture::{Body, Capture};
use crate::delivery::ErrorKind;
use crate::delivery::target::Target;
use crate::engine::due::{DueQueue, Upcoming};
use crate::journal::{Forward, StoredCapture, WriteResult};

const OTHER_URL: &str = "https://other.example.com/";
const JOBS: usize = 8;

/// Adds a capture with a delivery that is due now, and again a second after a failure; returns the delivery's id.
fn capture(simulation: &Simulation, url: &str, in_order: bool) -> i64 {
    capture_retried(simulation, url, in_order, 1_000)
}

fn capture_retried(simulation: &Simulation, url: &str, in_order: bool, interval_ms: u64) -> i64 {
    let client = std::net::SocketAddr::from(([127, 0, 0, 1], 4242));
    let mut capture = Capture::new(T0, client, b"POST / HTTP/1.1\r\n\r\n".to_vec());
    capture.malformed = false;
    let capture = StoredCapture::new(0, "", None, capture, Body::default());
    let forward = Forward {
        endpoint: None,
        target: Target::from_url(url).unwrap(),
        retry_policy: policy(100, interval_ms),
        in_order,
    };
    let write = Write::Capture {
        capture: Arc::new(capture),
        forwards: [forward].into(),
    };
    let results = simulation.journal.commit(&[write]).unwrap();
    let [WriteResult::Captured { id, .. }] = results[..] else {
        panic!("{results:?}");
    };
    simulation.journal.forwards(&[id]).unwrap()[0].id
}

fn forwarding(simulation: &Simulation) -> DueQueue<'_> {
    DueQueue::forwarding(&*simulation.journal, JOBS)
}

/// The next delivery, if one may be sent this long after the start.
fn next_at(queue: &mut DueQueue<'_>, after_ms: i64) -> Option<i64> {
    match queue.next(UnixMs(T0.0 + after_ms)).unwrap() {
        Upcoming::Due(seen) => Some(seen.id),
        Upcoming::Later(_) => None,
        Upcoming::End => panic!("it never ends"),
    }
}

fn release_at(queue: &mut DueQueue<'_>, id: i64, contact: Contact, after_ms: i64) {
    queue.release(id, contact, UnixMs(T0.0 + after_ms));
}

/// Takes a delivery, which gets no response.
fn fail_one_at(queue: &mut DueQueue<'_>, after_ms: i64) {
    let id = next_at(queue, after_ms).expect("a delivery that probes");
    assert_eq!(next_at(queue, after_ms), None, "one at a time");
    release_at(queue, id, Contact::NoResponse, after_ms);
}

/// Changes the journal as another process might.
fn sql(simulation: &Simulation, statement: &str) {
    let journal = Connection::open(simulation.journal.path()).unwrap();
    journal.execute_batch(statement).unwrap();
}

#[test]
fn an_unresponsive_endpoint_is_probed_after_pauses_that_double() {
    let simulation = Simulation::new(|_, _| (1, 200));
    for _ in 0..300 {
        capture(&simulation, URL, false);
    }
    let mut queue = forwarding(&simulation);
    let mut at = 0;
    for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000] {
        fail_one_at(&mut queue, at);
        assert_eq!(next_at(&mut queue, at + pause - 1), None, "{pause}");
        at += pause;
    }
    let id = next_at(&mut queue, at).expect("a delivery that probes");
    release_at(&mut queue, id, Contact::Responded, at);
    let sent = std::iter::from_fn(|| next_at(&mut queue, at));
    assert!(sent.take(JOBS).count() == JOBS, "all workers send");
    // Then the pauses begin anew.
    for id in 1..=300 {
        release_at(&mut queue, id, Contact::NoResponse, at);
    }
    assert_eq!(next_at(&mut queue, at + 999), None);
    assert!(next_at(&mut queue, at + 1_000).is_some());
}

#[test]
fn a_request_that_was_not_sent_says_nothing_about_the_endpoint() {
    let simulation = Simulation::new(|_, _| (1, 200));
    let ids = [(); 3].map(|()| capture(&simulation, URL, false));
    let mut queue = forwarding(&simulation);
    assert_eq!(next_at(&mut queue, 0), Some(ids[0]));
    sql(
        &simulation,
        "UPDATE deliveries SET next_attempt_at = NULL WHERE id = 1",
    );
    release_at(&mut queue, ids[0], Contact::NotSent, 0);
    assert_eq!(next_at(&mut queue, 0), Some(ids[1]));
}

#[test]
fn another_endpoint_is_not_delayed() {
    let simulation = Simulation::new(|_, _| (1, 200));
    for _ in 0..300 {
        capture(&simulation, URL, false);
    }
    let mut queue = forwarding(&simulation);
    fail_one_at(&mut queue, 0);
    let other = capture(&simulation, OTHER_URL, false);
    queue.look_from(T0);
    assert_eq!(next_at(&mut queue, 1), Some(other));
}

#[test]
fn a_clock_that_is_set_back_does_not_delay_the_probe() {
    let simulation = Simulation::new(|_, _| (1, 200));
    for _ in 0..3 {
        capture(&simulation, URL, false);
    }
    let mut queue = forwarding(&simulation);
    let hour = 3_600_000;
    fail_one_at(&mut queue, hour);
    assert!(next_at(&mut queue, 0).is_some());
}

#[test]
fn an_outage_costs_few_attempts_and_ends_with_all_delivered() {
    const DELIVERIES: usize = 200;
    let is_up = Rc::new(Cell::new(false));
    let up = Rc::clone(&is_up);
    let simulation = Simulation::new(move |_, _| if up.get() { (5, 200) } else { (10, 0) });
    for number in 0..DELIVERIES {
        // Those that were tried during the outage do not wait for an hour, either.
        capture_retried(&simulation, URL, number == 0, 3_600_000);
    }
    simulation.at(120_000, move |_| is_up.set(true));
    simulation.interrupt_at.set(Some(160_000));
    simulation.drains.set(true);
    let mut items = super::due::DueItems::new(&simulation, forwarding(&simulation));
    let recorder = Recorder::new(&simulation);
    simulation.run(limits(JOBS), &mut items, &recorder);
    let attempts = simulation.sent.borrow().len();
    let probes = attempts - DELIVERIES;
    assert!((6..=12).contains(&probes), "{probes} probes");
    let deliveries = simulation.deliveries();
    assert!(deliveries.iter().all(|one| one.status == Status::Delivered));
    let last = simulation.sent.borrow()[attempts - 1].0;
    assert!(last < 153_000, "{last}");
}

#[test]
fn single_requests_without_a_response_keep_their_time() {
    let simulation = Simulation::new(|_, _| (1, 200));
    let ids = [(); 2].map(|()| capture(&simulation, URL, false));
    let mut queue = forwarding(&simulation);
    assert_eq!(next_at(&mut queue, 0), Some(ids[0]));
    let later = T0.0 + 3_600_000;
    let failed = format!("next_attempt_at = {later}, attempt_count = 1, error_kind = 'reset'");
    sql(
        &simulation,
        &format!("UPDATE deliveries SET {failed} WHERE id = {}", ids[0]),
    );
    release_at(&mut queue, ids[0], Contact::NoResponse, 0);
    assert_eq!(next_at(&mut queue, 1_000), Some(ids[1]));
    sql(
        &simulation,
        &format!(
            "UPDATE deliveries SET next_attempt_at = NULL WHERE id = {}",
            ids[1]
        ),
    );
    release_at(&mut queue, ids[1], Contact::Responded, 1_001);
    assert_eq!(next_at(&mut queue, 3_000), None);
}

#[test]
fn new_deliveries_are_found_before_those_read_meanwhile() {
    let simulation = Simulation::new(|_, _| (1, 200));
    let first = capture(&simulation, URL, false);
    let mut queue = forwarding(&simulation);
    simulation.wait(ms(20));
    assert_eq!(next_at(&mut queue, 20), Some(first));
    release_at(&mut queue, first, Contact::Responded, 20);
    sql(
        &simulation,
        "UPDATE deliveries SET status = 'delivered', next_attempt_at = NULL",
    );
    assert_eq!(next_at(&mut queue, 20), None);
    let late = capture(&simulation, URL, false);
    // Its commit began before the first delivery was read.
    let statement = format!(
        "UPDATE deliveries SET next_attempt_at = {} WHERE id = {late}",
        T0.0 - 5
    );
    sql(&simulation, &statement);
    queue.look_from(UnixMs(T0.0 - 5));
    assert_eq!(next_at(&mut queue, 21), Some(late));
}

#[test]
fn a_steady_load_does_not_hide_what_others_put_back() {
    let simulation = Simulation::new(|_, _| (1, 200));
    let mut queue = forwarding(&simulation);
    assert_eq!(next_at(&mut queue, 0), None);
    for _ in 0..100 {
        let id = capture(&simulation, URL, false);
        queue.look_from(T0);
        assert_eq!(next_at(&mut queue, 0), Some(id));
        let statement = format!(
            "UPDATE deliveries SET next_attempt_at = NULL, status = 'delivered' WHERE id = {id}"
        );
        sql(&simulation, &statement);
        release_at(&mut queue, id, Contact::Responded, 0);
    }
    assert_eq!(next_at(&mut queue, 1_000), None);
    let put_back = format!(
        "UPDATE deliveries SET status = 'pending', next_attempt_at = {} WHERE id = 1",
        T0.0 - 5
    );
    sql(&simulation, &put_back);
    assert_eq!(next_at(&mut queue, 2_100), Some(1));
}

#[test]
fn once_sends_sequences_in_order_as_far_as_they_are_delivered() {
    let simulation = Simulation::new(|delivery, _| (5, if delivery.id == 6 { 503 } else { 200 }));
    let mut sequences = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        sequences[0].push(capture(&simulation, URL, true));
        sequences[1].push(capture(&simulation, OTHER_URL, true));
    }
    simulation.wait(ms(10));
    once(&simulation, JOBS);
    let sent = simulation.sent_ids();
    let of = |sequence: &[i64]| -> Vec<i64> {
        let sent = sent.iter().copied();
        sent.filter(|id| sequence.contains(id)).collect()
    };
    assert_eq!(of(&sequences[0]), sequences[0]);
    assert_eq!(
        of(&sequences[1]),
        sequences[1][..3],
        "the third is not delivered"
    );
}

#[test]
fn a_sequence_has_one_request_at_a_time() {
    let takes = 1_000;
    for watches in [true, false] {
        let simulation =
            Simulation::new(move |_, number| (takes, if number == 1 { 503 } else { 200 }));
        let ids: Vec<i64> = (0..4).map(|_| capture(&simulation, URL, true)).collect();
        if watches {
            watch(&simulation, JOBS, 60_000);
        } else {
            simulation.interrupt_at.set(Some(60_000));
            simulation.drains.set(true);
            let mut items = super::due::DueItems::new(&simulation, forwarding(&simulation));
            simulation.run(limits(JOBS), &mut items, &Recorder::new(&simulation));
        }
        let twice: Vec<i64> = ids.iter().flat_map(|id| [*id, *id]).collect();
        assert_eq!(simulation.sent_ids(), twice);
        let times: Vec<i64> = simulation
            .sent
            .borrow()
            .iter()
            .map(|(at, ..)| *at)
            .collect();
        assert!(
            times.windows(2).all(|two| two[1] - two[0] >= takes as i64),
            "{times:?}"
        );
    }
}

#[test]
fn a_delivery_fails_whose_capture_does_not_exist() {
    let simulation = Simulation::new(|_, _| (1, 200));
    let lost = capture(&simulation, URL, true);
    let kept = capture(&simulation, OTHER_URL, false);
    let delete = "DELETE FROM captures WHERE id = (SELECT capture_id FROM deliveries WHERE id = ";
    sql(&simulation, &format!("{delete}{lost})"));
    let ended = once(&simulation, JOBS);
    assert!(ended.contains(&format!("#{lost} failed")), "{ended:?}");
    assert!(ended.contains(&format!("#{kept} delivered")), "{ended:?}");
    let sent: Vec<i64> = (simulation.sent.borrow().iter())
        .map(|(_, id, _)| *id)
        .collect();
    assert_eq!(sent, [kept]);
    let error = simulation.delivery(lost).last_error.expect("an error");
    assert_eq!(error.kind, ErrorKind::Capture);
}
