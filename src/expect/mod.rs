//! Waits for captured requests that match an [`Expectation`](crate::capture::expect::Expectation).

mod watch;

pub use watch::{Arrival, Arrivals, Command, End, Miss, Observer, Seen, Watch, WatchError};

#[cfg(test)]
mod tests;
