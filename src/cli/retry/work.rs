//! What `retry` gives the engine to do, and what it says of it.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::RetryArgs;
use super::prepare::Preparer;
use crate::cli::args::Format;
use crate::cli::bulk::Bulk;
use crate::cli::context::Context;
use crate::delivery::target::MissingSecret;
use crate::delivery::{Delivery, Status};
use crate::engine::batch::{CrewShipment, Gauge, News, Task, Work};
use crate::engine::deliver::{DeliverError, Observer as _};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::store::Seen;
use crate::output::human::{Narrator, headline};
use crate::time::Clock as _;

/// How often a countdown is told.
const COUNTDOWN_GRAIN: Duration = Duration::from_secs(1);

/// One run of `retry`.
pub struct Resending<'a> {
    ctx: &'a Context<'a>,
    args: &'a RetryArgs,
    preparer: Preparer<'a>,
    /// What is to be sent.
    feed: Box<dyn FnMut() -> Task + 'a>,
    /// What is said.
    pub bulk: Bulk<'a>,
    /// So many failures in a row are enough.
    stop_after: Option<usize>,
    /// How many there are, if there may be many.
    of: Option<u64>,
    /// The seconds of a countdown that were told last.
    counted_down: Option<u64>,
    /// Whether ids were named, so that each one skipped is worth a word.
    named: bool,
    /// The secrets whose lack was told in full, and the endpoints that it was told of.
    lacking: HashSet<(String, Option<String>)>,
}

impl<'a> Resending<'a> {
    /// A run that has sent nothing yet.
    pub fn new(
        ctx: &'a Context<'a>,
        args: &'a RetryArgs,
        preparer: Preparer<'a>,
        bulk: Bulk<'a>,
        stop_after: Option<usize>,
    ) -> Resending<'a> {
        let feed = Box::new(|| Task::End);
        let (of, counted_down, lacking) = (None, None, HashSet::new());
        Resending {
            ctx,
            args,
            preparer,
            feed,
            bulk,
            stop_after,
            of,
            counted_down,
            named: false,
            lacking,
        }
    }

    /// Of so many, whose ids were named or not.
    #[must_use]
    pub fn of(self, number: usize, named: bool) -> Resending<'a> {
        Resending {
            of: Some(number as u64),
            named,
            ..self
        }
    }

    /// Has it send what comes of `feed`.
    pub fn feed(&mut self, feed: Box<dyn FnMut() -> Task + 'a>) {
        self.feed = feed;
    }

    /// Whether each delivery ends before the next begins, so that it can be told in full.
    fn in_turn(&self) -> bool {
        self.args.jobs() == 1
    }

    fn narrator(&self) -> Narrator<'a> {
        Narrator {
            ui: self.ctx.ui,
            terse: true,
        }
    }

    /// Something keeps a delivery from being sent. That a secret is missing is told in full once; of the others that lack
    /// it, a line each.
    fn not_sent(&mut self, delivery: &Delivery, failure: Failure) {
        let Some(missing) = failure.error.downcast_ref::<MissingSecret>() else {
            return self.bulk.failed(failure);
        };
        let id = delivery.id;
        let told = (missing.to_string(), delivery.endpoint.clone());
        let again = format!(
            "#{id} is left as it is: it lacks the secret {} as well",
            missing.described()
        );
        self.bulk.failed(match self.lacking.insert(told) {
            true => failure.context(format!("#{id} is left as it is")),
            false => Failure::new(failure.kind, again),
        });
    }

    /// Says what would be sent.
    ///
    /// # Errors
    /// When the journal cannot be read, or stdout not be written.
    pub fn dry_run(mut self, journal: &dyn Journal, seen: &[Seen]) -> Result<Exit, Failure> {
        for &Seen { id, .. } in seen {
            let Some(delivery) = journal.delivery(id)? else {
                continue;
            };
            match self.preparer.prepare(&delivery) {
                Ok(_) => self.print_plan(&delivery)?,
                Err(e) => self.not_sent(&delivery, e),
            }
        }
        self.ctx.ui.status("nothing is sent (--dry-run)");
        self.finish(0)
    }

    fn print_plan(&mut self, delivery: &Delivery) -> Result<(), Failure> {
        let Delivery {
            id,
            uuid,
            event_type,
            action,
            ..
        } = delivery;
        let target = self.preparer.target(delivery)?;
        if self.args.output.format() == Format::Text {
            return Ok(self.ctx.ui.line(&format!(
                "would send #{id} {event_type}.{action} → {target}"
            ))?);
        }
        let view = serde_json::json!({
            "dry_run": true, "id": id, "uuid": uuid, "type": event_type, "action": action, "url": target.to_string(),
        });
        self.bulk.print(&view)
    }

    /// Ends the report on `asked` deliveries.
    ///
    /// # Errors
    /// Where the report or the exit code takes one.
    pub fn finish(mut self, asked: usize) -> Result<Exit, Failure> {
        let interrupted = self.ctx.clock.interrupted();
        if interrupted || self.bulk.is_halted() {
            self.bulk.end_output_besides();
        } else {
            self.bulk.end_output()?;
        }
        let words = self.bulk.tally.in_words(Some(asked));
        if asked > 1 {
            self.ctx.ui.status(&words);
        }
        // Not in the place of what was sent and not recorded.
        if interrupted && !self.bulk.is_halted() {
            return Err(Failure::new(
                Kind::Interrupted,
                "stopped; what was not delivered is in the failed list",
            ));
        }
        let hint = "`hookfire failed list` shows what is left";
        self.bulk
            .exit(&format!("not all were delivered: {words}"), Some(hint))
    }
}

