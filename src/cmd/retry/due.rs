//! `hookfire retry --due`: the attempts whose time has come, once or for as long as it runs.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use super::prepare::Preparer;
use super::work::Resending;
use super::{RetryArgs, nothing_to_send};
use crate::batch::rate::Bucket;
use crate::cmd::bulk::Bulk;
use crate::cmd::context::Context;
use crate::deliver::{Courier, NextBy, Observer, Shipment};
use crate::delivery::Delivery;
use crate::exit::Exit;
use crate::failure::{Failure, Kind};
use crate::journal::Journal;
use crate::output::human::Aside;
use crate::recover::due::{Agenda, Obstacle, Upcoming, put_off};
use crate::recover::patience::{Patient, Trouble};
use crate::recover::{self, Dispatch, Retried, Task};
use crate::secret::SecretError;
use crate::settings::{self, Origin};
use crate::store::{Schedule, Seen, Store};
use crate::target::MissingSecret;
use crate::text;
use crate::time::{Clock as _, UnixMs, until};

/// Runs `hookfire retry --due`.
///
/// # Errors
/// What kept it from sending at all; what became of each delivery is the exit code.
pub fn run(args: &RetryArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    refuse_another_rule(ctx)?;
    if args.jobs() > 1 && Origin::of(ctx.matches, "jobs") == Origin::Flag {
        return Err(Failure::usage("`--jobs` and `--due` are both given")
            .hint("what is due is sent one after the other; more of it at once by several `hookfire retry --due`"));
    }
    let journal = ctx.existing_journal()?;
    if args.watch {
        let journal = journal.map_or_else(|| ctx.journal(), Ok)?;
        ctx.catch_interrupts_and_drain()?;
        let tell = |trouble: Trouble<'_>| match trouble {
            Trouble::Begun(e) => ctx.ui.warning(&format!("{e}; waiting until it can be used")),
            Trouble::Over => ctx.ui.status("the journal can be used again"),
        };
        let patient = Patient::new(&journal, &ctx.clock, &tell);
        ctx.ui.status("making attempts when they are due (Ctrl-C ends it)");
        return Due::new(ctx, args, &journal, &patient)?.watch(&patient);
    }
    let Some(journal) = journal else { return nothing_due(ctx, args, None) };
    let now = ctx.now();
    let mut agenda = Agenda::once(&journal, now);
    if args.dry_run {
        let mut seen = Vec::new();
        while let Upcoming::Due(due) = agenda.next(now)? {
            seen.push(due);
        }
        seen.truncate(args.max.map_or(usize::MAX, NonZeroUsize::get));
        return Due::new(ctx, args, &journal, &journal)?.dry_run(&seen);
    }
    ctx.catch_interrupts_and_drain()?;
    Due::new(ctx, args, &journal, &journal)?.once(agenda)
}

/// What is due was accepted under a rule, and keeps to it.
fn refuse_another_rule(ctx: &Context<'_>) -> Result<(), Failure> {
    for option in ["retries", "retry_interval", "success"] {
        if Origin::of(ctx.matches, option) == Origin::Flag {
            let option = option.replace('_', "-");
            return Err(Failure::usage(format!("`--{option}` and `--due` are both given"))
                .hint("what is due keeps to the rule that it was accepted under"));
        }
    }
    Ok(())
}

fn nothing_due(ctx: &Context<'_>, args: &RetryArgs, next: Option<UnixMs>) -> Result<Exit, Failure> {
    let words = match next {
        Some(due) => format!("nothing is due; next attempt {}", until(due, ctx.now())),
        None => "nothing is scheduled".to_owned(),
    };
    nothing_to_send(ctx, args.output.format(), &words)
}

/// One run: each delivery as `retry` would send it, but by its own rule.
struct Due<'a> {
    ctx: &'a Context<'a>,
    args: &'a RetryArgs,
    journal: &'a Journal,
    preparer: Preparer<'a>,
    bulk: Bulk<'a>,
    schedule: &'a dyn Schedule,
    watch: bool,
    /// Deliveries about which was said that they cannot be sent: in a run without end, once is enough.
    told: HashSet<i64>,
}

