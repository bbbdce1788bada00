//! Writing for many at once: few commits, in order, and what a commit that fails leaves behind.

use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::delivery::Status;
use crate::delivery::switches::Switch;
use crate::journal::DeliveryLedger;
use crate::journal::sqlite::create::PAGE_SIZE;
use crate::journal::store::{
    Begun, Done, Ended, Endurance, JournalError, Ledger, Next, Schedule as _, Slot, Turn,
};

const PATIENCE: Duration = Duration::from_secs(20);

type Told<T> = Receiver<Result<T, Arc<JournalError>>>;

/// Somebody to tell, and where it is heard.
fn told<T: Send + 'static>() -> (Done<T>, Told<T>) {
    let (report, heard) = mpsc::channel();
    // A test that is over does not listen any more.
    (Box::new(move |result| drop(report.send(result))), heard)
}

fn hear<T>(heard: &Told<T>) -> Result<T, Arc<JournalError>> {
    heard.recv_timeout(PATIENCE).unwrap()
}

fn submit(ledger: &DeliveryLedger) -> Told<Box<Delivery>> {
    let (done, heard) = told();
    ledger.accept(
        new_delivery(T0),
        b"<event/>".as_slice().into(),
        intent(at(0)),
        done,
    );
    heard
}

fn finish(ledger: &DeliveryLedger, id: i64, number: u32, outcome: Outcome, next: Next) -> Told<()> {
    let (done, heard) = told();
    let outcome = Arc::new(outcome);
    let duration = Duration::from_millis(40);
    ledger.finish(
        Ended {
            id,
            number,
            left_at: Some(at(2)),
            duration,
            outcome,
            next,
        },
        done,
    );
    heard
}

