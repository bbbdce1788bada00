//! `hookfire config init`

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

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
    let name = format!("`{}`", path.display());
    let folder = path.parent().unwrap_or(Path::new(""));
    if !folder.as_os_str().is_empty() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| Failure::io(format!("cannot create the folder of {name}"), e))?;
    }
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(Kind::Error, format!("{name} already exists"))
                .hint("`hookfire config show` prints the settings in effect"));
        }
        Err(e) => return Err(Failure::io(format!("cannot create {name}"), e)),
    };
    file.write_all(TEMPLATE.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| Failure::io(format!("cannot write {name}"), e))?;
    ctx.ui.line(&path.to_string_lossy())?;
    ctx.ui.flush()?;
    ctx.ui
        .status("configuration written; all settings are commented out");
    Ok(Exit::Done)
}
