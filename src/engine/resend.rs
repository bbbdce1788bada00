//! Sending deliveries again: where they go now, with which secrets, and by which policy.
//!
//! [`Planner::plan`] combines a delivery in the journal with the configuration, with the [`KnownTargets`] of the command, and
//! with what the user overrides. [`SeenRows`] is the engine's source for rows of a list.

use std::sync::Arc;

use super::plan::{Clients, PlanError, RetryMode, SendPlan, transport_options};
use super::{Source, SourceItem};
use crate::capture::Mask;
use crate::config::{Config, Endpoint, Settings};
use crate::delivery::Delivery;
use crate::delivery::retry_policy::{RetryPolicy, RetrySchedule};
use crate::delivery::signing::SigningOptions;
use crate::delivery::target::{Param, Target, Value};
use crate::http::TransportOptions;
use crate::http::replay::ForwardRules;
use crate::journal::DeliveryVersion;
use crate::secret::{SecretSource, Variables};

/// What the user changes about deliveries that are sent again.
#[derive(Default)]
pub struct Overrides<'a> {
    /// Another destination for all of them, with its endpoint if it is configured.
    pub destination: Option<(Option<&'a Endpoint>, Target)>,
    /// Values of secret parameters, by name.
    pub secrets: Vec<(String, SecretSource)>,
    pub params: Vec<Param>,
    pub headers: Vec<Param>,
    pub signing: SigningOptions,
    /// Over the endpoint's. Without `retries` there is one attempt.
    pub settings: Settings,
    pub known: KnownTargets,
}

/// A target that a command was started with, as opposed to those of other deliveries in the journal.
#[derive(Clone)]
pub struct KnownTarget {
    /// The configured endpoint; none for a URL.
    pub endpoint: Option<String>,
    /// With its secrets, which may be literals that the journal does not have.
    pub target: Target,
    /// Whether these secrets take precedence over those of the endpoint.
    pub has_own_secrets: bool,
    /// Options of the command, over those of the endpoint.
    pub transport: Settings,
}

/// The targets that a command was started with. Only their deliveries get its secrets and its transport options.
#[derive(Clone, Default)]
pub struct KnownTargets(Vec<KnownTarget>);

impl KnownTargets {
    /// Adds a target in place of the one from which stored deliveries cannot tell it. Returns whether there was one.
    pub fn insert(&mut self, known: KnownTarget) -> bool {
        let mut targets = self.0.iter_mut();
        let same = targets.find(|other| other.is_for(known.endpoint.as_deref(), &known.target));
        match same {
            Some(other) => {
                *other = known;
                true
            }
            None => {
                self.0.push(known);
                false
            }
        }
    }

    fn find(&self, endpoint: Option<&str>, target: &Target) -> Option<&KnownTarget> {
        self.0.iter().find(|known| known.is_for(endpoint, target))
    }
}

impl KnownTarget {
    /// A URL without transport options of its own.
    pub fn url(target: Target) -> KnownTarget {
        KnownTarget {
            endpoint: None,
            target,
            has_own_secrets: true,
            transport: Settings::default(),
        }
    }

    fn is_for(&self, endpoint: Option<&str>, target: &Target) -> bool {
        self.endpoint.as_deref() == endpoint && self.target.is_same_without_secrets(target)
    }
}

/// A delivery that is about to be sent again.
pub struct Planned {
    pub plan: SendPlan,
    /// Where it goes, with its secrets unresolved.
    pub target: Target,
    pub options: TransportOptions,
    /// Secrets of the delivery that the new destination does not get.
    pub withheld_secrets: Vec<String>,
    /// Whether the delivery is signed, but not for the new destination.
    pub withholds_signature: bool,
}

/// Plans how deliveries in the journal are sent again.
pub struct Planner<'a> {
    pub config: &'a Config,
    pub env: &'a dyn Variables,
    pub clients: &'a Clients,
    pub overrides: Overrides<'a>,
    /// Each delivery keeps the policy that it was accepted with, and the schedule its next attempt.
    pub scheduled: bool,
    pub jobs: usize,
    /// Masks the secrets of captures that deliveries forward, in responses.
    pub mask: Mask,
}

