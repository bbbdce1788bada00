//! A disk that fails or is full at each write of a run: nothing is sent before it is recorded, nothing counts as
//! delivered that could not be recorded, and the journal works afterwards.

use crate::audit::{JournalState, SAMPLE, Scenario, in_lanes};
use crate::support::strace::{Point, can_inject, points};
use crate::support::{Outcome, Received, Server, TestEnv, forever, respond};

/// System calls that change a file or directory, or sync.
const WRITES: &[&str] = &[
    "fallocate",
    "fchmod",
    "fdatasync",
    "fsync",
    "ftruncate",
    "linkat",
    "mkdir",
    "openat",
    "pwrite64",
    "write",
    "writev",
];

#[test]
fn fire_survives_some_write_errors() {
    failing_at(&Scenario::first(), SAMPLE);
    failing_at(&Scenario::second(), SAMPLE);
}

#[test]
#[ignore = "long: runs in CI"]
fn first_fire_survives_any_write_error() {
    failing_at(&Scenario::first(), 1);
}

#[test]
#[ignore = "long: runs in CI"]
fn fire_with_checkpoint_survives_any_write_error() {
    failing_at(&Scenario::second(), 1);
}

#[test]
fn batch_survives_some_write_errors_and_can_be_continued() {
    batch_failing_at(SAMPLE);
}

#[test]
#[ignore = "long: runs in CI"]
fn batch_survives_any_write_error_and_can_be_continued() {
    batch_failing_at(1);
}

/// Lets every so many of the writes of a batch fail.
fn batch_failing_at(every: usize) {
    if !can_inject() {
        return;
    }
    let (scenario, server) = (
        Scenario::batch(),
        Server::script(vec![respond(200).keep_alive().endlessly()]),
    );
    let after = format!("{}/after", server.url());
    let runs = faulty_runs(
        &scenario,
        &server,
        (&[FAULTS[0], FAULTS[2]], every),
        |env, run, facts| {
            // Without the earlier delivery.
            let known = facts.statuses().count() - 1;
            // Without a hint, either all lines were accepted or none.
            let skip = said_to_skip(run).unwrap_or(known).to_string();
            let retried = env.hookfire(["retry", "--all", "--url", &after]).run();
            let command = scenario.command(&after);
            let gone_on = env
                .program(&command[0])
                .args(&command[1..])
                .args(["--skip", &skip])
                .run();
            let list = env.hookfire(["journal", "list", "-o", "ndjson"]).run();
            (known, retried, gone_on, list)
        },
    );
    let requests = server.requests();
    let wrong: Vec<String> = runs
        .iter()
        .flat_map(|run| wrongs_of_batch(&scenario, run, &requests))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} runs:\n{}",
        wrong.len(),
        runs.len(),
        wrong.join("\n")
    );
    let ended = |code: i32, words: &str| {
        runs.iter().any(|Run { outcome, .. }| {
            outcome.code == Some(code) && outcome.stderr().contains(words)
        })
    };
    assert!(ended(0, "6 delivered"), "some errors can be done without");
    assert!(
        ended(6, "`--skip 0` goes on"),
        "some keep all from being sent"
    );
    assert!(
        ended(6, "could not record"),
        "some keep what came of it from being recorded"
    );
}

/// An error, once or permanently.
#[derive(Clone, Copy, Debug)]
struct Fault {
    errno: &'static str,
    onwards: bool,
}

const FAULTS: [Fault; 3] = [
    Fault {
        errno: "EIO",
        onwards: false,
    },
    Fault {
        errno: "ENOSPC",
        onwards: false,
    },
    Fault {
        errno: "ENOSPC",
        onwards: true,
    },
];

/// The result of a run with an error, and of the step after it.
struct Run<T> {
    outcome: Outcome,
    facts: JournalState,
    next: T,
}

/// Lets every so many of the writes of a command fail.
fn failing_at(scenario: &Scenario, every: usize) {
    if !can_inject() {
        return;
    }
    let server = Server::script(vec![forever(200)]);
    let runs = faulty_runs(scenario, &server, (&FAULTS, every), |env, _, _| {
        env.hookfire(["fire", "user", "created", "--no-retry", "--url"])
            .arg(server.url())
            .run()
    });
    let requests = server.requests();
    let wrong: Vec<String> = runs.iter().flat_map(|run| wrongs(run, &requests)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} runs:\n{}",
        wrong.len(),
        runs.len(),
        wrong.join("\n")
    );
    let ended = |code: i32, words: &str| {
        runs.iter().any(|Run { outcome, .. }| {
            outcome.code == Some(code) && outcome.stderr().contains(words)
        })
    };
    assert!(ended(0, "200 OK"), "some errors can be done without");
    assert!(ended(6, "hint: "), "some keep it from being sent");
    assert!(
        ended(6, "#"),
        "some keep what came of it from being recorded"
    );
}

