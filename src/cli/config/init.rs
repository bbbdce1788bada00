//! `hookfire config init`

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use clap::Args;

use crate::cli::context::Context;
use crate::config::TEMPLATE;
use crate::error::{Failure, Kind};
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  Write the file and open it:
    $ hookfire config init
    $ ${EDITOR:-vi} \"$(hookfire config path)\"";

/// Write a configuration file with every key explained
///
/// Does not overwrite an existing file. All settings are commented out, so the file changes nothing until you edit it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConfigInitArgs {}

pub(super) fn run(_: &ConfigInitArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (path, _) = ctx.config_path()?;
    let failed = |doing: &str, e: std::io::Error| {
        let words = format!("cannot {doing} `{}`", path.display());
        Failure::from_error(Kind::Error, anyhow::Error::new(e).context(words))
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| failed("create the folder of", e))?;
    }
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let words = format!("`{}` already exists", path.display());
            return Err(Failure::new(Kind::Error, words)
                .hint("`hookfire config show` prints the settings in effect"));
        }
        Err(e) => return Err(failed("create", e)),
    };
    file.write_all(TEMPLATE.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| failed("write", e))?;
    ctx.ui.line(&path.to_string_lossy())?;
    ctx.ui.flush()?;
    ctx.ui
        .status("configuration written; all settings are commented out");
    Ok(Exit::Done)
}
