//! The clock and the processes of this machine, as far as leases need them. Tests use their own.

use crate::time::UnixMs;

/// A process that owns leases, different from every other one that ran on any machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// The boot and the pid namespace: pids mean something only within them.
    pub host: String,
    pub pid: i64,
    /// When the process started, in the kernel's ticks: pids are reused.
    pub started: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    Alive,
    Dead,
    /// It runs or ran elsewhere, for example in another container; only the end of its lease tells.
    Unknown,
}

pub trait Processes: Send {
    /// The time by the system's clock.
    fn now(&self) -> UnixMs;
    /// This process.
    fn current(&self) -> ProcessId;
    fn liveness(&self, process: &ProcessId) -> Liveness;
}
