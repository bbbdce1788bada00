//! Ending early: what did not leave goes to the failed list, or back to the schedule that it came from.

use std::sync::Arc;
use std::time::Duration;

use super::{GIVEN_UP_AT_ONCE, Landing, News, Next, Outcome, Parcel, Run, Turn, What};
use crate::delivery::{AttemptError, ErrorKind};
use crate::journal::store::Slot;

impl Run<'_> {
    /// Sends nothing more: what did not leave goes to the failed list, or back to the schedule. What is on the wire the crew
    /// gives up, or not.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        while let Some(parcel) = self.ready.pop_front() {
            self.withdraw(parcel);
        }
        if self.waiting.len() > 0 {
            let waiting = self.waiting.drain();
            waiting
                .chunks(GIVEN_UP_AT_ONCE)
                .for_each(|ids| self.give_up(ids.to_vec()));
        }
    }

    pub(super) fn give_up(&mut self, ids: Vec<i64>) {
        self.others += 1;
        let told = ids.clone();
        self.engine.ledger.interrupt(
            ids,
            self.done(move |given_up| What::GivenUp(told, given_up)),
        );
    }

    pub(super) fn tell_end(&mut self, id: i64) {
        match self.engine.store.delivery(id) {
            Ok(Some(delivery)) => self.work.told(News::Ended(&delivery)),
            Ok(None) => {}
            Err(e) => self.halt(Arc::new(e)),
        }
    }

    /// Gives up one whose request has not left.
    pub(super) fn withdraw(&mut self, parcel: Parcel) {
        let Parcel {
            delivery,
            turn,
            event,
            shipment,
            leased_at,
            ..
        } = parcel;
        self.bytes -= event.len();
        if let Turn::Scheduled { .. } = turn {
            self.others += 1;
            // It is as it was read: in the failed list, if it was left behind, and then without the time since when it was due.
            let (due, left_behind) = (
                delivery.next_attempt_at.unwrap_or(leased_at),
                delivery.status.in_failed_list(),
            );
            let (done, slot) = (self.done(What::PutBack), Slot { due, left_behind });
            return self
                .engine
                .ledger
                .put_back(delivery.id, delivery.attempt_count, slot, done);
        }
        let message = "stopped before it was sent".to_owned();
        let outcome = Arc::new(Outcome {
            http_status: None,
            error: Some(AttemptError {
                kind: ErrorKind::Interrupted,
                message,
            }),
            maybe_received: false,
            response_body: None,
            note: None,
        });
        let (duration, interval, next) =
            (Duration::ZERO, shipment.rule.interval, Next::Interrupted);
        let (ended_at, elapsed) = (leased_at, self.elapsed());
        let landing = Landing {
            delivery,
            attempts: None,
            duration,
            outcome,
            next,
            ended_at,
            elapsed,
            interval,
        };
        self.land(landing, None);
    }
}
