//! `hookfire journal show`

use clap::{Args, ValueHint};

use crate::cli::args::{Format, PageOutput, parse_id};
use crate::cli::context::Context;
use crate::delivery::Delivery;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::output::human;
use crate::output::json::whole_delivery;

const EXAMPLES: &str = "\
Examples:
  Show everything about a delivery of any status:
    $ hookfire journal show 42
  Write the event's document, byte for byte:
    $ hookfire journal show 42 -o xml > event.xml";

/// Show a delivery of any status: attempts, errors, response and event
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalShowArgs {
    /// The delivery, such as 42 or '#42'
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    id: i64,
    #[command(flatten)]
    output: PageOutput,
}

pub(super) fn run(args: &JournalShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let id = args.id;
    let journal = ctx.readable_journal()?;
    let delivery = journal
        .delivery(id)?
        .ok_or_else(|| Failure::no_delivery(id))?;
    page(ctx, &*journal, &delivery, args.output.format())
}

/// Prints everything about a delivery.
pub fn page(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    delivery: &Delivery,
    format: Format,
) -> Result<Exit, Failure> {
    let event = journal.event(delivery.id)?;
    let attempts = || journal.attempts(delivery.id);
    match format {
        Format::Xml => ctx
            .ui
            .data(|out| out.write_all(&ctx.ui.untrusted_bytes(&event)))?,
        Format::Text => ctx.ui.line(&human::page(
            ctx.ui,
            delivery,
            &attempts()?,
            &event,
            ctx.now(),
        ))?,
        _ => {
            let view = whole_delivery(delivery, &attempts()?, &event);
            ctx.ui.line(&format.document(&view))?;
        }
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
