//! `hookfire captured list`

use clap::Args;

use super::selection::{CaptureFilterArgs, newest_first};
use super::source::{CaptureSource, SourceArgs};
use crate::capture::expect::Expectation;
use crate::capture::{Body, CaptureRecord};
use crate::cli::args::{Format, ListOutput, whole_number};
use crate::cli::content::ContentArgs;
use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::CaptureQuery;
use crate::output::capture_json::capture_view;
use crate::output::{RowWriter, capture};

/// The default limit of text output; other formats list all.
const DEFAULT_LIMIT: u32 = 50;

const EXAMPLES: &str = "\
Examples:
  List the newest captures:
    $ hookfire captured list
  List events of one type since a date:
    $ hookfire captured list --type application --since 2026-11-20
  List orders of one customer, and requests that contain a word:
    $ hookfire captured list --match customer/email=jo@example.com --path '/orders*'
    $ hookfire captured list --contains refund
  Print the ids of the captures of a bin, for a script:
    $ hookfire captured list --bin orders -o ndjson | jq .id
  List the captures of a listener on another machine:
    $ hookfire captured list --from https://hooks.example.com --token @env:READ_TOKEN";

/// List captured requests, newest first
///
/// Without --limit, text output lists the newest 50 and the other formats list all. An empty list is not an error. Bodies are not
/// included; `captured show` prints them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedListArgs {
    /// List at most N
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>(1..=u64::MAX))]
    limit: Option<u32>,
    #[command(flatten)]
    filter: CaptureFilterArgs,
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Show secret values
    #[arg(long, help_heading = None)]
    reveal: bool,
    #[command(flatten)]
    output: ListOutput,
}

pub(super) fn run(args: &CapturedListArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let format = args.output.format();
    let is_text = format == Format::Text;
    let limit = args.limit.or(is_text.then_some(DEFAULT_LIMIT));
    let mask = ctx.mask(args.reveal)?;
    let source = args.source.open(ctx)?;
    let filter = args.filter.query(ctx, &*source)?;
    let query = CaptureQuery {
        // One more shows whether the limit leaves any out.
        limit: limit
            .filter(|_| args.content.is_empty())
            .map(|limit| limit.saturating_add(1)),
        ..filter.clone()
    };
    let conditions = args.content.expectation(ctx)?;
    let columns = capture::columns(&mask, ctx.now());
    let view = |record: &CaptureRecord| capture_view(record, &mask, None);
    let mut list = RowWriter::new(ctx.ui, format, columns, view)?;
    let mut found = 0;
    for record in newest_first(&*source, &query) {
        let record = record?;
        if !matches(&*source, &record, &conditions)? {
            continue;
        }
        found += 1;
        if limit.is_some_and(|limit| found > limit) {
            break;
        }
        list.push(&record)?;
    }
    list.finish()?;
    match limit {
        _ if !is_text => {}
        _ if found == 0 => {
            let is_filtered = filter != CaptureQuery::default() || !args.content.is_empty();
            ctx.ui.status(if is_filtered {
                "no capture matches"
            } else {
                "no captures yet"
            });
            args.filter.hint_at_unknown(ctx);
        }
        Some(limit) if found > limit => ctx.ui.status(&format!(
            "the newest {limit} shown; `--limit {}` shows more",
            limit.saturating_mul(2)
        )),
        _ => {}
    }
    Ok(Exit::Done)
}

/// Reads the body only if a condition is about it, and one body at a time.
fn matches(
    source: &dyn CaptureSource,
    record: &CaptureRecord,
    conditions: &Expectation,
) -> Result<bool, Failure> {
    let body = match conditions.needs_body() {
        false => Body::default(),
        true => match source.find(record.id)? {
            Some((capture, _)) => capture.body,
            // Deleted meanwhile.
            None => return Ok(false),
        },
    };
    Ok(conditions.matches_content(&record.capture, &body))
}
