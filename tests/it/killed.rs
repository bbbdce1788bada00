//! Commands killed at each of their system calls: the journal is intact and knows every request that the receiver got.
//!
//! To test the check itself, it is applied to a sender that records deliveries after it has sent them.

use crate::audit::{JournalState, SAMPLE, Scenario, in_lanes};
use crate::support::strace::{Point, can_inject, points};
use crate::support::{Server, TestEnv, forever, needs, respond};

#[test]
fn fire_and_retry_killed_at_some_system_calls() {
    for scenario in [Scenario::first, Scenario::second, Scenario::retry] {
        killed_at(scenario, SAMPLE);
    }
}

#[test]
#[ignore = "long: runs in CI"]
fn first_fire_killed_at_any_system_call() {
    killed_at(Scenario::first, 1);
}

#[test]
#[ignore = "long: runs in CI"]
fn fire_with_checkpoint_killed_at_any_system_call() {
    killed_at(Scenario::second, 1);
}

#[test]
#[ignore = "long: runs in CI"]
fn retry_killed_at_any_system_call() {
    killed_at(Scenario::retry, 1);
}

#[test]
fn batch_killed_at_some_system_calls() {
    batch_killed_at(SAMPLE);
}

#[test]
#[ignore = "long: runs in CI"]
fn batch_killed_at_any_system_call() {
    batch_killed_at(1);
}

/// Kills a batch at every so many of its system calls.
fn batch_killed_at(every: usize) {
    if !can_inject() {
        return;
    }
    let (scenario, server) = (
        Scenario::batch(),
        Server::script(vec![respond(200).keep_alive().endlessly()]),
    );
    let deaths = deaths(&scenario, &server, every);
    let requests = server.requests();
    // Threads and the number of waits differ between runs.
    let killed: Vec<&JournalState> = deaths
        .iter()
        .filter(|(killed, _)| *killed)
        .map(|(_, facts)| facts)
        .collect();
    assert!(
        killed.len() * 2 >= deaths.len(),
        "of {} calls few were met",
        deaths.len()
    );
    let count = |stage: &dyn Fn(usize, usize) -> bool| {
        let ends = killed.iter().map(|facts| {
            let delivered = facts
                .statuses()
                .filter(|(_, status)| *status == "delivered")
                .count();
            // One of them existed before.
            (facts.received(&requests).count(), delivered - 1)
        });
        ends.filter(|(received, delivered)| stage(*received, *delivered))
            .count()
    };
    assert!(
        count(&|received, _| received == 0) > 0,
        "none died before the first request"
    );
    assert!(
        count(&|received, delivered| received > delivered) > 0,
        "none died between a request and its outcome"
    );
    assert!(
        count(&|_, delivered| (1..scenario.lines).contains(&delivered)) > 0,
        "none died in the middle"
    );
    assert!(
        count(&|_, delivered| delivered == scenario.lines) > 0,
        "none died after the last outcome"
    );
}

/// Kills the command at every so many of its calls from the first journal access on, each time in a new environment, and
/// checks the result. Returns whether each point was reached.
fn deaths(scenario: &Scenario, server: &Server, every: usize) -> Vec<(bool, JournalState)> {
    let points = calls_of(scenario, server);
    assert!(
        points.len() > 150,
        "{}: only {} calls from the journal on",
        scenario.name,
        points.len()
    );
    assert!(
        points
            .iter()
            .any(|point| point.name == "writev" || point.name == "sendto"),
        "the sending is among them"
    );
    let points: Vec<Point> = points.into_iter().step_by(every).collect();
    let deaths = in_lanes(&points, |index, point| {
        let (env, path) = (scenario.world(), format!("/{index}"));
        let url = format!("{}{path}", server.url());
        let killed = env
            .program("strace")
            .args(point.options("signal=KILL"))
            .args(scenario.command(&url))
            .run();
        let what = format!(
            "{} killed at {} number {}, `{}`",
            scenario.name, point.name, point.number, point.shown
        );
        (
            killed.signal == Some(9),
            JournalState::gather(&env, what, path),
        )
    });
    let requests = server.requests();
    let violations: Vec<String> = deaths
        .iter()
        .flat_map(|(_, facts)| facts.violations(&requests))
        .collect();
    assert!(
        violations.is_empty(),
        "{} of {} deaths:\n{}",
        violations.len(),
        deaths.len(),
        violations.join("\n")
    );
    deaths
}

