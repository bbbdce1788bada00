//! `hookfire retry`: sends failed deliveries again, or those that are due.

mod due;

use std::cell::RefCell;
use std::collections::HashSet;

use clap::{Args, ValueHint};

use super::args::{
    ExtraArgs, FilterArgs, PaceArgs, ReportOutput, RetryPolicyArgs, SigningArgs, TargetArgs,
    TransportArgs, parse_id, whole_number, with_defaults,
};
use super::context::Context;
use super::report::{RunReport, Style, run_engine};
use super::selection::Selection;
use crate::cli::settings;
use crate::cli::signing;
use crate::config::Settings;
use crate::delivery::Delivery;
use crate::delivery::target::MissingSecret;
use crate::engine::plan::PlanError;
use crate::engine::resend::{KnownTargets, Overrides, Planned, Planner, SeenRows};
use crate::engine::{Claims, Inbox, RunLimits, Summary};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{DeliveryVersion, Journal};
use crate::output::{Format, json};
use crate::secret::SecretSource;
use crate::text;

/// Default number of requests at the same time with `--due`; without it, 1.
const DEFAULT_DUE_JOBS: u16 = 8;

const DEFAULTS: &[(&str, &str)] = &[
    ("retries", "0; with --due: those of the delivery"),
    ("retry_interval", "that of the delivery"),
    ("success", "those of the delivery"),
    ("jobs", "1; with --due: 8"),
];

const EXAMPLES: &str = "\
Examples:
  Send one again:
    $ hookfire retry 42
  Send all failed deliveries again, oldest first:
    $ hookfire retry --all
  Show those that failed with a 5xx status in the last two hours:
    $ hookfire retry --http-status 5xx --since 2h --dry-run
  Send one, then all others with limits; stop when ten in a row fail:
    $ hookfire retry --all --max 1
    $ hookfire retry --all --jobs 4 --rate 50/s --stop-after 10
  Give a secret again that was given literally, and so was not stored:
    $ hookfire retry 42 --secret token=@env:HOOK_TOKEN
  Give the secret again that signs the requests, or sign them by another scheme:
    $ hookfire retry 42 --signing-secret @env:WHSEC
    $ hookfire retry 42 --sign standard --signing-secret @env:WHSEC
  Send them to another URL:
    $ hookfire retry --all --url http://127.0.0.1:8080/hook
  Make the attempts that are due, from a timer or until Ctrl-C:
    $ hookfire retry --due
    $ hookfire retry --due --watch --jobs 20 --rate 100/s";

/// Send failed deliveries again
///
/// Makes one attempt per delivery, oldest first, unless --retries is given. Deliveries are sent one at a time unless --jobs is
/// given. The uuid stays the same, so that receivers can detect duplicates; two retries running at once never send the same
/// delivery twice. A delivery that succeeds leaves the failed list. Success statuses and interval are those of the original delivery
/// unless given. Never prompts; --dry-run shows what would be sent.
///
/// Secrets come from the options, else from the endpoint's configuration, else from the reference (@env:, @file:) stored with
/// the delivery. A delivery whose secret cannot be resolved is not sent and stays in the list.
///
/// --due sends the deliveries whose next attempt is due: those that `fire --background` or an earlier `retry --due` scheduled,
/// and those of processes that died. Each keeps its retry policy: after the attempt it is delivered, scheduled again, or failed.
/// Up to 8 requests are sent at a time, or --jobs; an endpoint that does not respond uses at most half of them. Deliveries that
/// you stopped with Ctrl-C are not included. The exit code is 0 unless a delivery finally failed or could not be sent.
/// `hookfire journal cancel` cancels scheduled deliveries.
///
/// --watch continues until Ctrl-C or SIGTERM: requests in progress finish, the others stay scheduled. A second Ctrl-C ends at
/// once.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, mut_args(with_defaults(DEFAULTS)))]
pub struct RetryArgs {
    /// Failed deliveries, such as 42 or '#42'
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    ids: Vec<i64>,
    /// All failed deliveries
    #[arg(long)]
    all: bool,
    /// Scheduled deliveries that are due, and those of processes that died
    #[arg(long, conflicts_with_all = ["ids", "all", "endpoint", "url", "event_type", "action", "since", "before", "http_status", "error"])]
    due: bool,
    /// With --due: continue until Ctrl-C, and make each attempt when it is due
    #[arg(long, requires = "due", conflicts_with = "dry_run")]
    watch: bool,
    /// With ids or --all: send to this endpoint instead. Otherwise a filter: only deliveries for it
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
    filter: FilterArgs,
    #[command(flatten)]
    retry_policy: RetryPolicyArgs,
    #[command(flatten)]
    pace: PaceArgs,
    /// Send at most N
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX), help_heading = "Pace")]
    max: Option<usize>,
    /// Stop after N failures in a row; a delivery that cannot be sent does not count
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX), help_heading = "Pace")]
    stop_after: Option<usize>,
    #[command(flatten)]
    transport: TransportArgs,
    /// Show what would be sent, and send nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    #[command(flatten)]
    output: ReportOutput,
}

