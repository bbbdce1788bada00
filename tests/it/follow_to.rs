//! `captured follow --to`: what arrives at a bin, here or on another machine, is delivered to a program of this machine.

use serde_json::Value;

use crate::support::postgres::postgres_server;
use crate::support::{
    Invocation, Listener, Machines, Outcome, Running, Server, TestEnv, forever, respond,
};

impl Machines {
    fn deliver(&self, listener: &Listener, to: &str, args: &[&str]) -> Invocation {
        let from = ["--from", listener.url(), "--token", "@env:READER"];
        follow(&self.here, to, args).args(from)
    }
}

fn follow(env: &TestEnv, to: &str, args: &[&str]) -> Invocation {
    let follow = ["captured", "follow", "--bin", "inbox", "--to", to];
    env.hookfire(follow).args(args)
}

fn started(invocation: Invocation) -> Running {
    let mut running = invocation.spawn();
    running.wait_for_stderr("Ctrl-C stops");
    running
}

fn send(listener: &Listener, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        assert_eq!(listener.post(&format!("/{number}"), "body").status, 200);
    }
}

/// What a receiver that has ended got: path and `webhook-id`, in order.
fn received(outcome: &Outcome) -> Vec<(String, String)> {
    let lines = outcome.ndjson();
    let captures = lines[1..].iter();
    let one = |capture: &Value| {
        let headers = capture["headers"].as_array().unwrap().iter();
        let id = headers.clone().find(|header| header[0] == "webhook-id");
        let id = id.expect("each delivery has a webhook-id")[1]
            .as_str()
            .unwrap();
        (capture["path"].as_str().unwrap().to_owned(), id.to_owned())
    };
    captures.map(one).collect()
}

fn paths(received: &[(String, String)]) -> Vec<&str> {
    received.iter().map(|(path, _)| path.as_str()).collect()
}

fn json(env: &TestEnv, args: &[&str]) -> Value {
    let outcome = env.hookfire(args).args(["-o", "json"]).run();
    outcome.assert_code(0).json()
}

#[test]
fn captures_of_another_machine_arrive_unchanged() {
    let machines = Machines::new();
    let listener = machines.listener(&[]);
    let receiver = Listener::start(&machines.program, &[]);
    let to = format!("{}/base", receiver.url());
    let request =
        b"PUT /hook?a=%20b HTTP/1.1\r\nHost: hooks.example.com\r\nX-Two: 1\r\nX-Two: 2\r\n\
        webhook-id: msg_1\r\nCookie: kept\r\nContent-Length: 3\r\n\r\n\x00\xff<";
    listener.send(request);
    listener.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    listener.get("/plain");
    let args = ["--from-start", "--exit-after", "3"];
    let outcome = machines.deliver(&listener, &to, &args).run().assert_code(0);
    assert!(
        outcome
            .stderr()
            .contains("#2 is not sent: the request is malformed"),
        "{outcome}"
    );
    assert_eq!(outcome.stdout().lines().count(), 3, "{outcome}");
    let got = receiver.stop().ndjson();
    assert_eq!(got.len(), 3, "{got:?}");
    let hook = &got[1];
    assert_eq!(
        (&hook["method"], &hook["path"]),
        (&"PUT".into(), &"/base/hook".into())
    );
    assert_eq!(
        (&hook["query"], &hook["body"]),
        (&serde_json::json!([["a", " b"]]), &"AP88".into())
    );
    let headers = hook["headers"].to_string();
    for header in [
        "[\"x-two\",\"1\"],[\"x-two\",\"2\"]",
        "[\"webhook-id\",\"msg_1\"]",
        "\"cookie\"",
    ] {
        assert!(headers.contains(header), "{header}: {headers}");
    }
    // They are in the bin of the same name here, with their deliveries.
    let stored = json(&machines.here, &["captured", "list"]);
    let bins: Vec<_> = stored
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["bin"])
        .collect();
    assert_eq!(bins, ["inbox", "inbox"]);
    let raw = machines
        .here
        .hookfire(["captured", "show", "1", "--raw"])
        .run();
    assert_eq!(raw.assert_code(0).stdout, request);
    let deliveries = json(&machines.here, &["journal", "list"]);
    let statuses: Vec<_> = deliveries
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["status"])
        .collect();
    assert_eq!(statuses, ["delivered", "delivered"]);
    listener.stop();
}