/// Kills a command at every so many of its system calls.
fn killed_at(scenario: fn() -> Scenario, every: usize) {
    if !can_inject() {
        return;
    }
    let (scenario, server) = (scenario(), Server::script(vec![forever(200)]));
    let deaths = deaths(&scenario, &server, every);
    let requests = server.requests();

    // There was a kill in each stage; otherwise nothing is proven.
    let killed = deaths.iter().filter(|(killed, _)| *killed);
    assert!(
        killed.clone().count() * 10 >= deaths.len() * 9,
        "of {} calls few were met",
        deaths.len()
    );
    let stages = killed.map(|(_, facts)| {
        (
            facts.statuses().last(),
            facts.received(&requests).next().is_some(),
        )
    });
    let count = |received: bool, status: &str| {
        stages
            .clone()
            .filter(|(last, got)| {
                *got == received && last.map(|(_, status)| status) == Some(status)
            })
            .count()
    };
    assert!(
        count(false, "interrupted") > 0,
        "{}: none died between the intent and the request",
        scenario.name
    );
    assert!(
        count(true, "interrupted") > 0,
        "{}: none died between the request and the outcome",
        scenario.name
    );
    assert!(
        count(true, "delivered") > 0,
        "{}: none died after the outcome",
        scenario.name
    );
}

/// The calls of one undisturbed run, from the first journal access on.
fn calls_of(scenario: &Scenario, server: &Server) -> Vec<Point> {
    let (env, trace) = (scenario.world(), "trace");
    let command = scenario.command(&format!("{}/undisturbed", server.url()));
    env.program("strace")
        .args(["-f", "-o", trace])
        .args(command)
        .run()
        .assert_code(0);
    let trace = std::fs::read_to_string(env.work_dir().join(trace)).expect("a trace");
    points(&trace, "journal.db")
}

/// Sends first and records later, like curl with a list of sent requests.
const SENDS_FIRST: &str = r#"curl -sf -H "webhook-id: $ID" --data-binary @event.xml "$URL" && "$HOOKFIRE" failed import list.xml"#;

#[test]
fn audit_detects_a_sender_that_records_after_sending() {
    if !can_inject() || !needs("curl", &["--version"]) {
        return;
    }
    let server = Server::script(vec![forever(200)]).lenient();
    let (whole, calls) = {
        let (env, script) = sender_that_sends_first(&server, "/whole");
        let trace = env
            .program("strace")
            .args(["-f", "-o", "trace", "sh", "-c", &script])
            .run()
            .assert_code(0);
        let facts = JournalState::gather(&env, trace.command().to_owned(), "/whole".to_owned());
        (
            facts,
            points(
                &std::fs::read_to_string(env.work_dir().join("trace")).expect("a trace"),
                "connect(",
            ),
        )
    };
    assert_eq!(
        whole.statuses().count(),
        1,
        "left alone, it does write it down"
    );
    let calls: Vec<Point> = calls.into_iter().step_by(5).take(60).collect();
    let deaths = in_lanes(&calls, |index, point| {
        let path = format!("/{index}");
        let (env, script) = sender_that_sends_first(&server, &path);
        env.program("strace")
            .args(point.options("signal=KILL"))
            .args(["sh", "-c", &script])
            .run();
        JournalState::gather(&env, format!("killed at {}", point.shown), path)
    });
    let requests = server.requests();
    let unknown = |facts: &&JournalState| {
        facts
            .violations(&requests)
            .iter()
            .any(|words| words.ends_with("does not know it"))
    };
    let lost = deaths.iter().filter(unknown).count();
    assert!(
        lost > 0,
        "of {} deaths the judge found none in which anything was lost",
        deaths.len()
    );
    assert!(
        !unknown(&&whole),
        "and it is not that it finds fault with everything"
    );
}

/// An environment with an event and a list that contains it, and a command that sends the one and imports the other.
fn sender_that_sends_first(server: &Server, path: &str) -> (TestEnv, String) {
    const ID: &str = "3d0f2e8a-6c1b-4b5e-9d7a-0123456789ab";
    let (mut env, event) = (
        TestEnv::new(),
        "<event><type>t</type><action>a</action><object><t/></object></event>",
    );
    let url = format!("{}{path}", server.url());
    env.write_file("event.xml", event);
    env.write_file(
        "list.xml",
        format!(
            "<webhooks-failures><webhooks-failure><id>{ID}</id><time>2026-11-20 10:00:00 UTC</time><error>unknown</error>\
             <url>{url}</url>{event}</webhooks-failure></webhooks-failures>"
        ),
    );
    env.set("ID", ID);
    env.set("URL", url);
    env.set("HOOKFIRE", env!("CARGO_BIN_EXE_hookfire"));
    (env, SENDS_FIRST.to_owned())
}