impl Planner<'_> {
    pub fn plan(&self, delivery: &Delivery) -> Result<Planned, PlanError> {
        let target = self.target(delivery);
        let endpoint = match &self.overrides.destination {
            Some((endpoint, _)) => *endpoint,
            None => self.endpoint(delivery),
        };
        let mut settings = self.overrides.settings.clone();
        if let Some(known) = self.known(delivery) {
            settings = settings.or(&known.transport);
        }
        let settings = match endpoint {
            Some(endpoint) => settings.or(&endpoint.settings),
            None => settings,
        };
        let options = transport_options(&settings);
        let policy = self.policy(delivery);
        let mut plan = self
            .clients
            .plan(self.env, &target, policy, &options, self.jobs)?;
        let mut withheld_secrets = Vec::new();
        let withholds_signature = delivery.target.signing.is_some() && target.signing.is_none();
        if let Some((endpoint, _)) = &self.overrides.destination {
            plan.sent_to = Some(target.to_string());
            let missing = delivery.target.secrets_missing_in(&target);
            withheld_secrets = missing.into_iter().map(str::to_owned).collect();
            // Another endpoint may ask for another format.
            plan.body_format = endpoint.and_then(|endpoint| endpoint.settings.wire);
        }
        if delivery.capture.is_some() {
            let elsewhere = !target.base.same_origin(&delivery.target.base);
            plan.forwarding = Arc::new(ForwardRules {
                mask: self.mask.clone(),
                withholds_credentials: elsewhere,
            });
        }
        if self.scheduled {
            plan.mode = RetryMode::Schedule;
        }
        Ok(Planned {
            plan,
            target,
            options,
            withheld_secrets,
            withholds_signature,
        })
    }

    /// Where a delivery goes now. Secrets come from the overrides, else from the command's target, else from the endpoint's
    /// configuration, else from the reference that is stored with the delivery.
    pub fn target(&self, delivery: &Delivery) -> Target {
        let overrides = &self.overrides;
        if let Some((_, destination)) = &overrides.destination {
            return delivery.target.moved_to(destination);
        }
        let mut target = delivery.target.clone();
        if let Some(endpoint) = self.endpoint(delivery) {
            target.refresh_secrets(&endpoint.target);
        }
        if let Some(known) = self.known(delivery)
            && known.has_own_secrets
        {
            target.refresh_secrets(&known.target);
        }
        for param in &mut target.params {
            let given = overrides
                .secrets
                .iter()
                .find(|(name, _)| *name == param.name);
            if let Some((_, source)) = given {
                param.value = Value::Secret(source.clone());
            }
        }
        for param in &overrides.params {
            target.set_param(param.clone());
        }
        for header in &overrides.headers {
            target.set_header(header.clone());
        }
        target.signing = overrides.signing.over(target.signing);
        target
    }

    /// The delivery's endpoint as it is configured now, if it is still at the same place: its secrets are for no other.
    fn endpoint(&self, delivery: &Delivery) -> Option<&Endpoint> {
        let endpoint = self.config.endpoints.get(delivery.endpoint.as_deref()?)?;
        let same_place = endpoint.target.base.same_origin(&delivery.target.base);
        same_place.then_some(endpoint)
    }

    /// The target of the command that the delivery is for.
    fn known(&self, delivery: &Delivery) -> Option<&KnownTarget> {
        if self.overrides.destination.is_some() {
            return None;
        }
        let name = delivery.endpoint.as_deref();
        let name = name.filter(|_| self.endpoint(delivery).is_some());
        self.overrides.known.find(name, &delivery.target)
    }

    /// The name of the delivery's endpoint, if it is configured at another place now.
    pub fn moved_endpoint<'d>(&self, delivery: &'d Delivery) -> Option<&'d str> {
        let name = delivery.endpoint.as_deref()?;
        let moved = self.overrides.destination.is_none()
            && self.config.endpoints.contains_key(name)
            && self.endpoint(delivery).is_none();
        moved.then_some(name)
    }

    fn policy(&self, delivery: &Delivery) -> RetryPolicy {
        let accepted = &delivery.retry_policy;
        if self.scheduled {
            return accepted.clone();
        }
        let settings = &self.overrides.settings;
        let success = settings.success.clone();
        let schedule = settings.retry_schedule.clone();
        let scheduled = schedule.as_ref().map(RetrySchedule::retries);
        RetryPolicy {
            retries: scheduled.or(settings.retries).unwrap_or(0),
            schedule,
            interval: settings.retry_interval.unwrap_or(accepted.interval),
            success: success.unwrap_or_else(|| accepted.success.clone()),
        }
    }
}

/// Rows of the failed list, or of the schedule if that is what `planner` plans, in the order given.
pub struct SeenRows<'a> {
    pub rows: std::vec::IntoIter<DeliveryVersion>,
    pub planner: &'a Planner<'a>,
    /// Is told each plan, or why a delivery cannot be sent.
    pub report: &'a dyn Fn(&Delivery, Result<&Planned, PlanError>),
}

impl Source for SeenRows<'_> {
    fn next(&mut self) -> SourceItem {
        match self.rows.next() {
            Some(row) if self.planner.scheduled => SourceItem::Due(row),
            Some(row) => SourceItem::Failed(row),
            None => SourceItem::End,
        }
    }

    fn plan(&mut self, delivery: &Delivery) -> Option<Arc<SendPlan>> {
        match self.planner.plan(delivery) {
            Ok(planned) => {
                (self.report)(delivery, Ok(&planned));
                Some(Arc::new(planned.plan))
            }
            Err(e) => {
                (self.report)(delivery, Err(e));
                None
            }
        }
    }
}
