//! What every end-to-end story stands on: a hermetic world to run `hookfire` in, and a server that follows a
//! script.
//!
//! A story owns a [`TestEnv`] (its own home, journal and configuration; nothing of the machine leaks in) and,
//! where it needs an endpoint, a [`Server`] that answers, refuses, hangs, resets or half-sends as its
//! [`Step`]s say. Both are strict: a process that does not end, a step that was not used, a request that no
//! step was left for, all fail the test.
//!
//! Nothing here knows hookfire's commands or its journal's tables; stories do.
#![allow(
    dead_code,
    reason = "a toolbox: a tool stays whole while no story happens to need one of its parts"
)]

mod action;
pub mod browser;
mod canary;
mod env;
mod listener;
mod outcome;
mod process;
mod received;
mod receiver;
mod redact;
mod script;
mod server;
pub mod strace;

#[allow(
    unused_imports,
    reason = "the toolbox's one door, the same reason: a name stays while no story needs it"
)]
pub use self::{
    env::TestEnv,
    listener::{Listener, RawAnswer, read_answer},
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

/// Says, past the test runner's capturing, that a test is left out and why; `tests/run` counts these lines.
pub fn skipped(reason: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// Whether a program is there to be run; says so if it is not.
pub fn needs(program: &str, probe: &[&str]) -> bool {
    let there = std::process::Command::new(program)
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
