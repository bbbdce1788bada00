//! `hookfire generate`: shell completions and man pages, for packagers.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;

mod chapter;
mod page;

/// Write shell completions and man pages
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub enum GenerateCommand {
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Print shell completions
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  For the current shell session:\n    $ source <(hookfire generate completions bash)"
)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the man pages of all commands and the manual's chapters
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  Into the folder `man`:\n    $ hookfire generate man man")]
pub struct ManArgs {
    /// An existing folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl GenerateCommand {
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
                for (name, page) in page::pages((ctx.definition)()) {
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
