//! What a delivery of the failed list needs to be sent again: where it goes now, its secrets, and by which rule.

use std::collections::HashSet;

use super::RetryArgs;
use crate::cli::args::RetryPolicyArgs;
use crate::cli::context::Context;
use crate::cli::settings::{self, Chosen};
use crate::config::Endpoint;
use crate::delivery::Delivery;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::{Target, Value};
use crate::engine::deliver::Shipment;
use crate::error::{Failure, Kind};
use crate::http::transport::Crew;
use crate::secret::SecretSource;
use crate::text;

/// Prepares one delivery after the other.
pub struct Preparer<'a> {
    ctx: &'a Context<'a>,
    args: &'a RetryArgs,
    elsewhere: Option<Chosen<'a>>,
    /// `--secret`, by name.
    secrets: Vec<(String, SecretSource)>,
    /// URLs with their secrets, for deliveries that lost theirs.
    urls: &'a [Target],
    /// Warnings that were given: in a bulk, once is enough.
    told: HashSet<String>,
}

impl<'a> Preparer<'a> {
    /// Prepares for what the arguments say.
    pub fn new(
        ctx: &'a Context<'a>,
        args: &'a RetryArgs,
        elsewhere: Option<Chosen<'a>>,
        secrets: Vec<(String, SecretSource)>,
    ) -> Preparer<'a> {
        Preparer {
            ctx,
            args,
            elsewhere,
            secrets,
            urls: &[],
            told: HashSet::new(),
        }
    }

    /// Knows these URLs, secrets included.
    #[must_use]
    pub fn with_urls(self, urls: &'a [Target]) -> Preparer<'a> {
        Preparer { urls, ..self }
    }

    /// Where a delivery goes now, and the options to connect with.
    pub fn target(&self, delivery: &Delivery) -> Result<Target, Failure> {
        let mut target = match &self.elsewhere {
            Some(chosen) => return Ok(delivery.target.redirected(&chosen.target)),
            None => delivery.target.clone(),
        };
        // From the kept reference, over the endpoint's configuration, to the flags: the last one wins.
        if let Some(endpoint) = self.configured(delivery) {
            target.refresh_secrets(&endpoint.target);
        } else if let Some(whole) = self
            .urls
            .iter()
            .rev()
            .find(|whole| is_same_place(whole, &target))
        {
            target.refresh_secrets(whole);
        }
        for param in &mut target.params {
            if let Some((_, source)) = self.secrets.iter().find(|(name, _)| *name == param.name) {
                param.value = Value::Secret(source.clone());
            }
        }
        settings::add_public(&mut target, &self.args.extras, &self.ctx.env)?;
        Ok(target)
    }

    /// The delivery's endpoint as it is configured now, if it is still at the place that the delivery was meant for: its
    /// secrets are for nobody else.
    fn configured(&self, delivery: &Delivery) -> Option<&Endpoint> {
        let endpoint = self
            .ctx
            .config()
            .ok()?
            .endpoints
            .get(delivery.endpoint.as_deref()?)?;
        endpoint
            .target
            .base
            .same_origin(&delivery.target.base)
            .then_some(endpoint)
    }

    /// Says once of each kind which secrets a delivery goes without.
    fn tell_left_behind(&mut self, delivery: &Delivery, target: &Target) {
        let names = delivery.target.secrets_missing_in(target);
        let words = format!(
            "sent elsewhere without the secret {}; `--secret` and `--header` give one",
            text::listed(names.iter().copied())
        );
        if !names.is_empty() && self.told.insert(words.clone()) {
            self.ctx.ui.warning(&words);
        }
    }

    /// Whether the delivery's endpoint is configured, at another place.
    fn has_moved(&self, delivery: &Delivery) -> bool {
        let named = delivery.endpoint.as_ref().is_some_and(|name| {
            self.ctx
                .config()
                .is_ok_and(|config| config.endpoints.contains_key(name))
        });
        self.elsewhere.is_none() && named && self.configured(delivery).is_none()
    }

    fn rule(&self, delivery: &Delivery) -> RetryPolicy {
        let RetryPolicyArgs {
            retries,
            retry_interval,
            success,
        } = &self.args.rule;
        RetryPolicy {
            retries: retries.unwrap_or(0),
            interval: retry_interval.unwrap_or(delivery.rule.interval),
            success: success
                .clone()
                .unwrap_or_else(|| delivery.rule.success.clone()),
        }
    }

    /// All that sending `delivery` takes.
    ///
    /// # Errors
    /// For instance, a secret that cannot be had; then the delivery is left as it is.
    pub fn prepare(&mut self, delivery: &Delivery) -> Result<Shipment<dyn Crew>, Failure> {
        let target = self.target(delivery)?;
        let endpoint = match &self.elsewhere {
            Some(chosen) => chosen.endpoint.map(|(_, endpoint)| endpoint),
            None => self.configured(delivery),
        };
        let options = settings::transport(&settings::with_endpoint(
            self.args.transport.settings(),
            endpoint,
        ));
        self.ctx.warn_of_exposure(&target, &options);
        let sent_to = self.elsewhere.is_some().then(|| target.to_string());
        if sent_to.is_some() {
            self.tell_left_behind(delivery, &target);
        }
        // As it was sent the first time, unless it goes to where another form is asked for.
        let there = self
            .elsewhere
            .as_ref()
            .and_then(|chosen| chosen.endpoint?.1.settings.wire);
        let wire = there.unwrap_or(delivery.wire);
        let shipment = self.ctx.crew_shipment(
            self.args.jobs(),
            &target,
            self.rule(delivery),
            &options,
            sent_to,
        );
        shipment.map(|shipment| Shipment { wire, ..shipment }).map_err(|failure| match &delivery.endpoint {
            Some(name) if failure.kind == Kind::Secret && self.has_moved(delivery) => failure.hint(format!(
                "endpoint `{name}` is at another place now, and its secrets are for there: `hookfire retry {} -e {name}`",
                delivery.id
            )),
            _ => failure,
        })
    }
}

/// Whether both are one URL but for the values of the query.
fn is_same_place(one: &Target, other: &Target) -> bool {
    let names = |target: &Target| {
        target
            .params
            .iter()
            .map(|param| param.name.clone())
            .collect::<Vec<_>>()
    };
    one.base == other.base && names(one) == names(other)
}
