//! `hookfire journal check`

use clap::Args;

use crate::cli::args::{Format, ReportOutput};
use crate::cli::context::Context;
use crate::config::SettingSource;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::text::count;

/// Check the journal for damage, and count its contents
///
/// Reads the whole file. Exits with 6 if the journal is damaged.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  Check the journal in a nightly job:\n    $ hookfire journal check -o json"
)]
pub struct JournalCheckArgs {
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalCheckArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let Some(journal) = ctx.existing_journal()? else {
        let (path, source) = ctx.journal_path()?;
        let missing = format!("there is no journal at `{}`", path.display());
        if source != SettingSource::Default {
            return Err(Failure::new(Kind::Journal, missing));
        }
        let message = format!("{missing} yet; the first delivery creates it");
        ctx.ui.status(&message);
        if args.output.format() != Format::Text {
            ctx.ui.line("null")?;
        }
        return Ok(Exit::Done);
    };
    let health = journal.check()?;
    let path = journal.path().to_string_lossy();
    if args.output.format() == Format::Text {
        let total = health.counts.iter().map(|(_, number)| number).sum();
        let state = if health.problems.is_empty() {
            "sound"
        } else {
            "damaged"
        };
        ctx.ui.line(&format!(
            "{path} is {state}: {} with {}, {}",
            count(total, "delivery", "deliveries"),
            count(health.attempts, "attempt", "attempts"),
            count(health.captures, "capture", "captures")
        ))?;
        for (status, number) in &health.counts {
            ctx.ui
                .line(&format!("  {:<11} {number}", status.as_str()))?;
        }
    } else {
        let deliveries: serde_json::Map<String, serde_json::Value> = health
            .counts
            .iter()
            .map(|(status, number)| (status.as_str().to_owned(), (*number).into()))
            .collect();
        let view = serde_json::json!({
            "path": path, "sound": health.problems.is_empty(), "deliveries": deliveries,
            "attempts": health.attempts, "captures": health.captures, "problems": health.problems,
        });
        ctx.ui.line(&args.output.format().document(&view))?;
    }
    ctx.ui.flush()?;
    if health.problems.is_empty() {
        return Ok(Exit::Done);
    }
    let failure = Failure::new(
        Kind::Journal,
        format!(
            "the journal `{path}` is damaged: {}",
            health.problems.join("; ")
        ),
    );
    Err(failure.hint("copy the file first, then try `sqlite3 FILE .recover`"))
}
