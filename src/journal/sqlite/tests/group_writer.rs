//! The group writer: shared commits, their order, and its state after a failed commit.

use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::delivery::Status;
use crate::delivery::switches::Switch;

const TIMEOUT: Duration = Duration::from_secs(20);

type Reply = Receiver<Result<WriteResult, Arc<JournalError>>>;

fn writer(journal: SqliteJournal) -> GroupWriter {
    GroupWriter::start(Box::new(journal), None).unwrap()
}

fn submit(writer: &GroupWriter, write: Write) -> Reply {
    let (reply, replied) = mpsc::channel();
    // The test may have ended.
    writer.submit(write, Box::new(move |result| drop(reply.send(result))));
    replied
}

fn result(reply: &Reply) -> Result<WriteResult, Arc<JournalError>> {
    reply.recv_timeout(TIMEOUT).unwrap()
}

fn accept_write() -> Write {
    Write::Accept(new_delivery(b"<event/>"), attempt(T0).attempt)
}

fn id(reply: &Reply) -> i64 {
    match result(reply).unwrap() {
        WriteResult::Delivery(delivery) => delivery.id,
        other => panic!("{other:?}"),
    }
}

fn accepted(writer: &GroupWriter) -> i64 {
    id(&submit(writer, accept_write()))
}

fn begin(writer: &GroupWriter, id: i64, condition: ClaimCondition) -> Option<u32> {
    let attempt = attempt(T0).attempt;
    let claim = Claim {
        id,
        condition,
        attempt,
    };
    match result(&submit(writer, Write::Begin(claim))).unwrap() {
        WriteResult::Claimed(number) => Some(number),
        WriteResult::Refused => None,
        other => panic!("{other:?}"),
    }
}

fn finish_write(id: i64, number: u32, outcome: Outcome, next: NextStep) -> Write {
    Write::Finish(AttemptResult {
        id,
        number,
        sent_after: Duration::from_secs(2),
        duration: Duration::from_millis(40),
        outcome: Arc::new(outcome),
        next,
    })
}

fn finish(writer: &GroupWriter, id: i64, number: u32, outcome: Outcome, next: NextStep) {
    let reply = submit(writer, finish_write(id, number, outcome, next));
    assert!(matches!(result(&reply), Ok(WriteResult::Done)));
}

const MINUTE: Duration = Duration::from_secs(60);

const RETRY: NextStep = NextStep::Retry {
    delay: MINUTE,
    lease: Duration::from_secs(120),
};

#[test]
fn writes_submitted_at_once_share_commits_in_order() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    journal.tune_for_groups().unwrap();
    let writer = writer(journal);
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let replies: Vec<_> = (0..600).map(|_| submit(&writer, accept_write())).collect();
    lock.execute_batch("COMMIT").unwrap();
    let ids: Vec<i64> = replies.iter().map(id).collect();
    assert_eq!(ids, (1..=600).collect::<Vec<_>>());
    let commits = commits_in_wal(&bench.path());
    assert!(commits <= 5, "{commits} commits");
    let delivery = bench.open(2).delivery(600).unwrap().unwrap();
    assert_eq!(
        (delivery.status, delivery.attempt_count),
        (Status::Pending, 1)
    );
}

#[test]
fn writes_of_many_rows_do_not_share_a_commit() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    journal.tune_for_groups().unwrap();
    let writer = writer(journal);
    let ids = [(); 4].map(|()| accepted(&writer));
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = commits_in_wal(&bench.path());
    let (reply, replied) = mpsc::channel();
    let release = |id| {
        let reply = reply.clone();
        let reply: crate::journal::Reply = Box::new(move |result| drop(reply.send(result)));
        (Write::Release(vec![id; 512]), reply)
    };
    // As the engine submits them after Ctrl-C, and one by one.
    writer.submit_all(vec![release(ids[0]), release(ids[1])]);
    for id in &ids[2..] {
        writer.submit_all(vec![release(*id)]);
    }
    lock.execute_batch("COMMIT").unwrap();
    for _ in ids {
        result(&replied).unwrap();
    }
    assert_eq!(commits_in_wal(&bench.path()) - before, 4);
    let released = Query::failed(crate::delivery::filter::Filter::default());
    assert_eq!(bench.open(2).ids(&released).unwrap().len(), 4);
}

