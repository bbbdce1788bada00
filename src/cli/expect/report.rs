//! What `expect` prints: matching captures as they arrive, how it ended, and the differences of the nearest miss.

use std::num::NonZeroU8;
use std::time::Duration;

use serde_json::Value;

use super::watch::{Arrivals, End, MatchObserver, Miss, Watch};
use crate::capture::expect::Expectation;
use crate::capture::{Body, Caught, Mask};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::output::capture_json::CaptureView;
use crate::output::junit::{Case, Problem};
use crate::output::{capture, json};
use crate::sanitize::visible_line;
use crate::secret::{Redactor, credentials_in_header};
use crate::text;
use crate::time::compact;

/// How many matches a JUnit report lists.
const MAX_JUNIT_MATCHES: usize = 100;

/// The result of a wait.
pub struct Waited {
    pub end: End,
    pub seen: Arrivals,
    /// Whether the command was still running and had to be ended.
    pub stopped: bool,
}

pub struct WaitReport<'a> {
    ctx: &'a Context<'a>,
    format: Format,
    expectation: &'a Expectation,
    count: u64,
    within: Duration,
    array: json::Array,
    mask: Mask,
    /// The expected secrets may occur anywhere in a request.
    redactor: Redactor,
    /// The matches, for the JUnit report.
    matches: Vec<String>,
    /// Why stdout cannot be written; the wait goes on.
    output_error: Option<Failure>,
    hints: Vec<String>,
}

