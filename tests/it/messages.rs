//! Messages when several things go wrong in one run: a request that was sent but not recorded is always reported.

use std::time::{Duration, Instant};

use crate::support::{Receiver, Reply, Running, Server, TestEnv, repeat, respond};

/// Sufficient on a machine that is busy with other tests.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A batch of many lines with two jobs whose stdout is a full disk.
fn batch_without_room_for_its_results(env: &TestEnv, url: &str) -> Running {
    env.write_file(
        "batch.ndjson",
        "{\"type\":\"account\",\"action\":\"created\"}\n".repeat(300),
    );
    let fire = format!(
        "exec '{}' fire --batch batch.ndjson -j 2 --url {url} > /dev/full",
        env!("CARGO_BIN_EXE_hookfire")
    );
    env.shell(&fire).deadline(TEST_TIMEOUT).spawn()
}

/// Removes the journal while it is used.
fn remove_journal(env: &TestEnv) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = env.journal_path().into_os_string();
        path.push(suffix);
        std::fs::remove_file(path).unwrap();
    }
}

/// Fires an event that is refused, with or without a secret.
fn fire(env: &TestEnv, option: &str, url: &str, secret: Option<&str>) {
    let fire = env.hookfire([
        "fire",
        "account",
        "created",
        option,
        "--retry-interval",
        "1ms",
        "--url",
        url,
    ]);
    let secret = secret.map(|secret| ["--secret", secret]);
    let fired = fire
        .args(secret.into_iter().flatten())
        .env("HOOK_TOKEN", "x")
        .run();
    fired.assert_code(if option == "--background" { 0 } else { 3 });
}

/// Whether a delivery has finished.
fn has_delivered(env: &TestEnv) -> bool {
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .query_row(
            "SELECT count(*) > 0 FROM deliveries WHERE status = 'delivered'",
            [],
            |row| row.get(0),
        )
        .unwrap()
}

#[test]
fn batch_without_stdout_reports_unrecorded_deliveries() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|number, _| match number {
        1..=5 => Reply::Status(200),
        _ => Reply::After(Duration::from_secs(1), 200),
    });
    let running = batch_without_room_for_its_results(&env, &receiver.url());
    receiver.wait_for(7);
    let since = Instant::now();
    while !has_delivered(&env) {
        assert!(since.elapsed() < TEST_TIMEOUT, "nothing is delivered");
        std::thread::sleep(Duration::from_millis(20));
    }
    remove_journal(&env);
    let outcome = running.wait().assert_code(6);
    for words in [
        "could not write to stdout",
        "deliveries were sent, but the journal could not record",
        "`--skip ",
    ] {
        assert!(outcome.stderr().contains(words), "{words}: {outcome}");
    }
}

#[test]
fn interrupted_batch_without_stdout_says_how_to_continue() {
    let env = TestEnv::new();
    let receiver = Receiver::start(|number, _| match number {
        1..=5 => Reply::Status(200),
        _ => Reply::After(Duration::from_secs(60), 200),
    });
    let mut running = batch_without_room_for_its_results(&env, &receiver.url());
    receiver.wait_for(7);
    running.interrupt();
    let outcome = running.wait().assert_code(130);
    for words in ["could not write to stdout", "stopped after ", "`--skip "] {
        assert!(outcome.stderr().contains(words), "{words}: {outcome}");
    }
}

#[test]
fn json_error_is_the_unrecorded_delivery() {
    let retries = [("--background", "--due"), ("--no-retry", "--all")];
    for ((option, retry), asked_to_end) in retries
        .into_iter()
        .flat_map(|retry| [(retry, false), (retry, true)])
    {
        let env = TestEnv::new();
        let server = Server::script(vec![repeat(503, 2), respond(200).held()]);
        fire(&env, option, &server.url(), Some("token=@env:HOOK_TOKEN"));
        fire(&env, option, &server.url(), None);
        let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
        journal
            .execute(
                "UPDATE deliveries SET next_attempt_at = 1 WHERE next_attempt_at > 1",
                [],
            )
            .unwrap();
        let mut running = env
            .hookfire(["retry", retry, "-o", "json", "--jobs", "1"])
            .spawn();
        server.wait_for_requests(3);
        remove_journal(&env);
        if asked_to_end {
            running.interrupt();
        }
        server.release();
        let outcome = running.wait().assert_code(6);
        let error: serde_json::Value =
            serde_json::from_str(outcome.stderr().lines().last().unwrap()).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        let (sent, unrecorded) = ("#2 was sent (", "), but the journal could not record it");
        assert!(
            message.starts_with(sent) && message.contains(unrecorded),
            "{outcome}"
        );
    }
}

#[test]
fn json_watcher_reports_what_it_could_not_record() {
    let env = TestEnv::new();
    // Late, so that the watcher has noticed before.
    let receiver = Receiver::start(|number, _| match number {
        1 => Reply::Status(503),
        _ => Reply::After(Duration::from_secs(4), 200),
    });
    fire(&env, "--background", &receiver.url(), None);
    let watcher = env
        .hookfire(["retry", "--due", "--watch", "-o", "ndjson"])
        .spawn();
    receiver.wait_for(2);
    remove_journal(&env);
    let outcome = watcher.wait().assert_code(6);
    let last = outcome.stderr().lines().last().unwrap();
    assert!(
        last.contains("#1 was sent (delivered), but the journal could not record it"),
        "{outcome}"
    );
}

#[test]
fn watcher_reports_a_missing_secret_once_per_success() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(503), respond(503).held(), respond(200)]);
    let secret = env.write_file("token", "open-sesame");
    let reference = format!("token=@file:{}", secret.display());
    fire(&env, "--background", &server.url(), Some(&reference));
    std::fs::remove_file(&secret).unwrap();
    let mut watcher = env
        .hookfire(["retry", "--due", "--watch"])
        .deadline(TEST_TIMEOUT)
        .spawn();
    watcher.wait_for_stderr("cannot read the file");
    env.write_file("token", "open-sesame");
    server.wait_for_requests(2);
    env.write_file("token", "");
    server.release();
    watcher.wait_for_stderr("token` is empty");
    env.write_file("token", "open-sesame");
    watcher.wait_for_stdout_line("#1 delivered, 3 attempts");
    watcher.terminate();
    let ended = watcher.wait().assert_code(0);
    assert_eq!(
        ended
            .stderr()
            .matches("#1 could not be sent; it stays scheduled")
            .count(),
        2,
        "{ended}"
    );
}