#[test]
fn receiver_that_is_down_gets_everything_once_it_is_up() {
    let machines = Machines::new();
    let listener = machines.listener(&[]);
    let receiver = Listener::start_to_be_followed(&machines.program, &[]);
    let (to, port) = (receiver.url().to_owned(), receiver.port());
    let args = [
        "--in-order",
        "--retry-schedule",
        "100ms,100ms,200ms,500ms,1s,1s,1s,1s",
    ];
    let mut follower = started(machines.deliver(&listener, &to, &args));
    send(&listener, 1..=3);
    follower.wait_for_stderr("#3 →");
    let first = received(&receiver.stop());
    send(&listener, 4..=6);
    follower.wait_for_stderr("connection refused");
    let receiver = Listener::start_at(&machines.program, &port.to_string(), &[]);
    send(&listener, 7..=8);
    follower.wait_for_stdout_line("/8,");
    let done = ["--in-order", "--exit-after", "1", "--for", "20s"];
    follower.interrupt();
    follower.wait().assert_code(0);
    send(&listener, 9..=9);
    machines.deliver(&listener, &to, &done).run().assert_code(0);
    let second = received(&receiver.stop());
    let all = [first, second].concat();
    let expected: Vec<String> = (1..=9).map(|number| format!("/{number}")).collect();
    assert_eq!(paths(&all), expected);
    listener.stop();
}

#[test]
fn killed_follower_delivers_each_capture() {
    let machines = Machines::new();
    let listener = machines.listener(&[]);
    let mut receiver = Listener::start(&machines.program, &[]);
    let args = ["--retry-schedule", "100ms,1s,1s"];
    for round in 0..4 {
        let mut follower = started(machines.deliver(&listener, receiver.url(), &args));
        send(&listener, round * 10 + 1..=round * 10 + 7);
        follower.wait_for_stdout_line(&format!("/{},", round * 10 + 4));
        follower.kill9();
        drop(follower.wait());
        send(&listener, round * 10 + 8..=round * 10 + 10);
    }
    // It sends what those that were killed had begun, too.
    let mut follower = started(machines.deliver(&listener, receiver.url(), &args));
    send(&listener, 41..=41);
    for number in 1..=41 {
        let path = format!("\"path\":\"/{number}\"");
        receiver.process().wait_for_stdout_line(&path);
    }
    follower.interrupt();
    follower.wait().assert_code(0);
    let got = received(&receiver.stop());
    let ids: std::collections::BTreeMap<&str, &str> = got
        .iter()
        .map(|(path, id)| (path.as_str(), id.as_str()))
        .collect();
    for number in 1..=41 {
        assert!(
            ids.contains_key(format!("/{number}").as_str()),
            "/{number} is missing"
        );
    }
    // One that was under way at a kill may come twice, with the same id.
    assert!(got.len() <= 41 + 4 * 8, "{got:?}");
    for (path, id) in &got {
        assert_eq!(ids[path.as_str()], id, "{path}");
    }
    let list = json(&machines.here, &["captured", "list"]);
    assert_eq!(list.as_array().unwrap().len(), 41, "each is stored once");
    listener.stop();
}

#[test]
fn failed_deliveries_are_listed_and_do_not_stop_others() {
    let machines = Machines::new();
    let listener = machines.listener(&[]);
    let receiver = Server::script(vec![forever(500)]).lenient();
    send(&listener, 1..=2);
    let args = ["--from-start", "--retries", "0", "--exit-after", "2"];
    let outcome = machines
        .deliver(&listener, &receiver.url(), &args)
        .run()
        .assert_code(3);
    assert!(
        outcome.stderr().contains("all attempts failed"),
        "{outcome}"
    );
    let failed = json(&machines.here, &["failed", "list"]);
    assert_eq!(failed.as_array().unwrap().len(), 2, "{failed}");
    let program = Listener::start(&machines.program, &[]);
    let retry = ["retry", "--all", "--url", program.url()];
    machines.here.hookfire(retry).run().assert_code(0);
    assert_eq!(paths(&received(&program.stop())), ["/1", "/2"]);
    listener.stop();
}

