//! What `expect` says: the captures that matched as they come, how it ended, and of a miss what differs.

use std::num::NonZeroU8;
use std::time::Duration;

use serde_json::Value;

use crate::capture::expect::Expectation;
use crate::capture::{Body, Caught, Mask};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::expect::{End, Miss, Observer, Seen, Watch};
use crate::output::capture_json::CaptureView;
use crate::output::junit::{Case, Problem};
use crate::output::{capture, json};
use crate::sanitize::visible_line;
use crate::secret::{Redactor, credentials_in_header};
use crate::text;
use crate::time::compact;

/// How a wait ended, and what is left to say of it.
pub struct Waited {
    /// How.
    pub end: End,
    /// What came.
    pub seen: Seen,
    /// Whether the command had to be ended.
    pub stopped: bool,
}

/// Prints and judges.
pub struct Report<'a> {
    ctx: &'a Context<'a>,
    format: Format,
    expected: String,
    count: u64,
    within: Duration,
    array: json::Array,
    mask: Mask,
    /// The secrets that were expected may stand anywhere in what came.
    redactor: Redactor,
    /// The lines of what matched, for the JUnit report; the first ones of many.
    lines: Vec<String>,
    /// Why stdout cannot be written; what comes is then still waited for.
    unreported: Option<Failure>,
    hints: Vec<String>,
}

/// How many matches a JUnit report lists.
const LISTED: usize = 100;

