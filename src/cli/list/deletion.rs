//! Deletes rows after confirmation, or shows them with `--dry-run`. The rows are fixed before the user is asked.

use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::scope::confirmed;
use crate::delivery::Status;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::Seen;
use crate::output::json::DeliveryView;
use crate::output::{RowWriter, human};
use crate::text::count;

/// What to delete and how to report it.
pub struct Deletion<'a> {
    pub ids: &'a [i64],
    /// Singular and plural of what is deleted.
    pub one: &'static str,
    pub many: &'static str,
    /// Whether confirmation is required without `--yes`.
    pub ask: bool,
    pub yes: bool,
    pub dry_run: bool,
    pub format: Format,
    /// Prints a table of what would be deleted.
    pub table: &'a dyn Fn() -> Result<(), Failure>,
    /// Deletes, and returns how many rows still existed.
    pub delete: &'a dyn Fn() -> Result<usize, Failure>,
}

pub fn run(ctx: &Context<'_>, deletion: &Deletion<'_>) -> Result<Exit, Failure> {
    let what = count(deletion.ids.len(), deletion.one, deletion.many);
    if deletion.dry_run {
        return dry_run(ctx, deletion, &what);
    }
    if !deletion.ids.is_empty()
        && deletion.ask
        && !confirmed(ctx, deletion.yes, &format!("delete {what}"))?
    {
        ctx.ui.status("nothing was deleted");
        return Ok(Exit::Done);
    }
    let deleted = if deletion.ids.is_empty() {
        0
    } else {
        (deletion.delete)()?
    };
    match deletion.format {
        Format::Text => ctx.ui.line(&format!(
            "deleted {}",
            count(deleted, deletion.one, deletion.many)
        ))?,
        format => ctx
            .ui
            .line(&format.document(&serde_json::json!({ "deleted": deleted })))?,
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}

fn dry_run(ctx: &Context<'_>, deletion: &Deletion<'_>, what: &str) -> Result<Exit, Failure> {
    if deletion.format == Format::Text {
        if !deletion.ids.is_empty() {
            (deletion.table)()?;
        }
        ctx.ui
            .status(&format!("{what} would be deleted (--dry-run)"));
    } else {
        let view = serde_json::json!({ "would_delete": deletion.ids.len(), "ids": deletion.ids });
        ctx.ui.line(&deletion.format.document(&view))?;
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}

/// Deliveries to delete, if they still have one of these statuses.
pub struct Deliveries<'a> {
    pub journal: Option<&'a dyn Journal>,
    pub seen: &'a [Seen],
    pub statuses: &'a [Status],
}

impl Deliveries<'_> {
    /// Prints a table of those that still exist.
    pub fn table(&self, ctx: &Context<'_>) -> Result<(), Failure> {
        let columns = human::columns(true, ctx.now());
        let mut list = RowWriter::new(ctx.ui, Format::Text, columns, DeliveryView::new)?;
        for seen in self.seen {
            let delivery = match self.journal {
                Some(journal) => journal.delivery(seen.id)?,
                None => None,
            };
            if let Some(delivery) = delivery {
                list.push(&delivery)?;
            }
        }
        list.finish()?;
        Ok(())
    }

    /// Deletes those that still exist, and returns their number.
    pub fn delete(&self) -> Result<usize, Failure> {
        Ok(self
            .journal
            .map_or(Ok(0), |journal| journal.delete(self.seen, self.statuses))?)
    }

    pub fn ids(&self) -> Vec<i64> {
        self.seen.iter().map(|seen| seen.id).collect()
    }
}
