//! `hookfire journal path`

use std::os::unix::ffi::OsStrExt as _;

use clap::Args;

use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// Print the path of the journal
///
/// The file may not exist yet; the first delivery creates it. Prints the URL of a database without its password.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  Print its size:\n    $ du -h \"$(hookfire journal path)\"")]
pub struct JournalPathArgs {}

pub(super) fn run(_: &JournalPathArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (location, _) = ctx.journal_location()?;
    // As bytes: a path need not be valid UTF-8.
    ctx.ui.data(|out| {
        out.write_all(location.shown().as_os_str().as_bytes())
            .and_then(|()| out.write_all(b"\n"))
    })?;
    Ok(Exit::Done)
}
