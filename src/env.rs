//! The world around the program: its variables, folder, terminals, clock, signals, and the other processes of the host.
//!
//! Looked at once, in `lib`; everything below gets what it needs handed in. Decides nothing.

use std::cell::LazyCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use etcetera::BaseStrategy as _;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::exit::Exit;
use crate::journal::store::{Liveness, ProcessId, Processes};
use crate::secret::Variables;
use crate::time::{Clock, UnixMs, Woken};

/// The environment's variables and folders.
#[derive(Clone, Copy, Debug)]
pub struct Environment;

impl Environment {
    /// The working directory; relative secret files are anchored to it.
    pub fn folder(self) -> PathBuf {
        std::env::current_dir().unwrap_or_default()
    }

    /// A number that nobody foresees, another one each time.
    pub fn seed(self) -> u64 {
        use std::hash::{BuildHasher as _, RandomState};
        // The standard library's only source of chance, and good enough for ids of samples.
        RandomState::new().hash_one(())
    }

    /// `$XDG_STATE_HOME/hookfire`, else `~/.local/state/hookfire`; none without a home.
    pub fn state_folder(self) -> Option<PathBuf> {
        let strategy = etcetera::choose_base_strategy().ok()?;
        let folder = strategy
            .state_dir()
            .unwrap_or_else(|| strategy.data_dir())
            .join("hookfire");
        // A home that is relative would make it a folder of wherever the program runs.
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
        // A name with `=` or NUL in it can be no variable's, and asking for one would panic.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var_os(name)
    }
}

/// Which of the output streams are terminals. Asked when it first matters: most runs say nothing on stderr.
#[derive(Debug)]
pub struct Terminals {
    stdout: LazyCell<bool>,
    stderr: LazyCell<bool>,
}

impl Terminals {
    /// As they are.
    pub fn current() -> Terminals {
        Terminals {
            stdout: LazyCell::new(|| std::io::stdout().is_terminal()),
            stderr: LazyCell::new(|| std::io::stderr().is_terminal()),
        }
    }

    /// Whether stdout is one.
    pub fn stdout(&self) -> bool {
        *self.stdout
    }

    /// Whether stderr is one.
    pub fn stderr(&self) -> bool {
        *self.stderr
    }
}

#[cfg(test)]
impl From<bool> for Terminals {
    /// Both are, or neither is.
    fn from(are: bool) -> Terminals {
        let known: fn() -> LazyCell<bool> = if are {
            || LazyCell::new(|| true)
        } else {
            || LazyCell::new(|| false)
        };
        Terminals {
            stdout: known(),
            stderr: known(),
        }
    }
}

/// The columns of the terminal: `COLUMNS`, else what it says itself, else none.
pub fn terminal_width() -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns > 0);
    columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0))
}

/// The system's clock, and the user's wish to stop.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
    interrupted: Arc<AtomicBool>,
    /// What is under way is not to be waited for, either.
    given_up: Arc<AtomicBool>,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock {
            started: Instant::now(),
            interrupted: Arc::default(),
            given_up: Arc::default(),
        }
    }
}

/// How soon a wait notices Ctrl-C.
const INTERRUPT_GRAIN: Duration = Duration::from_millis(50);

impl SystemClock {
    /// From here on Ctrl-C and SIGTERM are noted instead of ending the process; a second one ends it at once.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn catch_interrupts(&self) -> std::io::Result<()> {
        self.catch_interrupts_and_drain()?;
        for signal in [SIGINT, SIGTERM] {
            // The last to be set: who gives up a request then knows why.
            signal_hook::flag::register(signal, Arc::clone(&self.given_up))?;
        }
        Ok(())
    }

    /// As [`SystemClock::catch_interrupts`], but that requests under way are to come to their end.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn catch_interrupts_and_drain(&self) -> std::io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            let code = i32::from(Exit::Interrupted.code());
            // In this order: the first signal finds the flag unset, passes, and sets it.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                code,
                Arc::clone(&self.interrupted),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&self.interrupted))?;
        }
        Ok(())
    }

    /// Set once the user interrupted and requests under way are to be given up.
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.given_up)
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
            std::thread::sleep(left.min(INTERRUPT_GRAIN));
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// The processes of this host, told by `/proc` where there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostProcesses;

