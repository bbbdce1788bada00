//! `hookfire events show`

use clap::{Args, ValueHint};

use crate::cli::args::{CompatArgs, Format, PageOutput};
use crate::cli::context::Context;
use crate::cli::sample::{SampleArgs, SamplePurpose, event_name};
use crate::error::Failure;
use crate::event::Event;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  Show the event of a new application:
    $ hookfire events show application created
  Show it for an OAuth application:
    $ hookfire events show application created --auth-mode oauth
  Write a reproducible sample for a test:
    $ hookfire events show account created --seed 1 -o xml > account-created.xml";

/// Show the built-in sample of an event
///
/// Prints the document that `fire` would send. Ids, keys and times differ each time unless --seed is given.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EventsShowArgs {
    /// The event's type: account, user or application; or TYPE.ACTION
    #[arg(value_name = "TYPE", value_hint = ValueHint::Other)]
    event_type: String,
    /// The event's action, such as created
    #[arg(value_name = "ACTION", value_hint = ValueHint::Other)]
    action: Option<String>,
    #[command(flatten)]
    sample: SampleArgs,
    #[command(flatten)]
    order: CompatArgs,
    #[command(flatten)]
    output: PageOutput,
}

pub(super) fn run(args: &EventsShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (event_type, action) = event_name(&args.event_type, args.action.as_deref())?;
    let order = args.order.compat.unwrap_or_default();
    let object = args
        .sample
        .object(ctx, event_type, action, order, SamplePurpose::Show)?;
    let event = Event::build(event_type, action, &object, order)?;
    match args.output.format() {
        Format::Text if ctx.ui.has_colors() => {
            let text = String::from_utf8_lossy(event.bytes());
            let text = ctx.ui.untrusted_document(&text);
            ctx.ui.data(|out| out.write_all(text.as_bytes()))?;
        }
        Format::Text | Format::Xml => ctx
            .ui
            .data(|out| out.write_all(&ctx.ui.untrusted_bytes(event.bytes())))?,
        format => {
            let view = serde_json::json!({
                "type": event.event_type(), "action": event.action(), "event": String::from_utf8_lossy(event.bytes()),
            });
            ctx.ui.line(&format.document(&view))?;
        }
    }
    Ok(Exit::Done)
}
