//! Deletes rows after confirmation, or shows them with `--dry-run`. The rows are fixed before the user is asked.

use crate::cli::args::{DeleteArgs, Format};
use crate::cli::context::Context;
use crate::cli::selection::confirmed;
use crate::delivery::Status;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{DeliveryVersion, Journal, JournalError, Slice};
use crate::output::json::delivery_view;
use crate::output::{Progress, RowWriter, human};
use crate::text::count;
use crate::time::Clock as _;

pub struct Deletion<'a> {
    pub journal: &'a dyn Journal,
    pub seen: &'a [DeliveryVersion],
    /// Those that have another status by then are kept.
    pub statuses: &'a [Status],
    /// What the rows are called in messages, in singular and plural.
    pub names: (&'a str, &'a str),
    pub must_confirm: bool,
}

impl Deletion<'_> {
    /// Deletes the deliveries; `preview` prints what `--dry-run` shows of them.
    pub fn run(
        &self,
        ctx: &Context<'_>,
        args: &DeleteArgs,
        preview: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let ids: Vec<i64> = self.seen.iter().map(|seen| seen.id).collect();
        let (one, many) = self.names;
        let words = RowNames {
            one,
            many,
            bin: None,
        };
        let delete = || {
            let change =
                |journal: &dyn Journal, rest: &[_]| journal.delete_slice(rest, self.statuses);
            change_all(ctx, self.journal, self.seen, many, change)
        };
        run(ctx, args, &ids, words, self.must_confirm, preview, delete)
    }

    /// Prints a table of the deliveries.
    pub fn print_table(&self, ctx: &Context<'_>) -> Result<(), Failure> {
        let columns = human::columns(true, false, ctx.now());
        let mut list = RowWriter::new(ctx.ui, Format::Text, columns, delivery_view)?;
        for seen in self.seen {
            if let Some(delivery) = self.journal.delivery(seen.id)? {
                list.push(&delivery)?;
            }
        }
        list.finish()?;
        Ok(())
    }
}

pub struct RowNames<'a> {
    pub one: &'a str,
    pub many: &'a str,
    /// A bin that is deleted with its captures.
    pub bin: Option<&'a str>,
}

impl RowNames<'_> {
    /// ``2 captures and the bin `orders` ``
    fn count(&self, number: usize) -> String {
        let rows = count(number, self.one, self.many);
        match self.bin {
            Some(bin) => format!("{rows} and the bin `{bin}`"),
            None => rows,
        }
    }
}

/// How many rows a bulk change changed, and why it stopped before its end.
pub type Changed = (usize, Result<(), Failure>);

/// Changes rows until all are done, the user interrupts or the journal fails. Shows progress on a terminal.
pub fn change_all<T>(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    items: &[T],
    many: &str,
    change: impl Fn(&dyn Journal, &[T]) -> Result<Slice, JournalError>,
) -> Result<Changed, Failure> {
    ctx.catch_interrupts()?;
    let total = items.len();
    let (all, result) = journal.change_until(
        items,
        |rest| change(journal, rest),
        |done| {
            ctx.ui.progress(&Progress {
                done: done as u64,
                of: Some(total as u64),
                words: many.to_owned(),
            });
            !ctx.clock.interrupted()
        },
    );
    ctx.ui.end_progress();
    let left = format!("{} of {total} {many} left", total - all.done);
    let result = match result {
        Err(error) if all.done == 0 => Err(error.into()),
        Err(error) => Err(Failure::from(error).context(format!("stopped with {left}"))),
        Ok(()) if all.done < total => Err(Failure::new(
            Kind::Interrupted,
            format!("interrupted with {left}"),
        )),
        Ok(()) => Ok(()),
    };
    Ok((all.changed, result))
}

pub fn run(
    ctx: &Context<'_>,
    args: &DeleteArgs,
    ids: &[i64],
    words: RowNames<'_>,
    must_confirm: bool,
    print_table: impl FnOnce() -> Result<(), Failure>,
    delete: impl FnOnce() -> Result<Changed, Failure>,
) -> Result<Exit, Failure> {
    let what = words.count(ids.len());
    let format = args.output.format();
    let (mut deleted, mut result) = (0, Ok(()));
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
        (deleted, result) = delete()?;
        let what = match result {
            Ok(()) => words.count(deleted),
            Err(_) => count(deleted, words.one, words.many),
        };
        let message = format!("deleted {what}");
        (message, serde_json::json!({ "deleted": deleted }))
    };
    match format {
        Format::Text if args.dry_run => ctx.ui.status(&message),
        Format::Text if deleted == 0 && result.is_err() => {}
        format => ctx.ui.report(format, &message, &view)?,
    }
    result.map(|()| Exit::Done)
}
