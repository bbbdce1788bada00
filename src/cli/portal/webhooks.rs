//! `hookfire portal webhooks set`: the tenant's webhook switches.

use clap::{Args, Subcommand, ValueHint};
use serde_json::{Map, Value, json};

use super::access::{self, PortalArgs};
use crate::cli::args::{ExtraArgs, Format, ReportOutput, TransportArgs, one_of};
use crate::cli::context::Context;
use crate::cli::settings;
use crate::error::{Failure, Kind};
use crate::event::{self, catalogue};
use crate::exit::Exit;
use crate::output::{self, Column};
use crate::secret::{Secret, safe_url};
use crate::text;

/// The longest URL that 3scale stores for a webhook.
const MAX_URL_CHARS: usize = 255;

const EXAMPLES: &str = "\
Examples:
  Send webhooks to a configured endpoint, including its secret:
    $ hookfire portal webhooks set --endpoint staging --active on
  Send only these events, and none for changes in the admin portal:
    $ hookfire portal webhooks set --provider-actions off --event 'application.*=on' --event account.created=on
  Send no webhooks for now:
    $ hookfire portal webhooks set --active off";

/// Change how the tenant sends webhooks
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  $ hookfire portal webhooks set --active on")]
pub enum PortalWebhooksCommand {
    Set(PortalWebhooksSetArgs),
}

impl PortalWebhooksCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        let PortalWebhooksCommand::Set(args) = self;
        set(&args, ctx)
    }
}

fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Set the tenant's webhook URL and switches
///
/// Changes only the given settings. Prints the tenant's response, with query values of the URL masked.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PortalWebhooksSetArgs {
    /// Where webhooks are sent; give secrets of its query with --secret
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, conflicts_with = "endpoint")]
    url: Option<String>,
    /// Send webhooks to this configured endpoint, including its query parameters and secrets
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other)]
    endpoint: Option<String>,
    /// A secret query parameter of the URL; VALUE is @env:VAR, @file:PATH or a literal (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_hint = ValueHint::Other)]
    secret: Vec<String>,
    /// Whether webhooks are sent at all: on or off
    #[arg(long, value_name = "SWITCH", value_parser = one_of([true, false], on_or_off), hide_possible_values = true)]
    active: Option<bool>,
    /// Whether changes in the admin portal send webhooks too: on or off
    #[arg(long, value_name = "SWITCH", value_parser = one_of([true, false], on_or_off), hide_possible_values = true)]
    provider_actions: Option<bool>,
    /// Whether an event is sent, such as account.created=on; `account.*` means all of that type (repeatable)
    #[arg(long, value_name = "TYPE.ACTION=SWITCH", value_hint = ValueHint::Other)]
    event: Vec<String>,
    #[command(flatten)]
    portal: PortalArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    output: ReportOutput,
}

fn set(args: &PortalWebhooksSetArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (mut fields, mut secrets) = (Vec::new(), Vec::new());
    if let Some(url) = url(args, ctx, &mut secrets)? {
        fields.push(("url".to_owned(), url));
    }
    for (name, switch) in [
        ("active", args.active),
        ("provider_actions", args.provider_actions),
    ] {
        fields.extend(switch.map(|on| (name.to_owned(), on.to_string())));
    }
    for text in &args.event {
        fields.extend(event_fields(text)?);
    }
    if fields.is_empty() {
        return Err(Failure::usage("nothing to set")
            .hint("give `--url` or `--endpoint`, `--active`, `--provider-actions` or `--event`"));
    }
    let mut portal = access::client(&args.portal, &args.transport, ctx)?;
    portal.mask(&secrets);
    ctx.catch_interrupts()?;
    let response = portal.set_webhooks(&fields)?;
    let mut shown = webhook(&response.body);
    for (name, value) in &mut shown {
        if let Value::String(text) = value {
            if name == "url" {
                *text = safe_url::masked(text);
            }
            *text = portal.redact(text);
        }
    }
    if args.output.format() != Format::Text {
        ctx.ui
            .line(&args.output.format().document(&json!({ "webhook": shown })))?;
    } else if shown.is_empty() {
        ctx.ui
            .status("the portal accepted the change without returning its settings");
    } else {
        let columns = vec![
            Column::<(String, Value)>::text("SETTING", |(name, _)| name.clone()),
            Column::<(String, Value)>::text("NOW", |(_, value)| display(value)),
        ];
        output::rows(ctx.ui, Format::Text, columns, Clone::clone, shown)?;
    }
    Ok(Exit::Done)
}

