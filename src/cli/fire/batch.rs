//! `hookfire fire --batch`: sends many events, one JSON object per line.
//!
//! Lines are independent: an invalid line is reported with its number, and the others are sent.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use super::batch_line::BatchLine;
use super::lines::{Line, Lines, MAX_LINE_BYTES};
use super::{Destination, FireArgs, background};
use crate::cli::context::Context;
use crate::cli::report::{Report, Style};
use crate::cli::settings;
use crate::delivery::Delivery;
use crate::delivery::switches::Switch;
use crate::engine::{
    Claims, Engine, Inbox, Limits, RealTime, SendPlan, Source, SourceItem, Summary,
};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::Pool;
use crate::journal::{GroupWriter, NewDelivery};
use crate::output::Format;
use crate::text::{self, count};
use crate::time::Clock as _;

const DEFAULT_JOBS: u16 = 8;

/// The destination of some lines, with how to send there.
struct Route<'a> {
    destination: Destination<'a>,
    plan: Rc<SendPlan>,
}

/// What becomes of a line.
struct Prepared<'a> {
    delivery: NewDelivery,
    route: Rc<Route<'a>>,
    stopped_by: Option<Switch>,
}

/// What the next line is.
enum NextLine<'a> {
    Event(u64, Box<Prepared<'a>>),
    Invalid,
    NotSendable,
    Pending,
    End,
}

struct Batch<'a> {
    ctx: &'a Context<'a>,
    args: &'a FireArgs,
    file: &'a Path,
    report: &'a Report<'a>,
    lines: Lines,
    /// By the endpoint's name; none for a bare URL.
    routes: HashMap<Option<String>, Rc<Route<'a>>>,
    /// For lines that do not name an endpoint.
    default_route: Option<Rc<Route<'a>>>,
    reached_end: bool,
    read_error: Option<Failure>,
}

pub fn run(args: &FireArgs, file: &Path, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let format = args.output.format();
    if args.dry_run {
        let report = Report::new(ctx, None, format, Style::Many);
        return Batch::new(ctx, args, file, &report, open(args, file, None)?)?.dry_run();
    }
    let inbox = Inbox::default();
    let lines = open(args, file, Some(&inbox))?;
    let journal = ctx.journal()?;
    let report = Report::new(ctx, Some(&*journal), format, Style::Many);
    let mut batch = Batch::new(ctx, args, file, &report, lines)?;
    ctx.catch_interrupts()?;
    let writer = GroupWriter::start(ctx.journal()?, None)?;
    let jobs = jobs(args);
    let engine = Engine {
        journal: &*journal,
        writer: &writer,
        sender: &Pool::new(jobs),
        clock: &ctx.clock,
        wait: &RealTime,
        limits: Limits {
            rate: args.pace.rate,
            ..Limits::new(jobs, Claims::Many)
        },
    };
    let summary = engine.run(inbox, &mut batch, &report);
    drop(writer);
    batch.finish(summary)
}

fn jobs(args: &FireArgs) -> usize {
    usize::from(args.pace.jobs.unwrap_or(DEFAULT_JOBS))
}

fn open(args: &FireArgs, file: &Path, inbox: Option<&Inbox>) -> Result<Lines, Failure> {
    let waker = inbox.map(Inbox::waker);
    Lines::open(file, args.skip.unwrap_or(0), waker).map_err(|e| cannot_read(file, e))
}

fn cannot_read(file: &Path, error: std::io::Error) -> Failure {
    let name = super::file_name(file);
    Failure::from_error(Kind::Error, error).context(format!("cannot read {name}"))
}

