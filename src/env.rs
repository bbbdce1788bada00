//! The process's environment: variables, directories, terminals, clock, signals and child processes.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use etcetera::base_strategy::{BaseStrategy, Xdg};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::exit::Exit;
use crate::secret::Variables;
use crate::time::{Clock, UnixMs, Woken, since_boot};

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

    /// A number from 0 to 1.
    pub fn random(self) -> f64 {
        self.seed() as f64 / u64::MAX as f64
    }

    /// `$XDG_STATE_HOME/hookfire`, else `~/.local/state/hookfire`; none without a home.
    pub fn state_folder(self) -> Option<PathBuf> {
        own_folder(|base| base.state_dir().unwrap_or_else(|| base.data_dir()))
    }

    /// `$XDG_CONFIG_HOME/hookfire`, else `~/.config/hookfire`; none without a home.
    pub fn config_folder(self) -> Option<PathBuf> {
        own_folder(BaseStrategy::config_dir)
    }
}

fn own_folder(parent: impl FnOnce(&Xdg) -> PathBuf) -> Option<PathBuf> {
    let folder = parent(&Xdg::new().ok()?).join("hookfire");
    // A relative home would depend on the working directory.
    folder.is_absolute().then_some(folder)
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
    pub stdout: bool,
    pub stderr: bool,
}

impl Terminals {
    pub fn current() -> Terminals {
        Terminals {
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
        }
    }
}

/// The columns of a stream, from `COLUMNS` or the terminal itself.
pub fn terminal_width(stream: impl AsFd) -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns > 0);
    columns.or_else(|| terminal_size::terminal_size_of(stream).map(|(width, _)| width.0))
}

/// The system's clock, with the state of interrupts.
#[derive(Clone, Debug)]
pub struct SystemClock {
    /// Since the machine was started.
    started: Duration,
    interrupted: Arc<AtomicBool>,
    /// Requests under way are abandoned too.
    abandons_requests: Arc<AtomicBool>,
    /// How far the system's clock is ahead of the time that [`Clock::now`] returns, in milliseconds.
    ahead: Arc<AtomicI64>,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock {
            started: since_boot(),
            interrupted: Arc::default(),
            abandons_requests: Arc::default(),
            ahead: Arc::default(),
        }
    }
}

/// Whether the process was started with this signal ignored. Unknown except on Linux.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// How soon a wait notices Ctrl-C.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

impl SystemClock {
    /// Makes the first Ctrl-C or SIGTERM set flags instead of ending the process; a second one ends it at once.
    pub fn catch_interrupts(&self) -> std::io::Result<()> {
        self.catch_interrupts_and_drain()?;
        for signal in [SIGINT, SIGTERM] {
            // Set last: a thread that reads it also reads `interrupted`.
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

    /// As [`SystemClock::catch_interrupts`], for SIGHUP and SIGQUIT too. `end` runs before a second signal ends the process.
    pub fn catch_all_signals(&self, end: impl Fn() + Send + 'static) -> std::io::Result<()> {
        let mut caught = vec![SIGINT, SIGTERM, SIGQUIT];
        // `nohup` ignores it.
        caught.extend((!is_ignored(SIGHUP)).then_some(SIGHUP));
        let mut signals = signal_hook::iterator::Signals::new(caught)?;
        let interrupted = Arc::clone(&self.interrupted);
        std::thread::spawn(move || {
            for _ in &mut signals {
                if interrupted.swap(true, Ordering::Relaxed) {
                    end();
                    signal_hook::low_level::exit(i32::from(Exit::Interrupted.code()));
                }
            }
        });
        Ok(())
    }

    /// Follows the clock of a journal's server from now on, on all threads.
    pub fn set_ahead(&self, ms: i64) {
        self.ahead.store(ms, Ordering::Relaxed);
    }

    /// Whether an interrupt has arrived.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Set by an interrupt that abandons requests under way.
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.abandons_requests)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        UnixMs(UnixMs::from_system().0 - self.ahead.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        since_boot().saturating_sub(self.started)
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

/// Raises the limit of open files as far as the system allows; returns it, or `None` if the system has no limit.
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

/// Which of the streams can be read without waiting, or have ended; waits until one can.
pub fn wait_readable(
    streams: [Option<BorrowedFd<'_>>; 2],
    timeout: Duration,
) -> std::io::Result<[bool; 2]> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let given = streams.iter().flatten();
    let mut polled: Vec<PollFd<'_>> = given
        .map(|stream| PollFd::new(stream, PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(timeout).map_err(std::io::Error::other)?;
    poll(&mut polled, Some(&timeout))?;
    let mut ready = polled.iter().map(|stream| !stream.revents().is_empty());
    Ok(streams.map(|stream| stream.is_some() && ready.next() == Some(true)))
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
