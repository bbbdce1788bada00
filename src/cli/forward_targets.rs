//! Where captures are forwarded later, and by which policy: for `listen --forward-later` and `captured follow --to`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::args::{RetryPolicyArgs, TransportArgs};
use super::context::Context;
use super::forward_later::{ForwardOptions, ForwardThread};
use super::settings::{self, Chosen};
use crate::capture::Mask;
use crate::config::{Config, SettingSource, Settings};
use crate::delivery::retry_policy::{RetryPolicy, RetrySchedule};
use crate::delivery::target::Target;
use crate::engine::resend::{KnownTarget, KnownTargets};
use crate::error::{Failure, Kind};
use crate::journal::{Forward, Journal};
use crate::listener::Notifier;
use crate::secret::safe_url::BaseUrl;
use crate::text::count;

/// The default schedule: these intervals, then hourly, for about 72 hours.
const FIRST_INTERVALS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
];
const LATER_INTERVAL: Duration = Duration::from_secs(3600);
const LATER_INTERVALS: usize = 72;
const DEFAULT_TIME: Duration = Duration::from_secs(72 * 3600);

/// Any success: a receiver may respond with 202 or 204.
const SUCCESS: &str = "200-299";

/// Where captures are forwarded later.
pub struct ForwardTargets {
    pub forwards: Vec<Forward>,
    pub known: KnownTargets,
    /// Whether other processes lack a secret of a target, because it was given literally.
    has_unstored_secrets: bool,
}

impl ForwardTargets {
    pub fn new(
        ctx: &Context<'_>,
        chosen: Vec<Chosen<'_>>,
        policy_args: &RetryPolicyArgs,
        transport: &TransportArgs,
        in_order: bool,
    ) -> Result<ForwardTargets, Failure> {
        let given = settings::retry_policy(ctx, policy_args)?;
        let mut targets = ForwardTargets {
            forwards: Vec::new(),
            known: KnownTargets::default(),
            has_unstored_secrets: false,
        };
        for Chosen { endpoint, target } in chosen {
            let settings = settings::with_endpoint(given.clone(), endpoint.map(|(_, e)| e));
            let options = settings::with_endpoint(
                transport.settings(),
                endpoint.map(|(_, endpoint)| endpoint),
            );
            ctx.warn_of_exposure(&target, &settings::transport(&options));
            // A secret that is missing now would be missing for every delivery.
            target.resolve(&ctx.env)?;
            let configured = endpoint.map(|(_, endpoint)| &endpoint.target);
            targets.has_unstored_secrets |= !target.secrets_not_stored(configured).is_empty()
                || target.signing_secret_not_stored(configured);
            let endpoint = endpoint.map(|(name, _)| name.to_owned());
            let is_repeated = targets.known.insert(KnownTarget {
                endpoint: endpoint.clone(),
                has_own_secrets: configured != Some(&target),
                target: target.clone(),
                transport: transport.settings(),
            });
            if is_repeated {
                return Err(given_twice(endpoint.as_deref(), &target));
            }
            targets.forwards.push(Forward {
                endpoint,
                target,
                retry_policy: policy(settings)?,
                in_order,
            });
        }
        Ok(targets)
    }

    pub fn bases(&self) -> impl Iterator<Item = &BaseUrl> {
        self.forwards.iter().map(|forward| &forward.target.base)
    }

    /// The targets as the banner shows them.
    pub fn described(&self) -> String {
        let names = self.forwards.iter();
        let names: Vec<String> = names.map(|forward| forward.target.to_string()).collect();
        names.join(", ")
    }
}

/// Each request would be sent twice, or with the secret of the other target: literal secrets are not stored.
fn given_twice(endpoint: Option<&str>, target: &Target) -> Failure {
    match endpoint {
        Some(name) => Failure::usage(format!("the endpoint `{name}` is given twice")),
        None => Failure::usage(format!("the target {target} is given twice")).hint(
            "for targets that differ only in a secret, configure endpoints: `-e NAME -e OTHER`",
        ),
    }
}

/// The policy of the settings; without any about retries, the default schedule. An interval alone is that of as many retries
/// as the default schedule has time for.
fn policy(settings: Settings) -> Result<RetryPolicy, Failure> {
    let has_success = settings.success.is_some();
    let mut policy = settings.retry_policy();
    match (settings.sets_retries(), settings.retry_interval) {
        (false, _) => {
            policy.schedule = default_schedule();
            let retries = policy.schedule.as_ref().map(RetrySchedule::retries);
            policy.retries = retries.unwrap_or_default();
        }
        (true, Some(interval)) if settings.retries.is_none() && policy.schedule.is_none() => {
            let retries = DEFAULT_TIME.as_millis() / interval.as_millis().max(1);
            policy.retries = u32::try_from(retries).unwrap_or(u32::MAX).max(1);
        }
        (true, _) => {}
    }
    if !has_success {
        let success = SUCCESS.parse();
        policy.success = success.map_err(|e| Failure::from_error(Kind::Error, e))?;
    }
    Ok(policy)
}

fn default_schedule() -> Option<RetrySchedule> {
    let hourly = std::iter::repeat_n(LATER_INTERVAL, LATER_INTERVALS);
    RetrySchedule::new(FIRST_INTERVALS.into_iter().chain(hourly).collect())
}

/// The running thread, and how many deliveries wait for it.
pub fn start_thread(
    ctx: &Context<'_>,
    targets: &ForwardTargets,
    (jobs, max_pending): (u32, usize),
    mask: &Mask,
    journal: &dyn Journal,
    notifier: Option<Notifier>,
) -> Result<(ForwardThread, Arc<AtomicUsize>), Failure> {
    let waiting = journal.pending_forwards(max_pending)?;
    let pending = Arc::new(AtomicUsize::new(waiting));
    let config = match ctx.config_path() {
        Ok((path, source)) => Config::load(&path, source != SettingSource::Default)?,
        Err(_) => Config::default(),
    };
    let thread = ForwardThread::start(
        ctx,
        ForwardOptions {
            journal: journal.location().clone(),
            config,
            known: targets.known.clone(),
            mask: mask.clone(),
            jobs: jobs as usize,
            pending: Arc::clone(&pending),
            max_pending,
            notifier,
        },
    )?;
    Ok((thread, pending))
}

/// Says how many deliveries wait when `program`, such as "the listener", ends, and what sends them.
pub fn report_waiting(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    targets: &ForwardTargets,
    program: &str,
) -> Result<(), Failure> {
    let waiting = journal.pending_forwards(usize::MAX)?;
    if waiting > 0 {
        let deliveries = count(waiting, "delivery waits", "deliveries wait");
        let others = match targets.has_unstored_secrets {
            true => " with the same target",
            false => ", or run `hookfire retry --due --watch`",
        };
        ctx.ui.status(&format!(
            "{deliveries} to be sent: start {program} again{others}"
        ));
    }
    Ok(())
}
