//! What became of captures, on its way back from the keeper's thread to the catcher's.
//!
//! Those that shared a commit become known together, and wake the catcher together: to wake it for each of them costs more
//! than to answer it.
//!
//! Invariant: what is sent arrives; what is dropped unsent is known to be lost.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::store::Kept;

/// What became of one capture; `None` if it could not be kept.
type Outcome = Option<Arc<Kept>>;

/// All that is on its way.
#[derive(Debug, Default)]
pub(super) struct Returns {
    arrived: Mutex<Vec<(oneshot::Sender<Outcome>, Outcome)>>,
    filled: Notify,
}

impl Returns {
    /// Sends an outcome on its way, from whatever thread.
    pub(super) fn send(&self, to: oneshot::Sender<Outcome>, outcome: Outcome) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.push((to, outcome));
        if arrived.len() == 1 {
            drop(arrived);
            self.filled.notify_one();
        }
    }

    /// Hands over what arrives, for ever. To be run on the thread where it is waited for: there nobody has to be woken.
    pub(super) async fn hand_over(self: Arc<Self>) {
        loop {
            self.filled.notified().await;
            let arrived = std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
            for (to, outcome) in arrived {
                // Nobody waits any more when the client went away.
                let _ = to.send(outcome);
            }
        }
    }
}
