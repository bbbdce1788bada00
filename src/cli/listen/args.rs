//! The options of `hookfire listen`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use crate::capture::{DEFAULT_MAX_HEADERS, MAX_HEADERS, is_bin_name};
use crate::cli::address::{Address, parse_port};
use crate::cli::args::TransportArgs;
use crate::text::parse_size;
use crate::time::parse_timeout;

const EXAMPLES: &str = "\
Examples:
  Catch requests and watch them come, here and on the page it names:
    $ hookfire listen
  An endpoint that refuses three times and then recovers:
    $ hookfire listen --respond 503x3,200
  In a script: any free port, three requests, then on:
    $ hookfire listen --port 0 --ready-file url --exit-after 3 -o ndjson | jq -c .
  Watch what goes to an application:
    $ hookfire listen --forward-to http://127.0.0.1:3000
  Like a RequestBin: a bin of its own under /orders
    $ hookfire listen --bin inbox --bin orders
  Try the recovery of a tenant's failed deliveries, with the journal's own for the tenant's:
    $ hookfire listen --emulate-portal --require-portal-token @env:TOKEN";

/// Catch webhooks: any method, any path, kept byte for byte before they are answered
///
/// A RequestBin of your own: each request is written to the journal, then answered. `hookfire captured` shows what came, a
/// page shows it live, and clients of RequestBin's API need only this address as their base URL. A request goes to the bin
/// that the first segment of its path names, else to the first `--bin`. Only this machine can reach it unless `--expose` is
/// given. Ctrl-C ends it, exit code 0.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ListenArgs {
    /// Where to listen: PORT, :PORT or HOST:PORT; port 0 is any free one [default: 127.0.0.1:8080]
    #[arg(value_name = "ADDR", value_hint = ValueHint::Other)]
    pub addr: Option<Address>,
    /// The port, if ADDR names none
    #[arg(long, value_name = "N", value_parser = parse_port, env = "HOOKFIRE_PORT", hide_env_values = true)]
    pub port: Option<u16>,
    /// Listen on all addresses, or on ADDR; the page and the APIs then require a token, which is printed
    #[arg(long)]
    pub expose: bool,
    /// Make these bins; what names none goes to the first (repeatable) [default: inbox]
    #[arg(long, value_name = "NAME", value_parser = parse_bin, value_hint = ValueHint::Other)]
    pub bin: Vec<String>,
    #[command(flatten)]
    pub answers: AnswerArgs,
    #[command(flatten)]
    pub portal: EmulateArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub ending: EndingArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    #[command(flatten)]
    pub transport: TransportArgs,
    /// Show secret values in what is printed
    #[arg(long)]
    pub reveal: bool,
    /// How to print
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "HOOKFIRE_OUTPUT",
        hide_env_values = true
    )]
    pub output: ListenFormat,
}

/// What a live list can be printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListenFormat {
    /// A line each.
    #[default]
    Text,
    /// A JSON object each, after one that says where it listens.
    Ndjson,
}

/// What requests are answered.
#[derive(Args, Debug)]
#[command(next_help_heading = "Answers")]
pub struct AnswerArgs {
    /// What to answer, in turn: 200; 503x3,200 (three times 503, then 200 for ever); 200@2s (after two seconds); timeout; reset
    #[arg(long, value_name = "SCRIPT", default_value = "200", env = "HOOKFIRE_RESPOND", hide_env_values = true, value_hint = ValueHint::Other)]
    pub respond: String,
    /// The answer's body [default: ok]
    #[arg(long, value_name = "TEXT", env = "HOOKFIRE_RESPONSE_BODY", hide_env_values = true, value_hint = ValueHint::Other)]
    pub response_body: Option<String>,
    /// A header of the answer (repeatable)
    #[arg(long, value_name = "NAME: VALUE", env = "HOOKFIRE_RESPONSE_HEADER", hide_env_values = true, value_hint = ValueHint::Other)]
    pub response_header: Vec<String>,
    /// Answer with the status that the path ends with, as in /inbox/503
    #[arg(long)]
    pub status_in_path: bool,
    /// Answer 403 unless this is in the query; VALUE is @env:VAR, @file:PATH or a literal (repeatable)
    #[arg(long, value_name = "NAME=VALUE", env = "HOOKFIRE_REQUIRE_SECRET", hide_env_values = true, value_hint = ValueHint::Other)]
    pub require_secret: Vec<String>,
    /// Send each request on to this URL and answer what it answers
    ///
    /// A page among its answers runs in a browser with an origin of its own (Content-Security-Policy: sandbox), so that
    /// it cannot use hookfire's page, which has the same address.
    #[arg(long, value_name = "URL", env = "HOOKFIRE_FORWARD_TO", hide_env_values = true, value_hint = ValueHint::Url)]
    pub forward_to: Option<String>,
    /// Let pages of this origin call RequestBin's API: an origin, or *
    #[arg(long, value_name = "ORIGIN", env = "HOOKFIRE_ALLOW_ORIGIN", hide_env_values = true, value_hint = ValueHint::Url)]
    pub allow_origin: Option<String>,
}

