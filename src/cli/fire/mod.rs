//! `hookfire fire`: builds an event and sends it; with `--batch`, sends many.

mod background;
mod batch;
mod batch_line;
mod lines;
mod refused;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};

use super::args::{
    Format, OriginArgs, PaceArgs, ReportOutput, RetryPolicyArgs, TargetArgs, TransportArgs,
    WireArgs, whole_number,
};
use super::context::{Context, request_head};
use super::portal::{self, PortalArgs};
use super::report::{self, RunReport, Style, run_engine};
use super::sample::{SampleArgs, SamplePurpose, event_name};
use crate::cli::settings::{self, Chosen, FireSettings};
use crate::config::Settings;
use crate::delivery::switches::Switch;
use crate::delivery::{Delivery, Status};
use crate::engine::plan::event_headers;
use crate::engine::{Claims, Inbox, RetryMode, RunLimits, SendPlan, Source, SourceItem};
use crate::error::{Failure, Kind};
use crate::event::{ElementOrder, Event, Object, pretty};
use crate::exit::Exit;
use crate::journal::{NewDelivery, Write, WriteResult};
use crate::text;
use crate::time::compact;

/// Larger events and objects are not read.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  Send a built-in sample to a URL:
    $ hookfire fire application created --url http://127.0.0.1:8080/hook
  Change fields of the sample, and send it to a configured endpoint:
    $ hookfire fire account created -e staging --set org_name=Acme --set state=pending
  Send the object that 3scale's API returned, with a secret from the environment:
    $ hookfire fire user updated -e staging --object user.xml --secret t=@env:TOKEN
  Send the current state of an account at the 3scale tenant:
    $ hookfire fire account updated -e staging --portal-object 42
  Send a whole event document byte for byte, read from stdin:
    $ hookfire fire --event - -e staging
  Send it like an old 3scale: action before type, in a form:
    $ hookfire fire application key_created -e staging --auth-mode oauth --compat porta --wire form
  Do not wait for retries; `hookfire retry --due` makes them:
    $ hookfire fire account created -e staging --background
  Send many events, one JSON object per line, eight at a time:
    $ hookfire fire --batch events.ndjson -e staging
    $ echo '{\"type\":\"user\",\"action\":\"created\",\"set\":{\"email\":\"jo@acme.example\"}}' | hookfire fire --batch - -e staging
  Show what would be sent, and send nothing:
    $ hookfire fire account created -e staging --dry-run";

/// Send an event, and retry until it is delivered
///
/// hookfire records the event in the journal, then sends it. It is delivered if the endpoint responds with 200 (or a status of
/// --success); otherwise hookfire retries 5 times, 60 seconds apart. After that it is in the failed list, and `hookfire retry`
/// sends it again. On a terminal, and unless you set --retries or --retry-interval, hookfire does not retry if nothing listens
/// at a port of this machine.
///
/// With --background, hookfire makes one attempt. If it fails, the next attempt is scheduled in the journal and the exit code is
/// 0. No daemon makes it: run `hookfire retry --due` from a timer, or `hookfire retry --due --watch`.
///
/// Each delivery has a uuid, which all its attempts carry in the header `webhook-id`.
///
/// With --batch, each line of a file is an event: {"type": "user", "action": "created"}, optionally with "object" (XML),
/// "object_file" (relative to the working directory), "set" ({"path": "value"}) and "endpoint". Invalid lines are reported with
/// their number and skipped. Retries do not block other events. Options apply to every line.
///
/// The switches of an endpoint (`active`, `provider_actions`, `events`) are those of 3scale. An event that they disable is
/// recorded as `ignored` and not sent, and the exit code is 0.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FireArgs {
    /// The event's type, such as account, user or application; or TYPE.ACTION
    #[arg(value_name = "TYPE", value_hint = ValueHint::Other)]
    event_type: Option<String>,
    /// The event's action, such as created, updated or deleted
    ///
    /// There are samples for account: created, updated, plan_changed, deleted; user: created, updated, deleted;
    /// application: created, updated, suspended, plan_changed, user_key_updated, deleted, key_created, key_updated,
    /// key_deleted. Any other type and action can be sent with --object.
    #[arg(value_name = "ACTION", value_hint = ValueHint::Other)]
    action: Option<String>,
    /// Read the object's XML from this file (- = stdin) instead of using the built-in sample
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Event")]
    object: Option<PathBuf>,
    /// Fetch the object with this id from the 3scale tenant; TYPE is account, user or application
    #[arg(long, value_name = "ID", value_parser = whole_number::<u64>(0..=u64::MAX), help_heading = "Event", conflicts_with_all = ["event", "object"])]
    portal_object: Option<u64>,
    /// The account of --portal-object; required for a user
    #[arg(
        long,
        value_name = "ID",
        value_parser = whole_number::<u64>(0..=u64::MAX),
        help_heading = "Event",
        requires = "portal_object"
    )]
    portal_account: Option<u64>,
    /// Send the event document in this file (- = stdin) byte for byte
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Event", conflicts_with_all = ["event_type", "object", "set"])]
    event: Option<PathBuf>,
    /// Set a field of the object: `org_name=Acme`, `plan/name=Gold`, `users/user[2]/email=a@b.c` (repeatable)
    #[arg(long, value_name = "PATH=VALUE", value_hint = ValueHint::Other, help_heading = "Event")]
    set: Vec<String>,
    /// Send the events in this file (- = stdin), one JSON object per line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Batch", conflicts_with_all = [
        "event_type", "action", "object", "event", "set", "portal_object", "portal_account",
    ])]
    batch: Option<PathBuf>,
    /// Skip the first N lines of the batch
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(0..=u64::MAX), help_heading = "Batch")]
    skip: Option<u64>,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    sample: SampleArgs,
    #[command(flatten)]
    wire: WireArgs,
    #[command(flatten)]
    portal: PortalArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    origin: OriginArgs,
    /// Send the event even if a switch of the endpoint disables it
    #[arg(long, help_heading = "Webhook switches")]
    force: bool,
    #[command(flatten)]
    retry_policy: RetryPolicyArgs,
    /// Make one attempt only, like --retries 0
    #[arg(long, help_heading = "Retry policy")]
    no_retry: bool,
    /// Make one attempt; if it fails, schedule the next one in the journal for `hookfire retry --due`
    #[arg(long, help_heading = "Retry policy")]
    background: bool,
    #[command(flatten)]
    transport: TransportArgs,
    /// Show the request and the retry policy; send and record nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    #[command(flatten)]
    output: ReportOutput,
}