#[test]
fn bin_of_this_journal_is_delivered() {
    let story = |env: &TestEnv| {
        let program = TestEnv::new();
        let (listener, receiver) = (Listener::start(env, &[]), Listener::start(&program, &[]));
        send(&listener, 1..=2);
        let mut follower = started(follow(env, receiver.url(), &["--in-order"]));
        send(&listener, 3..=12);
        follower.wait_for_stderr("#12 →");
        follower.interrupt();
        let outcome = follower.wait().assert_code(0);
        assert!(!outcome.stderr().contains("to be sent"), "{outcome}");
        let expected: Vec<String> = (3..=12).map(|number| format!("/{number}")).collect();
        assert_eq!(paths(&received(&receiver.stop())), expected);
        let list = json(env, &["captured", "list"]);
        assert_eq!(
            list.as_array().unwrap().len(),
            12,
            "nothing is stored twice"
        );
        listener.stop();
    };
    story(&TestEnv::new());
    if let Some(server) = postgres_server() {
        let mut env = TestEnv::new();
        env.set("HOOKFIRE_JOURNAL", server.url(&server.new_database()));
        env.hookfire(["journal", "migrate"]).run().assert_code(0);
        story(&env);
    }
}

#[test]
fn capture_that_is_deleted_before_it_becomes_a_delivery_is_reported() {
    let (env, program) = (TestEnv::new(), TestEnv::new());
    let listener = Listener::start(&env, &[]);
    send(&listener, 1..=2);
    // Deletes the second at the latest possible time.
    let journal = rusqlite::Connection::open(env.journal_path()).unwrap();
    let trigger = "CREATE TRIGGER late AFTER INSERT ON deliveries WHEN NEW.capture_id = 1
        BEGIN UPDATE deleted_ids SET newest_capture = 2; DELETE FROM captures WHERE id = 2; END";
    journal.execute_batch(trigger).unwrap();
    let receiver = Listener::start(&program, &[]);
    let args = ["--from-start", "--exit-after", "2"];
    let mut follower = started(follow(&env, receiver.url(), &args));
    follower.wait_for_stderr("#2 is not sent: it was deleted");
    send(&listener, 3..=3);
    let outcome = follower.wait().assert_code(0);
    assert_eq!(outcome.stdout().lines().count(), 2, "{outcome}");
    assert_eq!(paths(&received(&receiver.stop())), ["/1", "/3"]);
    listener.stop();
}

#[test]
fn locked_journal_does_not_outlast_the_time_limit() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let lock = rusqlite::Connection::open(env.journal_path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ends = ["--for", "500ms"];
    let outcome = follow(&env, "http://127.0.0.1:9", &ends)
        .run()
        .assert_code(6);
    assert!(outcome.stderr().contains("is locked"), "{outcome}");
    drop(lock);
    listener.stop();
}

#[test]
fn second_run_under_the_same_name_delivers_nothing_twice() {
    let (env, program) = (TestEnv::new(), TestEnv::new());
    let listener = Listener::start(&env, &[]);
    let receiver = Listener::start_to_be_followed(&program, &[]);
    assert_eq!(listener.post("/0", "body").status, 200);
    let to = receiver.url().to_owned();
    let ends = ["--exit-after", "1"];
    let both = [(); 2].map(|()| started(follow(&env, &to, &ends)));
    assert_eq!(listener.post("/1", "body").status, 200);
    let mut outcomes = both.map(Running::wait);
    outcomes.sort_by_key(|outcome| outcome.code);
    let [first, second] = outcomes;
    first.assert_code(0);
    let second = second.assert_code(6);
    assert!(second.stderr().contains("`--as NAME`"), "{second}");
    assert_eq!(paths(&received(&receiver.stop())), ["/1"]);
    listener.stop();
}

