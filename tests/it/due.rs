//! Many due deliveries: sent once each, over several connections and by several processes, without delays by an
//! endpoint that does not respond.

use std::collections::HashMap;
use std::time::Duration;

use crate::filesystem::own_mounts;
use crate::support::{Outcome, Receiver, Reply, Running, Server, TestEnv, hang, repeat, respond};

/// Sufficient for hundreds of requests on a machine that is busy with other tests.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Responds to the first request of each delivery with an error.
fn refusing_once() -> Receiver {
    Receiver::start(|_, times| Reply::Status(if times == 1 { 503 } else { 200 }))
}

/// Schedules `count` deliveries for this URL, which refuses them; the next attempts are due `due` ms after 1970.
fn schedule(env: &TestEnv, url: &str, count: usize, due: i64) {
    let lines = "{\"type\":\"account\",\"action\":\"created\"}\n".repeat(count);
    let fire = [
        "fire",
        "--batch",
        "-",
        "--background",
        "-j",
        "4",
        "--url",
        url,
    ];
    let fired = env
        .hookfire(fire)
        .stdin(lines)
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    assert_eq!(
        fired.stdout().matches("scheduled").count(),
        count,
        "{fired}"
    );
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute(
            "UPDATE deliveries SET next_attempt_at = ?1 WHERE next_attempt_at > 1e12",
            [due],
        )
        .unwrap();
}

