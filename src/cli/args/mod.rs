//! Option groups that several commands share. Their doc comments are the help texts.
//!
//! Values that may be secret are plain text here and parsed in `settings`, because clap quotes invalid values. The
//! `settings` methods turn a group into a layer of settings.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args, ValueHint};

use crate::config::Settings;
use crate::delivery::ErrorKind;
use crate::delivery::filter::Filter;
use crate::delivery::host_addresses::HostAddresses;
use crate::delivery::retry_policy::{RetrySchedule, StatusRanges};
use crate::delivery::switches::EventSource;
use crate::engine::Rate;
use crate::error::{Failure, Kind};
use crate::event::{BodyFormat, ElementOrder};
use crate::output::Color;
pub use crate::output::Format;
use crate::secret::Secret;
use crate::time::{Edge, UnixMs, parse_duration, parse_time, parse_timeout};

/// Options that every command accepts, before or after its name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Read this configuration file [default: ~/.config/hookfire/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "HOOKFIRE_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Use this journal, a file or the URL of a PostgreSQL database [default: ~/.local/state/hookfire/journal.db]
    #[arg(long, global = true, value_name = "FILE", env = "HOOKFIRE_JOURNAL", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub journal: Option<PathBuf>,
    /// Print only errors to stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more to stderr: files, requests, ids; twice: also events and response bodies
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_parser = one_of(Color::ALL, Color::as_str),
        default_value = "auto",
        hide_default_value = true,
        env = "HOOKFIRE_COLOR"
    )]
    pub color: Color,
    /// Print no hints: `demo` has commands whose journal is deleted when it ends
    #[arg(long, global = true, hide = true)]
    pub no_hints: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// A configured endpoint [default: the configuration's `default_endpoint`]
    #[arg(short, long, value_name = "NAME", env = "HOOKFIRE_ENDPOINT", value_hint = ValueHint::Other)]
    pub endpoint: Option<String>,
    /// A URL; all values in its query are treated as secrets
    #[arg(long, value_name = "URL", env = "HOOKFIRE_URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    #[command(flatten)]
    pub extras: ExtraArgs,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct ExtraArgs {
    /// A secret query parameter; VALUE is @env:VAR, @file:PATH or a literal (repeatable)
    #[arg(long, value_name = "NAME=VALUE", env = "HOOKFIRE_SECRET", value_hint = ValueHint::Other)]
    pub secret: Vec<String>,
    /// A query parameter that is not secret (repeatable)
    #[arg(long, value_name = "NAME=VALUE", env = "HOOKFIRE_PARAM", value_hint = ValueHint::Other)]
    pub param: Vec<String>,
    /// An extra request header; VALUE may be @env:VAR or @file:PATH (repeatable)
    #[arg(short = 'H', long, value_name = "NAME: VALUE", env = "HOOKFIRE_HEADER", value_hint = ValueHint::Other)]
    pub header: Vec<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Signatures")]
pub struct SigningArgs {
    /// Sign the requests: standard, github, stripe, slack, shopify, or as this endpoint of the configuration
    #[arg(long, value_name = "SCHEME", env = "HOOKFIRE_SIGN", value_hint = ValueHint::Other)]
    pub sign: Option<String>,
    /// A secret to sign with: @env:VARIABLE, @file:PATH or a literal; repeat it while you rotate the secret
    #[arg(long, value_name = "SECRET", env = "HOOKFIRE_SIGNING_SECRET", value_hint = ValueHint::Other)]
    pub signing_secret: Vec<String>,
}

/// Appends the defaults of one command to the help of options that several commands share, for `mut_args`.
pub fn with_defaults(defaults: &'static [(&str, &str)]) -> impl Fn(Arg) -> Arg {
    move |arg| {
        let Some((_, default)) = defaults.iter().find(|(id, _)| arg.get_id() == id) else {
            return arg;
        };
        let help = arg.get_help().map(ToString::to_string);
        arg.help(format!("{} [default: {default}]", help.unwrap_or_default()))
    }
}

/// The defaults of `fire`.
pub const FIRE_DEFAULTS: &[(&str, &str)] = &[
    ("retries", "5"),
    ("retry_interval", "60s"),
    ("success", "200"),
    ("jobs", "8"),
];

/// The defaults of commands that deliver captures.
pub const FORWARD_DEFAULTS: &[(&str, &str)] = &[
    (
        "retries",
        "those of the schedule; with --retry-interval: as many as fit in 72 hours",
    ),
    (
        "retry_interval",
        "those of the schedule; with --retries: 60s",
    ),
    (
        "retry_schedule",
        "5s,30s,1m,5m,15m, then hourly for 72 hours",
    ),
    ("success", "200-299"),
];

/// The options of [`RetryPolicyArgs`].
pub const RETRY_POLICY_OPTIONS: [&str; 4] =
    ["retries", "retry_interval", "retry_schedule", "success"];

/// A command that uses these options gives their defaults with [`with_defaults`].
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Retry policy")]
pub struct RetryPolicyArgs {
    /// Attempts after the first one
    #[arg(
        long,
        value_name = "N", value_parser = whole_number::<u32>(0..=u64::MAX),
        env = "HOOKFIRE_RETRIES"
    )]
    pub retries: Option<u32>,
    /// Time between attempts, such as 500ms, 60s or 1m30s
    #[arg(long, value_name = "DURATION", env = "HOOKFIRE_RETRY_INTERVAL", value_parser = parse_duration, allow_hyphen_values = true)]
    pub retry_interval: Option<Duration>,
    /// Time before each retry, such as 5s,5m,30m,2h; up to 10 % longer, or as long as Retry-After says (at most twice as long)
    #[arg(long, value_name = "DURATIONS", env = "HOOKFIRE_RETRY_SCHEDULE", value_hint = ValueHint::Other)]
    pub retry_schedule: Option<RetrySchedule>,
    /// Status codes that count as delivered, such as 200,202 or 200-207
    #[arg(long, value_name = "CODES", env = "HOOKFIRE_SUCCESS")]
    pub success: Option<StatusRanges>,
}

