//! `hookfire fire --batch`: many events, a line each, sent as fast as journal and endpoint let them.
//!
//! Each line stands for itself: what is wrong with one is told with its number, and the others are sent.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::lines::{LONGEST, Lines, Next};
use super::order::Order;
use super::{FireArgs, background};
use crate::cli::args::Format;
use crate::cli::bulk::Bulk;
use crate::cli::context::Context;
use crate::cli::settings::{self, Chosen, FireSettings};
use crate::delivery::Delivery;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::{Switch, WebhookSwitches};
use crate::delivery::target::Target;
use crate::engine::batch::{Blocking, CrewShipment, Engine, Gauge, Mail, News, Pace, Task, Work};
use crate::engine::deliver::{DeliverError, NextBy, Shipment};
use crate::error::{Failure, Kind};
use crate::event::{BodyFormat, ElementOrder};
use crate::exit::Exit;
use crate::journal::store::NewDelivery;
use crate::output::human::attempt_of;
use crate::text::{self, count};
use crate::time::Clock as _;

/// Requests at once.
const JOBS: u16 = 8;

/// Where lines go: all that is decided once for as many as go the same way.
struct Place {
    name: Option<String>,
    target: Target,
    wire: BodyFormat,
    compat: ElementOrder,
    board: WebhookSwitches,
    rule: RetryPolicy,
    shipment: CrewShipment,
}

/// What becomes of a line.
struct Ordered {
    delivery: Box<Delivery>,
    event: std::sync::Arc<[u8]>,
    place: Rc<Place>,
    /// The switch that says no.
    ignored_by: Option<Switch>,
}

/// One run of `fire --batch`.
struct Batch<'a> {
    ctx: &'a Context<'a>,
    args: &'a FireArgs,
    file: &'a Path,
    lines: Lines,
    /// By the endpoint's name; none for a bare URL.
    places: HashMap<Option<String>, Rc<Place>>,
    /// Where lines go that name no endpoint, if the command says so.
    usual: Option<Rc<Place>>,
    bulk: Bulk<'a>,
    /// The first line that the journal did not take.
    not_taken: Option<u64>,
    /// Whether all lines were taken.
    ended: bool,
    /// Why not all could be read.
    broke: Option<Failure>,
}

/// Runs `hookfire fire --batch FILE`.
///
/// # Errors
/// What kept it from sending at all, and what it ends with.
pub fn run(args: &FireArgs, file: &Path, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let mail = Mail::default();
    let jobs = jobs(args);
    if args.dry_run {
        return Batch::new(
            ctx,
            args,
            file,
            open(args, file, None)?,
            Bulk::new(ctx, None, format(args)),
        )?
        .dry_run();
    }
    let lines = open(args, file, Some(mail.bell()))?;
    let journal = ctx.journal()?;
    let mut batch = Batch::new(
        ctx,
        args,
        file,
        lines,
        Bulk::new(ctx, Some(&*journal), format(args)),
    )?;
    ctx.catch_interrupts()?;
    let pace = Pace {
        jobs,
        rate: args.pace.rate,
        in_turn: false,
        far_ahead: true,
    };
    let halted = {
        let ledger = ctx.ledger(&*journal)?;
        let engine = Engine {
            store: &*journal,
            ledger: &ledger,
            clock: &ctx.clock,
            patience: &Blocking,
            pace,
        };
        engine.run(mail, &mut batch).err()
    };
    batch.finish(halted.map(Failure::from))
}

fn jobs(args: &FireArgs) -> usize {
    usize::from(args.pace.jobs.unwrap_or(JOBS))
}

fn format(args: &FireArgs) -> Format {
    args.output.format()
}

fn open(
    args: &FireArgs,
    file: &Path,
    bell: Option<crate::engine::batch::Bell>,
) -> Result<Lines, Failure> {
    Lines::open(file, args.skip.unwrap_or(0), bell).map_err(|e| cannot_read(file, e))
}

