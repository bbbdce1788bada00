//! All faults at once in one `retry --due`: each has the same outcome as alone, is scheduled again or fails, and does
//! not delay the others.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::*;
use crate::support::{Receiver, Reply, repeat};

/// Deliveries for an endpoint without faults, due last.
const OTHERS: usize = 5;
/// Memory for threads, stacks, and a client per connection setup.
const CEILING_KIB: u32 = MEMORY_KIB + 120 * 1024;
const ONE_HOUR: &str = "3600s";

struct Faulty {
    name: String,
    what: &'static str,
    endpoint: Endpoint,
    end: End,
}

#[test]
fn due_isolates_faulty_endpoints() {
    let named = |(index, (what, endpoint, end)): (usize, Row)| Faulty {
        name: format!("row{index}"),
        what,
        endpoint: endpoint(),
        end,
    };
    let rows: Vec<Faulty> = rows().into_iter().enumerate().map(named).collect();
    let env = world();
    let good = Receiver::start(|_, times| Reply::Status(if times == 1 { 503 } else { 200 }));
    let fire = schedule(&env, &rows, &good);
    let due = ["retry", "--due", "-j", "16", "-vv", "-o", "ndjson"];
    let first = run(&env, CEILING_KIB, &due);
    // Make the attempts due, with one attempt left.
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    let sql = "UPDATE deliveries SET next_attempt_at = 1, retries = attempt_count WHERE next_attempt_at IS NOT NULL";
    let again = journal.execute(sql, []).unwrap();
    let last = run(&env, CEILING_KIB, &due);

    let mut wrongs = Vec::new();
    let [after_first, after_last] = [&first, &last].map(by_endpoint);
    let unsure = rows
        .iter()
        .filter(|row| matches!(row.end, RefusedOrReset(_)))
        .count();
    let failing = rows
        .iter()
        .filter(|row| !matches!(row.end, Delivered))
        .count();
    assert!(
        again + unsure >= failing && again <= failing,
        "{again} scheduled again of {failing}:\n{first}"
    );
    for row in &rows {
        for (reported, attempt, status) in
            [(&after_first, 1, "pending"), (&after_last, 2, "failed")]
        {
            let Some(delivery) = reported.get(&row.name) else {
                if attempt == 1 || !matches!(row.end, Delivered) {
                    wrongs.push(format!(
                        "{}: not reported after attempt {attempt}",
                        row.what
                    ));
                }
                continue;
            };
            let status = if matches!(row.end, Delivered) {
                "delivered"
            } else {
                status
            };
            let scheduled = delivery["next_attempt_at"].is_string();
            if delivery["status"] != status || scheduled != (status == "pending") {
                wrongs.push(format!("{}: not {status}: {delivery}", row.what));
            }
            let misses = row.end.misses_of(delivery, attempt, row.endpoint.longest());
            wrongs.extend(
                misses
                    .into_iter()
                    .map(|what| format!("{}: {what}: {delivery}", row.what)),
            );
        }
        if row
            .endpoint
            .bystander
            .as_ref()
            .is_some_and(|bystander| bystander.connections() > 0)
        {
            wrongs.push(format!("{}: it went where it was redirected to", row.what));
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n\n"));
    assert_eq!(
        (first.code, last.code),
        (Some(0), Some(4)),
        "scheduled again is no failure, and the worst code counts"
    );
    let failed = env.hookfire(["failed", "list", "-o", "json"]).run().json();
    assert_eq!(
        failed.as_array().unwrap().len(),
        again,
        "what failed for good is in the failed list"
    );
    let received = good.times();
    assert_eq!(received.len(), OTHERS);
    assert!(
        received.values().all(|times| times.len() == 2),
        "{received:?}"
    );
    env.assert_nowhere(CANARY, &[&fire, &first, &last]);
}

/// The output for each delivery, by endpoint name; deliveries of the endpoint without faults are identical.
fn by_endpoint(outcome: &Outcome) -> HashMap<String, Value> {
    let name = |delivery: &Value| delivery["endpoint"].as_str().expect("a name").to_owned();
    outcome
        .ndjson()
        .into_iter()
        .map(|delivery| (name(&delivery), delivery))
        .collect()
}

/// Schedules a delivery for each endpoint; it was refused before the endpoint had its fault.
fn schedule(env: &TestEnv, rows: &[Faulty], good: &Receiver) -> Outcome {
    let before = Server::script(vec![repeat(503, rows.len())]);
    env.write_file("large.xml", large_object());
    let mut batch = String::new();
    for row in rows {
        let large = row
            .endpoint
            .options
            .iter()
            .any(|option| option == "--event");
        let object = if large {
            r#""object_file":"large.xml""#
        } else {
            r#""object":"<t/>""#
        };
        writeln!(
            batch,
            "{{\"type\":\"t\",\"action\":\"a\",\"endpoint\":\"{}\",{object}}}",
            row.name
        )
        .unwrap();
    }
    for _ in 0..OTHERS {
        writeln!(
            batch,
            "{{\"type\":\"user\",\"action\":\"created\",\"endpoint\":\"good\"}}"
        )
        .unwrap();
    }
    configure(env, rows, good, |_| before.url());
    let fire = [
        "fire",
        "--batch",
        "-",
        "--background",
        "-o",
        "ndjson",
        "--retry-interval",
        ONE_HOUR,
    ];
    let fire = env
        .hookfire(fire)
        .args(["-H", "Authorization: @env:TOKEN"])
        .stdin(batch)
        .run()
        .assert_code(0);
    configure(env, rows, good, |row| row.endpoint.url.clone());
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    for row in rows {
        let url = format!("{}/hook", row.endpoint.url);
        let sql = "UPDATE deliveries SET url = ?1, next_attempt_at = 1 WHERE endpoint = ?2";
        assert_eq!(
            journal.execute(sql, [&url, &row.name]).unwrap(),
            1,
            "{fire}"
        );
    }
    journal
        .execute(
            "UPDATE deliveries SET next_attempt_at = 2 WHERE endpoint = 'good'",
            [],
        )
        .unwrap();
    fire
}

/// Configures an endpoint for each row, with its limits, at the address from `url`.
fn configure(env: &TestEnv, rows: &[Faulty], good: &Receiver, url: impl Fn(&Faulty) -> String) {
    let mut config = format!(
        "[endpoints.good]\nurl = '{}'\ntimeout = '60s'\n",
        good.url()
    );
    for row in rows {
        let [timeout, connect] =
            [row.endpoint.timeout, row.endpoint.connect_timeout].map(|time| time.as_millis());
        writeln!(
            config,
            "[endpoints.{}]\nurl = '{}/hook'",
            row.name,
            url(row)
        )
        .unwrap();
        writeln!(
            config,
            "timeout = '{timeout}ms'\nconnect_timeout = '{connect}ms'"
        )
        .unwrap();
        writeln!(config, "secrets = {{ token = {{ env = 'TOKEN' }} }}").unwrap();
        for pair in row
            .endpoint
            .options
            .windows(2)
            .filter(|pair| pair[0] == "--cacert")
        {
            writeln!(config, "cacert = '{}'", pair[1]).unwrap();
        }
    }
    env.write_config(&config);
}