impl<'a> WaitReport<'a> {
    pub fn new(
        ctx: &'a Context<'a>,
        format: Format,
        watch: &Watch<'a>,
    ) -> Result<WaitReport<'a>, Failure> {
        let mut mask = ctx.mask(false)?;
        let secrets = watch.expectation.secrets.iter();
        mask.names.extend(secrets.map(|(name, _)| name.clone()));
        Ok(WaitReport {
            ctx,
            format,
            expectation: watch.expectation,
            count: watch.count,
            within: watch.within,
            array: json::Array::default(),
            mask,
            redactor: redactor(watch.expectation),
            matches: Vec::new(),
            output_error: None,
            hints: Vec::new(),
        })
    }

    /// Reports the URL to which requests are to be sent. Without a command, it is also the first line of NDJSON.
    pub fn listening(&mut self, url: &str, port: u16, has_command: bool) -> Result<(), Failure> {
        // This listener's captures are marked as requiring these secrets.
        self.mask.required = Some(self.mask.names.clone());
        self.waiting(&format!("at {url}"));
        if !has_command && self.format == Format::Ndjson {
            let ready = serde_json::json!({ "event": "ready", "url": url, "port": port });
            self.ctx.ui.line(&json::compact(&ready))?;
            self.ctx.ui.flush()?;
        }
        Ok(())
    }

    pub fn watching(&self, bin: &str) {
        self.waiting(&format!("in bin `{bin}`"));
    }

    fn waiting(&self, place: &str) {
        let (within, requests) = (compact(self.within), self.requests());
        let line = match self.count {
            0 => format!("checking for {within} that there are {requests} {place}"),
            _ => format!("waiting up to {within} for {requests} {place}"),
        };
        self.ctx.ui.status(&line);
    }

    /// ``3 requests with type `account` ``
    fn requests(&self) -> String {
        let requests = match self.count {
            0 => "no requests".to_owned(),
            1 => "a request".to_owned(),
            count => format!("{count} requests"),
        };
        format!("{requests}{}", self.conditions())
    }

    /// `` with type `account` ``, empty if any request matches.
    fn conditions(&self) -> String {
        match self.expectation.to_string().as_str() {
            "any request" => String::new(),
            conditions => format!(" with {conditions}"),
        }
    }

    /// Adds a hint, for the case that nothing arrives because the bin does not exist.
    pub fn no_such_bin(&mut self, name: &str, bins: &[String]) {
        let known = bins.iter().map(String::as_str);
        self.hints.push(match text::nearest(name, known.clone()) {
            Some(near) => format!("there is no bin `{name}`; did you mean `--bin {near}`?"),
            None if bins.is_empty() => {
                "there are no bins yet; `hookfire listen` creates one".to_owned()
            }
            None => format!(
                "there is no bin `{name}`; existing bins: {}",
                text::listed(known)
            ),
        });
    }

    /// Reports how the wait ended.
    pub fn conclude(&mut self, waited: Waited) -> Result<Exit, Failure> {
        let Waited { end, seen, stopped } = waited;
        if self.format == Format::Json {
            let end = self.array.end();
            self.print(end);
        }
        if stopped && end != End::CommandTimeout {
            self.ctx
                .ui
                .warning("the command was still running and was ended");
        }
        match end {
            End::Met => Ok(Exit::Done),
            End::Unmet => Err(self.unmet(&seen)),
            End::Interrupted => Err(Failure::new(
                Kind::Interrupted,
                format!("interrupted while waiting for {}", self.requests()),
            )),
            End::CommandTimeout => {
                let (within, score) = (compact(self.within), self.score(&seen));
                let message =
                    format!("the command did not end within {within} and was ended; {score}");
                Err(Failure::new(Kind::Unmet, message)
                    .hint("`--within DURATION` gives it more time"))
            }
            End::CommandFailed(code) => {
                let score = self.score(&seen);
                let message = format!("the command ended with exit code {code}; {score}");
                let failure = self.with_nearest_miss(Kind::Command, message, &seen);
                Err(Failure {
                    exit: NonZeroU8::new(code).map(Exit::Command),
                    ..failure
                })
            }
        }
    }

    /// The number of matching requests, in words.
    fn score(&self, seen: &Arrivals) -> String {
        match (self.count, seen.matched) {
            (0, 0) => "no unexpected request had arrived".to_owned(),
            (0, _) => "an unexpected request had arrived".to_owned(),
            (count, matched) => format!(
                "{matched} of {} had arrived",
                text::count(count as usize, "expected request", "expected requests")
            ),
        }
    }

    fn unmet(&mut self, seen: &Arrivals) -> Failure {
        if self.count == 0 {
            let message = format!("an unexpected request{} arrived", self.conditions());
            return Failure::new(Kind::Unmet, message);
        }
        let within = compact(self.within);
        let message = match seen.matched {
            0 => format!("expected {} within {within}, got none", self.requests()),
            matched => format!(
                "expected {} within {within}, got {matched}",
                self.requests()
            ),
        };
        if let Some(reason) = &seen.not_stored {
            return Failure::from_error(Kind::Journal, std::sync::Arc::clone(reason))
                .context("a request was not stored and got a 503".to_owned())
                .context(message);
        }
        let mut failure = self.with_nearest_miss(Kind::Unmet, message, seen);
        if let Some(miss) = &seen.nearest {
            let id = miss.capture.caught.id;
            failure = failure.hint(format!("`hookfire captured show {id}` shows it"));
        }
        std::mem::take(&mut self.hints)
            .into_iter()
            .fold(failure, Failure::hint)
    }

    /// The message, with the nearest miss and its differences as causes.
    fn with_nearest_miss(&self, kind: Kind, message: String, seen: &Arrivals) -> Failure {
        let mut causes = Vec::new();
        if seen.matched < self.count {
            match &seen.nearest {
                Some(Miss {
                    capture,
                    differences,
                }) => {
                    let title = self.title(&capture.caught);
                    causes.push(format!("the nearest miss is {title}"));
                    causes.extend(differences.iter().map(|text| self.redactor.redact(text)));
                }
                None if seen.captures == 0 => causes.push("no request arrived".to_owned()),
                None => causes.push("no other request arrived".to_owned()),
            }
        }
        let mut lines = std::iter::once(message).chain(causes).rev();
        let innermost = lines.next().unwrap_or_default();
        lines.fold(Failure::new(kind, innermost), Failure::context)
    }

    /// Ends the output. An error of stdout matters only if the wait succeeded.
    pub fn finish(&mut self, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
        let exit = ended?;
        Failure::after_output(self.output_error.take().map_or(Ok(()), Err), exit)
    }

    /// The wait as a test case of a JUnit report.
    pub fn case(&self, ended: &Result<Exit, Failure>, took: Duration) -> Case {
        let problem = ended.as_ref().err().map(|failure| Problem {
            is_failure: matches!(failure.kind, Kind::Unmet | Kind::Command),
            kind: failure.kind.as_str(),
            message: failure.error.to_string(),
            details: lines(failure).join("\n"),
        });
        Case {
            name: self.requests(),
            took,
            problem,
            output: self.matches.join("\n"),
        }
    }

    fn view(&self, caught: &Caught, body: &Body) -> Value {
        let view = CaptureView::new(caught, &self.mask).with_body(body);
        json::redacted(&view, &self.redactor)
    }

    /// `#17 POST /hook?token=*** application.created`
    fn title(&self, caught: &Caught) -> String {
        let title = capture::title(caught, &self.mask);
        self.redactor.redact(&visible_line(&title))
    }

    fn print(&mut self, line: &str) {
        if self.output_error.is_none() {
            let printed = self.ctx.ui.line(line).and_then(|()| self.ctx.ui.flush());
            self.output_error = printed.err().map(Failure::from);
        }
    }
}

impl MatchObserver for WaitReport<'_> {
    fn matched(&mut self, caught: &Caught, body: &Body) {
        if self.matches.len() < MAX_JUNIT_MATCHES {
            self.matches.push(self.title(caught));
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

/// The message and its causes, a line each.
pub fn lines(failure: &Failure) -> Vec<String> {
    std::iter::once(failure.error.to_string())
        .chain(failure.causes())
        .collect()
}

/// Masks the expected secrets, also where an Authorization header encodes them.
fn redactor(expectation: &Expectation) -> Redactor {
    let mut redactor = Redactor::default();
    for value in expectation.secret_values() {
        redactor.add([value].into_iter().chain(&credentials_in_header(value)));
    }
    redactor
}
