//! This very program, run once more for what a page asks to be sent.
//!
//! Who presses "retry" on the page gets what `hookfire retry` does, to the letter: the same secrets from the same places,
//! the same leases, the same exit code. Deliberately nothing of it is done here a second time.
//!
//! Invariant: a run is given an end, whatever it waits for.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Failure, Kind};
use crate::time::compact;

/// As long as a few deliveries in a row may take with the default timeouts, and some more.
const DEADLINE: Duration = Duration::from_secs(300);

/// Bytes of either stream that are read.
const LONGEST: u64 = 32 * 1024 * 1024;

/// How to run this program on the same journal and configuration.
#[derive(Clone, Debug)]
pub struct SelfCommand {
    program: PathBuf,
    options: Vec<OsString>,
    deadline: Duration,
}

/// What a run with `-o json` said.
#[derive(Debug, Default)]
pub struct Output {
    /// What it wrote to stdout, if that was JSON.
    pub result: Option<Value>,
    /// The error object that it wrote to stderr, if any.
    pub error: Option<Value>,
}

impl SelfCommand {
    pub(super) fn new(journal: &Path, config: Option<&Path>) -> Result<SelfCommand, Failure> {
        let mut options = vec!["--journal".into(), journal.into()];
        if let Some(config) = config {
            options.extend(["--config".into(), config.into()]);
        }
        Ok(SelfCommand {
            program: std::env::current_exe().map_err(|e| failed("could not be found", e))?,
            options,
            deadline: DEADLINE,
        })
    }

    /// Runs a command with `-o json` to its end, with these variables in its environment.
    ///
    /// # Errors
    /// When it cannot be run, does not end, or says neither a result nor an error.
    pub fn run(&self, args: &[String], variables: &[(&str, &str)]) -> Result<Output, Failure> {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .args(["-o", "json"])
            .args(&self.options)
            .envs(variables.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|e| failed("could not be started", e))?;
        let stdout = follow(child.stdout.take());
        let stderr = follow(child.stderr.take());
        let until = Instant::now() + self.deadline;
        let streams = [stdout, stderr]
            .map(|stream| stream.recv_timeout(until.saturating_duration_since(Instant::now())));
        let [Ok(stdout), Ok(stderr)] = streams else {
            // It may have ended just now. What it was sending is in the journal as begun, and so not lost.
            let _ = child.kill();
            let _ = child.wait();
            let late = matches!(
                streams,
                [Err(RecvTimeoutError::Timeout), _] | [_, Err(RecvTimeoutError::Timeout)]
            );
            let words = if late {
                format!("did not end within {}", compact(self.deadline))
            } else {
                "broke off".into()
            };
            return Err(Failure::new(
                Kind::Error,
                format!("a run of hookfire {words}, and was stopped"),
            )
            .hint("`hookfire failed list` shows what was not delivered"));
        };
        let status = child
            .wait()
            .map_err(|e| failed("could not be waited for", e))?;
        let said = Output::read(&stdout, &stderr);
        if said.result.is_none() && said.error.is_none() {
            return Err(Failure::new(
                Kind::Error,
                format!("a run of hookfire said nothing, and ended with {status}"),
            ));
        }
        Ok(said)
    }
}

impl Output {
    fn read(stdout: &[u8], stderr: &[u8]) -> Output {
        // Warnings, objects too, may stand before it.
        let mut lines = stderr
            .rsplit(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let error = lines.find_map(|mut object| object.get_mut("error").map(Value::take));
        Output {
            result: serde_json::from_slice(stdout).ok(),
            error,
        }
    }
}

/// Reads a stream to its end on a thread of its own, so that a full pipe never stops the program at the other end.
fn follow(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (ended, wait) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read before an error is all there is to be had.
        let _ = stream.map(|stream| stream.take(LONGEST).read_to_end(&mut bytes));
        let _ = ended.send(bytes);
    });
    wait
}

fn failed(what: &str, error: io::Error) -> Failure {
    Failure::from_error(
        Kind::Error,
        anyhow::Error::from(error).context(format!("a run of hookfire {what}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in the program's place; what is appended to its arguments does not change what it does.
    fn shell(script: &str, deadline: Duration) -> Result<Output, Failure> {
        let itself = SelfCommand {
            program: "/bin/sh".into(),
            options: vec!["--journal".into(), "x".into()],
            deadline,
        };
        itself.run(
            &["-c".to_owned(), script.to_owned(), "sh".to_owned()],
            &[("FROM_PAGE", "there")],
        )
    }

    #[test]
    fn result_and_error_are_both_read() {
        let script = r#"echo '[{"id":1}]'; echo '{"warning":"w"}' >&2; echo '{"error":{"kind":"refused"}}' >&2; exit 3"#;
        let said = shell(script, DEADLINE).unwrap();
        assert_eq!(said.result.unwrap()[0]["id"], 1);
        assert_eq!(said.error.unwrap()["kind"], "refused");
    }

    #[test]
    fn the_options_come_last_and_ask_for_json() {
        let said = shell(r#"printf '"%s %s"' "$*" "$FROM_PAGE""#, DEADLINE).unwrap();
        assert_eq!(said.result.unwrap(), "-o json --journal x there");
    }

    #[test]
    fn more_than_a_pipe_holds_is_read_from_both_streams() {
        let script = r#"head -c 300000 /dev/zero | tr '\0' ' ' >&2; head -c 300000 /dev/zero | tr '\0' ' '; echo 1"#;
        assert_eq!(shell(script, DEADLINE).unwrap().result.unwrap(), 1);
    }

    #[test]
    fn a_run_without_end_is_ended() {
        let failure = shell("exec sleep 60", Duration::from_millis(50)).unwrap_err();
        assert!(
            failure
                .error
                .to_string()
                .contains("did not end within 50ms"),
            "{}",
            failure.error
        );
    }

    #[test]
    fn a_run_that_says_nothing_is_a_failure() {
        let failure = shell("exit 9", DEADLINE).unwrap_err();
        assert!(
            failure.error.to_string().contains("exit status: 9"),
            "{}",
            failure.error
        );
    }
}
