//! Deleting deliveries from the journal: shown first, asked about, counted.

use crate::cmd::args::Format;
use crate::cmd::context::Context;
use crate::cmd::scope::confirmed;
use crate::delivery::Status;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::journal::Journal;
use crate::output::{json, table};
use crate::store::{Seen, Store as _};
use crate::text::count;

/// What is to be deleted, and how sure the user is.
pub struct Plan<'a> {
    /// The deliveries.
    pub seen: &'a [Seen],
    /// Only while they have one of these.
    pub statuses: &'a [Status],
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
}

/// Deletes what is planned, or shows it.
///
/// # Errors
/// When the user did not agree, or the journal cannot be written; then nothing is deleted.
pub fn run(ctx: &Context<'_>, journal: Option<&Journal>, plan: &Plan<'_>) -> Result<Exit, Failure> {
    let what = count(plan.seen.len(), plan.one, plan.many);
    if plan.dry_run {
        return dry_run(ctx, journal, plan, &what);
    }
    if !plan.seen.is_empty() && plan.ask && !confirmed(ctx, plan.yes, &format!("delete {what}"))? {
        ctx.ui.status("nothing was deleted");
        return Ok(Exit::Done);
    }
    let deleted = match journal {
        Some(journal) if !plan.seen.is_empty() => journal.delete(plan.seen, plan.statuses)?,
        _ => 0,
    };
    match plan.format {
        Format::Text => ctx.ui.line(&format!("deleted {}", count(deleted, plan.one, plan.many)))?,
        _ => ctx.ui.line(&json::compact(&serde_json::json!({ "deleted": deleted })))?,
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}

fn dry_run(ctx: &Context<'_>, journal: Option<&Journal>, plan: &Plan<'_>, what: &str) -> Result<Exit, Failure> {
    if plan.format == Format::Text {
        let mut deliveries = Vec::new();
        if let Some(journal) = journal {
            for seen in plan.seen {
                deliveries.extend(journal.delivery(seen.id)?);
            }
        }
        if !deliveries.is_empty() {
            ctx.ui.line(&table::deliveries(ctx.ui, &deliveries, true, ctx.now()))?;
        }
        ctx.ui.status(&format!("{what} would be deleted (--dry-run)"));
    } else {
        let ids: Vec<i64> = plan.seen.iter().map(|seen| seen.id).collect();
        let view = serde_json::json!({ "would_delete": ids.len(), "ids": ids });
        ctx.ui.line(&json::compact(&view))?;
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
