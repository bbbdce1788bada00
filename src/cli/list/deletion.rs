//! Deletes rows after confirmation, or shows them with `--dry-run`. The rows are fixed before the user is asked.

use crate::cli::args::{DeleteArgs, Format};
use crate::cli::context::Context;
use crate::cli::selection::confirmed;
use crate::delivery::Status;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{DeliveryVersion, Journal};
use crate::output::json::delivery_view;
use crate::output::{RowWriter, human};
use crate::text::count;

/// Deletes deliveries that still have one of `statuses`.
pub fn deliveries(
    ctx: &Context<'_>,
    args: &DeleteArgs,
    journal: Option<&dyn Journal>,
    seen: &[DeliveryVersion],
    statuses: &[Status],
    (one, many): (&str, &str),
    must_confirm: bool,
) -> Result<Exit, Failure> {
    let ids: Vec<i64> = seen.iter().map(|seen| seen.id).collect();
    let print_table = || {
        let columns = human::columns(true, ctx.now());
        let mut list = RowWriter::new(ctx.ui, Format::Text, columns, delivery_view)?;
        for id in &ids {
            if let Some(delivery) = journal.map_or(Ok(None), |journal| journal.delivery(*id))? {
                list.push(&delivery)?;
            }
        }
        list.finish()?;
        Ok(())
    };
    let delete = || Ok(journal.map_or(Ok(0), |journal| journal.delete(seen, statuses))?);
    let words = Words {
        one,
        many,
        bin: None,
    };
    run(ctx, args, &ids, words, must_confirm, print_table, delete)
}

/// What is deleted.
pub struct Words<'a> {
    pub one: &'a str,
    pub many: &'a str,
    /// A bin that is deleted with its captures.
    pub bin: Option<&'a str>,
}

impl Words<'_> {
    /// ``2 captures and the bin `orders` ``
    fn count(&self, number: usize) -> String {
        let rows = count(number, self.one, self.many);
        match self.bin {
            Some(bin) => format!("{rows} and the bin `{bin}`"),
            None => rows,
        }
    }
}

/// Deletes rows; `delete` returns how many still existed.
pub fn run(
    ctx: &Context<'_>,
    args: &DeleteArgs,
    ids: &[i64],
    words: Words<'_>,
    must_confirm: bool,
    print_table: impl FnOnce() -> Result<(), Failure>,
    delete: impl FnOnce() -> Result<usize, Failure>,
) -> Result<Exit, Failure> {
    let what = words.count(ids.len());
    let format = args.output.format();
    let (message, view) = if args.dry_run {
        if format == Format::Text && !ids.is_empty() {
            print_table()?;
        }
        let message = format!("{what} would be deleted (--dry-run)");
        let view = serde_json::json!({ "would_delete": ids.len(), "ids": ids });
        (message, view)
    } else if ids.is_empty() && words.bin.is_none() {
        (
            format!("deleted {what}"),
            serde_json::json!({ "deleted": 0 }),
        )
    } else if must_confirm && !confirmed(ctx, args.yes, &format!("delete {what}"))? {
        ctx.ui.status("nothing was deleted");
        return Ok(Exit::Done);
    } else {
        let deleted = delete()?;
        let message = format!("deleted {}", words.count(deleted));
        (message, serde_json::json!({ "deleted": deleted }))
    };
    match format {
        Format::Text if args.dry_run => ctx.ui.status(&message),
        Format::Text => ctx.ui.line(&message)?,
        format => ctx.ui.line(&format.document(&view))?,
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
