//! `hookfire config show`

use clap::Args;
use serde::Serialize;

use crate::cli::args::{
    OriginArgs, ReportOutput, RetryPolicyArgs, TargetArgs, TransportArgs, WireArgs,
};
use crate::cli::context::Context;
use crate::cli::settings::{self, Origin};
use crate::config::{Config, Endpoint};
use crate::delivery::switches::{EventPattern, WebhookSwitches};
use crate::delivery::target::{Target, Value};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{self, Column};
use crate::secret::MASK;
use crate::time::compact;

const EXAMPLES: &str = "\
Examples:
  What is in force, and why:
    $ hookfire config show
  What would be in force for one endpoint and these options:
    $ hookfire config show -e staging --retries 2";

/// Print every setting in force with where it comes from
///
/// Flags win over the environment, the environment over the configuration file, the file over what is built in. Takes the
/// options of `fire`, to show what they would do. Secrets are masked; their references are shown.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConfigShowArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    rule: RetryPolicyArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    wire: WireArgs,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    output: ReportOutput,
}

#[derive(Clone, Serialize)]
struct Setting {
    key: String,
    value: Option<String>,
    origin: &'static str,
}

pub(super) fn run(args: &ConfigShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let config = ctx.config()?;
    let columns = vec![
        Column::<Setting>::text("SETTING", |setting| setting.key.clone()),
        Column::<Setting>::text("VALUE", |setting| {
            setting.value.clone().unwrap_or_else(|| "-".to_owned())
        }),
        Column::<Setting>::text("FROM", |setting| setting.origin.to_owned()),
    ];
    let shown = settings(args, ctx, config)?;
    output::rows(ctx.ui, args.output.format(), columns, Setting::clone, shown)?;
    Ok(Exit::Done)
}

