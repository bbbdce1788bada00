//! What the page's buttons send: retries of failed deliveries, and replays of captures.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::capture::{Body, CaptureRecord, Mask};
use crate::config::{Config, Settings};
use crate::delivery::Delivery;
use crate::delivery::target::Target;
use crate::engine::plan::{Clients, PlanError, proxy_credentials};
use crate::engine::resend::{KnownTargets, Overrides, Planned, Planner, SeenRows};
use crate::engine::{
    Claims, Engine, Idle, Inbox, InlineWriter, RealTime, RunLimits, RunObserver, Update,
};
use crate::env::{Environment, SystemClock};
use crate::error::{Failure, Kind};
use crate::http::replay::{ReplayTarget, prepare};
use crate::http::{Pool, SendRequest as _, TransportOptions};
use crate::journal::{self, DeliveryVersion, Location};
use crate::output::json::delivery_view;
use crate::output::replay_json;

pub struct Sending {
    pub journal: Location,
    /// The configuration file, and whether the user named it. Read anew for each retry, as `hookfire retry` does.
    pub config_path: Option<(PathBuf, bool)>,
    /// For replays; retries use those of the target.
    pub transport: TransportOptions,
    pub clock: SystemClock,
    /// Masks the secrets of captures that deliveries forward, in responses.
    pub mask: Mask,
    pub known: KnownTargets,
    /// One request is sent at a time.
    pub clients: Mutex<Clients>,
}

impl Sending {
    /// Makes one attempt for each delivery of the failed list, or of the schedule, that is still as it was seen. Returns the
    /// deliveries and the first error.
    pub(super) fn retry(
        &self,
        seen: Vec<DeliveryVersion>,
        scheduled: bool,
    ) -> Result<Value, Failure> {
        let config = match &self.config_path {
            Some((path, is_named)) => Config::load(path, *is_named)?,
            None => Config::default(),
        };
        // A connection of its own: an attempt may take long.
        let journal = journal::open(&self.journal)?;
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let planner = Planner {
            config: &config,
            env: &Environment,
            clients: &clients,
            overrides: Overrides {
                settings: Settings {
                    retries: Some(0),
                    ..Settings::default()
                },
                known: self.known.clone(),
                ..Overrides::default()
            },
            scheduled,
            jobs: 1,
            mask: self.mask.clone(),
        };
        let results = Results::default();
        let report = |delivery: &Delivery, planned: Result<&Planned, PlanError>| {
            if let Err(error) = planned {
                let message = format!("delivery #{} was not sent", delivery.id);
                results.fail(Failure::from(error).context(message));
            }
        };
        let mut rows = SeenRows {
            rows: seen.into_iter(),
            planner: &planner,
            report: &report,
        };
        let engine = Engine {
            journal: &*journal,
            writer: &InlineWriter(&*journal),
            sender: &Pool::new(1),
            clock: &self.clock,
            wait: &RealTime,
            random: &|| Environment.random(),
            limits: RunLimits::new(1, Claims::OneByOne),
        };
        let summary = engine.run(Inbox::default(), &mut rows, &results);
        if let Some(halted) = summary.halted {
            results.fail(Failure::from_error(Kind::Journal, halted.source));
        }
        Ok(json!({
            "results": results.deliveries.take(),
            "error": results.error.take(),
        }))
    }

    /// Sends a capture to `url`; returns the JSON view of the result.
    pub(super) fn replay(
        &self,
        record: &CaptureRecord,
        body: &Body,
        url: &str,
        send_credentials: bool,
        mask: &Mask,
    ) -> Result<Value, Failure> {
        let destination = ReplayTarget {
            target: Target::from_url(url).map_err(|e| Failure::from_error(Kind::Usage, e))?,
            appends_path: false,
            send_credentials,
            replay_of: Some(record.id),
            mask: mask.clone(),
        };
        let mut prepared = prepare(&record.capture, body, &destination, &Environment)
            .map_err(|e| Failure::from_error(Kind::Usage, e))?;
        let passwords = proxy_credentials(&Environment, &self.transport);
        Arc::make_mut(&mut prepared.request.redactor).add(&passwords);
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.client(&destination.target, &self.transport, 0)?;
        let completed = client.send(prepared.request.clone());
        Ok(replay_json::view(record.id, &prepared, &completed))
    }
}

/// A failure as part of a result.
pub(super) fn error_view(failure: &Failure) -> Value {
    json!({ "message": failure.message_with_causes(), "hints": failure.hints })
}

/// The results of a retry.
#[derive(Default)]
struct Results {
    deliveries: RefCell<Vec<Value>>,
    error: RefCell<Option<Value>>,
}

impl Results {
    fn fail(&self, failure: Failure) {
        let mut error = self.error.borrow_mut();
        error.get_or_insert_with(|| error_view(&failure));
    }
}

impl RunObserver for Results {
    fn observe(&self, update: Update<'_>) {
        if let Update::Ended(delivery) = update {
            self.deliveries.borrow_mut().push(delivery_view(delivery));
        }
    }

    fn idle(&self, _: Idle<'_>) -> Option<Duration> {
        None
    }
}