#[test]
fn each_kind_of_write_is_applied() {
    let bench = Bench::new();
    let (writer, journal) = (writer(bench.open(1)), bench.open(2));
    let [one, two, three] = [(); 3].map(|()| accepted(&writer));
    finish(&writer, one, 1, success(), NextStep::Delivered);
    finish(&writer, two, 1, refusal(503), RETRY);
    finish(&writer, three, 1, refusal(503), RETRY);

    let delivered = journal.delivery(one).unwrap().unwrap();
    let finished = at(2).plus(Duration::from_millis(40));
    assert_eq!(
        (delivered.status, delivered.finished_at),
        (Status::Delivered, Some(finished))
    );
    assert_eq!(
        journal.attempts(one).unwrap()[0].started_at,
        at(2),
        "the attempt began when it was sent"
    );
    let due = journal.delivery(two).unwrap().unwrap().next_attempt_at;
    assert_eq!(due, Some(at(60)));

    assert_eq!(begin(&writer, two, ClaimCondition::Owned), Some(2));
    finish(&writer, two, 2, refusal(503), NextStep::Failed);
    let stale = ClaimCondition::Failed { attempts: 1 };
    assert_eq!(begin(&writer, two, stale), None);
    result(&submit(&writer, Write::Release(vec![three, one]))).unwrap();
    let status = |id| journal.delivery(id).unwrap().unwrap().status;
    assert_eq!(
        [one, two, three].map(status),
        [Status::Delivered, Status::Failed, Status::Interrupted]
    );

    let ignored = Write::Ignore(new_delivery(b"<event/>"), Switch::Active);
    assert_eq!(id(&submit(&writer, ignored)), 4);
    let ignored = journal.delivery(4).unwrap().unwrap();
    assert_eq!(
        (ignored.status, ignored.ignored_by),
        (Status::Ignored, Some(Switch::Active))
    );
}

#[test]
fn only_own_leases_are_renewed() {
    let bench = Bench::new();
    let (writer, other) = (writer(bench.open(1)), bench.open(2));
    let ids: Vec<i64> = (0..3).map(|_| accepted(&writer)).collect();
    finish(&writer, ids[2], 1, refusal(500), NextStep::Failed);
    let theirs = accept(&other, T0).id;
    let renew = |ids: Vec<i64>, seconds| {
        let lease = Duration::from_secs(seconds);
        match result(&submit(&writer, Write::Renew { ids, lease })).unwrap() {
            WriteResult::Renewed(ids) => ids,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(renew([ids, vec![theirs, 99]].concat(), 1_000), [1, 2]);
    assert_eq!(other.release_dead(at(999)).unwrap(), 1, "only theirs");
    assert_eq!(other.release_dead(at(1_001)).unwrap(), 2);
    assert_eq!(renew(vec![1, 2], 2_000), [0; 0], "they were interrupted");
}

#[test]
fn failed_commit_stops_new_attempts_but_records_outcomes() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    journal.set_lock_timeout(Duration::from_millis(50)).unwrap();
    let writer = writer(journal);
    let id = accepted(&writer);
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = result(&submit(&writer, accept_write())).unwrap_err();
    assert!(matches!(*error, JournalError::Locked { .. }), "{error}");
    lock.execute_batch("COMMIT").unwrap();
    assert!(
        result(&submit(&writer, accept_write())).is_err(),
        "deliveries are refused after a failure"
    );
    let claim = Claim {
        id,
        condition: ClaimCondition::Owned,
        attempt: attempt(T0).attempt,
    };
    assert!(result(&submit(&writer, Write::Begin(claim))).is_err());
    finish(&writer, id, 1, success(), NextStep::Delivered);
    let journal = bench.open(2);
    let delivery = journal.delivery(id).unwrap().unwrap();
    assert_eq!(delivery.status, Status::Delivered);
    assert!(journal.delivery(id + 1).unwrap().is_none());
}

#[test]
fn a_deleted_delivery_does_not_affect_its_group() {
    let bench = Bench::new();
    let writer = writer(bench.open(1));
    let ids = [(); 2].map(|()| accepted(&writer));
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    lock.execute("DELETE FROM attempts WHERE delivery_id = ?1", [ids[0]])
        .unwrap();
    let replies =
        ids.map(|id| submit(&writer, finish_write(id, 1, success(), NextStep::Delivered)));
    lock.execute_batch("COMMIT").unwrap();
    assert!(matches!(result(&replies[0]).unwrap(), WriteResult::Deleted));
    assert!(matches!(result(&replies[1]).unwrap(), WriteResult::Done));
}

#[test]
fn dropping_the_writer_commits_what_was_submitted() {
    let bench = Bench::new();
    let writer = writer(bench.open(1));
    let replies: Vec<_> = (0..300).map(|_| submit(&writer, accept_write())).collect();
    drop(writer);
    assert!(
        replies
            .iter()
            .all(|reply| reply.try_recv().unwrap().is_ok())
    );
    assert!(bench.open(2).delivery(300).unwrap().is_some());
}

fn put_back(writer: &GroupWriter, id: i64, number: u32, slot: ScheduleSlot) {
    result(&submit(writer, Write::PutBack { id, number, slot })).unwrap();
}

#[test]
fn put_back_returns_a_delivery_to_the_schedule() {
    let bench = Bench::new();
    let (writer, journal) = (writer(bench.open(1)), bench.open(2));
    let ids = [(); 2].map(|()| accepted(&writer));
    for id in ids {
        finish(
            &writer,
            id,
            1,
            refusal(503),
            NextStep::Scheduled { delay: MINUTE },
        );
    }
    let state = || {
        ids.map(|id| {
            (
                journal.delivery(id).unwrap(),
                journal.attempts(id).unwrap().len(),
            )
        })
    };
    let before = state();
    let scheduled = ClaimCondition::Scheduled { attempts: 1 };
    for id in ids {
        assert_eq!(begin(&writer, id, scheduled), Some(2));
    }
    let slot = ScheduleSlot {
        due: at(60),
        abandoned: false,
        last_owner: before[0].0.as_ref().unwrap().last_owner.clone(),
    };
    put_back(&writer, ids[0], 2, slot.clone());
    put_back(&writer, ids[1], 1, slot.clone());
    let after = state();
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].1, 2, "only the last attempt can be put back");
    assert_eq!(begin(&writer, ids[0], scheduled), Some(2));
    finish(&writer, ids[0], 2, success(), NextStep::Delivered);
    put_back(&writer, ids[0], 2, slot);
    assert_eq!(
        journal.delivery(ids[0]).unwrap().unwrap().status,
        Status::Delivered,
        "an attempt that was sent is not put back"
    );
}

