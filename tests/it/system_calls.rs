//! What one fire costs, and in which order it does things, as `strace` sees it.

use std::process::Command;

use crate::support::{Server, TestEnv, needs, repeat};

/// The program's own system calls, in order, without those that were only resumed.
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
    let calls = std::fs::read_to_string(&file).unwrap();
    let call = |line: &str| line.split_once(' ').map(|(_, call)| call.trim_start().to_owned());
    let own = |call: &String| call.starts_with(|c: char| c.is_ascii_lowercase()) && call.contains('(');
    Some(calls.lines().filter_map(call).filter(own).collect())
}

fn count(calls: &[String], names: &[&str]) -> usize {
    calls.iter().filter(|call| names.iter().any(|name| call.starts_with(&format!("{name}(")))).count()
}

#[test]
fn a_fire_syncs_its_intent_before_it_connects_and_is_sparing_with_the_system() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(200, 2)]);
    let Some(first) = trace(&env, &server.url()) else {
        drop(server.lenient());
        return;
    };
    assert!(count(&first, &["fsync", "fdatasync"]) <= 4, "even on a new journal: {}", first.join("\n"));

    let calls = trace(&env, &server.url()).unwrap();
    let wal_opened = calls.iter().find(|call| call.starts_with("openat(") && call.contains("journal.db-wal")).unwrap();
    let wal = wal_opened.rsplit_once("= ").unwrap().1.trim();
    let synced = calls
        .iter()
        .position(|call| call.starts_with(&format!("fsync({wal})")) || call.starts_with(&format!("fdatasync({wal})")));
    let connected = calls.iter().position(|call| call.starts_with("connect(") && call.contains("AF_INET"));
    assert!(synced.unwrap() < connected.unwrap(), "{}", calls.join("\n"));
    assert_eq!(count(&calls, &["connect"]), 1);
    assert!(count(&calls, &["fsync", "fdatasync"]) <= 4);
    assert!(calls.len() <= 300, "{} system calls:\n{}", calls.len(), calls.join("\n"));
}
