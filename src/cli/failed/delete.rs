//! `hookfire failed delete`

use clap::{Args, ValueHint};

use crate::cli::args::{DeleteArgs, Format, ListFilterArgs, parse_id};
use crate::cli::context::Context;
use crate::cli::list::deletion::Deletion;
use crate::cli::selection::Selection;
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
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    ids: Vec<i64>,
    /// All failed deliveries
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: ListFilterArgs,
    #[command(flatten)]
    delete: DeleteArgs,
}

pub(super) fn run(args: &FailedDeleteArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let filter = args.filter.filter(ctx.now())?;
    let selection = Selection::resolve(&args.ids, filter, args.all, "hookfire failed delete")?;
    let journal = ctx.readable_journal()?;
    selection.refuse_unknown_endpoint(ctx, &*journal)?;
    let seen = selection.seen(&*journal, None)?;
    if seen.is_empty() && args.delete.output.format() == Format::Text {
        selection.hint_at_unknown(ctx);
    }
    let names = ("failed delivery", "failed deliveries");
    let statuses = &[Status::Failed, Status::Interrupted];
    let journal = &*journal;
    let deletion = Deletion {
        journal,
        seen: &seen,
        statuses,
        names,
        must_confirm: selection.is_bulk(),
    };
    deletion.run(ctx, &args.delete, || deletion.print_table(ctx))
}
