//! Starts a program and waits for its output and its end. Every wait has a limit, both streams are read continuously,
//! and no process outlives its [`Running`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::outcome::{Outcome, transcript};

const DEADLINE: Duration = Duration::from_secs(30);

/// A command to run. stdin is empty unless given.
#[must_use = "nothing happens until `run` or `spawn`"]
pub struct Invocation {
    command: Command,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
}

impl Invocation {
    pub(super) fn new(
        program: &OsStr,
        work_dir: &Path,
        variables: &BTreeMap<OsString, OsString>,
    ) -> Self {
        let mut command = Command::new(program);
        command.env_clear().envs(variables).current_dir(work_dir);
        Self {
            command,
            stdin: None,
            deadline: DEADLINE,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable for this command.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable for this command.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Content of stdin, followed by end of file.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Limit of each wait for this process, 30 s by default.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    #[track_caller]
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }

    #[track_caller]
    pub fn spawn(mut self) -> Running {
        let stdin = if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        self.command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let line = command_line(&self.command);
        let started = Instant::now();
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{line} could not be started: {error}"));
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.stdin) {
            // A program may leave input unread.
            thread::spawn(move || pipe.write_all(&bytes).ok());
        }
        let watch = Arc::new(Watch::default());
        watch.follow(
            Stream::Stdout,
            child.stdout.take().expect("stdout is piped"),
        );
        watch.follow(
            Stream::Stderr,
            child.stderr.take().expect("stderr is piped"),
        );
        Running {
            child,
            watch,
            line,
            started,
            deadline: self.deadline,
            status: None,
        }
    }
}

/// Program name and arguments, quoted if necessary.
fn command_line(command: &Command) -> String {
    let args = command.get_args().map(|arg| {
        let arg = arg.to_string_lossy();
        let plain = !arg.is_empty()
            && !arg.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"`".contains(c));
        if plain {
            arg.into_owned()
        } else {
            format!("{arg:?}")
        }
    });
    format!(
        "`{}`",
        std::iter::once("hookfire".to_owned())
            .chain(args)
            .collect::<Vec<_>>()
            .join(" ")
    )
}

