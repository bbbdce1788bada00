//! `captured follow --to`: makes captures into deliveries, in the commit that moves the cursor, and sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::capture::{Capture, Mask};
use crate::cli::args::{RetryPolicyArgs, SigningArgs, TransportArgs, whole_number};
use crate::cli::context::Context;
use crate::cli::forward_later::ForwardThread;
use crate::cli::forward_targets::{ForwardTargets, report_waiting, start_thread};
use crate::cli::{settings, signing};
use crate::error::Failure;
use crate::journal::{CaptureRules, Forward, Journal, StoredCapture, Write, WriteResult};
use crate::listener::MAX_HOPS;
use crate::sanitize::visible_line;
use crate::time::{Clock as _, UnixMs};

/// While so many deliveries wait, no more captures are read.
const MAX_PENDING: usize = 100_000;

/// Captures of another machine that are kept in each bin, besides those that are not delivered yet.
const KEEP: u32 = 10_000;

/// Before a commit is tried again.
const COMMIT_PAUSE: Duration = Duration::from_millis(500);

const END_POLL: Duration = Duration::from_millis(5);

/// Options that have an effect only on deliveries.
const DELIVERY_OPTIONS: [(&str, &str); 8] = [
    ("in_order", "--in-order"),
    ("forward_jobs", "--forward-jobs"),
    ("retries", "--retries"),
    ("retry_interval", "--retry-interval"),
    ("retry_schedule", "--retry-schedule"),
    ("success", "--success"),
    ("sign", "--sign"),
    ("signing_secret", "--signing-secret"),
];

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Deliver")]
pub struct DeliverArgs {
    /// Send each capture to this URL, as it was received; the path is appended
    ///
    /// The capture, its delivery and where to go on are stored in one commit, then it is sent until it succeeds. The retry
    /// schedule is 5s, 30s, 1m, 5m, 15m, then hourly for 72 hours, unless another is given; then it is in the failed list. Any
    /// 2xx counts as delivered.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    to: Option<String>,
    /// Send each capture to this configured endpoint, with its secrets, signature and settings
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, conflicts_with = "to")]
    endpoint: Option<String>,
    /// Send one capture after the other, each once the one before it is delivered
    ///
    /// A delivery that has failed stops those behind it, until it is sent again or deleted.
    #[arg(long)]
    in_order: bool,
    /// Send up to N requests at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole_number::<u32>(1..=1000))]
    forward_jobs: u32,
    #[command(flatten)]
    policy: RetryPolicyArgs,
    #[command(flatten)]
    signing: SigningArgs,
}

impl DeliverArgs {
    /// Where to send; none without `--to` and `--endpoint`.
    pub fn targets(
        &self,
        ctx: &Context<'_>,
        transport: &TransportArgs,
    ) -> Result<Option<ForwardTargets>, Failure> {
        let mut chosen = match (&self.to, &self.endpoint) {
            (Some(url), _) => settings::from_url(url)?,
            (None, Some(name)) => settings::from_endpoint(name, ctx.config()?)?,
            (None, None) => {
                let useless = DELIVERY_OPTIONS.iter().find(|(id, _)| ctx.is_flag(id));
                return match useless {
                    Some((_, flag)) => Err(Failure::usage(format!(
                        "`{flag}` requires `--to` or `--endpoint`"
                    ))),
                    None => Ok(None),
                };
            }
        };
        signing::apply(&mut chosen.target, &self.signing, ctx)?;
        let targets =
            ForwardTargets::new(ctx, vec![chosen], &self.policy, transport, self.in_order);
        targets.map(Some)
    }
}

/// How a journal stores the captures of another machine.
pub fn rules(bin: &str) -> CaptureRules {
    CaptureRules {
        default_bin: bin.to_owned(),
        keep_per_bin: KEEP,
        survives_power_failure: true,
    }
}

pub struct Deliverer<'a> {
    ctx: &'a Context<'a>,
    journal: &'a dyn Journal,
    forwards: Arc<[Forward]>,
    thread: ForwardThread,
    /// Tells the thread that there is a delivery, and when it is due.
    wake: Box<dyn Fn(UnixMs)>,
    pending: Arc<AtomicUsize>,
    /// Whether captures come from another machine, so that they are stored first.
    stores: bool,
}

