//! Runs one process in a process group of its own, within a time limit.
//!
//! Standard input is a file, so that a process that reads nothing does not block the writer. The process is polled, so that
//! neither silence nor endless output delays the time limit.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::env::{Ending, end_process, exit_code, group_is_left, wait_readable};
use crate::error::Failure;
use crate::http::Memory;
use crate::time::compact;

/// How long processes may take to end after SIGTERM.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(2);

/// How soon the end of the process, and the time limit, are noticed.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The end of standard error that is kept until secrets are masked.
const MAX_STDERR: usize = 64 * 1024;

/// What background processes write after the end of the process is not read to the end.
const MAX_READS_AFTER_END: usize = 64;

pub struct Invocation<'a> {
    pub program: &'a Path,
    pub arguments: &'a [OsString],
    pub variables: &'a [(&'static str, String)],
    pub timeout: Duration,
    /// Whether hookfire is to end.
    pub is_stopped: &'a dyn Fn() -> bool,
}

/// What happens to standard output.
pub enum Stdout<'a> {
    Discard,
    /// It is collected, as far as there is memory.
    Collect(&'a Arc<dyn Memory>),
}

pub struct Output {
    /// As in a shell: 128 plus the number of a signal. None if the process was not started.
    pub exit_code: Option<i32>,
    /// Why it was not started, or was ended.
    pub error: Option<String>,
    pub duration: Duration,
    pub stdout: Vec<u8>,
    /// The last bytes that the command wrote to stderr.
    pub stderr: Vec<u8>,
}

impl Invocation<'_> {
    pub fn run(&self, input: &[u8], stdout: Stdout<'_>) -> Output {
        let started = Instant::now();
        let mut output = Output {
            exit_code: None,
            error: None,
            duration: Duration::ZERO,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        match self.start(input, &stdout) {
            Ok(child) => self.attend(child, started, &stdout, &mut output),
            Err(e) => output.error = Some(format!("not started: {e}")),
        }
        output.duration = started.elapsed();
        output
    }

    fn start(&self, input: &[u8], stdout: &Stdout<'_>) -> io::Result<Child> {
        let mut file: File = tempfile::tempfile()?;
        file.write_all(input)?;
        file.rewind()?;
        let stdout = match stdout {
            Stdout::Discard => Stdio::null(),
            Stdout::Collect(_) => Stdio::piped(),
        };
        process::Command::new(self.program)
            .args(self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(file)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }

    /// Reads the output until the process has ended, and ends it if it has to.
    fn attend(&self, mut child: Child, started: Instant, stdout: &Stdout<'_>, output: &mut Output) {
        let pid = child.id();
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let (mut asked, mut reads_after_end) = (None, 0);
        loop {
            // Checked before reading, so that output written before the end is read.
            let code = exit_code(pid).unwrap_or(Some(1));
            let wait = match code {
                Some(_) => Duration::ZERO,
                None => POLL_INTERVAL,
            };
            let fds = [
                out.as_ref().map(|stream| stream.as_fd()),
                err.as_ref().map(|stream| stream.as_fd()),
            ];
            let [has_out, has_err] = match fds {
                [None, None] => {
                    std::thread::sleep(wait.min(Duration::from_millis(1)));
                    [false; 2]
                }
                fds => wait_readable(fds, wait).unwrap_or([true; 2]),
            };
            if has_out && let Some(bytes) = read(&mut out) {
                let fits = match stdout {
                    Stdout::Collect(memory) => memory.grow(output.stdout.len() + bytes.len()),
                    Stdout::Discard => Ok(()),
                };
                match fits {
                    Ok(()) => output.stdout.extend(bytes),
                    Err(problem) => {
                        out = None;
                        output.error.get_or_insert(format!("its output {problem}"));
                    }
                }
            }
            if has_err && let Some(bytes) = read(&mut err) {
                output.stderr.extend(bytes);
                let surplus = output.stderr.len().saturating_sub(MAX_STDERR);
                // Rarely, so that little is moved.
                if surplus > MAX_STDERR {
                    output.stderr.drain(..surplus);
                }
            }
            if let Some(code) = code {
                output.exit_code = Some(code);
                reads_after_end += 1;
                if !(has_out || has_err) || reads_after_end > MAX_READS_AFTER_END {
                    break;
                }
                continue;
            }
            if started.elapsed() >= self.timeout {
                let limit = compact(self.timeout);
                let error = format!("ended after the time limit of {limit}");
                output.error.get_or_insert(error);
            } else if (self.is_stopped)() {
                let error = "ended because hookfire was stopped".to_owned();
                output.error.get_or_insert(error);
            }
            if output.error.is_some() {
                let ending = match asked {
                    None => Some(Ending::Asked),
                    Some(at) if Instant::now() >= at => Some(Ending::Forced),
                    Some(_) => None,
                };
                asked.get_or_insert(Instant::now() + TERMINATION_TIMEOUT);
                if let Some(ending) = ending {
                    // Fails if it has just ended.
                    let _ = end_process(pid, true, ending);
                }
            }
        }
        // It has ended.
        let _ = child.wait();
        end_rest(pid, asked.unwrap_or(Instant::now() + TERMINATION_TIMEOUT));
    }
}

/// Ends the background processes that a process left in its group: SIGTERM, and SIGKILL at `limit`.
fn end_rest(pid: u32, limit: Instant) {
    if !group_is_left(pid) {
        return;
    }
    let _ = end_process(pid, true, Ending::Asked);
    while group_is_left(pid) {
        if Instant::now() >= limit {
            let _ = end_process(pid, true, Ending::Forced);
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a readable stream has; at its end, forgets it.
fn read(stream: &mut Option<impl Read>) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 16 * 1024];
    let read = stream.as_mut()?.read(&mut buffer).unwrap_or(0);
    if read == 0 {
        *stream = None;
        return None;
    }
    buffer.truncate(read);
    Some(buffer)
}

/// Fails if no such program can be run: when the first webhook arrives it would be too late.
pub fn require_program(program: &Path) -> Result<(), Failure> {
    let can_run = |path: &Path| {
        let found = std::fs::metadata(path);
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let shown = program.display();
    let has_folder = program.components().count() > 1;
    if has_folder && can_run(program) || !has_folder && in_path(program, can_run) {
        return Ok(());
    }
    let failure = Failure::usage(format!("`--exec {shown}` is not a program that can be run"));
    Err(if program.to_string_lossy().contains(' ') {
        failure.hint("arguments come after `--`: `--exec PROGRAM -- ARGS`; for shell syntax, use `--exec sh -- -c '…'`")
    } else if !has_folder && Path::new(".").join(program).is_file() {
        failure.hint(format!("a program of this folder is `--exec ./{shown}`"))
    } else if program.is_file() {
        failure.hint(format!("make it executable: `chmod +x {shown}`"))
    } else {
        failure
    })
}

fn in_path(program: &Path, can_run: impl Fn(&Path) -> bool) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| can_run(&folder.join(program)))
}
