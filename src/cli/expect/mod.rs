//! `hookfire expect`: listens, runs a command, and waits for the webhook that the command should cause.
//!
//! `watch` waits, `child` runs the command, `report` prints, `criteria` has the conditions.

mod child;
mod criteria;
mod junit;
mod report;
mod watch;

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};

use self::child::{Child, RunningCommand};
use self::criteria::Criteria;
use self::junit::JunitFile;
use self::report::WaitReport;
use self::watch::{Arrivals, End, PolledCode, Watch};
use super::args::{
    Format, HandshakeArgs, ReportOutput, TransportArgs, VerifyArgs, time, whole_number,
};
use super::capture_feed::{BinFeed, CaptureFeed, FeedItem, FeedingStore, ListenerFeed, WhenFull};
use super::context::Context;
use super::follow_feed::{FollowFeed as _, RemoteFeed};
use super::follow_start;
use super::listen_addr::{ListenAddr, bind_failure};
use super::remote::RemoteArgs;
use super::selection;
use super::settings;
use super::signature_feed::{Explainer, SignatureFeed};
use super::signing;
use crate::capture::expect::Expectation;
use crate::capture::{Body, Capture, CapturedResponse};
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{CaptureQuery, CaptureStore, JournalCaptureStore, StoreReply, StoredCapture};
use crate::listener::{Handshakes, Listener, Notifier, Route, Script, Setup};
use crate::output::Ui;
use crate::remote::{Followed, Remote};
use crate::time::{Clock as _, Edge, parse_duration};

/// The bin of requests to `expect`'s own listener.
const BIN: &str = "expect";

/// How many captures that bin keeps.
const MAX_CAPTURES: u32 = 10_000;

const WAITING: &str = "Waiting";

const EXAMPLES: &str = "\
Examples:
  Run a command, and wait for the event it should send:
    $ hookfire expect --type application --action created -- hookfire fire application created
  Test your own sender, which reads the URL from HOOKFIRE_EXPECT_URL:
    $ hookfire expect --match '//org_name=Acme' --within 10s --junit report.xml -- npm test
  Run a shell command that sends a request:
    $ hookfire expect --method POST -- sh -c 'curl -d hello \"$HOOKFIRE_EXPECT_URL\"'
  Check that nothing is sent for two seconds:
    $ hookfire expect --count 0 --within 2s -- ./migrate --dry-run
  Wait without a command, at a fixed address:
    $ hookfire expect --listen 9000 --type user --secret token=@env:HOOK_TOKEN
  Test that your sender signs its webhooks:
    $ hookfire expect --verify standard --signing-secret @env:WHSEC -- ./signup
  Wait in CI for a webhook that a service sends to a listener on another machine:
    $ hookfire expect --from https://hooks.example.com --token @env:READ_TOKEN --bin ci --type account -- ./signup
  Check what a running `hookfire listen` captured in the last five minutes:
    $ hookfire expect --bin inbox --since 5m --within 0s --type account";

/// Wait for a webhook that matches conditions, for tests and CI
///
/// Listens on a free port of this machine, runs COMMAND with the URL in HOOKFIRE_EXPECT_URL and HOOKFIRE_URL (so that
/// `hookfire fire` needs no --url), and waits until --count requests match all conditions. Prints them and exits with 0. If
/// they do not arrive within --within, exits with 7 and shows how the closest request differs.
///
/// If COMMAND fails, expect ends at once with its exit code. If COMMAND succeeds, the webhook may arrive later. When the time
/// is up, a running COMMAND is ended (SIGTERM, SIGKILL two seconds later), and the exit code is 7. Background processes of
/// COMMAND are ended in the same way, unless stdin is a terminal: then COMMAND is in the terminal's process group. COMMAND
/// reads expect's stdin; its output goes to stderr, because stdout is for captures.
///
/// Requests are stored in the journal's bin `expect`. A malformed request never matches.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExpectArgs {
    #[command(flatten)]
    criteria: Criteria,
    #[command(flatten)]
    signatures: VerifyArgs,
    #[command(flatten)]
    handshakes: HandshakeArgs,
    /// Wait for at least N matching requests; 0: none may arrive during --within
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole_number::<u64>(0..=u64::MAX), help_heading = WAITING)]
    count: u64,
    /// How long to wait
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        env = "HOOKFIRE_WITHIN",
        value_parser = parse_duration,
        allow_hyphen_values = true,
        help_heading = WAITING
    )]
    within: Duration,
    /// Listen at this address instead of a free port of 127.0.0.1: PORT, :PORT or ADDRESS:PORT
    ///
    /// At an address that other machines reach, they can send requests too, but cannot read anything.
    #[arg(long, value_name = "ADDR", env = "HOOKFIRE_LISTEN", help_heading = WAITING)]
    listen: Option<ListenAddr>,
    /// Respond with these statuses in turn, or `timeout` or `reset`, such as 503x2,200 or 200@2s; the last one repeats
    #[arg(long, value_name = "SCRIPT", default_value = "200", help_heading = WAITING)]
    respond: Script,
    /// Responses to requests with this method and path, before --respond: 'POST /paid=503x2,200'; the path may end with *
    /// (repeatable; the first that matches)
    #[arg(long, value_name = "METHOD PATH=SCRIPT", value_hint = ValueHint::Other, conflicts_with = "bin", help_heading = WAITING)]
    route: Vec<String>,
    /// Do not listen, but watch this bin of a running `hookfire listen`, on this machine or with --from on another
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other, conflicts_with = "respond", help_heading = WAITING)]
    bin: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    transport: TransportArgs,
    /// With --bin: include captures since this time: RFC 3339, 2026-11-20, or an age such as 5m [default: now]
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, requires = "bin", allow_hyphen_values = true, help_heading = WAITING)]
    since: Option<String>,
    /// Write a JUnit report with one test case to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = None)]
    junit: Option<PathBuf>,
    #[command(flatten)]
    output: ReportOutput,
    /// The command to run, and its arguments
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

