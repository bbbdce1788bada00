//! 3scale's Account Management API, as far as webhooks go.
//!
//! [`PortalClient`] sends the requests: failed deliveries, objects, webhook switches. [`failures`] reads and writes the lists of
//! failed deliveries, from a response or from a file.

mod client;
mod error;
pub mod failures;
mod message;
#[cfg(test)]
mod tests;

pub use client::PortalClient;
pub use error::{PortalError, PortalErrorKind};
