//! Checks that nothing was lost after a process died or its disk failed: compares the requests of the receiver with the
//! output of the program. `killed.rs` and `failing_disk.rs` cause the failures.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::{Received, Server, TestEnv};

/// Number of parallel cases; most of the time they wait for the disk or a timeout.
const LANES: usize = 6;

/// Short runs test every so many of a long test's cases.
pub const SAMPLE: usize = 8;

/// Content of a journal after a failure of its last writer.
pub struct JournalState {
    /// The failure, for messages.
    pub what: String,
    /// Path of the URL, used by this case only.
    pub path: String,
    /// Problems found by `journal check`.
    unsound: Option<String>,
    known: BTreeMap<String, Value>,
}

impl JournalState {
    /// Reads the journal with the program.
    pub fn gather(env: &TestEnv, what: String, path: String) -> JournalState {
        let check = env.hookfire(["journal", "check", "-o", "json"]).run();
        let unsound = (check.code != Some(0)).then(|| check.to_string());
        let listed = env.hookfire(["journal", "list", "-o", "json"]).run();
        let mut known = BTreeMap::new();
        if listed.code == Some(0) {
            for delivery in listed.json().as_array().expect("a list") {
                let uuid = delivery["uuid"].as_str().expect("an id").to_owned();
                known.insert(uuid, whole(env, delivery));
            }
        }
        JournalState {
            what,
            path,
            unsound,
            known,
        }
    }

    /// Each delivery's uuid and status.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.known
            .iter()
            .map(|(uuid, delivery)| (uuid.as_str(), status(delivery)))
    }

    /// Describes violated guarantees, given the received requests.
    pub fn violations(&self, received: &[Received]) -> Vec<String> {
        let unsound = self
            .unsound
            .iter()
            .map(|check| format!("the journal is not sound: {check}"));
        let in_limbo =
            |delivery: &&Value| !["delivered", "failed", "interrupted"].contains(&status(delivery));
        let limbo = self.known.values().filter(in_limbo);
        let limbo =
            limbo.map(|delivery| format!("neither delivered nor in the failed list: {delivery}"));
        let lost = self
            .received(received)
            .filter_map(|uuid| match self.known.get(uuid) {
                None => Some(format!(
                    "{uuid} was received, and the journal does not know it"
                )),
                Some(delivery) if status(delivery) == "delivered" => None,
                Some(delivery) => {
                    let attempts = delivery["attempts"].as_array().expect("attempts");
                    let said = attempts
                        .iter()
                        .any(|attempt| attempt["maybe_received"] == true);
                    (!said).then(|| {
                        format!(
                            "{uuid} was received, and the journal says that it was not: {delivery}"
                        )
                    })
                }
            });
        unsound
            .chain(limbo)
            .chain(lost)
            .map(|violation| format!("{}: {violation}", self.what))
            .collect()
    }

    /// `webhook-id`s of the requests for this case.
    pub fn received<'a>(&'a self, requests: &'a [Received]) -> impl Iterator<Item = &'a str> {
        let mine = requests
            .iter()
            .filter(|request| request.target == self.path);
        mine.map(|request| request.header("webhook-id").expect("an id"))
    }
}

fn status(delivery: &Value) -> &str {
    delivery["status"].as_str().expect("a status")
}

/// The delivery with its attempts, if they matter.
fn whole(env: &TestEnv, delivery: &Value) -> Value {
    if status(delivery) == "delivered" {
        return delivery.clone();
    }
    env.hookfire(["journal", "show", &delivery["id"].to_string(), "-o", "json"])
        .run()
        .assert_code(0)
        .json()
}

/// A repeatable situation: the journal before, and the command.
pub struct Scenario {
    pub name: &'static str,
    /// `journal.db` and `journal.db-wal`, if there is a journal.
    journal: Option<[Vec<u8>; 2]>,
    args: &'static [&'static str],
    /// Lines of the batch.
    pub lines: usize,
}

impl Scenario {
    /// A first fire, which creates the journal.
    pub fn first() -> Scenario {
        Scenario {
            name: "the first fire",
            journal: None,
            args: FIRE,
            lines: 0,
        }
    }

    /// A fire that finds an earlier one in the write-ahead log, and checkpoints it.
    pub fn second() -> Scenario {
        Scenario {
            name: "the second fire",
            journal: Some(after_one(200, 0)),
            args: FIRE,
            lines: 0,
        }
    }

    /// A retry of a refused delivery.
    pub fn retry() -> Scenario {
        Scenario {
            name: "a retry",
            journal: Some(after_one(503, 3)),
            args: &["retry", "1", "--url"],
            lines: 0,
        }
    }

    /// A batch of a few lines with several jobs. The journal has one delivery, so that opening it writes nothing and
    /// only writes of the batch are counted.
    pub fn batch() -> Scenario {
        Scenario {
            name: "a batch",
            journal: Some(after_one(200, 0)),
            args: BATCH,
            lines: 6,
        }
    }

    /// A new environment with this journal.
    pub fn world(&self) -> TestEnv {
        let env = TestEnv::new();
        if let Some([file, log]) = &self.journal {
            let path = env.journal_path();
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, file).expect("a journal");
            std::fs::write(path.with_extension("db-wal"), log).expect("its log");
        }
        if self.lines > 0 {
            env.write_file(
                "batch.ndjson",
                "{\"type\":\"account\",\"action\":\"created\"}\n".repeat(self.lines),
            );
        }
        env
    }

    /// The arguments of the command for this URL.
    pub fn command(&self, url: &str) -> Vec<String> {
        let words = std::iter::once(&env!("CARGO_BIN_EXE_hookfire")).chain(self.args);
        words.copied().chain([url]).map(str::to_owned).collect()
    }
}

const FIRE: &[&str] = &["fire", "account", "created", "--no-retry", "--url"];
const BATCH: &[&str] = &[
    "fire",
    "--batch",
    "batch.ndjson",
    "--no-retry",
    "-j",
    "2",
    "--url",
];

/// A journal after one fire with this response, before any checkpoint.
fn after_one(answer: u16, code: i32) -> [Vec<u8>; 2] {
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![crate::support::respond(answer)]),
    );
    env.hookfire(FIRE).arg(server.url()).run().assert_code(code);
    let file = env.journal_path();
    let log = std::fs::read(file.with_extension("db-wal")).expect("a log");
    assert!(!log.is_empty());
    [std::fs::read(file).expect("a journal"), log]
}

/// Runs `work` for the items in parallel; returns the results in order.
pub fn in_lanes<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                break done;
            };
            done.push((index, work(index, item)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().expect("a lane that ended well"))
            .collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