impl RetryPolicyArgs {
    pub fn settings(&self) -> Settings {
        Settings {
            retries: self.retries,
            retry_interval: self.retry_interval,
            retry_schedule: self.retry_schedule.clone(),
            success: self.success.clone(),
            ..Settings::default()
        }
    }
}

/// A command that uses these options gives their defaults with [`with_defaults`].
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Pace")]
pub struct PaceArgs {
    /// Maximum number of concurrent requests
    #[arg(short, long, value_name = "N", env = "HOOKFIRE_JOBS", value_parser = whole_number::<u16>(1..=1000))]
    pub jobs: Option<u16>,
    /// Maximum number of attempts, retries included, per second, minute or hour: 10/s, 600/m, 100/h
    #[arg(long, value_name = "N/s", env = "HOOKFIRE_RATE")]
    pub rate: Option<Rate>,
}

/// The options of [`TransportArgs`].
pub const TRANSPORT_OPTIONS: [&str; 8] = [
    "timeout",
    "connect_timeout",
    "cacert",
    "cert",
    "key",
    "insecure",
    "proxy",
    "resolve",
];

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct TransportArgs {
    /// Time limit of an attempt [default: 30s]
    #[arg(long, value_name = "DURATION", env = "HOOKFIRE_TIMEOUT", value_parser = parse_timeout, allow_hyphen_values = true)]
    pub timeout: Option<Duration>,
    /// Time limit for DNS, connecting and TLS [default: 10s]
    #[arg(long, value_name = "DURATION", env = "HOOKFIRE_CONNECT_TIMEOUT", value_parser = parse_timeout, allow_hyphen_values = true)]
    pub connect_timeout: Option<Duration>,
    /// Trust these certificates (PEM) instead of the system's
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_CACERT", value_hint = ValueHint::FilePath)]
    pub cacert: Option<PathBuf>,
    /// Use this client certificate (PEM, with its key unless --key is given)
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_CERT", value_hint = ValueHint::FilePath)]
    pub cert: Option<PathBuf>,
    /// The key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_KEY", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Do not verify TLS certificates; recorded with each attempt
    #[arg(long, env = "HOOKFIRE_INSECURE", num_args = 0, default_missing_value = "true", value_parser = parse_boolean)]
    pub insecure: Option<bool>,
    /// Use this proxy, except for loopback addresses [default: the environment's HTTP_PROXY, HTTPS_PROXY and NO_PROXY]
    #[arg(long, value_name = "URL", env = "HOOKFIRE_PROXY")]
    pub proxy: Option<String>,
    /// Connect to this address instead of looking up HOST; no effect if a proxy is used (repeatable)
    #[arg(long, value_name = "HOST:PORT:ADDRESS", env = "HOOKFIRE_RESOLVE", value_hint = ValueHint::Other)]
    pub resolve: Vec<HostAddresses>,
}

