//! `hookfire journal check`

use std::time::Duration;

use clap::Args;

use crate::cli::args::{Format, ReportOutput};
use crate::cli::context::Context;
use crate::config::SettingSource;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::text::count;
use crate::time::rfc3339;

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
        let (location, source) = ctx.journal_location()?;
        let missing = format!("there is no journal at `{location}`");
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
    let far_due = warn_of_far_due(ctx, &*journal)?;
    let path = journal.path().to_string_lossy();
    let total = health.counts.iter().map(|(_, number)| number).sum();
    let state = if health.problems.is_empty() {
        "sound"
    } else {
        "damaged"
    };
    let mut text = format!(
        "{path} is {state}: {} with {}, {}",
        count(total, "delivery", "deliveries"),
        count(health.attempts, "attempt", "attempts"),
        count(health.captures, "capture", "captures")
    );
    let mut view = serde_json::json!({
        "path": path, "sound": health.problems.is_empty(), "deliveries": {},
        "attempts": health.attempts, "captures": health.captures, "far_due": far_due,
        "problems": health.problems,
    });
    if let Some(server) = &health.server {
        text += &format!(
            "\n  PostgreSQL {}, tables of version {}, its clock differs by {} ms",
            server.version, server.tables, server.clock_ahead_ms
        );
        view["server"] = serde_json::json!({
            "version": server.version, "tables": server.tables, "clock_ahead_ms": server.clock_ahead_ms,
        });
    }
    for (status, number) in &health.counts {
        text += &format!("\n  {:<11} {number}", status.as_str());
        view["deliveries"][status.as_str()] = (*number).into();
    }
    ctx.ui.report(args.output.format(), &text, &view)?;
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
    Err(match health.server {
        Some(_) => failure,
        None => failure.hint("copy the file first, then try `sqlite3 FILE .recover`"),
    })
}

/// Warns of deliveries that are scheduled for more than a year from now; returns how many.
pub fn warn_of_far_due(ctx: &Context<'_>, journal: &dyn Journal) -> Result<usize, Failure> {
    const YEAR: Duration = Duration::from_secs(366 * 86_400);
    let Some((number, latest)) = journal.scheduled_after(ctx.now().plus(YEAR))? else {
        return Ok(0);
    };
    let deliveries = count(number, "delivery is", "deliveries are");
    ctx.ui.warning(&format!(
        "{deliveries} scheduled for more than a year from now, until {}: the clock was probably wrong",
        rfc3339(latest)
    ));
    ctx.ui
        .hint("`hookfire journal list --status pending` lists scheduled deliveries");
    ctx.ui
        .hint("`hookfire journal cancel ID` moves one to the failed list");
    Ok(number)
}
