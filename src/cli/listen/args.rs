//! The options of `hookfire listen`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};

use crate::capture::{DEFAULT_MAX_HEADERS, MAX_HEADERS, is_bin_name};
use crate::cli::args::{
    FORWARD_DEFAULTS, Format, HandshakeArgs, RetryPolicyArgs, TransportArgs, VerifyArgs,
    whole_number, with_defaults,
};
use crate::cli::content::ContentArgs;
use crate::cli::exec::CommandArgs;
use crate::cli::listen_addr::{ListenAddr, parse_port};
use crate::text::parse_size;
use crate::time::parse_timeout;

const EXAMPLES: &str = "\
Examples:
  Capture requests, printed here and shown in the web UI:
    $ hookfire listen
  An endpoint that fails three times and then recovers:
    $ hookfire listen --respond 503x3,200
  Responses by method and path:
    $ hookfire listen --route 'POST /paid=503x2,200' --route 'OPTIONS *=204'
  In a script, on any free port, until three requests have arrived:
    $ hookfire listen --port 0 --ready-file url --exit-after 3 -o ndjson | jq -c .
  See the requests to an application:
    $ hookfire listen --forward-to http://127.0.0.1:3000
  Accept requests now, and deliver them when the application is up, for three days:
    $ hookfire listen --forward-to http://crm:3000/hook --forward-later
  Refuse requests whose signature is not valid, and say why:
    $ hookfire listen --verify github --signing-secret @env:GITHUB_SECRET
  Answer the handshake of a sender that checks the address first:
    $ hookfire listen --handshake slack --expose
  Run a program for each webhook, or only for some:
    $ hookfire listen --exec ./on-event.sh
    $ hookfire listen --exec ./crm-signup --type account --action created --match '//state=created'
  Like RequestBin, with a bin of its own below /orders:
    $ hookfire listen --bin inbox --bin orders
  Let CI and teammates read the captures, but change nothing:
    $ hookfire listen --expose --read-token @env:READ_TOKEN
  Try `hookfire portal recover` on the journal's failed deliveries:
    $ hookfire listen --emulate-portal --require-portal-token @env:TOKEN";

/// Capture webhooks: any method, any path, stored byte for byte before the response
///
/// A local RequestBin: each request is written to the journal before it gets its response. `hookfire captured` lists the
/// captures, the web UI shows them live, and clients of RequestBin's API use this address as their base URL. A request goes to
/// the bin that the first segment of its path names, otherwise to the first `--bin`. Only this machine can reach it, unless
/// `--expose` is given. Ctrl-C ends it with exit code 0.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ListenArgs {
    /// Where to listen: PORT, :PORT or HOST:PORT; port 0 is any free port [default: 127.0.0.1:8080]
    #[arg(value_name = "ADDR", value_hint = ValueHint::Other)]
    pub addr: Option<ListenAddr>,
    /// The port, if ADDR has none
    #[arg(long, value_name = "N", value_parser = parse_port, env = "HOOKFIRE_PORT")]
    pub port: Option<u16>,
    /// Listen on all addresses, or on ADDR; the web UI and the APIs then require a token, which is printed
    #[arg(long)]
    pub expose: bool,
    /// Require a token for the web UI and the APIs, and let this one only read them: @env:VAR, @file:PATH or a literal, at least
    /// 8 characters (repeatable)
    ///
    /// The web UI and the APIs then require a token on a loopback address too, and any host name may lead there, as behind a
    /// proxy. The token that is printed at start permits everything. With a read token, the web UI is read-only.
    #[arg(long, value_name = "TOKEN", env = "HOOKFIRE_READ_TOKEN", value_hint = ValueHint::Other)]
    pub read_token: Vec<String>,
    /// Create these bins; other requests go to the first (repeatable) [default: inbox]
    #[arg(long, value_name = "NAME", value_parser = parse_bin, value_hint = ValueHint::Other)]
    pub bin: Vec<String>,
    #[command(flatten)]
    pub responses: ResponseArgs,
    #[command(flatten)]
    pub signatures: VerifyArgs,
    #[command(flatten)]
    pub handshakes: HandshakeArgs,
    #[command(flatten)]
    pub command: CommandArgs,
    #[command(flatten)]
    pub exec: ExecArgs,
    #[command(flatten)]
    pub forward_later: ForwardLaterArgs,
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
    /// Print secret values
    #[arg(long)]
    pub reveal: bool,
    /// Output format
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "HOOKFIRE_OUTPUT"
    )]
    pub output: ListenFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListenFormat {
    /// Prints one line per capture.
    #[default]
    Text,
    /// One JSON object per line; the first has the URL.
    Ndjson,
}

