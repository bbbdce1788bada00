//! `hookfire retry --due`: makes the attempts that are due, once or continuously.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{PlanReport, RetryArgs, dry_run, nothing_to_send};
use crate::cli::args::RETRY_POLICY_OPTIONS;
use crate::cli::context::Context;
use crate::cli::journal::check::warn_of_far_due;
use crate::cli::report::{Blocked, RunReport, Style, run_engine};
use crate::delivery::Delivery;
use crate::delivery::target::MissingSecret;
use crate::engine::due::{DueQueue, Upcoming, postpone};
use crate::engine::{
    Claims, Contact, Inbox, RETRY_PAUSE, SendPlan, Source, SourceItem, WaitingRetry,
};
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{CommitRetry, Journal, JournalError};
use crate::secret::SecretError;
use crate::text;
use crate::time::{Clock as _, UnixMs, until};

const MIN_WAIT: Duration = Duration::from_millis(1);

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
    let mut rows = DueRows {
        ctx,
        plan_report: PlanReport::new(ctx, &planner),
        report: &report,
        journal,
        queue,
        watching: args.watch,
        reported: HashSet::new(),
        error: None,
    };
    let limits = args.limits(Claims::Few);
    let summary = run_engine(ctx, journal, limits, inbox, retry, &mut rows, &report)?;
    let is_clean = report.exit(&summary) == Exit::Done && summary.halted.is_none();
    if let Some(error) = rows.error.take() {
        match summary.halted {
            Some(_) => report.failed_now(&Failure::from(error)),
            None => {
                report.end_output(&summary)?;
                return Err(error.into());
            }
        }
    } else if !args.watch && !ctx.clock.interrupted() && is_clean && summary.total() == 0 {
        return nothing_due(ctx, args, rows.queue.next_due());
    }
    let totals = summary.in_words(None);
    let show_totals = summary.total() > 1;
    let stopped = (!args.watch).then_some("stopped; due deliveries stay scheduled");
    report.conclude(summary, &totals, show_totals, stopped)
}

/// The engine's source of due deliveries. Each keeps its policy.
struct DueRows<'a> {
    ctx: &'a Context<'a>,
    plan_report: PlanReport<'a>,
    report: &'a RunReport<'a>,
    journal: &'a dyn Journal,
    queue: DueQueue<'a>,
    watching: bool,
    /// Deliveries that were reported as not sendable and have not been sent since: once is enough.
    reported: HashSet<i64>,
    /// Why the schedule cannot be read any more.
    error: Option<JournalError>,
}

impl DueRows<'_> {
    /// A watcher waits until a lock or a full disk has passed; any other error of the journal ends the run.
    fn journal_failed(&mut self, error: JournalError) -> SourceItem {
        if self.watching && error.is_temporary() && !self.ctx.clock.interrupted() {
            self.report
                .journal_blocked(Blocked::Reader, Some(&error.to_string()));
            return SourceItem::Later(Some(RETRY_PAUSE));
        }
        self.error.get_or_insert(error);
        SourceItem::End
    }

    fn report_not_sent(&mut self, delivery: &Delivery, failure: Failure) {
        let not_stored = failure
            .error
            .downcast_ref::<MissingSecret>()
            .is_some_and(|missing| matches!(missing.source, SecretError::NotStored));
        let id = delivery.id;
        let words = if not_stored {
            format!("#{id} cannot be sent by `--due`; it is in the failed list")
        } else {
            format!("#{id} could not be sent; it stays scheduled")
        };
        if let Err(e) = postpone(self.journal, delivery, !not_stored) {
            self.journal_failed(e);
        }
        let failure = failure.context(words);
        if !self.watching {
            self.report.failed(failure);
        } else if not_stored || self.reported.insert(id) {
            self.report.failed_now(&failure);
        } else {
            self.report.note_exit(failure.exit());
        }
    }
}

impl Source for DueRows<'_> {
    fn next(&mut self) -> SourceItem {
        if self.error.is_some() {
            return SourceItem::End;
        }
        let ctx = self.ctx;
        let upcoming = match self.queue.next(ctx.now()) {
            Ok(upcoming) => upcoming,
            Err(e) => return self.journal_failed(e),
        };
        self.report.journal_blocked(Blocked::Reader, None);
        if self.queue.is_idle() {
            self.report.next_due.set(self.queue.next_due());
        }
        let abandoned = self.queue.take_abandoned();
        if abandoned > 0 {
            let deliveries = text::count(abandoned, "delivery", "deliveries");
            ctx.ui
                .status(&format!("{deliveries} left behind by a process that ended"));
        }
        match upcoming {
            Upcoming::Due(seen) => SourceItem::Due(seen),
            Upcoming::Later(at) => SourceItem::Later(Some(at.since(ctx.now()).max(MIN_WAIT))),
            Upcoming::End => SourceItem::End,
        }
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        match self.plan_report.planner.plan(delivery) {
            Ok(planned) => {
                self.plan_report.warn(&planned);
                Some(Arc::new(planned.plan))
            }
            Err(e) => {
                let failure = self.plan_report.hinted(delivery, e.into());
                self.report_not_sent(delivery, failure);
                None
            }
        }
    }

    fn released(&mut self, id: i64, contact: Contact) {
        if contact != Contact::NotSent {
            self.reported.remove(&id);
        }
        let now = self.ctx.now();
        self.queue.release(id, contact, now);
    }
}
