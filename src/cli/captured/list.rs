//! `hookfire captured list`

use std::num::NonZeroU32;

use clap::Args;

use super::selection::{CaptureFilterArgs, newest_first};
use crate::cli::args::{Format, ListOutput, at_least_one};
use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::store::CaptureQuery;
use crate::output::capture_json::CaptureView;
use crate::output::csv::CaptureCsv;
use crate::output::{OutputError, capture, json};

/// Newest captures shown as text unless told otherwise; the other formats are for scripts and show all.
const SCREENFUL: u32 = 50;

const EXAMPLES: &str = "\
Examples:
  What was caught last:
    $ hookfire captured list
  The events of one type since this morning:
    $ hookfire captured list --type application --since 2026-11-20
  The ids of what came into a bin, for a script:
    $ hookfire captured list --bin orders -o ndjson | jq .id";

/// List captured requests, newest first
///
/// As text the newest 50, in the other formats all, unless --limit says otherwise. An empty list is no error. Bodies are
/// left out; `captured show` has them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedListArgs {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = at_least_one::<NonZeroU32>)]
    limit: Option<NonZeroU32>,
    #[command(flatten)]
    filter: CaptureFilterArgs,
    /// Show secret values as they came
    #[arg(long, help_heading = None)]
    reveal: bool,
    #[command(flatten)]
    output: ListOutput,
}

pub(super) fn run(args: &CapturedListArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let query = CaptureQuery {
        limit: args.limit.map(NonZeroU32::get),
        ..args.filter.query(ctx.now())?
    };
    let mask = ctx.mask(args.reveal)?;
    let journal = ctx.existing_journal()?;
    let each =
        |query: &CaptureQuery,
         visit: &mut dyn FnMut(crate::capture::Caught) -> Result<(), Failure>| {
            journal
                .as_ref()
                .map_or(Ok(()), |journal| newest_first(journal, query, visit))
        };
    match args.output.format() {
        Format::Text => text(args, ctx, journal.as_ref(), query, &mask)?,
        Format::Json => {
            let mut array = json::Array::default();
            each(&query, &mut |caught| {
                Ok(ctx
                    .ui
                    .line(&array.element(&CaptureView::new(&caught, &mask)))?)
            })?;
            ctx.ui.line(array.end())?;
        }
        Format::Csv => {
            let mut list = CaptureCsv::new(ctx.ui.outside_writer()).map_err(OutputError::from)?;
            each(&query, &mut |caught| {
                Ok(list.push(&caught, &mask).map_err(OutputError::from)?)
            })?;
            list.finish().map_err(OutputError::from)?;
        }
        Format::Ndjson | Format::Xml => {
            each(&query, &mut |caught| {
                Ok(ctx
                    .ui
                    .line(&json::compact(&CaptureView::new(&caught, &mask)))?)
            })?;
        }
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}

fn text(
    args: &CapturedListArgs,
    ctx: &Context<'_>,
    journal: Option<&Journal>,
    query: CaptureQuery,
    mask: &crate::capture::Mask,
) -> Result<(), Failure> {
    let nothing_asked = CaptureQuery {
        limit: None,
        ..query.clone()
    } == CaptureQuery::default();
    let limit = query.limit.unwrap_or(SCREENFUL);
    // One more, to know whether any is left out.
    let query = CaptureQuery {
        limit: Some(limit.saturating_add(1)),
        ..query
    };
    let mut captures = Vec::new();
    if let Some(journal) = journal {
        newest_first(journal, &query, |caught| {
            captures.push(caught);
            Ok(())
        })?;
    }
    if captures.is_empty() {
        ctx.ui.status(if nothing_asked {
            "nothing was captured yet"
        } else {
            "no capture matches"
        });
        args.filter.hint_at_unknown(ctx, journal);
        return Ok(());
    }
    let shown = captures.len().min(limit as usize);
    ctx.ui
        .line(&capture::rows(ctx.ui, &captures[..shown], mask, ctx.now()))?;
    if shown < captures.len() {
        ctx.ui.status(&format!(
            "the newest {shown} shown; `--limit {}` shows more",
            limit.saturating_mul(2)
        ));
    }
    Ok(())
}