impl TransportArgs {
    pub fn settings(&self) -> Settings {
        let proxy = self.proxy.as_deref().filter(|proxy| !proxy.is_empty());
        Settings {
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            cacert: self.cacert.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            insecure: self.insecure,
            proxy: proxy.map(Secret::new),
            resolve: Some(self.resolve.clone()).filter(|resolve| !resolve.is_empty()),
            ..Settings::default()
        }
    }
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Signatures")]
pub struct VerifyArgs {
    /// Verify signatures: standard, github, stripe, slack, shopify, or as this endpoint of the configuration; a request whose
    /// signature is not valid gets a 401, and is stored and marked
    #[arg(long, value_name = "SCHEME", env = "HOOKFIRE_VERIFY", value_hint = ValueHint::Other)]
    pub verify: Option<String>,
    /// The secret: @env:VARIABLE, @file:PATH or a literal, never stored (repeatable: one of them must match)
    /// [default: those of the endpoint]
    #[arg(
        long,
        value_name = "SECRET",
        env = "HOOKFIRE_SIGNING_SECRET",
        value_hint = ValueHint::Other
    )]
    pub signing_secret: Vec<String>,
    /// How far the signature's timestamp may be from the time at which the request arrives [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "verify")]
    pub tolerance: Option<Duration>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Handshakes")]
pub struct HandshakeArgs {
    /// Answer the handshakes of senders, which are stored and marked but do not count: all, or some of meta, slack, event-grid,
    /// cloudevents, dropbox and zoom, which needs --signing-secret
    #[arg(long, value_name = "NAMES", env = "HOOKFIRE_HANDSHAKE", value_delimiter = ',', value_hint = ValueHint::Other)]
    pub handshake: Vec<String>,
    /// Answer CORS preflights like handshakes, and let scripts of all web pages read the responses
    #[arg(long)]
    pub cors: bool,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Event")]
pub struct WireArgs {
    /// Request body: the XML, or a form with the XML in the field `params[xml]` [default: xml]
    #[arg(
        long,
        value_name = "FORM",
        value_parser = one_of(BodyFormat::ALL, BodyFormat::as_str),
        env = "HOOKFIRE_WIRE"
    )]
    pub wire: Option<BodyFormat>,
    #[command(flatten)]
    pub order: CompatArgs,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Event")]
pub struct CompatArgs {
    /// Element order: `documented` (type, action), or `porta` (action, type, and the sample on one line) as 3scale's own
    /// software sends it [default: documented]
    #[arg(
        long,
        value_name = "ORDER",
        value_parser = one_of(ElementOrder::ALL, ElementOrder::as_str),
        env = "HOOKFIRE_COMPAT"
    )]
    pub compat: Option<ElementOrder>,
}

impl WireArgs {
    pub fn settings(&self) -> Settings {
        Settings {
            wire: self.wire,
            compat: self.order.compat,
            ..Settings::default()
        }
    }
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Webhook switches")]
pub struct OriginArgs {
    /// Where the change was made; changes in the admin portal are sent only if the endpoint's
    /// `provider_actions` is on [default: developer-portal]
    #[arg(
        long,
        value_name = "PORTAL",
        value_parser = one_of(EventSource::ALL, EventSource::as_str),
        env = "HOOKFIRE_ORIGIN"
    )]
    origin: Option<EventSource>,
}

impl OriginArgs {
    pub fn source(&self) -> EventSource {
        self.origin.unwrap_or_default()
    }
}

/// The filter of deliveries.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filter (combined with AND)")]
pub struct FilterArgs {
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE", value_hint = ValueHint::Other)]
    pub event_type: Option<String>,
    /// Only events with this action
    #[arg(long, value_name = "ACTION", value_hint = ValueHint::Other)]
    pub action: Option<String>,
    /// Only deliveries that ended at or after this time, and pending ones that were accepted since: 2026-11-20, RFC 3339, or
    /// an age such as 2h
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only deliveries that ended, or are pending and were accepted, at or before this time; without a fraction it includes the whole second
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub before: Option<String>,
    /// Only deliveries whose last error was this HTTP status, such as 503 or 5xx
    #[arg(long, value_name = "CODES")]
    pub http_status: Option<StatusRanges>,
    /// Only deliveries whose last error was of this kind
    #[arg(long, value_name = "KIND", value_parser = one_of(ErrorKind::ALL, ErrorKind::as_str))]
    pub error: Option<ErrorKind>,
    /// Only deliveries that this host, or this process of a host, last sent: ci-3 or ci-3/4711
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pub owner: Option<String>,
}

