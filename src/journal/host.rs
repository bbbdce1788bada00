//! The clock and the processes of this machine, as far as leases need them. Tests use their own.

use crate::time::UnixMs;

pub trait Processes: Send {
    /// The time by the system's clock.
    fn now(&self) -> UnixMs;
    /// An id of this process, different from that of every other process on any machine.
    fn current(&self) -> String;
    /// Whether a process has certainly ended. Of one that cannot be seen from here, only the end of its lease tells.
    fn is_dead(&self, owner: &str) -> bool;
}
