//! One cold `hookfire fire`, the whole process from start to exit, beside curl and xh posting the same event.
//!
//! hookfire commits to its journal with a sync before the request and one after; the others store nothing.

use std::path::Path;
use std::process::Command;

use crate::programs::{Endpoint, Programs};
use crate::runs;
use crate::table::{Goal, Row, Table, milliseconds};
use crate::{Bench, BenchError};

/// Runs of each.
const ROUNDS: usize = 200;

/// Measures time over http and https, and memory over http.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), BenchError> {
    let home = bench.folder.path();
    let endpoint = bench.programs.serve(home)?;
    let mut plain = posts(bench, &endpoint, &endpoint.http, false);
    time(table, "cold fire, http", [0.95, 0.55], &mut plain)?;
    let mut secure = posts(bench, &endpoint, &endpoint.https, true);
    time(
        table,
        "cold fire, https, `--cacert`",
        [0.8, 0.5],
        &mut secure,
    )?;
    memory(table, &bench.programs, home, &plain)?;
    if bench.programs.xh.is_none() {
        table.remark("xh was not measured: this release of Debian does not package it.");
    }
    Ok(())
}

/// Each program's name and its command to post an event; hookfire comes first.
type Posts = Vec<(&'static str, Command)>;

fn posts(bench: &Bench, endpoint: &Endpoint, url: &str, pinned: bool) -> Posts {
    let home = bench.folder.path();
    let mut hookfire = runs::hookfire(home, &home.join("fire.db"));
    hookfire
        .args(["fire", "--url", url, "--event"])
        .arg(&bench.event);
    let mut curl = runs::quiet(&bench.programs.curl, home);
    curl.args([
        "-s",
        "-f",
        "-H",
        "Content-Type: application/xml",
        "--data-binary",
    ])
    .arg(at(&bench.event))
    .arg(url);
    if pinned {
        hookfire.arg("--cacert").arg(&endpoint.authority);
        curl.arg("--cacert").arg(&endpoint.authority);
    }
    let mut posts = vec![("hookfire", hookfire), ("curl", curl)];
    if let Some(path) = &bench.programs.xh {
        let mut xh = runs::quiet(path, home);
        xh.args([
            "--ignore-stdin",
            "--check-status",
            "post",
            url,
            "Content-Type:application/xml",
        ])
        .arg(at(&bench.event));
        if pinned {
            xh.arg("--verify").arg(&endpoint.authority);
        }
        posts.push(("xh", xh));
    }
    posts
}

/// A file argument as curl and xh take it.
fn at(file: &Path) -> String {
    format!("@{}", file.display())
}

/// Adds a row for each rival; the goal, keep and aim, applies to curl.
fn time(
    table: &mut Table,
    what: &str,
    [keep, aim]: [f64; 2],
    posts: &mut Posts,
) -> Result<(), BenchError> {
    let (names, mut commands): (Vec<_>, Vec<_>) = posts.drain(..).unzip();
    let samples = runs::in_turn(ROUNDS, &mut commands)?;
    let ours = &samples[0];
    for (name, theirs) in names.iter().zip(&samples).skip(1) {
        let ratio = ours.median / theirs.median;
        table.push(Row {
            what: what.to_owned(),
            hookfire: milliseconds(ours),
            rival: format!("{name}: {}", milliseconds(theirs)),
            ratio: Some(ratio),
            goal: (*name == "curl").then(|| Goal::ratio_at_most(keep, aim, ratio)),
        });
    }
    posts.extend(names.into_iter().zip(commands));
    Ok(())
}

fn memory(
    table: &mut Table,
    programs: &Programs,
    home: &Path,
    posts: &Posts,
) -> Result<(), BenchError> {
    let peaks: Vec<(&str, f64)> = posts
        .iter()
        .map(|(name, command)| Ok((*name, runs::peak_memory(&programs.gnu_time, home, command)?)))
        .collect::<Result<_, BenchError>>()?;
    let ours = peaks[0].1;
    for (name, theirs) in &peaks[1..] {
        let ratio = ours / theirs;
        table.push(Row {
            what: "peak memory of a fire, http".to_owned(),
            hookfire: format!("{ours:.1} MB"),
            rival: format!("{name}: {theirs:.1} MB"),
            ratio: Some(ratio),
            goal: (*name == "curl").then(|| Goal::ratio_at_most(1.0, 0.7, ratio)),
        });
    }
    Ok(())
}
