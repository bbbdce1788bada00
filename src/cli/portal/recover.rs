//! `hookfire portal recover`: delivers a portal's failed deliveries, then deletes them there.
//!
//! The order makes it safe to stop at any point: list, import into the journal, send, list again, and delete up to what was
//! delivered. The journal knows which deliveries were delivered, so the next run continues from there.

use std::collections::HashSet;
use std::time::Duration;

use clap::{Args, ValueHint};
use serde_json::json;

use super::access::{self, PortalArgs};
use super::listing;
use crate::cli::args::{
    ExtraArgs, ReportOutput, RetryPolicyArgs, TargetArgs, TransportArgs, whole_number,
};
use crate::cli::context::Context;
use crate::cli::intake::FailureImport;
use crate::cli::report::{RunReport, Style};
use crate::cli::retry;
use crate::delivery::Status;
use crate::engine::resend::Planner;
use crate::engine::{Claims, RunLimits, Summary};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::DeliveryVersion;
use crate::journal::Journal;
use crate::output::Format;
use crate::portal::PortalClient;
use crate::recovery::Listing;
use crate::text::count;
use crate::time::Clock as _;

/// Until a second in which others may still fail is over on the portal.
const NEXT_SECOND: Duration = Duration::from_millis(1_100);

const EXAMPLES: &str = "\
Examples:
  Show what would be sent and deleted:
    $ hookfire portal recover --dry-run
  Send one, to check the endpoint:
    $ hookfire portal recover --max 1
  Send all; stop when ten in a row fail:
    $ hookfire portal recover --stop-after 10
  Send them to another endpoint:
    $ hookfire portal recover --endpoint staging";

/// Send the tenant's failed deliveries, and delete the delivered ones there
///
/// Imports the tenant's failed deliveries into the journal, sends each once, oldest first, with its id as webhook-id, and deletes
/// them at the tenant up to the last one before the first that still fails. The tenant's times have a precision of one second:
/// deliveries that failed in the same second as one that still fails stay there, as do those that failed meanwhile. Delivered
/// events are never sent again, so you can repeat the command after it ended early. The journal knows what was delivered: keep
/// it until the tenant's list is empty.
///
/// A delivery is sent to the endpoint that is configured for its URL, else to its URL at the tenant, or to --endpoint or --url.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PortalRecoverArgs {
    /// Show what would be sent and deleted, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Send at most N
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX))]
    max: Option<usize>,
    /// Stop after N failures in a row
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX))]
    stop_after: Option<usize>,
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
    retry_policy: RetryPolicyArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    output: ReportOutput,
}

#[derive(Default)]
struct Recovered {
    sent: Summary,
    deleted: usize,
    /// Deleted up to this time, as the portal wrote it.
    deleted_up_to: Option<String>,
    /// Failures left on the portal's list, as far as it was read, and whether it goes on.
    left: usize,
    and_more: bool,
}

pub(super) fn run(args: &PortalRecoverArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let portal = access::client(&args.portal, &args.transport, ctx)?;
    ctx.catch_interrupts()?;
    let format = args.output.format();
    let target = (args.endpoint.is_some() || args.url.is_some()).then(|| TargetArgs {
        endpoint: args.endpoint.clone(),
        url: args.url.clone(),
        extras: args.extras.clone(),
    });
    let settings = args.retry_policy.settings().or(&args.transport.settings());
    let planner = retry::planner(ctx, target.as_ref(), &args.extras, settings)?;
    if args.dry_run {
        return dry_run(args, ctx, &portal, &planner);
    }
    let journal = ctx.journal()?;
    journal.interrupt_abandoned()?;
    let retries = args.retry_policy.retries.is_some();
    let style = Style::OneByOne { retries };
    let mut report = RunReport::new(ctx, Some(&*journal), format, style);
    report.silent = format == Format::Json;
    let run = Recovery {
        args,
        ctx,
        portal: &portal,
        journal: &*journal,
        report: &report,
    };
    let mut recovered = Recovered::default();
    let result = run.recover(planner, &mut recovered);
    if let Some(halted) = recovered.sent.halted.take() {
        report.halted(halted);
    }
    let printed = if result.is_ok() || recovered.sent.delivered > 0 {
        print_totals(args, ctx, &recovered)
    } else {
        Ok(())
    };
    let exit = Failure::after_output(printed, report.exit(&recovered.sent))?;
    result.map_err(|failure| Failure {
        exit: Some(failure.exit().max(exit)),
        ..failure
    })?;
    if ctx.clock.interrupted() {
        return Err(Failure::new(
            Kind::Interrupted,
            "stopped; nothing was deleted on the tenant since",
        )
        .hint("`hookfire portal recover` continues; delivered events are not sent again"));
    }
    match report.take_first_failure() {
        Some(failure) if format != Format::Text => Err(Failure {
            exit: Some(exit),
            ..failure
        }),
        _ => Ok(exit),
    }
}

struct Recovery<'a> {
    args: &'a PortalRecoverArgs,
    ctx: &'a Context<'a>,
    portal: &'a PortalClient<'a>,
    journal: &'a dyn Journal,
    report: &'a RunReport<'a>,
}

