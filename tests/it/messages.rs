//! Messages: suggestions for mistyped command lines, and reports when several things go wrong in one run. A request that was
//! sent but not recorded is always reported.

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
    watcher.wait_for_stderr("token`: it is empty");
    env.write_file("token", "open-sesame");
    watcher.wait_for_stdout_line("#1 delivered, 3 attempts");
    watcher.terminate();
    let ended = watcher.wait().assert_code(0);
    assert_eq!(
        ended
            .stderr()
            .matches("1 delivery to http://127.0.0.1:")
            .count(),
        2,
        "{ended}"
    );
}

/// Command lines of new users.
const MISTYPED: &[&str] = &[
    "send",
    "serve 8080",
    "logs",
    "show 1",
    "list",
    "delete 1",
    "resend 1",
    "bins",
    "diff 1 2",
    "init",
    "account.created",
    "created account",
    "failde",
    "http://127.0.0.1:1/",
    "failed lsit",
    "failed ls",
    "failed retry 1",
    "captured rm 1",
    "journal delete",
    "config edit",
    "generat",
    "failed list --json",
    "--json failed list",
    "listen --json",
    "fire account created --data x",
    "fire account created -d x",
    "retry --all --no-retry",
    "retry 1 --to http://127.0.0.1:1/",
    "captured replay 1 --url http://127.0.0.1:1/",
    "failed list --from 2h",
    "failed delete --all --force",
    "expect --timeout 3s",
    "expect hookfire fire account created",
    "captured replay 1 --from http://127.0.0.1:1/",
    "fire --endpiont x account created",
    "--endpoint staging fire account created",
    "ping http://127.0.0.1:1/",
    "ping staging",
    "fire account created http://127.0.0.1:1/",
    "fire http://127.0.0.1:1/",
    "fire created account",
    "fire account",
    "fire plan_changed",
    "fire order",
    "fire",
    "failed list -o jsno",
];

