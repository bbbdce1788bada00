//! What to answer, in turn: `503x3,200` is three times 503, then 200 for ever.
//!
//! Deliberately knows nothing of connections: it is a pure function from "the how-manieth request" to an answer. It has
//! no delays and no bodies.
//!
//! Invariant: a script never runs out. Its last step is the answer to everything after it.

use std::str::FromStr;

/// What to do with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Answer with this status, 200 to 599.
    Status(u16),
    /// Never answer: keep the connection open, saying nothing, until the client closes it or the catcher stops.
    Timeout,
    /// Answer nothing and close the connection with a TCP reset.
    Reset,
}

/// The answers of one catcher, in the order in which requests come to be answered, over all its connections.
///
/// Written as steps separated by commas: a status, `timeout` or `reset`, each but the last optionally with a count
/// (`503x3`). The last step lasts for ever.
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
    #[error("`{0}` is not a step: use a status from 200 to 599, `timeout` or `reset`, with `xN` to repeat it")]
    UnknownStep(String),
    /// A number that no final answer can have; 1xx are never final.
    #[error("`{0}` is not a status to answer with: use 200 to 599")]
    Status(String),
    /// What follows the `x` is not a count from 1 on.
    #[error("`{0}` is repeated by something that is not a number from 1 on: write it like `503x3`")]
    Count(String),
    /// A count on the step that lasts for ever.
    #[error("`{0}` is the last step, which lasts for ever: leave its count out, or say what follows, as in `{0},200`")]
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
                return Ok(Self { counted, last: step });
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
    let (what, count) = match written.split_once('x') {
        Some((what, count)) => (what, Some(count)),
        None => (written, None),
    };
    let step = match what {
        "timeout" => Step::Timeout,
        "reset" => Step::Reset,
        _ => match parse_digits::<u16>(what) {
            Some(status @ 200..=599) => Step::Status(status),
            _ if what.starts_with(|c: char| c.is_ascii_digit()) => {
                return Err(ScriptError::Status(what.to_owned()));
            }
            _ => return Err(ScriptError::UnknownStep(written.to_owned())),
        },
    };
    match count.map(parse_digits::<u64>) {
        None => Ok((step, None)),
        Some(Some(count @ 1..)) => Ok((step, Some(count))),
        Some(_) => Err(ScriptError::Count(written.to_owned())),
    }
}

/// A number of digits only: `parse` alone would also take `+3`.
fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(script: &str, requests: u64) -> Vec<Step> {
        let script: Script = script.parse().unwrap();
        (0..requests).map(|index| script.step(index)).collect()
    }

    #[test]
    fn steps_come_in_turn_and_the_last_is_for_ever() {
        use Step::{Reset, Status, Timeout};
        assert_eq!(first("200", 3), [Status(200); 3]);
        assert_eq!(first("503x3,200", 5), [Status(503), Status(503), Status(503), Status(200), Status(200)]);
        assert_eq!(first("404, timeoutx2 ,reset", 5), [Status(404), Timeout, Timeout, Reset, Reset]);
        let script: Script = "500x18446744073709551615,500x2,200".parse().unwrap();
        assert_eq!(script.step(u64::MAX), Status(500));
    }

    #[test]
    fn what_is_wrong_is_said_of_the_step_that_is_wrong() {
        use ScriptError::{Count, CountOnLast, EmptyStep, Status, UnknownStep};
        for (text, error) in [
            ("", EmptyStep),
            ("503,,200", EmptyStep),
            ("503x3,", EmptyStep),
            ("ok", UnknownStep("ok".into())),
            ("x3,200", UnknownStep("x3".into())),
            ("Timeout", UnknownStep("Timeout".into())),
            ("+200", UnknownStep("+200".into())),
            ("-1", UnknownStep("-1".into())),
            ("199", Status("199".into())),
            ("600", Status("600".into())),
            ("99999", Status("99999".into())),
            ("200@2s", Status("200@2s".into())),
            ("503x,200", Count("503x".into())),
            ("503x0,200", Count("503x0".into())),
            ("503x+3,200", Count("503x+3".into())),
            ("503x3x3,200", Count("503x3x3".into())),
            ("503x3", CountOnLast("503x3".into())),
        ] {
            assert_eq!(text.parse::<Script>(), Err(error), "{text}");
        }
    }
}
