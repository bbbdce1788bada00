//! What leases need from the system: clocks, and which processes run. Tests use a fake.

use std::fmt;
use std::fs::{File, read_link, read_to_string};
use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use rustix::system::uname;

use crate::time::{UnixMs, duration_ms, since_boot};

/// A lease that was measured with the boot-time clock of this host counts as expired this long after its end.
const BOOT_CLOCK_GRACE: Duration = Duration::from_secs(5);

/// The same for a lease that can be compared only with the wall clock, which may be wrong.
const WALL_CLOCK_GRACE: Duration = Duration::from_secs(60);

pub trait Host: Send {
    /// The time by the system's clock.
    fn now(&self) -> UnixMs;
    /// The time by this process's own clock for leases: no step of the system's clock changes it.
    fn lease_clock(&self) -> UnixMs {
        self.now()
    }
    /// A time that has certainly passed on the lease clock of `owner`: its leases that end before it have expired.
    fn lease_time_passed(&self, _owner: &str) -> UnixMs {
        self.now()
    }
    /// An id of this process, different from that of every other process on any machine.
    fn current(&self) -> String;
    /// The host's name and the id of this process, for users: `ci-3/4711`.
    fn label(&self) -> String;
    /// Whether a process has certainly ended. False if that cannot be determined here, for example for a
    /// process on another machine: its lease has to expire.
    fn is_dead(&self, owner: &str) -> bool;
}

/// The processes of this host, from `/proc` where it exists.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

/// A process and its lease clock, stored as the owner of deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    pid: i32,
    /// In kernel ticks since boot.
    started: i64,
    /// Milliseconds from the boot-time clock to the lease clock: to the wall clock when the process began.
    lease_offset: i64,
    /// Of the boot, and of the namespace that may shift the boot-time clock.
    boot: String,
    /// The pid namespace, in which the pid is valid.
    namespace: String,
}

impl Owner {
    /// This process, the same at each call.
    fn current() -> &'static Owner {
        static CURRENT: OnceLock<Owner> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let (pid, started, _) =
                ThisHost::stat("self").unwrap_or((std::process::id() as i32, 0, false));
            let namespace = |of| read_link(format!("/proc/self/ns/{of}")).unwrap_or_default();
            let boot = read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            Owner {
                pid,
                started,
                lease_offset: ThisHost.now().0 - boot_ms(),
                boot: format!("{},{}", boot.trim(), namespace("time").display()),
                namespace: namespace("pid").display().to_string(),
            }
        })
    }

    fn parse(text: &str) -> Option<Owner> {
        let words: Vec<&str> = text.split(' ').collect();
        let [pid, started, lease_offset, boot, namespace] = words[..] else {
            return None;
        };
        Some(Owner {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
            lease_offset: lease_offset.parse().ok()?,
            boot: boot.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    fn is_of_this_boot(&self) -> bool {
        self.boot == Owner::current().boot
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner {
            pid,
            started,
            lease_offset,
            boot,
            namespace,
        } = self;
        write!(f, "{pid} {started} {lease_offset} {boot} {namespace}")
    }
}

fn boot_ms() -> i64 {
    duration_ms(since_boot())
}

impl ThisHost {
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

impl Host for ThisHost {
    fn now(&self) -> UnixMs {
        UnixMs::from_system()
    }

    fn lease_clock(&self) -> UnixMs {
        UnixMs(boot_ms() + Owner::current().lease_offset)
    }

    fn lease_time_passed(&self, owner: &str) -> UnixMs {
        match Owner::parse(owner).filter(Owner::is_of_this_boot) {
            Some(owner) => UnixMs(boot_ms() + owner.lease_offset - duration_ms(BOOT_CLOCK_GRACE)),
            None => UnixMs(self.now().0 - duration_ms(WALL_CLOCK_GRACE)),
        }
    }

    fn current(&self) -> String {
        Owner::current().to_string()
    }

    fn label(&self) -> String {
        let host = uname().nodename().to_string_lossy().replace('/', "_");
        format!("{host}/{}", Owner::current().pid)
    }

    fn is_dead(&self, owner: &str) -> bool {
        let Some(owner) = Owner::parse(owner).filter(Owner::is_of_this_boot) else {
            return false;
        };
        if owner.namespace != Owner::current().namespace {
            return false;
        }
        if let Some((_, started, is_zombie)) = ThisHost::stat(&owner.pid.to_string()) {
            return is_zombie || started != owner.started;
        }
        // A process without a visible `/proc` entry may still run, for example as another user.
        Pid::from_raw(owner.pid)
            .is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killed_processes_are_dead_even_as_zombies() {
        let me = Owner::current();
        let is_dead = |owner: &Owner| ThisHost.is_dead(&owner.to_string());
        assert!(!is_dead(me));
        let earlier = Owner {
            started: 1,
            ..me.clone()
        };
        assert!(is_dead(&earlier));
        let namespace = "elsewhere".to_owned();
        assert!(!is_dead(&Owner {
            namespace,
            ..earlier
        }));

        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let pid = child.id().to_string();
        let (pid_number, started, _) = ThisHost::stat(&pid).unwrap();
        let process = Owner {
            pid: pid_number,
            started,
            ..me.clone()
        };
        assert!(!is_dead(&process));
        child.kill().unwrap();
        // Not waited for: it stays a zombie.
        while ThisHost::stat(&pid).is_some_and(|(.., is_zombie)| !is_zombie) {
            std::thread::yield_now();
        }
        assert!(is_dead(&process));
        child.wait().unwrap();
        assert!(is_dead(&process));
    }

    #[test]
    fn leases_of_this_boot_are_compared_with_the_boot_time_clock() {
        let me = Owner::current();
        let own = ThisHost.lease_clock().0 - ThisHost.lease_time_passed(&me.to_string()).0;
        assert!((4_000..=5_000).contains(&own), "{own}");
        // A process that began when the wall clock was an hour behind.
        let lease_offset = me.lease_offset - 3_600_000;
        let behind = Owner {
            lease_offset,
            namespace: "elsewhere".to_owned(),
            ..me.clone()
        };
        let passed = ThisHost.lease_time_passed(&behind.to_string());
        let ahead = ThisHost.lease_clock().0 - passed.0;
        assert!((3_604_000..=3_605_000).contains(&ahead), "{ahead}");
        for unknown in [
            "process 7".to_owned(),
            behind.to_string().replace(&me.boot, "other"),
        ] {
            let passed = ThisHost.lease_time_passed(&unknown).0;
            let grace = ThisHost.now().0 - passed;
            assert!((60_000..=61_000).contains(&grace), "{grace}");
        }
    }
}
