//! `hookfire captured follow`

use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use serde_json::json;

use super::deliver::{self, DeliverArgs, Deliverer};
use super::source::SourceArgs;
use crate::cli::args::{Format, ReportOutput, whole_number};
use crate::cli::capture_printer::CapturePrinter;
use crate::cli::context::Context;
use crate::cli::follow_feed::{FollowFeed, JournalFeed, RemoteFeed};
use crate::cli::follow_start::{self, FollowedBin};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{FollowCursor, Journal, JournalError, Write};
use crate::output::json;
use crate::remote::{Followed, FollowedCapture};
use crate::text;
use crate::time::{Clock as _, parse_timeout};

/// How often the end of the run is checked for while nothing arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Captures that become deliveries in one commit.
const MAX_GROUP: usize = 100;

const MAX_NAME_CHARS: usize = 200;

const EXAMPLES: &str = "\
Examples:
  Print the captures of a listener on another machine as they arrive:
    $ hookfire captured follow --bin team --from https://hooks.example.com --token @env:READ_TOKEN
  The same as JSON, one object per line, from the beginning:
    $ hookfire captured follow --bin team --from https://hooks.example.com --token @env:READ_TOKEN --from-start -o ndjson | jq .body
  From this journal, also one that several hosts share in PostgreSQL:
    $ hookfire captured follow --bin inbox
  Deliver what a public host captures to a program on this machine:
    $ hookfire captured follow --bin team --from https://hooks.example.com --token @env:READ_TOKEN --to http://127.0.0.1:3000
  Wait for three captures, as a reader of its own:
    $ hookfire captured follow --bin inbox --as nightly-test --exit-after 3";

/// Print the captures of a bin as they arrive, here or on another machine, each once, or deliver them
///
/// Begins with the next capture. Where it ends is stored in the journal under a name, and the next run with this name goes on
/// there: nothing is skipped, and nothing is printed twice, unless the process is killed while it prints. Readers with different
/// names each get everything. If the connection to another machine is lost, it is opened again, and captures that arrived
/// meanwhile follow. Captures that were pruned before they could be read are counted in a warning.
///
/// With -o ndjson, the first line says where it begins, with `"event":"ready"`.
///
/// With --to, each capture is also sent, until it succeeds. Captures of another machine are stored in the bin of the same name
/// here, and printed with their number here.
///
/// The values of secret parameters and of headers such as Authorization and Cookie are shown as *** without --reveal. Ctrl-C ends
/// it with exit code 0.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedFollowArgs {
    /// The bin to follow
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    bin: String,
    #[command(flatten)]
    source: SourceArgs,
    /// The name under which the journal stores how far it was read [default: the address, the bin and the target]
    #[arg(long = "as", value_name = "NAME", value_parser = parse_name, value_hint = ValueHint::Other, help_heading = START)]
    name: Option<String>,
    /// Begin with the captures since this time: RFC 3339, 2026-11-20, or an age such as 5m
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, allow_hyphen_values = true, help_heading = START)]
    since: Option<String>,
    /// Begin with the oldest capture that is kept; with --to, send again what was sent before
    #[arg(long, conflicts_with = "since", help_heading = START)]
    from_start: bool,
    #[command(flatten)]
    deliver: DeliverArgs,
    /// Exit after N captures; with --to, once they are delivered or have failed
    ///
    /// With --to, the exit code is that of the worst delivery, as with `retry`: 3 if the target refused one after all
    /// attempts, 4 if it did not respond.
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(1..=u64::MAX), help_heading = END)]
    exit_after: Option<u64>,
    /// Exit after this time; with --exit-after, the exit code is 7 if fewer arrived, or some still wait to be sent
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_timeout, help_heading = END)]
    for_: Option<Duration>,
    /// Show secret values
    #[arg(long, help_heading = None)]
    reveal: bool,
    #[command(flatten)]
    output: ReportOutput,
}

const START: &str = "Start";
const END: &str = "In scripts";

fn parse_name(text: &str) -> Result<String, String> {
    let is_valid = !text.is_empty() && text.chars().count() <= MAX_NAME_CHARS;
    match is_valid && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a name has 1 to {MAX_NAME_CHARS} characters, without control characters"
        )),
    }
}