#[test]
fn exit_code_says_whether_all_were_delivered_in_time() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    send(&listener, 1..=3);
    let refusing = Server::script(vec![forever(503)]).lenient();
    let script = |to: &str, args: &[&str]| {
        let script = ["--from-start", "--exit-after", "3"];
        follow(&env, to, args).args(script).run()
    };
    // It still waits for its next attempt when the time is over.
    let late = ["--retry-schedule", "1h", "--for", "1s"];
    let outcome = script(&refusing.url(), &late).assert_code(7);
    assert!(outcome.stderr().contains("wait to be sent"), "{outcome}");
    let message = "3 captures are not delivered yet";
    assert!(outcome.stderr().contains(message), "{outcome}");
    // Those that wait for another target do not count.
    let program = TestEnv::new();
    let receiver = Listener::start(&program, &[]);
    script(receiver.url(), &["--in-order"]).assert_code(0);
    assert_eq!(paths(&received(&receiver.stop())), ["/1", "/2", "/3"]);
    listener.stop();
}

#[test]
fn suggested_commands_name_the_journal() {
    let env = TestEnv::new();
    let run = |args: &[&str]| env.hookfire(["--journal", "j.db"]).args(args).run();
    let listener = Listener::start(&env, &["--journal", "j.db"]);
    send(&listener, 1..=1);
    let refusing = Server::script(vec![forever(503)]).lenient();
    let follow = ["captured", "follow", "--bin", "inbox", "--from-start"];
    let to = ["--exit-after", "1", "--to", &refusing.url()];
    let follow = |args: &[&str]| run(&[&follow[..], &to, args].concat());
    let failed = follow(&["--retries", "0"]).assert_code(3);
    let retry = "all attempts failed, `hookfire --journal j.db retry 1`\n";
    assert!(failed.stderr().contains(retry), "{failed}");
    let late = follow(&["--retry-schedule", "1h", "--for", "1s"]).assert_code(7);
    let start = "start this command again, or run `hookfire --journal j.db retry --due --watch`\n";
    assert!(late.stderr().contains(start), "{late}");
    let delete = ["captured", "delete", "--all", "--yes"];
    let kept = run(&delete).assert_code(0);
    let warning = "warning: 1 capture is kept because its deliveries are not delivered yet: \
                   `hookfire --journal j.db journal cancel ID` moves a scheduled one to the failed list, \
                   and `hookfire --journal j.db failed delete ID` deletes it there\n";
    assert!(kept.stderr().contains(warning), "{kept}");
    run(&["journal", "cancel", "2"]).assert_code(0);
    run(&["failed", "delete", "1", "2"]).assert_code(0);
    let deleted = run(&delete).assert_code(0);
    assert_eq!(deleted.stdout(), "deleted 1 capture\n");
    let fire = ["fire", "account", "created", "--background", "--url"];
    let fired = run(&[&fire[..], &[&refusing.url()]].concat()).assert_code(0);
    let retry = "(hookfire --journal j.db retry --due)\n";
    assert!(fired.stdout().contains(retry), "{fired}");
    listener.post("/binary", "\0");
    let shown = run(&["captured", "show", "2"]).assert_code(0);
    let body = "`hookfire --journal j.db captured show 2 --body` writes";
    assert!(shown.stdout().contains(body), "{shown}");
    listener.stop();
}

#[test]
fn deliveries_of_earlier_runs_do_not_decide_the_exit_code() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    send(&listener, 1..=1);
    let receiver = Server::script(vec![respond(503), respond(200)]);
    let run = |to: &str| {
        let args = ["--from-start", "--exit-after", "1", "--retries", "0"];
        follow(&env, to, &args).args(["-o", "ndjson"]).run()
    };
    let refused = run(&receiver.url()).assert_code(3);
    let error = "\"kind\":\"refused\"";
    assert!(refused.stderr().contains(error), "{refused}");
    run(&receiver.url()).assert_code(0);
    listener.stop();
}

