//! `hookfire journal list`

use clap::Args;

use crate::cli::args::{Format, ListFilterArgs, ListOutput, one_of, whole_number};
use crate::cli::context::Context;
use crate::cli::list;
use crate::delivery::Status;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{DeliveryList, Query};

/// Deliveries listed as text without `--limit`. The other formats, for scripts, list all.
const DEFAULT_TEXT_LIMIT: usize = 50;

const EXAMPLES: &str = "\
Examples:
  List the newest deliveries of any status:
    $ hookfire journal list
  List deliveries to staging since a date:
    $ hookfire journal list --status delivered -e staging --since 2026-11-20
  Write all deliveries to a file for a spreadsheet:
    $ hookfire journal list -o csv > deliveries.csv";

/// List deliveries of any status, newest first
///
/// Without --limit, text output lists the newest 50 and the other formats list all.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalListArgs {
    /// Only deliveries of this status
    #[arg(long, value_name = "STATUS", value_parser = one_of(Status::ALL, Status::as_str))]
    status: Option<Status>,
    /// List at most N
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX))]
    limit: Option<usize>,
    #[command(flatten)]
    filter: ListFilterArgs,
    #[command(flatten)]
    output: ListOutput,
}

pub(super) fn run(args: &JournalListArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let filter = args.filter.filter(ctx.now())?;
    let format = args.output.format();
    let is_unfiltered = filter.is_empty() && args.status.is_none();
    let query = Query {
        list: DeliveryList::All(args.status),
        filter,
        limit: args
            .limit
            .or((format == Format::Text).then_some(DEFAULT_TEXT_LIMIT)),
    };
    let journal = ctx.readable_journal()?;
    let empty = if is_unfiltered {
        "the journal is empty"
    } else {
        "nothing in the journal matches"
    };
    list::print(ctx, &*journal, &query, format, empty)?;
    Ok(Exit::Done)
}
