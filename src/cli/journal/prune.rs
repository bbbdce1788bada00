//! `hookfire journal prune`

use clap::Args;

use crate::cli::args::{DeleteArgs, one_of, time};
use crate::cli::context::Context;
use crate::cli::list::deletion::Deletion;
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{DeliveryList, DeliveryVersion, Journal, Query};
use crate::output::human::headline;
use crate::time::{Edge, ago, local};

/// The statuses that no longer change by themselves.
const FINISHED: [Status; 4] = [
    Status::Delivered,
    Status::Failed,
    Status::Interrupted,
    Status::Ignored,
];

const EXAMPLES: &str = "\
Examples:
  Delete deliveries that were delivered more than a month ago, in a nightly job:
    $ hookfire journal prune --older-than 30d --yes
  Show what would be deleted:
    $ hookfire journal prune --older-than 30d --dry-run";

/// Delete old deliveries from the journal
///
/// Deletes only deliveries that were delivered, unless --status names another status. Asks for confirmation on a terminal, and requires
/// --yes elsewhere.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalPruneArgs {
    /// Delete deliveries that were delivered or failed at or before this time: an age such as 30d, or a time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    older_than: String,
    /// Delete deliveries of this status
    #[arg(long, value_name = "STATUS", value_parser = one_of(FINISHED, Status::as_str), default_value = "delivered")]
    status: Status,
    #[command(flatten)]
    delete: DeleteArgs,
}

pub(super) fn run(args: &JournalPruneArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let filter = Filter {
        before: time(Some(&args.older_than), ctx.now(), Edge::UpTo)?,
        ..Filter::default()
    };
    let query = Query {
        list: DeliveryList::All(Some(args.status)),
        filter,
        limit: None,
    };
    let journal = ctx.readable_journal()?;
    let seen = journal.delivery_versions(&query)?;
    let names = ("delivery", "deliveries");
    let deletion = Deletion {
        journal: &*journal,
        seen: &seen,
        statuses: &[args.status],
        names,
        must_confirm: true,
    };
    deletion.run(ctx, &args.delete, || summary(ctx, &*journal, &seen))
}

/// The first and the last of the deliveries, which may be too many for a list.
fn summary(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    seen: &[DeliveryVersion],
) -> Result<(), Failure> {
    for (label, seen) in [("oldest", seen.last()), ("newest", seen.first())] {
        let delivery = seen.map_or(Ok(None), |seen| journal.delivery(seen.id))?;
        if let Some(delivery) = delivery {
            let (at, headline) = (delivery.finished_or_created_at(), headline(&delivery));
            let line = format!(
                "{label}: {} ({}), {headline}",
                local(at),
                ago(at, ctx.now())
            );
            ctx.ui.line(&ctx.ui.untrusted(&line))?;
        }
    }
    Ok(())
}
