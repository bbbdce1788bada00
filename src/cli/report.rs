//! Reports runs of the delivery engine: attempts, results, progress and totals, in every output format.
//!
//! A [`RunReport`] is the engine's observer in `fire`, `fire --batch`, `retry` and `portal recover`. If the reader of stdout
//! goes away, sending goes on.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::context::Context;
use super::settings;
use crate::delivery::{Delivery, ErrorKind};
use crate::engine::plan::PlanError;
use crate::engine::{
    Claims, Engine, FinishedAttempt, Halted, Idle, Inbox, InlineWriter, RealTime, RunLimits,
    RunObserver, Source, Summary, Update, Writer, exit_of,
};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::{Pool, tls_hint};
use crate::journal::{CommitRetry, GroupWriter, Journal};
use crate::output::human::{attempt_line, headline, result_line};
use crate::output::{Format, Progress, json};
use crate::secret::SecretError;
use crate::time::{Clock as _, UnixMs, measured, measured_finely, until};

/// Sends what `source` yields, with the command's clock, and reports it: committed on this thread if it is one by
/// one, else in groups.
/// With `retry`, the run waits for a journal that is locked or full.
pub fn run_engine(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    limits: RunLimits,
    inbox: Inbox,
    retry: Option<Box<dyn CommitRetry>>,
    source: &mut dyn Source,
    report: &RunReport<'_>,
) -> Result<Summary, Failure> {
    let writer: Box<dyn Writer> = if limits.claims == Claims::OneByOne && retry.is_none() {
        Box::new(InlineWriter(journal))
    } else {
        Box::new(GroupWriter::start(ctx.journal()?, retry)?)
    };
    let engine = Engine {
        journal,
        writer: &*writer,
        sender: &Pool::new(limits.jobs),
        clock: &ctx.clock,
        wait: &RealTime,
        random: &|| ctx.env.random(),
        limits,
    };
    Ok(engine.run(inbox, source, report))
}

/// How often a countdown is updated.
const COUNTDOWN_INTERVAL: Duration = Duration::from_secs(1);

/// How a report shows deliveries under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One new delivery: all of its attempts, and a countdown. The caller prints the result.
    Single,
    /// One delivery after the other, with a countdown.
    OneByOne {
        /// Whether more than one attempt of each is possible.
        retries: bool,
    },
    /// Many at once: results, and a progress bar.
    Many,
    /// Due deliveries, without end: results, and a line about the current state.
    Watch,
}

/// Who waits for a journal that is locked or full.
#[derive(Clone, Copy, Debug)]
pub enum Blocked {
    Writer,
    Reader,
}

#[derive(Default)]
struct ReportState {
    array: json::Array,
    exit: Exit,
    /// Reported at the end where stderr takes one JSON object only.
    first_failure: Option<Failure>,
    /// The first result that could not be written to stdout.
    unreported: Option<Failure>,
    /// Whether the writer and the reader wait for the journal.
    blocked: [bool; 2],
    last: Option<Delivery>,
    seconds_shown: Option<u64>,
    /// The delivery whose attempt began last.
    sending: i64,
    /// The next delivery as it was last reported.
    reported_next: Option<Option<(UnixMs, i64)>>,
    not_accepted: Option<u64>,
}

/// The report of one run.
pub struct RunReport<'a> {
    ctx: &'a Context<'a>,
    journal: &'a dyn Journal,
    format: Format,
    style: Style,
    /// Prints no result lines: the caller prints one document for all.
    pub silent: bool,
    /// Reports each delivery that another process sent, because the user named it.
    pub named: bool,
    started: UnixMs,
    /// How many there are to process, if known.
    pub expected: Cell<Option<u64>>,
    /// When the next delivery of the schedule is due, and its id.
    pub next_due: Cell<Option<(UnixMs, i64)>>,
    state: RefCell<ReportState>,
}

