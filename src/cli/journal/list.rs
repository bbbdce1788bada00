//! `hookfire journal list`

use std::num::NonZeroUsize;

use clap::Args;

use crate::cli::args::{Format, ListFilterArgs, ListOutput, StatusArg, at_least_one};
use crate::cli::context::Context;
use crate::cli::list::{self, Words};
use crate::cli::scope;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{List, Query};

/// Newest deliveries shown as text unless told otherwise; the other formats are for scripts and show all.
const SCREENFUL: usize = 50;

const EXAMPLES: &str = "\
Examples:
  The newest deliveries, whatever became of them:
    $ hookfire journal list
  What was delivered to staging today:
    $ hookfire journal list --status delivered -e staging --since 2026-11-20
  Everything, for a spreadsheet:
    $ hookfire journal list -o csv > deliveries.csv";

/// List deliveries of any status, newest first
///
/// As text the newest 50, in the other formats all, unless --limit says otherwise.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalListArgs {
    /// Only deliveries of this status
    #[arg(long, value_name = "STATUS", value_enum)]
    status: Option<StatusArg>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroUsize>)]
    limit: Option<NonZeroUsize>,
    #[command(flatten)]
    filter: ListFilterArgs,
    #[command(flatten)]
    output: ListOutput,
}

pub(super) fn run(args: &JournalListArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let filter = args.filter.filter(ctx.now())?;
    let format = args.output.format();
    let nothing_asked = filter.is_empty() && args.status.is_none();
    let query = Query {
        list: List::All(args.status.map(|status| status.0)),
        filter,
        limit: args
            .limit
            .map(NonZeroUsize::get)
            .or((format == Format::Text).then_some(SCREENFUL)),
    };
    let journal = ctx.existing_journal()?;
    let empty = if nothing_asked {
        "the journal is empty"
    } else {
        "nothing in the journal matches"
    };
    let words = Words {
        empty,
        when_empty: &|| scope::hint_at_unknown(ctx, &query.filter),
        with_status: true,
    };
    list::print(ctx, journal.as_deref(), &query, format, &words)?;
    if format == Format::Text {
        list::name_the_limit(ctx, journal.as_deref(), &query)?;
    }
    Ok(Exit::Done)
}
