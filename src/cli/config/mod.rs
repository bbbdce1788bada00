//! `hookfire config`: the configuration file and the resolved settings.

mod init;
mod path;
mod show;

use clap::Subcommand;

use super::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// Write a configuration file, and show the resolved settings
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  $ hookfire config init\n  $ hookfire config show")]
pub enum ConfigCommand {
    Init(init::ConfigInitArgs),
    Show(Box<show::ConfigShowArgs>),
    Path(path::ConfigPathArgs),
}

impl ConfigCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            ConfigCommand::Init(args) => init::run(&args, ctx),
            ConfigCommand::Show(args) => show::run(&args, ctx),
            ConfigCommand::Path(args) => path::run(&args, ctx),
        }
    }
}