impl RetryArgs {
    fn jobs(&self) -> usize {
        let default = if self.due { DEFAULT_DUE_JOBS } else { 1 };
        usize::from(self.pace.jobs.unwrap_or(default))
    }

    fn limits(&self, claims: Claims) -> RunLimits {
        let jobs = self.jobs();
        let max = |number: Option<usize>| number.unwrap_or(usize::MAX);
        RunLimits {
            jobs,
            rate: self.pace.rate,
            max: max(self.max),
            stop_after: max(self.stop_after),
            claims: if jobs == 1 { Claims::OneByOne } else { claims },
        }
    }

    /// Whether `--endpoint` or `--url` names another destination; with a filter, `--endpoint` is one.
    fn has_destination(&self) -> bool {
        self.url.is_some() || self.endpoint.is_some() && (self.all || !self.ids.is_empty())
    }

    fn planner<'a>(&'a self, ctx: &'a Context<'_>) -> Result<Planner<'a>, Failure> {
        let target = self.has_destination().then(|| TargetArgs {
            endpoint: self.endpoint.clone(),
            url: self.url.clone(),
            extras: self.extras.clone(),
        });
        let settings =
            settings::retry_policy(ctx, &self.retry_policy)?.or(&self.transport.settings());
        Ok(Planner {
            scheduled: self.due,
            jobs: self.jobs(),
            ..planner(
                ctx,
                target.as_ref(),
                (&self.extras, &self.signing),
                settings,
            )?
        })
    }
}

/// Plans deliveries that are sent again, to `target` if it is given.
pub(super) fn planner<'a>(
    ctx: &'a Context<'_>,
    target: Option<&TargetArgs>,
    (extras, signing): (&ExtraArgs, &SigningArgs),
    settings: Settings,
) -> Result<Planner<'a>, Failure> {
    let destination = match target {
        Some(target) => {
            let mut chosen = settings::chosen(ctx, target)?;
            signing::apply(&mut chosen.target, signing, ctx)?;
            let endpoint = chosen.endpoint.map(|(_, endpoint)| endpoint);
            Some((endpoint, chosen.target))
        }
        None => None,
    };
    let mut public = settings::from_url("http://localhost/")?.target;
    settings::add_public(&mut public, extras, &ctx.env)?;
    Ok(Planner {
        config: ctx.config()?,
        env: &ctx.env,
        clients: &ctx.clients,
        overrides: Overrides {
            destination,
            secrets: settings::secrets("--secret", &extras.secret, &ctx.env)?,
            params: public.params,
            headers: public.headers,
            signing: signing::options(signing, ctx)?,
            settings,
            known: KnownTargets::default(),
        },
        scheduled: false,
        jobs: 1,
        mask: ctx.mask(false)?,
    })
}

/// Reports plans: warnings about a destination, and why deliveries cannot be sent.
pub(super) struct PlanReport<'a> {
    pub ctx: &'a Context<'a>,
    pub planner: &'a Planner<'a>,
    /// Warnings that were given: in a bulk, once is enough.
    warned: RefCell<HashSet<String>>,
    /// Missing secrets that were explained, with the delivery's endpoint.
    explained: RefCell<HashSet<(String, Option<String>)>>,
}

