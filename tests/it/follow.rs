//! Following a bin, here and on another machine: everything once and in order, whatever happens to the connection, the
//! listener and the follower.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::postgres::postgres_server;
use crate::support::{Invocation, Listener, Machines, Outcome, Running, TestEnv};

impl Machines {
    fn follow(&self, url: &str, args: &[&str]) -> Invocation {
        self.follow_as("ndjson", url, args)
    }

    fn follow_as(&self, format: &str, url: &str, args: &[&str]) -> Invocation {
        let follow = ["captured", "follow", "--bin", "inbox", "-o", format];
        self.read(url, &follow).args(args)
    }
}

/// Sends requests to the paths `/FIRST` until `/LAST`.
fn send(listener: &Listener, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        assert_eq!(listener.get(&format!("/{number}")).status, 200);
    }
}

fn paths(outcome: &Outcome) -> Vec<usize> {
    let lines = &outcome.ndjson()[1..];
    let number = |line: &serde_json::Value| line["path"].as_str().unwrap()[1..].parse().unwrap();
    lines.iter().map(number).collect()
}

fn all(numbers: std::ops::RangeInclusive<usize>) -> Vec<usize> {
    numbers.collect()
}

fn started(invocation: Invocation) -> Running {
    let mut running = invocation.spawn();
    running.wait_for_stdout_line("\"ready\"");
    running
}

/// A proxy that cuts a connection once this many captures were announced on it.
struct CuttingProxy {
    url: String,
    cuts: Arc<AtomicUsize>,
}

impl CuttingProxy {
    fn start(port: u16, after: usize) -> CuttingProxy {
        let acceptor = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", acceptor.local_addr().unwrap());
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for client in acceptor.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                let cuts = Arc::clone(&counted);
                let upwards = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    copy(upwards.0, upwards.1, usize::MAX, &AtomicUsize::new(0))
                });
                std::thread::spawn(move || copy(server, client, after, &cuts));
            }
        });
        CuttingProxy { url, cuts }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, after: usize, cuts: &AtomicUsize) {
    let (mut buffer, mut events) = ([0; 4096], 0);
    while let Ok(read) = from.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..read]);
        events += text.matches("event: capture").count();
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
        if events >= after {
            cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn each_capture_is_printed_once_over_several_runs() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&["--bin", "inbox", "--bin", "other"]);
    send(&listener, 1..=2);
    let url = format!("{}/_hookfire/", listener.url());
    let follower = started(machines.follow(&url, &["--exit-after", "2"]));
    listener.get("/other/x");
    send(&listener, 3..=6);
    let outcome = follower.wait().assert_code(0);
    assert_eq!(paths(&outcome), [3, 4], "begins with the next capture");
    // The name of the reader is the address, however it is written.
    let again = ["--exit-after", "2"];
    let outcome = machines.follow(listener.url(), &again).run().assert_code(0);
    assert_eq!(paths(&outcome), [5, 6]);
    let text = machines
        .follow_as("text", &url, &["--for", "10ms"])
        .run()
        .assert_code(0);
    let start = format!(
        "following bin `inbox` of {}, from capture #8 on (Ctrl-C stops)\n",
        listener.url()
    );
    assert_eq!(text.stderr(), start);
    // Others get everything.
    let other = ["--as", "other", "--from-start", "--exit-after", "6"];
    let outcome = machines.follow(&url, &other).run().assert_code(0);
    assert_eq!(paths(&outcome), all(1..=6));
    let since = ["--as", "since", "--since", "1h", "--exit-after", "1"];
    let outcome = machines.follow(&url, &since).run().assert_code(0);
    assert_eq!(paths(&outcome), [1]);
    let late = ["--as", "other", "--exit-after", "1", "--for", "100ms"];
    let outcome = machines.follow(&url, &late).run().assert_code(7);
    assert!(outcome.stderr().contains("0 of 1 captures"), "{outcome}");
    listener.stop();
}

