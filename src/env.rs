//! The process's environment: variables, directories, terminals, clock, signals, and other processes of the host.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use etcetera::BaseStrategy as _;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::exit::Exit;
use crate::journal::Processes;
use crate::secret::Variables;
use crate::time::{Clock, UnixMs, Woken};

#[derive(Clone, Copy, Debug)]
pub struct Environment;

impl Environment {
    pub fn folder(self) -> PathBuf {
        std::env::current_dir().unwrap_or_default()
    }

    pub fn seed(self) -> u64 {
        use std::hash::{BuildHasher as _, RandomState};
        // The standard library's only source of randomness, good enough for ids of samples.
        RandomState::new().hash_one(())
    }

    /// `$XDG_STATE_HOME/hookfire`, else `~/.local/state/hookfire`; none without a home.
    pub fn state_folder(self) -> Option<PathBuf> {
        let strategy = etcetera::choose_base_strategy().ok()?;
        let folder = strategy
            .state_dir()
            .unwrap_or_else(|| strategy.data_dir())
            .join("hookfire");
        // A relative home would depend on the working directory.
        folder.is_absolute().then_some(folder)
    }

    /// `$XDG_CONFIG_HOME/hookfire`, else `~/.config/hookfire`; none without a home.
    pub fn config_folder(self) -> Option<PathBuf> {
        let folder = etcetera::choose_base_strategy()
            .ok()?
            .config_dir()
            .join("hookfire");
        folder.is_absolute().then_some(folder)
    }
}

impl Variables for Environment {
    fn var(&self, name: &str) -> Option<OsString> {
        // `var_os` may panic for such names.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var_os(name)
    }
}

/// Which output streams are terminals.
#[derive(Clone, Copy, Debug)]
pub struct Terminals {
    stdout: bool,
    stderr: bool,
}

impl Terminals {
    pub fn current() -> Terminals {
        Terminals {
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
        }
    }

    pub fn stdout(&self) -> bool {
        self.stdout
    }

    pub fn stderr(&self) -> bool {
        self.stderr
    }
}

#[cfg(test)]
impl From<bool> for Terminals {
    fn from(is_terminal: bool) -> Terminals {
        Terminals {
            stdout: is_terminal,
            stderr: is_terminal,
        }
    }
}

/// The terminal's columns, from `COLUMNS` or the terminal itself.
pub fn terminal_width() -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns > 0);
    columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0))
}

/// The system's clock, with the state of interrupts.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
    interrupted: Arc<AtomicBool>,
    /// Requests under way are abandoned too.
    abandons_requests: Arc<AtomicBool>,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock {
            started: Instant::now(),
            interrupted: Arc::default(),
            abandons_requests: Arc::default(),
        }
    }
}

/// How soon a wait notices Ctrl-C.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

impl SystemClock {
    /// Makes the first Ctrl-C or SIGTERM set flags instead of ending the process; a second one ends it at once.
    pub fn catch_interrupts(&self) -> std::io::Result<()> {
        self.catch_interrupts_and_drain()?;
        for signal in [SIGINT, SIGTERM] {
            // Set last: whoever sees it also sees `interrupted`.
            signal_hook::flag::register(signal, Arc::clone(&self.abandons_requests))?;
        }
        Ok(())
    }

    /// As [`SystemClock::catch_interrupts`], but requests under way are completed.
    pub fn catch_interrupts_and_drain(&self) -> std::io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            let code = i32::from(Exit::Interrupted.code());
            // In this order: the first signal finds the flag unset and sets it.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                code,
                Arc::clone(&self.interrupted),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&self.interrupted))?;
        }
        Ok(())
    }

    /// Set by an interrupt that abandons requests under way.
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.abandons_requests)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMs(crate::time::duration_ms(since_epoch))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn wait(&self, duration: Duration) -> Woken {
        let end = Instant::now() + duration;
        loop {
            if self.interrupted() {
                return Woken::Interrupted;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Elapsed;
            }
            std::thread::sleep(left.min(INTERRUPT_POLL));
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// The processes of this host, from `/proc` where it exists.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostProcesses;

impl HostProcesses {
    /// Pids are only comparable within one boot and one pid namespace.
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
        SystemClock::default().now()
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
        process_id(pid.parse().unwrap_or(0)).is_ok_and(|pid| {
            rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
        })
    }
}

/// Raises the limit of open files as far as the system allows; returns it, unless there is none.
pub fn raise_open_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// macOS accepts at most this many, even without a hard limit.
    const OPEN_MAX: u64 = 10_240;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    for wanted in [limit.maximum, Some(OPEN_MAX)] {
        let raised = Rlimit {
            current: wanted,
            maximum: limit.maximum,
        };
        let is_more = wanted.is_none_or(|wanted| wanted > current);
        if is_more && setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted;
        }
    }
    Some(current)
}

/// This machine's host name, unless it is `localhost` or cannot be part of a URL.
pub fn host_name() -> Option<String> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (plain && !name.is_empty() && !name.eq_ignore_ascii_case("localhost")).then_some(name)
}

/// The address from which this machine reaches others, of the same family as `like`. Sends nothing.
pub fn outward_address(like: IpAddr) -> Option<IpAddr> {
    // Addresses reserved for documentation: the route to them is the default route.
    let (any, remote): (IpAddr, IpAddr) = match like {
        IpAddr::V4(_) => (
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 1).into(),
        ),
        IpAddr::V6(_) => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        ),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((remote, 9)).ok()?;
    let found = socket.local_addr().ok()?.ip();
    (!found.is_loopback() && !found.is_unspecified()).then_some(found)
}

/// The signal that ends a process.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    Asked,
    Forced,
}

/// Ends a child that has not been waited for, or its whole process group.
pub fn end_process(pid: u32, with_group: bool, ending: Ending) -> std::io::Result<()> {
    use rustix::process::{Signal, kill_process, kill_process_group};
    let signal = match ending {
        Ending::Asked => Signal::TERM,
        Ending::Forced => Signal::KILL,
    };
    let pid = process_id(pid)?;
    let sent = if with_group {
        kill_process_group(pid, signal)
    } else {
        kill_process(pid, signal)
    };
    Ok(sent?)
}

/// The exit code of a child that has ended, as in a shell: 128 plus the number of a signal that ended it. The child is not
/// reaped, so that its pid and process group stay reserved.
pub fn exit_code(pid: u32) -> std::io::Result<Option<i32>> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(process_id(pid)?), options)?;
    Ok(status.map(|status| {
        status
            .exit_status()
            .or(status.terminating_signal().map(|signal| signal + 128))
            .unwrap_or(1)
    }))
}

/// Whether the process group that `pid` led still has members.
pub fn group_is_left(pid: u32) -> bool {
    let left = process_id(pid).and_then(|pid| Ok(rustix::process::test_kill_process_group(pid)?));
    left.is_ok()
}

fn process_id(pid: u32) -> std::io::Result<rustix::process::Pid> {
    let no_such = std::io::Error::from(rustix::io::Errno::SRCH);
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or(no_such)
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