impl<'a> Report<'a> {
    /// A report on a wait.
    ///
    /// # Errors
    /// When the configuration, which names secret parameters, cannot be used.
    pub fn new(
        ctx: &'a Context<'a>,
        format: Format,
        watch: &Watch<'_>,
    ) -> Result<Report<'a>, Failure> {
        let mut mask = ctx.mask(false)?;
        mask.names.extend(
            watch
                .expectation
                .secrets
                .iter()
                .map(|(name, _)| name.clone()),
        );
        Ok(Report {
            ctx,
            format,
            expected: watch.expectation.to_string(),
            count: watch.count,
            within: watch.within,
            array: json::Array::default(),
            mask,
            redactor: redactor(watch.expectation),
            lines: Vec::new(),
            unreported: None,
            hints: Vec::new(),
        })
    }

    /// Says where requests are waited for; who starts no command is told on stdout too if a program reads it.
    ///
    /// # Errors
    /// When stdout cannot be written: then nobody learns the address.
    pub fn listening(&mut self, url: &str, port: u16, alone: bool) -> Result<(), Failure> {
        // What is kept is marked as asked for these, and for no others.
        self.mask.required = Some(self.mask.names.clone());
        self.ctx.ui.status(&format!(
            "listening on {url} for {}: {}",
            self.asked(),
            compact(self.within)
        ));
        if alone && self.format == Format::Ndjson {
            let ready = serde_json::json!({ "event": "ready", "url": url, "port": port });
            self.ctx.ui.line(&json::compact(&ready))?;
            self.ctx.ui.flush()?;
        }
        Ok(())
    }

    /// Says which bin is watched.
    pub fn watching(&self, bin: &str) {
        self.ctx.ui.status(&format!(
            "watching the bin `{bin}` for {}: {}",
            self.asked(),
            compact(self.within)
        ));
    }

    /// Remembers that the bin is not there, for the case that this is why nothing came.
    pub fn no_such_bin(&mut self, name: &str, bins: &[String]) {
        let known = bins.iter().map(String::as_str);
        self.hints.push(match text::nearest(name, known.clone()) {
            Some(near) => format!("there is no bin `{name}`; did you mean `--bin {near}`?"),
            None if bins.is_empty() => {
                "there is no bin yet; `hookfire listen` makes one".to_owned()
            }
            None => format!(
                "there is no bin `{name}`; there are {}",
                text::listed(known)
            ),
        });
    }

    fn asked(&self) -> String {
        match self.count {
            0 => format!("none of: {}", self.expected),
            1 => self.expected.clone(),
            count => format!("{count} of: {}", self.expected),
        }
    }

    /// What the end means.
    ///
    /// # Errors
    /// Every end but the one that was hoped for.
    pub fn judge(&mut self, waited: Waited) -> Result<Exit, Failure> {
        let Waited { end, seen, stopped } = waited;
        if self.format == Format::Json {
            let end = self.array.end();
            self.print(end);
        }
        if stopped && !matches!(end, End::CommandLate) {
            self.ctx
                .ui
                .warning("the command was still running and has been ended");
        }
        match end {
            End::Met => Ok(Exit::Done),
            End::Interrupted => Err(Failure::new(
                Kind::Interrupted,
                format!("stopped while waiting for {}", self.asked()),
            )),
            End::CommandLate => {
                let words = format!(
                    "the command did not end within {} and has been ended",
                    compact(self.within)
                );
                Err(
                    Failure::new(Kind::Unmet, format!("{words}; {}", self.score(&seen)))
                        .hint("`--within DURATION` gives it longer"),
                )
            }
            End::CommandFailed(code) => {
                let words = format!(
                    "the command ended with exit code {code}; {}",
                    self.score(&seen)
                );
                let failure = Failure::from_error(Kind::Command, self.with_miss(words, &seen));
                Err(Failure {
                    exit: NonZeroU8::new(code).map(Exit::Command),
                    ..failure
                })
            }
            End::Unmet => Err(self.unmet(&seen)),
        }
    }

    /// How much of what was expected has come.
    fn score(&self, seen: &Seen) -> String {
        match (self.count, seen.matched) {
            (0, 0) => "nothing had come that should not".to_owned(),
            (0, _) => "something had come that should not".to_owned(),
            (count, matched) if matched >= count => "what was expected had come".to_owned(),
            (count, matched) => format!("{matched} of {count} expected had come"),
        }
    }

    fn unmet(&mut self, seen: &Seen) -> Failure {
        let within = compact(self.within);
        if self.count == 0 {
            return Failure::new(
                Kind::Unmet,
                format!("a request came that should not: {}", self.expected),
            );
        }
        if let Some(reason) = &seen.not_kept {
            return Failure::from_error(
                Kind::Journal,
                anyhow::Error::new(std::sync::Arc::clone(reason)),
            )
            .context("a request could not be kept, and was answered 503".to_owned())
            .context(format!(
                "{} of {} expected came within {within}: {}",
                seen.matched, self.count, self.expected
            ));
        }
        let words = match (seen.matched, self.count) {
            (0, 1) => format!(
                "what was expected did not come within {within}: {}",
                self.expected
            ),
            (matched, count) => format!(
                "{matched} of {count} expected came within {within}: {}",
                self.expected
            ),
        };
        let failure = Failure::from_error(Kind::Unmet, self.with_miss(words, seen));
        let shows = seen
            .nearest
            .as_ref()
            .map(|miss| format!("`hookfire captured show {}` shows it", miss.kept.caught.id));
        shows
            .into_iter()
            .chain(std::mem::take(&mut self.hints))
            .fold(failure, Failure::hint)
    }

    /// The words with, as their causes, what came nearest and in what it differs.
    fn with_miss(&self, words: String, seen: &Seen) -> anyhow::Error {
        if seen.matched >= self.count {
            return anyhow::Error::msg(words);
        }
        let causes = match &seen.nearest {
            Some(Miss { kept, unmet }) => {
                let nearest = format!("the nearest miss is {}", self.title(&kept.caught));
                std::iter::once(nearest)
                    .chain(unmet.iter().map(|words| self.redactor.redact(words)))
                    .collect()
            }
            None if seen.captures == 0 => vec!["no request came at all".to_owned()],
            None => vec!["no other request came".to_owned()],
        };
        let mut causes = causes.into_iter().rev();
        let innermost = causes
            .next()
            .map_or_else(|| anyhow::Error::msg(words.clone()), anyhow::Error::msg);
        causes
            .fold(innermost, anyhow::Error::context)
            .context(words)
    }

    /// Ends the output. What could not be printed does not hide how the wait ended.
    ///
    /// # Errors
    /// Those of the wait; if it went well, that stdout could not be written.
    pub fn finish(&mut self, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
        let exit = ended?;
        Failure::after_output(self.unreported.take().map_or(Ok(()), Err), exit)
    }

    /// The wait as a test case.
    pub fn case(&self, ended: &Result<Exit, Failure>, took: Duration) -> Case {
        let problem = ended.as_ref().err().map(|failure| Problem {
            is_failure: matches!(failure.kind, Kind::Unmet | Kind::Command),
            kind: failure.kind.as_str(),
            message: failure.error.to_string(),
            details: lines(failure).join("\n"),
        });
        Case {
            name: self.asked(),
            took,
            problem,
            output: self.lines.join("\n"),
        }
    }

    /// The capture in JSON.
    fn view(&self, caught: &Caught, body: &Body) -> Value {
        json::redacted(
            &CaptureView::new(caught, &self.mask).with_body(body),
            &self.redactor,
        )
    }

    /// `#17 POST /hook?token=*** application.created`
    fn title(&self, caught: &Caught) -> String {
        self.redactor
            .redact(&visible_line(&capture::title(caught, &self.mask)))
    }

    fn print(&mut self, line: &str) {
        if self.unreported.is_none() {
            let printed = self.ctx.ui.line(line).and_then(|()| self.ctx.ui.flush());
            self.unreported = printed.err().map(Failure::from);
        }
    }
}

impl Observer for Report<'_> {
    fn matched(&mut self, caught: &Caught, body: &Body) {
        if self.lines.len() < LISTED {
            self.lines.push(self.title(caught));
        }
        let printed = match self.format {
            Format::Json => self.array.element(&self.view(caught, body)),
            Format::Ndjson => json::compact(&self.view(caught, body)),
            _ => self
                .redactor
                .redact(&capture::line(self.ctx.ui, caught, &self.mask)),
        };
        self.print(&printed);
    }
}

/// What went wrong and why, a line each.
pub fn lines(failure: &Failure) -> Vec<String> {
    std::iter::once(failure.error.to_string())
        .chain(failure.causes())
        .collect()
}

/// Masks the secrets that are expected, and what of them an encoding of their own would hide.
fn redactor(expectation: &Expectation) -> Redactor {
    let mut redactor = Redactor::default();
    for value in expectation.secret_values() {
        redactor.add([value].into_iter().chain(&credentials_in_header(value)));
    }
    redactor
}
