//! Taking a tenant's failures into the journal, as `failed import` and `portal recover` do.
//!
//! A thousand of them share a commit. Secret values are left at the door: what is kept has their names.

use crate::cli::settings;
use crate::config::{Config, Endpoint, Settings};
use crate::delivery::retry_policy::RetryPolicy;
use crate::error::{Failure, Kind};
use crate::event::BodyFormat;
use crate::journal::{Import, Journal};
use crate::portal::failures::{ListError, PortalFailure};
use crate::secret::safe_url::BaseUrl;

/// The most failures that share a commit.
const BATCH: usize = 1_000;
/// The most bytes of events that wait for a commit.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Where a delivery belongs: the endpoint, and what is asked for there.
struct Place<'a> {
    endpoint: Option<&'a str>,
    rule: RetryPolicy,
    wire: BodyFormat,
}

/// Takes failures in, batch by batch; [`Intake::finish`] takes in what is left.
pub struct Intake<'a> {
    journal: &'a dyn Journal,
    config: &'a Config,
    waiting: Vec<PortalFailure>,
    waiting_bytes: usize,
    /// So many were new.
    pub imported: usize,
    /// So many were in the journal already.
    pub known: usize,
}

impl<'a> Intake<'a> {
    /// An intake that has taken nothing.
    pub fn new(journal: &'a dyn Journal, config: &'a Config) -> Intake<'a> {
        Intake {
            journal,
            config,
            waiting: Vec::new(),
            waiting_bytes: 0,
            imported: 0,
            known: 0,
        }
    }

    /// Takes one in, with the next commit.
    ///
    /// # Errors
    /// When the journal cannot be written; what an earlier commit took is taken.
    pub fn take(&mut self, failed: PortalFailure) -> Result<(), Failure> {
        self.waiting_bytes += failed.event.bytes().len();
        self.waiting.push(failed);
        if self.waiting.len() >= BATCH || self.waiting_bytes >= BATCH_BYTES {
            self.write()
        } else {
            Ok(())
        }
    }

    /// Takes in what waits, and leaves the journal as whoever opens it next likes to find it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.write()
    }

    fn write(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let places: Vec<Place<'_>> = batch
            .iter()
            .map(|failed| self.place(&failed.target.base))
            .collect();
        let imports: Vec<Import<'_>> = batch
            .iter()
            .zip(&places)
            .map(
                |(
                    failed,
                    Place {
                        endpoint,
                        rule,
                        wire,
                    },
                )| Import {
                    uuid: &failed.uuid,
                    failed_at: failed.at,
                    told_time: &failed.time,
                    error: &failed.error,
                    event: &failed.event,
                    endpoint: *endpoint,
                    target: &failed.target,
                    wire: *wire,
                    rule,
                },
            )
            .collect();
        let new = self
            .journal
            .import(&imports)?
            .into_iter()
            .filter(|new| *new)
            .count();
        self.imported += new;
        self.known += imports.len() - new;
        Ok(())
    }

    /// What is configured for this URL.
    fn place(&self, base: &BaseUrl) -> Place<'a> {
        let (endpoint, settings) = endpoint_at(self.config, base).unzip();
        let settings = settings::with_endpoint(Settings::default(), settings);
        Place {
            endpoint,
            rule: settings.retry_policy(),
            wire: settings.body_format(),
        }
    }
}

/// The configured endpoint whose URL, without its query, is this one. Of several the default endpoint; else none, as nobody
/// said which.
pub fn endpoint_at<'a>(config: &'a Config, base: &BaseUrl) -> Option<(&'a str, &'a Endpoint)> {
    let mut there = config
        .endpoints
        .iter()
        .filter(|(_, endpoint)| endpoint.target.base == *base);
    let (first, second) = (there.next(), there.next());
    let named = |(name, endpoint): (&'a String, &'a Endpoint)| (name.as_str(), endpoint);
    if second.is_none() {
        return first.map(named);
    }
    let default = config
        .endpoints
        .get_key_value(config.default_endpoint.as_ref()?)?;
    (default.1.target.base == *base).then(|| named(default))
}

/// A list of failures that could not be read to its end.
pub fn unreadable(error: ListError, from: &str) -> Failure {
    let kind = if matches!(error, ListError::Io(_)) {
        Kind::Error
    } else {
        Kind::Usage
    };
    let other = matches!(error, ListError::Other(_));
    let failure = Failure::from_error(kind, error)
        .context(format!("the failures in {from} are not all read"));
    match other {
        true => failure.hint(
            "it takes what 3scale answers to GET /admin/api/webhooks/failures.xml or failures.json",
        ),
        false => failure.hint(
            "what came before is in the journal; taking in a whole list later adds what is missing",
        ),
    }
}