fn settings(
    args: &ConfigShowArgs,
    ctx: &Context<'_>,
    config: &Config,
) -> Result<Vec<Setting>, Failure> {
    let mut shown = Vec::new();
    let mut add = |key: &str, value: Option<String>, origin: Origin| {
        shown.push(Setting {
            key: key.to_owned(),
            value,
            origin: origin.as_str(),
        });
    };
    let (path, origin) = settings::config_path(&ctx.globals, ctx.matches, &ctx.env)?;
    let missing = if path.exists() {
        ""
    } else {
        " (does not exist)"
    };
    add(
        "config",
        Some(format!("{}{missing}", path.display())),
        origin,
    );
    let (path, origin) = settings::journal_path(&ctx.globals, ctx.matches, &ctx.env)?;
    add("journal", Some(path.display().to_string()), origin);
    let of = |option: &str| Origin::of(ctx.matches, option);
    add(
        "output",
        Some(args.output.format().as_str().to_owned()),
        of("output"),
    );
    add(
        "color",
        Some(format!("{:?}", ctx.globals.color).to_ascii_lowercase()),
        of("color"),
    );

    let no_target = args.target.endpoint.is_none()
        && args.target.url.is_none()
        && config.default_endpoint.is_none();
    let chosen = if no_target {
        None
    } else {
        Some(settings::chosen(
            &args.target,
            ctx.matches,
            config,
            &ctx.env,
        )?)
    };
    let endpoint = chosen.as_ref().and_then(|chosen| chosen.endpoint);
    let origin = match of("endpoint") {
        Origin::Default if endpoint.is_some() => Origin::File,
        origin => origin,
    };
    add(
        "endpoint",
        endpoint.map(|(name, _)| name.to_owned()),
        origin,
    );
    let origin = if endpoint.is_some() {
        Origin::File
    } else {
        of("url")
    };
    add(
        "url",
        chosen.as_ref().map(|chosen| chosen.target.to_string()),
        origin,
    );

    let endpoint = endpoint.map(|(_, endpoint)| endpoint);
    let from = |option: &str, in_file: fn(&Endpoint) -> bool| match of(option) {
        Origin::Default if endpoint.is_some_and(in_file) => Origin::File,
        origin => origin,
    };
    let rule = settings::rule(&args.rule, endpoint);
    add(
        "retries",
        Some(rule.retries.to_string()),
        from("retries", |e| e.retries.is_some()),
    );
    add(
        "retry_interval",
        Some(compact(rule.interval)),
        from("retry_interval", |e| e.retry_interval.is_some()),
    );
    add(
        "success",
        Some(rule.success.to_string()),
        from("success", |e| e.success.is_some()),
    );
    let options = settings::transport(&args.transport, ctx.matches, endpoint);
    let file =
        |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    add(
        "timeout",
        Some(compact(options.timeout)),
        from("timeout", |e| e.timeout.is_some()),
    );
    let origin = from("connect_timeout", |e| e.connect_timeout.is_some());
    add(
        "connect_timeout",
        Some(compact(options.connect_timeout)),
        origin,
    );
    add(
        "cacert",
        file(&options.cacert),
        from("cacert", |e| e.cacert.is_some()),
    );
    add(
        "cert",
        file(&options.cert),
        from("cert", |e| e.cert.is_some()),
    );
    add("key", file(&options.key), from("key", |e| e.key.is_some()));
    add(
        "insecure",
        Some(options.insecure.to_string()),
        from("insecure", |e| e.insecure.is_some()),
    );
    // A proxy's URL may hold a password.
    let proxy = options
        .proxy
        .map(|proxy| crate::secret::safe_url::shown(proxy.expose()));
    add("proxy", proxy, from("proxy", |e| e.proxy.is_some()));
    let (wire, compat) = settings::form(&args.wire, endpoint);
    add(
        "wire",
        Some(wire.as_str().to_owned()),
        from("wire", |e| e.wire.is_some()),
    );
    add(
        "compat",
        Some(compat.as_str().to_owned()),
        from("compat", |e| e.compat.is_some()),
    );
    add(
        "origin",
        Some(args.origin.source().as_str().to_owned()),
        of("origin"),
    );
    let board = settings::switchboard(endpoint);
    let in_file = |set: fn(&Endpoint) -> bool| {
        if endpoint.is_some_and(set) {
            Origin::File
        } else {
            Origin::Default
        }
    };
    add(
        "active",
        Some(board.active.to_string()),
        in_file(|e| e.active.is_some()),
    );
    add(
        "provider_actions",
        Some(board.provider_actions.to_string()),
        in_file(|e| e.provider_actions.is_some()),
    );
    add(
        "events",
        Some(events(&board)),
        in_file(|e| e.events.is_some()),
    );
    for (name, endpoint) in &config.endpoints {
        add(
            &format!("endpoints.{name}"),
            Some(described(&endpoint.target)),
            Origin::File,
        );
    }
    if let Some(portal) = &config.portal {
        let token = portal
            .token
            .as_ref()
            .map(|token| token.reference().unwrap_or_else(|| MASK.to_owned()));
        let token = token.map_or(String::new(), |token| format!(" (token from {token})"));
        add(
            "portal",
            Some(format!("{}{token}", portal.endpoint.target)),
            Origin::File,
        );
    }
    Ok(shown)
}

/// The events that are fired.
fn events(board: &WebhookSwitches) -> String {
    match &board.events {
        None => "all".to_owned(),
        Some(picks) if picks.is_empty() => "none".to_owned(),
        Some(picks) => picks
            .iter()
            .map(EventPattern::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The URL, and where each of its secrets comes from.
fn described(target: &Target) -> String {
    let secrets = target
        .params
        .iter()
        .chain(&target.headers)
        .filter_map(|named| match &named.value {
            Value::Secret(source) => Some(format!(
                "{} from {}",
                named.name,
                source.reference().unwrap_or_else(|| MASK.to_owned())
            )),
            Value::Public(_) => None,
        });
    let secrets: Vec<String> = secrets.collect();
    if secrets.is_empty() {
        target.to_string()
    } else {
        format!("{target} ({})", secrets.join(", "))
    }
}
