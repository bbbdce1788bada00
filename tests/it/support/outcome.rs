//! The result of a run: both streams as bytes, text and JSON, and the exit status. Failed assertions show the command
//! line and all output.

use std::fmt::{self, Display, Formatter};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;

/// Output and exit status of a process.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// `None` if a signal ended the process.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// Measured by polling, so up to 20 ms too long.
    pub elapsed: Duration,
    command: String,
    stdout_text: String,
    stderr_text: String,
}

impl Outcome {
    pub(super) fn new(
        command: String,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        status: ExitStatus,
        elapsed: Duration,
    ) -> Self {
        let stdout_text = String::from_utf8_lossy(&stdout).into_owned();
        let stderr_text = String::from_utf8_lossy(&stderr).into_owned();
        let (code, signal) = (status.code(), status.signal());
        Self {
            stdout,
            stderr,
            code,
            signal,
            elapsed,
            command,
            stdout_text,
            stderr_text,
        }
    }

    /// stdout as text; invalid UTF-8 becomes U+FFFD.
    pub fn stdout(&self) -> &str {
        &self.stdout_text
    }

    /// stderr as text; invalid UTF-8 becomes U+FFFD.
    pub fn stderr(&self) -> &str {
        &self.stderr_text
    }

    /// What a terminal shows in the end: lines without those that were erased.
    pub fn screen(&self) -> String {
        let erased = |line: &str| match line.rsplit_once("\r\u{1b}[K") {
            Some((_, shown)) => shown.to_owned(),
            None => line.to_owned(),
        };
        let lines = self.stdout().split('\n');
        let shown = lines.map(|line| erased(line.trim_end_matches('\r')));
        shown.collect::<Vec<_>>().join("\n")
    }

    pub fn command(&self) -> &str {
        &self.command
    }

    /// stdout as exactly one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "stdout of {} is not one JSON value: {error}\n{self}",
                self.command
            )
        })
    }

    /// stdout as one JSON value per line, without empty lines, the last one terminated.
    #[track_caller]
    pub fn ndjson(&self) -> Vec<Value> {
        let whole = self.stdout.is_empty() || self.stdout.ends_with(b"\n");
        assert!(
            whole,
            "the last line on stdout of {} has no end\n{self}",
            self.command
        );
        let lines = self
            .stdout
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate();
        let parse = |(index, line)| {
            serde_json::from_slice(line).unwrap_or_else(|error| {
                panic!(
                    "line {} on stdout of {} is not JSON: {error}\n{self}",
                    index + 1,
                    self.command
                )
            })
        };
        lines.map(parse).collect()
    }

    /// Fails and shows all output unless the exit code is `code`.
    #[track_caller]
    pub fn assert_code(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "{} should have exited with {code}\n{self}",
            self.command
        );
        self
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ending = match (self.code, self.signal) {
            (Some(code), _) => format!("[exit code: {code}]"),
            (None, Some(signal)) => format!("[signal: {signal}]"),
            (None, None) => "[neither exit code nor signal]".to_owned(),
        };
        f.write_str(&transcript(self.stdout(), self.stderr(), &ending))
    }
}

/// Both streams and the exit status, for messages and snapshots.
pub(super) fn transcript(stdout: &str, stderr: &str, ending: &str) -> String {
    // A missing final newline is part of the output, so it is shown.
    let lines = |text: &str| match text.is_empty() || text.ends_with('\n') {
        true => text.to_owned(),
        false => format!("{text}\n[no line end]\n"),
    };
    format!(
        "{}------- stderr -------\n{}{ending}",
        lines(stdout),
        lines(stderr)
    )
}
