//! `hookfire config path`

use std::os::unix::ffi::OsStrExt as _;

use clap::Args;

use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// Print the path of the configuration file
///
/// The file may not exist; `hookfire config init` writes one.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  Edit it:\n    $ ${EDITOR:-vi} \"$(hookfire config path)\"")]
pub struct ConfigPathArgs {}

pub(super) fn run(_: &ConfigPathArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (path, _) = ctx.config_path()?;
    // As bytes: a path need not be valid UTF-8.
    ctx.ui.data(|out| {
        out.write_all(path.as_os_str().as_bytes())
            .and_then(|()| out.write_all(b"\n"))
    })?;
    Ok(Exit::Done)
}