#[test]
fn two_that_print_under_one_name_get_everything() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let ends = ["--exit-after", "5"];
    let both = [(); 2].map(|()| started(machines.follow(listener.url(), &ends)));
    send(&listener, 1..=5);
    for reader in both {
        let outcome = reader.wait().assert_code(0);
        assert_eq!(paths(&outcome), all(1..=5), "{outcome}");
    }
    listener.stop();
}

#[test]
fn captures_are_printed_as_listen_prints_them() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let body = "{\"a\":1}";
    listener.send(format!(
        "POST /hook?token=canary HTTP/1.1\r\nHost: h\r\nCookie: canary\r\nContent-Length: 7\r\n\r\n{body}"
    ));
    listener.get("/next");
    let start = ["--from-start", "--exit-after", "2"];
    let streamed = machines.follow(listener.url(), &start).run().assert_code(0);
    let run = |format| {
        machines
            .follow_as(format, listener.url(), &start)
            .run()
            .assert_code(0)
    };
    let (array, text) = (run("json"), run("text"));
    let listened = listener.stop().ndjson()[1..].to_vec();
    assert_eq!(streamed.ndjson()[1..], listened);
    assert_eq!(array.json(), serde_json::Value::from(listened));
    let lines: Vec<&str> = text.stdout().lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("#1 POST /hook") && lines[1].contains("#2 GET /next"),
        "{text}"
    );
}

#[test]
fn interrupt_ends_it_with_success() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let mut follower = machines
        .follow_as("json", listener.url(), &["--from-start"])
        .spawn();
    send(&listener, 1..=1);
    follower.wait_for_stdout_line("\"/1\"");
    follower.interrupt();
    let outcome = follower.wait().assert_code(0);
    assert_eq!(outcome.stderr(), "", "{outcome}");
    assert_eq!(outcome.json().as_array().unwrap().len(), 1);
    listener.stop();
}

#[test]
fn cut_connections_neither_skip_nor_repeat() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let proxy = CuttingProxy::start(listener.port(), 10);
    let mut follower = started(machines.follow(&proxy.url, &["--exit-after", "400"]));
    for round in 0..20 {
        send(&listener, round * 10 + 1..=round * 10 + 10);
        follower.wait_for_stdout_line(&format!("\"/{}\"", round * 10 + 10));
    }
    // Faster than it can read them one by one.
    send(&listener, 201..=400);
    let outcome = follower.wait().assert_code(0);
    assert_eq!(paths(&outcome), all(1..=400));
    let cuts = proxy.cuts.load(Ordering::Relaxed);
    assert!(cuts >= 3, "{cuts} cuts");
    listener.stop();
}

#[test]
fn restarted_listener_is_followed_further() {
    let machines = Machines::new();
    let mut listener = machines.listener_to_be_followed(&[]);
    let (url, port) = (listener.url().to_owned(), listener.port());
    let mut follower = machines
        .follow_as("text", &url, &["--exit-after", "9"])
        .spawn();
    follower.wait_for_stderr("Ctrl-C stops");
    for round in 0..3 {
        send(&listener, round * 3 + 1..=round * 3 + 2);
        follower.wait_for_stdout_line(&format!("GET /{}", round * 3 + 2));
        match round {
            0 => drop(listener.stop()),
            _ => listener.process().kill9(),
        }
        if round == 0 {
            follower.wait_for_stderr("trying again");
        }
        // Its first capture arrives before the follower is back.
        listener = machines.listener_again(port, &[]);
        send(&listener, round * 3 + 3..=round * 3 + 3);
        follower.wait_for_stdout_line(&format!("GET /{}", round * 3 + 3));
    }
    let outcome = follower.wait().assert_code(0);
    for (line, number) in outcome.stdout().lines().zip(1..) {
        assert!(line.contains(&format!("GET /{number},")), "{outcome}");
    }
    assert_eq!(outcome.stdout().lines().count(), 9, "{outcome}");
    let lost = outcome.stderr().matches("trying again").count();
    let back = outcome.stderr().matches("connected to http").count();
    assert!(lost == back && (1..=3).contains(&lost), "{outcome}");
    listener.stop();
}

