//! Getting delivered what was put off: one after the other, whatever becomes of each. What failed is `batch`'s.
//!
//! Prints nothing. What a delivery needs to be sent is prepared by the caller, delivery by delivery, so that one secret
//! that cannot be had does not hold up the others.

pub mod due;
pub mod patience;
pub mod tenant;

use crate::deliver::{Courier, DeliverError, Observer, Shipment};
use crate::delivery::Delivery;
use crate::store::{Seen, StoreError, Turn};
use crate::time::UnixMs;

/// What became of one delivery in a retry.
#[derive(Debug)]
pub enum Retried {
    /// It was sent; this is what it is now.
    Sent(Box<Delivery>),
    /// Another process has it, or dealt with it meanwhile.
    Skipped,
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

/// What is to be sent next.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// A delivery of the schedule.
    Due(Seen),
    /// Nothing until this time.
    Later(UnixMs),
    /// Nothing any more.
    End,
}

/// Sends what `next` says, one after the other, until it has no more or the user interrupts; it is asked again when it has nothing
/// for the moment. What another process tried since it was seen is skipped: it had its turn.
///
/// # Errors
/// What [`Dispatch::done`] returned, an error of the journal between two deliveries, and those of `next`.
pub fn work<D: Dispatch>(
    courier: &Courier<'_>,
    next: &mut dyn FnMut(UnixMs) -> Result<Task, StoreError>,
    dispatch: &mut D,
) -> Result<(), D::Error> {
    loop {
        if courier.clock.interrupted() || dispatch.enough() {
            return Ok(());
        }
        let now = courier.clock.now();
        let seen = match next(now).map_err(DeliverError::from)? {
            Task::Due(seen) => seen,
            Task::Later(at) => {
                courier.clock.wait(at.since(now));
                continue;
            }
            Task::End => return Ok(()),
        };
        let retried = match send(courier, seen, dispatch) {
            Ok(Some(delivery)) => Retried::Sent(Box::new(delivery)),
            Ok(None) => Retried::Skipped,
            Err(e) => {
                if !dispatch.failed(seen.id, e) {
                    return Ok(());
                }
                Retried::NotSent
            }
        };
        dispatch.done(&retried)?;
    }
}

/// Sends one, unless somebody else had a turn at it since it was seen.
fn send<D: Dispatch>(courier: &Courier<'_>, seen: Seen, dispatch: &mut D) -> Result<Option<Delivery>, D::Error> {
    let found = courier.store.delivery(seen.id).map_err(DeliverError::from)?;
    let Some(delivery) = found.filter(|delivery| delivery.attempt_count == seen.attempts) else { return Ok(None) };
    let shipment = dispatch.prepare(&delivery)?;
    let mut observer = dispatch.observer(&delivery);
    let turn = Turn::Scheduled { attempts: seen.attempts };
    Ok(courier.resend(&delivery, turn, &shipment, &mut *observer)?)
}
