//! `hookfire captured delete`

use clap::{Args, ValueHint};

use super::selection::{CaptureFilterArgs, head, newest_first};
use crate::capture::CaptureRecord;
use crate::cli::args::{DeleteArgs, Format, parse_id};
use crate::cli::context::Context;
use crate::cli::list::deletion;
use crate::cli::selection;
use crate::delivery::{Delivery, Status};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{CaptureQuery, Journal};
use crate::output::capture_json::capture_view;
use crate::output::{RowWriter, capture};
use crate::text::count;

const EXAMPLES: &str = "\
Examples:
  Delete one:
    $ hookfire captured delete 17
  Show what deleting a bin's captures would delete, then delete them:
    $ hookfire captured delete --bin orders --dry-run
    $ hookfire captured delete --bin orders --yes
  Delete a bin with its captures:
    $ hookfire captured delete --bin orders --with-bin --yes
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
    /// Delete the bin of --bin too, with all its captures
    #[arg(long, requires = "bin", conflicts_with_all = ["method", "event_type", "action", "since"])]
    with_bin: bool,
    #[command(flatten)]
    delete: DeleteArgs,
}

pub(super) fn run(args: &CapturedDeleteArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let journal = ctx.readable_journal()?;
    let query = args.filter.query(ctx, &journal)?;
    let is_filtered = query != CaptureQuery::default();
    let named = selection::resolve(
        &args.ids,
        is_filtered,
        args.all,
        "hookfire captured delete",
        "17",
        "--type account",
    )?;
    let each = |visit: &mut dyn FnMut(CaptureRecord) -> Result<(), Failure>| match &named {
        Some(ids) => ids.iter().try_for_each(|&id| visit(head(&journal, id)?)),
        None => newest_first(&journal, &query).try_for_each(|record| visit(record?)),
    };
    let mut ids = Vec::new();
    each(&mut |record| {
        ids.push(record.id);
        Ok(())
    })?;
    if ids.is_empty() && args.delete.output.format() == Format::Text {
        args.filter.hint_at_unknown(ctx);
    }
    let mask = ctx.mask(false)?;
    let print_table = || {
        let columns = capture::columns(&mask, ctx.now());
        let view = |record: &CaptureRecord| capture_view(record, &mask, None);
        let mut list = RowWriter::new(ctx.ui, Format::Text, columns, view)?;
        each(&mut |record| Ok(list.push(&record)?))?;
        list.finish()?;
        Ok(())
    };
    let bin = args.filter.bin.as_deref().filter(|_| args.with_bin);
    let words = deletion::RowNames {
        one: "capture",
        many: "captures",
        bin,
    };
    let delete = || {
        let change = |journal: &dyn Journal, rest: &[_]| journal.delete_captures_slice(rest);
        let (deleted, mut result) = deletion::change_all(ctx, &*journal, &ids, words.many, change)?;
        if deleted < ids.len() {
            report_kept(ctx, &*journal, &ids)?;
        }
        if let (Ok(()), Some(bin)) = (&result, bin)
            && !journal.delete_bin(bin)?
        {
            result = Err(Failure::new(
                Kind::Error,
                format!("the bin `{bin}` was not deleted: it is not empty"),
            ));
        }
        Ok((deleted, result))
    };
    let must_confirm = named.is_none();
    deletion::run(
        ctx,
        &args.delete,
        &ids,
        words,
        must_confirm,
        print_table,
        delete,
    )
}

/// Tells how many captures were not deleted because they are still to be delivered.
fn report_kept(ctx: &Context<'_>, journal: &dyn Journal, ids: &[i64]) -> Result<(), Failure> {
    let mut kept = 0;
    for id in ids {
        let forwards = journal.forwards(&[*id])?;
        let waits = |delivery: &Delivery| delivery.status != Status::Delivered;
        kept += usize::from(forwards.iter().any(waits));
    }
    if kept > 0 {
        let captures = count(
            kept,
            "capture is kept because its deliveries are",
            "captures are kept because their deliveries are",
        );
        ctx.ui.warning(&format!(
            "{captures} not delivered yet: `hookfire journal cancel ID` moves a scheduled one to the failed list, and \
             `hookfire failed delete ID` deletes it there"
        ));
    }
    Ok(())
}
