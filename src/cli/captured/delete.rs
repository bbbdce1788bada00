//! `hookfire captured delete`

use clap::{Args, ValueHint};

use super::selection::{CaptureFilterArgs, head, head_if_there, newest_first};
use crate::capture::Caught;
use crate::cli::args::{CaptureId, Format, ReportOutput};
use crate::cli::context::Context;
use crate::cli::list::deletion;
use crate::cli::scope::{self, Wording};
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::CaptureQuery;
use crate::journal::Journal;
use crate::output::capture_json::CaptureView;
use crate::output::{RowWriter, capture};

const EXAMPLES: &str = "\
Examples:
  Delete one:
    $ hookfire captured delete 17
  Show what deleting a bin's captures would delete, then delete them:
    $ hookfire captured delete --bin orders --dry-run
    $ hookfire captured delete --bin orders --yes
  Delete all captures:
    $ hookfire captured delete --all --yes";

/// Delete captured requests from the journal
///
/// With a filter (such as --bin) or --all, asks for confirmation on a terminal, and requires --yes elsewhere. An invalid time,
/// or no selection at all, deletes nothing. Requests that arrive meanwhile are not deleted.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedDeleteArgs {
    /// Captures, such as 17 or '#17'
    #[arg(value_name = "ID", value_hint = ValueHint::Other)]
    ids: Vec<CaptureId>,
    /// All captures
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: CaptureFilterArgs,
    /// Show what would be deleted, and delete nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long, help_heading = None)]
    yes: bool,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &CapturedDeleteArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let query = args.filter.query(ctx.now())?;
    let ids: Vec<i64> = args.ids.iter().map(|id| id.0).collect();
    let wording = Wording {
        command: "hookfire captured delete",
        things: "captures",
        example_id: "17",
        example_filter: "--type account",
        list: "hookfire captured list",
    };
    let is_filtered = query != CaptureQuery::default();
    let named = scope::resolve(&ids, is_filtered, args.all, &wording)?;
    let mask = ctx.mask(false)?;
    let journal = ctx.existing_journal()?;
    let ids = seen(journal.as_deref(), named.as_deref(), &query)?;
    if ids.is_empty() && args.output.format() == Format::Text {
        args.filter.hint_at_unknown(ctx, journal.as_deref());
    }
    let table = || {
        // A listener may have pruned some of them.
        let columns = capture::columns(&mask, ctx.now());
        let view = |caught: &Caught| CaptureView::new(caught, &mask);
        let mut list = RowWriter::new(ctx.ui, Format::Text, columns, view)?;
        for &id in &ids {
            if let Some(caught) = head_if_there(journal.as_deref(), id)? {
                list.push(&caught)?;
            }
        }
        list.finish()?;
        Ok(())
    };
    deletion::run(
        ctx,
        &deletion::Deletion {
            ids: &ids,
            one: "capture",
            many: "captures",
            ask: named.is_none(),
            yes: args.yes,
            dry_run: args.dry_run,
            format: args.output.format(),
            table: &table,
            delete: &|| {
                Ok(journal
                    .as_ref()
                    .map_or(Ok(0), |journal| journal.delete_captures(&ids))?)
            },
        },
    )
}

/// The existing ids, in the order given or else the newest first.
fn seen(
    journal: Option<&dyn Journal>,
    named: Option<&[i64]>,
    query: &CaptureQuery,
) -> Result<Vec<i64>, Failure> {
    if let Some(named) = named {
        return named
            .iter()
            .map(|&id| head(journal, id).map(|caught| caught.id))
            .collect();
    }
    let mut ids = Vec::new();
    if let Some(journal) = journal {
        newest_first(journal, query, |caught| {
            ids.push(caught.id);
            Ok(())
        })?;
    }
    Ok(ids)
}