/// A running process. Dropping it kills the process and, if the test is failing, prints its output.
#[must_use = "dropping the process kills it"]
pub struct Running {
    child: Child,
    watch: Arc<Watch>,
    line: String,
    started: Instant,
    deadline: Duration,
    status: Option<ExitStatus>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A field of `/proc/PID/status` in KiB, such as `VmHWM:`, the peak memory.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn kilobytes(&self, what: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(what))
            .expect("the system says so");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number")
    }

    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child process");
        }
        self.status.is_none()
    }

    /// SIGKILL. Returns when the process is dead (it stays a zombie). Like the other signals, it has no effect after
    /// the end.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        if self.status.is_none() {
            let dead = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(Pid::from_child(&self.child)), dead)
                .expect("the end of a child process");
        }
    }

    /// SIGINT
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP, until [`Running::resume`]. Returns when the process has stopped.
    pub fn suspend(&mut self) {
        self.signal(Signal::STOP);
        if self.status.is_none() {
            let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(Pid::from_child(&self.child)), stopped)
                .expect("a child process that stops");
        }
    }

    /// SIGCONT
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Waits until the process has ended and both streams are closed.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let limit = Instant::now() + self.deadline;
        let mut state = self.watch.lock();
        loop {
            if self.status.is_none() {
                self.status = self.child.try_wait().expect("the state of a child process");
            }
            let closed = state.stdout.closed && state.stderr.closed;
            if let Some(status) = self.status
                && closed
            {
                let (stdout, stderr) = (
                    std::mem::take(&mut state.stdout.bytes),
                    std::mem::take(&mut state.stderr.bytes),
                );
                return Outcome::new(
                    self.line.clone(),
                    stdout,
                    stderr,
                    status,
                    self.started.elapsed(),
                );
            }
            if Instant::now() >= limit {
                drop(state);
                match self.status {
                    Some(_) => self.fail(
                        "has ended, but something that it started still holds its stdout or stderr",
                    ),
                    None => self.fail("did not end"),
                }
            }
            // The end of the streams wakes this thread; the end of the process, moments later, must be polled.
            let nap = Duration::from_millis(if closed { 1 } else { 20 });
            state = self.watch.sleep(state, nap);
        }
    }

    /// Waits until stderr contains `needle`, even in an incomplete line.
    #[track_caller]
    pub fn wait_for_stderr(&mut self, needle: &str) {
        self.wait_for(Stream::Stderr, needle, |text| {
            text.contains(needle).then_some(())
        });
    }

    /// Waits for a complete line with `needle` on stdout and returns it without its newline.
    #[track_caller]
    pub fn wait_for_stdout_line(&mut self, needle: &str) -> String {
        self.wait_for(Stream::Stdout, needle, |text| {
            let complete = text
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'));
            complete
                .into_iter()
                .find(|line| line.contains(needle))
                .map(str::to_owned)
        })
    }

    #[track_caller]
    fn wait_for<T>(
        &mut self,
        stream: Stream,
        needle: &str,
        found: impl Fn(&str) -> Option<T>,
    ) -> T {
        let limit = Instant::now() + self.deadline;
        let mut state = self.watch.lock();
        loop {
            if let Some(found) = found(&String::from_utf8_lossy(&state.of(stream).bytes)) {
                return found;
            }
            let closed = state.of(stream).closed;
            let left = limit.saturating_duration_since(Instant::now());
            if closed || left.is_zero() {
                drop(state);
                let end = if closed { "closed" } else { "left" };
                self.fail(&format!("{end} its {stream:?} without `{needle}`"));
            }
            state = self.watch.sleep(state, left);
        }
    }

    /// Sends the signal unless the process has been waited for: then its id may belong to another one.
    pub fn signal(&mut self, signal: Signal) {
        if self.status.is_none() {
            kill_process(Pid::from_child(&self.child), signal)
                .expect("a signal to a child process");
        }
    }

    #[track_caller]
    fn fail(&mut self, what: &str) -> ! {
        let after = self.started.elapsed().as_secs_f32();
        self.end();
        let shown = self.transcript();
        panic!(
            "{} {what} ({after:.1} s after its start, waits last at most {:?}):\n{shown}",
            self.line, self.deadline
        );
    }

    fn end(&mut self) {
        if self.status.is_none() {
            self.child.kill().ok();
            self.status = self.child.wait().ok();
        }
    }

    fn transcript(&self) -> String {
        let state = self.watch.lock();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&state.stdout.bytes),
            String::from_utf8_lossy(&state.stderr.bytes),
        );
        transcript(&stdout, &stderr, "[ended by the test]")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let was_running = self.status.is_none();
        self.end();
        if was_running && thread::panicking() {
            let shown = self.transcript();
            #[expect(
                clippy::print_stderr,
                reason = "the output of a background process explains a failed test"
            )]
            {
                eprintln!(
                    "{} was still running when the test failed:\n{shown}",
                    self.line
                );
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// Output collected so far, with a condition variable for waiting threads.
#[derive(Default)]
struct Watch {
    state: Mutex<Collected>,
    changed: Condvar,
}

#[derive(Default)]
struct Collected {
    stdout: Collecting,
    stderr: Collecting,
}

#[derive(Default)]
struct Collecting {
    bytes: Vec<u8>,
    closed: bool,
}

impl Collected {
    fn of(&mut self, stream: Stream) -> &mut Collecting {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(
        &self,
        state: MutexGuard<'a, Collected>,
        at_most: Duration,
    ) -> MutexGuard<'a, Collected> {
        self.changed
            .wait_timeout(state, at_most)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Collects `source` in a thread, until the last process that holds the other end closes it.
    fn follow(self: &Arc<Self>, stream: Stream, mut source: impl Read + Send + 'static) {
        let watch = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                match source.read(&mut buffer) {
                    Ok(count) if count > 0 => watch
                        .lock()
                        .of(stream)
                        .bytes
                        .extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Ok(_) | Err(_) => break,
                }
                watch.changed.notify_all();
            }
            watch.lock().of(stream).closed = true;
            watch.changed.notify_all();
        });
    }
}