pub(super) fn run(args: &CapturedFollowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (mask, hidden) = (ctx.mask(args.reveal)?, ctx.mask(false)?);
    let transport = args.source.transport();
    let targets = args.deliver.targets(ctx, transport)?;
    // With a target and without `--from`, the options of the connection are those of the target.
    let remote = match targets.is_some() && !args.source.is_remote() {
        true if ctx.is_flag("token") => {
            return Err(Failure::usage("`--token` requires `--from`"));
        }
        true => None,
        false => args.source.connect(ctx)?,
    };
    let mut journal = ctx.journal()?;
    journal.tune_for_captures(deliver::rules(&args.bin))?;
    let place = match &remote {
        Some(remote) => remote.address().shown().to_owned(),
        None => "this journal".to_owned(),
    };
    let from_url = remote.as_ref().map(|_| place.clone());
    let name = args.name.clone();
    let to = targets
        .as_ref()
        .map(|targets| format!(" to {}", targets.described()));
    let to = to.unwrap_or_default();
    let name = name.unwrap_or_else(|| format!("{place} {}{to}", args.bin));
    let stored = journal.cursor(&name)?;
    let bin: &dyn FollowedBin = match &remote {
        Some(remote) => remote,
        None => &journal,
    };
    let start = match (args.from_start, &args.since, stored) {
        (true, ..) => follow_start::oldest(bin, &args.bin)?,
        (false, None, Some(stored)) => {
            bin.newest(&args.bin)?;
            stored
        }
        (false, since, _) => follow_start::since(bin, &args.bin, since.as_deref(), ctx)?,
    };
    if remote.is_some() && targets.is_some() {
        refuse_own_journal(&*journal, bin, &args.bin)?;
    }
    match &targets {
        Some(_) => ctx.catch_interrupts_and_drain()?,
        None => ctx.catch_interrupts()?,
    }
    let from = match start.last_id {
        0 => "the first capture".to_owned(),
        last => format!("capture #{} on", last.saturating_add(1)),
    };
    let sending = targets
        .as_ref()
        .map(|targets| format!("; sending to {}", targets.described()));
    ctx.ui.status(&format!(
        "following bin `{}` of {place}, from {from}{} (Ctrl-C stops)",
        args.bin,
        sending.unwrap_or_default()
    ));
    let stores = remote.is_some();
    if args.output.format() == Format::Ndjson {
        let ready =
            json!({ "event": "ready", "bin": args.bin, "from": from_url, "after": start.last_id });
        ctx.ui.line(&json::compact(&ready))?;
        ctx.ui.flush()?;
    }
    let mut feed: Box<dyn FollowFeed> = match remote {
        Some(remote) => Box::new(RemoteFeed::start(ctx, transport, remote, &args.bin, start)?),
        None => Box::new(JournalFeed::new(&*journal, &args.bin, start)),
    };
    let start_deliverer = |targets| {
        // Secrets that a receiver returns are not stored, whatever is printed.
        let mask = &hidden;
        Deliverer::start(ctx, &args.deliver, targets, mask, &*journal, stores)
    };
    let mut follower = FollowRun {
        deliverer: targets.as_ref().map(start_deliverer).transpose()?,
        ctx,
        place,
        name,
        cursor: stored,
        journal: &*journal,
        stores_cursor: true,
        printer: CapturePrinter::new(ctx.ui, mask.clone(), args.output.format()),
        printed: 0,
        deadline: args.for_.map(|duration| Instant::now() + duration),
    };
    // Where a reader that has seen nothing yet goes on.
    follower.store(start)?;
    let ended = follower.run(&mut *feed, args);
    let printed = follower.printed;
    let sent = follower.deliverer.map_or(Ok(None), Deliverer::finish);
    let finished = follower.printer.finish();
    ended?;
    finished?;
    let sent = sent?;
    match (args.exit_after, args.for_) {
        (Some(wanted), Some(_)) if printed < wanted && !ctx.clock.interrupted() => {
            Err(Failure::new(
                Kind::Unmet,
                format!("{printed} of {wanted} captures arrived in time"),
            ))
        }
        (Some(_), _) if !ctx.clock.interrupted() => sent.map_or(Ok(Exit::Done), Err),
        _ => Ok(Exit::Done),
    }
}

/// A listener that uses this journal would return what is stored here as new captures, without end. Then the bin, which has
/// the same name here and there, was also created at the same time.
fn refuse_own_journal(
    journal: &dyn Journal,
    there: &dyn FollowedBin,
    bin: &str,
) -> Result<(), Failure> {
    let here = journal.bin_position(bin, 0)?;
    let there = there.position(bin, 0)?;
    let created_at = |position: FollowCursor| position.bin_created_at;
    match (here.map(created_at), there.map(created_at)) {
        (Some(here), Some(there)) if here == there => {
            let message = "the listener uses this journal, or a copy of it";
            Err(Failure::usage(message).hint("leave out `--from`: the captures are here already"))
        }
        _ => Ok(()),
    }
}

struct FollowRun<'a> {
    ctx: &'a Context<'a>,
    deliverer: Option<Deliverer<'a>>,
    /// Where the captures come from, for messages.
    place: String,
    name: String,
    /// The cursor as this command has stored it.
    cursor: Option<FollowCursor>,
    /// The journal that stores the cursor, and with `--to` the deliveries.
    journal: &'a dyn Journal,
    /// Whether this run stores how far it has read.
    stores_cursor: bool,
    printer: CapturePrinter<'a>,
    printed: u64,
    /// When `--for` is over.
    deadline: Option<Instant>,
}

