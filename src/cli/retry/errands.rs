//! What `retry --due` gives the engine to do, and what it says of it: each delivery as `retry` would send it, but by its own
//! rule.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use super::RetryArgs;
use super::prepare::Preparer;
use crate::cli::bulk::Bulk;
use crate::cli::context::Context;
use crate::delivery::Delivery;
use crate::delivery::target::MissingSecret;
use crate::engine::batch::{CrewShipment, Gauge, Halted, News, Task, Work};
use crate::engine::deliver::{DeliverError, NextBy, Shipment};
use crate::engine::due::{Agenda, Came, Obstacle, Upcoming, put_off};
use crate::engine::patience::Troubles;
use crate::error::Failure;
use crate::exit::Exit;
use crate::http::transport::Crew;
use crate::journal::store::{JournalError, Schedule};
use crate::output::human::{attempt_of, headline};
use crate::secret::SecretError;
use crate::text;
use crate::time::{Clock as _, UnixMs};

/// As short as the clock counts.
const A_MOMENT: Duration = Duration::from_millis(1);

/// One run of `retry --due`.
pub struct Errands<'a> {
    ctx: &'a Context<'a>,
    args: &'a RetryArgs,
    preparer: Preparer<'a>,
    bulk: Bulk<'a>,
    schedule: &'a dyn Schedule,
    /// What is to be sent.
    pub agenda: Agenda<'a>,
    /// In a run without end, what there is to tell of the journal.
    troubles: Option<&'a Troubles<'a>>,
    /// Deliveries about which was said that they cannot be sent, until they are: in a run without end, once is enough.
    told: HashSet<i64>,
    /// Why the schedule cannot be read any more.
    broke: Option<JournalError>,
    /// When to look at the schedule again.
    look_at: UnixMs,
    /// The second of the clock in which it was last shown what is being done.
    shown_in: i64,
}

impl<'a> Errands<'a> {
    /// A run that has sent nothing yet; one without end has troubles to tell.
    pub fn new(
        ctx: &'a Context<'a>,
        args: &'a RetryArgs,
        (preparer, bulk): (Preparer<'a>, Bulk<'a>),
        schedule: &'a dyn Schedule,
        agenda: Agenda<'a>,
        troubles: Option<&'a Troubles<'a>>,
    ) -> Errands<'a> {
        let (told, broke, look_at, shown_in) = (HashSet::new(), None, UnixMs(0), 0);
        Errands {
            ctx,
            args,
            preparer,
            bulk,
            schedule,
            agenda,
            troubles,
            told,
            broke,
            look_at,
            shown_in,
        }
    }

    /// Whether nothing was due, and nothing went wrong.
    pub fn found_nothing(&self) -> bool {
        self.bulk.tally.total() == 0 && self.bulk.tally.exit == Exit::Done && self.broke.is_none()
    }

    /// The engine stopped for this.
    pub fn halted(&mut self, halted: Halted) {
        self.bulk.halted(halted);
    }

    /// Whether it stopped.
    pub fn is_halted(&self) -> bool {
        self.bulk.is_halted()
    }

    /// Ends what is said of all of them.
    ///
    /// # Errors
    /// When it could not all be said, or the schedule not be read.
    pub fn end_output(&mut self) -> Result<(), Failure> {
        let is_stopped = self.troubles.is_none() && self.ctx.clock.interrupted();
        if is_stopped || self.is_halted() {
            self.bulk.end_output_besides();
        } else {
            self.bulk.end_output()?;
        }
        if self.bulk.tally.total() > 1 {
            self.ctx.ui.status(&self.bulk.tally.in_words(None));
        }
        let Some(broke) = self
            .broke
            .take()
            .map(|e| Failure::from(DeliverError::from(e)))
        else {
            return Ok(());
        };
        if !self.is_halted() {
            return Err(broke);
        }
        // The same journal, and less than what was sent and not recorded.
        self.bulk.broken(broke);
        Ok(())
    }

    /// How the command ends, where nobody stopped it.
    ///
    /// # Errors
    /// As [`Bulk::exit`].
    pub fn end(&mut self) -> Result<Exit, Failure> {
        let words = format!("not all were delivered: {}", self.bulk.tally.in_words(None));
        self.bulk
            .exit(&words, Some("`hookfire failed list` shows what is left"))
    }

    /// Whether no more are to be begun, or not before it is known what comes of those that were.
    fn enough(&self) -> Option<Task> {
        let tally = &self.bulk.tally;
        let most = self.args.max.map_or(usize::MAX, NonZeroUsize::get);
        if self.broke.is_some()
            || tally.total() >= most
            || self
                .args
                .stop_after
                .is_some_and(|most| tally.in_a_row >= most.get())
        {
            return Some(Task::End);
        }
        // One that is under way may turn out to be another process's.
        (tally.total().saturating_add(self.agenda.under_way()) >= most).then_some(Task::Later)
    }

    fn upcoming(&mut self) -> Result<Task, JournalError> {
        let upcoming = self.agenda.next(self.ctx.now())?;
        let left_behind = self.agenda.take_left_behind();
        if left_behind > 0 {
            let deliveries = text::count(left_behind, "delivery", "deliveries");
            self.ctx
                .ui
                .status(&format!("{deliveries} left behind by a process that ended"));
        }
        Ok(match upcoming {
            Upcoming::Due(seen) => Task::Due(seen),
            Upcoming::Later(at) => {
                // Looking may have lasted until then.
                self.look_at = at.max(self.ctx.now().plus(A_MOMENT));
                Task::Later
            }
            Upcoming::End => Task::End,
        })
    }

    fn prepare(&mut self, delivery: &Delivery) -> Result<Shipment<dyn Crew>, (Obstacle, Failure)> {
        match self.preparer.prepare(delivery) {
            Ok(shipment) => Ok(Shipment {
                rule: delivery.rule.clone(),
                next: NextBy::Schedule,
                ..shipment
            }),
            Err(failure) => {
                let forgotten = failure
                    .error
                    .downcast_ref::<MissingSecret>()
                    .is_some_and(|missing| matches!(missing.source, SecretError::Forgotten));
                let (obstacle, words) = match forgotten {
                    true => (
                        Obstacle::Lasting,
                        "cannot be sent by `--due`; it is in the failed list",
                    ),
                    false => (Obstacle::Passing, "could not be sent; it stays scheduled"),
                };
                self.broke = put_off(self.schedule, delivery, obstacle, self.ctx.now()).err();
                Err((
                    obstacle,
                    failure.context(format!("#{} {words}", delivery.id)),
                ))
            }
        }
    }

    /// Something keeps a delivery from being sent. What lasts is met once, as it takes the delivery off the schedule.
    fn not_sent(&mut self, id: i64, obstacle: Obstacle, failure: Failure) {
        self.agenda.over(id, Came::NotSent, self.ctx.now());
        self.bulk.tally.not_sent += 1;
        self.bulk.tally.in_a_row += 1;
        if self.troubles.is_none() {
            self.bulk.failed(failure);
        } else if obstacle == Obstacle::Lasting || self.told.insert(id) {
            self.bulk.broken(failure);
        } else {
            // It was said.
            self.bulk.tally.exit = self.bulk.tally.exit.worst(failure.exit());
        }
    }

    /// Shows, where it passes, what is being done; not more often than it changes.
    fn show(&mut self, now: UnixMs) {
        // Some that are begun have no sender yet.
        let (ui, sending) = (self.ctx.ui, self.agenda.under_way().min(self.args.jobs()));
        if std::mem::replace(&mut self.shown_in, now.0 / 1000) == now.0 / 1000 {
            return;
        }
        match self.agenda.next_due() {
            _ if sending > 0 => ui.transient(&format!("sending {sending} (Ctrl-C stops)")),
            Some(due) => ui.countdown(due.since(now)),
            None => ui.transient("nothing is scheduled (Ctrl-C stops)"),
        }
    }
}

