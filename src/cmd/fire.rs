//! `hookfire fire`: build the event, write it down, send it, judge the answer, retry by the rule, report.

use std::io::Read as _;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::args::{Format, ReportOutput, RuleArgs, TargetArgs, TransportArgs};
use super::context::{Context, request_head};
use super::report;
use crate::deliver::{Courier, event_headers};
use crate::event::samples::{SampleContext, sample};
use crate::event::{Event, Object, catalogue, pretty};
use crate::exit::Exit;
use crate::failure::{Failure, Kind};
use crate::output::human::Narrator;
use crate::output::json;
use crate::rule::Rule;
use crate::settings::{self, Origin};
use crate::store::NewDelivery;
use crate::target::Target;
use crate::text;
use crate::time::{UnixMs, compact, rfc3339_seconds};

const EXAMPLES: &str = "\
Examples:
  Fire a built-in sample at a URL:
    $ hookfire fire application created --url http://127.0.0.1:8080/hook
  Change fields of the sample, and send it to a configured endpoint:
    $ hookfire fire account created -e staging --set org_name=Acme --set state=pending
  Send the object that 3scale's API returned, with a secret from the environment:
    $ hookfire fire user updated -e staging --object user.xml --secret t=@env:TOKEN
  Send a whole event document byte for byte, read from stdin:
    $ hookfire fire --event - -e staging
  See what would be sent, and send nothing:
    $ hookfire fire account created -e staging --dry-run";

/// Send an event and keep what comes of it
///
/// The event is written to the journal before the request leaves. It is delivered if the endpoint answers 200 (or what
/// --success says); otherwise hookfire tries 5 more times, 60 seconds apart. After that it is in the failed list, from
/// where `hookfire retry` sends it again.
///
/// Every delivery carries its uuid as the header `webhook-id`, the same over all retries.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FireArgs {
    /// The event's type, such as account, user or application
    #[arg(value_name = "TYPE", value_hint = ValueHint::Other, required_unless_present = "event")]
    event_type: Option<String>,
    /// The event's action, such as created, updated or deleted
    ///
    /// There are samples for account: created, updated, plan_changed, deleted; user: created, updated, deleted;
    /// application: created, updated, suspended, plan_changed, user_key_updated, deleted, key_created, key_updated,
    /// key_deleted. Any other type and action can be sent with --object.
    #[arg(value_name = "ACTION", value_hint = ValueHint::Other, required_unless_present = "event")]
    action: Option<String>,
    /// The object's XML from this file (- = stdin), instead of the built-in sample
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Event")]
    object: Option<PathBuf>,
    /// A whole event document from this file (- = stdin), sent byte for byte
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Event", conflicts_with_all = ["event_type", "object", "set"])]
    event: Option<PathBuf>,
    /// Change a field of the object: `org_name=Acme`, `plan/name=Gold`, `users/user[2]/email=a@b.c` (repeatable)
    #[arg(long, value_name = "PATH=VALUE", value_hint = ValueHint::Other, help_heading = "Event")]
    set: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    rule: RuleArgs,
    /// One attempt only, as --retries 0
    #[arg(long, help_heading = "Rule")]
    no_retry: bool,
    #[command(flatten)]
    transport: TransportArgs,
    /// Print the request and the rule; send and write down nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    #[command(flatten)]
    output: ReportOutput,
}

/// Runs `hookfire fire`.
///
/// # Errors
/// What kept it from sending, or from recording.
pub fn run(args: &FireArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let chosen = settings::chosen(&args.target, ctx.matches, ctx.config()?, &ctx.env)?;
    let endpoint = chosen.endpoint.map(|(_, endpoint)| endpoint);
    let mut rule = settings::rule(&args.rule, endpoint);
    if args.no_retry {
        if Origin::of(ctx.matches, "retries") == Origin::Flag {
            return Err(Failure::usage("`--retries` and `--no-retry` are both given"));
        }
        rule.retries = 0;
    }
    let options = settings::transport(&args.transport, ctx.matches, endpoint);
    let event = event(args, ctx.now())?;
    let shipment = ctx.shipment(&chosen.target, rule.clone(), &options, None)?;
    if args.dry_run {
        return dry_run(ctx, &event, &chosen.target, &rule, args.output.format());
    }
    ctx.warn_of_exposure(&chosen.target, &options);
    // Never closed: SQLite's closing writes nothing, costs ten system calls, and the process ends anyway.
    let journal = ManuallyDrop::new(ctx.journal()?);
    ctx.catch_interrupts()?;
    let courier = Courier { store: &*journal, clock: &ctx.clock };
    let new = NewDelivery {
        event_type: event.event_type(),
        action: event.action(),
        event: event.bytes(),
        endpoint: chosen.endpoint.map(|(name, _)| name),
        target: &chosen.target,
        rule: &rule,
    };
    let mut narrator = Narrator { ui: ctx.ui, terse: false };
    ctx.ui.detail(1, || request_head("POST", &chosen.target, &event_headers("(the delivery's uuid)")));
    ctx.ui.detail(2, || String::from_utf8_lossy(event.bytes()).into_owned());
    let delivery = courier.fire(&new, &shipment, &mut narrator)?;
    report::single(ctx, &journal, &delivery, args.output.format())
}