impl FollowRun<'_> {
    /// Prints until Ctrl-C, the wanted number of captures, or the time limit.
    fn run(&mut self, feed: &mut dyn FollowFeed, args: &CapturedFollowArgs) -> Result<(), Failure> {
        let deadline = self.deadline;
        loop {
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let is_complete = args.exit_after.is_some_and(|wanted| self.printed >= wanted);
            let waits = match &mut self.deliverer {
                Some(deliverer) => {
                    deliverer.print_reports();
                    is_complete && !deliverer.is_done()? || deliverer.is_full()
                }
                None => false,
            };
            if is_over || is_complete && !waits || self.ctx.clock.interrupted() {
                return Ok(());
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let wait = left.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL);
            if waits {
                std::thread::sleep(wait);
                continue;
            }
            let wanted = args.exit_after.map_or(u64::MAX, |n| n - self.printed);
            // Printed ones are committed one by one, so that at most one is printed again after a kill.
            let max = if self.deliverer.is_some() {
                MAX_GROUP
            } else {
                1
            };
            let max = usize::try_from(wanted).unwrap_or(max).min(max);
            let group = feed.next_group(wait, max)?;
            self.take(group)?;
        }
    }

    fn take(&mut self, group: Vec<Followed>) -> Result<(), Failure> {
        let mut captures = Vec::new();
        for item in group {
            match item {
                Followed::Capture(capture) => captures.push(capture),
                other => {
                    self.take_captures(std::mem::take(&mut captures))?;
                    self.take_event(other)?;
                }
            }
        }
        self.take_captures(captures)
    }

    /// Delivers captures in one commit, which also moves the cursor, and prints them.
    fn take_captures(&mut self, captures: Vec<FollowedCapture>) -> Result<(), Failure> {
        let Some(last) = captures.last() else {
            return Ok(());
        };
        let cursor = last.cursor;
        let moved = self.moved(cursor);
        match &mut self.deliverer {
            Some(deliverer) => {
                let stored = deliverer.deliver(captures, moved, self.deadline)?;
                self.cursor = Some(cursor);
                self.printed += stored.len() as u64;
                for stored in stored {
                    self.printer.print(&stored)?;
                }
                Ok(self.ctx.ui.flush()?)
            }
            None => captures.iter().try_for_each(|capture| self.print(capture)),
        }
    }

    /// Prints a capture, and then stores the cursor.
    fn print(&mut self, capture: &FollowedCapture) -> Result<(), Failure> {
        if capture.lacks_body {
            let record = &capture.stored.record;
            let (id, size) = (record.id, text::size(record.body_size));
            self.ctx.ui.warning(&format!(
                "the body of capture #{id} has {size}, which is too large to transfer; it is left out"
            ));
        }
        self.printed += 1;
        self.printer.print(&capture.stored)?;
        self.ctx.ui.flush()?;
        self.store(capture.cursor)
    }

    fn take_event(&mut self, event: Followed) -> Result<(), Failure> {
        let ui = self.ctx.ui;
        match event {
            Followed::Capture(capture) => self.take_captures(vec![capture])?,
            Followed::Missed { count, cursor } => {
                let captures = text::count(
                    usize::try_from(count).unwrap_or(usize::MAX),
                    "capture was",
                    "captures were",
                );
                ui.warning(&format!(
                    "{captures} pruned or deleted before being read; `hookfire listen --keep N` keeps more"
                ));
                self.store(cursor)?;
            }
            Followed::NewBin => ui.warning(
                "the bin was created anew, or is in another journal; its captures follow from the first",
            ),
            Followed::Lost(reason) => ui.warning(&format!("{reason}; trying again")),
            Followed::Back => ui.status(&format!("connected to {} again", self.place)),
            Followed::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Stores how far this reader has read. Two that only print may have one name: the first one stores it.
    fn store(&mut self, cursor: FollowCursor) -> Result<(), Failure> {
        if !self.stores_cursor {
            return Ok(());
        }
        let moved = [self.moved(cursor)];
        match deliver::commit(self.ctx, self.journal, &moved, self.deadline) {
            Err(error @ JournalError::CursorMoved) if self.deliverer.is_none() => {
                self.ctx.ui.warning(&format!(
                    "{error}: where this one ends is not stored (`--as NAME` gives it a name of its own)"
                ));
                self.stores_cursor = false;
            }
            Err(error) => return Err(error.into()),
            Ok(_) => self.cursor = Some(cursor),
        }
        Ok(())
    }

    fn moved(&self, cursor: FollowCursor) -> Write {
        Write::MoveCursor {
            name: self.name.clone(),
            from: self.cursor,
            to: cursor,
        }
    }
}
