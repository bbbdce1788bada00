//! `hookfire retry --due`: makes the attempts that are due, once or as long as it runs.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use super::{PlanReport, RetryArgs, dry_run, nothing_to_send, planner};
use crate::cli::context::Context;
use crate::cli::report::{Blocked, Report, Style};
use crate::delivery::Delivery;
use crate::delivery::target::MissingSecret;
use crate::engine::due::{DueQueue, Upcoming, postpone};
use crate::engine::{
    Claims, Contact, Engine, Inbox, RETRY_PAUSE, RealTime, SendPlan, Source, SourceItem, Summary,
    WaitingRetry,
};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::Pool;
use crate::journal::JournalError;
use crate::journal::{CommitRetry, GroupWriter, Journal};
use crate::secret::SecretError;
use crate::text;
use crate::time::{Clock as _, UnixMs, until};

/// The clock's resolution.
const MIN_WAIT: Duration = Duration::from_millis(1);

pub fn run(args: &RetryArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    refuse_policy_options(ctx)?;
    let journal = match ctx.existing_journal()? {
        Some(journal) => journal,
        None if args.watch => ctx.journal()?,
        None => return nothing_due(ctx, args, None),
    };
    if args.dry_run {
        plan_once(args, ctx, &*journal)
    } else if args.watch {
        watch(args, ctx, &*journal)
    } else {
        once(args, ctx, &*journal)
    }
}

/// Deliveries on the schedule keep the policy that they were accepted with.
fn refuse_policy_options(ctx: &Context<'_>) -> Result<(), Failure> {
    for option in ["retries", "retry_interval", "success"] {
        if ctx.is_flag(option) {
            let option = option.replace('_', "-");
            return Err(
                Failure::usage(format!("`--{option}` and `--due` are both given"))
                    .hint("what is due keeps to the rule that it was accepted under"),
            );
        }
    }
    Ok(())
}

fn nothing_due(ctx: &Context<'_>, args: &RetryArgs, next: Option<UnixMs>) -> Result<Exit, Failure> {
    let words = match next {
        Some(due) => format!("nothing is due; next attempt {}", until(due, ctx.now())),
        None => "nothing is scheduled".to_owned(),
    };
    nothing_to_send(ctx, args.output.format(), &words)
}

/// `--dry-run`.
fn plan_once(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    let now = ctx.now();
    let max = args.max.map_or(usize::MAX, NonZeroUsize::get);
    let mut queue = DueQueue::once(journal, usize::MAX, now);
    let mut rows = Vec::new();
    while rows.len() < max
        && let Upcoming::Due(seen) = queue.next(now)?
    {
        rows.push(seen);
    }
    let format = args.output.format();
    let planner = planner(ctx, args.resend_options(None))?;
    let report = Report::new(ctx, Some(journal), format, Style::Many);
    let summary = dry_run(ctx, journal, &planner, &rows, &report, format)?;
    super::finish(ctx, summary, &report, 0)
}

/// Makes one attempt of each delivery that is due now.
fn once(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    ctx.catch_interrupts_and_drain()?;
    let planner = planner(ctx, args.resend_options(None))?;
    let report = Report::new(ctx, Some(journal), args.output.format(), Style::Many);
    let queue = DueQueue::once(journal, args.jobs(), ctx.now());
    let plan_report = PlanReport::new(ctx, &planner);
    let mut rows = DueRows::new(&plan_report, &report, journal, queue);
    let mut summary = send(args, ctx, journal, Inbox::default(), None, &mut rows)?;
    let is_halted = summary.halted.is_some();
    let interrupted = ctx.clock.interrupted();
    let found_nothing = summary.total() == 0
        && report.exit(&summary) == Exit::Done
        && rows.error.is_none()
        && !is_halted;
    if found_nothing && !interrupted {
        return nothing_due(ctx, args, rows.queue.next_due());
    }
    end_output(ctx, &mut summary, &mut rows, interrupted)?;
    if interrupted && !is_halted {
        return Err(Failure::new(
            Kind::Interrupted,
            "stopped; what is due stays scheduled",
        ));
    }
    finish(&summary, &report)
}

/// Makes each attempt when it is due, until the user stops it or the journal cannot be used any more.
fn watch(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    ctx.catch_interrupts_and_drain()?;
    let planner = planner(ctx, args.resend_options(None))?;
    ctx.ui
        .status("making attempts when they are due (Ctrl-C ends it)");
    let report = Report::new(ctx, Some(journal), args.output.format(), Style::Watch);
    let queue = DueQueue::watching(journal, args.jobs());
    let plan_report = PlanReport::new(ctx, &planner);
    let mut rows = DueRows::new(&plan_report, &report, journal, queue);
    rows.watching = true;
    let inbox = Inbox::default();
    let retry: Box<dyn CommitRetry> = Box::new(WaitingRetry::new(ctx.clock.clone(), inbox.waker()));
    let mut summary = send(args, ctx, journal, inbox, Some(retry), &mut rows)?;
    let is_halted = summary.halted.is_some();
    end_output(ctx, &mut summary, &mut rows, false)?;
    if ctx.clock.interrupted() && !is_halted {
        return Ok(Exit::Done);
    }
    finish(&summary, &report)
}