impl<'a> RunReport<'a> {
    pub fn new(
        ctx: &'a Context<'a>,
        journal: &'a dyn Journal,
        format: Format,
        style: Style,
    ) -> RunReport<'a> {
        RunReport {
            ctx,
            journal,
            format,
            style,
            silent: false,
            named: false,
            started: ctx.now(),
            expected: Cell::new(None),
            next_due: Cell::new(None),
            state: RefCell::default(),
        }
    }

    /// The last delivery that ended.
    pub fn last(&self) -> Option<Delivery> {
        self.state.borrow().last.clone()
    }

    /// The first line that the journal did not accept.
    pub fn not_accepted(&self) -> Option<u64> {
        self.state.borrow().not_accepted
    }

    /// The worst exit code of the reported failures and of the run.
    pub fn exit(&self, summary: &Summary) -> Exit {
        self.state.borrow().exit.max(summary.exit)
    }

    /// Reports a failure of one delivery; in structured formats only the first one, at the end.
    pub fn failed(&self, failure: Failure) {
        self.note_exit(failure.exit());
        if self.format == Format::Text {
            failure.print(self.ctx.ui);
        } else {
            self.state.borrow_mut().first_failure.get_or_insert(failure);
        }
    }

    /// Reports a failure of one of many at once, in every format.
    pub fn failed_now(&self, failure: &Failure) {
        self.note_exit(failure.exit());
        if self.format == Format::Text {
            failure.print(self.ctx.ui);
        } else {
            self.ctx.ui.warning(&failure.message_with_causes());
        }
    }

    /// Counts a failure that was reported before.
    pub fn note_exit(&self, exit: Exit) {
        let mut state = self.state.borrow_mut();
        state.exit = state.exit.max(exit);
    }

    /// Reports that the journal could not be used any more. Where stderr takes one JSON object only, it is this one: it names
    /// the deliveries that were sent and not recorded.
    pub fn halted(&self, halted: Halted) {
        self.state.borrow_mut().first_failure = None;
        self.failed(Failure::from(halted));
    }

    /// Reports once that the journal is locked or full, and once that it can be used again.
    pub fn journal_blocked(&self, who: Blocked, why: Option<&str>) {
        let mut state = self.state.borrow_mut();
        let before = state.blocked.contains(&true);
        state.blocked[who as usize] = why.is_some();
        let after = state.blocked.contains(&true);
        match why {
            Some(why) if !before => self
                .ctx
                .ui
                .warning(&format!("{why}; waiting until it can be used")),
            None if before && !after => self.ctx.ui.status("the journal can be used again"),
            _ => {}
        }
    }

    fn ended(&self, delivery: &Delivery) {
        let printed = if self.style == Style::Single || self.silent {
            Ok(())
        } else {
            self.print_result(delivery)
        };
        self.state.borrow_mut().last = Some(delivery.clone());
        self.note_output(printed);
    }

    /// Keeps the first failure to write to stdout.
    fn note_output(&self, written: Result<(), Failure>) {
        let mut state = self.state.borrow_mut();
        state.unreported = state.unreported.take().or(written.err());
    }

    fn print_result(&self, delivery: &Delivery) -> Result<(), Failure> {
        if self.state.borrow().unreported.is_some() {
            return Ok(());
        }
        match self.format {
            Format::Text => {
                Ok(self
                    .ctx
                    .ui
                    .line(&result_line(self.ctx.ui, delivery, self.ctx.now()))?)
            }
            _ => self.print_json(&delivery_view(self.journal, delivery)?),
        }
    }

    /// Prints an element of the JSON array, or a line of NDJSON.
    pub fn print_json(&self, view: &impl serde::Serialize) -> Result<(), Failure> {
        let line = if self.format == Format::Json {
            self.state.borrow_mut().array.element(view)
        } else {
            json::compact(view)
        };
        Ok(self.ctx.ui.line(&line)?)
    }

    fn sending(&self, delivery: &Delivery, made: u32) {
        let ui = self.ctx.ui;
        match self.style {
            Style::Single if made == 0 => {
                ui.status(&headline(delivery));
                ui.detail(1, || format!("webhook-id: {}", delivery.uuid));
            }
            Style::OneByOne { retries: true } if made == 0 => ui.status(&headline(delivery)),
            Style::Watch => ui.status(&headline(delivery)),
            _ => {}
        }
        if matches!(self.style, Style::Single | Style::OneByOne { .. }) {
            self.state.borrow_mut().sending = delivery.id;
            ui.transient(&format!("sending #{} (Ctrl-C stops)", delivery.id));
        }
    }

    fn attempted(&self, delivery: &Delivery, attempt: &FinishedAttempt<'_>) {
        let ui = self.ctx.ui;
        let line = attempt_line(attempt);
        match self.style {
            Style::Many | Style::Watch => {
                ui.detail(1, || format!("#{} {line}", delivery.id));
                return;
            }
            // The result line says it all.
            Style::OneByOne { .. } if attempt.allowed == 1 => ui.detail(1, || line),
            _ => ui.status(&line),
        }
        ui.detail(2, || {
            let body = attempt.outcome.response_body.as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body);
            format!("response body ({} bytes): {text}", body.len())
        });
    }

    fn show_progress(&self, idle: &Idle<'_>) {
        let summary = idle.summary;
        let mut words = format!("{} delivered, {} failed", summary.delivered, summary.failed);
        for (number, word) in [
            (summary.rescheduled, "scheduled again"),
            (summary.ignored, "ignored"),
            (idle.waiting, "waiting"),
        ] {
            if number > 0 {
                words.push_str(&format!(", {number} {word}"));
            }
        }
        self.ctx.ui.progress(&Progress {
            done: summary.total() as u64,
            of: self.expected.get(),
            words,
        });
    }

    fn show_countdown(&self, left: Duration) -> Duration {
        if self.is_new_second(left.as_secs_f64().ceil() as u64) {
            let id = self.state.borrow().sending;
            let kept = format!(" and keeps #{id} in the failed list");
            self.ctx.ui.countdown(left, &kept);
        }
        COUNTDOWN_INTERVAL
    }

    fn show_watching(&self, idle: &Idle<'_>) {
        let now = self.ctx.now();
        let ui = self.ctx.ui;
        let next = self.next_due.get();
        let is_due = next.is_some_and(|(due, _)| due <= now);
        if is_due && idle.in_flight == 0 {
            return;
        }
        if !ui.shows_progress() {
            return self.report_next(idle, next);
        }
        if !self.is_new_second(now.0.unsigned_abs() / 1000) {
            return;
        }
        match next {
            _ if idle.in_flight > 0 => {
                ui.transient(&format!("sending {} (Ctrl-C stops)", idle.in_flight));
            }
            Some((due, id)) => ui.countdown(due.since(now), &format!("; #{id} is next")),
            None => ui.transient("nothing is scheduled (Ctrl-C stops)"),
        }
    }

    /// Reports the next delivery where no countdown shows it, once all due ones were sent.
    fn report_next(&self, idle: &Idle<'_>, next: Option<(UnixMs, i64)>) {
        let mut state = self.state.borrow_mut();
        if idle.in_flight > 0 || state.reported_next == Some(next) {
            return;
        }
        state.reported_next = Some(next);
        self.ctx.ui.status(&match next {
            Some((due, id)) => format!("next: #{id} {}", until(due, self.ctx.now())),
            None => "nothing is scheduled".to_owned(),
        });
    }

    fn is_new_second(&self, second: u64) -> bool {
        let mut state = self.state.borrow_mut();
        state.seconds_shown.replace(second) != Some(second)
    }

    /// `, in 0.9 s (11100/s); responses took 0.3 ms (p50), 1.2 ms (p99), 9.0 ms (max)`
    pub fn speed_in_words(&self, summary: &Summary) -> String {
        let took = self.ctx.now().since(self.started);
        let took = took.max(Duration::from_millis(1));
        let mut words = format!(" in {}", measured(took));
        if summary.sent() > 0 {
            let per_second = summary.sent() as f64 / took.as_secs_f64();
            words.push_str(&format!(" ({per_second:.0}/s)"));
        }
        if let Some(percentiles) = summary.latencies.percentiles() {
            let [half, most, all] = percentiles.map(measured_finely);
            words.push_str(&format!(
                "; responses took {half} (p50), {most} (p99), {all} (max)"
            ));
        }
        words
    }

    /// Ends the output; what could not be written is a failure with the worse of both exit codes.
    pub fn end_output(&self, summary: &Summary) -> Result<Exit, Failure> {
        self.ctx.ui.end_progress();
        Failure::after_output(self.write_end(), self.exit(summary))
    }

    fn write_end(&self) -> Result<(), Failure> {
        if let Some(failure) = self.state.borrow_mut().unreported.take() {
            return Err(failure);
        }
        if self.format == Format::Json && !self.silent {
            self.ctx.ui.line(self.state.borrow().array.end())?;
        }
        Ok(self.ctx.ui.flush()?)
    }

    /// Ends the output of a command that ends with a more important failure: output that could not
    /// be written is only mentioned.
    pub fn end_output_before_failure(&self, summary: &Summary) {
        if let Err(failure) = self.end_output(summary) {
            self.failed_now(&failure);
        }
    }

    /// Ends the output and the command. `stopped` is the error after Ctrl-C, unless that is the normal end.
    pub fn conclude(
        &self,
        mut summary: Summary,
        totals: &str,
        show_totals: bool,
        stopped: Option<&str>,
    ) -> Result<Exit, Failure> {
        let stopped = stopped.filter(|_| self.ctx.clock.interrupted());
        let halted = summary.halted.take();
        let is_halted = halted.is_some();
        if let Some(halted) = halted {
            self.halted(halted);
        }
        if is_halted || stopped.is_some() {
            self.end_output_before_failure(&summary);
        } else {
            self.end_output(&summary)?;
        }
        if show_totals {
            self.ctx.ui.status(totals);
        }
        match stopped {
            // Deliveries that were sent and not recorded matter more.
            Some(message) if !is_halted => Err(Failure::new(Kind::Interrupted, message)),
            None if !is_halted && self.style == Style::Watch && self.ctx.clock.interrupted() => {
                Ok(Exit::Done)
            }
            _ => self.finish(
                &summary,
                &format!("not all were delivered: {totals}"),
                Some("`hookfire failed list` shows the failed deliveries"),
            ),
        }
    }

    /// How the command ends. Structured formats get one failure that stands for all: the first one reported, else `words`.
    pub fn finish(
        &self,
        summary: &Summary,
        words: &str,
        hint: Option<&str>,
    ) -> Result<Exit, Failure> {
        let exit = self.exit(summary);
        if self.format == Format::Text || exit == Exit::Done {
            return Ok(exit);
        }
        let kind = match exit {
            Exit::Refused => Kind::Refused,
            Exit::Unreachable => Kind::Unreachable,
            Exit::Usage => Kind::Usage,
            _ => Kind::Error,
        };
        let failure = self.take_first_failure().unwrap_or_else(|| {
            let failure = Failure::new(kind, words);
            hint.into_iter().fold(failure, Failure::hint)
        });
        Err(Failure {
            exit: Some(exit),
            ..failure
        })
    }

    /// The first failure, for a command that prints its own document.
    pub fn take_first_failure(&self) -> Option<Failure> {
        self.state.borrow_mut().first_failure.take()
    }
}