impl<'a> Deliverer<'a> {
    pub fn start(
        ctx: &'a Context<'a>,
        args: &DeliverArgs,
        targets: &ForwardTargets,
        transport: &TransportArgs,
        mask: &Mask,
        journal: &'a dyn Journal,
        stores: bool,
    ) -> Result<Deliverer<'a>, Failure> {
        let limits = (transport, args.forward_jobs, MAX_PENDING);
        let (thread, pending) = start_thread(ctx, targets, limits, mask, journal, None)?;
        Ok(Deliverer {
            ctx,
            journal,
            forwards: targets.forwards.clone().into(),
            wake: Box::new(thread.waker()),
            thread,
            pending,
            stores,
        })
    }

    /// Whether so many deliveries wait that no more captures are to be read.
    pub fn is_full(&self) -> bool {
        self.pending.load(Ordering::Relaxed) >= MAX_PENDING
    }

    /// Whether nothing waits to be sent.
    pub fn is_done(&self) -> Result<bool, Failure> {
        Ok(self.journal.pending_forwards(1)? == 0)
    }

    /// Stores a delivery of the capture, together with `moved`, and wakes the thread. Returns the capture as the journal
    /// has it. A capture that cannot be sent is reported, and only `moved` is stored.
    pub fn deliver(
        &self,
        stored: Arc<StoredCapture>,
        lacks_body: bool,
        moved: Write,
    ) -> Result<Arc<StoredCapture>, Failure> {
        if let Some(reason) = not_sendable(&stored.record.capture, lacks_body) {
            let id = stored.record.id;
            self.ctx
                .ui
                .warning(&format!("capture #{id} is not sent: {reason}"));
            commit(self.ctx, self.journal, &[moved])?;
            return Ok(stored);
        }
        let forwards = Arc::clone(&self.forwards);
        let capture = Arc::clone(&stored);
        let write = match self.stores {
            true => Write::Capture { capture, forwards },
            false => Write::Forward { capture, forwards },
        };
        let due = self.journal.now();
        let results = commit(self.ctx, self.journal, &[write, moved])?;
        self.pending
            .fetch_add(self.forwards.len(), Ordering::Relaxed);
        (self.wake)(due);
        Ok(match results.into_iter().next() {
            Some(WriteResult::Captured { id, .. }) => {
                let mut here = Arc::unwrap_or_clone(stored);
                here.record.id = id;
                Arc::new(here)
            }
            Some(WriteResult::Rejected(error)) => {
                let id = stored.record.id;
                self.ctx
                    .ui
                    .warning(&format!("capture #{id} is not sent: {error}"));
                stored
            }
            _ => stored,
        })
    }

    pub fn print_reports(&self) {
        for report in self.thread.reports() {
            let text = visible_line(&report.text);
            match report.succeeded {
                true => self.ctx.ui.status(&text),
                false => self.ctx.ui.warning(&text),
            }
        }
    }

    /// Waits for the requests under way, and says what is left.
    pub fn finish(self) -> Result<(), Failure> {
        while !self.thread.close() {
            self.print_reports();
            thread::sleep(END_POLL);
        }
        self.print_reports();
        report_waiting(self.ctx, self.journal, "captured follow --to")
    }
}

/// Commits; waits while the journal cannot be used for a reason that may pass, unless there is an interrupt.
pub fn commit(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    writes: &[Write],
) -> Result<Vec<WriteResult>, Failure> {
    let mut is_reported = false;
    let committed = journal.commit_while(writes, |error| {
        if ctx.clock.interrupted() {
            return false;
        }
        if !std::mem::replace(&mut is_reported, true) {
            ctx.ui.warning(&format!("{error}; trying again"));
        }
        thread::sleep(COMMIT_PAUSE);
        true
    });
    Ok(committed?)
}

/// Why a capture cannot or must not be sent.
fn not_sendable(capture: &Capture, lacks_body: bool) -> Option<&'static str> {
    if lacks_body {
        return Some("its body is too large to transfer");
    }
    if capture.malformed {
        return Some("the request is malformed or incomplete");
    }
    if capture.handshake.is_some() {
        return Some("it is a handshake, which the listener has answered");
    }
    if !capture.is_accepted() {
        return Some("the listener has refused it");
    }
    (capture.hops() >= MAX_HOPS)
        .then_some("it was forwarded too often: the target leads back to the bin")
}
