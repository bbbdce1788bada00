//! `hookfire retry`: send failed deliveries again, or those that are due.

mod due;
mod tally;

use std::collections::HashSet;

use clap::{Args, ValueHint};

use super::args::{
    DeliveryId, ExtraArgs, FilterArgs, Format, ReportOutput, RuleArgs, TargetArgs, TransportArgs, hint_at_unknown,
};
use super::context::Context;
use super::report::exit_of;
use super::scope::Scope;
use crate::deliver::{Courier, Observer, Shipment};
use crate::delivery::{Delivery, Status};
use crate::exit::Exit;
use crate::failure::{Failure, Kind};
use crate::filter::Filter;
use crate::journal::Journal;
use crate::output::human::{Narrator, result_line};
use crate::output::json::{self, DeliveryView};
use crate::recover::{self, Dispatch, Retried};
use crate::rule::Rule;
use crate::secret::SecretSource;
use crate::settings::{self, Chosen, Origin};
use crate::store::{Seen, Store as _};
use crate::target::{MissingSecret, Target, Value};
use crate::text;
use crate::time::Clock as _;
pub(super) use tally::Resent;

const EXAMPLES: &str = "\
Examples:
  Send one again:
    $ hookfire retry 42
  Send everything that failed, oldest first:
    $ hookfire retry --all
  Only what failed with a 5xx in the last two hours; see first what that is:
    $ hookfire retry --http-status 5xx --since 2h --dry-run
  Give the secret that was given literally the first time, and so was not kept:
    $ hookfire retry 42 --secret token=@env:HOOK_TOKEN
  Send them to another place:
    $ hookfire retry --all --url http://127.0.0.1:8080/hook
  Make the attempts that are due, from a timer; or all of them when they are due, until Ctrl-C:
    $ hookfire retry --due
    $ hookfire retry --due --watch";

/// Send failed deliveries again
///
/// One attempt each, oldest first, unless --retries says more; same uuid, so that a receiver can drop doubles. What
/// succeeds leaves the failed list. What counts as delivered, and the time between attempts, are those of the first time
/// unless given. Two retries at once never send one delivery twice. It never asks; --dry-run shows what it would send.
///
/// Secrets come from this command's flags, else from the endpoint's configuration, else from the reference that was kept
/// with the delivery (@env:, @file:). A delivery whose secret cannot be had is left as it is.
///
/// --due makes the attempts whose time has come: of deliveries that `fire --background` or an earlier `retry --due` has
/// scheduled, and of those that a process left behind when it died, from when their next attempt would have been due. Each
/// keeps to the rule it was accepted under: one attempt, then it is delivered, scheduled again, or has failed. What the user
/// stopped with Ctrl-C is not sent by it. It ends with 0 unless a delivery has failed for good or could not be sent. `hookfire
/// journal cancel` takes deliveries off the schedule. --watch goes on until Ctrl-C or SIGTERM, which lets the request that is
/// under way come to its end; a second one does not.
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
    rule: RuleArgs,
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
        rule: RuleArgs,
        transport: TransportArgs,
        output: ReportOutput,
    ) -> RetryArgs {
        let (ids, filter) = Default::default();
        let (due, watch, dry_run) = (false, false, false);
        RetryArgs { ids, all: true, due, watch, endpoint, url, extras, filter, rule, transport, dry_run, output }
    }

    /// Where everything goes, if not to where it was meant for.
    pub(super) fn elsewhere_of<'a>(&self, ctx: &'a Context<'_>) -> Result<Option<Chosen<'a>>, Failure> {
        if self.url.is_none() && (self.endpoint.is_none() || !self.all && self.ids.is_empty()) {
            return Ok(None);
        }
        let target = TargetArgs { endpoint: self.endpoint.clone(), url: self.url.clone(), extras: self.extras.clone() };
        settings::chosen(&target, ctx.matches, ctx.config()?, &ctx.env).map(Some)
    }
}

