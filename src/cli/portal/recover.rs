//! `hookfire portal recover`: delivers a portal's failed deliveries, then deletes them there.
//!
//! The order makes it safe to stop at any point: list, import into the journal, send, list again, and delete up to what was
//! delivered. The journal knows which deliveries were delivered, so the next run continues from there.

use std::collections::HashSet;

use clap::{Args, ValueHint};
use serde_json::json;

use super::access::{self, PortalArgs};
use super::listing;
use crate::cli::args::{
    ExtraArgs, ReportOutput, RetryPolicyArgs, SigningArgs, TargetArgs, TransportArgs, whole_number,
    with_defaults,
};
use crate::cli::context::Context;
use crate::cli::intake::FailureImport;
use crate::cli::report::{RunReport, Style};
use crate::cli::retry;
use crate::cli::settings;
use crate::delivery::{Delivery, Status};
use crate::engine::plan::PlanError;
use crate::engine::resend::{KnownTarget, KnownTargets, Planner};
use crate::engine::{Claims, RunLimits, Summary};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{DeliveryVersion, Journal};
use crate::output::Format;
use crate::portal::PortalClient;
use crate::recovery::Listing;
use crate::text::count;
use crate::time::Clock as _;

const DEFAULTS: &[(&str, &str)] = &[
    ("retries", "0"),
    ("retry_interval", "that of the endpoint, else 60s"),
    ("success", "those of the endpoint, else 200"),
];

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
/// them on the tenant up to the last one before the first that still fails. The tenant's times have a precision of one second:
/// deliveries that failed in the same second as one that still fails stay there, as do those that failed meanwhile. A second is
/// deleted only if it ended more than two seconds ago on the tenant's clock; if the tenant sends no `Date`, the last listed
/// second stays. Delivered ones are never sent again, so you can repeat the command after it ended early. The journal knows
/// what was delivered: keep it until the tenant's list is empty.
///
/// A delivery is sent to the endpoint that is configured for its URL, else to its URL on the tenant, or to --endpoint or --url.
/// The tenant accepts any text as a URL. Deliveries whose URL nothing can be sent to are kept in the failed list here, for `hookfire
/// retry ID --url URL`, and may be deleted on the tenant.
///
/// Exits with 2 if a listed delivery cannot be read. It stays on the tenant, with all later ones.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, mut_args(with_defaults(DEFAULTS)))]
pub struct PortalRecoverArgs {
    /// Show what would be sent and deleted, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Send at most N
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX))]
    max: Option<usize>,
    /// Stop after N failures in a row; a delivery that cannot be sent does not count
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
    signing: SigningArgs,
    #[command(flatten)]
    portal: PortalArgs,
    #[command(flatten)]
    retry_policy: RetryPolicyArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    output: ReportOutput,
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
    let settings = settings::retry_policy(ctx, &args.retry_policy)?.or(&args.transport.settings());
    let planner = retry::planner(
        ctx,
        target.as_ref(),
        (&args.extras, &args.signing),
        settings,
    )?;
    if args.dry_run {
        return dry_run(args, ctx, &portal, &planner);
    }
    let journal = ctx.journal()?;
    journal.interrupt_abandoned()?;
    let retries = args.retry_policy.retries.is_some();
    let style = Style::OneByOne { retries };
    let mut report = RunReport::new(ctx, &*journal, format, style);
    report.silent = format == Format::Json;
    let mut recovery = Recovery {
        args,
        ctx,
        portal: &portal,
        journal: &*journal,
        planner,
        report: &report,
        sent: Summary::default(),
        unsendable: HashSet::new(),
        listing: Listing::default(),
        left: 0,
        deleted: 0,
        kept: 0,
        deleted_up_to: None,
    };
    let result = recovery.recover();
    if let Some(halted) = recovery.sent.halted.take() {
        report.halted(halted);
    }
    let printed = if result.is_ok() || recovery.sent.delivered > 0 {
        recovery.print_totals()
    } else {
        Ok(())
    };
    let unreadable = recovery.listing.unreadable();
    if unreadable > 0 {
        report.failed(unreadable_failures(unreadable));
    }
    let exit = Failure::after_output(printed, report.exit(&recovery.sent))?;
    result.map_err(|failure| Failure {
        exit: Some(failure.exit().max(exit)),
        ..failure
    })?;
    if ctx.clock.interrupted() {
        return Err(Failure::new(
            Kind::Interrupted,
            "stopped; nothing was deleted on the tenant since",
        )
        .hint("`hookfire portal recover` continues; what was delivered is not sent again"));
    }
    match report.take_first_failure() {
        Some(failure) if format != Format::Text => Err(Failure {
            exit: Some(exit),
            ..failure
        }),
        _ => Ok(exit),
    }
}

