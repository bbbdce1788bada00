//! Runs a command for a captured request: `listen --exec` and `captured replay --exec`.
//!
//! The body is the command's standard input, and its metadata is in variables; nothing of a request is an argument, or passes a
//! shell. `process` runs one process, `metadata` makes the variables, `queue` runs commands in the order of captures, and
//! `responder` responds with their output.

mod metadata;
mod process;
pub mod queue;
pub mod responder;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::{Args, ValueHint};

use super::context::Context;
use crate::capture::Run;
use crate::env::SystemClock;
use crate::error::Failure;
use crate::journal::{GroupWriter, StoredCapture, Write, WriteResult};
use crate::secret::Redactor;
use crate::time::{UnixMs, parse_timeout};
use process::{Output, Stdout};

const DEFAULT_TIMEOUT: &str = "30s";

/// Bytes of a command's standard error that are stored.
const MAX_STORED_STDERR: usize = 4 * 1024;

/// The command, which both `listen` and `captured replay` run.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Command")]
pub struct CommandArgs {
    /// Run this program with the body on its standard input, and the metadata in HOOKFIRE_CAPTURE_… variables;
    /// its arguments come after `--`
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandName)]
    pub exec: Option<PathBuf>,
    /// How long the program may run; then its process group is ended (SIGTERM, SIGKILL two seconds later)
    #[arg(long, value_name = "DURATION", default_value = DEFAULT_TIMEOUT, value_parser = parse_timeout, requires = "exec")]
    pub exec_timeout: Duration,
    /// Arguments of the program of --exec
    #[arg(last = true, value_name = "ARGS", requires = "exec", value_hint = ValueHint::Other)]
    pub exec_args: Vec<OsString>,
}

/// Runs a program, and stores its runs.
#[derive(Clone)]
pub struct Runner {
    program: PathBuf,
    arguments: Vec<OsString>,
    timeout: Duration,
    writer: Arc<GroupWriter>,
    redactor: Redactor,
    clock: SystemClock,
}

impl Runner {
    /// None without `--exec`. A program that does not exist is an error.
    pub fn new(
        args: &CommandArgs,
        writer: Arc<GroupWriter>,
        redactor: Redactor,
        ctx: &Context<'_>,
    ) -> Result<Option<Runner>, Failure> {
        let Some(program) = &args.exec else {
            return Ok(None);
        };
        process::require_program(program)?;
        Ok(Some(Runner {
            program: program.clone(),
            arguments: args.exec_args.clone(),
            timeout: args.exec_timeout,
            writer,
            redactor,
            clock: ctx.clock.clone(),
        }))
    }

    /// The program as given, secrets masked, for messages and lists of runs.
    fn name(&self) -> String {
        self.redactor.redact(&self.program.to_string_lossy())
    }

    /// Runs the command for a capture and discards what it writes to stdout.
    pub fn run(&self, capture: &StoredCapture) -> Result<Run, String> {
        let (run, _) = self.run_with(capture, Stdout::Discard)?;
        Ok(run)
    }

    /// Stores the beginning of a run, runs the program, and stores the result. The error says why it was not run.
    fn run_with(
        &self,
        capture: &StoredCapture,
        stdout: Stdout<'_>,
    ) -> Result<(Run, Vec<u8>), String> {
        let id = capture.record.id;
        let mut run = Run {
            number: 0,
            command: self.name(),
            started_at: UnixMs::from_system(),
            duration_ms: None,
            exit_code: None,
            error: None,
            stderr: String::new(),
        };
        run.number = match self.write(Write::BeginRun(id, run.clone()))? {
            WriteResult::Claimed(number) => number,
            _ => return Err("the capture was deleted".to_owned()),
        };
        let variables = metadata::variables(capture);
        let command = process::Invocation {
            program: &self.program,
            arguments: &self.arguments,
            variables: &variables,
            timeout: self.timeout,
            is_stopped: &|| self.clock.is_interrupted(),
        };
        let output = command.run(&capture.body.bytes, stdout);
        let Output {
            exit_code,
            error,
            duration,
            stdout,
            stderr,
        } = output;
        run.duration_ms = Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        run.exit_code = exit_code;
        run.error = error;
        run.stderr = self.stored_stderr(&stderr);
        // The run has happened, whether or not that can be stored.
        let _ = self.write(Write::EndRun(id, run.clone()));
        Ok((run, stdout))
    }

    fn write(&self, write: Write) -> Result<WriteResult, String> {
        let (reply, replied) = mpsc::channel();
        let done = move |result| {
            let _ = reply.send(result);
        };
        self.writer.submit(write, Box::new(done));
        match replied.recv() {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("internal error".to_owned()),
        }
    }

    /// The end of it, without secrets.
    fn stored_stderr(&self, stderr: &[u8]) -> String {
        let redacted = self.redactor.redact_bytes(stderr);
        let start = redacted.len().saturating_sub(MAX_STORED_STDERR);
        let text = String::from_utf8_lossy(&redacted[start..]).into_owned();
        match start {
            0 => text,
            _ => format!("…{}", text.trim_start_matches(char::REPLACEMENT_CHARACTER)),
        }
    }
}
