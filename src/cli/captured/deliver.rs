//! `captured follow --to`: makes captures into deliveries, in the commit that moves the cursor, and sends them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};

use crate::capture::{Capture, Mask};
use crate::cli::args::{
    FORWARD_DEFAULTS, RetryPolicyArgs, SigningArgs, TransportArgs, whole_number, with_defaults,
};
use crate::cli::context::Context;
use crate::cli::forward_later::ForwardThread;
use crate::cli::forward_targets::{ForwardTargets, report_waiting, start_thread};
use crate::cli::{settings, signing};
use crate::delivery::{Delivery, Status};
use crate::engine::exit_of;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{
    CaptureRules, Forward, Journal, JournalError, StoredCapture, Write, WriteResult,
};
use crate::listener::MAX_HOPS;
use crate::remote::FollowedCapture;
use crate::text::count;
use crate::time::{Clock as _, UnixMs};

/// While so many deliveries wait, no more captures are read.
const MAX_PENDING: usize = 100_000;

/// Delivered captures that are kept in each bin.
const KEEP: u32 = 10_000;

/// Before a commit is tried again.
const COMMIT_PAUSE: Duration = Duration::from_millis(500);

const END_POLL: Duration = Duration::from_millis(5);

/// How many captures are looked at together to find out whether their deliveries have ended.
const LOOKED_AT: usize = 500;

/// Options that have an effect only on deliveries.
const DELIVERY_OPTIONS: [&str; 8] = [
    "in_order",
    "forward_jobs",
    "retries",
    "retry_interval",
    "retry_schedule",
    "success",
    "sign",
    "signing_secret",
];

#[derive(Args, Clone, Debug)]
#[command(
    next_help_heading = "Deliver",
    mut_args(with_defaults(FORWARD_DEFAULTS))
)]
pub struct DeliverArgs {
    /// Send each capture to this URL, as it was received; the path is appended
    ///
    /// With http://host/base, a request for /orders/7 goes to http://host/base/orders/7; `captured replay --to` sends it to
    /// http://host/base.
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
                ctx.refuse(&DELIVERY_OPTIONS, |flag| {
                    Failure::usage(format!("`{flag}` requires `--to` or `--endpoint`"))
                })?;
                return Ok(None);
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
        // Those that a listener has stored in a bin of the same name.
        keep_without_delivery: true,
        survives_power_failure: true,
    }
}

pub struct Deliverer<'a> {
    ctx: &'a Context<'a>,
    journal: &'a dyn Journal,
    targets: &'a ForwardTargets,
    forwards: Arc<[Forward]>,
    thread: ForwardThread,
    /// Tells the thread that there is a delivery, and when it is due.
    wake: Box<dyn Fn(UnixMs)>,
    pending: Arc<AtomicUsize>,
    /// Whether captures come from another machine, so that they are stored first.
    stores: bool,
    /// Captures with deliveries that may still wait, and when those were accepted; oldest first.
    unfinished: VecDeque<(i64, UnixMs)>,
    /// The captures that could not be sent, and the deliveries that have failed.
    failed: usize,
    /// The worst exit code of these.
    exit: Exit,
}

