//! Keeping the leases of what is written down and could not be sent so far.
//!
//! Where an endpoint is slow, or a rate low, an accepted delivery may wait for longer than its lease lasts. And where the
//! process was stopped for a while, another one may have taken it over: the journal is asked before it is sent. A lease ends
//! by the clock, and may do so sooner than it was meant to: somebody may set that.

use std::collections::HashSet;

use super::{LEASE_GRACE, News, Parcel, RENEW_AFTER, Run, UnixMs, What, duration_ms};
use crate::engine::batch::Renewal;

impl Run<'_> {
    pub(super) fn next_renewal(&self) -> Option<UnixMs> {
        let ready = self
            .ready
            .front()
            .map(|first| first.leased_at.plus(RENEW_AFTER));
        let waiting = self
            .waiting
            .first_end()
            .map(|end| UnixMs(end.0.saturating_sub(duration_ms(RENEW_AFTER))));
        [ready, waiting].into_iter().flatten().min()
    }

    /// Has the leases last longer of what could not be sent so far.
    pub(super) fn keep_leases(&mut self) {
        let now = self.now();
        if self.stopping || self.renewing || self.next_renewal().is_none_or(|renewal| renewal > now)
        {
            return;
        }
        // Those as well that are next, or they would be renewed one by one.
        let (ending, elapsed) = (
            self.waiting.ending(now.plus(RENEW_AFTER + RENEW_AFTER / 2)),
            self.elapsed(),
        );
        let sent_in = self
            .ready
            .iter()
            .map(|parcel| self.longest(&parcel.shipment));
        let longest = ending
            .iter()
            .map(|waiting| waiting.due.saturating_sub(elapsed))
            .chain(sent_in)
            .max();
        let ready = self.ready.iter().map(|parcel| parcel.delivery.id);
        let ids: Vec<i64> = ending
            .iter()
            .map(|waiting| waiting.id)
            .chain(ready)
            .collect();
        let Some(longest) = longest else { return };
        let renewal = Renewal {
            ids: ids.clone(),
            at: now,
            until: now.plus(longest).plus(LEASE_GRACE),
        };
        let until = renewal.until;
        self.renewing = true;
        self.engine.ledger.renew(
            ids,
            until,
            self.done(move |mine| What::Renewed(renewal, mine)),
        );
    }

    pub(super) fn renewed(&mut self, renewal: &Renewal, mine: &HashSet<i64>) {
        let asked: HashSet<i64> = renewal.ids.iter().copied().collect();
        let is_lost = |id: i64| asked.contains(&id) && !mine.contains(&id);
        let mut lost = Vec::new();
        for parcel in std::mem::take(&mut self.ready) {
            if is_lost(parcel.delivery.id) {
                self.bytes -= parcel.event.len();
                lost.push(parcel.delivery.id);
            } else {
                let renewed = asked.contains(&parcel.delivery.id);
                let leased_at = if renewed {
                    renewal.at.max(parcel.leased_at)
                } else {
                    parcel.leased_at
                };
                self.ready.push_back(Parcel {
                    leased_at,
                    ..parcel
                });
            }
        }
        self.waiting.retain(|waiting| {
            if is_lost(waiting.id) {
                lost.push(waiting.id);
                return None;
            }
            let renewed = asked.contains(&waiting.id);
            Some(if renewed {
                waiting.lease_until.max(renewal.until)
            } else {
                waiting.lease_until
            })
        });
        lost.into_iter()
            .for_each(|id| self.work.told(News::TakenOver(id)));
    }
}
