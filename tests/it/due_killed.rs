//! `retry --due` killed at each of its system calls: the journal knows every received request, other deliveries stay
//! scheduled, and the next run completes the work without sending a delivered one again.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::audit::{SAMPLE, in_lanes};
use crate::support::strace::{Point, can_inject, points};
use crate::support::{Received, Server, TestEnv, repeat, respond};

const DUE: usize = 5;
const RETRY: [&str; 6] = [
    env!("CARGO_BIN_EXE_hookfire"),
    "retry",
    "--due",
    "-j",
    "2",
    "-q",
];

/// `journal.db` and its log with due deliveries that were refused once; in the second one, all of them are still in the
/// log.
struct Scheduled([Vec<u8>; 2]);

impl Scheduled {
    fn new() -> Scheduled {
        let (env, server) = (TestEnv::new(), Server::script(vec![repeat(503, DUE)]));
        let fire = [
            "fire",
            "account",
            "created",
            "--background",
            "--retry-interval",
            "1ms",
            "--url",
            &server.url(),
        ];
        for _ in 0..DUE {
            env.hookfire(fire).run().assert_code(0);
        }
        let read = |path: &Path| std::fs::read(path).expect("a file of the journal");
        Scheduled([
            read(&env.journal_path()),
            read(&env.journal_path().with_extension("db-wal")),
        ])
    }

    /// An environment with this journal, for this URL.
    fn world(&self, url: &str) -> TestEnv {
        let env = TestEnv::new();
        let path = env.journal_path();
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, &self.0[0]).expect("a journal");
        std::fs::write(path.with_extension("db-wal"), &self.0[1]).expect("its log");
        let journal = rusqlite::Connection::open(&path).expect("a journal");
        let moved = journal
            .execute("UPDATE deliveries SET url = ?1, next_attempt_at = 1", [url])
            .expect("a change");
        assert_eq!(moved, DUE);
        env
    }
}

/// Output of the program for each delivery, by uuid.
fn known(env: &TestEnv) -> BTreeMap<String, Value> {
    let listed = env
        .hookfire(["journal", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    let uuid = |delivery: &Value| delivery["uuid"].as_str().expect("an id").to_owned();
    listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|delivery| (uuid(delivery), delivery.clone()))
        .collect()
}

/// Deliveries whose second attempt is recorded as `maybe_received`.
fn maybe_received(journal: &rusqlite::Connection) -> Vec<String> {
    let sql = "SELECT uuid FROM deliveries JOIN attempts ON delivery_id = id WHERE number = 2 AND maybe_received";
    let mut statement = journal.prepare(sql).expect("a statement");
    let uuids = statement.query_map([], |row| row.get(0)).expect("rows");
    uuids.collect::<Result<_, _>>().expect("ids")
}

/// The result of one kill.
struct Kill {
    what: String,
    path: String,
    killed: bool,
    sound: bool,
    /// The deliveries after the kill, and the number of requests by then.
    left: BTreeMap<String, Value>,
    maybe_received: Vec<String>,
    came: Vec<String>,
    /// Exit code of the next run, and the deliveries after it.
    next: Option<i32>,
    completed: BTreeMap<String, Value>,
}

fn ids(requests: &[Received], path: &str) -> Vec<String> {
    let mine = requests.iter().filter(|request| request.target == path);
    mine.map(|request| request.header("webhook-id").expect("an id").to_owned())
        .collect()
}

fn die(scheduled: &Scheduled, server: &Server, (index, point): (usize, &Point)) -> Kill {
    let path = format!("/{index}");
    let env = scheduled.world(&format!("{}{path}", server.url()));
    let killed = env
        .program("strace")
        .args(point.options("signal=KILL"))
        .args(RETRY)
        .run();
    let left = known(&env);
    let sound = env.hookfire(["journal", "check"]).run().code == Some(0);
    let came = ids(&server.requests(), &path);
    let journal = rusqlite::Connection::open(env.journal_path()).expect("a journal");
    let maybe_received = maybe_received(&journal);
    journal
        .execute(
            "UPDATE deliveries SET next_attempt_at = 1 WHERE next_attempt_at > 1",
            [],
        )
        .expect("a change");
    drop(journal);
    let next = env.hookfire(["retry", "--due", "-q"]).run();
    let what = format!(
        "killed at {} number {}, `{}`",
        point.name, point.number, point.shown
    );
    let (killed, next, completed) = (killed.signal == Some(9), next.code, known(&env));
    Kill {
        what,
        path,
        killed,
        sound,
        left,
        maybe_received,
        came,
        next,
        completed,
    }
}

impl Kill {
    /// Describes violated guarantees, given all requests that ever arrived.
    fn violations(&self, requests: &[Received]) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.sound || self.left.len() != DUE {
            wrong.push(format!(
                "{} of {DUE} are left, sound: {}",
                self.left.len(),
                self.sound
            ));
        }
        for (uuid, delivery) in &self.left {
            let attempts = delivery["attempt_count"].as_u64().expect("a count");
            let received = self.came.contains(uuid);
            let as_it_should = match delivery["status"].as_str() {
                Some("pending") => {
                    !received && attempts == 1 && delivery["next_attempt_at"].is_string()
                }
                Some("interrupted") => {
                    attempts == 2 && (!received || self.maybe_received.contains(uuid))
                }
                Some("delivered") => received && attempts == 2,
                _ => false,
            };
            if !as_it_should {
                wrong.push(format!("received: {received}, and {delivery}"));
            }
        }
        let unknown = self
            .came
            .iter()
            .filter(|uuid| !self.left.contains_key(*uuid));
        wrong.extend(
            unknown.map(|uuid| format!("{uuid} was received, and the journal does not know it")),
        );
        let all = ids(requests, &self.path);
        for (uuid, delivery) in &self.completed {
            let times = all.iter().filter(|came| *came == uuid).count();
            let before = &self.left[uuid]["status"];
            let most = if before == "interrupted" { 2 } else { 1 };
            if delivery["status"] != "delivered" || !(1..=most).contains(&times) {
                wrong.push(format!(
                    "it was {before}, came {times} times, and the next one left {delivery}"
                ));
            }
        }
        if self.next != Some(0) {
            wrong.push(format!("the next one ended with {:?}", self.next));
        }
        wrong
            .into_iter()
            .map(|words| format!("{}: {words}", self.what))
            .collect()
    }

    fn left_as(&self, status: &str) -> usize {
        self.left
            .values()
            .filter(|delivery| delivery["status"] == status)
            .count()
    }
}

