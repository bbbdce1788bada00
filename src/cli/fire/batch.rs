//! `hookfire fire --batch`: sends many events, one JSON object per line.
//!
//! Lines are independent: an invalid line is reported with its number, and the others are sent.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::batch_line::BatchLine;
use super::destination::FireTarget;
use super::lines::{self, Line, Lines, MAX_LINE_BYTES};
use super::{FireArgs, background, payload};
use crate::cli::context::Context;
use crate::cli::report::{RunReport, Style, run_engine};
use crate::cli::settings;
use crate::delivery::Delivery;
use crate::engine::{Claims, Inbox, RunLimits, SendPlan, Source, SourceItem, Summary};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal;
use crate::output::Format;
use crate::text::{self, count};
use crate::time::Clock as _;

const DEFAULT_JOBS: u16 = 8;

/// The destination of some lines, with how to send there.
type BatchTarget<'a> = Rc<(FireTarget<'a>, Arc<SendPlan>)>;

struct Batch<'a> {
    ctx: &'a Context<'a>,
    args: &'a FireArgs,
    file: &'a Path,
    report: &'a RunReport<'a>,
    lines: Lines,
    /// By the endpoint's name; none for a bare URL.
    routes: HashMap<Option<String>, BatchTarget<'a>>,
    /// For lines that do not name an endpoint.
    default_route: Option<BatchTarget<'a>>,
    reached_end: bool,
    read_error: Option<Failure>,
}

pub fn run(args: &FireArgs, file: &Path, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let format = args.output.format();
    if args.dry_run {
        let journal = journal::empty()?;
        let report = RunReport::new(ctx, &*journal, format, Style::Many);
        return Batch::new(ctx, args, file, &report, open(args, file, ctx, None)?)?.dry_run();
    }
    let inbox = Inbox::default();
    let lines = open(args, file, ctx, Some(&inbox))?;
    let journal = ctx.journal()?;
    let report = RunReport::new(ctx, &*journal, format, Style::Many);
    let mut batch = Batch::new(ctx, args, file, &report, lines)?;
    ctx.catch_interrupts()?;
    if ctx.ui.shows_progress() {
        report
            .expected
            .set(lines::count(file, args.skip.unwrap_or(0)));
    }
    let limits = RunLimits {
        rate: args.pace.rate,
        ..RunLimits::new(jobs(args), Claims::Many)
    };
    let summary = run_engine(ctx, &*journal, limits, inbox, None, &mut batch, &report)?;
    batch.finish(summary)
}

fn jobs(args: &FireArgs) -> usize {
    usize::from(args.pace.jobs.unwrap_or(DEFAULT_JOBS))
}

fn open(
    args: &FireArgs,
    file: &Path,
    ctx: &Context<'_>,
    inbox: Option<&Inbox>,
) -> Result<Lines, Failure> {
    if file == Path::new("-") {
        ctx.ui.reads_stdin("events, one JSON object per line,");
    }
    let waker = inbox.map(Inbox::waker);
    Lines::open(file, args.skip.unwrap_or(0), waker).map_err(|e| cannot_read(file, e))
}

fn cannot_read(file: &Path, error: std::io::Error) -> Failure {
    let name = payload::file_name(file);
    Failure::from_error(Kind::Error, error).context(format!("cannot read {name}"))
}

