//! Limits of `listen`, and its output about them.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::{Listener, TestEnv, read_response};

#[test]
fn exit_after_prints_exactly_n_lines() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--exit-after", "3"]);
    let mut clients: Vec<TcpStream> = (0..40).map(|_| listener.connect()).collect();
    for client in &mut clients {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
    }
    let answered = clients
        .iter_mut()
        .map(answers)
        .filter(|answered| *answered)
        .count();
    let outcome = listener.wait();
    assert_eq!(outcome.ndjson().len(), 1 + 3, "{outcome}");
    let kept = env
        .hookfire(["captured", "list", "-o", "json"])
        .run()
        .json()
        .as_array()
        .unwrap()
        .len();
    assert!(
        kept >= answered && answered >= 3,
        "{kept} kept, {answered} answered"
    );
}

#[test]
fn banner_lists_every_limit() {
    let env = TestEnv::new();
    let chosen = [
        ("--max-head", "9KiB", "head 9 KiB"),
        ("--max-headers", "7", "7 headers"),
        ("--max-body", "3KiB", "body 3 KiB"),
        ("--read-timeout", "9s", "9s for each"),
        ("--max-connections", "11", "11 connections"),
        ("--max-buffered", "2MiB", "2 MiB buffered"),
        ("--keep", "5", "newest 5 of a bin"),
    ];
    let options = chosen
        .iter()
        .flat_map(|(option, value, _)| [*option, *value]);
    let outcome = env
        .hookfire(
            ["listen", ":0", "--for", "50ms", "-v"]
                .into_iter()
                .chain(options),
        )
        .run()
        .assert_code(0);
    for (option, _, words) in chosen {
        assert!(outcome.stderr().contains(words), "{option}: {outcome}");
    }
    for (option, value) in [
        ("--max-headers", "1001"),
        ("--max-body", "257MiB"),
        ("--max-head", "17MiB"),
    ] {
        env.hookfire(["listen", ":0", option, value])
            .run()
            .assert_code(2);
    }
}

#[test]
fn banner_shows_the_connections_that_few_files_allow() {
    let env = TestEnv::new();
    let hookfire = env!("CARGO_BIN_EXE_hookfire");
    // The listener raises the soft limit to the hard one.
    for (limit, connections) in [
        ("ulimit -n 100", " 50 connections"),
        ("ulimit -S -n 100; ulimit -H -n 200", " 136 connections"),
    ] {
        let line = format!("{limit}; exec '{hookfire}' listen :0 --for 50ms -v");
        let outcome = env.shell(&line).run().assert_code(0);
        assert!(outcome.stderr().contains(connections), "{outcome}");
    }
}

#[test]
fn malformed_requests_show_the_reason_everywhere() {
    let env = TestEnv::new();
    let mut running = env
        .hookfire(["listen", ":0", "--exit-after", "1", "--ready-file", "url"])
        .spawn();
    running.wait_for_stderr("journal:");
    let url = std::fs::read_to_string(env.work_dir().join("url")).unwrap();
    let mut client = TcpStream::connect(url.trim_end().strip_prefix("http://").unwrap()).unwrap();
    client.write_all(b"GET /a<b> HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).status, 400);
    let why = "the target contains `<`, which must be percent-encoded";
    let outcome = running.wait().assert_code(0);
    assert!(
        outcome
            .stdout()
            .trim_end()
            .ends_with(&format!(", malformed: {why}")),
        "{outcome}"
    );
    let shown = env.hookfire(["captured", "show", "1"]).run().assert_code(0);
    assert!(
        shown.stdout().contains(&format!("malformed {why}")),
        "{shown}"
    );
    let json = env
        .hookfire(["captured", "show", "1", "-o", "json"])
        .run()
        .json();
    assert_eq!(
        json["response"],
        serde_json::json!({ "status": 400, "duration_ms": json["response"]["duration_ms"], "note": why })
    );
}

#[test]
fn exposed_listener_prints_its_address() {
    let env = TestEnv::new();
    let outcome = env
        .hookfire(["listen", "0.0.0.0:0", "--expose", "--for", "50ms"])
        .run()
        .assert_code(0);
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let line = outcome
        .stderr()
        .lines()
        .find(|line| line.trim_start().starts_with("others:"))
        .unwrap_or_default();
    assert!(line.contains(&format!("http://{name}:")), "{outcome}");
    let alone = env
        .hookfire(["listen", ":0", "--for", "50ms"])
        .run()
        .assert_code(0);
    let banner = env.redacted(alone.stderr());
    insta::assert_snapshot!(banner, @"
    listening on http://127.0.0.1:[PORT] (Ctrl-C stops)
      web UI:  http://127.0.0.1:[PORT]/_hookfire/
      bins:    inbox (http://127.0.0.1:[PORT]/)
      journal: [ENV]/state/hookfire/journal.db
    ");
    let portal = env
        .hookfire(["listen", ":0", "--for", "50ms", "--emulate-portal"])
        .run()
        .assert_code(0);
    let banner = env.redacted(portal.stderr());
    let line = "\n  portal:  http://127.0.0.1:[PORT] (admin API)\n";
    assert!(banner.contains(line), "{banner}");
}

/// Whether this client gets a response; rejected ones find the connection closed.
fn answers(client: &mut TcpStream) -> bool {
    let mut first = [0; 1];
    client.peek(&mut first).is_ok_and(|read| read > 0) && read_response(client).status == 200
}
