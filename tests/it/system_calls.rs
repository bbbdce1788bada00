//! What one fire costs, and in which order it does things, as `strace` sees it.

use std::collections::HashMap;
use std::process::Command;

use crate::support::{Server, TestEnv, needs, repeat};

/// The program's own system calls, in order.
fn trace(env: &TestEnv, url: &str) -> Option<Vec<String>> {
    if !needs("strace", &["-o", "/dev/null", "true"]) {
        return None;
    }
    let file = env.root().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&file)
        .args([env!("CARGO_BIN_EXE_hookfire"), "fire", "account", "created", "--no-retry", "-q", "--url", url])
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

/// The calls of a trace. One that was under way while another thread's came in between is written in two pieces: it is put
/// together where it ends, but for a connect, which counts from where it begins.
fn calls(trace: &str) -> Vec<String> {
    let (mut calls, mut begun) = (Vec::new(), HashMap::new());
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(' ').map(|(process, call)| (process, call.trim_start())) else {
            continue;
        };
        if let Some(end) = call.strip_prefix("<... ").and_then(|end| end.split_once("resumed>")) {
            calls.extend(begun.remove(process).map(|beginning: String| beginning + end.1));
        } else if !call.starts_with(|c: char| c.is_ascii_lowercase()) || !call.contains('(') {
            // A signal, or the end of a thread.
        } else if let Some(beginning) =
            call.strip_suffix("<unfinished ...>").filter(|call| !call.starts_with("connect("))
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
    calls.iter().filter(|call| names.iter().any(|name| call.starts_with(&format!("{name}(")))).count()
}

/// So many fires in a row on a journal that does not exist yet.
fn fires(number: usize) -> Option<Vec<Vec<String>>> {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(200, number)]);
    let traces: Option<Vec<_>> = (0..number).map(|_| trace(&env, &server.url())).collect();
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
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if name == "openat" {
            let path = call.split('"').nth(1).unwrap_or_default();
            open.insert(call.rsplit("= ").next().unwrap_or_default().trim(), path);
        } else if ["fsync", "fdatasync"].contains(&name) {
            let file = arguments.split(')').next().and_then(|number| open.get(number));
            synced.push((position, (*file.expect("a file that was opened")).to_owned()));
        }
    }
    synced
}

#[test]
fn a_fire_syncs_its_intent_before_it_connects_and_its_outcome_after() {
    let Some(fires) = fires(4) else { return };
    for (number, calls) in (1..).zip(&fires) {
        let connected = calls.iter().position(|call| call.starts_with("connect(") && call.contains("AF_INET"));
        let (before, after): (Vec<_>, Vec<_>) =
            synced(calls).into_iter().partition(|(position, _)| *position < connected.unwrap());
        let journal = |synced: &[(usize, String)]| synced.iter().any(|(_, file)| file.ends_with("journal.db-wal"));
        assert!(journal(&before) && journal(&after), "fire {number}: {}", calls.join("\n"));
        assert_eq!(count(calls, &["connect"]), 1, "one request is one connection");
    }
    // What a new journal consists of is there after a power failure as well.
    let connected = fires[0].iter().position(|call| call.starts_with("connect(")).unwrap();
    let folder = synced(&fires[0]).into_iter().rfind(|(position, _)| *position < connected).unwrap().1;
    assert!(std::path::Path::new(&folder).extension().is_none(), "{folder} is the folder, after its files");
}

#[test]
fn a_fire_is_sparing_with_the_system() {
    // The first makes the journal; every second one moves the log into it. What is published, 300, is of a release build;
    // one for debugging asks a little more.
    const MOST: usize = if cfg!(debug_assertions) { 312 } else { 300 };
    const FIRES: usize = 22;
    let mut least = [usize::MAX; FIRES];
    for _ in 0..3 {
        let Some(fires) = fires(FIRES) else { return };
        for ((number, calls), least) in (1..).zip(&fires).zip(&mut least) {
            assert!(count(calls, &["fsync", "fdatasync"]) <= 4, "fire {number}: {}", calls.join("\n"));
            *least = calls.len().min(*least);
        }
    }
    // How often the system has nothing to tell yet differs from run to run: the least of three.
    assert!(least.iter().all(|calls| *calls <= MOST), "system calls of each fire: {least:?}");
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