/// Standing in for a tenant.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tenant")]
pub struct EmulateArgs {
    /// Answer as a 3scale tenant does to `hookfire portal`: the failed list and the switchboard
    /// below /admin/api/webhooks; nothing below /admin is caught
    #[arg(long)]
    pub emulate_portal: bool,
    /// The token that the tenant asks for, as @env:VAR, @file:PATH or a literal [default: it asks for none]
    #[arg(long, value_name = "TOKEN", requires = "emulate_portal", env = "HOOKFIRE_REQUIRE_PORTAL_TOKEN", hide_env_values = true, value_hint = ValueHint::Other)]
    pub require_portal_token: Option<String>,
}

/// How much a client may send, and how much is kept.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The longest body, at most 256MiB; more is answered 413, at once where its length is told before
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = parse_body_size, env = "HOOKFIRE_MAX_BODY", hide_env_values = true)]
    pub max_body: u64,
    /// The longest head, 8KiB to 16MiB; more is answered 431
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_head_size, env = "HOOKFIRE_MAX_HEAD", hide_env_values = true)]
    pub max_head: u64,
    /// The most headers of a head; more is answered 431
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_HEADERS as u32, value_parser = clap::value_parser!(u32).range(1..=MAX_HEADERS as i64), env = "HOOKFIRE_MAX_HEADERS", hide_env_values = true)]
    pub max_headers: u32,
    /// The most bytes of requests in memory until they are kept, beyond 8 KiB of each connection
    ///
    /// What comes beyond that waits: clients that have fallen silent make room first (408), and what has waited for as long as
    /// a body may take is answered 503. The request that has been coming for the longest never waits.
    ///
    /// Answers of `--forward-to` have as much again, from when they are read until the client has taken them; a longer one is
    /// answered 502.
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = parse_size, env = "HOOKFIRE_MAX_BUFFERED", hide_env_values = true)]
    pub max_buffered: u64,
    /// The longest that a head may take, and then a body; more is answered 408. Also how long an answer may lie unread
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout, env = "HOOKFIRE_READ_TIMEOUT", hide_env_values = true)]
    pub read_timeout: Duration,
    /// Connections at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), env = "HOOKFIRE_MAX_CONNECTIONS", hide_env_values = true)]
    pub max_connections: Option<u32>,
    /// Keep the newest N of each bin
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), env = "HOOKFIRE_KEEP", hide_env_values = true)]
    pub keep: u32,
}

/// When it begins and ends.
#[derive(Args, Debug)]
#[command(next_help_heading = "In scripts")]
pub struct EndingArgs {
    /// End after N requests, and print so many; what comes at the same time is answered and kept as well
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub exit_after: Option<u64>,
    /// End after this long; with --exit-after, the exit code is 7 if fewer came
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_timeout)]
    pub for_: Option<Duration>,
    /// Write the URL to this file as soon as requests are taken; removed at the end
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub ready_file: Option<PathBuf>,
    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}

/// Speaking TLS.
#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Speak https with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "HOOKFIRE_TLS_CERT", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "HOOKFIRE_TLS_KEY", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,
}

/// A bin's name: one segment of a path, and none that has a meaning of its own.
fn parse_bin(name: &str) -> Result<String, String> {
    if !is_bin_name(name) {
        return Err("a bin's name is letters, digits, `-` and `_`, at most 64".to_owned());
    }
    if ["api", "_hookfire"].contains(&name) {
        return Err(format!(
            "`{name}` is a path that the listener itself answers"
        ));
    }
    Ok(name.to_owned())
}

/// hyper takes no smaller buffer than this. A larger one is not of use to anybody.
fn parse_head_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        ..8_192 => Err("it is at least 8KiB".to_owned()),
        16_777_217.. => Err("it is at most 16MiB".to_owned()),
        size => Ok(size),
    }
}

/// SQLite takes a row of a thousand million bytes: a chunked body is kept as it came as well, and its head beside it.
fn parse_body_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        268_435_457.. => Err("it is at most 256MiB".to_owned()),
        size => Ok(size),
    }
}
