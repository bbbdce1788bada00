//! Judges whether anything was lost, after a process died or its disk failed: what a receiver got against what the journal
//! says, as the program itself tells it to whoever comes next.
//!
//! Kills nothing and fails nothing; `killed.rs` and `failing_disk.rs` do. Invariant: it knows only what a user could see.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::{Received, Server, TestEnv};

/// How much is done at a time: most of it is waiting, for the disk or a time limit.
const LANES: usize = 6;

/// What a journal says after something happened to its last writer.
pub struct Facts {
    /// What happened, for messages.
    pub what: String,
    /// The path of the URL that was sent to, which nobody else sends to.
    pub path: String,
    /// What `journal check` complains of.
    unsound: Option<String>,
    known: BTreeMap<String, Value>,
}

impl Facts {
    /// Asks the program.
    pub fn gather(env: &TestEnv, what: String, path: String) -> Facts {
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
        Facts {
            what,
            path,
            unsound,
            known,
        }
    }

    /// The ids that the journal knows, with the state of each.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.known
            .iter()
            .map(|(uuid, delivery)| (uuid.as_str(), status(delivery)))
    }

    /// What is not as promised, in words, if the receiver got these requests.
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

    /// The ids of those requests that came for this one.
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

/// With its attempts, where they matter.
fn whole(env: &TestEnv, delivery: &Value) -> Value {
    if status(delivery) == "delivered" {
        return delivery.clone();
    }
    env.hookfire(["journal", "show", &delivery["id"].to_string(), "-o", "json"])
        .run()
        .assert_code(0)
        .json()
}

/// A world to let something happen in, again and again: how its journal stands before, and what is run.
pub struct Scene {
    pub name: &'static str,
    /// `journal.db` and `journal.db-wal`; none if there is no journal yet.
    journal: Option<[Vec<u8>; 2]>,
    args: &'static [&'static str],
    /// The lines of its batch.
    pub lines: usize,
}

impl Scene {
    /// A first fire, which makes the journal.
    pub fn first() -> Scene {
        Scene {
            name: "the first fire",
            journal: None,
            args: FIRE,
            lines: 0,
        }
    }

    /// A fire that finds an earlier one in the log, and moves it.
    pub fn second() -> Scene {
        Scene {
            name: "the second fire",
            journal: Some(after_one(200, 0)),
            args: FIRE,
            lines: 0,
        }
    }

    /// A retry of what was refused.
    pub fn retry() -> Scene {
        Scene {
            name: "a retry",
            journal: Some(after_one(503, 3)),
            args: &["retry", "1", "--url"],
            lines: 0,
        }
    }

    /// A batch of a few lines, several at once, in a journal that has one delivery: who opens it writes nothing, so that
    /// each write is met that the batch's own thread makes.
    pub fn batch() -> Scene {
        Scene {
            name: "a batch",
            journal: Some(after_one(200, 0)),
            args: BATCH,
            lines: 6,
        }
    }

    /// A fresh world with its journal as it stands before.
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

    /// The words of the command that sends to this URL.
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

/// A journal after one fire that was answered so, nothing of it moved out of the log yet.
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

/// Does something with each item, several at a time; gives what came of it, in their order.
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