fn cannot_read(file: &Path, error: std::io::Error) -> Failure {
    let name = if file == Path::new("-") {
        "stdin".to_owned()
    } else {
        format!("`{}`", file.display())
    };
    Failure::from_error(
        Kind::Error,
        anyhow::Error::new(error).context(format!("cannot read {name}")),
    )
}

impl<'a> Batch<'a> {
    fn new(
        ctx: &'a Context<'a>,
        args: &'a FireArgs,
        file: &'a Path,
        lines: Lines,
        bulk: Bulk<'a>,
    ) -> Result<Batch<'a>, Failure> {
        let places = HashMap::new();
        let mut batch = Batch {
            ctx,
            args,
            file,
            lines,
            places,
            usual: None,
            bulk,
            not_taken: None,
            ended: false,
            broke: None,
        };
        let target = &args.target;
        let is_given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let named = is_given(&target.endpoint) || is_given(&target.url);
        if named || ctx.config()?.default_endpoint.is_some() {
            let chosen = settings::chosen(ctx, target)?;
            batch.usual = Some(batch.place(chosen)?);
        }
        Ok(batch)
    }

    /// The place of a target, looked up once.
    fn place(&mut self, chosen: Chosen<'_>) -> Result<Rc<Place>, Failure> {
        let name = chosen.endpoint.map(|(name, _)| name.to_owned());
        if let Some(known) = self.places.get(&name) {
            return Ok(Rc::clone(known));
        }
        let settings = FireSettings::new(chosen, super::options(self.args, self.ctx)?);
        let scheduled = self.args.background && settings.policy.retries > 0;
        if scheduled {
            background::refuse_literal_secrets(&settings)?;
        }
        let next = if scheduled {
            NextBy::Schedule
        } else {
            NextBy::Waiting
        };
        let FireSettings {
            target,
            policy: rule,
            transport: options,
            body_format: wire,
            element_order: compat,
            switches: board,
            ..
        } = settings;
        let jobs = jobs(self.args);
        let shipment = self
            .ctx
            .crew_shipment(jobs, &target, rule.clone(), &options, None)?;
        let shipment = Rc::new(Shipment {
            wire,
            next,
            ..shipment
        });
        self.ctx.warn_of_exposure(&target, &options);
        let place = Rc::new(Place {
            name: name.clone(),
            target,
            wire,
            compat,
            board,
            rule,
            shipment,
        });
        self.places.insert(name, Rc::clone(&place));
        Ok(place)
    }

    fn place_of(&mut self, order: &Order) -> Result<Rc<Place>, Failure> {
        let Some(name) = order.endpoint.as_deref() else {
            return self.usual.clone().ok_or_else(|| {
                Failure::usage("it names no endpoint, and neither does the command")
                    .hint("name one in the line (`\"endpoint\": \"NAME\"`), or one for all with `--endpoint NAME` or `--url URL`")
            });
        };
        if let Some(known) = self.places.get(&Some(name.to_owned())) {
            return Ok(Rc::clone(known));
        }
        let mut chosen = settings::from_endpoint(name, self.ctx.config()?)?;
        settings::add_extras(&mut chosen.target, &self.args.target.extras, &self.ctx.env)?;
        self.place(chosen)
    }

    fn ordered(&mut self, number: u64, line: &[u8]) -> Result<Ordered, Failure> {
        let order = Order::read(line)?;
        let place = self.place_of(&order)?;
        let event = order.event(self.ctx, &self.args.sample, place.compat, number)?;
        let decision = place.board.decide(
            event.event_type(),
            event.action(),
            self.args.origin.source(),
        );
        let new = NewDelivery {
            event_type: event.event_type(),
            action: event.action(),
            event: event.bytes(),
            endpoint: place.name.as_deref(),
            target: &place.target,
            wire: place.wire,
            rule: &place.rule,
        };
        let delivery = Box::new(new.accepted(self.ctx.now()));
        let ignored_by = decision.err().filter(|_| !self.args.force);
        Ok(Ordered {
            delivery,
            event: event.bytes().into(),
            place,
            ignored_by,
        })
    }

    /// What the next line that can be sent asks for. Whatever is wrong with those before it is told.
    fn next_ordered(
        &mut self,
        take: fn(&mut Lines) -> Next,
    ) -> Option<Result<(u64, Ordered), Next>> {
        loop {
            let (number, read) = match take(&mut self.lines) {
                Next::Line(number, line) => {
                    // A byte order mark is no part of the first one.
                    let line = line
                        .strip_prefix(b"\xef\xbb\xbf")
                        .filter(|_| number == 1)
                        .unwrap_or(&line);
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    (number, self.ordered(number, line))
                }
                Next::TooLong(number) => {
                    let longest = text::size(LONGEST as u64);
                    (
                        number,
                        Err(Failure::usage(format!("it is longer than {longest}"))),
                    )
                }
                Next::End => {
                    self.ended = true;
                    return None;
                }
                Next::Broken(e) => {
                    self.broke = Some(cannot_read(self.file, e));
                    return None;
                }
                Next::Nothing => return Some(Err(Next::Nothing)),
            };
            match read {
                Ok(ordered) => return Some(Ok((number, ordered))),
                Err(failure) => self.is_broken(number, failure),
            }
        }
    }

    fn is_broken(&mut self, number: u64, failure: Failure) {
        let said = failure.error.to_string();
        if failure.kind == Kind::Usage {
            self.bulk.tally.broken += 1;
        } else {
            self.bulk.tally.not_sent += 1;
        }
        self.bulk
            .broken(failure.context(format!("line {number}: {said}")));
    }

    /// Says what would be sent where.
    fn dry_run(mut self) -> Result<Exit, Failure> {
        let mut places: Vec<(Rc<Place>, usize, usize)> = Vec::new();
        while let Some(Ok((
            _,
            Ordered {
                place, ignored_by, ..
            },
        ))) = self.next_ordered(Lines::wait)
        {
            let at = places
                .iter()
                .position(|(known, ..)| Rc::ptr_eq(known, &place));
            let at = at.unwrap_or_else(|| {
                places.push((place, 0, 0));
                places.len() - 1
            });
            let (_, sent, ignored) = &mut places[at];
            *(if ignored_by.is_some() { ignored } else { sent }) += 1;
        }
        for (place, sent, ignored) in &places {
            let Place { name, target, .. } = &**place;
            if format(self.args) == Format::Text {
                let to = name
                    .as_ref()
                    .map_or_else(|| target.to_string(), |name| format!("{name} ({target})"));
                let ignored = if *ignored > 0 {
                    format!(", ignore {ignored}")
                } else {
                    String::new()
                };
                self.ctx
                    .ui
                    .line(&format!("would send {sent} to {to}{ignored}"))?;
            } else {
                let view = serde_json::json!({
                    "dry_run": true, "endpoint": name, "url": target.to_string(), "would_send": sent, "would_ignore": ignored,
                });
                self.bulk.print(&view)?;
            }
        }
        self.bulk.end_output()?;
        let words = self.bulk.tally.in_words(None);
        let all_well = self.bulk.tally.exit == Exit::Done;
        let found = if all_well {
            String::new()
        } else {
            format!("; {words}")
        };
        self.ctx
            .ui
            .status(&format!("nothing is sent (--dry-run){found}"));
        match self.broke {
            Some(failure) => Err(failure),
            None => self
                .bulk
                .exit(&format!("not all can be sent: {words}"), None),
        }
    }

    /// Says what came of all.
    fn finish(mut self, halted: Option<Failure>) -> Result<Exit, Failure> {
        let interrupted = self.ctx.clock.interrupted();
        let ends_otherwise = halted.is_some() || interrupted || self.broke.is_some();
        let reported = if ends_otherwise {
            Ok(self.bulk.end_output_besides())
        } else {
            self.bulk.end_output()
        };
        let words = format!(
            "{}{}",
            self.bulk.tally.in_words(None),
            self.bulk.speed_in_words()
        );
        self.ctx.ui.status(&words);
        let exit = reported?;
        let skip = self.not_taken.map_or(self.lines.last(), |first| first - 1);
        let left = self.bulk.tally.failed + self.bulk.tally.interrupted > 0;
        let again = left
            .then(|| "`hookfire retry --all` sends again what is in the failed list".to_owned());
        let is_more = !self.ended || self.not_taken.is_some();
        let rest = format!(
            "the same command with `--skip {skip}` goes on with line {}",
            skip + 1
        );
        let go_on = again.into_iter().chain(is_more.then_some(rest));
        let worse = |failure: Failure| Failure {
            exit: Some(failure.exit().worst(exit)),
            ..failure
        };
        if let Some(failure) = halted {
            return Err(go_on.fold(worse(failure), Failure::hint));
        }
        if interrupted {
            let lines = count(usize::try_from(skip).unwrap_or(usize::MAX), "line", "lines");
            return Err(go_on.fold(
                Failure::new(Kind::Interrupted, format!("stopped after {lines}")),
                Failure::hint,
            ));
        }
        if let Some(failure) = self.broke {
            return Err(worse(failure).hint(format!("all lines up to {skip} were seen to")));
        }
        if self.bulk.tally.scheduled > 0 {
            self.ctx
                .ui
                .hint("`hookfire retry --due` makes the attempts that are scheduled");
            background::tell_what_is_not_kept(self.ctx);
        }
        if format(self.args) == Format::Text && self.bulk.tally.failed > 0 {
            self.ctx.ui.hint(
                "`hookfire failed list` shows what is left, `hookfire retry --all` sends it again",
            );
        }
        let hint = "`hookfire failed list` shows what is left";
        self.bulk
            .exit(&format!("not all were delivered: {words}"), Some(hint))
    }
}

