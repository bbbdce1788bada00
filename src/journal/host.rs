//! What leases need from the system: the clock, and which processes run. Tests use a fake.

use std::fs::File;
use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, test_kill_process};

use crate::time::{UnixMs, duration_ms};

pub trait Processes: Send {
    /// The time by the system's clock.
    fn now(&self) -> UnixMs;
    /// An id of this process, different from that of every other process on any machine.
    fn current(&self) -> String;
    /// Whether a process has certainly ended. False if that cannot be determined here, for example for a
    /// process on another machine: its lease has to expire.
    fn is_dead(&self, owner: &str) -> bool;
}

/// The processes of this host, from `/proc` where it exists.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostProcesses;

impl HostProcesses {
    /// Pids are comparable only within one boot and one pid namespace.
    fn host() -> String {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        format!("{} {}", boot.trim(), namespace.display())
    }

    /// A process's pid, its start time in kernel ticks since boot, and whether it has ended, from `/proc`.
    fn stat(name: &str) -> Option<(i32, i64, bool)> {
        let mut stat = [0; 1024];
        let length = File::open(format!("/proc/{name}/stat"))
            .ok()?
            .read(&mut stat)
            .ok()?;
        let stat = String::from_utf8_lossy(&stat[..length]);
        let (pid, _) = stat.split_once(' ')?;
        // The command's name is in parentheses and may contain any character, `)` too.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let is_zombie = matches!(fields.next()?, "Z" | "X");
        let started = fields.nth(18)?.parse().ok()?;
        Some((pid.parse().ok()?, started, is_zombie))
    }
}

impl Processes for HostProcesses {
    fn now(&self) -> UnixMs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixMs(duration_ms(since_epoch.unwrap_or_default()))
    }

    fn current(&self) -> String {
        let own = HostProcesses::stat("self");
        let (pid, started, _) = own.unwrap_or((std::process::id() as i32, 0, false));
        format!("{pid} {started} {}", HostProcesses::host())
    }

    fn is_dead(&self, owner: &str) -> bool {
        let mut words = owner.splitn(3, ' ');
        let (Some(pid), Some(started), Some(host)) = (words.next(), words.next(), words.next())
        else {
            return false;
        };
        if host != HostProcesses::host() {
            return false;
        }
        if let Some((_, actual, is_zombie)) = HostProcesses::stat(pid) {
            return is_zombie || actual.to_string() != started;
        }
        // A process without a visible `/proc` entry may still run, for example as another user.
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killed_processes_are_dead_even_as_zombies() {
        let me = HostProcesses.current();
        assert!(!HostProcesses.is_dead(&me));
        let (pid, rest) = me.split_once(' ').unwrap();
        let (started, host) = rest.split_once(' ').unwrap();
        assert!(HostProcesses.is_dead(&format!("{pid} 1 {host}")));
        assert!(!HostProcesses.is_dead(&format!("{pid} {started} elsewhere")));

        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let pid = child.id();
        let (_, started, _) = HostProcesses::stat(&pid.to_string()).unwrap();
        let process = format!("{pid} {started} {host}");
        assert!(!HostProcesses.is_dead(&process));
        child.kill().unwrap();
        // Not waited for: it stays a zombie.
        while HostProcesses::stat(&pid.to_string()).is_some_and(|(.., is_zombie)| !is_zombie) {
            std::thread::yield_now();
        }
        assert!(HostProcesses.is_dead(&process));
        child.wait().unwrap();
        assert!(HostProcesses.is_dead(&process));
    }
}