/// How many commits are in the log: frames that say how large the file is after them.
fn commits(bench: &Bench) -> usize {
    let log = std::fs::read(bench.folder.path().join("journal.db-wal")).unwrap();
    let frames = log[32..].chunks_exact(24 + PAGE_SIZE as usize);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[test]
fn what_is_submitted_at_once_shares_a_commit_and_keeps_its_order() {
    let bench = Bench::new();
    let ledger = DeliveryLedger::start(bench.open(1)).unwrap();
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let heard: Vec<_> = (0..600).map(|_| submit(&ledger)).collect();
    lock.execute_batch("COMMIT").unwrap();
    let ids: Vec<i64> = heard.iter().map(|heard| hear(heard).unwrap().id).collect();
    assert_eq!(ids, (1..=600).collect::<Vec<_>>());
    assert!(commits(&bench) <= 5, "{} commits", commits(&bench));
    let delivery = bench.open(2).delivery(600).unwrap().unwrap();
    assert_eq!(
        (delivery.status, delivery.attempt_count),
        (Status::Pending, 1)
    );
}

#[test]
fn each_entry_does_what_it_does_when_it_is_written_alone() {
    let bench = Bench::new();
    let (ledger, journal) = (DeliveryLedger::start(bench.open(1)).unwrap(), bench.open(2));
    let [one, two, three] = [(); 3].map(|()| hear(&submit(&ledger)).unwrap().id);
    let again = Next::RetryAt {
        due: at(60),
        lease_until: at(120),
    };
    hear(&finish(&ledger, one, 1, success(), Next::Delivered)).unwrap();
    hear(&finish(&ledger, two, 1, refusal(503), again)).unwrap();
    hear(&finish(&ledger, three, 1, refusal(503), again)).unwrap();

    let delivered = journal.delivery(one).unwrap().unwrap();
    assert_eq!(
        (delivered.status, delivered.finished_at),
        (
            Status::Delivered,
            Some(at(2).plus(Duration::from_millis(40)))
        )
    );
    assert_eq!(
        journal.attempts(one).unwrap()[0].started_at,
        at(2),
        "when it left, not when it was written down"
    );
    assert_eq!(
        journal.delivery(two).unwrap().unwrap().next_attempt_at,
        Some(at(60))
    );

    let (done, heard) = told();
    ledger.begin(two, Turn::Mine, intent(at(60)), done);
    assert_eq!(hear(&heard).unwrap(), Begun::Attempt(2));
    hear(&finish(&ledger, two, 2, refusal(503), Next::Failed)).unwrap();
    let (done, heard) = told();
    ledger.begin(two, Turn::Failed { attempts: 1 }, intent(at(61)), done);
    assert_eq!(hear(&heard).unwrap(), Begun::Taken);
    let (done, heard) = told();
    ledger.interrupt(vec![three, one], done);
    hear(&heard).unwrap();
    let status = |id| journal.delivery(id).unwrap().unwrap().status;
    assert_eq!(
        [one, two, three].map(status),
        [Status::Delivered, Status::Failed, Status::Interrupted]
    );

    let (done, heard) = told();
    ledger.ignore(
        new_delivery(T0),
        b"<event/>".as_slice().into(),
        Switch::Active,
        done,
    );
    let ignored = hear(&heard).unwrap();
    assert_eq!(
        (ignored.id, status(4), ignored.ignored_by),
        (4, Status::Ignored, Some(Switch::Active))
    );
}

#[test]
fn only_what_is_this_process_s_is_renewed() {
    let bench = Bench::new();
    let (ledger, other) = (DeliveryLedger::start(bench.open(1)).unwrap(), bench.open(2));
    let ids: Vec<i64> = (0..3).map(|_| hear(&submit(&ledger)).unwrap().id).collect();
    hear(&finish(&ledger, ids[2], 1, refusal(500), Next::Failed)).unwrap();
    let theirs = accept(&other, T0).id;
    let (done, heard) = told();
    ledger.renew([ids, vec![theirs, 99]].concat(), at(1_000), done);
    assert_eq!(hear(&heard).unwrap(), [1, 2]);
    assert_eq!(
        other.release_dead(at(999)).unwrap(),
        1,
        "only theirs, whose lease is over"
    );
    assert_eq!(other.release_dead(at(1_001)).unwrap(), 2);
    let (done, heard) = told();
    ledger.renew(vec![1, 2], at(2_000), done);
    assert_eq!(hear(&heard).unwrap(), [0; 0], "they were taken for dead");
}

#[test]
fn after_a_commit_that_failed_nothing_is_begun_and_what_was_done_is_still_recorded() {
    let bench = Bench::new();
    let patient = Duration::from_millis(50);
    let journal =
        SqliteJournal::open_with_timeout(&bench.path(), bench.host.process(1), patient).unwrap();
    let ledger = DeliveryLedger::start(journal).unwrap();
    let id = hear(&submit(&ledger)).unwrap().id;
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = hear(&submit(&ledger)).unwrap_err();
    assert!(matches!(*refused, JournalError::Locked { .. }), "{refused}");
    lock.execute_batch("COMMIT").unwrap();
    assert!(
        hear(&submit(&ledger)).is_err(),
        "there would be a gap between what was accepted"
    );
    let (done, heard) = told();
    ledger.begin(id, Turn::Mine, intent(at(5)), done);
    assert!(hear(&heard).is_err());
    hear(&finish(&ledger, id, 1, success(), Next::Delivered)).unwrap();
    let journal = bench.open(2);
    assert_eq!(
        journal.delivery(id).unwrap().unwrap().status,
        Status::Delivered
    );
    assert!(journal.delivery(id + 1).unwrap().is_none());
}

#[test]
fn one_that_somebody_deleted_does_not_take_the_others_with_it() {
    let bench = Bench::new();
    let ledger = DeliveryLedger::start(bench.open(1)).unwrap();
    let ids = [(); 2].map(|()| hear(&submit(&ledger)).unwrap().id);
    let lock = bench.raw();
    lock.execute_batch(&format!(
        "BEGIN IMMEDIATE; DELETE FROM attempts WHERE delivery_id = {}",
        ids[0]
    ))
    .unwrap();
    let heard = ids.map(|id| finish(&ledger, id, 1, success(), Next::Delivered));
    lock.execute_batch("COMMIT").unwrap();
    assert!(matches!(
        *hear(&heard[0]).unwrap_err(),
        JournalError::Lost { .. }
    ));
    hear(&heard[1]).unwrap();
}

#[test]
fn what_was_submitted_is_written_before_it_ends() {
    let bench = Bench::new();
    let ledger = DeliveryLedger::start(bench.open(1)).unwrap();
    let heard: Vec<_> = (0..300).map(|_| submit(&ledger)).collect();
    drop(ledger);
    assert!(heard.iter().all(|heard| heard.try_recv().unwrap().is_ok()));
    assert!(bench.open(2).delivery(300).unwrap().is_some());
}

#[test]
fn what_was_begun_and_not_sent_goes_back_to_the_schedule_as_if_nobody_had_begun_it() {
    let bench = Bench::new();
    let (ledger, journal) = (DeliveryLedger::start(bench.open(1)).unwrap(), bench.open(2));
    let ids = [(); 2].map(|()| hear(&submit(&ledger)).unwrap().id);
    for id in ids {
        hear(&finish(
            &ledger,
            id,
            1,
            refusal(503),
            Next::Scheduled { due: at(60) },
        ))
        .unwrap();
    }
    let before = ids.map(|id| {
        (
            journal.delivery(id).unwrap(),
            journal.attempts(id).unwrap().len(),
        )
    });
    let begin = |id| {
        let (done, heard) = told();
        ledger.begin(id, Turn::Scheduled { attempts: 1 }, intent(at(61)), done);
        assert_eq!(hear(&heard).unwrap(), Begun::Attempt(2));
    };
    ids.into_iter().for_each(begin);
    let put_back = |id, number| {
        let (done, heard) = told();
        ledger.put_back(
            id,
            number,
            Slot {
                due: at(60),
                left_behind: false,
            },
            done,
        );
        hear(&heard).unwrap();
    };
    put_back(ids[0], 2);
    put_back(ids[1], 1);
    let after = ids.map(|id| {
        (
            journal.delivery(id).unwrap(),
            journal.attempts(id).unwrap().len(),
        )
    });
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].1, 2, "that one is not the last");
    begin(ids[0]);
    hear(&finish(&ledger, ids[0], 2, success(), Next::Delivered)).unwrap();
    put_back(ids[0], 2);
    assert_eq!(
        journal.delivery(ids[0]).unwrap().unwrap().status,
        Status::Delivered,
        "and that one was made"
    );
}