impl FilterArgs {
    /// The filter, without an endpoint.
    pub fn filter(&self, now: UnixMs) -> Result<Filter, Failure> {
        Ok(Filter {
            event_type: self.event_type.clone(),
            action: self.action.clone(),
            endpoint: None,
            since: time(self.since.as_deref(), now, Edge::From)?,
            before: time(self.before.as_deref(), now, Edge::UpTo)?,
            http_status: self.http_status.clone(),
            error: self.error,
            owner: self.owner.clone(),
        })
    }
}

/// The filter of commands that do not send, where `--endpoint` is a filter too.
#[derive(Args, Clone, Debug, Default)]
pub struct ListFilterArgs {
    /// Only deliveries for this endpoint
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, help_heading = "Filter (combined with AND)")]
    endpoint: Option<String>,
    #[command(flatten)]
    rest: FilterArgs,
}

impl ListFilterArgs {
    pub fn filter(&self, now: UnixMs) -> Result<Filter, Failure> {
        Ok(Filter {
            endpoint: self.endpoint.clone(),
            ..self.rest.filter(now)?
        })
    }
}

/// Parses the value of a time option, which clap passes as text: errors are hookfire's own.
pub fn time(text: Option<&str>, now: UnixMs, edge: Edge) -> Result<Option<UnixMs>, Failure> {
    let time = text.map(|text| parse_time(text, now, edge));
    let time = time.transpose();
    time.map_err(|e| Failure::from_error(Kind::Usage, e))
}

/// Parses the name of one of `values`.
pub fn one_of<T: Copy + Send + Sync + 'static>(
    values: impl IntoIterator<Item = T>,
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values: Vec<T> = values.into_iter().collect();
    let names = PossibleValuesParser::new(values.iter().map(|value| name(*value)));
    names.try_map(move |text| {
        let value = values.iter().find(|value| name(**value) == text);
        value.copied().ok_or("it is not one of them")
    })
}

/// Parses a whole number in `range`, whose end is `u64::MAX` if only the type limits it.
pub fn whole_number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("`{text}` is not a whole number"));
        }
        let number = text.parse().ok().filter(|number| range.contains(number));
        match number.map(T::try_from) {
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(format!("`{text}` is too large")),
            None if *range.end() < u64::MAX => Err(format!(
                "it must be from {} to {}",
                range.start(),
                range.end()
            )),
            None if text.trim_start_matches('0').is_empty() => {
                Err(format!("it must be at least {}", range.start()))
            }
            None => Err(format!("`{text}` is too large")),
        }
    }
}

fn parse_boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

/// Parses an id of a delivery or capture: `42` or `#42`.
pub fn parse_id(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(id) if is_number && id > 0 => Ok(id),
        _ => Err("an id is a number such as 42 or #42".to_owned()),
    }
}

/// Options of commands that delete.
#[derive(Args, Clone, Copy, Debug)]
pub struct DeleteArgs {
    /// Show what would be deleted, and delete nothing
    #[arg(long, help_heading = None)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long, help_heading = None)]
    pub yes: bool,
    #[command(flatten)]
    pub output: ReportOutput,
}

/// Declares an `--output` option that takes some of the formats.
macro_rules! output_option {
    ($args:ident, $($format:ident),+) => {
        #[derive(Args, Clone, Copy, Debug)]
        pub struct $args {
            /// Output format
            #[arg(
                short,
                long,
                value_name = "FORMAT",
                value_parser = one_of([$(Format::$format),+], Format::as_str),
                default_value = "text",
                env = "HOOKFIRE_OUTPUT",
                help_heading = None
            )]
            output: Format,
        }

        impl $args {
            pub fn format(self) -> Format {
                self.output
            }
        }
    };
}

output_option!(ReportOutput, Text, Json, Ndjson);
output_option!(ListOutput, Text, Json, Ndjson, Csv);
output_option!(FailedOutput, Text, Json, Ndjson, Csv, Xml);
output_option!(PageOutput, Text, Json, Ndjson, Xml);

#[cfg(test)]
mod tests;
