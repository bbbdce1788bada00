//! The targets of `listen --forward-later` and `captured follow`: whose secrets and connection options a delivery is sent with,
//! and what a process does with deliveries that it cannot send.

use rusqlite::Connection;

use crate::forward_later::{closed_port, json, later, wait_for_statuses, wait_until};
use crate::support::{Listener, Server, TestEnv, respond};

const SECRET: &str = "canary-of-the-target";

/// Adds deliveries whose URL has a secret, by a listener that has stopped; nothing responds at the port.
fn add_with_secret(env: &TestEnv, port: u16, number: usize, options: &[&str]) {
    let to = format!("http://127.0.0.1:{port}/?token={SECRET}");
    let args = ["--forward-to", &to, "--retry-interval", "1h"];
    let listener = later(env, &[&args, options].concat());
    for _ in 0..number {
        assert_eq!(listener.post("/inbox", "waits").status, 200);
    }
    wait_until("an attempt has failed", || {
        let list = json(env, &["journal", "list"]);
        let mut deliveries = list.as_array().expect("an array").iter();
        deliveries
            .any(|delivery| delivery["attempt_count"] == 1)
            .then_some(())
    });
    listener.stop();
    let journal = Connection::open(env.journal_path()).unwrap();
    let due = "UPDATE deliveries SET next_attempt_at = 1 WHERE next_attempt_at IS NOT NULL";
    journal.execute(due, []).unwrap();
}

