//! Runs deliveries: accept, commit, send, evaluate, commit, and wait for the next attempt.

pub mod batch;
pub mod deliver;
pub mod due;
pub mod patience;
