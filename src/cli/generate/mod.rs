//! `hookfire generate`: completions and man pages, for those who package hookfire.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;

mod man;

/// Write shell completions and man pages
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub enum GenerateCommand {
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Print the completions of a shell
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  For the shell that you are in, until it ends:\n    $ source <(hookfire generate completions bash)"
)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write a man page for each command
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  Into the folder `man`:\n    $ hookfire generate man man")]
pub struct ManArgs {
    /// The folder, which must exist
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl GenerateCommand {
    /// Runs it.
    ///
    /// # Errors
    /// When stdout or the folder cannot be written.
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            GenerateCommand::Completions(args) => {
                let mut script = Vec::new();
                clap_complete::generate(
                    args.shell,
                    &mut (ctx.definition)(),
                    "hookfire",
                    &mut script,
                );
                ctx.ui.data(|out| out.write_all(&script))?;
                ctx.ui.flush()?;
            }
            GenerateCommand::Man(args) => {
                for (name, page) in man::pages((ctx.definition)()) {
                    write(&args.folder.join(name), &page)?;
                }
            }
        }
        Ok(Exit::Done)
    }
}

fn write(path: &Path, page: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, page).map_err(|e| {
        Failure::from_error(
            Kind::Error,
            anyhow::Error::new(e).context(format!("cannot write `{}`", path.display())),
        )
    })
}