impl<'a> Batch<'a> {
    fn new(
        ctx: &'a Context<'a>,
        args: &'a FireArgs,
        file: &'a Path,
        report: &'a RunReport<'a>,
        lines: Lines,
    ) -> Result<Batch<'a>, Failure> {
        let mut batch = Batch {
            ctx,
            args,
            file,
            report,
            lines,
            routes: HashMap::new(),
            default_route: None,
            reached_end: false,
            read_error: None,
        };
        let is_given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let named = is_given(&args.target.endpoint) || is_given(&args.target.url);
        if named || ctx.config()?.default_endpoint.is_some() {
            let chosen = settings::chosen(ctx, &args.target)?;
            batch.default_route = Some(batch.route(chosen)?);
        }
        Ok(batch)
    }

    /// The route to a target, resolved once.
    fn route(&mut self, chosen: settings::Chosen<'a>) -> Result<BatchTarget<'a>, Failure> {
        let name = chosen.endpoint.map(|(name, _)| name.to_owned());
        if let Some(known) = self.routes.get(&name) {
            return Ok(Rc::clone(known));
        }
        let destination = FireTarget::resolve(self.args, self.ctx, chosen)?;
        let plan = destination.plan(self.ctx, jobs(self.args))?;
        let settings = &destination.settings;
        self.ctx
            .warn_of_exposure(&settings.target, &settings.transport);
        let route = Rc::new((destination, Arc::new(plan)));
        self.routes.insert(name, Rc::clone(&route));
        Ok(route)
    }

    fn route_of(&mut self, line: &BatchLine) -> Result<BatchTarget<'a>, Failure> {
        let Some(name) = line.endpoint.as_deref() else {
            return self.default_route.clone().ok_or_else(|| {
                Failure::usage("it names no endpoint, and neither does the command")
                    .hint("name one in the line (`\"endpoint\": \"NAME\"`), or one for all with `--endpoint NAME` or `--url URL`")
            });
        };
        if let Some(known) = self.routes.get(&Some(name.to_owned())) {
            return Ok(Rc::clone(known));
        }
        let mut chosen = settings::from_endpoint(name, self.ctx.config()?)?;
        settings::add_extras(&mut chosen.target, &self.args.target.extras, &self.ctx.env)?;
        self.route(chosen)
    }

    fn item(&mut self, number: u64, line: &[u8]) -> Result<SourceItem, Failure> {
        let line_object = BatchLine::parse(line)?;
        let route = self.route_of(&line_object)?;
        let (destination, plan) = &*route;
        let settings = &destination.settings;
        let payload = line_object.payload(self.ctx, self.args, settings, number)?;
        let stopped_by = destination.stopped_by(&payload, self.args);
        let delivery = destination.delivery(payload);
        Ok(match stopped_by {
            Some(by) => SourceItem::Ignore {
                delivery,
                by,
                line: number,
            },
            None => SourceItem::New {
                delivery,
                plan: Arc::clone(plan),
                line: number,
            },
        })
    }

    /// The event of the next line; reports an invalid line.
    fn next_item(&mut self, take: fn(&mut Lines) -> Line) -> SourceItem {
        loop {
            let (number, item) = match take(&mut self.lines) {
                Line::Text(number, line) => {
                    // A byte order mark may precede the first line.
                    let mark = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1);
                    let line = mark.unwrap_or(&line);
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    (number, self.item(number, line))
                }
                Line::TooLong(number) => {
                    let max = text::size(MAX_LINE_BYTES as u64);
                    let failure = Failure::usage(format!("it is longer than {max}"));
                    (number, Err(failure))
                }
                Line::End => {
                    self.reached_end = true;
                    return SourceItem::End;
                }
                Line::Broken(e) => {
                    self.read_error = Some(cannot_read(self.file, e));
                    return SourceItem::End;
                }
                Line::Pending => return SourceItem::Later(None),
            };
            let failure = match item {
                Ok(item) => return item,
                Err(failure) => failure,
            };
            let is_invalid = failure.kind == Kind::Usage;
            let words = format!("line {number}: {}", failure.error);
            self.report.failed_now(&failure.context(words));
            return if is_invalid {
                SourceItem::Invalid
            } else {
                SourceItem::NotSendable
            };
        }
    }

    /// Prints how many events would be sent where.
    fn dry_run(mut self) -> Result<Exit, Failure> {
        let mut summary = Summary::default();
        // Endpoint, URL, events to send and to ignore, in the order of the lines.
        let mut routes: Vec<(Option<String>, String, usize, usize)> = Vec::new();
        loop {
            let (delivery, sent) = match self.next_item(Lines::wait) {
                SourceItem::New { delivery, .. } => (delivery, 1),
                SourceItem::Ignore { delivery, .. } => (delivery, 0),
                SourceItem::Invalid => {
                    summary.invalid += 1;
                    continue;
                }
                SourceItem::NotSendable => {
                    summary.not_sent += 1;
                    continue;
                }
                _ => break,
            };
            let known = routes
                .iter_mut()
                .find(|(name, ..)| *name == delivery.endpoint);
            if let Some((.., to_send, to_ignore)) = known {
                *to_send += sent;
                *to_ignore += 1 - sent;
            } else {
                let url = delivery.target.to_string();
                routes.push((delivery.endpoint, url, sent, 1 - sent));
            }
        }
        for (name, url, sent, ignored) in &routes {
            self.print_route(name.as_deref(), url, *sent, *ignored)?;
        }
        let exit = self.report.end_output(&summary)?;
        let words = summary.in_words(None);
        let found = match exit {
            Exit::Done => String::new(),
            _ => format!("; {words}"),
        };
        self.ctx
            .ui
            .status(&format!("nothing is sent (--dry-run){found}"));
        if let Some(failure) = self.read_error {
            return Err(failure);
        }
        self.report
            .finish(&summary, &format!("not all can be sent: {words}"), None)
    }

    fn print_route(
        &self,
        name: Option<&str>,
        url: &str,
        sent: usize,
        ignored: usize,
    ) -> Result<(), Failure> {
        if self.args.output.format() != Format::Text {
            return self.report.print_json(&serde_json::json!({
                "dry_run": true, "endpoint": name, "url": url,
                "would_send": sent, "would_ignore": ignored,
            }));
        }
        let to = match name {
            Some(name) => format!("{name} ({url})"),
            None => url.to_owned(),
        };
        let mut line = format!("would send {sent} to {to}");
        if ignored > 0 {
            line.push_str(&format!(", ignore {ignored}"));
        }
        Ok(self.ctx.ui.line(&line)?)
    }

    fn finish(self, mut summary: Summary) -> Result<Exit, Failure> {
        let (ctx, report) = (self.ctx, self.report);
        let halted = summary.halted.take().map(Failure::from);
        let interrupted = ctx.clock.interrupted();
        let totals = format!(
            "{}{}",
            summary.in_words(None),
            report.speed_in_words(&summary)
        );
        let reported = if halted.is_some() || interrupted || self.read_error.is_some() {
            report.end_output_before_failure(&summary);
            Ok(())
        } else {
            report.end_output(&summary).map(drop)
        };
        ctx.ui.status(&totals);
        reported?;
        let skip = match report.not_accepted() {
            Some(first) => first - 1,
            None => self.lines.last(),
        };
        if let Some(failure) = halted {
            return Err(self.with_next_steps(failure, &summary, skip));
        }
        if interrupted {
            let lines = count(usize::try_from(skip).unwrap_or(usize::MAX), "line", "lines");
            let failure = Failure::new(Kind::Interrupted, format!("stopped after {lines}"));
            return Err(self.with_next_steps(failure, &summary, skip));
        }
        if let Some(failure) = self.read_error {
            return Err(Failure {
                exit: Some(failure.exit().max(report.exit(&summary))),
                ..failure
            }
            .hint(format!("all lines up to {skip} were processed")));
        }
        if summary.scheduled > 0 {
            ctx.ui
                .hint("`hookfire retry --due` makes the attempts that are scheduled");
            background::hint_at_connection_options(ctx);
        }
        if self.args.output.format() == Format::Text && summary.failed > 0 {
            ctx.ui
                .hint("`hookfire failed list` shows the failed deliveries");
            ctx.ui
                .hint(&format!("`{}` sends them again", self.retry_command()));
        }
        report.finish(
            &summary,
            &format!("not all were delivered: {totals}"),
            Some("`hookfire failed list` shows the failed deliveries"),
        )
    }

    fn retry_command(&self) -> String {
        let settings = self.default_route.as_ref().map(|route| &route.0.settings);
        let options = settings.map(|settings| {
            let endpoint = settings.endpoint.map(|(_, endpoint)| endpoint);
            settings::retry_options(&settings.target, endpoint)
        });
        format!("hookfire retry --all{}", options.unwrap_or_default())
    }

    /// Adds how to go on after a batch that ended early, and the worse exit code.
    fn with_next_steps(&self, failure: Failure, summary: &Summary, skip: u64) -> Failure {
        let exit = failure.exit();
        let mut failure = Failure {
            exit: Some(exit.max(self.report.exit(summary))),
            ..failure
        };
        if exit == Exit::Interrupted {
            failure.exit = None;
        }
        if summary.failed + summary.interrupted > 0 {
            failure = failure.hint(format!(
                "`{}` sends the failed deliveries again",
                self.retry_command()
            ));
        }
        if !self.reached_end || self.report.not_accepted().is_some() {
            failure = failure.hint(format!(
                "the same command with `--skip {skip}` goes on with line {}",
                skip + 1
            ));
        }
        failure
    }
}

impl Source for Batch<'_> {
    fn next(&mut self) -> SourceItem {
        self.next_item(Lines::next)
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        // This run accepted the delivery, so its route is known.
        let route = self.routes.get(&delivery.endpoint)?;
        Some(Arc::clone(&route.1))
    }
}