impl HostProcesses {
    /// Pids mean something only in one pid namespace; a container has its own. After a reboot the same pid has another
    /// start, so that the dead are told at once.
    fn host() -> String {
        std::fs::read_link("/proc/self/ns/pid")
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// When a process started, in kernel ticks since boot; none if it does not run (a zombie does not).
    fn started(pid: i64) -> Option<i64> {
        HostProcesses::told(&pid.to_string()).map(|(_, started)| started)
    }

    /// What `/proc` tells of a process: its pid, and when it started.
    fn told(name: &str) -> Option<(i64, i64)> {
        let mut stat = [0; 1024];
        let length = File::open(format!("/proc/{name}/stat"))
            .ok()?
            .read(&mut stat)
            .ok()?;
        let stat = String::from_utf8_lossy(&stat[..length]);
        let (pid, _) = stat.split_once(' ')?;
        // The command's name stands in parentheses and may hold anything, parentheses too.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some((pid.parse().ok()?, started))
    }
}

impl Processes for HostProcesses {
    fn now(&self) -> UnixMs {
        SystemClock::default().now()
    }

    fn current(&self) -> ProcessId {
        let (pid, started) =
            HostProcesses::told("self").unwrap_or_else(|| (i64::from(std::process::id()), 0));
        ProcessId {
            host: HostProcesses::host(),
            pid,
            started,
        }
    }

    fn liveness(&self, process: &ProcessId) -> Liveness {
        if process.host != HostProcesses::host() {
            return Liveness::Unknown;
        }
        if Path::new("/proc/self/stat").exists() {
            return match HostProcesses::started(process.pid) {
                Some(started) if started == process.started => Liveness::Alive,
                _ => Liveness::Dead,
            };
        }
        let pid = i32::try_from(process.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        match pid.map(rustix::process::test_kill_process) {
            Some(Err(rustix::io::Errno::SRCH)) | None => Liveness::Dead,
            Some(_) => Liveness::Alive,
        }
    }
}

/// The name that this machine has for itself, where others may know it too; none if it has none but `localhost`.
pub fn host_name() -> Option<String> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    // What is no name of a host would be no URL either.
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (plain && !name.is_empty() && !name.eq_ignore_ascii_case("localhost")).then_some(name)
}

/// The address of this machine by which it goes out to others, of the same kind as `like`; none if it goes nowhere. Nothing is
/// sent to find it out.
pub fn outward_address(like: IpAddr) -> Option<IpAddr> {
    // Addresses for documentation, which are nobody's: the way to them is the way to anywhere.
    let (any, nobody): (IpAddr, IpAddr) = match like {
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
    socket.connect((nobody, 9)).ok()?;
    let found = socket.local_addr().ok()?.ip();
    (!found.is_loopback() && !found.is_unspecified()).then_some(found)
}

/// How a process is to end.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// SIGTERM: it may tidy up.
    Asked,
    /// SIGKILL: it may not.
    Forced,
}

/// Ends a child that has not been waited for, with its whole process group if it leads one.
///
/// # Errors
/// The system's, such as that there is no such process any more.
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

/// The exit code of a child that has ended, as a shell tells it: 128 and the signal's number for one that a signal ended.
/// The child is not waited for: its id, and its group's, stay its own.
///
/// # Errors
/// The system's, such as that there is no such child.
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

/// Whether anything is left of the process group that this process led.
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
    fn this_process_lives_and_a_killed_one_does_not_even_as_a_zombie() {
        let me = HostProcesses.current();
        assert_eq!(HostProcesses.liveness(&me), Liveness::Alive);
        assert_eq!(
            HostProcesses.liveness(&ProcessId {
                started: me.started + 1,
                ..me.clone()
            }),
            Liveness::Dead
        );
        assert_eq!(
            HostProcesses.liveness(&ProcessId {
                host: "elsewhere".into(),
                ..me.clone()
            }),
            Liveness::Unknown
        );

        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let pid = i64::from(child.id());
        let process = ProcessId {
            pid,
            started: HostProcesses::started(pid).unwrap(),
            host: me.host,
        };
        assert_eq!(HostProcesses.liveness(&process), Liveness::Alive);
        child.kill().unwrap();
        // Not waited for: it stays a zombie.
        while HostProcesses::started(pid).is_some() {
            std::thread::yield_now();
        }
        assert_eq!(HostProcesses.liveness(&process), Liveness::Dead);
        child.wait().unwrap();
    }
}
