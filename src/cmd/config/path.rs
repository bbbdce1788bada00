//! `hookfire config path`

use clap::Args;

use crate::cmd::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings;

/// Print the configuration's file name
///
/// The file need not exist; `hookfire config init` writes one.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  Edit it:\n    $ ${EDITOR:-vi} \"$(hookfire config path)\"")]
pub struct ConfigPathArgs {}

pub(super) fn run(_: &ConfigPathArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (path, _) = settings::config_path(&ctx.globals, ctx.matches, &ctx.env)?;
    ctx.ui.line(&path.to_string_lossy())?;
    ctx.ui.flush()?;
    Ok(Exit::Done)
}
