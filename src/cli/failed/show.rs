//! `hookfire failed show`

use clap::{Args, ValueHint};

use crate::cli::args::{PageOutput, parse_id};
use crate::cli::context::Context;
use crate::cli::{journal, selection};
use crate::error::Failure;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  Show everything about a delivery:
    $ hookfire failed show 42
  Print the body of the endpoint's last response, for a script:
    $ hookfire failed show 42 -o json | jq -r '.attempts[-1].response_body'
  Write the event's document, byte for byte:
    $ hookfire failed show 42 -o xml > event.xml";

/// Show a failed delivery: attempts, errors, response and event
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FailedShowArgs {
    /// The delivery, such as 42 or '#42'
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    id: i64,
    #[command(flatten)]
    output: PageOutput,
}

pub(super) fn run(args: &FailedShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let journal = ctx.readable_journal()?;
    let delivery = selection::in_failed_list(&*journal, args.id)?;
    journal::show::page(ctx, &*journal, &delivery, args.output.format())
}
