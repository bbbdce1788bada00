//! One run of the program: how it is called and how it is watched; what came of it is in `outcome.rs`.
//!
//! Does not decide the environment (`env.rs` does) and judges nothing unasked. Invariants: no wait is
//! unbounded; both streams are read all the time, so a full pipe never blocks the program; no process
//! outlives its [`Running`].

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

/// A command in the making. stdin is empty unless given.
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

    /// A variable for this command only.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away from this command only.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// What the program can read from stdin; then comes the end of the file.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// How long each wait for this process may last (else 30 s), before it is killed and the test fails.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the command to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }

    /// Starts the command and goes on.
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
            // A program that does not read all of its input is no failure of the test.
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

/// The program's name and arguments, quoted where a reader would stumble.
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

/// A started process. Dropped before its end, it is killed; if the test is failing, its output is shown.
#[must_use = "a process that nobody waits for is killed at once"]
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

    /// What the system says of its memory, such as `VmHWM:`, the most that it has had.
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

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child process");
        }
        self.status.is_none()
    }

    /// SIGKILL: the process gets no chance to tidy up. Like the other signals, without effect on one that has
    /// ended. Returns when it is dead, which takes a moment on a busy machine; it stays a zombie.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        if self.status.is_none() {
            let dead = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(Pid::from_child(&self.child)), dead)
                .expect("the end of a child process");
        }
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM, as `kill` and service managers send it.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: it does nothing until it is [resumed](Running::resume). Returns when it has stopped.
    pub fn suspend(&mut self) {
        self.signal(Signal::STOP);
        if self.status.is_none() {
            let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(Pid::from_child(&self.child)), stopped)
                .expect("a child process that stops");
        }
    }

    /// SIGCONT.
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
            // The end of the streams wakes this at once; the process's own end, moments later, has to be
            // asked for.
            let nap = Duration::from_millis(if closed { 1 } else { 20 });
            state = self.watch.sleep(state, nap);
        }
    }

    /// Waits until `needle` has been written to stderr, whether its line is complete or not.
    #[track_caller]
    pub fn wait_for_stderr(&mut self, needle: &str) {
        self.wait_for(Stream::Stderr, needle, |text| {
            text.contains(needle).then_some(())
        });
    }

    /// Waits until a line with `needle` in it is complete on stdout, and gives the line, without its end.
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

    /// Sends the signal, unless the process has been waited for: only until then is its id surely its own.
    fn signal(&mut self, signal: Signal) {
        if self.status.is_none() {
            kill_process(Pid::from_child(&self.child), signal)
                .expect("a signal to a child process");
        }
    }

    /// Ends the process and the test.
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
                reason = "what a background process said is half of a failed test's story"
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

/// What has come from both streams so far, and who waits for more.
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

    /// Collects `source` in a thread until it ends; the thread ends with the last process that holds the
    /// other end.
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