fn unreadable_failures(number: usize) -> Failure {
    let failures = count(
        number,
        "listed delivery cannot be read and stays",
        "listed deliveries cannot be read and stay",
    );
    Failure::usage(format!("{failures} on the tenant, with all later ones")).hint(
        "once you have them, `hookfire portal failed delete --before TIME` deletes them there",
    )
}

struct Recovery<'a> {
    args: &'a PortalRecoverArgs,
    ctx: &'a Context<'a>,
    portal: &'a PortalClient<'a>,
    journal: &'a dyn Journal,
    planner: Planner<'a>,
    report: &'a RunReport<'a>,
    sent: Summary,
    /// Deliveries with text instead of a URL.
    unsendable: HashSet<i64>,
    /// The tenant's list of failures as it was last read.
    listing: Listing,
    /// Failures left on the tenant, as far as its list was read.
    left: usize,
    deleted: usize,
    /// Delivered ones that may not be deleted there yet.
    kept: usize,
    /// Deleted up to this time, as the portal wrote it.
    deleted_up_to: Option<String>,
}

impl Recovery<'_> {
    /// Repeats while the portal's list is longer than one response, and gets shorter.
    fn recover(&mut self) -> Result<(), Failure> {
        let stop_after = self.args.stop_after.unwrap_or(usize::MAX);
        let max = self.args.max.unwrap_or(usize::MAX);
        loop {
            let mut known = KnownTargets::default();
            let mut intake = FailureImport::new(self.journal, self.ctx.config()?);
            self.listing = listing::read(self.ctx, self.portal, true, |failed| {
                known.insert(KnownTarget::url(failed.full_target.clone()));
                intake.push(failed)
            })?;
            intake.finish()?;
            self.left = self.listing.failures.len();
            let cut = self.listing.cut;
            let room = max.saturating_sub(self.sent.total());
            let mut rows = self.sendable()?;
            rows.truncate(room);
            let is_last = rows.len() == room;
            self.planner.overrides.known = known;
            let limits = RunLimits {
                stop_after: stop_after.saturating_sub(self.sent.failures_in_a_row),
                ..RunLimits::new(1, Claims::OneByOne)
            };
            let sent = retry::resend(
                self.ctx,
                self.journal,
                &self.planner,
                rows,
                limits,
                self.report,
            )?;
            self.sent.add_run(sent);
            if self.ctx.clock.interrupted() || self.sent.halted.is_some() {
                return Ok(());
            }
            let deleted = self.delete()?;
            if !cut || deleted == 0 || is_last {
                return Ok(());
            }
        }
    }

    /// Listed failures that are in the failed list here, oldest first, each once. Reports those without a URL.
    fn sendable(&mut self) -> Result<Vec<DeliveryVersion>, Failure> {
        let has_destination = self.planner.overrides.destination.is_some();
        let (mut rows, mut ids) = (Vec::new(), HashSet::new());
        for delivery in listed_deliveries(self.journal, &self.listing) {
            let delivery = delivery?;
            if !delivery.status.in_failed_list() || !ids.insert(delivery.id) {
                continue;
            }
            if delivery.target.base.is_url() || has_destination {
                rows.push(DeliveryVersion::from(&delivery));
            } else if self.unsendable.insert(delivery.id) {
                let error = PlanError::NotAUrl(delivery.target.to_string());
                let words = format!("#{} is kept in the failed list here", delivery.id);
                self.report.failed(Failure::from(error).context(words));
            }
        }
        Ok(rows)
    }

    /// Deletes what was delivered on the tenant, as far as its times allow. Lists again first, to see later failures.
    fn delete(&mut self) -> Result<usize, Failure> {
        if self.listing.failures.is_empty() {
            return Ok(0);
        }
        self.list_again()?;
        if let Some(wait) = self.listing.wait() {
            self.ctx.clock.wait(wait);
            self.list_again()?;
        }
        let settled = settled(self.journal, &self.listing)?;
        self.kept = self.listing.kept(|uuid| settled.contains(uuid));
        let Some(deletable) = self.listing.deletable(|uuid| settled.contains(uuid)) else {
            return Ok(0);
        };
        if self.deleted_up_to.as_ref() == Some(&deletable.time) {
            self.ctx
                .ui
                .warning("the tenant said that it had deleted, and lists the same failures still");
            return Ok(0);
        }
        if self.ctx.clock.interrupted() {
            return Ok(0);
        }
        self.portal.delete_failures(Some(&deletable.time)).map_err(|e| {
            Failure::from(e).hint("`hookfire portal recover` tries the deletion again; what was delivered is not sent again")
        })?;
        self.deleted += deletable.count;
        self.left -= deletable.count;
        self.deleted_up_to = Some(deletable.time);
        Ok(deletable.count)
    }

    fn list_again(&mut self) -> Result<(), Failure> {
        self.listing = listing::read(self.ctx, self.portal, false, |_| Ok(()))?;
        self.left = self.listing.failures.len();
        Ok(())
    }

    fn print_totals(&self) -> Result<(), Failure> {
        let sent = &self.sent;
        let (recovered, skipped) = (sent.delivered, sent.skipped);
        let failing = sent.failed + sent.interrupted + sent.not_sent + self.unsendable.len();
        let (deleted, left) = (self.deleted, self.left);
        let format = self.args.output.format();
        if format != Format::Text {
            let view = json!({
                "recovered": recovered, "still_failing": failing, "skipped": skipped,
                "deleted": deleted, "left": left, "and_more": self.listing.cut,
            });
            self.ctx.ui.line(&format.document(&view))?;
        } else if recovered + failing + skipped + deleted + left == 0 {
            self.ctx.ui.status("the tenant has no failed deliveries");
        } else {
            let skipped = match skipped {
                0 => String::new(),
                _ => format!(", skipped {skipped}"),
            };
            let more = if self.listing.cut { " and more" } else { "" };
            self.ctx.ui.line(&format!(
                "recovered {recovered}, still failing {failing}{skipped}; deleted on the tenant {deleted}, left there {left}{more}"
            ))?;
            hint_at_kept(self.ctx, self.kept, "stay");
        }
        Ok(self.ctx.ui.flush()?)
    }
}