impl<'a> PlanReport<'a> {
    pub fn new(ctx: &'a Context<'a>, planner: &'a Planner<'a>) -> PlanReport<'a> {
        PlanReport {
            ctx,
            planner,
            warned: RefCell::default(),
            explained: RefCell::default(),
        }
    }

    pub fn warn(&self, planned: &Planned) {
        self.ctx.warn_of_exposure(&planned.target, &planned.options);
        if planned.withholds_signature {
            self.warn_once(
                "sent elsewhere without a signature; `--sign SCHEME` makes one".to_owned(),
            );
        }
        if !planned.withheld_secrets.is_empty() {
            self.warn_once(format!(
                "sent elsewhere without the secret {}; `--secret` and `--header` give one",
                text::listed(planned.withheld_secrets.iter().map(String::as_str))
            ));
        }
    }

    fn warn_once(&self, warning: String) {
        if self.warned.borrow_mut().insert(warning.clone()) {
            self.ctx.ui.warning(&warning);
        }
    }

    /// The failure of a delivery that cannot be sent. A missing secret is explained once; each other delivery that
    /// lacks it gets one line.
    pub fn failure(&self, delivery: &Delivery, error: PlanError) -> Failure {
        let id = delivery.id;
        let failure = self.hinted(delivery, error.into());
        let Some(missing) = failure.error.downcast_ref::<MissingSecret>() else {
            return failure.context(format!("#{id} is left as it is"));
        };
        let known = (missing.to_string(), delivery.endpoint.clone());
        if self.explained.borrow_mut().insert(known) {
            return failure.context(format!("#{id} is left as it is"));
        }
        let words = format!(
            "#{id} is left as it is: it lacks the secret {} as well",
            missing.described()
        );
        Failure::new(failure.kind, words)
    }

    pub fn hinted(&self, delivery: &Delivery, failure: Failure) -> Failure {
        match self.planner.moved_endpoint(delivery) {
            Some(name) if failure.kind == Kind::Secret => failure.hint(format!(
                "endpoint `{name}` is at another place now, and its secrets are for there: `hookfire retry {} -e {name}`",
                delivery.id
            )),
            _ => failure,
        }
    }
}

/// Sends rows of the failed list again, in order.
pub(super) fn resend(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    planner: &Planner<'_>,
    rows: Vec<DeliveryVersion>,
    limits: RunLimits,
    report: &RunReport<'_>,
) -> Result<Summary, Failure> {
    let plan_report = PlanReport::new(ctx, planner);
    let mut source = SeenRows {
        rows: rows.into_iter(),
        planner,
        report: &|delivery, result| match result {
            Ok(planned) => plan_report.warn(planned),
            Err(e) => report.failed(plan_report.failure(delivery, e)),
        },
    };
    run_engine(
        ctx,
        journal,
        limits,
        Inbox::default(),
        None,
        &mut source,
        report,
    )
}

