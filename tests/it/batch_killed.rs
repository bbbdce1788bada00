//! Batches that are killed at random moments: the journal knows every received request, a retry completes the batch,
//! even if it is killed too, and recorded deliveries are not sent again.
//!
//! Each run uses other moments. A failure prints its seed; `HOOKFIRE_KILL_SEED` repeats it with nearly the same
//! moments.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Invocation, Receiver, Reply, TestEnv};

pub const SEED_VARIABLE: &str = "HOOKFIRE_KILL_SEED";
const LINES: usize = 400;
/// Sufficient for hundreds of requests on a machine that is busy with other tests.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);

#[test]
fn batch_killed_at_random_moments_loses_nothing() {
    killed_in_rounds(2);
}

#[test]
#[ignore = "long: runs in CI"]
fn batch_killed_at_more_random_moments_loses_nothing() {
    killed_in_rounds(10);
}

fn killed_in_rounds(rounds: u64) {
    let seed = seed();
    for round in 1..=rounds {
        tell(&format!("round {round} of {SEED_VARIABLE}={seed}"));
        // A different sequence for each round, regardless of the one before.
        let mut chance = Random::new(seed ^ (round << 48));
        killed_and_completed(&mut chance);
    }
}

/// The moments of the kills: those of the variable, or new ones.
pub fn seed() -> u64 {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |now| now.as_micros() as u64)
    };
    std::env::var(SEED_VARIABLE).map_or_else(|_| now(), |text| text.parse().expect("a number"))
}

/// Kills a batch, then (in every other round) its retry, then completes it.
fn killed_and_completed(chance: &mut Random) {
    let env = TestEnv::new();
    let receiver =
        Receiver::start(|number, _| Reply::Status(if number % 7 == 0 { 503 } else { 200 }));
    env.write_file("batch.ndjson", lines());
    let fire = [
        "fire",
        "--batch",
        "batch.ndjson",
        "--url",
        &receiver.url(),
        "--retry-interval",
        "20ms",
    ];
    let retry = [
        "retry",
        "--all",
        "-j",
        "4",
        "--retries",
        "9",
        "--retry-interval",
        "5ms",
    ];
    let first = chance.below(LINES as u64) as usize + 1;
    kill_after(env.hookfire(fire), &receiver, first, chance);
    let known = held_to_the_promise(&env, &receiver, &Known::default());
    let known = if chance.below(2) == 0 || known.statuses.len() == known.delivered.len() {
        known
    } else {
        let more = receiver.requests()
            + chance.below((known.statuses.len() - known.delivered.len()) as u64) as usize
            + 1;
        kill_after(env.hookfire(retry), &receiver, more, chance);
        held_to_the_promise(&env, &receiver, &known)
    };
    env.hookfire(retry)
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    let known = held_to_the_promise(&env, &receiver, &known);
    assert_eq!(
        known.delivered.len(),
        known.statuses.len(),
        "a retry completes it"
    );

    // The accepted lines are the first ones, without a gap, so that the rest can be sent.
    let skip = known.statuses.len().to_string();
    env.hookfire(fire)
        .args(["--skip", &skip])
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    let known = held_to_the_promise(&env, &receiver, &known);
    assert_eq!(
        (known.delivered.len(), known.statuses.len()),
        (LINES, LINES)
    );
    assert_eq!(
        lines_in_journal(&env),
        (1..=LINES).collect(),
        "each line is one delivery"
    );
}

/// Kills the process shortly after this number of requests.
fn kill_after(program: Invocation, receiver: &Receiver, requests: usize, chance: &mut Random) {
    let mut running = program.spawn();
    receiver.wait_for(requests);
    let (begun, moment) = (Instant::now(), Duration::from_micros(chance.below(4_000)));
    while begun.elapsed() < moment {
        std::hint::spin_loop();
    }
    running.kill9();
}

/// The content of the journal.
#[derive(Default)]
struct Known {
    statuses: HashMap<String, String>,
    delivered: HashSet<String>,
    /// Number of requests for each delivery by then.
    received: HashMap<String, usize>,
}

/// Compares the journal with the received requests and with the earlier state.
fn held_to_the_promise(env: &TestEnv, receiver: &Receiver, before: &Known) -> Known {
    let received: HashMap<String, usize> = receiver
        .times()
        .into_iter()
        .map(|(id, times)| (id, times.len()))
        .collect();
    let listed = env
        .hookfire(["journal", "list", "-o", "ndjson"])
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let statuses: HashMap<String, String> = listed
        .ndjson()
        .iter()
        .map(|delivery| (text(&delivery["uuid"]), text(&delivery["status"])))
        .collect();
    let unknown: Vec<&String> = received
        .keys()
        .filter(|id| !statuses.contains_key(*id))
        .collect();
    assert!(
        unknown.is_empty(),
        "received, and not in the journal: {unknown:?}"
    );
    let limbo: Vec<_> = statuses
        .iter()
        .filter(|(_, status)| *status == "pending")
        .collect();
    assert!(
        limbo.is_empty(),
        "what is left behind is in the failed list: {limbo:?}"
    );
    let delivered: HashSet<String> = statuses
        .iter()
        .filter(|(_, status)| *status == "delivered")
        .map(|(id, _)| id.clone())
        .collect();
    let unreceived: Vec<_> = delivered
        .iter()
        .filter(|id| !received.contains_key(*id))
        .collect();
    assert!(
        unreceived.is_empty(),
        "delivered, and never received: {unreceived:?}"
    );
    let again: Vec<_> = before
        .delivered
        .iter()
        .filter(|id| received[*id] > before.received[*id])
        .collect();
    assert!(again.is_empty(), "delivered, and sent again: {again:?}");
    assert!(
        before.delivered.is_subset(&delivered),
        "delivered is delivered"
    );
    Known {
        statuses,
        delivered,
        received,
    }
}

/// Lines with different account names.
fn lines() -> String {
    (1..=LINES).fold(String::new(), |mut text, number| {
        let set = format!("{{\"org_name\":\"line {number}\"}}");
        writeln!(
            text,
            "{{\"type\":\"account\",\"action\":\"created\",\"set\":{set}}}"
        )
        .expect("a string");
        text
    })
}

/// Lines that are deliveries; each must be one only.
fn lines_in_journal(env: &TestEnv) -> BTreeSet<usize> {
    let journal = rusqlite::Connection::open(env.journal_path()).expect("a journal");
    let mut events = journal
        .prepare("SELECT payload FROM deliveries")
        .expect("its table");
    let line = |event: Vec<u8>| {
        let event = String::from_utf8(event).expect("XML");
        let (_, rest) = event.split_once("<org_name>line ").expect("its line");
        rest.split('<')
            .next()
            .expect("its number")
            .parse()
            .expect("a number")
    };
    let found: Vec<usize> = events
        .query_map([], |row| row.get(0).map(line))
        .expect("a list")
        .collect::<Result<_, _>>()
        .expect("events");
    let lines: BTreeSet<usize> = found.iter().copied().collect();
    assert_eq!(lines.len(), found.len(), "no line is two deliveries");
    lines
}

/// Shown if the test fails.
#[expect(
    clippy::print_stderr,
    reason = "without it, nobody could have the same moments again"
)]
pub fn tell(words: &str) {
    eprintln!("{words}");
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
