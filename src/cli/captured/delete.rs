//! `hookfire captured delete`

use clap::{Args, ValueHint};

use super::selection::{CaptureFilterArgs, head, head_if_there, newest_first};
use crate::capture::Caught;
use crate::cli::args::{DeleteArgs, Format, parse_id};
use crate::cli::context::Context;
use crate::cli::list::deletion;
use crate::cli::selection;
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
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    ids: Vec<i64>,
    /// All captures
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: CaptureFilterArgs,
    #[command(flatten)]
    delete: DeleteArgs,
}

pub(super) fn run(args: &CapturedDeleteArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let query = args.filter.query(ctx.now())?;
    let is_filtered = query != CaptureQuery::default();
    let command = "hookfire captured delete";
    let named = selection::resolve(
        &args.ids,
        is_filtered,
        args.all,
        command,
        "17",
        "--type account",
    )?;
    let mask = ctx.mask(false)?;
    let journal = ctx.existing_journal()?;
    let ids = seen(journal.as_deref(), named.as_deref(), &query)?;
    if ids.is_empty() && args.delete.output.format() == Format::Text {
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
    let delete = || match &journal {
        Some(journal) => Ok(journal.delete_captures(&ids)?),
        None => Ok(0),
    };
    let (names, must_confirm) = (("capture", "captures"), named.is_none());
    deletion::run(ctx, &args.delete, &ids, names, must_confirm, table, delete)
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