/// Lets writes fail in each way, each time in a new environment, and runs `then`. Of these cases, every so many are run.
fn faulty_runs<T: Send>(
    scenario: &Scenario,
    server: &Server,
    (faults, every): (&[Fault], usize),
    then: impl Fn(&TestEnv, &Outcome, &JournalState) -> T + Sync,
) -> Vec<Run<T>> {
    let writes = writes_of(scenario, server);
    assert!(
        writes.len() > 20,
        "{}: only {} writes",
        scenario.name,
        writes.len()
    );
    let cases = writes
        .iter()
        .flat_map(|write| faults.iter().map(move |fault| (write, *fault)));
    // If `write` fails permanently, the program cannot print anything.
    let cases: Vec<(&Point, Fault)> = cases
        .filter(|(write, fault)| write.name != "write" || !fault.onwards)
        .step_by(every)
        .collect();
    in_lanes(&cases, |index, (write, fault)| {
        let (env, path) = (scenario.world(), format!("/{index}"));
        let what = format!("error={}", fault.errno);
        let options = if fault.onwards {
            write.options_onwards(&what)
        } else {
            write.options(&what)
        };
        let url = format!("{}{path}", server.url());
        let outcome = env
            .program("strace")
            .args(options)
            .args(scenario.command(&url))
            .run();
        let what = format!(
            "{} with {fault:?} at {} number {}, `{}`",
            scenario.name, write.name, write.number, write.shown
        );
        let facts = JournalState::gather(&env, what, path);
        let next = then(&env, &outcome, &facts);
        Run {
            outcome,
            facts,
            next,
        }
    })
}

/// The writing calls of one undisturbed run, without output. Of the other threads, only calls that can concern a file:
/// the rest is network traffic.
fn writes_of(scenario: &Scenario, server: &Server) -> Vec<Point> {
    let env = scenario.world();
    let command = scenario.command(&format!("{}/undisturbed", server.url()));
    env.program("strace")
        .args(["-f", "-o", "trace"])
        .args(command)
        .run()
        .assert_code(0);
    let trace = std::fs::read_to_string(env.work_dir().join("trace")).expect("a trace");
    let mut points = points(&trace, "journal.db");
    let reported = |point: &Point| {
        ["write(1, ", "write(2, "]
            .iter()
            .any(|start| point.shown.starts_with(start))
    };
    let sends = |point: &Point| {
        point.followed
            && (scenario.lines == 0 || ["openat", "write", "writev"].contains(&&*point.name))
    };
    points
        .retain(|point| WRITES.contains(&point.name.as_str()) && !reported(point) && !sends(point));
    points
}

/// Describes violated guarantees of one run.
fn wrongs(
    Run {
        outcome: run,
        facts,
        next,
    }: &Run<Outcome>,
    requests: &[Received],
) -> Vec<String> {
    let mut wrongs = facts.violations(requests);
    let mut wrong = |what: &str| wrongs.push(format!("{}: {what}\n{run}", facts.what));
    let received = facts.received(requests).next();
    let status = received
        .and_then(|id| facts.statuses().find(|(uuid, _)| *uuid == id))
        .map(|(_, status)| status);
    match (run.code, status) {
        (Some(0), Some("delivered")) => {}
        (Some(0), _) => wrong("it ended well, and no delivery is recorded"),
        (Some(6), _) if !run.stderr().contains("journal") => {
            wrong("it does not say what is wrong with what")
        }
        (Some(6), None) => {}
        (Some(6), Some(_))
            if run
                .stderr()
                .contains("was sent (delivered), but the journal could not record it") => {}
        (Some(6), Some(_)) => wrong("it was sent, and it does not say so"),
        _ => wrong("an end of another kind"),
    }
    if next.code != Some(0) {
        wrongs.push(format!(
            "{}: the next one does not get through\n{next}",
            facts.what
        ));
    }
    wrongs
}

/// Describes violated guarantees of one batch and its continuation.
fn wrongs_of_batch(
    scenario: &Scenario,
    Run {
        outcome: run,
        facts,
        next: (known, retried, gone_on, list),
    }: &Run<(usize, Outcome, Outcome, Outcome)>,
    requests: &[Received],
) -> Vec<String> {
    let mut wrongs = facts.violations(requests);
    let mut wrong =
        |what: &str, of: &Outcome| wrongs.push(format!("{}: {what}\n{of}\n{run}", facts.what));
    let delivered = facts
        .statuses()
        .filter(|(_, status)| *status == "delivered")
        .count();
    match run.code {
        Some(0) if delivered == scenario.lines + 1 => {}
        Some(6) if run.stderr().contains("journal") => {}
        // The error hit another file that is opened.
        Some(1) if *known == 0 && run.stderr().contains("cannot read the configuration") => {}
        Some(0) => wrong("it ended well, and not all is recorded as delivered", run),
        Some(6) => wrong("it does not say what is wrong with what", run),
        _ => wrong("an end of another kind", run),
    }
    if said_to_skip(run).is_some_and(|skip| skip != *known) {
        wrong(&format!("{known} lines were taken"), run);
    }
    let all: Vec<serde_json::Value> = list.ndjson();
    if all.len() != scenario.lines + 1
        || all.iter().any(|delivery| delivery["status"] != "delivered")
    {
        wrong("what it said did not lead to the end", list);
    }
    for outcome in [retried, gone_on] {
        if outcome.code != Some(0) {
            wrong("what came after did not get through", outcome);
        }
    }
    wrongs
}

/// The number in `--skip 7`.
fn said_to_skip(run: &Outcome) -> Option<usize> {
    let (_, rest) = run.stderr().split_once("`--skip ")?;
    rest.split('`').next()?.parse().ok()
}