#[test]
fn killed_follower_goes_on_where_it_ended() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let mut printed = Vec::new();
    for round in 0..5 {
        let mut follower = started(machines.follow(listener.url(), &["--as", "ci"]));
        let last = round * 20 + 20;
        send(&listener, round * 20 + 1..=last - 5);
        follower.wait_for_stdout_line(&format!("\"/{}\"", last - 10));
        follower.kill9();
        printed.extend(paths_of_killed(follower));
        // While no follower runs.
        send(&listener, last - 4..=last);
    }
    let rest = ["--as", "ci", "--for", "1s"];
    let outcome = machines.follow(listener.url(), &rest).run().assert_code(0);
    printed.extend(paths(&outcome));
    // The kill may come between printing a capture and storing that.
    let repeated = printed.windows(2).filter(|pair| pair[0] == pair[1]).count();
    printed.dedup();
    assert_eq!(printed, all(1..=100));
    assert!(repeated <= 5, "{repeated}");
    listener.stop();
}

fn paths_of_killed(follower: Running) -> Vec<usize> {
    let outcome = follower.wait();
    let whole: Vec<&str> = outcome.stdout().split_inclusive('\n').collect();
    let whole = whole.into_iter().filter(|line| line.ends_with('\n'));
    let lines = whole
        .skip(1)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let number = |line: serde_json::Value| line["path"].as_str().unwrap()[1..].parse().unwrap();
    lines.map(number).collect()
}

#[test]
fn pruned_captures_are_counted() {
    let machines = Machines::new();
    let listener =
        machines.listener_to_be_followed(&["--keep", "10", "--bin", "inbox", "--bin", "other"]);
    send(&listener, 1..=1);
    let one = ["--from-start", "--exit-after", "1"];
    machines.follow(listener.url(), &one).run().assert_code(0);
    // Captures of other bins do not count, nor do those that were read.
    for _ in 0..30 {
        listener.get("/other");
    }
    let nothing = ["--for", "300ms"];
    let outcome = machines
        .follow(listener.url(), &nothing)
        .run()
        .assert_code(0);
    assert!(!outcome.stderr().contains("warning"), "{outcome}");
    send(&listener, 2..=60);
    let rest = ["--for", "500ms"];
    let outcome = machines.follow(listener.url(), &rest).run().assert_code(0);
    let read = paths(&outcome);
    let missed = 59 - read.len();
    assert_eq!(read, all(missed + 2..=60), "{outcome}");
    let warning = format!("{missed} captures were pruned or deleted before being read");
    assert!(
        missed >= 40 && outcome.stderr().contains(&warning),
        "{outcome}"
    );
    let outcome = machines
        .follow(listener.url(), &nothing)
        .run()
        .assert_code(0);
    assert!(!outcome.stderr().contains("pruned"), "told once\n{outcome}");
    listener.stop();
}

#[test]
fn replaced_journal_is_followed_from_its_first_capture() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let (url, port) = (listener.url().to_owned(), listener.port());
    send(&listener, 1..=5);
    let five = ["--from-start", "--exit-after", "5"];
    machines.follow(&url, &five).run().assert_code(0);
    listener.stop();
    std::fs::remove_dir_all(machines.there.journal_path().parent().unwrap()).unwrap();
    let listener = machines.listener_again(port, &[]);
    send(&listener, 6..=7);
    let outcome = machines
        .follow(&url, &["--exit-after", "2"])
        .run()
        .assert_code(0);
    assert_eq!(paths(&outcome), [6, 7]);
    assert!(outcome.stderr().contains("created anew"), "{outcome}");
    listener.stop();
}

#[test]
fn token_that_is_no_longer_valid_ends_it() {
    let mut machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let port = listener.port();
    let follower = started(machines.follow(listener.url(), &[]));
    listener.stop();
    machines.there.set("READER", "another-read-token");
    let listener = machines.listener_again(port, &[]);
    let outcome = follower.wait().assert_code(1);
    assert!(
        outcome.stderr().contains("does not accept this token"),
        "{outcome}"
    );
    listener.stop();
}

