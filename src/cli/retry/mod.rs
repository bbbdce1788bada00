//! `hookfire retry`: send failed deliveries again, or those that are due.

use std::num::NonZeroUsize;

use clap::{Args, ValueHint};

use super::args::{
    DeliveryId, ExtraArgs, FilterArgs, Format, PaceArgs, ReportOutput, RetryPolicyArgs, TargetArgs,
    TransportArgs, at_least_one,
};
use super::bulk::{Bulk, Tally};
use super::context::Context;
use super::scope::Scope;
use crate::cli::settings::{self, Chosen};
use crate::delivery::filter::Filter;
use crate::delivery::target::Target;
use crate::engine::batch::{Blocking, Engine, Mail, Pace, Task};
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::store::Seen;
use crate::output::json;
use crate::secret::SecretSource;
use crate::text;

mod due;
mod errands;
mod prepare;
mod work;

use prepare::Preparer;
use work::Resending;

/// Requests at once with `--due`, where nobody waits for one after the other.
const DUE_AT_ONCE: u16 = 8;

const EXAMPLES: &str = "\
Examples:
  Send one again:
    $ hookfire retry 42
  Send everything that failed, oldest first:
    $ hookfire retry --all
  Only what failed with a 5xx in the last two hours; see first what that is:
    $ hookfire retry --http-status 5xx --since 2h --dry-run
  One first, then four at a time but not more than fifty a second; give up when ten in a row fail:
    $ hookfire retry --all --max 1
    $ hookfire retry --all --jobs 4 --rate 50/s --stop-after 10
  Give the secret that was given literally the first time, and so was not kept:
    $ hookfire retry 42 --secret token=@env:HOOK_TOKEN
  Send them to another place:
    $ hookfire retry --all --url http://127.0.0.1:8080/hook
  Make the attempts that are due, from a timer; or all of them when they are due, until Ctrl-C:
    $ hookfire retry --due
    $ hookfire retry --due --watch --jobs 20 --rate 100/s";

/// Send failed deliveries again
///
/// One attempt each, oldest first, unless --retries says more; same uuid, so that a receiver can drop doubles. Each is done
/// with before the next one begins, unless --jobs says how many at once. What succeeds leaves the failed list. What counts as
/// delivered, and the time between attempts, are those of the first time unless given. Two retries at once never send one delivery twice. It never asks; --dry-run shows what it would send.
///
/// Secrets come from this command's flags, else from the endpoint's configuration, else from the reference that was kept
/// with the delivery (@env:, @file:). A delivery whose secret cannot be had is left as it is.
///
/// --due makes the attempts whose time has come: of deliveries that `fire --background` or an earlier `retry --due` has
/// scheduled, and of those that a process left behind when it died, from when their next attempt would have been due. Each
/// keeps to the rule it was accepted under: one attempt, then it is delivered, scheduled again, or has failed. Eight requests
/// are on the wire at once, or as many as --jobs says; an endpoint that does not answer has at most half of them, so that it
/// holds up nobody else's. What the user stopped with Ctrl-C is not sent by it. It ends with 0 unless a delivery has failed for
/// good or could not be sent. `hookfire journal cancel` takes deliveries off the schedule. --watch goes on until Ctrl-C or
/// SIGTERM, which lets the requests that are under way come to their end, and leaves the others on the schedule; a second one
/// ends it at once.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RetryArgs {
    /// Deliveries of the failed list, such as 42 or '#42'
    #[arg(value_name = "ID", value_hint = ValueHint::Other)]
    ids: Vec<DeliveryId>,
    /// Everything in the failed list
    #[arg(long)]
    all: bool,
    /// What is scheduled and due, and what a process that died left behind, by the rule's remaining attempts
    #[arg(long, conflicts_with_all = ["ids", "all", "endpoint", "url", "event_type", "action", "since", "before", "http_status", "error"])]
    due: bool,
    /// With --due: go on until Ctrl-C, and make each attempt when it is due
    #[arg(long, requires = "due", conflicts_with = "dry_run")]
    watch: bool,
    /// With ids or --all: send to this endpoint instead. Else a filter: only deliveries meant for it
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, help_heading = "Target")]
    endpoint: Option<String>,
    /// Send to this URL instead
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Target", conflicts_with = "endpoint")]
    url: Option<String>,
    #[command(flatten)]
    extras: ExtraArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    rule: RetryPolicyArgs,
    #[command(flatten)]
    pace: PaceArgs,
    /// Send at most so many
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroUsize>, help_heading = "Pace")]
    max: Option<NonZeroUsize>,
    /// Begin no more once so many in a row have failed
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroUsize>, help_heading = "Pace")]
    stop_after: Option<NonZeroUsize>,
    #[command(flatten)]
    transport: TransportArgs,
    /// Show what would be sent; send nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    #[command(flatten)]
    output: ReportOutput,
}

