//! The command that `expect` runs: started with the URL in its environment, and ended with all that it started.
//!
//! Its stdin is ours; its stdout goes to our stderr, since our stdout is for captures. Where stdin is a terminal it stays in
//! our process group, so that it may read from there and gets the terminal's own Ctrl-C; elsewhere it gets a group of its
//! own, and is signalled with everything in it, also with what it left behind when it ended.
//!
//! Invariant: it does not outlive this value; a process that has been waited for is never signalled, and its group only as
//! long as something is left of it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal as _};
use std::num::NonZeroU8;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

use crate::env::{Ending, end_process, exit_code, group_is_left};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::expect::Command;

/// How long a process may take to tidy up after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How often a process that is to end is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// A process that runs, or has run.
pub struct Child {
    process: process::Child,
    own_group: bool,
    code: Option<u8>,
    over: bool,
}

impl Child {
    /// Starts it; `url` is where it, or what it causes, should send to.
    ///
    /// # Errors
    /// With a shell's codes: 127 if there is no such program, 126 if it cannot be run.
    pub fn start(words: &[OsString], url: Option<&str>) -> Result<Option<Child>, Failure> {
        let Some((program, arguments)) = words.split_first() else {
            return Ok(None);
        };
        let mut command = process::Command::new(program);
        command.args(arguments).stdout(Stdio::from(io::stderr()));
        // That of an expect around this one is none of ours.
        command.env_remove("HOOKFIRE_EXPECT_URL");
        if let Some(url) = url {
            // A variable for the endpoint beside one for the URL would leave a `hookfire fire` without either.
            command
                .env("HOOKFIRE_EXPECT_URL", url)
                .env("HOOKFIRE_URL", url)
                .env_remove("HOOKFIRE_ENDPOINT");
        }
        let own_group = !io::stdin().is_terminal();
        if own_group {
            command.process_group(0);
        }
        match command.spawn() {
            Ok(process) => Ok(Some(Child {
                process,
                own_group,
                code: None,
                over: false,
            })),
            Err(error) => Err(cannot_run(Path::new(program), error)),
        }
    }

    /// Ends it if it has not ended, and what it left in a group of its own: SIGTERM, and SIGKILL if that is not heeded.
    /// Whether it was still running.
    pub fn stop(&mut self) -> bool {
        if std::mem::replace(&mut self.over, true) {
            return false;
        }
        let was_running = self.is_running();
        if was_running || self.own_group {
            self.signal(Ending::Asked);
        }
        let limit = Instant::now() + GRACE;
        while self.is_running() && Instant::now() < limit {
            std::thread::sleep(GLANCE);
        }
        if self.is_running() {
            self.signal(Ending::Forced);
        }
        // Nothing is left of it that could refuse.
        let _ = self.process.wait();
        let is_left = || self.own_group && group_is_left(self.process.id());
        while is_left() && Instant::now() < limit {
            std::thread::sleep(GLANCE);
        }
        if is_left() {
            self.signal(Ending::Forced);
        }
        was_running
    }

    fn is_running(&mut self) -> bool {
        // Of a process whose state cannot be told there is nothing to signal either.
        self.ended().is_ok_and(|code| code.is_none())
    }

    fn signal(&self, ending: Ending) {
        // It may have ended just now, which is what was wanted.
        let _ = end_process(self.process.id(), self.own_group, ending);
    }
}

impl Command for Child {
    fn ended(&mut self) -> io::Result<Option<u8>> {
        if self.code.is_none() {
            // Codes are a byte wide; whatever is not is no success.
            self.code =
                exit_code(self.process.id())?.map(|code| u8::try_from(code).unwrap_or(u8::MAX));
        }
        Ok(self.code)
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
    .hint("after `--` comes a program with its arguments; for a line of shell: `-- sh -c '…'`")
}
