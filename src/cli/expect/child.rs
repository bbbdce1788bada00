//! The command that `expect` runs, and its end.
//!
//! It inherits stdin; its stdout goes to stderr, since stdout is for captures. If stdin is a terminal, it stays in the
//! terminal's process group, so that it can read from it and receives Ctrl-C. Otherwise it gets a process group of its own,
//! which is signalled as a whole, including background processes that outlive the command.
//!
//! A process that has been waited for is never signalled, and its group only while it has members. A second signal to
//! `expect` kills the command through its [`RunningCommand`].

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal as _};
use std::num::NonZeroU8;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::env::{Ending, end_process, exit_code, group_is_left};
use crate::error::{Failure, Kind};
use crate::exit::Exit;

/// How long a process may take to end after SIGTERM.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(2);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A process that runs or has ended. It does not outlive this value.
pub struct Child {
    process: process::Child,
    own_group: bool,
    running: RunningCommand,
    is_stopped: bool,
}

/// The state of the command, shared with the thread that handles signals.
#[derive(Clone, Default)]
pub struct RunningCommand(Arc<Mutex<Option<SignalTarget>>>);

#[derive(Clone, Copy)]
struct SignalTarget {
    pid: u32,
    /// Signal the process group, rather than the process.
    is_group: bool,
}

impl RunningCommand {
    pub fn kill(&self) {
        self.signal(Ending::Forced);
    }

    fn target(&self) -> MutexGuard<'_, Option<SignalTarget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        *self.target() = None;
    }

    fn signal(&self, ending: Ending) {
        let target = self.target();
        if let Some(SignalTarget { pid, is_group }) = *target {
            // Fails if it ended just now.
            let _ = end_process(pid, is_group, ending);
        }
    }
}

impl Child {
    /// Starts a command with `url` in its environment. Errors have the exit codes of a shell: 127 if the program does not
    /// exist, 126 if it cannot be run.
    pub fn start(
        words: &[OsString],
        url: Option<&str>,
        running: &RunningCommand,
    ) -> Result<Option<Child>, Failure> {
        let Some((program, arguments)) = words.split_first() else {
            return Ok(None);
        };
        let mut command = process::Command::new(program);
        command.args(arguments).stdout(Stdio::from(io::stderr()));
        // Set if this runs inside another `expect`.
        command.env_remove("HOOKFIRE_EXPECT_URL");
        if let Some(url) = url {
            // `hookfire fire` refuses both an endpoint and a URL in its environment.
            command
                .env("HOOKFIRE_EXPECT_URL", url)
                .env("HOOKFIRE_URL", url)
                .env_remove("HOOKFIRE_ENDPOINT");
        }
        let own_group = !io::stdin().is_terminal();
        if own_group {
            command.process_group(0);
        }
        // Locked before the command runs: a second signal that arrives meanwhile must not find nothing to kill.
        let mut target = running.target();
        let process = command
            .spawn()
            .map_err(|e| cannot_run(Path::new(program), e))?;
        *target = Some(SignalTarget {
            pid: process.id(),
            is_group: own_group,
        });
        drop(target);
        Ok(Some(Child {
            process,
            own_group,
            running: running.clone(),
            is_stopped: false,
        }))
    }

    /// Ends the command and the other processes of its own group, with SIGTERM and, if they do not end in time, SIGKILL.
    /// Returns whether the command was still running.
    pub fn stop(&mut self) -> bool {
        if std::mem::replace(&mut self.is_stopped, true) {
            return false;
        }
        let was_running = self.is_running();
        if was_running || self.own_group {
            self.running.signal(Ending::Asked);
        }
        let limit = Instant::now() + TERMINATION_TIMEOUT;
        while self.is_running() && Instant::now() < limit {
            std::thread::sleep(POLL_INTERVAL);
        }
        if self.is_running() {
            self.running.signal(Ending::Forced);
        }
        if !self.own_group {
            self.running.forget();
        }
        // SIGKILL cannot be ignored.
        let _ = self.process.wait();
        let is_left = || self.own_group && group_is_left(self.process.id());
        while is_left() && Instant::now() < limit {
            std::thread::sleep(POLL_INTERVAL);
        }
        if is_left() {
            self.running.signal(Ending::Forced);
        }
        self.running.forget();
        was_running
    }

    /// None while it runs. Codes are a byte; anything else is a failure.
    pub fn exit_code(&self) -> io::Result<Option<u8>> {
        let code = exit_code(self.process.id())?;
        Ok(code.map(|code| u8::try_from(code).unwrap_or(u8::MAX)))
    }

    fn is_running(&self) -> bool {
        self.exit_code().is_ok_and(|code| code.is_none())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

fn cannot_run(program: &Path, error: io::Error) -> Failure {
    let missing = error.kind() == ErrorKind::NotFound;
    let failure = Failure::from_error(Kind::Command, error)
        .context(format!("cannot run `{}`", program.display()));
    let code = NonZeroU8::new(if missing { 127 } else { 126 }).map(Exit::Command);
    Failure {
        exit: code,
        ..failure
    }
    .hint("after `--`, pass a program and its arguments; for shell syntax, use `-- sh -c '…'`")
}
