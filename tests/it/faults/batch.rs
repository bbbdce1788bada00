//! Each fault for an endpoint of some lines of a batch: it has the same outcome as alone, and the other lines are
//! unaffected. Also faults of persistent connections.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::{Receiver, Reply};

/// Lines for the faulty endpoint, from 0.
const FAULTY: [usize; 2] = [1, 4];
const LINES: usize = 9;
/// Enough for both faulty lines and as many others.
const JOBS: &str = "4";
/// Memory limit for all data, including the stacks of more threads.
const CEILING_KIB: u32 = MEMORY_KIB + 24 * 1024;

#[test]
fn batch_isolates_an_endpoint_with_some_faults() {
    isolates(SAMPLE);
}

#[test]
#[ignore = "long: runs in CI"]
fn batch_isolates_a_faulty_endpoint() {
    isolates(1);
}

/// Tests every so many of the faults.
fn isolates(every: usize) {
    let rows: Vec<Row> = rows().into_iter().step_by(every).collect();
    let wrong: Vec<String> = in_lanes(&rows, |_, row| wrongs(row))
        .into_iter()
        .flatten()
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Describes deviations in one row.
fn wrongs((name, endpoint, end): &Row) -> Vec<String> {
    let (env, endpoint) = (world(), endpoint());
    let good = Receiver::start(|_, _| Reply::Status(200));
    configure(&env, &endpoint, &good);
    write_batch(
        &env,
        endpoint.options.iter().any(|option| option == "--event"),
    );
    let header = ["-H", "Authorization: @env:TOKEN"];
    let fire = [
        "fire",
        "--batch",
        "batch.ndjson",
        "--no-retry",
        "-vv",
        "-j",
        JOBS,
        "-o",
        "ndjson",
    ];
    let fire = run(&env, CEILING_KIB, &[&fire[..], &header].concat());
    let retry = run(
        &env,
        CEILING_KIB,
        &["retry", "--all", "-j", JOBS, "-vv", "-o", "ndjson"],
    );
    let list = run(&env, MEMORY_KIB, &["journal", "list", "-o", "csv"]);

    let mut wrongs = Vec::new();
    let mut wrong =
        |what: &str, of: &Outcome| wrongs.push(format!("{name}: {what}: {}\n{of}", of.command()));
    let (faulty, others): (Vec<Value>, Vec<Value>) = fire
        .ndjson()
        .into_iter()
        .partition(|delivery| delivery["endpoint"] == "faulty");
    if (faulty.len(), others.len()) != (FAULTY.len(), LINES - FAULTY.len()) {
        wrong("a line is missing", &fire);
    }
    if others
        .iter()
        .any(|delivery| delivery["status"] != "delivered" || delivery["attempt_count"] != 1)
    {
        wrong("one of the others is not delivered", &fire);
    }
    let times = good.times();
    if times.len() != others.len() || times.values().any(|times| times.len() != 1) {
        wrong("the others were not received once each", &fire);
    }
    let again = retry.ndjson();
    let delivered =
        matches!(end, Delivered) || matches!(end, RefusedOrReset(_)) && again.is_empty();
    if again.len() != if delivered { 0 } else { FAULTY.len() } {
        wrong("the failed list was not what failed", &retry);
    }
    for (outcome, deliveries, attempt) in [(&fire, &faulty, 0), (&retry, &again, 1)] {
        if !outcome
            .code
            .is_some_and(|code| end.codes().contains(&code) || deliveries.is_empty() && code == 0)
        {
            wrong("another code", outcome);
        }
        for delivery in deliveries {
            end.misses_of(delivery, attempt, endpoint.longest())
                .iter()
                .for_each(|what| wrong(what, outcome));
        }
    }
    if endpoint
        .bystander
        .as_ref()
        .is_some_and(|bystander| bystander.connections() > 0)
    {
        wrong("it went where it was redirected to", &fire);
    }
    env.assert_nowhere(CANARY, &[&fire, &retry, &list]);
    wrongs
}

/// Configures the faulty endpoint with its limits, and one without faults or limits.
fn configure(env: &TestEnv, endpoint: &Endpoint, good: &Receiver) {
    let mut config = format!(
        "[endpoints.good]\nurl = '{}'\ntimeout = '60s'\n[endpoints.faulty]\nurl = '{}/hook'\ntimeout = '{}ms'\n\
         connect_timeout = '{}ms'\nsecrets = {{ token = {{ env = 'TOKEN' }} }}\n",
        good.url(),
        endpoint.url,
        endpoint.timeout.as_millis(),
        endpoint.connect_timeout.as_millis()
    );
    for pair in endpoint
        .options
        .windows(2)
        .filter(|pair| pair[0] == "--cacert")
    {
        writeln!(config, "cacert = '{}'", pair[1]).expect("a string");
    }
    env.write_config(&config);
}

fn write_batch(env: &TestEnv, large: bool) {
    env.write_file(
        "object.xml",
        if large {
            large_object()
        } else {
            "<t/>".to_owned()
        },
    );
    let line = |index: usize| {
        let (endpoint, object) = if FAULTY.contains(&index) {
            ("faulty", r#""object_file":"object.xml""#)
        } else {
            ("good", r#""object":"<t/>""#)
        };
        format!("{{\"type\":\"t\",\"action\":\"a\",\"endpoint\":\"{endpoint}\",{object}}}\n")
    };
    env.write_file("batch.ndjson", (0..LINES).map(line).collect::<String>());
}

/// `count` lines for the endpoint of the command.
fn lines(count: usize) -> String {
    "{\"type\":\"user\",\"action\":\"created\"}\n".repeat(count)
}

#[test]
fn slow_endpoint_does_not_delay_the_batch() {
    let env = world();
    let faulty = does(hang()).within(Duration::from_secs(600));
    let good = Receiver::start(|_, _| Reply::Status(200));
    configure(&env, &faulty, &good);
    write_batch(&env, false);
    let mut running = env
        .hookfire(["fire", "--batch", "batch.ndjson", "-j", JOBS])
        .spawn();
    // Lines before and after the faulty ones.
    for id in (1..=LINES).filter(|id| !FAULTY.contains(&(id - 1))) {
        running.wait_for_stdout_line(&format!("#{id} delivered"));
    }
    running.interrupt();
    let outcome = running.wait().assert_code(130);
    assert_eq!(
        outcome.stdout().matches("interrupted").count(),
        FAULTY.len(),
        "{outcome}"
    );
}

#[test]
fn batch_survives_a_connection_closed_between_requests() {
    const LINES: usize = 20;
    let env = TestEnv::new();
    let receiver = Receiver::start(|_, _| Reply::WithItsEnd(200));
    let args = [
        "fire",
        "--batch",
        "-",
        "-j",
        "1",
        "--rate",
        "20/s",
        "-o",
        "ndjson",
        "--url",
        &receiver.url(),
    ];
    let outcome = env.hookfire(args).stdin(lines(LINES)).run().assert_code(0);
    let attempts: Vec<Value> = outcome
        .ndjson()
        .iter()
        .map(|delivery| delivery["attempt_count"].clone())
        .collect();
    assert_eq!(attempts, [1; LINES], "{outcome}");
    assert_eq!(
        (
            receiver.requests(),
            receiver.times().len(),
            receiver.connections()
        ),
        (LINES, LINES, LINES)
    );
}

#[test]
fn batch_repeats_only_the_request_of_a_broken_connection() {
    const LINES: usize = 60;
    for broken in [Reply::Hangup, Reply::Reset] {
        let env = TestEnv::new();
        // The connection has been used for some requests when it breaks. Only first attempts count, because the order
        // of the others is not defined.
        let firsts = AtomicUsize::new(0);
        let receiver = Receiver::start(move |_, times| {
            let breaks = times == 1 && firsts.fetch_add(1, Ordering::Relaxed) % 7 == 6;
            if breaks { broken } else { Reply::Status(200) }
        });
        let args = [
            "fire",
            "--batch",
            "-",
            "-j",
            "2",
            "--retry-interval",
            "1ms",
            "-o",
            "ndjson",
            "--url",
            &receiver.url(),
        ];
        let outcome = env.hookfire(args).stdin(lines(LINES)).run().assert_code(0);
        let times = receiver.times();
        let mut again = 0;
        for delivery in outcome.ndjson() {
            let attempts = delivery["attempts"].as_array().expect("attempts");
            let ends: Vec<(Option<&str>, bool)> = attempts
                .iter()
                .map(|attempt| {
                    (
                        attempt["error"]["kind"].as_str(),
                        attempt["maybe_received"] == true,
                    )
                })
                .collect();
            again += ends.len() - 1;
            assert_eq!(ends.last(), Some(&(None, false)), "{delivery}");
            assert!(
                ends[..ends.len() - 1]
                    .iter()
                    .all(|end| *end == (Some("reset"), true)),
                "{delivery}"
            );
            assert_eq!(
                times[delivery["uuid"].as_str().expect("an id")].len(),
                attempts.len(),
                "{delivery}"
            );
        }
        assert_eq!(
            (times.len(), receiver.requests()),
            (LINES, LINES + again),
            "{broken:?}"
        );
        assert_eq!(again, LINES / 7, "{broken:?}");
    }
}

#[test]
fn unrequested_responses_are_ignored() {
    const LINES: usize = 60;
    let env = TestEnv::new();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let receiver = Receiver::start(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Reply::Twice(503)
    });
    let args = [
        "fire",
        "--batch",
        "-",
        "-j",
        "2",
        "--no-retry",
        "-o",
        "ndjson",
        "--url",
        &receiver.url(),
    ];
    let outcome = env.hookfire(args).stdin(lines(LINES)).run();
    let mut ends = HashMap::<String, usize>::new();
    for delivery in outcome.ndjson() {
        *ends
            .entry(delivery["attempts"][0]["http_status"].to_string())
            .or_default() += 1;
    }
    assert_eq!(
        ends,
        HashMap::from([("503".to_owned(), LINES)]),
        "{outcome}"
    );
    assert_eq!(refused.load(Ordering::Relaxed), LINES);
}

/// A failing wait system call makes the client's runtime panic.
#[test]
fn panic_during_a_batch_leaks_and_loses_nothing() {
    if !can_inject() {
        return;
    }
    let (env, server) = (world(), Server::script(vec![]).lenient());
    env.write_file("batch.ndjson", lines(4));
    let url = format!("{}/hook?token={}", server.url(), form_encoded());
    let inject = [
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "inject=?epoll_wait,?epoll_pwait:error=EINVAL:when=1",
    ];
    let fire = [
        env!("CARGO_BIN_EXE_hookfire"),
        "fire",
        "--batch",
        "batch.ndjson",
        "--no-retry",
        "-j",
        "2",
        "-vv",
    ];
    let target = ["-H", "Authorization: @env:TOKEN", "--url", &url];
    let outcome = env
        .program("strace")
        .args(inject)
        .args(fire)
        .args(target)
        .run()
        .assert_code(4);
    assert!(
        outcome
            .stderr()
            .contains("hookfire has a bug: it panicked at "),
        "{outcome}"
    );
    env.assert_nowhere(CANARY, &[&outcome]);
    for id in ["1", "2", "3", "4"] {
        let failed = env
            .hookfire(["failed", "show", id, "-o", "json"])
            .run()
            .assert_code(0)
            .json();
        let attempt = &failed["attempts"][0];
        let said = (&attempt["error"]["kind"], &attempt["maybe_received"]);
        assert_eq!(said, (&"protocol".into(), &true.into()), "{failed:#}");
    }
}