/// Sends these again, and adds to `resent` what came of them. One that no configured endpoint is for goes to the one of
/// `urls` that is its own, query included. Ends early when `stop_after` in a row have failed.
///
/// # Errors
/// What kept it from sending at all.
pub(super) fn resend(
    ctx: &Context<'_>,
    args: &RetryArgs,
    journal: &Journal,
    seen: &[Seen],
    urls: &[Target],
    stop_after: Option<usize>,
    resent: &mut Resent,
) -> Result<(), Failure> {
    let secrets = settings::secrets("--secret", &args.extras.secret, &ctx.env)?;
    let silent = args.output.format() == Format::Json;
    let mut retry =
        Retry { urls, stop_after, silent, ..Retry::new(ctx, args, args.elsewhere_of(ctx)?, secrets, journal) };
    std::mem::swap(&mut retry.tally, resent);
    let ended = recover::retry(&Courier { store: journal, clock: &ctx.clock }, seen, &mut retry);
    std::mem::swap(&mut retry.tally, resent);
    ended
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
    let elsewhere = args.url.is_some() || args.endpoint.is_some() && (args.all || !args.ids.is_empty());
    if !elsewhere {
        filter.endpoint.clone_from(&args.endpoint);
    }
    let narrowed = filter != Filter::default();
    let ids: Vec<i64> = args.ids.iter().map(|id| id.0).collect();
    let scope = Scope::settle(&ids, filter, args.all, "hookfire retry")?;
    let elsewhere = args.elsewhere_of(ctx)?;
    let journal = ctx.existing_journal()?;
    let seen = scope.seen(journal.as_ref())?;
    if seen.is_empty() && narrowed {
        hint_at_unknown(ctx, &args.filter, args.endpoint.as_deref());
        scope.hint_at_others(ctx, journal.as_ref())?;
    }
    let Some(journal) = journal.filter(|_| !seen.is_empty()) else {
        return nothing_to_send(ctx, args.output.format(), "nothing to send again");
    };
    let secrets = settings::secrets("--secret", &args.extras.secret, &ctx.env)?;
    if elsewhere.is_none() && Origin::of(ctx.matches, "secret") == Origin::Flag {
        refuse_strange_secrets(&secrets, &journal, &seen)?;
    }
    let named = !scope.is_bulk();
    let retry = Retry { named, ..Retry::new(ctx, args, elsewhere, secrets, &journal) };
    if args.dry_run {
        return retry.dry_run(&seen);
    }
    let mut retry = retry;
    ctx.catch_interrupts()?;
    let ended = recover::retry(&Courier { store: &journal, clock: &ctx.clock }, &seen, &mut retry);
    retry.finish(ended, seen.len())
}

