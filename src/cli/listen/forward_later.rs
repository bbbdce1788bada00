//! `--forward-later`: stores requests, responds, and delivers them afterwards.

use super::args::ListenArgs;
use crate::capture::Mask;
use crate::capture::expect::Expectation;
use crate::cli::args::RETRY_POLICY_OPTIONS;
use crate::cli::context::Context;
use crate::cli::forward_later::ForwardThread;
use crate::cli::forward_targets::{ForwardTargets, start_thread};
use crate::cli::settings::{self, Chosen};
use crate::error::Failure;
use crate::journal::{Forwarding, Journal};
use crate::listener::Notifier;

/// Where requests are forwarded later; none without `--forward-later`.
pub fn targets(args: &ListenArgs, ctx: &Context<'_>) -> Result<Option<ForwardTargets>, Failure> {
    let later = &args.forward_later;
    if !later.forward_later {
        ctx.refuse(&RETRY_POLICY_OPTIONS, |flag| {
            Failure::usage(format!("`{flag}` requires `--forward-later`"))
        })?;
        return Ok(None);
    }
    let config = ctx.config()?;
    let urls = args.responses.forward_to.iter();
    let urls = urls.filter(|url| !url.is_empty());
    let mut chosen: Vec<Chosen<'_>> = Vec::new();
    for url in urls {
        chosen.push(settings::from_url(url)?);
    }
    for name in &later.endpoint {
        chosen.push(settings::from_endpoint(name, config)?);
    }
    if chosen.is_empty() {
        return Err(Failure::usage("`--forward-later` has no target")
            .hint("name one with `--forward-to URL` or `--endpoint NAME`"));
    }
    let targets = ForwardTargets::new(ctx, chosen, &later.policy, &args.transport, later.in_order)?;
    Ok(Some(targets))
}

/// The running thread, and what makes captures into deliveries for it.
pub fn start(
    ctx: &Context<'_>,
    args: &ListenArgs,
    targets: &ForwardTargets,
    (filter, mask): (&Expectation, &Mask),
    journal: &dyn Journal,
    notifier: &Notifier,
) -> Result<(ForwardThread, Forwarding), Failure> {
    let later = &args.forward_later;
    let max_pending = usize::try_from(later.max_pending).unwrap_or(usize::MAX);
    let (thread, pending) = start_thread(
        ctx,
        targets,
        (later.forward_jobs, max_pending),
        mask,
        journal,
        Some(notifier.clone()),
    )?;
    let forwarding = Forwarding {
        forwards: targets.forwards.clone().into(),
        filter: filter.clone(),
        max_pending,
        pending,
        added: Box::new(thread.waker()),
    };
    Ok((thread, forwarding))
}