/// What a process that cannot send deliveries must not change.
fn schedule(env: &TestEnv) -> Vec<(i64, String, Option<i64>, i64)> {
    let journal = Connection::open(env.journal_path()).unwrap();
    let columns = "SELECT id, status, next_attempt_at, attempt_count FROM deliveries ORDER BY id";
    let mut rows = journal.prepare(columns).unwrap();
    let rows = rows.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn deliveries_wait_for_the_process_that_has_their_secret() {
    let (env, port) = (TestEnv::new(), closed_port());
    add_with_secret(&env, port, 3, &[]);
    let before = schedule(&env);

    let due = env.hookfire(["retry", "--due"]).run().assert_code(1);
    let reported = format!("3 deliveries to http://127.0.0.1:{port}/?token=*** are not sent");
    assert_eq!(due.stderr().matches(&reported).count(), 1, "{due}");
    assert!(
        due.stderr()
            .contains("`hookfire retry --due --secret token=@env:VARIABLE`"),
        "{due}"
    );
    assert!(
        due.stderr().contains("`hookfire journal cancel 1`"),
        "{due}"
    );
    assert_eq!(schedule(&env), before);

    let mut watcher = env.hookfire(["retry", "--due", "--watch"]).spawn();
    watcher.wait_for_stderr(&reported);
    watcher.terminate();
    let watched = watcher.wait().assert_code(0);
    assert_eq!(schedule(&env), before);

    let receiver = TestEnv::new();
    let up = Listener::start_at(&receiver, &port.to_string(), &[]);
    let to = format!("{}/?token={SECRET}", up.url());
    let listener = later(&env, &["--forward-to", &to]);
    wait_for_statuses(&env, &["delivered", "delivered", "delivered"]);
    let outcomes = [&due, &watched, &listener.stop()];
    env.assert_nowhere(SECRET, &outcomes);
    up.stop();
}

#[test]
fn secret_that_is_given_again_sends_what_is_due() {
    let (mut env, port) = (TestEnv::new(), closed_port());
    add_with_secret(&env, port, 2, &[]);
    env.set("TOKEN", SECRET);
    let receiver = TestEnv::new();
    let up = Listener::start_at(&receiver, &port.to_string(), &[]);
    let due = env.hookfire(["retry", "--due", "--secret", "token=@env:TOKEN"]);
    due.run().assert_code(0);
    wait_for_statuses(&env, &["delivered", "delivered"]);
    up.stop();
}

#[test]
fn deliveries_that_cannot_be_sent_take_no_place_of_others() {
    for options in [&[][..], &["--in-order"]] {
        let (env, port) = (TestEnv::new(), closed_port());
        add_with_secret(&env, port, 20, options);
        let before = schedule(&env);
        let healthy = Server::script(vec![respond(200)]);
        let args = ["--forward-to", &healthy.url(), "--max-pending", "5"];
        let listener = later(&env, &args);
        wait_until("a request is accepted", || {
            (listener.post("/inbox", "new").status == 200).then_some(())
        });
        healthy.wait_for_requests(1);
        let stopped = listener.stop();
        let reported = format!("20 deliveries to http://127.0.0.1:{port}/?token=*** are not sent");
        let number = stopped.stderr().matches(&reported).count();
        assert_eq!(number, 1, "once for all: {stopped}");
        assert_eq!(schedule(&env)[..20], before);
    }
}

#[test]
fn targets_that_cannot_be_told_apart_are_refused() {
    let env = TestEnv::new();
    env.write_config("[endpoints.crm]\nurl = \"http://127.0.0.1:1/\"\n");
    let refused = |targets: [&str; 4]| {
        let args = ["listen", "--forward-later"];
        env.hookfire(args).args(targets).run().assert_code(2)
    };
    let (one, two) = ("http://crm.invalid/?t=1", "http://crm.invalid/?t=2");
    let urls = refused(["--forward-to", one, "--forward-to", two]);
    assert!(
        urls.stderr()
            .contains("the target http://crm.invalid/?t=*** is given twice")
            && urls.stderr().contains("`-e NAME -e OTHER`"),
        "{urls}"
    );
    let names = refused(["-e", "crm", "-e", "crm"]);
    assert!(
        names.stderr().contains("endpoint `crm` is given twice"),
        "{names}"
    );
    assert!(!env.journal_path().exists());
}

/// Each target is found only with the address that its own options give.
#[test]
fn connection_options_are_for_the_targets_of_the_command() {
    let (env, port) = (TestEnv::new(), closed_port());
    let at = |host: &str, port: u16| format!("{host}.invalid:{port}:127.0.0.1");
    env.write_config(&format!(
        "[endpoints.crm]\nurl = 'http://crm.invalid:{port}/'\nresolve = ['{}']\n",
        at("crm", port)
    ));
    let first = later(&env, &["-e", "crm", "--retry-interval", "100ms"]);
    assert_eq!(first.post("/inbox", "for the crm").status, 200);
    wait_until("an attempt has failed", || {
        let list = json(&env, &["journal", "list"]);
        (list[0]["attempt_count"] != 0).then_some(())
    });
    first.stop();

    let receiver = TestEnv::new();
    let crm = Listener::start_at(&receiver, &port.to_string(), &[]);
    let erp = Server::script(vec![respond(503), respond(200)]);
    let to = format!("http://erp.invalid:{}/", erp.port());
    let resolve = at("erp", erp.port());
    let args = ["--forward-to", &to, "--resolve", &resolve, "--retries", "0"];
    let second = later(&env, &args);
    wait_for_statuses(&env, &["delivered"]);
    assert_eq!(second.post("/inbox", "for the erp").status, 200);
    wait_for_statuses(&env, &["failed", "delivered"]);

    // The page sends with the options of its listener, too.
    let page = second.get("/_hookfire/");
    let is_hex = |text: &&str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut words = page.text().split('"');
    let token = words.find(is_hex).expect("the page's token");
    let body = "{\"ids\":[2]}";
    let retried = second.send(format!(
        "POST /_hookfire/api/deliveries/retry HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hookfire-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(
        retried.json()["results"][0]["status"],
        "delivered",
        "{retried:?}"
    );
    second.stop();
    crm.stop();
}

#[test]
fn follower_says_what_sends_the_deliveries_that_wait() {
    let env = TestEnv::new();
    let source = Listener::start(&env, &[]);
    source.post("/inbox", "body");
    let follow = |to: &str| {
        let args = ["captured", "follow", "--bin", "inbox", "--from-start"];
        let mut follower = env.hookfire(args).args(["--to", to]).spawn();
        follower.wait_for_stderr("connection refused");
        follower.terminate();
        follower.wait()
    };
    let url = format!("http://127.0.0.1:{}/", closed_port());
    let with_secret = follow(&format!("{url}?token={SECRET}"));
    let without = follow(&url);
    for (outcome, same, others) in [(&with_secret, true, false), (&without, false, true)] {
        let stderr = outcome.stderr();
        assert_eq!(stderr.contains("with the same target"), same, "{outcome}");
        assert_eq!(stderr.contains("retry --due --watch"), others, "{outcome}");
    }
    source.stop();
}

#[test]
fn follower_signs_for_an_endpoint_with_a_literal_secret() {
    let (env, program) = (TestEnv::new(), TestEnv::new());
    let source = Listener::start(&env, &[]);
    source.post("/inbox", "body");
    let verify = ["--verify", "github", "--signing-secret", SECRET];
    let receiver = Listener::start(&program, &verify);
    // The configured secret is another one.
    env.write_config(&format!(
        "[endpoints.local]\nurl = \"{}\"\nsign = \"github\"\nsigning_secret = \"configured\"\n",
        receiver.url()
    ));
    let args = ["captured", "follow", "--bin", "inbox", "--from-start"];
    let follow = env
        .hookfire(args)
        .args(["--exit-after", "1", "-e", "local"]);
    follow
        .args(["--signing-secret", SECRET])
        .run()
        .assert_code(0);
    let received = receiver.stop().ndjson();
    assert_eq!(received[1]["signature"]["verified"], true, "{received:?}");
    source.stop();
}