#[test]
fn put_back_returns_an_abandoned_delivery_to_the_failed_list() {
    let bench = Bench::new();
    let (dead, writer) = (bench.open(1), writer(bench.open(2)));
    let [in_flight, waiting] = [(); 2].map(|()| accept(&dead, T0).id);
    let duration = Duration::from_millis(40);
    let again = retry(at(60), at(120));
    dead.finish_attempt(waiting, 1, duration, &refusal(503), again)
        .unwrap();
    bench.host.kill(1);
    let journal = bench.open(3);
    assert_eq!(journal.release_dead(at(8)).unwrap(), 2);
    let scheduled = || journal.due(at(1_000), None, 9, None).unwrap();
    let deliveries = || [in_flight, waiting].map(|id| journal.delivery(id).unwrap().unwrap());
    let (before, due) = (deliveries(), scheduled());
    for delivery in &before {
        assert_eq!(delivery.status, Status::Interrupted);
        assert!(delivery.finished_at.is_some());
    }
    for due in &due {
        let id = due.version.id;
        let condition = ClaimCondition::Scheduled { attempts: 1 };
        assert_eq!(begin(&writer, id, condition), Some(2));
        let status = journal.delivery(id).unwrap().unwrap().status;
        assert_eq!(status, Status::Pending);
        let slot = ScheduleSlot {
            due: due.at,
            abandoned: true,
            last_owner: before[0].last_owner.clone(),
        };
        put_back(&writer, id, 2, slot);
    }
    assert_eq!((deliveries(), scheduled()), (before, due));
}

/// Retries this number of times, then unlocks the journal.
struct Counted {
    left: usize,
    told: mpsc::Sender<&'static str>,
    unlock: Option<rusqlite::Connection>,
}

impl CommitRetry for Counted {
    fn retry(&mut self, error: &JournalError) -> bool {
        assert!(matches!(error, JournalError::Locked { .. }), "{error}");
        self.told.send("retry").unwrap();
        self.left = self.left.saturating_sub(1);
        if self.left == 0
            && let Some(lock) = self.unlock.take()
        {
            lock.execute_batch("COMMIT").unwrap();
        }
        self.left > 0 || self.unlock.is_none()
    }

    fn recovered(&mut self) {
        self.told.send("recovered").unwrap();
    }
}

#[test]
fn a_retried_commit_loses_nothing() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    journal.set_lock_timeout(Duration::from_millis(20)).unwrap();
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (told, heard) = mpsc::channel();
    let retry = Counted {
        left: 3,
        told,
        unlock: Some(lock),
    };
    let writer = GroupWriter::start(Box::new(journal), Some(Box::new(retry))).unwrap();
    let replies: Vec<_> = (0..20).map(|_| submit(&writer, accept_write())).collect();
    let ids: Vec<i64> = replies.iter().map(id).collect();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    drop(writer);
    let heard: Vec<&str> = heard.iter().collect();
    assert_eq!(heard[..4], ["retry", "retry", "retry", "recovered"]);
    assert_eq!(bench.open(2).ids(&Query::all(None)).unwrap().len(), 20);
}

struct Panics;

impl CommitRetry for Panics {
    fn retry(&mut self, _: &JournalError) -> bool {
        panic!("a test's panic")
    }

    fn recovered(&mut self) {}
}

#[test]
fn panic_is_reported_and_stops_new_attempts() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    journal.set_lock_timeout(Duration::ZERO).unwrap();
    let writer = GroupWriter::start(Box::new(journal), Some(Box::new(Panics))).unwrap();
    let lock = bench.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = result(&submit(&writer, accept_write())).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("was not written: internal error"),
        "{error}"
    );
    lock.execute_batch("COMMIT").unwrap();
    assert!(result(&submit(&writer, accept_write())).is_err());
    drop(writer);
    assert!(bench.open(2).delivery(1).unwrap().is_none());
}