impl<'a> Deliverer<'a> {
    pub fn start(
        ctx: &'a Context<'a>,
        args: &DeliverArgs,
        targets: &'a ForwardTargets,
        mask: &Mask,
        journal: &'a dyn Journal,
        stores: bool,
    ) -> Result<Deliverer<'a>, Failure> {
        let limits = (args.forward_jobs, MAX_PENDING);
        let (thread, pending) = start_thread(ctx, targets, limits, mask, journal, None)?;
        Ok(Deliverer {
            ctx,
            journal,
            targets,
            forwards: targets.forwards.clone().into(),
            wake: Box::new(thread.waker()),
            thread,
            pending,
            stores,
            unfinished: VecDeque::new(),
            failed: 0,
            exit: Exit::Done,
        })
    }

    /// Whether so many deliveries wait that no more captures are to be read.
    pub fn is_full(&self) -> bool {
        self.pending.load(Ordering::Relaxed) >= MAX_PENDING
    }

    /// Stores a delivery of each capture, together with `moved`, and wakes the thread. Returns the captures as the journal has
    /// them. Those that cannot be sent are reported, and only `moved` is stored for them; those that were deleted meanwhile are
    /// reported and left out.
    pub fn deliver(
        &mut self,
        captures: Vec<FollowedCapture>,
        moved: Write,
        deadline: Option<Instant>,
    ) -> Result<Vec<Arc<StoredCapture>>, Failure> {
        let mut sendable = Vec::new();
        for capture in &captures {
            sendable.push(self.is_sendable(capture));
        }
        let mut writes = Vec::new();
        for (capture, _) in captures.iter().zip(&sendable).filter(|(_, sends)| **sends) {
            let (capture, forwards) = (Arc::clone(&capture.stored), Arc::clone(&self.forwards));
            writes.push(match self.stores {
                true => Write::Capture { capture, forwards },
                false => Write::Forward { capture, forwards },
            });
        }
        let due = self.journal.now();
        writes.push(moved);
        let mut results = commit(self.ctx, self.journal, &writes, deadline)?.into_iter();
        let unfinished = self.unfinished.len();
        let stored = captures.into_iter().zip(sendable);
        let stored = stored.filter_map(|(capture, sends)| match sends {
            true => self.stored(capture.stored, results.next()),
            false => Some(capture.stored),
        });
        let stored = stored.collect();
        let added = (self.unfinished.len() - unfinished) * self.forwards.len();
        if added > 0 {
            self.pending.fetch_add(added, Ordering::Relaxed);
            (self.wake)(due);
        }
        if self.unfinished.len() >= LOOKED_AT {
            self.is_done()?;
        }
        Ok(stored)
    }

    /// Whether a capture can and must be sent; otherwise says why not.
    fn is_sendable(
        &mut self,
        FollowedCapture {
            stored, lacks_body, ..
        }: &FollowedCapture,
    ) -> bool {
        let (id, capture) = (stored.record.id, &stored.record.capture);
        if let Some(reason) = not_to_send(capture) {
            self.warn_not_sent(id, reason);
            return false;
        }
        let reason = not_sendable(capture, *lacks_body);
        if let Some(reason) = reason {
            self.cannot_send(id, reason);
        }
        reason.is_none()
    }

    fn cannot_send(&mut self, id: i64, reason: &str) {
        self.warn_not_sent(id, reason);
        self.count_failed(Exit::Error);
    }

    fn count_failed(&mut self, exit: Exit) {
        self.failed += usize::from(exit != Exit::Done);
        self.exit = self.exit.max(exit);
    }

    fn warn_not_sent(&self, id: i64, reason: &str) {
        let ui = self.ctx.ui;
        ui.warning(&format!("capture #{id} is not sent: {reason}"));
    }

    /// The capture as the journal has it after the commit with this result; none if it was deleted.
    fn stored(
        &mut self,
        stored: Arc<StoredCapture>,
        result: Option<WriteResult>,
    ) -> Option<Arc<StoredCapture>> {
        let id = stored.record.id;
        match result {
            Some(WriteResult::Captured { id, due, .. }) => {
                self.unfinished.push_back((id, due));
                let mut here = Arc::unwrap_or_clone(stored);
                here.record.id = id;
                Some(Arc::new(here))
            }
            Some(WriteResult::Rejected(error)) => {
                self.cannot_send(id, &error.to_string());
                Some(stored)
            }
            Some(WriteResult::Deleted) => {
                self.warn_not_sent(id, "it was deleted before its delivery was stored");
                None
            }
            _ => Some(stored),
        }
    }

    /// Whether all deliveries of the captures so far have ended.
    pub fn is_done(&mut self) -> Result<bool, Failure> {
        let looked_at = self.unfinished.len().min(LOOKED_AT);
        let oldest: Vec<_> = self.unfinished.drain(..looked_at).collect();
        let ids: Vec<i64> = oldest.iter().map(|(id, _)| *id).collect();
        let accepted: HashMap<i64, UnixMs> = oldest.iter().copied().collect();
        let mut waiting = HashSet::new();
        for delivery in self.journal.forwards(&ids)? {
            let Some(capture) = delivery.capture else {
                continue;
            };
            // Other runs and commands may forward the same capture.
            if accepted.get(&capture) != Some(&delivery.created_at) || !self.is_ours(&delivery) {
                continue;
            }
            match delivery.status {
                Status::Pending => drop(waiting.insert(capture)),
                // Exit code 130 is for what the user stops.
                Status::Interrupted => self.count_failed(Exit::Error),
                _ => self.count_failed(exit_of(&delivery)),
            }
        }
        for one in oldest.into_iter().rev() {
            if waiting.contains(&one.0) {
                self.unfinished.push_front(one);
            }
        }
        Ok(self.unfinished.is_empty())
    }

    fn is_ours(&self, delivery: &Delivery) -> bool {
        self.forwards.iter().any(|forward| {
            forward.endpoint == delivery.endpoint && forward.target.base == delivery.target.base
        })
    }

    pub fn print_reports(&self) {
        for report in self.thread.reports() {
            report.print(self.ctx.ui);
        }
    }

    /// Waits for the requests in progress, and says what still waits. Returns why not all captures were delivered, if so.
    pub fn finish(mut self) -> Result<Option<Failure>, Failure> {
        while !self.thread.close() {
            self.print_reports();
            thread::sleep(END_POLL);
        }
        self.print_reports();
        report_waiting(self.ctx, self.journal, self.targets, "this command")?;
        if !self.is_done()? {
            let waiting = count(self.unfinished.len(), "capture is", "captures are");
            let message = format!("{waiting} not delivered yet");
            return Ok(Some(Failure::new(Kind::Unmet, message)));
        }
        let kind = match self.exit {
            Exit::Done => return Ok(None),
            Exit::Refused => Kind::Refused,
            Exit::Unreachable => Kind::Unreachable,
            _ => Kind::Error,
        };
        let captures = count(self.failed, "capture was", "captures were");
        let message = format!("{captures} not delivered");
        Ok(Some(Failure::new(kind, message).hint(
            "`hookfire failed list` lists the deliveries that have failed",
        )))
    }
}

