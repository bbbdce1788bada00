//! `hookfire journal path`

use clap::Args;

use crate::cmd::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings;

/// Print the journal's file name
///
/// The file need not exist yet; the first delivery makes it.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  Back the journal up:\n    $ sqlite3 \"$(hookfire journal path)\" '.backup journal.bak'"
)]
pub struct JournalPathArgs {}

pub(super) fn run(_: &JournalPathArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (path, _) = settings::journal_path(&ctx.globals, ctx.matches, &ctx.env)?;
    ctx.ui.line(&path.to_string_lossy())?;
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