impl RetryArgs {
    /// What another command than `hookfire retry` sends by: where, by which rule, and how.
    pub(super) fn elsewhere(
        (endpoint, url, extras): (Option<String>, Option<String>, ExtraArgs),
        rule: RetryPolicyArgs,
        transport: TransportArgs,
        output: ReportOutput,
    ) -> RetryArgs {
        let (ids, filter, pace) = Default::default();
        let (max, stop_after) = (None, None);
        RetryArgs {
            ids,
            all: true,
            due: false,
            watch: false,
            endpoint,
            url,
            extras,
            filter,
            rule,
            pace,
            max,
            stop_after,
            transport,
            dry_run: false,
            output,
        }
    }

    fn jobs(&self) -> usize {
        usize::from(
            self.pace
                .jobs
                .unwrap_or(if self.due { DUE_AT_ONCE } else { 1 }),
        )
    }

    /// Where everything goes, if not to where it was meant for.
    pub(super) fn elsewhere_of<'a>(
        &self,
        ctx: &'a Context<'_>,
    ) -> Result<Option<Chosen<'a>>, Failure> {
        if self.url.is_none() && (self.endpoint.is_none() || !self.all && self.ids.is_empty()) {
            return Ok(None);
        }
        let target = TargetArgs {
            endpoint: self.endpoint.clone(),
            url: self.url.clone(),
            extras: self.extras.clone(),
        };
        settings::chosen(ctx, &target).map(Some)
    }
}

/// Sends these again, one after the other, and adds to `tally` what came of them. One that no configured endpoint is for goes
/// to the one of `urls` that is its own, query included. Ends early when `stop_after` in a row have failed.
///
/// # Errors
/// What kept it from sending at all.
pub(super) fn resend(
    ctx: &Context<'_>,
    args: &RetryArgs,
    journal: &dyn Journal,
    seen: &[Seen],
    urls: &[Target],
    stop_after: Option<usize>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let secrets = settings::secrets("--secret", &args.extras.secret, &ctx.env)?;
    let preparer = Preparer::new(ctx, args, args.elsewhere_of(ctx)?, secrets).with_urls(urls);
    let format = args.output.format();
    let mut bulk = Bulk::new(ctx, Some(journal), format).silent(format == Format::Json);
    std::mem::swap(&mut bulk.tally, tally);
    let mut work = Resending::new(ctx, args, preparer, bulk, stop_after);
    let sent = send(ctx, args, journal, seen, &mut work);
    std::mem::swap(&mut work.bulk.tally, tally);
    sent
}

/// Has the engine do the work.
fn send<'a>(
    ctx: &Context<'_>,
    args: &RetryArgs,
    journal: &dyn Journal,
    seen: &'a [Seen],
    work: &mut Resending<'a>,
) -> Result<(), Failure> {
    let ledger = ctx.ledger(journal)?;
    let jobs = args.jobs();
    let pace = Pace {
        jobs,
        rate: args.pace.rate,
        in_turn: jobs == 1,
        far_ahead: true,
    };
    let engine = Engine {
        store: journal,
        ledger: &ledger,
        clock: &ctx.clock,
        patience: &Blocking,
        pace,
    };
    let mut seen = seen.iter();
    work.feed(Box::new(move || {
        seen.next().map_or(Task::End, |seen| Task::Resend(*seen))
    }));
    if let Err(halted) = engine.run(Mail::default(), work) {
        work.bulk.halted(halted);
    }
    Ok(())
}

