//! The order of system calls in a fire, from `strace`.

use std::collections::HashMap;
use std::process::Command;

use crate::support::{Server, TestEnv, needs, repeat, respond};

const FIRE: &[&str] = &["fire", "account", "created", "--no-retry", "-q", "--url"];

/// The system calls of the program in order, with all written bytes.
fn trace(env: &TestEnv, args: &[&str], url: &str) -> Option<Vec<String>> {
    if !needs("strace", &["-o", "/dev/null", "true"]) {
        return None;
    }
    let file = env.root().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-s", "65536", "-o"])
        .arg(&file)
        .arg(env!("CARGO_BIN_EXE_hookfire"))
        .args(args)
        .arg(url)
        .env_clear()
        .env("HOME", env.root())
        .env("HOOKFIRE_JOURNAL", env.journal_path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    Some(calls(&std::fs::read_to_string(&file).unwrap()))
}

/// Calls that send something.
const LEAVES: [&str; 3] = ["connect(", "sendto(", "writev("];

/// The calls of a trace. A call that another thread interrupts is written in two parts; it is joined where it ends,
/// except connects and sends, which count from their start.
fn calls(trace: &str) -> Vec<String> {
    let (mut calls, mut begun) = (Vec::new(), HashMap::new());
    for line in trace.lines() {
        let Some((process, call)) = line
            .split_once(' ')
            .map(|(process, call)| (process, call.trim_start()))
        else {
            continue;
        };
        if let Some(end) = call
            .strip_prefix("<... ")
            .and_then(|end| end.split_once("resumed>"))
        {
            calls.extend(
                begun
                    .remove(process)
                    .map(|beginning: String| beginning + end.1),
            );
        } else if !call.starts_with(|c: char| c.is_ascii_lowercase()) || !call.contains('(') {
            // A signal or the end of a thread.
        } else if let Some(beginning) = call
            .strip_suffix("<unfinished ...>")
            .filter(|call| !LEAVES.iter().any(|name| call.starts_with(name)))
        {
            begun.insert(process, beginning.trim_end().to_owned());
        } else {
            calls.push(call.to_owned());
        }
    }
    calls.extend(begun.into_values());
    calls
}

fn count(calls: &[String], names: &[&str]) -> usize {
    calls
        .iter()
        .filter(|call| {
            names
                .iter()
                .any(|name| call.starts_with(&format!("{name}(")))
        })
        .count()
}

/// Traces of `number` fires in a row into a new journal.
fn fires(number: usize) -> Option<Vec<Vec<String>>> {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(200, number)]);
    let traces: Option<Vec<_>> = (0..number)
        .map(|_| trace(&env, FIRE, &server.url()))
        .collect();
    if traces.is_none() {
        drop(server.lenient());
    }
    traces
}

/// The synced files in order, with the position of the call.
fn synced(calls: &[String]) -> Vec<(usize, String)> {
    let mut open = HashMap::new();
    let mut synced = Vec::new();
    for (position, call) in calls.iter().enumerate() {
        let Some((name, arguments)) = call.split_once('(') else {
            continue;
        };
        if name == "openat" {
            let path = call.split('"').nth(1).unwrap_or_default();
            open.insert(call.rsplit("= ").next().unwrap_or_default().trim(), path);
        } else if ["fsync", "fdatasync"].contains(&name) {
            let file = arguments
                .split(')')
                .next()
                .and_then(|number| open.get(number));
            synced.push((
                position,
                (*file.expect("a file that was opened")).to_owned(),
            ));
        }
    }
    synced
}

#[test]
fn fire_syncs_before_connecting_and_after_the_response() {
    let Some(fires) = fires(4) else { return };
    for (number, calls) in (1..).zip(&fires) {
        let connected = calls
            .iter()
            .position(|call| call.starts_with("connect(") && call.contains("AF_INET"));
        let (before, after): (Vec<_>, Vec<_>) = synced(calls)
            .into_iter()
            .partition(|(position, _)| *position < connected.unwrap());
        let journal = |synced: &[(usize, String)]| {
            synced
                .iter()
                .any(|(_, file)| file.ends_with("journal.db-wal"))
        };
        assert!(
            journal(&before) && journal(&after),
            "fire {number}: {}",
            calls.join("\n")
        );
        assert_eq!(
            count(calls, &["connect"]),
            1,
            "one request is one connection"
        );
    }
    // All files of a new journal survive a power failure.
    let connected = fires[0]
        .iter()
        .position(|call| call.starts_with("connect("))
        .unwrap();
    let folder_synced = synced(&fires[0]).into_iter().any(|(position, file)| {
        position < connected && std::path::Path::new(&file).extension().is_none()
    });
    assert!(folder_synced, "{}", fires[0].join("\n"));
}

#[test]
fn batch_syncs_each_delivery_before_its_request() {
    const LINES: usize = 40;
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![respond(200).keep_alive().endlessly()]),
    );
    let batch = env.write_file(
        "batch.ndjson",
        "{\"type\":\"user\",\"action\":\"created\"}\n".repeat(LINES),
    );
    let batch = batch.to_str().unwrap();
    let args = [
        "fire",
        "--batch",
        batch,
        "--no-retry",
        "-q",
        "-j",
        "3",
        "--url",
    ];
    let Some(calls) = trace(&env, &args, &server.url()) else {
        return drop(server.lenient());
    };
    let synced: Vec<usize> = synced(&calls)
        .into_iter()
        .filter(|(_, file)| file.ends_with("-wal"))
        .map(|(position, _)| position)
        .collect();
    let leaves = |call: &&str| {
        LEAVES.iter().any(|name| call.starts_with(name)) && call.contains("webhook-id: ")
    };
    let mut sent = 0;
    for (left, call) in calls
        .iter()
        .enumerate()
        .filter(|(_, call)| leaves(&call.as_str()))
    {
        let (_, id) = call.split_once("webhook-id: ").unwrap();
        let id = &id[..36];
        let written = calls
            .iter()
            .position(|call| call.starts_with("pwrite64(") && call.contains(id));
        let written = written.unwrap_or_else(|| panic!("{id} is not written down anywhere"));
        assert!(
            synced.iter().any(|synced| (written..left).contains(synced)),
            "{id}: written at {written}, sent at {left}"
        );
        sent += 1;
    }
    assert_eq!(sent, LINES);
    // Otherwise commits are not grouped.
    assert!(synced.len() < LINES, "{} syncs", synced.len());
}

#[test]
fn interrupted_trace_lines_are_joined() {
    let trace = "7 openat(AT_FDCWD, \"/j\", O_RDWR <unfinished ...>\n8 futex(0x1, FUTEX_WAIT <unfinished ...>\n\
                 7 <... openat resumed>) = 3\n9 connect(4, {sa_family=AF_INET}, 16 <unfinished ...>\n7 fsync(3) = 0\n\
                 9 <... connect resumed>) = 0\n7 +++ exited with 0 +++\n";
    let expected = [
        "openat(AT_FDCWD, \"/j\", O_RDWR) = 3",
        "connect(4, {sa_family=AF_INET}, 16 <unfinished ...>",
        "fsync(3) = 0",
        "futex(0x1, FUTEX_WAIT",
    ];
    assert_eq!(calls(trace), expected);
}
