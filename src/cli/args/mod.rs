//! Option groups that several commands share. Their doc comments are the help texts.
//!
//! Values that may be secret are plain text here and parsed in `settings`, because clap quotes what it cannot parse. The
//! `settings` methods turn a group into a layer of settings.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum, ValueHint};

use crate::config::Settings;
use crate::delivery::filter::Filter;
use crate::delivery::retry_policy::StatusRanges;
use crate::delivery::switches::EventSource;
use crate::delivery::{ErrorKind, Status};
use crate::engine::Rate;
use crate::error::{Failure, Kind};
use crate::event::samples::AuthMode;
use crate::event::{BodyFormat, ElementOrder};
use crate::output::Color;
pub use crate::output::Format;
use crate::secret::Secret;
use crate::time::{Edge, UnixMs, parse_duration, parse_time, parse_timeout};

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Read this configuration file [default: ~/.config/hookfire/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "HOOKFIRE_CONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Use this journal [default: ~/.local/state/hookfire/journal.db]
    #[arg(long, global = true, value_name = "FILE", env = "HOOKFIRE_JOURNAL", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub journal: Option<PathBuf>,
    /// Print only errors to stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more to stderr: files, requests, ids; twice: also events and response bodies
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_default_value = true,
        env = "HOOKFIRE_COLOR",
        hide_env_values = true
    )]
    pub color: Color,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// A configured endpoint [default: the configuration's `default_endpoint`]
    #[arg(short, long, value_name = "NAME", env = "HOOKFIRE_ENDPOINT", hide_env_values = true, value_hint = ValueHint::Other)]
    pub endpoint: Option<String>,
    /// A URL; all values in its query are treated as secrets
    #[arg(long, value_name = "URL", env = "HOOKFIRE_URL", hide_env_values = true, value_hint = ValueHint::Url)]
    pub url: Option<String>,
    #[command(flatten)]
    pub extras: ExtraArgs,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct ExtraArgs {
    /// A secret query parameter; VALUE is @env:VAR, @file:PATH or a literal (repeatable)
    #[arg(long, value_name = "NAME=VALUE", env = "HOOKFIRE_SECRET", hide_env_values = true, value_hint = ValueHint::Other)]
    pub secret: Vec<String>,
    /// A query parameter that is not secret (repeatable)
    #[arg(long, value_name = "NAME=VALUE", env = "HOOKFIRE_PARAM", hide_env_values = true, value_hint = ValueHint::Other)]
    pub param: Vec<String>,
    /// An extra request header; VALUE may be @env:VAR or @file:PATH (repeatable)
    #[arg(short = 'H', long, value_name = "NAME: VALUE", env = "HOOKFIRE_HEADER", hide_env_values = true, value_hint = ValueHint::Other)]
    pub header: Vec<String>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Retry policy")]
pub struct RetryPolicyArgs {
    /// Attempts after the first one [default: 5; for `retry`: 0]
    #[arg(
        long,
        value_name = "N",
        env = "HOOKFIRE_RETRIES",
        hide_env_values = true
    )]
    pub retries: Option<u32>,
    /// Time between attempts, such as 500ms, 60s or 1m30s [default: 60s]
    #[arg(long, value_name = "DURATION", env = "HOOKFIRE_RETRY_INTERVAL", hide_env_values = true, value_parser = parse_duration, allow_hyphen_values = true)]
    pub retry_interval: Option<Duration>,
    /// Status codes that count as delivered, such as 200,202 or 200-207 [default: 200]
    #[arg(
        long,
        value_name = "CODES",
        env = "HOOKFIRE_SUCCESS",
        hide_env_values = true
    )]
    pub success: Option<StatusRanges>,
}

impl RetryPolicyArgs {
    pub fn settings(&self) -> Settings {
        Settings {
            retries: self.retries,
            retry_interval: self.retry_interval,
            success: self.success.clone(),
            ..Settings::default()
        }
    }
}

#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Pace")]
pub struct PaceArgs {
    /// Maximum number of concurrent requests [default: 8; for `retry` without --due: 1]
    #[arg(short, long, value_name = "N", env = "HOOKFIRE_JOBS", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub jobs: Option<u16>,
    /// Maximum number of attempts, retries included, per second, minute or hour: 10/s, 600/m, 100/h
    #[arg(
        long,
        value_name = "N/s",
        env = "HOOKFIRE_RATE",
        hide_env_values = true
    )]
    pub rate: Option<Rate>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct TransportArgs {
    /// Time limit of an attempt [default: 30s]
    #[arg(long, value_name = "DURATION", env = "HOOKFIRE_TIMEOUT", hide_env_values = true, value_parser = parse_timeout, allow_hyphen_values = true)]
    pub timeout: Option<Duration>,
    /// Time limit for DNS, connecting and TLS [default: 10s]
    #[arg(long, value_name = "DURATION", env = "HOOKFIRE_CONNECT_TIMEOUT", hide_env_values = true, value_parser = parse_timeout, allow_hyphen_values = true)]
    pub connect_timeout: Option<Duration>,
    /// Trust these certificates (PEM) instead of the system's
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_CACERT", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub cacert: Option<PathBuf>,
    /// Use this client certificate (PEM, with its key unless --key is given)
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_CERT", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub cert: Option<PathBuf>,
    /// The key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_KEY", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Do not verify TLS certificates; recorded with each attempt
    #[arg(long, env = "HOOKFIRE_INSECURE", hide_env_values = true, num_args = 0, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub insecure: Option<bool>,
    /// Use this proxy, except for loopback addresses [default: the environment's HTTP_PROXY, HTTPS_PROXY and NO_PROXY]
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKFIRE_PROXY",
        hide_env_values = true
    )]
    pub proxy: Option<String>,
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
            ..Settings::default()
        }
    }
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Event")]
pub struct WireArgs {
    /// Request body: the XML, or a form with the XML in the field `params[xml]` [default: xml]
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        env = "HOOKFIRE_WIRE",
        hide_env_values = true
    )]
    pub wire: Option<WireArg>,
    /// Field order: `documented` (type, action), or `porta` (action, type) as 3scale's own software sends it
    /// [default: documented]
    #[arg(
        long,
        value_name = "ORDER",
        value_enum,
        env = "HOOKFIRE_COMPAT",
        hide_env_values = true
    )]
    pub compat: Option<CompatArg>,
}

