//! The engine's source of due deliveries, for each command that sends them: [`DueSource`].

use std::sync::Arc;
use std::time::Duration;

use super::due::{DueQueue, Upcoming};
use super::plan::PlanError;
use super::resend::{Planned, Planner};
use super::{Contact, RETRY_PAUSE, SendPlan, Source, SourceItem, Summary};
use crate::delivery::Delivery;
use crate::journal::JournalError;
use crate::time::Clock;

/// The shortest time until the schedule is read again.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// What a command does besides sending what is due.
pub trait DueReport {
    /// Called before the queue is asked for the next delivery. Returns false to end the run.
    fn before_next(&self, _queue: &mut DueQueue<'_>) -> Result<bool, JournalError> {
        Ok(true)
    }

    /// Called after the queue was asked for the next delivery.
    fn after_next(&self, _queue: &mut DueQueue<'_>) {}

    fn planned(&self, _planned: &Planned) {}

    /// This process cannot send what is scheduled for the target of `delivery`: so many deliveries. Called once, until it can.
    fn cannot_send(&self, delivery: &Delivery, number: usize, error: PlanError);

    /// Whether to wait until the journal can be read again. Otherwise the run ends.
    fn waits_for_journal(&self, _error: &JournalError) -> bool {
        false
    }
}

/// Deliveries as the queue hands them out. Each keeps the policy that it was accepted with. Those that this process cannot send
/// stay as they are, because another process may have what this one lacks.
pub struct DueSource<'a> {
    pub queue: DueQueue<'a>,
    planner: &'a Planner<'a>,
    clock: &'a dyn Clock,
    report: &'a dyn DueReport,
    /// How often a delivery could not be sent, each of which the engine counts.
    failed_plans: usize,
    /// Why the schedule cannot be read any more.
    error: Option<JournalError>,
}

impl<'a> DueSource<'a> {
    pub fn new(
        queue: DueQueue<'a>,
        planner: &'a Planner<'a>,
        clock: &'a dyn Clock,
        report: &'a dyn DueReport,
    ) -> DueSource<'a> {
        DueSource {
            queue,
            planner,
            clock,
            report,
            failed_plans: 0,
            error: None,
        }
    }

    /// Why the run has ended, if the schedule could not be read. Counts each scheduled delivery in `summary` that this process
    /// cannot send.
    pub fn finish(&mut self, summary: &mut Summary) -> Option<JournalError> {
        let others = summary.not_sent.saturating_sub(self.failed_plans);
        match self.queue.unsendable() {
            Ok(unsendable) => summary.not_sent = others + unsendable,
            Err(error) => drop(self.error.get_or_insert(error)),
        }
        self.error.take()
    }

    fn look(&mut self) -> Result<SourceItem, JournalError> {
        if !self.report.before_next(&mut self.queue)? {
            return Ok(SourceItem::End);
        }
        let now = self.clock.now();
        let upcoming = self.queue.next(now)?;
        self.report.after_next(&mut self.queue);
        Ok(match upcoming {
            Upcoming::Due(seen) => SourceItem::Due(seen),
            Upcoming::Later(at) => SourceItem::Later(Some(at.since(now).max(MIN_WAIT))),
            Upcoming::End => SourceItem::End,
        })
    }

    fn cannot_send(&mut self, delivery: &Delivery, error: PlanError) {
        self.failed_plans += 1;
        match self.queue.cannot_send(delivery.id, self.clock.now()) {
            Ok(None) => {}
            Ok(Some(number)) => self.report.cannot_send(delivery, number.max(1), error),
            Err(e) if self.report.waits_for_journal(&e) => {}
            Err(e) => {
                self.error.get_or_insert(e);
            }
        }
    }
}

impl Source for DueSource<'_> {
    fn next(&mut self) -> SourceItem {
        if self.error.is_some() {
            return SourceItem::End;
        }
        match self.look() {
            Ok(item) => item,
            Err(e) if self.report.waits_for_journal(&e) => SourceItem::Later(Some(RETRY_PAUSE)),
            Err(e) => {
                self.error = Some(e);
                SourceItem::End
            }
        }
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        match self.planner.plan(delivery) {
            Ok(planned) => {
                self.queue.can_send(delivery.id);
                self.report.planned(&planned);
                Some(Arc::new(planned.plan))
            }
            Err(e) => {
                self.cannot_send(delivery, e);
                None
            }
        }
    }

    fn released(&mut self, id: i64, contact: Contact) {
        self.queue.release(id, contact, self.clock.now());
    }
}
