//! `hookfire listen`: a RequestBin of one's own.
//!
//! Puts the catcher, the journal and the page together, says where it listens, and prints what comes until it is to end.

mod announce;
mod args;
mod banner;
mod forward;
mod live;
mod plan;
mod ready;

use std::sync::Arc;

use tempfile::TempPath;

use super::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::CaptureKeeper;
use crate::listener::{Listener, ListenerError, Notifier, Setup, Upstream};
use crate::time::{Clock as _, compact};
use crate::web::{Access, WebOptions, web_ui};
use announce::{Announcements, Announcer};
pub use args::ListenArgs;
use banner::Place;
use live::Live;
use plan::Plan;
use ready::ReadyFile;

/// Runs `hookfire listen`.
///
/// # Errors
/// When an option cannot be, the address cannot be listened on, or the journal cannot be used.
pub fn run(args: &ListenArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let plan = Plan::of(args, ctx)?;
    if let Some(path) = &args.ending.ready_file {
        ReadyFile::check(path)?;
    }
    let journal = ctx.journal()?;
    let shown_path = journal.path().display().to_string();
    ctx.catch_interrupts()?;
    let announcements = Arc::new(Announcements::default());
    let mut catcher = start(args, ctx, &plan, &announcements)?;
    let place = Place::new(catcher.url(), catcher.addr().port(), plan.token.as_ref());
    let _ready_file = args
        .ending
        .ready_file
        .as_deref()
        .map(|path| ReadyFile::write(path, &place.url))
        .transpose()?;
    banner::show(args, ctx, &plan, &place, &shown_path)?;
    let _way_to_page = args.ending.open.then(|| open_page(ctx, &plan, &place));
    let mut live = Live::new(
        ctx,
        journal,
        plan.mask.clone(),
        args.output,
        args.ending.exit_after,
    );
    live.until_end(&args.ending, &catcher, &announcements)?;
    if ctx.clock.interrupted() {
        catcher.stop();
    } else {
        catcher.finish(|| ctx.clock.interrupted());
    }
    live.finish(&catcher, &announcements)?;
    match (args.ending.exit_after, args.ending.for_) {
        (Some(wanted), Some(duration)) if live.caught() < wanted && !ctx.clock.interrupted() => {
            let (caught, duration) = (live.caught(), compact(duration));
            Err(Failure::new(
                Kind::Unmet,
                format!("{caught} of {wanted} requests came within {duration}"),
            ))
        }
        _ => Ok(Exit::Done),
    }
}

/// A catcher at work, with bins to catch into. Its address is taken before anything is written.
fn start(
    args: &ListenArgs,
    ctx: &Context<'_>,
    plan: &Plan,
    announcements: &Arc<Announcements>,
) -> Result<Listener, Failure> {
    let journal = ctx.journal()?;
    for bin in &plan.bins {
        journal.create_bin(bin, false, ctx.now())?;
    }
    let keeper = CaptureKeeper::start(journal, &plan.bins[0], args.limits.keep)?;
    let notifier = Notifier::new();
    let web = web_ui(WebOptions {
        journal: ctx.journal()?,
        notifier: notifier.clone(),
        config: ctx.globals.config.as_deref(),
        access: plan.token.clone().map_or(Access::Loopback, Access::Token),
        allow_origin: plan.allow_origin.clone(),
        default_bin: plan.bins[0].clone(),
        mask: plan.page_mask.clone(),
        program: ctx.program(),
        emulate_portal: args.portal.emulate_portal,
        portal_token: plan.portal_token.clone(),
    })?;
    let keeper = Arc::new(Announcer::new(
        keeper,
        Arc::clone(announcements),
        plan.forwarder.is_some(),
    ));
    let setup = Setup {
        limits: plan.limits,
        response_body: args.answers.response_body.clone().map(String::into_bytes),
        response_headers: plan.response_headers.clone(),
        status_in_path: args.answers.status_in_path,
        require_secret: plan.require_secret.clone(),
        web_token: plan.token.clone(),
        upstream: plan
            .forwarder
            .clone()
            .map(|forwarder| forwarder as Arc<dyn Upstream>),
        web: Some(web),
        notifier,
        tls: plan.tls.clone(),
        ..Setup::new(plan.addr, plan.script.clone(), keeper)
    };
    Listener::bind(setup).map_err(|e| {
        let kind = if matches!(e, ListenerError::Header(_)) {
            Kind::Usage
        } else {
            Kind::Error
        };
        Failure::from_error(kind, e)
    })
}

/// Opens the page in a browser; gives what must not go as long as the browser may look for it.
fn open_page(ctx: &Context<'_>, plan: &Plan, place: &Place) -> Option<TempPath> {
    let page = &place.page;
    let opened = match &plan.token {
        Some(_) => ready::open_privately(page).map(Some),
        None => ready::open(page).map(|()| None),
    };
    opened.unwrap_or_else(|e| {
        ctx.ui.warning(&format!(
            "no browser could be opened ({e}); the page is {page}"
        ));
        None
    })
}
