//! Taking work: what is due or new is written down ahead of the senders, as far as there is room for it.

use std::sync::Arc;

use super::{
    BYTES, CrewShipment, Delivery, Intended, Intent, LEASE_GRACE, MOST, News, Parcel, Run, Turn,
    UNSENT_AT_ONCE, WAITING, Waiting, What,
};
use crate::engine::batch::Task;

impl Run<'_> {
    /// Fills the window: first with what is due, then with what is new. Whether there may be more at once: what is not sent
    /// takes no room, and however much of it there is, it holds up nothing else.
    pub(super) fn take_work(&mut self) -> bool {
        let mut unsent = 0;
        while self.has_room() {
            if unsent >= UNSENT_AT_ONCE {
                return true;
            }
            if let Some(waiting) = self.waiting.pop_due(self.elapsed()) {
                unsent += usize::from(!self.try_again(waiting));
                continue;
            }
            let in_turn = self.engine.pace.in_turn && !self.is_idle();
            if in_turn || !self.has_more || self.waiting.len() >= WAITING {
                return false;
            }
            let begun = match self.work.next() {
                Task::Fire {
                    delivery,
                    event,
                    shipment,
                    mark,
                } => self.accept(delivery, event, shipment, mark),
                Task::Ignore {
                    delivery,
                    event,
                    by,
                    mark,
                } => {
                    self.others += 1;
                    self.engine.ledger.ignore(
                        delivery,
                        event,
                        by,
                        self.done(move |r| What::Ignored(mark, r)),
                    );
                    true
                }
                Task::Resend(seen) => self.resend(
                    seen.id,
                    Turn::Failed {
                        attempts: seen.attempts,
                    },
                    0,
                ),
                Task::Due(seen) => self.resend(
                    seen.id,
                    Turn::Scheduled {
                        attempts: seen.attempts,
                    },
                    seen.attempts,
                ),
                Task::Later => return false,
                Task::End => {
                    self.has_more = false;
                    true
                }
            };
            unsent += usize::from(!begun);
        }
        false
    }

    fn has_room(&self) -> bool {
        let intents = self.committing.len() + self.ready.len();
        let under_way = intents + self.on_wire.len() + self.landing.len() + self.others;
        let most = self.engine.pace.jobs + 2 * MOST;
        !self.stopping && intents < self.window.ahead() && under_way < most && self.bytes < BYTES
    }

    fn intent(&mut self, shipment: &CrewShipment) -> Intent {
        self.slowest = self.slowest.max(shipment.timeout);
        let started_at = self.now();
        Intent {
            started_at,
            insecure: shipment.insecure,
            sent_to: shipment.sent_to.clone(),
            lease_until: started_at.plus(self.longest(shipment)).plus(LEASE_GRACE),
        }
    }

    fn accept(
        &mut self,
        mut delivery: Box<Delivery>,
        event: Arc<[u8]>,
        shipment: CrewShipment,
        mark: u64,
    ) -> bool {
        let (key, intent) = (self.next_key(), self.intent(&shipment));
        let at = intent.started_at;
        delivery.created_at = at;
        self.bytes += event.len();
        let done = self.done(move |accepted| What::Accepted(key, accepted));
        self.engine
            .ledger
            .accept(delivery, Arc::clone(&event), intent, done);
        self.committing.insert(
            key,
            Intended::New {
                event,
                shipment,
                mark,
                at,
            },
        );
        true
    }

    /// Begins a delivery of the failed list or of the schedule, unless somebody dealt with it since it was seen; whether it
    /// did.
    fn resend(&mut self, id: i64, turn: Turn, made: u32) -> bool {
        let unchanged = |delivery: &Delivery| match turn {
            Turn::Failed { attempts } => {
                delivery.status.in_failed_list() && delivery.attempt_count == attempts
            }
            // Whether it is on the schedule only the journal can say, when it is taken off.
            Turn::Scheduled { attempts } => delivery.attempt_count == attempts,
            Turn::Mine => true,
        };
        match self.engine.store.delivery(id) {
            Ok(Some(delivery)) if unchanged(&delivery) => {
                let Some(shipment) = self.work.shipment(&delivery) else {
                    return false;
                };
                return self.begin(turn, delivery, shipment, made);
            }
            Ok(_) => self.work.told(News::Skipped(id)),
            Err(e) => self.halt(Arc::new(e)),
        }
        false
    }

    /// Begins the next attempt of a delivery that waited for it; whether it did.
    fn try_again(&mut self, waiting: Waiting) -> bool {
        match self.engine.store.delivery(waiting.id) {
            Ok(Some(delivery)) => match self.work.shipment(&delivery) {
                Some(shipment) => return self.begin(Turn::Mine, delivery, shipment, waiting.made),
                None => self.give_up(vec![waiting.id]),
            },
            Ok(None) => self.work.told(News::TakenOver(waiting.id)),
            Err(e) => self.halt(Arc::new(e)),
        }
        false
    }

    fn begin(&mut self, turn: Turn, delivery: Delivery, shipment: CrewShipment, made: u32) -> bool {
        let id = delivery.id;
        let event: Arc<[u8]> = match self.engine.store.event(id) {
            Ok(event) => event.into(),
            Err(e) => {
                // Somebody deleted it since it was read: the journal is none the worse for it.
                let gone = self
                    .engine
                    .store
                    .delivery(id)
                    .is_ok_and(|found| found.is_none());
                if gone {
                    self.taken(turn, id);
                } else {
                    self.halt(Arc::new(e));
                }
                return false;
            }
        };
        let (key, intent) = (self.next_key(), self.intent(&shipment));
        self.bytes += event.len();
        let leased_at = intent.started_at;
        let parcel = Parcel {
            delivery: Box::new(delivery),
            turn,
            event,
            shipment,
            made,
            leased_at,
        };
        self.engine.ledger.begin(
            id,
            turn,
            intent,
            self.done(move |begun| What::Begun(key, begun)),
        );
        self.committing.insert(key, Intended::Again(parcel));
        true
    }

    pub(super) fn taken(&mut self, turn: Turn, id: i64) {
        self.work.told(if turn == Turn::Mine {
            News::TakenOver(id)
        } else {
            News::Skipped(id)
        });
    }
}
