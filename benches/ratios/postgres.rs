//! A journal in PostgreSQL beside one in a file: one cold fire, a batch, and a failed list that four processes retry at once.
//!
//! The server runs on this machine, with the settings that it has by default: each commit waits for the disk.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::postgres_server::PostgresServer;
use crate::receiver::{Receiver, Reply};
use crate::runs::{self, Running, Sample};
use crate::table::{Goal, Row, Table, milliseconds, per_second};
use crate::{Bench, BenchError, batch, lists};

const FIRES: usize = 100;
const ROUNDS: usize = 3;

/// Deliveries of the failed list.
const FAILED: usize = 10_000;
/// How long the endpoint of the failed list takes.
const RESPONSE_TIME: Duration = Duration::from_millis(5);
const JOBS: &str = "2";

/// Measures nothing where PostgreSQL cannot be started.
pub fn measure(bench: &Bench, table: &mut Table) -> Result<(), BenchError> {
    let Some(server) = PostgresServer::start_durable(env!("CARGO_TARGET_TMPDIR").as_ref()) else {
        table.remark("The group `postgres` was not measured: PostgreSQL cannot be started here.");
        return Ok(());
    };
    let measured = cold_fire(bench, &server, table)
        .and_then(|()| batches(bench, &server, table))
        .and_then(|()| four_processes(bench, &server, table));
    server.stop("fast");
    fs::remove_dir_all(&server.folder)?;
    measured
}

/// The URL of a new database with tables, over loopback.
fn new_journal(bench: &Bench, server: &PostgresServer) -> Result<String, BenchError> {
    let url = server.tcp_url(&server.new_database());
    runs::milliseconds(on(bench, &url).args(["journal", "migrate"]))?;
    Ok(url)
}

/// hookfire with the journal at this URL.
fn on(bench: &Bench, url: &str) -> Command {
    runs::hookfire(bench.folder.path(), url.as_ref())
}

fn cold_fire(bench: &Bench, server: &PostgresServer, table: &mut Table) -> Result<(), BenchError> {
    let endpoint = bench.programs.serve(bench.folder.path())?;
    let file = bench.folder.path().join("beside-postgres.db");
    let journals = [new_journal(bench, server)?, file.display().to_string()];
    let mut commands = journals.map(|journal| {
        let mut fire = on(bench, &journal);
        fire.args(["fire", "--url", &endpoint.http, "--event"])
            .arg(&bench.event);
        fire
    });
    let samples = runs::in_turn(FIRES, &mut commands)?;
    let [ours, file] = &samples[..] else {
        return Err("not every command was measured".into());
    };
    table.push(Row {
        what: "cold fire, http, in PostgreSQL on loopback".to_owned(),
        hookfire: milliseconds(ours),
        rival: format!("in a file: {}", milliseconds(file)),
        ratio: Some(ours.median / file.median),
        goal: None,
    });
    Ok(())
}

/// A batch in which all events are accepted and finished in groups.
fn batches(bench: &Bench, server: &PostgresServer, table: &mut Table) -> Result<(), BenchError> {
    let home = bench.folder.path();
    let endpoint = bench.programs.serve(home)?;
    let events = batch::write_events(home)?;
    let (mut ours, mut file) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let path = home.join(format!("beside-postgres-{round}.db"));
        let journals = [new_journal(bench, server)?, path.display().to_string()];
        for (journal, rates) in journals.iter().zip([&mut ours, &mut file]) {
            let mut fire = on(bench, journal);
            fire.args(["fire", "--jobs", "8", "--url", &endpoint.http, "--batch"])
                .arg(&events);
            rates.push(batch::rate(batch::EVENTS, runs::milliseconds(&mut fire)?));
        }
    }
    let [ours, file] = [ours, file].map(Sample::of);
    let ratio = ours.median / file.median;
    table.push(Row {
        what: format!(
            "batch of {}, 8 at once, each accepted and finished in PostgreSQL",
            batch::EVENTS
        ),
        hookfire: per_second(&ours),
        rival: format!("in a file: {}", per_second(&file)),
        ratio: Some(ratio),
        goal: Some(Goal::ratio_at_least(0.4, 0.9, ratio)),
    });
    Ok(())
}

/// Processes that retry one list share nothing but the server, as on several hosts.
fn four_processes(
    bench: &Bench,
    server: &PostgresServer,
    table: &mut Table,
) -> Result<(), BenchError> {
    let (mut one, mut four) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(retry_all(bench, server, 1)?);
        four.push(retry_all(bench, server, 4)?);
    }
    let [one, four] = [one, four].map(Sample::of);
    let ratio = four.median / one.median;
    table.push(Row {
        what: format!(
            "`retry --all --jobs {JOBS}` of {FAILED} by four processes, 5 ms per request"
        ),
        hookfire: per_second(&four),
        rival: format!("by one: {}", per_second(&one)),
        ratio: Some(ratio),
        goal: Some(Goal::ratio_at_least(3.0, 3.5, ratio)),
    });
    Ok(())
}

/// Deliveries per second, from the first request to the last.
fn retry_all(bench: &Bench, server: &PostgresServer, processes: usize) -> Result<f64, BenchError> {
    let journal = new_journal(bench, server)?;
    lists::import(bench.folder.path(), journal.as_ref(), FAILED)?;
    let receiver = Receiver::start(|_, _| Reply::After(RESPONSE_TIME, 200));
    let retries: Vec<Running> = (0..processes)
        .map(|_| {
            let mut retry = on(bench, &journal);
            retry.args(["retry", "--all", "--jobs", JOBS, "--url", &receiver.url()]);
            retry.spawn().map(Running)
        })
        .collect::<Result<_, _>>()?;
    for mut retry in retries {
        let status = retry.0.wait()?;
        if !status.success() {
            return Err(format!("a retry exited with {status}").into());
        }
    }
    let times: Vec<Instant> = receiver.times().into_values().flatten().collect();
    if times.len() != FAILED {
        return Err(format!("{} deliveries arrived instead of {FAILED}", times.len()).into());
    }
    let (first, last) = (times.iter().min(), times.iter().max());
    let took = last.zip(first).map(|(last, first)| *last - *first);
    let took = took.unwrap_or_default();
    Ok(batch::rate(FAILED, took.as_secs_f64() * 1e3))
}
