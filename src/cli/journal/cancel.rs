//! `hookfire journal cancel`

use clap::{Args, ValueHint};

use crate::cli::args::{DeliveryId, Format, ReportOutput};
use crate::cli::context::Context;
use crate::cli::scope::{self, Words};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::store::Seen;
use crate::text::count;

const EXAMPLES: &str = "\
Examples:
  Take one off the schedule, and delete it:
    $ hookfire journal cancel 42 && hookfire failed delete 42
  Send it at once instead of when it is due:
    $ hookfire journal cancel 42 && hookfire retry 42
  Everything that is scheduled for an endpoint that is gone:
    $ hookfire journal cancel -e staging";

/// Cancel scheduled attempts
///
/// A delivery that `fire --background` or `retry --due` has scheduled for another attempt is moved to the failed list, as
/// interrupted, from where it can be sent again or deleted. Nothing is deleted by this.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalCancelArgs {
    /// Scheduled deliveries, such as 42 or '#42'
    #[arg(value_name = "ID", value_hint = ValueHint::Other)]
    ids: Vec<DeliveryId>,
    /// All that are meant for this endpoint
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other)]
    endpoint: Option<String>,
    /// Everything that is scheduled
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalCancelArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let command = "hookfire journal cancel";
    let (example, filter, list) = ("42", "-e staging", "hookfire journal list --status pending");
    let words = Words {
        command,
        things: "deliveries",
        example,
        filter,
        list,
    };
    let ids: Vec<i64> = args.ids.iter().map(|id| id.0).collect();
    let named = scope::settle(&ids, args.endpoint.is_some(), args.all, &words)?;
    let journal = ctx.existing_journal()?;
    let seen = seen(
        named.as_deref(),
        args.endpoint.as_deref(),
        journal.as_deref(),
    )?;
    let cancelled = journal
        .as_ref()
        .map_or(Ok(0), |journal| journal.unschedule(&seen))?;
    match args.output.format() {
        Format::Text => ctx.ui.line(&format!(
            "cancelled {}",
            count(cancelled, "delivery", "deliveries")
        ))?,
        format => ctx
            .ui
            .line(&format.document(&serde_json::json!({ "cancelled": cancelled })))?,
    }
    ctx.ui.flush()?;
    if cancelled > 0 {
        ctx.ui
            .hint("`hookfire failed list` shows what is in the failed list now");
    }
    Ok(Exit::Done)
}

fn seen(
    named: Option<&[i64]>,
    endpoint: Option<&str>,
    journal: Option<&dyn Journal>,
) -> Result<Vec<Seen>, Failure> {
    let Some(ids) = named else {
        return Ok(journal.map_or(Ok(Vec::new()), |journal| journal.scheduled(endpoint))?);
    };
    let seen = ids.iter().map(|&id| {
        let Some(journal) = journal else {
            return Err(Failure::no_delivery(id));
        };
        let delivery = journal
            .delivery(id)?
            .ok_or_else(|| Failure::no_delivery(id))?;
        if !journal.is_scheduled(id)? {
            let status = delivery.status.as_str();
            return Err(Failure::new(
                Kind::NotFound,
                format!("#{id} is not scheduled: it is {status}"),
            )
            .hint(format!("`hookfire journal show {id}` shows it")));
        }
        Ok(Seen {
            id,
            attempts: delivery.attempt_count,
        })
    });
    seen.collect()
}