fn send(
    args: &RetryArgs,
    ctx: &Context<'_>,
    journal: &dyn Journal,
    inbox: Inbox,
    retry: Option<Box<dyn CommitRetry>>,
    rows: &mut DueRows<'_>,
) -> Result<Summary, Failure> {
    let limits = args.limits(Claims::Few);
    let writer = GroupWriter::start(ctx.journal()?, retry)?;
    let report = rows.report;
    let engine = Engine {
        journal,
        writer: &writer,
        sender: &Pool::new(limits.jobs),
        clock: &ctx.clock,
        wait: &RealTime,
        limits,
    };
    Ok(engine.run(inbox, rows, report))
}

fn end_output(
    ctx: &Context<'_>,
    summary: &mut Summary,
    rows: &mut DueRows<'_>,
    interrupted: bool,
) -> Result<(), Failure> {
    let report = rows.report;
    let halted = summary.halted.take();
    let is_halted = halted.is_some();
    if let Some(halted) = halted {
        report.halted(halted);
    }
    if interrupted || is_halted {
        report.end_output_before_failure(summary);
    } else {
        report.end_output(summary)?;
    }
    if summary.total() > 1 {
        ctx.ui.status(&summary.in_words(None));
    }
    let Some(error) = rows.error.take() else {
        return Ok(());
    };
    let failure = Failure::from(error);
    if !is_halted {
        return Err(failure);
    }
    // The same journal, and less important than what was sent and not recorded.
    report.failed_now(&failure);
    Ok(())
}

fn finish(summary: &Summary, report: &Report<'_>) -> Result<Exit, Failure> {
    report.finish(
        summary,
        &format!("not all were delivered: {}", summary.in_words(None)),
        Some("`hookfire failed list` shows what is left"),
    )
}

/// The engine's source of due deliveries. Each keeps its policy.
struct DueRows<'a> {
    plan_report: &'a PlanReport<'a>,
    report: &'a Report<'a>,
    journal: &'a dyn Journal,
    queue: DueQueue<'a>,
    watching: bool,
    /// Deliveries that were reported as not sendable and have not been sent since: once is enough.
    reported: HashSet<i64>,
    /// Why the schedule cannot be read any more.
    error: Option<JournalError>,
}

impl<'a> DueRows<'a> {
    fn new(
        plan_report: &'a PlanReport<'a>,
        report: &'a Report<'a>,
        journal: &'a dyn Journal,
        queue: DueQueue<'a>,
    ) -> DueRows<'a> {
        DueRows {
            plan_report,
            report,
            journal,
            queue,
            watching: false,
            reported: HashSet::new(),
            error: None,
        }
    }

    /// A watcher waits until a lock or a full disk has passed; any other error of the journal ends the run.
    fn journal_failed(&mut self, error: JournalError) -> SourceItem {
        if self.watching && error.may_pass() && !self.plan_report.ctx.clock.interrupted() {
            self.report
                .journal_blocked(Blocked::Reader, Some(&error.to_string()));
            return SourceItem::Later(Some(RETRY_PAUSE));
        }
        self.error.get_or_insert(error);
        SourceItem::End
    }

    fn report_not_sent(&mut self, delivery: &Delivery, failure: Failure) {
        let forgotten = failure
            .error
            .downcast_ref::<MissingSecret>()
            .is_some_and(|missing| matches!(missing.source, SecretError::Forgotten));
        let id = delivery.id;
        let words = if forgotten {
            format!("#{id} cannot be sent by `--due`; it is in the failed list")
        } else {
            format!("#{id} could not be sent; it stays scheduled")
        };
        if let Err(e) = postpone(self.journal, delivery, !forgotten) {
            self.journal_failed(e);
        }
        let failure = failure.context(words);
        if !self.watching {
            self.report.failed(failure);
        } else if forgotten || self.reported.insert(id) {
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
        let ctx = self.plan_report.ctx;
        let upcoming = match self.queue.next(ctx.now()) {
            Ok(upcoming) => upcoming,
            Err(e) => return self.journal_failed(e),
        };
        self.report.journal_blocked(Blocked::Reader, None);
        self.report.next_due.set(self.queue.next_due());
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

    fn plan(&mut self, delivery: &Delivery) -> Option<Rc<SendPlan>> {
        match self.plan_report.planner.plan(delivery) {
            Ok(planned) => {
                self.plan_report.warn(&planned);
                Some(Rc::new(planned.plan))
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
        let now = self.plan_report.ctx.now();
        self.queue.release(id, contact, now);
    }
}
