//! What to answer, in turn: `503x3@1s,200` is three times 503, a second late, then 200 for ever.
//!
//! Deliberately knows nothing of connections: it is a pure function from "the how-manieth request" to a step. It has no
//! bodies, and waits for nothing itself.
//!
//! Invariant: a script never runs out. Its last step is the answer to everything after it.

use std::str::FromStr;
use std::time::Duration;

use crate::time::parse_duration;

/// What to do with one request, and how late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub action: Action,
    /// From when the request is kept until it is answered, or its connection reset.
    pub delay: Duration,
}

/// What to do with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Answer with this status, 200 to 599.
    Status(u16),
    /// Never answer: keep the connection open, saying nothing, until the client closes it or the catcher stops.
    Timeout,
    /// Answer nothing and close the connection with a TCP reset.
    Reset,
}

/// The answers of one catcher, in the order in which requests come to be answered, over all its connections.
///
/// Written as steps separated by commas: a status, `timeout` or `reset`, each but the last optionally with a count, and all
/// but `timeout` with a delay, in either order (`503x3`, `200@2s`, `503x3@1s`). The last step lasts for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Each step with how many requests it answers.
    counted: Vec<(Step, u64)>,
    last: Step,
}

/// Why a text is not a [`Script`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Nothing at all, or nothing between two commas.
    #[error("a step is empty: a script is like `200` or `503x3,200`")]
    EmptyStep,
    /// Not a word the grammar knows.
    #[error(
        "`{0}` is not a step: use a status from 200 to 599, `timeout` or `reset`, with `xN` to repeat it and `@2s` to delay it"
    )]
    UnknownStep(String),
    /// A number that no final answer can have; 1xx are never final.
    #[error("`{0}` is not a status to answer with: use 200 to 599")]
    Status(String),
    /// What follows the `x` is not a count from 1 on.
    #[error("`{0}` is repeated by something that is not a number from 1 on: write it like `503x3`")]
    Count(String),
    /// What follows the `@` is not a duration.
    #[error(
        "`{0}` is delayed by something that is not a duration: write it like `200@2s` or `503@500ms`"
    )]
    Delay(String),
    /// A count or a delay given twice.
    #[error("`{0}` has two counts or two delays: one of each is enough, as in `503x3@1s`")]
    Twice(String),
    /// A delay of what never comes.
    #[error(
        "`{0}` delays an answer that never comes: write `timeout` alone, or a status such as `200@2s`"
    )]
    DelayedTimeout(String),
    /// A count on the step that lasts for ever.
    #[error(
        "`{0}` is the last step, which lasts for ever: leave its count out, or say what follows, as in `{0},200`"
    )]
    CountOnLast(String),
}

impl Script {
    /// What to do with the request number `index`, counted from 0.
    pub(super) fn step(&self, index: u64) -> Step {
        let mut left = index;
        for &(step, count) in &self.counted {
            match left.checked_sub(count) {
                Some(after) => left = after,
                None => return step,
            }
        }
        self.last
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut counted = Vec::new();
        let mut steps = text.split(',').map(str::trim).peekable();
        while let Some(written) = steps.next() {
            let (step, count) = parse_step(written)?;
            if steps.peek().is_some() {
                counted.push((step, count.unwrap_or(1)));
            } else if count.is_some() {
                return Err(ScriptError::CountOnLast(written.to_owned()));
            } else {
                return Ok(Self {
                    counted,
                    last: step,
                });
            }
        }
        Err(ScriptError::EmptyStep)
    }
}

/// One step with its count, if it has one.
fn parse_step(written: &str) -> Result<(Step, Option<u64>), ScriptError> {
    if written.is_empty() {
        return Err(ScriptError::EmptyStep);
    }
    // Neither mark is in a word, a number or a unit, so that the parts can be cut at them.
    let (what, mut rest) = written.split_at(written.find(['x', '@']).unwrap_or(written.len()));
    let action = parse_action(what, written)?;
    let (mut count, mut delay) = (None, None);
    while let Some(mark) = rest.chars().next() {
        let end = rest[1..].find(['x', '@']).map_or(rest.len(), |at| at + 1);
        let value = &rest[1..end];
        let twice = if mark == 'x' {
            let parsed = parse_digits::<u64>(value).filter(|count| *count > 0);
            count
                .replace(parsed.ok_or_else(|| ScriptError::Count(written.to_owned()))?)
                .is_some()
        } else {
            let parsed =
                parse_duration(value).map_err(|_| ScriptError::Delay(written.to_owned()))?;
            delay.replace(parsed).is_some()
        };
        if twice {
            return Err(ScriptError::Twice(written.to_owned()));
        }
        rest = &rest[end..];
    }
    if action == Action::Timeout && delay.is_some() {
        return Err(ScriptError::DelayedTimeout(written.to_owned()));
    }
    Ok((
        Step {
            action,
            delay: delay.unwrap_or_default(),
        },
        count,
    ))
}

