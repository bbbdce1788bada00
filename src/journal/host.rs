//! What leases need from the system: the clock, and which processes run. Tests use a fake.

use crate::time::UnixMs;

pub trait Processes: Send {
    /// The time by the system's clock.
    fn now(&self) -> UnixMs;
    /// An id of this process, different from that of every other process on any machine.
    fn current(&self) -> String;
    /// Whether a process has certainly ended. False if that cannot be determined here, for example for a
    /// process on another machine: its lease has to expire.
    fn is_dead(&self, owner: &str) -> bool;
}
