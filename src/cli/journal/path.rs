//! `hookfire journal path`

use std::os::unix::ffi::OsStrExt as _;

use clap::Args;

use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// Print the journal's file name
///
/// The file need not exist yet; the first delivery makes it.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  See how large it is:\n    $ du -h \"$(hookfire journal path)\""
)]
pub struct JournalPathArgs {}

pub(super) fn run(_: &JournalPathArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (path, _) = ctx.journal_path()?;
    // Its bytes as they are: the name need not be text.
    ctx.ui.data(|out| {
        out.write_all(path.as_os_str().as_bytes())
            .and_then(|()| out.write_all(b"\n"))
    })?;
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
