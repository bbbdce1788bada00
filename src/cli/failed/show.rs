//! `hookfire failed show`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::journal::show::DeliveryPageArgs;
use crate::cli::{journal, selection};
use crate::error::Failure;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  Show everything about a delivery:
    $ hookfire failed show 42
  Print the body of the endpoint's last response, for a script:
    $ hookfire failed show 42 -o json | jq -r '.attempts[-1].response_body'
  Write what could not be delivered, byte for byte:
    $ hookfire failed show 42 --body > event.xml";

/// Show a failed delivery: attempts, errors, response and payload
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FailedShowArgs {
    #[command(flatten)]
    page: DeliveryPageArgs,
}

pub(super) fn run(args: &FailedShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let journal = ctx.readable_journal()?;
    let delivery = selection::in_failed_list(&*journal, args.page.id)?;
    journal::show::page(ctx, &*journal, &delivery, &args.page)
}
