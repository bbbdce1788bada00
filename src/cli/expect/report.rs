//! What `expect` prints: matching captures as they arrive, how it ended, and the differences of the nearest miss.

use std::num::NonZeroU8;

use super::watch::{Arrivals, End, Miss, Watch};
use crate::capture::{CaptureRecord, Mask};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::StoredCapture;
use crate::output::capture_json::capture_view;
use crate::output::{capture, json};
use crate::sanitize::visible_line;
use crate::secret::{Redactor, credentials_in_header};
use crate::text;
use crate::time::compact;

/// How many matches a JUnit report lists.
const MAX_JUNIT_MATCHES: usize = 100;

pub struct WaitReport<'a> {
    ctx: &'a Context<'a>,
    format: Format,
    watch: &'a Watch<'a>,
    array: json::Array,
    mask: Mask,
    /// The expected secrets may occur anywhere in a request.
    redactor: Redactor,
    /// The matches, for the JUnit report.
    matches: Vec<String>,
    /// The id and title of the first match.
    first_match: Option<(i64, String)>,
    /// Why stdout cannot be written; the wait goes on.
    output_error: Option<Failure>,
}

impl<'a> WaitReport<'a> {
    pub fn new(
        ctx: &'a Context<'a>,
        format: Format,
        watch: &'a Watch<'a>,
    ) -> Result<WaitReport<'a>, Failure> {
        let mut mask = ctx.mask(false)?;
        let secrets = watch.expectation.secrets.iter();
        mask.names.extend(secrets.map(|(name, _)| name.clone()));
        let mut redactor = Redactor::default();
        for value in watch.expectation.secret_values() {
            // An Authorization header may encode it.
            redactor.add([value].into_iter().chain(&credentials_in_header(value)));
        }
        Ok(WaitReport {
            ctx,
            format,
            watch,
            array: json::Array::default(),
            mask,
            redactor,
            matches: Vec::new(),
            first_match: None,
            output_error: None,
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

    pub fn waiting(&self, place: &str) {
        let (within, requests) = (compact(self.watch.within), self.requests());
        let line = match self.watch.count {
            0 => format!("checking for {within} that there are {requests} {place}"),
            _ => format!("waiting up to {within} for {requests} {place}"),
        };
        self.ctx.ui.status(&line);
    }

    /// ``3 requests with type `account` ``
    pub fn requests(&self) -> String {
        let requests = match self.watch.count {
            0 => "no requests".to_owned(),
            1 => "a request".to_owned(),
            count => format!("{count} requests"),
        };
        format!("{requests}{}", self.conditions())
    }

    /// `` with type `account` ``, empty if any request matches.
    fn conditions(&self) -> String {
        match self.watch.expectation.to_string().as_str() {
            "any request" => String::new(),
            conditions => format!(" with {conditions}"),
        }
    }

    /// Reports how the wait ended, and whether the command was `stopped` because it was still running.
    pub fn conclude(&mut self, end: End, seen: &Arrivals, stopped: bool) -> Result<Exit, Failure> {
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
            End::Unmet => Err(self.unmet(seen)),
            End::Interrupted => Err(Failure::new(
                Kind::Interrupted,
                format!("interrupted while waiting for {}", self.requests()),
            )),
            End::CommandTimeout => {
                let (within, score) = (compact(self.watch.within), self.score(seen));
                let message =
                    format!("the command did not end within {within} and was ended; {score}");
                Err(Failure::new(Kind::Unmet, message)
                    .hint("`--within DURATION` gives it more time"))
            }
            End::CommandFailed(code) => {
                let score = self.score(seen);
                let message = format!("the command ended with exit code {code}; {score}");
                let failure = self.with_nearest_miss(Kind::Command, message, seen);
                Err(Failure {
                    exit: NonZeroU8::new(code).map(Exit::Command),
                    ..failure
                })
            }
        }
    }

    /// The number of matching requests, in words.
    fn score(&self, seen: &Arrivals) -> String {
        match (self.watch.count, seen.matched) {
            (0, 0) => "no unexpected request had arrived".to_owned(),
            (0, _) => "an unexpected request had arrived".to_owned(),
            (count, matched) => format!(
                "{matched} of {} had arrived",
                text::count(count as usize, "expected request", "expected requests")
            ),
        }
    }

    fn unmet(&self, seen: &Arrivals) -> Failure {
        if self.watch.count == 0 {
            let conditions = self.conditions();
            let Some((id, title)) = &self.first_match else {
                let message = format!("a request{conditions} arrived, but none was expected");
                return Failure::new(Kind::Unmet, message);
            };
            let message = format!("{title} arrived, but no request{conditions} was expected");
            return Failure::new(Kind::Unmet, message)
                .hint(format!("`hookfire captured show {id}` shows it"));
        }
        let (within, requests) = (compact(self.watch.within), self.requests());
        let matched = match seen.matched {
            0 => "none".to_owned(),
            matched => matched.to_string(),
        };
        let message = format!("expected {requests} within {within}, got {matched}");
        if let Some(reason) = &seen.not_stored {
            return Failure::from_error(Kind::Journal, std::sync::Arc::clone(reason))
                .context("a request was not stored and got a 503".to_owned())
                .context(message);
        }
        let failure = self.with_nearest_miss(Kind::Unmet, message, seen);
        match &seen.nearest {
            Some(Miss { capture, .. }) => {
                let StoredCapture { record, body, .. } = &**capture;
                let expectation = self.watch.expectation;
                let is_json = expectation.expects_event_of_json(&record.capture, body);
                let failure = match is_json {
                    true => {
                        failure.hint("for JSON, use `--match`, such as `--match type=order.paid`")
                    }
                    false => failure,
                };
                failure.hint(format!("`hookfire captured show {}` shows it", record.id))
            }
            None => failure,
        }
    }

    /// The message, with the nearest miss and its differences as causes.
    fn with_nearest_miss(&self, kind: Kind, message: String, seen: &Arrivals) -> Failure {
        let mut causes = Vec::new();
        if seen.matched < self.watch.count {
            match &seen.nearest {
                Some(Miss {
                    capture,
                    differences,
                }) => {
                    let title = self.title(&capture.record);
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

    /// The matches, for a JUnit report.
    pub fn matches(&self) -> String {
        self.matches.join("\n")
    }

    /// Prints a matching capture in the chosen format, at once.
    pub fn matched(&mut self, StoredCapture { record, body, .. }: &StoredCapture) {
        if self.matches.len() < MAX_JUNIT_MATCHES {
            self.matches.push(self.title(record));
        }
        if self.first_match.is_none() {
            self.first_match = Some((record.id, self.title(record)));
        }
        let view = || {
            let view = capture_view(record, &self.mask, Some(body));
            json::redacted(&view, &self.redactor)
        };
        let printed = match self.format {
            Format::Json => self.array.element(&view()),
            Format::Ndjson => json::compact(&view()),
            _ => self
                .redactor
                .redact(&capture::line(self.ctx.ui, record, &self.mask)),
        };
        self.print(&printed);
    }

    /// One line that names the capture: `#17 POST /hook?token=*** application.created`.
    fn title(&self, record: &CaptureRecord) -> String {
        let title = capture::title(record, &self.mask);
        self.redactor.redact(&visible_line(&title))
    }

    fn print(&mut self, line: &str) {
        if self.output_error.is_none() {
            let printed = self.ctx.ui.line(line).and_then(|()| self.ctx.ui.flush());
            self.output_error = printed.err().map(Failure::from);
        }
    }
}