/// Runs `hookfire retry`.
///
/// # Errors
/// What kept it from sending at all; what became of each delivery is the exit code.
pub fn run(args: &RetryArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    if args.due {
        return due::run(args, ctx);
    }
    let mut filter = args.filter.filter(ctx.now())?;
    let elsewhere =
        args.url.is_some() || args.endpoint.is_some() && (args.all || !args.ids.is_empty());
    if !elsewhere {
        filter.endpoint.clone_from(&args.endpoint);
    }
    let narrowed = filter != Filter::default();
    let ids: Vec<i64> = args.ids.iter().map(|id| id.0).collect();
    let scope = Scope::resolve(&ids, filter, args.all, "hookfire retry")?;
    let elsewhere = args.elsewhere_of(ctx)?;
    let journal = ctx.existing_journal()?;
    let max = args.max.map(NonZeroUsize::get);
    let names_secrets = elsewhere.is_none() && ctx.is_flag("secret");
    // A secret may be given that only a later portion needs: it is looked for in all of them.
    let most = max.filter(|_| !names_secrets);
    let seen = scope.seen(journal.as_deref(), most)?;
    if seen.is_empty() && narrowed {
        scope.hint_at_unknown(ctx);
        scope.hint_at_others(ctx, journal.as_deref())?;
    }
    let Some(journal) = journal.filter(|_| !seen.is_empty()) else {
        return nothing_to_send(ctx, args.output.format(), "nothing to send again");
    };
    let secrets = settings::secrets("--secret", &args.extras.secret, &ctx.env)?;
    if names_secrets {
        refuse_strange_secrets(&secrets, &*journal, &seen)?;
    }
    let asked = if args.dry_run {
        0
    } else {
        scope.total(&*journal, seen.len(), most)?
    };
    let seen = &seen[..max.unwrap_or(seen.len()).min(seen.len())];
    let preparer = Preparer::new(ctx, args, elsewhere, secrets);
    let bulk = Bulk::new(ctx, Some(&*journal), args.output.format());
    let stop_after = args.stop_after.map(NonZeroUsize::get);
    let mut work =
        Resending::new(ctx, args, preparer, bulk, stop_after).of(seen.len(), !scope.is_bulk());
    if args.dry_run {
        return work.dry_run(&*journal, seen);
    }
    ctx.catch_interrupts()?;
    send(ctx, args, &*journal, seen, &mut work)?;
    work.finish(asked)
}

/// A secret that no delivery asks for is a mistyped name: sending without it would only fail again.
fn refuse_strange_secrets(
    secrets: &[(String, SecretSource)],
    journal: &dyn Journal,
    seen: &[Seen],
) -> Result<(), Failure> {
    let mut strange: Vec<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    for seen in seen {
        let Some(delivery) = journal.delivery(seen.id)? else {
            continue;
        };
        strange.retain(|name| {
            !delivery
                .target
                .params
                .iter()
                .any(|param| param.name == *name)
        });
        if strange.is_empty() {
            return Ok(());
        }
    }
    let names = text::listed(strange);
    Err(Failure::usage(format!(
        "no delivery to be sent has a secret parameter {names}; nothing was sent"
    ))
    .hint("`hookfire failed list -o json | jq '.[].url'` shows the names"))
}

fn nothing_to_send(ctx: &Context<'_>, format: Format, words: &str) -> Result<Exit, Failure> {
    match format {
        Format::Json => ctx.ui.line(json::Array::default().end())?,
        _ => ctx.ui.status(words),
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