/// Where events are sent and how; resolved once.
struct FireTarget<'a> {
    settings: FireSettings<'a>,
    mode: RetryMode,
}

impl<'a> FireTarget<'a> {
    fn resolve(
        args: &FireArgs,
        ctx: &Context<'_>,
        chosen: Chosen<'a>,
    ) -> Result<FireTarget<'a>, Failure> {
        let mut options = [args.transport.settings(), args.wire.settings()]
            .iter()
            .fold(args.retry_policy.settings(), Settings::or);
        if args.no_retry {
            if ctx.is_flag("retries") {
                return Err(Failure::usage(
                    "`--retries` and `--no-retry` cannot be used together",
                ));
            }
            options.retries = Some(0);
        }
        let settings = FireSettings::new(chosen, options);
        let mode = if args.background && settings.policy.retries > 0 {
            RetryMode::Schedule
        } else if args.batch.is_none() && ctx.ui.is_interactive() && refused::ends(&settings) {
            RetryMode::WaitUnlessRefused
        } else {
            RetryMode::Wait
        };
        Ok(FireTarget { settings, mode })
    }

    /// The name of the configured endpoint; none for a bare URL.
    fn endpoint(&self) -> Option<&str> {
        self.settings.endpoint.map(|(name, _)| name)
    }

    /// Looks up secrets and sets up the connection.
    fn plan(&self, ctx: &Context<'_>, jobs: usize) -> Result<SendPlan, Failure> {
        let settings = &self.settings;
        if self.mode == RetryMode::Schedule {
            background::refuse_literal_secrets(settings)?;
        }
        let plan = ctx.clients.plan(
            &ctx.env,
            &settings.target,
            settings.policy.clone(),
            &settings.transport,
            jobs,
        )?;
        Ok(SendPlan {
            body_format: settings.body_format,
            mode: self.mode,
            ..plan
        })
    }

    fn delivery(&self, event: &Event) -> NewDelivery {
        NewDelivery {
            event_type: event.event_type().to_owned(),
            action: event.action().to_owned(),
            event: event.bytes().into(),
            endpoint: self.endpoint().map(str::to_owned),
            target: self.settings.target.clone(),
            body_format: self.settings.body_format,
            retry_policy: self.settings.policy.clone(),
        }
    }

    /// The switch that stops the event, unless `--force` is given.
    fn stopped_by(&self, event: &Event, args: &FireArgs) -> Option<Switch> {
        let (event_type, action) = (event.event_type(), event.action());
        let switches = &self.settings.switches;
        let decision = switches.decide(event_type, action, args.origin.source());
        decision.err().filter(|_| !args.force)
    }
}

pub fn run(args: &FireArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    match &args.batch {
        Some(file) => batch::run(args, file, ctx),
        None => fire(args, ctx),
    }
}

