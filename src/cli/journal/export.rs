//! `hookfire journal export`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::args::ReportOutput;
use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::time::Clock as _;

const EXAMPLES: &str = "\
Examples:
  Back up the journal, even while other processes write to it:
    $ hookfire journal export backup.db
  List failed deliveries of the copy:
    $ hookfire failed list --journal backup.db
  Keep the deliveries of a CI job as an artifact:
    $ hookfire journal export \"hookfire-$CI_JOB_ID.db\"";

/// Copy the journal to a new file
///
/// The copy of a file or of a database is a journal of its own: every command reads it with --journal FILE. It
/// contains all deliveries, attempts and captures as of one moment, while other processes continue. An existing file
/// is not overwritten, and only you can read the new one.
///
/// The copy does not follow the original. A failed delivery that you send again from the copy is still failed in the
/// original, and could be sent again from there.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalExportArgs {
    /// The file to create
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalExportArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let path = args.file.display();
    let Some(mut journal) = ctx.existing_journal()? else {
        let (location, _) = ctx.journal_location()?;
        return Err(Failure::new(
            Kind::Journal,
            format!("there is no journal at `{location}` to export"),
        ));
    };
    if args.file.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Kind::Error,
            format!("`{path}` already exists; an export does not overwrite files"),
        ));
    }
    ctx.catch_interrupts()?;
    let copied = journal.export(&args.file, ctx.clock.interrupt_flag());
    copied.map_err(|e| match e {
        _ if ctx.clock.interrupted() => {
            Failure::new(Kind::Interrupted, "interrupted; no copy was written")
        }
        JournalError::Io { .. } => Failure::from_error(Kind::Error, e),
        other => other.into(),
    })?;
    let bytes = args.file.metadata().map_or(0, |metadata| metadata.len());
    let text = format!("exported {} to {path}", journal.path().display());
    let view = serde_json::json!({ "path": args.file.to_string_lossy(), "bytes": bytes });
    ctx.ui.report(args.output.format(), &text, &view)?;
    Ok(Exit::Done)
}