/// Commits; waits while the journal cannot be used for a reason that may pass, until the deadline or an interrupt.
pub fn commit(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    writes: &[Write],
    deadline: Option<Instant>,
) -> Result<Vec<WriteResult>, JournalError> {
    let mut is_reported = false;
    journal.commit_while(writes, |error| {
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over || ctx.clock.interrupted() {
            return false;
        }
        if !std::mem::replace(&mut is_reported, true) {
            ctx.ui.warning(&format!("{error}; trying again"));
        }
        thread::sleep(COMMIT_PAUSE);
        true
    })
}

/// Why a capture is not meant to be sent.
fn not_to_send(capture: &Capture) -> Option<&'static str> {
    if capture.malformed {
        return Some("the request is malformed or incomplete");
    }
    if capture.handshake.is_some() {
        return Some("it is a handshake, which the listener has answered");
    }
    (!capture.is_accepted()).then_some("the listener has refused it")
}

/// Why a capture cannot be sent.
fn not_sendable(capture: &Capture, lacks_body: bool) -> Option<&'static str> {
    if lacks_body {
        return Some("its body is too large to transfer");
    }
    if capture.has_fragment() {
        return Some("its target contains a `#`");
    }
    (capture.hops() >= MAX_HOPS)
        .then_some("it was forwarded too often: the target leads back to the bin")
}