/// Fires one event; waits for its retries, or leaves them to the schedule (`--background`).
fn fire(args: &FireArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    for option in ["jobs", "rate", "skip"] {
        if ctx.is_flag(option) {
            return Err(Failure::usage(format!("`--{option}` requires `--batch`"))
                .hint("`--batch FILE` sends many events"));
        }
    }
    let name = match &args.event {
        Some(_) => None,
        None => Some(name(args)?),
    };
    let chosen = settings::chosen(ctx, &args.target)?;
    let destination = FireTarget::resolve(args, ctx, chosen)?;
    let settings = &destination.settings;
    let event = match (&args.event, name) {
        (Some(file), _) => document(file, args, ctx)?,
        (None, name) => built(name.unwrap_or_default(), args, ctx, settings.element_order)?,
    };
    let delivery = destination.delivery(&event);
    if let Some(switch) = destination.stopped_by(&event, args) {
        return ignore(args, ctx, &destination, delivery, switch);
    }
    let plan = destination.plan(ctx, 1)?;
    if args.dry_run {
        return dry_run(ctx, &delivery, args.output.format());
    }
    ctx.warn_of_exposure(&settings.target, &settings.transport);
    ctx.ui.detail(1, || {
        let headers = event_headers("(the delivery's uuid)", settings.body_format);
        request_head("POST", &settings.target, &headers)
    });
    ctx.ui
        .detail(2, || String::from_utf8_lossy(event.bytes()).into_owned());
    send(args, ctx, delivery, plan)
}

fn send(
    args: &FireArgs,
    ctx: &Context<'_>,
    delivery: NewDelivery,
    plan: SendPlan,
) -> Result<Exit, Failure> {
    let format = args.output.format();
    let mode = plan.mode;
    let journal = ctx.journal()?;
    ctx.catch_interrupts()?;
    let report = RunReport::new(ctx, &*journal, format, Style::Single);
    let mut source = OneEvent {
        delivery: Some(delivery),
        plan: Arc::new(plan),
    };
    let mut summary = run_engine(
        ctx,
        &*journal,
        RunLimits::new(1, Claims::OneByOne),
        Inbox::default(),
        None,
        &mut source,
        &report,
    )?;
    if let Some(halted) = summary.halted.take() {
        return Err(halted.into());
    }
    let Some(delivery) = report.last() else {
        return report.finish(&summary, "the delivery was not sent to its end", None);
    };
    if delivery.status == Status::Pending {
        background::hint_at_connection_options(ctx);
    }
    let was_refused = mode == RetryMode::WaitUnlessRefused && refused::ended(&delivery);
    let next_steps = if was_refused {
        ctx.ui.status(&refused::reason(&delivery));
        refused::next_steps(ctx, &delivery)
    } else {
        Vec::new()
    };
    report::single(ctx, &*journal, &delivery, format, next_steps)
}

/// The engine's source for a single event.
struct OneEvent {
    delivery: Option<NewDelivery>,
    plan: Arc<SendPlan>,
}

impl Source for OneEvent {
    fn next(&mut self) -> SourceItem {
        match self.delivery.take() {
            Some(delivery) => SourceItem::New {
                delivery,
                plan: Arc::clone(&self.plan),
                line: 1,
            },
            None => SourceItem::End,
        }
    }

    fn plan(&mut self, _: &Delivery) -> Option<Arc<SendPlan>> {
        Some(Arc::clone(&self.plan))
    }
}

/// The type and action of the event to build.
fn name(args: &FireArgs) -> Result<(&str, &str), Failure> {
    match &args.event_type {
        Some(event_type) => event_name(event_type, args.action.as_deref()),
        None => Err(Failure::usage("no event is given")
            .hint("`hookfire fire account created` sends a sample; `hookfire events list` lists the events")
            .hint("`--event FILE` sends a document, `--batch FILE` many events")),
    }
}

/// The event document of `--event`.
fn document(file: &Path, args: &FireArgs, ctx: &Context<'_>) -> Result<Event, Failure> {
    args.sample.refuse_beside(ctx, "--event")?;
    if ctx.is_flag("compat") {
        return Err(Failure::usage(
            "`--compat` cannot order the fields of `--event`, which is sent byte for byte",
        ));
    }
    let document = read(file, ctx, "the event")?;
    Event::from_document(document).map_err(|e| in_file(e, "event", file))
}

fn built(
    (event_type, action): (&str, &str),
    args: &FireArgs,
    ctx: &Context<'_>,
    compat: ElementOrder,
) -> Result<Event, Failure> {
    let mut object = match (&args.object, args.portal_object) {
        (None, Some(id)) => {
            args.sample.refuse_beside(ctx, "--portal-object")?;
            portal::fetch(
                event_type,
                id,
                args.portal_account,
                (&args.portal, &args.transport),
                ctx,
            )?
        }
        (Some(path), _) => {
            args.sample.refuse_beside(ctx, "--object")?;
            Object::parse(&read(path, ctx, "the object")?)
                .map_err(|e| in_file(e, "object", path))?
        }
        (None, None) => args
            .sample
            .object(ctx, event_type, action, compat, SamplePurpose::Fire)?,
    };
    let changes = args.set.iter().map(|change| {
        let parts = change.split_once('=');
        parts.ok_or_else(|| Failure::usage(format!("`--set` takes PATH=VALUE, not `{change}`")))
    });
    object.set_all(&changes.collect::<Result<Vec<_>, _>>()?)?;
    Ok(Event::build(event_type, action, &object, compat)?)
}

