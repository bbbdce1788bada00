//! hookfire beside the programs that one would take instead: a table of ratios, all of one run on one machine.
//!
//! `cargo bench` measures everything, in less than four minutes; `cargo bench -- fire lists` only what it names. Each
//! rival is an ordinary program, installed on a Debian machine where this runs as root. The table goes to stdout, ready to be
//! pasted into `benches/README.md`; what is under way is told on stderr. Absolute figures are the machine's: only ratios
//! are compared with what is aimed at.

mod batch;
mod catcher;
mod fire;
mod lists;
mod rivals;
mod runs;
mod table;

use std::io::Write as _;
use std::path::PathBuf;

use rivals::Rivals;
use table::{Machine, Table};

type Failure = Box<dyn std::error::Error>;

/// The program that is measured.
const HOOKFIRE: &str = env!("CARGO_BIN_EXE_hookfire");

/// Measures some of it, and adds what came out to the table.
type Group = fn(&Bench, &mut Table) -> Result<(), Failure>;

const GROUPS: [(&str, Group); 4] = [
    ("fire", fire::measure),
    ("batch", batch::measure),
    ("catcher", catcher::measure),
    ("lists", lists::measure),
];

/// What every group needs.
struct Bench {
    rivals: Rivals,
    /// For everything that is written: on the disk that the build is on, since a sync in memory would cost nothing.
    folder: tempfile::TempDir,
    /// A 3scale event of the usual size.
    event: PathBuf,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |option: &str| arguments.iter().any(|argument| argument == option);
    // Without it cargo wants to know whether this runs, not how fast it is.
    if !given("--bench") || given("--test") {
        return Ok(());
    }
    let wanted: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("--"))
        .collect();
    let known = GROUPS.map(|(name, _)| name);
    if let Some(stranger) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "nothing here is called `{stranger}`; there are {}",
            known.join(", ")
        )
        .into());
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let event = folder.path().join("event.xml");
    std::fs::write(&event, event_numbered(1))?;
    let machine = Machine::look(folder.path())?;
    let bench = Bench {
        rivals: Rivals::find()?,
        folder,
        event,
    };
    let mut table = Table::default();
    for (name, measure) in GROUPS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.contains(name))
    {
        tell(&format!("measuring: {name}"));
        measure(&bench, &mut table)?;
    }
    Ok(write!(std::io::stdout().lock(), "{machine}\n\n{table}")?)
}

/// Says on stderr what is under way.
fn tell(words: &str) {
    // Nothing depends on its being heard.
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// The object of an event.
fn object_numbered(number: usize) -> String {
    format!(
        "<application><id>{number}</id><name>Gold</name><description>An application of a customer</description>\
         <state>live</state><user_key>0123456789abcdef0123456789abcdef</user_key></application>"
    )
}

/// A whole event document.
fn event_numbered(number: usize) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <event><type>application</type><action>created</action><object>{}</object></event>",
        object_numbered(number)
    )
}
