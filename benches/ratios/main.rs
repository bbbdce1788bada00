//! Benchmarks: hookfire beside the programs people would use instead, as a table of ratios from one run on one machine.
//!
//! `.github/package --bench` measures the release build in about five minutes, `cargo bench --profile dist` the build that
//! `cargo install` makes; names of groups after it limit both. The table goes to stdout, ready to be pasted into
//! `benches/README.md`; progress goes to stderr. Compare only the ratios: absolute figures depend on the machine.

mod batch;
mod fire;
mod listener;
mod lists;
mod postgres;
mod programs;
mod prune;
mod runs;
mod table;

#[path = "../../tests/it/support/postgres.rs"]
#[allow(clippy::unwrap_used, reason = "the tests share it")]
mod postgres_server;
#[path = "../../tests/it/support/receiver.rs"]
#[allow(dead_code, reason = "the tests share it")]
mod receiver;

use std::io::Write as _;
use std::path::PathBuf;

use programs::Programs;
use table::{Machine, Table};

type BenchError = Box<dyn std::error::Error>;

/// The program under test.
const HOOKFIRE: &str = env!("CARGO_BIN_EXE_hookfire");

/// Takes measurements and adds their rows to the table.
type Group = fn(&Bench, &mut Table) -> Result<(), BenchError>;

const GROUPS: [(&str, Group); 6] = [
    ("fire", fire::measure),
    ("batch", batch::measure),
    ("listener", listener::measure),
    ("lists", lists::measure),
    ("prune", prune::measure),
    ("postgres", postgres::measure),
];

/// Shared by all groups.
struct Bench {
    programs: Programs,
    /// Holds all files. It is on the same disk as the build, because a sync on tmpfs costs nothing.
    folder: tempfile::TempDir,
    /// A file with a 3scale event of the usual size.
    event: PathBuf,
}

fn main() -> Result<(), BenchError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |option: &str| arguments.iter().any(|argument| argument == option);
    // Without `--bench`, cargo only checks that the program runs.
    if !given("--bench") || given("--test") {
        return Ok(());
    }
    let wanted: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("--"))
        .collect();
    let known = GROUPS.map(|(name, _)| name);
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "unknown group `{unknown}`; the groups are {}",
            known.join(", ")
        )
        .into());
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let event = folder.path().join("event.xml");
    std::fs::write(&event, event_numbered(1))?;
    let machine = Machine::describe(folder.path())?;
    let bench = Bench {
        programs: Programs::find()?,
        folder,
        event,
    };
    let mut table = Table::default();
    for (name, measure) in GROUPS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.contains(name))
    {
        progress(&format!("measuring: {name}"));
        measure(&bench, &mut table)?;
    }
    Ok(write!(std::io::stdout().lock(), "{machine}\n\n{table}")?)
}

/// Prints progress to stderr.
fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// An object as XML.
fn object_numbered(number: usize) -> String {
    format!(
        "<application><id>{number}</id><name>Gold</name><description>An application of a customer</description>\
         <state>live</state><user_key>0123456789abcdef0123456789abcdef</user_key></application>"
    )
}

/// An event document.
fn event_numbered(number: usize) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <event><type>application</type><action>created</action><object>{}</object></event>",
        object_numbered(number)
    )
}

/// An event document of exactly `bytes` bytes.
fn event_of_size(bytes: usize) -> String {
    let event = |padding: &str| {
        format!(
            "<event><type>application</type><action>created</action><object><application><id>1</id>\
             <description>{padding}</description></application></object></event>"
        )
    };
    event(&"x".repeat(bytes.saturating_sub(event("").len())))
}