impl RunObserver for RunReport<'_> {
    fn observe(&self, update: Update<'_>) {
        match update {
            Update::Sending { delivery, made } => self.sending(delivery, made),
            Update::Attempted(delivery, attempt) => self.attempted(delivery, &attempt),
            Update::Ended(delivery) => self.ended(delivery),
            Update::Skipped(id) => {
                if self.named {
                    self.note_exit(Exit::Error);
                    self.ctx.ui.warning(&format!(
                        "#{id} was sent, or is being sent, by another process; skipped"
                    ));
                }
            }
            Update::TakenOver(id) => self.failed(taken_over(id)),
            Update::NotAccepted(line) => {
                let mut state = self.state.borrow_mut();
                state.not_accepted = Some(state.not_accepted.map_or(line, |first| first.min(line)));
            }
            Update::JournalBlocked(why) => self.journal_blocked(Blocked::Writer, why),
        }
    }

    fn idle(&self, idle: Idle<'_>) -> Option<Duration> {
        self.note_output(self.ctx.ui.flush().map_err(Failure::from));
        match self.style {
            Style::Many => self.show_progress(&idle),
            Style::Watch => self.show_watching(&idle),
            Style::Single | Style::OneByOne { .. } => {
                return idle.next_in.map(|left| self.show_countdown(left));
            }
        }
        None
    }
}

