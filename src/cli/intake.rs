//! Imports 3scale's failed deliveries into the journal, for `failed import` and `portal recover`.
//!
//! Secret values are not stored, only the names of their parameters.

use crate::cli::settings;
use crate::config::{Config, Endpoint, Settings};
use crate::delivery::payload::Payload;
use crate::error::{Failure, Kind};
use crate::journal::{Import, Journal, NewDelivery};
use crate::portal::failures::{ListError, PortalFailure};
use crate::secret::safe_url::BaseUrl;

/// Failures that are imported in one commit.
const MAX_BATCH: usize = 1_000;
/// Bytes of payloads that wait for a commit.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

const INCOMPLETE_HINT: &str =
    "the failures read so far are in the journal; importing the complete list later adds the rest";

/// Imports failures batch by batch; [`FailureImport::finish`] imports the rest.
pub struct FailureImport<'a> {
    journal: &'a dyn Journal,
    config: &'a Config,
    waiting: Vec<Import>,
    waiting_bytes: usize,
    /// How many the journal did not have.
    pub imported: usize,
    /// How many the journal had already.
    pub known: usize,
}

impl<'a> FailureImport<'a> {
    pub fn new(journal: &'a dyn Journal, config: &'a Config) -> FailureImport<'a> {
        FailureImport {
            journal,
            config,
            waiting: Vec::new(),
            waiting_bytes: 0,
            imported: 0,
            known: 0,
        }
    }

    /// Imports one with the next commit.
    pub fn push(&mut self, failed: PortalFailure) -> Result<(), Failure> {
        let (endpoint, settings) = endpoint_at(self.config, &failed.target.base).unzip();
        let settings = settings::with_endpoint(Settings::default(), settings);
        self.waiting_bytes += failed.payload.bytes.len();
        self.waiting.push(Import {
            uuid: failed.uuid,
            failed_at: failed.at,
            listed_failure_time: failed.time,
            error: failed.error,
            delivery: NewDelivery {
                payload: Payload {
                    kind: failed.payload.kind.in_format(settings.wire),
                    ..failed.payload
                },
                endpoint: endpoint.map(str::to_owned),
                target: failed.target,
                retry_policy: settings.retry_policy(),
            },
        });
        if self.waiting.len() >= MAX_BATCH || self.waiting_bytes >= MAX_BATCH_BYTES {
            self.finish()?;
        }
        Ok(())
    }

    /// Imports all that were pushed; call it after the last.
    pub fn finish(&mut self) -> Result<(), Failure> {
        let (all, result) = self.journal.import(&self.waiting);
        self.imported += all.changed;
        self.known += all.done - all.changed;
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(result?)
    }
}

/// The configured endpoint with this URL, its query ignored. Of several, the default endpoint or none.
pub fn endpoint_at<'a>(config: &'a Config, base: &BaseUrl) -> Option<(&'a str, &'a Endpoint)> {
    let mut there = Vec::new();
    for (name, endpoint) in &config.endpoints {
        if endpoint.target.base == *base {
            there.push((name.as_str(), endpoint));
        }
    }
    if there.len() > 1 {
        there.retain(|(name, _)| config.default_endpoint.as_deref() == Some(*name));
    }
    there.pop()
}

pub fn unreadable(error: ListError, from: &str) -> Failure {
    let (kind, hint) = match error {
        ListError::Other(_) => (
            Kind::Usage,
            "the list must be 3scale's response to GET /admin/api/webhooks/failures.xml or failures.json",
        ),
        ListError::Io(_) => (Kind::Error, INCOMPLETE_HINT),
        ListError::Cut => (Kind::Usage, INCOMPLETE_HINT),
    };
    Failure::from_error(kind, error)
        .context(format!("the failures in {from} were not read completely"))
        .hint(hint)
}
