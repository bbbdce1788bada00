//! `hookfire fire`: sends an event or another payload; with `--batch`, sends many.
//!
//! `payload` reads or builds the payload, `destination` decides where and how to send it, and the engine sends it. `batch` does the same
//! for each line of a file.

mod background;
mod batch;
mod batch_line;
mod body;
mod destination;
mod lines;
mod payload;
mod refused;
mod unsent;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueHint};

use super::args::{
    FIRE_DEFAULTS, OriginArgs, PaceArgs, ReportOutput, RetryPolicyArgs, SigningArgs, TargetArgs,
    TransportArgs, WireArgs, whole_number, with_defaults,
};
use super::context::{Context, request_head};
use super::portal::PortalArgs;
use super::report::{self, RunReport, Style, run_engine};
use super::sample::SampleArgs;
use crate::cli::settings;
use crate::delivery::payload::{Payload, PayloadKind};
use crate::delivery::{Delivery, Status};
use crate::engine::plan::payload_headers;
use crate::engine::{Claims, Inbox, RetryMode, RunLimits, SendPlan, Source, SourceItem};
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::NewDelivery;
use crate::text::size;

use body::BodyArgs;
use destination::FireTarget;
use payload::PayloadSource;

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
  Send any other payload: the exact bytes of a file, here with another method:
    $ hookfire fire --body order.json -e staging
    $ hookfire fire photo uploaded --body photo.png --method PUT --url http://127.0.0.1:8080/photos
  Change a JSON body before it is sent:
    $ hookfire fire --body order.json -e staging --set customer/name=Jo --set 'lines/[2]/quantity:=3'
  Send it like an old 3scale: action before type, in a form:
    $ hookfire fire application key_created -e staging --auth-mode oauth --compat porta --wire form
  Do not wait for retries; `hookfire retry --due` makes them:
    $ hookfire fire account created -e staging --background
  Send many events, one JSON object per line, eight at a time:
    $ hookfire fire --batch events.ndjson -e staging
    $ echo '{\"type\":\"user\",\"action\":\"created\",\"set\":{\"email\":\"jo@acme.example\"}}' | hookfire fire --batch - -e staging
  Sign it like Stripe, with a secret from the environment:
    $ hookfire fire --body invoice.json -e staging --sign stripe --signing-secret @env:STRIPE_SECRET
  Show what would be sent, and send nothing:
    $ hookfire fire account created -e staging --dry-run";

/// Send an event or another payload, and retry until it is delivered
///
/// hookfire records a delivery in the journal, then sends it. It is delivered if the endpoint responds with 200 (or a status of
/// --success); otherwise hookfire retries 5 times, 60 seconds apart. After that it is in the failed list, and `hookfire retry`
/// sends it again. On a terminal, and unless you set --retries or --retry-interval, hookfire does not retry if nothing listens
/// at a port of this machine.
///
/// With --background, hookfire makes one attempt. If it fails, the next attempt is scheduled in the journal and the exit code is
/// 0. No daemon makes it: run `hookfire retry --due` from a timer, or `hookfire retry --due --watch`.
///
/// An event is an XML document such as 3scale sends. --body sends any other payload without changing a byte.
///
/// Each delivery has a uuid, which all its attempts carry in the header `webhook-id`.
///
/// With --batch, each line of a file is an event: {"type": "user", "action": "created"}, optionally with "object" (XML),
/// "object_file" (relative to the working directory), "set" ({"path": "value"}) and "endpoint"; or another payload: "body" (JSON),
/// "body_text" or "body_file", with "content_type" and "method". Invalid lines are reported with
/// their number and skipped. Retries do not block other events. Options apply to every line.
///
/// The switches of an endpoint (`active`, `provider_actions`, `events`) are those of 3scale. An event that they disable is
/// recorded as `ignored` and not sent, and the exit code is 0.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, mut_args(with_defaults(FIRE_DEFAULTS)))]
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
    /// Set a field of the object, or of a JSON --body: `org_name=Acme`, `plan/name=Gold`, `users/user[2]/email=a@b.c` (repeatable)
    ///
    /// In a JSON body, PATH=TEXT sets a string and PATH:=JSON any value: `lines/[2]/quantity:=3`. Keys that contain `/` or `=` are
    /// written in double quotes, `[N]` selects an item of an array, and everything else stays as written.
    #[arg(long, value_name = "PATH=VALUE", value_hint = ValueHint::Other, help_heading = "Event")]
    set: Vec<String>,
    #[command(flatten)]
    body: BodyArgs,
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
    signing: SigningArgs,
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

pub fn run(args: &FireArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    match &args.batch {
        Some(file) => batch::run(args, file, ctx),
        None => fire(args, ctx),
    }
}

/// Fires one event; waits for its retries, or leaves them to the schedule (`--background`).
fn fire(args: &FireArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    ctx.refuse(&["jobs", "rate", "skip"], |flag| {
        Failure::usage(format!("`{flag}` requires `--batch`"))
            .hint("`--batch FILE` sends many events")
    })?;
    let source = PayloadSource::new(args, ctx)?;
    let chosen = settings::chosen(ctx, &args.target)?;
    let destination = FireTarget::resolve(args, ctx, chosen)?;
    let settings = &destination.settings;
    let payload = source.read(args, ctx, settings)?;
    let stopped_by = destination.stopped_by(&payload, args);
    let delivery = destination.delivery(payload);
    if let Some(switch) = stopped_by {
        return unsent::ignore(args, ctx, &destination, delivery, switch);
    }
    let plan = destination.plan(ctx, 1)?;
    if args.dry_run {
        return unsent::dry_run(ctx, &delivery, args.output.format());
    }
    ctx.warn_of_exposure(&settings.target, &settings.transport);
    show_details(ctx, &delivery);
    send(args, ctx, delivery, plan)
}

/// Prints the request with `-v`, its payload too with `-vv`.
fn show_details(ctx: &Context<'_>, delivery: &NewDelivery) {
    let Payload {
        kind,
        method,
        bytes,
        ..
    } = &delivery.payload;
    ctx.ui.detail(1, || {
        let headers = payload_headers("(the delivery's uuid)", kind);
        request_head(method, &delivery.target, &headers)
    });
    ctx.ui
        .detail(2, || match (kind, std::str::from_utf8(bytes)) {
            (PayloadKind::Body { .. }, Err(_)) => {
                format!("({}, not text)", size(bytes.len() as u64))
            }
            _ => String::from_utf8_lossy(bytes).into_owned(),
        });
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
    let mut source = OnePayload {
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

/// The engine's source for a single payload.
struct OnePayload {
    delivery: Option<NewDelivery>,
    plan: Arc<SendPlan>,
}

impl Source for OnePayload {
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
