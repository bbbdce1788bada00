//! Deleting from the journal: shown first, asked about, counted.
//!
//! What is deleted is what was seen: the caller names it before anybody is asked.

use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::scope::confirmed;
use crate::delivery::Status;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::journal::store::Seen;
use crate::output::json::DeliveryView;
use crate::output::{RowWriter, human};
use crate::text::count;

/// What is to be deleted, and how sure the user is.
pub struct Plan<'a> {
    /// What was seen.
    pub ids: &'a [i64],
    /// What one is called.
    pub one: &'static str,
    /// What many are called.
    pub many: &'static str,
    /// Whether to ask.
    pub ask: bool,
    /// The user said yes already.
    pub yes: bool,
    /// Only show.
    pub dry_run: bool,
    /// How to print.
    pub format: Format,
    /// Prints a table of what would be deleted.
    pub table: &'a dyn Fn() -> Result<(), Failure>,
    /// Deletes it, and says how many there still were.
    pub delete: &'a dyn Fn() -> Result<usize, Failure>,
}

/// Deletes what is planned, or shows it.
///
/// # Errors
/// When the user did not agree, or the journal cannot be written; then nothing is deleted.
pub fn run(ctx: &Context<'_>, plan: &Plan<'_>) -> Result<Exit, Failure> {
    let what = count(plan.ids.len(), plan.one, plan.many);
    if plan.dry_run {
        return dry_run(ctx, plan, &what);
    }
    if !plan.ids.is_empty() && plan.ask && !confirmed(ctx, plan.yes, &format!("delete {what}"))? {
        ctx.ui.status("nothing was deleted");
        return Ok(Exit::Done);
    }
    let deleted = if plan.ids.is_empty() {
        0
    } else {
        (plan.delete)()?
    };
    match plan.format {
        Format::Text => ctx
            .ui
            .line(&format!("deleted {}", count(deleted, plan.one, plan.many)))?,
        format => ctx
            .ui
            .line(&format.document(&serde_json::json!({ "deleted": deleted })))?,
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}

fn dry_run(ctx: &Context<'_>, plan: &Plan<'_>, what: &str) -> Result<Exit, Failure> {
    if plan.format == Format::Text {
        if !plan.ids.is_empty() {
            (plan.table)()?;
        }
        ctx.ui
            .status(&format!("{what} would be deleted (--dry-run)"));
    } else {
        let view = serde_json::json!({ "would_delete": plan.ids.len(), "ids": plan.ids });
        ctx.ui.line(&plan.format.document(&view))?;
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}

/// Deliveries that are to be deleted, only while they have one of these statuses.
pub struct Deliveries<'a> {
    /// Where they are.
    pub journal: Option<&'a dyn Journal>,
    /// As they were seen.
    pub seen: &'a [Seen],
    /// The statuses.
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

    /// Deletes them, and says how many there still were.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn delete(&self) -> Result<usize, Failure> {
        Ok(self
            .journal
            .map_or(Ok(0), |journal| journal.delete(self.seen, self.statuses))?)
    }

    /// Their ids.
    pub fn ids(&self) -> Vec<i64> {
        self.seen.iter().map(|seen| seen.id).collect()
    }
}