pub fn run(args: &ExpectArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let mut expectation = args.criteria.expectation(ctx)?;
    expectation.verifier = signing::verifier(&args.signatures, ctx)?;
    let handshakes = settings::handshakes(&args.handshakes, &args.signatures, ctx)?;
    let routes = settings::routes(&args.route)?;
    let junit = args.junit.as_deref().map(JunitFile::new).transpose()?;
    let watch = Watch {
        expectation: &expectation,
        count: args.count,
        within: args.within,
        clock: &ctx.clock,
    };
    let mut report = WaitReport::new(ctx, args.output.format(), &watch)?;
    if args.bin.is_some() && ctx.is_flag("listen") {
        return Err(
            Failure::usage("`--listen` and `--bin` cannot be used together")
                .hint("`--bin` watches the captures of another listener"),
        );
    }
    if args.bin.is_none() && args.remote.from.is_some() {
        return Err(Failure::usage("`--from` requires `--bin`")
            .hint("a remote listener's captures are those of a bin, such as `--bin inbox`"));
    }
    if args.remote.from.is_none() && ctx.is_flag("timeout") {
        return Err(Failure::usage("`--timeout` requires `--from`")
            .hint("`--within 30s` says how long to wait"));
    }
    let remote = args.remote.connect(&args.transport, ctx)?;
    let command = RunningCommand::default();
    let ended_with_us = command.clone();
    ctx.clock.catch_all_signals(move || ended_with_us.kill())?;
    let started = ctx.clock.elapsed();
    let ended = match (&args.bin, remote) {
        (Some(bin), Some(remote)) => {
            watch_remote(args, bin, remote, ctx, &watch, &command, &mut report)
        }
        (Some(bin), None) => watch_bin(args, bin, ctx, &watch, &command, &mut report),
        (None, _) => listen(
            args,
            (handshakes, routes),
            ctx,
            &watch,
            &command,
            &mut report,
        ),
    };
    let ended = report.finish(ended);
    let Some(junit) = junit else { return ended };
    let took = ctx.clock.elapsed().saturating_sub(started);
    let written = junit.write(&report.requests(), &ended, took, &report.matches());
    match (ended, written) {
        (Ok(exit), written) => Failure::after_output(written, exit),
        (Err(failure), Err(not_written)) => {
            ctx.ui.warning(&not_written.message_with_causes());
            Err(failure)
        }
        (Err(failure), Ok(())) => Err(failure),
    }
}

/// Waits for requests to a listener of this process.
fn listen(
    args: &ExpectArgs,
    (handshakes, routes): (Handshakes, Vec<Route>),
    ctx: &Context<'_>,
    watch: &Watch<'_>,
    command: &RunningCommand,
    report: &mut WaitReport<'_>,
) -> Result<Exit, Failure> {
    let addr = args.listen.unwrap_or_default().or((Ipv4Addr::LOCALHOST, 0));
    let has_command = !args.command.is_empty();
    if !has_command && addr.port() == 0 && args.output.format() == Format::Json {
        return Err(Failure::usage(
            "`-o json` without a command does not report which port was chosen",
        )
        .hint(
            "choose one with `--listen PORT`, or use `-o ndjson`, whose first line has the URL",
        ));
    }
    let (journal, feed_journal) = (ctx.journal()?, ctx.journal()?);
    journal.create_bin(BIN, false, ctx.now())?;
    let writer = JournalCaptureStore::start(journal, BIN, MAX_CAPTURES, None)?;
    let explainer = watch.expectation.verifier.clone();
    let explainer = explainer.map(|verifier| Explainer {
        verifier,
        writer: writer.writer(),
        notifier: Notifier::new(),
    });
    let (store, feed) = ListenerFeed::new(writer, &*feed_journal, WhenFull::DelayResponses, false);
    let feed = SignatureFeed::new(feed, explainer);
    let captures = SecretMarker {
        store,
        expectation: watch.expectation.clone(),
    };
    let setup = Setup {
        verifier: watch.expectation.verifier.clone(),
        handshakes,
        routes,
        ..Setup::new(addr, args.respond.clone(), Arc::new(captures))
    };
    let mut listener = Listener::bind(setup).map_err(|e| {
        bind_failure(e, |port| {
            format!("`--listen {port}`, or any free one without `--listen`")
        })
    })?;
    // Declared after the listener, and so dropped before it: its drop waits for delayed responses.
    let mut feed = feed;
    let url = listener.url();
    report.listening(&url, listener.addr().port(), has_command)?;
    let child = Child::start(&args.command, Some(&url), command)?;
    let deadline = ctx.clock.elapsed().saturating_add(args.within);
    let (waited, stopped) = wait(watch, &mut feed, child, report);
    drop(feed);
    // Responses are still sent when they are due, as far as time allows. A command that was stopped does not wait for one.
    let is_over = || ctx.clock.interrupted() || ctx.clock.elapsed() >= deadline;
    if is_over() || stopped {
        listener.stop();
    } else {
        listener.drain(is_over);
    }
    let (end, seen) = waited?;
    report.conclude(end, &seen, stopped)
}