/// A secret that no delivery asks for is a mistyped name: sending without it would only fail again.
fn refuse_strange_secrets(secrets: &[(String, SecretSource)], journal: &Journal, seen: &[Seen]) -> Result<(), Failure> {
    let mut strange: Vec<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    for seen in seen {
        let Some(delivery) = journal.delivery(seen.id)? else { continue };
        strange.retain(|name| !delivery.target.params.iter().any(|param| param.name == *name));
        if strange.is_empty() {
            return Ok(());
        }
    }
    let names = text::listed(strange);
    Err(Failure::usage(format!("no delivery to be sent has a secret parameter {names}; nothing was sent"))
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

/// One run of `retry`: prepares each delivery and reports what becomes of it.
struct Retry<'a> {
    ctx: &'a Context<'a>,
    args: &'a RetryArgs,
    elsewhere: Option<Chosen<'a>>,
    /// `--secret`, by name.
    secrets: Vec<(String, SecretSource)>,
    journal: &'a Journal,
    format: Format,
    array: json::Array,
    /// Whether ids were named, so that each one skipped is worth a word.
    named: bool,
    /// Warnings that were given: in a bulk, once is enough.
    told: HashSet<String>,
    /// URLs with their secrets, for deliveries that lost theirs.
    urls: &'a [Target],
    /// So many failures in a row are enough.
    stop_after: Option<usize>,
    /// The caller says in one document what came of all.
    silent: bool,
    tally: Resent,
}

impl<'a> Retry<'a> {
    /// A run that has sent nothing yet.
    fn new(
        ctx: &'a Context<'a>,
        args: &'a RetryArgs,
        elsewhere: Option<Chosen<'a>>,
        secrets: Vec<(String, SecretSource)>,
        journal: &'a Journal,
    ) -> Retry<'a> {
        Retry {
            ctx,
            args,
            elsewhere,
            secrets,
            journal,
            format: args.output.format(),
            array: json::Array::default(),
            named: false,
            told: HashSet::new(),
            urls: &[],
            stop_after: None,
            silent: false,
            tally: Resent::default(),
        }
    }

    /// Where a delivery goes now, and the options to connect with.
    fn target(&self, delivery: &Delivery) -> Result<Target, Failure> {
        let mut target = match &self.elsewhere {
            Some(chosen) => return Ok(delivery.target.redirected(&chosen.target)),
            None => delivery.target.clone(),
        };
        // From the kept reference, over the endpoint's configuration, to the flags: the last one wins.
        if let Some(endpoint) = self.configured(delivery) {
            target.refresh_secrets(&endpoint.target);
        } else if let Some(whole) = self.urls.iter().rev().find(|whole| is_same_place(whole, &target)) {
            target.refresh_secrets(whole);
        }
        for param in &mut target.params {
            if let Some((_, source)) = self.secrets.iter().find(|(name, _)| *name == param.name) {
                param.value = Value::Secret(source.clone());
            }
        }
        settings::add_public(&mut target, &self.args.extras, &self.ctx.env)?;
        Ok(target)
    }

    /// The delivery's endpoint as it is configured now, if it is still at the place that the delivery was meant for: its
    /// secrets are for nobody else.
    fn configured(&self, delivery: &Delivery) -> Option<&crate::config::Endpoint> {
        let endpoint = self.ctx.config().ok()?.endpoints.get(delivery.endpoint.as_deref()?)?;
        endpoint.target.base.same_origin(&delivery.target.base).then_some(endpoint)
    }

    /// Says once of each kind which secrets a delivery goes without.
    fn tell_left_behind(&mut self, delivery: &Delivery, target: &Target) {
        let names = delivery.target.secrets_missing_in(target);
        let words = format!(
            "sent elsewhere without the secret {}; `--secret` and `--header` give one",
            text::listed(names.iter().copied())
        );
        if !names.is_empty() && self.told.insert(words.clone()) {
            self.ctx.ui.warning(&words);
        }
    }

    /// Whether the delivery's endpoint is configured, at another place.
    fn has_moved(&self, delivery: &Delivery) -> bool {
        let named = delivery
            .endpoint
            .as_ref()
            .is_some_and(|name| self.ctx.config().is_ok_and(|config| config.endpoints.contains_key(name)));
        self.elsewhere.is_none() && named && self.configured(delivery).is_none()
    }

    fn rule(&self, delivery: &Delivery) -> Rule {
        let RuleArgs { retries, retry_interval, success } = &self.args.rule;
        Rule {
            retries: retries.unwrap_or(0),
            interval: retry_interval.unwrap_or(delivery.rule.interval),
            success: success.clone().unwrap_or_else(|| delivery.rule.success.clone()),
        }
    }

    fn dry_run(mut self, seen: &[Seen]) -> Result<Exit, Failure> {
        for &Seen { id, .. } in seen {
            let Some(delivery) = self.journal.delivery(id)? else { continue };
            match self.prepare(&delivery) {
                Ok(_) => self.print_plan(&delivery)?,
                Err(e) => {
                    self.failed(id, e);
                }
            }
        }
        self.ctx.ui.status("nothing is sent (--dry-run)");
        self.finish(Ok(()), 0)
    }

    /// What would be sent where.
    fn print_plan(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        let Delivery { id, uuid, event_type, action, .. } = delivery;
        let target = self.target(delivery)?;
        if self.format == Format::Text {
            return Ok(self.ctx.ui.line(&format!("would send #{id} {event_type}.{action} → {target}"))?);
        }
        let view = serde_json::json!({
            "dry_run": true, "id": id, "uuid": uuid, "type": event_type, "action": action, "url": target.to_string(),
        });
        self.print_json(&view)
    }

    fn print(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        if self.format == Format::Text {
            self.ctx.ui.line(&result_line(self.ctx.ui, delivery))?;
            return Ok(self.ctx.ui.flush()?);
        }
        self.print_json(&DeliveryView::new(delivery).with_attempts(&self.journal.attempts(delivery.id)?))
    }

    fn print_json(&mut self, view: &impl serde::Serialize) -> Result<(), Failure> {
        let line = if self.format == Format::Json { self.array.element(view) } else { json::compact(view) };
        self.ctx.ui.line(&line)?;
        Ok(self.ctx.ui.flush()?)
    }

    /// Writes what comes last; a report that could not be written does not hide how it ended.
    fn end_output(&mut self) -> Result<(), Failure> {
        if let Some(failure) = self.tally.unreported.take() {
            return Err(failure);
        }
        if self.format == Format::Json {
            self.ctx.ui.line(self.array.end())?;
        }
        Ok(self.ctx.ui.flush()?)
    }

    fn finish(mut self, ended: Result<(), Failure>, asked: usize) -> Result<Exit, Failure> {
        let exit = Failure::after(self.end_output(), self.tally.exit)?;
        ended?;
        if asked > 1 {
            self.ctx.ui.status(&self.tally.in_words(Some(asked)));
        }
        if self.ctx.clock.interrupted() {
            return Err(Failure::new(Kind::Interrupted, "stopped; what was not delivered is in the failed list"));
        }
        self.end(exit, Some(asked))
    }

    /// How the command ends, where nobody stopped it.
    fn end(mut self, exit: Exit, asked: Option<usize>) -> Result<Exit, Failure> {
        if self.format == Format::Text || exit == Exit::Done {
            return Ok(exit);
        }
        let kind = if exit == Exit::Refused { Kind::Refused } else { Kind::Unreachable };
        let failure = self.tally.first_failure.take().unwrap_or_else(|| {
            Failure::new(kind, format!("not all were delivered: {}", self.tally.in_words(asked)))
                .hint("`hookfire failed list` shows what is left")
        });
        Err(Failure { exit: Some(exit), ..failure })
    }
}