impl From<ListenFormat> for Format {
    fn from(format: ListenFormat) -> Format {
        match format {
            ListenFormat::Text => Format::Text,
            ListenFormat::Ndjson => Format::Ndjson,
        }
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Responses")]
pub struct ResponseArgs {
    /// Responses in turn, the last one repeated: 200; 503x3,200 (three times 503, then 200); 200@2s
    /// (after two seconds); timeout; reset
    #[arg(long, value_name = "SCRIPT", default_value = "200", env = "HOOKFIRE_RESPOND", value_hint = ValueHint::Other)]
    pub respond: String,
    /// Responses to requests with this method and path, before --respond: 'POST /paid=503x2,200'; the path may end with *
    /// (repeatable; the first that matches)
    #[arg(long, value_name = "METHOD PATH=SCRIPT", env = "HOOKFIRE_ROUTE", value_hint = ValueHint::Other)]
    pub route: Vec<String>,
    /// Body of the response [default: ok]
    #[arg(long, value_name = "TEXT", env = "HOOKFIRE_RESPONSE_BODY", value_hint = ValueHint::Other)]
    pub response_body: Option<String>,
    /// Header of the response (repeatable)
    #[arg(long, value_name = "NAME: VALUE", env = "HOOKFIRE_RESPONSE_HEADER", value_hint = ValueHint::Other)]
    pub response_header: Vec<String>,
    /// Respond with the status that the path ends with, as in /inbox/503
    #[arg(long)]
    pub status_in_path: bool,
    /// Respond with 403 unless the query has this secret; VALUE is @env:VAR, @file:PATH or a literal (repeatable)
    #[arg(long, value_name = "NAME=VALUE", env = "HOOKFIRE_REQUIRE_SECRET", value_hint = ValueHint::Other)]
    pub require_secret: Vec<String>,
    /// Forward each request to this URL and return its response; the path is appended, and the query kept: with
    /// http://host/base, a request for /hook?a=1 goes to http://host/base/hook?a=1
    ///
    /// With --forward-later, it may be repeated: each target gets the request afterwards.
    ///
    /// Returned pages run in the browser with an origin of their own (Content-Security-Policy: sandbox), so that they cannot
    /// use the web UI, which has the same address.
    #[arg(long, value_name = "URL", env = "HOOKFIRE_FORWARD_TO", value_hint = ValueHint::Url)]
    pub forward_to: Vec<String>,
    /// Allow scripts of this origin to use RequestBin's API: an origin, or *
    #[arg(long, value_name = "ORIGIN", env = "HOOKFIRE_ALLOW_ORIGIN", value_hint = ValueHint::Url)]
    pub allow_origin: Option<String>,
}

/// Which captures the command gets, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Command")]
pub struct ExecArgs {
    /// Run up to N commands at once; by default one after the other, in the order of the captures
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole_number::<u32>(1..=256), requires = "exec")]
    pub exec_jobs: u32,
    /// Respond when the command has ended: exit code 0 is a 200 with its standard output, any other a 500
    #[arg(long, requires = "exec")]
    pub exec_response: bool,
    /// Run the command, or forward later, only for XML events of this type
    #[arg(long = "type", value_name = "TYPE", value_hint = ValueHint::Other)]
    pub event_type: Option<String>,
    /// Run the command, or forward later, only for XML events with this action
    #[arg(long, value_name = "ACTION", value_hint = ValueHint::Other)]
    pub action: Option<String>,
    #[command(flatten)]
    pub content: ContentArgs,
}

#[derive(Args, Debug)]
#[command(
    next_help_heading = "Forwarding later",
    mut_args(with_defaults(FORWARD_DEFAULTS))
)]
pub struct ForwardLaterArgs {
    /// Respond at once, and deliver each request to --forward-to or --endpoint afterwards, until it succeeds
    ///
    /// A request that gets a 2xx is in the journal with its deliveries, and is sent as it was received, with the same
    /// `webhook-id`. The retry schedule is 5s, 30s, 1m, 5m, 15m, then hourly for 72 hours, unless another is given here or for
    /// the endpoint; then it is in the failed list. While a target does not respond, one delivery at a time tries it, and the
    /// others wait. Any 2xx of the target counts as delivered.
    #[arg(long)]
    pub forward_later: bool,
    /// Forward to this configured endpoint, with its secrets, signature and settings (repeatable)
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, requires = "forward_later")]
    pub endpoint: Vec<String>,
    /// Send the captures of a bin one after the other, each once the one before it is delivered
    ///
    /// A delivery that has failed stops those behind it, until it is sent again or deleted.
    #[arg(long, requires = "forward_later")]
    pub in_order: bool,
    /// Send up to N requests at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole_number::<u32>(1..=1000), requires = "forward_later")]
    pub forward_jobs: u32,
    /// Respond with 503 while N deliveries wait
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = whole_number::<u64>(1..=u64::MAX), requires = "forward_later")]
    pub max_pending: u64,
    #[command(flatten)]
    pub policy: RetryPolicyArgs,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Portal emulator")]