#[test]
fn what_a_dead_process_left_behind_is_in_the_failed_list_again_if_it_was_begun_and_not_sent() {
    let bench = Bench::new();
    let (dead, ledger) = (bench.open(1), DeliveryLedger::start(bench.open(2)).unwrap());
    let [under_way, waiting] = [(); 2].map(|()| accept(&dead, T0).id);
    let again = Next::RetryAt {
        due: at(60),
        lease_until: at(120),
    };
    dead.finish_attempt(waiting, 1, Duration::from_millis(40), &refusal(503), again)
        .unwrap();
    bench.host.fate(1, Liveness::Dead);
    let journal = bench.open(3);
    assert_eq!(journal.release_dead(at(8)).unwrap(), 2);
    let scheduled = || journal.due(at(1_000), None, 9, None).unwrap();
    let (before, due) = (
        [under_way, waiting].map(|id| journal.delivery(id).unwrap().unwrap()),
        scheduled(),
    );
    assert!(
        before.iter().all(
            |delivery| delivery.status == Status::Interrupted && delivery.finished_at.is_some()
        )
    );
    for due in &due {
        let id = due.seen.id;
        let (done, heard) = told();
        ledger.begin(id, Turn::Scheduled { attempts: 1 }, intent(at(61)), done);
        assert_eq!(hear(&heard).unwrap(), Begun::Attempt(2));
        assert_eq!(
            journal.delivery(id).unwrap().unwrap().status,
            Status::Pending
        );
        let (done, heard) = told();
        ledger.put_back(
            id,
            2,
            Slot {
                due: due.at,
                left_behind: true,
            },
            done,
        );
        hear(&heard).unwrap();
    }
    let after = [under_way, waiting].map(|id| journal.delivery(id).unwrap().unwrap());
    assert_eq!((after, scheduled()), (before, due));
}

/// Endures so often, and tells how often it was asked to and when it was over.
struct Counted {
    left: usize,
    told: mpsc::Sender<&'static str>,
    unlock: Option<rusqlite::Connection>,
}

impl Endurance for Counted {
    fn endures(&mut self, error: &JournalError) -> bool {
        assert!(matches!(error, JournalError::Locked { .. }), "{error}");
        self.told.send("endures").unwrap();
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.unlock
                .take()
                .into_iter()
                .for_each(|lock| lock.execute_batch("COMMIT").unwrap());
        }
        self.left > 0 || self.unlock.is_none()
    }

    fn over(&mut self) {
        self.told.send("over").unwrap();
    }
}

#[test]
fn a_ledger_that_endures_tries_a_commit_again_and_loses_nothing_of_it() {
    let bench = Bench::new();
    let soon = Duration::from_millis(20);
    let journal =
        SqliteJournal::open_with_timeout(&bench.path(), bench.host.process(1), soon).unwrap();
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (told, heard) = mpsc::channel();
    let endurance = Counted {
        left: 3,
        told,
        unlock: Some(lock),
    };
    let ledger = DeliveryLedger::start_enduring(journal, Some(Box::new(endurance))).unwrap();
    let submitted: Vec<_> = (0..20).map(|_| submit(&ledger)).collect();
    let ids: Vec<i64> = submitted
        .iter()
        .map(|told| hear(told).unwrap().id)
        .collect();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    drop(ledger);
    let heard: Vec<&str> = heard.iter().collect();
    assert_eq!(heard[..4], ["endures", "endures", "endures", "over"]);
    assert_eq!(
        bench
            .open(2)
            .ids(&crate::journal::Query::all(None))
            .unwrap()
            .len(),
        20
    );
}

/// Fails within itself.
struct Panics;

impl Endurance for Panics {
    fn endures(&mut self, _: &JournalError) -> bool {
        panic!("of no use")
    }

    fn over(&mut self) {}
}

#[test]
fn whoever_waits_for_a_ledger_that_panics_is_told_and_nothing_is_begun_after_it() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    journal.set_lock_timeout(Duration::ZERO).unwrap();
    let ledger = DeliveryLedger::start_enduring(journal, Some(Box::new(Panics))).unwrap();
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = hear(&submit(&ledger)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("was not written to: hookfire failed within itself"),
        "{error}"
    );
    lock.execute_batch("COMMIT").unwrap();
    assert!(
        hear(&submit(&ledger)).is_err(),
        "what came of the others is not known here"
    );
    drop(ledger);
    assert!(bench.open(2).delivery(1).unwrap().is_none());
}