#[test]
fn due_killed_at_some_system_calls_loses_nothing() {
    due_killed_at(SAMPLE);
}

#[test]
#[ignore = "long: runs in CI"]
fn due_killed_at_any_system_call_loses_nothing() {
    due_killed_at(1);
}

/// Kills `retry --due` at every so many of its system calls.
fn due_killed_at(every: usize) {
    if !can_inject() {
        return;
    }
    let (scheduled, server) = (
        Scheduled::new(),
        Server::script(vec![respond(200).keep_alive().endlessly()]),
    );
    let points = {
        let env = scheduled.world(&format!("{}/undisturbed", server.url()));
        env.program("strace")
            .args(["-f", "-o", "trace"])
            .args(RETRY)
            .run()
            .assert_code(0);
        points(
            &std::fs::read_to_string(env.work_dir().join("trace")).expect("a trace"),
            "journal.db",
        )
    };
    assert!(
        points.len() > 150,
        "only {} calls from the journal on",
        points.len()
    );
    let points: Vec<Point> = points.into_iter().step_by(every).collect();
    let deaths = in_lanes(&points, |index, point| {
        die(&scheduled, &server, (index, point))
    });
    let requests = server.requests();
    let violations: Vec<String> = deaths
        .iter()
        .flat_map(|death| death.violations(&requests))
        .collect();
    assert!(
        violations.is_empty(),
        "{} of {} deaths:\n{}",
        violations.len(),
        deaths.len(),
        violations.join("\n")
    );

    // Calls and threads differ between runs, but there was a kill in each stage.
    let killed: Vec<&Kill> = deaths.iter().filter(|death| death.killed).collect();
    assert!(
        killed.len() * 2 >= deaths.len(),
        "of {} calls few were met",
        deaths.len()
    );
    let died = |stage: &dyn Fn(&Kill) -> bool| killed.iter().any(|death| stage(death));
    assert!(
        died(&|death| death.left_as("pending") == DUE),
        "none died before anything was begun"
    );
    let received = |death: &Kill, status| {
        death
            .left
            .iter()
            .any(|(uuid, d)| d["status"] == status && death.came.contains(uuid))
    };
    assert!(
        died(&|death| death.left_as("interrupted") > 0 && death.came.is_empty()),
        "none before the first request"
    );
    assert!(
        died(&|death| received(death, "interrupted")),
        "none between a request and its outcome"
    );
    assert!(
        died(&|death| death.left_as("delivered") > 0 && death.left_as("pending") > 0),
        "none in the middle"
    );
    assert!(
        died(&|death| death.left_as("delivered") == DUE),
        "none after the last outcome"
    );
}
