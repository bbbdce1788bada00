//! A disk that fails, or is full, at each write of a fire: nothing is sent that is not safely written down, nothing counts as
//! delivered that could not be recorded, and the journal goes on afterwards.

use crate::judge::{Facts, Scene, in_lanes};
use crate::support::strace::{Point, can_inject, points};
use crate::support::{Outcome, Received, Server, forever};

/// What changes a file or its folder, or waits for the disk.
const WRITES: &[&str] = &[
    "fallocate",
    "fchmod",
    "fdatasync",
    "fsync",
    "ftruncate",
    "linkat",
    "mkdir",
    "openat",
    "pwrite64",
    "write",
    "writev",
];

#[test]
fn a_first_fire_survives_an_error_at_any_of_its_writes() {
    failing_everywhere(&Scene::first());
}

#[test]
fn a_fire_that_moves_the_log_survives_an_error_at_any_of_its_writes() {
    failing_everywhere(&Scene::second());
}

/// An error, once or from then on.
#[derive(Clone, Copy, Debug)]
struct Fault {
    errno: &'static str,
    onwards: bool,
}

const FAULTS: [Fault; 3] = [
    Fault { errno: "EIO", onwards: false },
    Fault { errno: "ENOSPC", onwards: false },
    Fault { errno: "ENOSPC", onwards: true },
];

fn failing_everywhere(scene: &Scene) {
    if !can_inject() {
        return;
    }
    let server = Server::script(vec![forever(200)]);
    let writes = writes_of(scene, &server);
    assert!(writes.len() > 20, "{}: only {} writes", scene.name, writes.len());
    let cases = writes.iter().flat_map(|write| FAULTS.map(|fault| (write, fault)));
    // From a `write` on, it could not say anything any more.
    let cases: Vec<(&Point, Fault)> = cases.filter(|(write, fault)| write.name != "write" || !fault.onwards).collect();
    let runs = in_lanes(&cases, |index, (write, fault)| {
        let (env, path) = (scene.world(), format!("/{index}"));
        let what = format!("error={}", fault.errno);
        let options = if fault.onwards { write.options_onwards(&what) } else { write.options(&what) };
        let url = format!("{}{path}", server.url());
        let outcome = env.program("strace").args(options).args(scene.command(&url)).run();
        let what =
            format!("{} with {fault:?} at {} number {}, `{}`", scene.name, write.name, write.number, write.shown);
        let facts = Facts::gather(&env, what, path);
        let next = env.hookfire(["fire", "user", "created", "--no-retry", "--url"]).arg(server.url()).run();
        (outcome, facts, next)
    });
    let requests = server.requests();
    let wrong: Vec<String> = runs.iter().flat_map(|(run, facts, next)| wrongs(run, facts, next, &requests)).collect();
    assert!(wrong.is_empty(), "{} of {} runs:\n{}", wrong.len(), runs.len(), wrong.join("\n"));
    let ended =
        |code: i32, words: &str| runs.iter().any(|(run, ..)| run.code == Some(code) && run.stderr().contains(words));
    assert!(ended(0, "200 OK"), "some errors can be done without");
    assert!(ended(6, "hint: "), "some keep it from being sent");
    assert!(ended(6, "#"), "some keep what came of it from being recorded");
}

/// The first thread's calls that write, but for what is told, in one undisturbed run: the other threads only send.
fn writes_of(scene: &Scene, server: &Server) -> Vec<Point> {
    let env = scene.world();
    let command = scene.command(&format!("{}/undisturbed", server.url()));
    env.program("strace").args(["-f", "-o", "trace"]).args(command).run().assert_code(0);
    let trace = std::fs::read_to_string(env.work_dir().join("trace")).expect("a trace");
    let mut points = points(&trace, "journal.db");
    let told = |point: &Point| ["write(1, ", "write(2, "].iter().any(|start| point.shown.starts_with(start));
    points.retain(|point| !point.followed && WRITES.contains(&point.name.as_str()) && !told(point));
    points
}

/// What is not as promised of one run, in words.
fn wrongs(run: &Outcome, facts: &Facts, next: &Outcome, requests: &[Received]) -> Vec<String> {
    let mut wrongs = facts.violations(requests);
    let mut wrong = |what: &str| wrongs.push(format!("{}: {what}\n{run}", facts.what));
    let received = facts.received(requests).next();
    let status = received.and_then(|id| facts.statuses().find(|(uuid, _)| *uuid == id)).map(|(_, status)| status);
    match (run.code, status) {
        (Some(0), Some("delivered")) => {}
        (Some(0), _) => wrong("it ended well, and no delivery is recorded"),
        (Some(6), _) if !run.stderr().contains("journal") => wrong("it does not say what is wrong with what"),
        (Some(6), None) => {}
        (Some(6), Some(_)) if run.stderr().contains("was sent (delivered), but the journal could not record it") => {}
        (Some(6), Some(_)) => wrong("it was sent, and it does not say so"),
        _ => wrong("an end of another kind"),
    }
    if next.code != Some(0) {
        wrongs.push(format!("{}: the next one does not get through\n{next}", facts.what));
    }
    wrongs
}
