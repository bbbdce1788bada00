//! Where the catcher sends on what it caught, if it is to stand before a real receiver.
//!
//! The catcher knows when to forward and what to record of it; who implements [`Upstream`] knows how a request is sent, and
//! how long that may take.

use std::sync::Arc;

use crate::capture::{Body, Capture};
use crate::http::Memory;

/// The real receiver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Its status, 200 to 599.
    pub status: u16,
    /// Its headers in their order. Those that only concern one connection are not passed on, nor is the length, except of an
    /// answer to HEAD.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body as it came.
    pub body: Vec<u8>,
}

/// Sends on what was caught. Called on threads where it may wait, several at once.
pub trait Upstream: Send + Sync {
    /// What it is called where the answer is recorded: its URL, without anything secret.
    fn name(&self) -> &str;

    /// Sends the request once, and gives the answer, within a deadline of its own and as far as it finds `room`.
    ///
    /// # Errors
    /// Words for why there is no answer, without anything secret.
    fn relay(
        &self,
        capture: &Capture,
        body: &Body,
        room: &Arc<dyn Memory>,
    ) -> Result<Relayed, String>;
}