pub fn run(args: &RetryArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    if args.due {
        return due::run(args, ctx);
    }
    let format = args.output.format();
    let has_destination = args.has_destination();
    let mut filter = args.filter.filter(ctx.now())?;
    if !has_destination {
        filter.endpoint.clone_from(&args.endpoint);
    }
    let narrowed = !filter.is_empty();
    let selection = Selection::resolve(&args.ids, filter, args.all, "hookfire retry")?;
    let names_secrets =
        !has_destination && (ctx.is_flag("secret") || signing::is_only_secret(&args.signing, ctx));
    let planner = args.planner(ctx)?;
    let journal = &*ctx.readable_journal()?;
    selection.refuse_unknown_endpoint(ctx, journal)?;
    // A secret may be for a delivery beyond `--max`: all are searched for it.
    let max = args.max;
    let read_max = max.filter(|_| !names_secrets);
    let mut rows = selection.seen(journal, read_max)?;
    if rows.is_empty() && narrowed {
        selection.hint_at_unknown(ctx);
        selection.hint_at_others(ctx, journal)?;
    }
    if rows.is_empty() {
        return nothing_to_send(ctx, format, "nothing to send again");
    }
    if names_secrets {
        refuse_unknown_secrets(args, ctx, &planner.overrides.secrets, |visit| {
            selection.each(journal, &rows, None, visit)
        })?;
    }
    let asked = if args.dry_run {
        0
    } else {
        selection.total(journal, rows.len(), read_max)?
    };
    rows.truncate(max.unwrap_or(usize::MAX));
    let limits = args.limits(Claims::Many);
    let style = if limits.jobs == 1 {
        let retries = args.retry_policy.retries.is_some();
        Style::OneByOne { retries }
    } else {
        Style::Many
    };
    let mut report = RunReport::new(ctx, journal, format, style);
    report.named = !selection.is_bulk();
    report.expected.set(Some(rows.len() as u64));
    if let Some(name) = args.endpoint.as_ref().filter(|_| args.all) {
        report_redirected(ctx, name, args.dry_run, |visit| {
            selection.each(journal, &rows, max, visit)
        })?;
    }
    if args.dry_run {
        return dry_run(ctx, &planner, &report, format, |visit| {
            selection.each(journal, &rows, max, visit)
        });
    }
    ctx.catch_interrupts()?;
    let summary = resend(ctx, journal, &planner, rows, limits, &report)?;
    let totals = summary.in_words(Some(asked));
    let stopped = "stopped; deliveries that did not succeed are in the failed list";
    report.conclude(summary, &totals, asked > 1, Some(stopped))
}

/// Called with each delivery of a selection.
type Visit<'a> = &'a mut dyn FnMut(Delivery) -> Result<(), Failure>;

/// Says how many deliveries are for other destinations than the endpoint that they are sent to.
fn report_redirected(
    ctx: &Context<'_>,
    endpoint: &str,
    dry_run: bool,
    each: impl FnOnce(Visit<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut number = 0;
    each(&mut |delivery| {
        number += usize::from(delivery.endpoint.as_deref() != Some(endpoint));
        Ok(())
    })?;
    if number > 0 {
        let verb = if dry_run { "would send" } else { "sending" };
        let deliveries = text::count(
            number,
            "delivery for another destination",
            "deliveries for other destinations",
        );
        ctx.ui
            .status(&format!("{verb} {deliveries} to `{endpoint}`"));
    }
    Ok(())
}

/// Prints where deliveries would be sent.
fn dry_run(
    ctx: &Context<'_>,
    planner: &Planner<'_>,
    report: &RunReport<'_>,
    format: Format,
    each: impl FnOnce(Visit<'_>) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let plan_report = PlanReport::new(ctx, planner);
    each(&mut |delivery| {
        let target = match planner.plan(&delivery) {
            Ok(planned) => {
                plan_report.warn(&planned);
                planned.target
            }
            Err(e) => {
                report.failed(plan_report.failure(&delivery, e));
                return Ok(());
            }
        };
        let id = delivery.id;
        if format == Format::Text {
            let line = format!("would send #{id} {} → {target}", delivery.label());
            Ok(ctx.ui.line(&line)?)
        } else {
            report.print_json(&serde_json::json!({
                "dry_run": true, "id": id, "uuid": delivery.uuid, "type": delivery.event_type,
                "action": delivery.action, "url": target.to_string(),
            }))
        }
    })?;
    ctx.ui.status("nothing is sent (--dry-run)");
    report.conclude(Summary::default(), "nothing to send", false, None)
}

/// Refuses a secret that no delivery has: its name is probably mistyped, and sending without it would fail again.
fn refuse_unknown_secrets(
    args: &RetryArgs,
    ctx: &Context<'_>,
    secrets: &[(String, SecretSource)],
    each: impl FnOnce(Visit<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut unknown: Vec<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    let mut unsigned = signing::is_only_secret(&args.signing, ctx);
    each(&mut |delivery| {
        let params = &delivery.target.params;
        unknown.retain(|name| !params.iter().any(|param| param.name == *name));
        unsigned &= delivery.target.signing.is_none();
        Ok(())
    })?;
    if unsigned {
        return Err(Failure::usage(
            "no delivery to be sent is signed, so `--signing-secret` is for none; nothing was sent",
        )
        .hint("`--sign SCHEME` signs them"));
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let names = text::listed(unknown);
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
    Ok(Exit::Done)
}