/// Says why delivered ones are not deleted on the tenant.
fn hint_at_kept(ctx: &Context<'_>, kept: usize, verb: &str) {
    if kept > 0 {
        ctx.ui.hint(&format!(
            "{kept} of the delivered ones {verb} there: they failed a moment ago, or not in an earlier second than one that \
             still fails; run the command again later"
        ));
    }
}

/// The deliveries in the journal that the portal lists.
fn listed_deliveries<'a>(
    journal: &'a dyn Journal,
    listing: &'a Listing,
) -> impl Iterator<Item = Result<Delivery, Failure>> + 'a {
    let uuids = listing
        .failures
        .iter()
        .filter_map(|listed| listed.uuid.as_deref());
    uuids.filter_map(|uuid| {
        journal
            .delivery_by_uuid(uuid)
            .map_err(Failure::from)
            .transpose()
    })
}

/// The uuids of listed failures that the portal need not keep: delivered according to the journal, or never sent
/// because they have no URL.
fn settled(journal: &dyn Journal, listing: &Listing) -> Result<HashSet<String>, Failure> {
    let mut settled = HashSet::new();
    for delivery in listed_deliveries(journal, listing) {
        let delivery = delivery?;
        if is_settled(&delivery) {
            settled.insert(delivery.uuid);
        }
    }
    Ok(settled)
}

fn is_settled(delivery: &Delivery) -> bool {
    let is_imported_only = delivery.attempt_count <= 1 && delivery.status == Status::Failed;
    delivery.status == Status::Delivered || !delivery.target.base.is_url() && is_imported_only
}

/// Prints what would be done; creates no journal.
fn dry_run(
    args: &PortalRecoverArgs,
    ctx: &Context<'_>,
    portal: &PortalClient<'_>,
    planner: &Planner<'_>,
) -> Result<Exit, Failure> {
    let journal = ctx.readable_journal()?;
    let destination = planner.overrides.destination.as_ref();
    let (mut settled, mut lines) = (HashSet::new(), Vec::new());
    let most = args.max.unwrap_or(usize::MAX);
    let listing = listing::read(ctx, portal, true, |failed| {
        let here = journal.delivery_by_uuid(&failed.uuid)?;
        let to = destination.map_or(&failed.target, |(_, target)| target);
        let is_delivered = here
            .as_ref()
            .is_some_and(|here| here.status == Status::Delivered);
        if is_delivered || !to.base.is_url() && here.as_ref().is_none_or(is_settled) {
            settled.insert(failed.uuid);
        } else if to.base.is_url() && lines.len() < most {
            let event = failed.payload.name();
            lines.push((failed.uuid.clone(), event, to.to_string()));
            settled.insert(failed.uuid);
        }
        Ok(())
    })?;
    let is_settled = |uuid: &str| settled.contains(uuid);
    let would_delete = listing.deletable(is_settled).map_or(0, |found| found.count);
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
        hint_at_kept(ctx, listing.kept(is_settled), "would stay");
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
    match listing.unreadable() {
        0 => Ok(Exit::Done),
        unreadable => Err(unreadable_failures(unreadable)),
    }
}