fn event(args: &FireArgs, now: UnixMs) -> Result<Event, Failure> {
    if let Some(path) = &args.event {
        let document = read(path)?;
        return Event::from_document(document).map_err(|e| in_file(e, "event", path));
    }
    let (Some(event_type), Some(action)) = (&args.event_type, &args.action) else {
        return Err(Failure::usage("TYPE and ACTION, or `--event FILE`, say which event to send"));
    };
    let mut object = match &args.object {
        Some(path) => Object::parse(&read(path)?).map_err(|e| in_file(e, "object", path))?,
        None => sample_object(event_type, action, now)?,
    };
    for change in &args.set {
        let (path, value) = change
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`--set` takes PATH=VALUE, not `{change}`")))?;
        object.set(path, value)?;
    }
    Ok(Event::build(event_type, action, &object)?)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let (name, read) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        ("stdin".to_owned(), std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
    } else {
        (format!("`{}`", path.display()), std::fs::read(path))
    };
    read.map_err(|e| Failure::from_error(Kind::Error, anyhow::Error::new(e).context(format!("cannot read {name}"))))
}

fn in_file(error: impl Into<anyhow::Error>, what: &str, path: &Path) -> Failure {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { format!("`{}`", path.display()) };
    Failure::from_error(Kind::Usage, error.into().context(format!("the {what} in {name} cannot be sent")))
}

fn sample_object(event_type: &str, action: &str, now: UnixMs) -> Result<Object, Failure> {
    // Another id for each second, so that two samples are two accounts.
    let id = now.0.unsigned_abs() / 1000 % 1_000_000_000;
    if let Some(object) = sample(event_type, action, &SampleContext { now: rfc3339_seconds(now), id }) {
        return Ok(object);
    }
    let failure = Failure::usage(format!("there is no built-in sample for `{event_type}` `{action}`"));
    let failure = match near_event(event_type, action) {
        Some((near_type, near_action)) => failure.hint(format!("did you mean `{near_type} {near_action}`?")),
        None => failure,
    };
    Err(failure.hint("any type and action can be sent with an object: `--object FILE`"))
}

/// The documented event that was most likely meant.
fn near_event(event_type: &str, action: &str) -> Option<(&'static str, &'static str)> {
    let near_type = text::nearest(&event_type.to_lowercase(), catalogue::TYPES.iter().copied())?;
    Some((near_type, text::nearest(&action.to_lowercase(), catalogue::actions_of(near_type))?))
}

fn dry_run(ctx: &Context<'_>, event: &Event, target: &Target, rule: &Rule, format: Format) -> Result<Exit, Failure> {
    let headers = event_headers("(made when it is sent)");
    let head = request_head("POST", target, &headers);
    if format == Format::Text {
        ctx.ui.status(&format!("nothing is sent; {}", rule.in_words()));
        ctx.ui.data(|out| writeln!(out, "{head}"))?;
        ctx.ui.data(|out| out.write_all(ctx.ui.outside_bytes(event.bytes()).as_ref()))?;
        if !event.bytes().ends_with(b"\n") {
            ctx.ui.line("")?;
        }
    } else {
        let headers: Vec<(&str, &str)> = head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
        let body = std::str::from_utf8(event.bytes()).map(str::to_owned).or_else(|_| pretty(event.bytes()))?;
        let view = serde_json::json!({
            "dry_run": true,
            "request": { "method": "POST", "url": target.to_string(), "headers": headers, "body": body },
            "rule": {
                "success": rule.success.to_string(), "retries": rule.retries,
                "retry_interval": compact(rule.interval),
            },
        });
        ctx.ui.line(&if format == Format::Json { json::pretty(&view) } else { json::compact(&view) })?;
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
