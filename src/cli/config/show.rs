//! `hookfire config show`

use clap::Args;
use serde::Serialize;

use crate::cli::args::{
    FIRE_DEFAULTS, OriginArgs, ReportOutput, RetryPolicyArgs, SigningArgs, TargetArgs,
    TransportArgs, WireArgs, with_defaults,
};
use crate::cli::context::Context;
use crate::cli::settings;
use crate::cli::signing;
use crate::config::{Config, SETTINGS, SettingSource, Settings};
use crate::delivery::signing::Signing;
use crate::delivery::target::{Target, Value};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{self, Column};
use crate::secret::{MASK, SecretSource};

const EXAMPLES: &str = "\
Examples:
  Show all settings:
    $ hookfire config show
  Show the settings of `fire` for an endpoint and options:
    $ hookfire config show -e staging --retries 2";

/// Show the value of every setting, and where it comes from
///
/// Options override environment variables, which override the configuration file, which overrides the defaults. Accepts the
/// options of `fire`, to show their effect. Secrets are masked; their references are shown.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, mut_args(with_defaults(FIRE_DEFAULTS)))]
pub struct ConfigShowArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    retry_policy: RetryPolicyArgs,
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
    source: &'static str,
}

impl Setting {
    fn new(key: &str, value: Option<String>, source: SettingSource) -> Setting {
        Setting {
            key: key.to_owned(),
            value,
            source: source.as_str(),
        }
    }
}

pub(super) fn run(args: &ConfigShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let config = ctx.config()?;
    let columns = vec![
        Column::<Setting>::text("SETTING", |setting| setting.key.clone()),
        Column::<Setting>::text("VALUE", |setting| {
            setting.value.clone().unwrap_or_else(|| "-".to_owned())
        }),
        Column::<Setting>::text("SOURCE", |setting| setting.source.to_owned()),
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
    let (path, source) = ctx.config_path()?;
    let missing = if path.exists() {
        ""
    } else {
        " (does not exist)"
    };
    let path = format!("{}{missing}", path.display());
    shown.push(Setting::new("config", Some(path), source));
    let (location, source) = ctx.journal_location()?;
    shown.push(Setting::new("journal", Some(location.to_string()), source));
    for (key, value) in [
        ("output", args.output.format().as_str()),
        ("color", ctx.globals.color.as_str()),
    ] {
        shown.push(Setting::new(key, Some(value.to_owned()), ctx.source(key)));
    }

    let has_target = args.target.endpoint.is_some()
        || args.target.url.is_some()
        || config.default_endpoint.is_some();
    let chosen = if has_target {
        let mut chosen = settings::chosen(ctx, &args.target)?;
        signing::apply(&mut chosen.target, &args.signing, ctx)?;
        Some(chosen)
    } else {
        None
    };
    let target = chosen.as_ref().map(|chosen| chosen.target.to_string());
    let endpoint = chosen.as_ref().and_then(|chosen| chosen.endpoint);
    let name = endpoint.map(|(name, _)| name.to_owned());
    let file_if_endpoint = |source| match endpoint {
        Some(_) if source == SettingSource::Default => SettingSource::File,
        _ => source,
    };
    let source = file_if_endpoint(ctx.source("endpoint"));
    shown.push(Setting::new("endpoint", name, source));
    let source = match endpoint {
        Some(_) => SettingSource::File,
        None => ctx.source("url"),
    };
    shown.push(Setting::new("url", target, source));

    let signing = chosen
        .as_ref()
        .and_then(|chosen| chosen.target.signing.as_ref());
    shown.extend(signing_settings(ctx, signing, file_if_endpoint));

    let given = [args.transport.settings(), args.wire.settings()]
        .iter()
        .fold(
            settings::retry_policy(ctx, &args.retry_policy)?,
            Settings::or,
        );
    let used = settings::with_endpoint(given.clone(), endpoint.map(|(_, endpoint)| endpoint));
    for row in SETTINGS {
        let in_file = endpoint.and_then(|(_, endpoint)| (row.value)(&endpoint.settings));
        let in_file = in_file.filter(|_| (row.value)(&used).is_some());
        let (value, source) = match ((row.value)(&given), in_file) {
            (Some(value), _) => (Some(value), ctx.source(row.name)),
            (None, Some(value)) => (Some(value), SettingSource::File),
            (None, None) => (row.default.map(str::to_owned), SettingSource::Default),
        };
        shown.push(Setting::new(row.name, value, source));
    }
    let origin = args.origin.source().as_str().to_owned();
    shown.push(Setting::new("origin", Some(origin), ctx.source("origin")));
    for (name, endpoint) in &config.endpoints {
        shown.extend(endpoint_settings(name, &endpoint.target));
    }
    if let Some(portal) = &config.portal {
        let url = Some(portal.url.to_string());
        shown.push(Setting::new("portal", url, SettingSource::File));
        if let Some(token) = &portal.token {
            let token = Some(reference(token));
            shown.push(Setting::new("portal.token", token, SettingSource::File));
        }
    }
    Ok(shown)
}

/// The URL of an endpoint, and where each of its secrets comes from.
fn endpoint_settings(name: &str, target: &Target) -> Vec<Setting> {
    let key = format!("endpoints.{name}");
    let mut shown = vec![Setting::new(
        &key,
        Some(target.to_string()),
        SettingSource::File,
    )];
    for (table, values) in [("secrets", &target.params), ("headers", &target.headers)] {
        for named in values {
            if let Value::Secret(source) = &named.value {
                let key = format!("{key}.{table}.{}", named.name);
                let source = Some(reference(source));
                shown.push(Setting::new(&key, source, SettingSource::File));
            }
        }
    }
    shown
}

/// The scheme of signatures and where its secrets come from.
fn signing_settings(
    ctx: &Context<'_>,
    signing: Option<&Signing>,
    file_if_endpoint: impl Fn(SettingSource) -> SettingSource,
) -> [Setting; 2] {
    let scheme = signing.map(|signing| signing.scheme.name().to_owned());
    let secrets = signing.filter(|signing| !signing.secrets.is_empty());
    let secrets = secrets.map(|signing| {
        let sources: Vec<String> = signing.secrets.iter().map(reference).collect();
        sources.join(", ")
    });
    let source = |name: &str, value: &Option<String>| match value {
        Some(_) => file_if_endpoint(ctx.source(name)),
        None => SettingSource::Default,
    };
    let (of_scheme, of_secrets) = (source("sign", &scheme), source("signing_secret", &secrets));
    [
        Setting::new("sign", scheme, of_scheme),
        Setting::new("signing_secret", secrets, of_secrets),
    ]
}

fn reference(source: &SecretSource) -> String {
    source.reference().unwrap_or_else(|| MASK.to_owned())
}
