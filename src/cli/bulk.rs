//! Reporting on many deliveries, as `fire --batch` and `retry` do: a line for each as it ends, how things stand meanwhile,
//! and at the end what came of all.
//!
//! A reader of stdout that goes away does not stop the sending.

use std::time::Duration;

use super::args::Format;
use super::context::Context;
use super::report::exit_of;
use crate::delivery::{Delivery, Status};
use crate::engine::batch::{Gauge, Halted, Latencies};
use crate::engine::deliver::Attempted;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::output::Progress;
use crate::output::human::result_line;
use crate::output::json::{self, DeliveryView};
use crate::text::count;
use crate::time::{Clock as _, UnixMs, measured, measured_finely};

/// So many of each end, and what there is to say at the end.
#[derive(Default)]
pub struct Tally {
    /// Delivered.
    pub delivered: usize,
    /// Sent, and failed.
    pub failed: usize,
    /// Sent, and put on the schedule.
    pub scheduled: usize,
    /// Sent, and put on the schedule once more.
    pub rescheduled: usize,
    /// Given up when the user interrupted.
    pub interrupted: usize,
    /// Kept from being sent by a switch.
    pub ignored: usize,
    /// Could not be sent.
    pub not_sent: usize,
    /// Another process has them.
    pub skipped: usize,
    /// Lines of a batch that could not be read.
    pub broken: usize,
    /// Failures since the last success.
    pub in_a_row: usize,
    /// The worst so far.
    pub exit: Exit,
    /// The first failure that kept a delivery from being sent, to be told at the end where stderr takes one object only.
    pub first_failure: Option<Failure>,
    /// The first result that could not be written to stdout.
    unreported: Option<Failure>,
}

impl Tally {
    /// All that were seen to.
    pub fn total(&self) -> usize {
        self.sent() + self.ignored + self.not_sent + self.skipped + self.broken
    }

    fn sent(&self) -> usize {
        self.delivered + self.failed + self.scheduled + self.rescheduled + self.interrupted
    }

    /// `2 delivered, 1 failed`; `asked` is how many there were in all, if that is known.
    pub fn in_words(&self, asked: Option<usize>) -> String {
        let parts = [
            (self.delivered, "delivered"),
            (self.failed, "failed"),
            (self.scheduled, "scheduled"),
            (self.rescheduled, "scheduled again"),
            (self.interrupted, "interrupted"),
            (self.ignored, "ignored"),
            (self.not_sent, "not sent"),
            (self.skipped, "skipped"),
            (asked.unwrap_or(0).saturating_sub(self.total()), "not tried"),
        ];
        let parts = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"));
        let broken =
            (self.broken > 0).then(|| format!("{} broken", count(self.broken, "line", "lines")));
        let words: Vec<String> = parts.chain(broken).collect();
        if words.is_empty() {
            "nothing to send".to_owned()
        } else {
            words.join(", ")
        }
    }

    /// Counts a delivery that has come to its end. Only what the user stopped ends the command as interrupted: what was given up
    /// for another reason, that reason was told.
    fn add(&mut self, delivery: &Delivery, stopped: bool) {
        let exit = exit_of(delivery);
        self.exit = self.exit.worst(if exit == Exit::Interrupted && !stopped {
            Exit::Error
        } else {
            exit
        });
        match delivery.status {
            Status::Delivered => self.delivered += 1,
            Status::Ignored => self.ignored += 1,
            Status::Interrupted => self.interrupted += 1,
            Status::Failed => self.failed += 1,
            Status::Pending if delivery.attempt_count > 1 => self.rescheduled += 1,
            Status::Pending => self.scheduled += 1,
        }
        self.in_a_row = if delivery.status == Status::Delivered {
            0
        } else {
            self.in_a_row + 1
        };
    }
}

/// The report of one run.
pub struct Bulk<'a> {
    ctx: &'a Context<'a>,
    journal: Option<&'a dyn Journal>,
    format: Format,
    /// The caller says in one document what came of all.
    silent: bool,
    halted: bool,
    array: json::Array,
    begun: UnixMs,
    latencies: Latencies,
    /// What came of all so far.
    pub tally: Tally,
}

impl<'a> Bulk<'a> {
    /// A report in this format that has nothing to say yet. Without a journal nothing ends.
    pub fn new(ctx: &'a Context<'a>, journal: Option<&'a dyn Journal>, format: Format) -> Bulk<'a> {
        Bulk {
            ctx,
            journal,
            format,
            silent: false,
            halted: false,
            array: json::Array::default(),
            begun: ctx.now(),
            latencies: Latencies::default(),
            tally: Tally::default(),
        }
    }

    /// Says nothing of each delivery.
    #[must_use]
    pub fn silent(self, silent: bool) -> Bulk<'a> {
        Bulk { silent, ..self }
    }

    /// An attempt ended.
    pub fn attempted(&mut self, attempt: &Attempted<'_>) {
        if attempt.outcome.http_status.is_some() {
            self.latencies.add(attempt.duration);
        }
    }

    /// A delivery has come to its end.
    pub fn ended(&mut self, delivery: &Delivery) {
        self.tally.add(delivery, self.ctx.clock.interrupted());
        if self.tally.unreported.is_none() && !self.silent {
            self.tally.unreported = self.line(delivery).err();
        }
    }

