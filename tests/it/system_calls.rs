//! What one fire costs, and in which order it does things, as `strace` sees it.

use std::collections::HashMap;
use std::process::Command;

use crate::support::{Server, TestEnv, needs, repeat, respond};

const FIRE: &[&str] = &["fire", "account", "created", "--no-retry", "-q", "--url"];

/// The program's own system calls, in order, with all that they write.
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

/// What something goes out with.
const LEAVES: [&str; 3] = ["connect(", "sendto(", "writev("];

/// The calls of a trace. One that was under way while another thread's came in between is written in two pieces: it is put
/// together where it ends, but for a connect or a sending, which counts from where it begins.
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
            // A signal, or the end of a thread.
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

/// So many fires in a row on a journal that does not exist yet.
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

/// Which files were synced, in order, with the position of the call.
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
fn a_fire_syncs_its_intent_before_it_connects_and_its_outcome_after() {
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
    // What a new journal consists of is there after a power failure as well.
    let connected = fires[0]
        .iter()
        .position(|call| call.starts_with("connect("))
        .unwrap();
    let folder = synced(&fires[0])
        .into_iter()
        .rfind(|(position, _)| *position < connected)
        .unwrap()
        .1;
    assert!(
        std::path::Path::new(&folder).extension().is_none(),
        "{folder} is the folder, after its files"
    );
}

#[test]
fn each_request_of_a_batch_leaves_after_its_own_intent_is_synced() {
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
    // Otherwise it would be no batch.
    assert!(synced.len() < LINES, "{} syncs", synced.len());
}

#[test]
fn a_call_in_two_pieces_is_one() {
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