/// Whether both are one URL but for the values of the query.
fn is_same_place(one: &Target, other: &Target) -> bool {
    let names = |target: &Target| target.params.iter().map(|param| param.name.clone()).collect::<Vec<_>>();
    one.base == other.base && names(one) == names(other)
}

impl Dispatch for Retry<'_> {
    type Error = Failure;

    fn prepare(&mut self, delivery: &Delivery) -> Result<Shipment, Failure> {
        let target = self.target(delivery)?;
        let endpoint = match &self.elsewhere {
            Some(chosen) => chosen.endpoint.map(|(_, endpoint)| endpoint),
            None => self.configured(delivery),
        };
        let options = settings::transport(&self.args.transport, self.ctx.matches, endpoint);
        self.ctx.warn_of_exposure(&target, &options);
        let sent_to = self.elsewhere.is_some().then(|| target.to_string());
        if sent_to.is_some() {
            self.tell_left_behind(delivery, &target);
        }
        // As it was sent the first time, unless it goes to where another form is asked for.
        let there = self.elsewhere.as_ref().and_then(|chosen| chosen.endpoint?.1.wire);
        let wire = there.unwrap_or(delivery.wire);
        let shipment = self.ctx.shipment(&target, self.rule(delivery), &options, sent_to);
        shipment.map(|shipment| Shipment { wire, ..shipment }).map_err(|failure| match &delivery.endpoint {
            Some(name) if failure.kind == Kind::Secret && self.has_moved(delivery) => failure.hint(format!(
                "endpoint `{name}` is at another place now, and its secrets are for there: `hookfire retry {} -e {name}`",
                delivery.id
            )),
            _ => failure,
        })
    }

    fn failed(&mut self, id: i64, failure: Failure) -> bool {
        let journal_is_gone = failure.kind == Kind::Journal;
        let missing = failure.error.downcast_ref::<MissingSecret>().is_some();
        let failure = if missing { failure.about(format!("#{id} is left as it is")) } else { failure };
        self.tally.exit = self.tally.exit.worst(failure.kind.exit());
        if self.format == Format::Text {
            failure.tell(self.ctx.ui);
        } else {
            self.tally.first_failure.get_or_insert(failure);
        }
        !journal_is_gone
    }

    fn observer(&mut self, delivery: &Delivery) -> Box<dyn Observer + '_> {
        if self.args.rule.retries.is_some() {
            self.ctx.ui.status(&crate::output::human::headline(delivery));
        }
        Box::new(Narrator { ui: self.ctx.ui, terse: true })
    }

    fn done(&mut self, retried: &Retried) -> Result<(), Failure> {
        match retried {
            Retried::NotSent => {
                self.tally.not_sent += 1;
                self.tally.in_a_row += 1;
            }
            Retried::Skipped(id) => {
                self.tally.skipped += 1;
                if self.named {
                    self.tally.exit = self.tally.exit.worst(Exit::Error);
                    self.ctx.ui.warning(&format!("#{id} was sent, or is being sent, by another process; skipped"));
                }
            }
            Retried::Sent(delivery) => {
                match delivery.status {
                    Status::Delivered => {
                        self.tally.delivered += 1;
                        self.tally.in_a_row = 0;
                    }
                    Status::Pending => {
                        self.tally.scheduled += 1;
                        self.tally.in_a_row += 1;
                    }
                    _ => {
                        self.tally.failed += 1;
                        self.tally.in_a_row += 1;
                    }
                }
                self.tally.exit = self.tally.exit.worst(exit_of(delivery));
                if self.tally.unreported.is_none() && !self.silent {
                    self.tally.unreported = self.print(delivery).err();
                }
            }
        }
        Ok(())
    }

    fn enough(&self) -> bool {
        self.stop_after.is_some_and(|most| self.tally.in_a_row >= most)
    }
}
