//! `hookfire events list`

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::cli::args::{Format, ListOutput, OriginArgs};
use crate::cli::context::Context;
use crate::cli::settings;
use crate::config::Settings;
use crate::delivery::switches::{EventSource, WebhookSwitches};
use crate::error::Failure;
use crate::event::catalogue;
use crate::exit::Exit;
use crate::output::{self, Column, Tone};

const EXAMPLES: &str = "\
Examples:
  List all events, and whether the default endpoint gets them:
    $ hookfire events list
  List which changes in the admin portal an endpoint gets:
    $ hookfire events list -e staging --origin admin-portal
  Send one of each event that is not ignored:
    $ hookfire events list -o ndjson | jq -r 'select(.fired) | \"\\(.type) \\(.action)\"' | xargs -n2 hookfire fire";

/// List the events that 3scale documents, and whether an endpoint gets them
///
/// Shows whether `fire` would send or ignore each event, and because of which switch. The switches are those of the endpoint,
/// else of the default endpoint, else the defaults: every event of the developer portal is sent.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EventsListArgs {
    /// Show the switches of this endpoint [default: the configuration's `default_endpoint`]
    #[arg(short, long, value_name = "NAME", env = "HOOKFIRE_ENDPOINT", value_hint = ValueHint::Other, help_heading = "Webhook switches")]
    endpoint: Option<String>,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    output: ListOutput,
}

#[derive(Clone, Debug, Serialize)]
struct EventView {
    r#type: &'static str,
    action: &'static str,
    fired: bool,
    /// The switch that is off; none if the event is fired.
    ignored_by: Option<&'static str>,
    reason: String,
}

pub(super) fn run(args: &EventsListArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let config = ctx.config()?;
    let name = args
        .endpoint
        .as_ref()
        .filter(|name| !name.is_empty())
        .or(config.default_endpoint.as_ref());
    let endpoint = name
        .map(|name| settings::endpoint(name, config))
        .transpose()?;
    let board =
        settings::with_endpoint(Settings::default(), endpoint.map(|(_, endpoint)| endpoint))
            .switches();
    if let (Format::Text, Some((name, _))) = (args.output.format(), endpoint) {
        ctx.ui.status(&format!("the switches of endpoint `{name}`"));
    }
    let columns = vec![
        Column::<EventView>::new("TYPE", "type", |view| view.r#type.to_owned()),
        Column::<EventView>::new("ACTION", "action", |view| view.action.to_owned()),
        Column::<EventView>::text("SENT", |view| {
            if view.fired { "yes" } else { "no" }.to_owned()
        })
        .toned(|view| {
            if view.fired {
                Tone::Good
            } else {
                Tone::Warning
            }
        }),
        Column::<EventView>::csv("fired", |view| view.fired.to_string()),
        Column::<EventView>::new("WHY", "reason", |view| view.reason.clone()),
    ];
    let views = catalogue::EVENTS
        .iter()
        .map(|pair| view(&board, *pair, args.origin.source()));
    output::rows(ctx.ui, args.output.format(), columns, Clone::clone, views)?;
    Ok(Exit::Done)
}

fn view(
    board: &WebhookSwitches,
    (event_type, action): (&'static str, &'static str),
    source: EventSource,
) -> EventView {
    let decision = board.decide(event_type, action, source);
    let reason = match decision {
        Ok(None) => "`events` is not set".to_owned(),
        Ok(Some(pattern)) => format!("`events` has `{}`", pattern.as_str()),
        Err(switch) => switch.describe(&format!("`{}`", switch.as_str()), event_type, action),
    };
    let ignored_by = decision.err().map(|switch| switch.as_str());
    EventView {
        r#type: event_type,
        action,
        fired: ignored_by.is_none(),
        ignored_by,
        reason,
    }
}