impl Work for Errands<'_> {
    fn next(&mut self) -> Task {
        if let Some(enough) = self.enough() {
            return enough;
        }
        self.upcoming().unwrap_or_else(|e| {
            self.broke = Some(e);
            Task::End
        })
    }

    fn shipment(&mut self, delivery: &Delivery) -> Option<CrewShipment> {
        match self.prepare(delivery) {
            Ok(shipment) => Some(Rc::new(shipment)),
            Err((obstacle, failure)) => {
                self.not_sent(delivery.id, obstacle, failure);
                None
            }
        }
    }

    fn told(&mut self, news: News<'_>) {
        let now = self.ctx.now();
        match news {
            News::Sending { delivery, .. } => self.ctx.ui.detail(1, || headline(delivery)),
            News::Attempted(delivery, attempt) => {
                self.told.remove(&delivery.id);
                let answered = attempt.outcome.http_status.is_some();
                self.agenda.over(
                    delivery.id,
                    if answered {
                        Came::Answer
                    } else {
                        Came::Nothing
                    },
                    now,
                );
                self.bulk.attempted(&attempt);
                self.ctx.ui.detail(1, || attempt_of(delivery, &attempt));
            }
            News::Ended(delivery) => self.bulk.ended(delivery),
            // Somebody else was faster, which is all the same.
            News::Skipped(id) => {
                self.told.remove(&id);
                self.agenda.over(id, Came::NotSent, now);
            }
            News::TakenOver(id) => {
                self.told.remove(&id);
                self.not_sent(id, Obstacle::Lasting, DeliverError::TakenOver(id).into());
            }
            News::Ignored(_) | News::NotTaken(_) => {}
        }
    }

    fn pause(&mut self, gauge: &Gauge) -> Option<Duration> {
        let now = self.ctx.now();
        if let Some(troubles) = self.troubles {
            troubles.hear();
            self.bulk.flush();
            self.show(now);
        } else {
            self.bulk.pause(gauge, None);
        }
        // Where that is over, it could not be looked at: there was no room.
        Some(self.look_at.since(now)).filter(|left| !left.is_zero())
    }
}