    fn line(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        if self.format == Format::Text {
            return Ok(self.ctx.ui.line(&result_line(self.ctx.ui, delivery))?);
        }
        let attempts = self
            .journal
            .map(|journal| journal.attempts(delivery.id))
            .transpose()?;
        self.print(&DeliveryView::new(delivery).with_attempts(&attempts.unwrap_or_default()))
    }

    /// Prints an object of JSON.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&mut self, view: &impl serde::Serialize) -> Result<(), Failure> {
        let line = if self.format == Format::Json {
            self.array.element(view)
        } else {
            json::compact(view)
        };
        Ok(self.ctx.ui.line(&line)?)
    }

    /// Sends on what was printed.
    pub fn flush(&mut self) {
        let flushed = self.ctx.ui.flush();
        if self.tally.unreported.is_none() {
            self.tally.unreported = flushed.err().map(Failure::from);
        }
    }

    /// As [`Bulk::flush`], and shows how things stand, of so many.
    pub fn pause(&mut self, gauge: &Gauge, of: Option<u64>) {
        self.flush();
        let Tally {
            delivered,
            failed,
            rescheduled,
            ignored,
            ..
        } = self.tally;
        let mut words = format!("{delivered} delivered, {failed} failed");
        for (number, word) in [
            (rescheduled, "scheduled again"),
            (ignored, "ignored"),
            (gauge.waiting, "waiting"),
        ] {
            if number > 0 {
                words.push_str(&format!(", {number} {word}"));
            }
        }
        self.ctx.ui.progress(&Progress {
            done: self.tally.total() as u64,
            of,
            words,
        });
    }

    /// Something kept a delivery from being sent.
    pub fn failed(&mut self, failure: Failure) {
        self.tally.exit = self.tally.exit.worst(failure.exit());
        if self.format == Format::Text {
            failure.print(self.ctx.ui);
        } else {
            self.tally.first_failure.get_or_insert(failure);
        }
    }

    /// The journal could not be used any more. What was sent and not recorded must not go untold: where stderr takes one
    /// object only, it is this.
    pub fn halted(&mut self, halted: Halted) {
        let failure = Failure::from(halted);
        self.tally.exit = self.tally.exit.worst(failure.exit());
        if self.format == Format::Text {
            failure.print(self.ctx.ui);
        } else {
            self.tally.first_failure = Some(failure);
        }
        self.halted = true;
    }

    /// Whether the journal could not be used any more.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Something is wrong with one of many, which is told at once in every format.
    pub fn broken(&mut self, failure: Failure) {
        self.tally.exit = self.tally.exit.worst(failure.exit());
        if self.format == Format::Text {
            failure.print(self.ctx.ui);
        } else {
            let message = [failure.error.to_string()]
                .into_iter()
                .chain(failure.causes())
                .collect::<Vec<_>>();
            self.ctx.ui.warning(&message.join(": "));
        }
    }

    /// `, in 0.9 s (11100/s); answers took 0.3 ms (p50), 1.2 ms (p99), 9.0 ms (max)`
    pub fn speed_in_words(&self) -> String {
        let took = self
            .ctx
            .now()
            .since(self.begun)
            .max(Duration::from_millis(1));
        let mut words = format!(" in {}", measured(took));
        let sent = self.tally.sent();
        if sent > 0 {
            words.push_str(&format!(" ({:.0}/s)", sent as f64 / took.as_secs_f64()));
        }
        if let Some([half, most, all]) = self.latencies.percentiles() {
            let [half, most, all] = [half, most, all].map(measured_finely);
            words.push_str(&format!(
                "; answers took {half} (p50), {most} (p99), {all} (max)"
            ));
        }
        words
    }

    /// Writes what comes last; a report that could not be written does not hide how it ended.
    ///
    /// # Errors
    /// The failure, with the worse of both codes.
    pub fn end_output(&mut self) -> Result<Exit, Failure> {
        self.ctx.ui.end_progress();
        let mut ended = || -> Result<(), Failure> {
            if let Some(failure) = self.tally.unreported.take() {
                return Err(failure);
            }
            if self.format == Format::Json && !self.silent {
                self.ctx.ui.line(self.array.end())?;
            }
            Ok(self.ctx.ui.flush()?)
        };
        Failure::after_output(ended(), self.tally.exit)
    }

    /// As [`Bulk::end_output`], where the command ends with something that matters more: a report that could not be written
    /// is told, and takes the place of nothing.
    pub fn end_output_besides(&mut self) -> Exit {
        let exit = self.tally.exit;
        if let Err(failure) = self.end_output() {
            self.broken(failure);
        }
        exit
    }

    /// How the command ends.
    ///
    /// # Errors
    /// Where stderr takes one object only, the failure that stands for all: that the journal could not be used any more, else the
    /// first one that was told, else these words.
    pub fn exit(&mut self, words: &str, hint: Option<&str>) -> Result<Exit, Failure> {
        let exit = self.tally.exit;
        if self.format == Format::Text || exit == Exit::Done {
            return Ok(exit);
        }
        let kind = match exit {
            Exit::Refused => Kind::Refused,
            Exit::Unreachable => Kind::Unreachable,
            Exit::Usage => Kind::Usage,
            _ => Kind::Error,
        };
        let failure = self.tally.first_failure.take();
        let failure = failure.unwrap_or_else(|| {
            hint.into_iter()
                .fold(Failure::new(kind, words), Failure::hint)
        });
        Err(Failure {
            exit: Some(exit),
            ..failure
        })
    }
}