fn counts(env: &TestEnv) -> HashMap<String, i64> {
    let check = env
        .hookfire(["journal", "check", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    let counts = check["deliveries"].as_object().unwrap().iter();
    counts
        .map(|(status, count)| (status.clone(), count.as_i64().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn all_delivered(count: i64) -> HashMap<String, i64> {
    HashMap::from([("delivered".to_owned(), count)])
}

fn reported(outcome: &Outcome) -> usize {
    outcome
        .stdout()
        .lines()
        .filter(|line| line.ends_with("delivered, 2 attempts"))
        .count()
}

#[test]
fn due_sends_hundreds_once_over_one_connection_per_worker() {
    const DUE: usize = 600;
    let (env, receiver) = (TestEnv::new(), refusing_once());
    schedule(&env, &receiver.url(), DUE, 1);
    let before = receiver.connections();
    let sent = env
        .hookfire(["retry", "--due", "-j", "6"])
        .deadline(TEST_TIMEOUT)
        .run()
        .assert_code(0);
    assert_eq!(
        (reported(&sent), sent.stderr()),
        (DUE, format!("{DUE} delivered\n").as_str())
    );
    assert!(receiver.times().values().all(|times| times.len() == 2));
    // The client may open a new connection although an idle one exists.
    let connections = receiver.connections() - before;
    assert!((2..=9).contains(&connections), "{connections}");
    assert!(
        (2..=6).contains(&receiver.most_at_once()),
        "{}",
        receiver.most_at_once()
    );
    assert_eq!(counts(&env), all_delivered(600));
}

#[test]
fn eight_due_processes_send_each_delivery_once() {
    const DUE: usize = 200;
    let (env, receiver) = (TestEnv::new(), refusing_once());
    schedule(&env, &receiver.url(), DUE, 1);
    let retry = || {
        env.hookfire(["retry", "--due", "-j", "4"])
            .deadline(TEST_TIMEOUT)
            .spawn()
    };
    let running: Vec<Running> = (0..8).map(|_| retry()).collect();
    let reported: usize = running
        .into_iter()
        .map(|process| reported(&process.wait().assert_code(0)))
        .sum();
    assert_eq!(reported, DUE, "each was one process's");
    let times = receiver.times();
    assert_eq!(times.len(), DUE);
    assert!(times.values().all(|times| times.len() == 2), "{times:?}");
    assert_eq!(counts(&env), all_delivered(200));
}

#[test]
fn stalled_endpoint_does_not_delay_other_endpoints() {
    const STALLED: usize = 12;
    const OTHERS: usize = 30;
    for watch in [&[][..], &["--watch"]] {
        let (env, good) = (TestEnv::new(), refusing_once());
        let stalled = Server::script(vec![repeat(503, STALLED), hang().endlessly()]);
        schedule(&env, &stalled.url(), STALLED, 1);
        schedule(&env, &good.url(), OTHERS, 2);
        // The timeout is longer than the test's limit: no attempt may wait for the stalled endpoint.
        let retry = env
            .hookfire(["retry", "--due", "--jobs", "4", "--timeout", "600s"])
            .args(watch);
        let mut running = retry.deadline(TEST_TIMEOUT).spawn();
        for id in STALLED + 1..=STALLED + OTHERS {
            running.wait_for_stdout_line(&format!("#{id} delivered, 2 attempts"));
        }
        assert_eq!(
            stalled.requests().len(),
            STALLED + 2,
            "it has half of the senders, and no more"
        );
        if !watch.is_empty() {
            // A delivery that is due later finds a worker too.
            schedule(&env, &good.url(), 1, 3);
            running.wait_for_stdout_line("delivered, 2 attempts");
            let id = STALLED + OTHERS + 1;
            running.wait_for_stdout_line(&format!("#{id} delivered, 2 attempts"));
        }
        running.kill9();
        drop(running);
        // Running attempts may have arrived; the others are unchanged.
        let journal = env
            .hookfire(["journal", "list", "-o", "json"])
            .run()
            .assert_code(0)
            .json();
        let attempts = |count: i64| {
            journal
                .as_array()
                .unwrap()
                .iter()
                .filter(|d| d["attempt_count"] == count)
                .count()
        };
        let begun = attempts(2) - OTHERS - watch.len();
        assert!((2..=4).contains(&begun), "{begun}");
    }
}

#[test]
fn due_with_one_job_sends_in_order() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 3), respond(200).held(), repeat(200, 2)]);
    schedule(&env, &server.url(), 3, 1);
    let running = env.hookfire(["retry", "--due", "--jobs", "1"]).spawn();
    server.wait_for_requests(4);
    server.release();
    let ended = running.wait().assert_code(0);
    assert_eq!(
        ended.stdout(),
        "#1 delivered, 2 attempts\n#2 delivered, 2 attempts\n#3 delivered, 2 attempts\n"
    );
}

#[test]
fn due_respects_max_and_stop_after() {
    let (env, receiver) = (TestEnv::new(), Receiver::start(|_, _| Reply::Status(503)));
    schedule(&env, &receiver.url(), 40, 1);
    let some = env
        .hookfire(["retry", "--due", "--max", "7"])
        .run()
        .assert_code(0);
    assert_eq!(
        (some.stdout().lines().count(), receiver.requests()),
        (7, 47),
        "{some}"
    );
    let until = env
        .hookfire(["retry", "--due", "--stop-after", "5", "-j", "1"])
        .run()
        .assert_code(0);
    assert_eq!(
        (until.stdout().lines().count(), receiver.requests()),
        (5, 52),
        "{until}"
    );
    let paced = env
        .hookfire(["retry", "--due", "--rate", "50/s", "--stop-after", "3"])
        .run()
        .assert_code(0);
    assert!(
        (3..=3 + 16).contains(&paced.stdout().lines().count()),
        "those at hand are sent as well: {paced}"
    );
}

/// Expires all leases.
fn end_leases(env: &TestEnv) {
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute(
            "UPDATE deliveries SET lease_until = 1 WHERE lease_until IS NOT NULL",
            [],
        )
        .unwrap();
}

#[test]
fn watcher_suspended_beyond_its_leases_sends_nothing_twice() {
    const LATER: usize = 5;
    let env = TestEnv::new();
    let held = Server::script(vec![
        repeat(503, 2),
        respond(200).held().times(2),
        repeat(200, 2),
    ]);
    let receiver = refusing_once();
    schedule(&env, &held.url(), 2, 1);
    let mut suspended = env
        .hookfire(["retry", "--due", "--watch", "-j", "4"])
        .spawn();
    held.wait_for_requests(4);
    suspended.suspend();
    schedule(&env, &receiver.url(), LATER, 1);
    end_leases(&env);
    env.hookfire(["failed", "list"]).run().assert_code(0);
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute(
            "UPDATE deliveries SET next_attempt_at = 1 WHERE next_attempt_at IS NOT NULL",
            [],
        )
        .unwrap();
    let taken = env.hookfire(["retry", "--due"]).run().assert_code(0);
    assert_eq!(
        taken
            .stdout()
            .lines()
            .filter(|line| line.contains(" delivered, "))
            .count(),
        2 + LATER,
        "{taken}"
    );
    // The responses to its earlier requests arrive late, and there is nothing left to send.
    (0..2).for_each(|_| held.release());
    suspended.resume();
    suspended.wait_for_stdout_line("#1 delivered");
    suspended.wait_for_stdout_line("#2 delivered");
    suspended.terminate();
    let ended = suspended.wait().assert_code(0);
    assert_eq!(ended.stdout().lines().count(), 2, "{ended}");
    assert_eq!((held.requests().len(), receiver.requests()), (6, 2 * LATER));
    assert_eq!(counts(&env), all_delivered(2 + 5));
}

/// Schedules deliveries on a disk without space for their attempts, and watches; space is freed on request. The copied
/// journal has no log whose space could be reused.
const ON_A_SMALL_DISK: &str = r#"
set -e
mount -t tmpfs -o size=32m none "$DISK"
export HOOKFIRE_JOURNAL="$DISK/first.db"
"$HOOKFIRE" fire --batch lines.ndjson --background --retry-interval 1ms --url "$URL" > /dev/null 2>&1
"$HOOKFIRE" journal export "$DISK/journal.db" > /dev/null 2>&1
rm "$DISK"/first.db*
export HOOKFIRE_JOURNAL="$DISK/journal.db"
dd if=/dev/zero of="$DISK/filler" bs=4k 2> /dev/null || true
truncate -s "-96k" "$DISK/filler"
(while [ ! -e go ]; do sleep 0.05; done; rm "$DISK/filler") &
exec "$HOOKFIRE" retry --due --watch
"#;

#[test]
fn watcher_survives_a_full_disk_and_sends_nothing_unrecorded() {
    const DUE: usize = 60;
    let Some(own_mounts) = own_mounts() else {
        return;
    };
    let (mut env, receiver) = (TestEnv::new(), refusing_once());
    let disk = env.root().join("disk");
    std::fs::create_dir(&disk).unwrap();
    env.set("DISK", &disk);
    env.set("URL", receiver.url());
    env.set("HOOKFIRE", env!("CARGO_BIN_EXE_hookfire"));
    env.write_file(
        "lines.ndjson",
        "{\"type\":\"account\",\"action\":\"created\"}\n".repeat(DUE),
    );
    let watcher = env
        .program("unshare")
        .args(own_mounts)
        .args(["sh", "-c", ON_A_SMALL_DISK]);
    let mut watcher = watcher.deadline(TEST_TIMEOUT).spawn();
    watcher.wait_for_stderr("cannot be written: the disk is full; waiting until it can be used");
    assert!(
        receiver.requests() < 2 * DUE,
        "it was full in the midst of them"
    );
    env.write_file("go", "");
    watcher.wait_for_stderr("the journal can be used again");
    receiver.wait_for(2 * DUE);
    for id in 1..=DUE {
        watcher.wait_for_stdout_line(&format!("#{id} delivered, 2 attempts"));
    }
    watcher.terminate();
    let ended = watcher.wait().assert_code(0);
    assert_eq!(
        ended.stderr().matches("waiting until").count(),
        1,
        "{ended}"
    );
    assert!(
        receiver.times().values().all(|times| times.len() == 2),
        "{ended}"
    );
}

#[test]
fn stopped_watcher_leaves_interrupted_deliveries_in_place() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(503, 3), respond(200).held()]);
    let fire = [
        "fire",
        "account",
        "created",
        "--retry-interval",
        "20s",
        "--url",
        &server.url(),
    ];
    for _ in 0..3 {
        let mut killed = env.hookfire(fire).spawn();
        killed.wait_for_stderr("next in 20s");
        killed.kill9();
    }
    let failed = || {
        env.hookfire(["failed", "list", "-o", "json"])
            .run()
            .assert_code(0)
            .json()
    };
    let left_behind = failed();
    assert_eq!(left_behind.as_array().unwrap().len(), 3);
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    journal
        .execute(
            "UPDATE deliveries SET next_attempt_at = 1 WHERE next_attempt_at IS NOT NULL",
            [],
        )
        .unwrap();
    // The first one uses the rate limit; the others have started and wait.
    let mut watcher = env
        .hookfire(["retry", "--due", "--watch", "--rate", "1/h"])
        .deadline(TEST_TIMEOUT)
        .spawn();
    server.wait_for_requests(4);
    let begun = || {
        journal
            .query_row("SELECT sum(attempt_count) FROM deliveries", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
    };
    let since = std::time::Instant::now();
    while begun() < 6 {
        assert!(since.elapsed() < TEST_TIMEOUT, "not all were begun");
        std::thread::sleep(Duration::from_millis(20));
    }
    watcher.terminate();
    server.release();
    let ended = watcher.wait().assert_code(0);
    assert_eq!(ended.stdout().lines().count(), 1, "{ended}");
    let (now, before) = (failed(), left_behind.as_array().unwrap());
    let still: Vec<_> = before
        .iter()
        .filter(|delivery| !ended.stdout().starts_with(&format!("#{} ", delivery["id"])))
        .collect();
    assert_eq!(now.as_array().unwrap().iter().collect::<Vec<_>>(), still);
    assert_eq!(
        env.hookfire(["journal", "check", "-o", "json"])
            .run()
            .json()["deliveries"]["pending"],
        0
    );
}
