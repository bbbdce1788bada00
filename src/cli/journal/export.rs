//! `hookfire journal export`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::args::{Format, ReportOutput};
use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::store::JournalError;

const EXAMPLES: &str = "\
Examples:
  Back the journal up, also while others write to it:
    $ hookfire journal export backup.db
  Look into the copy:
    $ hookfire failed list --journal backup.db
  Keep what a CI job did as an artifact, whatever became of it:
    $ hookfire journal export \"hookfire-$CI_JOB_ID.db\"";

/// Copy the whole journal to a new file
///
/// The copy is a journal itself: every command reads it with --journal FILE. It holds deliveries, attempts and captures as they
/// are at one moment; other processes go on meanwhile. Nothing is overwritten, and the file is readable by you alone.
///
/// A copy knows nothing of what happens to the original afterwards: what is sent again from the copy is failed in the
/// original still, and would be sent again from there, too.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalExportArgs {
    /// The file to make
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalExportArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let path = args.file.display();
    let Some(journal) = ctx.existing_journal()? else {
        let (path, _) = ctx.journal_path()?;
        return Err(Failure::new(
            Kind::Journal,
            format!("there is no journal at `{}` to export", path.display()),
        ));
    };
    if args.file.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Kind::Error,
            format!("`{path}` is there already, and an export overwrites nothing"),
        ));
    }
    journal.copy_to(&args.file).map_err(|e| match e {
        JournalError::Io { .. } => Failure::from_error(Kind::Error, e),
        of_the_journal => of_the_journal.into(),
    })?;
    let bytes = args.file.metadata().map_or(0, |metadata| metadata.len());
    match args.output.format() {
        Format::Text => ctx
            .ui
            .line(&format!("exported {} to {path}", journal.path().display()))?,
        format => {
            let view = serde_json::json!({ "path": args.file.to_string_lossy(), "bytes": bytes });
            ctx.ui.line(&format.document(&view))?;
        }
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
