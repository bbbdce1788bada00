//! One cold `hookfire fire`, with all that a process costs from its start to its end, beside curl and xh posting the same
//! event. hookfire writes it down and syncs before it sends and after; the others write nothing.

use std::path::Path;
use std::process::Command;

use crate::rivals::{Endpoint, Rivals};
use crate::runs;
use crate::table::{Aim, Row, Table, milliseconds};
use crate::{Bench, Failure};

/// Runs of each.
const ROUNDS: usize = 200;

/// Measures time over http and https, and memory over http.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), Failure> {
    let home = bench.folder.path();
    let endpoint = bench.rivals.serve(home)?;
    let mut plain = posts(bench, &endpoint, &endpoint.http, false);
    time(table, "cold fire, http", 0.5, &mut plain)?;
    let mut secure = posts(bench, &endpoint, &endpoint.https, true);
    time(table, "cold fire, https, `--cacert`", 0.4, &mut secure)?;
    memory(table, &bench.rivals, home, &plain)?;
    if bench.rivals.xh.is_none() {
        table.remark("xh is left out: this release of Debian has none.");
    }
    Ok(())
}

/// A program's name, and how it posts an event; hookfire comes first.
type Posts = Vec<(&'static str, Command)>;

fn posts(bench: &Bench, endpoint: &Endpoint, url: &str, pinned: bool) -> Posts {
    let home = bench.folder.path();
    let mut hookfire = runs::hookfire(home, &home.join("fire.db"));
    hookfire
        .args(["fire", "--url", url, "--event"])
        .arg(&bench.event);
    let mut curl = runs::quiet(&bench.rivals.curl, home);
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
    if let Some(path) = &bench.rivals.xh {
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

/// How curl and xh are told of a file.
fn at(file: &Path) -> String {
    format!("@{}", file.display())
}

/// What is aimed at is held to curl.
fn time(table: &mut Table, what: &str, most: f64, posts: &mut Posts) -> Result<(), Failure> {
    let (names, mut commands): (Vec<_>, Vec<_>) = posts.drain(..).unzip();
    let samples = runs::in_turn(ROUNDS, &mut commands)?;
    let ours = &samples[0];
    for (name, theirs) in names.iter().zip(&samples).skip(1) {
        let ratio = ours.median / theirs.median;
        table.push(Row {
            what: what.to_owned(),
            ours: milliseconds(ours),
            theirs: format!("{name}: {}", milliseconds(theirs)),
            ratio: Some(ratio),
            aim: (*name == "curl").then(|| Aim::ratio_at_most(most, ratio)),
        });
    }
    posts.extend(names.into_iter().zip(commands));
    Ok(())
}

fn memory(table: &mut Table, rivals: &Rivals, home: &Path, posts: &Posts) -> Result<(), Failure> {
    let peaks: Vec<(&str, f64)> = posts
        .iter()
        .map(|(name, command)| Ok((*name, runs::peak_memory(&rivals.time, home, command)?)))
        .collect::<Result<_, Failure>>()?;
    let ours = peaks[0].1;
    for (name, theirs) in &peaks[1..] {
        let ratio = ours / theirs;
        table.push(Row {
            what: "peak memory of it, http".to_owned(),
            ours: format!("{ours:.1} MB"),
            theirs: format!("{name}: {theirs:.1} MB"),
            ratio: Some(ratio),
            aim: (*name == "curl").then(|| Aim::ratio_at_most(0.5, ratio)),
        });
    }
    Ok(())
}
