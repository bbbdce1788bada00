//! Support for the integration tests.
//!
//! A test creates a [`TestEnv`] (its own home, journal and configuration, isolated from the machine) and, if it needs
//! an endpoint, a [`Server`] that follows a script of [`Step`]s. Both are strict: a process that does not end, an
//! unused step and an unexpected request fail the test.
#![allow(
    dead_code,
    reason = "support types stay complete even if no test uses a part"
)]

mod action;
pub mod browser;
mod canary;
mod env;
mod listener;
mod machines;
mod outcome;
pub mod postgres;
mod process;
pub mod proxy;
mod received;
mod receiver;
mod redact;
mod script;
mod server;
pub mod strace;
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(unused_imports, reason = "exported even if no test uses a name")]
pub use self::{
    env::TestEnv,
    listener::{Listener, RawResponse, read_response},
    machines::{Machines, READ_TOKEN},
    outcome::Outcome,
    process::{Invocation, Running},
    received::Received,
    receiver::{Receiver, Reply},
    script::{
        Step, chunked_endless, close, drip_body, drip_head, early, early_then_close, echo,
        endless_headers, forever, half_status_line, hang, hang_before_read, head_then_cut_body,
        huge_body, raw, raw_then_reset, repeat, reset, respond,
    },
    server::{NeverAccepting, Server, closed_port, never_accepting},
};

/// Reports a skipped test on the real stderr, where `tests/run` counts these lines.
pub fn skipped(reason: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// A Python that can import a package, from the environment that `tests/run` makes, or the machine's own; otherwise reports
/// the test as skipped.
pub fn python_with(package: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3");
    let import = format!("import {package}");
    let can_import = |python: &PathBuf| {
        let mut command = Command::new(python);
        let output = command.args(["-c", &import]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = [own, PathBuf::from("python3")].into_iter().find(can_import);
    if found.is_none() {
        skipped(&format!("the Python package `{package}` is not installed"));
    }
    found
}

/// Whether [`TestEnv::hookfire_on`] works here; otherwise reports the test as skipped.
pub fn can_fake_hosts() -> bool {
    let set_name = ["hostname", "another"];
    needs("unshare", &[&env::OTHER_HOST[..], &set_name].concat())
}

/// Whether a program can be run here; otherwise reports the test as skipped.
pub fn needs(program: &str, probe: &[&str]) -> bool {
    let there = Command::new(program)
        .args(probe)
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        skipped(&format!(
            "`{program}` is not installed, or does not work here"
        ));
    }
    there
}