#[test]
fn journal_of_this_machine_is_followed() {
    let follow = |env: &TestEnv| {
        let follow = ["captured", "follow", "--bin", "inbox", "-o", "ndjson"];
        env.hookfire(follow)
    };
    let story = |env: &TestEnv| {
        let listener = Listener::start(env, &["--keep", "20"]);
        send(&listener, 1..=3);
        let follower = started(follow(env).args(["--exit-after", "2"]));
        send(&listener, 4..=6);
        assert_eq!(paths(&follower.wait().assert_code(0)), [4, 5]);
        send(&listener, 7..=60);
        let outcome = follow(env).args(["--for", "500ms"]).run().assert_code(0);
        let read = paths(&outcome);
        let missed = 55 - read.len();
        assert_eq!(read, all(missed + 6..=60), "{outcome}");
        let warning = format!("{missed} captures were pruned");
        assert!(outcome.stderr().contains(&warning), "{outcome}");
        let unknown = ["captured", "follow", "--bin", "inbux"];
        let outcome = env.hookfire(unknown).run().assert_code(2);
        assert!(
            outcome.stderr().contains("did you mean `--bin inbox`?"),
            "{outcome}"
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

fn expect(machines: &Machines, url: &str, args: &[&str]) -> Invocation {
    machines.read(url, &["expect", "--bin", "inbox"]).args(args)
}

#[test]
fn expect_waits_on_a_remote_bin() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let url = listener.url();
    send(&listener, 1..=1);
    let hook = format!("{url}/2");
    let sender = [
        "--path",
        "/2",
        "--",
        env!("CARGO_BIN_EXE_hookfire"),
        "fire",
        "account",
        "created",
        "--url",
        &hook,
    ];
    let outcome = expect(&machines, url, &[&["-o", "json"], &sender[..]].concat());
    let outcome = outcome.run().assert_code(0);
    let matched = outcome.json();
    assert_eq!(
        (&matched[0]["path"], matched.as_array().unwrap().len()),
        (&"/2".into(), 1),
        "{outcome}"
    );
    let before = ["--path", "/1", "--within", "200ms"];
    expect(&machines, url, &before).run().assert_code(7);
    let since = [&before[..], &["--since", "1h"]].concat();
    expect(&machines, url, &since).run().assert_code(0);
    let usage = machines
        .here
        .hookfire(["expect", "--from", url])
        .run()
        .assert_code(2);
    assert!(
        usage.stderr().contains("`--from` requires `--bin`"),
        "{usage}"
    );
    let bin = [
        "expect",
        "--from",
        url,
        "--token",
        "@env:READER",
        "--bin",
        "x",
    ];
    let unknown = machines.here.hookfire(bin).run().assert_code(2);
    assert!(unknown.stderr().contains("it has the bins"), "{unknown}");
    listener.stop();
}

#[test]
fn expect_survives_a_lost_connection() {
    let machines = Machines::new();
    let listener = machines.listener_to_be_followed(&[]);
    let (url, port) = (listener.url().to_owned(), listener.port());
    let mut waiting = expect(&machines, &url, &["--count", "3"]).spawn();
    waiting.wait_for_stderr("waiting up to");
    send(&listener, 1..=2);
    listener.stop();
    waiting.wait_for_stderr("trying again");
    let listener = machines.listener_again(port, &[]);
    send(&listener, 3..=3);
    let outcome = waiting.wait().assert_code(0);
    for path in ["/1", "/2", "/3"] {
        let line = format!("GET {path},");
        assert_eq!(outcome.stdout().matches(&line).count(), 1, "{outcome}");
    }
    // Without an answer until the deadline, it fails as if nothing had arrived.
    let mut waiting = expect(&machines, &url, &["--within", "1s"]).spawn();
    waiting.wait_for_stderr("waiting up to");
    listener.stop();
    waiting.wait().assert_code(7);
}