pub struct EmulateArgs {
    /// Emulate a 3scale portal for `hookfire portal`: failures and webhook settings below /admin/api/webhooks; no
    /// request below /admin is captured
    #[arg(long)]
    pub emulate_portal: bool,
    /// The token that the emulated portal requires, as @env:VAR, @file:PATH or a literal [default: none]
    #[arg(long, value_name = "TOKEN", requires = "emulate_portal", env = "HOOKFIRE_REQUIRE_PORTAL_TOKEN", value_hint = ValueHint::Other)]
    pub require_portal_token: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Maximum length of a body, up to 256MiB; longer ones get a 413, at once if the length is declared
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = parse_body_size, env = "HOOKFIRE_MAX_BODY")]
    pub max_body: u64,
    /// Maximum length of a head, 8KiB to 16MiB; longer ones get a 431
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_head_size, env = "HOOKFIRE_MAX_HEAD")]
    pub max_head: u64,
    /// Maximum number of headers; more get a 431
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_HEADERS as u32, value_parser = whole_number::<u32>(1..=MAX_HEADERS as u64), env = "HOOKFIRE_MAX_HEADERS")]
    pub max_headers: u32,
    /// Maximum memory for requests until they are stored, beyond 8 KiB per connection
    ///
    /// Further requests wait until there is memory. Idle clients are disconnected first (408). Requests that wait longer than a
    /// body may take get a 503. The oldest request never waits.
    ///
    /// Responses of `--forward-to` have the same limit, from when they are read until the client has received them; a
    /// longer one becomes a 502.
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = parse_size, env = "HOOKFIRE_MAX_BUFFERED")]
    pub max_buffered: u64,
    /// How long a head may take, and then a body (otherwise 408), and how long a response may stay unread
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout, env = "HOOKFIRE_READ_TIMEOUT")]
    pub read_timeout: Duration,
    /// Maximum number of connections
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>(1..=100_000), env = "HOOKFIRE_MAX_CONNECTIONS")]
    pub max_connections: Option<u32>,
    /// Keep the newest N captures of each bin, and up to a hundredth more until they are deleted together
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole_number::<u32>(1..=u64::MAX), env = "HOOKFIRE_KEEP")]
    pub keep: u32,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "In scripts")]
pub struct EndingArgs {
    /// Exit after N requests (concurrent ones are still captured); handshakes and requests whose signature is not valid do not count
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub exit_after: Option<u64>,
    /// Exit after this time; with --exit-after, the exit code is 7 if fewer arrived
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_timeout)]
    pub for_: Option<Duration>,
    /// Write the URL to this file when ready; removed at exit
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub ready_file: Option<PathBuf>,
    /// Open the web UI in a browser
    #[arg(long)]
    pub open: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Serve https with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "HOOKFIRE_TLS_CERT", value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "HOOKFIRE_TLS_KEY", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,
}

fn parse_bin(name: &str) -> Result<String, String> {
    if !is_bin_name(name) {
        return Err("a bin's name consists of at most 64 letters, digits, `-` and `_`".to_owned());
    }
    if ["api", "_hookfire"].contains(&name) {
        return Err(format!("the path /{name} is reserved by the listener"));
    }
    Ok(name.to_owned())
}

/// The lower limit is that of hyper's buffer.
fn parse_head_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        ..8_192 => Err("must be at least 8KiB".to_owned()),
        16_777_217.. => Err("must be at most 16MiB".to_owned()),
        size => Ok(size),
    }
}

/// A row of SQLite has at most 1,000,000,000 bytes; a chunked body is stored twice, decoded and as received.
fn parse_body_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        268_435_457.. => Err("must be at most 256MiB".to_owned()),
        size => Ok(size),
    }
}