/// Marks captures by whether they have the expected secrets, as a listener that requires them does: readers of the
/// journal mask their values then.
struct SecretMarker<S> {
    store: FeedingStore<S>,
    expectation: Expectation,
}

impl<S: CaptureStore> CaptureStore for SecretMarker<S> {
    fn store(&self, mut capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        capture.secret_ok = self.expectation.secrets_are_right(&capture);
        self.store.store(capture, body, done);
    }

    fn set_response(&self, id: i64, response: CapturedResponse, done: StoreReply<()>) {
        self.store.set_response(id, response, done);
    }
}

/// Waits for captures of a bin in the journal.
fn watch_bin(
    args: &ExpectArgs,
    bin: &str,
    ctx: &Context<'_>,
    watch: &Watch<'_>,
    command: &RunningCommand,
    report: &mut WaitReport<'_>,
) -> Result<Exit, Failure> {
    let since = time(args.since.as_deref(), ctx.now(), Edge::From)?;
    let journal = ctx.readable_journal()?;
    selection::require_bin(&*journal, bin)?;
    let after = match since {
        None => Some(journal.newest_capture()?),
        Some(_) => None,
    };
    report.waiting(&format!("in bin `{bin}`"));
    let child = Child::start(&args.command, None, command)?;
    let query = CaptureQuery {
        bin: Some(bin.to_owned()),
        since,
        after,
        ..CaptureQuery::default()
    };
    let mut feed = BinFeed::new(&*journal, query);
    let (waited, stopped) = wait(watch, &mut feed, child, report);
    let (end, seen) = waited?;
    report.conclude(end, &seen, stopped)
}

/// Waits for captures of a bin on another machine.
fn watch_remote(
    args: &ExpectArgs,
    bin: &str,
    remote: Remote,
    ctx: &Context<'_>,
    watch: &Watch<'_>,
    command: &RunningCommand,
    report: &mut WaitReport<'_>,
) -> Result<Exit, Failure> {
    let start = follow_start::since(&remote, bin, args.since.as_deref(), ctx)?;
    report.waiting(&format!("in bin `{bin}` of {}", remote.address().shown()));
    let child = Child::start(&args.command, None, command)?;
    let mut feed = RemoteCaptures {
        feed: RemoteFeed::start(ctx, &args.transport, remote, bin, start)?,
        ui: ctx.ui,
    };
    let (waited, stopped) = wait(watch, &mut feed, child, report);
    let (end, seen) = waited?;
    report.conclude(end, &seen, stopped)
}

/// The captures of a remote bin. A lost connection is reported, and opened again.
struct RemoteCaptures<'a> {
    feed: RemoteFeed,
    ui: &'a Ui,
}

impl CaptureFeed for RemoteCaptures<'_> {
    fn next(&mut self, timeout: Duration) -> Result<Option<FeedItem>, Failure> {
        Ok(match self.feed.next(timeout)? {
            Some(Followed::Capture(capture)) => {
                if capture.lacks_body {
                    let record = &capture.stored.record;
                    let (id, size) = (record.id, crate::text::size(record.body_size));
                    self.ui.warning(&format!(
                        "the body of capture #{id} has {size}, which is too large to transfer; conditions on it are not met"
                    ));
                }
                Some(FeedItem::Captured(capture.stored))
            }
            Some(Followed::Missed { .. }) => Some(FeedItem::Deleted),
            Some(Followed::Lost(reason)) => {
                self.ui.warning(&format!("{reason}; trying again"));
                None
            }
            Some(Followed::Back) => {
                self.ui.status("connected again");
                None
            }
            Some(Followed::Failed(error)) => return Err(error.into()),
            Some(Followed::NewBin) | None => None,
        })
    }
}

/// Waits, and then stops a command that is still running. Returns whether it had to.
fn wait(
    watch: &Watch<'_>,
    feed: &mut dyn CaptureFeed,
    mut child: Option<Child>,
    report: &mut WaitReport<'_>,
) -> (Result<(End, Arrivals), Failure>, bool) {
    let mut exit_code = child.as_ref().map(|child| || child.exit_code());
    let command = exit_code
        .as_mut()
        .map(|exit_code| exit_code as PolledCode<'_>);
    let waited = watch.run(feed, command, &mut |capture| report.matched(capture));
    (waited, child.as_mut().is_some_and(Child::stop))
}
