//! `hookfire journal copy`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::args::ReportOutput;
use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{self, Location};
use crate::text::count;

const EXAMPLES: &str = "\
Examples:
  Copy the journal of this user to the team's database:
    $ hookfire journal copy --from ~/.local/state/hookfire/journal.db --journal postgresql://ci@db.example.com/hooks";

/// Copy the rows of a journal in a file to a PostgreSQL database
///
/// Deliveries get new ids and keep their uuids; those whose uuid the database has are skipped, so that the command can be
/// repeated. The rows stay in the file: do not send scheduled or failed deliveries from both.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalCopyArgs {
    /// The journal to copy
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    from: PathBuf,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalCopyArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (location, _) = ctx.journal_location()?;
    let Location::Server(server) = &location else {
        return Err(Failure::usage(format!(
            "the journal `{location}` is a file; `journal copy` copies to a database"
        ))
        .hint("name a database with `--journal postgresql://USER@HOST/DATABASE`")
        .hint("`hookfire journal export FILE` copies a journal to a file"));
    };
    // Opening would create it.
    if !args.from.exists() {
        return Err(Failure::new(
            Kind::Journal,
            format!("there is no journal at `{}` to copy", args.from.display()),
        ));
    }
    let copied = journal::copy(&args.from, server)?;
    let text = format!(
        "copied {} and {} to {location}; {} were there already",
        count(copied.deliveries, "delivery", "deliveries"),
        count(copied.captures, "capture", "captures"),
        copied.skipped
    );
    let view = serde_json::json!({
        "journal": location.to_string(), "deliveries": copied.deliveries, "captures": copied.captures,
        "skipped": copied.skipped,
    });
    ctx.ui.report(args.output.format(), &text, &view)?;
    Ok(Exit::Done)
}