impl Work for Resending<'_> {
    fn next(&mut self) -> Task {
        let enough = self
            .stop_after
            .is_some_and(|most| self.bulk.tally.in_a_row >= most);
        if enough { Task::End } else { (self.feed)() }
    }

    fn shipment(&mut self, delivery: &Delivery) -> Option<CrewShipment> {
        match self.preparer.prepare(delivery) {
            Ok(shipment) => Some(Rc::new(shipment)),
            Err(e) => {
                self.not_sent(delivery, e);
                // One that waits for its next attempt is told again, as interrupted.
                if delivery.status != Status::Pending {
                    self.bulk.tally.not_sent += 1;
                    self.bulk.tally.in_a_row += 1;
                }
                None
            }
        }
    }

    fn told(&mut self, news: News<'_>) {
        match news {
            News::Sending { delivery, made } if self.in_turn() => {
                if made == 0 && self.args.rule.retries.is_some() {
                    self.ctx.ui.status(&headline(delivery));
                }
                self.narrator().attempting(delivery);
            }
            News::Attempted(_, attempt) => {
                self.bulk.attempted(&attempt);
                if self.in_turn() {
                    self.narrator().attempted(&attempt);
                }
            }
            News::Ended(delivery) | News::Ignored(delivery) => self.bulk.ended(delivery),
            News::Skipped(id) => {
                self.bulk.tally.skipped += 1;
                if self.named {
                    self.bulk.tally.exit = self.bulk.tally.exit.worst(Exit::Error);
                    self.ctx.ui.warning(&format!(
                        "#{id} was sent, or is being sent, by another process; skipped"
                    ));
                }
            }
            News::TakenOver(id) => {
                self.bulk.tally.not_sent += 1;
                self.bulk.failed(DeliverError::TakenOver(id).into());
            }
            News::Sending { .. } | News::NotTaken(_) => {}
        }
    }

    fn pause(&mut self, gauge: &Gauge) -> Option<Duration> {
        if !self.in_turn() {
            self.bulk.pause(gauge, self.of);
            return None;
        }
        self.bulk.flush();
        let left = gauge.next_in?;
        let seconds = left.as_secs_f64().ceil() as u64;
        if self.counted_down.replace(seconds) != Some(seconds) {
            self.narrator().waiting(left);
        }
        Some(COUNTDOWN_GRAIN)
    }
}