impl WireArgs {
    pub fn settings(&self) -> Settings {
        Settings {
            wire: self.wire.map(|wire| wire.0),
            compat: self.compat.map(|compat| compat.0),
            ..Settings::default()
        }
    }
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Webhook switches")]
pub struct OriginArgs {
    /// Where the change was made; changes in the admin portal are sent only if the endpoint's `provider_actions` is on
    /// [default: developer-portal]
    #[arg(
        long,
        value_name = "PORTAL",
        value_enum,
        env = "HOOKFIRE_ORIGIN",
        hide_env_values = true
    )]
    origin: Option<SourceArg>,
}

impl OriginArgs {
    pub fn source(&self) -> EventSource {
        self.origin.map(|origin| origin.0).unwrap_or_default()
    }
}

/// The filter of deliveries. Times are text here, so that errors are hookfire's own.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filter (combined with AND)")]
pub struct FilterArgs {
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE", value_hint = ValueHint::Other)]
    pub event_type: Option<String>,
    /// Only events with this action
    #[arg(long, value_name = "ACTION", value_hint = ValueHint::Other)]
    pub action: Option<String>,
    /// Only deliveries that failed (otherwise: were delivered or accepted) at or after this time: 2026-11-20, RFC 3339, or
    /// an age such as 2h
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only deliveries that failed at or before this time; without a fraction it includes the whole second
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    pub before: Option<String>,
    /// Only deliveries whose last error was this HTTP status, such as 503 or 5xx
    #[arg(long, value_name = "CODES")]
    pub http_status: Option<StatusRanges>,
    /// Only deliveries whose last error was of this kind
    #[arg(long, value_name = "KIND", value_enum)]
    pub error: Option<ErrorKindArg>,
}

impl FilterArgs {
    /// The filter, without an endpoint.
    pub fn filter(&self, now: UnixMs) -> Result<Filter, Failure> {
        let time = |text: &Option<String>, edge| {
            text.as_deref()
                .map(|text| parse_time(text, now, edge))
                .transpose()
                .map_err(|e| Failure::from_error(Kind::Usage, e))
        };
        Ok(Filter {
            event_type: self.event_type.clone(),
            action: self.action.clone(),
            endpoint: None,
            since: time(&self.since, Edge::From)?,
            before: time(&self.before, Edge::UpTo)?,
            http_status: self.http_status.clone(),
            error: self.error.map(|kind| kind.0),
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

/// Makes the values of an enum selectable by their `as_str` names.
macro_rules! word_option {
    ($arg:ident, $word:ident) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $arg(pub $word);

        impl ValueEnum for $arg {
            fn value_variants<'a>() -> &'a [Self] {
                static ALL: [$arg; $word::ALL.len()] = {
                    let mut all = [$arg($word::ALL[0]); $word::ALL.len()];
                    let mut i = 1;
                    while i < all.len() {
                        all[i] = $arg($word::ALL[i]);
                        i += 1;
                    }
                    all
                };
                &ALL
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(clap::builder::PossibleValue::new(self.0.as_str()))
            }
        }
    };
}

word_option!(ErrorKindArg, ErrorKind);
word_option!(StatusArg, Status);
word_option!(AuthModeArg, AuthMode);
word_option!(CompatArg, ElementOrder);
word_option!(SourceArg, EventSource);
word_option!(WireArg, BodyFormat);

/// A status that no longer changes by itself.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FinishedStatusArg {
    /// Delivered
    Delivered,
    /// All attempts failed
    Failed,
    /// The process was stopped or died
    Interrupted,
    /// Not sent because of a webhook switch
    Ignored,
}

impl FinishedStatusArg {
    pub fn status(self) -> Status {
        match self {
            FinishedStatusArg::Delivered => Status::Delivered,
            FinishedStatusArg::Failed => Status::Failed,
            FinishedStatusArg::Interrupted => Status::Interrupted,
            FinishedStatusArg::Ignored => Status::Ignored,
        }
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
    ($args:ident, $choice:ident, $($format:ident),+) => {
        #[derive(Args, Clone, Copy, Debug)]
        pub struct $args {
            /// Output format
            #[arg(
                short,
                long,
                value_name = "FORMAT",
                value_enum,
                default_value_t = $choice::Text,
                env = "HOOKFIRE_OUTPUT",
                hide_env_values = true,
                help_heading = None
            )]
            output: $choice,
        }

        #[derive(Clone, Copy, Debug, ValueEnum)]
        enum $choice { $($format),+ }

        impl $args {
            pub fn format(self) -> Format {
                match self.output { $($choice::$format => Format::$format),+ }
            }
        }
    };
}

output_option!(ReportOutput, ReportFormat, Text, Json, Ndjson);
output_option!(ListOutput, ListFormat, Text, Json, Ndjson, Csv);
output_option!(FailedOutput, FailedFormat, Text, Json, Ndjson, Csv, Xml);
output_option!(PageOutput, PageFormat, Text, Json, Ndjson, Xml);

/// Parses a number of a non-zero type.
pub fn at_least_one<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| "it must be a whole number of at least 1".to_owned())
}

#[cfg(test)]
mod tests;
