//! `hookfire failed list`

use clap::Args;

use crate::cli::args::{FailedOutput, ListFilterArgs, whole_number};
use crate::cli::context::Context;
use crate::cli::list;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{DeliveryList, Query};

const EXAMPLES: &str = "\
Examples:
  List all failed deliveries, oldest first:
    $ hookfire failed list
  List those that failed with a 5xx status since a deployment:
    $ hookfire failed list --http-status 5xx --since '2026-11-20 18:00:00'
  Get the ids of deliveries to unreachable endpoints, for a script:
    $ hookfire failed list --error connect -o ndjson | jq .id
  Write the list in 3scale's own format:
    $ hookfire failed list -o xml > failures.xml";

/// List failed deliveries, oldest first
///
/// An empty list is not an error. `xml` is the `<webhooks-failures>` document of 3scale's API.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FailedListArgs {
    /// List at most N
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX))]
    limit: Option<usize>,
    #[command(flatten)]
    filter: ListFilterArgs,
    #[command(flatten)]
    output: FailedOutput,
}

pub(super) fn run(args: &FailedListArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let filter = args.filter.filter(ctx.now())?;
    let empty = if filter.is_empty() {
        "the failed list is empty"
    } else {
        "nothing in the failed list matches"
    };
    let query = Query {
        list: DeliveryList::Failed,
        filter,
        limit: args.limit,
    };
    let journal = ctx.readable_journal()?;
    list::print(ctx, &*journal, &query, args.output.format(), empty)?;
    Ok(Exit::Done)
}
