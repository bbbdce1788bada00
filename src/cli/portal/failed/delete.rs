//! `hookfire portal failed delete`

use clap::{ArgGroup, Args, ValueHint};
use serde_json::json;

use crate::cli::args::{Format, ReportOutput, TransportArgs, time};
use crate::cli::context::Context;
use crate::cli::portal::access::{self, PortalArgs};
use crate::cli::portal::listing;
use crate::cli::selection::confirmed;
use crate::error::Failure;
use crate::exit::Exit;
use crate::text::count;
use crate::time::{Edge, UnixMs, failures_list_time};

const EXAMPLES: &str = "\
Examples:
  Show how many would be deleted, then delete them:
    $ hookfire portal failed delete --before '2026-11-20 10:00:00' --dry-run
    $ hookfire portal failed delete --before '2026-11-20 10:00:00' --yes
  Delete all:
    $ hookfire portal failed delete --all --yes";

/// Delete the tenant's failed deliveries, whether or not they were resent
///
/// 3scale keeps no copy. `hookfire portal recover` itself deletes what it has delivered. `--before` is inclusive, with a precision
/// of one second, like `time` in 3scale's API. Asks for confirmation on a terminal, and requires --yes elsewhere.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("selection").required(true))]
pub struct PortalFailedDeleteArgs {
    /// Deliveries that failed at or before this time
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, allow_hyphen_values = true, group = "selection")]
    before: Option<String>,
    /// All, including those that fail meanwhile
    #[arg(long, group = "selection")]
    all: bool,
    /// Show how many would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    portal: PortalArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &PortalFailedDeleteArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let before = time(args.before.as_deref(), ctx.now(), Edge::UpTo)?;
    let portal = access::client(&args.portal, &args.transport, ctx)?;
    ctx.catch_interrupts()?;
    let listing = listing::read(ctx, &portal, false, |_| Ok(()))?;
    // The portal's `time` has whole seconds.
    let last = before.map(|point| UnixMs(point.0.div_euclid(1000) * 1000));
    let selected = |at: Option<UnixMs>| last.is_none_or(|last| at.is_some_and(|at| at <= last));
    let listed = listing.failures.iter();
    let number = listed.filter(|listed| selected(listed.at)).count();
    // If the response was cut, the portal deletes failures that were not read as well.
    let newest = listing.failures.last();
    let more = listing.cut && newest.is_some_and(|newest| selected(newest.at));
    let mut what = count(number, "failed delivery", "failed deliveries");
    if more {
        what += " and more";
    }
    let format = args.output.format();
    if args.dry_run {
        if format == Format::Text {
            let words = format!("{what} on the tenant would be deleted (--dry-run)");
            ctx.ui.status(&words);
        } else {
            let view = json!({ "would_delete": number, "and_more": more });
            ctx.ui.line(&format.document(&view))?;
        }
        return Ok(Exit::Done);
    }
    if number > 0 {
        if !confirmed(ctx, args.yes, &format!("delete {what} on the tenant"))? {
            ctx.ui.status("nothing was deleted");
            return Ok(Exit::Done);
        }
        portal.delete_failures(last.map(failures_list_time).as_deref())?;
    }
    let text = format!("deleted {what} on the tenant");
    let view = json!({ "deleted": number, "and_more": more });
    ctx.ui.report(format, &text, &view)?;
    Ok(Exit::Done)
}
