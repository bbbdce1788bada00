//! Printing a list of deliveries in any format, row by row where the format allows.

pub mod deletion;

use std::io::ErrorKind;

use super::args::Format;
use super::context::Context;
use crate::delivery::Delivery;
use crate::failure::{Failure, Kind};
use crate::journal::{Journal, Query};
use crate::output::csv::CsvList;
use crate::output::failures_xml::FailuresXml;
use crate::output::json::{self, DeliveryView};
use crate::output::{OutputError, table};
use crate::store::Store as _;
use crate::time::failures_list_time;

/// What a list is called.
pub struct Words<'a> {
    /// Said when it is empty.
    pub empty: &'static str,
    /// Done then, too: hints at why.
    pub when_empty: &'a dyn Fn(),
    /// Whether deliveries of several statuses are in it.
    pub with_status: bool,
}

/// Prints the list; no journal is an empty one.
pub fn print(
    ctx: &Context<'_>,
    journal: Option<&Journal>,
    query: &Query,
    format: Format,
    words: &Words<'_>,
) -> Result<(), Failure> {
    match format {
        Format::Text => text(ctx, journal, query, words),
        Format::Json => json_array(ctx, journal, query),
        Format::Ndjson => {
            each(journal, query, |delivery, _| Ok(ctx.ui.line(&json::compact(&DeliveryView::new(&delivery)))?))
        }
        Format::Csv => {
            let mut list = CsvList::new(ctx.ui.outside_writer()).map_err(OutputError::from)?;
            each(journal, query, |delivery, _| Ok(list.push(&delivery).map_err(OutputError::from)?))?;
            Ok(list.finish().map_err(OutputError::from)?)
        }
        Format::Xml => xml(ctx, journal, query),
    }?;
    Ok(ctx.ui.flush()?)
}

fn xml(ctx: &Context<'_>, journal: Option<&Journal>, query: &Query) -> Result<(), Failure> {
    let mut list = FailuresXml::new(ctx.ui.outside_writer()).map_err(OutputError::from)?;
    each(journal, query, |delivery, journal| {
        let event = journal.event(delivery.id)?;
        // Whoever compares it with the list that it came from finds the same.
        let time = journal.told_time(&delivery)?.unwrap_or_else(|| failures_list_time(delivery.decided_at()));
        list.push(&delivery, &time, &event).map_err(|e| match e.kind() {
            ErrorKind::InvalidData => Failure::from_error(Kind::Journal, e),
            _ => OutputError::from(e).into(),
        })
    })?;
    Ok(list.finish().map_err(OutputError::from)?)
}

fn each(
    journal: Option<&Journal>,
    query: &Query,
    mut visit: impl FnMut(Delivery, &Journal) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match journal {
        None => Ok(()),
        Some(journal) => journal.each(query, |delivery| visit(delivery, journal))?,
    }
}

fn text(ctx: &Context<'_>, journal: Option<&Journal>, query: &Query, words: &Words<'_>) -> Result<(), Failure> {
    let mut deliveries = Vec::new();
    each(journal, query, |delivery, _| {
        deliveries.push(delivery);
        Ok(())
    })?;
    if deliveries.is_empty() {
        ctx.ui.status(words.empty);
        (words.when_empty)();
        return Ok(());
    }
    Ok(ctx.ui.line(&table::deliveries(ctx.ui, &deliveries, words.with_status, ctx.now()))?)
}

fn json_array(ctx: &Context<'_>, journal: Option<&Journal>, query: &Query) -> Result<(), Failure> {
    let mut array = json::Array::default();
    each(journal, query, |delivery, _| Ok(ctx.ui.line(&array.element(&DeliveryView::new(&delivery)))?))?;
    Ok(ctx.ui.line(array.end())?)
}

/// Says on stderr that the limit left some out.
pub fn name_the_limit(ctx: &Context<'_>, journal: Option<&Journal>, query: &Query) -> Result<(), Failure> {
    let (Some(limit), Some(journal)) = (query.limit, journal) else {
        return Ok(());
    };
    let total = journal.count(query)?;
    if total > limit {
        ctx.ui.status(&format!("{limit} of {total} shown; `--limit {total}` shows all"));
    }
    Ok(())
}