impl Work for Batch<'_> {
    fn next(&mut self) -> Task {
        match self.next_ordered(Lines::next) {
            None => Task::End,
            Some(Err(_)) => Task::Later,
            Some(Ok((
                mark,
                Ordered {
                    delivery,
                    event,
                    place,
                    ignored_by,
                },
            ))) => match ignored_by {
                Some(by) => Task::Ignore {
                    delivery,
                    event,
                    by,
                    mark,
                },
                None => Task::Fire {
                    delivery,
                    event,
                    shipment: Rc::clone(&place.shipment),
                    mark,
                },
            },
        }
    }

    fn shipment(&mut self, delivery: &Delivery) -> Option<CrewShipment> {
        // It was accepted by this run, and so has its place here.
        self.places
            .get(&delivery.endpoint)
            .map(|place| Rc::clone(&place.shipment))
    }

    fn told(&mut self, news: News<'_>) {
        match news {
            News::Sending { .. } => {}
            News::Attempted(delivery, attempt) => {
                self.bulk.attempted(&attempt);
                self.ctx.ui.detail(1, || attempt_of(delivery, &attempt));
            }
            News::Ended(delivery) | News::Ignored(delivery) => self.bulk.ended(delivery),
            News::Skipped(id) | News::TakenOver(id) => {
                self.bulk.tally.skipped += 1;
                self.bulk.failed(DeliverError::TakenOver(id).into());
            }
            News::NotTaken(line) => {
                self.not_taken = Some(self.not_taken.map_or(line, |first| first.min(line)))
            }
        }
    }

    fn pause(&mut self, gauge: &Gauge) -> Option<Duration> {
        let of = self
            .lines
            .expected()
            .map(|all| all.saturating_sub(self.args.skip.unwrap_or(0)));
        self.bulk.pause(gauge, of);
        None
    }
}
