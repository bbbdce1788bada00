//! Where and how `fire` sends: the target, the retry policy and the webhook switches, resolved once.

use super::{FireArgs, background, refused};
use crate::cli::context::Context;
use crate::cli::settings::{self, Chosen, FireSettings};
use crate::cli::signing;
use crate::config::Settings;
use crate::delivery::payload::{Payload, PayloadKind};
use crate::delivery::switches::Switch;
use crate::engine::{RetryMode, SendPlan};
use crate::error::Failure;
use crate::journal::NewDelivery;

/// Where events are sent and how; resolved once.
pub struct FireTarget<'a> {
    pub settings: FireSettings<'a>,
    mode: RetryMode,
}

impl<'a> FireTarget<'a> {
    pub fn resolve(
        args: &FireArgs,
        ctx: &Context<'_>,
        mut chosen: Chosen<'a>,
    ) -> Result<FireTarget<'a>, Failure> {
        signing::apply(&mut chosen.target, &args.signing, ctx)?;
        let mut options = [args.transport.settings(), args.wire.settings()]
            .iter()
            .fold(
                settings::retry_policy(ctx, &args.retry_policy)?,
                Settings::or,
            );
        if args.no_retry {
            ctx.refuse(&["retries", "retry_schedule"], |flag| {
                Failure::usage(format!("`{flag}` and `--no-retry` cannot be used together"))
            })?;
            (options.retries, options.retry_schedule) = (Some(0), None);
        }
        let settings = FireSettings::new(chosen, options);
        let mode = if args.background && settings.policy.retries > 0 {
            RetryMode::Schedule
        } else if args.batch.is_none() && ctx.ui.is_interactive() && refused::ends(&settings) {
            RetryMode::WaitUnlessRefused
        } else {
            RetryMode::Wait
        };
        Ok(FireTarget { settings, mode })
    }

    /// The name of the configured endpoint; none for a bare URL.
    pub fn endpoint(&self) -> Option<&str> {
        self.settings.endpoint.map(|(name, _)| name)
    }

    /// Looks up secrets and sets up the connection.
    pub fn plan(&self, ctx: &Context<'_>, jobs: usize) -> Result<SendPlan, Failure> {
        let settings = &self.settings;
        if self.mode == RetryMode::Schedule {
            background::refuse_literal_secrets(settings)?;
        }
        let plan = ctx.clients.plan(
            &ctx.env,
            &settings.target,
            settings.policy.clone(),
            &settings.transport,
            jobs,
        )?;
        Ok(SendPlan {
            mode: self.mode,
            ..plan
        })
    }

    pub fn delivery(&self, payload: Payload) -> NewDelivery {
        NewDelivery {
            payload,
            endpoint: self.endpoint().map(str::to_owned),
            target: self.settings.target.clone(),
            retry_policy: self.settings.policy.clone(),
        }
    }

    /// The switch that stops the payload, unless `--force` is given. Only events have switches.
    pub fn stopped_by(&self, payload: &Payload, args: &FireArgs) -> Option<Switch> {
        let PayloadKind::Event(_) = payload.kind else {
            return None;
        };
        let (event_type, action) = (payload.event_type.as_deref()?, payload.action.as_deref()?);
        let switches = &self.settings.switches;
        let decision = switches.decide(event_type, action, args.origin.source());
        decision.err().filter(|_| !args.force)
    }
}
