//! `hookfire retry --due`: the attempts whose time has come, once or for as long as it runs.

use std::num::NonZeroUsize;

use super::errands::Errands;
use super::prepare::Preparer;
use super::work::Resending;
use super::{RetryArgs, nothing_to_send};
use crate::cli::bulk::Bulk;
use crate::cli::context::Context;
use crate::cli::settings;
use crate::engine::batch::{Blocking, Engine, Mail, Pace};
use crate::engine::due::{Agenda, Upcoming};
use crate::engine::patience::{Patient, Trouble, Troubles};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::store::{Deliveries, Ledger};
use crate::time::{Clock as _, UnixMs, until};

/// Runs `hookfire retry --due`.
///
/// # Errors
/// What kept it from sending at all; what became of each delivery is the exit code.
pub fn run(args: &RetryArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    refuse_another_rule(ctx)?;
    let journal = ctx.existing_journal()?;
    if args.watch {
        let journal = journal.map_or_else(|| ctx.journal(), Ok)?;
        return watch(args, ctx, &*journal);
    }
    let Some(journal) = journal else {
        return nothing_due(ctx, args, None);
    };
    if args.dry_run {
        dry_run(args, ctx, &*journal)
    } else {
        once(args, ctx, &*journal)
    }
}

/// What is due was accepted under a rule, and keeps to it.
fn refuse_another_rule(ctx: &Context<'_>) -> Result<(), Failure> {
    for option in ["retries", "retry_interval", "success"] {
        if ctx.is_flag(option) {
            let option = option.replace('_', "-");
            return Err(
                Failure::usage(format!("`--{option}` and `--due` are both given"))
                    .hint("what is due keeps to the rule that it was accepted under"),
            );
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

fn preparer<'a>(args: &'a RetryArgs, ctx: &'a Context<'_>) -> Result<Preparer<'a>, Failure> {
    let secrets = settings::secrets("--secret", &args.extras.secret, &ctx.env)?;
    Ok(Preparer::new(ctx, args, None, secrets))
}

fn dry_run(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    let now = ctx.now();
    let most = args.max.map_or(usize::MAX, NonZeroUsize::get);
    let mut agenda = Agenda::once(journal, usize::MAX, now);
    let mut seen = Vec::new();
    while seen.len() < most
        && let Upcoming::Due(due) = agenda.next(now)?
    {
        seen.push(due);
    }
    let bulk = Bulk::new(ctx, Some(journal), args.output.format());
    Resending::new(ctx, args, preparer(args, ctx)?, bulk, None).dry_run(journal, &seen)
}

/// Makes the attempts that are due now, one of each delivery.
fn once(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    ctx.catch_interrupts_and_drain()?;
    let bulk = Bulk::new(ctx, Some(journal), args.output.format());
    let agenda = Agenda::once(journal, args.jobs(), ctx.now());
    let mut errands = Errands::new(
        ctx,
        args,
        (preparer(args, ctx)?, bulk),
        journal,
        agenda,
        None,
    );
    send(args, ctx, journal, &ctx.ledger(journal)?, &mut errands);
    if errands.found_nothing() && !ctx.clock.interrupted() {
        return nothing_due(ctx, args, errands.agenda.next_due());
    }
    errands.end_output()?;
    if ctx.clock.interrupted() && !errands.is_halted() {
        return Err(Failure::new(
            Kind::Interrupted,
            "stopped; what is due stays scheduled",
        ));
    }
    errands.end()
}

/// Makes each attempt when it is due, until the user wants it to end or the journal cannot be used any more.
fn watch(args: &RetryArgs, ctx: &Context<'_>, journal: &dyn Journal) -> Result<Exit, Failure> {
    ctx.catch_interrupts_and_drain()?;
    let tell = |trouble: Trouble<'_>| match trouble {
        Trouble::Begun(why) => ctx
            .ui
            .warning(&format!("{why}; waiting until it can be used")),
        Trouble::Over => ctx.ui.status("the journal can be used again"),
    };
    let troubles = Troubles::new(&tell);
    let patient = Patient::new(journal, &ctx.clock, &troubles);
    let ledger = ctx.enduring_ledger(journal, troubles.enduring(Box::new(ctx.clock.clone())))?;
    ctx.ui
        .status("making attempts when they are due (Ctrl-C ends it)");
    let bulk = Bulk::new(ctx, Some(journal), args.output.format());
    let agenda = Agenda::watched(&patient, args.jobs());
    let mut errands = Errands::new(
        ctx,
        args,
        (preparer(args, ctx)?, bulk),
        &patient,
        agenda,
        Some(&troubles),
    );
    send(args, ctx, &patient, &ledger, &mut errands);
    errands.end_output()?;
    // It was to run until then.
    if ctx.clock.interrupted() && !errands.is_halted() {
        return Ok(Exit::Done);
    }
    errands.end()
}

/// Has the engine do the work.
fn send(
    args: &RetryArgs,
    ctx: &Context<'_>,
    store: &dyn Deliveries,
    ledger: &dyn Ledger,
    errands: &mut Errands<'_>,
) {
    let jobs = args.jobs();
    let pace = Pace {
        jobs,
        rate: args.pace.rate,
        in_turn: jobs == 1,
        far_ahead: false,
    };
    let engine = Engine {
        store,
        ledger,
        clock: &ctx.clock,
        patience: &Blocking,
        pace,
    };
    if let Err(halted) = engine.run(Mail::default(), errands) {
        errands.halted(halted);
    }
}
