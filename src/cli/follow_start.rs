//! Where a reader of a bin begins.

use super::context::Context;
use super::{args, remote, selection};
use crate::error::{Failure, Kind};
use crate::journal::{CaptureQuery, FollowCursor, Journal};
use crate::remote::Remote;
use crate::time::Edge;

/// Where the bin is: in the journal, or on another machine.
pub trait FollowedBin {
    /// The id of the newest capture of all bins. Fails if there is no such bin.
    fn newest(&self, bin: &str) -> Result<i64, Failure>;
    /// The first capture of a query.
    fn first(&self, query: &CaptureQuery) -> Result<Option<i64>, Failure>;
    fn position(&self, bin: &str, last_id: i64) -> Result<Option<FollowCursor>, Failure>;
}

impl FollowedBin for Box<dyn Journal> {
    fn newest(&self, bin: &str) -> Result<i64, Failure> {
        selection::require_bin(&**self, bin)?;
        Ok(self.newest_capture()?)
    }

    fn first(&self, query: &CaptureQuery) -> Result<Option<i64>, Failure> {
        let found = self.captures(query)?;
        Ok(found.first().map(|record| record.id))
    }

    fn position(&self, bin: &str, last_id: i64) -> Result<Option<FollowCursor>, Failure> {
        Ok(self.bin_position(bin, last_id)?)
    }
}

impl FollowedBin for Remote {
    fn newest(&self, bin: &str) -> Result<i64, Failure> {
        Ok(remote::require_bin(self, bin)?.newest)
    }

    fn first(&self, query: &CaptureQuery) -> Result<Option<i64>, Failure> {
        let found = self.captures(query, false)?.captures;
        Ok(found.first().map(|capture| capture.stored.record.id))
    }

    fn position(&self, bin: &str, last_id: i64) -> Result<Option<FollowCursor>, Failure> {
        let query = CaptureQuery {
            bin: Some(bin.to_owned()),
            after: Some(last_id),
            limit: Some(1),
            ..CaptureQuery::default()
        };
        Ok(self.captures(&query, false)?.position)
    }
}

/// Before the oldest capture that is kept.
pub fn oldest(bin: &dyn FollowedBin, name: &str) -> Result<FollowCursor, Failure> {
    bin.newest(name)?;
    at(bin, name, 0)
}

/// Before the first capture since a time, else after the newest.
pub fn since(
    bin: &dyn FollowedBin,
    name: &str,
    since: Option<&str>,
    ctx: &Context<'_>,
) -> Result<FollowCursor, Failure> {
    let since = args::time(since, ctx.now(), Edge::From)?;
    // Read first: later captures follow in any case.
    let newest = bin.newest(name)?;
    let query = CaptureQuery {
        bin: Some(name.to_owned()),
        since,
        limit: Some(1),
        ..CaptureQuery::default()
    };
    let first = match since {
        Some(_) => bin.first(&query)?,
        None => None,
    };
    at(bin, name, first.map_or(newest, |first| first - 1))
}

fn at(bin: &dyn FollowedBin, name: &str, last_id: i64) -> Result<FollowCursor, Failure> {
    let position = bin.position(name, last_id)?;
    position.ok_or_else(|| {
        let message = format!("the bin `{name}` was deleted");
        Failure::new(Kind::NotFound, message)
    })
}