#[test]
fn deliveries_are_signed_and_use_the_settings_of_an_endpoint() {
    let mut env = TestEnv::new();
    env.set("SIGNING", "canary-signing-secret");
    let (program, source) = (TestEnv::new(), Listener::start(&env, &[]));
    send(&source, 1..=1);
    let verify = [
        "--verify",
        "github",
        "--signing-secret",
        "canary-signing-secret",
    ];
    let receiver = Listener::start(&program, &verify);
    env.write_config(&format!(
        "[endpoints.local]\nurl = \"{}\"\nsign = \"github\"\nsigning_secret = {{ env = \"SIGNING\" }}\n",
        receiver.url()
    ));
    let follow = [
        "captured",
        "follow",
        "--bin",
        "inbox",
        "--from-start",
        "--exit-after",
        "1",
    ];
    let sign = [
        "--to",
        receiver.url(),
        "--sign",
        "github",
        "--signing-secret",
        "@env:SIGNING",
    ];
    env.hookfire(follow).args(sign).run().assert_code(0);
    env.hookfire(follow)
        .args(["-e", "local"])
        .run()
        .assert_code(0);
    let outcome = receiver.stop();
    let captures = outcome.ndjson();
    assert_eq!(captures.len(), 3, "{outcome}");
    for capture in &captures[1..] {
        assert_eq!(capture["signature"]["verified"], true, "{outcome}");
    }
    source.stop();
}

#[test]
fn listener_that_uses_the_same_journal_is_refused() {
    let env = TestEnv::new();
    let program = TestEnv::new();
    let (listener, receiver) = (Listener::start(&env, &[]), Listener::start(&program, &[]));
    send(&listener, 1..=2);
    let args = ["--from", listener.url(), "--from-start", "--for", "10s"];
    let outcome = follow(&env, receiver.url(), &args).run().assert_code(2);
    assert!(outcome.stderr().contains("leave out `--from`"), "{outcome}");
    assert_eq!(receiver.stop().ndjson().len(), 1, "nothing is sent");
    let list = json(&env, &["captured", "list"]);
    assert_eq!(list.as_array().unwrap().len(), 2, "nothing is stored");
    listener.stop();
}

#[test]
fn two_followers_get_everything_at_the_same_time() {
    let machines = Machines::new();
    let listener = machines.listener(&[]);
    let programs = [TestEnv::new(), TestEnv::new()];
    let receivers = programs
        .each_ref()
        .map(|env| Listener::start(env, &["--keep", "10000"]));
    let args = ["--in-order", "--exit-after", "60"];
    let followers = receivers
        .each_ref()
        .map(|receiver| started(machines.deliver(&listener, receiver.url(), &args)));
    send(&listener, 1..=60);
    let expected: Vec<String> = (1..=60).map(|number| format!("/{number}")).collect();
    for (follower, receiver) in followers.into_iter().zip(receivers) {
        follower.wait().assert_code(0);
        assert_eq!(paths(&received(&receiver.stop())), expected);
    }
    listener.stop();
}

#[test]
fn token_without_a_remote_is_refused() {
    let args = ["--token", "@env:READER"];
    let outcome = follow(&Machines::new().here, "http://127.0.0.1:1", &args).run();
    assert!(
        outcome.stderr().contains("`--token` requires `--from`"),
        "{outcome}"
    );
    outcome.assert_code(2);
}

#[test]
fn target_that_leads_back_to_the_bin_ends() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let mut follower = started(follow(&env, listener.url(), &[]));
    send(&listener, 1..=1);
    follower.wait_for_stderr("forwarded too often");
    follower.interrupt();
    follower.wait().assert_code(0);
    listener.stop();
}

#[test]
fn options_of_deliveries_require_a_target() {
    let env = TestEnv::new();
    for flag in [
        &["--in-order"][..],
        &["--retries", "3"],
        &["--sign", "github"],
    ] {
        let follow = ["captured", "follow", "--bin", "inbox"];
        let outcome = env.hookfire(follow).args(flag).run().assert_code(2);
        let message = format!("`{}` requires `--to` or `--endpoint`", flag[0]);
        assert!(outcome.stderr().contains(&message), "{outcome}");
    }
    let unknown = ["captured", "follow", "--bin", "inbox", "-e", "nowhere"];
    let outcome = env.hookfire(unknown).run().assert_code(2);
    assert!(outcome.stderr().contains("nowhere"), "{outcome}");
}
