//! System calls of the program from `strace`, so that a test can kill it at one or let one fail.
//!
//! `strace` counts the calls of each name and thread from 1, and so does [`points`]. Threads differ between runs, so a
//! test must accept points that are not reached.

use std::collections::{BTreeMap, BTreeSet};

use super::needs;

/// A system call where `strace` can inject a fault.
#[derive(Clone, Debug)]
pub struct Point {
    /// Such as `pwrite64`.
    pub name: String,
    /// Number among the calls of this name in its thread, from 1.
    pub number: usize,
    /// Whether another thread than the first makes the call, so that `strace` needs `-f`.
    pub followed: bool,
    /// The call, for messages.
    pub shown: String,
}

/// Whether `strace` can trace and inject here; otherwise reports the test as skipped.
pub fn can_inject() -> bool {
    needs(
        "strace",
        &["-o", "/dev/null", "-e", "inject=getpid:retval=1", "true"],
    )
}

impl Point {
    /// Options of `strace` for a fault at this point, such as `signal=KILL` or `error=EIO`.
    pub fn options(&self, what: &str) -> Vec<String> {
        self.options_from(what, "")
    }

    /// Like [`Point::options`], for this and all later calls.
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

/// The calls of a trace (`strace -f -o`) in order, from the first line that contains `from`. Of calls of two threads
/// with the same name and number, only the first is listed: `strace` never reaches the other.
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
        // Calls of the first thread can be reached without `-f`.
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
