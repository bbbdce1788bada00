//! The program under `strace`: which system calls it makes, so that a test can choose one to be its last or to fail.
//!
//! Runs nothing itself ([`TestEnv::program`](super::TestEnv::program) does). `strace` counts the calls of each name and
//! each thread from one, and so does [`points`]; which thread makes a call may differ from run to run, so that a test must
//! bear with a point that is not reached.

use std::collections::{BTreeMap, BTreeSet};

use super::needs;

/// A call that can be told to `strace`.
#[derive(Clone, Debug)]
pub struct Point {
    /// `pwrite64`
    pub name: String,
    /// The how manieth of its name in its thread, from 1.
    pub number: usize,
    /// Whether it is not the first thread's, so that all have to be followed.
    pub followed: bool,
    /// The call as it was made, for messages.
    pub shown: String,
}

/// Whether there is an `strace` that may trace and inject here; says so if not.
pub fn can_inject() -> bool {
    needs(
        "strace",
        &["-o", "/dev/null", "-e", "inject=getpid:retval=1", "true"],
    )
}

impl Point {
    /// The options that have `strace` do this at the point: `signal=KILL`, `error=EIO`.
    pub fn options(&self, what: &str) -> Vec<String> {
        self.options_from(what, "")
    }

    /// As [`Point::options`], from the point on.
    pub fn options_onwards(&self, what: &str) -> Vec<String> {
        self.options_from(what, "+")
    }

    fn options_from(&self, what: &str, onwards: &str) -> Vec<String> {
        let inject = format!("inject={}:{what}:when={}{onwards}", self.name, self.number);
        let follow = self.followed.then(|| "-f".to_owned());
        follow
            .into_iter()
            .chain(["-o", "/dev/null", "-e"].map(str::to_owned))
            .chain([inject])
            .collect()
    }
}

/// The calls of a trace (`strace -f -o`), in the order in which they began, from the first one on whose line holds `from`.
/// Of two threads' calls with the same name and number there is only the first: `strace` would never come to the other.
pub fn points(trace: &str, from: &str) -> Vec<Point> {
    let (mut counts, mut seen, mut points) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    let (mut first, mut reached) = (None, false);
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        let Some((name, _)) = call.split_once('(').filter(|(name, _)| is_name(name)) else {
            continue;
        };
        reached |= line.contains(from);
        let first = *first.get_or_insert(thread);
        let number = counts.entry((thread, name)).or_insert(0);
        *number += 1;
        let followed = thread != first;
        let comes_first = seen.insert((name, *number));
        // The first thread's calls are met alone where the others are not followed.
        if reached && (comes_first || !followed) {
            let (name, shown) = (name.to_owned(), call.chars().take(120).collect());
            points.push(Point {
                name,
                number: *number,
                followed,
                shown,
            });
        }
    }
    points
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
