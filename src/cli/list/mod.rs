//! Prints lists of deliveries, and deletes what a list shows ([`deletion`]).

pub mod deletion;

use std::io::ErrorKind;

use super::args::Format;
use super::context::Context;
use super::selection;
use crate::error::{Failure, Kind};
use crate::journal::{DeliveryList, Journal, PAGE_SIZE, Query};
use crate::output::json::delivery_view;
use crate::output::{OutputError, RowWriter, human};
use crate::portal::failures::{FailureEntry, FailuresWriter, ListFormat};
use crate::text::count;
use crate::time::failures_list_time;

/// Prints the deliveries that match; `empty` is the message for none.
pub fn print(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    query: &Query,
    format: Format,
    empty: &str,
) -> Result<(), Failure> {
    selection::refuse_unknown_endpoint(ctx, query.filter.endpoint.as_deref(), journal)?;
    if format == Format::Xml {
        return xml(ctx, journal, query);
    }
    let with_status = matches!(query.list, DeliveryList::All(_));
    let columns = human::columns(with_status, is_shared(journal), ctx.now());
    let mut list = RowWriter::new(ctx.ui, format, columns, delivery_view)?;
    for delivery in journal.deliveries(query, None, PAGE_SIZE) {
        list.push(&delivery?)?;
    }
    let listed = list.finish()?;
    match query.limit {
        _ if format != Format::Text => {}
        _ if listed == 0 => {
            ctx.ui.status(empty);
            report_scheduled(ctx, journal, query)?;
            selection::hint_at_unknown(ctx, &query.filter);
        }
        Some(limit) => {
            let total = journal.count_up_to(query, MAX_COUNTED.max(limit) + 1)?;
            if let Some(message) = left_out(limit, total) {
                ctx.ui.status(&message);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether several hosts may use the journal.
fn is_shared(journal: &dyn Journal) -> bool {
    journal.location().file().is_none()
}

/// After an empty failed list: deliveries that match and are still scheduled.
fn report_scheduled(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    query: &Query,
) -> Result<(), Failure> {
    if query.list != DeliveryList::Failed {
        return Ok(());
    }
    let number = journal.count(&Query {
        list: DeliveryList::Scheduled,
        ..query.clone()
    })?;
    if number > 0 {
        let deliveries = count(number, "delivery is scheduled", "deliveries are scheduled");
        ctx.ui.hint(&format!(
            "{deliveries}: `hookfire journal list --status pending`"
        ));
    }
    Ok(())
}

fn xml(ctx: &Context<'_>, journal: &dyn Journal, query: &Query) -> Result<(), Failure> {
    let mut list = FailuresWriter::new(ctx.ui.untrusted_writer(), ListFormat::Xml)
        .map_err(OutputError::from)?;
    for delivery in journal.deliveries(query, None, PAGE_SIZE) {
        let delivery = delivery?;
        let payload = journal.payload(delivery.id)?;
        // An imported failure keeps the time as 3scale wrote it.
        let listed = delivery.listed_failure_time.clone();
        let time = listed.unwrap_or_else(|| failures_list_time(delivery.finished_or_created_at()));
        list.push(&FailureEntry::of(&delivery, &time, &payload))
            .map_err(|e| match e.kind() {
                ErrorKind::InvalidData => Failure::from_error(Kind::Journal, e),
                _ => OutputError::from(e).into(),
            })?;
    }
    list.finish().map_err(OutputError::from)?;
    Ok(())
}

/// How far to count what a limit leaves out. Counting a million rows takes ten times as long as listing the first ones.
const MAX_COUNTED: usize = 100_000;

fn left_out(limit: usize, total: usize) -> Option<String> {
    if total <= limit {
        None
    } else if total > MAX_COUNTED {
        Some(format!(
            "{limit} of more than {} shown; without `--limit` all are",
            MAX_COUNTED.max(limit)
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
    fn a_limit_reports_how_much_it_leaves_out() {
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