impl Recovery<'_> {
    /// Repeats while the portal's list is longer than one response, and gets shorter.
    fn recover(&self, mut planner: Planner<'_>, done: &mut Recovered) -> Result<(), Failure> {
        let max = |number: Option<usize>| number.unwrap_or(usize::MAX);
        let stop_after = max(self.args.stop_after);
        loop {
            let mut urls = Vec::new();
            let mut intake = FailureImport::new(self.journal, self.ctx.config()?);
            let listing = listing::read(self.ctx, self.portal, true, |failed| {
                if !urls.contains(&failed.full_target) {
                    urls.push(failed.full_target.clone());
                }
                intake.push(failed)
            })?;
            intake.finish()?;
            (done.left, done.and_more) = (listing.failures.len(), listing.cut);
            let room = max(self.args.max).saturating_sub(done.sent.total());
            let mut rows = to_send(self.journal, &listing)?;
            rows.truncate(room);
            let is_last = rows.len() == room;
            planner.overrides.urls = urls;
            let limits = RunLimits {
                stop_after: stop_after.saturating_sub(done.sent.failures_in_a_row),
                ..RunLimits::new(1, Claims::OneByOne)
            };
            let sent = retry::resend(self.ctx, self.journal, &planner, rows, limits, self.report)?;
            done.sent.add_run(sent);
            if self.ctx.clock.interrupted() || done.sent.halted.is_some() {
                return Ok(());
            }
            let deleted = self.delete(done)?;
            if !listing.cut || deleted == 0 || is_last {
                return Ok(());
            }
        }
    }

    /// Deletes delivered events on the portal, as far as its times allow. Lists again first, to see later failures.
    fn delete(&self, done: &mut Recovered) -> Result<usize, Failure> {
        if done.left == 0 {
            return Ok(0);
        }
        let mut listing = listing::read(self.ctx, self.portal, false, |_| Ok(()))?;
        if listing.is_too_fresh() {
            self.ctx.clock.wait(NEXT_SECOND);
            listing = listing::read(self.ctx, self.portal, false, |_| Ok(()))?;
        }
        (done.left, done.and_more) = (listing.failures.len(), listing.cut);
        let delivered = delivered(self.journal, &listing)?;
        let Some(deletable) = listing.deletable(|uuid| delivered.contains(uuid)) else {
            return Ok(0);
        };
        if done.deleted_up_to.as_ref() == Some(&deletable.time) {
            self.ctx
                .ui
                .warning("the tenant said that it had deleted, and lists the same failures still");
            return Ok(0);
        }
        if self.ctx.clock.interrupted() {
            return Ok(0);
        }
        self.portal.delete_failures(Some(&deletable.time)).map_err(|e| {
            Failure::from(e).hint("`hookfire portal recover` tries the deletion again; delivered events are not sent again")
        })?;
        done.deleted += deletable.count;
        done.left -= deletable.count;
        done.deleted_up_to = Some(deletable.time);
        Ok(deletable.count)
    }
}

/// Listed failures that are in the failed list here, oldest first, each once.
fn to_send(journal: &dyn Journal, listing: &Listing) -> Result<Vec<DeliveryVersion>, Failure> {
    let (mut rows, mut ids) = (Vec::new(), HashSet::new());
    for listed in &listing.failures {
        let Some(uuid) = &listed.uuid else { continue };
        let Some(delivery) = journal.delivery_by_uuid(uuid)? else {
            continue;
        };
        if delivery.status.in_failed_list() && ids.insert(delivery.id) {
            rows.push(DeliveryVersion::from(&delivery));
        }
    }
    Ok(rows)
}

/// The uuids of listed failures that were delivered, according to the journal.
fn delivered(journal: &dyn Journal, listing: &Listing) -> Result<HashSet<String>, Failure> {
    let mut delivered = HashSet::new();
    for listed in &listing.failures {
        let Some(uuid) = &listed.uuid else { continue };
        let found = journal.delivery_by_uuid(uuid)?;
        if found.is_some_and(|delivery| delivery.status == Status::Delivered) {
            delivered.insert(uuid.clone());
        }
    }
    Ok(delivered)
}

fn print_totals(
    args: &PortalRecoverArgs,
    ctx: &Context<'_>,
    done: &Recovered,
) -> Result<(), Failure> {
    let sent = &done.sent;
    let (delivered, skipped, not_sent) = (sent.delivered, sent.skipped, sent.not_sent);
    let failed = sent.failed + sent.interrupted;
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

/// Prints what would be done; creates no journal.
fn dry_run(
    args: &PortalRecoverArgs,
    ctx: &Context<'_>,
    portal: &PortalClient<'_>,
    planner: &Planner<'_>,
) -> Result<Exit, Failure> {
    let journal = ctx.existing_journal()?;
    let destination = planner.overrides.destination.as_ref();
    let (mut known, mut lines) = (HashSet::new(), Vec::new());
    let most = args.max.unwrap_or(usize::MAX);
    let listing = listing::read(ctx, portal, true, |failed| {
        let here = journal
            .as_ref()
            .map(|journal| journal.delivery_by_uuid(&failed.uuid))
            .transpose()?
            .flatten();
        if here.is_some_and(|delivery| delivery.status == Status::Delivered) {
            known.insert(failed.uuid);
        } else if lines.len() < most {
            let to = destination.map_or(&failed.target, |(_, target)| target);
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
