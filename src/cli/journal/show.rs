//! `hookfire journal show`

use clap::{Args, ValueHint};

use crate::cli::args::{Format, PageOutput, parse_id};
use crate::cli::context::Context;
use crate::delivery::Delivery;
use crate::delivery::payload::PayloadKind;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::output::human;
use crate::output::json::whole_delivery;

const EXAMPLES: &str = "\
Examples:
  Show everything about a delivery of any status:
    $ hookfire journal show 42
  Write what was sent, byte for byte:
    $ hookfire journal show 42 --body > event.xml";

/// Show a delivery of any status: attempts, errors, response and payload
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalShowArgs {
    #[command(flatten)]
    page: DeliveryPageArgs,
}

/// Which delivery to show, and how.
#[derive(Args, Debug)]
pub struct DeliveryPageArgs {
    /// The delivery, such as 42 or '#42'
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    pub id: i64,
    /// Write the exact bytes of the event or body
    #[arg(long, help_heading = None)]
    body: bool,
    #[command(flatten)]
    output: PageOutput,
}

pub(super) fn run(args: &JournalShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let id = args.page.id;
    let journal = ctx.readable_journal()?;
    let delivery = journal
        .delivery(id)?
        .ok_or_else(|| Failure::no_delivery(id))?;
    page(ctx, &*journal, &delivery, &args.page)
}

/// Prints everything about a delivery.
pub fn page(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    delivery: &Delivery,
    args: &DeliveryPageArgs,
) -> Result<Exit, Failure> {
    let format = args.output.format();
    if args.body && ctx.is_flag("output") {
        return Err(Failure::usage(
            "`--body` cannot be combined with `--output`",
        ));
    }
    if format == Format::Xml && !args.body {
        refuse_xml_of_other_payloads(delivery)?;
    }
    let payload = journal.payload(delivery.id)?;
    let attempts = || journal.attempts(delivery.id);
    match format {
        _ if args.body => exact(ctx, &payload)?,
        Format::Xml => exact(ctx, &payload)?,
        Format::Text => ctx.ui.line(&human::page(
            ctx.ui,
            delivery,
            &attempts()?,
            &payload,
            ctx.now(),
        ))?,
        _ => {
            let view = whole_delivery(delivery, &attempts()?, &payload);
            ctx.ui.line(&format.document(&view))?;
        }
    }
    Ok(Exit::Done)
}

fn exact(ctx: &Context<'_>, payload: &[u8]) -> Result<(), Failure> {
    let payload = ctx.ui.untrusted_bytes(payload);
    Ok(ctx.ui.data(|out| out.write_all(&payload))?)
}

fn refuse_xml_of_other_payloads(delivery: &Delivery) -> Result<(), Failure> {
    let PayloadKind::Body { content_type } = &delivery.payload_kind else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "`-o xml` writes an event, and #{} is not one: its content type is {content_type}",
        delivery.id
    ))
    .hint("`--body` writes it byte for byte"))
}