impl<'a> Batch<'a> {
    fn new(
        ctx: &'a Context<'a>,
        args: &'a FireArgs,
        file: &'a Path,
        report: &'a Report<'a>,
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
    fn route(&mut self, chosen: settings::Chosen<'a>) -> Result<Rc<Route<'a>>, Failure> {
        let name = chosen.endpoint.map(|(name, _)| name.to_owned());
        if let Some(known) = self.routes.get(&name) {
            return Ok(Rc::clone(known));
        }
        let destination = Destination::resolve(self.args, self.ctx, chosen)?;
        let plan = Rc::new(destination.plan(self.ctx, jobs(self.args))?);
        let settings = &destination.settings;
        self.ctx
            .warn_of_exposure(&settings.target, &settings.transport);
        let route = Rc::new(Route { destination, plan });
        self.routes.insert(name, Rc::clone(&route));
        Ok(route)
    }

    fn route_of(&mut self, line: &BatchLine) -> Result<Rc<Route<'a>>, Failure> {
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

    fn prepare(&mut self, number: u64, line: &[u8]) -> Result<Prepared<'a>, Failure> {
        let line = BatchLine::parse(line)?;
        let route = self.route_of(&line)?;
        let destination = &route.destination;
        let order = destination.settings.element_order;
        let event = line.event(self.ctx, &self.args.sample, order, number)?;
        Ok(Prepared {
            delivery: destination.delivery(&event),
            stopped_by: destination.stopped_by(&event, self.args),
            route,
        })
    }

    /// Prepares the next line; reports what is wrong with it.
    fn next_line(&mut self, take: fn(&mut Lines) -> Line) -> NextLine<'a> {
        loop {
            let (number, prepared) = match take(&mut self.lines) {
                Line::Text(number, line) => {
                    // A byte order mark may precede the first line.
                    let mark = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1);
                    let line = mark.unwrap_or(&line);
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    (number, self.prepare(number, line))
                }
                Line::TooLong(number) => {
                    let max = text::size(MAX_LINE_BYTES as u64);
                    let failure = Failure::usage(format!("it is longer than {max}"));
                    (number, Err(failure))
                }
                Line::End => {
                    self.reached_end = true;
                    return NextLine::End;
                }
                Line::Broken(e) => {
                    self.read_error = Some(cannot_read(self.file, e));
                    return NextLine::End;
                }
                Line::Pending => return NextLine::Pending,
            };
            let failure = match prepared {
                Ok(prepared) => return NextLine::Event(number, Box::new(prepared)),
                Err(failure) => failure,
            };
            let is_invalid = failure.kind == Kind::Usage;
            let words = format!("line {number}: {}", failure.error);
            self.report.failed_now(&failure.context(words));
            return if is_invalid {
                NextLine::Invalid
            } else {
                NextLine::NotSendable
            };
        }
    }

    /// Prints how many events would be sent where.
    fn dry_run(mut self) -> Result<Exit, Failure> {
        let mut routes: Vec<(Rc<Route<'a>>, usize, usize)> = Vec::new();
        let mut summary = Summary::default();
        loop {
            let prepared = match self.next_line(Lines::wait) {
                NextLine::Event(_, prepared) => prepared,
                NextLine::Invalid => {
                    summary.invalid += 1;
                    continue;
                }
                NextLine::NotSendable => {
                    summary.not_sent += 1;
                    continue;
                }
                NextLine::Pending => continue,
                NextLine::End => break,
            };
            let known = routes
                .iter()
                .position(|(known, ..)| Rc::ptr_eq(known, &prepared.route));
            let index = known.unwrap_or(routes.len());
            if known.is_none() {
                routes.push((prepared.route, 0, 0));
            }
            let (_, sent, ignored) = &mut routes[index];
            match prepared.stopped_by {
                Some(_) => *ignored += 1,
                None => *sent += 1,
            }
        }
        for (route, sent, ignored) in &routes {
            self.print_route(&route.destination, *sent, *ignored)?;
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
        destination: &Destination<'_>,
        sent: usize,
        ignored: usize,
    ) -> Result<(), Failure> {
        let (name, target) = (destination.endpoint(), &destination.settings.target);
        if self.args.output.format() != Format::Text {
            return self.report.print_json(&serde_json::json!({
                "dry_run": true, "endpoint": name, "url": target.to_string(),
                "would_send": sent, "would_ignore": ignored,
            }));
        }
        let to = match name {
            Some(name) => format!("{name} ({target})"),
            None => target.to_string(),
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
                exit: Some(failure.exit().worst(report.exit(&summary))),
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
            ctx.ui.hint(
                "`hookfire failed list` shows what is left, `hookfire retry --all` sends it again",
            );
        }
        report.finish(
            &summary,
            &format!("not all were delivered: {totals}"),
            Some("`hookfire failed list` shows what is left"),
        )
    }

    /// Adds how to go on after a batch that ended early, and the worse exit code.
    fn with_next_steps(&self, failure: Failure, summary: &Summary, skip: u64) -> Failure {
        let exit = failure.exit();
        let mut failure = Failure {
            exit: Some(exit.worst(self.report.exit(summary))),
            ..failure
        };
        if exit == Exit::Interrupted {
            failure.exit = None;
        }
        if summary.failed + summary.interrupted > 0 {
            failure = failure.hint("`hookfire retry --all` sends again what is in the failed list");
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
        let next = self.next_line(Lines::next);
        let skipped = self.args.skip.unwrap_or(0);
        let expected = self.lines.expected();
        self.report
            .expected
            .set(expected.map(|all| all.saturating_sub(skipped)));
        match next {
            NextLine::Event(line, prepared) => match prepared.stopped_by {
                Some(by) => SourceItem::Ignore {
                    delivery: prepared.delivery,
                    by,
                    line,
                },
                None => SourceItem::New {
                    delivery: prepared.delivery,
                    plan: Rc::clone(&prepared.route.plan),
                    line,
                },
            },
            NextLine::Invalid => SourceItem::Invalid,
            NextLine::NotSendable => SourceItem::NotSendable,
            NextLine::Pending => SourceItem::Later(None),
            NextLine::End => SourceItem::End,
        }
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Rc<SendPlan>> {
        // This run accepted the delivery, so its route is known.
        let route = self.routes.get(&delivery.endpoint)?;
        Some(Rc::clone(&route.plan))
    }
}