fn read(path: &Path, ctx: &Context<'_>, what: &str) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        ctx.ui.reads_stdin(what);
        text::read_whole(std::io::stdin().lock(), MAX_DOCUMENT_BYTES)
    } else {
        text::read_file(path, MAX_DOCUMENT_BYTES)
    };
    read.map_err(|e| {
        Failure::from_error(Kind::Error, e).context(format!("cannot read {}", file_name(path)))
    })
}

fn file_name(path: &Path) -> String {
    if path == Path::new("-") {
        "stdin".to_owned()
    } else {
        format!("`{}`", path.display())
    }
}

fn in_file(error: impl Into<anyhow::Error>, what: &str, path: &Path) -> Failure {
    let name = file_name(path);
    Failure::from_error(Kind::Usage, error).context(format!("the {what} in {name} cannot be sent"))
}

/// Records an event that a webhook switch stops, and says which.
fn ignore(
    args: &FireArgs,
    ctx: &Context<'_>,
    destination: &FireTarget<'_>,
    delivery: NewDelivery,
    switch: Switch,
) -> Result<Exit, Failure> {
    let format = args.output.format();
    let reason = ignore_reason(ctx, destination, &delivery, switch)?;
    if args.dry_run {
        if format == Format::Text {
            ctx.ui.status(&format!("nothing would be sent; {reason}"));
        } else {
            let view = serde_json::json!({ "dry_run": true, "ignored_by": switch.as_str(), "request": null });
            ctx.ui.line(&format.document(&view))?;
        }
        ctx.ui.flush()?;
        return Ok(Exit::Done);
    }
    let journal = ctx.journal()?;
    let results = journal.commit(&[Write::Ignore(delivery, switch)])?;
    let exit = match results.into_iter().next() {
        Some(WriteResult::Delivery(delivery)) => {
            report::single(ctx, &*journal, &delivery, format, Vec::new())?
        }
        Some(WriteResult::Rejected(error)) => {
            return Err(Failure::from_error(Kind::Journal, error));
        }
        _ => Exit::Done,
    };
    ctx.ui.status(&reason);
    Ok(exit)
}

fn ignore_reason(
    ctx: &Context<'_>,
    destination: &FireTarget<'_>,
    delivery: &NewDelivery,
    switch: Switch,
) -> Result<String, Failure> {
    let (event_type, action) = (&delivery.event_type, &delivery.action);
    let (of, change) = match destination.endpoint() {
        Some(name) => {
            let (path, _) = ctx.config_path()?;
            (
                format!("of endpoint `{name}`"),
                format!("change it in `{}`", path.display()),
            )
        }
        None => (
            "of a bare URL".to_owned(),
            "name an endpoint where it is on".to_owned(),
        ),
    };
    let state = switch.describe(&format!("`{}` {of}", switch.as_str()), event_type, action);
    Ok(format!(
        "{event_type}.{action} is ignored: {state}; {change}, or send it with `--force`"
    ))
}

fn dry_run(ctx: &Context<'_>, delivery: &NewDelivery, format: Format) -> Result<Exit, Failure> {
    let policy = &delivery.retry_policy;
    let headers = event_headers("(made when it is sent)", delivery.body_format);
    let head = request_head("POST", &delivery.target, &headers);
    let body = delivery.body_format.body(&delivery.event);
    if format == Format::Text {
        ctx.ui
            .status(&format!("nothing is sent; {}", policy.describe()));
        ctx.ui.data(|out| writeln!(out, "{head}"))?;
        ctx.ui
            .data(|out| out.write_all(ctx.ui.untrusted_bytes(&body).as_ref()))?;
        if !body.ends_with(b"\n") {
            ctx.ui.line("")?;
        }
    } else {
        let headers: Vec<(&str, &str)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .collect();
        let body = match std::str::from_utf8(&body) {
            Ok(body) => body.to_owned(),
            Err(_) => pretty(&delivery.event)?,
        };
        let view = serde_json::json!({
            "dry_run": true,
            "ignored_by": null,
            "request": { "method": "POST", "url": delivery.target.to_string(), "headers": headers, "body": body },
            "retry_policy": {
                "success": policy.success.to_string(), "retries": policy.retries,
                "retry_interval": compact(policy.interval),
            },
        });
        ctx.ui.line(&format.document(&view))?;
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
