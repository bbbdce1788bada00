//! `hookfire retry --due`: makes the attempts that are due, once or continuously.

use super::{PlanReport, RetryArgs, dry_run, nothing_to_send};
use crate::cli::args::RETRY_POLICY_OPTIONS;
use crate::cli::context::Context;
use crate::cli::journal::check::warn_of_far_due;
use crate::cli::report::{Blocked, RunReport, Style, cannot_send, run_engine};
use crate::delivery::Delivery;
use crate::engine::due::{DueQueue, Upcoming};
use crate::engine::due_source::{DueReport, DueSource};
use crate::engine::plan::PlanError;
use crate::engine::resend::Planned;
use crate::engine::{Claims, Inbox, WaitingRetry};
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{CommitRetry, Journal, JournalError};
use crate::text;
use crate::time::{Clock as _, UnixMs, until};

pub fn run(args: &RetryArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    ctx.refuse(&RETRY_POLICY_OPTIONS, |flag| {
        Failure::usage(format!("`{flag}` and `--due` are both given"))
            .hint("scheduled deliveries keep the retry policy that they were accepted with")
    })?;
    let journal = match ctx.existing_journal()? {
        Some(journal) => journal,
        None if args.watch => ctx.journal()?,
        None => return nothing_due(ctx, args, None),
    };
    warn_of_far_due(ctx, &*journal)?;
    if args.dry_run {
        plan_once(args, ctx, &*journal)
    } else {
        send(args, ctx, &*journal)
    }
}

fn nothing_due(
    ctx: &Context<'_>,
    args: &RetryArgs,
    next: Option<(UnixMs, i64)>,
) -> Result<Exit, Failure> {
    let words = match next {
        Some((due, id)) => {
            let until = until(due, ctx.now());
            format!("nothing is due; next attempt {until} (#{id})")
        }
        None => "nothing is scheduled".to_owned(),
    };
    nothing_to_send(ctx, args.output.format(), &words)
}

/// Prints the attempts that are due.
fn plan_once(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    let now = ctx.now();
    let max = args.max.unwrap_or(usize::MAX);
    let mut queue = DueQueue::once(journal, usize::MAX, now);
    let mut rows = Vec::new();
    while rows.len() < max
        && let Upcoming::Due(seen) = queue.next(now)?
    {
        rows.push(seen);
    }
    let format = args.output.format();
    let planner = args.planner(ctx)?;
    let report = RunReport::new(ctx, journal, format, Style::Many);
    dry_run(ctx, &planner, &report, format, |visit| {
        for row in rows {
            if let Some(delivery) = journal.delivery(row.id)? {
                visit(delivery)?;
            }
        }
        Ok(())
    })
}

/// Makes one attempt of each delivery that is due now; with `--watch`, each attempt when it is due, until the user stops it or
/// the journal cannot be used any more.
fn send(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    ctx.catch_interrupts_and_drain()?;
    let planner = args.planner(ctx)?;
    let inbox = Inbox::default();
    let (style, queue, retry) = if args.watch {
        ctx.ui
            .status("making attempts when they are due (Ctrl-C ends it)");
        let queue = DueQueue::watching(journal, args.jobs());
        let retry = WaitingRetry::new(ctx.clock.clone(), inbox.waker());
        let retry: Box<dyn CommitRetry> = Box::new(retry);
        (Style::Watch, queue, Some(retry))
    } else {
        let queue = DueQueue::once(journal, args.jobs(), ctx.now());
        (Style::Many, queue, None)
    };
    let report = RunReport::new(ctx, journal, args.output.format(), style);
    let due = DueRun {
        ctx,
        plan_report: PlanReport::new(ctx, &planner),
        report: &report,
        watching: args.watch,
    };
    let mut source = DueSource::new(queue, &planner, &ctx.clock, &due);
    let limits = args.limits(Claims::Few);
    let mut summary = run_engine(ctx, journal, limits, inbox, retry, &mut source, &report)?;
    let error = source.finish(&mut summary);
    let is_clean = report.exit(&summary) == Exit::Done && summary.halted.is_none();
    if let Some(error) = error {
        match summary.halted {
            Some(_) => report.failed_now(&Failure::from(error)),
            None => {
                report.end_output(&summary)?;
                return Err(error.into());
            }
        }
    } else if !args.watch && !ctx.clock.interrupted() && is_clean && summary.total() == 0 {
        return nothing_due(ctx, args, source.queue.next_due());
    }
    let totals = summary.in_words(None);
    let show_totals = summary.total() > 1;
    let stopped = (!args.watch).then_some("stopped; due deliveries stay scheduled");
    report.conclude(summary, &totals, show_totals, stopped)
}

/// Reports what the run of `--due` does besides sending.
struct DueRun<'a> {
    ctx: &'a Context<'a>,
    plan_report: PlanReport<'a>,
    report: &'a RunReport<'a>,
    watching: bool,
}

impl DueReport for DueRun<'_> {
    fn after_next(&self, queue: &mut DueQueue<'_>) {
        self.report.journal_blocked(Blocked::Reader, None);
        let next = queue.next_due();
        if queue.is_idle() && (next.is_some() || !queue.has_unsendable()) {
            self.report.next_due.set(next);
        }
        let abandoned = queue.take_abandoned();
        if abandoned > 0 {
            let deliveries = text::count(abandoned, "delivery", "deliveries");
            let words = format!("{deliveries} left behind by a process that ended");
            self.ctx.ui.status(&words);
        }
    }

    fn planned(&self, planned: &Planned) {
        self.plan_report.warn(planned);
    }

    fn cannot_send(&self, delivery: &Delivery, number: usize, error: PlanError) {
        let failure = cannot_send(delivery, number, error);
        let failure = self.plan_report.hinted(delivery, failure);
        match self.watching {
            true => self.report.failed_now(&failure),
            false => self.report.failed(failure),
        }
    }

    /// A watcher waits until a lock or a full disk has passed.
    fn waits_for_journal(&self, error: &JournalError) -> bool {
        let waits = self.watching && error.is_temporary() && !self.ctx.clock.interrupted();
        if waits {
            let why = error.to_string();
            self.report.journal_blocked(Blocked::Reader, Some(&why));
        }
        waits
    }
}