impl<'a> Due<'a> {
    fn new(
        ctx: &'a Context<'a>,
        args: &'a RetryArgs,
        journal: &'a Journal,
        schedule: &'a dyn Schedule,
    ) -> Result<Due<'a>, Failure> {
        let secrets = settings::secrets("--secret", &args.extras.secret, &ctx.env)?;
        let preparer = Preparer::new(ctx, args, None, secrets);
        let bulk = Bulk::new(ctx, Some(journal), args.output.format());
        Ok(Due { ctx, args, journal, preparer, bulk, schedule, watch: args.watch, told: HashSet::new() })
    }

    fn dry_run(self, seen: &[Seen]) -> Result<Exit, Failure> {
        Resending::new(self.ctx, self.args, self.preparer, self.bulk, None).dry_run(self.journal, seen)
    }

    /// Makes the attempts that are due now, one of each delivery.
    fn once(mut self, mut agenda: Agenda<'_>) -> Result<Exit, Failure> {
        let (ctx, args) = (self.ctx, self.args);
        let mut bucket = args.pace.rate.map(Bucket::new);
        let mut next = |now| {
            if let Some(free_at) = bucket.as_ref().and_then(|bucket| bucket.free_at(now)) {
                return Ok(Task::Later(free_at));
            }
            Ok(match agenda.next(now)? {
                Upcoming::Due(seen) => paced(&mut bucket, now, seen),
                Upcoming::Later(at) => Task::Later(at),
                Upcoming::End => Task::End,
            })
        };
        let journal = self.journal;
        recover::work(&Courier { store: journal, clock: &ctx.clock }, &mut next, &mut self)?;
        if self.bulk.tally.total() == 0 && self.bulk.tally.exit == Exit::Done && !ctx.clock.interrupted() {
            return nothing_due(ctx, args, agenda.next_due());
        }
        self.end_output()?;
        if ctx.clock.interrupted() {
            return Err(Failure::new(Kind::Interrupted, "stopped; what is due stays scheduled"));
        }
        self.end()
    }

    /// Makes each attempt when it is due, until the user wants it to end or the journal cannot be used any more.
    fn watch<S: Store + Schedule>(mut self, journal: &'a S) -> Result<Exit, Failure> {
        let ctx = self.ctx;
        let mut agenda = Agenda::watched(journal);
        let mut bucket = self.args.pace.rate.map(Bucket::new);
        let mut next = |now| {
            if let Some(free_at) = bucket.as_ref().and_then(|bucket| bucket.free_at(now)) {
                return Ok(Task::Later(free_at));
            }
            let upcoming = agenda.next(now)?;
            tell_left_behind(ctx, agenda.take_left_behind());
            Ok(match upcoming {
                Upcoming::Due(seen) => paced(&mut bucket, now, seen),
                Upcoming::Later(at) => {
                    let left = agenda.next_due().map(|due| due.since(now));
                    left.map_or_else(
                        || ctx.ui.passing("nothing is scheduled (Ctrl-C stops)"),
                        |left| ctx.ui.countdown(left),
                    );
                    Task::Later(at)
                }
                Upcoming::End => Task::End,
            })
        };
        let worked = recover::work(&Courier { store: journal, clock: &ctx.clock }, &mut next, &mut self);
        let exit = self.end_output()?;
        worked?;
        // It was to run until then.
        if exit != Exit::Journal && ctx.clock.interrupted() {
            return Ok(Exit::Done);
        }
        self.end()
    }

    /// Ends what is said of all of them.
    fn end_output(&mut self) -> Result<Exit, Failure> {
        let exit = self.bulk.end_output()?;
        if self.bulk.tally.total() > 1 {
            self.ctx.ui.status(&self.bulk.tally.in_words(None));
        }
        Ok(exit)
    }

    /// How the command ends, where nobody stopped it.
    fn end(&mut self) -> Result<Exit, Failure> {
        let words = format!("not all were delivered: {}", self.bulk.tally.in_words(None));
        self.bulk.exit(&words, Some("`hookfire failed list` shows what is left"))
    }
}

/// One more leaves; there is room for it.
fn paced(bucket: &mut Option<Bucket>, now: UnixMs, seen: Seen) -> Task {
    let _ = bucket.as_mut().map(|bucket| bucket.take(now));
    Task::Due(seen)
}

fn tell_left_behind(ctx: &Context<'_>, number: usize) {
    if number > 0 {
        let deliveries = text::count(number, "delivery", "deliveries");
        ctx.ui.status(&format!("{deliveries} left behind by a process that ended"));
    }
}

impl Dispatch for Due<'_> {
    type Error = Failure;

    fn prepare(&mut self, delivery: &Delivery) -> Result<Shipment, Failure> {
        match self.preparer.prepare_alone(delivery) {
            Ok(shipment) => Ok(Shipment { rule: delivery.rule.clone(), next: NextBy::Schedule, ..shipment }),
            Err(failure) if failure.kind == Kind::Journal => Err(failure),
            Err(failure) => {
                let forgotten = failure
                    .error
                    .downcast_ref::<MissingSecret>()
                    .is_some_and(|missing| matches!(missing.source, SecretError::Forgotten));
                let (obstacle, words) = match forgotten {
                    true => (Obstacle::Lasting, "cannot be sent by `--due`; it is in the failed list"),
                    false => (Obstacle::Passing, "could not be sent; it stays scheduled"),
                };
                put_off(self.schedule, delivery, obstacle, self.ctx.now())?;
                Err(failure.about(format!("#{} {words}", delivery.id)))
            }
        }
    }

    fn failed(&mut self, id: i64, failure: Failure) -> bool {
        let goes_on = failure.kind != Kind::Journal;
        if self.watch && goes_on && !self.told.insert(id) {
            // It was said.
            let tally = &mut self.bulk.tally;
            tally.exit = tally.exit.worst(failure.kind.exit());
        } else if self.watch && goes_on {
            self.bulk.broken(failure);
        } else {
            self.bulk.failed(failure);
        }
        goes_on
    }

    fn observer(&mut self, _: &Delivery) -> Box<dyn Observer + '_> {
        Box::new(Aside { ui: self.ctx.ui })
    }

    fn done(&mut self, retried: &Retried) -> Result<(), Failure> {
        match retried {
            // Somebody else was faster, which is all the same.
            Retried::Skipped => {}
            Retried::NotSent => {
                self.bulk.tally.not_sent += 1;
                self.bulk.tally.in_a_row += 1;
            }
            Retried::Sent(delivery) => {
                self.bulk.ended(delivery);
                self.bulk.flush();
            }
        }
        Ok(())
    }

    fn enough(&self) -> bool {
        let tally = &self.bulk.tally;
        self.args.max.is_some_and(|most| tally.total() >= most.get())
            || self.args.stop_after.is_some_and(|most| tally.in_a_row >= most.get())
    }
}
