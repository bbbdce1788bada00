//! `hookfire failed delete`

use clap::{Args, ValueHint};

use crate::cli::args::{DeliveryId, Format, ListFilterArgs, ReportOutput};
use crate::cli::context::Context;
use crate::cli::list::deletion;
use crate::cli::scope::Scope;
use crate::delivery::Status;
use crate::error::Failure;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  Delete one:
    $ hookfire failed delete 42
  Show what a filter would delete, then delete it:
    $ hookfire failed delete --before 2026-11-20T10:00:00Z --dry-run
    $ hookfire failed delete --before 2026-11-20T10:00:00Z --yes
  Delete everything that failed:
    $ hookfire failed delete --all --yes";

/// Delete failed deliveries from the journal
///
/// With a filter or --all, asks for confirmation on a terminal, and requires --yes elsewhere. `--before` is inclusive, like
/// `time` in 3scale's API. An invalid time, or no selection at all, deletes nothing.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FailedDeleteArgs {
    /// Failed deliveries, such as 42 or '#42'
    #[arg(value_name = "ID", value_hint = ValueHint::Other)]
    ids: Vec<DeliveryId>,
    /// All failed deliveries
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: ListFilterArgs,
    /// Show what would be deleted, and delete nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long, help_heading = None)]
    yes: bool,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &FailedDeleteArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let filter = args.filter.filter(ctx.now())?;
    let ids: Vec<i64> = args.ids.iter().map(|id| id.0).collect();
    let scope = Scope::resolve(&ids, filter, args.all, "hookfire failed delete")?;
    let journal = ctx.existing_journal()?;
    let seen = scope.seen(journal.as_deref(), None)?;
    if seen.is_empty() && args.output.format() == Format::Text {
        scope.hint_at_unknown(ctx);
    }
    let statuses = &[Status::Failed, Status::Interrupted];
    let deliveries = deletion::Deliveries {
        journal: journal.as_deref(),
        seen: &seen,
        statuses,
    };
    deletion::run(
        ctx,
        &deletion::Deletion {
            ids: &deliveries.ids(),
            one: "failed delivery",
            many: "failed deliveries",
            ask: scope.is_bulk(),
            yes: args.yes,
            dry_run: args.dry_run,
            format: args.output.format(),
            table: &|| deliveries.table(ctx),
            delete: &|| deliveries.delete(),
        },
    )
}