fn taken_over(id: i64) -> Failure {
    Failure::new(
        Kind::Error,
        format!("#{id} was taken over by another process"),
    )
    .hint(format!("`hookfire journal show {id}` shows its attempts"))
}

/// A delivery as it is stored, with its attempts.
fn delivery_view(journal: &dyn Journal, delivery: &Delivery) -> Result<serde_json::Value, Failure> {
    let stored = journal.delivery(delivery.id)?;
    let delivery = stored.as_ref().unwrap_or(delivery);
    Ok(json::delivery_with_attempts(
        delivery,
        &journal.attempts(delivery.id)?,
    ))
}

/// Prints the result of one delivery; the exit code says how it ended. `next_steps` replace the general hint.
pub fn single(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    delivery: &Delivery,
    format: Format,
    next_steps: Vec<String>,
) -> Result<Exit, Failure> {
    let exit = exit_of(delivery);
    let exit = Failure::after_output(print_single(ctx, journal, delivery, format), exit)?;
    let kind = match exit {
        Exit::Refused => Kind::Refused,
        Exit::Unreachable => Kind::Unreachable,
        Exit::Interrupted => Kind::Interrupted,
        _ => return Ok(exit),
    };
    let hints = hints(ctx, delivery, next_steps);
    if format == Format::Text {
        hints.iter().for_each(|hint| ctx.ui.hint(hint));
        return Ok(exit);
    }
    let mut message = format!("#{} {}", delivery.id, delivery.status.as_str());
    if let Some(error) = &delivery.last_error {
        message.push_str(&format!(": {}", error.message));
    }
    let failure = Failure::new(kind, message);
    Err(hints.into_iter().fold(failure, Failure::hint))
}