#[test]
fn mistyped_commands_get_a_suggestion() {
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_URL", "http://127.0.0.1:1/");
    let mut shown = String::new();
    for line in MISTYPED {
        let outcome = env.hookfire(line.split(' ')).run().assert_code(2);
        let hints = outcome
            .stderr()
            .lines()
            .filter(|line| line.starts_with("hint: "));
        let hints: Vec<&str> = hints.collect();
        shown.push_str(&format!("$ hookfire {line}\n{}\n", hints.join("\n")));
    }
    insta::assert_snapshot!(shown, @"
    $ hookfire send
    hint: `hookfire fire TYPE ACTION` sends an event
    $ hookfire serve 8080
    hint: `hookfire listen` captures requests and shows them in a web UI
    $ hookfire logs
    hint: `hookfire journal list` lists deliveries, `hookfire captured list` captured requests
    $ hookfire show 1
    hint: `hookfire captured show ID` shows a captured request, `hookfire journal show ID` a delivery
    $ hookfire list
    hint: `hookfire journal list` lists deliveries, `hookfire failed list` failed ones, `hookfire captured list` captured requests
    $ hookfire delete 1
    hint: `hookfire failed delete` deletes failed deliveries, `hookfire captured delete` captured requests, `hookfire journal prune` old deliveries
    $ hookfire resend 1
    hint: `hookfire retry ID` sends a failed delivery again, `hookfire captured replay ID` a captured request
    $ hookfire bins
    hint: did you mean `hookfire captured bins`?
    $ hookfire diff 1 2
    hint: did you mean `hookfire captured diff`?
    $ hookfire init
    hint: did you mean `hookfire config init`?
    $ hookfire account.created
    hint: `hookfire fire TYPE ACTION` sends an event
    $ hookfire created account
    hint: `hookfire fire TYPE ACTION` sends an event
    $ hookfire failde
    hint: did you mean `hookfire failed`?
    $ hookfire http://127.0.0.1:1/
    hint: `hookfire fire account created --url URL` sends an event to a URL
    $ hookfire failed lsit
    hint: did you mean `hookfire failed list`?
    $ hookfire failed ls
    hint: did you mean `hookfire failed list`?
    $ hookfire failed retry 1
    hint: `hookfire retry ID` sends a failed delivery again
    $ hookfire captured rm 1
    hint: did you mean `hookfire captured delete`?
    $ hookfire journal delete
    hint: `hookfire journal prune --older-than 30d` deletes old deliveries
    $ hookfire config edit
    hint: edit the file that `hookfire config path` prints
    $ hookfire generat

    $ hookfire failed list --json
    hint: write `-o json`
    $ hookfire --json failed list
    hint: write `-o json` after the command
    $ hookfire listen --json
    hint: write `-o ndjson`
    $ hookfire fire account created --data x
    hint: `--body FILE` sends any file, `--object FILE` an event with this object, `--batch FILE` many events
    $ hookfire fire account created -d x
    hint: `--body FILE` sends any file, `--object FILE` an event with this object, `--batch FILE` many events
    $ hookfire retry --all --no-retry
    hint: `retry` makes one attempt per delivery, unless `--retries` is given
    $ hookfire retry 1 --to http://127.0.0.1:1/
    hint: `--url URL` says where to send it
    $ hookfire captured replay 1 --url http://127.0.0.1:1/
    hint: `--to URL` says where to send it
    $ hookfire failed list --from 2h
    hint: `--since TIME` filters by time
    $ hookfire failed delete --all --force
    hint: `--yes` skips the confirmation
    $ hookfire expect --timeout 3s
    hint: `--within 30s` says how long to wait
    $ hookfire expect hookfire fire account created
    hint: put `--` before the command: `hookfire expect -- COMMAND`
    $ hookfire captured replay 1 --from http://127.0.0.1:1/
    hint: only `captured list`, `captured show`, `captured bins`, `captured diff`, `captured follow` and `expect` read another machine
    $ hookfire fire --endpiont x account created
    hint: did you mean `--endpoint`?
    $ hookfire --endpoint staging fire account created
    hint: write options of a command after the command
    $ hookfire ping http://127.0.0.1:1/
    hint: give the URL with `--url URL`
    $ hookfire ping staging
    hint: name an endpoint with `--endpoint NAME`
    $ hookfire fire account created http://127.0.0.1:1/
    hint: give the URL with `--url URL`
    $ hookfire fire http://127.0.0.1:1/
    hint: give the URL with `--url`: `hookfire fire account created --url URL`
    $ hookfire fire created account
    hint: did you mean `account created`?
    hint: pass an object for any other type and action: `--object FILE`, or any payload with `--body FILE`
    $ hookfire fire account
    hint: actions of `account` are `created`, `updated`, `plan_changed` and `deleted`
    $ hookfire fire plan_changed
    hint: events with this action are `account plan_changed` and `application plan_changed`
    $ hookfire fire order
    hint: write TYPE and ACTION; `hookfire events list` lists the events with samples
    $ hookfire fire
    hint: `hookfire fire account created` sends a sample; `hookfire events list` lists the events
    hint: `--body FILE` sends any file, `--event FILE` an event document, `--batch FILE` many events
    $ hookfire failed list -o jsno
    hint: did you mean `json`?
    ");
}

#[test]
fn usage_lines_omit_options_that_variables_set() {
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_URL", "http://127.0.0.1:1/?token=open-sesame");
    env.set("HOOKFIRE_JOBS", "4");
    let outcome = env.hookfire(["fire", "account", "created", "--zzz"]).run();
    insta::assert_snapshot!(outcome, @"
    ------- stderr -------
    error: unexpected argument '--zzz' found

    Usage: hookfire fire [OPTIONS] [TYPE] [ACTION]

    For more information, try '--help'.
    [exit code: 2]
    ");
}
