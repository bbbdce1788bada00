//! `hookfire journal cancel`

use clap::{Args, ValueHint};

use crate::cli::args::{ReportOutput, parse_id};
use crate::cli::context::Context;
use crate::cli::list::deletion::change_all;
use crate::cli::selection;
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{DeliveryList, DeliveryVersion, Journal, Query};
use crate::text::count;

const EXAMPLES: &str = "\
Examples:
  Cancel a scheduled delivery and delete it:
    $ hookfire journal cancel 42 && hookfire failed delete 42
  Send it now instead of when it is due:
    $ hookfire journal cancel 42 && hookfire retry 42
  Cancel everything scheduled for an endpoint that no longer exists:
    $ hookfire journal cancel -e staging";

/// Cancel scheduled attempts
///
/// Moves deliveries that `fire --background` or `retry --due` scheduled for another attempt to the failed list, as
/// interrupted. There you can send them again or delete them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalCancelArgs {
    /// Scheduled deliveries, such as 42 or '#42'
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    ids: Vec<i64>,
    /// All scheduled deliveries for this endpoint
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other)]
    endpoint: Option<String>,
    /// All scheduled deliveries
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalCancelArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (command, is_filtered) = ("hookfire journal cancel", args.endpoint.is_some());
    let named = selection::resolve(
        &args.ids,
        is_filtered,
        args.all,
        command,
        "42",
        "-e staging",
    )?;
    let journal = ctx.readable_journal()?;
    selection::refuse_unknown_endpoint(ctx, args.endpoint.as_deref(), &*journal)?;
    let seen = seen(named.as_deref(), args.endpoint.as_deref(), &*journal)?;
    let change = |journal: &dyn Journal, rest: &[_]| journal.cancel_slice(rest);
    let (cancelled, result) = change_all(ctx, &*journal, &seen, "deliveries", change)?;
    let text = format!("cancelled {}", count(cancelled, "delivery", "deliveries"));
    let view = serde_json::json!({ "cancelled": cancelled });
    ctx.ui.report(args.output.format(), &text, &view)?;
    if cancelled > 0 {
        ctx.ui.hint("`hookfire failed list` shows them");
    }
    result.map(|()| Exit::Done)
}

fn seen(
    named: Option<&[i64]>,
    endpoint: Option<&str>,
    journal: &dyn Journal,
) -> Result<Vec<DeliveryVersion>, Failure> {
    let Some(ids) = named else {
        let query = Query {
            list: DeliveryList::Scheduled,
            filter: Filter {
                endpoint: endpoint.map(str::to_owned),
                ..Filter::default()
            },
            limit: None,
        };
        return Ok(journal.delivery_versions(&query)?);
    };
    let seen = ids.iter().map(|&id| {
        let delivery = journal
            .delivery(id)?
            .ok_or_else(|| Failure::no_delivery(id))?;
        if !delivery.is_scheduled() {
            let state = match delivery.status {
                Status::Pending => "it is being sent",
                Status::Delivered => "it has been delivered",
                Status::Failed => "it has already failed",
                Status::Interrupted => "it was interrupted and is in the failed list",
                Status::Ignored => "it was ignored because of a webhook switch",
            };
            return Err(
                Failure::new(Kind::NotFound, format!("#{id} is not scheduled: {state}"))
                    .hint(format!("`hookfire journal show {id}` shows it")),
            );
        }
        Ok(DeliveryVersion::from(&delivery))
    });
    seen.collect()
}