fn print_single(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    delivery: &Delivery,
    format: Format,
) -> Result<(), Failure> {
    let line = if format == Format::Text {
        result_line(ctx.ui, delivery, ctx.now())
    } else {
        format.document(&delivery_view(journal, delivery)?)
    };
    ctx.ui.line(&line)?;
    Ok(ctx.ui.flush()?)
}

fn hints(ctx: &Context<'_>, delivery: &Delivery, next_steps: Vec<String>) -> Vec<String> {
    let id = delivery.id;
    let Some(error) = &delivery.last_error else {
        return Vec::new();
    };
    if !delivery.status.in_failed_list() {
        return Vec::new();
    }
    let mut hints = Vec::new();
    match (error.kind, error.http_status) {
        (ErrorKind::Status, Some(200..300)) => {
            hints.push("if that is a success to you, say so with `--success 200-207`".to_owned());
        }
        (ErrorKind::Tls, _) => hints.extend(tls_hint(&error.message)),
        _ => {}
    }
    if next_steps.is_empty() {
        let retry = retry_command(ctx, delivery);
        hints.push(format!("`hookfire failed show {id}` shows what happened"));
        hints.push(format!("`{retry}` sends it again"));
    }
    hints.extend(next_steps);
    hints
}

/// The failure of a process that cannot send what is scheduled for the target of `delivery`: so many deliveries. They stay on
/// the schedule, because another process may have what this one lacks.
pub fn cannot_send(delivery: &Delivery, number: usize, error: PlanError) -> Failure {
    let option = match &error {
        PlanError::Secret(missing) if matches!(missing.source, SecretError::NotStored) => {
            // Other options change deliveries to all targets.
            Some((missing.flag(), missing.flag().starts_with("--secret ")))
        }
        _ => None,
    };
    let (id, target) = (delivery.id, &delivery.target);
    // Left by a process that died.
    let is_failed = delivery.status.in_failed_list();
    let words = match number {
        1 => format!("1 delivery to {target} is not sent and stays scheduled"),
        _ => format!("{number} deliveries to {target} are not sent and stay scheduled"),
    };
    let mut failure = Failure::from(error);
    if let Some((option, is_for_due)) = option {
        let command = match (is_for_due, is_failed) {
            (true, _) => format!("`hookfire retry --due {option}`"),
            (_, true) => format!("`hookfire retry {id} {option}`"),
            (_, false) => {
                format!("`hookfire journal cancel {id}` and `hookfire retry {id} {option}`")
            }
        };
        failure.hints = vec![format!(
            "restart the command that was given the secret, or give it with {command}"
        )];
    }
    failure.context(words).hint(match is_failed {
        true => format!("#{id} is in the failed list; `hookfire failed delete {id}` deletes it"),
        false => format!("`hookfire journal cancel {id}` moves #{id} to the failed list"),
    })
}

/// The command that sends a delivery again, with the options that it needs.
pub fn retry_command(ctx: &Context<'_>, delivery: &Delivery) -> String {
    let name = delivery.endpoint.as_deref();
    let endpoint = name.and_then(|name| ctx.config().ok()?.endpoints.get(name));
    let options = settings::retry_options(&delivery.target, endpoint);
    format!("hookfire retry {}{options}", delivery.id)
}
