//! `hookfire portal recover`: a tenant's failed deliveries, delivered, and then deleted there.
//!
//! The order is the promise: listed, written down, sent, listed again, and only then deleted, up to where all was
//! delivered. Whatever ends it in between, the journal knows what was delivered, and the next run goes on from there.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, ValueHint};
use serde_json::json;

use super::access::{Access, PortalArgs};
use super::listing;
use crate::cli::args::{
    ExtraArgs, Format, ReportOutput, RetryPolicyArgs, TransportArgs, at_least_one,
};
use crate::cli::bulk::Tally;
use crate::cli::context::Context;
use crate::cli::intake::Intake;
use crate::cli::retry::{self, RetryArgs};
use crate::delivery::Status;
use crate::delivery::target::Target;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::store::Seen;
use crate::portal::Portal;
use crate::recovery::Listing;
use crate::text::count;
use crate::time::Clock as _;

/// How long a second lasts in which others may still fail, and some more.
const NEXT_SECOND: Duration = Duration::from_millis(1_100);

const EXAMPLES: &str = "\
Examples:
  See what the tenant has, and what would be done:
    $ hookfire portal recover --dry-run
  A first one, to see that the endpoint is well:
    $ hookfire portal recover --max 1
  All of them; give up when ten in a row fail:
    $ hookfire portal recover --stop-after 10
  To another place than where they failed:
    $ hookfire portal recover --endpoint staging";

/// Deliver what the tenant could not, and delete there what was delivered
///
/// Asks the tenant for its failed deliveries, takes them into the journal, sends each once, oldest first, with its id there
/// as webhook-id, and deletes them on the tenant up to the time of the last one before the first that still fails. The
/// tenant's times have a grain of one second: what shares its second with one that still fails stays there, and so does
/// what failed in the meantime. What was delivered is never sent again, so that it can be run again whenever it ended
/// early; the journal knows, so keep it until the tenant's list is empty.
///
/// A delivery goes to the endpoint that is configured for its URL, else to that URL as the tenant has it, else to where
/// --endpoint or --url say.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PortalRecoverArgs {
    /// Show what would be sent and deleted; change nothing, here or there
    #[arg(long)]
    dry_run: bool,
    /// Send at most so many
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroUsize>)]
    max: Option<NonZeroUsize>,
    /// Send no more once so many in a row have failed
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroUsize>)]
    stop_after: Option<NonZeroUsize>,
    /// Send to this endpoint instead
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, help_heading = "Target")]
    endpoint: Option<String>,
    /// Send to this URL instead
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Target", conflicts_with = "endpoint")]
    url: Option<String>,
    #[command(flatten)]
    extras: ExtraArgs,
    #[command(flatten)]
    portal: PortalArgs,
    #[command(flatten)]
    rule: RetryPolicyArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    output: ReportOutput,
}

impl PortalRecoverArgs {
    /// As `hookfire retry` takes them.
    fn retry(&self) -> RetryArgs {
        RetryArgs::elsewhere(
            (self.endpoint.clone(), self.url.clone(), self.extras.clone()),
            self.rule.clone(),
            self.transport.clone(),
            self.output,
        )
    }
}

/// What has been done so far.
#[derive(Default)]
struct Done {
    resent: Tally,
    deleted: usize,
    /// Up to this time, as the tenant wrote it.
    deleted_to: Option<String>,
    /// Of what was read of the list.
    left: usize,
    /// The list goes on beyond that.
    and_more: bool,
}

pub(super) fn run(args: &PortalRecoverArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let access = Access::of(&args.portal, &args.transport, ctx)?;
    ctx.catch_interrupts()?;
    let portal = access.portal();
    if args.dry_run {
        return dry_run(args, ctx, &portal);
    }
    let journal = ctx.journal()?;
    journal.release_dead(ctx.now())?;
    let mut done = Done::default();
    let ended = rounds(args, ctx, &portal, &*journal, &mut done);
    let reported = if ended.is_ok() || done.resent.delivered > 0 {
        report(args, ctx, &done)
    } else {
        Ok(())
    };
    let exit = Failure::after_output(reported, done.resent.exit)?;
    ended.map_err(|failure| Failure {
        exit: Some(failure.exit().worst(exit)),
        ..failure
    })?;
    if ctx.clock.interrupted() {
        return Err(Failure::new(
            Kind::Interrupted,
            "stopped; nothing was deleted on the tenant since",
        )
        .hint("`hookfire portal recover` goes on: what was delivered is not sent again"));
    }
    match done.resent.first_failure.take() {
        Some(failure) if args.output.format() != Format::Text => Err(Failure {
            exit: Some(exit),
            ..failure
        }),
        _ => Ok(exit),
    }
}