fn parse_action(what: &str, written: &str) -> Result<Action, ScriptError> {
    match what {
        "timeout" => Ok(Action::Timeout),
        "reset" => Ok(Action::Reset),
        _ => match parse_digits::<u16>(what) {
            Some(status @ 200..=599) => Ok(Action::Status(status)),
            _ if what.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(ScriptError::Status(what.to_owned()))
            }
            _ => Err(ScriptError::UnknownStep(written.to_owned())),
        },
    }
}

/// A number of digits only: `parse` alone would also take `+3`.
fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// The status that the last segment of `path` asks for, where that is a number from 200 to 599: 503 of `/bin/503`.
pub(super) fn status_in(path: &str) -> Option<u16> {
    let (_, last) = path.rsplit_once('/')?;
    parse_digits::<u16>(last).filter(|status| last.len() == 3 && (200..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::Action::{Reset, Status, Timeout};
    use super::*;

    fn first(script: &str, requests: u64) -> Vec<Action> {
        let script: Script = script.parse().unwrap();
        (0..requests)
            .map(|index| script.step(index).action)
            .collect()
    }

    #[test]
    fn steps_come_in_turn_and_the_last_is_for_ever() {
        assert_eq!(first("200", 3), [Status(200); 3]);
        assert_eq!(
            first("503x3,200", 5),
            [
                Status(503),
                Status(503),
                Status(503),
                Status(200),
                Status(200)
            ]
        );
        assert_eq!(
            first("404, timeoutx2 ,reset", 5),
            [Status(404), Timeout, Timeout, Reset, Reset]
        );
        let script: Script = "500x18446744073709551615,500x2,200".parse().unwrap();
        assert_eq!(script.step(u64::MAX).action, Status(500));
    }

    #[test]
    fn a_step_may_be_delayed_before_or_after_its_count() {
        for script in ["503x2@1m30s,200@500ms", "503@1m30sx2 , 200@500ms"] {
            let script: Script = script.parse().unwrap();
            let late = Step {
                action: Status(503),
                delay: Duration::from_secs(90),
            };
            let last = Step {
                action: Status(200),
                delay: Duration::from_millis(500),
            };
            assert_eq!(
                [0, 1, 2, 9].map(|index| script.step(index)),
                [late, late, last, last]
            );
        }
        let reset = "reset@2s".parse::<Script>().unwrap().step(0);
        assert_eq!(
            reset,
            Step {
                action: Reset,
                delay: Duration::from_secs(2)
            }
        );
    }

    #[test]
    fn what_is_wrong_is_said_of_the_step_that_is_wrong() {
        use ScriptError::{
            Count, CountOnLast, Delay, DelayedTimeout, EmptyStep, Status, Twice, UnknownStep,
        };
        for (text, error) in [
            ("", EmptyStep),
            ("503,,200", EmptyStep),
            ("503x3,", EmptyStep),
            ("ok", UnknownStep("ok".into())),
            ("x3,200", UnknownStep("x3".into())),
            ("@1s", UnknownStep("@1s".into())),
            ("Timeout", UnknownStep("Timeout".into())),
            ("+200", UnknownStep("+200".into())),
            ("-1", UnknownStep("-1".into())),
            ("199", Status("199".into())),
            ("600", Status("600".into())),
            ("99999", Status("99999".into())),
            ("503x,200", Count("503x".into())),
            ("503x0,200", Count("503x0".into())),
            ("503x+3,200", Count("503x+3".into())),
            ("503x3x3,200", Twice("503x3x3".into())),
            ("200@1s@1s", Twice("200@1s@1s".into())),
            ("200@", Delay("200@".into())),
            ("200@2", Delay("200@2".into())),
            ("200@-2s", Delay("200@-2s".into())),
            ("timeout@2s", DelayedTimeout("timeout@2s".into())),
            ("503x3", CountOnLast("503x3".into())),
            ("503x3@1s", CountOnLast("503x3@1s".into())),
        ] {
            assert_eq!(text.parse::<Script>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_path_may_end_in_a_status() {
        for (path, status) in [
            ("/bin/503", Some(503)),
            ("/200", Some(200)),
            ("/a/b/599", Some(599)),
        ] {
            assert_eq!(status_in(path), status, "{path}");
        }
        for path in [
            "/bin",
            "/503/",
            "/bin/199",
            "/bin/600",
            "/bin/0503",
            "/bin/+503",
            "503",
            "/bin/50x",
            "*",
            "",
        ] {
            assert_eq!(status_in(path), None, "{path}");
        }
    }
}
