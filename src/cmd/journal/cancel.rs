//! `hookfire journal cancel`

use clap::{Args, ValueHint};

use crate::cmd::args::{DeliveryId, Format, ReportOutput};
use crate::cmd::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Kind};
use crate::journal::Journal;
use crate::output::json;
use crate::store::{Schedule as _, Seen, Store as _};
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
    #[arg(value_name = "ID", value_hint = ValueHint::Other, required_unless_present_any = ["all", "endpoint"])]
    ids: Vec<DeliveryId>,
    /// All that are meant for this endpoint
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, conflicts_with = "ids")]
    endpoint: Option<String>,
    /// Everything that is scheduled
    #[arg(long, conflicts_with_all = ["ids", "endpoint"])]
    all: bool,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalCancelArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let journal = ctx.existing_journal()?;
    let seen = seen(args, journal.as_ref())?;
    let cancelled = journal.as_ref().map_or(Ok(0), |journal| journal.unschedule(&seen))?;
    if args.output.format() == Format::Text {
        ctx.ui.line(&format!("cancelled {}", count(cancelled, "delivery", "deliveries")))?;
    } else {
        ctx.ui.line(&json::compact(&serde_json::json!({ "cancelled": cancelled })))?;
    }
    ctx.ui.flush()?;
    if cancelled > 0 {
        ctx.ui.hint("`hookfire failed list` shows what is in the failed list now");
    }
    Ok(Exit::Done)
}

fn seen(args: &JournalCancelArgs, journal: Option<&Journal>) -> Result<Vec<Seen>, Failure> {
    if args.ids.is_empty() {
        return Ok(journal.map_or(Ok(Vec::new()), |journal| journal.scheduled(args.endpoint.as_deref()))?);
    }
    let named = args.ids.iter().map(|id| {
        let Some(journal) = journal else { return Err(Failure::no_delivery(id.0)) };
        let delivery = journal.delivery(id.0)?.ok_or_else(|| Failure::no_delivery(id.0))?;
        if !journal.is_scheduled(id.0)? {
            let status = delivery.status.as_str();
            return Err(Failure::new(Kind::NotFound, format!("#{} is not scheduled: it is {status}", id.0))
                .hint(format!("`hookfire journal show {}` shows it", id.0)));
        }
        Ok(Seen { id: id.0, attempts: delivery.attempt_count })
    });
    named.collect()
}