/// Goes on while the tenant has more than one answer can hold, and gives way.
fn rounds(
    args: &PortalRecoverArgs,
    ctx: &Context<'_>,
    portal: &Portal<'_>,
    journal: &dyn Journal,
    done: &mut Done,
) -> Result<(), Failure> {
    loop {
        let mut urls = Vec::new();
        let mut intake = Intake::new(journal, ctx.config()?);
        let listing = listing::read(ctx, portal, true, |failed| {
            if !urls.contains(&failed.full_target) {
                urls.push(failed.full_target.clone());
            }
            intake.take(failed)
        })?;
        intake.finish()?;
        (done.left, done.and_more) = (listing.failures.len(), listing.cut);
        let mut seen = to_send(journal, &listing)?;
        let sent_before = done.resent.total();
        let room = args
            .max
            .map_or(usize::MAX, NonZeroUsize::get)
            .saturating_sub(sent_before);
        seen.truncate(room);
        let stop_after = args.stop_after.map(NonZeroUsize::get);
        retry::resend(
            ctx,
            &args.retry(),
            journal,
            &seen,
            &urls,
            stop_after,
            &mut done.resent,
        )?;
        if ctx.clock.interrupted() {
            return Ok(());
        }
        let deleted = delete(ctx, portal, journal, done)?;
        if !listing.cut || deleted == 0 || seen.len() == room {
            return Ok(());
        }
    }
}

/// The listed ones that are in the failed list here, oldest first.
fn to_send(journal: &dyn Journal, listing: &Listing) -> Result<Vec<Seen>, Failure> {
    let (mut seen, mut ids) = (Vec::new(), HashSet::new());
    for uuid in listing
        .failures
        .iter()
        .filter_map(|listed| listed.uuid.as_deref())
    {
        let failed = journal
            .of_uuid(uuid)?
            .filter(|delivery| delivery.status.in_failed_list());
        // A list may name one twice.
        let new = failed.filter(|delivery| ids.insert(delivery.id));
        seen.extend(new.map(|delivery| Seen {
            id: delivery.id,
            attempts: delivery.attempt_count,
        }));
    }
    Ok(seen)
}

/// Deletes on the tenant what was delivered, as far as its times let it. The list is asked for anew: what failed since the
/// last time is in it.
fn delete(
    ctx: &Context<'_>,
    portal: &Portal<'_>,
    journal: &dyn Journal,
    done: &mut Done,
) -> Result<usize, Failure> {
    if done.left == 0 {
        return Ok(0);
    }
    let mut listing = listing::read(ctx, portal, false, |_| Ok(()))?;
    if listing.is_too_fresh() {
        ctx.clock.wait(NEXT_SECOND);
        listing = listing::read(ctx, portal, false, |_| Ok(()))?;
    }
    (done.left, done.and_more) = (listing.failures.len(), listing.cut);
    let Some(deletable) = listing.deletable(&delivered(journal, &listing)?) else {
        return Ok(0);
    };
    if done.deleted_to.as_ref() == Some(&deletable.time) {
        ctx.ui
            .warning("the tenant said that it had deleted, and lists the same failures still");
        return Ok(0);
    }
    if ctx.clock.interrupted() {
        return Ok(0);
    }
    portal.delete_failures(Some(&deletable.time)).map_err(|e| {
        Failure::from(e).hint("what was delivered is not sent again: `hookfire portal recover` tries the deletion anew")
    })?;
    done.deleted += deletable.count;
    done.left -= deletable.count;
    done.deleted_to = Some(deletable.time);
    Ok(deletable.count)
}