/// The complete URL. Its secrets are added to `secrets`.
fn url(
    args: &PortalWebhooksSetArgs,
    ctx: &Context<'_>,
    secrets: &mut Vec<Secret>,
) -> Result<Option<String>, Failure> {
    let mut chosen = match (&args.url, &args.endpoint) {
        (Some(url), _) => settings::from_url(url)?,
        (None, Some(name)) => settings::from_endpoint(name, ctx.config()?)?,
        (None, None) if args.secret.is_empty() => return Ok(None),
        (None, None) => {
            let failure = Failure::usage("`--secret` belongs to a URL, and none is given");
            return Err(failure.hint("add `--url URL`"));
        }
    };
    let extras = ExtraArgs {
        secret: args.secret.clone(),
        ..ExtraArgs::default()
    };
    settings::add_extras(&mut chosen.target, &extras, &ctx.env)?;
    let url = chosen.target.resolve(&ctx.env)?.url;
    let length = url.expose().chars().count();
    if length > MAX_URL_CHARS {
        return Err(Failure::usage(format!(
            "the URL has {length} characters; 3scale takes {MAX_URL_CHARS}"
        )));
    }
    let (_, pairs) =
        safe_url::BaseUrl::parse(url.expose()).map_err(|e| Failure::from_error(Kind::Usage, e))?;
    secrets.extend(pairs.into_iter().map(|pair| pair.value));
    Ok(Some(url.expose().to_owned()))
}

/// The API's fields for `account.created=on` or `account.*=off`.
fn event_fields(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let parts = text.split_once('=').and_then(|(event, switch)| {
        let (event_type, action) = event.split_once('.')?;
        let is = |on| switch.eq_ignore_ascii_case(on_or_off(on));
        let on = [true, false].into_iter().find(|on| is(*on))?;
        Some((event_type, action, on))
    });
    let Some((event_type, action, on)) = parts else {
        return Err(Failure::usage(format!(
            "`--event` takes TYPE.ACTION=on or =off, not `{text}`"
        )));
    };
    let mut fields = Vec::new();
    for (known_type, known_action) in catalogue::EVENTS {
        if *known_type == event_type && (action == "*" || *known_action == action) {
            fields.push((format!("{known_type}_{known_action}_on"), on.to_string()));
        }
    }
    if !fields.is_empty() {
        return Ok(fields);
    }
    let events = catalogue::EVENTS.iter();
    let names: Vec<String> = events.map(|(t, a)| format!("{t}.{a}")).collect();
    let wanted = format!("{event_type}.{action}");
    let failure = Failure::usage(format!("3scale has no switch for `{wanted}`"));
    let hint = match text::nearest(&wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`hookfire events list` lists the events".to_owned(),
    };
    Err(failure.hint(hint))
}

/// The settings in the portal's response, JSON or XML; empty if it is neither.
fn webhook(body: &[u8]) -> Map<String, Value> {
    if let Ok(Value::Object(mut object)) = serde_json::from_slice(body) {
        return match object.remove("webhook") {
            Some(Value::Object(webhook)) => webhook,
            _ => object,
        };
    }
    let Ok(root) = event::tree(body) else {
        return Map::new();
    };
    let value = |text: String| match text.trim() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::from(text),
    };
    root.elements()
        .map(|element| (element.name.clone(), value(element.text())))
        .collect()
}

fn display(value: &Value) -> String {
    match value {
        Value::Bool(on) => on_or_off(*on).to_owned(),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
