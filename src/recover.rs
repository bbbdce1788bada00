//! Getting the failed ones delivered: one after the other, whatever becomes of each.
//!
//! Prints nothing. What a delivery needs to be sent is prepared by the caller, delivery by delivery, so that one secret
//! that cannot be had does not hold up the others.

pub mod tenant;

use crate::deliver::{Courier, DeliverError, Observer, Shipment};
use crate::delivery::Delivery;
use crate::store::{Seen, Turn};

/// What became of one delivery in a retry.
#[derive(Debug)]
pub enum Retried {
    /// It was sent; this is what it is now.
    Sent(Box<Delivery>),
    /// Another process has it, or dealt with it meanwhile.
    Skipped(i64),
    /// It could not be prepared or sent; it stays in the failed list.
    NotSent,
}

/// What a retry needs from its caller.
pub trait Dispatch {
    /// Why one could not be sent.
    type Error: From<DeliverError>;

    /// All that sending `delivery` takes.
    ///
    /// # Errors
    /// For instance, a secret that cannot be had; then the delivery is left as it is.
    fn prepare(&mut self, delivery: &Delivery) -> Result<Shipment, Self::Error>;

    /// A delivery could not be sent; the rest goes on if this returns true.
    fn failed(&mut self, id: i64, error: Self::Error) -> bool;

    /// Who is told about the attempts of `delivery`.
    fn observer(&mut self, delivery: &Delivery) -> Box<dyn Observer + '_>;

    /// What became of a delivery.
    ///
    /// # Errors
    /// When the caller cannot report it; this ends the retry.
    fn done(&mut self, retried: &Retried) -> Result<(), Self::Error>;

    /// Whether no more are to be sent, for instance because one after the other fails.
    fn enough(&self) -> bool {
        false
    }
}

/// Sends the deliveries of these ids again, in this order, until one ends it or the user interrupts.
///
/// What another process tried since it was seen is skipped: it had its turn.
///
/// # Errors
/// What [`Dispatch::done`] returned, or an error of the journal between two deliveries.
pub fn retry<D: Dispatch>(courier: &Courier<'_>, seen: &[Seen], dispatch: &mut D) -> Result<(), D::Error> {
    for &Seen { id, attempts } in seen {
        if courier.clock.interrupted() || dispatch.enough() {
            return Ok(());
        }
        let delivery = match courier.store.delivery(id).map_err(DeliverError::from)? {
            Some(delivery) if delivery.status.in_failed_list() && delivery.attempt_count == attempts => delivery,
            _ => {
                dispatch.done(&Retried::Skipped(id))?;
                continue;
            }
        };
        let sent = dispatch.prepare(&delivery).and_then(|shipment| {
            let mut observer = dispatch.observer(&delivery);
            let turn = Turn::Failed { attempts };
            Ok(courier.resend(&delivery, turn, &shipment, &mut *observer)?)
        });
        let retried = match sent {
            Ok(Some(delivery)) => Retried::Sent(Box::new(delivery)),
            Ok(None) => Retried::Skipped(id),
            Err(e) => {
                if !dispatch.failed(id, e) {
                    return Ok(());
                }
                Retried::NotSent
            }
        };
        dispatch.done(&retried)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
