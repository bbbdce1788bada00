//! The captures that a command selects, read page by page.

use clap::{Args, ValueHint};

use super::source::CaptureSource;
use crate::capture::{CaptureRecord, Run};
use crate::cli::args::time;
use crate::cli::context::Context;
use crate::cli::selection;
use crate::error::Failure;
use crate::journal::{CaptureQuery, Order, PAGE_SIZE, StoredCapture, by_page};
use crate::time::Edge;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filter (combined with AND)")]
pub struct CaptureFilterArgs {
    /// Only captures in this bin
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pub bin: Option<String>,
    /// Only requests with this method, such as POST, in any case
    #[arg(long, value_name = "METHOD", value_hint = ValueHint::Other)]
    method: Option<String>,
    /// Only requests whose body is an XML event of this type
    #[arg(long = "type", value_name = "TYPE", value_hint = ValueHint::Other)]
    event_type: Option<String>,
    /// Only requests whose body is an XML event with this action
    #[arg(long, value_name = "ACTION", value_hint = ValueHint::Other)]
    action: Option<String>,
    /// Only requests received at or after this time: 2026-11-20, RFC 3339, or an age such as 2h
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, allow_hyphen_values = true)]
    since: Option<String>,
}

impl CaptureFilterArgs {
    /// The filter, in no order and without a limit. An unknown bin is an error.
    pub fn query(
        &self,
        ctx: &Context<'_>,
        source: &dyn CaptureSource,
    ) -> Result<CaptureQuery, Failure> {
        if let Some(bin) = &self.bin {
            source.require_bin(bin)?;
        }
        Ok(CaptureQuery {
            bin: self.bin.clone(),
            method: self.method.clone(),
            event_type: self.event_type.clone(),
            action: self.action.clone(),
            since: time(self.since.as_deref(), ctx.now(), Edge::From)?,
            ..CaptureQuery::default()
        })
    }

    /// Prints hints about an event that nothing documents.
    pub fn hint_at_unknown(&self, ctx: &Context<'_>) {
        selection::hint_at_unknown_event(ctx, self.event_type.as_deref(), self.action.as_deref());
    }
}

/// The selected captures, newest first, read page by page.
pub fn newest_first(
    source: &dyn CaptureSource,
    query: &CaptureQuery,
) -> impl Iterator<Item = Result<CaptureRecord, Failure>> {
    let mut left = query.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut part = CaptureQuery {
        order: Order::NewestFirst,
        ..query.clone()
    };
    by_page(move || {
        let asked = left.min(PAGE_SIZE);
        if asked == 0 {
            return Ok(Vec::new());
        }
        part.limit = Some(asked as u32);
        let page = source.list(&part)?;
        part.before = page.last().map(|record| record.id);
        // A shorter page is the last one.
        left = if page.len() < asked { 0 } else { left - asked };
        Ok(page)
    })
}

/// The capture without its body.
pub fn head(source: &dyn CaptureSource, id: i64) -> Result<CaptureRecord, Failure> {
    let query = CaptureQuery {
        after: Some(id.saturating_sub(1)),
        before: id.checked_add(1),
        ..CaptureQuery::default()
    };
    let found = source.list(&query)?.into_iter().next();
    found.ok_or_else(|| source.no_capture(id))
}

/// Like [`head`], with the body.
pub fn whole(source: &dyn CaptureSource, id: i64) -> Result<StoredCapture, Failure> {
    let (stored, _) = with_runs(source, id)?;
    Ok(stored)
}

/// Like [`whole`], with the runs of commands for it.
pub fn with_runs(
    source: &dyn CaptureSource,
    id: i64,
) -> Result<(StoredCapture, Vec<Run>), Failure> {
    source.find(id)?.ok_or_else(|| source.no_capture(id))
}
