//! Printing a list of deliveries in any format, row by row where the format allows.

pub mod deletion;

use std::io::ErrorKind;

use super::args::Format;
use super::context::Context;
use crate::delivery::Delivery;
use crate::error::{Failure, Kind};
use crate::journal::{Journal, Query};
use crate::output::failures_xml::FailuresXml;
use crate::output::json::DeliveryView;
use crate::output::{OutputError, RowWriter, human};
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
    journal: Option<&dyn Journal>,
    query: &Query,
    format: Format,
    words: &Words<'_>,
) -> Result<(), Failure> {
    if format == Format::Xml {
        xml(ctx, journal, query)?;
        return Ok(ctx.ui.flush()?);
    }
    let columns = human::columns(words.with_status, ctx.now());
    let mut list = RowWriter::new(ctx.ui, format, columns, DeliveryView::new)?;
    each(journal, query, |delivery, _| Ok(list.push(&delivery)?))?;
    if list.finish()? == 0 && format == Format::Text {
        ctx.ui.status(words.empty);
        (words.when_empty)();
    }
    Ok(())
}

fn xml(ctx: &Context<'_>, journal: Option<&dyn Journal>, query: &Query) -> Result<(), Failure> {
    let mut list = FailuresXml::new(ctx.ui.untrusted_writer()).map_err(OutputError::from)?;
    each(journal, query, |delivery, journal| {
        let event = journal.event(delivery.id)?;
        // Whoever compares it with the list that it came from finds the same.
        let time = journal
            .told_time(&delivery)?
            .unwrap_or_else(|| failures_list_time(delivery.decided_at()));
        list.push(&delivery, &time, &event)
            .map_err(|e| match e.kind() {
                ErrorKind::InvalidData => Failure::from_error(Kind::Journal, e),
                _ => OutputError::from(e).into(),
            })
    })?;
    Ok(list.finish().map_err(OutputError::from)?)
}

fn each(
    journal: Option<&dyn Journal>,
    query: &Query,
    mut visit: impl FnMut(Delivery, &dyn Journal) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match journal {
        None => Ok(()),
        Some(journal) => journal.each(query, |delivery| visit(delivery, journal))?,
    }
}

/// So many are counted to say how many a limit left out. To count a million takes ten times as long as to list the first of
/// them.
const COUNTED: usize = 100_000;

/// Says on stderr that the limit left some out.
pub fn name_the_limit(
    ctx: &Context<'_>,
    journal: Option<&dyn Journal>,
    query: &Query,
) -> Result<(), Failure> {
    let (Some(limit), Some(journal)) = (query.limit, journal) else {
        return Ok(());
    };
    let total = journal.count_up_to(query, COUNTED.max(limit) + 1)?;
    if let Some(words) = left_out(limit, total) {
        ctx.ui.status(&words);
    }
    Ok(())
}

/// What to say of a limit, where so many were counted.
fn left_out(limit: usize, total: usize) -> Option<String> {
    if total <= limit {
        None
    } else if total > COUNTED {
        Some(format!(
            "{limit} of more than {} shown; without `--limit` all are",
            COUNTED.max(limit)
        ))
    } else {
        Some(format!(
            "{limit} of {total} shown; `--limit {total}` shows all"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_not_counted_to_its_end_is_said_to_be_longer() {
        assert_eq!(left_out(50, 50), None);
        assert_eq!(
            left_out(50, 100_000).unwrap(),
            "50 of 100000 shown; `--limit 100000` shows all"
        );
        assert_eq!(
            left_out(50, 100_001).unwrap(),
            "50 of more than 100000 shown; without `--limit` all are"
        );
        assert_eq!(
            left_out(100_000, 100_001).unwrap(),
            "100000 of more than 100000 shown; without `--limit` all are"
        );
        assert_eq!(left_out(200_000, 200_000), None);
        assert_eq!(
            left_out(200_000, 200_001).unwrap(),
            "200000 of more than 200000 shown; without `--limit` all are"
        );
    }
}