/// Whether a listed one was delivered, as the journal has it.
fn delivered<'l>(
    journal: &dyn Journal,
    listing: &'l Listing,
) -> Result<impl Fn(&str) -> bool + use<'l>, Failure> {
    let mut delivered = HashSet::new();
    for uuid in listing
        .failures
        .iter()
        .filter_map(|listed| listed.uuid.as_deref())
    {
        if journal
            .of_uuid(uuid)?
            .is_some_and(|delivery| delivery.status == Status::Delivered)
        {
            delivered.insert(uuid);
        }
    }
    Ok(move |uuid: &str| delivered.contains(uuid))
}

fn report(args: &PortalRecoverArgs, ctx: &Context<'_>, done: &Done) -> Result<(), Failure> {
    let Tally {
        delivered,
        failed,
        interrupted,
        not_sent,
        skipped,
        ..
    } = done.resent;
    let failed = failed + interrupted;
    if args.output.format() == Format::Text {
        if delivered + failed + not_sent + skipped + done.deleted + done.left == 0 {
            ctx.ui.status("the tenant has no failed deliveries");
            return Ok(());
        }
        let mut words = format!("recovered {delivered}, still failing {}", failed + not_sent);
        if skipped > 0 {
            words.push_str(&format!(", skipped {skipped}"));
        }
        let (deleted, left) = (done.deleted, done.left);
        let more = if done.and_more { " and more" } else { "" };
        ctx.ui.line(&format!(
            "{words}; deleted on the tenant {deleted}, left there {left}{more}"
        ))?;
    } else {
        let view = json!({
            "recovered": delivered, "still_failing": failed + not_sent, "skipped": skipped,
            "deleted": done.deleted, "left": done.left, "and_more": done.and_more,
        });
        ctx.ui.line(&args.output.format().document(&view))?;
    }
    Ok(ctx.ui.flush()?)
}

/// Says what would be done, without a journal of its own.
fn dry_run(
    args: &PortalRecoverArgs,
    ctx: &Context<'_>,
    portal: &Portal<'_>,
) -> Result<Exit, Failure> {
    let journal = ctx.existing_journal()?;
    let plan = args.retry().elsewhere_of(ctx)?;
    let (mut known, mut lines) = (HashSet::new(), Vec::new());
    let most = args.max.map_or(usize::MAX, NonZeroUsize::get);
    let listing = listing::read(ctx, portal, true, |failed| {
        let here = journal
            .as_ref()
            .map(|journal| journal.of_uuid(&failed.uuid))
            .transpose()?
            .flatten();
        if here.is_some_and(|delivery| delivery.status == Status::Delivered) {
            known.insert(failed.uuid);
        } else if lines.len() < most {
            let to: &Target = plan
                .as_ref()
                .map_or(&failed.target, |chosen| &chosen.target);
            let event = format!("{}.{}", failed.event.event_type(), failed.event.action());
            lines.push((failed.uuid.clone(), event, to.to_string()));
            known.insert(failed.uuid);
        }
        Ok(())
    })?;
    let would_delete = listing
        .deletable(|uuid| known.contains(uuid))
        .map_or(0, |found| found.count);
    if args.output.format() == Format::Text {
        for (uuid, event, to) in &lines {
            ctx.ui.line(
                &ctx.ui
                    .untrusted(&format!("would send {uuid} {event} → {to}")),
            )?;
        }
        let deliveries = count(
            listing.failures.len(),
            "failed delivery",
            "failed deliveries",
        );
        ctx.ui.status(&format!(
            "the tenant has {deliveries}; {} would be sent, and if all are delivered, {would_delete} deleted there (--dry-run)",
            lines.len()
        ));
    } else {
        let send: Vec<_> = lines
            .iter()
            .map(|(uuid, event, to)| json!({ "uuid": uuid, "event": event, "url": to }))
            .collect();
        let view = json!({
            "dry_run": true, "listed": listing.failures.len(), "would_send": send, "would_delete": would_delete,
        });
        ctx.ui.line(&args.output.format().document(&view))?;
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
