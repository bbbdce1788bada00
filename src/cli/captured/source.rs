//! Where commands read captures: the journal, or a listener on another machine.

use clap::Args;

use crate::capture::{Bin, CaptureRecord, Run};
use crate::cli::args::TransportArgs;
use crate::cli::context::Context;
use crate::cli::remote::{self, RemoteArgs};
use crate::cli::selection;
use crate::delivery::Delivery;
use crate::error::{Failure, Kind};
use crate::journal::{CaptureQuery, Captures, Journal, Order, StoredCapture};
use crate::remote::Remote;

/// The options of commands that only read captures.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

/// A place that captures can be read from: the journal, or a listener on another machine.
pub trait CaptureSource {
    /// The captures of a query, without bodies; fewer than its limit only if there are no more.
    fn list(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, Failure>;
    /// A capture with its body, and the runs of commands for it.
    fn find(&self, id: i64) -> Result<Option<(StoredCapture, Vec<Run>)>, Failure>;
    /// The deliveries that forward a capture; none for a capture of another machine.
    fn forwards(&self, id: i64) -> Result<Vec<Delivery>, Failure>;
    fn bins(&self) -> Result<Vec<Bin>, Failure>;
    /// Fails if there is no such bin.
    fn require_bin(&self, name: &str) -> Result<(), Failure>;
    fn no_capture(&self, id: i64) -> Failure;
}

impl SourceArgs {
    /// The listener on another machine; none without `--from`.
    pub fn connect(&self, ctx: &Context<'_>) -> Result<Option<Remote>, Failure> {
        self.remote.connect(&self.transport, ctx)
    }

    pub fn is_remote(&self) -> bool {
        self.remote.from.is_some()
    }

    pub fn transport(&self) -> &TransportArgs {
        &self.transport
    }

    pub fn open(&self, ctx: &Context<'_>) -> Result<Box<dyn CaptureSource>, Failure> {
        Ok(match self.connect(ctx)? {
            Some(remote) => Box::new(remote),
            None => Box::new(ctx.readable_journal()?),
        })
    }
}

impl CaptureSource for Box<dyn Journal> {
    fn list(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, Failure> {
        Ok(self.captures(query)?)
    }

    fn find(&self, id: i64) -> Result<Option<(StoredCapture, Vec<Run>)>, Failure> {
        let Some(stored) = self.capture(id)? else {
            return Ok(None);
        };
        Ok(Some((stored, self.runs(id)?)))
    }

    fn forwards(&self, id: i64) -> Result<Vec<Delivery>, Failure> {
        Ok(Captures::forwards(&**self, &[id])?)
    }

    fn bins(&self) -> Result<Vec<Bin>, Failure> {
        Ok(Captures::bins(&**self)?)
    }

    fn require_bin(&self, name: &str) -> Result<(), Failure> {
        selection::require_bin(&**self, name)
    }

    fn no_capture(&self, id: i64) -> Failure {
        Failure::no_capture(id)
    }
}

impl CaptureSource for Remote {
    fn list(&self, query: &CaptureQuery) -> Result<Vec<CaptureRecord>, Failure> {
        let mut part = query.clone();
        let mut found = Vec::new();
        loop {
            let page = self.captures(&part, false)?;
            let records = page.captures.into_iter();
            found.extend(records.map(|capture| capture.stored.record));
            let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
            let left = query.limit.map(|limit| limit.saturating_sub(count));
            if !page.more || left == Some(0) {
                return Ok(found);
            }
            let last = found.last().map(|record| record.id);
            match query.order {
                Order::OldestFirst => part.after = last,
                Order::NewestFirst => part.before = last,
            }
            part.limit = left;
        }
    }

    fn find(&self, id: i64) -> Result<Option<(StoredCapture, Vec<Run>)>, Failure> {
        Ok(self.capture(id)?)
    }

    fn forwards(&self, _: i64) -> Result<Vec<Delivery>, Failure> {
        Ok(Vec::new())
    }

    fn bins(&self) -> Result<Vec<Bin>, Failure> {
        Ok(self.read_bins()?)
    }

    fn require_bin(&self, name: &str) -> Result<(), Failure> {
        remote::require_bin(self, name).map(drop)
    }

    fn no_capture(&self, id: i64) -> Failure {
        let message = format!("there is no capture #{id} at {}", self.address().shown());
        Failure::new(Kind::NotFound, message)
    }
}
