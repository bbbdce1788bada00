//! `hookfire journal`: all deliveries, and the file that stores them.

mod cancel;
pub mod check;
mod copy;
mod export;
mod list;
mod migrate;
mod path;
mod prune;
pub mod show;

use clap::Subcommand;

use super::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// List all deliveries; check, copy and prune the journal
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  $ hookfire journal list\n  $ hookfire journal show 42\n  $ hookfire journal prune --older-than 30d"
)]
pub enum JournalCommand {
    List(list::JournalListArgs),
    Show(show::JournalShowArgs),
    Path(path::JournalPathArgs),
    Check(check::JournalCheckArgs),
    Prune(prune::JournalPruneArgs),
    Cancel(cancel::JournalCancelArgs),
    Export(export::JournalExportArgs),
    Migrate(migrate::JournalMigrateArgs),
    Copy(copy::JournalCopyArgs),
}

impl JournalCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            JournalCommand::List(args) => list::run(&args, ctx),
            JournalCommand::Show(args) => show::run(&args, ctx),
            JournalCommand::Path(args) => path::run(&args, ctx),
            JournalCommand::Check(args) => check::run(&args, ctx),
            JournalCommand::Prune(args) => prune::run(&args, ctx),
            JournalCommand::Cancel(args) => cancel::run(&args, ctx),
            JournalCommand::Export(args) => export::run(&args, ctx),
            JournalCommand::Migrate(args) => migrate::run(&args, ctx),
            JournalCommand::Copy(args) => copy::run(&args, ctx),
        }
    }
}
